// SPDX-License-Identifier: Apache-2.0
// Another protocol takes over a connection, each lane at its own offset: Upgrade, CONNECT,
// STARTTLS. Until both lanes have turned, both units live.
#include "stream/driver.h"

static struct tl_guest *successor_of(const struct tl_ctx *ctx)
{
	const struct tl_extra *extra = tl_conn_extra(ctx->l7, ctx->conn);

	return extra == NULL || !extra->switching ? NULL : tl_l7_guest(ctx->l7, extra->successor);
}

// Gives the unit that takes over; NULL when none does.
static struct tl_unit *begin_switch(struct tl_ctx *ctx, uint16_t protocol,
				    const uint64_t offset[TL_LANE_COUNT])
{
	struct tl_l7 *l7 = ctx->l7;
	struct tl_extra *extra = tl_conn_extra_take(l7, ctx->conn);

	// One switch at a time, and of connections only: streams inside them never change hands.
	if (extra == NULL || extra->switching || ctx->unit != &ctx->conn->unit)
		return NULL;
	struct tl_guest *guest = tl_pool_take(&l7->guests);
	if (guest == NULL) {
		tl_l7_count(l7, TL_COUNT_STATE_FULL, 1);
		ctx->unit->bits |= TL_UNIT_STOPPED;
		return NULL;
	}
	tl_unit_init(&guest->unit);
	for (uint32_t i = 0; i < TL_LANE_COUNT; i++) {
		guest->unit.lanes[i].offset = offset[i];
		extra->switch_offset[i] = offset[i];
	}
	if (protocol == TL_PROTOCOL_DETECT)
		guest->unit.mode = TL_UNIT_DETECT;
	else if (tl_decoder_at(protocol) != NULL)
		(void)tl_unit_start(l7, &guest->unit, protocol);
	extra->switch_protocol = protocol;
	extra->successor = tl_pool_index(&l7->guests, guest);
	extra->switching = true;
	extra->detect_packets = 0;
	extra->detect_bytes = 0;
	if (protocol == TL_PROTOCOL_OPAQUE)
		tl_flow_set_verdict(ctx->conn->flow, TL_VERDICT_UPGRADED);
	else if (protocol != TL_PROTOCOL_DETECT)
		tl_flow_set_verdict(ctx->conn->flow, protocol);
	return &guest->unit;
}

void tl_switch(struct tl_ctx *ctx, uint16_t protocol, const uint64_t offset[TL_LANE_COUNT])
{
	(void)begin_switch(ctx, protocol, offset);
}

void tl_switch_with(struct tl_ctx *ctx, uint16_t protocol, const uint64_t offset[TL_LANE_COUNT],
		    uint64_t key, uint64_t new_key)
{
	struct tl_unit *unit = begin_switch(ctx, protocol, offset);

	if (unit != NULL && unit->mode == TL_UNIT_DECODE)
		tl_pair_hand_over(ctx, key, unit, new_key);
}

uint64_t tl_switch_left(const struct tl_ctx *ctx)
{
	if (TL_LIKELY(ctx->conn->extra == TL_NONE) || ctx->unit != &ctx->conn->unit ||
	    successor_of(ctx) == NULL)
		return UINT64_MAX;
	uint64_t at = tl_conn_extra(ctx->l7, ctx->conn)->switch_offset[ctx->lane];
	uint64_t offset = ctx->unit->lanes[ctx->lane].offset;
	return at > offset ? at - offset : 0;
}

bool tl_switch_is_due(const struct tl_ctx *ctx)
{
	return tl_switch_left(ctx) == 0;
}

void tl_switch_turn(struct tl_ctx *ctx)
{
	struct tl_lane_state *old = &ctx->unit->lanes[ctx->lane];
	struct tl_guest *guest = successor_of(ctx);
	struct tl_lane_state *new = &guest->unit.lanes[ctx->lane];

	tl_lane_end(ctx, TL_END_SWITCHED);
	old->bits |= TL_LANE_SWITCHED;
	// An old decoder that read too far can't give bytes back: the new one starts behind them.
	if (new->offset < old->offset)
		new->offset = old->offset;
	new->carry = old->carry;
	new->last_ns = old->last_ns;
	old->carry = TL_NONE;
	ctx->unit = &guest->unit;
}

void tl_switch_finish(struct tl_ctx *ctx)
{
	struct tl_conn *conn = ctx->conn;
	struct tl_extra *extra = tl_conn_extra(ctx->l7, conn);

	if (extra == NULL || !extra->switching)
		return;
	for (uint32_t i = 0; i < TL_LANE_COUNT; i++)
		if ((conn->unit.lanes[i].bits & TL_LANE_SWITCHED) == 0)
			return;
	struct tl_guest *guest = tl_l7_guest(ctx->l7, extra->successor);
	ctx->unit = &conn->unit;
	tl_children_end(ctx, TL_END_SWITCHED);
	tl_pair_end(ctx, TL_LANE_COUNT, TL_STATUS_UNANSWERED, TL_REASON_REPLACED, ctx->piece_ns);
	tl_unit_fini(ctx->l7, conn, &conn->unit);
	// Hashed requests are found by the unit's address.
	tl_pair_unhash(ctx->l7, &guest->unit);
	conn->unit = guest->unit;
	tl_pool_put(&ctx->l7->guests, guest);
	extra->switching = false;
	extra->successor = TL_NONE;
}
