// SPDX-License-Identifier: Apache-2.0
// Anonymous memory has grown suddenly: which processes hold it. The signal is one line of
// /proc/meminfo; the processes are looked at only when it fires.
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/collector.h"
#include "collectors/trigger.h"

#define PROCESSES_MAX 65536u // looked at
#define TOP 10u              // saved

struct memburst_options {
	uint64_t sample_ns;
	uint64_t window;      // samples
	uint64_t growth;      // percent above the oldest sample
	uint64_t floor;       // percent of the host's memory
	uint64_t hold_off_ns;
};

#define ROW(member, row_key, row_type, default_value, ...) \
	{.key = row_key, .type = row_type, .hot = true, \
	 .offset = offsetof(struct memburst_options, member), .value = default_value, __VA_ARGS__}

static const struct tl_option rows[] = {
	ROW(sample_ns, "sample", TL_OPTION_DURATION, "10s", .min = 10000000,
	    .help = "Time between two looks at the memory."),
	ROW(window, "window", TL_OPTION_UINT, "60", .min = 1, .max = TL_TRIGGER_WINDOW_MAX,
	    .help = "Samples that a burst is measured over."),
	ROW(growth, "growth", TL_OPTION_UINT, "100", .max = 10000,
	    .help = "Percent by which anonymous memory must have grown over the window."),
	ROW(floor, "floor", TL_OPTION_UINT, "70", .max = 100,
	    .help = "Percent of the host's memory that must be anonymous by then."),
	ROW(hold_off_ns, "hold_off", TL_OPTION_DURATION, "30m",
	    .help = "Time after an event in which there is no other."),
	TL_OPTION_END,
};

struct process {
	uint32_t pid;
	uint64_t bytes;
	char name[64];
};

// Keeps the largest, largest first.
static void keep(struct process *top, uint32_t *count, const struct process *process)
{
	uint32_t at = *count;

	while (at != 0 && top[at - 1].bytes < process->bytes)
		at--;
	if (at == TOP)
		return;
	uint32_t last = *count < TOP ? (*count)++ : TOP - 1;
	for (uint32_t i = last; i > at; i--)
		top[i] = top[i - 1];
	top[at] = *process;
}

static void look_at(const char *pid, struct process *top, uint32_t *count, struct tl_text *text)
{
	struct process process = {.pid = (uint32_t)strtoul(pid, NULL, 10)};
	unsigned long long size, resident;

	if (tl_host_readf(text, "/proc/%s/statm", pid) < 0 ||
	    sscanf(text->data, "%llu %llu", &size, &resident) != 2 || resident == 0)
		return;
	process.bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
	if (tl_host_readf(text, "/proc/%s/comm", pid) == 0)
		(void)snprintf(process.name, sizeof(process.name), "%.*s",
			       (int)strcspn(text->data, "\n"), text->data);
	keep(top, count, &process);
}

static json_t *top_processes(void)
{
	struct process top[TOP];
	char path[PATH_MAX];
	uint32_t count = 0, seen = 0;
	struct tl_text text = {0};
	DIR *directory = opendir(tl_host_path("/proc", path, sizeof(path)));
	struct dirent *entry;

	while (directory != NULL && seen < PROCESSES_MAX && (entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		seen++;
		look_at(entry->d_name, top, &count, &text);
	}
	if (directory != NULL)
		(void)closedir(directory);
	tl_text_free(&text);
	json_t *list = json_array();
	for (uint32_t i = 0; i < count; i++)
		(void)json_array_append_new(list, json_pack("{s:i, s:s, s:I}", "PID",
							    (int)top[i].pid, "ProcessName",
							    top[i].name, "MemSize",
							    (json_int_t)top[i].bytes));
	return list;
}

// Percent of the host's memory; -1 when it can't be told.
static double anonymous(struct tl_text *text)
{
	uint64_t total, active, inactive;

	if (tl_host_read("/proc/meminfo", text) < 0 ||
	    !tl_host_value(text->data, "MemTotal", &total) || total == 0 ||
	    !tl_host_value(text->data, "Active(anon)", &active) ||
	    !tl_host_value(text->data, "Inactive(anon)", &inactive))
		return -1;
	return 100.0 * (double)(active + inactive) / (double)total;
}

static int save(double share)
{
	json_t *data = json_pack("{s:f, s:o}", "anonymous_percent", share, "top_memory_usage",
				 top_processes());
	char *json = data == NULL ? NULL : json_dumps(data, JSON_COMPACT);
	int rc = json == NULL ? -ENOMEM :
		tl_store_save("memburst", "", tl_host_time_ns(), json);

	free(json);
	json_decref(data);
	return rc;
}

static int start(void *arg, struct tl_ctx *ctx)
{
	struct tl_trigger *trigger = tl_trigger_create(TL_TRIGGER_WINDOW_MAX);
	struct memburst_options options;
	struct tl_text text = {0};
	int rc = trigger == NULL ? -ENOMEM : 0;

	(void)arg;
	tl_ctx_options(ctx, &options, sizeof(options));
	while (rc == 0 && tl_ctx_sleep(ctx, options.sample_ns)) {
		tl_ctx_options(ctx, &options, sizeof(options));
		const struct tl_trigger_rule rule = {
			.ratio = 1 + (double)options.growth / 100,
			.floor = (double)options.floor,
			.window = (uint32_t)options.window,
			.hold_off_ns = options.hold_off_ns,
		};
		double share = anonymous(&text);
		if (share >= 0 && tl_trigger_sample(trigger, &rule, "", share, tl_host_clock_ns()))
			rc = save(share);
	}
	tl_trigger_destroy(trigger);
	tl_text_free(&text);
	return rc;
}

static const struct tl_collector_ops ops = {.start = start};

static int new_memburst(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	struct tl_text text = {0};
	double share = anonymous(&text);

	tl_text_free(&text);
	if (share < 0) {
		tl_collector_says(setup, "/proc/meminfo does not tell anonymous memory");
		return -EOPNOTSUPP;
	}
	*ret = (struct tl_collector) {
		.ops = &ops, .interval_s = 10, .flags = TL_TRACING | TL_AUTOTRACING};
	return 0;
}

TL_COLLECTOR(memburst, new_memburst,
	     .help = "Sudden growth of anonymous memory, with the processes that hold it.",
	     .options = rows, .options_size = sizeof(struct memburst_options));
