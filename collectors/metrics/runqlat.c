// SPDX-License-Identifier: Apache-2.0
// How long tasks that can run wait for a CPU, of the host and of containers. No file tells this for
// a host: a probe (collectors.probes).
#include <errno.h>
#include <stdlib.h>

#include "collectors/bpf/bpf.h"
#include "collectors/metrics/runqlat.h"

TL_BPF_CODE(runqlat);
TL_BPF_CODE(runqlat_tp);

static const char *const zones[RUNQLAT_ZONES] = {"0-10ms", "10-20ms", "20-50ms", "50ms-"};

struct runqlat {
	struct tl_bpf_ref ref;
	struct tl_bpf *bpf; // of the present update
	struct tl_emit *emit;
};

static void emit_value(const struct runqlat *self, const struct tl_container *container,
		       const struct runqlat_value *value)
{
	for (uint32_t i = 0; i < RUNQLAT_ZONES; i++)
		tl_emit_container_counter(self->emit, container, "latency_total",
					  (double)value->zones[i],
					  "Times that a task got a CPU, by how long it had waited.",
					  TL_LABELS({"zone", zones[i]}));
	tl_emit_container_counter(self->emit, container, "wait_seconds_total",
				  (double)value->wait_ns / 1e9,
				  "Time that tasks which could run waited for a CPU.", TL_NO_LABELS);
}

static bool visit_container(void *arg, const struct tl_container *container)
{
	const struct runqlat *self = arg;
	struct runqlat_value value = {0};

	// One that has not run yet has no entry: it has waited for nothing.
	int rc = tl_bpf_read(self->bpf, "groups", &container->cgroup_id, &value);
	if (rc == 0 || rc == -ENOENT)
		emit_value(self, container, &value);
	return true;
}

static int read_host(struct tl_bpf *bpf, struct runqlat_value *ret)
{
	const uint32_t key = 0, words = sizeof(*ret) / sizeof(uint64_t);
	uint64_t *values = calloc(tl_bpf_cpus(), sizeof(*ret)), sums[sizeof(*ret) / sizeof(uint64_t)];
	int rc = values == NULL ? -ENOMEM : tl_bpf_read(bpf, "host", &key, values);

	if (rc == 0) {
		tl_bpf_sum(values, words, sums);
		for (uint32_t i = 0; i < RUNQLAT_ZONES; i++)
			ret->zones[i] = sums[i];
		ret->wait_ns = sums[RUNQLAT_ZONES];
	}
	free(values);
	return rc;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct runqlat *self = arg;
	struct runqlat_value value;

	self->emit = emit;
	self->bpf = tl_bpf_acquire(&self->ref);
	if (self->bpf == NULL)
		return 0; // the probe is off
	int rc = read_host(self->bpf, &value);
	if (rc == 0) {
		emit_value(self, NULL, &value);
		if (tl_bpf_hook_is(self->bpf, "tp_btf"))
			(void)tl_container_each(visit_container, self);
	}
	tl_bpf_release(self->bpf);
	return rc;
}

static int start(void *arg, struct tl_ctx *ctx)
{
	static const struct tl_bpf_field fields[] = {
		{"wakeup_pid", "sched/sched_wakeup", "pid"},
		{"wakeup_new_pid", "sched/sched_wakeup_new", "pid"},
		{"switch_prev_pid", "sched/sched_switch", "prev_pid"},
		{"switch_prev_state", "sched/sched_switch", "prev_state"},
		{"switch_next_pid", "sched/sched_switch", "next_pid"},
		{NULL, NULL, NULL},
	};
	static const struct tl_bpf_hook hooks[] = {
		{.name = "tp_btf", .code = &tl_bpf_code_runqlat},
		{.name = "tracepoint", .code = &tl_bpf_code_runqlat_tp, .fields = fields},
		{.name = NULL},
	};
	struct runqlat *self = arg;

	return tl_bpf_serve(ctx, hooks, &self->ref);
}

static void close_self(void *arg)
{
	struct runqlat *self = arg;

	(void)pthread_mutex_destroy(&self->ref.lock);
	free(self);
}

static const struct tl_collector_ops ops = {.start = start, .update = update, .close = close_self};

static int new_runqlat(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	struct runqlat *self = calloc(1, sizeof(*self));

	(void)setup;
	if (self == NULL)
		return -ENOMEM;
	(void)pthread_mutex_init(&self->ref.lock, NULL);
	*ret = (struct tl_collector) {.ops = &ops, .self = self, .interval_s = 10,
				      .flags = TL_TRACING | TL_METRIC | TL_PROBE};
	return 0;
}

TL_COLLECTOR(runqlat, new_runqlat, .help = "How long tasks wait for a CPU.");
