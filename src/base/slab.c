// SPDX-License-Identifier: Apache-2.0
#include "base/slab.h"

#include "base/check.h"
#include "base/pool.h"

#include <errno.h>
#include <string.h>

#define PAGE_NONE UINT32_MAX
#define OBJECT_NONE UINT16_MAX

_Static_assert(TL_SLAB_UNIT_BYTES << (TL_SLAB_CLASSES - 1) == TL_SLAB_PAGE_BYTES,
	       "the largest block is a whole page");

static uint32_t class_of(uint32_t size)
{
	if (size <= TL_SLAB_UNIT_BYTES)
		return 0;
	return 32u - 6u - (uint32_t)__builtin_clz(size - 1);
}

static uint32_t page_capacity(const struct tl_slab_page *page)
{
	return TL_SLAB_UNITS_PER_PAGE >> page->size_class;
}

int tl_slab_init(struct tl_slab *slab, uint64_t bytes)
{
	uint64_t pages = (bytes + TL_SLAB_PAGE_BYTES - 1) / TL_SLAB_PAGE_BYTES;

	if (pages == 0 || pages >= UINT32_MAX / TL_SLAB_UNITS_PER_PAGE)
		return -EINVAL;
	*slab = (struct tl_slab) {.page_count = (uint32_t)pages, .free_page = PAGE_NONE};
	for (uint32_t i = 0; i < TL_SLAB_CLASSES; i++)
		slab->partial[i] = PAGE_NONE;
	slab->base = tl_map(pages * TL_SLAB_PAGE_BYTES);
	slab->pages = tl_map(pages * sizeof(*slab->pages));
	if (slab->base == NULL || slab->pages == NULL) {
		tl_slab_fini(slab);
		return -ENOMEM;
	}
	return 0;
}

void tl_slab_fini(struct tl_slab *slab)
{
	tl_unmap(slab->base, (size_t)slab->page_count * TL_SLAB_PAGE_BYTES);
	tl_unmap(slab->pages, slab->page_count * sizeof(*slab->pages));
	*slab = (struct tl_slab) {.free_page = PAGE_NONE};
}

static void list_add(struct tl_slab *slab, uint32_t index)
{
	struct tl_slab_page *page = &slab->pages[index];
	uint32_t *head = &slab->partial[page->size_class];

	page->next = *head;
	page->prev = PAGE_NONE;
	page->listed = 1;
	if (*head != PAGE_NONE)
		slab->pages[*head].prev = index;
	*head = index;
}

static void list_remove(struct tl_slab *slab, uint32_t index)
{
	struct tl_slab_page *page = &slab->pages[index];

	if (page->prev == PAGE_NONE)
		slab->partial[page->size_class] = page->next;
	else
		slab->pages[page->prev].next = page->next;
	if (page->next != PAGE_NONE)
		slab->pages[page->next].prev = page->prev;
	page->listed = 0;
}

static void page_free(struct tl_slab *slab, uint32_t index)
{
	list_remove(slab, index);
	slab->pages[index].next = slab->free_page;
	slab->free_page = index;
}

// Each size keeps one empty page against thrashing; in need they are taken from it.
static bool reclaim(struct tl_slab *slab)
{
	for (uint32_t i = 0; i < TL_SLAB_CLASSES; i++) {
		uint32_t index = slab->partial[i];
		if (index != PAGE_NONE && slab->pages[index].used == 0) {
			page_free(slab, index);
			return true;
		}
	}
	return false;
}

// Back to its page.
static void put_block(struct tl_slab *slab, uint32_t block)
{
	uint32_t index = (block - 1) / TL_SLAB_UNITS_PER_PAGE;
	struct tl_slab_page *page = &slab->pages[index];
	TL_CHECK(index < slab->pages_touched && page->used != 0);

	memcpy(tl_slab_at(slab, block), &page->free_head, sizeof(page->free_head));
	page->free_head = (uint16_t)(((block - 1) % TL_SLAB_UNITS_PER_PAGE) >> page->size_class);
	page->used--;
	if (page->listed == 0) {
		uint32_t head = slab->partial[page->size_class];
		if (head != PAGE_NONE && slab->pages[head].used == 0)
			page_free(slab, head);
		list_add(slab, index);
	}
	if (page->used == 0 && (page->next != PAGE_NONE || page->prev != PAGE_NONE))
		page_free(slab, index);
}

// What is kept for the next takes goes back to its pages, in need.
static void put_spares(struct tl_slab *slab)
{
	for (uint32_t i = 0; i < TL_SLAB_SPARE_CLASSES; i++)
		while (slab->spare_count[i] != 0)
			put_block(slab, slab->spares[i][--slab->spare_count[i]]);
}

static uint32_t page_take(struct tl_slab *slab, uint32_t size_class)
{
	uint32_t index;

	if (slab->free_page == PAGE_NONE && slab->pages_touched == slab->page_count) {
		put_spares(slab);
		if (slab->partial[size_class] != PAGE_NONE)
			return slab->partial[size_class];
		if (slab->free_page == PAGE_NONE && !reclaim(slab)) {
			slab->exhausted++;
			return PAGE_NONE;
		}
	}
	if (slab->free_page != PAGE_NONE) {
		index = slab->free_page;
		slab->free_page = slab->pages[index].next;
	} else {
		index = slab->pages_touched++;
	}
	slab->pages[index] = (struct tl_slab_page) {
		.free_head = OBJECT_NONE, .size_class = (uint8_t)size_class};
	list_add(slab, index);
	return index;
}

uint32_t tl_slab_take(struct tl_slab *slab, uint32_t size)
{
	TL_CHECK(size != 0 && size <= TL_SLAB_PAGE_BYTES);
	uint32_t size_class = class_of(size);
	slab->used_bytes += TL_SLAB_UNIT_BYTES << size_class;
	if (size_class < TL_SLAB_SPARE_CLASSES && slab->spare_count[size_class] != 0)
		return slab->spares[size_class][--slab->spare_count[size_class]];
	uint32_t index = slab->partial[size_class];
	if (index == PAGE_NONE)
		index = page_take(slab, size_class);
	if (index == PAGE_NONE) {
		slab->used_bytes -= TL_SLAB_UNIT_BYTES << size_class;
		return TL_SLAB_NONE;
	}

	struct tl_slab_page *page = &slab->pages[index];
	uint32_t object = page->free_head;
	uint32_t unit;
	if (object != OBJECT_NONE) {
		unit = index * TL_SLAB_UNITS_PER_PAGE + (object << size_class);
		memcpy(&page->free_head, slab->base + (size_t)unit * TL_SLAB_UNIT_BYTES,
		       sizeof(page->free_head));
	} else {
		unit = index * TL_SLAB_UNITS_PER_PAGE + ((uint32_t)page->touched++ << size_class);
	}
	if (++page->used == page_capacity(page))
		list_remove(slab, index);
	return unit + 1;
}

void tl_slab_put(struct tl_slab *slab, uint32_t block)
{
	if (block == TL_SLAB_NONE)
		return;
	const struct tl_slab_page *page = &slab->pages[(block - 1) / TL_SLAB_UNITS_PER_PAGE];
	uint32_t size_class = page->size_class;
	TL_CHECK(page->used != 0);

	slab->used_bytes -= TL_SLAB_UNIT_BYTES << size_class;
	if (size_class < TL_SLAB_SPARE_CLASSES && slab->spare_count[size_class] != TL_SLAB_SPARES)
		slab->spares[size_class][slab->spare_count[size_class]++] = block;
	else
		put_block(slab, block);
}
