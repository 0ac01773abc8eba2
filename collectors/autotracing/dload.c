// SPDX-License-Identifier: Apache-2.0
// Tasks of a container pile up in uninterruptible sleep (state D): on what do they wait. The signal
// is a load average of such tasks, as the kernel computes it for the host; the stacks are read when
// it is high. Counts come from taskstats (cgroup v1) where that knows the state of every task, else
// from the tasks' own files: taskstats leaves out who waits killably or freezably, which since Linux
// 6.1 is most.
#include <errno.h>
#include <math.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/jansson.h"
#include "collectors/autotracing/captures.h"
#include "collectors/autotracing/levels.h"
#include "collectors/past.h"
#include "collectors/tasks.h"
#include "collectors/taskstats.h"
#include "collectors/trigger.h"

struct dload_options {
	uint64_t sample, average, threshold, hold_off, limit;
	struct tl_text_map known_issues;
};

static const struct tl_option rows[] = {
	TL_HOT(struct dload_options, sample, TL_OPTION_DURATION, "10s", .min = 10000000,
	       .help = "Time between two counts of the tasks."),
	TL_HOT(struct dload_options, average, TL_OPTION_DURATION, "1m", .min = 10000000,
	       .help = "Time that the load is averaged over."),
	TL_HOT(struct dload_options, threshold, TL_OPTION_UINT, "5", .max = 100000,
	       .help = "Load by tasks in uninterruptible sleep above which their stacks are read."),
	TL_HOT_COMMON(struct dload_options),
	{.key = "known_issues", .type = TL_OPTION_TEXT_MAP,
	 .offset = offsetof(struct dload_options, known_issues), .value = "{}",
	 .help = "Names of issues, each with an extended regular expression; the first that matches "
		 "the stacks is stored with them as known_issue."},
	TL_OPTION_END,
};

// Of one container.
struct load {
	uint64_t at_ns;
	double all, blocked; // averages of running and blocked tasks, and of blocked ones
};

struct dload {
	struct tl_captures captures;
	struct tl_levels levels;
	struct tl_past *past; // struct load
	struct tl_trigger *trigger;
	struct tl_text text, stacks;
	int netlink; // -errno: taskstats can't be had
	uint16_t family;
};

// The container whose load is above the threshold.
struct found {
	bool is_found;
	struct tl_container container;
	struct tl_cgroup_tasks tasks;
	struct load load;
	const char *source;
};

// What a visit of the containers, or of the tasks of one, works on.
struct visit {
	struct dload *self;
	struct tl_ctx *ctx;
	const struct dload_options *options;
	struct tl_cgroup_tasks tasks;
	struct found found;
	uint32_t stacks;
};

// ---- The signal ----------------------------------------------------------------------------------

static bool count_task(void *arg, uint32_t tid)
{
	struct visit *visit = arg;
	struct tl_cgroup_tasks *tasks = &visit->tasks;
	struct tl_task task;

	if (!tl_task_read(tid, &visit->self->text, &task))
		return !tl_ctx_done(visit->ctx);
	tasks->running += task.state == 'R';
	tasks->uninterruptible += task.state == 'D';
	tasks->stopped += task.state == 'T' || task.state == 't';
	tasks->sleeping += task.state == 'S';
	return !tl_ctx_done(visit->ctx);
}

static bool count_any(void *arg, uint32_t tid)
{
	uint64_t *count = arg;

	(void)tid;
	(*count)++;
	return true;
}

static bool ask_taskstats(const struct dload *self, const char *cgroup, struct tl_cgroup_tasks *tasks)
{
	uint64_t there = 0;

	if (self->netlink < 0 ||
	    tl_taskstats_read(self->netlink, self->family, cgroup, tasks) < 0)
		return false;
	tl_tasks_of_cgroup(cgroup, false, count_any, &there);
	return there <= tasks->sleeping + tasks->running + tasks->stopped + tasks->uninterruptible;
}

// How it was counted.
static const char *count(struct visit *visit, const struct tl_container *container)
{
	const char *cgroup = container->cgroup[TL_CGROUP_CPU];

	if (!container->is_v2 && ask_taskstats(visit->self, cgroup, &visit->tasks))
		return "taskstats";
	visit->tasks = (struct tl_cgroup_tasks) {0};
	tl_tasks_of_cgroup(cgroup, container->is_v2, count_task, visit);
	return "proc";
}

static void average(struct load *load, const struct tl_cgroup_tasks *tasks, uint64_t average_ns)
{
	uint64_t now_ns = tl_host_clock_ns();
	double keep = load->at_ns == 0 ? 0 :
		exp(-(double)(now_ns - load->at_ns) / (double)average_ns);
	double blocked = (double)tasks->uninterruptible, all = blocked + (double)tasks->running;

	// Like the kernel's averages they begin at 0.
	load->blocked = load->at_ns == 0 ? 0 : load->blocked * keep + blocked * (1 - keep);
	load->all = load->at_ns == 0 ? 0 : load->all * keep + all * (1 - keep);
	load->at_ns = now_ns;
}

static bool sample(void *arg, const struct tl_container *container)
{
	struct visit *visit = arg;
	struct dload *self = visit->self;
	const struct tl_trigger_rule rule = {
		.level = (double)visit->options->threshold,
		.hold_off_ns = visit->options->hold_off,
	};
	bool is_new;

	struct load *load = tl_past_of(self->past, container->id, &is_new);
	if (load == NULL)
		return true;
	const char *source = count(visit, container);
	average(load, &visit->tasks, visit->options->average);
	tl_levels_set(&self->levels, container->id, (const double[]) {load->all, load->blocked});
	if (!tl_trigger_sample(self->trigger, &rule, container->id, load->blocked, load->at_ns))
		return !tl_ctx_done(visit->ctx);
	visit->found = (struct found) {true, *container, visit->tasks, *load, source};
	return false; // one capture at a time; the others' turn is the next sample
}

// ---- The capture ---------------------------------------------------------------------------------

static bool add_foreign_stack(void *arg, uint32_t tid)
{
	struct visit *visit = arg;
	struct dload *self = visit->self;
	char path[TL_TASK_CGROUP_BYTES];
	struct tl_task task;

	if (!tl_task_read(tid, &self->text, &task) || task.state != 'D')
		return !tl_ctx_done(visit->ctx);
	tl_task_cgroup(tid, &self->text, path);
	if (strstr(path, visit->found.container.id) == NULL)
		visit->stacks += tl_task_add_blocked(tid, &self->text, &self->stacks);
	return visit->stacks < TL_TASK_STACKS_MAX && !tl_ctx_done(visit->ctx);
}

static bool add_stack(void *arg, uint32_t tid)
{
	struct visit *visit = arg;
	struct dload *self = visit->self;

	visit->stacks += tl_task_add_blocked(tid, &self->text, &self->stacks);
	return visit->stacks < TL_TASK_STACKS_MAX && !tl_ctx_done(visit->ctx);
}

// The name of the first known issue in `stacks`, "none" without one.
static const char *known_issue(const struct tl_text_map *issues, const char *stacks)
{
	const char *name = "none";

	for (uint32_t i = 0; i < issues->count && strcmp(name, "none") == 0; i++) {
		regex_t issue;
		if (regcomp(&issue, issues->items[i].value, REG_EXTENDED | REG_NOSUB) != 0)
			continue;
		if (regexec(&issue, stacks, 0, NULL, 0) == 0)
			name = issues->items[i].key;
		regfree(&issue);
	}
	return name;
}

// The container's stacks, and those of the rest of the host: what they wait for may be held by
// another. Without a stack in the container the load is over already, and nothing is stored.
static int capture(struct visit *visit)
{
	struct dload *self = visit->self;
	const struct found *found = &visit->found;
	const struct tl_cgroup_tasks *tasks = &found->tasks;

	tl_text_clear(&self->stacks);
	visit->stacks = 0;
	tl_tasks_of_cgroup(found->container.cgroup[TL_CGROUP_CPU], found->container.is_v2, add_stack,
			   visit);
	if (visit->stacks == 0)
		return 0;
	size_t own = self->stacks.len;
	visit->stacks = 0;
	tl_tasks_each(add_foreign_stack, visit);
	const char *stacks = self->stacks.data;
	json_t *data = json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:s, s:s, s:o, s:o}", "threshold",
		(json_int_t)visit->options->threshold, "nr_sleeping", (json_int_t)tasks->sleeping,
		"nr_running", (json_int_t)tasks->running, "nr_stopped", (json_int_t)tasks->stopped,
		"nr_uninterruptible", (json_int_t)tasks->uninterruptible, "load_avg",
		found->load.all, "dload_avg", found->load.blocked, "source", found->source,
		"known_issue", known_issue(&visit->options->known_issues, stacks), "stack",
		tl_place_as_json(stacks, own), "host_stack",
		tl_text_as_json(stacks[own] == '\n' ? stacks + own + 1 : stacks + own));
	if (data != NULL && strcmp(found->source, "taskstats") == 0) // the files don't tell this
		(void)json_object_set_new(data, "nr_iowait",
					  json_integer((json_int_t)tasks->iowait));
	return tl_captures_save(&self->captures, found->container.id, data);
}

// ---- Its life ------------------------------------------------------------------------------------

static int start(void *arg, struct tl_ctx *ctx)
{
	struct dload *self = arg;
	struct dload_options options;
	struct visit *visit = calloc(1, sizeof(*visit));
	int rc = 0;

	if (visit == NULL)
		return -ENOMEM;
	*visit = (struct visit) {.self = self, .ctx = ctx, .options = &options};
	self->netlink = tl_taskstats_open(&self->family);
	tl_ctx_options(ctx, &options, sizeof(options));
	while (!visit->found.is_found && tl_ctx_sleep(ctx, options.sample)) {
		tl_ctx_options(ctx, &options, sizeof(options));
		tl_past_begin(self->past);
		tl_levels_begin(&self->levels);
		(void)tl_container_each(sample, visit);
	}
	if (visit->found.is_found && tl_captures_may(&self->captures, options.limit))
		rc = capture(visit);
	if (self->netlink >= 0)
		(void)close(self->netlink);
	free(visit);
	return rc;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct dload *self = arg;

	tl_captures_emit(&self->captures, emit);
	tl_levels_emit(&self->levels, emit);
	return 0;
}

static void close_self(void *arg)
{
	struct dload *self = arg;

	tl_levels_fini(&self->levels);
	tl_past_destroy(self->past);
	tl_trigger_destroy(self->trigger);
	tl_text_free(&self->text);
	tl_text_free(&self->stacks);
	free(self);
}

static const struct tl_collector_ops ops = {.start = start, .update = update, .close = close_self};

static int new_dload(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	static const struct tl_level_name names[] = {
		{"load", "Load average of the container's running and blocked tasks."},
		{"dload", "Load average of its tasks in uninterruptible sleep."},
		{NULL, NULL},
	};
	struct dload *self = calloc(1, sizeof(*self));

	(void)setup;
	if (self == NULL)
		return -ENOMEM;
	self->captures.tracer = "dload";
	self->past = tl_past_create(sizeof(struct load));
	self->trigger = tl_trigger_create(1);
	int rc = tl_levels_init(&self->levels, names);
	if (self->past == NULL || self->trigger == NULL || rc < 0) {
		close_self(self);
		return -ENOMEM;
	}
	*ret = (struct tl_collector) {.ops = &ops, .self = self, .interval_s = 30,
				      .flags = TL_TRACING | TL_AUTOTRACING | TL_METRIC};
	return 0;
}

TL_COLLECTOR(dload, new_dload,
	     .help = "Containers whose tasks pile up in uninterruptible sleep, with their stacks.",
	     .options = rows, .options_size = sizeof(struct dload_options));
