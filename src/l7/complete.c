// SPDX-License-Identifier: Apache-2.0
// What is over becomes a record: metrics, traces and records are all made from what completes here.
#include "l7/pair.h"

static void put_back(struct tl_ctx *ctx, struct tl_exchange *exchange)
{
	if (TL_UNLIKELY(exchange->inner != TL_SLAB_NONE))
		tl_slab_put(&ctx->l7->states, exchange->inner);
	tl_pool_put(&ctx->l7->exchanges, exchange);
}

void tl_exchange_forget(struct tl_ctx *ctx, uint32_t index)
{
	tl_pair_queue_remove(ctx, index);
	put_back(ctx, tl_l7_exchange(ctx->l7, index));
}

void tl_message_forget(struct tl_ctx *ctx, uint32_t index)
{
	const struct tl_message *message = tl_l7_message(ctx->l7, index);

	if (message == NULL)
		return;
	uint32_t *now = &ctx->unit->lanes[tl_message_lane(message)].message;
	if (*now == index)
		*now = TL_NONE;
	tl_message_free(ctx->l7, ctx->conn, index);
}

// What the request said that it may take.
static uint64_t asked_wait_ns(const struct tl_exchange *exchange)
{
	if ((exchange->bits & TL_EXCHANGE_ALLOWED) != 0)
		return 0;
	return exchange->wait_ms == UINT32_MAX ? TL_FOREVER : exchange->wait_ms * TL_NS_PER_MS;
}

// Whatever is still being sent when its exchange is over ends with what was seen of it.
static void emit(struct tl_ctx *ctx, const struct tl_exchange *exchange,
		 struct tl_message *response, uint64_t end_ns)
{
	struct tl_message *request = tl_l7_message(ctx->l7, exchange->request);
	bool one_way = (exchange->bits & TL_EXCHANGE_ONE_WAY) != 0;
	bool unseen = tl_exchange_is_unseen(exchange);

	if (unseen && response == NULL)
		return; // nothing was
	if (TL_UNLIKELY(exchange->inner != TL_SLAB_NONE))
		tl_inner_end(ctx, exchange, response);
	if (request != NULL && !request->ended && response != NULL)
		request->flags |= TL_FLAG_EARLY_RESPONSE;
	if (request != NULL)
		tl_message_cut(ctx, request);
	if (response != NULL)
		tl_message_cut(ctx, response);
	struct tl_completion done = {
		.request = request,
		.response = response,
		.end_ns = end_ns,
		.wait_ns = asked_wait_ns(exchange),
		.retries = exchange->retries,
		.protocol = tl_pair_protocol(ctx, exchange),
		.status = one_way  ? (uint8_t)TL_STATUS_ONE_WAY
			  : unseen ? (uint8_t)TL_STATUS_ORPHAN
				   : exchange->status,
		.reason = one_way || unseen ? (uint8_t)TL_REASON_NONE : exchange->reason,
		.opener = exchange->opener,
		.bare_response = response != NULL && exchange->response == TL_NONE,
	};
	if (!unseen && !one_way)
		tl_l7_count(ctx->l7, TL_COUNT_REQUESTS_OPEN, UINT64_MAX);
	tl_roundtrip_emit(ctx, &done);
}

// Records an exchange that is not in the queue (any more), with its own status, and gives it back.
static void finish(struct tl_ctx *ctx, uint32_t index, uint64_t end_ns)
{
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);

	emit(ctx, exchange, tl_l7_message(ctx->l7, exchange->response), end_ns);
	tl_message_forget(ctx, exchange->request);
	tl_message_forget(ctx, exchange->response);
	put_back(ctx, exchange);
	if (tl_pair_is_idle(ctx->l7, ctx->unit) && ctx->conn->extra == TL_NONE)
		ctx->conn->patience_ns = TL_FOREVER;
}

void tl_exchange_end(struct tl_ctx *ctx, uint32_t index, enum tl_status status,
		     enum tl_reason reason, uint64_t end_ns)
{
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);

	tl_pair_queue_remove(ctx, index);
	exchange->status = (uint8_t)status;
	exchange->reason = (uint8_t)reason;
	finish(ctx, index, end_ns);
}

void tl_exchange_make_late(struct tl_ctx *ctx, uint32_t index, enum tl_status status,
			   enum tl_reason reason, uint64_t end_ns)
{
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);

	exchange->status = (uint8_t)status;
	exchange->reason = (uint8_t)reason;
	emit(ctx, exchange, tl_l7_message(ctx->l7, exchange->response), end_ns);
	tl_message_forget(ctx, exchange->request);
	tl_message_forget(ctx, exchange->response);
	exchange->request = exchange->response = TL_NONE;
	exchange->bits |= TL_EXCHANGE_LATE;
	ctx->unit->queue.late++;
	if (ctx->unit->queue.late > TL_LATE_MAX && !tl_unit_is_ordered(ctx->unit)) {
		ctx->unit->bits |= TL_UNIT_DROPPED;
		tl_exchange_forget(ctx, tl_pair_queue_oldest(ctx, true));
	}
}

void tl_exchange_finish_along(struct tl_ctx *ctx, uint32_t index, const struct tl_message *message)
{
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, index);
	struct tl_message copy = *message;

	copy.end_ns = message->ended ? message->end_ns : ctx->piece_ns;
	copy.ended = true;
	emit(ctx, exchange, &copy, copy.end_ns);
	tl_message_forget(ctx, exchange->request);
	put_back(ctx, exchange);
}

static void emit_single(struct tl_ctx *ctx, uint32_t index)
{
	const struct tl_message *message = tl_l7_message(ctx->l7, index);
	bool one_way = message->role == TL_ROLE_ONE_WAY;
	struct tl_completion done = {
		.request = one_way ? message : NULL,
		.response = one_way ? NULL : message,
		.end_ns = message->end_ns,
		.protocol = message->protocol,
		.status = one_way ? TL_STATUS_ONE_WAY : TL_STATUS_ORPHAN,
		.reason = one_way ? 0 : (uint8_t)message->exchange,
		.opener = (uint8_t)(one_way ? tl_message_lane(message)
				       : tl_lane_other(tl_message_lane(message))),
	};
	tl_roundtrip_emit(ctx, &done);
	tl_message_forget(ctx, index);
}

void tl_pair_message_ended(struct tl_ctx *ctx, uint32_t index)
{
	struct tl_message *message = tl_l7_message(ctx->l7, index);

	if (message->role == TL_ROLE_REQUEST) {
		struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, message->exchange);
		exchange->active_ns = message->end_ns;
		if ((exchange->bits & TL_EXCHANGE_ONE_WAY) != 0)
			tl_exchange_end(ctx, message->exchange, TL_STATUS_ONE_WAY, TL_REASON_NONE,
					message->end_ns);
		else
			tl_exchange_set_deadline(ctx, exchange);
	} else if (message->role == TL_ROLE_RESPONSE) {
		finish(ctx, message->exchange, message->end_ns);
	} else {
		emit_single(ctx, index);
	}
}
