// SPDX-License-Identifier: Apache-2.0
// Anonymous memory has grown suddenly: which processes hold it. The signal is one line of
// /proc/meminfo; the processes are looked at only when it fires.
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/jansson.h"
#include "collectors/autotracing/captures.h"
#include "collectors/trigger.h"

#define PROCESSES_MAX 65536u // looked at
#define TOP 10u              // saved

struct memburst_options {
	uint64_t sample, window, growth, floor, hold_off, limit;
};

static const struct tl_option rows[] = {
	TL_HOT(struct memburst_options, sample, TL_OPTION_DURATION, "10s", .min = 10000000,
	       .help = "Time between two looks at the memory."),
	TL_HOT(struct memburst_options, window, TL_OPTION_UINT, "60", .min = 1,
	       .max = TL_TRIGGER_WINDOW_MAX, .help = "Samples that a burst is measured over."),
	TL_HOT(struct memburst_options, growth, TL_OPTION_UINT, "100", .max = 10000,
	       .help = "Percent by which anonymous memory must have grown over the window."),
	TL_HOT(struct memburst_options, floor, TL_OPTION_UINT, "70", .max = 100,
	       .help = "Percent of the host's memory that must be anonymous by then."),
	TL_HOT_COMMON(struct memburst_options),
	TL_OPTION_END,
};

struct memburst {
	struct tl_captures captures;
	struct tl_trigger *trigger;
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

static json_t *process_json(const struct process *process, struct tl_container *container)
{
	json_t *object = json_pack("{s:I, s:o, s:I}", "PID", (json_int_t)process->pid,
				   "ProcessName", tl_text_as_json(process->name), "MemSize",
				   (json_int_t)process->bytes);

	if (object != NULL && tl_container_by_pid(process->pid, container))
		(void)json_object_set_new(object, "container_id", json_string(container->id));
	return object;
}

static json_t *top_processes(void)
{
	struct tl_container *container = malloc(sizeof(*container));
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
	for (uint32_t i = 0; i < count && container != NULL; i++)
		(void)json_array_append_new(list, process_json(&top[i], container));
	free(container);
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

// Returns after a capture; what was sampled so far stays.
static int start(void *arg, struct tl_ctx *ctx)
{
	struct memburst *self = arg;
	struct memburst_options options;
	struct tl_text text = {0};
	bool is_burst = false;
	double share = 0;

	tl_ctx_options(ctx, &options, sizeof(options));
	while (!is_burst && tl_ctx_sleep(ctx, options.sample)) {
		tl_ctx_options(ctx, &options, sizeof(options));
		const struct tl_trigger_rule rule = {
			.ratio = 1 + (double)options.growth / 100,
			.floor = (double)options.floor,
			.window = (uint32_t)options.window,
			.hold_off_ns = options.hold_off,
		};
		share = anonymous(&text);
		is_burst = share >= 0 && tl_trigger_sample(self->trigger, &rule, "", share,
							   tl_host_clock_ns());
	}
	tl_text_free(&text);
	if (!is_burst || !tl_captures_may(&self->captures, options.limit))
		return 0;
	return tl_captures_save(&self->captures, "",
				json_pack("{s:f, s:o}", "anonymous_percent", share,
					  "top_memory_usage", top_processes()));
}

static int update(void *arg, struct tl_emit *emit)
{
	struct memburst *self = arg;

	tl_captures_emit(&self->captures, emit);
	return 0;
}

static void close_self(void *arg)
{
	struct memburst *self = arg;

	tl_trigger_destroy(self->trigger);
	free(self);
}

static const struct tl_collector_ops ops = {.start = start, .update = update, .close = close_self};

static int new_memburst(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	struct tl_text text = {0};
	double share = anonymous(&text);

	tl_text_free(&text);
	if (share < 0) {
		tl_collector_says(setup, "/proc/meminfo does not tell anonymous memory");
		return -EOPNOTSUPP;
	}
	struct memburst *self = calloc(1, sizeof(*self));
	if (self == NULL)
		return -ENOMEM;
	self->captures.tracer = "memburst";
	self->trigger = tl_trigger_create(TL_TRIGGER_WINDOW_MAX);
	if (self->trigger == NULL) {
		close_self(self);
		return -ENOMEM;
	}
	*ret = (struct tl_collector) {.ops = &ops, .self = self, .interval_s = 10,
				      .flags = TL_TRACING | TL_AUTOTRACING | TL_METRIC};
	return 0;
}

TL_COLLECTOR(memburst, new_memburst,
	     .help = "Sudden growth of anonymous memory, with the processes that hold it.",
	     .options = rows, .options_size = sizeof(struct memburst_options));
