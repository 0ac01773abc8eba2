// SPDX-License-Identifier: Apache-2.0
#include "l7/proxy.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

// Reads from an exact heap copy, so that a sanitizer sees a read beyond it.
static enum tl_proxy_result read_copy(const void *bytes, size_t len, struct tl_proxy *ret)
{
	uint8_t *copy = malloc(len + 1);
	assert_non_null(copy);
	uint8_t *exact = copy + 1; // the byte before is no help either
	memcpy(exact, bytes, len);
	enum tl_proxy_result result = tl_proxy_read(tl_bytes(exact, (uint32_t)len), ret);
	free(copy);
	return result;
}

static void v1_lines(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum tl_proxy_result want;
		bool has_addresses;
	} cases[] = {
		{"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", TL_PROXY_YES, true},
		{"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", TL_PROXY_YES, true},
		{"PROXY UNKNOWN\r\n", TL_PROXY_YES, false},
		{"PROXY UNKNOWN ffff::1 whatever\r\n", TL_PROXY_YES, false},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\n", TL_PROXY_NO, false},
		{"PROXY TCP4 192.0.2.1  198.51.100.7 56324 443\r\n", TL_PROXY_NO, false},
		{"PROXY TCP4 192.0.2.256 198.51.100.7 56324 443\r\n", TL_PROXY_NO, false},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 056 443\r\n", TL_PROXY_NO, false},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 56324 65536\r\n", TL_PROXY_NO, false},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n", TL_PROXY_NO, false},
		{"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 x\r\n", TL_PROXY_NO, false},
		{"PROXY SCTP4 192.0.2.1 198.51.100.7 56324 443\r\n", TL_PROXY_NO, false},
		{"PROXY\r\n\r\n", TL_PROXY_NO, false},
		{"PROXYX", TL_PROXY_NO, false},
		{"GET / HTTP/1.1\r\n", TL_PROXY_NO, false},
	};

	for (size_t i = 0; i < TL_COUNT_OF(cases); i++) {
		struct tl_proxy p;
		assert_int_equal(read_copy(cases[i].line, strlen(cases[i].line), &p), cases[i].want);
		assert_int_equal(p.has_addresses, cases[i].has_addresses);
		if (cases[i].want == TL_PROXY_YES)
			assert_int_equal(p.length, strlen(cases[i].line));
	}
}

static void v1_addresses(void **state)
{
	(void)state;
	static const char text[] = "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET / HTTP/1.1";
	static const uint8_t client[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
	static const uint8_t server[16] = {[10] = 0xff, 0xff, 198, 51, 100, 7};
	struct tl_proxy p;

	assert_int_equal(read_copy(text, strlen(text), &p), TL_PROXY_YES);
	assert_int_equal(p.length, 45);
	assert_int_equal(p.version, 1);
	assert_memory_equal(p.client_address, client, 16);
	assert_memory_equal(p.server_address, server, 16);
	assert_int_equal(p.client_port, 56324);
	assert_int_equal(p.server_port, 443);
}

// Every prefix asks for more, for a number that is larger than what it has, and never says no.
static void prefixes_ask_for_more(void **state)
{
	(void)state;
	static const char v1[] = "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n";
	static const uint8_t v2[] = {0x0d, 0x0a, 0x0d, 0x0a, 0,	   0x0d, 0x0a, 'Q', 'U', 'I',
				     'T',  0x0a, 0x21, 0x11, 0,	   12,	 10,   0,   0,	 1,
				     10,   0,	 0,    2,    0x30, 0x39, 0,    80};
	struct tl_proxy p;

	for (uint32_t len = 0; len < sizeof(v1) - 1; len++) {
		assert_int_equal(read_copy(v1, len, &p), TL_PROXY_MORE);
		assert_true(p.need > len && p.need <= TL_PROXY_NEED_MAX);
	}
	for (uint32_t len = 0; len < sizeof(v2); len++) {
		assert_int_equal(read_copy(v2, len, &p), TL_PROXY_MORE);
		assert_true(p.need > len && p.need <= sizeof(v2));
	}
	assert_int_equal(read_copy(v2, sizeof(v2), &p), TL_PROXY_YES);
	assert_int_equal(p.client_port, 12345);
	assert_int_equal(p.server_port, 80);
	assert_int_equal(p.length, 28);
}

static void long_line_is_no_head(void **state)
{
	(void)state;
	char text[200];
	struct tl_proxy p;

	memset(text, 'x', sizeof(text));
	memcpy(text, "PROXY UNKNOWN ", 14);
	assert_int_equal(read_copy(text, 106, &p), TL_PROXY_MORE);
	assert_int_equal(p.need, 107);
	assert_int_equal(read_copy(text, 107, &p), TL_PROXY_NO);
	memcpy(text + 105, "\r\n", 2);
	assert_int_equal(read_copy(text, 107, &p), TL_PROXY_YES);
	assert_int_equal(p.length, TL_PROXY_V1_BYTES_MAX);
}

static void v2_families(void **state)
{
	(void)state;
	static const struct {
		uint8_t command, family;
		uint16_t len;
		enum tl_proxy_result want;
		bool has_addresses;
	} cases[] = {
		{0x20, 0x00, 0, TL_PROXY_YES, false},	// LOCAL
		{0x20, 0x11, 4, TL_PROXY_YES, false},	// LOCAL with bytes to ignore
		{0x21, 0x00, 7, TL_PROXY_YES, false},	// UNSPEC
		{0x21, 0x11, 12, TL_PROXY_YES, true},	// TCP4
		{0x21, 0x12, 30, TL_PROXY_YES, true},	// UDP4 with TLVs
		{0x21, 0x21, 36, TL_PROXY_YES, true},	// TCP6
		{0x21, 0x31, 216, TL_PROXY_YES, false}, // UNIX
		{0x21, 0x21, 65535, TL_PROXY_YES, true}, // TLVs far beyond the view
		{0x21, 0x11, 11, TL_PROXY_NO, false},	// too short for its family
		{0x21, 0x41, 12, TL_PROXY_NO, false},
		{0x21, 0x13, 12, TL_PROXY_NO, false},
		{0x22, 0x11, 12, TL_PROXY_NO, false},
		{0x11, 0x11, 12, TL_PROXY_NO, false}, // version 1 in binary
	};
	uint8_t head[16 + 300] = {0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 'Q', 'U', 'I', 'T', 0x0a};

	for (size_t i = 0; i < TL_COUNT_OF(cases); i++) {
		struct tl_proxy p;
		head[12] = cases[i].command;
		head[13] = cases[i].family;
		head[14] = (uint8_t)(cases[i].len >> 8);
		head[15] = (uint8_t)cases[i].len;
		size_t len = 16u + (cases[i].len < 300 ? cases[i].len : 300);
		assert_int_equal(read_copy(head, len, &p), cases[i].want);
		assert_int_equal(p.has_addresses, cases[i].has_addresses);
		if (cases[i].want == TL_PROXY_YES)
			assert_int_equal(p.length, 16u + cases[i].len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(v1_lines),
		cmocka_unit_test(v1_addresses),
		cmocka_unit_test(prefixes_ask_for_more),
		cmocka_unit_test(long_line_is_no_head),
		cmocka_unit_test(v2_families),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
