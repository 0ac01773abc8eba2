// SPDX-License-Identifier: Apache-2.0
// The queue of open requests of a unit, the only one there is, and how one is found in it.
#include "l7/pair.h"

#include "base/hash.h"

void tl_queue_init(struct tl_queue *queue)
{
	*queue = (struct tl_queue) {.head = TL_NONE, .tail = TL_NONE};
}

static uint32_t owner_of(const struct tl_l7 *l7, const struct tl_unit *unit)
{
	const uint8_t *at = (const uint8_t *)unit;

	if (at >= l7->guests.base && at < l7->guests.base + l7->guests.mapped)
		return tl_pool_index(&l7->guests, unit) | UINT32_C(0x80000000);
	return tl_pool_index(&l7->conns, unit);
}

static uint32_t *bucket_of(const struct tl_l7 *l7, uint32_t owner, uint64_t key)
{
	uint64_t hash = tl_hash_mix(key ^ UINT64_C(0x9e3779b97f4a7c15),
				    owner ^ UINT64_C(0xe7037ed1a0b428db));
	return &l7->buckets[hash & l7->bucket_mask];
}

static void hash_add(struct tl_l7 *l7, uint32_t owner, uint32_t index)
{
	struct tl_exchange *exchange = tl_l7_exchange(l7, index);
	uint32_t *bucket = bucket_of(l7, owner, exchange->key);

	exchange->owner = owner;
	exchange->bits |= TL_EXCHANGE_HASHED;
	exchange->hash_prev = TL_NONE;
	exchange->hash_next = *bucket;
	if (*bucket != TL_NONE)
		tl_l7_exchange(l7, *bucket)->hash_prev = index;
	*bucket = index;
}

static void hash_remove(struct tl_l7 *l7, struct tl_exchange *exchange)
{
	if ((exchange->bits & TL_EXCHANGE_HASHED) == 0)
		return;
	if (exchange->hash_prev == TL_NONE)
		*bucket_of(l7, exchange->owner, exchange->key) = exchange->hash_next;
	else
		tl_l7_exchange(l7, exchange->hash_prev)->hash_next = exchange->hash_next;
	if (exchange->hash_next != TL_NONE)
		tl_l7_exchange(l7, exchange->hash_next)->hash_prev = exchange->hash_prev;
	exchange->bits &= (uint8_t)~TL_EXCHANGE_HASHED;
}

static void hash_all(struct tl_l7 *l7, struct tl_unit *unit)
{
	uint32_t owner = owner_of(l7, unit);

	for (uint32_t i = unit->queue.head; i != TL_NONE; i = tl_l7_exchange(l7, i)->next)
		hash_add(l7, owner, i);
	unit->bits |= TL_UNIT_HASHED;
}

void tl_pair_unhash(struct tl_l7 *l7, struct tl_unit *unit)
{
	for (uint32_t i = unit->queue.head; i != TL_NONE; i = tl_l7_exchange(l7, i)->next)
		hash_remove(l7, tl_l7_exchange(l7, i));
	unit->bits &= (uint8_t)~TL_UNIT_HASHED;
}

static bool fits(const struct tl_exchange *exchange, const struct tl_wanted *want)
{
	return exchange->key == want->key && exchange->opener == want->opener &&
	       (want->any || tl_exchange_is_late(exchange) == want->late);
}

// By hash where the queue is long.
static uint32_t find_behind_head(const struct tl_ctx *ctx, const struct tl_wanted *want)
{
	const struct tl_l7 *l7 = ctx->l7;
	const struct tl_unit *unit = ctx->unit;
	uint32_t found = TL_NONE;

	if ((unit->bits & TL_UNIT_HASHED) == 0) {
		for (uint32_t i = unit->queue.head; i != TL_NONE; i = tl_l7_exchange(l7, i)->next)
			if (fits(tl_l7_exchange(l7, i), want))
				return i;
		return TL_NONE;
	}
	uint32_t owner = owner_of(l7, unit);
	for (uint32_t i = *bucket_of(l7, owner, want->key); i != TL_NONE;) {
		const struct tl_exchange *exchange = tl_l7_exchange(l7, i);
		if (exchange->owner == owner && fits(exchange, want) &&
		    (found == TL_NONE ||
		     (int32_t)(exchange->order - tl_l7_exchange(l7, found)->order) < 0))
			found = i;
		i = exchange->hash_next;
	}
	return found;
}

// Mostly it is the first.
static inline uint32_t find(const struct tl_ctx *ctx, const struct tl_wanted *want)
{
	uint32_t head = ctx->unit->queue.head;

	if (head == TL_NONE || fits(tl_l7_exchange(ctx->l7, head), want))
		return head;
	return find_behind_head(ctx, want);
}

uint32_t tl_pair_queue_find(const struct tl_ctx *ctx, const struct tl_wanted *want)
{
	return find(ctx, want);
}

struct tl_exchange *tl_pair_find(const struct tl_ctx *ctx, enum tl_lane opener, uint64_t key)
{
	struct tl_wanted want = {.key = key, .opener = opener};

	return tl_l7_exchange(ctx->l7, find(ctx, &want));
}

uint32_t tl_pair_find_answered(const struct tl_ctx *ctx, enum tl_lane opener, uint64_t key)
{
	bool ordered = tl_unit_is_ordered(ctx->unit);
	struct tl_wanted want = {.key = key, .opener = opener, .any = ordered};
	uint32_t index = find(ctx, &want);

	if (index == TL_NONE && !ordered && ctx->unit->queue.late != 0) {
		want.late = true;
		index = find(ctx, &want);
	}
	return index;
}

uint32_t tl_pair_find_answered_by(const struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	uint32_t index = tl_pair_find_answered(ctx, tl_lane_other(lane), key);

	if (index != TL_NONE || ctx->unit->queue.count[lane] == 0)
		return index;
	index = tl_pair_find_answered(ctx, lane, key);
	return index != TL_NONE &&
			       (tl_l7_exchange(ctx->l7, index)->bits & TL_EXCHANGE_PROMISED) != 0
		       ? index
		       : TL_NONE;
}

void tl_pair_queue_add(struct tl_ctx *ctx, uint32_t index)
{
	struct tl_queue *queue = &ctx->unit->queue;
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);

	exchange->next = TL_NONE;
	exchange->prev = queue->tail;
	exchange->order = ctx->unit->order++;
	if (queue->tail == TL_NONE)
		queue->head = index;
	else
		tl_l7_exchange(ctx->l7, queue->tail)->next = index;
	queue->tail = index;
	queue->count[exchange->opener]++;
	if ((ctx->unit->bits & TL_UNIT_HASHED) != 0)
		hash_add(ctx->l7, owner_of(ctx->l7, ctx->unit), index);
	else if (tl_queue_count(queue) > TL_HASH_FROM)
		hash_all(ctx->l7, ctx->unit);
}

void tl_pair_queue_remove(struct tl_ctx *ctx, uint32_t index)
{
	struct tl_queue *queue = &ctx->unit->queue;
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);

	if (exchange->prev == TL_NONE)
		queue->head = exchange->next;
	else
		tl_l7_exchange(ctx->l7, exchange->prev)->next = exchange->next;
	if (exchange->next == TL_NONE)
		queue->tail = exchange->prev;
	else
		tl_l7_exchange(ctx->l7, exchange->next)->prev = exchange->prev;
	queue->count[exchange->opener]--;
	queue->late = (uint16_t)(queue->late - (tl_exchange_is_late(exchange) ? 1 : 0));
	hash_remove(ctx->l7, exchange);
	if (queue->head == TL_NONE)
		ctx->unit->bits &= (uint8_t)~TL_UNIT_HASHED;
}

uint32_t tl_pair_queue_oldest(const struct tl_ctx *ctx, bool late)
{
	uint32_t i = ctx->unit->queue.head;

	while (i != TL_NONE && tl_exchange_is_late(tl_l7_exchange(ctx->l7, i)) != late)
		i = tl_l7_exchange(ctx->l7, i)->next;
	return i;
}
