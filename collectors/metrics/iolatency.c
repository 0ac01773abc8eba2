// SPDX-License-Identifier: Apache-2.0
// How long requests to disks take: from being made (q) or given to the driver (d) to completion (c).
// Sums are the kernel's own (/proc/diskstats); by zones, from the driver on, and by container only
// a program in the kernel can count (collectors.probes).
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "collectors/bpf/bpf.h"
#include "collectors/metrics/iolatency.h"

TL_BPF_CODE(iolatency);
TL_BPF_CODE(iolatency_tp);

static const char *const ops[IOLATENCY_OPS] = {"read", "write", "flush", "discard"};
static const char *const zones[IOLATENCY_ZONES] = {"0-20ms",    "20-30ms",   "30-50ms", "50-100ms",
						   "100-200ms", "200-400ms", "400ms-"};

struct disk {
	uint32_t device; // as in iolatency_key
	char name[32];
};

// A container's directory of the block controller.
struct group {
	uint64_t inode;
	struct tl_container container;
};

struct iolatency {
	struct tl_bpf_ref ref;
	struct tl_text text;
	struct tl_emit *emit;
	uint32_t disk_count;
	struct disk disks[IOLATENCY_DISKS_MAX];
	uint32_t group_count;
	struct group *groups;
};

// ---- Sums ----------------------------------------------------------------------------------------

static void emit_sums(struct iolatency *self, const char *device, const uint64_t *fields)
{
	// Requests completed and milliseconds that they took, of each op.
	static const uint8_t places[IOLATENCY_OPS][2] = {{0, 3}, {4, 7}, {15, 16}, {11, 14}};

	for (uint32_t op = 0; op < IOLATENCY_OPS; op++) {
		const struct tl_label *labels = TL_LABELS({"device", device}, {"op", ops[op]});
		if (fields[places[op][1]] == UINT64_MAX)
			continue;
		tl_emit_counter(self->emit, "requests_total", (double)fields[places[op][0]],
				"Requests that were completed.", labels);
		tl_emit_counter(self->emit, "q2c_seconds_total",
				(double)fields[places[op][1]] / 1000,
				"Time from making requests to their completion.", labels);
	}
}

// Names the disks and emits what the kernel counts. Discards came with 4.18, flushes with 5.5.
static int read_diskstats(struct iolatency *self)
{
	int rc = tl_host_read("/proc/diskstats", &self->text);
	char *rest = self->text.data, *line;

	self->disk_count = 0;
	while (rc == 0 && (line = tl_host_line(&rest)) != NULL) {
		uint64_t fields[17];
		const char *major = tl_host_word(&line), *minor = tl_host_word(&line);
		const char *name = tl_host_word(&line), *word = name;
		if (name == NULL)
			continue;
		for (uint32_t i = 0; i < TL_COUNT_OF(fields); i++) {
			word = word == NULL ? NULL : tl_host_word(&line);
			fields[i] = word == NULL ? UINT64_MAX : strtoull(word, NULL, 10);
		}
		emit_sums(self, name, fields);
		if (self->disk_count == IOLATENCY_DISKS_MAX)
			continue;
		struct disk *disk = &self->disks[self->disk_count++];
		disk->device = (uint32_t)(strtoul(major, NULL, 10) << 20 | strtoul(minor, NULL, 10));
		(void)snprintf(disk->name, sizeof(disk->name), "%s", name);
	}
	return rc;
}

// ---- Zones ---------------------------------------------------------------------------------------

static const char *name_of(const struct iolatency *self, uint32_t device)
{
	for (uint32_t i = 0; i < self->disk_count; i++)
		if (self->disks[i].device == device)
			return self->disks[i].name;
	return NULL; // it has gone
}

static void emit_zones(struct iolatency *self, const struct tl_container *container,
		       const struct iolatency_key *key, const struct iolatency_value *value)
{
	const char *device = name_of(self, key->device);

	if (device == NULL || key->op >= IOLATENCY_OPS)
		return;
	for (uint32_t i = 0; i < IOLATENCY_ZONES; i++) {
		const struct tl_label *labels = TL_LABELS({"device", device}, {"op", ops[key->op]},
							  {"zone", zones[i]});
		tl_emit_container_counter(self->emit, container, "q2c_requests_total",
					  (double)value->q2c_zones[i],
					  "Requests by the time from being made to completion.", labels);
		tl_emit_container_counter(self->emit, container, "d2c_requests_total",
					  (double)value->d2c_zones[i],
					  "Requests by the time that the driver and the device took.", labels);
	}
	const struct tl_label *labels = TL_LABELS({"device", device}, {"op", ops[key->op]});
	tl_emit_container_counter(self->emit, container, "d2c_seconds_total",
				  (double)value->d2c_ns / 1e9,
				  "Time that the driver and the device took for requests.", labels);
	if (container != NULL)
		tl_emit_container_counter(self->emit, container, "q2c_seconds_total",
					  (double)value->q2c_ns / 1e9,
					  "Time from making requests to their completion.", labels);
}

static bool visit_disk(void *arg, const void *key, const void *value)
{
	emit_zones(arg, NULL, key, value);
	return true;
}

static bool visit_group(void *arg, const void *key, const void *value)
{
	struct iolatency *self = arg;
	const struct iolatency_key *k = key;

	for (uint32_t i = 0; i < self->group_count; i++)
		if (self->groups[i].inode == k->cgroup) {
			emit_zones(self, &self->groups[i].container, k, value);
			break;
		}
	return true;
}

static bool note_container(void *arg, const struct tl_container *container)
{
	struct iolatency *self = arg;
	char path[PATH_MAX];
	struct stat st;

	if (self->group_count < TL_CONTAINERS_MAX && container->cgroup[TL_CGROUP_BLKIO][0] != '\0' &&
	    stat(tl_host_path(container->cgroup[TL_CGROUP_BLKIO], path, sizeof(path)), &st) == 0) {
		struct group *group = &self->groups[self->group_count];
		struct group *groups = realloc(self->groups,
					       (self->group_count + 1) * sizeof(*groups));
		if (groups == NULL)
			return false;
		self->groups = groups;
		group = &groups[self->group_count++];
		group->inode = st.st_ino;
		group->container = *container;
	}
	return true;
}

static int emit_probed(struct iolatency *self, struct tl_bpf *bpf)
{
	int rc = tl_bpf_each(bpf, "disks", visit_disk, self);

	self->group_count = 0;
	(void)tl_container_each(note_container, self);
	if (rc == 0 && self->group_count != 0)
		rc = tl_bpf_each(bpf, "groups", visit_group, self);
	return rc;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct iolatency *self = arg;

	self->emit = emit;
	int rc = read_diskstats(self);
	struct tl_bpf *bpf = tl_bpf_acquire(&self->ref);
	if (bpf != NULL && rc == 0)
		rc = emit_probed(self, bpf);
	tl_bpf_release(bpf);
	return rc;
}

// ---- The probe -----------------------------------------------------------------------------------

static int start(void *arg, struct tl_ctx *ctx)
{
	static const struct tl_bpf_field fields[] = {
		{"getrq_dev", "block/block_getrq", "dev"},
		{"getrq_sector", "block/block_getrq", "sector"},
		{"issue_dev", "block/block_rq_issue", "dev"},
		{"issue_sector", "block/block_rq_issue", "sector"},
		{"done_dev", "block/block_rq_complete", "dev"},
		{"done_sector", "block/block_rq_complete", "sector"},
		{"done_rwbs", "block/block_rq_complete", "rwbs"},
		{NULL, NULL, NULL},
	};
	static const struct tl_bpf_hook hooks[] = {
		{.name = "tp_btf", .code = &tl_bpf_code_iolatency},
		{.name = "tracepoint", .code = &tl_bpf_code_iolatency_tp, .fields = fields},
		{.name = NULL},
	};
	struct iolatency *self = arg;

	return tl_bpf_serve(ctx, hooks, &self->ref);
}

static void close_self(void *arg)
{
	struct iolatency *self = arg;

	(void)pthread_mutex_destroy(&self->ref.lock);
	tl_text_free(&self->text);
	free(self->groups);
	free(self);
}

static const struct tl_collector_ops collector_ops = {
	.start = start, .update = update, .close = close_self};

static int new_iolatency(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	if (!tl_host_exists("/proc/diskstats")) {
		tl_collector_says(setup, "there is no /proc/diskstats");
		return -EOPNOTSUPP;
	}
	struct iolatency *self = calloc(1, sizeof(*self));
	if (self == NULL)
		return -ENOMEM;
	(void)pthread_mutex_init(&self->ref.lock, NULL);
	*ret = (struct tl_collector) {.ops = &collector_ops, .self = self, .interval_s = 10,
				      .flags = TL_TRACING | TL_METRIC | TL_PROBE};
	return 0;
}

TL_COLLECTOR(iolatency, new_iolatency, .help = "How long requests to disks take.");
