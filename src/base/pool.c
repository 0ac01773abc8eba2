// SPDX-License-Identifier: Apache-2.0
#include "base/pool.h"

#include "base/check.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define POOL_ALIGN 16u

void *tl_map(size_t size)
{
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	// Small tables stay on small pages: a 2 MiB page for a few KiB would be waste.
	if (size >= 4u << 20)
		(void)madvise(base, size, MADV_HUGEPAGE);
	return base;
}

void tl_unmap(void *base, size_t size)
{
	if (base != NULL)
		(void)munmap(base, size);
}

int tl_pool_init(struct tl_pool *pool, size_t size, uint32_t count)
{
	if (size == 0 || count == 0 || count == TL_POOL_NONE || size > UINT32_MAX - POOL_ALIGN)
		return -EINVAL;
	uint32_t rounded = ((uint32_t)size + POOL_ALIGN - 1) & ~(POOL_ALIGN - 1);
	size_t mapped = (size_t)rounded * count;
	void *base = tl_map(mapped);
	if (base == NULL)
		return -ENOMEM;
	*pool = (struct tl_pool) {
		.base = (uint8_t *)base,
		.mapped = mapped,
		.size = rounded,
		.count = count,
		.free_head = TL_POOL_NONE,
	};
	return 0;
}

void tl_pool_fini(struct tl_pool *pool)
{
	tl_unmap(pool->base, pool->mapped);
	*pool = (struct tl_pool) {.free_head = TL_POOL_NONE};
}

void *tl_pool_take_raw(struct tl_pool *pool)
{
	uint32_t index = tl_pool_take_index(pool);

	return index == TL_POOL_NONE ? NULL : tl_pool_at(pool, index);
}

void *tl_pool_take(struct tl_pool *pool)
{
	void *object = tl_pool_take_raw(pool);
	if (object != NULL)
		memset(object, 0, pool->size);
	return object;
}

void tl_pool_put(struct tl_pool *pool, void *object)
{
	if (object == NULL)
		return;
	uint32_t index = tl_pool_index(pool, object);
	TL_CHECK(index < pool->touched && tl_pool_at(pool, index) == object);
	tl_pool_put_index(pool, index);
}
