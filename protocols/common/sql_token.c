// SPDX-License-Identifier: Apache-2.0
#include "protocols/common/sql_token.h"

#include <string.h>

#define TRACEPARENT_BYTES_MAX 64u

#define BEGIN_IN_BOTH \
	[0] = SQL_BEGIN_BLANK, ['\t'] = SQL_BEGIN_BLANK, ['\n'] = SQL_BEGIN_BLANK, \
	['\v'] = SQL_BEGIN_BLANK, \
	['\f'] = SQL_BEGIN_BLANK, ['\r'] = SQL_BEGIN_BLANK, [' '] = SQL_BEGIN_BLANK, \
	['A' ... 'Z'] = SQL_BEGIN_WORD, ['a' ... 'z'] = SQL_BEGIN_WORD, ['_'] = SQL_BEGIN_WORD, \
	[0x80 ... 0xff] = SQL_BEGIN_WORD, ['0' ... '9'] = SQL_BEGIN_NUMBER, ['.'] = SQL_BEGIN_DOT, \
	['\''] = SQL_BEGIN_STRING, ['/'] = SQL_BEGIN_COMMENT, ['-'] = SQL_BEGIN_COMMENT

#define MYSQL \
	.begins = {BEGIN_IN_BOTH, ['"'] = SQL_BEGIN_STRING, ['`'] = SQL_BEGIN_NAME, \
		   ['?'] = SQL_BEGIN_MARKER, ['@'] = SQL_BEGIN_WORD, ['#'] = SQL_BEGIN_COMMENT, \
		   ['*'] = SQL_BEGIN_COMMENT}, \
	.words = SQL_WORD_HALVES(32), .quote_is_string = true, .dash_needs_blank = true, \
	.code_comments = true
#define POSTGRESQL \
	.begins = {BEGIN_IN_BOTH, ['"'] = SQL_BEGIN_NAME, ['$'] = SQL_BEGIN_DOLLAR}, \
	.words = SQL_WORD_HALVES(0), .nested_comments = true, .unicode_strings = true

static const struct sql_dialect dialects[TL_SQL_DIALECT_COUNT] = {
	[TL_SQL_MYSQL] = {MYSQL, .backslash_escapes = true},
	[TL_SQL_MYSQL_PLAIN] = {MYSQL},
	[TL_SQL_POSTGRESQL] = {POSTGRESQL},
	[TL_SQL_POSTGRESQL_ESCAPES] = {POSTGRESQL, .backslash_escapes = true},
};

void tl_sql_scanner(struct sql_scanner *s, enum tl_sql_dialect dialect, struct tl_bytes text)
{
	s->dialect = &dialects[dialect];
	s->text = text;
	s->traceparent = tl_bytes(NULL, 0);
	s->at = 0;
	s->tail_at = text.len > SQL_CHUNK_BYTES ? text.len - SQL_CHUNK_BYTES : 0;
	s->in_code_comment = s->after_name = false;
	memset(s->tail, 0, sizeof(s->tail));
	if (text.len != 0)
		tl_copy_short(s->tail, text.ptr + s->tail_at, text.len - s->tail_at);
}

static void look_for_trace(struct sql_scanner *s, uint32_t begin)
{
	static const char key[] = "traceparent='";
	struct tl_bytes comment = tl_bytes(s->text.ptr + begin, s->at - begin);

	if (s->traceparent.len != 0 || comment.len < sizeof(key))
		return;
	const uint8_t *hit = memmem(comment.ptr, comment.len, key, sizeof(key) - 1);
	if (hit == NULL)
		return;
	uint32_t at = (uint32_t)(hit - comment.ptr) + (uint32_t)sizeof(key) - 1;
	uint32_t end = tl_bytes_find(comment, '\'', at);
	if (end != TL_BYTES_NONE && end - at <= TRACEPARENT_BYTES_MAX)
		s->traceparent = tl_bytes(comment.ptr + at, end - at);
}

static void skip_line(struct sql_scanner *s)
{
	uint32_t end = tl_bytes_find(s->text, '\n', s->at);
	s->at = end == TL_BYTES_NONE ? s->text.len : end + 1;
}

static void skip_block(struct sql_scanner *s)
{
	uint32_t begin = s->at;
	uint32_t depth = 1;

	s->at += 2;
	while (s->at < s->text.len && depth != 0) {
		if (sql_peek(s, 0) == '*' && sql_peek(s, 1) == '/') {
			depth--;
			s->at += 2;
		} else if (s->dialect->nested_comments && sql_peek(s, 0) == '/' &&
			   sql_peek(s, 1) == '*') {
			depth++;
			s->at += 2;
		} else {
			s->at++;
		}
	}
	if (s->at > s->text.len)
		s->at = s->text.len;
	look_for_trace(s, begin);
}

// Length of what makes a comment executable: the opener with its version number, 0 if it is none.
static uint32_t code_opener(const struct sql_scanner *s)
{
	uint32_t len = 0;

	if (sql_peek(s, 2) == '!')
		len = 3;
	else if (sql_peek(s, 2) == 'M' && sql_peek(s, 3) == '!')
		len = 4;
	if (!s->dialect->code_comments || len == 0)
		return 0;
	for (uint32_t digits = 0; digits < 6 && sql_is(sql_peek(s, len), SQL_DIGIT); digits++)
		len++;
	return len;
}

bool tl_sql_skip_comment(struct sql_scanner *s)
{
	uint8_t c = s->text.ptr[s->at];

	if (c == '/' && sql_peek(s, 1) == '*') {
		uint32_t opener = code_opener(s);
		if (opener == 0) {
			skip_block(s);
		} else {
			s->at += opener;
			s->in_code_comment = true;
		}
		return true;
	}
	if (c == '*' && s->in_code_comment && sql_peek(s, 1) == '/') {
		s->in_code_comment = false;
		s->at += 2;
		return true;
	}
	// A text that ends behind the dashes gives NUL, which is a blank here.
	if (c == '#' || (c == '-' && sql_peek(s, 1) == '-' &&
			 (!s->dialect->dash_needs_blank || sql_is(sql_peek(s, 2), SQL_BLANK)))) {
		skip_line(s);
		return true;
	}
	return false;
}

// Moves behind the closing `quote`; an open string goes on to the end of the text.
static void skip_quoted(struct sql_scanner *s, uint8_t quote, bool backslash)
{
	s->at++;
	while (s->at < s->text.len) {
		uint8_t c = s->text.ptr[s->at];
		if (c == '\\' && backslash) {
			s->at += 2;
		} else if (c != quote) {
			s->at++;
		} else if (sql_peek(s, 1) == quote) {
			s->at += 2;
		} else {
			s->at++;
			return;
		}
	}
	s->at = s->text.len;
}

void tl_sql_skip_number(struct sql_scanner *s)
{
	for (;; s->at++) {
		uint8_t c = sql_peek(s, 0);
		// The sign of an exponent; 0x1e+2 is a sum, but masked all the same.
		bool is_sign = (c == '+' || c == '-') && (s->text.ptr[s->at - 1] | 0x20) == 'e';
		if (s->at >= s->text.len ||
		    (!sql_is_word_byte(&s->dialect->words, c) && c != '.' && !is_sign))
			break;
	}
}

// $1 or $tag$text$tag$. False: the dollar is neither.
static bool skip_dollar(struct sql_scanner *s)
{
	uint32_t len = 1;

	if (sql_is(sql_peek(s, 1), SQL_DIGIT)) {
		s->at += 2;
		while (sql_is(sql_peek(s, 0), SQL_DIGIT))
			s->at++;
		return true;
	}
	while (sql_is(sql_peek(s, len), SQL_LETTER | SQL_DIGIT))
		len++;
	if (sql_peek(s, len) != '$')
		return false;
	len++;
	struct tl_bytes tag = tl_bytes(s->text.ptr + s->at, len);
	struct tl_bytes rest = tl_bytes_from(s->text, s->at + len);
	const uint8_t *end = rest.len == 0 ? NULL : memmem(rest.ptr, rest.len, tag.ptr, tag.len);
	s->at = end == NULL ? s->text.len : (uint32_t)(end - s->text.ptr) + tag.len;
	return true;
}

static void scan_quoted_name(struct sql_scanner *s, uint8_t quote, struct sql_token *token)
{
	uint32_t begin = s->at + 1;
	uint64_t hash = SQL_HASH_BEGIN;

	skip_quoted(s, quote, false);
	uint32_t end = s->at > begin && s->text.ptr[s->at - 1] == quote ? s->at - 1 : s->at;
	for (uint32_t at = begin; at < end; at += 8) {
		uint64_t bytes = tl_load_le64(sql_chunk_at(s, at));
		hash = sql_hash_more(hash, sql_first_bytes(bytes, end - at));
	}
	token->kind = SQL_QUOTED_NAME;
	token->name = tl_bytes(s->text.ptr + begin, end - begin);
	token->hash = hash;
}

static bool is_prefix(const struct sql_scanner *s, const struct sql_token *word, uint8_t quote)
{
	uint8_t first = (uint8_t)word->key;

	if (quote == '&')
		return word->name.len == 1 && first == 'u' && s->dialect->unicode_strings &&
		       sql_peek(s, 1) == '\'';
	if (quote != '\'' && !s->dialect->quote_is_string)
		return false;
	if (first == '_')
		return s->dialect->quote_is_string;
	return word->name.len == 1 && (first == 'n' || first == 'x' || first == 'b' || first == 'e');
}

// An escape at the very end of the text points beyond it.
static void stay_inside(struct sql_scanner *s)
{
	if (s->at > s->text.len)
		s->at = s->text.len;
}

void tl_sql_scan_prefixed(struct sql_scanner *s, struct sql_token *token)
{
	uint8_t next = sql_peek(s, 0);

	if (!is_prefix(s, token, next))
		return;
	if (next == '&')
		s->at++;
	skip_quoted(s, sql_peek(s, 0), s->dialect->backslash_escapes || (uint8_t)token->key == 'e');
	stay_inside(s);
	sql_set_literal(token);
}

void tl_sql_scan_rare(struct sql_scanner *s, enum sql_begin begin, struct sql_token *token)
{
	uint8_t c = s->text.ptr[s->at];

	sql_set_literal(token);
	switch (begin) {
	case SQL_BEGIN_NAME:
		scan_quoted_name(s, c, token);
		break;
	case SQL_BEGIN_STRING:
		skip_quoted(s, c, s->dialect->backslash_escapes);
		break;
	case SQL_BEGIN_MARKER:
		s->at++;
		break;
	case SQL_BEGIN_DOLLAR:
		if (!skip_dollar(s))
			sql_scan_punct(s, token);
		break;
	case SQL_BEGIN_DOT:
		if (!s->after_name && sql_is(sql_peek(s, 1), SQL_DIGIT))
			tl_sql_skip_number(s);
		else
			sql_scan_punct(s, token);
		break;
	default: // what would begin a comment if more of it followed
		sql_scan_punct(s, token);
		break;
	}
	stay_inside(s);
}
