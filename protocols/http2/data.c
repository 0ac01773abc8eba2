// SPDX-License-Identifier: Apache-2.0
// DATA: passed over by its length, but for the heads of gRPC's messages and what is captured of a
// body. Of a message in gRPC only its five first bytes are read.
#include "http2.h"

// Behind a frame's head and its padding length: what kind of look it needs.
enum look { LOOK_NOT, LOOK_GRPC, LOOK_COPY };

struct data {
	const struct frame *frame;
	uint32_t head;    // bytes before the content
	uint32_t padding; // behind it
	uint32_t content;
};

// The grpc stream's messages can be told apart in this lane.
static bool is_readable(struct http2_call *call, struct tl_grpc *grpc)
{
	struct tl_grpc_lane *lane = &grpc->lane[call->lane];

	if (lane->epoch != call->me->epoch) // bytes of the stream may have been in the hole
		lane->is_lost = lane->has_missed = true;
	return !lane->is_lost;
}

static bool is_captured(struct http2_call *call, const struct http2_memo *memo)
{
	uint8_t content = memo->content[call->lane];

	return (content & HTTP2_IS_TEXT) != 0 && (content & HTTP2_IS_ENCODED) == 0 &&
	       memo->kept[call->lane] < call->options->capture_body_max &&
	       memo->kept[call->lane] < TL_HTTP_CAPTURE_BYTES_MAX;
}

// Does a request of which too little was told begin with a message? One that fills its DATA.
static bool begins_like_grpc(const struct data *data, struct tl_bytes content)
{
	uint32_t length = tl_load_be32(content.ptr + 1);

	return content.ptr[0] <= 1 && length == data->content - TL_GRPC_HEAD_BYTES;
}

// The stream's end, which the frame's head says already.
static void end_stream(struct http2_call *call)
{
	struct http2_lane *me = call->me;

	if (!me->ends_data)
		return;
	me->ends_data = false;
	if (call->lane == TL_CLIENT)
		tl_message_end(call->ctx, TL_CLIENT, me->frame_end);
	else if (call->memo != NULL)
		tl_http2_close(call);
}

void tl_http2_data_lost(struct http2_call *call)
{
	end_stream(call);
}

// Passes over the rest of the DATA, which begins at `at` of the view, and its padding.
static struct tl_step pass(struct http2_call *call, uint32_t read, uint64_t at)
{
	struct http2_lane *me = call->me;
	uint64_t bytes = at + me->left + me->padding;

	me->left = me->padding = 0;
	me->in_data = false;
	end_stream(call);
	return bytes == read ? tl_ate(read) : tl_ate_and_skip(read, bytes);
}

// Reads heads of messages from `at` on, as far as they are in view.
static struct tl_step read_messages(struct http2_call *call, uint64_t at)
{
	struct http2_lane *me = call->me;
	struct tl_bytes bytes = call->view->bytes;
	struct tl_grpc *grpc = tl_http2_grpc(call);
	uint32_t read = (uint32_t)at;

	if (grpc == NULL) // it ended meanwhile
		return pass(call, read, at);
	bool was_lost = grpc->lane[call->lane].is_lost;
	while (me->left != 0) {
		uint64_t skip = tl_grpc_skip(grpc, call->lane);
		if (skip != 0) {
			uint32_t len = skip < me->left ? (uint32_t)skip : me->left;
			tl_grpc_skipped(grpc, call->lane, len);
			at += len;
			me->left -= len;
			continue;
		}
		if (at >= bytes.len)
			break;
		struct tl_bytes part = tl_bytes_first(tl_bytes_from(bytes, (uint32_t)at), me->left);
		uint32_t len = tl_grpc_read(grpc, call->ctx, call->lane, part,
					    call->view->offset + at);
		at += len;
		me->left -= len;
		read = (uint32_t)at;
	}
	if (!was_lost && grpc->lane[call->lane].is_lost)
		tl_count(call->ctx, HTTP2_COUNT_BAD_MESSAGE);
	me->in_data = me->left != 0;
	if (!me->in_data)
		return pass(call, read, at);
	return at == read ? tl_ate(read) : tl_ate_and_skip(read, at);
}

// DATA that holds one message and nothing else, as that of short calls does.
static bool is_one_message(const struct tl_grpc_lane *lane, const struct data *data,
			   struct tl_bytes content)
{
	return content.len >= TL_GRPC_HEAD_BYTES && data->padding == 0 &&
	       tl_load_be32(content.ptr + 1) + (uint64_t)TL_GRPC_HEAD_BYTES == data->content &&
	       lane->left == 0 && lane->head_len == 0 && lane->kind == TL_GRPC_NATIVE;
}

static struct tl_step read_one_message(struct http2_call *call, struct tl_grpc *grpc,
				       const struct data *data, struct tl_bytes content)
{
	uint32_t read = data->head + TL_GRPC_HEAD_BYTES;

	(void)tl_grpc_read(grpc, call->ctx, call->lane, tl_bytes_first(content, TL_GRPC_HEAD_BYTES),
			   call->view->offset + data->head);
	if (grpc->lane[call->lane].is_lost)
		tl_count(call->ctx, HTTP2_COUNT_BAD_MESSAGE);
	else
		grpc->lane[call->lane].left = 0;
	call->me->left = 0;
	end_stream(call);
	return tl_ate_and_skip(read, data->head + (uint64_t)data->content);
}

struct tl_step tl_http2_data(struct http2_call *call)
{
	struct http2_lane *me = call->me;
	struct http2_memo *memo = call->memo;

	if (memo != NULL && memo->is_grpc)
		return read_messages(call, 0);
	me->in_data = false;
	if (memo == NULL || me->left == 0)
		return pass(call, 0, 0);
	// What is kept of the body; the padding behind it comes next.
	uint64_t max = call->options->capture_body_max;
	max = max < TL_HTTP_CAPTURE_BYTES_MAX ? max : TL_HTTP_CAPTURE_BYTES_MAX;
	uint64_t room = max > memo->kept[call->lane] ? max - memo->kept[call->lane] : 0;
	uint32_t keep = room < me->left ? (uint32_t)room : me->left;
	uint64_t bytes = me->left;
	memo->kept[call->lane] = (uint16_t)(memo->kept[call->lane] + keep);
	me->left = 0;
	me->in_data = me->padding != 0;
	end_stream(call);
	return tl_copy(bytes, HTTP_FIELD_BODY, keep);
}

static enum look look_of(struct http2_call *call, const struct data *data, struct tl_bytes content)
{
	const struct http2_memo *memo = call->memo;

	if (memo == NULL || data->content == 0)
		return LOOK_NOT;
	if (memo->may_be_grpc && call->lane == TL_CLIENT && content.len >= TL_GRPC_HEAD_BYTES &&
	    begins_like_grpc(data, content))
		(void)tl_http2_becomes_grpc(call, TL_GRPC_NATIVE);
	if (memo->is_grpc) {
		struct tl_grpc *grpc = tl_http2_grpc(call);
		return grpc != NULL && is_readable(call, grpc) ? LOOK_GRPC : LOOK_NOT;
	}
	return is_captured(call, memo) ? LOOK_COPY : LOOK_NOT;
}

// The bytes that must be in view before anything is decided.
static uint32_t bytes_needed(const struct http2_call *call, const struct data *data)
{
	const struct http2_memo *memo = call->memo;

	if (memo == NULL || !memo->may_be_grpc || call->lane != TL_CLIENT ||
	    data->content < TL_GRPC_HEAD_BYTES)
		return data->head;
	return data->head + TL_GRPC_HEAD_BYTES;
}

static bool goes_on(const struct http2_call *call)
{
	return call->memo != NULL && tl_message_is_of(call->ctx, call->lane, call->memo);
}

struct tl_step tl_http2_data_frame(struct http2_call *call, const struct frame *frame)
{
	struct tl_ctx *ctx = call->ctx;
	struct http2_lane *me = call->me;
	struct tl_bytes bytes = call->view->bytes;
	struct data data = {.frame = frame, .head = FRAME_HEAD_BYTES};
	bool ends = (frame->flags & FRAME_END_STREAM) != 0;
	struct tl_bytes content;
	struct tl_grpc *grpc;
	enum tl_lane opener = tl_http2_opener(frame->stream);

	if ((frame->flags & FRAME_PADDED) != 0 && frame->length != 0) {
		data.head++;
		if (bytes.len < data.head)
			return tl_need(data.head);
		data.padding = bytes.ptr[FRAME_HEAD_BYTES];
		if (data.padding > frame->length - 1)
			data.padding = frame->length - 1;
	}
	data.content = frame->length - (data.head - FRAME_HEAD_BYTES) - data.padding;
	uint32_t needed = bytes_needed(call, &data);
	if (bytes.len < needed)
		return tl_need(needed);
	if (!goes_on(call) && !tl_message_resume(ctx, call->lane, opener, frame->stream)) {
		if (ends && call->lane == TL_SERVER && call->memo != NULL)
			// The response's head was lost.
			tl_cancel(ctx, opener, frame->stream, TL_STATUS_UNANSWERED, TL_REASON_GAP);
		call->memo = NULL;
		return tl_skip((uint64_t)FRAME_HEAD_BYTES + frame->length);
	}
	tl_message_body(ctx, call->lane, data.content);
	me->stream = frame->stream;
	enum look look = look_of(call, &data, tl_bytes_from(bytes, data.head));
	me->left = data.content;
	me->padding = data.padding;
	me->frame_end = call->view->offset + FRAME_HEAD_BYTES + frame->length;
	me->ends_data = ends;
	switch (look) {
	case LOOK_GRPC:
		content = tl_bytes_from(bytes, data.head);
		grpc = tl_http2_grpc(call);
		return is_one_message(&grpc->lane[call->lane], &data, content)
			       ? read_one_message(call, grpc, &data, content)
			       : read_messages(call, data.head);
	case LOOK_COPY:
		me->in_data = true;
		return tl_ate(data.head);
	case LOOK_NOT:
		break;
	}
	return pass(call, data.head, data.head);
}
