// SPDX-License-Identifier: Apache-2.0
#include "protocols/common/sql_token.h"

#include <string.h>

#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)
#define HASH_LITERAL UINT64_C(0x6c69746572616c) // any constant that no word gives
#define TRACEPARENT_BYTES_MAX 64u

static const struct sql_dialect dialects[TL_SQL_DIALECT_COUNT] = {
	[TL_SQL_MYSQL] = {
		.backtick_names = true, .quote_is_string = true, .backslash_escapes = true,
		.hash_comments = true, .dash_needs_blank = true, .code_comments = true,
		.question_markers = true, .at_names = true,
	},
	[TL_SQL_POSTGRESQL] = {
		.nested_comments = true, .dollar_quotes = true,
	},
};

enum { BLANK = 1, LETTER = 2, DIGIT = 4 };

// Every byte of UTF-8 beyond ASCII may be part of a name.
static const uint8_t classes[256] = {
	[0] = BLANK, ['\t'] = BLANK, ['\n'] = BLANK, ['\v'] = BLANK, ['\f'] = BLANK, ['\r'] = BLANK,
	[' '] = BLANK,
	['A' ... 'Z'] = LETTER, ['a' ... 'z'] = LETTER, ['_'] = LETTER, [0x80 ... 0xff] = LETTER,
	['0' ... '9'] = DIGIT,
};

struct sql_scanner tl_sql_scanner(enum tl_sql_dialect dialect, struct tl_bytes text)
{
	return (struct sql_scanner) {.dialect = &dialects[dialect], .text = text};
}

// The byte `ahead` of the current one, 0 beyond the end.
static uint8_t peek(const struct sql_scanner *s, uint32_t ahead)
{
	uint32_t at = s->at + ahead;
	return at < s->text.len ? s->text.ptr[at] : 0;
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
		if (peek(s, 0) == '*' && peek(s, 1) == '/') {
			depth--;
			s->at += 2;
		} else if (s->dialect->nested_comments && peek(s, 0) == '/' && peek(s, 1) == '*') {
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
	uint32_t len = peek(s, 2) == '!' ? 3 : peek(s, 2) == 'M' && peek(s, 3) == '!' ? 4 : 0;

	if (!s->dialect->code_comments || len == 0)
		return 0;
	for (uint32_t digits = 0; digits < 6 && (classes[peek(s, len)] & DIGIT) != 0; digits++)
		len++;
	return len;
}

// Skips one comment. False: none begins here.
static bool skip_comment(struct sql_scanner *s)
{
	const struct sql_dialect *d = s->dialect;
	uint8_t c = peek(s, 0);

	if (c == '/' && peek(s, 1) == '*') {
		uint32_t opener = code_opener(s);
		if (opener == 0) {
			skip_block(s);
		} else {
			s->at += opener;
			s->in_code_comment = true;
		}
		return true;
	}
	if (c == '*' && s->in_code_comment && peek(s, 1) == '/') {
		s->in_code_comment = false;
		s->at += 2;
		return true;
	}
	// A text that ends behind the dashes gives NUL, which is a blank here.
	if ((c == '#' && d->hash_comments) ||
	    (c == '-' && peek(s, 1) == '-' &&
	     (!d->dash_needs_blank || (classes[peek(s, 2)] & BLANK) != 0))) {
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
		} else if (peek(s, 1) == quote) {
			s->at += 2;
		} else {
			s->at++;
			return;
		}
	}
	s->at = s->text.len;
}

static void skip_number(struct sql_scanner *s)
{
	while (s->at < s->text.len) {
		uint8_t c = s->text.ptr[s->at];
		// The sign of an exponent; 0x1e+2 is a sum, but masked all the same.
		bool is_sign = (c == '+' || c == '-') && (s->text.ptr[s->at - 1] | 0x20) == 'e';
		if ((classes[c] & (LETTER | DIGIT)) == 0 && c != '.' && !is_sign)
			break;
		s->at++;
	}
}

// $1 or $tag$text$tag$. False: the dollar is neither.
static bool skip_dollar(struct sql_scanner *s)
{
	uint32_t len = 1;

	if ((classes[peek(s, 1)] & DIGIT) != 0) {
		s->at += 2;
		while ((classes[peek(s, 0)] & DIGIT) != 0)
			s->at++;
		return true;
	}
	while ((classes[peek(s, len)] & (LETTER | DIGIT)) != 0)
		len++;
	if (peek(s, len) != '$')
		return false;
	len++;
	struct tl_bytes tag = tl_bytes(s->text.ptr + s->at, len);
	struct tl_bytes rest = tl_bytes_from(s->text, s->at + len);
	const uint8_t *end = rest.len == 0 ? NULL : memmem(rest.ptr, rest.len, tag.ptr, tag.len);
	s->at = end == NULL ? s->text.len : (uint32_t)(end - s->text.ptr) + tag.len;
	return true;
}

static bool is_word_byte(const struct sql_scanner *s, uint8_t c)
{
	return (classes[c] & (LETTER | DIGIT)) != 0 || c == '$' || (c == '@' && s->dialect->at_names);
}

static void scan_word(struct sql_scanner *s, struct sql_token *token)
{
	uint64_t hash = HASH_BEGIN;
	uint64_t key = 0;
	uint32_t begin = s->at;

	while (s->at < s->text.len && is_word_byte(s, s->text.ptr[s->at])) {
		uint8_t c = tl_ascii_lower(s->text.ptr[s->at]);
		uint32_t index = s->at - begin;
		if (index < 8)
			key |= (uint64_t)c << (8 * index);
		hash = (hash ^ c) * HASH_PRIME;
		s->at++;
	}
	token->kind = SQL_WORD;
	token->hash = hash;
	token->key = key;
	token->name = tl_bytes(s->text.ptr + begin, s->at - begin);
}

// True when the word just read belongs to the string behind it: N'x', X'1f', _utf8'x', E'x'.
static bool is_string_prefix(const struct sql_scanner *s, const struct sql_token *word)
{
	uint8_t quote = peek(s, 0);
	uint8_t first = (uint8_t)word->key;

	if (quote == '&' && word->name.len == 1 && first == 'u' && s->dialect->dollar_quotes)
		return peek(s, 1) == '\'';
	if (quote != '\'' && (quote != '"' || !s->dialect->quote_is_string))
		return false;
	if (first == '_')
		return s->dialect->quote_is_string;
	return word->name.len == 1 && (first == 'n' || first == 'x' || first == 'b' || first == 'e');
}

static void scan_quoted_name(struct sql_scanner *s, uint8_t quote, struct sql_token *token)
{
	uint32_t begin = s->at + 1;

	skip_quoted(s, quote, false);
	uint32_t end = s->at > begin && s->text.ptr[s->at - 1] == quote ? s->at - 1 : s->at;
	token->kind = SQL_QUOTED_NAME;
	token->name = tl_bytes(s->text.ptr + begin, end - begin);
	token->hash = HASH_BEGIN;
	for (uint32_t i = 0; i < token->name.len; i++)
		token->hash = (token->hash ^ token->name.ptr[i]) * HASH_PRIME;
}

static void set_literal(struct sql_token *token)
{
	token->kind = SQL_LITERAL;
	token->hash = HASH_LITERAL;
}

static void scan_punct(struct sql_scanner *s, uint8_t c, struct sql_token *token)
{
	s->at++;
	token->kind = SQL_PUNCT;
	token->punct = c;
	token->hash = c;
}

static void scan_token(struct sql_scanner *s, struct sql_token *token)
{
	const struct sql_dialect *d = s->dialect;
	uint8_t c = peek(s, 0);

	if ((classes[c] & LETTER) != 0 || (c == '@' && d->at_names)) {
		scan_word(s, token);
		if (is_string_prefix(s, token)) {
			bool backslash = d->backslash_escapes || (uint8_t)token->key == 'e';
			if (peek(s, 0) == '&')
				s->at++;
			skip_quoted(s, peek(s, 0), backslash);
			set_literal(token);
		}
	} else if ((classes[c] & DIGIT) != 0 ||
		   (c == '.' && !s->after_name && (classes[peek(s, 1)] & DIGIT) != 0)) {
		skip_number(s);
		set_literal(token);
	} else if (c == '\'' || (c == '"' && d->quote_is_string)) {
		skip_quoted(s, c, d->backslash_escapes);
		set_literal(token);
	} else if (c == '"' || (c == '`' && d->backtick_names)) {
		scan_quoted_name(s, c, token);
	} else if (c == '?' && d->question_markers) {
		s->at++;
		set_literal(token);
	} else if (c == '$' && d->dollar_quotes && skip_dollar(s)) {
		set_literal(token);
	} else {
		scan_punct(s, c, token);
	}
}

struct sql_token tl_sql_next(struct sql_scanner *s)
{
	struct sql_token token = {.kind = SQL_END};
	uint32_t from = s->at;

	while (s->at < s->text.len)
		if ((classes[s->text.ptr[s->at]] & BLANK) != 0)
			s->at++;
		else if (!skip_comment(s))
			break;
	if (s->at >= s->text.len)
		return token;
	token.blank_before = s->at != from;
	uint32_t begin = s->at;
	scan_token(s, &token);
	// An escape at the very end of the text points beyond it.
	if (s->at > s->text.len)
		s->at = s->text.len;
	token.raw = tl_bytes(s->text.ptr + begin, s->at - begin);
	s->after_name = token.kind == SQL_WORD || token.kind == SQL_QUOTED_NAME;
	return token;
}
