// SPDX-License-Identifier: Apache-2.0
#include "base/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define IDS 500u
#define SECOND UINT64_C(1000000000)
#define START (UINT64_C(1700000000) * SECOND)

// The naive model: the deadline of each id, 0 when it has none.
struct model {
	uint64_t deadline_ns[IDS];
	uint64_t looks;
	uint64_t expired;
};

static uint64_t look(void *arg, uint32_t id, uint64_t now_ns)
{
	struct model *m = arg;
	m->looks++;
	assert_true(m->deadline_ns[id] != 0);
	if (m->deadline_ns[id] > now_ns)
		return m->deadline_ns[id];
	m->deadline_ns[id] = 0;
	m->expired++;
	return UINT64_MAX;
}

// Random arming, refreshing, disarming and jumps: nothing expires early, nothing is forgotten.
static void agrees_with_a_naive_model(void **state)
{
	(void)state;
	static struct model m;
	struct tl_wheel wheel;
	uint64_t now = START;
	uint32_t seed = 12345;

	assert_int_equal(tl_wheel_init(&wheel, IDS), 0);
	tl_wheel_start(&wheel, now);
	for (uint32_t round = 0; round < 200000; round++) {
		seed = seed * 1664525u + 1013904223u;
		uint32_t id = (seed >> 8) % IDS;
		uint32_t what = seed >> 28;
		if (what < 6) {
			m.deadline_ns[id] = now + ((uint64_t)(seed >> 4 & 0xffff) << 24);
			tl_wheel_arm(&wheel, id, m.deadline_ns[id]);
		} else if (what < 8 && m.deadline_ns[id] != 0) {
			m.deadline_ns[id] += 10 * SECOND; // refreshed: the wheel is not told
		} else if (what == 8) {
			m.deadline_ns[id] = 0;
			tl_wheel_disarm(&wheel, id);
			assert_false(tl_wheel_is_armed(&wheel, id));
		} else {
			now += what == 15 && id == 7 ? 100000 * SECOND
						     : (uint64_t)(seed >> 12 & 0xff) << 20;
			while (tl_wheel_advance(&wheel, now, 16, look, &m))
				;
			for (uint32_t i = 0; i < IDS; i++)
				assert_true(m.deadline_ns[i] == 0 ||
					    m.deadline_ns[i] + SECOND / 4 > now);
		}
	}
	assert_true(m.expired > 1000);
	tl_wheel_fini(&wheel);
}

static void work_per_call_is_bounded(void **state)
{
	(void)state;
	static struct model m;
	struct tl_wheel wheel;

	assert_int_equal(tl_wheel_init(&wheel, IDS), 0);
	tl_wheel_start(&wheel, START);
	for (uint32_t id = 0; id < IDS; id++)
		tl_wheel_arm(&wheel, id, m.deadline_ns[id] = START + SECOND);
	assert_true(tl_wheel_advance(&wheel, START + 2 * SECOND, 10, look, &m));
	assert_true(m.looks <= 10);
	uint32_t calls = 1;
	while (tl_wheel_advance(&wheel, START + 2 * SECOND, 10, look, &m))
		calls++;
	assert_int_equal(m.expired, IDS);
	assert_true(calls >= IDS / 10);
	// A clock that goes back does nothing.
	assert_false(tl_wheel_advance(&wheel, START, 10, look, &m));
	tl_wheel_fini(&wheel);
}

static void first_is_the_earliest(void **state)
{
	(void)state;
	struct tl_wheel wheel;

	assert_int_equal(tl_wheel_init(&wheel, IDS), 0);
	assert_int_equal(tl_wheel_first(&wheel), TL_WHEEL_NONE);
	tl_wheel_start(&wheel, START);
	tl_wheel_arm(&wheel, 3, START + 50 * SECOND);
	tl_wheel_arm(&wheel, 4, START + 5 * SECOND);
	tl_wheel_arm(&wheel, 5, START + 500 * SECOND);
	assert_int_equal(tl_wheel_first(&wheel), 4);
	tl_wheel_disarm(&wheel, 4);
	assert_int_equal(tl_wheel_first(&wheel), 3);
	tl_wheel_fini(&wheel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_a_naive_model),
		cmocka_unit_test(work_per_call_is_bounded),
		cmocka_unit_test(first_is_the_earliest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
