// SPDX-License-Identifier: Apache-2.0
// Streams inside a connection: each a unit of its own, fed by the connection's decoder.
#include "stream/driver.h"

static struct tl_guest *child_find(struct tl_ctx *ctx, uint64_t id)
{
	struct tl_extra *extra = tl_conn_extra(ctx->l7, ctx->conn);
	uint32_t before = TL_NONE;

	if (extra == NULL || (ctx->unit->bits & TL_UNIT_CHILD) != 0)
		return NULL;
	for (uint32_t i = extra->children; i != TL_NONE;) {
		struct tl_guest *guest = tl_l7_guest(ctx->l7, i);
		if (guest->id != id) {
			before = i;
			i = guest->next;
			continue;
		}
		// Frames of a stream come in runs: the one used last stands first.
		if (before != TL_NONE) {
			tl_l7_guest(ctx->l7, before)->next = guest->next;
			guest->next = extra->children;
			extra->children = i;
		}
		return guest;
	}
	return NULL;
}

static struct tl_ctx child_ctx(const struct tl_ctx *ctx, struct tl_guest *guest, enum tl_lane lane,
			       struct tl_bytes bytes)
{
	struct tl_ctx child = {
		.l7 = ctx->l7,
		.conn = ctx->conn,
		.unit = &guest->unit,
		.stall_us = ctx->stall_us,
	};
	tl_ctx_piece(&child, lane, bytes, ctx->piece_ns);
	return child;
}

static void child_stopped(struct tl_ctx *child)
{
	if ((child->unit->bits & TL_UNIT_STOPPED) == 0)
		return;
	tl_cancel_all(child, TL_STATUS_UNANSWERED, TL_REASON_DECODE_ERROR);
	tl_lane_forget(child, TL_CLIENT);
	tl_lane_forget(child, TL_SERVER);
	child->unit->mode = TL_UNIT_DEAF;
	child->unit->bits &= (uint8_t)~TL_UNIT_STOPPED;
}

bool tl_child_open(struct tl_ctx *ctx, uint64_t id, uint16_t protocol)
{
	struct tl_l7 *l7 = ctx->l7;
	const struct tl_decoder *decoder = tl_decoder_at(protocol);
	struct tl_extra *extra = tl_conn_extra_take(l7, ctx->conn);
	bool allowed = extra != NULL && decoder != NULL && (decoder->over & TL_AS_CHILD) != 0 &&
		       (ctx->unit->bits & TL_UNIT_CHILD) == 0 &&
		       extra->child_count < TL_CHILDREN_MAX && child_find(ctx, id) == NULL;
	struct tl_guest *guest = allowed ? tl_pool_take(&l7->guests) : NULL;

	if (guest != NULL) {
		tl_unit_init(&guest->unit);
		guest->unit.bits = TL_UNIT_CHILD;
		if (!tl_unit_start(l7, &guest->unit, protocol)) {
			tl_pool_put(&l7->guests, guest);
			guest = NULL;
		}
	}
	if (guest == NULL) {
		tl_l7_count(l7, TL_COUNT_CHILDREN_REFUSED, 1);
		return false;
	}
	guest->id = id;
	guest->next = extra->children;
	extra->children = tl_pool_index(&l7->guests, guest);
	extra->child_count++;
	return true;
}

void tl_child_feed(struct tl_ctx *ctx, uint64_t id, enum tl_lane lane, struct tl_bytes bytes)
{
	struct tl_guest *guest = child_find(ctx, id);

	if (guest == NULL || bytes.len == 0)
		return;
	struct tl_ctx child = child_ctx(ctx, guest, lane, bytes);
	tl_lane_feed(&child, &bytes);
	guest->unit.lanes[lane].last_ns = ctx->piece_ns;
	guest->unit.lanes[lane].offset += bytes.len; // left over only where it stopped
	child_stopped(&child);
}

void tl_child_gap(struct tl_ctx *ctx, uint64_t id, enum tl_lane lane, uint64_t lost)
{
	struct tl_guest *guest = child_find(ctx, id);

	if (guest == NULL || lost == 0)
		return;
	struct tl_ctx child = child_ctx(ctx, guest, lane, TL_NO_BYTES);
	tl_lane_gap(&child, lost);
	child_stopped(&child);
}

uint64_t tl_child_skip(struct tl_ctx *ctx, uint64_t id, enum tl_lane lane)
{
	const struct tl_guest *guest = child_find(ctx, id);

	if (guest == NULL || guest->unit.mode != TL_UNIT_DECODE)
		return UINT64_MAX;
	const struct tl_lane_state *state = &guest->unit.lanes[lane];
	return (state->bits & TL_LANE_COPYING) != 0 && state->keep != 0 ? 0 : state->skip;
}

void *tl_child_state(struct tl_ctx *ctx, uint64_t id)
{
	const struct tl_guest *guest = child_find(ctx, id);

	return guest == NULL || guest->unit.state == TL_SLAB_NONE
		       ? NULL
		       : tl_slab_at(&ctx->l7->states, guest->unit.state);
}

static void child_close(struct tl_ctx *ctx, struct tl_guest *guest, enum tl_end end)
{
	for (uint32_t lane = 0; lane < TL_LANE_COUNT; lane++) {
		struct tl_ctx child = child_ctx(ctx, guest, (enum tl_lane)lane, TL_NO_BYTES);
		tl_lane_end(&child, end);
	}
	struct tl_ctx child = child_ctx(ctx, guest, TL_CLIENT, TL_NO_BYTES);
	tl_pair_end(&child, TL_LANE_COUNT, tl_end_status(end), tl_end_reason(end), ctx->piece_ns);
	tl_unit_fini(ctx->l7, ctx->conn, &guest->unit);
	tl_pool_put(&ctx->l7->guests, guest);
}

void tl_child_end(struct tl_ctx *ctx, uint64_t id, enum tl_end end)
{
	struct tl_guest *guest = child_find(ctx, id);

	if (guest == NULL)
		return;
	// The search has put it first.
	struct tl_extra *extra = tl_conn_extra(ctx->l7, ctx->conn);
	extra->children = guest->next;
	extra->child_count--;
	child_close(ctx, guest, end);
}

void tl_children_end(struct tl_ctx *ctx, enum tl_end end)
{
	struct tl_extra *extra = tl_conn_extra(ctx->l7, ctx->conn);

	while (extra != NULL && extra->children != TL_NONE) {
		struct tl_guest *guest = tl_l7_guest(ctx->l7, extra->children);
		extra->children = guest->next;
		extra->child_count--;
		child_close(ctx, guest, end);
	}
}
