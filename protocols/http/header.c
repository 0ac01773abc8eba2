// SPDX-License-Identifier: Apache-2.0
// Header lines: those that decide where a message ends, and those that become fields.
#include "state.h"

#include "base/check.h"
#include "l7/trace.h"

#define UNFOLDED_BYTES_MAX 2048u // of a folded header; the rest of its value is cut
#define NAME_BYTES_MAX 64u       // of a captured header's name
#define MASKED_BYTES_MAX 4096u   // of a target with masked values

// Which header a trace was read from; a better one replaces it.
enum trace_source { TRACE_NONE, TRACE_B3_MULTI, TRACE_B3, TRACE_W3C };

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Replaces each fold (line end and blanks) by one blank, RFC 9112 section 5.2.
static struct tl_bytes unfold(struct tl_bytes value, uint8_t *ret)
{
	uint32_t len = 0;

	for (uint32_t i = 0; i < value.len && len < UNFOLDED_BYTES_MAX; i++) {
		uint8_t c = value.ptr[i];
		bool is_crlf = c == '\r' && i + 1 < value.len && value.ptr[i + 1] == '\n';
		bool is_fold = c == '\n' || is_crlf;
		if (!is_fold) {
			ret[len++] = c;
			continue;
		}
		while (len != 0 && is_blank(ret[len - 1]))
			len--;
		while (i + 1 < value.len && is_blank(value.ptr[i + 1]))
			i++;
		ret[len++] = ' ';
	}
	return tl_bytes_trim(tl_bytes(ret, len));
}

static void take_trace(struct http_call *call, uint8_t source, bool is_valid,
		       const struct tl_trace *trace)
{
	struct http *http = call->http;

	if (!is_valid || source < http->trace_source)
		return;
	http->trace_source = source;
	// What is gathered from several headers is kept with the message from the first one on.
	if ((trace->flags & TL_TRACE_PRESENT) != 0 || source == TRACE_B3_MULTI)
		tl_message_trace(call->ctx, call->lane, trace);
}

static void b3_part(struct http_call *call, struct tl_bytes value,
		    bool (*add)(struct tl_bytes, struct tl_trace *))
{
	const struct tl_trace *before = tl_message_trace_of(call->ctx, call->lane);
	struct tl_trace trace = {0};

	if (call->http->trace_source > TRACE_B3_MULTI)
		return;
	if (call->http->trace_source == TRACE_B3_MULTI && before != NULL)
		trace = *before;
	take_trace(call, TRACE_B3_MULTI, add(value, &trace), &trace);
}

static void length_header(struct http_call *call, struct tl_bytes value)
{
	struct http_lane *me = call->me;
	uint64_t length;

	if (!tl_http_content_length(value, &length) ||
	    ((me->flags & HTTP_HAS_LENGTH) != 0 && me->left != length)) {
		me->flags |= HTTP_BAD_LENGTH;
		return;
	}
	me->flags |= HTTP_HAS_LENGTH;
	me->left = length;
}

static void encoding_header(struct http_lane *me, struct tl_bytes value)
{
	me->flags |= HTTP_ENCODED;
	me->flags &= (uint16_t)~HTTP_CHUNKED;
	if (tl_http_ends_chunked(value))
		me->flags |= HTTP_CHUNKED;
}

static void upgrade_header(struct http_call *call, struct tl_bytes value)
{
	call->me->flags |= HTTP_HAS_UPGRADE;
	if (call->lane == TL_SERVER)
		call->http->switch_protocol = tl_bytes_is_nocase(value, "h2c")
						      ? tl_protocol_id("http2")
						      : TL_PROTOCOL_OPAQUE;
}

static void type_header(struct http_call *call, struct tl_bytes value)
{
	tl_message_text(call->ctx, call->lane, HTTP_FIELD_CONTENT_TYPE, value);
	if (call->options->capture_body && tl_http_is_text_type(value))
		call->me->flags |= HTTP_TEXT;
}

// Headers that requests have. The names are told apart by their length first.
static void request_header(struct http_call *call, struct tl_bytes name, struct tl_bytes value)
{
	struct tl_trace trace = {0};

	switch (name.len) {
	case 2:
		if (tl_bytes_is_word(name, "b3"))
			take_trace(call, TRACE_B3, tl_trace_from_b3(value, &trace), &trace);
		break;
	case 4:
		if (tl_bytes_is_word(name, "host") && (call->me->flags & HTTP_HAS_HOST) == 0) {
			call->me->flags |= HTTP_HAS_HOST;
			tl_message_text(call->ctx, call->lane, HTTP_FIELD_HOST, value);
		}
		break;
	case 10:
		if (tl_bytes_is_word(name, "user-agent"))
			tl_message_text(call->ctx, call->lane, HTTP_FIELD_USER_AGENT, value);
		else if (tl_bytes_is_word(name, "tracestate"))
			tl_message_text(call->ctx, call->lane, HTTP_FIELD_TRACESTATE, value);
		break;
	case 11:
		if (tl_bytes_is_word(name, "traceparent"))
			take_trace(call, TRACE_W3C, tl_trace_from_traceparent(value, &trace), &trace);
		else if (tl_bytes_is_word(name, "x-b3-spanid"))
			b3_part(call, value, tl_trace_add_b3_span_id);
		break;
	case 12:
		if (tl_bytes_is_word(name, "x-request-id"))
			tl_message_text(call->ctx, call->lane, HTTP_FIELD_REQUEST_ID, value);
		else if (tl_bytes_is_word(name, "x-b3-traceid"))
			b3_part(call, value, tl_trace_add_b3_trace_id);
		else if (tl_bytes_is_word(name, "x-b3-sampled"))
			b3_part(call, value, tl_trace_add_b3_sampled);
		break;
	default:
		break;
	}
}

// Headers that both sides send.
static void common_header(struct http_call *call, struct tl_bytes name, struct tl_bytes value)
{
	switch (name.len) {
	case 6:
		if (call->lane == TL_SERVER && tl_bytes_is_word(name, "server"))
			tl_message_text(call->ctx, call->lane, HTTP_FIELD_SERVER, value);
		break;
	case 7:
		if (tl_bytes_is_word(name, "upgrade"))
			upgrade_header(call, value);
		break;
	case 12:
		if (tl_bytes_is_word(name, "content-type"))
			type_header(call, value);
		break;
	case 14:
		if (tl_bytes_is_word(name, "content-length"))
			length_header(call, value);
		break;
	case 16:
		if (tl_bytes_is_word(name, "content-encoding"))
			call->me->flags |= HTTP_COMPRESSED;
		break;
	case 17:
		if (tl_bytes_is_word(name, "transfer-encoding"))
			encoding_header(call->me, value);
		break;
	default:
		break;
	}
}

static void capture_header(struct http_call *call, const struct tl_text_list *allow,
			   struct tl_bytes name, struct tl_bytes value)
{
	uint8_t lower[NAME_BYTES_MAX];
	uint32_t i = 0;

	for (; i < allow->count && i < HTTP_ALLOW_MAX; i++) {
		if (tl_bytes_is_nocase(name, allow->items[i]))
			break;
		if (strcmp(allow->items[i], "*") == 0 && !tl_http_is_secret_header(name))
			break;
	}
	if (i == allow->count || i == HTTP_ALLOW_MAX)
		return;
	name = tl_bytes_first(name, sizeof(lower));
	for (i = 0; i < name.len; i++)
		lower[i] = tl_ascii_lower(name.ptr[i]);
	tl_message_pair(call->ctx, call->lane,
			call->lane == TL_CLIENT ? HTTP_FIELD_REQUEST_HEADERS
						: HTTP_FIELD_RESPONSE_HEADERS,
			tl_bytes(lower, name.len), value);
}

static inline void take_header(struct http_call *call, struct tl_bytes name, struct tl_bytes value)
{
	common_header(call, name, value);
	if ((call->me->flags & HTTP_CUT) != 0 && (call->me->header_count > HTTP_HEADERS_MAX ||
						  call->me->head_bytes > HTTP_HEAD_BYTES_MAX))
		return;
	if (call->lane == TL_CLIENT)
		request_header(call, name, value);
	const struct tl_text_list *allow = call->lane == TL_CLIENT
						   ? &call->options->request_headers
						   : &call->options->response_headers;
	if (allow->count != 0)
		capture_header(call, allow, name, value);
}

// Away from the usual way, which needs no such buffer.
__attribute__((noinline)) static void take_folded(struct http_call *call, struct tl_bytes name,
						   struct tl_bytes value)
{
	uint8_t unfolded[UNFOLDED_BYTES_MAX];

	take_header(call, name, unfold(value, unfolded));
}

void tl_http_header(struct http_call *call, struct tl_bytes line, bool is_folded)
{
	uint32_t colon = tl_bytes_find(line, ':', 0);

	// A line that begins with a blank has nothing to continue; one without a name is no header.
	if (colon == TL_BYTES_NONE || colon == 0 || is_blank(line.ptr[0]))
		return;
	struct tl_bytes name = tl_bytes_trim(tl_bytes(line.ptr, colon));
	struct tl_bytes value =
		tl_bytes_trim(tl_bytes(line.ptr + colon + 1, line.len - colon - 1));
	if (TL_UNLIKELY(is_folded) && tl_bytes_find(value, '\n', 0) != TL_BYTES_NONE)
		take_folded(call, name, value);
	else
		take_header(call, name, value);
}

static void route_field(struct http_call *call, struct tl_bytes path)
{
	const struct tl_text_list *routes = &call->options->routes;

	for (uint32_t i = 0; i < routes->count && i < HTTP_ROUTES_MAX; i++) {
		if (!tl_http_route_matches(routes->items[i], path))
			continue;
		tl_message_text(call->ctx, call->lane, HTTP_FIELD_ROUTE,
				tl_bytes_of(routes->items[i]));
		return;
	}
}

void tl_http_request_fields(struct http_call *call, const struct http_request_line *line)
{
	uint8_t masked[MASKED_BYTES_MAX];
	struct tl_bytes target = line->target;
	struct tl_bytes host;
	struct tl_bytes rest;

	tl_message_text(call->ctx, call->lane, HTTP_FIELD_METHOD, line->method);
	tl_message_text(call->ctx, call->lane, HTTP_FIELD_VERSION,
			line->version.len != 0 ? line->version : tl_bytes_of("0.9"));
	if (tl_redact(call->ctx)) {
		uint32_t len = tl_http_mask(target, &call->options->redact_keys, masked, sizeof(masked));
		if (len != 0)
			target = tl_bytes(masked, len);
	}
	tl_message_text(call->ctx, call->lane, HTTP_FIELD_TARGET, target);
	if (line->kind == HTTP_CONNECT) {
		call->me->flags |= HTTP_HAS_HOST;
		tl_message_text(call->ctx, call->lane, HTTP_FIELD_HOST, target);
		return;
	}
	tl_http_split_target(target, &host, &rest);
	if (host.len != 0) {
		call->me->flags |= HTTP_HAS_HOST;
		tl_message_text(call->ctx, call->lane, HTTP_FIELD_HOST, host);
	}
	uint32_t question = tl_bytes_find(rest, '?', 0);
	struct tl_bytes path = tl_bytes_first(rest, question);
	if (question == 0)
		path = tl_bytes_of("/"); // "http://host?query"
	tl_message_text(call->ctx, call->lane, HTTP_FIELD_PATH, path);
	if (question != TL_BYTES_NONE && question + 1 < rest.len)
		tl_message_text(call->ctx, call->lane, HTTP_FIELD_QUERY,
				tl_bytes_from(rest, question + 1));
	if (call->options->routes.count != 0)
		route_field(call, path);
}
