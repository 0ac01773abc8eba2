// SPDX-License-Identifier: Apache-2.0
// Blocks of differing size out of one bounded mapping: decoder states, partial messages, field
// values. Sizes are powers of two from 64 bytes to one page of 64 KiB; a page serves one size at
// a time and goes back to all sizes when it is empty. Blocks are named by 32-bit handles, which
// halves what a connection spends on them. Not thread-safe: a slab belongs to one lcore.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TL_SLAB_UNIT_BYTES 64u
#define TL_SLAB_PAGE_BYTES 65536u
#define TL_SLAB_CLASSES 11u // 64 << 0 .. 64 << 10
#define TL_SLAB_UNITS_PER_PAGE (TL_SLAB_PAGE_BYTES / TL_SLAB_UNIT_BYTES)
#define TL_SLAB_NONE 0u     // the handle of no block
#define TL_SLAB_SPARES 8u   // blocks of a size that are put back last and given first
#define TL_SLAB_SPARE_CLASSES 5u // ... of sizes up to 64 << 4

struct tl_slab_page {
	uint32_t next;      // in the list of its size, or of empty pages
	uint32_t prev;      // in the list of its size
	uint16_t used;      // blocks given
	uint16_t touched;   // blocks given at least once
	uint16_t free_head; // first free block, by index
	uint8_t size_class;
	uint8_t listed;     // in the list of its size
};

struct tl_slab {
	uint8_t *base;
	struct tl_slab_page *pages;
	uint32_t page_count;
	uint32_t pages_touched;            // the rest was never written
	uint32_t free_page;                // head of the list of empty pages
	uint32_t partial[TL_SLAB_CLASSES]; // pages of a size that have room
	uint32_t spare_count[TL_SLAB_SPARE_CLASSES];
	uint32_t spares[TL_SLAB_SPARE_CLASSES][TL_SLAB_SPARES]; // as if given, to their pages
	uint64_t used_bytes;               // of the blocks given, rounded to their sizes
	uint64_t exhausted;                // takes refused
};

// Reserves `bytes` (rounded up to whole pages). Returns 0, -ENOMEM or -EINVAL.
int tl_slab_init(struct tl_slab *slab, uint64_t bytes);
// Releases the mapping. Accepts a slab that was zeroed and never initialised.
void tl_slab_fini(struct tl_slab *slab);

// A block of at least `size` (1 .. TL_SLAB_PAGE_BYTES) bytes, not zeroed, or TL_SLAB_NONE
// (counted) when the mapping is used up.
uint32_t tl_slab_take(struct tl_slab *slab, uint32_t size);
// The same for a size that is known when this is compiled: without a call mostly.
static inline uint32_t tl_slab_take_fixed(struct tl_slab *slab, uint32_t size)
{
	uint32_t size_class = size <= TL_SLAB_UNIT_BYTES ? 0 : 26u - (uint32_t)__builtin_clz(size - 1);

	if (size_class >= TL_SLAB_SPARE_CLASSES || slab->spare_count[size_class] == 0)
		return tl_slab_take(slab, size);
	slab->used_bytes += TL_SLAB_UNIT_BYTES << size_class;
	return slab->spares[size_class][--slab->spare_count[size_class]];
}
// Takes a block back; TL_SLAB_NONE is ignored.
void tl_slab_put(struct tl_slab *slab, uint32_t block);
// Bytes the block really has.
static inline uint32_t tl_slab_room(const struct tl_slab *slab, uint32_t block)
{
	return TL_SLAB_UNIT_BYTES
	       << slab->pages[(block - 1) / TL_SLAB_UNITS_PER_PAGE].size_class;
}

static inline void *tl_slab_at(const struct tl_slab *slab, uint32_t block)
{
	return slab->base + (size_t)(block - 1) * TL_SLAB_UNIT_BYTES;
}
