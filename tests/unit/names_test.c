// SPDX-License-Identifier: Apache-2.0
#include "l7/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct tl_names *make(void)
{
	struct tl_names *names = calloc(1, sizeof(*names));
	assert_non_null(names);
	return names;
}

static void names_are_counted_without_their_case(void **state)
{
	(void)state;
	struct tl_names *names = make();
	const struct tl_name *top[2];

	tl_names_add(names, "B.example", 1);
	tl_names_add(names, "a.example", 2);
	tl_names_add(names, "b.EXAMPLE", 2);
	tl_names_add(names, "c.example", 1);
	tl_names_add(names, "", 5);
	assert_int_equal(tl_names_top(names, top, 2), 2);
	assert_string_equal(top[0]->text, "b.example");
	assert_int_equal(top[0]->count, 3);
	assert_string_equal(top[1]->text, "a.example");
	assert_int_equal(names->used, 3);
	free(names);
}

// Whatever a peer sends as its name: so many are kept, the others are counted.
static void no_more_names_are_kept_than_fit(void **state)
{
	(void)state;
	struct tl_names *names = make();
	struct tl_names *sum = make();
	const struct tl_name *top[3];
	char text[32];

	for (uint32_t i = 0; i < TL_NAMES_MAX + 40; i++) {
		(void)snprintf(text, sizeof(text), "h%u.example", i);
		tl_names_add(names, text, 1);
	}
	tl_names_add(names, "h7.example", 9);
	assert_int_equal(names->used, TL_NAMES_MAX);
	assert_int_equal(names->others, 40);
	tl_names_add(sum, "h7.example", 1);
	tl_names_add(sum, "other.example", 5);
	tl_names_merge(sum, names);
	assert_int_equal(tl_names_top(sum, top, 3), 3);
	assert_string_equal(top[0]->text, "h7.example");
	assert_int_equal(top[0]->count, 11);
	assert_string_equal(top[1]->text, "other.example");
	assert_int_equal(sum->others, 41); // one had no room beside the two
	free(names);
	free(sum);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_counted_without_their_case),
		cmocka_unit_test(no_more_names_are_kept_than_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
