// SPDX-License-Identifier: Apache-2.0
// How requests end without their answer: cancelled, with their lane, or by a time-out.
#include "l7/pair.h"

static uint64_t waits_ns(const struct tl_ctx *ctx, const struct tl_exchange *exchange)
{
	if (exchange->wait_ms == UINT32_MAX)
		return TL_FOREVER;
	uint64_t own = tl_rules_timeout_ns(ctx->l7->rules, tl_pair_protocol(ctx, exchange));
	uint64_t ns = own + exchange->wait_ms * TL_NS_PER_MS;
	return ns < own ? TL_FOREVER : ns;
}

// Packet time at which an exchange times out: over UDP each by itself, over TCP any byte of the
// connection starts the clock anew.
static uint64_t due_ns(const struct tl_ctx *ctx, const struct tl_exchange *exchange)
{
	const struct tl_message *request = tl_l7_message(ctx->l7, exchange->request);
	uint64_t waits = waits_ns(ctx, exchange);

	if (request == NULL || !request->ended)
		return TL_FOREVER;
	uint64_t from = ctx->conn->is_udp ? exchange->active_ns : ctx->conn->byte_ns;
	return waits > TL_FOREVER - from ? TL_FOREVER : from + waits;
}

void tl_exchange_set_deadline(const struct tl_ctx *ctx, const struct tl_exchange *exchange)
{
	const struct tl_message *request = tl_l7_message(ctx->l7, exchange->request);
	// Over TCP what is remembered is how long it waits, whatever the clock says.
	uint64_t patience = ctx->conn->is_udp ? due_ns(ctx, exchange) : waits_ns(ctx, exchange);

	if (request != NULL && request->ended && patience < ctx->conn->patience_ns)
		ctx->conn->patience_ns = patience;
}

static uint32_t wait_ms(uint64_t ns)
{
	uint64_t ms = ns / TL_NS_PER_MS + (ns % TL_NS_PER_MS != 0);

	return ns == 0 || ms >= UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

void tl_wait(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, uint64_t ns)
{
	struct tl_exchange *exchange = tl_pair_find(ctx, opener, key);

	if (exchange != NULL)
		exchange->wait_ms = wait_ms(ns);
}

void tl_allow(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, uint64_t ns)
{
	struct tl_exchange *exchange = tl_pair_find(ctx, opener, key);

	if (exchange == NULL)
		return;
	exchange->wait_ms = wait_ms(ns);
	exchange->bits |= TL_EXCHANGE_ALLOWED;
}

void tl_pair_drop(struct tl_ctx *ctx, uint32_t index, enum tl_status status, enum tl_reason reason,
		  uint64_t end_ns)
{
	if (tl_exchange_is_late(tl_l7_exchange(ctx->l7, index)))
		tl_exchange_forget(ctx, index);
	else
		tl_exchange_end(ctx, index, status, reason, end_ns);
}

// The response of `key` may be under way: then it ends with what was seen of it.
static bool cancel_answered(struct tl_ctx *ctx, enum tl_lane lane, const struct tl_wanted *want,
			    enum tl_status status, enum tl_reason reason)
{
	const struct tl_message *message = tl_lane_message(ctx, lane);

	if (message == NULL || message->role != TL_ROLE_RESPONSE)
		return false;
	struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, message->exchange);
	if (want != NULL && (exchange->key != want->key || exchange->opener != want->opener))
		return false;
	if (!message->ended) {
		exchange->status = (uint8_t)status;
		exchange->reason = (uint8_t)reason;
	}
	(void)tl_message_break(ctx, lane, ctx->unit->lanes[lane].offset);
	tl_message_settle(ctx, lane);
	return true;
}

void tl_cancel(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, enum tl_status status,
	       enum tl_reason reason)
{
	struct tl_wanted want = {.key = key, .opener = opener};

	for (uint32_t lane = 0; lane < TL_LANE_COUNT; lane++)
		if (cancel_answered(ctx, (enum tl_lane)lane, &want, status, reason))
			return;
	uint32_t index = tl_pair_find_answered(ctx, opener, key);
	if (index == TL_NONE)
		return;
	tl_pair_drop(ctx, index, status, reason, ctx->piece_ns);
}

void tl_cancel_all(struct tl_ctx *ctx, enum tl_status status, enum tl_reason reason)
{
	(void)cancel_answered(ctx, TL_CLIENT, NULL, status, reason);
	(void)cancel_answered(ctx, TL_SERVER, NULL, status, reason);
	tl_pair_end(ctx, TL_LANE_COUNT, status, reason, ctx->piece_ns);
}

void tl_pair_end(struct tl_ctx *ctx, uint32_t answerer, enum tl_status status, enum tl_reason reason,
		 uint64_t end_ns)
{
	for (uint32_t i = ctx->unit->queue.head; i != TL_NONE;) {
		const struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, i);
		uint32_t next = exchange->next;
		if (answerer == TL_LANE_COUNT || (uint32_t)tl_exchange_answerer(exchange) == answerer)
			tl_pair_drop(ctx, i, status, reason, end_ns);
		i = next;
	}
}

void tl_pair_expire(struct tl_ctx *ctx, uint64_t now_ns)
{
	for (uint32_t lane = 0; lane < TL_LANE_COUNT; lane++) {
		const struct tl_message *message = tl_lane_message(ctx, (enum tl_lane)lane);
		if (message != NULL && message->role == TL_ROLE_RESPONSE &&
		    due_ns(ctx, tl_l7_exchange(ctx->l7, message->exchange)) <= now_ns)
			(void)cancel_answered(ctx, (enum tl_lane)lane, NULL, TL_STATUS_TIMEOUT,
					      TL_REASON_TIMEOUT);
	}
	for (uint32_t i = ctx->unit->queue.head; i != TL_NONE;) {
		const struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, i);
		uint32_t next = exchange->next;
		uint64_t due = tl_exchange_is_late(exchange) ? TL_FOREVER : due_ns(ctx, exchange);
		if (due <= now_ns)
			tl_exchange_make_late(ctx, i, TL_STATUS_TIMEOUT, TL_REASON_TIMEOUT, due);
		i = next;
	}
}

void tl_pair_deadlines(const struct tl_ctx *ctx)
{
	for (uint32_t lane = 0; lane < TL_LANE_COUNT; lane++) {
		const struct tl_message *message = tl_lane_message(ctx, (enum tl_lane)lane);
		if (message != NULL && message->role == TL_ROLE_RESPONSE)
			tl_exchange_set_deadline(ctx, tl_l7_exchange(ctx->l7, message->exchange));
	}
	for (uint32_t i = ctx->unit->queue.head; i != TL_NONE;) {
		const struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, i);
		if (!tl_exchange_is_late(exchange))
			tl_exchange_set_deadline(ctx, exchange);
		i = exchange->next;
	}
}
