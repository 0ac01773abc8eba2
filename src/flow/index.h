// SPDX-License-Identifier: Apache-2.0
// The hash index of the flow tables: buckets of one cache line that hold 16-bit signatures and
// 32-bit ids. A key lives in its first bucket or, when that is full, in a second one that
// follows from the first and the signature; when both are full, one of their keys moves to its
// own other bucket. Look-ups come in stages, so that a burst's cache misses overlap: prefetch,
// first candidate, then the search proper.
#pragma once

#include "base/check.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define TL_BUCKET_SLOTS 10u

struct tl_bucket {
	uint16_t signature[TL_BUCKET_SLOTS]; // 0: free
	uint16_t spilled;  // keys of this bucket that live in their second one
	uint16_t guests;   // slots, as bits, whose key has its first bucket elsewhere
	uint32_t id[TL_BUCKET_SLOTS];
};
_Static_assert(sizeof(struct tl_bucket) == 64, "a bucket is one cache line");

struct tl_index {
	struct tl_bucket *buckets;
	uint32_t mask;  // bucket count - 1
	uint32_t used;
};

#define TL_INDEX_NONE UINT32_MAX

// Room for `count` keys at a load of two thirds or less. 0, -EINVAL or -ENOMEM.
int tl_index_init(struct tl_index *index, uint64_t count);
void tl_index_fini(struct tl_index *index);

// False when both buckets of the key and all those their keys could move to are full.
bool tl_index_insert(struct tl_index *index, uint32_t hash, uint32_t id);
// `id` must have been inserted with `hash`.
void tl_index_remove(struct tl_index *index, uint32_t hash, uint32_t id);

static inline uint16_t tl_index_signature(uint32_t hash)
{
	uint16_t signature = (uint16_t)(hash >> 16);
	return signature != 0 ? signature : 1;
}

static inline uint32_t tl_index_second(const struct tl_index *index, uint32_t first, uint16_t signature)
{
	// An odd factor moves every signature; exclusive or makes it its own inverse.
	return (first ^ (signature * 0x5bd1e995u | 1u)) & index->mask;
}

static inline void tl_index_prefetch(const struct tl_index *index, uint32_t hash)
{
	__builtin_prefetch(&index->buckets[hash & index->mask]);
}

// The slots with this signature, as bits.
static inline uint32_t tl_bucket_match(const struct tl_bucket *bucket, uint16_t signature)
{
#ifdef __SSE2__
	// Eight at once, and the other two by one word: a quarter of the loop's time.
	__m128i eight = _mm_loadu_si128((const __m128i *)(const void *)bucket->signature);
	__m128i equal = _mm_cmpeq_epi16(eight, _mm_set1_epi16((short)signature));
	uint32_t hits = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128()));
	hits |= (uint32_t)(bucket->signature[8] == signature) << 8;
	return hits | (uint32_t)(bucket->signature[9] == signature) << 9;
#else
	uint32_t hits = 0;
	for (uint32_t i = 0; i < TL_BUCKET_SLOTS; i++)
		hits |= (uint32_t)(bucket->signature[i] == signature) << i;
	return hits;
#endif
}

// The first candidate of the first bucket: whose memory to prefetch.
static inline uint32_t tl_index_candidate(const struct tl_index *index, uint32_t hash)
{
	const struct tl_bucket *bucket = &index->buckets[hash & index->mask];
	uint32_t hits = tl_bucket_match(bucket, tl_index_signature(hash));
	return hits != 0 ? bucket->id[__builtin_ctz(hits)] : TL_INDEX_NONE;
}

typedef bool tl_index_equal_fn(const void *table, uint32_t id, const void *key);

// The id for which `equal` holds, TL_INDEX_NONE if there is none. Inlined with its comparison.
static inline __attribute__((always_inline)) uint32_t
tl_index_find(const struct tl_index *index, uint32_t hash, tl_index_equal_fn *equal,
	      const void *table, const void *key)
{
	uint16_t signature = tl_index_signature(hash);
	uint32_t first = hash & index->mask;
	const struct tl_bucket *bucket = &index->buckets[first];

	for (uint32_t round = 0; round < 2; round++) {
		uint32_t hits = tl_bucket_match(bucket, signature);
		for (; hits != 0; hits &= hits - 1) {
			uint32_t id = bucket->id[__builtin_ctz(hits)];
			if (TL_LIKELY(equal(table, id, key)))
				return id;
		}
		if (TL_LIKELY(round != 0 || bucket->spilled == 0))
			return TL_INDEX_NONE;
		bucket = &index->buckets[tl_index_second(index, first, signature)];
	}
	return TL_INDEX_NONE;
}
