// SPDX-License-Identifier: Apache-2.0
// Threads of a container wait for a CPU more than they used to: who ran instead. The signal is
// wait% = waiting / (waiting + running) of the container's threads; it is abnormal when it is above
// mean + k sigma of its own past. Then it is looked for a while at who runs on its CPUs.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/autotracing/captures.h"
#include "collectors/autotracing/competitors.h"
#include "collectors/autotracing/levels.h"
#include "collectors/autotracing/times.h"
#include "collectors/past.h"
#include "collectors/tasks.h"
#include "collectors/trigger.h"

#define DEMAND_MIN 0.01 // of one CPU, ran or waited for: below it a share says nothing

struct waitrate_options {
	uint64_t sample, window, floor, capture, hold_off, limit;
	uint64_t sigmas_guaranteed, sigmas_burstable, sigmas_besteffort;
};

static const struct tl_option rows[] = {
	TL_HOT(struct waitrate_options, sample, TL_OPTION_DURATION, "5s", .min = 10000000,
	       .help = "Time between two looks at the threads of containers."),
	TL_HOT(struct waitrate_options, window, TL_OPTION_UINT, "360", .min = 2,
	       .max = TL_TRIGGER_WINDOW_MAX,
	       .help = "Samples that mean and deviation are taken of; all must be there."),
	TL_HOT(struct waitrate_options, sigmas_guaranteed, TL_OPTION_UINT, "30", .max = 1000,
	       .help = "Standard deviations above the mean that are abnormal for a container of the "
		       "class guaranteed, or of none."),
	TL_HOT(struct waitrate_options, sigmas_burstable, TL_OPTION_UINT, "40", .max = 1000,
	       .help = "The same for the class burstable."),
	TL_HOT(struct waitrate_options, sigmas_besteffort, TL_OPTION_UINT, "60", .max = 1000,
	       .help = "The same for the class besteffort."),
	TL_HOT(struct waitrate_options, floor, TL_OPTION_UINT, "10", .max = 100,
	       .help = "Percent of waiting below which nothing is abnormal."),
	TL_HOT(struct waitrate_options, capture, TL_OPTION_DURATION, "15s", .min = 100000000,
	       .help = "Time for which it is looked at who runs on the container's CPUs."),
	TL_HOT_COMMON(struct waitrate_options),
	TL_OPTION_END,
};

// Of one container.
struct past {
	uint64_t at_ns;
};

struct waitrate {
	struct tl_captures captures;
	struct tl_levels levels;
	struct tl_past *past; // struct past
	struct tl_times *times;
	struct tl_trigger *trigger;
	struct tl_text text;
};

struct visit {
	struct waitrate *self;
	struct tl_ctx *ctx;
	const struct waitrate_options *options;
	uint64_t span_ns, run_ns, wait_ns; // of the container at hand
	bool is_found;
	struct tl_container container;     // whose wait% is abnormal
	double percent, sigmas;
};

// ---- The signal ----------------------------------------------------------------------------------

static bool add_thread(void *arg, uint32_t tid)
{
	struct visit *visit = arg;
	struct waitrate *self = visit->self;
	uint64_t run_ns, wait_ns;

	if (tl_task_times(tid, &self->text, &run_ns, &wait_ns) &&
	    tl_times_note(self->times, tid, run_ns, wait_ns, visit->span_ns, &run_ns, &wait_ns)) {
		visit->run_ns += run_ns;
		visit->wait_ns += wait_ns;
	}
	return !tl_ctx_done(visit->ctx);
}

static double sigmas_of(const struct waitrate_options *options, const char *qos)
{
	if (strcmp(qos, "burstable") == 0)
		return (double)options->sigmas_burstable;
	return (double)(strcmp(qos, "besteffort") == 0 ? options->sigmas_besteffort :
							 options->sigmas_guaranteed);
}

static bool sample(void *arg, const struct tl_container *container)
{
	struct visit *visit = arg;
	struct waitrate *self = visit->self;
	uint64_t now_ns = tl_host_clock_ns();
	bool is_new;

	struct past *past = tl_past_of(self->past, container->id, &is_new);
	if (past == NULL)
		return true;
	visit->span_ns = is_new ? 0 : now_ns - past->at_ns;
	visit->run_ns = visit->wait_ns = 0;
	past->at_ns = now_ns;
	tl_tasks_of_cgroup(container->cgroup[TL_CGROUP_CPU], container->is_v2, add_thread, visit);
	if (is_new)
		return true;
	double demand = (double)(visit->run_ns + visit->wait_ns);
	double percent = demand < DEMAND_MIN * (double)visit->span_ns ? 0 :
		100 * (double)visit->wait_ns / demand;
	double sigmas = sigmas_of(visit->options, container->qos);
	const struct tl_trigger_rule rule = {
		.sigmas = sigmas,
		.floor = (double)visit->options->floor,
		.window = (uint32_t)visit->options->window,
		.hold_off_ns = visit->options->hold_off,
	};
	tl_levels_set(&self->levels, container->id, &percent);
	// The others are still sampled: a hole in their past would last for the whole window.
	if (!visit->is_found &&
	    tl_trigger_sample(self->trigger, &rule, container->id, percent, now_ns)) {
		visit->is_found = true;
		visit->container = *container;
		visit->percent = percent;
		visit->sigmas = sigmas;
	}
	return !tl_ctx_done(visit->ctx);
}

// ---- The capture ---------------------------------------------------------------------------------

static uint64_t throttled_ns(struct waitrate *self, const struct tl_container *container)
{
	uint64_t time = 0;

	if (tl_host_readf(&self->text, "%s/cpu.stat", container->cgroup[TL_CGROUP_CPU]) < 0)
		return 0;
	if (tl_host_value(self->text.data, "throttled_usec", &time))
		return time * 1000;
	(void)tl_host_value(self->text.data, "throttled_time", &time);
	return time;
}

static json_t *contention_json(const struct tl_contention *c, uint64_t throttled)
{
	double wait = (double)c->wait_ns, demand = (double)(c->run_ns + c->wait_ns);

	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:s, s:O}", "seconds",
			 (double)c->span_ns / 1e9, "running_ms", (double)c->run_ns / 1e6,
			 "waiting_ms", wait / 1e6, "throttled_ms", (double)throttled / 1e6,
			 "wait_percent", demand > 0 ? 100 * wait / demand : 0.0, "inner_percent",
			 demand > 0 ? 100 * (double)c->inner_ns / demand : 0.0, "outer_percent",
			 demand > 0 ? 100 * (double)c->outer_ns / demand : 0.0, "source",
			 c->source, "competitors", c->competitors);
}

static int capture(struct visit *visit)
{
	struct waitrate *self = visit->self;
	double previous = 0, mean = 0, deviation = 0;
	struct tl_contention contention;

	(void)tl_trigger_past(self->trigger, visit->container.id, &previous, &mean, &deviation);
	uint64_t throttled = throttled_ns(self, &visit->container);
	int rc = tl_contention_look(visit->ctx, &visit->container, visit->options->capture,
				    &contention);
	if (rc < 0) {
		if (rc != -ECANCELED)
			atomic_fetch_add(&self->captures.failed, 1);
		return rc == -ECANCELED ? 0 : rc;
	}
	throttled = throttled_ns(self, &visit->container) - throttled;
	json_t *data = json_pack("{s:f, s:f, s:f, s:f, s:f, s:o}", "wait_percent", visit->percent,
				 "wait_percent_mean", mean, "wait_percent_deviation", deviation,
				 "wait_percent_threshold", mean + visit->sigmas * deviation,
				 "sigmas", visit->sigmas, "capture",
				 contention_json(&contention, throttled));
	json_decref(contention.competitors);
	return tl_captures_save(&self->captures, visit->container.id, data);
}

// ---- Its life ------------------------------------------------------------------------------------

static int start(void *arg, struct tl_ctx *ctx)
{
	struct waitrate *self = arg;
	struct waitrate_options options;
	struct visit *visit = calloc(1, sizeof(*visit));
	int rc = 0;

	if (visit == NULL)
		return -ENOMEM;
	*visit = (struct visit) {.self = self, .ctx = ctx, .options = &options};
	tl_ctx_options(ctx, &options, sizeof(options));
	while (!visit->is_found && tl_ctx_sleep(ctx, options.sample)) {
		tl_ctx_options(ctx, &options, sizeof(options));
		tl_past_begin(self->past);
		tl_levels_begin(&self->levels);
		tl_times_begin(self->times);
		(void)tl_container_each(sample, visit);
	}
	if (visit->is_found && tl_captures_may(&self->captures, options.limit))
		rc = capture(visit);
	free(visit);
	return rc;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct waitrate *self = arg;

	tl_captures_emit(&self->captures, emit);
	tl_levels_emit(&self->levels, emit);
	return 0;
}

static void close_self(void *arg)
{
	struct waitrate *self = arg;

	tl_levels_fini(&self->levels);
	tl_past_destroy(self->past);
	tl_times_destroy(self->times);
	tl_trigger_destroy(self->trigger);
	tl_text_free(&self->text);
	free(self);
}

static const struct tl_collector_ops ops = {.start = start, .update = update, .close = close_self};

static int new_waitrate(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	static const struct tl_level_name names[] = {
		{"wait_percent", "Share of the time that its threads wanted a CPU and waited."},
		{NULL, NULL},
	};

	if (!tl_host_exists("/proc/self/schedstat")) {
		tl_collector_says(setup, "there is no /proc/PID/schedstat");
		return -EOPNOTSUPP;
	}
	struct waitrate *self = calloc(1, sizeof(*self));
	if (self == NULL)
		return -ENOMEM;
	self->captures.tracer = "waitrate";
	self->past = tl_past_create(sizeof(struct past));
	self->times = tl_times_create();
	self->trigger = tl_trigger_create(TL_TRIGGER_WINDOW_MAX);
	int rc = tl_levels_init(&self->levels, names);
	if (self->past == NULL || self->times == NULL || self->trigger == NULL || rc < 0) {
		close_self(self);
		return -ENOMEM;
	}
	*ret = (struct tl_collector) {.ops = &ops, .self = self, .interval_s = 5,
				      .flags = TL_TRACING | TL_AUTOTRACING | TL_METRIC};
	return 0;
}

TL_COLLECTOR(waitrate, new_waitrate,
	     .help = "Containers that wait for a CPU more than they used to, and who ran instead.",
	     .options = rows, .options_size = sizeof(struct waitrate_options));
