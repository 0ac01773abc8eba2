// SPDX-License-Identifier: Apache-2.0
// The life of collectors: the two examples of docs/collectors and some that fail or block.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/text.h"
#include "collectors/container/internal.h"
#include "collectors/manager.h"

struct example_options {
	uint64_t load;
};

static char directory[] = "/tmp/tl-collectors-XXXXXX";
static char error[256];
static _Atomic int logged;

#define LIST_MEMORY_MAX (64u << 20) // of a tree, where a test must not take more

static void pause_ms(long ms)
{
	const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	(void)nanosleep(&pause, NULL);
}

// ---- Collectors that misbehave -------------------------------------------------------------------

static _Atomic bool is_released; // ends what blocks
static _Atomic int runs;
static _Atomic bool is_refused; // what the patient one would see by

static int block(void *self, struct tl_ctx *ctx)
{
	(void)self;
	(void)ctx;
	while (!is_released)
		pause_ms(5);
	return 0;
}

static int block_update(void *self, struct tl_emit *emit)
{
	(void)self;
	tl_emit_gauge(emit, "value", 1, "Never seen.", TL_NO_LABELS);
	return block(NULL, NULL);
}

static int fail_update(void *self, struct tl_emit *emit)
{
	(void)self;
	tl_emit_gauge(emit, "value", 7, "Emitted before the failure.", TL_NO_LABELS);
	return -EIO;
}

static int run_until_told(void *self, struct tl_ctx *ctx)
{
	(void)self;
	runs++;
	if (is_refused) {
		tl_ctx_hook(ctx, "none (%s)", "no horn");
		return -EOPNOTSUPP;
	}
	while (tl_ctx_sleep(ctx, 1000000000))
		;
	return 0;
}

static const struct tl_collector_ops blocked_ops = {.start = block, .update = block_update};
static const struct tl_collector_ops failing_ops = {.update = fail_update};
static const struct tl_collector_ops patient_ops = {.start = run_until_told};

static int new_blocked(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup;
	*ret = (struct tl_collector) {
		.ops = &blocked_ops, .interval_s = 1, .flags = TL_TRACING | TL_METRIC};
	return 0;
}

static int new_failing(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup;
	*ret = (struct tl_collector) {.ops = &failing_ops, .flags = TL_METRIC};
	return 0;
}

static int new_patient(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup;
	*ret = (struct tl_collector) {.ops = &patient_ops, .interval_s = 1, .flags = TL_TRACING |
							   TL_AUTOTRACING};
	return 0;
}

static int new_absent(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)ret;
	tl_collector_says(setup, "this host has no %s", "unicorns");
	return -EOPNOTSUPP;
}

static int new_broken(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup;
	(void)ret;
	return -EIO;
}

static uint32_t odd_flags;
static const struct tl_collector_ops *odd_ops;
static uint32_t odd_interval;

static int new_odd(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup;
	*ret = (struct tl_collector) {
		.ops = odd_ops, .interval_s = odd_interval, .flags = odd_flags};
	return 0;
}

TL_COLLECTOR(blocked, new_blocked);
TL_COLLECTOR(failing, new_failing);
TL_COLLECTOR(patient, new_patient);
TL_COLLECTOR(absent, new_absent);
TL_COLLECTOR(broken, new_broken);
TL_COLLECTOR(odd, new_odd);

// ---- Surroundings --------------------------------------------------------------------------------

static void log_line(void *arg, bool is_error, const char *line)
{
	(void)arg;
	(void)is_error;
	(void)line;
	logged++;
}

static const char *disabled_names[2] = {"odd", "blocked"};
static struct tl_collectors_config config = {
	.metrics = true,
	.interval_ns = 50000000,
	.root = "",
	.disabled = {disabled_names, 2},
};
static struct example_options example_options = {.load = 100000};

static struct tl_collectors_setup setup_of(void)
{
	static const void *options[TL_COLLECTORS_MAX];

	for (uint32_t i = 0; i < tl_collector_count(); i++)
		options[i] = strcmp(tl_collector_at(i)->name, "example_tracing") == 0 ?
			&example_options : NULL;
	return (struct tl_collectors_setup) {.config = &config, .options = options,
					     .log = log_line};
}

static struct tl_collectors *create(void)
{
	const struct tl_collectors_setup setup = setup_of();
	struct tl_collectors *c = NULL;

	assert_int_equal(tl_collectors_create(&setup, &c, error, sizeof(error)), 0);
	return c;
}

static struct tl_collector_status status_of(struct tl_collectors *c, const char *name)
{
	static struct tl_collector_status all[TL_COLLECTORS_MAX];
	uint32_t count = tl_collectors_status(c, all, TL_COLLECTORS_MAX);

	for (uint32_t i = 0; i < count; i++)
		if (strcmp(all[i].name, name) == 0)
			return all[i];
	fail();
	return all[0];
}

// The value of a series without or with one label; NAN-like -1 if it is not there.
static double value_of(struct tl_collectors *c, const char *family, const char *label)
{
	struct tl_points *lists[TL_COLLECTORS_MAX + 1];
	uint32_t count = tl_collectors_points(c, lists);
	double value = -1;

	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t k = 0; k < tl_points_count(lists[i]); k++) {
			const struct tl_point *p = tl_points_at(lists[i], k);
			if (strcmp(p->family, family) == 0 &&
			    (label == NULL || strcmp(p->labels[0].value, label) == 0))
				value = p->value;
		}
		tl_points_put(lists[i]);
	}
	return value;
}

static void tick_until(struct tl_collectors *c, const char *name, uint64_t updates)
{
	for (int i = 0; i < 400 && status_of(c, name).updates < updates; i++) {
		tl_collectors_tick(c);
		pause_ms(10);
	}
	assert_true(status_of(c, name).updates >= updates);
}

static uint32_t count_entries(const char *path)
{
	DIR *open_directory = opendir(path);
	uint32_t count = 0;

	while (readdir(open_directory) != NULL)
		count++;
	(void)closedir(open_directory);
	return count;
}

// ---- Tests ---------------------------------------------------------------------------------------

static void registry_is_sorted(void **state)
{
	(void)state;
	assert_int_equal(tl_collector_count(), 8);
	for (uint32_t i = 1; i < tl_collector_count(); i++)
		assert_true(strcmp(tl_collector_at(i - 1)->name, tl_collector_at(i)->name) < 0);
}

static void states_and_reasons(void **state)
{
	(void)state;
	struct tl_collectors *c = create();
	assert_int_equal(status_of(c, "failing").state, TL_COLLECTOR_ACTIVE);
	assert_int_equal(status_of(c, "odd").state, TL_COLLECTOR_DISABLED);
	assert_int_equal(status_of(c, "absent").state, TL_COLLECTOR_NOT_SUPPORTED);
	assert_string_equal(status_of(c, "absent").reason, "this host has no unicorns");
	assert_int_equal(status_of(c, "broken").state, TL_COLLECTOR_INIT_ERROR);
	assert_string_equal(status_of(c, "broken").reason, strerror(EIO));
	tl_collectors_destroy(c);
}

static void impossible_attributes_are_refused(void **state)
{
	static const struct tl_collector_ops none, only_start = {.start = run_until_told};
	static const struct {
		const struct tl_collector_ops *ops;
		uint32_t flags, interval;
		const char *message;
	} cases[] = {
		{&only_start, 0, 1, "collector odd: it has no role"},
		{&only_start, TL_TRACING, 0, "collector odd: a tracing collector needs an interval"},
		{&none, TL_TRACING, 1, "collector odd: a tracing collector needs start"},
		{&none, TL_METRIC, 1, "collector odd: a metric collector needs update"},
	};
	(void)state;
	config.disabled.count = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct tl_collectors_setup setup = setup_of();
		struct tl_collectors *c = NULL;
		odd_ops = cases[i].ops;
		odd_flags = cases[i].flags;
		odd_interval = cases[i].interval;
		assert_int_equal(tl_collectors_create(&setup, &c, error, sizeof(error)), -EINVAL);
		assert_string_equal(error, cases[i].message);
	}
	config.disabled.count = 2;
}

static void metrics_are_emitted(void **state)
{
	(void)state;
	struct tl_collectors *c = create();
	tick_until(c, "example_metric", 2);
	tick_until(c, "failing", 2);
	assert_true(value_of(c, "tapline_example_metric_entropy_bits", NULL) >= 0);
	assert_true(value_of(c, "tapline_example_metric_uptime_seconds", "proc") > 0);
	assert_true(value_of(c, "tapline_example_tracing_hits_total", NULL) == 0);
	assert_true(value_of(c, "tapline_scrape_collector_success", "example_metric") == 1);
	// A failed update's values count, its success does not; it is told once.
	assert_true(value_of(c, "tapline_failing_value", NULL) == 7);
	assert_true(value_of(c, "tapline_scrape_collector_success", "failing") == 0);
	assert_int_equal(logged, 1);
	assert_string_equal(status_of(c, "failing").reason, "update: Input/output error");
	tl_collectors_destroy(c);
}

static void start_and_stop(void **state)
{
	(void)state;
	struct tl_collectors *c = create();
	uint32_t fds = count_entries("/proc/self/fd"), threads = count_entries("/proc/self/task");

	runs = 0;
	assert_int_equal(tl_collectors_start(c, "nobody"), -ENOENT);
	assert_int_equal(tl_collectors_start(c, "failing"), -EOPNOTSUPP);
	assert_int_equal(tl_collectors_stop(c, "patient"), -ESRCH);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(tl_collectors_start(c, "patient"), 0);
		assert_int_equal(tl_collectors_start(c, "patient"), -EALREADY);
		while (runs <= i)
			pause_ms(1);
		assert_int_equal(tl_collectors_stop(c, "patient"), 0);
	}
	assert_int_equal(status_of(c, "patient").hits, 100);
	// One that is refused ends for good, and says what it had tried.
	is_refused = true;
	assert_int_equal(tl_collectors_start(c, "patient"), 0);
	for (int i = 0; i < 500 && status_of(c, "patient").is_running; i++)
		pause_ms(10);
	is_refused = false;
	assert_int_equal(status_of(c, "patient").state, TL_COLLECTOR_NOT_SUPPORTED);
	assert_string_equal(status_of(c, "patient").reason, "start: none (no horn)");
	assert_int_equal(tl_collectors_start(c, "patient"), -EOPNOTSUPP);
	// A thread that has said it is done may still be on its way out.
	for (int i = 0; i < 500 && count_entries("/proc/self/task") > threads; i++)
		pause_ms(10);
	assert_int_equal(count_entries("/proc/self/fd"), fds);
	assert_true(count_entries("/proc/self/task") <= threads);
	tl_collectors_destroy(c);
}

static void blocked_ones_hold_up_nobody(void **state)
{
	(void)state;
	config.disabled.count = 1; // only odd
	is_released = false;
	struct tl_collectors *c = create();
	struct timespec before, after;

	assert_int_equal(tl_collectors_start(c, "blocked"), 0);
	pause_ms(20);
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(tl_collectors_stop(c, "blocked"), -EBUSY);
	(void)clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true((double)(after.tv_sec - before.tv_sec) +
		    (double)(after.tv_nsec - before.tv_nsec) / 1e9 < 1.2);
	assert_true(status_of(c, "blocked").is_blocked);
	assert_int_equal(tl_collectors_start(c, "blocked"), -EBUSY);
	// The others go on, and its own series says that it does not.
	tick_until(c, "example_metric", 3);
	assert_true(value_of(c, "tapline_scrape_collector_success", "blocked") == 0);
	assert_true(value_of(c, "tapline_blocked_value", NULL) == -1);
	is_released = true;
	for (int i = 0; i < 200 && status_of(c, "blocked").is_running; i++)
		pause_ms(10);
	assert_false(status_of(c, "blocked").is_running);
	tl_collectors_destroy(c);
	config.disabled.count = 2;
}

static void switches_and_options_are_hot(void **state)
{
	(void)state;
	struct tl_collectors *c = create();
	assert_false(status_of(c, "patient").is_running);
	assert_false(status_of(c, "example_tracing").is_running);
	config.autotracing = config.event = true;
	struct tl_collectors_setup setup = setup_of();
	tl_collectors_reload(c, &setup);
	assert_true(status_of(c, "patient").is_running);
	assert_true(status_of(c, "example_tracing").is_running);
	example_options.load = 0; // from now on any load is high
	setup = setup_of();
	tl_collectors_reload(c, &setup);
	for (int i = 0; i < 300 && status_of(c, "example_tracing").hits == 0; i++)
		pause_ms(10);
	assert_true(status_of(c, "example_tracing").hits != 0);
	config.autotracing = config.event = false;
	setup = setup_of();
	tl_collectors_reload(c, &setup);
	for (int i = 0; i < 200 && status_of(c, "patient").is_running; i++)
		pause_ms(10);
	assert_false(status_of(c, "patient").is_running);
	tl_collectors_destroy(c);
	example_options.load = 100000;
}

// ---- The store -----------------------------------------------------------------------------------

struct seen {
	int count;
	char last[8192];
};

static void deliver(void *arg, const struct tl_stored *stored)
{
	struct seen *seen = arg;

	seen->count++;
	(void)snprintf(seen->last, sizeof(seen->last), "%s", stored->json);
}

static bool visit(void *arg, const struct tl_stored *stored)
{
	deliver(arg, stored);
	return true;
}

static void store_keeps_the_envelope(void **state)
{
	(void)state;
	struct seen delivered = {0}, read = {0};
	static const char *const keys[] = {"hostname", "region", "uploaded_time", "time",
					   "container_id", "tracer_name", "tracer_id",
					   "tracer_time", "tracer_type", "tracer_data"};

	tl_store_drain(deliver, &delivered); // what the example saved before
	delivered = (struct seen) {0};
	assert_int_equal(tl_store_save("kills", "0123456789ab", UINT64_C(1700000000123000000),
				       "{\"pid\": 42}"), 0);
	tl_store_drain(deliver, &delivered);
	assert_int_equal(delivered.count, 1);
	json_t *record = json_loads(delivered.last, 0, NULL);
	assert_non_null(record);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_object_get(record, keys[i]) == NULL)
			fail_msg("no %s in %s", keys[i], delivered.last);
	assert_true(json_is_false(json_object_get(record, "container_known")));
	assert_string_equal(json_string_value(json_object_get(record, "tracer_type")), "event");
	assert_int_equal(json_integer_value(json_object_get(
				 json_object_get(record, "tracer_data"), "pid")), 42);
	assert_non_null(strstr(json_string_value(json_object_get(record, "tracer_time")), ".123 "));
	json_decref(record);
	assert_int_equal(tl_store_read(directory, "kills", 0, 0, visit, &read), 0);
	assert_int_equal(read.count, 1);
	assert_string_equal(read.last, delivered.last);
	read.count = 0;
	assert_int_equal(tl_store_read(directory, "kills", UINT64_C(1700000001000000000), 0,
				       visit, &read), 0);
	assert_int_equal(read.count, 0);
}

static bool keep(void *arg, const struct tl_stored *stored)
{
	struct seen *seen = arg;

	seen->count++;
	(void)snprintf(seen->last, sizeof(seen->last), "%s %s %" PRIu64 " %s", stored->tracer, stored->type,
		       stored->time_ns, stored->json);
	return true;
}

// What was stored by version 0.1.0, as one without a container and with a key of a later version.
static void store_reads_what_others_wrote(void **state)
{
	static const char *const lines[] = {
		"{\"hostname\":\"h\",\"region\":\"\",\"uploaded_time\":\"2023-11-14T22:13:21.000000000Z\","
		"\"time\":\"2023-11-14 22:13:20.123 +0000\",\"container_id\":\"0123456789ab\","
		"\"container_known\":false,\"tracer_name\":\"older\",\"tracer_id\":\"00\",\"tracer_time\":"
		"\"2023-11-14 22:13:20.123 +0000\",\"tracer_type\":\"event\",\"tracer_data\":{\"pid\":42}}",
		"{\"tracer_format\":2,\"tracer_name\":\"older\",\"tracer_time\":\"2023-11-15 00:13:21.123 +0200\","
		"\"tracer_type\":\"autotracing\",\"tracer_data\":{\"new\":[]}}",
	};
	static const char *const told[] = {"older event 1700000000123000000 ",
					   "older autotracing 1700000001123000000 "};
	char path[128], want[1024];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/older.jsonl", directory);
	for (size_t i = 0; i < TL_COUNT_OF(lines); i++) {
		struct seen read = {0};
		FILE *file = fopen(path, "a");
		assert_true(fprintf(file, "%s\n", lines[i]) > 0);
		assert_int_equal(fclose(file), 0);
		assert_int_equal(tl_store_read(directory, "older", 0, 0, keep, &read), 0);
		assert_int_equal(read.count, i + 1);
		(void)snprintf(want, sizeof(want), "%s%s", told[i], lines[i]);
		assert_string_equal(read.last, want);
	}
	assert_int_equal(unlink(path), 0);
}

static void store_refuses_what_is_no_object(void **state)
{
	(void)state;
	struct tl_store_stats stats;
	char *large = malloc(TL_STORE_RECORD_BYTES_MAX + 64);

	assert_int_equal(tl_store_save("kills", "", 1, "[1]"), -EINVAL);
	assert_int_equal(tl_store_save("kills", "", 1, "{\"a\": "), -EINVAL);
	assert_int_equal(tl_store_save("../kills", "", 1, "{}"), -EINVAL);
	memset(large, 'x', TL_STORE_RECORD_BYTES_MAX + 64);
	memcpy(large, "{\"a\":\"", 6);
	strcpy(large + TL_STORE_RECORD_BYTES_MAX, "\"}");
	assert_int_equal(tl_store_save("kills", "", 1, large), -EMSGSIZE);
	free(large);
	tl_store_get_stats(&stats);
	assert_int_equal(stats.refused, 4);
}

// Rotated files and a line that a crash cut short: all whole records come back, in order.
static void store_rotates_and_survives(void **state)
{
	(void)state;
	struct seen read = {0};
	char path[128], json[64], order[64];

	for (int i = 0; i < 300; i++) {
		(void)snprintf(json, sizeof(json), "{\"number\": %d}", i);
		assert_int_equal(tl_store_save("many", "", UINT64_C(1000000000) + (uint64_t)i *
					       1000000, json), 0);
	}
	(void)snprintf(path, sizeof(path), "%s/many.jsonl.1", directory);
	assert_int_equal(access(path, F_OK), 0);
	(void)snprintf(path, sizeof(path), "%s/many.jsonl", directory);
	FILE *file = fopen(path, "a");
	(void)fputs("{\"tracer_name\": \"many\", \"tracer_ti", file);
	(void)fclose(file);
	assert_int_equal(tl_store_read(directory, "many", 0, 0, visit, &read), 0);
	assert_int_equal(read.count, 300);
	(void)snprintf(order, sizeof(order), "\"number\":%d", 299);
	assert_non_null(strstr(read.last, order));
	for (size_t limit = 1; limit < 40; limit++) { // the newest of all tracers together
		read = (struct seen) {0};
		assert_int_equal(tl_store_read(directory, "many", 0, limit, visit, &read), 0);
		assert_int_equal(read.count, limit);
		assert_non_null(strstr(read.last, order));
	}
	read = (struct seen) {0};
	assert_int_equal(tl_store_read(directory, "", 0, 301, visit, &read), 0);
	assert_int_equal(read.count, 301);
	assert_null(strstr(read.last, "\"many\"")); // the others are newer
}

static void follower_sees_what_comes(void **state)
{
	(void)state;
	struct seen seen = {0};
	struct tl_store_follower *follower = tl_store_follow(directory, "followed");

	assert_int_equal(tl_store_save("followed", "", 1, "{\"a\": 1}"), 0);
	assert_true(tl_store_look(follower, visit, &seen));
	assert_int_equal(seen.count, 0); // it was there before
	for (int i = 0; i < 200; i++) {  // more than one file's worth
		assert_int_equal(tl_store_save("followed", "", 1, "{\"a\": 2}"), 0);
		if (i % 7 == 0)
			assert_true(tl_store_look(follower, visit, &seen));
	}
	assert_true(tl_store_look(follower, visit, &seen));
	assert_int_equal(seen.count, 200);
	tl_store_unfollow(follower);
}

static size_t json_bytes; // that jansson asked for

static void *count_json(size_t size)
{
	json_bytes += size;
	return json_bytes > LIST_MEMORY_MAX ? NULL : malloc(size);
}

// 16 MiB of tiny values would take a hundred times as much of memory as a tree.
static void pod_lists_are_bounded(void **state)
{
	static const char pod[] =
		"{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\"},\"status\":{\"containerStatuses\":"
		"[{\"name\":\"c\",\"containerID\":\"containerd://0123456789ab\"}]}}";
	struct tl_text text = {0};
	struct tl_kubelet_list list;

	(void)state;
	tl_text_puts(&text, "{\"kind\":\"PodList\",\"items\":[");
	while (text.len < 16u << 20)
		tl_text_puts(&text, "{},");
	tl_text_printf(&text, "%s]}", pod);
	json_set_alloc_funcs(count_json, free);
	int rc = tl_kubelet_parse(text.data, text.len, &list);
	json_set_alloc_funcs(malloc, free);
	assert_int_equal(json_bytes, 0);
	assert_int_equal(rc, -EMSGSIZE);
	tl_text_clear(&text);
	tl_text_puts(&text, "{\"kind\":\"PodList\",\"items\":[");
	for (uint32_t i = 0; i < 500; i++)
		tl_text_printf(&text, "%s%s", i == 0 ? "" : ",", pod);
	tl_text_puts(&text, "]}");
	assert_int_equal(tl_kubelet_parse(text.data, text.len, &list), 0);
	assert_int_equal(list.count, 500);
	assert_string_equal(list.items[499].id, "0123456789ab");
	free(list.items);
	tl_text_free(&text);
}

static int open_all(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(directory));
	const struct tl_containers_options containers = {"", "", "", "", ""};
	assert_int_equal(tl_containers_open(&containers), 0);
	const struct tl_store_options options = {.path = directory, .bytes_max = 20000,
						 .count_max = 10, .region = "test"};
	return tl_store_open(&options, error, sizeof(error));
}

static int close_all(void **state)
{
	char command[128];
	(void)state;
	tl_store_close();
	tl_containers_close();
	(void)snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registry_is_sorted),
		cmocka_unit_test(states_and_reasons),
		cmocka_unit_test(impossible_attributes_are_refused),
		cmocka_unit_test(metrics_are_emitted),
		cmocka_unit_test(start_and_stop),
		cmocka_unit_test(blocked_ones_hold_up_nobody),
		cmocka_unit_test(switches_and_options_are_hot),
		cmocka_unit_test(store_keeps_the_envelope),
		cmocka_unit_test(store_reads_what_others_wrote),
		cmocka_unit_test(store_refuses_what_is_no_object),
		cmocka_unit_test(store_rotates_and_survives),
		cmocka_unit_test(follower_sees_what_comes),
		cmocka_unit_test(pod_lists_are_bounded),
	};
	return cmocka_run_group_tests(tests, open_all, close_all);
}
