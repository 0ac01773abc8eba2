// SPDX-License-Identifier: Apache-2.0
#include "protocols/common/sql.h"

#include "base/check.h"
#include "protocols/common/sql_token.h"

#include <stddef.h>

#define GROUP_DEPTH_MAX 8u // deeper parentheses are not folded
#define PAST_TOKENS 4u     // that are looked back at, or taken back

// The digest is a sum of token hashes, each times a power of BASE by its place. So the hash of any
// run of tokens can be had from two sums, wherever it stands, and tokens can be taken back.
#define BASE UINT64_C(0x9e3779b97f4a7c15)

// Everything that taking back a token must restore.
struct point {
	uint64_t sum;
	uint64_t power;
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
	uint64_t sum;   // of its tokens, the first one times `power`
	uint64_t power;
	bool follows;   // only a comma stands between it and the group before
};

struct writer {
	char *text;
	uint32_t size;
	uint32_t depth;
	struct point now;
	uint32_t count;      // tokens
	struct past past[PAST_TOKENS]; // the last ones, by number
	struct group groups[GROUP_DEPTH_MAX];
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 33)) * UINT64_C(0xff51afd7ed558ccd);
	x = (x ^ (x >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ (x >> 33);
}

// The token that came `back` before the newest one.
static inline struct past *past(struct writer *w, uint32_t back)
{
	return &w->past[(w->count - 1 - back) % PAST_TOKENS];
}

// There is room for a part of the token, or none.
__attribute__((noinline)) static void
put_cut(struct writer *w, uint32_t at, uint32_t before, struct tl_bytes shown)
{
	if (before != 0 && at < w->size)
		w->text[at] = ' ';
	at += before;
	if (at < w->size)
		memcpy(w->text + at, shown.ptr, shown.len < w->size - at ? shown.len : w->size - at);
}

__attribute__((always_inline)) static inline void
put(struct writer *w, struct tl_bytes shown, bool blank, uint64_t hash, uint8_t class)
{
	uint32_t at = w->now.len;
	uint32_t before = blank && at != 0;
	uint32_t end = at + before + shown.len;

	w->past[w->count++ % PAST_TOKENS] = (struct past) {.before = w->now, .class = class};
	w->now.sum += hash * w->now.power;
	w->now.power *= BASE;
	w->now.len = end;
	if (TL_LIKELY(end < w->size)) {
		w->text[at] = ' ';
		tl_copy_short((uint8_t *)w->text + at + before, shown.ptr, shown.len);
	} else {
		put_cut(w, at, before, shown);
	}
}

static void take_back(struct writer *w)
{
	w->now = past(w, 0)->before;
	w->count--;
}

static bool may_precede_sign(uint8_t class)
{
	return class == '(' || class == ',' || class == '=' || class == '<' || class == '>';
}

// What a literal makes superfluous goes. False: the literal too. `ret_blank` may become true: a
// blank comes before it.
static bool prepare_literal(struct writer *w, bool *ret_blank)
{
	uint8_t last = past(w, 0)->class;

	if ((last == '-' || last == '+') && may_precede_sign(past(w, 1)->class)) {
		// The sign goes, the blank before it stays.
		*ret_blank = *ret_blank || past(w, 0)->before.len < w->now.len - 1;
		take_back(w);
		last = past(w, 0)->class;
	}
	if (last == CLASS_LITERAL)
		return false; // 'a' 'b' is one string
	if (w->depth != 0 && last == ',' && past(w, 1)->class == CLASS_LITERAL) {
		take_back(w);
		return false;
	}
	return true;
}

static void open_group(struct writer *w)
{
	if (w->depth < GROUP_DEPTH_MAX) {
		struct group *g = &w->groups[w->depth];
		g->follows = past(w, 0)->class == ',' && past(w, 1)->class == ')';
		g->begin = w->now;
	}
	w->depth++;
}

// Its last token has been put.
static void close_group(struct writer *w)
{
	w->depth--;
	if (w->depth >= GROUP_DEPTH_MAX)
		return;
	struct group *g = &w->groups[w->depth];
	uint64_t sum = w->now.sum - g->begin.sum;
	// Alike wherever they stand: powers are odd, so that nothing is lost by the products.
	if (g->follows && sum * g->power == g->sum * g->begin.power) {
		w->now = g->end;
		past(w, 1)->class = past(w, 2)->class = CLASS_OTHER;
		return;
	}
	g->sum = sum;
	g->power = g->begin.power;
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
	if (past(w, 0)->class == ',' && past(w, 1)->class == ')')
		take_back(w);
}

// NULL among values varies like any value does.
static bool is_value(struct writer *w, enum sql_word word)
{
	if (TL_LIKELY(word != SQL_WORD_CONSTANT))
		return false;
	uint8_t last = past(w, 0)->class;
	return last == '(' || last == ',' || last == '=';
}

// A semicolon counts only when something follows it.
__attribute__((noinline)) static void put_semicolon(struct writer *w, bool blank)
{
	static const uint8_t semicolon[] = {';'};

	put(w, tl_bytes(semicolon, 1), blank, ';' * SQL_HASH_PRIME, ';');
}

static inline void put_token(struct writer *w, const struct sql_token *token, enum sql_word word)
{
	static const uint8_t mark[] = {'?'};
	struct tl_bytes shown = token->raw;
	uint64_t hash = token->hash;
	bool blank = token->blank_before;
	uint8_t class = token->punct;

	if (token->kind == SQL_LITERAL || is_value(w, word)) {
		if (!prepare_literal(w, &blank))
			return;
		shown = tl_bytes(mark, sizeof(mark));
		hash = SQL_LITERAL_HASH;
		class = CLASS_LITERAL;
	} else if (class == '(') {
		open_group(w);
	} else if (class == ')' && w->depth == 0) {
		class = CLASS_OTHER; // it closes nothing: no group ends here
	}
	put(w, shown, blank, hash, class);
	if (class == ')')
		close_group(w);
}

void tl_sql_read(enum tl_sql_dialect dialect, struct tl_bytes sql, uint64_t full_len, char *text,
		 uint32_t text_size, struct tl_sql *ret)
{
	struct tl_bytes read = tl_bytes_first(sql, TL_SQL_READ_BYTES_MAX);
	struct sql_scanner scanner;
	struct sql_summary summary = {.ret = ret};
	struct writer w;
	struct sql_token token;
	bool is_separated = false;
	bool blank = false;

	tl_sql_scanner(&scanner, dialect, read);
	w.text = text;
	w.size = text_size;
	w.depth = 0;
	w.count = 0;
	w.now = (struct point) {.power = 1};
	for (uint32_t i = 0; i < PAST_TOKENS; i++)
		w.past[i].class = CLASS_OTHER;
	memset(ret, 0, offsetof(struct tl_sql, verb));
	for (;;) {
		sql_next(&scanner, &token);
		if (token.kind == SQL_END)
			break;
		bool may_mean = token.kind == SQL_WORD && token.name.len > 1;
		enum sql_word word = may_mean ? tl_sql_word(&token) : SQL_WORD_OTHER;
		sql_summarise(&summary, &token, word);
		if (TL_UNLIKELY(is_separated))
			put_semicolon(&w, blank);
		is_separated = token.punct == ';';
		blank = token.blank_before;
		if (!is_separated)
			put_token(&w, &token, word);
	}
	ret->input_cut = full_len > read.len || sql.len > read.len;
	if (ret->input_cut)
		drop_cut_group(&w);
	ret->digest = w.now.power == 1 ? 0 : mix(w.now.sum ^ w.now.power) | (w.now.sum == 0);
	ret->traceparent = scanner.traceparent;
	ret->text_full = w.now.len;
	ret->text_len = w.now.len < text_size ? w.now.len : text_size;
	ret->verb[ret->verb_len] = '\0';
	ret->summary[ret->summary_len] = '\0';
}

// 8 hexadecimal digits of `value`, the first one in the highest byte.
static uint64_t digits8(uint32_t value)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t x = value;

	// Each half of what there is moves up by as much as it is wide, until every byte has 4 bits.
	x = (x << 16 | x) & UINT64_C(0x0000ffff0000ffff);
	x = (x << 8 | x) & UINT64_C(0x00ff00ff00ff00ff);
	x = (x << 4 | x) & (0x0f * ones);
	uint64_t is_letter = (x + 6 * ones) >> 4 & ones;
	return x + '0' * ones + is_letter * ('a' - '0' - 10);
}

void tl_sql_digest_text(uint64_t digest, char ret[TL_SQL_DIGEST_TEXT_BYTES])
{
	sql_store8(ret, __builtin_bswap64(digits8((uint32_t)(digest >> 32))));
	sql_store8(ret + 8, __builtin_bswap64(digits8((uint32_t)digest)));
	ret[16] = '\0';
}
