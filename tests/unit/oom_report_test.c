// SPDX-License-Identifier: Apache-2.0
// What kernels write about a kill for lack of memory, whole and with the lines that the rate limit of
// the log leaves out.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "base/check.h"
#include "collectors/event/oom_report.h"
#include "collectors/event/watchdog.h"

static const char *const in_cgroup[] = {
	"python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=2, oom_score_adj=0",
	"CPU: 1 UID: 0 PID: 23864 Comm: python3 Not tainted 6.18.44 #1 PREEMPT(none) ",
	"Call Trace:",
	" <TASK>",
	" dump_stack_lvl+0x57/0x80",
	" out_of_memory+0x214/0x500",
	" asm_exc_page_fault+0x22/0x30",
	"RIP: 0033:0x7fa0f2fa50ba",
	"RAX: 0000000000000043 RBX: 000000000c800010 RCX: 000000000a015011",
	" </TASK>",
	"memory: usage 40960kB, limit 40960kB, failcnt 19",
	"memory+swap: usage 40960kB, limit 9007199254740988kB, failcnt 0",
	"Memory cgroup stats for /docker/a1:",
	"cache 0",
	"rss 41857024",
	"Tasks state (memory values in pages):",
	"[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file",
	"[  23864]     0 23864    54690    12350    11008     1342",
	"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
	"oom_memcg=/docker,task_memcg=/docker/a1,task=python3,pid=23864,uid=0",
	"Memory cgroup out of memory: Killed process 23865 (a (b) c) total-vm:218760kB, "
	"anon-rss:44032kB, file-rss:5368kB, shmem-rss:4kB, UID:7 pgtables:144kB oom_score_adj:-5",
};

// Only the last line ends a report.
static void feed(struct tl_oom_report *report, const char *const *lines, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(tl_oom_report_line(report, lines[i]), i + 1 == count);
}

static void test_kill_in_a_cgroup(void **state)
{
	struct tl_oom_report report = {0};

	(void)state;
	feed(&report, in_cgroup, TL_COUNT_OF(in_cgroup));
	assert_string_equal(report.trigger, "python3");
	assert_int_equal(report.trigger_tid, 23864);
	assert_string_equal(report.gfp_mask, "0xcc0(GFP_KERNEL)");
	assert_int_equal(report.order, 2);
	assert_string_equal(report.constraint, "CONSTRAINT_MEMCG");
	assert_string_equal(report.limited_by, "/docker");
	assert_string_equal(report.cgroup, "/docker/a1");
	assert_int_equal(report.usage_bytes, 40960 * 1024);
	assert_int_equal(report.limit_bytes, 40960 * 1024);
	assert_int_equal(json_object_size(report.stat), 2);
	assert_int_equal(json_integer_value(json_object_get(report.stat, "rss")), 41857024);
	assert_string_equal(report.stack.data, "dump_stack_lvl+0x57/0x80\nout_of_memory+0x214/0x500\n"
					       "asm_exc_page_fault+0x22/0x30\n");
	assert_string_equal(report.victim, "a (b) c");
	assert_int_equal(report.victim_pid, 23865);
	assert_int_equal(report.total_bytes, 218760 * 1024);
	assert_int_equal(report.anon_bytes, 44032 * 1024);
	assert_int_equal(report.file_bytes, 5368 * 1024);
	assert_int_equal(report.shmem_bytes, 4 * 1024);
	assert_int_equal(report.page_table_bytes, 144 * 1024);
	assert_int_equal(report.score_adj, -5);
	assert_int_equal(report.uid, 7);
	tl_oom_report_clear(&report);
}

// The host ran out of memory; 5.0 wrote fewer fields.
static void test_global_kill(void **state)
{
	static const char *const lines[] = {
		"Web Content invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), "
		"order=0, oom_score_adj=0",
		"CPU: 3 PID: 99 Comm: Web Content Not tainted 5.4.0-1 #1",
		"Mem-Info:",
		"active_anon:3925 inactive_anon:6077 isolated_anon:0",
		"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,"
		"task_memcg=/user.slice/session-1.scope,task=stress,pid=4711,uid=1000",
		"Out of memory: Killed process 4711 (stress) total-vm:9kB, anon-rss:8kB, file-rss:0kB, "
		"shmem-rss:0kB",
	};
	struct tl_oom_report report = {0};

	(void)state;
	feed(&report, lines, TL_COUNT_OF(lines));
	assert_string_equal(report.trigger, "Web Content");
	assert_int_equal(report.trigger_tid, 99);
	assert_string_equal(report.constraint, "CONSTRAINT_NONE");
	assert_string_equal(report.limited_by, "");
	assert_string_equal(report.cgroup, "/user.slice/session-1.scope");
	assert_null(report.stat);
	assert_string_equal(report.victim, "stress");
	assert_int_equal(report.anon_bytes, 8 * 1024);
	tl_oom_report_clear(&report);
}

static void test_suppressed_lines(void **state)
{
	struct tl_oom_report report = {0};

	(void)state;
	feed(&report, in_cgroup, TL_COUNT_OF(in_cgroup));
	assert_true(tl_oom_report_line(&report, "Memory cgroup out of memory: Killed process 5 (x) "
						"total-vm:9kB, anon-rss:9kB"));
	assert_int_equal(report.victim_pid, 5);
	assert_string_equal(report.trigger, "");
	assert_string_equal(report.cgroup, "");
	tl_oom_report_clear(&report);
}

static void test_group(void **state)
{
	struct tl_oom_report report = {0};

	(void)state;
	feed(&report, in_cgroup, TL_COUNT_OF(in_cgroup));
	assert_false(tl_oom_report_line(&report, "Tasks in /docker/a1 are going to be killed due to "
						 "memory.oom.group set"));
	assert_true(tl_oom_report_line(&report, "Memory cgroup out of memory: Killed process 6 (y) "
						"total-vm:9kB, anon-rss:9kB"));
	assert_int_equal(report.victim_pid, 6);
	assert_string_equal(report.trigger, "python3");
	assert_string_equal(report.cgroup, "/docker/a1");
	tl_oom_report_clear(&report);
}

static void test_lines_that_are_none(void **state)
{
	static const char *const lines[] = {"", "Killed process", "Killed process 4 (x",
					    ") total-vm:1kB Killed process 4 (x", "rss 5",
					    "oom-kill:", "Call Trace:", " invoked oom-killer:",
					    "Killed process x) total-vm:1kB"};
	struct tl_oom_report report = {0};

	(void)state;
	for (uint32_t i = 0; i < TL_COUNT_OF(lines); i++)
		assert_false(tl_oom_report_line(&report, lines[i]));
	tl_oom_report_clear(&report);
}

// Records get rarer while a fault goes on, and come at once again after a quiet time.
static void test_backoff(void **state)
{
	const struct tl_watchdog_options options = {
		.pause_ns = 10, .pause_max_ns = 35, .decay_ns = 100};
	static struct tl_watchdog watchdog;

	(void)state;
	assert_true(tl_watchdog_may_save(&watchdog, &options, 1000));
	assert_false(tl_watchdog_may_save(&watchdog, &options, 1009));
	assert_true(tl_watchdog_may_save(&watchdog, &options, 1010));
	assert_false(tl_watchdog_may_save(&watchdog, &options, 1029));
	assert_true(tl_watchdog_may_save(&watchdog, &options, 1030));
	assert_false(tl_watchdog_may_save(&watchdog, &options, 1064)); // 35, not 40
	assert_true(tl_watchdog_may_save(&watchdog, &options, 1065));
	assert_true(tl_watchdog_may_save(&watchdog, &options, 1200));
	assert_true(tl_watchdog_may_save(&watchdog, &options, 1210));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill_in_a_cgroup), cmocka_unit_test(test_global_kill),
		cmocka_unit_test(test_suppressed_lines), cmocka_unit_test(test_group),
		cmocka_unit_test(test_lines_that_are_none), cmocka_unit_test(test_backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
