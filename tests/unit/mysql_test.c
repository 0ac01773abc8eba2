// SPDX-License-Identifier: Apache-2.0
// The parts of the MySQL decoder by themselves; whole conversations are the sweep's.
#include "protocols/mysql/packed.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(literal) tl_bytes(literal, sizeof(literal) - 1)

static void numbers_of_every_length(void **state)
{
	(void)state;
	const struct {
		struct tl_bytes bytes;
		uint64_t value;
		bool fails;
	} cases[] = {
		{BYTES("\xfa"), 250, false},
		{BYTES("\xfc\x34\x12"), 0x1234, false},
		{BYTES("\xfd\x56\x34\x12"), 0x123456, false},
		{BYTES("\xfe\x08\x07\x06\x05\x04\x03\x02\x01"), 0x0102030405060708, false},
		{BYTES("\xfb"), 0, true}, // NULL
		{BYTES("\xff"), 0, true}, // ERR
		{BYTES("\xfc\x34"), 0, true},
		{BYTES("\xfe\x08\x07"), 0, true},
		{tl_bytes(NULL, 0), 0, true},
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(cases); i++) {
		struct tl_cursor c = tl_cursor(cases[i].bytes);
		uint64_t value = tl_mysql_lenenc(&c);
		assert_int_equal(c.failed, cases[i].fails);
		if (!cases[i].fails)
			assert_int_equal(value, cases[i].value);
	}
}

static void names_are_cut_between_characters(void **state)
{
	(void)state;
	struct mysql_name name;
	char text[80];

	// 63 letters and a character of three bytes: it doesn't fit.
	memset(text, 'a', 63);
	memcpy(text + 63, "\xe2\x82\xac", 3);
	tl_mysql_name_set(&name, tl_bytes(text, 66));
	assert_int_equal(name.len, 63);
	tl_mysql_name_set(&name, tl_bytes(text, 63));
	assert_int_equal(name.len, 63);
	tl_mysql_name_set(&name, tl_bytes(NULL, 0));
	assert_int_equal(name.len, 0);
	struct tl_cursor c = tl_cursor(BYTES("one\0two"));
	assert_true(tl_bytes_is(tl_mysql_nul_text(&c), "one"));
	assert_true(tl_bytes_is(tl_mysql_nul_text(&c), "two"));
	assert_int_equal(tl_cursor_left(&c), 0);
}

static void greetings_and_logins_are_told_from_others(void **state)
{
	(void)state;
	static const char greeting[] = "\n8.0.30\0\7\0\0\0abcdefgh\0\xff\xf7\x21\2\0\xff\x80\25"
				       "\0\0\0\0\0\0\0\0\0\0ijklmnopqrst";
	uint8_t login[40] = {0x0d, 0xa2};

	assert_true(tl_mysql_is_greeting(BYTES(greeting)));
	for (uint32_t len = 0; len < 30; len++)
		assert_false(tl_mysql_is_greeting(tl_bytes(greeting, len)));
	assert_false(tl_mysql_is_greeting(BYTES("\n\x01.0.30\0\7\0\0\0abcdefgh\0\xff\xf7\x21\2\0\xff")));
	assert_true(tl_mysql_is_login(tl_bytes(login, sizeof(login))));
	assert_false(tl_mysql_is_login(tl_bytes(login, 31)));
	login[20] = 1; // filler is zero
	assert_false(tl_mysql_is_login(tl_bytes(login, sizeof(login))));
	login[20] = 0;
	login[1] = 0; // before 4.1
	assert_false(tl_mysql_is_login(tl_bytes(login, sizeof(login))));
}

static void errors_have_their_status(void **state)
{
	(void)state;
	const struct {
		uint32_t code;
		const char *sqlstate;
		enum tl_status status;
	} cases[] = {
		{1317, "70100", TL_STATUS_CANCELLED},    {3024, "HY000", TL_STATUS_TIMEOUT},
		{1040, "08004", TL_STATUS_SERVER_ERROR}, {1213, "40001", TL_STATUS_SERVER_ERROR},
		{1205, "HY000", TL_STATUS_SERVER_ERROR}, {9999, "53000", TL_STATUS_SERVER_ERROR},
		{9999, "XA100", TL_STATUS_SERVER_ERROR}, {1146, "42S02", TL_STATUS_CLIENT_ERROR},
		{1062, "23000", TL_STATUS_CLIENT_ERROR}, {9999, NULL, TL_STATUS_CLIENT_ERROR},
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(cases); i++)
		assert_int_equal(tl_mysql_error_status(cases[i].code,
						       (const uint8_t *)cases[i].sqlstate),
				 cases[i].status);
	assert_true(tl_mysql_error_quotes_values(1062));
	assert_false(tl_mysql_error_quotes_values(1146));
	assert_string_equal(tl_mysql_word(MYSQL_BULK_EXECUTE)->name, "STMT_BULK_EXECUTE");
	assert_int_equal(tl_mysql_word(0xee)->answer, MYSQL_ANSWER_NO);
}

// ---- Prepared statements ----------------------------------------------------------------------

static struct mysql_statements store;

static uint32_t prepare(uint32_t id, uint32_t text_len)
{
	char text[1024];
	struct tl_sql sql = {.digest = 1000 + id, .text_full = text_len};

	memset(text, 'a' + (int)(id % 26), sizeof(text));
	uint32_t evicted = tl_mysql_statement_add(&store, id, &sql, tl_bytes(text, text_len));
	tl_mysql_statement_name(&store, id, id);
	return evicted;
}

static bool is_kept(uint32_t id)
{
	struct mysql_statement statement;

	if (!tl_mysql_statement_find(&store, id, &statement))
		return false;
	assert_int_equal(statement.digest, 1000 + id);
	if (statement.text.len != 0)
		assert_int_equal(statement.text.ptr[statement.text.len - 1], 'a' + id % 26);
	return true;
}

static void statements_give_way_by_use(void **state)
{
	(void)state;
	uint32_t evicted = 0;
	uint32_t id = 1;

	memset(&store, 0, sizeof(store));
	assert_false(is_kept(1));
	// As many of the longest texts as the documentation says.
	for (; id <= 26; id++)
		assert_int_equal(prepare(id, 1000), 0);
	assert_true(is_kept(1));
	for (; id <= 60; id++) {
		evicted += prepare(id, 1000);
		assert_true(is_kept(1)); // used again and again
		assert_true(is_kept(id));
	}
	assert_false(is_kept(2));
	assert_true(evicted >= 30);
	struct mysql_statement last;
	assert_true(tl_mysql_statement_find(&store, MYSQL_STATEMENT_LAST, &last));
	assert_int_equal(last.digest, 1060);
	assert_int_equal(last.text.len, MYSQL_STATEMENT_TEXT_MAX);
	assert_int_equal(last.text_full, 1000);
}

static void statements_are_found_after_others_went(void **state)
{
	(void)state;
	memset(&store, 0, sizeof(store));
	for (uint32_t id = 1; id <= 100; id++)
		assert_int_equal(prepare(id, id % 90), 0);
	for (uint32_t id = 1; id <= 100; id += 3)
		tl_mysql_statement_close(&store, id);
	tl_mysql_statement_close(&store, 1234);
	for (uint32_t id = 1; id <= 100; id++)
		assert_int_equal(is_kept(id), id % 3 != 1);
	// Ids of the same hint.
	assert_int_equal(prepare(2 + MYSQL_STATEMENT_HINTS * 9, 10), 0);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(is_kept(2 + MYSQL_STATEMENT_HINTS * 9));
		assert_true(is_kept(2));
	}
	tl_mysql_statement_clear(&store);
	assert_false(is_kept(2));
}

static void statements_that_failed_are_forgotten(void **state)
{
	(void)state;
	struct tl_sql sql = {.digest = 7};
	struct mysql_statement found;

	memset(&store, 0, sizeof(store));
	assert_int_equal(prepare(1, 10), 0);
	tl_mysql_statement_add(&store, 50, &sql, BYTES("SELECT ?"));
	tl_mysql_statement_add(&store, 51, &sql, BYTES("SELECT ?"));
	tl_mysql_statement_forget(&store, 50);
	tl_mysql_statement_name(&store, 50, 9);
	assert_false(tl_mysql_statement_find(&store, 9, &found));
	tl_mysql_statement_forget_unnamed(&store);
	tl_mysql_statement_name(&store, 51, 9);
	assert_false(tl_mysql_statement_find(&store, 9, &found));
	assert_true(is_kept(1));
}

// ---- Compressed frames ------------------------------------------------------------------------

static void frames_are_told_from_packets(void **state)
{
	(void)state;
	const struct {
		enum tl_lane lane;
		struct tl_bytes bytes;
		bool is_frame;
	} cases[] = {
		{TL_CLIENT, BYTES("\5\0\0\0\0\0\0\1\0\0\0\x0e"), true},          // PING, stored
		{TL_CLIENT, BYTES("\1\0\0\0\x0e"), false},                       // PING
		{TL_CLIENT, BYTES("\x09\0\0\0\3SELECT 1"), false},
		{TL_CLIENT, BYTES("\x10\0\0\0\x40\0\0\x78\x9c\1\2"), true},      // zlib
		{TL_CLIENT, BYTES("\x10\0\0\0\x40\0\0\x78\x9d\1\2"), false},
		{TL_CLIENT, BYTES("\x10\0\0\0\x40\0\0\x28\xb5\x2f\xfd"), true},  // zstd
		{TL_CLIENT, BYTES("\x10\0\0\0\x08\0\0\x78\x9c\1\2"), false},     // would not have grown
		{TL_SERVER, BYTES("\x0b\0\0\1\0\0\0\7\0\0\1\0\0\0\2\0\0\0"), true}, // OK, stored
		{TL_SERVER, BYTES("\7\0\0\1\0\0\0\2\0\0\0"), false},             // OK
		{TL_SERVER, BYTES("\7\0\0\1\0\0\0\3\0\0\0"), false},             // OK, in a transaction
		{TL_SERVER, BYTES("\7\0\0\1\0\0\0\2\0\0\1"), false},             // OK, 256 warnings
		{TL_SERVER, BYTES("\5\0\0\1\xfe\0\0\2\0"), false},               // EOF
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(cases); i++) {
		assert_int_equal(tl_mysql_is_frame(cases[i].lane, cases[i].bytes), cases[i].is_frame);
		// What it takes to tell is never more than there is.
		uint32_t look = tl_mysql_frame_look(cases[i].bytes);
		assert_true(look <= cases[i].bytes.len);
		assert_int_equal(tl_mysql_is_frame(cases[i].lane, tl_bytes_first(cases[i].bytes, look)),
				 cases[i].is_frame);
	}
	struct tl_bytes two = BYTES("\5\0\0\0\0\0\0\1\0\0\0\x0e\5\0\0\0\0\0\0\1\0\0\0\x0e");
	assert_true(tl_mysql_is_frames(TL_CLIENT, two, true));
	assert_false(tl_mysql_is_frames(TL_CLIENT, tl_bytes_first(two, 23), true));
	assert_true(tl_mysql_is_frames(TL_CLIENT, tl_bytes_first(two, 23), false));
}

// ---- Loss -------------------------------------------------------------------------------------

static uint32_t commands_until_found(struct mysql *my, uint32_t owed, uint32_t depth,
				     uint32_t silent_at)
{
	my->is_mute = true;
	my->drift = 0;
	my->drift_max = INT32_MIN;
	my->drift_hits = 0;
	for (uint32_t n = 0; n < 1000; n++) {
		// Answers come when a batch was sent; those that were owed, with the first one.
		if (n % depth == 0 && n != 0)
			my->drift += (int32_t)depth + (int32_t)(n == depth ? owed : 0);
		if (tl_mysql_finds_track(my, n == silent_at)) {
			assert_int_equal(n % depth, 0); // nothing is open at that moment
			return n;
		}
	}
	return UINT32_MAX;
}

static void track_is_found_when_nothing_is_owed(void **state)
{
	(void)state;
	struct mysql my = {0};

	for (uint32_t depth = 1; depth < 10; depth++)
		for (uint32_t owed = 0; owed < 5; owed++) {
			uint32_t n = commands_until_found(&my, owed, depth, UINT32_MAX);
			assert_in_range(n, 7 * depth, 8 * depth);
			assert_false(my.is_mute);
		}
	// Of a client that keeps a window full the surplus is the same highest one at every command,
	// too: only a silence tells.
	my.pipelines = true;
	assert_int_equal(commands_until_found(&my, 0, 1, UINT32_MAX), UINT32_MAX);
	assert_int_equal(commands_until_found(&my, 0, 1, 600), 600);
	my.pipelines = false;
	my.is_inside = true; // there answers can't be counted
	assert_int_equal(commands_until_found(&my, 0, 1, UINT32_MAX), UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_of_every_length),
		cmocka_unit_test(names_are_cut_between_characters),
		cmocka_unit_test(greetings_and_logins_are_told_from_others),
		cmocka_unit_test(errors_have_their_status),
		cmocka_unit_test(statements_give_way_by_use),
		cmocka_unit_test(statements_are_found_after_others_went),
		cmocka_unit_test(statements_that_failed_are_forgotten),
		cmocka_unit_test(frames_are_told_from_packets),
		cmocka_unit_test(track_is_found_when_nothing_is_owed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
