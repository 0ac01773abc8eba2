// SPDX-License-Identifier: Apache-2.0
// What a statement does to which tables, as OpenTelemetry's db.query.summary wants it: verbs and
// names in order of appearance.
#include "base/check.h"
#include "protocols/common/sql_token.h"

struct keyword {
	char key[8]; // the first 8 bytes
	uint8_t len;
	uint8_t word;
};

#define SAME_LETTER_MAX 8

// By their first letter, the commonest first. The end of a row shows by an empty one.
static const struct keyword keywords[26][SAME_LETTER_MAX + 1] = {
	['a' - 'a'] = {{"alter", 5, SQL_WORD_DEFINE}, {"as", 2, SQL_WORD_SKIP}},
	['b' - 'a'] = {{"begin", 5, SQL_WORD_BEGIN}},
	['c' - 'a'] = {{"create", 6, SQL_WORD_DEFINE}, {"call", 4, SQL_WORD_NAMED},
		       {"concurre", 12, SQL_WORD_SKIP}, {"copy", 4, SQL_WORD_NAMED}},
	['d' - 'a'] = {{"delete", 6, SQL_WORD_DELETE}, {"database", 8, SQL_WORD_OBJECT},
		       {"default", 7, SQL_WORD_CONSTANT}, {"delayed", 7, SQL_WORD_SKIP},
		       {"desc", 4, SQL_WORD_NAMED}, {"describe", 8, SQL_WORD_NAMED},
		       {"distinct", 8, SQL_WORD_DISTINCT}, {"drop", 4, SQL_WORD_DEFINE}},
	['e' - 'a'] = {{"event", 5, SQL_WORD_OBJECT}, {"except", 6, SQL_WORD_STOP},
		       {"exists", 6, SQL_WORD_SKIP}, {"extensio", 9, SQL_WORD_OBJECT}},
	['f' - 'a'] = {{"from", 4, SQL_WORD_FROM}, {"false", 5, SQL_WORD_CONSTANT},
		       {"for", 3, SQL_WORD_STOP}, {"function", 8, SQL_WORD_OBJECT}},
	['g' - 'a'] = {{"group", 5, SQL_WORD_STOP}},
	['h' - 'a'] = {{"having", 6, SQL_WORD_STOP}, {"high_pri", 13, SQL_WORD_SKIP}},
	['i' - 'a'] = {{"insert", 6, SQL_WORD_CHANGE}, {"if", 2, SQL_WORD_SKIP},
		       {"ignore", 6, SQL_WORD_SKIP}, {"index", 5, SQL_WORD_OBJECT},
		       {"intersec", 9, SQL_WORD_STOP}, {"into", 4, SQL_WORD_INTO}},
	['j' - 'a'] = {{"join", 4, SQL_WORD_JOIN}},
	['l' - 'a'] = {{"limit", 5, SQL_WORD_STOP}, {"lateral", 7, SQL_WORD_SKIP},
		       {"low_prio", 12, SQL_WORD_SKIP}},
	['m' - 'a'] = {{"merge", 5, SQL_WORD_CHANGE}},
	['n' - 'a'] = {{"not", 3, SQL_WORD_SKIP}, {"null", 4, SQL_WORD_CONSTANT}},
	['o' - 'a'] = {{"order", 5, SQL_WORD_STOP}, {"on", 2, SQL_WORD_STOP},
		       {"only", 4, SQL_WORD_SKIP}, {"or", 2, SQL_WORD_SKIP}},
	['p' - 'a'] = {{"procedur", 9, SQL_WORD_OBJECT}},
	['q' - 'a'] = {{"quick", 5, SQL_WORD_SKIP}},
	['r' - 'a'] = {{"replace", 7, SQL_WORD_CHANGE}, {"role", 4, SQL_WORD_OBJECT}},
	['s' - 'a'] = {{"select", 6, SQL_WORD_SELECT}, {"schema", 6, SQL_WORD_OBJECT},
		       {"sequence", 8, SQL_WORD_OBJECT}, {"set", 3, SQL_WORD_STOP},
		       {"show", 4, SQL_WORD_SHOW}},
	['t' - 'a'] = {{"table", 5, SQL_WORD_OBJECT}, {"tablespa", 10, SQL_WORD_OBJECT},
		       {"trigger", 7, SQL_WORD_OBJECT}, {"true", 4, SQL_WORD_CONSTANT},
		       {"truncate", 8, SQL_WORD_CHANGE}, {"type", 4, SQL_WORD_OBJECT}},
	['u' - 'a'] = {{"update", 6, SQL_WORD_CHANGE}, {"union", 5, SQL_WORD_STOP},
		       {"use", 3, SQL_WORD_NAMED}, {"user", 4, SQL_WORD_OBJECT},
		       {"using", 5, SQL_WORD_STOP}},
	['v' - 'a'] = {{"values", 6, SQL_WORD_STOP}, {"view", 4, SQL_WORD_OBJECT}},
	['w' - 'a'] = {{"where", 5, SQL_WORD_STOP}, {"window", 6, SQL_WORD_STOP},
		       {"with", 4, SQL_WORD_WITH}},
};

enum sql_word tl_sql_word(const struct sql_token *token)
{
	uint32_t letter = (uint32_t)(token->key & 0xff) - 'a';
	if (letter >= TL_COUNT_OF(keywords))
		return SQL_WORD_OTHER;
	for (const struct keyword *k = keywords[letter]; k->len != 0; k++)
		if (tl_load_le64((const uint8_t *)k->key) == token->key && k->len == token->name.len)
			return (enum sql_word)k->word;
	return SQL_WORD_OTHER;
}

// A keyword, or another word, in upper case. `room` is at least its length.
static void put_upper(char *to, uint32_t room, const struct sql_token *word, uint32_t len)
{
	if (len <= 8 && room >= 8) {
		sql_store8(to, sql_upper8(word->key));
		return;
	}
	for (uint32_t i = 0; i < len; i++) {
		uint8_t c = word->name.ptr[i];
		to[i] = (char)(c >= 'a' && c <= 'z' ? c & ~0x20 : c);
	}
}

enum separator { SEPARATOR_NONE, SEPARATOR_BLANK, SEPARATOR_DOT, SEPARATOR_STATEMENT };

// Appends a token's name, whole or not at all: a name cut would be another name.
static void append(struct sql_summary *s, enum separator separator, const struct sql_token *token,
		   bool in_upper)
{
	static const char before[][2] = {"", " ", ".", "; "};
	uint32_t len = separator == SEPARATOR_STATEMENT ? 2 : separator != SEPARATOR_NONE;
	uint32_t room = TL_SQL_SUMMARY_BYTES_MAX - s->ret->summary_len;
	char *to = s->ret->summary + s->ret->summary_len;

	if (s->is_full || len + token->name.len > room) {
		s->is_full = true;
		return;
	}
	memcpy(to, before[separator], 2); // of which `len` stay; behind the summary is room for a NUL
	if (in_upper)
		put_upper(to + len, room - len, token, token->name.len);
	else
		tl_copy_short((uint8_t *)to + len, token->name.ptr, token->name.len);
	s->ret->summary_len = (uint8_t)(s->ret->summary_len + len + token->name.len);
}

static void set_verb(struct sql_summary *s, const struct sql_token *token)
{
	uint32_t len = tl_bytes_first(token->name, TL_SQL_VERB_BYTES_MAX).len;

	put_upper(s->ret->verb, TL_SQL_VERB_BYTES_MAX, token, len);
	s->ret->verb_len = (uint8_t)len;
}

// A verb: of the statement when it is its first word, else of a part of it.
static void take_verb(struct sql_summary *s, const struct sql_token *token, enum sql_word word)
{
	bool is_first = s->verb == SQL_WORD_OTHER && !s->is_begun;

	// WITH takes the verb of the statement behind its subqueries.
	if (s->verb != SQL_WORD_WITH || s->depth == 0) {
		if (s->ret->statements == 1 && !s->verb_is_final) {
			set_verb(s, token);
			s->verb_is_final = word != SQL_WORD_WITH;
		}
		if (is_first || s->verb == SQL_WORD_WITH)
			s->verb = (uint8_t)word;
	}
	s->in_list = false;
	s->expect = SQL_EXPECT_NOTHING;
	if (word == SQL_WORD_WITH)
		return;
	append(s, s->ret->summary_len == 0 ? SEPARATOR_NONE
	       : is_first		  ? SEPARATOR_STATEMENT
					  : SEPARATOR_BLANK,
	       token, true);
	if (word == SQL_WORD_SELECT || word == SQL_WORD_DELETE || word == SQL_WORD_CHANGE)
		s->selects |= UINT64_C(1) << (s->depth & 63);
	if (word == SQL_WORD_CHANGE || word == SQL_WORD_NAMED)
		s->expect = SQL_EXPECT_NAME;
	else if (word == SQL_WORD_DEFINE)
		s->expect = SQL_EXPECT_OBJECT;
	else if (word == SQL_WORD_SHOW)
		s->expect = SQL_EXPECT_WORD;
}

// Anything but SELECT is a verb only where a statement may begin: not so in FOR UPDATE, nor where it
// is a function's name, in max(replace(a, b, c)).
static bool is_verb(const struct sql_summary *s, enum sql_word word)
{
	if (!s->is_begun || word == SQL_WORD_SELECT)
		return true;
	if (word != SQL_WORD_CHANGE && word != SQL_WORD_DELETE)
		return false;
	return s->verb == SQL_WORD_WITH &&
	       ((s->last_punct == '(' && s->depth == 1) || s->last_punct == ')');
}

static void expect_name(struct sql_summary *s, bool in_list)
{
	s->expect = SQL_EXPECT_NAME;
	s->in_list = in_list;
	s->list_depth = s->depth;
}

static void take_name(struct sql_summary *s, const struct sql_token *token)
{
	append(s, s->expect == SQL_AFTER_DOT ? SEPARATOR_DOT : SEPARATOR_BLANK, token, false);
	s->expect = SQL_AFTER_NAME;
}

// A word that is no verb.
static void take_word(struct sql_summary *s, const struct sql_token *token, enum sql_word word)
{
	bool has_tables = (s->selects >> (s->depth & 63) & 1) != 0;

	if (s->expect == SQL_AFTER_DOT) {
		take_name(s, token);
	} else if (word == SQL_WORD_FROM) {
		if (has_tables && s->last_word != SQL_WORD_DISTINCT)
			expect_name(s, true);
	} else if (word == SQL_WORD_JOIN) {
		if (has_tables)
			expect_name(s, true);
	} else if (word == SQL_WORD_INTO) {
		if (s->verb == SQL_WORD_CHANGE)
			expect_name(s, false);
	} else if (word == SQL_WORD_STOP) {
		s->expect = SQL_EXPECT_NOTHING;
	} else if (s->expect == SQL_EXPECT_OBJECT && word == SQL_WORD_OBJECT) {
		append(s, SEPARATOR_BLANK, token, true);
		s->expect = SQL_EXPECT_NAME;
	} else if (s->expect == SQL_EXPECT_WORD) {
		append(s, SEPARATOR_BLANK, token, true);
		s->expect = SQL_EXPECT_NOTHING;
	} else if (s->expect == SQL_EXPECT_NAME && word != SQL_WORD_SKIP && word != SQL_WORD_OBJECT) {
		take_name(s, token);
	} else if (word == SQL_WORD_BEGIN && s->verb == SQL_WORD_DEFINE) {
		s->in_body = true;
	}
}

static void take_punct(struct sql_summary *s, uint8_t c)
{
	if (c == '(') {
		s->depth++;
		s->expect = SQL_EXPECT_NOTHING;
	} else if (c == ')') {
		s->selects &= ~(UINT64_C(1) << (s->depth & 63));
		s->depth -= s->depth != 0;
		s->expect = SQL_EXPECT_NOTHING;
	} else if (c == '.' && s->expect == SQL_AFTER_NAME) {
		s->expect = SQL_AFTER_DOT;
	} else if (c == ',' && s->expect == SQL_AFTER_NAME && s->in_list && s->depth == s->list_depth) {
		s->expect = SQL_EXPECT_NAME;
	} else if (s->expect != SQL_EXPECT_OBJECT) {
		s->expect = SQL_EXPECT_NOTHING; // SQL_EXPECT_OBJECT: DEFINER = x@y may stand between
	}
}

static void end_statement(struct sql_summary *s)
{
	s->selects = 0;
	s->expect = SQL_EXPECT_NOTHING;
	s->verb = SQL_WORD_OTHER;
	s->last_word = SQL_WORD_OTHER;
	s->is_begun = false;
	s->in_list = false;
}

void tl_sql_summarise(struct sql_summary *s, const struct sql_token *token, enum sql_word word)
{
	if (token->kind == SQL_PUNCT && token->punct == ';' && s->depth == 0 && !s->in_body) {
		end_statement(s);
		s->last_punct = ';';
		return;
	}
	if (!s->is_begun)
		s->ret->statements++;
	if (token->kind == SQL_WORD && is_verb(s, word)) {
		take_verb(s, token, word);
		s->last_word = (uint8_t)word;
	} else if (token->kind == SQL_WORD) {
		take_word(s, token, word);
		s->last_word = (uint8_t)word;
	} else if (token->kind == SQL_QUOTED_NAME) {
		if (s->expect == SQL_EXPECT_NAME || s->expect == SQL_AFTER_DOT)
			take_name(s, token);
		s->last_word = SQL_WORD_OTHER;
	} else if (token->kind == SQL_PUNCT) {
		take_punct(s, token->punct);
	} else if (s->expect != SQL_EXPECT_OBJECT) {
		s->expect = SQL_EXPECT_NOTHING;
	}
	s->last_punct = token->punct;
	s->is_begun = true;
}
