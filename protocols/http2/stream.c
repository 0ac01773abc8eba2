// SPDX-License-Identifier: Apache-2.0
// Streams: what complete header blocks, resets and GOAWAY do to them.
#include "http2.h"

// ---- Requests -------------------------------------------------------------------------------

static void note_stream(struct http2 *http, uint32_t stream)
{
	if (http->last_stream == 0 || stream < http->first_stream)
		http->first_stream = stream;
	if (stream <= http->last_stream)
		return;
	http->last_stream = stream;
	if (http->client_gap && http->hole_high == 0)
		http->hole_high = stream;
}

// The stream's request is open; `is_current`: and the client lane's current message.
static struct tl_grpc *begin_grpc(struct http2_call *call, const struct tl_grpc_request *request,
				  bool is_current)
{
	const struct http2 *http = call->http;
	struct tl_grpc *grpc =
		tl_grpc_begin(call->ctx, call->me->stream, http->grpc_id, request, is_current);

	call->memo->may_be_grpc = false;
	call->memo->is_grpc = grpc != NULL;
	for (uint32_t i = 0; i < TL_LANE_COUNT && grpc != NULL; i++)
		grpc->lane[i].epoch = http->lane[i].epoch;
	return grpc;
}

struct tl_grpc *tl_http2_becomes_grpc(struct http2_call *call, enum tl_grpc_kind kind)
{
	struct tl_grpc_request request = {.kind = (uint8_t)kind};
	bool is_late[TL_LANE_COUNT] = {call->lane == TL_SERVER, call->memo->answered};
	struct tl_grpc *grpc = begin_grpc(call, &request, false);

	// Messages before were passed over.
	for (uint32_t i = 0; i < TL_LANE_COUNT && grpc != NULL; i++)
		grpc->lane[i].is_lost = grpc->lane[i].has_missed = is_late[i];
	return grpc;
}

void tl_http2_request(struct http2_call *call)
{
	struct http2_lane *me = call->me;
	struct http2 *http = call->http;
	bool unknown = (me->seen & HTTP2_SEEN_UNKNOWN) != 0;
	struct http2_memo memo = {
		.is_connect = (me->seen & HTTP2_SEEN_CONNECT) != 0,
		.may_be_grpc = unknown && (me->seen & HTTP2_SEEN_TYPE) == 0,
	};
	const uint8_t pseudo = HTTP2_SEEN_METHOD | HTTP2_SEEN_PATH | HTTP2_SEEN_OTHER;
	bool is_new = me->stream > http->last_stream;

	// Trailers of a stream that is over, or that began before the join, have no pseudo-headers.
	if ((me->seen & pseudo) == 0 && (!unknown || !is_new)) {
		tl_message_set_aside(call->ctx, call->lane);
		return;
	}
	note_stream(http, me->stream);
	memo.content[TL_CLIENT] = me->content;
	tl_open(call->ctx, TL_CLIENT, me->stream, &memo);
	tl_http2_look_up(call, me->stream);
	if (me->grpc.kind != TL_GRPC_NONE && call->memo != NULL)
		(void)begin_grpc(call, &me->grpc, true);
	bool refused = http->is_going && me->stream > http->goaway;
	if (me->ends_stream || memo.is_connect || refused)
		tl_message_end(call->ctx, TL_CLIENT, me->frame_end);
	if (refused) {
		call->memo = NULL;
		tl_cancel(call->ctx, TL_CLIENT, me->stream, TL_STATUS_CANCELLED,
			  TL_REASON_GOAWAY_UNPROCESSED);
	}
}

void tl_http2_promise(struct http2_call *call)
{
	struct http2_memo memo = {0};

	tl_message_end(call->ctx, TL_SERVER, call->me->frame_end);
	tl_promise(call->ctx, TL_SERVER, call->me->stream, &memo);
}

// ---- Responses ------------------------------------------------------------------------------

static enum tl_status status_of(uint32_t code)
{
	return code < 400 ? TL_STATUS_OK : code < 500 ? TL_STATUS_CLIENT_ERROR
						      : TL_STATUS_SERVER_ERROR;
}

void tl_http2_close(struct http2_call *call)
{
	const struct http2_memo *memo = call->memo;
	uint32_t code = memo == NULL ? 0 : memo->code;
	const struct tl_grpc *grpc = memo != NULL && memo->is_grpc ? tl_http2_grpc(call) : NULL;
	// A status in the part of the table that is not known.
	struct tl_grpc_outcome outcome = {.status = status_of(code), .is_estimated = code == 0};

	if (grpc != NULL)
		outcome = tl_grpc_outcome(grpc, code, memo->hides);
	if (outcome.is_estimated)
		tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_ESTIMATED);
	tl_message_end(call->ctx, TL_SERVER, call->me->frame_end);
	tl_close(call->ctx, TL_SERVER, call->me->stream, outcome.status, outcome.reason);
	call->memo = NULL;
}

// The response of an open request begins with the block.
static void answer(struct http2_call *call)
{
	struct http2_lane *me = call->me;
	struct http2_memo *memo = call->memo;
	bool tunnel = memo->is_connect && me->code >= 200 && me->code < 300;

	memo->code = me->code;
	memo->answered = true;
	memo->content[TL_SERVER] = me->content;
	memo->hides = (me->seen & HTTP2_SEEN_UNKNOWN) != 0;
	bool is_long = memo->is_grpc || (me->content & HTTP2_IS_EVENTS) != 0;
	if (me->ends_stream || tunnel) {
		tl_http2_close(call);
		return;
	}
	(void)tl_answer(call->ctx, TL_SERVER, me->stream);
	if (is_long) // its next message may come at any time
		tl_allow(call->ctx, tl_http2_opener(me->stream), me->stream, 0);
}

void tl_http2_response(struct http2_call *call)
{
	struct http2_lane *me = call->me;

	if (call->memo == NULL) // it ended meanwhile
		return;
	if (me->code >= 100 && me->code < 200 && !me->ends_stream) {
		tl_part(call->ctx, TL_SERVER, me->stream);
		return;
	}
	if (me->code == 0 && (me->ends_stream ? call->http->server_gap
					      : (me->seen & HTTP2_SEEN_UNKNOWN) == 0)) {
		// Trailers: what they belong to was lost.
		tl_message_set_aside(call->ctx, TL_SERVER);
		call->memo = NULL;
		tl_cancel(call->ctx, tl_http2_opener(me->stream), me->stream, TL_STATUS_UNANSWERED,
			  TL_REASON_GAP);
		return;
	}
	answer(call);
}

void tl_http2_orphan(struct http2_call *call)
{
	struct http2_lane *me = call->me;
	struct http2_memo memo = {.may_be_grpc = (me->seen & HTTP2_SEEN_UNKNOWN) != 0 &&
						 (me->seen & HTTP2_SEEN_TYPE) == 0};

	if (me->code < 200) {
		tl_message_set_aside(call->ctx, TL_SERVER);
		return;
	}
	if (call->http->client_gap)
		tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_GAP);
	tl_open_unseen(call->ctx, TL_CLIENT, me->stream, &memo);
	tl_http2_look_up(call, me->stream);
	if (call->memo == NULL)
		return;
	struct tl_bytes type = tl_message_value(call->ctx, TL_SERVER, HTTP_FIELD_CONTENT_TYPE);
	struct tl_grpc_request request = {.kind = (uint8_t)tl_grpc_kind_of(type)};
	struct tl_grpc *grpc =
		request.kind == TL_GRPC_NONE ? NULL : begin_grpc(call, &request, false);
	if (grpc != NULL) {
		grpc->lane[TL_CLIENT].has_missed = true;
		tl_message_as(call->ctx, TL_SERVER, call->http->grpc_id);
	}
	answer(call);
}

// ---- Ends -----------------------------------------------------------------------------------

static struct tl_grpc_outcome reset_outcome(struct http2_call *call, const struct tl_grpc *grpc,
					    uint32_t stream, uint32_t error)
{
	bool is_cancel = error == HTTP2_CANCEL || error == HTTP2_NO_ERROR;

	if (grpc != NULL && is_cancel)
		return tl_grpc_cancelled(grpc, tl_elapsed_ns(call->ctx, call->lane,
							     call->view->offset, TL_CLIENT, stream));
	return (struct tl_grpc_outcome) {.status = is_cancel ? TL_STATUS_CANCELLED
							     : TL_STATUS_SERVER_ERROR};
}

void tl_http2_reset(struct http2_call *call, uint32_t stream, uint32_t error)
{
	struct tl_ctx *ctx = call->ctx;
	enum tl_lane opener = tl_http2_opener(stream);
	uint64_t offset = call->view->offset;

	tl_http2_look_up(call, stream);
	const struct http2_memo *memo = call->memo;
	if (memo == NULL)
		return; // it changes nothing any more
	struct tl_grpc *grpc = memo->is_grpc ? tl_http2_grpc(call) : NULL;
	struct tl_grpc_outcome outcome = reset_outcome(call, grpc, stream, error);
	if (call->lane == TL_CLIENT) {
		tl_request_uint(ctx, opener, stream, HTTP2_FIELD_ERROR_CODE, error);
		tl_cancel(ctx, opener, stream, outcome.status, outcome.reason);
		return;
	}
	if (!tl_message_resume(ctx, TL_SERVER, opener, stream) && !memo->answered) {
		tl_message_begin(ctx, TL_SERVER, offset); // it is the answer
		if (grpc != NULL)
			tl_message_as(ctx, TL_SERVER, call->http->grpc_id);
	}
	tl_message_uint(ctx, TL_SERVER, HTTP2_FIELD_ERROR_CODE, error);
	tl_message_end(ctx, TL_SERVER, offset + FRAME_HEAD_BYTES + 4);
	tl_close(ctx, TL_SERVER, stream, outcome.status, outcome.reason);
}

// The server says which streams it will not process: those above `last`.
void tl_http2_goaway(struct http2_call *call, uint32_t last, uint32_t error)
{
	struct http2 *http = call->http;
	struct tl_ctx *ctx = call->ctx;
	uint32_t from = http->is_going && http->goaway < http->last_stream ? http->goaway
									   : http->last_stream;

	if (http->is_going && last >= http->goaway)
		return;
	http->is_going = true;
	http->goaway = last;
	// Streams are opened in order: the open ones are among the latest.
	for (uint32_t n = 0; n < TL_PENDING_MAX && from > last; n++) {
		tl_request_uint(ctx, TL_CLIENT, from, HTTP2_FIELD_ERROR_CODE, error);
		tl_cancel(ctx, TL_CLIENT, from, TL_STATUS_CANCELLED, TL_REASON_GOAWAY_UNPROCESSED);
		from -= from > 1 ? 2 : 1;
	}
}
