// SPDX-License-Identifier: Apache-2.0
// How busy the CPUs are: of the host as a share of all CPUs, of a container as a share of the cores
// it may use. Shares are taken over the time since the previous update.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/collector.h"

struct used {
	uint64_t user_ns, system_ns, total_ns;
};

struct past {
	char id[TL_CONTAINER_ID_BYTES];
	struct used used;
	uint64_t at_ns;
	uint64_t round; // of the update that saw it last
};

struct cpu {
	struct tl_text text;
	uint64_t user, system, idle; // of the host, in ticks
	bool has_past;
	uint64_t round;
	uint32_t past_count;
	struct past past[TL_CONTAINERS_MAX];
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

static bool read_v2(struct cpu *self, const char *cgroup, struct used *ret)
{
	if (tl_host_readf(&self->text, "%s/cpu.stat", cgroup) < 0 ||
	    !tl_host_value(self->text.data, "usage_usec", &ret->total_ns))
		return false;
	(void)tl_host_value(self->text.data, "user_usec", &ret->user_ns);
	(void)tl_host_value(self->text.data, "system_usec", &ret->system_ns);
	ret->total_ns *= 1000;
	ret->user_ns *= 1000;
	ret->system_ns *= 1000;
	return true;
}

static bool read_number(const char *cgroup, const char *file, uint64_t *ret)
{
	char path[TL_CONTAINER_PATH_BYTES + 64];

	(void)snprintf(path, sizeof(path), "%s/%s", cgroup, file);
	return tl_host_number(path, ret) == 0;
}

static bool read_v1(struct cpu *self, const char *cgroup, struct used *ret)
{
	uint64_t tick_ns = 1000000000 / (uint64_t)sysconf(_SC_CLK_TCK);

	if (!read_number(cgroup, "cpuacct.usage", &ret->total_ns))
		return false;
	if (read_number(cgroup, "cpuacct.usage_user", &ret->user_ns) &&
	    read_number(cgroup, "cpuacct.usage_sys", &ret->system_ns))
		return true;
	if (tl_host_readf(&self->text, "%s/cpuacct.stat", cgroup) < 0)
		return true;
	(void)tl_host_value(self->text.data, "user", &ret->user_ns);
	(void)tl_host_value(self->text.data, "system", &ret->system_ns);
	ret->user_ns *= tick_ns;
	ret->system_ns *= tick_ns;
	return true;
}

// Cores that the container may use: its quota, at most the host's.
static double cores_of(struct cpu *self, const struct tl_container *container)
{
	double online = (double)sysconf(_SC_NPROCESSORS_ONLN);
	const char *cgroup = container->cgroup[TL_CGROUP_CPU];
	uint64_t quota = 0, period = 0;
	unsigned long long length = 0;
	char word[32];

	if (container->is_v2) {
		if (tl_host_readf(&self->text, "%s/cpu.max", cgroup) == 0 &&
		    sscanf(self->text.data, "%31s %llu", word, &length) == 2)
			quota = strtoull(word, NULL, 10); // 0 for "max"
		period = length;
	} else if (!read_number(cgroup, "cpu.cfs_quota_us", &quota) ||
		   !read_number(cgroup, "cpu.cfs_period_us", &period)) {
		quota = 0;
	}
	if (quota == 0 || quota > INT64_MAX || period == 0) // v1: -1 is no quota
		return online;
	double cores = (double)quota / (double)period;
	return cores < online ? cores : online;
}

// NULL when the table is full of containers that are still there.
static struct past *past_of(struct cpu *self, const char *id, bool *ret_is_new)
{
	struct past *place = NULL;

	*ret_is_new = false;
	for (uint32_t i = 0; i < self->past_count; i++) {
		struct past *past = &self->past[i];
		if (strcmp(past->id, id) == 0)
			return past;
		if (past->round + 1 < self->round)
			place = past;
	}
	if (place == NULL && self->past_count < TL_CONTAINERS_MAX)
		place = &self->past[self->past_count++];
	if (place != NULL)
		(void)snprintf(place->id, sizeof(place->id), "%s", id);
	*ret_is_new = true;
	return place;
}

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
	struct used used = {0};
	bool is_new;

	bool has_values = container->is_v2 ?
		read_v2(self, container->cgroup[TL_CGROUP_CPU], &used) :
		read_v1(self, container->cgroup[TL_CGROUP_CPUACCT], &used);
	struct past *past = has_values ? past_of(self, container->id, &is_new) : NULL;
	if (past == NULL)
		return true;
	double cores = cores_of(self, container);
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
	past->round = self->round;
	return true;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct cpu *self = arg;
	struct visit visit = {self, emit};

	self->round++;
	(void)tl_container_each(visit_container, &visit);
	return update_host(self, emit);
}

static void close_self(void *arg)
{
	struct cpu *self = arg;

	tl_text_free(&self->text);
	free(self);
}

static const struct tl_collector_ops ops = {.update = update, .close = close_self};

static int new_cpu(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	if (!tl_host_exists("/proc/stat")) {
		tl_collector_says(setup, "there is no /proc/stat");
		return -EOPNOTSUPP;
	}
	*ret = (struct tl_collector) {
		.ops = &ops, .self = calloc(1, sizeof(struct cpu)), .flags = TL_METRIC};
	return ret->self == NULL ? -ENOMEM : 0;
}

TL_COLLECTOR(cpu, new_cpu,
	     .help = "Busy share of the CPUs, of the host and of containers.");
