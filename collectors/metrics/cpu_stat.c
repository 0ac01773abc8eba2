// SPDX-License-Identifier: Apache-2.0
// How often and for how long the CPU quota held a container back.
#include "base/check.h"
#include "collectors/metrics/reader.h"

// cgroup v1 counts in nanoseconds (..._time), v2 in microseconds (..._usec).
static const struct {
	const char *key, *name;
	double factor;
	const char *help;
} counts[] = {
	{"nr_periods", "periods_total", 1, "Enforcement periods of the quota that passed."},
	{"nr_throttled", "throttled_periods_total", 1, "Periods in which the quota ran out."},
	{"throttled_time", "throttled_seconds_total", 1e-9, "Time that the quota held tasks back."},
	{"throttled_usec", "throttled_seconds_total", 1e-6, "Time that the quota held tasks back."},
	{"nr_bursts", "bursts_total", 1, "Periods that used saved quota."},
	{"burst_time", "burst_seconds_total", 1e-9, "Time that ran on saved quota."},
	{"burst_usec", "burst_seconds_total", 1e-6, "Time that ran on saved quota."},
};

static bool visit_container(void *arg, const struct tl_container *container)
{
	struct tl_reader *self = arg;
	uint64_t value;

	if (tl_host_readf(&self->text, "%s/cpu.stat", container->cgroup[TL_CGROUP_CPU]) < 0)
		return true;
	for (uint32_t i = 0; i < TL_COUNT_OF(counts); i++)
		if (tl_host_value(self->text.data, counts[i].key, &value))
			tl_emit_container_counter(self->emit, container, counts[i].name,
						  (double)value * counts[i].factor, counts[i].help,
						  TL_NO_LABELS);
	return true;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct tl_reader *self = arg;

	self->emit = emit;
	(void)tl_container_each(visit_container, self);
	return 0;
}

static const struct tl_collector_ops ops = {.update = update, .close = tl_reader_close};

static int new_cpu_stat(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup;
	return tl_reader_new(&ops, NULL, ret);
}

TL_COLLECTOR(cpu_stat, new_cpu_stat, .help = "Throttling of containers by their CPU quota.");
