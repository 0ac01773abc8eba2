// SPDX-License-Identifier: Apache-2.0
// A trie of segments that holds no text: a place is the hash of the way to it. Each place counts
// the different segments behind it; beyond the limit it is given up, and whatever follows there is
// `*`. Identifiers (numbers, UUIDs, long hexadecimal or mixed tokens) are `{id}` at once.
#include "metrics/template.h"

#include "base/check.h"
#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define SLOTS (2 * TL_TEMPLATE_NODES_MAX)
#define ROOT 0u
#define NOWHERE UINT32_MAX
#define HEX_ID_MIN 8u    // hexadecimal digits, at least one of them a number
#define TOKEN_ID_MIN 16u // characters of any kind, at least three of them numbers

enum kind { KIND_LITERAL, KIND_ANY, KIND_REST };

struct segments {
	struct tl_bytes at[TL_TEMPLATE_SEGMENTS_MAX]; // in the order of looking
	uint32_t count;
	bool has_lead; // a slash
	bool is_cut;   // there were more
};

struct pattern {
	char *text;
	uint32_t len;
	struct segments segments; // of `text`
};

struct patterns {
	struct pattern *items;
	uint32_t count;
};

struct node {
	uint64_t key;      // hash of the way
	uint32_t children;
	bool is_given_up;
};

struct tl_template {
	uint32_t order;
	uint32_t values_max;
	bool learn;
	bool is_merging;
	struct patterns patterns;
	struct patterns ignore;
	uint32_t node_count;
	struct node nodes[TL_TEMPLATE_NODES_MAX];
	uint32_t slots[SLOTS]; // node + 1
};

// ---- segments --------------------------------------------------------------------------------

static void split(struct tl_bytes value, uint32_t order, struct segments *ret)
{
	char separator = order == TL_TEMPLATE_NAME ? '.' : '/';

	*ret = (struct segments) {.has_lead = order == TL_TEMPLATE_PATH && value.len != 0 &&
					      value.ptr[0] == '/'};
	if (order == TL_TEMPLATE_WHOLE) {
		ret->at[ret->count++] = value;
		return;
	}
	value = ret->has_lead ? tl_bytes(value.ptr + 1, value.len - 1) : value;
	uint32_t end = value.len;
	uint32_t begin = 0;
	// Names are read from their end, paths from their front.
	for (bool is_last = false; !is_last && !ret->is_cut;) {
		struct tl_bytes *segment = &ret->at[ret->count];
		if (ret->count == TL_TEMPLATE_SEGMENTS_MAX) {
			ret->is_cut = true;
		} else if (order == TL_TEMPLATE_NAME) {
			uint32_t from = end;
			while (from != 0 && value.ptr[from - 1] != (uint8_t)separator)
				from--;
			*segment = tl_bytes(value.ptr + from, end - from);
			is_last = from == 0;
			end = is_last ? 0 : from - 1;
			ret->count++;
		} else {
			uint32_t to = begin;
			while (to != value.len && value.ptr[to] != (uint8_t)separator)
				to++;
			*segment = tl_bytes(value.ptr + begin, to - begin);
			is_last = to == value.len;
			begin = to + 1;
			ret->count++;
		}
	}
}

static inline uint8_t small(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool is_equal(struct tl_bytes a, struct tl_bytes b, bool ignores_case)
{
	if (a.len != b.len)
		return false;
	for (uint32_t i = 0; i < a.len; i++)
		if (a.ptr[i] != b.ptr[i] && !(ignores_case && small(a.ptr[i]) == small(b.ptr[i])))
			return false;
	return true;
}

static bool is_word(struct tl_bytes segment, const char *word)
{
	return segment.len == strlen(word) && memcmp(segment.ptr, word, segment.len) == 0;
}

// ---- patterns --------------------------------------------------------------------------------

static enum kind kind_of(struct tl_bytes segment)
{
	if (is_word(segment, "**"))
		return KIND_REST;
	if (is_word(segment, "*") || (segment.len > 2 && segment.ptr[0] == '{' &&
				      segment.ptr[segment.len - 1] == '}'))
		return KIND_ANY;
	return KIND_LITERAL;
}

static bool does_match(const struct pattern *pattern, const struct segments *value, uint32_t order)
{
	const struct segments *p = &pattern->segments;

	for (uint32_t i = 0; i < p->count; i++) {
		enum kind kind = kind_of(p->at[i]);
		if (kind == KIND_REST)
			return true;
		if (i == value->count)
			return false;
		if (kind == KIND_LITERAL &&
		    !is_equal(p->at[i], value->at[i], order == TL_TEMPLATE_NAME))
			return false;
	}
	return value->count == p->count && !value->is_cut && !p->is_cut;
}

static const struct pattern *find_pattern(const struct patterns *list, const struct segments *value,
					  uint32_t order)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (does_match(&list->items[i], value, order))
			return &list->items[i];
	return NULL;
}

static bool copy_patterns(struct patterns *to, const struct tl_text_list *from, uint32_t order)
{
	to->items = calloc(from->count + 1, sizeof(*to->items));
	if (to->items == NULL)
		return false;
	for (uint32_t i = 0; i < from->count && i < TL_TEMPLATE_PATTERNS_MAX; i++) {
		struct pattern *p = &to->items[to->count];
		p->text = strdup(from->items[i]);
		if (p->text == NULL)
			return false;
		to->count++;
		p->len = (uint32_t)strlen(p->text);
		split(tl_bytes(p->text, p->len), order, &p->segments);
	}
	return true;
}

static void free_patterns(struct patterns *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		free(list->items[i].text);
	free(list->items);
}

static int check_list(const struct tl_text_list *list, char *error, uint32_t error_size)
{
	if (list->count > TL_TEMPLATE_PATTERNS_MAX) {
		(void)snprintf(error, error_size, "%u patterns, at most %u are possible",
			       list->count, TL_TEMPLATE_PATTERNS_MAX);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < list->count; i++) {
		size_t len = strlen(list->items[i]);
		if (len != 0 && len <= TL_TEMPLATE_BYTES_MAX)
			continue;
		(void)snprintf(error, error_size, "a pattern has 1 to %u characters, \"%.60s\" has %zu",
			       TL_TEMPLATE_BYTES_MAX, list->items[i], len);
		return -EINVAL;
	}
	return 0;
}

int tl_template_check(const struct tl_template_rule *rule, char *error, uint32_t error_size)
{
	int rc = check_list(&rule->patterns, error, error_size);
	return rc != 0 ? rc : check_list(&rule->ignore, error, error_size);
}

// ---- advice ----------------------------------------------------------------------------------

// Whether all that matches `narrow` matches `wide`, too.
static bool does_cover(const struct segments *wide, const struct segments *narrow, uint32_t order)
{
	for (uint32_t i = 0; i < wide->count; i++) {
		enum kind kind = kind_of(wide->at[i]);
		if (kind == KIND_REST)
			return true;
		if (i == narrow->count)
			return false;
		if (kind_of(narrow->at[i]) == KIND_REST) // no value is without a segment: as */**
			return i == 0 && kind == KIND_ANY && wide->count > 1 &&
			       kind_of(wide->at[1]) == KIND_REST;
		if (kind == KIND_LITERAL &&
		    (kind_of(narrow->at[i]) != KIND_LITERAL ||
		     !is_equal(wide->at[i], narrow->at[i], order == TL_TEMPLATE_NAME)))
			return false;
	}
	return narrow->count == wide->count && !wide->is_cut;
}

// The first of the `count` first patterns that leaves nothing to this one, NULL: none does.
static const char *covering(const struct tl_text_list *list, uint32_t count,
			    const struct segments *pattern, uint32_t order)
{
	for (uint32_t i = 0; i < count; i++) {
		struct segments segments;
		split(tl_bytes_of(list->items[i]), order, &segments);
		if (does_cover(&segments, pattern, order))
			return list->items[i];
	}
	return NULL;
}

static bool has_byte(struct tl_bytes segment, uint8_t byte)
{
	return tl_bytes_find(segment, byte, 0) != TL_BYTES_NONE;
}

// What is odd about the segments by themselves, NULL: nothing.
static const char *odd(const struct segments *pattern, uint32_t order)
{
	if (pattern->is_cut)
		return "has more segments than are looked at: it matches nothing";
	for (uint32_t i = 0; i < pattern->count; i++) {
		struct tl_bytes segment = pattern->at[i];
		enum kind kind = kind_of(segment);
		if (kind == KIND_REST && i + 1 < pattern->count)
			return order == TL_TEMPLATE_NAME ? "what stands before ** is not looked at" :
							   "what stands behind ** is not looked at";
		if (kind == KIND_LITERAL && (has_byte(segment, '*') || has_byte(segment, '{')))
			return "* and {word} stand for something only as a whole segment";
		if (order == TL_TEMPLATE_NAME && (segment.len == 0 || has_byte(segment, '/')))
			return "a name has no / and no empty segment";
	}
	return NULL;
}

bool tl_template_is_useful(const struct tl_template_rule *rule, bool of_ignore, uint32_t index,
			   char *words, uint32_t words_size)
{
	const struct tl_text_list *list = of_ignore ? &rule->ignore : &rule->patterns;
	const char *text = list->items[index];
	struct segments pattern;

	split(tl_bytes_of(text), rule->order, &pattern);
	const char *wide = covering(list, index, &pattern, rule->order);
	const char *ignored = of_ignore || wide != NULL ? NULL :
		covering(&rule->ignore, rule->ignore.count, &pattern, rule->order);
	const char *what = odd(&pattern, rule->order);
	if (wide != NULL)
		(void)snprintf(words, words_size, "\"%.60s\" is never reached: \"%.60s\" before it "
			       "matches all that it does", text, wide);
	else if (ignored != NULL)
		(void)snprintf(words, words_size, "\"%.60s\" is never reached: \"%.60s\" of ignore "
			       "matches all that it does", text, ignored);
	else if (what != NULL)
		(void)snprintf(words, words_size, "\"%.60s\": %s", text, what);
	return wide == NULL && ignored == NULL && what == NULL;
}

struct tl_template *tl_template_create(const struct tl_template_rule *rule, bool is_merging)
{
	struct tl_template *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	TL_ASSERT(rule->order != TL_TEMPLATE_AUTO);
	t->order = rule->order;
	t->values_max = rule->values_max > UINT32_MAX ? UINT32_MAX : (uint32_t)rule->values_max;
	t->learn = rule->learn;
	t->is_merging = is_merging;
	t->node_count = 1; // the root
	// Peers must not know where a way hashes to.
	if (getrandom(&t->nodes[ROOT].key, sizeof(t->nodes[ROOT].key), GRND_NONBLOCK) < 0)
		t->nodes[ROOT].key = (uint64_t)(uintptr_t)t;
	if (copy_patterns(&t->patterns, &rule->patterns, t->order) &&
	    copy_patterns(&t->ignore, &rule->ignore, t->order))
		return t;
	tl_template_destroy(t);
	return NULL;
}

void tl_template_destroy(struct tl_template *t)
{
	if (t == NULL)
		return;
	free_patterns(&t->patterns);
	free_patterns(&t->ignore);
	free(t);
}

// ---- learning --------------------------------------------------------------------------------

static bool is_hex(uint8_t c)
{
	return (c >= '0' && c <= '9') || (small(c) >= 'a' && small(c) <= 'f');
}

static bool is_id(struct tl_bytes segment)
{
	uint32_t digits = 0, hex = 0, marks = 0;

	for (uint32_t i = 0; i < segment.len; i++) {
		uint8_t c = segment.ptr[i];
		digits += c >= '0' && c <= '9';
		hex += is_hex(c);
		marks += c == '-' || c == '_' || c == ':' || c == '.';
	}
	if (digits == 0)
		return false;
	return digits + marks == segment.len ||
	       (hex + marks == segment.len && hex >= HEX_ID_MIN) ||
	       (segment.len >= TOKEN_ID_MIN && digits >= 3);
}

static uint64_t way(const struct tl_template *t, uint32_t from, struct tl_bytes segment)
{
	uint64_t hash = tl_hash_mix(t->nodes[from].key ^ UINT64_C(0x9e3779b97f4a7c15),
				    segment.len + UINT64_C(0xe7037ed1a0b428db));

	for (uint32_t i = 0; i < segment.len; i++) {
		uint8_t c = t->order == TL_TEMPLATE_NAME ? small(segment.ptr[i]) : segment.ptr[i];
		hash = (hash ^ c) * UINT64_C(0x100000001b3);
	}
	return hash;
}

// The place behind `segment`, made if there is room for it; else NOWHERE.
static uint32_t step(struct tl_template *t, uint32_t from, struct tl_bytes segment, bool is_free)
{
	uint64_t key = way(t, from, segment);
	uint32_t slot = (uint32_t)(tl_hash_mix(key, UINT64_C(0xa0761d6478bd642f)) % SLOTS);

	for (; t->slots[slot] != 0; slot = (slot + 1) % SLOTS)
		if (t->nodes[t->slots[slot] - 1].key == key)
			return t->slots[slot] - 1;
	if (t->node_count == TL_TEMPLATE_NODES_MAX)
		return NOWHERE;
	if (!is_free && t->nodes[from].children == t->values_max) {
		t->nodes[from].is_given_up = true;
		return NOWHERE;
	}
	t->nodes[from].children += !is_free;
	t->nodes[t->node_count] = (struct node) {.key = key};
	t->slots[slot] = ++t->node_count;
	return t->node_count - 1;
}

// What a segment becomes at this place, which moves on.
static struct tl_bytes learn_segment(struct tl_template *t, uint32_t *place, struct tl_bytes segment)
{
	const struct tl_bytes id = tl_bytes("{id}", 4);
	const struct tl_bytes any = tl_bytes("*", 1);

	if (*place == NOWHERE)
		return any;
	if (t->is_merging && is_word(segment, "*")) // a worker has given this place up
		t->nodes[*place].is_given_up = true;
	if (!t->nodes[*place].is_given_up) {
		bool is_fixed = is_id(segment) || is_word(segment, "{id}");
		struct tl_bytes as = is_fixed ? id : segment;
		uint32_t next = step(t, *place, as, is_fixed);
		if (next != NOWHERE) {
			*place = next;
			return as;
		}
	}
	*place = step(t, *place, any, true);
	return any;
}

// ---- the result ------------------------------------------------------------------------------

static struct tl_bytes join(const struct tl_template *t, const struct segments *value,
			    struct tl_template_room *room)
{
	bool is_name = t->order == TL_TEMPLATE_NAME;
	uint32_t len = 0;

	if (value->has_lead)
		room->bytes[len++] = '/';
	for (uint32_t i = 0; i < value->count + value->is_cut; i++) {
		// Names were read from their end.
		uint32_t at = is_name ? value->count + value->is_cut - 1 - i : i;
		struct tl_bytes segment = at == value->count ? tl_bytes("**", 2)
							     : value->at[at];
		if (i != 0 && len < TL_TEMPLATE_BYTES_MAX)
			room->bytes[len++] = is_name ? '.' : '/';
		for (uint32_t k = 0; k < segment.len && len < TL_TEMPLATE_BYTES_MAX; k++)
			room->bytes[len++] = is_name ? small(segment.ptr[k]) : segment.ptr[k];
	}
	return tl_bytes(room->bytes, len);
}

bool tl_template_apply(struct tl_template *t, struct tl_bytes value, struct tl_template_room *room,
		       struct tl_bytes *ret_value)
{
	struct segments segments;
	uint32_t place = ROOT;

	*ret_value = value;
	if (value.len == 0)
		return true;
	split(value, t->order, &segments);
	if (find_pattern(&t->ignore, &segments, t->order) != NULL)
		return false;
	const struct pattern *pattern = find_pattern(&t->patterns, &segments, t->order);
	if (pattern != NULL) {
		memcpy(room->bytes, pattern->text, pattern->len);
		*ret_value = tl_bytes(room->bytes, pattern->len);
		return true;
	}
	for (uint32_t i = 0; t->learn && i < segments.count; i++)
		if (segments.at[i].len != 0)
			segments.at[i] = learn_segment(t, &place, segments.at[i]);
	*ret_value = join(t, &segments, room);
	return true;
}
