// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(invalid_utf8_is_replaced),
		cmocka_unit_test(terminal_controls_are_shown),
		cmocka_unit_test(quantities_read_well),
		cmocka_unit_test(times_and_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
