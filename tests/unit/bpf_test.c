// SPDX-License-Identifier: Apache-2.0
// Programs loaded into the kernel, samples of the CPU clock and the names of addresses: each against
// what this process itself does.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "collectors/bpf/bpf.h"
#include "collectors/bpf/stacks.h"
#include "collectors/bpf/tracefs.h"
#include "collectors/internal.h"

TL_BPF_CODE(bpf_test);

static struct tl_ctx ctx;
static uint32_t own_pid;
static const uint32_t call = SYS_getpgid;

static const struct tl_bpf_constant constants[] = {
	{"wanted_pid", &own_pid, sizeof(own_pid)},
	{"call", &call, sizeof(call)},
	{NULL, NULL, 0},
};
static const char *const absent[] = {"never", NULL};
static const char *const btf[] = {"enter_btf", NULL};
static const char *const classic[] = {"enter_classic", NULL};
static const char *const clock_programs[] = {"on_clock", NULL};

static const struct tl_bpf_hook no_hook = {"none", &tl_bpf_code_bpf_test, absent, constants, NULL, NULL};
static const struct tl_bpf_hook btf_hook = {"tp_btf", &tl_bpf_code_bpf_test, btf, constants, NULL, NULL};
static const struct tl_bpf_hook classic_hook = {
	"tracepoint", &tl_bpf_code_bpf_test, classic, constants, NULL, NULL};
static const struct tl_bpf_hook clock_hook = {
	"perf_event", &tl_bpf_code_bpf_test, clock_programs, constants, NULL, NULL};

// What it takes: built with BPF, and the right to.
static void need_bpf(void)
{
	struct tl_bpf *bpf = NULL;
	int rc = tl_bpf_load(&ctx, &btf_hook, &bpf);

	tl_bpf_unload(bpf);
	if (rc == -EOPNOTSUPP || rc == -EPERM || rc == -EACCES) {
		print_message("skipped: %s\n", strerror(-rc));
		skip();
	}
	assert_int_equal(rc, 0);
}

static uint32_t count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	uint32_t count = 0;

	while (readdir(directory) != NULL)
		count++;
	(void)closedir(directory);
	return count;
}

static uint64_t counted(struct tl_bpf *bpf, uint32_t index)
{
	uint64_t *values = calloc(tl_bpf_cpus(), sizeof(*values)), sum;

	assert_int_equal(tl_bpf_read(bpf, "counts", &index, values), 0);
	tl_bpf_sum(values, 1, &sum);
	free(values);
	return sum;
}

static void call_getpgid(uint32_t times, long argument)
{
	for (uint32_t i = 0; i < times; i++)
		(void)syscall(SYS_getpgid, argument);
}

struct heard {
	uint32_t count;
	uint64_t last;
};

static void on_event(void *arg, const void *data, uint32_t size)
{
	struct heard *heard = arg;

	assert_true(size >= sizeof(heard->last)); // a perf record is padded
	memcpy(&heard->last, data, sizeof(heard->last));
	heard->count++;
}

// ---- BPF -----------------------------------------------------------------------------------------

static void first_hook_that_works_is_taken(void **state)
{
	const struct tl_bpf_hook hooks[] = {no_hook, btf_hook, classic_hook, {.name = NULL}};
	struct tl_bpf *bpf;

	(void)state;
	need_bpf();
	uint32_t fds = count_fds();
	assert_int_equal(tl_bpf_start(&ctx, hooks, &bpf), 0);
	// A kernel without a description of its types takes the classic one.
	bool has_btf = strncmp(ctx.hook, "tp_btf (none: ", 14) == 0;
	if (!has_btf)
		assert_non_null(strstr(ctx.hook, "tracepoint (none: "));
	call_getpgid(100, 0);
	assert_int_equal(counted(bpf, 0), 100);
	tl_bpf_detach(bpf);
	call_getpgid(10, 0);
	assert_int_equal(counted(bpf, 0), 100); // still to be read, but not counting
	assert_int_equal(tl_bpf_attach(bpf), -ECANCELED);
	tl_ctx_end(&ctx); // what a run leaves goes with it
	assert_int_equal(count_fds(), fds);
}

static void none_works(void **state)
{
	const struct tl_bpf_hook hooks[] = {no_hook, {.name = NULL}};
	const struct tl_bpf_hook good[] = {btf_hook, {.name = NULL}};
	struct tl_bpf *bpf = NULL;

	(void)state;
	need_bpf();
	assert_true(tl_bpf_start(&ctx, hooks, &bpf) < 0);
	assert_memory_equal(ctx.hook, "none (none: ", 12);
	tl_bpf_allow(false);
	assert_int_equal(tl_bpf_start(&ctx, good, &bpf), -EOPNOTSUPP);
	assert_string_equal(ctx.hook, "none (collectors.bpf is off)");
	tl_bpf_allow(true);
}

static void constants_must_exist(void **state)
{
	const struct tl_bpf_constant wrong[] = {{"no_such", &call, sizeof(call)}, {NULL, NULL, 0}};
	const struct tl_bpf_constant short_one[] = {{"call", &call, 2}, {NULL, NULL, 0}};
	struct tl_bpf_hook hook = btf_hook;
	struct tl_bpf *bpf = NULL;

	(void)state;
	need_bpf();
	hook.constants = wrong;
	assert_int_equal(tl_bpf_load(&ctx, &hook, &bpf), -EINVAL);
	hook.constants = short_one;
	assert_int_equal(tl_bpf_load(&ctx, &hook, &bpf), -EINVAL);
}

static bool add_key(void *arg, const void *key, const void *value)
{
	uint64_t *sum = arg;
	uint32_t k;

	(void)value;
	memcpy(&k, key, sizeof(k));
	*sum += k;
	return true;
}

// The classic tracepoint has the call's argument; its records come by both kinds of buffers.
static void classic_tracepoint_maps_and_buffers(void **state)
{
	struct heard ring = {0}, perf = {0};
	struct tl_bpf *bpf;
	uint64_t sum = 0, value = 99;
	uint32_t key = 5;

	(void)state;
	need_bpf();
	assert_int_equal(tl_bpf_load(&ctx, &classic_hook, &bpf), 0);
	assert_int_equal(tl_bpf_listen(bpf, "ring", on_event, &ring), 0);
	assert_int_equal(tl_bpf_listen(bpf, "perf", on_event, &perf), 0);
	assert_int_equal(tl_bpf_listen(bpf, "none", on_event, &perf), -ENOENT);
	assert_int_equal(tl_bpf_attach(bpf), 0);
	for (int i = 1; i <= 10; i++)
		call_getpgid(2, i);
	for (int i = 0; i < 100 && (ring.count < 20 || perf.count < 20); i++)
		assert_true(tl_bpf_wait(bpf, &ctx, 50000000));
	assert_int_equal(ring.count, 20);
	assert_int_equal(perf.count, 20);
	assert_int_equal(ring.last, 10);
	assert_int_equal(tl_bpf_lost(bpf), 0);
	assert_int_equal(tl_bpf_read(bpf, "by_argument", &key, &value), 0);
	assert_int_equal(value, 5);
	assert_int_equal(tl_bpf_delete(bpf, "by_argument", &key), 0);
	assert_int_equal(tl_bpf_read(bpf, "by_argument", &key, &value), -ENOENT);
	assert_int_equal(tl_bpf_each(bpf, "by_argument", add_key, &sum), 0);
	assert_int_equal(sum, 50);
	assert_int_equal(tl_bpf_write(bpf, "by_argument", &key, &value), 0);
	sum = 0;
	assert_int_equal(tl_bpf_drain(bpf, "by_argument", add_key, &sum), 0);
	assert_int_equal(sum, 55);
	sum = 0;
	assert_int_equal(tl_bpf_each(bpf, "by_argument", add_key, &sum), 0);
	assert_int_equal(sum, 0);
	tl_bpf_unload(bpf);
}

static __attribute__((noinline)) uint64_t burn_the_clock(uint64_t ns)
{
	struct timespec used;
	uint64_t turns = 0;

	do {
		for (volatile uint32_t i = 0; i < 100000; i++)
			turns++;
		(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	} while ((uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec < ns);
	return turns;
}

static uint64_t own_time_ns(void)
{
	struct timespec used;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

static void programs_run_by_the_clock(void **state)
{
	const struct tl_bpf_place place = {.hz = 199};
	struct tl_bpf *bpf;

	(void)state;
	need_bpf();
	assert_int_equal(tl_bpf_load(&ctx, &clock_hook, &bpf), 0);
	assert_int_equal(tl_bpf_attach_one(bpf, "nobody", &place), -ENOENT);
	assert_int_equal(tl_bpf_attach_one(bpf, "on_clock", &place), 0);
	assert_true(burn_the_clock(own_time_ns() + 200000000) != 0);
	assert_true(counted(bpf, 1) >= 10); // 40 are to be expected of this CPU alone
	tl_bpf_unload(bpf);
}

static void update_holds_what_start_unloads(void **state)
{
	struct tl_bpf_ref ref = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct tl_bpf *bpf;

	(void)state;
	need_bpf();
	assert_null(tl_bpf_acquire(&ref));
	assert_int_equal(tl_bpf_load(&ctx, &btf_hook, &bpf), 0);
	tl_bpf_publish(bpf, &ref);
	assert_ptr_equal(tl_bpf_acquire(&ref), bpf);
	tl_bpf_unload(bpf);
	assert_null(tl_bpf_acquire(&ref));
	assert_int_equal(counted(bpf, 0), 0); // alive as long as it is held
	tl_bpf_release(bpf);
}

// ---- Samples and symbols -------------------------------------------------------------------------

static void add_sample(void *arg, const struct tl_perf_sample *sample)
{
	if (sample->pid == own_pid)
		tl_stacks_add(arg, sample);
}

// The share of the graph's samples in frames of this label.
static uint64_t samples_in(const json_t *flame, const char *label, bool is_top)
{
	const json_t *frame;
	uint64_t sum = 0;
	size_t i;

	json_array_foreach(flame, i, frame)
		if (strcmp(json_string_value(json_object_get(frame, "label")), label) == 0)
			sum += (uint64_t)json_integer_value(
				json_object_get(frame, is_top ? "self" : "value"));
	return sum;
}

// Values of a level add up to those above, and no frame is its own child.
static void check_graph(const json_t *flame, uint64_t samples)
{
	uint64_t selves = 0;
	json_int_t level = 0;
	const json_t *frame;
	size_t i;

	json_array_foreach(flame, i, frame) {
		json_int_t next = json_integer_value(json_object_get(frame, "level"));
		assert_true(next <= level + 1 && (i == 0) == (next == 0));
		level = next;
		selves += (uint64_t)json_integer_value(json_object_get(frame, "self"));
	}
	assert_int_equal(selves, samples);
	assert_int_equal(samples_in(flame, "all", false), samples);
}

static void samples_show_who_burns(void **state)
{
	const struct tl_perf_options options = {.hz = 199, .has_stacks = true};
	struct tl_stacks *stacks = tl_stacks_create();
	struct tl_perf *perf = NULL;
	uint32_t fds = count_fds();

	(void)state;
	assert_non_null(stacks);
	int rc = tl_perf_open(&ctx, &options, &perf);
	if (rc == -EPERM || rc == -EACCES) {
		tl_stacks_destroy(stacks);
		skip();
	}
	assert_int_equal(rc, 0);
	// In pieces: on a busy machine the samples of others would fill the buffer meanwhile.
	for (uint32_t i = 0; i < 20; i++) {
		assert_true(burn_the_clock(own_time_ns() + 20000000) != 0);
		assert_true(tl_perf_wait(perf, &ctx, 0, add_sample, stacks));
	}
	uint64_t count = tl_stacks_count(stacks);
	json_t *flame = tl_stacks_flame(stacks);
	assert_true(count >= 20); // 80 are to be expected
	check_graph(flame, count);
#if TL_HAS_BPF
	assert_int_equal(samples_in(flame, "test_bpf", false), count);
	if (samples_in(flame, "burn_the_clock", false) < count / 2)
		fail_msg("%s", json_dumps(flame, 0));
#else
	assert_true(samples_in(flame, "test_bpf", true) != 0); // without libelf the module is known
#endif
	json_decref(flame);
	tl_stacks_destroy(stacks);
	tl_ctx_end(&ctx);
	assert_int_equal(count_fds(), fds);
}

static void count_record(void *arg, const struct tl_perf_sample *sample)
{
	struct tl_tracepoint_field field;
	uint64_t id;

	assert_int_equal(tl_tracepoint_field("raw_syscalls/sys_enter", "id", &field), 0);
	assert_true(field.offset + sizeof(id) <= sample->raw_size && field.size == sizeof(id));
	memcpy(&id, (const char *)sample->raw + field.offset, sizeof(id));
	assert_int_equal(id, call);
	if (sample->pid == own_pid)
		++*(uint32_t *)arg;
}

static void tracepoints_without_bpf(void **state)
{
	char filter[32];
	static const char *const tracepoints[] = {"raw_syscalls/sys_enter", NULL};
	const struct tl_perf_options options = {.tracepoints = tracepoints, .filter = filter};
	struct tl_tracepoint_field field;
	struct tl_perf *perf = NULL;
	uint32_t count = 0;

	(void)state;
	(void)snprintf(filter, sizeof(filter), "id == %u", call);
	int rc = tl_perf_open(&ctx, &options, &perf);
	if (rc == -EPERM || rc == -EACCES)
		skip();
	assert_int_equal(rc, 0);
	call_getpgid(50, 0);
	assert_true(tl_perf_wait(perf, &ctx, 0, count_record, &count));
	assert_int_equal(count, 50);
	tl_perf_close(perf);
	assert_int_equal(tl_tracepoint_field("raw_syscalls/sys_enter", "i", &field), -ENOENT);
	assert_int_equal(tl_tracepoint_field("raw_syscalls/none", "id", &field), -ENOENT);
	assert_int_equal(tl_tracepoint_field("sched/sched_switch", "prev_comm", &field), 0);
	assert_int_equal(field.size, 16);
}

struct order {
	uint32_t counts[2]; // begins, ends
	uint32_t clock;
	bool is_inside;
};

static void note_order(void *arg, const struct tl_perf_sample *sample)
{
	struct order *order = arg;

	if (sample->pid != own_pid)
		return;
	assert_int_equal(sample->user_count, 0);
	if (sample->place == TL_PERF_CLOCK) {
		order->clock++;
		return;
	}
	assert_true(sample->place < 2);
	assert_int_equal(order->is_inside, sample->place == 1);
	order->is_inside = sample->place == 0;
	order->counts[sample->place]++;
	assert_int_equal(sample->kernel_count != 0, sample->place == 1);
}

// Two tracepoints and the clock of one CPU come in order, with stacks where they are asked for.
static void one_ring_keeps_order(void **state)
{
	static const char *const tracepoints[] = {"raw_syscalls/sys_enter", "raw_syscalls/sys_exit",
						  NULL};
	char filter[32];
	const struct tl_perf_options options = {
		.hz = 199, .tracepoints = tracepoints, .filter = filter, .has_stacks = true,
		.is_kernel_only = true, .stackless = 1, .ring_bytes = 256u << 10};
	struct order order = {0};
	struct tl_perf *perf = NULL;
	uint32_t fds = count_fds();
	cpu_set_t all, one;

	(void)state;
	(void)snprintf(filter, sizeof(filter), "id == %u", call);
	int rc = tl_perf_open(&ctx, &options, &perf);
	if (rc == -EPERM || rc == -EACCES)
		skip();
	assert_int_equal(rc, 0);
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0); // one ring
	call_getpgid(50, 0);
	assert_true(burn_the_clock(own_time_ns() + 100000000) != 0);
	call_getpgid(50, 0);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	assert_true(tl_perf_wait(perf, &ctx, 0, note_order, &order));
	assert_int_equal(tl_perf_lost(perf), 0);
	assert_int_equal(order.counts[0], 100);
	assert_int_equal(order.counts[1], 100);
	assert_true(order.clock >= 5); // 20 are to be expected
	tl_perf_close(perf);
	assert_int_equal(count_fds(), fds);
}

static void addresses_have_names(void **state)
{
	struct tl_symbols *symbols = tl_symbols_create();
	struct tl_symbol symbol;
	uint64_t here = (uint64_t)(uintptr_t)burn_the_clock + 5;

	(void)state;
	assert_true(tl_symbol_user(symbols, own_pid, here, &symbol));
	assert_string_equal(symbol.module, "test_bpf");
#if TL_HAS_BPF
	struct tl_text text = {0};
	assert_string_equal(symbol.name, "burn_the_clock");
	assert_int_equal(symbol.offset, 5);
	tl_symbols_print(symbols, own_pid, &here, 1, &text);
	assert_string_equal(text.data, "burn_the_clock+0x5 (test_bpf)\n");
	tl_text_free(&text);
#endif
	assert_false(tl_symbol_user(symbols, own_pid, 1, &symbol));
	assert_false(tl_symbol_user(symbols, 0x7fffffff, here, &symbol));
	tl_symbols_destroy(symbols);
}

static int open_run(void **state)
{
	(void)state;
	own_pid = (uint32_t)getpid();
	tl_ctx_init(&ctx);
	ctx.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return ctx.fd < 0;
}

static void per_cpu_variables_have_places(void **state)
{
	struct tl_bpf_percpu rows[] = {
		{"hrtimer_bases", NULL, 0}, {"kstat", "irqs_sum", 0}, {"kstat", "softirqs", 0},
		{"kstat", "no_such_member", 0}, {"no_such_variable", NULL, 0}};

	(void)state;
	int rc = tl_bpf_find_percpu(rows, TL_COUNT_OF(rows));
	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
		assert_int_equal(rc, 0);
	else
		assert_int_equal(rc, -EOPNOTSUPP);
	for (uint32_t i = 0; i < 3; i++)
		assert_true((rows[i].offset >= 0) == (rc == 0));
	if (rc == 0) // irqs_sum is an unsigned long, and first
		assert_int_equal(rows[2].offset - rows[1].offset, sizeof(unsigned long));
	assert_int_equal(rows[3].offset, -1);
	assert_int_equal(rows[4].offset, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_hook_that_works_is_taken),
		cmocka_unit_test(none_works),
		cmocka_unit_test(constants_must_exist),
		cmocka_unit_test(classic_tracepoint_maps_and_buffers),
		cmocka_unit_test(programs_run_by_the_clock),
		cmocka_unit_test(update_holds_what_start_unloads),
		cmocka_unit_test(samples_show_who_burns),
		cmocka_unit_test(tracepoints_without_bpf),
		cmocka_unit_test(one_ring_keeps_order),
		cmocka_unit_test(addresses_have_names),
		cmocka_unit_test(per_cpu_variables_have_places),
	};
	return cmocka_run_group_tests(tests, open_run, NULL);
}
