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
void tl_text_add(struct tl_text *text, const void *data, size_t len);
void tl_text_puts(struct tl_text *text, const char *string);
__attribute__((format(printf, 2, 3))) void tl_text_printf(struct tl_text *text,
							   const char *format, ...);
// Appends as valid UTF-8: each invalid byte becomes U+FFFD. A character that was cut at the end
// (`is_cut`) is left out rather than replaced.
void tl_text_utf8(struct tl_text *text, struct tl_bytes bytes, bool is_cut);
// The same for a terminal: C0, DEL and C1 control characters are shown as \xNN.
void tl_text_terminal(struct tl_text *text, struct tl_bytes bytes, bool is_cut);

// ---- Values as people read and write them ------------------------------------------------------

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
