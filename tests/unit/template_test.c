// SPDX-License-Identifier: Apache-2.0
#include "metrics/template.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

// What `value` becomes, NULL when it is ignored. The text lives until the next call.
static const char *become(struct tl_template *t, const char *value)
{
	static char text[TL_TEMPLATE_BYTES_MAX + 1];
	static struct tl_template_room room;
	size_t len = strlen(value);
	char *copy = malloc(len != 0 ? len : 1); // exact, so that a sanitizer sees over-reads
	struct tl_bytes result;

	assert_non_null(copy);
	memcpy(copy, value, len);
	bool is_kept = tl_template_apply(t, tl_bytes(copy, (uint32_t)len), &room, &result);
	assert_in_range(result.len, 0, TL_TEMPLATE_BYTES_MAX);
	memcpy(text, result.ptr, result.len);
	text[result.len] = '\0';
	free(copy);
	return is_kept ? text : NULL;
}

static void patterns_come_first(void **state)
{
	(void)state;
	const char *patterns[] = {"/users/{id}", "/users/{id}/orders", "/static/**", "/", "/a/*/c"};
	const char *ignored[] = {"/healthz", "/debug/**"};
	struct tl_template_rule rule = {.patterns = {patterns, TL_COUNT_OF(patterns)},
					.ignore = {ignored, TL_COUNT_OF(ignored)},
					.order = TL_TEMPLATE_PATH};
	static const char *const rows[][2] = {
		{"/users/anna", "/users/{id}"},
		{"/users/anna/orders", "/users/{id}/orders"},
		{"/users/anna/bills", "/users/anna/bills"},
		{"/users", "/users"},
		{"/static", "/static/**"},
		{"/static/js/a.js", "/static/**"},
		{"/statics", "/statics"},
		{"/a/b/c", "/a/*/c"},
		{"/a/b/d", "/a/b/d"},
		{"/", "/"},
		{"", ""},
		{"/Users/anna", "/Users/anna"},
		{"/healthz", NULL},
		{"/healthz/x", "/healthz/x"},
		{"/debug/pprof/heap", NULL},
	};
	struct tl_template *t = tl_template_create(&rule, false);

	assert_non_null(t);
	for (size_t i = 0; i < TL_COUNT_OF(rows); i++) {
		const char *got = become(t, rows[i][0]);
		if (rows[i][1] == NULL)
			assert_null(got);
		else
			assert_string_equal(got, rows[i][1]);
	}
	tl_template_destroy(t);
}

static void identifiers_are_seen_at_once(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{"/users/42/orders/7", "/users/{id}/orders/{id}"},
		{"/v1/users", "/v1/users"},
		{"/api/v2.1/x", "/api/v2.1/x"},
		{"/o/550e8400-e29b-41d4-a716-446655440000", "/o/{id}"},
		{"/o/deadbeef", "/o/deadbeef"}, // no number in it: may be a word
		{"/o/deadbeef01", "/o/{id}"},
		{"/o/2026-11-22/x", "/o/{id}/x"},
		{"/t/eyJhbGciOi9IUzI1NiJ9", "/t/{id}"},
		{"/img/logo-2x.png", "/img/logo-2x.png"},
		{"/a/", "/a/"},
		{"//a", "//a"},
		{"*", "*"},
		{"x/1", "x/{id}"},
	};
	struct tl_template_rule rule = {.order = TL_TEMPLATE_PATH, .learn = true, .values_max = 100};
	struct tl_template *t = tl_template_create(&rule, false);

	for (size_t i = 0; i < TL_COUNT_OF(rows); i++)
		assert_string_equal(become(t, rows[i][0]), rows[i][1]);
	tl_template_destroy(t);
}

static void crowded_places_are_given_up(void **state)
{
	(void)state;
	struct tl_template_rule rule = {.order = TL_TEMPLATE_PATH, .learn = true, .values_max = 10};
	struct tl_template *t = tl_template_create(&rule, false);
	char path[64];

	for (uint32_t i = 0; i < 10; i++) {
		(void)snprintf(path, sizeof(path), "/blog/post-%c/edit", 'a' + (int)i);
		assert_string_equal(become(t, path), path);
	}
	assert_string_equal(become(t, "/blog/post-z/edit"), "/blog/*/edit");
	assert_string_equal(become(t, "/blog/post-a/edit"), "/blog/*/edit"); // for good
	assert_string_equal(become(t, "/blog/7/edit"), "/blog/*/edit");
	assert_string_equal(become(t, "/blog"), "/blog");
	// Other places have their own count, also those behind the one that was given up.
	assert_string_equal(become(t, "/news/post-z"), "/news/post-z");
	for (uint32_t i = 0; i < 20; i++) {
		(void)snprintf(path, sizeof(path), "/blog/q/tab-%c", 'a' + (int)i);
		const char *got = become(t, path);
		assert_string_equal(i < 9 ? got + 7 : got, i < 9 ? strrchr(path, '/') : "/blog/*/*");
	}
	tl_template_destroy(t);
}

// Whatever comes: memory is what was taken at the start, and so is the number of results.
static void the_cap_is_hard(void **state)
{
	(void)state;
	enum { VALUES = 200000, KNOWN = 1u << 16 };
	struct tl_template_rule rule = {.order = TL_TEMPLATE_PATH, .learn = true, .values_max = 4000};
	struct tl_template *t = tl_template_create(&rule, false);
	static uint64_t seen[KNOWN];
	uint32_t different = 0;
	uint64_t seed = 1;

	for (uint32_t i = 0; i < VALUES; i++) {
		char path[128];
		uint64_t hash = 1469598103934665603u;
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		(void)snprintf(path, sizeof(path), "/%c%c/%c%c%c/x%c%c%c%c", 'g' + (int)(seed >> 33) % 16,
			       'g' + (int)(seed >> 37) % 16, 'g' + (int)(seed >> 41) % 16,
			       'g' + (int)(seed >> 45) % 16, 'g' + (int)(seed >> 49) % 16,
			       'g' + (int)(seed >> 53) % 8, 'g' + (int)(seed >> 56) % 8,
			       'g' + (int)(seed >> 59) % 8, 'g' + (int)(seed >> 61) % 8);
		for (const char *c = become(t, path); *c != '\0'; c++)
			hash = (hash ^ (uint8_t)*c) * UINT64_C(1099511628211);
		uint32_t slot = (uint32_t)(hash % KNOWN);
		while (seen[slot] != 0 && seen[slot] != hash)
			slot = (slot + 1) % KNOWN;
		different += seen[slot] == 0;
		assert_true(different < KNOWN / 2);
		seen[slot] = hash;
	}
	assert_in_range(different, 100, 3 * TL_TEMPLATE_NODES_MAX);
	tl_template_destroy(t);
}

static void names_are_read_from_their_end(void **state)
{
	(void)state;
	const char *patterns[] = {"*.svc.cluster.local", "**.example.org"};
	struct tl_template_rule rule = {.patterns = {patterns, TL_COUNT_OF(patterns)},
					.order = TL_TEMPLATE_NAME, .learn = true, .values_max = 5};
	struct tl_template *t = tl_template_create(&rule, false);
	char name[64];

	assert_string_equal(become(t, "web.svc.cluster.local"), "*.svc.cluster.local");
	assert_string_equal(become(t, "WEB.Svc.Cluster.LOCAL"), "*.svc.cluster.local");
	assert_string_equal(become(t, "a.web.svc.cluster.local"), "a.web.svc.cluster.local");
	assert_string_equal(become(t, "a.b.c.example.org"), "**.example.org");
	for (uint32_t i = 0; i < 5; i++) {
		(void)snprintf(name, sizeof(name), "host-%c.cdn.test", 'a' + (int)i);
		assert_string_equal(become(t, name), name);
	}
	assert_string_equal(become(t, "host-Q.cdn.test"), "*.cdn.test");
	assert_string_equal(become(t, "www.HOST-a.cdn.test"), "www.*.cdn.test");
	assert_string_equal(become(t, "1.0.0.10.in-addr.arpa"), "{id}.{id}.{id}.{id}.in-addr.arpa");
	tl_template_destroy(t);
}

// The control lcore takes over what one worker gave up; a worker does not believe a peer's `*`.
static void what_one_gave_up_is_given_up(void **state)
{
	(void)state;
	struct tl_template_rule rule = {.order = TL_TEMPLATE_PATH, .learn = true, .values_max = 10};
	struct tl_template *worker = tl_template_create(&rule, false);
	struct tl_template *control = tl_template_create(&rule, true);

	assert_string_equal(become(worker, "/a/*"), "/a/*");
	assert_string_equal(become(worker, "/a/b"), "/a/b");
	assert_string_equal(become(control, "/a/b"), "/a/b");
	assert_string_equal(become(control, "/a/*"), "/a/*");
	assert_string_equal(become(control, "/a/b"), "/a/*");
	assert_string_equal(become(control, "/o/{id}"), "/o/{id}");
	tl_template_destroy(worker);
	tl_template_destroy(control);
}

static void long_values_stay_bounded(void **state)
{
	(void)state;
	struct tl_template_rule rule = {.order = TL_TEMPLATE_PATH, .learn = true, .values_max = 10};
	struct tl_template *t = tl_template_create(&rule, false);
	char path[4096];
	uint32_t at = 0;

	for (uint32_t i = 0; i < 1000; i++)
		at += (uint32_t)snprintf(path + at, sizeof(path) - at, "/%c", 'g' + (int)i % 16);
	const char *got = become(t, path);
	assert_string_equal(got + strlen(got) - 3, "/**");
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(strlen(become(t, path)), TL_TEMPLATE_BYTES_MAX);
	tl_template_destroy(t);

	char error[200];
	const char *patterns[] = {path};
	rule.patterns = (struct tl_text_list) {patterns, 1};
	assert_int_not_equal(tl_template_check(&rule, error, sizeof(error)), 0);
	patterns[0] = "";
	assert_int_not_equal(tl_template_check(&rule, error, sizeof(error)), 0);
	patterns[0] = "/**";
	assert_int_equal(tl_template_check(&rule, error, sizeof(error)), 0);
}

// Text number `n` of up to three segments out of `words`, false beyond the last.
static bool nth(uint32_t n, const char *const *words, uint32_t word_count, char ret[16])
{
	uint32_t count = word_count, len = 1;
	int at = 0;

	for (; n >= count; len++, count *= word_count)
		n -= count;
	for (uint32_t i = 0; i < len && len <= 3; i++, n /= word_count)
		at += snprintf(ret + at, 16 - (size_t)at, "/%s", words[n % word_count]);
	return len <= 3;
}

// Of two patterns in a row the second is called unreachable when, and only when, no value becomes it.
static void unreachable_patterns_are_told(void **state)
{
	(void)state;
	static const char *const in_patterns[] = {"a", "b", "*", "**"}, *const in_values[] = {"a", "b", "c"};
	char both[2][16], value[16], words[256];
	const char *patterns[] = {both[0], both[1]};
	struct tl_template_rule rule = {.patterns = {patterns, 2}, .order = TL_TEMPLATE_PATH};
	uint32_t told = 0;

	for (uint32_t i = 0; nth(i, in_patterns, 4, both[0]); i++)
		for (uint32_t j = 0; nth(j, in_patterns, 4, both[1]); j++) {
			words[0] = '\0';
			bool is_useful = tl_template_is_useful(&rule, false, 1, words, sizeof(words));
			bool is_told = strstr(words, "never reached") != NULL;
			bool is_reached = false;
			assert_int_equal(is_useful, words[0] == '\0');
			struct tl_template *t = tl_template_create(&rule, false);
			for (uint32_t v = 0; nth(v, in_values, 3, value); v++) {
				struct tl_template_room room;
				struct tl_bytes result;
				(void)tl_template_apply(t, tl_bytes_of(value), &room, &result);
				is_reached |= result.ptr == room.bytes &&
					      tl_bytes_is(result, both[1]) && i != j;
			}
			tl_template_destroy(t);
			if (is_told == is_reached)
				fail_msg("%s, %s: told %d, reached %d", both[0], both[1], is_told,
					 is_reached);
			told += is_told;
		}
	assert_in_range(told, 100, 7000);
}

static void useless_patterns_are_told(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *words;
		uint32_t order;
	} rows[] = {
		{"/img*", "only as a whole segment", TL_TEMPLATE_PATH},
		{"/u/{id}.json", "only as a whole segment", TL_TEMPLATE_PATH},
		{"/u/{id}", "only as a whole segment", TL_TEMPLATE_WHOLE},
		{"/a/**/b", "behind **", TL_TEMPLATE_PATH},
		{"a.**.b", "before **", TL_TEMPLATE_NAME},
		{"a/b.org", "no /", TL_TEMPLATE_NAME},
		{"a.org.", "no empty segment", TL_TEMPLATE_NAME},
		{"/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y", "matches nothing", TL_TEMPLATE_PATH},
		{"/healthz/live", "of ignore", TL_TEMPLATE_PATH},
		{"/users/{id}/**", NULL, TL_TEMPLATE_PATH},
		{"users//x/", NULL, TL_TEMPLATE_PATH},
		{"**.example.com", NULL, TL_TEMPLATE_NAME},
		{"*", NULL, TL_TEMPLATE_WHOLE},
	};
	const char *ignored = "/healthz/*";

	for (size_t i = 0; i < TL_COUNT_OF(rows); i++) {
		const char *pattern = rows[i].pattern;
		struct tl_template_rule rule = {.patterns = {&pattern, 1}, .ignore = {&ignored, 1},
						.order = rows[i].order};
		char words[256] = "";
		bool is_useful = tl_template_is_useful(&rule, false, 0, words, sizeof(words));
		if (is_useful != (rows[i].words == NULL) ||
		    (!is_useful && strstr(words, rows[i].words) == NULL))
			fail_msg("%s: %s", pattern, words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_come_first),
		cmocka_unit_test(identifiers_are_seen_at_once),
		cmocka_unit_test(crowded_places_are_given_up),
		cmocka_unit_test(the_cap_is_hard),
		cmocka_unit_test(names_are_read_from_their_end),
		cmocka_unit_test(what_one_gave_up_is_given_up),
		cmocka_unit_test(long_values_stay_bounded),
		cmocka_unit_test(unreachable_patterns_are_told),
		cmocka_unit_test(useless_patterns_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
