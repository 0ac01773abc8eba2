// SPDX-License-Identifier: Apache-2.0
// Header lines: those that decide where a message ends, and those that become fields.
#include "state.h"

#include "base/check.h"

#define UNFOLDED_BYTES_MAX 2048u // of a folded header; the rest of its value is cut

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

static inline void request_header(struct http_call *call, struct tl_bytes name, struct tl_bytes value)
{
	if (name.len == 4 && tl_bytes_is_word(name, "host")) {
		if ((call->me->flags & HTTP_HAS_HOST) == 0)
			tl_message_text(call->ctx, call->lane, HTTP_FIELD_HOST, value);
		call->me->flags |= HTTP_HAS_HOST;
		return;
	}
	tl_http_request_header(call->ctx, call->lane, &call->http->trace_source, name, value);
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

static inline void take_header(struct http_call *call, struct tl_bytes name, struct tl_bytes value)
{
	common_header(call, name, value);
	if ((call->me->flags & HTTP_CUT) != 0 && (call->me->header_count > HTTP_HEADERS_MAX ||
						  call->me->head_bytes > HTTP_HEAD_BYTES_MAX))
		return;
	if (call->lane == TL_CLIENT)
		request_header(call, name, value);
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

void tl_http_request_fields(struct http_call *call, const struct http_request_line *line)
{
	uint8_t masked[TL_HTTP_MASKED_BYTES_MAX];
	struct tl_bytes target = line->target;
	struct tl_bytes host;
	struct tl_bytes rest;

	tl_message_text(call->ctx, call->lane, HTTP_FIELD_METHOD, line->method);
	tl_message_text(call->ctx, call->lane, HTTP_FIELD_VERSION,
			line->version.len != 0 ? line->version : tl_bytes_of("0.9"));
	target = tl_http_masked(call->ctx, call->options, target, masked);
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
	tl_http_path(call->ctx, call->lane, call->options, rest);
}
