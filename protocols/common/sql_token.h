// SPDX-License-Identifier: Apache-2.0
// Tokens of SQL texts, of both dialects; private to protocols/common/sql*.c. What most texts are made
// of (words, numbers, blanks, punctuation) is read in here, so that it becomes one loop with what is
// done with the tokens; what is rarer lies in sql_token.c.
#pragma once

#include "protocols/common/sql.h"
#include "protocols/common/sql_scan.h"

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
	uint8_t punct;        // of SQL_PUNCT, else 0
	bool blank_before;    // blanks or a comment came before
};

#define SQL_LITERAL_HASH UINT64_C(0x6c69746572616c27) // any constant that no word gives
#define SQL_HASH_BEGIN UINT64_C(0xcbf29ce484222325)
#define SQL_HASH_PRIME UINT64_C(0x9fb21c651e98df25)

enum sql_begin {
	SQL_BEGIN_PUNCT,
	SQL_BEGIN_BLANK,
	SQL_BEGIN_WORD,
	SQL_BEGIN_NUMBER,
	SQL_BEGIN_DOT,     // of a number, or punctuation
	SQL_BEGIN_STRING,
	SQL_BEGIN_NAME,    // in quotes
	SQL_BEGIN_MARKER,
	SQL_BEGIN_DOLLAR,  // a marker, a string, or punctuation
	SQL_BEGIN_COMMENT, // or punctuation
};

// What the dialects do differently.
struct sql_dialect {
	uint8_t begins[256];     // enum sql_begin: what a byte may begin
	struct sql_halves words; // what may be part of a word
	bool quote_is_string;    // "x" is a string, not a name
	bool backslash_escapes;  // in plain strings
	bool dash_needs_blank;   // -- begins a comment only before a blank
	bool code_comments;      // /*! is code
	bool nested_comments;
	bool unicode_strings;    // U&'x'
};

struct sql_scanner {
	const struct sql_dialect *dialect;
	struct tl_bytes text;
	struct tl_bytes traceparent;
	uint32_t at;
	uint32_t tail_at; // where in the text `tail` begins
	bool in_code_comment;
	bool after_name; // a name came before: a dot is no decimal point
	uint8_t tail[2 * SQL_CHUNK_BYTES]; // the text's last bytes and zeros
};

void tl_sql_scanner(struct sql_scanner *s, enum tl_sql_dialect dialect, struct tl_bytes text);
// Skips the comment that begins here. False: none does.
bool tl_sql_skip_comment(struct sql_scanner *s);
// Reads a token that is neither word nor number nor surely punctuation.
void tl_sql_scan_rare(struct sql_scanner *s, enum sql_begin begin, struct sql_token *token);
// The word just read makes a literal of the string behind it: N'x', X'1f', _utf8'x', E'x'; or not.
void tl_sql_scan_prefixed(struct sql_scanner *s, struct sql_token *token);

// SQL_CHUNK_BYTES to read from `at` on, which lies within the text; zeros behind its end.
static inline const uint8_t *sql_chunk_at(const struct sql_scanner *s, uint32_t at)
{
	return at < s->tail_at ? s->text.ptr + at : s->tail + (at - s->tail_at);
}

// The byte `ahead` of the current one, 0 beyond the end.
static inline uint8_t sql_peek(const struct sql_scanner *s, uint32_t ahead)
{
	uint32_t at = s->at + ahead;
	return at < s->text.len ? s->text.ptr[at] : 0;
}

static inline uint64_t sql_hash_more(uint64_t hash, uint64_t bytes)
{
	hash = (hash ^ bytes) * SQL_HASH_PRIME;
	return hash ^ hash >> 32;
}

// The first `count` of the 8 bytes at `p` in lower case, then zeros.
static inline uint64_t sql_lower_bytes(const uint8_t *p, uint32_t count)
{
	return sql_lower8(sql_first_bytes(tl_load_le64(p), count));
}

static inline void sql_set_literal(struct sql_token *token)
{
	token->kind = SQL_LITERAL;
	token->hash = SQL_LITERAL_HASH;
}

static inline void sql_scan_punct(struct sql_scanner *s, struct sql_token *token)
{
	token->kind = SQL_PUNCT;
	token->punct = s->text.ptr[s->at++];
	token->hash = token->punct * SQL_HASH_PRIME;
}

// The rest of a number of which `s` is behind the first bytes: with a dot, or too long for a chunk.
void tl_sql_skip_number(struct sql_scanner *s);

static inline void sql_skip_number(struct sql_scanner *s)
{
	uint32_t run = sql_word_run(&s->dialect->words, sql_chunk_at(s, s->at));

	s->at += run;
	uint8_t next = sql_peek(s, 0);
	if (next == '.' || next == '+' || next == '-' || run == SQL_CHUNK_BYTES)
		tl_sql_skip_number(s);
}

// Words and quoted names that are the same have the same hash: of 8 bytes at a time, the last of
// them filled up with zeros.
static inline void sql_scan_word(struct sql_scanner *s, struct sql_token *token)
{
	const uint8_t *chunk = sql_chunk_at(s, s->at);
	uint32_t run = sql_word_run(&s->dialect->words, chunk);
	uint64_t low = sql_lower_bytes(chunk, run);
	uint64_t hash = sql_hash_more(SQL_HASH_BEGIN, low);
	uint32_t begin = s->at;

	token->key = low;
	for (;;) {
		if (run > 8)
			hash = sql_hash_more(hash, sql_lower_bytes(chunk + 8, run - 8));
		s->at += run;
		if (run < SQL_CHUNK_BYTES || s->at >= s->text.len)
			break;
		chunk = sql_chunk_at(s, s->at);
		run = sql_word_run(&s->dialect->words, chunk);
		if (run != 0)
			hash = sql_hash_more(hash, sql_lower_bytes(chunk, run));
	}
	token->kind = SQL_WORD;
	token->hash = hash;
	token->name = tl_bytes(s->text.ptr + begin, s->at - begin);
	uint8_t next = sql_peek(s, 0);
	if (next == '\'' || next == '"' || next == '&')
		tl_sql_scan_prefixed(s, token);
}

// The next token; its kind is SQL_END at the end, and nothing else is set.
static inline void sql_next(struct sql_scanner *s, struct sql_token *token)
{
	const uint8_t *begins = s->dialect->begins;
	const struct tl_bytes text = s->text;
	enum sql_begin begin = SQL_BEGIN_BLANK;
	const uint32_t from = s->at;
	uint32_t at = from;

	token->kind = SQL_END;
	token->punct = 0;
	for (;; at++) {
		if (at >= text.len)
			return;
		begin = (enum sql_begin)begins[text.ptr[at]];
		if (begin == SQL_BEGIN_BLANK)
			continue;
		if (begin != SQL_BEGIN_COMMENT)
			break;
		s->at = at;
		if (!tl_sql_skip_comment(s))
			break;
		at = s->at - 1;
	}
	token->blank_before = at != from;
	s->at = at;
	if (begin == SQL_BEGIN_WORD) {
		sql_scan_word(s, token);
	} else if (begin == SQL_BEGIN_NUMBER) {
		sql_skip_number(s);
		sql_set_literal(token);
	} else if (begin == SQL_BEGIN_PUNCT) {
		sql_scan_punct(s, token);
	} else {
		tl_sql_scan_rare(s, begin, token);
	}
	token->raw = tl_bytes(s->text.ptr + at, s->at - at);
	s->after_name = token->kind <= SQL_QUOTED_NAME;
}

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
// Of a token of the kind SQL_WORD.
enum sql_word tl_sql_word(const struct sql_token *token);

enum sql_expect {
	SQL_EXPECT_NOTHING,
	SQL_AFTER_NAME,
	SQL_EXPECT_OBJECT, // up to here words that mean nothing in particular change nothing
	SQL_EXPECT_NAME,
	SQL_EXPECT_WORD,
	SQL_AFTER_DOT,
};

// Finds verbs and names as tokens go by.
struct sql_summary {
	struct tl_sql *ret;
	uint64_t selects;   // depths (bits) at which FROM names tables
	uint32_t depth;
	uint32_t list_depth;
	uint8_t expect;     // enum sql_expect
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

// The same, without a call for what changes nothing.
static inline void sql_summarise(struct sql_summary *s, const struct sql_token *token,
				 enum sql_word word)
{
	bool is_plain = token->kind == SQL_WORD
				? word == SQL_WORD_OTHER && s->expect <= SQL_EXPECT_OBJECT
				: s->expect == SQL_EXPECT_NOTHING && token->kind != SQL_QUOTED_NAME &&
					  token->punct != '(' && token->punct != ')' &&
					  token->punct != ';';

	if (!is_plain || !s->is_begun) {
		tl_sql_summarise(s, token, word);
		return;
	}
	s->last_word = token->kind == SQL_WORD ? SQL_WORD_OTHER : s->last_word;
	s->last_punct = token->punct;
}
