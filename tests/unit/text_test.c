// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static void invalid_utf8_is_replaced(void **state)
{
	(void)state;
	static const struct {
		const char *input;
		const char *want;
		bool is_cut;
		const char *why;
	} rows[] = {
		{"plain", "plain", false, "ASCII"},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", false,
		 "2, 3 and 4 bytes"},
		{"a\xff\xfe" "b", "a\xef\xbf\xbd\xef\xbf\xbd" "b", false, "never valid"},
		{"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd", false, "overlong"},
		{"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", false, "surrogate"},
		{"\xf5\x80\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", false,
		 "beyond U+10FFFF"},
		{"x\xe2\x82", "x\xef\xbf\xbd\xef\xbf\xbd", false, "short at the end"},
		{"x\xe2\x82", "x", true, "cut at the end"},
		{"", "", false, "nothing"},
	};
	for (size_t i = 0; i < TL_COUNT_OF(rows); i++) {
		struct tl_text text = {0};
		tl_text_utf8(&text, tl_bytes_of(rows[i].input), rows[i].is_cut);
		assert_string_equal(text.data == NULL ? "" : text.data, rows[i].want);
		tl_text_free(&text);
	}
}

static void terminal_controls_are_shown(void **state)
{
	(void)state;
	struct tl_text text = {0};

	tl_text_terminal(&text, tl_bytes_of("a\033[31mb\x7f\xc2\x9b" "c\n"), false);
	assert_string_equal(text.data, "a\\x1b[31mb\\x7f\\x9bc\\x0a");
	tl_text_free(&text);
}

static void quantities_read_well(void **state)
{
	(void)state;
	static const struct {
		uint64_t ns;
		const char *want;
	} durations[] = {
		{0, "0ns"},           {999, "999ns"},          {1200, "1.2us"},
		{240540648, "240.5ms"}, {1500000000, "1.50s"}, {UINT64_C(150000000000), "2m30s"},
	};
	for (size_t i = 0; i < TL_COUNT_OF(durations); i++) {
		struct tl_text text = {0};
		tl_text_duration(&text, durations[i].ns);
		assert_string_equal(text.data, durations[i].want);
		tl_text_free(&text);
	}
	static const struct {
		uint64_t bytes;
		const char *want;
	} sizes[] = {{0, "0B"}, {349, "349B"}, {1024, "1.0KiB"}, {1572864, "1.5MiB"}};
	for (size_t i = 0; i < TL_COUNT_OF(sizes); i++) {
		struct tl_text text = {0};
		tl_text_size(&text, sizes[i].bytes);
		assert_string_equal(text.data, sizes[i].want);
		tl_text_free(&text);
	}
}

static void times_and_addresses(void **state)
{
	(void)state;
	struct tl_text text = {0};
	uint8_t v4[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1};
	uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};

	tl_text_time_utc(&text, UINT64_C(1763806530123456789));
	tl_text_puts(&text, " ");
	tl_text_address(&text, v4, 4);
	tl_text_puts(&text, " ");
	tl_text_address(&text, v6, 6);
	assert_string_equal(text.data, "2025-11-22T10:15:30.123456789Z 10.0.0.1 2001:db8::1");
	tl_text_free(&text);
}

static void every_second_has_its_text(void **state)
{
	(void)state;
	// Before and after what changes minutes, days, leap days and years; there and back.
	static const uint64_t seconds[] = {
		0, 1, 59, 60, 86399, 86400, 68169599, 68169600, 951782399, 951782400, 951868800,
		1709164800, 1709251199, 1735689599, 1735689600, 4102444800, 0, UINT64_MAX / 1000000000,
	};
	static const uint32_t fractions[] = {0, 1, 9, 10, 99999999, 100000000, 123456789, 999999999};

	for (size_t i = 0; i < TL_COUNT_OF(seconds) * TL_COUNT_OF(fractions); i++) {
		struct tl_text text = {0};
		time_t second = (time_t)seconds[i / TL_COUNT_OF(fractions)];
		uint32_t fraction = fractions[i % TL_COUNT_OF(fractions)];
		uint64_t ns = (uint64_t)second * 1000000000 + fraction;
		char want[64], day[32];
		struct tm tm;
		if (ns / 1000000000 != (uint64_t)second)
			continue; // beyond the last one
		(void)strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", gmtime_r(&second, &tm));
		(void)snprintf(want, sizeof(want), "%s.%09uZ", day, fraction);
		tl_text_time_utc(&text, ns);
		assert_string_equal(text.data, want);
		tl_text_free(&text);
	}
}

static void is_number(uint64_t value)
{
	struct tl_text text = {0};
	char want[64];

	(void)snprintf(want, sizeof(want), "%" PRIu64 " %" PRId64, value, (int64_t)value);
	tl_text_uint(&text, value);
	tl_text_puts(&text, " ");
	tl_text_int(&text, (int64_t)value);
	assert_string_equal(text.data, want);
	tl_text_free(&text);
}

static void numbers_of_every_length(void **state)
{
	(void)state;
	for (uint64_t power = 1, i = 0; i < 20; i++, power *= 10)
		for (uint64_t near = 0; near < 3; near++) {
			is_number(power - 1 + near);
			is_number(0 - (power - 1 + near));
			is_number(power * 9 - 1 + near);
		}
	for (uint32_t bit = 0; bit < 64; bit++)
		for (uint64_t near = 0; near < 3; near++)
			is_number((UINT64_C(1) << bit) - 1 + near);
	for (uint32_t i = 0; i < 20000; i++)
		is_number(i);
}

static void is_address(const uint8_t address[16])
{
	struct tl_text text = {0};
	char want[INET6_ADDRSTRLEN];

	tl_text_address(&text, address, 6);
	assert_string_equal(text.data, inet_ntop(AF_INET6, address, want, sizeof(want)));
	tl_text_clear(&text);
	tl_text_address(&text, address, 4);
	assert_string_equal(text.data, inet_ntop(AF_INET, address + 12, want, sizeof(want)));
	tl_text_free(&text);
}

// inet_ntop() is the judge: of every choice of groups that are zero, and of groups and octets of every
// length.
static void addresses_are_as_the_library_writes(void **state)
{
	static const uint16_t groups[] = {0xffff, 1, 0x10, 0x123, 0xabcd, 0x9};
	uint8_t address[16];

	(void)state;
	for (uint32_t zeros = 0; zeros < 256; zeros++)
		for (uint32_t shift = 0; shift < TL_COUNT_OF(groups); shift++) {
			for (uint32_t i = 0; i < 8; i++) {
				uint16_t group = groups[(i + shift) % TL_COUNT_OF(groups)];
				group = (zeros >> i & 1) != 0 ? 0 : group;
				address[2 * i] = (uint8_t)(group >> 8);
				address[2 * i + 1] = (uint8_t)group;
			}
			is_address(address);
		}
	for (uint32_t i = 0; i < 256; i++) {
		memset(address, 0, sizeof(address));
		memset(address + 10, i % 2 == 0 ? 0xff : 0, 2);
		memset(address + 12, (int)i, 4);
		is_address(address);
	}
}

static void bytes_in_hex(void **state)
{
	(void)state;
	static const uint8_t bytes[] = {0x00, 0x0f, 0xf0, 0xff, 0x9a};
	struct tl_text text = {0};

	tl_text_hex(&text, bytes, sizeof(bytes));
	assert_string_equal(text.data, "000ff0ff9a");
	tl_text_free(&text);
}

// RFC 4648 section 10, and the two digits that are no letters or numbers.
static void bytes_in_base64(void **state)
{
	static const char *const rows[][2] = {
		{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "+//+"},
	};
	struct tl_text text = {0};

	(void)state;
	for (uint32_t i = 0; i < TL_COUNT_OF(rows); i++) {
		tl_text_clear(&text);
		tl_text_puts(&text, "");
		tl_text_base64(&text, tl_bytes_of(rows[i][0]));
		assert_string_equal(text.data, rows[i][1]);
	}
	tl_text_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(invalid_utf8_is_replaced),
		cmocka_unit_test(terminal_controls_are_shown),
		cmocka_unit_test(quantities_read_well),
		cmocka_unit_test(times_and_addresses),
		cmocka_unit_test(every_second_has_its_text),
		cmocka_unit_test(numbers_of_every_length),
		cmocka_unit_test(addresses_are_as_the_library_writes),
		cmocka_unit_test(bytes_in_hex),
		cmocka_unit_test(bytes_in_base64),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
