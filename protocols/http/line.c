// SPDX-License-Identifier: Apache-2.0
#include "line.h"

#include "base/check.h"

#define BIT(c) (1ull << ((c) & 63))
#define DIGIT_BITS (0x3ffull << '0')
#define LETTER_BITS (0x07fffffe07fffffeull)
#define LENGTH_DIGITS 18u // of a number that is below HTTP_LENGTH_MAX whatever its digits are

// RFC 9110 section 5.6.2: a bit per character.
static bool is_token_char(uint8_t c)
{
	static const uint64_t bits[2] = {
		DIGIT_BITS | BIT('!') | BIT('#') | BIT('$') | BIT('%') | BIT('&') | BIT('\'') |
			BIT('*') | BIT('+') | BIT('-') | BIT('.'),
		LETTER_BITS | BIT('^') | BIT('_') | BIT('`') | BIT('|') | BIT('~'),
	};
	return c < 128 && (bits[c >> 6] & BIT(c)) != 0;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

uint32_t tl_http_token_len(struct tl_bytes b)
{
	uint32_t len = 0;
	while (len < b.len && len <= HTTP_METHOD_BYTES_MAX && is_token_char(b.ptr[len]))
		len++;
	return len;
}

enum http_method tl_http_method_kind(struct tl_bytes method)
{
	if (method.len == 3 && memcmp(method.ptr, "GET", 3) == 0)
		return HTTP_GET;
	if (method.len == 4 && memcmp(method.ptr, "HEAD", 4) == 0)
		return HTTP_HEAD;
	if (method.len == 7 && memcmp(method.ptr, "CONNECT", 7) == 0)
		return HTTP_CONNECT;
	return HTTP_OTHER;
}

bool tl_http_request_line(struct tl_bytes line, bool is_cut, struct http_request_line *ret)
{
	uint32_t method_len = tl_http_token_len(line);

	if (method_len == 0 || method_len > HTTP_METHOD_BYTES_MAX || method_len >= line.len ||
	    line.ptr[method_len] != ' ')
		return false;
	ret->method = tl_bytes_first(line, method_len);
	ret->kind = tl_http_method_kind(ret->method);
	if (is_cut) {
		ret->target = tl_bytes_from(line, method_len + 1);
		ret->version = tl_bytes_of("1.1");
		return true;
	}
	while (line.ptr[line.len - 1] == ' ') // ends at the latest at the blank behind the method
		line.len--;
	struct tl_bytes rest = tl_bytes_from(line, method_len + 1);
	if (rest.len > 9 && memcmp(rest.ptr + rest.len - 9, " HTTP/1.", 8) == 0 &&
	    is_digit(rest.ptr[rest.len - 1])) {
		ret->version = tl_bytes(rest.ptr + rest.len - 3, 3);
		ret->target = tl_bytes_trim(tl_bytes_first(rest, rest.len - 9));
		return ret->target.len != 0 && !tl_http_has_control(ret->target);
	}
	// HTTP/0.9 knew only GET, and nothing behind the target.
	ret->version = tl_bytes(NULL, 0);
	ret->target = rest;
	return ret->kind == HTTP_GET && rest.len != 0 && rest.ptr[0] == '/' && !tl_http_has_control(rest) &&
	       tl_bytes_find(rest, ' ', 0) == TL_BYTES_NONE;
}

bool tl_http_status_line(struct tl_bytes line, struct http_status_line *ret)
{
	uint32_t at = 8;

	if (line.len < 12 || memcmp(line.ptr, "HTTP/1.", 7) != 0 || !is_digit(line.ptr[7]) ||
	    line.ptr[8] != ' ')
		return false;
	while (at < line.len && line.ptr[at] == ' ') // one by the grammar; clients take more
		at++;
	if (line.len - at < 3)
		return false;
	const uint8_t *code = line.ptr + at;
	if (!is_digit(code[0]) || code[0] == '0' || !is_digit(code[1]) || !is_digit(code[2]) ||
	    (line.len > at + 3 && code[3] != ' '))
		return false;
	ret->version = tl_bytes(line.ptr + 5, 3);
	ret->code = (uint16_t)((code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0'));
	ret->reason = tl_bytes_trim(tl_bytes_from(line, at + 4));
	return true;
}

enum tl_match tl_http_match_request(struct tl_bytes first)
{
	struct http_request_line line;
	uint32_t at = 0;

	while (at < first.len && at < 4 && (first.ptr[at] == '\r' || first.ptr[at] == '\n'))
		at++;
	first = tl_bytes_from(first, at);
	if (first.len == 0)
		return at != 0 ? TL_MATCH_UNSURE : TL_MATCH_NO;
	uint32_t end = tl_bytes_find(first, '\n', 0);
	if (end == TL_BYTES_NONE) {
		uint32_t len = tl_http_token_len(first);
		if (len == 0 || len > HTTP_METHOD_BYTES_MAX)
			return TL_MATCH_NO;
		if (len == first.len)
			return TL_MATCH_UNSURE;
		if (first.ptr[len] != ' ' || (first.len > len + 1 && first.ptr[len + 1] <= ' '))
			return TL_MATCH_NO;
		// A line longer than detection looks at: few things else begin like this.
		return first.len >= HTTP_METHOD_BYTES_MAX && tl_http_match_resync(TL_CLIENT, first) != TL_MATCH_NO
			       ? TL_MATCH_LIKELY
			       : TL_MATCH_UNSURE;
	}
	if (!tl_http_request_line(tl_http_chomp(tl_bytes_first(first, end + 1)), false, &line))
		return TL_MATCH_NO;
	return line.version.len != 0 ? TL_MATCH_CERTAIN : TL_MATCH_LIKELY;
}

enum tl_match tl_http_match_response(struct tl_bytes first)
{
	static const char shape[] = "HTTP/1.d ddd";
	uint32_t len = first.len < sizeof(shape) - 1 ? first.len : (uint32_t)sizeof(shape) - 1;

	for (uint32_t i = 0; i < len; i++) {
		bool fits = shape[i] == 'd' ? is_digit(first.ptr[i])
					    : first.ptr[i] == (uint8_t)shape[i];
		if (!fits)
			return TL_MATCH_NO;
	}
	return len == sizeof(shape) - 1 ? TL_MATCH_CERTAIN : TL_MATCH_UNSURE;
}

static const char *const registered[] = {
	"GET",	    "POST",   "HEAD",	"PUT",	 "DELETE", "OPTIONS", "PATCH",	   "CONNECT",
	"TRACE",    "COPY",   "MOVE",	"LOCK",	 "UNLOCK", "MKCOL",   "PROPFIND",  "PROPPATCH",
	"REPORT",   "SEARCH", "MERGE",	"PURGE", "BIND",   "UNBIND",  "SUBSCRIBE", "UNSUBSCRIBE",
	"M-SEARCH", "NOTIFY", "LINK",	"UNLINK",
};

static bool ends_with(struct tl_bytes word, struct tl_bytes end)
{
	return word.len >= end.len && memcmp(word.ptr + word.len - end.len, end.ptr, end.len) == 0;
}

bool tl_http_is_torn_method(struct tl_bytes method)
{
	bool is_torn = false;

	for (uint32_t i = 0; i < TL_COUNT_OF(registered); i++) {
		struct tl_bytes known = tl_bytes_of(registered[i]);
		if (tl_bytes_equal(method, known))
			return false;
		is_torn = is_torn || ends_with(known, method) || ends_with(method, known);
	}
	return is_torn;
}

// A registered method at the start of `first`, or what may become one when more comes.
static enum tl_match match_method(struct tl_bytes first, uint32_t *ret_len)
{
	for (uint32_t i = 0; i < TL_COUNT_OF(registered); i++) {
		uint32_t len = (uint32_t)strlen(registered[i]);
		uint32_t shown = first.len < len ? first.len : len;
		if (memcmp(first.ptr, registered[i], shown) != 0)
			continue;
		if (first.len <= len)
			return TL_MATCH_UNSURE;
		*ret_len = len;
		if (first.ptr[len] == ' ')
			return TL_MATCH_CERTAIN;
	}
	return TL_MATCH_NO;
}

// As far as the line is in view it must be a status line in every part.
static enum tl_match match_status_line(struct tl_bytes first)
{
	struct http_status_line line;
	enum tl_match match = tl_http_match_response(first);
	uint32_t end = match == TL_MATCH_CERTAIN ? tl_bytes_find(first, '\n', 0) : TL_BYTES_NONE;

	if (end == TL_BYTES_NONE)
		return match == TL_MATCH_NO ? TL_MATCH_NO : TL_MATCH_UNSURE;
	return tl_http_status_line(tl_http_chomp(tl_bytes_first(first, end + 1)), &line)
		       ? TL_MATCH_CERTAIN
		       : TL_MATCH_NO;
}

enum tl_match tl_http_match_resync(enum tl_lane lane, struct tl_bytes first)
{
	struct http_request_line line;
	uint32_t len = 0;

	if (lane == TL_SERVER)
		return match_status_line(first);
	enum tl_match match = match_method(first, &len);
	if (match != TL_MATCH_CERTAIN)
		return match;
	if (first.len > len + 1 && memchr("/*hH", first.ptr[len + 1], 4) == NULL &&
	    !tl_bytes_starts(first, "CONNECT "))
		return TL_MATCH_NO;
	uint32_t end = tl_bytes_find(first, '\n', 0);
	if (end == TL_BYTES_NONE)
		return TL_MATCH_UNSURE;
	bool fits = tl_http_request_line(tl_http_chomp(tl_bytes_first(first, end + 1)), false, &line);
	return fits && line.version.len != 0 ? TL_MATCH_CERTAIN : TL_MATCH_NO;
}

uint32_t tl_http_find_start(enum tl_lane lane, struct tl_bytes bytes)
{
	for (uint32_t at = 0; at < bytes.len; at++) {
		if (lane == TL_SERVER) {
			uint32_t next = tl_bytes_find(bytes, 'H', at);
			if (next == TL_BYTES_NONE)
				break;
			at = next;
		}
		uint8_t before = at == 0 ? '\n' : bytes.ptr[at - 1];
		// Inside of a longer word it is another word.
		if (lane == TL_CLIENT && ((before >= 'A' && before <= 'Z') || before == '-'))
			continue;
		if (tl_http_match_resync(lane, tl_bytes_from(bytes, at)) != TL_MATCH_NO)
			return at;
	}
	return bytes.len;
}

bool tl_http_content_length(struct tl_bytes value, uint64_t *ret_length)
{
	bool have = false;
	uint64_t all = 0;
	uint32_t digits = 0;

	for (; digits < value.len && digits < LENGTH_DIGITS && is_digit(value.ptr[digits]); digits++)
		all = all * 10 + (uint64_t)(value.ptr[digits] - '0');
	if (digits == value.len && digits != 0) { // nothing but one number, as nearly always
		*ret_length = all;
		return true;
	}
	while (true) {
		uint32_t comma = tl_bytes_find(value, ',', 0);
		struct tl_bytes member = tl_bytes_trim(tl_bytes_first(value, comma));
		uint64_t length = 0;
		if (member.len == 0)
			return false;
		for (uint32_t i = 0; i < member.len; i++) {
			if (!is_digit(member.ptr[i]))
				return false;
			length = length * 10 + (uint64_t)(member.ptr[i] - '0');
			if (length > HTTP_LENGTH_MAX)
				return false;
		}
		if (have && length != all)
			return false;
		have = true;
		all = length;
		if (comma == TL_BYTES_NONE)
			break;
		value = tl_bytes_from(value, comma + 1);
	}
	*ret_length = all;
	return true;
}

bool tl_http_ends_chunked(struct tl_bytes value)
{
	uint32_t from = 0;
	for (uint32_t comma; (comma = tl_bytes_find(value, ',', from)) != TL_BYTES_NONE;)
		from = comma + 1;
	return tl_bytes_is_nocase(tl_bytes_trim(tl_bytes_from(value, from)), "chunked");
}

bool tl_http_chunk_size(struct tl_bytes line, uint64_t *ret_size)
{
	uint64_t size = 0;
	uint32_t i = 0;

	line = tl_bytes_trim(line);
	for (; i < line.len; i++) {
		uint8_t c = tl_ascii_lower(line.ptr[i]);
		if (is_digit(c))
			size = size << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			size = size << 4 | (uint64_t)(c - 'a' + 10);
		else
			break;
		if (size > HTTP_LENGTH_MAX)
			return false;
	}
	if (i == 0)
		return false;
	if (i < line.len && line.ptr[i] != ';' && line.ptr[i] != ' ' && line.ptr[i] != '\t')
		return false;
	*ret_size = size;
	return true;
}
