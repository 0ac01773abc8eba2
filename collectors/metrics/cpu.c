// SPDX-License-Identifier: Apache-2.0
// How busy the CPUs are: of the host as a share of all CPUs, of a container as a share of the cores
// it may use. Shares are taken over the time since the previous update.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "collectors/collector.h"
#include "collectors/container/usage.h"
#include "collectors/past.h"

struct sample {
	struct tl_cpu_used used;
	uint64_t at_ns;
};

struct cpu {
	struct tl_text text;
	uint64_t user, system, idle; // of the host, in ticks
	bool has_past;
	struct tl_past *past; // struct sample
};

// ---- The host ------------------------------------------------------------------------------------

static int update_host(struct cpu *self, struct tl_emit *emit)
{
	unsigned long long t[8] = {0};
	int rc = tl_host_read("/proc/stat", &self->text);

	if (rc < 0)
		return rc;
	// user nice system idle iowait irq softirq steal; guest time is contained in user's.
	if (sscanf(self->text.data, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1],
		   &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) < 4)
		return -EBADMSG;
	uint64_t user = t[0] + t[1], system = t[2] + t[5] + t[6], idle = t[3] + t[4] + t[7];
	double users = (double)(user - self->user), systems = (double)(system - self->system);
	double all = users + systems + (double)(idle - self->idle);
	bool has_past = self->has_past && all > 0;

	self->user = user;
	self->system = system;
	self->idle = idle;
	self->has_past = true;
	if (!has_past)
		return 0;
	tl_emit_gauge(emit, "usr", 100 * users / all,
		      "Share of all CPUs that ran user code, percent.", TL_NO_LABELS);
	tl_emit_gauge(emit, "sys", 100 * systems / all,
		      "Share of all CPUs that ran the kernel, percent.", TL_NO_LABELS);
	tl_emit_gauge(emit, "util", 100 * (users + systems) / all,
		      "Share of all CPUs that was busy, percent.", TL_NO_LABELS);
	return 0;
}

// ---- Containers ----------------------------------------------------------------------------------

static void emit_share(struct tl_emit *emit, const struct tl_container *container, const char *name,
		       uint64_t used_ns, double span, const char *help)
{
	tl_emit_container_gauge(emit, container, name, 100 * (double)used_ns / span, help,
				TL_NO_LABELS);
}

struct visit {
	struct cpu *self;
	struct tl_emit *emit;
};

static bool visit_container(void *arg, const struct tl_container *container)
{
	const struct visit *visit = arg;
	struct cpu *self = visit->self;
	struct tl_cpu_used used;
	bool is_new;

	if (!tl_container_used(container, &self->text, &used))
		return true;
	struct sample *past = tl_past_of(self->past, container->id, &is_new);
	if (past == NULL)
		return true;
	double cores = tl_container_cores(container, &self->text);
	uint64_t now_ns = tl_host_clock_ns();
	double span = is_new ? 0 : (double)(now_ns - past->at_ns) * cores;
	tl_emit_container_gauge(visit->emit, container, "cores", cores,
				"Cores that the container may use.", TL_NO_LABELS);
	if (span > 0) {
		emit_share(visit->emit, container, "usr", used.user_ns - past->used.user_ns, span,
			   "Share of its cores that ran user code, percent.");
		emit_share(visit->emit, container, "sys", used.system_ns - past->used.system_ns,
			   span, "Share of its cores that ran the kernel, percent.");
		emit_share(visit->emit, container, "util", used.total_ns - past->used.total_ns,
			   span, "Share of its cores that was busy, percent.");
	}
	past->used = used;
	past->at_ns = now_ns;
	return true;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct cpu *self = arg;
	struct visit visit = {self, emit};

	tl_past_begin(self->past);
	(void)tl_container_each(visit_container, &visit);
	return update_host(self, emit);
}

static void close_self(void *arg)
{
	struct cpu *self = arg;

	tl_text_free(&self->text);
	tl_past_destroy(self->past);
	free(self);
}

static const struct tl_collector_ops ops = {.update = update, .close = close_self};

static int new_cpu(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	if (!tl_host_exists("/proc/stat")) {
		tl_collector_says(setup, "there is no /proc/stat");
		return -EOPNOTSUPP;
	}
	struct cpu *self = calloc(1, sizeof(*self));
	if (self == NULL)
		return -ENOMEM;
	self->past = tl_past_create(sizeof(struct sample));
	*ret = (struct tl_collector) {.ops = &ops, .self = self, .flags = TL_METRIC};
	return self->past == NULL ? -ENOMEM : 0;
}

TL_COLLECTOR(cpu, new_cpu,
	     .help = "Busy share of the CPUs, of the host and of containers.");
