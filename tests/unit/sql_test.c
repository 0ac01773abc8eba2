// SPDX-License-Identifier: Apache-2.0
// Masking, digests and summaries of SQL texts.
#include "protocols/common/sql.h"

#include "protocols/common/sql_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct tl_sql read_sql(enum tl_sql_dialect dialect, const char *sql, char *text, uint32_t size)
{
	struct tl_sql ret;
	uint32_t len = (uint32_t)strlen(sql);
	// A copy of the exact size: a sanitizer sees a read beyond it.
	char *copy = malloc(len + (len == 0));

	assert_non_null(copy);
	memcpy(copy, sql, len);
	tl_sql_read(dialect, tl_bytes(copy, len), len, text, size - 1, &ret);
	text[ret.text_len] = '\0';
	free(copy);
	return ret;
}

static void check_masked(enum tl_sql_dialect dialect, const char *const (*rows)[2], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char text[512];
		struct tl_sql sql = read_sql(dialect, rows[i][0], text, sizeof(text));
		assert_string_equal(text, rows[i][1]);
		assert_int_equal(sql.text_full, sql.text_len);
		// Masking what is masked changes nothing more.
		char again[512];
		struct tl_sql second = read_sql(TL_SQL_MYSQL, text, again, sizeof(again));
		if (dialect == TL_SQL_MYSQL) {
			assert_string_equal(text, again);
			assert_true(sql.digest == second.digest);
		}
	}
}

static void test_masks_mysql(void **state)
{
	static const char *const rows[][2] = {
		{"SELECT 1", "SELECT ?"},
		{"SELECT 'a', \"b\", N'c', x'1f', 0x1F, _utf8'd', b'01', 1.5e-3, .5, 'it''s', 'a\\'b'",
		 "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"},
		{"select * from `t 1` where a=-1 and b = - 2", "select * from `t 1` where a=? and b = ?"},
		{"SELECT t1.c1 FROM t1 WHERE id IN (1, 2,3)", "SELECT t1.c1 FROM t1 WHERE id IN (?)"},
		{"SELECT 1 -- secret\n, 2", "SELECT ? , ?"},
		{"SELECT 1--1", "SELECT ?--?"},
		{"SELECT 1 # secret\n", "SELECT ?"},
		{"SELECT /* secret */ a", "SELECT a"},
		{"SELECT /*!40101 a */ b", "SELECT a b"},
		{"SELECT /*M!100100 a*/", "SELECT a"},
		{"SELECT 'open string; DROP", "SELECT ?"},
		{"SELECT /* open comment", "SELECT"},
		{"INSERT INTO t VALUES (1,'a',NULL),(2,'b',3) , (4, 'c', -5)", "INSERT INTO t VALUES (?)"},
		{"INSERT INTO t VALUES (1,NOW()),(2,NOW())", "INSERT INTO t VALUES (?,NOW())"},
		{"SELECT * FROM t WHERE (a,b) IN ((1,2),(3,4))", "SELECT * FROM t WHERE (a,b) IN ((?))"},
		{"SELECT 'a' 'b'", "SELECT ?"},
		{"SELECT @a:=1, @@session.x", "SELECT @a:=?, @@session.x"},
		{"SELECT a\n\t  FROM\r\n t ;", "SELECT a FROM t"},
		{"SELECT 1; SELECT 2;", "SELECT ?; SELECT ?"},
		{"SET a = NULL", "SET a = ?"},
		{"SELECT a IS NULL", "SELECT a IS NULL"},
		{"SELECT f(-1, ?)", "SELECT f(?)"},
		{"", ""},
		{"'", "?"},
		{"'a\\", "?"},
		{"x'", "?"},
		{")))(((", ")))((("},
		// A parenthesis that closes nothing ends no group.
		{"(1)),(1),(1)", "(?)),(?)"},
		{"1e+5, 0x1f, 1a$b@c, 12345678901234567890.5e-3", "?, ?, ?, ?"},
		{"`t`.1", "`t`.?"},
	};
	(void)state;
	check_masked(TL_SQL_MYSQL, rows, sizeof(rows) / sizeof(rows[0]));
}

static void test_masks_postgresql(void **state)
{
	static const char *const rows[][2] = {
		{"SELECT \"Name\", 'a\\', E'b\\'c', $1, $$it's$$, $x$ $y$ $x$, U&'d', 1::int8",
		 "SELECT \"Name\", ?, ?, ?, ?, ?, ?, ?::int8"},
		{"SELECT 1 /* a /* b */ secret */ + 2", "SELECT ? + ?"},
		{"SELECT 1--secret\n", "SELECT ?"},
		{"SELECT a ? 'k', b @> '{}', c #>> '{a}'", "SELECT a ? ?, b @> ?, c #>> ?"},
		{"SELECT x WHERE id = ANY ($1)", "SELECT x WHERE id = ANY (?)"},
		{"SELECT $tag$ open", "SELECT ?"},
		{"SELECT $", "SELECT $"},
	};
	(void)state;
	check_masked(TL_SQL_POSTGRESQL, rows, sizeof(rows) / sizeof(rows[0]));
}

// Whether backslashes escape is the session's choice.
static void test_masks_by_setting(void **state)
{
	static const char *const plain[][2] = {
		{"SELECT 'a\\', 'secret'", "SELECT ?, ?"},
		{"SELECT \"a\\\", 'secret'", "SELECT ?, ?"},
	};
	static const char *const escapes[][2] = {
		{"SELECT 'it\\'s', 'secret', \"n\\\", E'\\''", "SELECT ?, ?, \"n\\\", ?"},
	};
	(void)state;
	check_masked(TL_SQL_MYSQL_PLAIN, plain, sizeof(plain) / sizeof(plain[0]));
	check_masked(TL_SQL_POSTGRESQL_ESCAPES, escapes, sizeof(escapes) / sizeof(escapes[0]));
}

static uint64_t digest(const char *sql)
{
	char text[512];
	return read_sql(TL_SQL_MYSQL, sql, text, sizeof(text)).digest;
}

static void test_digests(void **state)
{
	(void)state;
	assert_true(digest("SELECT a FROM t WHERE id=1") == digest("select  a from t where ID = '7' ;"));
	assert_true(digest("SELECT a FROM `t`") == digest("SELECT a FROM t /* x */"));
	assert_true(digest("INSERT INTO t VALUES (1,2)") == digest("INSERT INTO t VALUES (1,2),(3,4),(5,6)"));
	assert_true(digest("SELECT 1 FROM t WHERE a IN (1)") == digest("SELECT 2 FROM t WHERE a IN (?, ?)"));
	assert_true(digest("SELECT a FROM t") != digest("SELECT b FROM t"));
	assert_true(digest("SELECT a, b") != digest("SELECT b, a"));
	assert_true(digest("SELECT (a), (b)") != digest("SELECT (a)"));
	assert_true(digest("") == 0);
	assert_true(digest("/* nothing */") == 0);
	assert_true(digest("0") != 0);
	char text[TL_SQL_DIGEST_TEXT_BYTES];
	tl_sql_digest_text(UINT64_C(0x0123456789abcdef), text);
	assert_string_equal(text, "0123456789abcdef");
}

static void test_summaries(void **state)
{
	static const struct {
		enum tl_sql_dialect dialect;
		const char *sql, *verb, *summary;
		uint32_t statements;
	} rows[] = {
		{TL_SQL_MYSQL, "select * from t1", "SELECT", "SELECT t1", 1},
		{TL_SQL_MYSQL, "SELECT a FROM `db`.`t 1` x, t2 AS y WHERE a, b", "SELECT", "SELECT db.t 1 t2", 1},
		{TL_SQL_MYSQL, "SELECT * FROM a LEFT JOIN b ON a.x=b.x JOIN c USING (i)", "SELECT", "SELECT a b c", 1},
		{TL_SQL_MYSQL, "SELECT EXTRACT(YEAR FROM d) FROM t", "SELECT", "SELECT t", 1},
		{TL_SQL_MYSQL, "SELECT a FROM t FOR UPDATE", "SELECT", "SELECT t", 1},
		{TL_SQL_MYSQL, "INSERT INTO t (a,b) SELECT c, d FROM u ON DUPLICATE KEY UPDATE a=1", "INSERT", "INSERT t SELECT u", 1},
		{TL_SQL_MYSQL, "INSERT IGNORE t1 SET a=1", "INSERT", "INSERT t1", 1},
		{TL_SQL_MYSQL, "UPDATE LOW_PRIORITY t SET a = (SELECT max(b) FROM u)", "UPDATE", "UPDATE t SELECT u", 1},
		{TL_SQL_MYSQL, "DELETE FROM t WHERE x", "DELETE", "DELETE t", 1},
		{TL_SQL_MYSQL, "CREATE TABLE IF NOT EXISTS s.t (id int)", "CREATE", "CREATE TABLE s.t", 1},
		{TL_SQL_MYSQL, "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END", "CREATE", "CREATE PROCEDURE p SELECT SELECT", 1},
		{TL_SQL_MYSQL, "TRUNCATE TABLE t", "TRUNCATE", "TRUNCATE t", 1},
		{TL_SQL_MYSQL, "show tables", "SHOW", "SHOW TABLES", 1},
		{TL_SQL_MYSQL, "SET NAMES utf8", "SET", "SET", 1},
		{TL_SQL_MYSQL, "begin; update a set x=1;commit;", "BEGIN", "BEGIN; UPDATE a; COMMIT", 3},
		// Functions that are called like statements.
		{TL_SQL_MYSQL, "SELECT SUM(TRUNCATE(a,2)), max(replace(b,'x','y')) FROM t", "SELECT", "SELECT t", 1},
		{TL_SQL_MYSQL, "WITH x AS (SELECT max(insert(a,1,2,b)) FROM u) SELECT * FROM x", "SELECT", "SELECT u SELECT x", 1},
		{TL_SQL_MYSQL, "(SELECT 1) UNION (SELECT 2 FROM t)", "SELECT", "SELECT SELECT t", 1},
		{TL_SQL_MYSQL, ";;", "", "", 0},
		{TL_SQL_POSTGRESQL, "WITH x AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM x", "INSERT",
		 "DELETE a INSERT b SELECT x", 1},
		{TL_SQL_POSTGRESQL, "SELECT a IS DISTINCT FROM b FROM \"T\"", "SELECT", "SELECT T", 1},
		{TL_SQL_POSTGRESQL, "COPY t FROM STDIN", "COPY", "COPY t", 1},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[512];
		struct tl_sql sql = read_sql(rows[i].dialect, rows[i].sql, text, sizeof(text));
		assert_string_equal(sql.summary, rows[i].summary);
		assert_string_equal(sql.verb, rows[i].verb);
		assert_int_equal(sql.statements, rows[i].statements);
	}
}

// Whatever is cut off, no literal shows, and a long list cut anywhere in its rows gives one digest.
static void test_cuts(void **state)
{
	static char sql[40000];
	static char text[40000];
	struct tl_sql whole, cut;
	uint32_t len = (uint32_t)snprintf(sql, sizeof(sql), "INSERT INTO t VALUES (0,'secret',now())");

	(void)state;
	tl_sql_read(TL_SQL_MYSQL, tl_bytes(sql, len), len, text, sizeof(text), &whole);
	while (len < sizeof(sql) - 64)
		len += (uint32_t)snprintf(sql + len, sizeof(sql) - len, ",(%u,'secret',now())", len);
	tl_sql_read(TL_SQL_MYSQL, tl_bytes(sql, len), len, text, sizeof(text), &cut);
	assert_true(cut.input_cut);
	assert_true(cut.digest == whole.digest);
	for (uint32_t n = 41; n < 400; n++) {
		tl_sql_read(TL_SQL_MYSQL, tl_bytes(sql, n), len, text, sizeof(text), &cut);
		assert_true(cut.digest == whole.digest);
	}
	for (uint32_t n = 0; n < 400; n++)
		for (uint32_t room = 0; room < 40; room++) {
			tl_sql_read(TL_SQL_MYSQL, tl_bytes(sql, n), n, text, room, &cut);
			assert_int_equal(cut.text_len, cut.text_full < room ? cut.text_full : room);
			assert_null(memmem(text, cut.text_len, "sec", 3));
		}
}

static void test_trace(void **state)
{
	static const char sql[] = "SELECT 1 /*a='b',traceparent='00-0af7651916cd43dd8448eb211c80319c-"
				  "b7ad6b7169203331-01'*/";
	struct tl_sql ret;

	(void)state;
	tl_sql_read(TL_SQL_MYSQL, tl_bytes_of(sql), sizeof(sql) - 1, NULL, 0, &ret);
	assert_int_equal(ret.traceparent.len, 55);
	assert_memory_equal(ret.traceparent.ptr, "00-0af7", 7);
	assert_int_equal(ret.text_full, 8);
	assert_int_equal(ret.text_len, 0);
}

// A word's end by the processor's instructions and by the table, for every byte at every place.
static void test_words(void **state)
{
	static const struct sql_halves halves[] = {SQL_WORD_HALVES(0), SQL_WORD_HALVES(32)};
	uint8_t chunk[SQL_CHUNK_BYTES];

	(void)state;
	for (uint32_t at_is_word = 0; at_is_word < 2; at_is_word++)
		for (uint32_t c = 0; c < 256; c++)
			for (uint32_t at = 0; at < SQL_CHUNK_BYTES; at++) {
				bool is_word = sql_is((uint8_t)c, SQL_LETTER | SQL_DIGIT) || c == '$' ||
					       (c == '@' && at_is_word != 0);
				memset(chunk, 'a', sizeof(chunk));
				chunk[at] = (uint8_t)c;
				const struct sql_halves *h = &halves[at_is_word];
				uint32_t end = is_word ? SQL_CHUNK_BYTES : at;
				assert_int_equal(sql_word_run(h, chunk), end);
				assert_int_equal(sql_word_run_portable(h, chunk), end);
			}
	assert_true(sql_lower8(UINT64_C(0x5b5a4140c17a6160)) == UINT64_C(0x5b7a6140c17a6160));
	assert_true(sql_upper8(UINT64_C(0x7b7a6160e15a4140)) == UINT64_C(0x7b5a4160e15a4140));
	// Names longer than a chunk, cut by its border, keep their hash.
	assert_true(digest("SELECT a_very_long_name_of_a_column FROM t") ==
		    digest("select `a_very_long_name_of_a_column` from `t`"));
	assert_true(digest("SELECT sixteen_letters_") != digest("SELECT sixteen_letters_a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_masks_mysql),
		cmocka_unit_test(test_masks_postgresql),
		cmocka_unit_test(test_masks_by_setting),
		cmocka_unit_test(test_digests),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_summaries),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_trace),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
