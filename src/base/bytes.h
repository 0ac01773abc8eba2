// SPDX-License-Identifier: Apache-2.0
// Views on memory that somebody else owns, and the only readers of multi-byte integers: every
// one is bounds-checked, none casts a pointer.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

// A view: borrows `len` bytes at `ptr`. ptr may be NULL only when len is 0.
struct tl_bytes {
	const uint8_t *ptr;
	uint32_t len;
};

#define TL_BYTES_NONE UINT32_MAX // "not found" of the searching functions

static inline struct tl_bytes tl_bytes(const void *ptr, uint32_t len)
{
	return (struct tl_bytes) {.ptr = (const uint8_t *)ptr, .len = len};
}

static inline struct tl_bytes tl_bytes_of(const char *text)
{
	return tl_bytes(text, (uint32_t)strlen(text));
}

// The part from `from` on, empty when `from` lies beyond the end.
static inline struct tl_bytes tl_bytes_from(struct tl_bytes b, uint32_t from)
{
	return from < b.len ? tl_bytes(b.ptr + from, b.len - from) : tl_bytes(NULL, 0);
}

// At most the first `len` bytes.
static inline struct tl_bytes tl_bytes_first(struct tl_bytes b, uint32_t len)
{
	return tl_bytes(b.ptr, len < b.len ? len : b.len);
}

static inline bool tl_bytes_equal(struct tl_bytes a, struct tl_bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool tl_bytes_is(struct tl_bytes b, const char *text)
{
	return tl_bytes_equal(b, tl_bytes_of(text));
}

static inline bool tl_bytes_starts(struct tl_bytes b, const char *prefix)
{
	uint32_t len = (uint32_t)strlen(prefix);
	return b.len >= len && memcmp(b.ptr, prefix, len) == 0;
}

static inline uint8_t tl_ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

// ASCII-case-blind comparison, as protocols with text keywords want it.
static inline bool tl_bytes_is_nocase(struct tl_bytes b, const char *text)
{
	uint32_t len = (uint32_t)strlen(text);
	if (b.len != len)
		return false;
	for (uint32_t i = 0; i < len; i++)
		if (tl_ascii_lower(b.ptr[i]) != tl_ascii_lower((uint8_t)text[i]))
			return false;
	return true;
}

// The same for a literal in lower case whose length the caller has compared already: a few word
// compares. A letter's case is one bit; the mask lets it pass at letters only.
#define tl_bytes_is_word(b, word) tl_is_word((b).ptr, "" word, sizeof(word) - 1)

static inline bool tl_is_word8(const uint8_t *p, const char *word)
{
	uint64_t have, want;
	memcpy(&have, p, sizeof(have));
	memcpy(&want, word, sizeof(want));
	return (have | (want & UINT64_C(0x4040404040404040)) >> 1) == want;
}

static inline bool tl_is_word4(const uint8_t *p, const char *word)
{
	uint32_t have, want;
	memcpy(&have, p, sizeof(have));
	memcpy(&want, word, sizeof(want));
	return (have | (want & 0x40404040u) >> 1) == want;
}

static inline bool tl_is_word(const uint8_t *p, const char *word, size_t len)
{
	size_t i = 0;

	for (; i + 8 <= len; i += 8)
		if (!tl_is_word8(p + i, word + i))
			return false;
	if (i == len)
		return true;
	if (len >= 8)
		return tl_is_word8(p + len - 8, word + len - 8);
	if (len >= 4)
		return tl_is_word4(p, word) && tl_is_word4(p + len - 4, word + len - 4);
	for (; i < len; i++)
		if (tl_ascii_lower(p[i]) != (uint8_t)word[i])
			return false;
	return true;
}

// Index of the first `byte` at or after `from`, TL_BYTES_NONE if there is none.
static inline uint32_t tl_bytes_find(struct tl_bytes b, uint8_t byte, uint32_t from)
{
	if (from >= b.len)
		return TL_BYTES_NONE;
	const uint8_t *hit = (const uint8_t *)memchr(b.ptr + from, byte, b.len - from);
	return hit == NULL ? TL_BYTES_NONE : (uint32_t)(hit - b.ptr);
}

// The same without blanks and tabs at both ends. Values mostly have one blank in front, or none.
static inline struct tl_bytes tl_bytes_trim(struct tl_bytes b)
{
	if (b.len > 1 && b.ptr[0] == ' ')
		b = tl_bytes(b.ptr + 1, b.len - 1);
	if (b.len != 0 && b.ptr[0] > ' ' && b.ptr[b.len - 1] > ' ')
		return b;
	while (b.len != 0 && (b.ptr[0] == ' ' || b.ptr[0] == '\t'))
		b = tl_bytes(b.ptr + 1, b.len - 1);
	while (b.len != 0 && (b.ptr[b.len - 1] == ' ' || b.ptr[b.len - 1] == '\t'))
		b.len--;
	return b;
}

// memcpy() without a call for the short values that headers and fields mostly are: by two words
// that overlap.
static inline void tl_copy_short(uint8_t *to, const uint8_t *from, uint32_t len)
{
	if (len > 32) {
		memcpy(to, from, len);
	} else if (len >= 16) {
		memcpy(to, from, 16);
		memcpy(to + len - 16, from + len - 16, 16);
	} else if (len >= 8) {
		memcpy(to, from, 8);
		memcpy(to + len - 8, from + len - 8, 8);
	} else if (len >= 4) {
		memcpy(to, from, 4);
		memcpy(to + len - 4, from + len - 4, 4);
	} else {
		for (uint32_t i = 0; i < len; i++)
			to[i] = from[i];
	}
}

// `len` without what only begins a character of UTF-8 at the end of the `len` bytes at `p`.
static inline uint32_t tl_utf8_whole(const uint8_t *p, uint32_t len)
{
	for (uint32_t back = 1; back <= 3 && back <= len; back++) {
		uint8_t c = p[len - back];
		if ((c & 0xc0) == 0x80)
			continue;
		uint32_t need = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		return need > back ? len - back : len;
	}
	return len;
}

// At most the first `max` bytes of a text, whole characters only.
static inline struct tl_bytes tl_bytes_cut(struct tl_bytes text, uint32_t max)
{
	return text.len <= max ? text : tl_bytes(text.ptr, tl_utf8_whole(text.ptr, max));
}

// Unchecked loads: for callers that have compared the length already.
static inline uint16_t tl_load_be16(const uint8_t *p)
{
	return (uint16_t)((uint16_t)p[0] << 8 | p[1]);
}

static inline uint32_t tl_load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t tl_load_be64(const uint8_t *p)
{
	return (uint64_t)tl_load_be32(p) << 32 | tl_load_be32(p + 4);
}

static inline uint16_t tl_load_le16(const uint8_t *p)
{
	return (uint16_t)((uint16_t)p[1] << 8 | p[0]);
}

static inline uint32_t tl_load_le32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline uint64_t tl_load_le64(const uint8_t *p)
{
	return (uint64_t)tl_load_le32(p + 4) << 32 | tl_load_le32(p);
}

// A reader that remembers having run off the end: read a whole head, then ask `failed` once.
// Every read past the end gives 0 or an empty view and sets `failed` for good.
struct tl_cursor {
	struct tl_bytes bytes;
	uint32_t at;
	bool failed;
};

static inline struct tl_cursor tl_cursor(struct tl_bytes bytes)
{
	return (struct tl_cursor) {.bytes = bytes};
}

static inline uint32_t tl_cursor_left(const struct tl_cursor *c)
{
	return c->failed ? 0 : c->bytes.len - c->at;
}

static inline struct tl_bytes tl_cursor_take(struct tl_cursor *c, uint64_t len)
{
	if (len > tl_cursor_left(c)) {
		c->failed = true;
		return tl_bytes(NULL, 0);
	}
	struct tl_bytes b = tl_bytes(c->bytes.ptr + c->at, (uint32_t)len);
	c->at += (uint32_t)len;
	return b;
}

static inline uint8_t tl_cursor_u8(struct tl_cursor *c)
{
	struct tl_bytes b = tl_cursor_take(c, 1);
	return b.len == 1 ? b.ptr[0] : 0;
}

static inline uint16_t tl_cursor_be16(struct tl_cursor *c)
{
	struct tl_bytes b = tl_cursor_take(c, 2);
	return b.len == 2 ? tl_load_be16(b.ptr) : 0;
}

static inline uint32_t tl_cursor_be32(struct tl_cursor *c)
{
	struct tl_bytes b = tl_cursor_take(c, 4);
	return b.len == 4 ? tl_load_be32(b.ptr) : 0;
}

static inline uint64_t tl_cursor_be64(struct tl_cursor *c)
{
	struct tl_bytes b = tl_cursor_take(c, 8);
	return b.len == 8 ? tl_load_be64(b.ptr) : 0;
}

static inline uint16_t tl_cursor_le16(struct tl_cursor *c)
{
	struct tl_bytes b = tl_cursor_take(c, 2);
	return b.len == 2 ? tl_load_le16(b.ptr) : 0;
}

static inline uint32_t tl_cursor_le32(struct tl_cursor *c)
{
	struct tl_bytes b = tl_cursor_take(c, 4);
	return b.len == 4 ? tl_load_le32(b.ptr) : 0;
}

static inline uint64_t tl_cursor_le64(struct tl_cursor *c)
{
	struct tl_bytes b = tl_cursor_take(c, 8);
	return b.len == 8 ? tl_load_le64(b.ptr) : 0;
}

// The six bits of a digit of base64 in either alphabet (RFC 4648, sections 4 and 5); -1: it is none.
static inline int tl_base64_digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}
