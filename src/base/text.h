// SPDX-License-Identifier: Apache-2.0
// A growing text buffer for the control side: lines of output, messages, pages. Never used by
// workers. Running out of memory ends the process: a control plane without memory can't report.
#pragma once

#include "base/bytes.h"

#include <stddef.h>

struct tl_text {
	char *data; // NUL-terminated once anything was appended, NULL before
	size_t len;
	size_t capacity;
};

void tl_text_free(struct tl_text *text);
static inline void tl_text_clear(struct tl_text *text)
{
	text->len = 0;
}
void tl_text_grow(struct tl_text *text, size_t more); // for tl_text_room()
// Room for `most` bytes behind the text; tl_text_took() says how far it was written.
static inline char *tl_text_room(struct tl_text *text, size_t most)
{
	if (__builtin_expect(text->capacity - text->len <= most, 0))
		tl_text_grow(text, most);
	return text->data + text->len;
}
static inline void tl_text_took(struct tl_text *text, char *end)
{
	text->len = (size_t)(end - text->data);
	*end = '\0';
}
void tl_text_add(struct tl_text *text, const void *data, size_t len);
void tl_text_puts(struct tl_text *text, const char *string);
__attribute__((format(printf, 2, 3))) void tl_text_printf(struct tl_text *text,
							   const char *format, ...);
// Length of the well-formed character at `p` (RFC 3629: no overlong forms, no surrogates), 0 if
// there is none. *ret_is_partial: what is there could begin one, but the view ends first.
uint32_t tl_utf8_length(const uint8_t *p, uint32_t len, bool *ret_is_partial);
// Appends as valid UTF-8: each invalid byte becomes U+FFFD. A character that was cut at the end
// (`is_cut`) is left out rather than replaced.
void tl_text_utf8(struct tl_text *text, struct tl_bytes bytes, bool is_cut);
// The same for a terminal: C0, DEL and C1 control characters are shown as \xNN.
void tl_text_terminal(struct tl_text *text, struct tl_bytes bytes, bool is_cut);

// ---- Values as people read and write them ------------------------------------------------------

void tl_text_uint(struct tl_text *text, uint64_t value);
void tl_text_int(struct tl_text *text, int64_t value);
// Two digits a byte, lower case.
void tl_text_hex(struct tl_text *text, const uint8_t *bytes, uint32_t len);
// RFC 4648 section 4, padded.
void tl_text_base64(struct tl_text *text, struct tl_bytes bytes);
// "240.5ms", "12us", "1.2s", "2m30s".
void tl_text_duration(struct tl_text *text, uint64_t ns);
// "349B", "12.0KiB", "1.5MiB".
void tl_text_size(struct tl_text *text, uint64_t bytes);
// "2026-11-22T10:15:30.123456789Z".
void tl_text_time_utc(struct tl_text *text, uint64_t ns);
// "10:15:30.123456", local time.
void tl_text_clock_local(struct tl_text *text, uint64_t ns);
// An address of 16 bytes as a tuple holds it: "10.0.0.1", "2001:db8::1".
void tl_text_address(struct tl_text *text, const uint8_t address[16], uint8_t ip_version);
