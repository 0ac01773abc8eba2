// SPDX-License-Identifier: Apache-2.0
#include "tests/support/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static struct rig rig;

static void begin(void)
{
	rig_init(&rig);
	rig_open(&rig);
}

static void answers_find_their_requests_by_key(void **state)
{
	(void)state;
	begin();
	rig_say(&rig, TL_CLIENT, "Q 1 0\nQ 2 0\nQ 1 0\n");
	rig_say(&rig, TL_SERVER, "A 2 0\nA 1 1\nxA 1 2\nyy");
	assert_string_equal(rig.log, "ok 0 | Q 2 0 6/0 | A 2 0 6/0\n"
				     "ok 0 | Q 1 0 6/0 | A 1 1 7/1\n"
				     "ok 0 | Q 1 0 6/0 | A 1 2 8/2\n");
	rig_fini(&rig);
}

static void an_answer_without_request_is_an_orphan(void **state)
{
	(void)state;
	begin();
	rig_say(&rig, TL_SERVER, "A 5 0\n");
	assert_string_equal(rig.log, "orphan 0 | 0/0 | A 5 0 6/0\n");
	assert_int_equal(rig.last.response.seen, 1);
	assert_int_equal(rig.last.request.seen, 0);
	rig_fini(&rig);
}

static void one_answer_may_answer_many(void **state)
{
	(void)state;
	begin();
	rig_say(&rig, TL_CLIENT, "Q 1 0\nQ 2 0\nQ 3 0\nQ 4 0\n");
	rig_say(&rig, TL_SERVER, "T 3 2\nok");
	assert_string_equal(rig.log, "ok 0 | Q 1 0 6/0 | 0/0\n"
				     "ok 0 | Q 2 0 6/0 | 0/0\n"
				     "ok 0 | Q 3 0 6/0 | T 3 2 8/2\n");
	assert_int_equal(rig_count(&rig, TL_COUNT_REQUESTS_OPEN), 1);
	rig_fini(&rig);
}

static void a_request_may_be_cancelled_or_repeated(void **state)
{
	(void)state;
	begin();
	rig_say(&rig, TL_CLIENT, "Q 1 0\nQ 2 0\nR 2 0\nR 2 0\nC 1 0\n");
	rig_say(&rig, TL_SERVER, "I 2 0\nI 2 3\nabcA 2 0\n");
	assert_string_equal(rig.log, "cancelled 0 | Q 1 0 6/0 | 0/0\n"
				     "ok 10 | Q 2 0 6/0 | A 2 0 6/0\n");
	assert_int_equal(rig.last.retries, 2);
	assert_int_equal(rig_count(&rig, TL_COUNT_INTERIM_RESPONSES), 2);
	rig_fini(&rig);
}

static void silence_times_a_request_out_once(void **state)
{
	(void)state;
	begin();
	rig_say(&rig, TL_CLIENT, "Q 1 0\nQ 2 0\n");
	uint64_t due = rig.ns + 60 * SECOND;
	assert_int_equal(tl_conn_deadline(rig.conn), due);
	tl_conn_expire(rig.l7, rig.conn, due - 1);
	assert_int_equal(rig.records, 0);
	tl_conn_expire(rig.l7, rig.conn, due + 5 * SECOND);
	assert_int_equal(rig.records, 2);
	assert_int_equal(rig.last.status, TL_STATUS_TIMEOUT);
	assert_int_equal(rig.last.reason, TL_REASON_TIMEOUT);
	assert_int_equal(rig.last.server_ns, 60 * SECOND); // stamped with the deadline
	assert_true(tl_conn_deadline(rig.conn) == UINT64_MAX);
	tl_conn_expire(rig.l7, rig.conn, due + 500 * SECOND);
	assert_int_equal(rig.records, 2);
	rig_fini(&rig);
}

static void a_late_answer_never_reaches_the_next_request(void **state)
{
	(void)state;
	begin();
	rig_say(&rig, TL_CLIENT, "Q 0 0\n");
	rig_say(&rig, TL_SERVER, "O 0 0\n"); // this protocol pairs by order
	rig_say(&rig, TL_CLIENT, "Q 0 0\n");
	tl_conn_expire(rig.l7, rig.conn, rig.ns + 61 * SECOND);
	assert_int_equal(rig.records, 2);
	rig.ns += 61 * SECOND;
	rig_say(&rig, TL_CLIENT, "Q 0 3\nabc");
	rig_say(&rig, TL_SERVER, "O 0 1\nxO 0 2\nyy");
	assert_int_equal(rig_count(&rig, TL_COUNT_LATE_RESPONSES), 1);
	assert_string_equal(rig.log, "ok 0 | Q 0 0 6/0 | O 0 0 6/0\n"
				     "timeout:timeout 0 | Q 0 0 6/0 | 0/0\n"
				     "ok 0 | Q 0 3 9/3 | O 0 2 8/2\n");
	rig_fini(&rig);
}

static void a_key_used_again_is_a_new_request(void **state)
{
	(void)state;
	begin();
	rig_say(&rig, TL_CLIENT, "Q 7 0\n");
	tl_conn_expire(rig.l7, rig.conn, rig.ns + 61 * SECOND);
	rig.ns += 61 * SECOND;
	rig_say(&rig, TL_CLIENT, "Q 7 0\n");
	rig_say(&rig, TL_SERVER, "A 7 0\n");
	assert_int_equal(rig_count(&rig, TL_COUNT_LATE_RESPONSES), 0);
	assert_int_equal(rig.last.status, TL_STATUS_OK);
	// And an answer after the time-out, by key, is late and no orphan.
	rig_say(&rig, TL_CLIENT, "Q 8 0\n");
	tl_conn_expire(rig.l7, rig.conn, rig.ns + 61 * SECOND);
	rig_say(&rig, TL_SERVER, "A 8 0\n");
	assert_int_equal(rig_count(&rig, TL_COUNT_LATE_RESPONSES), 1);
	assert_int_equal(rig.records, 3);
	rig_fini(&rig);
}

static void a_request_may_wait_longer(void **state)
{
	(void)state;
	begin();
	rig_say(&rig, TL_CLIENT, "Q 1 0\nL 1 0\nQ 2 0\nL 2 5\nQ 3 0\n");
	tl_conn_expire(rig.l7, rig.conn, rig.ns + 60 * SECOND);
	assert_int_equal(rig.records, 1);
	assert_int_equal(tl_conn_deadline(rig.conn), rig.ns + 60 * SECOND + 5 * SECOND / 1000);
	tl_conn_expire(rig.l7, rig.conn, rig.ns + 60 * SECOND + 5 * SECOND / 1000);
	assert_int_equal(rig.records, 2);
	assert_true(tl_conn_deadline(rig.conn) == UINT64_MAX);
	rig.ns += 600 * SECOND;
	rig_say(&rig, TL_SERVER, "A 1 0\n");
	assert_int_equal(rig.last.status, TL_STATUS_OK);
	assert_int_equal(rig.last.wait_ns, rig.last.server_ns);
	rig_fini(&rig);
}

static void over_tcp_any_byte_starts_the_clock_anew(void **state)
{
	(void)state;
	begin();
	rig_say(&rig, TL_CLIENT, "Q 1 0\n");
	rig.ns += 50 * SECOND;
	rig_say(&rig, TL_CLIENT, "Q 2 0\n");
	assert_int_equal(tl_conn_deadline(rig.conn), rig.ns + 60 * SECOND);
	rig_fini(&rig);
}

static void a_response_that_stalls_times_out(void **state)
{
	(void)state;
	begin();
	rig_say(&rig, TL_CLIENT, "Q 1 0\n");
	rig_say(&rig, TL_SERVER, "A 1 100\nabc");
	tl_conn_expire(rig.l7, rig.conn, tl_conn_deadline(rig.conn));
	assert_string_equal(rig.log, "timeout:timeout 0 | Q 1 0 6/0 | A 1 100 11/3\n");
	rig_fini(&rig);
}

// The naive model: a list of keys in order of opening.
static void long_queues_behave_like_short_ones(void **state)
{
	(void)state;
	static uint32_t model[TL_PENDING_MAX];
	uint32_t count = 0;
	uint32_t seed = 12345;
	char line[32];

	begin();
	for (uint32_t round = 0; round < 20000; round++) {
		seed = seed * 1664525u + 1013904223u;
		uint32_t percent = round < 8000 ? 60 : 45;
		bool opening = count == 0 || (count < 900 && (seed >> 20) % 100 < percent);
		if (opening) {
			uint32_t key = (seed >> 8) % 700;
			model[count++] = key;
			(void)snprintf(line, sizeof(line), "Q %u 0\n", key);
			rig_say(&rig, TL_CLIENT, line);
			continue;
		}
		uint32_t key = model[(seed >> 8) % count];
		uint32_t at = 0;
		while (model[at] != key)
			at++;
		memmove(&model[at], &model[at + 1], (count - at - 1) * sizeof(model[0]));
		count--;
		rig.log_len = 0;
		(void)snprintf(line, sizeof(line), "A %u 0\n", key);
		rig_say(&rig, TL_SERVER, line);
		assert_int_equal(rig.last.status, TL_STATUS_OK);
		assert_int_equal(rig.l7->exchanges.used, count);
	}
	rig.log_len = 0;
	rig_fini(&rig);
}

static void a_full_queue_gives_up_its_oldest(void **state)
{
	(void)state;
	char line[32];

	begin();
	for (uint32_t i = 0; i < TL_PENDING_MAX + 10; i++) {
		(void)snprintf(line, sizeof(line), "Q %u 0\n", i);
		rig_say(&rig, TL_CLIENT, line);
	}
	assert_int_equal(rig.records, 10);
	assert_int_equal(rig.last.status, TL_STATUS_UNANSWERED);
	assert_int_equal(rig.last.reason, TL_REASON_LIMIT);
	rig.log_len = 0;
	rig_say(&rig, TL_SERVER, "O 0 0\n"); // the first one's answer: late, not the eleventh's
	assert_int_equal(rig.records, 10);
	assert_int_equal(rig_count(&rig, TL_COUNT_LATE_RESPONSES), 1);
	rig_fini(&rig);
}

static void datagrams_time_out_one_by_one(void **state)
{
	(void)state;
	rig_init(&rig);
	rig.flow.identity.l4 = 17;
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "Q 1 0\n");
	uint64_t first = rig.ns;
	rig.ns += 30 * SECOND;
	rig_say(&rig, TL_CLIENT, "Q 2 0\n");
	assert_int_equal(tl_conn_deadline(rig.conn), first + 60 * SECOND);
	tl_conn_expire(rig.l7, rig.conn, first + 60 * SECOND);
	assert_int_equal(rig.records, 1);
	rig_say(&rig, TL_SERVER, "A 2 0\nI 9 0\n");
	assert_int_equal(rig.last.status, TL_STATUS_OK);
	rig_say(&rig, TL_CLIENT, "Q 4"); // cut in itself: costs only itself
	rig_say(&rig, TL_CLIENT, "Q 5 0\nA");
	rig_say(&rig, TL_SERVER, "A 5 0\n");
	assert_int_equal(rig.last.status, TL_STATUS_OK);
	rig_fini(&rig);
}

static void a_cut_datagram_is_flagged(void **state)
{
	(void)state;
	rig_init(&rig);
	rig.flow.identity.l4 = 17;
	rig_open(&rig);
	tl_conn_datagram(rig.l7, rig.conn, 0, tl_bytes("W 1 90\nabc", 10), 97, rig.ns);
	rig.given += 10;
	assert_string_equal(rig.log, "one_way 8 | W 1 90 97/90 | 0/0\n");
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_find_their_requests_by_key),
		cmocka_unit_test(an_answer_without_request_is_an_orphan),
		cmocka_unit_test(one_answer_may_answer_many),
		cmocka_unit_test(a_request_may_be_cancelled_or_repeated),
		cmocka_unit_test(silence_times_a_request_out_once),
		cmocka_unit_test(a_late_answer_never_reaches_the_next_request),
		cmocka_unit_test(a_key_used_again_is_a_new_request),
		cmocka_unit_test(a_request_may_wait_longer),
		cmocka_unit_test(over_tcp_any_byte_starts_the_clock_anew),
		cmocka_unit_test(a_response_that_stalls_times_out),
		cmocka_unit_test(long_queues_behave_like_short_ones),
		cmocka_unit_test(a_full_queue_gives_up_its_oldest),
		cmocka_unit_test(datagrams_time_out_one_by_one),
		cmocka_unit_test(a_cut_datagram_is_flagged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
