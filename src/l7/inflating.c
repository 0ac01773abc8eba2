// SPDX-License-Identifier: Apache-2.0
// The lanes' side of inflating: who holds which context.
#include "l7/core.h"

void tl_lane_stop_inflating(struct tl_l7 *l7, struct tl_lane_state *lane)
{
	tl_inflater_return(l7->inflaters, lane->inflater);
	lane->inflater = 0;
}

bool tl_inflate_begin(struct tl_ctx *ctx, enum tl_lane lane, enum tl_codec codec,
		      uint64_t packed_len, uint64_t plain_len)
{
	struct tl_lane_state *state = &ctx->unit->lanes[lane];

	tl_lane_stop_inflating(ctx->l7, state);
	state->inflater = tl_inflater_rent(ctx->l7->inflaters, codec, packed_len, plain_len);
	return state->inflater != 0;
}

enum tl_inflated tl_inflate(struct tl_ctx *ctx, enum tl_lane lane, struct tl_bytes *packed,
			    struct tl_bytes *ret_plain)
{
	struct tl_lane_state *state = &ctx->unit->lanes[lane];

	*ret_plain = tl_bytes(NULL, 0);
	if (state->inflater == 0)
		return TL_INFLATED_FAILED;
	enum tl_inflated result =
		tl_inflater_run(ctx->l7->inflaters, state->inflater, packed, ret_plain);
	if (result == TL_INFLATED_END || result == TL_INFLATED_FAILED)
		tl_lane_stop_inflating(ctx->l7, state);
	return result;
}

void tl_inflate_end(struct tl_ctx *ctx, enum tl_lane lane)
{
	tl_lane_stop_inflating(ctx->l7, &ctx->unit->lanes[lane]);
}
