// SPDX-License-Identifier: Apache-2.0
// The pure half of HTTP/1: what a line, a header value or a path says. Lines come without their
// line end. Source: RFC 9110, RFC 9112.
#pragma once

#include "base/bytes.h"
#include "base/option.h"
#include "l7/decoder.h"
#include "protocols/common/http.h"

#define HTTP_LINE_BYTES_MAX 16384u  // of a start line, header or chunk line; the rest is dropped
#define HTTP_METHOD_BYTES_MAX TL_HTTP_METHOD_BYTES_MAX // a longer token is no method
#define HTTP_LENGTH_MAX (1ull << 62) // no content is longer; keeps sums of offsets from wrapping

enum http_method { HTTP_OTHER, HTTP_GET, HTTP_HEAD, HTTP_CONNECT };

struct http_request_line {
	struct tl_bytes method;
	struct tl_bytes target;
	struct tl_bytes version; // "1.1"; empty in HTTP/0.9
	enum http_method kind;
};

struct http_status_line {
	struct tl_bytes version;
	struct tl_bytes reason;
	uint16_t code;
};

static inline enum tl_status tl_http_status_of(uint16_t code)
{
	if (code < 400)
		return TL_STATUS_OK;
	return code < 500 ? TL_STATUS_CLIENT_ERROR : TL_STATUS_SERVER_ERROR;
}

// Length of the token at the start of `line`, at most HTTP_METHOD_BYTES_MAX + 1.
uint32_t tl_http_token_len(struct tl_bytes line);
enum http_method tl_http_method_kind(struct tl_bytes method);

// A bit at the top of some byte if one of the word is below a blank, or DEL: a byte minus 32, or xor
// DEL minus 1, borrows only then.
static inline uint64_t tl_http_control_bits(const uint8_t *p)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	uint64_t other = word ^ 0x7f * ones;
	return (((word - 0x20 * ones) & ~word) | ((other - ones) & ~other)) & 0x80 * ones;
}

static inline bool tl_http_has_control(struct tl_bytes b)
{
	uint64_t found = 0;
	uint32_t i = 0;

	for (; i + 8 <= b.len; i += 8)
		found |= tl_http_control_bits(b.ptr + i);
	if (i < b.len && b.len >= 8)
		return (found | tl_http_control_bits(b.ptr + b.len - 8)) != 0;
	for (; i < b.len; i++)
		found |= b.ptr[i] < 0x20 || b.ptr[i] == 0x7f;
	return found != 0;
}

// A start line; false if it is none. `is_cut`: the line was longer than what is there, so that
// its version can't be seen: 1.1 is assumed.
bool tl_http_request_line(struct tl_bytes line, bool is_cut, struct http_request_line *ret);
bool tl_http_status_line(struct tl_bytes line, struct http_status_line *ret);

// What the first bytes of a lane come to, `first` beginning at a line start.
enum tl_match tl_http_match_request(struct tl_bytes first);
enum tl_match tl_http_match_response(struct tl_bytes first);
// The same for a start after loss, where only what is beyond doubt counts: a registered method.
enum tl_match tl_http_match_resync(enum tl_lane lane, struct tl_bytes first);
// Index of the first place where tl_http_match_resync() does not say no, bytes.len if there is
// none. Anywhere in a line: bodies rarely end with a line end.
uint32_t tl_http_find_start(enum tl_lane lane, struct tl_bytes bytes);
// What is left of a registered method whose first letters are missing, or one behind the end of a
// body: not to be believed where the bytes before were not seen.
bool tl_http_is_torn_method(struct tl_bytes method);

// Line without its line end (LF or CR LF).
static inline struct tl_bytes tl_http_chomp(struct tl_bytes line)
{
	if (line.len != 0 && line.ptr[line.len - 1] == '\n')
		line.len--;
	if (line.len != 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

// A Content-Length value, "5" or "5, 5"; false if it is no number or its members differ.
bool tl_http_content_length(struct tl_bytes value, uint64_t *ret_length);
// True if the last transfer coding of the list is chunked.
bool tl_http_ends_chunked(struct tl_bytes value);
// The size at the head of a chunk line, extensions ignored.
bool tl_http_chunk_size(struct tl_bytes line, uint64_t *ret_size);
