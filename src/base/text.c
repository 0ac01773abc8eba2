// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TEXT_BYTES_MIN 256u
#define ADDRESS_CHARS_MAX 45u // of IPv6 with an embedded IPv4 address
#define NS_PER_SECOND UINT64_C(1000000000)

void tl_text_grow(struct tl_text *text, size_t more)
{
	size_t need = text->len + more + 1;
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
	char *at = tl_text_room(text, len);

	if (len != 0)
		memcpy(at, data, len);
	tl_text_took(text, at + len);
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
		(void)vsnprintf(tl_text_room(text, (size_t)len), (size_t)len + 1, format, again);
		text->len += (size_t)len;
	}
	va_end(again);
}

uint32_t tl_utf8_length(const uint8_t *p, uint32_t len, bool *ret_is_partial)
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
		uint32_t len = tl_utf8_length(bytes.ptr + at, bytes.len - at, &is_partial);
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

// Two digits at a time take half of the divisions.
static const char digit_pairs[] =
	"00010203040506070809101112131415161718192021222324252627282930313233343536373839"
	"40414243444546474849505152535455565758596061626364656667686970717273747576777879"
	"8081828384858687888990919293949596979899";

// An even number of digits, with zeros in front.
static void put_pairs(char *at, uint32_t value, uint32_t digits)
{
	for (; digits != 0; digits -= 2, value /= 100)
		memcpy(at + digits - 2, digit_pairs + (size_t)(value % 100) * 2, 2);
}

static uint32_t count_digits(uint64_t value)
{
	static const uint64_t least[] = { // that has one digit more
		10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u,
		10000000000u, 100000000000u, 1000000000000u, 10000000000000u, 100000000000000u,
		1000000000000000u, 10000000000000000u, 100000000000000000u,
		1000000000000000000u, 10000000000000000000u, UINT64_MAX,
	};
	// 1233 / 4096 is the logarithm of 2 to the base 10: right or one too small.
	uint32_t bits = 64 - (uint32_t)__builtin_clzll(value | 1);
	uint32_t digits = (bits - 1) * 1233 >> 12;

	return digits + 1 + (value >= least[digits]);
}

void tl_text_uint(struct tl_text *text, uint64_t value)
{
	uint32_t digits = count_digits(value);
	char *end = tl_text_room(text, digits) + digits;
	char *at = end;

	for (; value >= 100; value /= 100)
		memcpy(at -= 2, digit_pairs + value % 100 * 2, 2);
	if (value >= 10)
		memcpy(at - 2, digit_pairs + value * 2, 2);
	else
		at[-1] = (char)('0' + value);
	tl_text_took(text, end);
}

void tl_text_int(struct tl_text *text, int64_t value)
{
	if (value < 0)
		tl_text_add(text, "-", 1);
	tl_text_uint(text, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

static const char hex_digits[] = "0123456789abcdef";

void tl_text_hex(struct tl_text *text, const uint8_t *bytes, uint32_t len)
{
	char *at = tl_text_room(text, (size_t)2 * len);

	for (uint32_t i = 0; i < len; i++) {
		*at++ = hex_digits[bytes[i] >> 4];
		*at++ = hex_digits[bytes[i] & 15];
	}
	tl_text_took(text, at);
}

void tl_text_base64(struct tl_text *text, struct tl_bytes bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (uint32_t i = 0; i < bytes.len; i += 3) {
		uint32_t left = bytes.len - i, word = (uint32_t)bytes.ptr[i] << 16;
		if (left > 1)
			word |= (uint32_t)bytes.ptr[i + 1] << 8;
		if (left > 2)
			word |= bytes.ptr[i + 2];
		char four[4] = {digits[word >> 18], digits[word >> 12 & 63],
				left > 1 ? digits[word >> 6 & 63] : '=',
				left > 2 ? digits[word & 63] : '='};
		tl_text_add(text, four, sizeof(four));
	}
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

// The second of the last time that was written: records come in bursts, and gmtime_r() with
// strftime() costs more than all else of a time.
static _Thread_local struct {
	uint64_t second;
	char text[sizeof("2026-11-22T10:15:30")]; // "" before the first
} last_second;

void tl_text_time_utc(struct tl_text *text, uint64_t ns)
{
	uint64_t second = ns / NS_PER_SECOND;
	uint32_t fraction = (uint32_t)(ns % NS_PER_SECOND);
	enum { SECOND_CHARS = sizeof(last_second.text) - 1, FRACTION_CHARS = 9 };

	if (second != last_second.second || last_second.text[0] == '\0') {
		time_t seconds = (time_t)second;
		struct tm tm;
		(void)gmtime_r(&seconds, &tm);
		// 64 bits of ns end in the year 2554: it always has four digits.
		(void)strftime(last_second.text, sizeof(last_second.text), "%Y-%m-%dT%H:%M:%S", &tm);
		last_second.second = second;
	}
	char *at = tl_text_room(text, SECOND_CHARS + 1 + FRACTION_CHARS + 1);
	memcpy(at, last_second.text, SECOND_CHARS);
	at += SECOND_CHARS;
	*at = '.';
	at[1] = (char)('0' + fraction / 100000000);
	put_pairs(at + 2, fraction % 100000000, FRACTION_CHARS - 1);
	at += 1 + FRACTION_CHARS;
	*at++ = 'Z';
	tl_text_took(text, at);
}

void tl_text_clock_local(struct tl_text *text, uint64_t ns)
{
	time_t seconds = (time_t)(ns / NS_PER_SECOND);
	struct tm tm;

	(void)localtime_r(&seconds, &tm);
	tl_text_printf(text, "%02d:%02d:%02d.%06u", tm.tm_hour, tm.tm_min, tm.tm_sec,
		       (unsigned)(ns % NS_PER_SECOND / 1000));
}

// 0 to 255.
static char *put_octet(char *at, uint8_t value)
{
	uint32_t digits = value < 10 ? 1 : value < 100 ? 2 : 3;

	if (digits == 3) {
		*at++ = (char)('0' + value / 100);
		value %= 100;
	}
	if (digits >= 2)
		*at++ = (char)('0' + value / 10);
	*at++ = (char)('0' + value % 10);
	return at;
}

static char *put_ipv4(char *at, const uint8_t address[4])
{
	for (uint32_t i = 0; i < 4; i++) {
		if (i != 0)
			*at++ = '.';
		at = put_octet(at, address[i]);
	}
	return at;
}

// A group of an IPv6 address, without leading zeros.
static char *put_group(char *at, uint16_t group)
{
	for (int shift = group >= 0x1000 ? 12 : group >= 0x100 ? 8 : group >= 0x10 ? 4 : 0; shift >= 0;
	     shift -= 4)
		*at++ = hex_digits[group >> shift & 15];
	return at;
}

// The longest run of groups that are 0, the first of equals: at least two, else none.
static uint32_t find_zeros(const uint16_t groups[8], uint32_t *ret_count)
{
	uint32_t best = 8;

	*ret_count = 0;
	for (uint32_t from = 0, i = 0; i < 8; i++) {
		if (groups[i] != 0) {
			from = i + 1;
		} else if (i + 1 - from > *ret_count && i != from) {
			best = from;
			*ret_count = i + 1 - from;
		}
	}
	return best;
}

// RFC 5952, and like inet_ntop(): what embeds an IPv4 address shows it.
static char *put_ipv6(char *at, const uint8_t address[16])
{
	uint16_t groups[8];
	uint32_t count;

	for (uint32_t i = 0; i < 8; i++)
		groups[i] = (uint16_t)(address[2 * i] << 8 | address[2 * i + 1]);
	uint32_t zeros = find_zeros(groups, &count);
	bool has_ipv4 = zeros == 0 && (count == 6 || (count == 5 && groups[5] == 0xffff));
	for (uint32_t i = 0; i < 8;) {
		if (i == zeros) {
			*at++ = ':';
			i += count;
			if (i == 8)
				*at++ = ':';
			continue;
		}
		if (i != 0)
			*at++ = ':';
		if (i == 6 && has_ipv4)
			return put_ipv4(at, address + 12);
		at = put_group(at, groups[i++]);
	}
	return at;
}

void tl_text_address(struct tl_text *text, const uint8_t address[16], uint8_t ip_version)
{
	char *at = tl_text_room(text, ADDRESS_CHARS_MAX);

	tl_text_took(text, ip_version == 4 ? put_ipv4(at, address + 12) : put_ipv6(at, address));
}
