// SPDX-License-Identifier: Apache-2.0
// What a record may say of an SQL text without its secrets: the text with every literal masked,
// a digest that is the same for all texts that differ in literals, layout and case of keywords
// only, and a summary ("SELECT t1"). A scanner of tokens, no parser: it is right for what servers
// accept and harmless for anything else. Pure, one pass, no allocation, bounded by
// TL_SQL_READ_BYTES_MAX and the buffers given.
//
// Masked text: literals and bind markers are `?`, their sign or prefix included; runs of literals
// in parentheses are one `?`, and equal groups in a row are one group, so lists of any
// length are alike: IN (?), VALUES (?). Comments are left out, blanks become one space.
// Sources: MySQL 8.0 reference manual, chapter 9 (language structure); MariaDB knowledge base,
// "Comment Syntax"; PostgreSQL 15 documentation, section 4.1 (lexical structure).
#pragma once

#include "base/bytes.h"

#define TL_SQL_READ_BYTES_MAX 16384u // of a text; the rest is not looked at
#define TL_SQL_SUMMARY_BYTES_MAX 120u
#define TL_SQL_VERB_BYTES_MAX 23u
#define TL_SQL_DIGEST_TEXT_BYTES 17u // 16 hexadecimal digits and a NUL

enum tl_sql_dialect {
	TL_SQL_MYSQL,      // also MariaDB: backticks, "strings", backslashes, #, /*! code */
	TL_SQL_POSTGRESQL, // "names", $tag$ strings, E'strings', $1, nested comments
	TL_SQL_MYSQL_PLAIN,        // NO_BACKSLASH_ESCAPES: backslashes are nothing special
	TL_SQL_POSTGRESQL_ESCAPES, // standard_conforming_strings off: they escape in 'strings', too
	TL_SQL_DIALECT_COUNT
};

struct tl_sql {
	uint64_t digest;       // 0: there is no token in the text
	uint32_t text_len;     // bytes of masked text in the caller's buffer
	uint32_t text_full;    // bytes it would have with room for all that was read
	uint32_t statements;   // not empty ones, as far as was read
	struct tl_bytes traceparent; // value in a comment /*traceparent='..'*/, borrows from the input
	bool input_cut;        // the text is longer than what was read
	uint8_t verb_len;
	uint8_t summary_len;
	char verb[TL_SQL_VERB_BYTES_MAX + 1];       // first statement's, upper case: "SELECT"
	char summary[TL_SQL_SUMMARY_BYTES_MAX + 1]; // "SELECT t1", "INSERT t2; UPDATE s.t3"
};

// Reads `sql`, of which `full_len` bytes were on the wire (more than sql.len when cut before).
// Writes the masked text to text[0..text_size), without a NUL; it ends at a whole token, at most
// with a name cut. `text` may be NULL with text_size 0.
void tl_sql_read(enum tl_sql_dialect dialect, struct tl_bytes sql, uint64_t full_len, char *text,
		 uint32_t text_size, struct tl_sql *ret);

// The digest as 16 hexadecimal digits.
void tl_sql_digest_text(uint64_t digest, char ret[TL_SQL_DIGEST_TEXT_BYTES]);

static inline struct tl_bytes tl_sql_summary(const struct tl_sql *sql)
{
	return tl_bytes(sql->summary, sql->summary_len);
}

static inline struct tl_bytes tl_sql_verb(const struct tl_sql *sql)
{
	return tl_bytes(sql->verb, sql->verb_len);
}
