// SPDX-License-Identifier: Apache-2.0
#include "protocols/common/sql.h"

#include "protocols/common/sql_token.h"

#include <stddef.h>

#define GROUP_DEPTH_MAX 8u // deeper parentheses are not folded

// The digest is a sum of token hashes, each times a power of BASE by its place. So the hash of any
// run of tokens can be had from two sums, wherever it stands, and tokens can be taken back.
#define BASE UINT64_C(0x9e3779b97f4a7c15)
#define BASE_INVERSE UINT64_C(0xf1de83e19937733d) // modulo 2^64
_Static_assert(BASE * BASE_INVERSE == 1, "not the inverse");

// Everything that taking back a token must restore.
struct point {
	uint64_t sum;
	uint64_t power;
	uint64_t inverse;
	uint32_t len; // of the masked text, were there room for all of it
};

enum token_class { CLASS_OTHER, CLASS_LITERAL = 1 }; // others are the punctuation byte itself

struct past {
	struct point before;
	uint8_t class;
};

// A group in parentheses, kept at the depth that it stands in.
struct group {
	struct point begin;
	struct point end;
	uint64_t hash;
	bool follows; // only a comma stands between it and the group before
};

struct writer {
	char *text;
	uint32_t size;
	uint32_t depth;
	struct point now;
	struct past past[3]; // the last tokens, the newest first
	struct group groups[GROUP_DEPTH_MAX];
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 33)) * UINT64_C(0xff51afd7ed558ccd);
	x = (x ^ (x >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ (x >> 33);
}

static void put_bytes(struct writer *w, const void *bytes, uint32_t len)
{
	if (w->now.len < w->size) {
		uint32_t room = w->size - w->now.len;
		memcpy(w->text + w->now.len, bytes, len < room ? len : room);
	}
	w->now.len += len;
}

static void put(struct writer *w, const struct sql_token *token, struct tl_bytes shown, uint8_t class)
{
	w->past[2] = w->past[1];
	w->past[1] = w->past[0];
	w->past[0] = (struct past) {.before = w->now, .class = class};
	if (token->blank_before && w->now.len != 0)
		put_bytes(w, " ", 1);
	put_bytes(w, shown.ptr, shown.len);
	w->now.sum += mix(token->hash) * w->now.power;
	w->now.power *= BASE;
	w->now.inverse *= BASE_INVERSE;
}

static void take_back(struct writer *w)
{
	w->now = w->past[0].before;
	w->past[0] = w->past[1];
	w->past[1] = w->past[2];
	w->past[2] = (struct past) {.class = CLASS_OTHER};
}

static bool may_precede_sign(uint8_t class)
{
	return class == '(' || class == ',' || class == '=' || class == '<' || class == '>';
}

static void put_literal(struct writer *w, const struct sql_token *token)
{
	static const uint8_t mark[] = {'?'};
	struct sql_token literal = *token;

	if ((w->past[0].class == '-' || w->past[0].class == '+') &&
	    may_precede_sign(w->past[1].class)) {
		// The sign goes, the blank before it stays.
		literal.blank_before = w->past[0].before.len < w->now.len - 1 || literal.blank_before;
		take_back(w);
	}
	if (w->past[0].class == CLASS_LITERAL)
		return; // 'a' 'b' is one string
	if (w->depth != 0 && w->past[0].class == ',' && w->past[1].class == CLASS_LITERAL) {
		take_back(w);
		return;
	}
	put(w, &literal, tl_bytes(mark, 1), CLASS_LITERAL);
}

static void put_open(struct writer *w, const struct sql_token *token)
{
	if (w->depth < GROUP_DEPTH_MAX) {
		struct group *g = &w->groups[w->depth];
		g->follows = w->past[0].class == ',' && w->past[1].class == ')';
		g->begin = w->now;
	}
	w->depth++;
	put(w, token, token->raw, '(');
}

static void put_close(struct writer *w, const struct sql_token *token)
{
	put(w, token, token->raw, ')');
	if (w->depth == 0)
		return;
	w->depth--;
	if (w->depth >= GROUP_DEPTH_MAX)
		return;
	struct group *g = &w->groups[w->depth];
	uint64_t hash = (w->now.sum - g->begin.sum) * g->begin.inverse;
	if (g->follows && hash == g->hash) {
		w->now = g->end;
		w->past[1] = w->past[2] = (struct past) {.class = CLASS_OTHER};
		return;
	}
	g->hash = hash;
	g->end = w->now;
}

// A text that was cut within a row of a long list is as good as one that ends before that row.
static void drop_cut_group(struct writer *w)
{
	uint32_t depth = w->depth < GROUP_DEPTH_MAX ? w->depth : GROUP_DEPTH_MAX;

	for (uint32_t i = 0; i < depth; i++)
		if (w->groups[i].follows) {
			w->now = w->groups[i].end;
			return;
		}
	if (w->past[0].class == ',' && w->past[1].class == ')')
		take_back(w);
}

static void put_token(struct writer *w, const struct sql_token *token, enum sql_word word)
{
	if (token->kind == SQL_LITERAL) {
		put_literal(w, token);
	} else if (word == SQL_WORD_CONSTANT &&
		   (w->past[0].class == '(' || w->past[0].class == ',' || w->past[0].class == '=')) {
		// NULL among values varies like any value does.
		struct sql_token literal = *token;
		literal.hash = UINT64_C(0x6c69746572616c);
		put_literal(w, &literal);
	} else if (token->kind != SQL_PUNCT) {
		put(w, token, token->raw, CLASS_OTHER);
	} else if (token->punct == '(') {
		put_open(w, token);
	} else if (token->punct == ')') {
		put_close(w, token);
	} else {
		put(w, token, token->raw, token->punct);
	}
}

void tl_sql_read(enum tl_sql_dialect dialect, struct tl_bytes sql, uint64_t full_len, char *text,
		 uint32_t text_size, struct tl_sql *ret)
{
	struct tl_bytes read = tl_bytes_first(sql, TL_SQL_READ_BYTES_MAX);
	struct sql_scanner scanner = tl_sql_scanner(dialect, read);
	struct sql_summary summary = {.ret = ret};
	struct writer w;
	struct sql_token separator = {.kind = SQL_END};

	w.text = text;
	w.size = text_size;
	w.depth = 0;
	w.now = (struct point) {.power = 1, .inverse = 1};
	memset(w.past, 0, sizeof(w.past));
	memset(ret, 0, offsetof(struct tl_sql, verb));
	for (;;) {
		struct sql_token token = tl_sql_next(&scanner);
		if (token.kind == SQL_END)
			break;
		enum sql_word word = tl_sql_word(&token);
		tl_sql_summarise(&summary, &token, word);
		// A semicolon counts only when something follows it.
		if (separator.kind != SQL_END)
			put(&w, &separator, separator.raw, ';');
		separator.kind = SQL_END;
		if (token.kind == SQL_PUNCT && token.punct == ';')
			separator = token;
		else
			put_token(&w, &token, word);
	}
	ret->input_cut = full_len > read.len || sql.len > read.len;
	if (ret->input_cut)
		drop_cut_group(&w);
	ret->digest = w.now.power == 1 ? 0 : mix(w.now.sum ^ w.now.power) | (w.now.sum == 0);
	ret->traceparent = scanner.traceparent;
	ret->text_len = w.now.len < text_size ? w.now.len : text_size;
	ret->text_cut = w.now.len > text_size;
	ret->verb[ret->verb_len] = '\0';
	ret->summary[ret->summary_len] = '\0';
}

void tl_sql_digest_text(uint64_t digest, char ret[TL_SQL_DIGEST_TEXT_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	for (uint32_t i = 0; i < 16; i++)
		ret[i] = digits[digest >> (60 - 4 * i) & 15];
	ret[16] = '\0';
}
