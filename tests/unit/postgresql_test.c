// SPDX-License-Identifier: Apache-2.0
// The pure parts of the PostgreSQL decoder: words, the statement store, what messages look like.
// Whole conversations: tests/sweep/conversations/postgresql.txt.
#include "base/check.h"
#include "protocols/postgresql/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void command_words(void **state)
{
	(void)state;
	static const struct {
		const char *verb, *command;
	} vectors[] = {
		{"SELECT", "SELECT"}, {"", "EMPTY"},         {"CLOSE", "CLOSE"},
		{"FROB", "OTHER"},    {"EXECUTE", "EXECUTE"}, {"START_REPLICATION", "START_REPLICATION"},
		{"SELEC", "OTHER"},   {"NOTIFY", "NOTIFY"},   {"STARTUP", "OTHER"},
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++) {
		uint8_t command = tl_pg_command_of(tl_bytes_of(vectors[i].verb));
		if (!tl_bytes_is(tl_pg_command(command), vectors[i].command))
			fail_msg("'%s' is not %s", vectors[i].verb, vectors[i].command);
	}
	assert_true(tl_bytes_is(tl_pg_command(255), "OTHER"));
}

static void statuses(void **state)
{
	(void)state;
	static const struct {
		const char *sqlstate;
		enum tl_status status;
	} vectors[] = {
		{"57014", TL_STATUS_CANCELLED},    {"57P01", TL_STATUS_SERVER_ERROR},
		{"08006", TL_STATUS_SERVER_ERROR}, {"40P01", TL_STATUS_SERVER_ERROR},
		{"53300", TL_STATUS_SERVER_ERROR}, {"55P03", TL_STATUS_SERVER_ERROR},
		{"58030", TL_STATUS_SERVER_ERROR}, {"F0001", TL_STATUS_SERVER_ERROR},
		{"XX000", TL_STATUS_SERVER_ERROR}, {"23505", TL_STATUS_CLIENT_ERROR},
		{"42601", TL_STATUS_CLIENT_ERROR}, {"", TL_STATUS_CLIENT_ERROR},
		{"5", TL_STATUS_CLIENT_ERROR},     {"28P01", TL_STATUS_CLIENT_ERROR},
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++)
		if (tl_pg_status(tl_bytes_of(vectors[i].sqlstate)) != vectors[i].status)
			fail_msg("%s", vectors[i].sqlstate);
}

static void tags(void **state)
{
	(void)state;
	static const struct {
		const char *tag, *words;
		uint64_t rows;
	} vectors[] = {
		{"SELECT 5", "SELECT", 5},   {"INSERT 0 12", "INSERT", 12}, {"CREATE TABLE", "CREATE TABLE", 0},
		{"", "", 0},                 {"7", "", 0},                  {"COPY 18446744073709551615", "COPY", 0},
		{"UPDATE ", "UPDATE", 0},    {"DELETE 0", "DELETE", 0},
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++) {
		struct tl_bytes tag = tl_bytes_of(vectors[i].tag);
		assert_int_equal(tl_pg_tag_rows(tag), vectors[i].rows);
		assert_true(tl_bytes_is(tl_pg_tag_words(tag), vectors[i].words));
	}
}

static struct pg_statement statement(const char *text)
{
	return (struct pg_statement) {
		.digest = 7, .text = tl_bytes_of(text), .summary = tl_bytes_of("SELECT t"),
		.text_full = (uint32_t)strlen(text), .command = 3};
}

static void statements_by_name(void **state)
{
	(void)state;
	struct pg_statements store = {.used = 0};
	struct pg_statement s = statement("SELECT 1");
	struct pg_statement got;
	uint32_t a = tl_pg_name_id(tl_bytes_of("a"));

	assert_int_equal(tl_pg_name_id(tl_bytes_of("")), PG_UNNAMED);
	assert_false(tl_pg_statement_get(&store, a, &got));
	assert_int_equal(tl_pg_statement_put(&store, a, &s), 0);
	s = statement("SELECT 2");
	assert_int_equal(tl_pg_statement_put(&store, PG_UNNAMED, &s), 0);
	s = statement("SELECT three");
	assert_int_equal(tl_pg_statement_put(&store, a, &s), 0);
	assert_true(tl_pg_statement_get(&store, a, &got));
	assert_true(tl_bytes_is(got.text, "SELECT three"));
	assert_true(tl_bytes_is(got.summary, "SELECT t"));
	assert_int_equal(got.digest, 7);
	assert_int_equal(got.command, 3);
	assert_int_equal(got.text_full, strlen("SELECT three"));
	assert_true(tl_pg_statement_get(&store, PG_UNNAMED, &got));
	assert_true(tl_bytes_is(got.text, "SELECT 2"));
	tl_pg_statement_drop(&store, a);
	assert_false(tl_pg_statement_get(&store, a, &got));
	assert_true(tl_pg_statement_get(&store, PG_UNNAMED, &got));
	tl_pg_statement_drop(&store, a);
}

// However many there are, the newest is there, what is there is right, and the books agree.
static void a_full_store_forgets_the_oldest(void **state)
{
	(void)state;
	struct pg_statements store = {.used = 0};
	struct pg_statement got;
	char text[2 * PG_STORED_TEXT_BYTES_MAX];
	uint32_t gone = 0;

	for (uint32_t i = 1; i <= 300; i++) {
		int len = snprintf(text, sizeof(text), "%u %0*u", i, (int)(i % 200), 0);
		struct pg_statement s = statement(text);
		gone += tl_pg_statement_put(&store, i, &s);
		assert_true(store.used <= PG_STORE_BYTES);
		assert_true(tl_pg_statement_get(&store, i, &got));
		assert_int_equal(got.text_full, len);
		assert_memory_equal(got.text.ptr, text, got.text.len);
	}
	uint32_t left = 0;
	for (uint32_t i = 1; i <= 300; i++)
		left += tl_pg_statement_get(&store, i, &got);
	assert_int_equal(left + gone, 300);
	assert_false(tl_pg_statement_get(&store, 1, &got));
}

// What is executed again and again stays, whatever else is prepared.
static void a_full_store_keeps_what_is_used(void **state)
{
	(void)state;
	struct pg_statements store = {.used = 0};
	struct pg_statement got;
	struct pg_statement s = statement("SELECT 1");
	uint32_t gone = 0;

	for (uint32_t i = 1; i <= 3 * PG_STATEMENTS_MAX; i++) {
		gone += tl_pg_statement_put(&store, i, &s);
		assert_true(tl_pg_statement_get(&store, 1, &got));
	}
	assert_int_equal(gone, 2 * PG_STATEMENTS_MAX);
	assert_false(tl_pg_statement_get(&store, 2, &got));
	assert_true(tl_pg_statement_get(&store, 3 * PG_STATEMENTS_MAX, &got));
	assert_true(tl_bytes_is(got.text, "SELECT 1"));
}

static void portals(void **state)
{
	(void)state;
	struct pg_statements store = {.used = 0};
	uint32_t got = 0;

	for (uint32_t i = 0; i < 3 * PG_PORTALS_MAX; i++) {
		assert_int_equal(tl_pg_portal_put(&store, i, 100 + i), i < PG_PORTALS_MAX);
		assert_true(tl_pg_portal_get(&store, i, &got));
		assert_int_equal(got, 100 + i);
	}
	assert_false(tl_pg_portal_get(&store, 0, &got));
	tl_pg_portal_drop(&store, 3 * PG_PORTALS_MAX - 1);
	assert_false(tl_pg_portal_get(&store, 3 * PG_PORTALS_MAX - 1, &got));
	assert_true(tl_pg_portal_get(&store, 3 * PG_PORTALS_MAX - 2, &got));
	assert_true(tl_pg_portal_put(&store, 3 * PG_PORTALS_MAX - 2, 5));
	assert_true(tl_pg_portal_get(&store, 3 * PG_PORTALS_MAX - 2, &got));
	assert_int_equal(got, 5);
}

// A cursor of the unnamed statement goes on after that name stands for others.
static void portals_keep_what_they_were_bound_to(void **state)
{
	(void)state;
	struct pg_statements store = {.used = 0};
	struct pg_statement first = statement("SELECT one"), other = statement("SELECT two");
	struct pg_statement got;
	uint32_t a = tl_pg_name_id(tl_bytes_of("a")), b = tl_pg_name_id(tl_bytes_of("b")), id = 0;

	tl_pg_statement_put(&store, PG_UNNAMED, &first);
	tl_pg_portal_put(&store, a, PG_UNNAMED);
	tl_pg_portal_put(&store, b, PG_UNNAMED);
	tl_pg_portal_put(&store, PG_UNNAMED, PG_UNNAMED);
	for (uint32_t i = 0; i < 5; i++)
		tl_pg_statement_put(&store, PG_UNNAMED, &other);
	assert_int_equal(store.count, 2);
	assert_true(tl_pg_portal_get(&store, a, &id) && tl_pg_statement_get(&store, id, &got));
	assert_true(tl_bytes_is(got.text, "SELECT one"));
	assert_true(tl_pg_portal_get(&store, PG_UNNAMED, &id) && id == PG_UNNAMED);
	// The last of the portals takes the text with it.
	tl_pg_portal_put(&store, a, PG_UNNAMED);
	assert_int_equal(store.count, 2);
	tl_pg_portal_drop(&store, b);
	assert_int_equal(store.count, 1);
	assert_true(tl_pg_statement_get(&store, PG_UNNAMED, &got));
	assert_true(tl_bytes_is(got.text, "SELECT two"));
}

#define BYTES(text) tl_bytes(text, sizeof(text) - 1)

static void looks(void **state)
{
	(void)state;
	const struct {
		enum tl_lane lane;
		struct tl_bytes bytes;
		enum tl_match match;
	} vectors[] = {
		{TL_CLIENT, BYTES("\0\0\0\x08\x04\xd2\x16\x2f"), TL_MATCH_CERTAIN},
		{TL_CLIENT, BYTES("\0\0\0\x08\x04\xd2\x16\x30"), TL_MATCH_CERTAIN},
		{TL_CLIENT, BYTES("\0\0\0\x10\x04\xd2\x16\x2e"), TL_MATCH_CERTAIN},
		{TL_CLIENT, BYTES("\0\0\0\x09\x04\xd2\x16\x2f"), TL_MATCH_NO},
		{TL_CLIENT, BYTES("\0\0\0\x20\0\x03\0\0user\0"), TL_MATCH_CERTAIN},
		{TL_CLIENT, BYTES("\0\0\0\x20\0\x03\0\x02us"), TL_MATCH_LIKELY},
		{TL_CLIENT, BYTES("\0\0"), TL_MATCH_UNSURE},
		{TL_CLIENT, BYTES("Q\0\0\0\x0dSELECT 1\0"), TL_MATCH_CERTAIN},
		{TL_CLIENT, BYTES("Q\0\0\0\x0dSELE"), TL_MATCH_UNSURE},
		{TL_CLIENT, BYTES("Q\0\0\0\x0dSEL\0CT 1\0"), TL_MATCH_NO},
		{TL_CLIENT, BYTES("GET / HTTP/1.1\r\n\r\n"), TL_MATCH_NO},
		{TL_SERVER, BYTES("N"), TL_MATCH_UNSURE},
		{TL_SERVER, BYTES("Z\0\0\0\x05I"), TL_MATCH_CERTAIN},
		{TL_SERVER, BYTES("Z\0\0\0\x05X"), TL_MATCH_NO},
		{TL_SERVER, BYTES("R\0\0\0\x08\0\0\0\0"), TL_MATCH_CERTAIN},
		{TL_SERVER, BYTES("HTTP/1.1 200 OK\r\n\r\n"), TL_MATCH_NO},
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++) {
		enum tl_match got = tl_pg_match(vectors[i].lane, vectors[i].bytes);
		if (got != vectors[i].match)
			fail_msg("vector %u: %d, not %d", i, got, vectors[i].match);
	}
	assert_int_equal(tl_pg_find_start(TL_SERVER, BYTES("ello\0Z\0\0\0\x05I")), 5);
	assert_int_equal(tl_pg_find_start(TL_CLIENT, BYTES("ELECT 1\0Q\0\0\0\x0dSELECT 1\0")), 8);
	assert_int_equal(tl_pg_find_start(TL_CLIENT, BYTES("nothing here")), 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_words),
		cmocka_unit_test(statuses),
		cmocka_unit_test(tags),
		cmocka_unit_test(statements_by_name),
		cmocka_unit_test(a_full_store_forgets_the_oldest),
		cmocka_unit_test(a_full_store_keeps_what_is_used),
		cmocka_unit_test(portals),
		cmocka_unit_test(portals_keep_what_they_were_bound_to),
		cmocka_unit_test(looks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
