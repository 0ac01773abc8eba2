// SPDX-License-Identifier: Apache-2.0
// Header blocks: what they are, their fields, and what their end means for the stream.
#include "http2.h"

#include "l7/trace.h"

#define UNKNOWN "<unknown>"

enum trace_source { TRACE_NONE, TRACE_B3_MULTI, TRACE_B3, TRACE_W3C };

// ---- What a block is ------------------------------------------------------------------------

static bool may_be_orphan(const struct http2 *http, uint32_t stream)
{
	if ((stream & 1) == 0)
		return false; // pushed: its promise is the record
	if (stream < http->first_stream || stream > http->last_stream)
		return true;
	return http->client_gap && stream > http->hole_low &&
	       (http->hole_high == 0 || stream < http->hole_high);
}

static enum http2_block kind_of(struct http2_call *call, uint32_t stream)
{
	const struct http2_memo *memo = tl_pending(call->ctx, TL_CLIENT, stream);

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
	me->trace_source = TRACE_NONE;
	me->block = (uint8_t)(promised ? HTTP2_BLOCK_PROMISE : kind_of(call, stream));
	if (me->block == HTTP2_BLOCK_TRAILERS)
		(void)tl_message_resume(call->ctx, call->lane, TL_CLIENT, stream);
	else if (me->block != HTTP2_BLOCK_NONE)
		tl_message_begin(call->ctx, call->lane, call->view->offset);
}

// ---- Fields ---------------------------------------------------------------------------------

static void text(struct http2_call *call, enum http2_field field, struct tl_bytes value)
{
	tl_message_text(call->ctx, call->lane, (uint8_t)field, value);
}

static void path_field(struct http2_call *call, struct tl_bytes target)
{
	uint32_t question = tl_bytes_find(target, '?', 0);
	struct tl_bytes path = tl_bytes_first(target, question);

	text(call, HTTP2_FIELD_PATH, path);
	// Values of a query may be secrets; without it nothing of them is left.
	bool redact = tl_redact(call->ctx);
	text(call, HTTP2_FIELD_TARGET, redact ? path : target);
	if (!redact && question != TL_BYTES_NONE && question + 1 < target.len)
		text(call, HTTP2_FIELD_QUERY, tl_bytes_from(target, question + 1));
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
	text(call, HTTP2_FIELD_HOST,
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
	tl_message_uint(call->ctx, call->lane, HTTP2_FIELD_STATUS_CODE, code);
}

static void take_trace(struct http2_call *call, uint8_t source, bool is_valid,
		       const struct tl_trace *trace)
{
	struct http2_lane *me = call->me;

	if (!is_valid || source < me->trace_source)
		return;
	me->trace_source = source;
	me->trace = *trace;
	if ((trace->flags & TL_TRACE_PRESENT) != 0)
		tl_message_trace(call->ctx, call->lane, trace);
}

static void b3_part(struct http2_call *call, struct tl_bytes value,
		    bool (*add)(struct tl_bytes, struct tl_trace *))
{
	struct tl_trace trace = {0};

	if (call->me->trace_source > TRACE_B3_MULTI)
		return;
	if (call->me->trace_source == TRACE_B3_MULTI)
		trace = call->me->trace;
	take_trace(call, TRACE_B3_MULTI, add(value, &trace), &trace);
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
		text(call, HTTP2_FIELD_METHOD, value);
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

// Names are in lower case, RFC 9113 section 8.2. Told apart by their length first.
static void request_field(struct http2_call *call, struct tl_bytes name, struct tl_bytes value)
{
	struct tl_trace trace = {0};

	switch (name.len) {
	case 2:
		if (tl_bytes_is(name, "b3"))
			take_trace(call, TRACE_B3, tl_trace_from_b3(value, &trace), &trace);
		break;
	case 4:
		if (tl_bytes_is(name, "host"))
			host_field(call, value);
		break;
	case 10:
		if (tl_bytes_is(name, "user-agent"))
			text(call, HTTP2_FIELD_USER_AGENT, value);
		else if (tl_bytes_is(name, "tracestate"))
			text(call, HTTP2_FIELD_TRACESTATE, value);
		break;
	case 11:
		if (tl_bytes_is(name, "traceparent"))
			take_trace(call, TRACE_W3C, tl_trace_from_traceparent(value, &trace), &trace);
		else if (tl_bytes_is(name, "x-b3-spanid"))
			b3_part(call, value, tl_trace_add_b3_span_id);
		break;
	case 12:
		if (tl_bytes_is(name, "x-request-id"))
			text(call, HTTP2_FIELD_REQUEST_ID, value);
		else if (tl_bytes_is(name, "x-b3-traceid"))
			b3_part(call, value, tl_trace_add_b3_trace_id);
		else if (tl_bytes_is(name, "x-b3-sampled"))
			b3_part(call, value, tl_trace_add_b3_sampled);
		break;
	default:
		break;
	}
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
	if (me->block == HTTP2_BLOCK_NONE || me->block == HTTP2_BLOCK_TRAILERS ||
	    (field->flags & HPACK_NAME_CUT) != 0 || field->name.len == 0)
		return;
	if (++me->field_count > HTTP2_FIELDS_MAX) {
		if (me->field_count == HTTP2_FIELDS_MAX + 1)
			tl_count(call->ctx, HTTP2_COUNT_MANY_FIELDS);
		me->field_count = HTTP2_FIELDS_MAX + 1;
		me->seen |= HTTP2_SEEN_CUT;
		return;
	}
	if (field->name.ptr[0] == ':')
		pseudo_field(call, field->name, field->value);
	else if (call->lane == TL_CLIENT || me->block == HTTP2_BLOCK_PROMISE)
		request_field(call, field->name, field->value);
	else if (tl_bytes_is(field->name, "server"))
		text(call, HTTP2_FIELD_SERVER, field->value);
	if (field->name.len == 12 && tl_bytes_is(field->name, "content-type"))
		text(call, HTTP2_FIELD_CONTENT_TYPE, field->value);
	if ((field->flags & HPACK_VALUE_CUT) != 0)
		me->seen |= HTTP2_SEEN_CUT;
}

// ---- The end of a block ---------------------------------------------------------------------

// Values that could not be told are said to be unknown.
static void request_done(struct http2_call *call)
{
	const struct http2_lane *me = call->me;
	bool unknown = (me->seen & HTTP2_SEEN_UNKNOWN) != 0;

	if (unknown && (me->seen & HTTP2_SEEN_METHOD) == 0)
		text(call, HTTP2_FIELD_METHOD, tl_bytes_of(UNKNOWN));
	if (unknown && (me->seen & (HTTP2_SEEN_PATH | HTTP2_SEEN_CONNECT)) == 0) {
		text(call, HTTP2_FIELD_PATH, tl_bytes_of(UNKNOWN));
		text(call, HTTP2_FIELD_TARGET, tl_bytes_of(UNKNOWN));
	}
	text(call, HTTP2_FIELD_VERSION, tl_bytes_of("2"));
}

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

static void request_ends(struct http2_call *call)
{
	struct http2_lane *me = call->me;
	struct http2 *http = call->http;
	struct http2_memo memo = {.is_connect = (me->seen & HTTP2_SEEN_CONNECT) != 0};
	const uint8_t pseudo = HTTP2_SEEN_METHOD | HTTP2_SEEN_PATH | HTTP2_SEEN_OTHER;
	bool is_new = me->stream > http->last_stream;

	// Trailers of a stream that is over, or that began before the join, have no pseudo-headers.
	if ((me->seen & pseudo) == 0 && ((me->seen & HTTP2_SEEN_UNKNOWN) == 0 || !is_new)) {
		tl_message_set_aside(call->ctx, call->lane);
		return;
	}
	request_done(call);
	note_stream(http, me->stream);
	tl_open(call->ctx, TL_CLIENT, me->stream, &memo);
	bool refused = http->is_going && me->stream > http->goaway;
	if (me->ends_stream || memo.is_connect || refused)
		tl_message_end(call->ctx, TL_CLIENT, me->frame_end);
	if (refused)
		tl_cancel(call->ctx, TL_CLIENT, me->stream, TL_STATUS_CANCELLED,
			  TL_REASON_GOAWAY_UNPROCESSED);
}

static enum tl_status status_of(uint32_t code)
{
	return code < 400 ? TL_STATUS_OK : code < 500 ? TL_STATUS_CLIENT_ERROR
						      : TL_STATUS_SERVER_ERROR;
}

void tl_http2_close(struct http2_call *call, uint32_t stream, uint64_t end)
{
	const struct http2_memo *memo = tl_pending(call->ctx, TL_CLIENT, stream);
	uint32_t code = memo == NULL ? 0 : memo->code;

	if (code == 0) // it was in the part of the table that is not known
		tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_ESTIMATED);
	tl_message_end(call->ctx, TL_SERVER, end);
	tl_close(call->ctx, TL_SERVER, stream, status_of(code), TL_REASON_NONE);
}

static void response_ends(struct http2_call *call)
{
	struct http2_lane *me = call->me;
	struct http2_memo *memo = tl_pending(call->ctx, TL_CLIENT, me->stream);

	if (memo == NULL) // it ended meanwhile
		return;
	if (me->code >= 100 && me->code < 200 && !me->ends_stream) {
		tl_part(call->ctx, TL_SERVER, me->stream);
		return;
	}
	if (me->code == 0 && (me->ends_stream ? call->http->server_gap
					      : (me->seen & HTTP2_SEEN_UNKNOWN) == 0)) {
		// Trailers: what they belong to was lost.
		tl_message_set_aside(call->ctx, TL_SERVER);
		tl_cancel(call->ctx, TL_CLIENT, me->stream, TL_STATUS_UNANSWERED, TL_REASON_GAP);
		return;
	}
	memo->code = me->code;
	memo->answered = true;
	bool tunnel = memo->is_connect && me->code >= 200 && me->code < 300;
	if (me->ends_stream || tunnel)
		tl_http2_close(call, me->stream, me->frame_end);
	else
		(void)tl_answer(call->ctx, TL_SERVER, me->stream);
}

static void single_ends(struct http2_call *call)
{
	struct http2_lane *me = call->me;

	if (me->block == HTTP2_BLOCK_ORPHAN && me->code < 200) {
		tl_message_set_aside(call->ctx, TL_SERVER);
		return;
	}
	if (me->block == HTTP2_BLOCK_PROMISE)
		request_done(call);
	else if (call->http->client_gap)
		tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_GAP);
	tl_message_end(call->ctx, TL_SERVER, me->frame_end);
	if (me->block == HTTP2_BLOCK_PROMISE)
		tl_one_way(call->ctx, TL_SERVER);
	else
		tl_orphan(call->ctx, TL_SERVER, TL_REASON_NONE);
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
		request_ends(call);
		break;
	case HTTP2_BLOCK_RESPONSE:
		response_ends(call);
		break;
	case HTTP2_BLOCK_TRAILERS:
		if (me->ends_stream && call->lane == TL_CLIENT)
			tl_message_end(call->ctx, TL_CLIENT, me->frame_end);
		else if (me->ends_stream && tl_pending(call->ctx, TL_CLIENT, me->stream) != NULL)
			tl_http2_close(call, me->stream, me->frame_end);
		break;
	case HTTP2_BLOCK_ORPHAN:
	case HTTP2_BLOCK_PROMISE:
		single_ends(call);
		break;
	case HTTP2_BLOCK_NONE:
		break;
	}
	me->block = HTTP2_BLOCK_NONE;
}
