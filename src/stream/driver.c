// SPDX-License-Identifier: Apache-2.0
#include "stream/driver.h"

#include <string.h>

#define SKIP_BYTES_MAX (UINT64_MAX >> 1) // so that offsets can't wrap
#define PLAIN_STEPS_MAX 64u // in a row; then the general way goes on

// ---- Units ----------------------------------------------------------------------------------

void tl_unit_init(struct tl_unit *unit)
{
	*unit = (struct tl_unit) {.mode = TL_UNIT_DEAF};
	tl_queue_init(&unit->queue);
	for (uint32_t i = 0; i < TL_LANE_COUNT; i++) {
		unit->lanes[i].message = TL_NONE;
		unit->lanes[i].carry = TL_NONE;
	}
}

// The state, and behind it the handle of the room, where the decoder wants one.
static uint32_t state_bytes(const struct tl_decoder *decoder)
{
	return decoder->state_size + (decoder->room_size != 0 ? (uint32_t)sizeof(uint32_t) : 0);
}

static uint32_t room_of(const struct tl_l7 *l7, const struct tl_unit *unit)
{
	const struct tl_decoder *decoder = tl_decoder_at(unit->protocol);
	uint32_t room = TL_SLAB_NONE;

	if (unit->state != TL_SLAB_NONE && decoder->room_size != 0)
		memcpy(&room, (uint8_t *)tl_slab_at(&l7->states, unit->state) + decoder->state_size,
		       sizeof(room));
	return room;
}

static bool take_room(struct tl_l7 *l7, const struct tl_unit *unit)
{
	const struct tl_decoder *decoder = tl_decoder_at(unit->protocol);

	TL_CHECK(decoder->state_size != 0 && decoder->room_size <= TL_ROOM_BYTES_MAX);
	uint32_t room = tl_slab_take(&l7->values, decoder->room_size);
	if (room == TL_SLAB_NONE) {
		tl_l7_count(l7, TL_COUNT_STATE_FULL, 1);
		return false;
	}
	memset(tl_slab_at(&l7->values, room), 0, decoder->room_size);
	memcpy((uint8_t *)tl_slab_at(&l7->states, unit->state) + decoder->state_size, &room,
	       sizeof(room));
	return true;
}

void tl_unit_drop_state(struct tl_l7 *l7, struct tl_unit *unit)
{
	for (uint32_t i = 0; i < TL_LANE_COUNT; i++)
		tl_lane_stop_inflating(l7, &unit->lanes[i]);
	tl_slab_put(&l7->values, room_of(l7, unit));
	tl_slab_put(&l7->states, unit->state);
	unit->state = TL_SLAB_NONE;
}

void *tl_room(const struct tl_ctx *ctx)
{
	uint32_t room = room_of(ctx->l7, ctx->unit);

	if (TL_UNLIKELY(room == TL_SLAB_NONE)) {
		if (ctx->unit->state == TL_SLAB_NONE || !take_room(ctx->l7, ctx->unit))
			return NULL;
		room = room_of(ctx->l7, ctx->unit);
	}
	return tl_slab_at(&ctx->l7->values, room);
}

bool tl_unit_start(struct tl_l7 *l7, struct tl_unit *unit, uint16_t protocol)
{
	const struct tl_decoder *decoder = tl_decoder_at(protocol);

	TL_CHECK(decoder != NULL && unit->state == TL_SLAB_NONE);
	unit->protocol = protocol;
	unit->mode = TL_UNIT_DEAF;
	if (decoder->state_size != 0) {
		unit->state = tl_slab_take(&l7->states, state_bytes(decoder));
		if (unit->state == TL_SLAB_NONE) {
			tl_l7_count(l7, TL_COUNT_STATE_FULL, 1);
			return false;
		}
		memset(tl_slab_at(&l7->states, unit->state), 0, state_bytes(decoder));
	}
	if (decoder->room_size != 0 && !decoder->room_later && !take_room(l7, unit)) {
		tl_unit_drop_state(l7, unit);
		return false;
	}
	unit->mode = TL_UNIT_DECODE;
	unit->bits &= TL_UNIT_CHILD;
	return true;
}

void tl_unit_fini(struct tl_l7 *l7, struct tl_conn *conn, struct tl_unit *unit)
{
	struct tl_ctx ctx = {.l7 = l7, .conn = conn, .unit = unit};

	TL_CHECK(unit->queue.head == TL_NONE);
	for (uint32_t i = 0; i < TL_LANE_COUNT; i++) {
		tl_lane_forget(&ctx, (enum tl_lane)i);
		tl_message_free(l7, conn, unit->lanes[i].message);
		unit->lanes[i].message = TL_NONE;
	}
	tl_unit_drop_state(l7, unit);
}

static void *state_of(const struct tl_ctx *ctx)
{
	return ctx->unit->state == TL_SLAB_NONE ? NULL
						: tl_slab_at(&ctx->l7->states, ctx->unit->state);
}

bool tl_unit_is_idle(const struct tl_l7 *l7, const struct tl_unit *unit)
{
	if (unit->mode == TL_UNIT_DETECT || !tl_pair_is_idle(l7, unit))
		return false;
	if (unit->mode == TL_UNIT_DEAF)
		return true;
	for (uint32_t i = 0; i < TL_LANE_COUNT; i++) {
		const struct tl_lane_state *lane = &unit->lanes[i];
		if (lane->message != TL_NONE || lane->carry != TL_NONE || lane->skip != 0 ||
		    lane->bits != 0)
			return false;
	}
	if (unit->state == TL_SLAB_NONE)
		return true;
	// What a decoder remembers of the connection can't be made anew.
	const uint8_t *state = tl_slab_at(&l7->states, unit->state);
	uint32_t size = tl_decoder_at(unit->protocol)->state_size;
	return state[0] == 0 && memcmp(state, state + 1, size - 1) == 0;
}

// ---- Lanes ----------------------------------------------------------------------------------

static struct tl_lane_state *lane_of(const struct tl_ctx *ctx)
{
	return &ctx->unit->lanes[ctx->lane];
}

static void settle(struct tl_ctx *ctx)
{
	for (uint32_t i = 0; i < TL_LANE_COUNT; i++)
		if (tl_message_may_settle(ctx->l7, ctx->unit->lanes[i].message))
			tl_message_settle(ctx, (enum tl_lane)i);
}

static void stop(struct tl_ctx *ctx, enum tl_counter why)
{
	tl_l7_count(ctx->l7, why, 1);
	ctx->unit->bits |= TL_UNIT_STOPPED;
}

static void break_contract(struct tl_ctx *ctx)
{
	TL_CHECK(!"a decoder broke its contract");
	stop(ctx, TL_COUNT_DECODE_CONTRACT);
}

// The part from `from` on; unlike tl_bytes_from() it still points into the piece when it is empty,
// as going back to bytes of the piece that were carried takes.
static struct tl_bytes rest_from(struct tl_bytes rest, uint32_t from)
{
	return from == 0 ? rest : tl_bytes(rest.ptr + from, rest.len - from);
}

// The lane moves on by `len` bytes, which lie in the carry, in `*rest`, or in both.
static void consume(struct tl_ctx *ctx, struct tl_bytes *rest, uint32_t len)
{
	struct tl_lane_state *lane = lane_of(ctx);
	uint64_t offset = lane->offset + len;

	lane->need = lane->seen = 0;
	if (lane->carry == TL_NONE) {
		*rest = tl_bytes_from(*rest, len);
	} else if (offset >= ctx->piece_offset && !ctx->before_end) {
		// Everything older than the piece in hand is done with: go on in place, also with
		// those of its bytes that had been added to the carry.
		uint32_t left = (uint32_t)(ctx->piece_end - offset);
		*rest = left == 0 ? TL_NO_BYTES : tl_bytes(ctx->piece_tail - left, left);
		tl_carry_consume(ctx, ctx->lane, tl_l7_carry(ctx->l7, lane->carry)->len);
	} else {
		tl_carry_consume(ctx, ctx->lane, len);
	}
	lane->offset = offset;
}

static void ignore(struct tl_ctx *ctx, struct tl_bytes *rest)
{
	struct tl_lane_state *lane = lane_of(ctx);

	tl_lane_forget(ctx, ctx->lane);
	lane->offset += rest->len;
	lane->need = lane->seen = 0;
	tl_ctx_count(ctx, TL_COUNT_STREAM_IGNORED, rest->len);
	*rest = tl_bytes(NULL, 0);
}

// Bytes of the skip under way that lie in `view`, which begins at the lane's offset; the decoder
// has read the first `ate` of them.
static uint32_t serve_skip(struct tl_ctx *ctx, struct tl_bytes view, uint32_t ate)
{
	struct tl_lane_state *lane = lane_of(ctx);
	uint32_t len = lane->skip < view.len ? (uint32_t)lane->skip : view.len;

	if ((lane->bits & TL_LANE_COPYING) != 0) {
		uint32_t kept = lane->keep < len ? lane->keep : len;
		tl_message_keep(ctx, ctx->lane, lane->field, tl_bytes_first(view, kept), len);
		lane->keep -= kept;
	}
	if ((lane->bits & TL_LANE_TO_END) == 0)
		lane->skip -= len;
	if (lane->skip == 0)
		lane->bits &= (uint8_t)~(TL_LANE_COPYING);
	if (ate != 0)
		tl_ctx_count(ctx, TL_COUNT_STREAM_DECODED, ate);
	tl_ctx_count(ctx, TL_COUNT_STREAM_SKIPPED, len - ate);
	return len;
}

static void begin_skip(struct tl_ctx *ctx, const struct tl_step *step)
{
	struct tl_lane_state *lane = lane_of(ctx);

	lane->skip = step->bytes < SKIP_BYTES_MAX ? step->bytes : SKIP_BYTES_MAX;
	lane->bits &= (uint8_t)~(TL_LANE_COPYING | TL_LANE_TO_END);
	if (step->bytes == TL_TO_THE_END)
		lane->bits |= TL_LANE_TO_END;
	if (step->kind == TL_STEP_COPY && lane->skip != 0) {
		lane->bits |= TL_LANE_COPYING;
		lane->field = step->field;
		lane->keep = step->keep;
	}
}

// No buffer for a half-read message: as if its bytes had been lost.
static void give_up_message(struct tl_ctx *ctx, struct tl_bytes *rest)
{
	uint64_t begin = lane_of(ctx)->offset;

	ignore(ctx, rest);
	uint64_t lost = lane_of(ctx)->offset - begin;
	lane_of(ctx)->offset = begin;
	tl_lane_gap(ctx, lost);
}

static void wait_for(struct tl_ctx *ctx, struct tl_bytes *rest, struct tl_bytes view, uint64_t need)
{
	struct tl_lane_state *lane = lane_of(ctx);
	const struct tl_decoder *decoder = tl_decoder_at(ctx->unit->protocol);

	if (need <= view.len) {
		break_contract(ctx);
		return;
	}
	if (need > decoder->need_max) {
		stop(ctx, TL_COUNT_DECODE_STOPPED);
		return;
	}
	lane->need = (uint32_t)need;
	lane->seen = view.len;
	if (lane->carry == TL_NONE) {
		if (!tl_carry_add(ctx, ctx->lane, *rest, ctx->piece_ns)) {
			give_up_message(ctx, rest);
			return;
		}
		*rest = tl_bytes(NULL, 0);
	}
}

// Adds to the carried bytes what is needed and a little more: a decoder that asks byte by byte
// shall not be called for each. False when the piece has not enough.
static bool top_up(struct tl_ctx *ctx, struct tl_bytes *rest)
{
	struct tl_lane_state *lane = lane_of(ctx);
	uint32_t len = tl_l7_carry(ctx->l7, lane->carry)->len;
	uint32_t more = lane->need > len ? lane->need - len : 0;

	if (more == 0)
		return true;
	if (more < TL_TOP_UP_BYTES && len + TL_TOP_UP_BYTES <= TL_SLAB_PAGE_BYTES)
		more = TL_TOP_UP_BYTES;
	if (more > rest->len)
		more = rest->len;
	if (more != 0 && !tl_carry_add(ctx, ctx->lane, tl_bytes_first(*rest, more), ctx->piece_ns)) {
		give_up_message(ctx, rest);
		return false;
	}
	*rest = rest_from(*rest, more);
	return len + more >= lane->need;
}

static void obey(struct tl_ctx *ctx, struct tl_bytes *rest, struct tl_bytes view,
		 const struct tl_step *step)
{
	switch ((enum tl_step_kind)step->kind) {
	case TL_STEP_ATE:
		if (step->bytes == 0 || step->bytes > view.len) {
			break_contract(ctx);
			return;
		}
		tl_ctx_count(ctx, TL_COUNT_STREAM_DECODED, step->bytes);
		consume(ctx, rest, (uint32_t)step->bytes);
		break;
	case TL_STEP_NEED:
		wait_for(ctx, rest, view, step->bytes);
		break;
	case TL_STEP_SKIP:
		if (step->keep > view.len || step->keep > step->bytes) {
			break_contract(ctx);
			return;
		}
		begin_skip(ctx, step);
		consume(ctx, rest, serve_skip(ctx, view, step->keep));
		break;
	case TL_STEP_COPY:
		begin_skip(ctx, step);
		consume(ctx, rest, serve_skip(ctx, view, 0));
		break;
	case TL_STEP_STOP:
		stop(ctx, TL_COUNT_DECODE_STOPPED);
		break;
	}
}

// One call of the decoder with what is in view.
static void step_once(struct tl_ctx *ctx, struct tl_bytes *rest)
{
	struct tl_lane_state *lane = lane_of(ctx);
	struct tl_view view = {.bytes = *rest, .seen = lane->seen, .offset = lane->offset};

	if (lane->carry != TL_NONE)
		view.bytes = tl_carry_bytes(ctx->l7, lane);
	uint64_t left = tl_switch_left(ctx);
	if (left < view.bytes.len) {
		view.bytes = tl_bytes_first(view.bytes, (uint32_t)left);
		if (lane->seen != 0 && lane->seen >= view.bytes.len) {
			// What the old protocol waits for would lie behind the switch.
			tl_ctx_count(ctx, TL_COUNT_STREAM_IGNORED, left);
			consume(ctx, rest, (uint32_t)left);
			return;
		}
	}
	struct tl_step step = tl_decoder_at(ctx->unit->protocol)
				      ->step(ctx, state_of(ctx), ctx->lane, &view);
	if ((ctx->unit->bits & TL_UNIT_STOPPED) == 0)
		obey(ctx, rest, view.bytes, &step);
	settle(ctx);
}

// Nothing found in `view`: what can't be the beginning of a start is dropped.
static void hunted_in_vain(struct tl_ctx *ctx, struct tl_bytes *rest, struct tl_bytes view)
{
	struct tl_lane_state *lane = lane_of(ctx);
	uint32_t need_max = tl_decoder_at(ctx->unit->protocol)->need_max;
	uint32_t keep = need_max < TL_HUNT_KEEP_BYTES ? need_max : TL_HUNT_KEEP_BYTES;
	uint32_t drop = view.len > keep ? view.len - keep : 0;

	lane->hunted += view.len;
	if (lane->hunted > TL_HUNT_BYTES_MAX) {
		stop(ctx, TL_COUNT_DECODE_STOPPED);
		return;
	}
	// The older bytes were shown with enough of the piece; now the piece itself, in place.
	if (lane->carry != TL_NONE && rest->len != 0 && ctx->piece_offset > lane->offset)
		drop = (uint32_t)(ctx->piece_offset - lane->offset);
	tl_ctx_count(ctx, TL_COUNT_STREAM_IGNORED, drop);
	bool was_carried = lane->carry != TL_NONE;
	if (drop != 0)
		consume(ctx, rest, drop);
	if (!was_carried && rest->len != 0) {
		if (!tl_carry_add(ctx, ctx->lane, *rest, ctx->piece_ns))
			ignore(ctx, rest);
		*rest = tl_bytes(NULL, 0);
	}
	lane->seen = tl_carry_bytes(ctx->l7, lane).len;
}

// The first start in `view`. Where a body's tail without a line end lies in front, the start of
// the piece in hand is tried by itself: senders begin messages with packets.
static uint32_t find_start(struct tl_ctx *ctx, struct tl_bytes view)
{
	const struct tl_lane_state *lane = lane_of(ctx);
	const struct tl_decoder *decoder = tl_decoder_at(ctx->unit->protocol);
	enum tl_lane side = (enum tl_lane)ctx->lane;
	uint32_t index = decoder->resync(state_of(ctx), side, view);

	if (ctx->before_end || ctx->piece_offset <= lane->offset)
		return index;
	uint64_t old = ctx->piece_offset - lane->offset;
	if (index > old && old < view.len &&
	    decoder->resync(state_of(ctx), side, tl_bytes_from(view, (uint32_t)old)) == 0)
		return (uint32_t)old;
	return index;
}

// Looks for the next message start. What was seen in vain is shown again with a little of the
// next piece, since a start may lie across the cut.
static void hunt(struct tl_ctx *ctx, struct tl_bytes *rest)
{
	struct tl_lane_state *lane = lane_of(ctx);
	uint32_t more = rest->len < TL_HUNT_KEEP_BYTES ? rest->len : TL_HUNT_KEEP_BYTES;
	struct tl_bytes view = *rest;

	if (lane->carry != TL_NONE) {
		if (more != 0 && !tl_carry_add(ctx, ctx->lane, tl_bytes_first(*rest, more),
					       ctx->piece_ns)) {
			ignore(ctx, rest);
			return;
		}
		*rest = rest_from(*rest, more);
		view = tl_carry_bytes(ctx->l7, lane);
	}
	uint32_t index = find_start(ctx, view);
	if (index >= view.len) {
		hunted_in_vain(ctx, rest, view);
		return;
	}
	bool untold = (lane->bits & TL_LANE_JOINED) != 0 && lane->hunted + index != 0;
	lane->bits &= (uint8_t)~(TL_LANE_HUNTING | TL_LANE_JOINED);
	lane->hunted = 0;
	lane->seen = 0;
	tl_ctx_count(ctx, TL_COUNT_STREAM_IGNORED, index);
	if (index != 0)
		consume(ctx, rest, index);
	const struct tl_decoder *decoder = tl_decoder_at(ctx->unit->protocol);
	if (untold && decoder->gap != NULL &&
	    !decoder->gap(ctx, state_of(ctx), (enum tl_lane)ctx->lane, index, lane->offset))
		stop(ctx, TL_COUNT_DECODE_STOPPED);
	settle(ctx);
}

void tl_lane_feed(struct tl_ctx *ctx, struct tl_bytes *rest)
{
	struct tl_lane_state *lane = lane_of(ctx);

	for (uint32_t steps = 0;; steps++) {
		const struct tl_carry *carry = tl_l7_carry(ctx->l7, lane->carry);
		if ((ctx->unit->bits & TL_UNIT_STOPPED) != 0 || tl_switch_is_due(ctx))
			return;
		if (rest->len == 0 &&
		    (carry == NULL || carry->len < lane->need || lane->seen != 0))
			return;
		if (ctx->unit->mode == TL_UNIT_DEAF) {
			ignore(ctx, rest);
		} else if (steps == TL_STEPS_PER_CALL_MAX) {
			stop(ctx, TL_COUNT_DECODE_STOPPED);
		} else if (lane->skip != 0) {
			uint64_t left = tl_switch_left(ctx);
			uint32_t most = left < rest->len ? (uint32_t)left : rest->len;
			consume(ctx, rest, serve_skip(ctx, tl_bytes_first(*rest, most), 0));
			settle(ctx);
		} else if ((lane->bits & TL_LANE_HUNTING) != 0) {
			hunt(ctx, rest);
		} else if (lane->carry == TL_NONE || top_up(ctx, rest)) {
			step_once(ctx, rest);
		}
	}
}

static bool is_plain(const struct tl_ctx *ctx, const struct tl_lane_state *lane)
{
	const struct tl_unit *unit = ctx->unit;

	return lane->carry == TL_NONE && lane->skip == 0 && lane->bits == 0 && lane->seen == 0 &&
	       unit->mode == TL_UNIT_DECODE &&
	       (unit->bits & (TL_UNIT_STOPPED | TL_UNIT_CHILD)) == 0 && ctx->conn->extra == TL_NONE;
}

// The step took all of the bytes that it has to do with out of the view: nothing to remember.
static inline bool is_taken(const struct tl_step *step, uint32_t len)
{
	if (step->kind == TL_STEP_ATE)
		return step->bytes != 0 && step->bytes <= len;
	return step->kind == TL_STEP_SKIP && step->bytes != 0 && step->bytes <= len &&
	       step->keep <= step->bytes;
}

struct tl_bytes tl_lane_feed_plain(struct tl_ctx *ctx, struct tl_bytes bytes)
{
	struct tl_lane_state *lane = lane_of(ctx);

	for (uint32_t i = 0; bytes.len != 0 && i < PLAIN_STEPS_MAX && is_plain(ctx, lane); i++) {
		const struct tl_decoder *decoder = tl_decoders[ctx->unit->protocol];
		struct tl_view view = {.bytes = bytes, .offset = lane->offset};
		struct tl_step step = decoder->step(ctx, state_of(ctx), ctx->lane, &view);
		if (TL_LIKELY((ctx->unit->bits & TL_UNIT_STOPPED) == 0)) {
			if (TL_LIKELY(is_taken(&step, bytes.len))) {
				uint32_t len = (uint32_t)step.bytes;
				uint32_t ate = step.kind == TL_STEP_ATE ? len : step.keep;
				tl_l7_count(ctx->l7, TL_COUNT_STREAM_DECODED, ate);
				tl_l7_count(ctx->l7, TL_COUNT_STREAM_SKIPPED, len - ate);
				lane->offset += len;
				bytes = tl_bytes_from(bytes, len);
			} else {
				obey(ctx, &bytes, view.bytes, &step);
			}
		}
		settle(ctx);
	}
	return bytes;
}

void tl_lane_datagram(struct tl_ctx *ctx, struct tl_bytes bytes, uint32_t wire_len)
{
	struct tl_lane_state *lane = lane_of(ctx);
	uint64_t end = lane->offset + (wire_len > bytes.len ? wire_len : bytes.len);
	struct tl_bytes rest = bytes;
	bool cut = wire_len > bytes.len;

	for (uint32_t steps = 0; rest.len != 0 && steps < TL_STEPS_PER_CALL_MAX; steps++) {
		struct tl_view view = {.bytes = rest, .offset = lane->offset};
		struct tl_step step = tl_decoder_at(ctx->unit->protocol)
					      ->step(ctx, state_of(ctx), ctx->lane, &view);
		// A datagram ends what it holds: waiting for more, or giving up, costs only itself.
		if (step.kind == TL_STEP_NEED || step.kind == TL_STEP_STOP) {
			tl_l7_count(ctx->l7, TL_COUNT_DECODE_STOPPED,
				    cut && step.kind == TL_STEP_NEED ? 0 : 1);
			break;
		}
		obey(ctx, &rest, view.bytes, &step);
		settle(ctx);
		if ((ctx->unit->bits & TL_UNIT_STOPPED) != 0 || lane->skip != 0)
			break;
	}
	tl_ctx_count(ctx, TL_COUNT_STREAM_IGNORED, rest.len);
	lane->offset = end;
	lane->skip = 0;
	lane->bits &= (uint8_t)~(TL_LANE_COPYING | TL_LANE_TO_END);
	struct tl_message *message = tl_l7_message(ctx->l7, lane->message);
	if (message != NULL && cut)
		message->flags |= TL_FLAG_TRUNCATED;
	settle(ctx);
	(void)tl_message_break(ctx, ctx->lane, end);
	settle(ctx);
}

// ---- Losses and ends ------------------------------------------------------------------------

static void flag_gap(struct tl_ctx *ctx, enum tl_roundtrip_flag flags)
{
	struct tl_message *message = tl_l7_message(ctx->l7, lane_of(ctx)->message);

	if (message != NULL)
		message->flags |= (uint16_t)flags;
}

// The part of a hole that lies in bytes nobody wanted costs nothing but a flag.
static uint64_t hole_in_skip(struct tl_ctx *ctx, uint64_t lost)
{
	struct tl_lane_state *lane = lane_of(ctx);
	uint64_t len = lane->skip < lost ? lane->skip : lost;
	uint64_t left = tl_switch_left(ctx);

	if (len == 0)
		return 0;
	if (len > left)
		len = left;
	flag_gap(ctx, TL_FLAG_GAP);
	if ((lane->bits & TL_LANE_COPYING) != 0) {
		if (lane->keep != 0)
			flag_gap(ctx, TL_FLAG_TRUNCATED);
		lane->keep = 0; // what is kept stays a beginning
		tl_message_keep(ctx, ctx->lane, lane->field, tl_bytes(NULL, 0), len);
	}
	if ((lane->bits & TL_LANE_TO_END) == 0)
		lane->skip -= len;
	if (lane->skip == 0)
		lane->bits &= (uint8_t)~TL_LANE_COPYING;
	lane->offset += len;
	settle(ctx);
	return len;
}

void tl_lane_gap(struct tl_ctx *ctx, uint64_t lost)
{
	struct tl_lane_state *lane = lane_of(ctx);
	const struct tl_decoder *decoder = tl_decoder_at(ctx->unit->protocol);

	if (ctx->unit->mode == TL_UNIT_DECODE)
		lost -= hole_in_skip(ctx, lost);
	if (lost == 0 || tl_switch_is_due(ctx)) {
		// The protocol that takes over begins in the middle of something.
		ctx->conn->is_late_join = ctx->conn->is_late_join || lost != 0;
		lane->offset += lost;
		return;
	}
	flag_gap(ctx, TL_FLAG_GAP);
	tl_lane_forget(ctx, ctx->lane);
	(void)tl_message_break(ctx, ctx->lane, lane->offset);
	tl_message_settle(ctx, ctx->lane);
	lane->skip = 0;
	lane->need = lane->seen = 0;
	lane->bits &= (uint8_t)~(TL_LANE_COPYING | TL_LANE_TO_END);
	lane->offset += lost;
	if (ctx->unit->mode != TL_UNIT_DECODE)
		return;
	ctx->before_end = true;
	bool hunting = decoder->gap != NULL &&
		       decoder->gap(ctx, state_of(ctx), ctx->lane, lost, lane->offset);
	settle(ctx);
	if (hunting && decoder->resync != NULL) {
		if ((lane->bits & TL_LANE_HUNTING) == 0)
			lane->hunted = 0;
		lane->bits |= TL_LANE_HUNTING;
	} else {
		stop(ctx, TL_COUNT_DECODE_STOPPED);
	}
}

enum tl_status tl_end_status(enum tl_end end)
{
	switch (end) {
	case TL_END_RESET:
		return TL_STATUS_RESET;
	case TL_END_TIMEOUT:
		return TL_STATUS_TIMEOUT;
	case TL_END_FIN:
	case TL_END_EVICTED:
	case TL_END_INPUT:
	case TL_END_SWITCHED:
		break;
	}
	return TL_STATUS_UNANSWERED;
}

enum tl_reason tl_end_reason(enum tl_end end)
{
	switch (end) {
	case TL_END_FIN:
		return TL_REASON_CONNECTION_CLOSED;
	case TL_END_RESET:
		return TL_REASON_RESET;
	case TL_END_TIMEOUT:
		return TL_REASON_TIMEOUT;
	case TL_END_EVICTED:
		return TL_REASON_EVICTED;
	case TL_END_INPUT:
		return TL_REASON_END_OF_INPUT;
	case TL_END_SWITCHED:
		break;
	}
	return TL_REASON_REPLACED;
}

void tl_lane_end(struct tl_ctx *ctx, enum tl_end end)
{
	struct tl_lane_state *lane = lane_of(ctx);
	const struct tl_decoder *decoder = tl_decoder_at(ctx->unit->protocol);
	uint64_t offset = lane->offset + tl_carry_bytes(ctx->l7, lane).len;

	if ((lane->bits & TL_LANE_ENDED) != 0) {
		// Bytes behind the end may have begun another message.
		(void)tl_message_break(ctx, ctx->lane, offset);
		settle(ctx);
		return;
	}
	lane->bits |= TL_LANE_ENDED;
	lane->bits &= (uint8_t)~(TL_LANE_HUNTING | TL_LANE_JOINED);
	ctx->before_end = true;
	if (ctx->unit->mode == TL_UNIT_DECODE && decoder->end != NULL)
		decoder->end(ctx, state_of(ctx), ctx->lane, end, offset);
	settle(ctx);
	if (end != TL_END_SWITCHED)
		tl_lane_forget(ctx, ctx->lane);
	struct tl_message *message = tl_l7_message(ctx->l7, lane->message);
	if (message != NULL && message->role == TL_ROLE_RESPONSE && !message->ended) {
		struct tl_exchange *exchange = tl_l7_exchange(ctx->l7, message->exchange);
		exchange->status = (uint8_t)tl_end_status(end);
		exchange->reason = (uint8_t)tl_end_reason(end);
	}
	(void)tl_message_break(ctx, ctx->lane, offset);
	settle(ctx);
	lane->skip = 0;
	if (end != TL_END_SWITCHED)
		tl_pair_end(ctx, ctx->lane, tl_end_status(end), tl_end_reason(end), ctx->piece_ns);
}
