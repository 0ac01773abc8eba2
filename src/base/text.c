// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TEXT_BYTES_MIN 256u
#define NS_PER_SECOND UINT64_C(1000000000)

static void reserve(struct tl_text *text, size_t more)
{
	size_t need = text->len + more + 1;
	if (need <= text->capacity)
		return;
	size_t capacity = text->capacity < TEXT_BYTES_MIN ? TEXT_BYTES_MIN : text->capacity;
	while (capacity < need)
		capacity *= 2;
	char *data = realloc(text->data, capacity);
	if (data == NULL) {
		fputs("tapline: out of memory\n", stderr);
		abort();
	}
	text->data = data;
	text->capacity = capacity;
}

void tl_text_free(struct tl_text *text)
{
	free(text->data);
	*text = (struct tl_text) {0};
}

void tl_text_add(struct tl_text *text, const void *data, size_t len)
{
	reserve(text, len);
	if (len != 0)
		memcpy(text->data + text->len, data, len);
	text->len += len;
	text->data[text->len] = '\0';
}

void tl_text_puts(struct tl_text *text, const char *string)
{
	tl_text_add(text, string, strlen(string));
}

void tl_text_printf(struct tl_text *text, const char *format, ...)
{
	va_list args, again;

	va_start(args, format);
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len > 0) {
		reserve(text, (size_t)len);
		(void)vsnprintf(text->data + text->len, (size_t)len + 1, format, again);
		text->len += (size_t)len;
	}
	va_end(again);
}

// Length of the well-formed character at `p` (RFC 3629: no overlong forms, no surrogates), 0 if
// there is none. *ret_is_partial: what is there could begin one, but the view ends first.
static uint32_t utf8_length(const uint8_t *p, uint32_t len, bool *ret_is_partial)
{
	uint32_t need;
	uint8_t min = 0x80, max = 0xbf;

	*ret_is_partial = false;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	need = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		min = 0xa0;
	else if (p[0] == 0xed)
		max = 0x9f;
	else if (p[0] == 0xf0)
		min = 0x90;
	else if (p[0] == 0xf4)
		max = 0x8f;
	for (uint32_t i = 1; i < need; i++) {
		if (i == len) {
			*ret_is_partial = true;
			return 0;
		}
		if (p[i] < (i == 1 ? min : 0x80) || p[i] > (i == 1 ? max : 0xbf))
			return 0;
	}
	return need;
}

static void add_utf8(struct tl_text *text, struct tl_bytes bytes, bool is_cut, bool escape)
{
	uint32_t plain = 0; // start of the run not copied yet
	uint32_t at = 0;

	while (at < bytes.len) {
		bool is_partial;
		uint32_t len = utf8_length(bytes.ptr + at, bytes.len - at, &is_partial);
		uint8_t c = bytes.ptr[at];
		bool is_control = escape && (c < 0x20 || c == 0x7f ||
					     (len == 2 && c == 0xc2 && bytes.ptr[at + 1] < 0xa0));
		if (len != 0 && !is_control) {
			at += len;
			continue;
		}
		tl_text_add(text, bytes.ptr + plain, at - plain);
		if (is_control)
			tl_text_printf(text, "\\x%02x", len == 2 ? bytes.ptr[at + 1] : c);
		else if (is_partial && is_cut)
			return;
		else
			tl_text_puts(text, "\xef\xbf\xbd");
		at += len == 0 ? 1 : len;
		plain = at;
	}
	if (plain < bytes.len)
		tl_text_add(text, bytes.ptr + plain, bytes.len - plain);
}

void tl_text_utf8(struct tl_text *text, struct tl_bytes bytes, bool is_cut)
{
	add_utf8(text, bytes, is_cut, false);
}

void tl_text_terminal(struct tl_text *text, struct tl_bytes bytes, bool is_cut)
{
	add_utf8(text, bytes, is_cut, true);
}

void tl_text_duration(struct tl_text *text, uint64_t ns)
{
	if (ns < 1000)
		tl_text_printf(text, "%" PRIu64 "ns", ns);
	else if (ns < 1000000)
		tl_text_printf(text, "%.1fus", (double)ns / 1e3);
	else if (ns < NS_PER_SECOND)
		tl_text_printf(text, "%.1fms", (double)ns / 1e6);
	else if (ns < 60 * NS_PER_SECOND)
		tl_text_printf(text, "%.2fs", (double)ns / 1e9);
	else
		tl_text_printf(text, "%" PRIu64 "m%02us", ns / (60 * NS_PER_SECOND),
			       (unsigned)(ns / NS_PER_SECOND % 60));
}

void tl_text_size(struct tl_text *text, uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes / 1024;
	uint32_t unit = 0;

	if (bytes < 1024) {
		tl_text_printf(text, "%" PRIu64 "B", bytes);
		return;
	}
	for (; value >= 1024 && unit < 5; unit++)
		value /= 1024;
	tl_text_printf(text, "%.1f%s", value, units[unit]);
}

void tl_text_time_utc(struct tl_text *text, uint64_t ns)
{
	time_t seconds = (time_t)(ns / NS_PER_SECOND);
	struct tm tm;
	char buffer[32];

	(void)gmtime_r(&seconds, &tm);
	(void)strftime(buffer, sizeof(buffer), "%Y-%m-%dT%H:%M:%S", &tm);
	tl_text_printf(text, "%s.%09uZ", buffer, (unsigned)(ns % NS_PER_SECOND));
}

void tl_text_clock_local(struct tl_text *text, uint64_t ns)
{
	time_t seconds = (time_t)(ns / NS_PER_SECOND);
	struct tm tm;

	(void)localtime_r(&seconds, &tm);
	tl_text_printf(text, "%02d:%02d:%02d.%06u", tm.tm_hour, tm.tm_min, tm.tm_sec,
		       (unsigned)(ns % NS_PER_SECOND / 1000));
}

void tl_text_address(struct tl_text *text, const uint8_t address[16], uint8_t ip_version)
{
	char buffer[INET6_ADDRSTRLEN];

	if (ip_version == 4)
		(void)inet_ntop(AF_INET, address + 12, buffer, sizeof(buffer));
	else
		(void)inet_ntop(AF_INET6, address, buffer, sizeof(buffer));
	tl_text_puts(text, buffer);
}
