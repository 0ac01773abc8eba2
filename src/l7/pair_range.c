// SPDX-License-Identifier: Apache-2.0
// Several open requests at once: all up to one, a range of keys; which is older.
#include "l7/pair.h"

void tl_close_through(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, enum tl_status status,
		      enum tl_reason reason)
{
	uint32_t last = tl_pair_find_answered(ctx, tl_lane_other(lane), key);
	const struct tl_message *message = tl_lane_message(ctx, lane);

	if (last == TL_NONE) {
		tl_orphan(ctx, lane, reason);
		return;
	}
	for (uint32_t i = ctx->unit->queue.head; i != TL_NONE && i != last && message != NULL;) {
		const struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, i);
		uint32_t next = exchange->next;
		if (tl_exchange_is_late(exchange) || exchange->opener != lane)
			tl_pair_close_along(ctx, lane, i, status, reason);
		i = next;
	}
	tl_close(ctx, lane, key, status, reason);
}

static bool is_between(const struct tl_exchange *exchange, enum tl_lane opener, uint64_t first,
		       uint64_t last)
{
	return exchange->opener == opener && exchange->key >= first && exchange->key <= last;
}

uint32_t tl_close_between(struct tl_ctx *ctx, enum tl_lane lane, uint64_t first, uint64_t last,
			  enum tl_status status, enum tl_reason reason)
{
	enum tl_lane opener = tl_lane_other(lane);
	uint32_t count = 0;

	ctx->unit->bits |= TL_UNIT_KEYED;
	if (tl_lane_message(ctx, lane) == NULL)
		return 0;
	// Mostly it is one: found without a walk.
	uint32_t newest = first == last ? tl_pair_find_answered(ctx, opener, first) : TL_NONE;
	for (uint32_t i = first == last ? TL_NONE : ctx->unit->queue.head; i != TL_NONE;) {
		const struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, i);
		uint32_t next = exchange->next;
		if (is_between(exchange, opener, first, last)) {
			if (newest != TL_NONE)
				tl_pair_close_along(ctx, lane, newest, status, reason);
			count += newest != TL_NONE;
			newest = i;
		}
		i = next;
	}
	if (newest == TL_NONE)
		return 0;
	tl_close(ctx, lane, tl_l7_exchange(ctx->l7, newest)->key, status, reason);
	return count + 1;
}

void tl_cancel_between(struct tl_ctx *ctx, enum tl_lane opener, uint64_t first, uint64_t last,
		       enum tl_status status, enum tl_reason reason)
{
	for (uint32_t i = ctx->unit->queue.head; i != TL_NONE;) {
		const struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, i);
		uint32_t next = exchange->next;
		if (is_between(exchange, opener, first, last))
			tl_pair_drop(ctx, i, status, reason, ctx->piece_ns);
		i = next;
	}
}

bool tl_is_earlier(const struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	uint32_t index = tl_pair_find_answered(ctx, tl_lane_other(lane), key);
	const struct tl_message *message = tl_lane_message(ctx, lane);
	const struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);
	const struct tl_message *request =
		exchange == NULL ? NULL : tl_l7_message(ctx->l7, exchange->request);

	return message != NULL && request != NULL && message->first_ns < request->first_ns;
}
