// SPDX-License-Identifier: Apache-2.0
// Tokens of SQL texts, of both dialects; private to protocols/common/sql*.c.
#pragma once

#include "protocols/common/sql.h"

enum sql_kind {
	SQL_END,
	SQL_WORD,        // keyword or name without quotes
	SQL_QUOTED_NAME, // bytes are without the quotes
	SQL_LITERAL,     // also bind markers
	SQL_PUNCT,       // one byte
};

struct sql_token {
	struct tl_bytes raw;  // as written
	struct tl_bytes name; // of a word or quoted name: without quotes
	uint64_t hash;        // words in lower case, names without quotes, literals all alike
	uint64_t key;         // of a word: its first 8 bytes in lower case, the first one lowest
	uint8_t kind;         // enum sql_kind
	uint8_t punct;        // of SQL_PUNCT
	bool blank_before;    // blanks or a comment came before
};

// What the dialects do differently.
struct sql_dialect {
	bool backtick_names;
	bool quote_is_string;    // "x" is a string, not a name
	bool backslash_escapes;  // in plain strings
	bool hash_comments;      // # to the line's end
	bool dash_needs_blank;   // -- begins a comment only before a blank
	bool code_comments;      // /*! is code
	bool nested_comments;
	bool dollar_quotes;      // $tag$ strings, $1 markers
	bool question_markers;   // ? is a bind marker
	bool at_names;           // @name is one word
};

struct sql_scanner {
	const struct sql_dialect *dialect;
	struct tl_bytes text;
	struct tl_bytes traceparent;
	uint32_t at;
	bool in_code_comment;
	bool after_name; // a name came before: a dot is no decimal point
};

struct sql_scanner tl_sql_scanner(enum tl_sql_dialect dialect, struct tl_bytes text);
// The next token; its kind is SQL_END at the end.
struct sql_token tl_sql_next(struct sql_scanner *s);

// Sorts a word by what it means to the summary.
enum sql_word {
	SQL_WORD_OTHER,
	SQL_WORD_SELECT,
	SQL_WORD_CHANGE,  // INSERT, UPDATE and the like: a name follows, INTO and TABLE aside
	SQL_WORD_DELETE,
	SQL_WORD_WITH,
	SQL_WORD_DEFINE,  // CREATE, ALTER, DROP: an object's kind, then its name
	SQL_WORD_NAMED,   // CALL, USE and the like: a name follows
	SQL_WORD_SHOW,    // one more word is of interest
	SQL_WORD_OBJECT,  // TABLE, VIEW and the like
	SQL_WORD_FROM,
	SQL_WORD_JOIN,
	SQL_WORD_INTO,
	SQL_WORD_STOP,    // ends a list of tables
	SQL_WORD_SKIP,    // may stand before a name
	SQL_WORD_DISTINCT,
	SQL_WORD_BEGIN,
	SQL_WORD_CONSTANT, // NULL, TRUE, FALSE, DEFAULT
};
enum sql_word tl_sql_word(const struct sql_token *token);

// Finds verbs and names as tokens go by.
struct sql_summary {
	struct tl_sql *ret;
	uint64_t selects;   // depths (bits) at which FROM names tables
	uint32_t depth;
	uint32_t list_depth;
	uint8_t expect;
	uint8_t verb;       // enum sql_word of the statement
	uint8_t last_word;
	uint8_t last_punct; // 0: the last token was none
	bool is_begun;      // there is a token in this statement
	bool in_list;       // names may follow a comma
	bool in_body;       // of a stored program: semicolons don't end the statement
	bool verb_is_final;
	bool is_full;       // no more room
};
void tl_sql_summarise(struct sql_summary *s, const struct sql_token *token, enum sql_word word);
