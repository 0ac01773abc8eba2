// SPDX-License-Identifier: Apache-2.0
// The pure half of the Redis decoder. Whole conversations: tests/sweep/conversations/redis*.txt.
#include "base/check.h"
#include "protocols/redis/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void commands(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		int first, last, step, count_at;
		enum redis_role role;
	} known[] = {
		{"GET", 1, 1, 1, 0, REDIS_ROLE_PLAIN},
		{"MSET", 1, -1, 2, 0, REDIS_ROLE_PLAIN},
		{"BLPOP", 1, -2, 1, 0, REDIS_ROLE_PLAIN},
		{"BITOP", 2, -1, 1, 0, REDIS_ROLE_PLAIN},
		{"ZUNIONSTORE", 1, 1, 1, 2, REDIS_ROLE_PLAIN},
		{"GEORADIUSBYMEMBER_RO", 1, 1, 1, 0, REDIS_ROLE_PLAIN},
		{"ACL", 0, 0, 0, 0, REDIS_ROLE_CONTAINER},
		{"ZUNION", 0, 0, 0, 1, REDIS_ROLE_PLAIN},
		{"XREADGROUP", 0, 0, 0, 0, REDIS_ROLE_STREAMS},
	};
	static const char *const unknown[] = {"", "G", "GETX", "get", "ZZZ", "A",
					      "A-NAME-LONGER-THAN-ANY-COMMAND"};

	for (uint32_t i = 0; i < TL_COUNT_OF(known); i++) {
		const struct redis_command *row = tl_redis_command(tl_bytes_of(known[i].name));
		assert_non_null(row);
		assert_string_equal(row->name, known[i].name);
		assert_int_equal(row->first, known[i].first);
		assert_int_equal(row->last, known[i].last);
		assert_int_equal(row->step, known[i].step);
		assert_int_equal(row->count_at, known[i].count_at);
		assert_int_equal(row->role, known[i].role);
	}
	for (uint32_t i = 0; i < TL_COUNT_OF(unknown); i++)
		assert_null(tl_redis_command(tl_bytes_of(unknown[i])));
}

static void statuses(void **state)
{
	(void)state;
	enum tl_reason reason;

	assert_int_equal(tl_redis_status(tl_bytes_of("MOVED"), &reason), TL_STATUS_OK);
	assert_int_equal(reason, TL_REASON_REDIRECT);
	assert_int_equal(tl_redis_status(tl_bytes_of("BUSY"), &reason), TL_STATUS_SERVER_ERROR);
	assert_int_equal(reason, TL_REASON_NONE);
	assert_int_equal(tl_redis_status(tl_bytes_of("BUSYGROUP"), &reason), TL_STATUS_CLIENT_ERROR);
	assert_int_equal(tl_redis_status(tl_bytes_of("ERR"), &reason), TL_STATUS_CLIENT_ERROR);
	assert_int_equal(tl_redis_status(tl_bytes_of(""), &reason), TL_STATUS_CLIENT_ERROR);
}

static void numbers(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum redis_line_kind kind;
		int64_t value;
	} vectors[] = {
		{"*3\r\n", REDIS_LINE_OK, 3},
		{"$-1\r\n", REDIS_LINE_OK, -1},
		{"$0\r\nx", REDIS_LINE_OK, 0},
		{"$007\r\n", REDIS_LINE_OK, 7},
		{"*?\r\n", REDIS_LINE_STREAMED, 0},
		{"*", REDIS_LINE_MORE, 0},
		{"*3", REDIS_LINE_MORE, 0},
		{"*3\r", REDIS_LINE_MORE, 0},
		{"*-", REDIS_LINE_MORE, 0},
		{"*?\r", REDIS_LINE_MORE, 0},
		{"*\r\n", REDIS_LINE_BAD, 0},
		{"*-\r\n", REDIS_LINE_BAD, 0},
		{"*-?\r\n", REDIS_LINE_BAD, 0},
		{"*3\n", REDIS_LINE_BAD, 0},
		{"*3x", REDIS_LINE_BAD, 0},
		{"* 3\r\n", REDIS_LINE_BAD, 0},
		{"*3\rx", REDIS_LINE_BAD, 0},
		{"$123456789012345678\r\n", REDIS_LINE_OK, 123456789012345678},
		{"$1234567890123456789\r\n", REDIS_LINE_BAD, 0},
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++) {
		struct redis_number number;
		enum redis_line_kind kind = tl_redis_number(tl_bytes_of(vectors[i].text), 0, &number);
		if (kind != vectors[i].kind)
			fail_msg("vector %u: kind %d", i, (int)kind);
		if (kind == REDIS_LINE_OK)
			assert_int_equal(number.value, vectors[i].value);
	}
}

static void durations(void **state)
{
	(void)state;
	const uint64_t second = 1000000000;

	assert_int_equal(tl_redis_duration(tl_bytes_of("0"), second), 0);
	assert_int_equal(tl_redis_duration(tl_bytes_of("5"), second), 5 * second);
	assert_int_equal(tl_redis_duration(tl_bytes_of("0.25"), second), second / 4);
	assert_int_equal(tl_redis_duration(tl_bytes_of(".5"), second), second / 2);
	assert_int_equal(tl_redis_duration(tl_bytes_of("100"), second / 1000), second / 10);
	assert_int_equal(tl_redis_duration(tl_bytes_of("x"), second), 0);
	assert_int_equal(tl_redis_duration(tl_bytes_of("-1"), second), 0);
	assert_int_equal(tl_redis_duration(tl_bytes_of("999999999999999999"), second), 0);
	assert_int_equal(tl_redis_duration(tl_bytes_of("1.x"), second), 0);
}

static void globs(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *text;
		bool fits;
	} vectors[] = {
		{"session:*", "session:1", true}, {"session:*", "session:", true},
		{"session:*", "session", false},  {"*", "", true},
		{"", "", true},                   {"", "a", false},
		{"user:*:name", "user:1:name", true},
		{"user:*:name", "user:1:name:name", true},
		{"user:*:name", "user:1:names", false},
		{"a?c", "abc", true},             {"a?c", "ac", false},
		{"*a*b*", "xxaxxbxx", true},      {"*a*b*", "xxbxxaxx", false},
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++)
		if (tl_redis_glob(vectors[i].pattern, tl_bytes_of(vectors[i].text)) != vectors[i].fits)
			fail_msg("'%s' and '%s'", vectors[i].pattern, vectors[i].text);
}

static void recognition(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum tl_match client, server;
	} vectors[] = {
		{"*1\r\n$4\r\nPING\r\n", TL_MATCH_CERTAIN, TL_MATCH_LIKELY},
		{"*1\r\n$4\r\nping\r\n", TL_MATCH_CERTAIN, TL_MATCH_LIKELY},
		{"*2\r\n$8\r\nJSON.GET\r\n", TL_MATCH_LIKELY, TL_MATCH_LIKELY},
		{"*2\r\n$3", TL_MATCH_UNSURE, TL_MATCH_LIKELY},
		{"*", TL_MATCH_UNSURE, TL_MATCH_UNSURE},
		{"*2\r\n:3\r\n", TL_MATCH_NO, TL_MATCH_LIKELY},
		{"*1\r\n$2\r\n\x01\x02\r\n", TL_MATCH_NO, TL_MATCH_LIKELY},
		{"* OK IMAP4\r\n", TL_MATCH_NO, TL_MATCH_NO},
		{"PING\r\n", TL_MATCH_LIKELY, TL_MATCH_NO},
		{"PI", TL_MATCH_UNSURE, TL_MATCH_NO},
		{"SET a", TL_MATCH_UNSURE, TL_MATCH_NO},
		{"USER bob\r\n", TL_MATCH_NO, TL_MATCH_NO},
		{"QUIT\r\n", TL_MATCH_UNSURE, TL_MATCH_NO},
		{"AUTH secret\r\n", TL_MATCH_UNSURE, TL_MATCH_NO},
		{"EHLO x\r\n", TL_MATCH_NO, TL_MATCH_NO},
		{"+OK\r\n", TL_MATCH_NO, TL_MATCH_LIKELY},
		{"+O", TL_MATCH_NO, TL_MATCH_UNSURE},
		{"-ERR no\r\n", TL_MATCH_NO, TL_MATCH_LIKELY},
		{"-rw-r--r-- 1 root\r\n", TL_MATCH_NO, TL_MATCH_NO},
		{":12\r\n", TL_MATCH_NO, TL_MATCH_LIKELY},
		{":irc.example 001 bob\r\n", TL_MATCH_NO, TL_MATCH_NO},
		{"$3\r\nabc\r\n", TL_MATCH_NO, TL_MATCH_LIKELY},
		{"%2\r\n", TL_MATCH_NO, TL_MATCH_LIKELY},
		{"\x16\x03\x01", TL_MATCH_NO, TL_MATCH_NO},
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++) {
		struct tl_bytes bytes = tl_bytes_of(vectors[i].text);
		if (tl_redis_match_request(bytes) != vectors[i].client)
			fail_msg("vector %u as a client", i);
		if (tl_redis_match_reply(bytes) != vectors[i].server)
			fail_msg("vector %u as a server", i);
	}
}

static void finding(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint32_t at;
	} vectors[] = {
		{"*1\r\n$4\r\nPING\r\n", 0},
		{"lue\r\n*1\r\n$4\r\nPING\r\n", 5},
		{"\n*1\r\n$4\r\nPI", 1},
		{"\r\n*1\r\n$4\r\n", 10},        // no name yet
		{"\r\n*1\r\n$4\r\nPINGx\r\n", 17}, // longer than it says
		{"\r\n*2\r\n$4\r\nPING\r\n*", 17}, // an argument too few
		{"*1\r\n$1\r\n7\r\n", 11},         // a number is no command
		{"x*1\r\n$4\r\nPING\r\n", 15},
		{"$3\r\nabc\r\n", 9},
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++) {
		uint32_t at = tl_redis_find_request(tl_bytes_of(vectors[i].text));
		if (at != vectors[i].at)
			fail_msg("vector %u: %u", i, at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands),   cmocka_unit_test(statuses),
		cmocka_unit_test(numbers),    cmocka_unit_test(durations),
		cmocka_unit_test(globs),      cmocka_unit_test(recognition),
		cmocka_unit_test(finding),
	};
	return cmocka_run_group_tests_name("redis", tests, NULL, NULL);
}
