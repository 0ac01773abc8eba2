// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "collectors/trigger.h"

#define SECOND UINT64_C(1000000000)

static uint64_t now_ns;

static bool next(struct tl_trigger *trigger, const struct tl_trigger_rule *rule,
		 const char *subject, double value)
{
	now_ns += SECOND;
	return tl_trigger_sample(trigger, rule, subject, value, now_ns);
}

static void level_and_rise(void **state)
{
	const struct tl_trigger_rule rule = {.level = 75, .rise = 45};
	struct tl_trigger *trigger = tl_trigger_create(1);
	(void)state;

	assert_false(next(trigger, &rule, "a", 99)); // the first sample only primes
	assert_false(next(trigger, &rule, "a", 99)); // high, but it did not rise
	assert_false(next(trigger, &rule, "a", 20));
	assert_false(next(trigger, &rule, "a", 70)); // it rose, but is not high
	assert_false(next(trigger, &rule, "a", 20));
	assert_true(next(trigger, &rule, "a", 80));
	assert_false(next(trigger, &rule, "b", 80)); // another subject has a past of its own
	tl_trigger_destroy(trigger);
}

static void held_for_a_time(void **state)
{
	const struct tl_trigger_rule rule = {.level = 5, .duration_ns = 3 * SECOND};
	struct tl_trigger *trigger = tl_trigger_create(1);
	(void)state;

	assert_false(next(trigger, &rule, "", 1));
	assert_false(next(trigger, &rule, "", 9));
	assert_false(next(trigger, &rule, "", 9));
	assert_false(next(trigger, &rule, "", 1)); // a break begins it anew
	for (int i = 0; i < 3; i++)
		assert_false(next(trigger, &rule, "", 9));
	assert_true(next(trigger, &rule, "", 9));
	tl_trigger_destroy(trigger);
}

static void hold_off_is_per_subject(void **state)
{
	const struct tl_trigger_rule rule = {.level = 5, .hold_off_ns = 10 * SECOND};
	struct tl_trigger *trigger = tl_trigger_create(1);
	int fired = 0;
	(void)state;

	(void)next(trigger, &rule, "a", 9);
	(void)next(trigger, &rule, "b", 9);
	for (int i = 0; i < 20; i++)
		fired += next(trigger, &rule, "a", 9);
	assert_int_equal(fired, 2);
	assert_true(next(trigger, &rule, "b", 9));
	tl_trigger_destroy(trigger);
}

static void ratio_needs_a_full_window(void **state)
{
	const struct tl_trigger_rule rule = {.ratio = 2, .floor = 70, .window = 4};
	struct tl_trigger *trigger = tl_trigger_create(4);
	(void)state;

	for (int i = 0; i < 4; i++)
		assert_false(next(trigger, &rule, "", 36));
	assert_false(next(trigger, &rule, "", 71)); // not twice the oldest
	assert_true(next(trigger, &rule, "", 72));
	assert_false(next(trigger, &rule, "", 60));
	tl_trigger_destroy(trigger);
}

static void sigmas_of_a_window(void **state)
{
	const struct tl_trigger_rule rule = {.sigmas = 3, .window = 8};
	struct tl_trigger *trigger = tl_trigger_create(16);
	double previous, mean, deviation;
	(void)state;

	for (int i = 0; i < 8; i++)
		assert_false(next(trigger, &rule, "", i % 2 == 0 ? 9 : 11)); // mean 10, deviation 1
	assert_false(next(trigger, &rule, "", 12.9));
	assert_true(tl_trigger_past(trigger, "", &previous, &mean, &deviation));
	assert_true(mean == 10 && deviation == 1 && previous == 11);
	for (int i = 0; i < 8; i++)
		(void)next(trigger, &rule, "", i % 2 == 0 ? 9 : 11);
	assert_true(next(trigger, &rule, "", 13.1));
	assert_false(tl_trigger_past(trigger, "nobody", &previous, &mean, &deviation));
	tl_trigger_destroy(trigger);
}

static void old_subjects_make_room(void **state)
{
	const struct tl_trigger_rule rule = {.level = 5};
	struct tl_trigger *trigger = tl_trigger_create(1);
	char name[16];
	(void)state;

	for (uint32_t i = 0; i <= TL_TRIGGER_SUBJECTS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "s%u", i);
		assert_false(next(trigger, &rule, name, 1));
	}
	assert_true(next(trigger, &rule, "s1", 9));  // still known
	assert_false(next(trigger, &rule, "s0", 9)); // forgotten: primed again
	tl_trigger_destroy(trigger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(level_and_rise),
		cmocka_unit_test(held_for_a_time),
		cmocka_unit_test(hold_off_is_per_subject),
		cmocka_unit_test(ratio_needs_a_full_window),
		cmocka_unit_test(sigmas_of_a_window),
		cmocka_unit_test(old_subjects_make_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
