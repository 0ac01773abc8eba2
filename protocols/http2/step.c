// SPDX-License-Identifier: Apache-2.0
// Frames: one per step, the fragments of header blocks as they come.
#include "http2.h"

#include "base/check.h"

#define FRAMES_AT_ONCE_MAX 16u

// Everything about the connection's begin is decided at its first bytes. One that was upgraded from
// HTTP/1 begins with a request: stream 1 (RFC 7540 section 3.2).
static void get_ready(struct http2_call *call)
{
	struct http2_room *room = tl_room(call->ctx);
	bool late = tl_is_late_join(call->ctx);

	for (uint32_t i = 0; i < TL_LANE_COUNT; i++)
		tl_hpack_init(&room->table[i], late);
	call->http->is_ready = true;
	call->http->grpc_id = tl_protocol_id("grpc");
	if (tl_message_resume(call->ctx, TL_CLIENT, TL_CLIENT, 1)) {
		tl_message_flag(call->ctx, TL_CLIENT, TL_FLAG_UPGRADED);
		tl_message_uint(call->ctx, TL_CLIENT, HTTP2_FIELD_STREAM_ID, 1);
		tl_message_set_aside(call->ctx, TL_CLIENT);
		call->http->first_stream = call->http->last_stream = 1;
	}
}

void tl_http2_begin_call(struct http2_call *ret, struct tl_ctx *ctx, void *state, enum tl_lane lane,
			 const struct tl_view *view)
{
	struct http2_room *room = tl_room(ctx);
	struct http2 *http = (struct http2 *)state;

	*ret = (struct http2_call) {
		.ctx = ctx,
		.options = (const struct tl_http_options *)tl_options(ctx),
		.http = http,
		.me = &http->lane[lane],
		.table = &room->table[lane],
		.view = view,
		.values = {.ctx = ctx, .lane = lane},
		.lane = lane,
	};
	if (TL_UNLIKELY(!http->is_ready))
		get_ready(ret);
}

// ---- Header blocks --------------------------------------------------------------------------

static void block_breaks(struct http2_call *call, enum http2_counter why)
{
	tl_values_close(&call->values);
	tl_count(call->ctx, (uint8_t)why);
	tl_hpack_rejoin(call->table);
	// What was begun by this block is forgotten; a message that it belonged to stays.
	tl_message_set_aside(call->ctx, call->lane);
	call->me->block = HTTP2_BLOCK_NONE;
}

static void fragment_ends(struct http2_call *call)
{
	struct http2_lane *me = call->me;

	me->in_fragment = false;
	me->in_block = !me->ends_block;
	if (!me->ends_block) {
		tl_values_close(&call->values);
		return;
	}
	if (tl_hpack_end(call->table))
		tl_http2_block_end(call);
	else
		block_breaks(call, HTTP2_COUNT_BAD_BLOCK);
}

// What takes the block's values is ready.
static void open_values(struct http2_call *call)
{
	struct http2_lane *me = call->me;

	call->of_request = call->lane == TL_CLIENT || me->block == HTTP2_BLOCK_PROMISE;
	call->captures = (call->of_request ? call->options->request_headers.count
				     : call->options->response_headers.count) != 0;
	call->table->only_tagged = !call->captures;
	if (me->block != HTTP2_BLOCK_NONE && me->block != HTTP2_BLOCK_TRAILERS)
		tl_values_open(&call->values, call->ctx, call->lane);
}

// Reads what there is of the fragment behind the first `at` bytes of the view.
static struct tl_step read_fragment(struct http2_call *call, uint32_t at)
{
	struct http2_lane *me = call->me;
	struct tl_bytes part = tl_bytes_first(tl_bytes_from(call->view->bytes, at), me->left);
	uint32_t end = at + part.len;

	me->left -= part.len;
	me->block_bytes += part.len;
	open_values(call);
	if (me->block_bytes > HTTP2_BLOCK_BYTES_MAX) {
		if (me->block_bytes - part.len <= HTTP2_BLOCK_BYTES_MAX)
			block_breaks(call, HTTP2_COUNT_LONG_BLOCK);
	} else if (!tl_hpack_read(call->table, part, tl_http2_block_fn(call), call)) {
		block_breaks(call, HTTP2_COUNT_BAD_BLOCK);
		me->block_bytes = HTTP2_BLOCK_BYTES_MAX + 1; // the rest of it says nothing
	}
	if (me->left != 0) {
		tl_values_close(&call->values);
		return tl_ate(end);
	}
	fragment_ends(call);
	return me->padding != 0 ? tl_ate_and_skip(end, (uint64_t)end + me->padding) : tl_ate(end);
}

// HEADERS, PUSH_PROMISE and CONTINUATION: `fixed` bytes come before the fragment.
static struct tl_step fragment_begins(struct http2_call *call, const struct frame *frame,
				      uint32_t fixed)
{
	struct http2_lane *me = call->me;
	struct tl_bytes bytes = call->view->bytes;
	bool padded = (frame->flags & FRAME_PADDED) != 0 && frame->type != FRAME_CONTINUATION;
	uint32_t head = FRAME_HEAD_BYTES + (padded ? 1u : 0u) + fixed;

	if (bytes.len < head)
		return tl_need(head);
	me->padding = padded ? bytes.ptr[FRAME_HEAD_BYTES] : 0;
	if (frame->length < head - FRAME_HEAD_BYTES + me->padding) {
		tl_count(call->ctx, HTTP2_COUNT_BAD_FRAME);
		return tl_stop();
	}
	me->left = frame->length - (head - FRAME_HEAD_BYTES) - me->padding;
	me->frame_end = call->view->offset + FRAME_HEAD_BYTES + frame->length;
	me->ends_block = (frame->flags & FRAME_END_HEADERS) != 0;
	me->in_fragment = true;
	if (frame->type != FRAME_CONTINUATION)
		me->ends_stream = frame->type == FRAME_HEADERS &&
				  (frame->flags & FRAME_END_STREAM) != 0;
	if (frame->type == FRAME_HEADERS)
		tl_http2_block_begin(call, frame->stream, false);
	else if (frame->type == FRAME_PUSH_PROMISE)
		tl_http2_block_begin(call, tl_load_be32(bytes.ptr + head - 4) & 0x7fffffff, true);
	return read_fragment(call, head);
}

// ---- Other frames ---------------------------------------------------------------------------

static struct tl_step reset_frame(struct http2_call *call, const struct frame *frame)
{
	struct tl_bytes bytes = call->view->bytes;

	if (bytes.len < FRAME_HEAD_BYTES + 4)
		return tl_need(FRAME_HEAD_BYTES + 4);
	tl_http2_reset(call, frame->stream, tl_load_be32(bytes.ptr + FRAME_HEAD_BYTES));
	return tl_ate(FRAME_HEAD_BYTES + 4);
}

static struct tl_step goaway_frame(struct http2_call *call, const struct frame *frame)
{
	struct tl_bytes bytes = call->view->bytes;

	if (bytes.len < FRAME_HEAD_BYTES + 8)
		return tl_need(FRAME_HEAD_BYTES + 8);
	if (call->lane == TL_SERVER)
		tl_http2_goaway(call, tl_load_be32(bytes.ptr + FRAME_HEAD_BYTES) & 0x7fffffff,
				tl_load_be32(bytes.ptr + FRAME_HEAD_BYTES + 4));
	return tl_skip((uint64_t)FRAME_HEAD_BYTES + frame->length);
}

static struct tl_step frame_begins(struct http2_call *call, const struct frame *frame)
{
	struct http2_lane *me = call->me;
	bool continues = frame->type == FRAME_CONTINUATION && me->in_block &&
			 frame->stream == me->stream;

	if (me->in_block && !continues) {
		// Nothing may come between the parts of a block: it is broken off.
		me->in_block = false;
		(void)tl_hpack_end(call->table);
		block_breaks(call, HTTP2_COUNT_BAD_FRAME);
	}
	if (!continues)
		tl_message_set_aside(call->ctx, call->lane);
	if (frame->type <= FRAME_HEADERS || continues)
		tl_http2_look_up(call, frame->stream);
	switch ((enum frame_type)frame->type) {
	case FRAME_DATA:
		return tl_http2_data_frame(call, frame);
	case FRAME_HEADERS:
		return fragment_begins(call, frame,
				       (frame->flags & FRAME_HAS_PRIORITY) != 0 ? 5u : 0u);
	case FRAME_PUSH_PROMISE:
		return fragment_begins(call, frame, 4);
	case FRAME_CONTINUATION:
		if (continues)
			return fragment_begins(call, frame, 0);
		// Its beginning was not seen: what it inserted can't be told.
		tl_hpack_rejoin(call->table);
		break;
	case FRAME_RST_STREAM:
		return reset_frame(call, frame);
	case FRAME_GOAWAY:
		return goaway_frame(call, frame);
	case FRAME_PRIORITY:
	case FRAME_SETTINGS:
	case FRAME_PING:
	case FRAME_WINDOW_UPDATE:
		break;
	case FRAME_TYPES_KNOWN:
	default:
		tl_count(call->ctx, HTTP2_COUNT_UNKNOWN_FRAMES);
		break;
	}
	return tl_skip((uint64_t)FRAME_HEAD_BYTES + frame->length);
}

static struct tl_step preface(struct http2_call *call)
{
	struct http2 *http = call->http;

	switch (tl_http2_preface(call->view->bytes)) {
	case TL_MATCH_UNSURE:
		return tl_need(PREFACE_BYTES);
	case TL_MATCH_CERTAIN:
		break;
	default:
		return tl_stop();
	}
	http->roles_are_sure = true;
	// The connection begins here, whatever came before: so do the tables.
	if (!call->me->had_frame)
		tl_hpack_init(call->table, false);
	if (!http->lane[TL_SERVER].had_frame && !http->server_gap)
		tl_hpack_init(&((struct http2_room *)tl_room(call->ctx))->table[TL_SERVER], false);
	return tl_ate(PREFACE_BYTES);
}

static uint32_t read_by(const struct tl_step *step)
{
	return step->kind == TL_STEP_ATE ? (uint32_t)step->bytes : step->keep;
}

// Frames of one stream that follow one another, as those of a short request or answer do, are read
// in one step: their message stays the lane's current one, nothing else happens in between.
static struct tl_step go_on(struct http2_call *call, const struct frame *first, struct tl_step step)
{
	const struct http2_lane *me = call->me;
	const struct tl_view *view = call->view;
	uint8_t flags = first->flags;

	for (uint32_t n = 0; n < FRAMES_AT_ONCE_MAX; n++) {
		if ((step.kind != TL_STEP_ATE && step.kind != TL_STEP_SKIP) || call->memo == NULL ||
		    (flags & FRAME_END_STREAM) != 0 || me->in_block || me->in_fragment || me->in_data ||
		    step.bytes + FRAME_HEAD_BYTES > view->bytes.len)
			break;
		uint32_t used = (uint32_t)step.bytes;
		struct tl_view rest = {.bytes = tl_bytes_from(view->bytes, used),
				       .offset = view->offset + used};
		struct frame frame = tl_http2_frame(rest.bytes.ptr);
		flags = frame.flags;
		if (frame.stream != first->stream || frame.type > FRAME_HEADERS ||
		    (flags & (FRAME_PADDED | FRAME_HAS_PRIORITY)) != 0)
			break;
		call->view = &rest;
		struct tl_step more = frame.type == FRAME_DATA ? tl_http2_data_frame(call, &frame)
							       : fragment_begins(call, &frame, 0);
		call->view = view;
		if (more.kind == TL_STEP_NEED)
			break;
		step = tl_ate_and_skip(read_by(&step) + read_by(&more), step.bytes + more.bytes);
	}
	return step;
}

struct tl_step tl_http2_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
			     const struct tl_view *view)
{
	struct http2_call call;

	tl_http2_begin_call(&call, ctx, state, lane, view);

	if (call.me->in_fragment || call.me->in_data)
		tl_http2_look_up(&call, call.me->stream);
	if (call.me->in_fragment)
		return read_fragment(&call, 0);
	if (call.me->in_data)
		return tl_http2_data(&call);
	if (lane == TL_CLIENT && view->bytes.ptr[0] == 'P')
		return preface(&call);
	if (view->bytes.len < FRAME_HEAD_BYTES)
		return tl_need(FRAME_HEAD_BYTES);
	struct frame frame = tl_http2_frame(view->bytes.ptr);
	if (!tl_http2_frame_is_valid(lane, &frame)) {
		tl_count(ctx, HTTP2_COUNT_BAD_FRAME);
		return tl_stop();
	}
	call.me->had_frame = true;
	struct tl_step step = frame_begins(&call, &frame);
	return frame.type <= FRAME_HEADERS ? go_on(&call, &frame, step) : step;
}
