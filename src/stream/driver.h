// SPDX-License-Identifier: Apache-2.0
// The driver: shows a lane's bytes to the decoder of a unit, piece by piece, and does what the
// decoder answers. Private to src/stream.
#pragma once

#include "l7/core.h"

#define TL_NO_BYTES tl_bytes(NULL, 0)

#define TL_TOP_UP_BYTES 512u        // how much more than needed is added to carried bytes at once
#define TL_HUNT_KEEP_BYTES 1024u    // of bytes hunted in vain, what is shown again with the next
#define TL_HUNT_BYTES_MAX (1u << 20) // hunted in vain on a lane; then its decoder is given up
#define TL_DETECT_RETRIES_MAX 3u    // detections after a decoder gave up

// Makes `unit` ready for `protocol` (or detection); its lanes go on at `offset`. False when no
// state is free (counted): the unit is deaf then.
bool tl_unit_start(struct tl_l7 *l7, struct tl_unit *unit, uint16_t protocol);
void tl_unit_init(struct tl_unit *unit);
// Gives back the decoder's state and room.
void tl_unit_drop_state(struct tl_l7 *l7, struct tl_unit *unit);
// Gives back everything the unit holds. Requests must have been completed before.
void tl_unit_fini(struct tl_l7 *l7, struct tl_conn *conn, struct tl_unit *unit);
bool tl_unit_is_idle(const struct tl_l7 *l7, const struct tl_unit *unit);

// Shows carried bytes and then `*rest` to the unit's decoder. Returns when all is consumed, kept
// or ignored, or when the unit stopped or the lane reached a switch: then `*rest` is what is left.
void tl_lane_feed(struct tl_ctx *ctx, struct tl_bytes *rest);
// The same for the usual case, as far as it goes: a connection with its decoder and nothing else
// where the lane is between two views. Gives the bytes left, which are for tl_lane_feed().
struct tl_bytes tl_lane_feed_plain(struct tl_ctx *ctx, struct tl_bytes bytes);
// One datagram, `wire_len` bytes before the snaplen cut it.
void tl_lane_datagram(struct tl_ctx *ctx, struct tl_bytes bytes, uint32_t wire_len);
void tl_lane_gap(struct tl_ctx *ctx, uint64_t lost);
void tl_lane_end(struct tl_ctx *ctx, enum tl_end end);
// Counts carried bytes of the lane as ignored and frees their buffer.
void tl_lane_forget(struct tl_ctx *ctx, enum tl_lane lane);
// Sets the piece in hand.
static inline void tl_ctx_piece(struct tl_ctx *ctx, enum tl_lane lane, struct tl_bytes bytes,
				uint64_t ns)
{
	const struct tl_lane_state *state = &ctx->unit->lanes[lane];
	const struct tl_carry *carry = tl_l7_carry(ctx->l7, state->carry);

	ctx->lane = (uint8_t)lane;
	ctx->piece_offset = state->offset + (carry == NULL ? 0 : carry->len);
	ctx->piece_end = ctx->piece_offset + bytes.len;
	ctx->piece_ns = ns;
	ctx->piece_tail = bytes.len != 0 ? bytes.ptr + bytes.len : NULL;
	ctx->before_end = bytes.len == 0;
}

// How an end is recorded with the requests it leaves open.
enum tl_status tl_end_status(enum tl_end end);
enum tl_reason tl_end_reason(enum tl_end end);

// -- stream/carry.c

// Appends to what the lane carries; false when no buffer is free (counted).
bool tl_carry_add(struct tl_ctx *ctx, enum tl_lane lane, struct tl_bytes bytes, uint64_t ns);
struct tl_bytes tl_carry_bytes(const struct tl_l7 *l7, const struct tl_lane_state *lane);
// Consumes the first `len` carried bytes; the buffer is freed with the last.
void tl_carry_consume(struct tl_ctx *ctx, enum tl_lane lane, uint32_t len);

// Counts bytes of the connection; those fed to a child were counted by its parent.
static inline void tl_ctx_count(const struct tl_ctx *ctx, enum tl_counter id, uint64_t n)
{
	if ((ctx->unit->bits & TL_UNIT_CHILD) == 0)
		tl_l7_count(ctx->l7, id, n);
}

// -- stream/detect.c

// Looks at a piece while the protocol isn't known. Gives true when a decoder was started: then
// carried bytes and `*rest` are for it.
bool tl_detect(struct tl_ctx *ctx, struct tl_bytes *rest);
void tl_detect_datagram(struct tl_ctx *ctx, struct tl_bytes bytes, uint32_t wire_len);
// A lane ended or lost bytes before the protocol was known.
bool tl_detect_last(struct tl_ctx *ctx);
// The unit's decoder gave up: looks for another protocol, or makes the unit deaf.
void tl_detect_again(struct tl_ctx *ctx);
void tl_unit_deafen(struct tl_ctx *ctx, uint16_t verdict);

// -- stream/children.c, stream/switch.c

// The lane has reached the offset of a switch.
bool tl_switch_is_due(const struct tl_ctx *ctx);
uint64_t tl_switch_left(const struct tl_ctx *ctx); // bytes before it, UINT64_MAX without one
void tl_switch_turn(struct tl_ctx *ctx);
// Both lanes have turned: the successor becomes the connection's unit.
void tl_switch_finish(struct tl_ctx *ctx);
void tl_children_end(struct tl_ctx *ctx, enum tl_end end);

// Nothing is taken from any pool: true when no connection is open. For tests.
bool tl_l7_is_empty(const struct tl_l7 *l7);

struct tl_extra *tl_conn_extra_take(struct tl_l7 *l7, struct tl_conn *conn);
