// SPDX-License-Identifier: Apache-2.0
// A pool of equal objects on one anonymous mapping: the memory of everything a worker keeps per
// packet, connection or message. The mapping is reserved at start and touched only as far as it
// is used; MADV_HUGEPAGE is asked for, since random access over 4 KiB pages costs a third more.
// Not thread-safe: a pool belongs to one lcore.
#pragma once

#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct tl_pool {
	uint8_t *base;       // start of the mapping, NULL before init
	size_t mapped;       // bytes of the mapping
	uint32_t size;       // bytes per object, a multiple of 16
	uint32_t count;      // objects the pool may ever give
	uint32_t touched;    // objects given at least once; the rest was never written
	uint32_t used;       // objects given and not put back
	uint32_t used_max;   // high-water mark
	uint32_t free_head;  // index of the first free object, TL_POOL_NONE if none
	uint64_t exhausted;  // takes refused because all were in use
};

#define TL_POOL_NONE UINT32_MAX

// Reserves `count` objects of `size` bytes (rounded up to 16). Returns 0 or -ENOMEM, -EINVAL.
int tl_pool_init(struct tl_pool *pool, size_t size, uint32_t count);

// Releases the mapping. Accepts a pool that was zeroed and never initialised.
void tl_pool_fini(struct tl_pool *pool);

// Gives a zeroed object, or NULL (counted in `exhausted`) when all are in use.
void *tl_pool_take(struct tl_pool *pool);

// The same without zeroing: for objects whose every byte the caller writes.
void *tl_pool_take_raw(struct tl_pool *pool);

// Takes an object back. `object` must have come from this pool; NULL is ignored.
void tl_pool_put(struct tl_pool *pool, void *object);

static inline uint32_t tl_pool_index(const struct tl_pool *pool, const void *object)
{
	return (uint32_t)((size_t)((const uint8_t *)object - pool->base) / pool->size);
}

static inline void *tl_pool_at(const struct tl_pool *pool, uint32_t index)
{
	return pool->base + (size_t)index * pool->size;
}

// The same by index, as those who keep indices want it: TL_POOL_NONE when all are in use.
static inline uint32_t tl_pool_take_index(struct tl_pool *pool)
{
	uint32_t index = pool->free_head;

	if (index != TL_POOL_NONE) {
		memcpy(&pool->free_head, tl_pool_at(pool, index), sizeof(pool->free_head));
	} else if (pool->touched < pool->count) {
		index = pool->touched++;
	} else {
		pool->exhausted++;
		return TL_POOL_NONE;
	}
	if (++pool->used > pool->used_max)
		pool->used_max = pool->used;
	return index;
}

static inline void tl_pool_put_index(struct tl_pool *pool, uint32_t index)
{
	TL_CHECK(index < pool->touched);
	memcpy(tl_pool_at(pool, index), &pool->free_head, sizeof(pool->free_head));
	pool->free_head = index;
	pool->used--;
}

// Maps `size` zeroed bytes with huge pages asked for; NULL when the kernel refuses.
void *tl_map(size_t size);
void tl_unmap(void *base, size_t size);
