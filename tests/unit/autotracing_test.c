// SPDX-License-Identifier: Apache-2.0
// What the autotracing collectors are made of.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collectors/autotracing/captures.h"
#include "collectors/autotracing/times.h"
#include "collectors/container/usage.h"
#include "collectors/past.h"
#include "collectors/tasks.h"

static void captures_of_an_hour(void **state)
{
	struct tl_captures captures = {.tracer = "test"};
	(void)state;

	for (int i = 0; i < 3; i++)
		assert_true(tl_captures_may(&captures, 3));
	assert_false(tl_captures_may(&captures, 3));
	assert_int_equal(captures.limited, 1);
	captures.filled_ns -= UINT64_C(1200) * 1000000000; // a third of an hour later
	assert_true(tl_captures_may(&captures, 3));
	assert_false(tl_captures_may(&captures, 3));
	captures.filled_ns -= UINT64_C(86400) * 1000000000; // no more gather than an hour's
	for (int i = 0; i < 3; i++)
		assert_true(tl_captures_may(&captures, 3));
	assert_false(tl_captures_may(&captures, 3));
	assert_true(tl_captures_may(&captures, 0));
	// No store is open: the failure is counted, and the data are gone.
	assert_true(tl_captures_save(&captures, "", json_object()) < 0);
	assert_true(tl_captures_save(&captures, "", NULL) < 0);
	assert_int_equal(captures.failed, 2);
	assert_int_equal(captures.saved, 0);
}

static void times_between_two_looks(void **state)
{
	struct tl_times *times = tl_times_create();
	uint64_t run, wait;
	(void)state;

	for (uint32_t tid = 1; tid <= 3000; tid++) // more than the first table holds
		assert_true(tl_times_note(times, tid, tid, 2 * tid, 0, &run, &wait));
	assert_int_equal(run + wait, 0); // without a span nothing is taken as new
	tl_times_begin(times);
	for (uint32_t tid = 1; tid <= 3000; tid++) {
		assert_true(tl_times_note(times, tid, tid + 7, 2 * tid + 9, 100, &run, &wait));
		assert_int_equal(run, 7);
		assert_int_equal(wait, 9);
	}
	assert_true(tl_times_note(times, 5000, 60, 400, 100, &run, &wait)); // new since then
	assert_int_equal(run, 60);
	assert_int_equal(wait, 100); // of which no more than the span
	tl_times_begin(times);
	assert_true(tl_times_note(times, 1, 3, 4, 100, &run, &wait)); // the number was used again
	assert_int_equal(run, 3);
	assert_int_equal(wait, 4);
	tl_times_begin(times);
	tl_times_begin(times);
	assert_true(tl_times_note(times, 1, 50, 50, 40, &run, &wait)); // two looks ago is forgotten
	assert_int_equal(run, 40);
	tl_times_destroy(times);
}

static void past_of_containers(void **state)
{
	struct tl_past *past = tl_past_create(sizeof(uint64_t));
	char id[16];
	bool is_new;
	(void)state;

	tl_past_begin(past);
	for (uint64_t i = 0; i < TL_CONTAINERS_MAX; i++) {
		(void)snprintf(id, sizeof(id), "c%u", (unsigned)i);
		uint64_t *item = tl_past_of(past, id, &is_new);
		assert_true(is_new && *item == 0);
		*item = i;
	}
	assert_null(tl_past_of(past, "one too many", &is_new));
	assert_int_equal(*(uint64_t *)tl_past_of(past, "c77", &is_new), 77);
	assert_false(is_new);
	tl_past_begin(past);
	assert_null(tl_past_of(past, "one too many", &is_new)); // they may still come
	assert_int_equal(*(uint64_t *)tl_past_of(past, "c78", &is_new), 78);
	tl_past_begin(past);
	assert_int_equal(*(uint64_t *)tl_past_of(past, "one too many", &is_new), 0);
	assert_true(is_new);
	assert_int_equal(*(uint64_t *)tl_past_of(past, "c78", &is_new), 78);
	tl_past_destroy(past);
}

static void lists_of_cpus(void **state)
{
	cpu_set_t cpus;
	(void)state;

	assert_true(tl_cpu_list_parse("0-3,8\n", &cpus));
	assert_int_equal(CPU_COUNT(&cpus), 5);
	assert_true(CPU_ISSET(0, &cpus) && CPU_ISSET(3, &cpus) && CPU_ISSET(8, &cpus));
	assert_true(tl_cpu_list_parse("7", &cpus));
	assert_int_equal(CPU_COUNT(&cpus), 1);
	assert_false(tl_cpu_list_parse("\n", &cpus));
	assert_false(tl_cpu_list_parse("", &cpus));
	assert_true(tl_cpu_list_parse("0-99999999", &cpus)); // as many as there is room for
	assert_int_equal(CPU_COUNT(&cpus), CPU_SETSIZE);
}

static bool find_self(void *arg, uint32_t tid)
{
	bool *is_found = arg;

	*is_found |= tid == (uint32_t)getpid();
	return !*is_found;
}

static void tasks_of_this_host(void **state)
{
	struct tl_text text = {0}, stacks = {0};
	char path[TL_TASK_CGROUP_BYTES];
	uint32_t self = (uint32_t)getpid();
	uint64_t run_ns = 0, wait_ns;
	bool is_found = false;
	struct tl_task task;
	(void)state;

	tl_tasks_each(find_self, &is_found);
	assert_true(is_found);
	assert_true(tl_task_read(self, &text, &task));
	assert_int_equal(task.state, 'R');
	assert_string_equal(task.comm, "autotracing_tes");
	assert_true(task.cpu < (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
	assert_int_equal(tl_task_process(self, &text), self);
	if (tl_host_exists("/proc/self/schedstat")) {
		assert_true(tl_task_times(self, &text, &run_ns, &wait_ns));
		assert_true(run_ns != 0);
	}
	tl_task_cgroup(self, &text, path);
	assert_true(path[0] == '/' || path[0] == '\0');
	assert_false(tl_task_add_blocked(self, &text, &stacks)); // it runs
	assert_false(tl_task_read(0, &text, &task));
	assert_int_equal(tl_task_process(0, &text), 0);
	tl_text_free(&text);
	tl_text_free(&stacks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(captures_of_an_hour),
		cmocka_unit_test(times_between_two_looks),
		cmocka_unit_test(past_of_containers),
		cmocka_unit_test(lists_of_cpus),
		cmocka_unit_test(tasks_of_this_host),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
