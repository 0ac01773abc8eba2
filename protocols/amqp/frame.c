// SPDX-License-Identifier: Apache-2.0
// Frames: head, payload, end octet. Methods and content headers are shown whole (up to a limit),
// bodies are read over by their length.
#include "state.h"

#define HEADER_BYTES 8u // of the protocol header "AMQP", class, instance, major, minor

enum frame_type { FRAME_METHOD = 1, FRAME_HEADER = 2, FRAME_BODY = 3, FRAME_HEARTBEAT = 8 };

struct frame {
	uint8_t type;
	uint16_t channel;
	uint32_t length; // of the payload
};

// False: no frame of AMQP begins like this.
static bool read_head(const uint8_t *p, struct frame *ret)
{
	*ret = (struct frame) {
		.type = p[0], .channel = tl_load_be16(p + 1), .length = tl_load_be32(p + 3)};
	if (ret->length > AMQP_FRAME_BYTES_MAX)
		return false;
	switch (ret->type) {
	case FRAME_METHOD:
		return ret->length >= 4;
	case FRAME_HEADER:
		return ret->length >= 14 && ret->channel != 0;
	case FRAME_BODY:
		return ret->channel != 0;
	case FRAME_HEARTBEAT:
		return ret->length == 0 && ret->channel == 0;
	default:
		return false;
	}
}

// 0-9-1, and 0-9 by its own header. Others are not spoken here: 0-8 numbers its methods otherwise,
// 0-10 and 1.0 are other protocols by the same name.
static bool is_our_version(const uint8_t *p)
{
	return memcmp(p, "AMQP\0\0\x09\x01", HEADER_BYTES) == 0 ||
	       memcmp(p, "AMQP\x01\x01\0\x09", HEADER_BYTES) == 0;
}

// ---- Recognition ----------------------------------------------------------------------------

enum plausible { PLAUSIBLE_NO, PLAUSIBLE_MORE, PLAUSIBLE_YES };

// A method that `lane` may send, all of it in view and its arguments as long as it says.
static enum plausible method_is_plausible(enum tl_lane lane, struct tl_bytes payload, uint32_t length)
{
	if (payload.len < 4)
		return PLAUSIBLE_MORE;
	const struct amqp_method *method =
		tl_amqp_method(tl_load_be16(payload.ptr), tl_load_be16(payload.ptr + 2));
	struct amqp_arguments arguments;
	if (method == NULL || (method->from & 1u << lane) == 0 || length > AMQP_METHOD_BYTES_MAX)
		return PLAUSIBLE_NO;
	if (payload.len < length)
		return PLAUSIBLE_MORE;
	uint32_t used = tl_amqp_arguments(method, tl_bytes_from(payload, 4), &arguments);
	return used == length - 4 ? PLAUSIBLE_YES : PLAUSIBLE_NO;
}

static enum plausible frame_is_plausible(enum tl_lane lane, struct tl_bytes bytes, struct frame *ret)
{
	if (bytes.len != 0 && bytes.ptr[0] != FRAME_HEARTBEAT &&
	    (bytes.ptr[0] < FRAME_METHOD || bytes.ptr[0] > FRAME_BODY))
		return PLAUSIBLE_NO;
	if (bytes.len < AMQP_FRAME_HEAD_BYTES)
		return PLAUSIBLE_MORE;
	if (!read_head(bytes.ptr, ret))
		return PLAUSIBLE_NO;
	struct tl_bytes payload =
		tl_bytes_first(tl_bytes_from(bytes, AMQP_FRAME_HEAD_BYTES), ret->length);
	if (ret->type == FRAME_METHOD) {
		enum plausible method = method_is_plausible(lane, payload, ret->length);
		if (method != PLAUSIBLE_YES)
			return method;
	} else if (ret->type == FRAME_HEADER && payload.len >= 4 &&
		   (tl_load_be16(payload.ptr) != AMQP_BASIC || tl_load_be16(payload.ptr + 2) != 0)) {
		return PLAUSIBLE_NO;
	}
	uint64_t end = (uint64_t)AMQP_FRAME_HEAD_BYTES + ret->length;
	if (bytes.len <= end)
		return PLAUSIBLE_MORE;
	return bytes.ptr[end] == AMQP_FRAME_END ? PLAUSIBLE_YES : PLAUSIBLE_NO;
}

enum tl_match tl_amqp_match(enum tl_lane lane, struct tl_bytes first)
{
	uint32_t at = 0;
	bool has_method = false;

	if (first.len != 0 && first.ptr[0] == 'A') {
		uint8_t begin[HEADER_BYTES];
		uint32_t len = first.len < HEADER_BYTES ? first.len : HEADER_BYTES;
		memcpy(begin, "AMQP\0\0\x09\x01", HEADER_BYTES);
		if (len > 4 && first.ptr[4] == 1)
			memcpy(begin, "AMQP\x01\x01\0\x09", HEADER_BYTES);
		if (memcmp(first.ptr, begin, len) != 0)
			return TL_MATCH_NO;
		if (len < HEADER_BYTES)
			return TL_MATCH_UNSURE;
		return TL_MATCH_CERTAIN;
	}
	for (uint32_t frames = 0; frames < AMQP_HUNT_FRAMES_MAX; frames++) {
		struct frame frame;
		switch (frame_is_plausible(lane, tl_bytes_from(first, at), &frame)) {
		case PLAUSIBLE_NO:
			return TL_MATCH_NO;
		case PLAUSIBLE_MORE:
			if (frames == 0)
				return TL_MATCH_UNSURE;
			return frames > 1 && has_method ? TL_MATCH_CERTAIN : TL_MATCH_LIKELY;
		case PLAUSIBLE_YES:
			has_method = has_method || frame.type == FRAME_METHOD;
			at += AMQP_FRAME_HEAD_BYTES + frame.length + 1;
			break;
		}
	}
	return has_method ? TL_MATCH_CERTAIN : TL_MATCH_LIKELY;
}

uint32_t tl_amqp_resync(const void *state, enum tl_lane lane, struct tl_bytes view)
{
	(void)state;
	for (uint32_t i = 0; i < view.len; i++) {
		struct frame frame;
		struct tl_bytes rest = tl_bytes_from(view, i);
		// Contents belong to a method before them: a lane goes on with a method.
		if (rest.ptr[0] != FRAME_METHOD && rest.ptr[0] != FRAME_HEARTBEAT && rest.ptr[0] != 'A')
			continue;
		if (rest.len >= HEADER_BYTES && lane == TL_CLIENT && is_our_version(rest.ptr))
			return i;
		if (frame_is_plausible(lane, rest, &frame) == PLAUSIBLE_YES)
			return i;
	}
	return view.len;
}

// ---- Reading --------------------------------------------------------------------------------

static struct tl_step broken(struct amqp_call *call)
{
	tl_count(call->ctx, AMQP_COUNT_BAD_FRAME);
	return tl_stop();
}

// The protocol header: the client's, or a server's that won't speak the client's version.
static struct tl_step version(struct amqp_call *call, const struct tl_view *view)
{
	if (view->bytes.len < HEADER_BYTES)
		return tl_need(HEADER_BYTES);
	if (call->lane == TL_SERVER && memcmp(view->bytes.ptr, "AMQP", 4) == 0)
		tl_count(call->ctx, AMQP_COUNT_VERSION_REFUSED);
	else if (!is_our_version(view->bytes.ptr))
		return broken(call);
	else if (tl_is_late_join(call->ctx)) // it begins after all
		call->amqp->is_unsure = call->amqp->doubt = 0;
	return tl_ate(HEADER_BYTES);
}

static void read_method(struct amqp_call *call, struct tl_bytes payload, bool is_whole)
{
	struct amqp_arguments arguments;

	call->class_id = tl_load_be16(payload.ptr);
	call->method_id = tl_load_be16(payload.ptr + 2);
	const struct amqp_method *method = tl_amqp_method(call->class_id, call->method_id);
	if (method == NULL || (method->from & 1u << call->lane) == 0) {
		tl_count(call->ctx, AMQP_COUNT_UNKNOWN_METHOD);
		tl_amqp_content_break(call);
		return;
	}
	bool is_cut = tl_amqp_arguments(method, tl_bytes_from(payload, 4), &arguments) ==
		      TL_BYTES_NONE;
	if (!is_whole)
		tl_count(call->ctx, AMQP_COUNT_LONG_METHOD);
	if (is_cut && is_whole) {
		tl_count(call->ctx, AMQP_COUNT_BAD_METHOD);
		tl_amqp_content_break(call);
		return;
	}
	tl_amqp_method_frame(call, &arguments);
}

static void get_ready(struct amqp_call *call)
{
	call->amqp->is_ready = 1;
	call->amqp->is_unsure = tl_is_late_join(call->ctx);
	call->amqp->doubt = tl_is_late_join(call->ctx) ? AMQP_DOUBT_JOIN : AMQP_NO_DOUBT;
}

struct tl_step tl_amqp_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
			    const struct tl_view *view)
{
	struct amqp_call call = {
		.ctx = ctx,
		.amqp = (struct amqp *)state,
		.room = (struct amqp_room *)tl_room(ctx),
		.lane = lane,
		.offset = view->offset,
	};
	struct frame frame;

	if (call.amqp->is_ready == 0)
		get_ready(&call);
	if (view->bytes.ptr[0] == 'A')
		return version(&call, view);
	if (view->bytes.len < AMQP_FRAME_HEAD_BYTES)
		return tl_need(AMQP_FRAME_HEAD_BYTES);
	if (!read_head(view->bytes.ptr, &frame))
		return broken(&call);
	uint64_t size = (uint64_t)AMQP_FRAME_HEAD_BYTES + frame.length + 1;
	call.channel = frame.channel;
	call.end = view->offset + size;
	if (frame.type == FRAME_BODY)
		tl_amqp_content_body(&call, frame.length);
	if (frame.type == FRAME_BODY || frame.type == FRAME_HEARTBEAT)
		return tl_ate_and_skip(AMQP_FRAME_HEAD_BYTES, size);
	bool is_whole = frame.length <= AMQP_METHOD_BYTES_MAX;
	uint32_t shown = is_whole ? frame.length : AMQP_METHOD_BYTES_MAX;
	if (view->bytes.len < AMQP_FRAME_HEAD_BYTES + shown + 1)
		return tl_need(AMQP_FRAME_HEAD_BYTES + shown + 1);
	if (is_whole && view->bytes.ptr[size - 1] != AMQP_FRAME_END)
		return broken(&call);
	struct tl_bytes payload = tl_bytes(view->bytes.ptr + AMQP_FRAME_HEAD_BYTES, shown);
	if (frame.type == FRAME_METHOD)
		read_method(&call, payload, is_whole);
	else
		tl_amqp_content_header(&call, payload);
	return is_whole ? tl_ate((uint32_t)size)
			: tl_ate_and_skip(AMQP_FRAME_HEAD_BYTES + shown, size);
}
