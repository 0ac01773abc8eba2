// SPDX-License-Identifier: Apache-2.0
// Pairing as decoders ask for it: requests are opened, answers find them.
#include "l7/pair.h"

#include <stddef.h>
#include <string.h>

static bool claim(struct tl_ctx *ctx, struct tl_message *message, enum tl_role role)
{
	if (message == NULL || message->role != TL_ROLE_NONE ||
	    (ctx->unit->bits & TL_UNIT_STOPPED) != 0)
		return false;
	message->role = (uint8_t)role;
	ctx->unit->bits |= TL_UNIT_SPOKE;
	return true;
}

static void make_room(struct tl_ctx *ctx)
{
	const struct tl_queue *queue = &ctx->unit->queue;

	if (tl_queue_count(queue) - queue->late >= ctx->l7->pending_max)
		tl_exchange_make_late(ctx, tl_pair_queue_oldest(ctx, false), TL_STATUS_UNANSWERED,
				      TL_REASON_LIMIT, ctx->piece_ns);
	if (tl_queue_count(queue) >= 2 * ctx->l7->pending_max) {
		ctx->unit->bits |= TL_UNIT_DROPPED;
		tl_exchange_forget(ctx, tl_pair_queue_oldest(ctx, true));
	}
}

// Room for one more request with `key`.
static void prepare(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	make_room(ctx);
	if (ctx->unit->queue.late != 0 && !tl_unit_is_ordered(ctx->unit)) {
		struct tl_wanted want = {.key = key, .opener = lane, .late = true};
		uint32_t late = tl_pair_queue_find(ctx, &want);
		if (late != TL_NONE)
			tl_exchange_forget(ctx, late);
	}
}

static void enqueue(struct tl_ctx *ctx, struct tl_exchange *exchange, const void *memo)
{
	if (memo != NULL)
		memcpy(exchange->memo, memo, TL_MEMO_BYTES);
	exchange->response = TL_NONE;
	exchange->active_ns = ctx->piece_ns;
	tl_pair_queue_add(ctx, tl_pool_index(&ctx->l7->exchanges, exchange));
}

static void open_request(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, const void *memo,
			 uint8_t bits)
{
	uint32_t index = ctx->unit->lanes[lane].message;
	struct tl_message *message = tl_l7_message(ctx->l7, index);

	if ((message != NULL && message->role != TL_ROLE_NONE) ||
	    (ctx->unit->bits & TL_UNIT_STOPPED) != 0)
		return;
	prepare(ctx, lane, key);
	struct tl_exchange *exchange =
		message == NULL ? NULL : tl_pool_take(&ctx->l7->exchanges);
	if (exchange == NULL) {
		tl_l7_count(ctx->l7, TL_COUNT_REQUESTS_REFUSED, message == NULL ? 0 : 1);
		ctx->unit->bits |= TL_UNIT_DROPPED;
		tl_message_forget(ctx, index);
		return;
	}
	(void)claim(ctx, message, TL_ROLE_REQUEST);
	exchange->key = key;
	exchange->request = index;
	exchange->opener = (uint8_t)lane;
	exchange->bits = bits;
	message->exchange = tl_pool_index(&ctx->l7->exchanges, exchange);
	enqueue(ctx, exchange, memo);
	if ((bits & TL_EXCHANGE_ONE_WAY) != 0)
		return;
	tl_l7_count(ctx->l7, TL_COUNT_REQUESTS_OPENED, 1);
	tl_l7_count(ctx->l7, TL_COUNT_REQUESTS_OPEN, 1);
}

void tl_open(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, const void *memo)
{
	open_request(ctx, lane, key, memo, 0);
}

void tl_one_way_aside(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	open_request(ctx, lane, key, NULL, TL_EXCHANGE_ONE_WAY);
}

void tl_promise(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, const void *memo)
{
	open_request(ctx, lane, key, memo, TL_EXCHANGE_PROMISED);
}

void tl_open_unseen(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, const void *memo)
{
	if ((ctx->unit->bits & TL_UNIT_STOPPED) != 0)
		return;
	prepare(ctx, opener, key);
	struct tl_exchange *exchange = tl_pool_take(&ctx->l7->exchanges);
	if (exchange == NULL) {
		tl_l7_count(ctx->l7, TL_COUNT_REQUESTS_REFUSED, 1);
		return;
	}
	exchange->key = key;
	exchange->request = TL_NONE;
	exchange->opener = (uint8_t)opener;
	exchange->bits = TL_EXCHANGE_UNSEEN;
	enqueue(ctx, exchange, memo);
}

void tl_pair_hand_over(struct tl_ctx *ctx, uint64_t key, struct tl_unit *unit, uint64_t new_key)
{
	struct tl_wanted want = {.key = key, .opener = TL_CLIENT};
	uint32_t index = tl_pair_queue_find(ctx, &want);
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);
	struct tl_message *request =
		exchange == NULL ? NULL : tl_l7_message(ctx->l7, exchange->request);

	if (request == NULL || !request->ended || exchange->response != TL_NONE)
		return;
	tl_pair_queue_remove(ctx, index);
	struct tl_ctx there = *ctx;
	there.unit = unit;
	exchange->key = new_key;
	memset(exchange->memo, 0, TL_MEMO_BYTES);
	request->protocol = unit->protocol;
	enqueue(&there, exchange, NULL);
}

void *tl_pending(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key)
{
	ctx->unit->bits |= TL_UNIT_KEYED;
	struct tl_exchange *exchange = tl_pair_find(ctx, opener, key);

	return exchange == NULL ? NULL : exchange->memo;
}

void *tl_pending_oldest(struct tl_ctx *ctx, enum tl_lane opener, uint64_t *ret_key)
{
	// A request that is not in the queue would hand its answer to the next one.
	ctx->unit->bits |= TL_UNIT_ORDERED;
	bool ordered = tl_unit_is_ordered(ctx->unit);
	if (ordered && (ctx->unit->bits & TL_UNIT_DROPPED) != 0) {
		ctx->unit->bits |= TL_UNIT_STOPPED;
		return NULL;
	}
	for (uint32_t i = ctx->unit->queue.head; i != TL_NONE;) {
		struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, i);
		if (exchange->opener == opener && (ordered || !tl_exchange_is_late(exchange))) {
			if (ret_key != NULL)
				*ret_key = exchange->key;
			return exchange->memo;
		}
		i = exchange->next;
	}
	return NULL;
}

uint32_t tl_pending_count(const struct tl_ctx *ctx, enum tl_lane opener)
{
	return ctx->unit->queue.count[opener];
}

void tl_part(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	(void)key;
	const struct tl_message *message = tl_lane_message(ctx, lane);

	tl_l7_count(ctx->l7, TL_COUNT_INTERIM_RESPONSES, 1);
	if (message != NULL && message->role == TL_ROLE_NONE)
		tl_message_forget(ctx, ctx->unit->lanes[lane].message);
}

void tl_close(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, enum tl_status status,
	      enum tl_reason reason)
{
	uint32_t index = ctx->unit->lanes[lane].message;
	struct tl_message *message = tl_l7_message(ctx->l7, index);
	uint32_t found = tl_pair_find_answered_by(ctx, lane, key);
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, found);

	if (exchange == NULL) {
		tl_orphan(ctx, lane, reason);
		return;
	}
	if (tl_exchange_is_late(exchange)) {
		tl_l7_count(ctx->l7, TL_COUNT_LATE_RESPONSES, 1);
		tl_exchange_forget(ctx, found);
		if (message != NULL && message->role == TL_ROLE_NONE)
			tl_message_forget(ctx, index);
		return;
	}
	if (message == NULL) { // its message was refused for want of memory
		tl_exchange_end(ctx, found, TL_STATUS_UNANSWERED, TL_REASON_LIMIT, ctx->piece_ns);
		return;
	}
	tl_pair_queue_remove(ctx, found);
	exchange->status = (uint8_t)status;
	exchange->reason = (uint8_t)reason;
	if (message->role == TL_ROLE_ANSWER && message->exchange == found) {
		message->role = TL_ROLE_NONE;
	} else if (exchange->response != TL_NONE) { // another one had been begun
		tl_message_forget(ctx, exchange->response);
		exchange->response = TL_NONE;
	}
	if (claim(ctx, message, TL_ROLE_RESPONSE)) {
		exchange->bits |= TL_EXCHANGE_ANSWERED;
		exchange->response = index;
		message->exchange = found;
		message->protocol = tl_pair_protocol(ctx, exchange);
		return;
	}
	tl_exchange_finish_along(ctx, found, message);
}

void tl_pair_close_along(struct tl_ctx *ctx, enum tl_lane lane, uint32_t index,
			 enum tl_status status, enum tl_reason reason)
{
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);

	if (tl_exchange_is_late(exchange)) {
		tl_l7_count(ctx->l7, TL_COUNT_LATE_RESPONSES, 1);
		tl_exchange_forget(ctx, index);
		return;
	}
	tl_pair_queue_remove(ctx, index);
	exchange->status = (uint8_t)status;
	exchange->reason = (uint8_t)reason;
	if (exchange->response != ctx->unit->lanes[lane].message)
		tl_message_forget(ctx, exchange->response);
	exchange->response = TL_NONE;
	tl_exchange_finish_along(ctx, index, tl_lane_message(ctx, lane));
}

bool tl_answer(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	uint32_t index = ctx->unit->lanes[lane].message;
	struct tl_message *message = tl_l7_message(ctx->l7, index);
	uint32_t found = message == NULL ? TL_NONE : tl_pair_find_answered_by(ctx, lane, key);
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, found);

	if (exchange == NULL || tl_exchange_is_late(exchange) || exchange->response != TL_NONE ||
	    !claim(ctx, message, TL_ROLE_ANSWER))
		return false;
	exchange->response = index;
	message->exchange = found;
	message->protocol = tl_pair_protocol(ctx, exchange);
	return true;
}

// What `lane` sends of the exchange: the request or the answer.
static uint32_t message_on(const struct tl_exchange *exchange, enum tl_lane lane)
{
	return lane == tl_exchange_answerer(exchange) ? exchange->response : exchange->request;
}

bool tl_message_is_of(const struct tl_ctx *ctx, enum tl_lane lane, const void *memo)
{
	const struct tl_exchange *exchange =
		(const void *)((const uint8_t *)memo - offsetof(struct tl_exchange, memo));
	uint32_t index = ctx->unit->lanes[lane].message;

	return index != TL_NONE && index == message_on(exchange, lane) &&
	       !tl_l7_message(ctx->l7, index)->ended;
}

bool tl_message_resume(struct tl_ctx *ctx, enum tl_lane lane, enum tl_lane opener, uint64_t key)
{
	const struct tl_exchange *exchange = tl_pair_find(ctx, opener, key);
	uint32_t index = exchange == NULL ? TL_NONE : message_on(exchange, lane);
	struct tl_lane_state *state = &ctx->unit->lanes[lane];
	struct tl_message *message = tl_l7_message(ctx->l7, index);

	if (message != NULL && state->message == index && !message->ended)
		return true;
	tl_message_set_aside(ctx, lane);
	if (message == NULL || (!message->aside && (lane != opener || !message->ended)))
		return false;
	if (message->aside)
		message->begin_offset += state->offset - message->end_offset;
	message->aside = false;
	state->message = index;
	return true;
}

void tl_flag_open(struct tl_ctx *ctx, enum tl_roundtrip_flag flag)
{
	for (uint32_t i = ctx->unit->queue.head; i != TL_NONE;) {
		const struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, i);
		bool unseen = tl_exchange_is_unseen(exchange);
		struct tl_message *message =
			tl_l7_message(ctx->l7, unseen ? exchange->response : exchange->request);
		if (message != NULL)
			message->flags |= (uint16_t)flag;
		i = exchange->next;
	}
}

void tl_one_way(struct tl_ctx *ctx, enum tl_lane lane)
{
	(void)claim(ctx, tl_lane_message(ctx, lane), TL_ROLE_ONE_WAY);
}

void tl_orphan(struct tl_ctx *ctx, enum tl_lane lane, enum tl_reason reason)
{
	struct tl_message *message = tl_lane_message(ctx, lane);

	if (claim(ctx, message, TL_ROLE_ORPHAN))
		message->exchange = (uint32_t)reason;
}

void tl_retry(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key)
{
	struct tl_exchange *exchange = tl_pair_find(ctx, lane, key);
	const struct tl_message *message = tl_lane_message(ctx, lane);

	if (exchange != NULL) {
		exchange->retries = (uint16_t)(exchange->retries + (exchange->retries < UINT16_MAX));
		exchange->active_ns = ctx->piece_ns;
	}
	if (message != NULL && message->role == TL_ROLE_NONE)
		tl_message_forget(ctx, ctx->unit->lanes[lane].message);
}

bool tl_pair_is_idle(const struct tl_l7 *l7, const struct tl_unit *unit)
{
	if (unit->queue.head != TL_NONE)
		return false;
	for (uint32_t lane = 0; lane < TL_LANE_COUNT; lane++) {
		const struct tl_message *message = tl_l7_message(l7, unit->lanes[lane].message);
		if (message != NULL && message->role != TL_ROLE_NONE)
			return false;
	}
	return true;
}
