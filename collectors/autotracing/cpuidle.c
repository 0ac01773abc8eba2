// SPDX-License-Identifier: Apache-2.0
// A container that was idle takes its CPUs: where in its code. The signal is its CPU time as a share
// of the cores that it may use; when that is high and has risen, its stacks are sampled for a while.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/autotracing/captures.h"
#include "collectors/bpf/perf.h"
#include "collectors/bpf/stacks.h"
#include "collectors/container/usage.h"
#include "collectors/past.h"
#include "collectors/tasks.h"
#include "collectors/trigger.h"

struct cpuidle_options {
	uint64_t sample, capture, frequency, hold_off, limit;
	uint64_t user, user_rise, system, system_rise, total, total_rise;
};

static const struct tl_option rows[] = {
	TL_HOT(struct cpuidle_options, sample, TL_OPTION_DURATION, "10s", .min = 10000000,
	       .help = "Time between two looks at the CPU time of containers."),
	TL_HOT(struct cpuidle_options, user, TL_OPTION_UINT, "75", .max = 100,
	       .help = "Percent of its cores in user code above which a container is traced,"),
	TL_HOT(struct cpuidle_options, user_rise, TL_OPTION_UINT, "45", .max = 100,
	       .help = "if that is so much more than in the sample before."),
	TL_HOT(struct cpuidle_options, system, TL_OPTION_UINT, "45", .max = 100,
	       .help = "The same for the kernel's code."),
	TL_HOT(struct cpuidle_options, system_rise, TL_OPTION_UINT, "20", .max = 100,
	       .help = "The same for the kernel's code."),
	TL_HOT(struct cpuidle_options, total, TL_OPTION_UINT, "90", .max = 100,
	       .help = "The same for both together."),
	TL_HOT(struct cpuidle_options, total_rise, TL_OPTION_UINT, "55", .max = 100,
	       .help = "The same for both together."),
	TL_HOT(struct cpuidle_options, capture, TL_OPTION_DURATION, "10s", .min = 100000000,
	       .help = "Time for which stacks are sampled."),
	TL_HOT(struct cpuidle_options, frequency, TL_OPTION_UINT, "99", .min = 1, .max = 1000,
	       .help = "Samples of stacks per second and CPU."),
	TL_HOT_COMMON(struct cpuidle_options),
	TL_OPTION_END,
};

enum signal { USER, SYSTEM, TOTAL, SIGNALS };

// Of one container.
struct past {
	uint64_t at_ns, quiet_ns; // nothing is captured of it before the latter
	struct tl_cpu_used used;
};

struct cpuidle {
	struct tl_captures captures;
	struct tl_past *past;               // struct past
	struct tl_trigger *trigger[SIGNALS];
	struct tl_text text;
};

// What was measured in one sample of a container, in percent of its cores.
struct burst {
	double percent[SIGNALS], rise[SIGNALS];
	double overshoot; // the most that one signal is above its threshold; 0: none is
};

struct visit {
	struct cpuidle *self;
	struct tl_ctx *ctx;
	struct cpuidle_options options;
	struct burst burst;            // the largest of this sample
	struct tl_container container; // whose it is
};

// ---- The signal ----------------------------------------------------------------------------------

static void thresholds(const struct cpuidle_options *options, double ret_level[SIGNALS],
		       double ret_rise[SIGNALS])
{
	const uint64_t level[] = {options->user, options->system, options->total};
	const uint64_t rise[] = {options->user_rise, options->system_rise, options->total_rise};

	for (uint32_t i = 0; i < SIGNALS; i++) {
		ret_level[i] = (double)level[i];
		ret_rise[i] = (double)rise[i];
	}
}

static void judge(struct visit *visit, const char *id, uint64_t now_ns, struct burst *burst)
{
	double level[SIGNALS], rise[SIGNALS], mean, deviation;

	thresholds(&visit->options, level, rise);
	for (uint32_t i = 0; i < SIGNALS; i++) {
		struct tl_trigger *trigger = visit->self->trigger[i];
		const struct tl_trigger_rule rule = {.level = level[i], .rise = rise[i]};
		double previous = burst->percent[i];
		bool is_high = tl_trigger_sample(trigger, &rule, id, burst->percent[i], now_ns);
		(void)tl_trigger_past(trigger, id, &previous, &mean, &deviation);
		burst->rise[i] = burst->percent[i] - previous;
		if (is_high && burst->percent[i] - level[i] > burst->overshoot)
			burst->overshoot = burst->percent[i] - level[i];
	}
}

// A counter that went back is a new one.
static double since(uint64_t now, uint64_t before)
{
	return now < before ? 0 : (double)(now - before);
}

// Of several containers that burst at once the one with the largest overshoot is traced.
static bool sample(void *arg, const struct tl_container *container)
{
	struct visit *visit = arg;
	struct cpuidle *self = visit->self;
	struct tl_cpu_used used;
	struct burst burst = {0};
	bool is_new;

	if (!tl_container_used(container, &self->text, &used))
		return true;
	struct past *past = tl_past_of(self->past, container->id, &is_new);
	if (past == NULL)
		return true;
	uint64_t now_ns = tl_host_clock_ns();
	double span = (double)(now_ns - past->at_ns) * tl_container_cores(container, &self->text);
	struct tl_cpu_used before = past->used;
	past->used = used;
	past->at_ns = now_ns;
	if (is_new)
		return true;
	// The parts of v1 are counted by ticks: what they are good for is their ratio.
	double user = since(used.user_ns, before.user_ns);
	double system = since(used.system_ns, before.system_ns);
	double total = 100 * since(used.total_ns, before.total_ns) / span;
	double of_user = user + system > 0 ? user / (user + system) : 1;
	burst.percent[TOTAL] = total;
	burst.percent[USER] = total * of_user;
	burst.percent[SYSTEM] = total * (1 - of_user);
	judge(visit, container->id, now_ns, &burst);
	if (burst.overshoot > visit->burst.overshoot && now_ns >= past->quiet_ns) {
		visit->burst = burst;
		visit->container = *container;
	}
	return !tl_ctx_done(visit->ctx);
}

// ---- The capture ---------------------------------------------------------------------------------

#define KNOWN_TASKS 4096u // tasks of which is kept whether they are the container's

struct profile {
	const char *id;
	struct tl_text text;
	struct tl_stacks *stacks;
	struct {
		uint32_t tid;
		bool is_own;
	} tasks[KNOWN_TASKS];
};

static bool is_own(struct profile *profile, uint32_t tid)
{
	uint32_t at = tid % KNOWN_TASKS;
	char path[TL_TASK_CGROUP_BYTES];

	if (profile->tasks[at].tid != tid) {
		tl_task_cgroup(tid, &profile->text, path);
		profile->tasks[at].tid = tid;
		profile->tasks[at].is_own = strstr(path, profile->id) != NULL;
	}
	return profile->tasks[at].is_own;
}

static void on_sample(void *arg, const struct tl_perf_sample *sample)
{
	struct profile *profile = arg;

	if (sample->tid != 0 && is_own(profile, sample->tid))
		tl_stacks_add(profile->stacks, sample);
}

// 0, -ECANCELED when the run is to end, other -errno.
static int sample_stacks(struct tl_ctx *ctx, const struct cpuidle_options *options,
			 struct profile *profile)
{
	const struct tl_perf_options what = {.hz = (uint32_t)options->frequency, .has_stacks = true};
	uint64_t end_ns = tl_host_clock_ns() + options->capture;
	struct tl_perf *perf;
	int rc = tl_perf_open(ctx, &what, &perf);

	if (rc < 0)
		return rc;
	for (uint64_t now_ns; rc == 0 && (now_ns = tl_host_clock_ns()) < end_ns;)
		if (!tl_perf_wait(perf, ctx, end_ns - now_ns, on_sample, profile))
			rc = -ECANCELED;
	tl_perf_close(perf);
	return rc;
}

static json_t *burst_json(const struct cpuidle_options *options, const struct burst *burst)
{
	static const char *const names[] = {"user", "system", "total"};
	double level[SIGNALS], rise[SIGNALS];
	json_t *data = json_object();
	char key[64];

	thresholds(options, level, rise);
	for (uint32_t i = 0; i < SIGNALS && data != NULL; i++) {
		const struct {
			const char *suffix;
			double value;
		} values[] = {{"percent", burst->percent[i]}, {"percent_threshold", level[i]},
			      {"percent_delta", burst->rise[i]},
			      {"percent_delta_threshold", rise[i]}};
		for (uint32_t k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
			(void)snprintf(key, sizeof(key), "%s_%s", names[i], values[k].suffix);
			(void)json_object_set_new(data, key, json_real(values[k].value));
		}
	}
	return data;
}

static int capture(struct visit *visit)
{
	struct cpuidle *self = visit->self;
	struct profile *profile = calloc(1, sizeof(*profile));
	json_t *data = burst_json(&visit->options, &visit->burst);
	int rc = -ENOMEM;

	if (profile != NULL)
		*profile = (struct profile) {.id = visit->container.id, .stacks = tl_stacks_create()};
	if (profile != NULL && profile->stacks != NULL && data != NULL)
		rc = sample_stacks(visit->ctx, &visit->options, profile);
	if (rc == 0) {
		(void)json_object_set_new(data, "samples", json_integer(
			(json_int_t)tl_stacks_count(profile->stacks)));
		uint64_t left_out = tl_stacks_left_out(profile->stacks);
		if (left_out != 0)
			(void)json_object_set_new(data, "samples_left_out",
						  json_integer((json_int_t)left_out));
		(void)json_object_set_new(data, "flamedata", tl_stacks_flame(profile->stacks));
		rc = tl_captures_save(&self->captures, visit->container.id, data);
	} else {
		json_decref(data);
		atomic_fetch_add(&self->captures.failed, rc != -ECANCELED);
	}
	if (profile != NULL) {
		tl_stacks_destroy(profile->stacks);
		tl_text_free(&profile->text);
	}
	free(profile);
	return rc == -ECANCELED ? 0 : rc;
}

// ---- Its life ------------------------------------------------------------------------------------

static int start(void *arg, struct tl_ctx *ctx)
{
	struct cpuidle *self = arg;
	struct visit *visit = calloc(1, sizeof(*visit));
	const struct burst *burst;
	bool is_new; // it is not
	int rc = 0;

	if (visit == NULL)
		return -ENOMEM;
	*visit = (struct visit) {.self = self, .ctx = ctx};
	burst = &visit->burst;
	tl_ctx_options(ctx, &visit->options, sizeof(visit->options));
	while (burst->overshoot <= 0 && tl_ctx_sleep(ctx, visit->options.sample)) {
		tl_ctx_options(ctx, &visit->options, sizeof(visit->options));
		tl_past_begin(self->past);
		(void)tl_container_each(sample, visit);
	}
	if (burst->overshoot > 0 && tl_captures_may(&self->captures, visit->options.limit)) {
		struct past *past = tl_past_of(self->past, visit->container.id, &is_new);
		past->quiet_ns = tl_host_clock_ns() + visit->options.hold_off;
		rc = capture(visit);
	}
	free(visit);
	return rc;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct cpuidle *self = arg;

	tl_captures_emit(&self->captures, emit);
	return 0;
}

static void close_self(void *arg)
{
	struct cpuidle *self = arg;

	for (uint32_t i = 0; i < SIGNALS; i++)
		tl_trigger_destroy(self->trigger[i]);
	tl_past_destroy(self->past);
	tl_text_free(&self->text);
	free(self);
}

static const struct tl_collector_ops ops = {.start = start, .update = update, .close = close_self};

static int new_cpuidle(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	struct cpuidle *self = calloc(1, sizeof(*self));
	bool is_whole;

	(void)setup;
	if (self == NULL)
		return -ENOMEM;
	self->captures.tracer = "cpuidle";
	self->past = tl_past_create(sizeof(struct past));
	is_whole = self->past != NULL;
	for (uint32_t i = 0; i < SIGNALS; i++) {
		self->trigger[i] = tl_trigger_create(1);
		is_whole = is_whole && self->trigger[i] != NULL;
	}
	if (!is_whole) {
		close_self(self);
		return -ENOMEM;
	}
	*ret = (struct tl_collector) {.ops = &ops, .self = self, .interval_s = 20,
				      .flags = TL_TRACING | TL_AUTOTRACING | TL_METRIC};
	return 0;
}

TL_COLLECTOR(cpuidle, new_cpuidle,
	     .help = "Containers that take their CPUs all at once, with where in their code.",
	     .options = rows, .options_size = sizeof(struct cpuidle_options));
