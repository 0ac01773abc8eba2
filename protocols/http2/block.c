// SPDX-License-Identifier: Apache-2.0
// Header blocks: what they are, their fields, and what their end means for the stream.
#include "http2.h"

#include "base/check.h"

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

static enum http2_block kind_of(const struct http2_call *call, uint32_t stream)
{
	const struct http2_memo *memo = call->memo;

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
	if (me->block == HTTP2_BLOCK_TRAILERS) {
		if (!tl_message_is_of(call->ctx, call->lane, call->memo))
			(void)tl_message_resume(call->ctx, call->lane, tl_http2_opener(stream), stream);
	} else if (me->block != HTTP2_BLOCK_NONE) {
		tl_message_begin(call->ctx, call->lane, call->view->offset);
	}
	if (me->block == HTTP2_BLOCK_RESPONSE && tl_http2_grpc(call) != NULL)
		tl_message_as(call->ctx, TL_SERVER, call->http->grpc_id);
}

// ---- Fields ---------------------------------------------------------------------------------

// What tells fields apart calls one of these as its last act, and keeps nothing meanwhile: inlined
// into it they would all pay for the registers of the longest.
#define LAST_ACT __attribute__((noinline)) static

LAST_ACT void text(struct http2_call *call, uint8_t field, uint32_t max, struct tl_bytes value)
{
	tl_values_text(&call->values, field, max, value);
}

static void target_fields(struct http2_call *call, struct tl_bytes target)
{
	text(call, HTTP_FIELD_TARGET, TL_HTTP_TARGET_BYTES_MAX, target);
	tl_http_path_values(&call->values, call->options, target);
}

// Away from the usual way, which needs no such buffer.
__attribute__((noinline)) static void masked_fields(struct http2_call *call, struct tl_bytes target)
{
	uint8_t masked[TL_HTTP_MASKED_BYTES_MAX];

	target_fields(call, tl_http_masked(call->ctx, call->options, target, masked));
}

// Without userinfo, which RFC 9113 forbids and some send.
LAST_ACT void host_field(struct http2_call *call, struct tl_bytes authority)
{
	if ((call->me->seen & HTTP2_SEEN_HOST) != 0)
		return;
	call->me->seen |= HTTP2_SEEN_HOST;
	for (uint32_t at; (at = tl_bytes_find(authority, '@', 0)) != TL_BYTES_NONE;)
		authority = tl_bytes_from(authority, at + 1);
	text(call, HTTP_FIELD_HOST, TL_FIELD_BYTES_DEFAULT, authority);
}

LAST_ACT void status_field(struct http2_call *call, struct tl_bytes value)
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
	tl_values_uint(&call->values, HTTP_FIELD_STATUS_CODE, code);
}

LAST_ACT void method_field(struct http2_call *call, struct tl_bytes value)
{
	struct http2_lane *me = call->me;

	if ((me->seen & HTTP2_SEEN_METHOD) != 0)
		return;
	me->seen |= HTTP2_SEEN_METHOD;
	me->seen |= tl_bytes_is(value, "CONNECT") ? HTTP2_SEEN_CONNECT : 0;
	text(call, HTTP_FIELD_METHOD, TL_HTTP_METHOD_BYTES_MAX, value);
}

LAST_ACT void path_field(struct http2_call *call, struct tl_bytes value)
{
	if ((call->me->seen & HTTP2_SEEN_PATH) != 0)
		return;
	call->me->seen |= HTTP2_SEEN_PATH;
	if (TL_UNLIKELY(tl_redact(call->ctx)))
		masked_fields(call, value);
	else
		target_fields(call, value);
}

LAST_ACT void scheme_field(struct http2_call *call, struct tl_bytes value)
{
	if ((call->me->seen & HTTP2_SEEN_OTHER) == 0)
		text(call, HTTP2_FIELD_SCHEME, HTTP2_SCHEME_BYTES_MAX, value);
	call->me->seen |= HTTP2_SEEN_OTHER;
}

LAST_ACT void type_field(struct http2_call *call, struct tl_bytes value)
{
	struct http2_lane *me = call->me;

	me->seen |= HTTP2_SEEN_TYPE;
	text(call, HTTP_FIELD_CONTENT_TYPE, HTTP2_WORD_BYTES_MAX, value);
	if (call->options->capture_body && tl_http_is_text_type(value))
		me->content |= HTTP2_IS_TEXT;
	if (tl_bytes_starts(value, "text/event-stream"))
		me->content |= HTTP2_IS_EVENTS;
	if (call->lane == TL_CLIENT) {
		me->grpc.kind = (uint8_t)tl_grpc_kind_of(value);
		return;
	}
	struct tl_grpc *grpc = tl_http2_grpc(call);
	if (grpc != NULL)
		tl_grpc_response_type(grpc, value);
}

// A stream of which too little was told to know it for a call is known by its status.
static struct tl_grpc *become_grpc(struct http2_call *call)
{
	if (call->memo == NULL || !call->memo->may_be_grpc)
		return NULL;
	tl_values_close(&call->values);
	struct tl_grpc *grpc = tl_http2_becomes_grpc(call, TL_GRPC_NATIVE);
	if (grpc != NULL)
		tl_message_as(call->ctx, TL_SERVER, call->http->grpc_id);
	return grpc;
}

// What a response or its trailers say of a call.
LAST_ACT void grpc_field(struct http2_call *call, const struct hpack_field *field)
{
	struct tl_grpc *grpc = tl_http2_grpc(call);

	if (grpc == NULL && field->tag == HTTP2_NAME_GRPC_STATUS)
		grpc = become_grpc(call);
	if (grpc == NULL)
		return;
	if (field->tag == HTTP2_NAME_GRPC_STATUS) {
		tl_grpc_response_status(grpc, field->value);
		return;
	}
	if (field->value.len == 0)
		return;
	tl_values_close(&call->values);
	if (field->tag == HTTP2_NAME_GRPC_MESSAGE)
		tl_grpc_response_message(grpc, call->ctx, field->value);
	else
		tl_grpc_response_encoding(call->ctx, field->value);
}

// Of a request, promised ones too.
static inline void request_field(struct http2_call *call, const struct hpack_field *field)
{
	struct tl_ctx *ctx = call->ctx;
	struct http2_lane *me = call->me;

	switch ((enum http2_name)field->tag) {
	case HTTP2_NAME_CONTENT_TYPE:
		type_field(call, field->value);
		break;
	case HTTP2_NAME_CONTENT_ENCODING:
		me->content |= HTTP2_IS_ENCODED;
		break;
	case HTTP2_NAME_METHOD:
		method_field(call, field->value);
		break;
	case HTTP2_NAME_SCHEME:
		scheme_field(call, field->value);
		break;
	case HTTP2_NAME_AUTHORITY:
		me->seen |= HTTP2_SEEN_OTHER;
		host_field(call, field->value);
		break;
	case HTTP2_NAME_PATH:
		path_field(call, field->value);
		break;
	case HTTP2_NAME_HOST:
		host_field(call, field->value);
		break;
	case HTTP2_NAME_USER_AGENT:
		text(call, HTTP_FIELD_USER_AGENT, TL_FIELD_BYTES_DEFAULT, field->value);
		break;
	case HTTP2_NAME_REQUEST_ID:
		text(call, HTTP_FIELD_REQUEST_ID, HTTP2_WORD_BYTES_MAX, field->value);
		break;
	case HTTP2_NAME_TRACESTATE:
		text(call, HTTP_FIELD_TRACESTATE, HTTP2_TRACESTATE_BYTES_MAX, field->value);
		break;
	case HTTP2_NAME_TRACEPARENT:
		tl_http_traceparent(ctx, call->lane, &me->trace_source, field->value);
		break;
	case HTTP2_NAME_B3:
		tl_http_b3(ctx, call->lane, &me->trace_source, field->value);
		break;
	case HTTP2_NAME_B3_TRACE_ID:
		tl_http_b3_part(ctx, call->lane, &me->trace_source, field->value,
				tl_trace_add_b3_trace_id);
		break;
	case HTTP2_NAME_B3_SPAN_ID:
		tl_http_b3_part(ctx, call->lane, &me->trace_source, field->value,
				tl_trace_add_b3_span_id);
		break;
	case HTTP2_NAME_B3_SAMPLED:
		tl_http_b3_part(ctx, call->lane, &me->trace_source, field->value,
				tl_trace_add_b3_sampled);
		break;
	case HTTP2_NAME_TRACE_BIN:
		tl_http_trace_bin(ctx, call->lane, &me->trace_source, field->value);
		break;
	case HTTP2_NAME_GRPC_TIMEOUT:
		tl_grpc_request_timeout(&me->grpc, field->value);
		break;
	case HTTP2_NAME_GRPC_ENCODING:
		tl_grpc_request_encoding(&me->grpc, field->value);
		break;
	default:
		break;
	}
}

static inline void response_field(struct http2_call *call, const struct hpack_field *field)
{
	switch ((enum http2_name)field->tag) {
	case HTTP2_NAME_CONTENT_TYPE:
		type_field(call, field->value);
		break;
	case HTTP2_NAME_CONTENT_ENCODING:
		call->me->content |= HTTP2_IS_ENCODED;
		break;
	case HTTP2_NAME_STATUS:
		status_field(call, field->value);
		break;
	case HTTP2_NAME_SERVER:
		text(call, HTTP_FIELD_SERVER, HTTP2_WORD_BYTES_MAX, field->value);
		break;
	case HTTP2_NAME_GRPC_STATUS:
	case HTTP2_NAME_GRPC_MESSAGE:
	case HTTP2_NAME_GRPC_ENCODING:
		grpc_field(call, field);
		break;
	default:
		break;
	}
}

// One of which not all is known, or not all is kept. False: it says nothing.
static bool is_told(struct http2_call *call, const struct hpack_field *field)
{
	if ((field->flags & HPACK_ANY_UNKNOWN) != 0) {
		tl_count(call->ctx, HTTP2_COUNT_UNKNOWN_FIELDS);
		call->me->seen |= HTTP2_SEEN_UNKNOWN;
		return false;
	}
	if ((field->flags & HPACK_NAME_CUT) != 0)
		return false;
	if (call->me->block != HTTP2_BLOCK_TRAILERS && call->me->block != HTTP2_BLOCK_NONE)
		call->me->seen |= HTTP2_SEEN_CUT;
	return true;
}

static void one_too_many(struct http2_call *call)
{
	struct http2_lane *me = call->me;

	if (me->field_count == HTTP2_FIELDS_MAX + 1)
		tl_count(call->ctx, HTTP2_COUNT_MANY_FIELDS);
	me->field_count = HTTP2_FIELDS_MAX + 1;
	me->seen |= HTTP2_SEEN_CUT;
}

// False: it says nothing.
static inline bool is_of_use(struct http2_call *call, const struct hpack_field *field)
{
	if (TL_UNLIKELY(field->flags != 0) && !is_told(call, field))
		return false;
	if (TL_LIKELY(++call->me->field_count <= HTTP2_FIELDS_MAX))
		return true;
	one_too_many(call);
	return false;
}

static void take_request_field(void *arg, const struct hpack_field *field)
{
	if (is_of_use((struct http2_call *)arg, field))
		request_field((struct http2_call *)arg, field);
}

static void take_response_field(void *arg, const struct hpack_field *field)
{
	if (is_of_use((struct http2_call *)arg, field))
		response_field((struct http2_call *)arg, field);
}

static void take_trailer(void *arg, const struct hpack_field *field)
{
	struct http2_call *call = (struct http2_call *)arg;

	if (is_of_use(call, field) && call->lane == TL_SERVER &&
	    (field->tag == HTTP2_NAME_GRPC_STATUS || field->tag == HTTP2_NAME_GRPC_MESSAGE))
		grpc_field(call, field);
}

// Of a block that belongs to nothing: only what is unknown is counted.
static void take_nothing(void *arg, const struct hpack_field *field)
{
	if (field->flags != 0)
		(void)is_told((struct http2_call *)arg, field);
}

// The same where headers are to be recorded.
static void take_and_capture(void *arg, const struct hpack_field *field)
{
	struct http2_call *call = (struct http2_call *)arg;

	if (!is_of_use(call, field))
		return;
	if (call->of_request)
		request_field(call, field);
	else
		response_field(call, field);
	if (tl_http2_is_pseudo(field->tag) || field->name.len == 0)
		return;
	tl_values_close(&call->values);
	tl_http_capture_header(call->ctx, call->lane, call->of_request, call->options, field->name,
			       field->value);
}

tl_hpack_fn *tl_http2_block_fn(const struct http2_call *call)
{
	switch ((enum http2_block)call->me->block) {
	case HTTP2_BLOCK_NONE:
		return take_nothing;
	case HTTP2_BLOCK_TRAILERS:
		return take_trailer;
	case HTTP2_BLOCK_REQUEST:
	case HTTP2_BLOCK_RESPONSE:
	case HTTP2_BLOCK_ORPHAN:
	case HTTP2_BLOCK_PROMISE:
		break;
	}
	if (TL_UNLIKELY(call->captures))
		return take_and_capture;
	return call->of_request ? take_request_field : take_response_field;
}

// ---- The end of a block ---------------------------------------------------------------------

// Of one that belongs to a message that has begun.
static void trailers_end(struct http2_call *call)
{
	struct http2_lane *me = call->me;
	struct http2_memo *memo = call->memo;

	if (memo == NULL)
		return;
	memo->hides = memo->hides || (call->lane == TL_SERVER && (me->seen & HTTP2_SEEN_UNKNOWN) != 0);
	if (me->ends_stream && call->lane == TL_CLIENT)
		tl_message_end(call->ctx, TL_CLIENT, me->frame_end);
	else if (me->ends_stream)
		tl_http2_close(call);
}

#define UNKNOWN "<unknown>"

// Values that could not be told are said to be unknown.
static void request_end(struct http2_call *call)
{
	const struct http2_lane *me = call->me;

	bool unknown = (me->seen & HTTP2_SEEN_UNKNOWN) != 0;

	text(call, HTTP_FIELD_VERSION, HTTP2_VERSION_BYTES_MAX, tl_bytes_of("2"));
	if (unknown && (me->seen & HTTP2_SEEN_METHOD) == 0)
		text(call, HTTP_FIELD_METHOD, TL_HTTP_METHOD_BYTES_MAX, tl_bytes_of(UNKNOWN));
	if (unknown && (me->seen & (HTTP2_SEEN_PATH | HTTP2_SEEN_CONNECT)) == 0) {
		text(call, HTTP_FIELD_PATH, TL_HTTP_PATH_BYTES_MAX, tl_bytes_of(UNKNOWN));
		text(call, HTTP_FIELD_TARGET, TL_HTTP_TARGET_BYTES_MAX, tl_bytes_of(UNKNOWN));
	}
}

void tl_http2_block_end(struct http2_call *call)
{
	struct http2_lane *me = call->me;

	if (me->block != HTTP2_BLOCK_NONE && me->block != HTTP2_BLOCK_TRAILERS) {
		tl_values_uint(&call->values, HTTP2_FIELD_STREAM_ID, me->stream);
		if (call->of_request)
			request_end(call);
		tl_values_close(&call->values);
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
