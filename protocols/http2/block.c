// SPDX-License-Identifier: Apache-2.0
// Header blocks: what they are, their fields, and what their end means for the stream.
#include "http2.h"

// ---- What a block is ------------------------------------------------------------------------

static bool may_be_orphan(const struct http2 *http, uint32_t stream)
{
	if ((stream & 1) == 0)
		return false; // pushed: without its promise it says little
	if (stream < http->first_stream || stream > http->last_stream)
		return true;
	return http->client_gap && stream > http->hole_low &&
	       (http->hole_high == 0 || stream < http->hole_high);
}

static enum http2_block kind_of(struct http2_call *call, uint32_t stream)
{
	const struct http2_memo *memo = tl_http2_memo(call, stream);

	if (call->lane == TL_CLIENT)
		return memo != NULL ? HTTP2_BLOCK_TRAILERS : HTTP2_BLOCK_REQUEST;
	if (memo != NULL)
		return memo->answered ? HTTP2_BLOCK_TRAILERS : HTTP2_BLOCK_RESPONSE;
	return may_be_orphan(call->http, stream) ? HTTP2_BLOCK_ORPHAN : HTTP2_BLOCK_NONE;
}

void tl_http2_block_begin(struct http2_call *call, uint32_t stream, bool promised)
{
	struct http2_lane *me = call->me;

	me->stream = stream;
	me->block_bytes = 0;
	me->field_count = 0;
	me->code = 0;
	me->seen = 0;
	me->content = 0;
	me->trace_source = 0;
	memset(&me->grpc, 0, sizeof(me->grpc));
	me->block = (uint8_t)(promised ? HTTP2_BLOCK_PROMISE : kind_of(call, stream));
	if (me->block == HTTP2_BLOCK_TRAILERS)
		(void)tl_message_resume(call->ctx, call->lane, tl_http2_opener(stream), stream);
	else if (me->block != HTTP2_BLOCK_NONE)
		tl_message_begin(call->ctx, call->lane, call->view->offset);
	if (me->block == HTTP2_BLOCK_RESPONSE && tl_http2_grpc(call, stream) != NULL)
		tl_message_as(call->ctx, TL_SERVER, call->http->grpc_id);
}

// ---- Fields ---------------------------------------------------------------------------------

static void text(struct http2_call *call, uint8_t field, struct tl_bytes value)
{
	tl_message_text(call->ctx, call->lane, field, value);
}

static void path_field(struct http2_call *call, struct tl_bytes target)
{
	uint8_t masked[TL_HTTP_MASKED_BYTES_MAX];

	target = tl_http_masked(call->ctx, call->options, target, masked);
	text(call, HTTP_FIELD_TARGET, target);
	tl_http_path(call->ctx, call->lane, call->options, target);
}

// Without userinfo, which RFC 9113 forbids and some send.
static void host_field(struct http2_call *call, struct tl_bytes authority)
{
	uint32_t at = TL_BYTES_NONE;

	if ((call->me->seen & HTTP2_SEEN_HOST) != 0)
		return;
	call->me->seen |= HTTP2_SEEN_HOST;
	for (uint32_t i = 0; i < authority.len; i++)
		if (authority.ptr[i] == '@')
			at = i;
	text(call, HTTP_FIELD_HOST,
	     at == TL_BYTES_NONE ? authority : tl_bytes_from(authority, at + 1));
}

static void status_field(struct http2_call *call, struct tl_bytes value)
{
	uint32_t code = 0;

	for (uint32_t i = 0; i < value.len; i++) {
		if (value.len != 3 || value.ptr[i] < '0' || value.ptr[i] > '9')
			return;
		code = code * 10 + (uint32_t)(value.ptr[i] - '0');
	}
	if (code < 100 || call->me->code != 0)
		return;
	call->me->code = (uint16_t)code;
	tl_message_uint(call->ctx, call->lane, HTTP_FIELD_STATUS_CODE, code);
}

static void pseudo_field(struct http2_call *call, struct tl_bytes name, struct tl_bytes value)
{
	struct http2_lane *me = call->me;

	if (call->lane == TL_SERVER && me->block != HTTP2_BLOCK_PROMISE) {
		if (tl_bytes_is(name, ":status"))
			status_field(call, value);
		return;
	}
	if (tl_bytes_is(name, ":method") && (me->seen & HTTP2_SEEN_METHOD) == 0) {
		me->seen |= HTTP2_SEEN_METHOD;
		me->seen |= tl_bytes_is(value, "CONNECT") ? HTTP2_SEEN_CONNECT : 0;
		text(call, HTTP_FIELD_METHOD, value);
	} else if (tl_bytes_is(name, ":path") && (me->seen & HTTP2_SEEN_PATH) == 0) {
		me->seen |= HTTP2_SEEN_PATH;
		path_field(call, value);
	} else if (tl_bytes_is(name, ":authority")) {
		me->seen |= HTTP2_SEEN_OTHER;
		host_field(call, value);
	} else if (tl_bytes_is(name, ":scheme") && (me->seen & HTTP2_SEEN_OTHER) == 0) {
		text(call, HTTP2_FIELD_SCHEME, value);
	}
	me->seen |= tl_bytes_is(name, ":scheme") ? HTTP2_SEEN_OTHER : 0;
}

static void type_field(struct http2_call *call, struct tl_bytes value)
{
	struct http2_lane *me = call->me;

	me->seen |= HTTP2_SEEN_TYPE;
	text(call, HTTP_FIELD_CONTENT_TYPE, value);
	if (call->options->capture_body && tl_http_is_text_type(value))
		me->content |= HTTP2_IS_TEXT;
	if (tl_bytes_starts(value, "text/event-stream"))
		me->content |= HTTP2_IS_EVENTS;
}

// Fields that both sides send, and those of one. Names are in lower case, RFC 9113 section 8.2.
static void plain_field(struct http2_call *call, struct tl_bytes name, struct tl_bytes value)
{
	struct http2_lane *me = call->me;
	bool of_request = call->lane == TL_CLIENT || me->block == HTTP2_BLOCK_PROMISE;

	if (name.len == 12 && tl_bytes_is_word(name, "content-type"))
		type_field(call, value);
	else if (name.len == 16 && tl_bytes_is_word(name, "content-encoding"))
		me->content |= HTTP2_IS_ENCODED;
	else if (name.len == 6 && !of_request && tl_bytes_is_word(name, "server"))
		text(call, HTTP_FIELD_SERVER, value);
	else if (name.len == 4 && of_request && tl_bytes_is_word(name, "host"))
		host_field(call, value);
	if (of_request)
		tl_http_request_header(call->ctx, call->lane, &me->trace_source, name, value);
	if (call->lane == TL_CLIENT)
		tl_grpc_request_header(&me->grpc, name, value);
	tl_http_capture_header(call->ctx, call->lane, of_request, call->options, name, value);
}

// What a response or its trailers say of a call. A stream of which too little was told to know it
// for one is known by its status.
static void grpc_field(struct http2_call *call, struct tl_bytes name, struct tl_bytes value)
{
	uint32_t stream = call->me->stream;
	struct tl_grpc *grpc = tl_http2_grpc(call, stream);

	if (grpc == NULL && tl_bytes_is(name, "grpc-status")) {
		const struct http2_memo *memo = tl_http2_memo(call, stream);
		if (memo != NULL && memo->may_be_grpc)
			grpc = tl_http2_becomes_grpc(call, stream, TL_GRPC_NATIVE);
		if (grpc != NULL)
			tl_message_as(call->ctx, TL_SERVER, call->http->grpc_id);
	}
	if (grpc != NULL)
		tl_grpc_response_header(grpc, call->ctx, name, value);
}

void tl_http2_block_field(void *arg, const struct hpack_field *field)
{
	struct http2_call *call = (struct http2_call *)arg;
	struct http2_lane *me = call->me;

	if ((field->flags & (HPACK_NAME_UNKNOWN | HPACK_VALUE_UNKNOWN)) != 0) {
		tl_count(call->ctx, HTTP2_COUNT_UNKNOWN_FIELDS);
		me->seen |= HTTP2_SEEN_UNKNOWN;
		return;
	}
	if (me->block == HTTP2_BLOCK_NONE || (field->flags & HPACK_NAME_CUT) != 0 ||
	    field->name.len == 0)
		return;
	if (++me->field_count > HTTP2_FIELDS_MAX) {
		if (me->field_count == HTTP2_FIELDS_MAX + 1)
			tl_count(call->ctx, HTTP2_COUNT_MANY_FIELDS);
		me->field_count = HTTP2_FIELDS_MAX + 1;
		me->seen |= HTTP2_SEEN_CUT;
		return;
	}
	if (call->lane == TL_SERVER && field->name.len > 10 && field->name.ptr[0] == 'g' &&
	    tl_bytes_starts(field->name, "grpc-"))
		grpc_field(call, field->name, field->value);
	if (me->block == HTTP2_BLOCK_TRAILERS)
		return;
	if (field->name.ptr[0] == ':')
		pseudo_field(call, field->name, field->value);
	else
		plain_field(call, field->name, field->value);
	if ((field->flags & HPACK_VALUE_CUT) != 0)
		me->seen |= HTTP2_SEEN_CUT;
}

// ---- The end of a block ---------------------------------------------------------------------

// Of one that belongs to a message that has begun.
static void trailers_end(struct http2_call *call)
{
	struct http2_lane *me = call->me;
	struct http2_memo *memo = tl_http2_memo(call, me->stream);

	if (memo == NULL)
		return;
	memo->hides = memo->hides || (call->lane == TL_SERVER && (me->seen & HTTP2_SEEN_UNKNOWN) != 0);
	if (me->ends_stream && call->lane == TL_CLIENT)
		tl_message_end(call->ctx, TL_CLIENT, me->frame_end);
	else if (me->ends_stream)
		tl_http2_close(call, me->stream, me->frame_end);
}

void tl_http2_block_end(struct http2_call *call)
{
	struct http2_lane *me = call->me;

	if (me->block != HTTP2_BLOCK_NONE && me->block != HTTP2_BLOCK_TRAILERS) {
		tl_message_uint(call->ctx, call->lane, HTTP2_FIELD_STREAM_ID, me->stream);
		if ((me->seen & HTTP2_SEEN_UNKNOWN) != 0)
			tl_message_flag(call->ctx, call->lane, TL_FLAG_LATE_JOIN);
		if ((me->seen & HTTP2_SEEN_CUT) != 0)
			tl_message_flag(call->ctx, call->lane, TL_FLAG_TRUNCATED);
	}
	if (me->code != 0 || (call->lane == TL_CLIENT && (me->seen & HTTP2_SEEN_METHOD) != 0))
		call->http->roles_are_sure = true;
	switch ((enum http2_block)me->block) {
	case HTTP2_BLOCK_REQUEST:
		tl_http2_request(call);
		break;
	case HTTP2_BLOCK_RESPONSE:
		tl_http2_response(call);
		break;
	case HTTP2_BLOCK_TRAILERS:
		trailers_end(call);
		break;
	case HTTP2_BLOCK_ORPHAN:
		tl_http2_orphan(call);
		break;
	case HTTP2_BLOCK_PROMISE:
		tl_http2_promise(call);
		break;
	case HTTP2_BLOCK_NONE:
		break;
	}
	me->block = HTTP2_BLOCK_NONE;
}
