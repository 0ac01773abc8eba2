// SPDX-License-Identifier: Apache-2.0
// Header lines: those that decide where a message ends, and those that become fields.
#include "state.h"

#include "base/check.h"

#define UNFOLDED_BYTES_MAX 2048u // of a folded header; the rest of its value is cut

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static inline bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t';
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

static void type_header(struct http_call *call, struct tl_bytes name, struct tl_bytes value)
{
	bool may_be_call = call->lane == TL_CLIENT ? tl_grpc_is_type(value) : call->me->is_call != 0;

	if (TL_UNLIKELY(may_be_call))
		tl_http_call_header(call, name, value);
	if (call->options->capture_body && tl_http_is_text_type(value))
		call->me->flags |= HTTP_TEXT;
}

#define NO_FIELD HTTP_FIELD_COUNT // of the headers that become no text

// A header of a request by its name: the field that its value becomes. Names are told apart by their
// length first. The raw value has blanks around it.
static inline uint8_t request_header(struct http_call *call, struct tl_bytes name,
				     struct tl_bytes raw)
{
	uint8_t *source = &call->http->trace_source;

	switch (name.len) {
	case 2:
		if (tl_bytes_is_word(name, "b3"))
			tl_http_b3(call->ctx, call->lane, source, tl_bytes_trim(raw));
		break;
	case 4:
		if (!tl_bytes_is_word(name, "host") || (call->me->flags & HTTP_HAS_HOST) != 0)
			break;
		call->me->flags |= HTTP_HAS_HOST;
		return HTTP_FIELD_HOST;
	case 10:
		if (tl_bytes_is_word(name, "user-agent"))
			return HTTP_FIELD_USER_AGENT;
		if (tl_bytes_is_word(name, "tracestate"))
			return HTTP_FIELD_TRACESTATE;
		break;
	case 11:
		if (tl_bytes_is_word(name, "traceparent"))
			tl_http_traceparent(call->ctx, call->lane, source, tl_bytes_trim(raw));
		else if (tl_bytes_is_word(name, "x-b3-spanid"))
			tl_http_b3_part(call->ctx, call->lane, source, tl_bytes_trim(raw),
					tl_trace_add_b3_span_id);
		break;
	case 12:
		if (tl_bytes_is_word(name, "x-request-id"))
			return HTTP_FIELD_REQUEST_ID;
		if (tl_bytes_is_word(name, "x-b3-traceid"))
			tl_http_b3_part(call->ctx, call->lane, source, tl_bytes_trim(raw),
					tl_trace_add_b3_trace_id);
		else if (tl_bytes_is_word(name, "x-b3-sampled"))
			tl_http_b3_part(call->ctx, call->lane, source, tl_bytes_trim(raw),
					tl_trace_add_b3_sampled);
		else if (tl_bytes_is_word(name, "grpc-timeout"))
			tl_http_call_header(call, name, tl_bytes_trim(raw));
		break;
	case 13:
		if (tl_bytes_is_word(name, "grpc-encoding"))
			tl_http_call_header(call, name, tl_bytes_trim(raw));
		break;
	default:
		break;
	}
	return NO_FIELD;
}

// The same for headers that both sides send: those say, among others, where the message ends.
static inline uint8_t common_header(struct http_call *call, struct tl_bytes name,
				    struct tl_bytes raw)
{
	switch (name.len) {
	case 6:
		if (call->lane == TL_SERVER && tl_bytes_is_word(name, "server"))
			return HTTP_FIELD_SERVER;
		break;
	case 7:
		if (tl_bytes_is_word(name, "upgrade"))
			upgrade_header(call, tl_bytes_trim(raw));
		break;
	case 12:
		if (!tl_bytes_is_word(name, "content-type"))
			break;
		type_header(call, name, tl_bytes_trim(raw));
		return HTTP_FIELD_CONTENT_TYPE;
	case 14:
		if (tl_bytes_is_word(name, "content-length"))
			length_header(call, tl_bytes_trim(raw));
		break;
	case 16:
		if (tl_bytes_is_word(name, "content-encoding"))
			call->me->flags |= HTTP_COMPRESSED;
		break;
	case 17:
		if (tl_bytes_is_word(name, "transfer-encoding"))
			encoding_header(call->me, tl_bytes_trim(raw));
		break;
	default:
		break;
	}
	return NO_FIELD;
}

static bool captures_headers(const struct http_call *call)
{
	const struct tl_text_list *allow = call->lane == TL_CLIENT
						   ? &call->options->request_headers
						   : &call->options->response_headers;
	return allow->count != 0;
}

static void take_header(struct http_call *call, struct tl_bytes name, struct tl_bytes value)
{
	bool has_room = (call->me->flags & HTTP_CUT) == 0 ||
			(call->me->header_count <= HTTP_HEADERS_MAX &&
			 call->me->head_bytes <= HTTP_HEAD_BYTES_MAX);
	uint8_t field = common_header(call, name, value);

	if (field == NO_FIELD && has_room && call->lane == TL_CLIENT)
		field = request_header(call, name, value);
	else if (field == NO_FIELD && TL_UNLIKELY(call->me->is_call))
		tl_http_call_header(call, name, value);
	if (field != NO_FIELD)
		tl_values_text(&call->values, field, HTTP_WORD_BYTES_MAX, value);
	if (!has_room || !captures_headers(call))
		return;
	tl_values_close(&call->values);
	tl_http_capture_header(call->ctx, call->lane, call->lane == TL_CLIENT, call->options, name,
			       value);
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

// A line that needs no second look: the name ends at `colon`, the value at `end`.
static inline void plain_header(struct http_call *call, const uint8_t *line, uint32_t colon,
				uint32_t end)
{
	struct tl_bytes name = tl_bytes(line, colon);
	struct tl_bytes raw = tl_bytes(line + colon + 1, end - colon - 1);
	uint8_t field = common_header(call, name, raw);

	if (field == NO_FIELD && call->lane == TL_CLIENT)
		field = request_header(call, name, raw);
	else if (field == NO_FIELD && TL_UNLIKELY(call->me->is_call))
		tl_http_call_header(call, name, tl_bytes_trim(raw));
	if (field != NO_FIELD)
		tl_values_text(&call->values, field, HTTP_WORD_BYTES_MAX, tl_bytes_trim(raw));
}

uint32_t tl_http_plain_headers(struct http_call *call, uint32_t at, uint32_t *ret_end)
{
	struct http_lane *me = call->me;
	struct http_scan scan = call->scan;
	// Lines that end further on may be too long.
	struct tl_bytes bytes = tl_bytes_first(call->view->bytes, at + HTTP_LINE_BYTES_MAX - 1);
	uint32_t begin = at;
	uint32_t count = me->header_count;
	uint32_t end;
	uint32_t colon;

	*ret_end = 0;
	if (call->view->seen > at || at >= bytes.len || captures_headers(call) ||
	    me->head_bytes + bytes.len > HTTP_HEAD_BYTES_MAX)
		return at;
	if (call->scanned != at)
		http_scan_block(&scan, bytes, at);
	while (count < HTTP_HEADERS_MAX && http_scan_line(&scan, bytes, &end, &colon)) {
		const uint8_t *line = bytes.ptr + at;
		uint32_t len = end - at;
		len -= len != 0 && line[len - 1] == '\r';
		if (len == 0) {
			*ret_end = end + 1 - at;
			break;
		}
		// Of the line behind it at least a byte must be seen, which would tell of a fold.
		if (end + 1 >= bytes.len || is_space(bytes.ptr[end + 1]))
			break;
		if (TL_LIKELY(colon != HTTP_NO_COLON && colon != at)) {
			if (TL_LIKELY(!is_space(bytes.ptr[colon - 1])))
				plain_header(call, line, colon - at, len);
			else
				tl_http_header(call, tl_bytes(line, len), false);
		}
		count++;
		at = end + 1;
	}
	me->header_count = count & 0xfffu;
	me->head_bytes += at - begin;
	return at;
}

static void target_fields(struct http_call *call, enum http_method kind, struct tl_bytes target)
{
	struct tl_bytes host;
	struct tl_bytes rest;

	tl_values_text(&call->values, HTTP_FIELD_TARGET, TL_HTTP_TARGET_BYTES_MAX, target);
	if (kind == HTTP_CONNECT) {
		call->me->flags |= HTTP_HAS_HOST;
		tl_values_text(&call->values, HTTP_FIELD_HOST, HTTP_WORD_BYTES_MAX, target);
		return;
	}
	tl_http_split_target(target, &host, &rest);
	if (host.len != 0) {
		call->me->flags |= HTTP_HAS_HOST;
		tl_values_text(&call->values, HTTP_FIELD_HOST, HTTP_WORD_BYTES_MAX, host);
	}
	tl_http_path_values(&call->values, call->options, rest);
}

// Away from the usual way, which needs no such buffer.
__attribute__((noinline)) static void masked_fields(struct http_call *call,
						     const struct http_request_line *line)
{
	uint8_t masked[TL_HTTP_MASKED_BYTES_MAX];

	target_fields(call, line->kind,
		      tl_http_masked(call->ctx, call->options, line->target, masked));
}

void tl_http_request_fields(struct http_call *call, const struct http_request_line *line)
{
	tl_values_text(&call->values, HTTP_FIELD_METHOD, TL_HTTP_METHOD_BYTES_MAX, line->method);
	tl_values_text(&call->values, HTTP_FIELD_VERSION, HTTP_VERSION_BYTES_MAX,
		       line->version.len != 0 ? line->version : tl_bytes_of("0.9"));
	if (TL_UNLIKELY(tl_redact(call->ctx)))
		masked_fields(call, line);
	else
		target_fields(call, line->kind, line->target);
}
