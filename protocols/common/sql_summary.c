// SPDX-License-Identifier: Apache-2.0
// What a statement does to which tables, as OpenTelemetry's db.query.summary wants it: verbs and
// names in order of appearance.
#include "protocols/common/sql_token.h"

#include <string.h>

enum expect { EXPECT_NOTHING, EXPECT_NAME, EXPECT_WORD, EXPECT_OBJECT, AFTER_NAME, AFTER_DOT };

struct keyword {
	char key[8]; // the first 8 bytes
	uint8_t len;
	uint8_t word;
};

// Sorted by length; `first` below points into it.
static const struct keyword keywords[] = {
	{"as", 2, SQL_WORD_SKIP},       {"if", 2, SQL_WORD_SKIP},
	{"on", 2, SQL_WORD_STOP},       {"or", 2, SQL_WORD_SKIP},
	{"for", 3, SQL_WORD_STOP},      {"not", 3, SQL_WORD_SKIP},
	{"set", 3, SQL_WORD_STOP},      {"use", 3, SQL_WORD_NAMED},
	{"call", 4, SQL_WORD_NAMED},    {"copy", 4, SQL_WORD_NAMED},
	{"desc", 4, SQL_WORD_NAMED},    {"drop", 4, SQL_WORD_DEFINE},
	{"from", 4, SQL_WORD_FROM},     {"into", 4, SQL_WORD_INTO},
	{"join", 4, SQL_WORD_JOIN},     {"null", 4, SQL_WORD_CONSTANT},
	{"only", 4, SQL_WORD_SKIP},     {"role", 4, SQL_WORD_OBJECT},
	{"show", 4, SQL_WORD_SHOW},     {"true", 4, SQL_WORD_CONSTANT},
	{"type", 4, SQL_WORD_OBJECT},   {"user", 4, SQL_WORD_OBJECT},
	{"view", 4, SQL_WORD_OBJECT},   {"with", 4, SQL_WORD_WITH},
	{"alter", 5, SQL_WORD_DEFINE},  {"begin", 5, SQL_WORD_BEGIN},
	{"event", 5, SQL_WORD_OBJECT},  {"false", 5, SQL_WORD_CONSTANT},
	{"group", 5, SQL_WORD_STOP},    {"index", 5, SQL_WORD_OBJECT},
	{"limit", 5, SQL_WORD_STOP},    {"merge", 5, SQL_WORD_CHANGE},
	{"order", 5, SQL_WORD_STOP},    {"quick", 5, SQL_WORD_SKIP},
	{"table", 5, SQL_WORD_OBJECT},  {"union", 5, SQL_WORD_STOP},
	{"using", 5, SQL_WORD_STOP},    {"where", 5, SQL_WORD_STOP},
	{"create", 6, SQL_WORD_DEFINE}, {"delete", 6, SQL_WORD_DELETE},
	{"except", 6, SQL_WORD_STOP},   {"exists", 6, SQL_WORD_SKIP},
	{"having", 6, SQL_WORD_STOP},   {"ignore", 6, SQL_WORD_SKIP},
	{"insert", 6, SQL_WORD_CHANGE}, {"schema", 6, SQL_WORD_OBJECT},
	{"select", 6, SQL_WORD_SELECT}, {"update", 6, SQL_WORD_CHANGE},
	{"values", 6, SQL_WORD_STOP},   {"window", 6, SQL_WORD_STOP},
	{"default", 7, SQL_WORD_CONSTANT}, {"delayed", 7, SQL_WORD_SKIP},
	{"lateral", 7, SQL_WORD_SKIP},  {"replace", 7, SQL_WORD_CHANGE},
	{"trigger", 7, SQL_WORD_OBJECT}, {"database", 8, SQL_WORD_OBJECT},
	{"describe", 8, SQL_WORD_NAMED}, {"distinct", 8, SQL_WORD_DISTINCT},
	{"function", 8, SQL_WORD_OBJECT}, {"sequence", 8, SQL_WORD_OBJECT},
	{"truncate", 8, SQL_WORD_CHANGE}, {"extensio", 9, SQL_WORD_OBJECT},
	{"intersec", 9, SQL_WORD_STOP}, {"procedur", 9, SQL_WORD_OBJECT},
	{"tablespa", 10, SQL_WORD_OBJECT}, {"concurre", 12, SQL_WORD_SKIP},
	{"low_prio", 12, SQL_WORD_SKIP}, {"high_pri", 13, SQL_WORD_SKIP},
};

enum { KEYWORD_COUNT = sizeof(keywords) / sizeof(keywords[0]), LENGTH_MAX = 13 };

// Index of the first keyword of each length.
static const uint8_t first[LENGTH_MAX + 2] = {
	[0] = 0, [1] = 0, [2] = 0, [3] = 4, [4] = 8, [5] = 24, [6] = 38, [7] = 50, [8] = 55,
	[9] = 61, [10] = 64, [11] = 65, [12] = 65, [13] = 67, [14] = KEYWORD_COUNT,
};
_Static_assert(KEYWORD_COUNT == 68, "the index by length is stale");

enum sql_word tl_sql_word(const struct sql_token *token)
{
	uint32_t len = token->name.len;

	if (token->kind != SQL_WORD || len > LENGTH_MAX)
		return SQL_WORD_OTHER;
	for (uint32_t i = first[len]; i < first[len + 1]; i++) {
		uint64_t key = tl_load_le64((const uint8_t *)keywords[i].key);
		if (key == token->key)
			return (enum sql_word)keywords[i].word;
	}
	return SQL_WORD_OTHER;
}

static uint8_t upper(uint8_t c)
{
	return c >= 'a' && c <= 'z' ? (uint8_t)(c & ~0x20) : c;
}

// Appends whole or not at all: a name cut would be another name.
static void append(struct sql_summary *s, const char *before, struct tl_bytes name, bool in_upper)
{
	uint32_t len = (uint32_t)strlen(before);
	char *to = s->ret->summary + s->ret->summary_len;

	if (s->is_full || len + name.len > TL_SQL_SUMMARY_BYTES_MAX - s->ret->summary_len) {
		s->is_full = true;
		return;
	}
	memcpy(to, before, len);
	for (uint32_t i = 0; i < name.len; i++)
		to[len + i] = (char)(in_upper ? upper(name.ptr[i]) : name.ptr[i]);
	s->ret->summary_len = (uint8_t)(s->ret->summary_len + len + name.len);
}

static void set_verb(struct sql_summary *s, struct tl_bytes name)
{
	uint32_t len = name.len < TL_SQL_VERB_BYTES_MAX ? name.len : TL_SQL_VERB_BYTES_MAX;

	for (uint32_t i = 0; i < len; i++)
		s->ret->verb[i] = (char)upper(name.ptr[i]);
	s->ret->verb_len = (uint8_t)len;
}

// A verb: of the statement when it is its first word, else of a part of it.
static void take_verb(struct sql_summary *s, struct tl_bytes name, enum sql_word word)
{
	bool is_first = s->verb == SQL_WORD_OTHER && !s->is_begun;

	// WITH takes the verb of the statement behind its subqueries.
	if (s->verb != SQL_WORD_WITH || s->depth == 0) {
		if (s->ret->statements == 1 && !s->verb_is_final) {
			set_verb(s, name);
			s->verb_is_final = word != SQL_WORD_WITH;
		}
		if (is_first || s->verb == SQL_WORD_WITH)
			s->verb = (uint8_t)word;
	}
	s->in_list = false;
	s->expect = EXPECT_NOTHING;
	if (word == SQL_WORD_WITH)
		return;
	append(s, s->ret->summary_len == 0 ? "" : is_first ? "; " : " ", name, true);
	if (word == SQL_WORD_SELECT || word == SQL_WORD_DELETE || word == SQL_WORD_CHANGE)
		s->selects |= UINT64_C(1) << (s->depth & 63);
	if (word == SQL_WORD_CHANGE || word == SQL_WORD_NAMED)
		s->expect = EXPECT_NAME;
	else if (word == SQL_WORD_DEFINE)
		s->expect = EXPECT_OBJECT;
	else if (word == SQL_WORD_SHOW)
		s->expect = EXPECT_WORD;
}

// Anything but SELECT is a verb only where a statement may begin: not so in FOR UPDATE.
static bool is_verb(const struct sql_summary *s, enum sql_word word)
{
	if (!s->is_begun || word == SQL_WORD_SELECT)
		return true;
	if (word != SQL_WORD_CHANGE && word != SQL_WORD_DELETE)
		return false;
	return s->last_punct == '(' || (s->last_punct == ')' && s->verb == SQL_WORD_WITH);
}

static void expect_name(struct sql_summary *s, bool in_list)
{
	s->expect = EXPECT_NAME;
	s->in_list = in_list;
	s->list_depth = s->depth;
}

static void take_name(struct sql_summary *s, struct tl_bytes name)
{
	append(s, s->expect == AFTER_DOT ? "." : " ", name, false);
	s->expect = AFTER_NAME;
}

// A word that is no verb.
static void take_word(struct sql_summary *s, struct tl_bytes name, enum sql_word word)
{
	bool has_tables = (s->selects >> (s->depth & 63) & 1) != 0;

	if (s->expect == AFTER_DOT) {
		take_name(s, name);
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
		s->expect = EXPECT_NOTHING;
	} else if (s->expect == EXPECT_OBJECT && word == SQL_WORD_OBJECT) {
		append(s, " ", name, true);
		s->expect = EXPECT_NAME;
	} else if (s->expect == EXPECT_WORD) {
		append(s, " ", name, true);
		s->expect = EXPECT_NOTHING;
	} else if (s->expect == EXPECT_NAME && word != SQL_WORD_SKIP && word != SQL_WORD_OBJECT) {
		take_name(s, name);
	} else if (word == SQL_WORD_BEGIN && s->verb == SQL_WORD_DEFINE) {
		s->in_body = true;
	}
}

static void take_punct(struct sql_summary *s, uint8_t c)
{
	if (c == '(') {
		s->depth++;
		s->expect = EXPECT_NOTHING;
	} else if (c == ')') {
		s->selects &= ~(UINT64_C(1) << (s->depth & 63));
		s->depth -= s->depth != 0;
		s->expect = EXPECT_NOTHING;
	} else if (c == '.' && s->expect == AFTER_NAME) {
		s->expect = AFTER_DOT;
	} else if (c == ',' && s->expect == AFTER_NAME && s->in_list && s->depth == s->list_depth) {
		s->expect = EXPECT_NAME;
	} else if (s->expect != EXPECT_OBJECT) {
		s->expect = EXPECT_NOTHING; // EXPECT_OBJECT: DEFINER = x@y may stand between
	}
}

static void end_statement(struct sql_summary *s)
{
	s->selects = 0;
	s->expect = EXPECT_NOTHING;
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
		take_verb(s, token->name, word);
		s->last_word = (uint8_t)word;
	} else if (token->kind == SQL_WORD) {
		take_word(s, token->name, word);
		s->last_word = (uint8_t)word;
	} else if (token->kind == SQL_QUOTED_NAME) {
		if (s->expect == EXPECT_NAME || s->expect == AFTER_DOT)
			take_name(s, token->name);
		s->last_word = SQL_WORD_OTHER;
	} else if (token->kind == SQL_PUNCT) {
		take_punct(s, token->punct);
	} else if (s->expect != EXPECT_OBJECT) {
		s->expect = EXPECT_NOTHING;
	}
	s->last_punct = token->kind == SQL_PUNCT ? token->punct : 0;
	s->is_begun = true;
}
