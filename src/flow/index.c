// SPDX-License-Identifier: Apache-2.0
#include "flow/index.h"

#include "base/pool.h"

#include <errno.h>

#define INDEX_BUCKETS_MAX (1u << 28) // 16 GiB: far beyond any table here

int tl_index_init(struct tl_index *index, uint64_t count)
{
	uint64_t buckets = 1;

	if (count == 0)
		return -EINVAL;
	while (buckets * TL_BUCKET_SLOTS * 2 / 3 < count)
		buckets *= 2;
	if (buckets > INDEX_BUCKETS_MAX)
		return -EINVAL;
	struct tl_bucket *map = tl_map((size_t)buckets * sizeof(*map));
	if (map == NULL)
		return -ENOMEM;
	*index = (struct tl_index) {.buckets = map, .mask = (uint32_t)(buckets - 1)};
	return 0;
}

void tl_index_fini(struct tl_index *index)
{
	tl_unmap(index->buckets, ((size_t)index->mask + 1) * sizeof(*index->buckets));
	*index = (struct tl_index) {0};
}

static bool bucket_add(struct tl_bucket *bucket, uint16_t signature, uint32_t id, bool is_guest)
{
	uint32_t hits = tl_bucket_match(bucket, 0);
	if (hits == 0)
		return false;
	uint32_t slot = (uint32_t)__builtin_ctz(hits);
	bucket->signature[slot] = signature;
	bucket->id[slot] = id;
	if (is_guest)
		bucket->guests = (uint16_t)(bucket->guests | 1u << slot);
	return true;
}

static void bucket_free(struct tl_bucket *bucket, uint32_t slot)
{
	bucket->signature[slot] = 0;
	bucket->guests = (uint16_t)(bucket->guests & ~(1u << slot));
}

static bool bucket_drop(struct tl_bucket *bucket, uint16_t signature, uint32_t id)
{
	uint32_t hits = tl_bucket_match(bucket, signature);
	for (; hits != 0; hits &= hits - 1) {
		uint32_t slot = (uint32_t)__builtin_ctz(hits);
		if (bucket->id[slot] == id) {
			bucket_free(bucket, slot);
			return true;
		}
	}
	return false;
}

// Moves one key of a full bucket to that key's other bucket.
static bool make_room(struct tl_index *index, uint32_t at)
{
	struct tl_bucket *bucket = &index->buckets[at];

	for (uint32_t slot = 0; slot < TL_BUCKET_SLOTS; slot++) {
		uint16_t signature = bucket->signature[slot];
		bool was_guest = (bucket->guests >> slot & 1) != 0;
		uint32_t other = tl_index_second(index, at, signature);
		if (other == at ||
		    !bucket_add(&index->buckets[other], signature, bucket->id[slot], !was_guest))
			continue;
		if (was_guest)
			index->buckets[other].spilled--;
		else
			bucket->spilled++;
		bucket_free(bucket, slot);
		return true;
	}
	return false;
}

bool tl_index_insert(struct tl_index *index, uint32_t hash, uint32_t id)
{
	uint16_t signature = tl_index_signature(hash);
	uint32_t first = hash & index->mask;
	uint32_t second = tl_index_second(index, first, signature);

	if (bucket_add(&index->buckets[first], signature, id, false)) {
		index->used++;
		return true;
	}
	if (!bucket_add(&index->buckets[second], signature, id, true)) {
		if (make_room(index, first)) {
			(void)bucket_add(&index->buckets[first], signature, id, false);
			index->used++;
			return true;
		}
		if (!make_room(index, second))
			return false;
		(void)bucket_add(&index->buckets[second], signature, id, true);
	}
	index->buckets[first].spilled++;
	index->used++;
	return true;
}

void tl_index_remove(struct tl_index *index, uint32_t hash, uint32_t id)
{
	uint16_t signature = tl_index_signature(hash);
	uint32_t first = hash & index->mask;

	if (!bucket_drop(&index->buckets[first], signature, id)) {
		uint32_t second = tl_index_second(index, first, signature);
		bool was_there = bucket_drop(&index->buckets[second], signature, id);
		TL_CHECK(was_there);
		if (!was_there)
			return;
		index->buckets[first].spilled--;
	}
	index->used--;
}
