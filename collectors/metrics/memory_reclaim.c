// SPDX-License-Identifier: Apache-2.0
// Who had to free memory: tasks themselves, stalling meanwhile (direct reclaim), or the kernel's
// own thread ahead of them (kswapd). The host by /proc/vmstat, containers by the same keys of
// memory.stat, which cgroup v1 does not have.
#include <stdlib.h>
#include <string.h>

#include "collectors/metrics/reader.h"

struct kind {
	const char *scanned, *reclaimed; // keys
	bool has_stalls;
};

static const struct kind direct = {"pgscan_direct", "pgsteal_direct", true};
static const struct kind kswapd = {"pgscan_kswapd", "pgsteal_kswapd", false};

#define SCANNED_HELP "Pages that reclaim looked at."
#define RECLAIMED_HELP "Pages that reclaim freed."

// The sum of allocstall_dma, allocstall_normal, ...
static uint64_t stalls(const char *text)
{
	uint64_t sum = 0;

	for (const char *line = strstr(text, "allocstall"); line != NULL;
	     line = strstr(line + 1, "\nallocstall"))
		sum += strtoull(line + 1 + strcspn(line + 1, " "), NULL, 10);
	return sum;
}

static bool visit_container(void *arg, const struct tl_container *container)
{
	struct tl_reader *self = arg;
	const struct kind *kind = self->fixed;
	uint64_t value;

	if (tl_host_readf(&self->text, "%s/memory.stat", container->cgroup[TL_CGROUP_MEMORY]) < 0)
		return true;
	if (tl_host_value(self->text.data, kind->scanned, &value))
		tl_emit_container_counter(self->emit, container, "scanned_pages_total",
					  (double)value, SCANNED_HELP, TL_NO_LABELS);
	if (tl_host_value(self->text.data, kind->reclaimed, &value))
		tl_emit_container_counter(self->emit, container, "reclaimed_pages_total",
					  (double)value, RECLAIMED_HELP, TL_NO_LABELS);
	return true;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct tl_reader *self = arg;
	const struct kind *kind = self->fixed;
	uint64_t value;
	int rc = tl_host_read("/proc/vmstat", &self->text);

	if (rc < 0)
		return rc;
	self->emit = emit;
	if (kind->has_stalls)
		tl_emit_counter(emit, "stalls_total", (double)stalls(self->text.data),
				"Allocations that had to reclaim memory themselves.", TL_NO_LABELS);
	if (tl_host_value(self->text.data, kind->scanned, &value))
		tl_emit_counter(emit, "scanned_pages_total", (double)value, SCANNED_HELP,
				TL_NO_LABELS);
	if (tl_host_value(self->text.data, kind->reclaimed, &value))
		tl_emit_counter(emit, "reclaimed_pages_total", (double)value, RECLAIMED_HELP,
				TL_NO_LABELS);
	(void)tl_container_each(visit_container, self);
	return 0;
}

static const struct tl_collector_ops ops = {.update = update, .close = tl_reader_close};

static int new_direct(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	return tl_reader_new_of(setup, "/proc/vmstat", &ops, &direct, ret);
}

static int new_async(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	return tl_reader_new_of(setup, "/proc/vmstat", &ops, &kswapd, ret);
}

TL_COLLECTOR(memory_directreclaim, new_direct, .help = "Memory freed by tasks that needed it.");
TL_COLLECTOR(memory_asyncreclaim, new_async, .help = "Memory freed ahead by kswapd.");
