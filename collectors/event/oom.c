// SPDX-License-Identifier: Apache-2.0
// The kernel killed a process for lack of memory: who, in which cgroup, on whose allocation. Read
// from the kernel's log, which tells more than its tracepoint and is there on every kernel.
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jansson.h"
#include "collectors/event/gate.h"
#include "collectors/event/oom_report.h"
#include "collectors/kmsg.h"

struct oom_options {
	uint64_t rate;
};

static const struct tl_option rows[] = {
	TL_EVENT_RATE_ROW(struct oom_options, rate, "100"),
	TL_OPTION_END,
};

struct oom {
	_Atomic uint64_t host, container; // victims, counted by update()
	_Atomic uint64_t suppressed;
	struct tl_event_gate gate;
	struct tl_oom_report report;
	struct tl_container owner;        // of the victim
};

static json_t *host_memory(void)
{
	static const char *const keys[] = {
		"MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapCached", "Active",
		"Inactive", "Active(anon)", "Inactive(anon)", "Mlocked", "SwapTotal", "SwapFree",
		"AnonPages", "Shmem", "Slab", "SUnreclaim", "PageTables"};
	struct tl_text text = {0};
	json_t *object = json_object();
	uint64_t kilobytes;

	if (tl_host_read("/proc/meminfo", &text) == 0)
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			if (tl_host_value(text.data, keys[i], &kilobytes))
				(void)json_object_set_new(object, keys[i],
							  json_integer((json_int_t)kilobytes * 1024));
	tl_text_free(&text);
	return object;
}

static void set_bytes(json_t *object, const char *key, uint64_t bytes)
{
	if (bytes != 0 && bytes < INT64_MAX)
		(void)json_object_set_new(object, key, json_integer((json_int_t)bytes));
}

// memory.events of a v2 cgroup: how often it met which of its limits.
static json_t *events_of(const char *directory)
{
	struct tl_text text = {0};
	json_t *events = NULL;
	char *rest, *line;

	if (tl_host_readf(&text, "%s/memory.events", directory) == 0) {
		events = json_object();
		for (rest = text.data; (line = tl_host_line(&rest)) != NULL;) {
			const char *key = tl_host_word(&line);
			const char *value = key == NULL ? NULL : tl_host_word(&line);
			if (value != NULL)
				(void)json_object_set_new(events, key,
							  json_integer(strtoll(value, NULL, 10)));
		}
	}
	tl_text_free(&text);
	return events;
}

// The cgroup that was full, as the kernel told it; what it did not tell is read from the files of
// the victim's container, which outlive the process.
static json_t *cgroup_of(const struct tl_oom_report *report, const struct tl_container *owner)
{
	const char *directory = owner->cgroup[TL_CGROUP_MEMORY];
	json_t *cgroup = json_pack("{s:s}", "path", report->cgroup);
	char path[TL_CONTAINER_PATH_BYTES + 64];
	uint64_t usage = report->usage_bytes, limit = report->limit_bytes;

	if (report->limited_by[0] != '\0' && strcmp(report->limited_by, report->cgroup) != 0)
		(void)json_object_set_new(cgroup, "limited_by", json_string(report->limited_by));
	if (usage == 0 && directory[0] != '\0') {
		(void)snprintf(path, sizeof(path), "%s/memory.%s", directory,
			       owner->is_v2 ? "current" : "usage_in_bytes");
		(void)tl_host_number(path, &usage);
		(void)snprintf(path, sizeof(path), "%s/memory.%s", directory,
			       owner->is_v2 ? "max" : "limit_in_bytes");
		(void)tl_host_number(path, &limit);
	}
	set_bytes(cgroup, "current", usage);
	set_bytes(cgroup, "max", limit);
	if (report->stat != NULL)
		(void)json_object_set(cgroup, "stat", report->stat);
	json_t *events = directory[0] == '\0' ? NULL : events_of(directory);
	if (events != NULL)
		(void)json_object_set_new(cgroup, "events", events);
	return cgroup;
}

// The container whose id is the last one in a cgroup path; false for the host's own.
static bool container_in(const char *path, struct tl_container *ret)
{
	*ret = (struct tl_container) {0};
	for (const char *at = path; *at != '\0'; at++) {
		size_t len = strspn(at, "0123456789abcdef");
		char id[TL_CONTAINER_ID_BYTES];
		if (len != TL_CONTAINER_ID_BYTES - 1) {
			at += len == 0 ? 0 : len - 1;
			continue;
		}
		(void)snprintf(id, sizeof(id), "%.*s", (int)len, at);
		if (tl_container_by_id(id, ret))
			return true;
		*ret = (struct tl_container) {0};
		memcpy(ret->id, id, sizeof(id));
		return true;
	}
	return false;
}

static json_t *victim_of(const struct tl_oom_report *report, const struct tl_container *owner)
{
	json_t *victim = json_pack("{s:I, s:s, s:s, s:s, s:o}", "pid", (json_int_t)report->victim_pid,
				   "comm", report->victim, "container_id", owner->id,
				   "container_hostname", owner->hostname, "cgroup",
				   cgroup_of(report, owner));

	set_bytes(victim, "total_vm", report->total_bytes);
	set_bytes(victim, "anon_rss", report->anon_bytes);
	set_bytes(victim, "file_rss", report->file_bytes);
	set_bytes(victim, "shmem_rss", report->shmem_bytes);
	set_bytes(victim, "page_tables", report->page_table_bytes);
	(void)json_object_set_new(victim, "uid", json_integer(report->uid));
	(void)json_object_set_new(victim, "oom_score_adj", json_integer(report->score_adj));
	return victim;
}

static json_t *trigger_of(const struct tl_oom_report *report)
{
	struct tl_container *owner = calloc(1, sizeof(*owner));
	json_t *trigger = json_pack("{s:s}", "comm", report->trigger);

	if (report->trigger_tid != 0)
		(void)json_object_set_new(trigger, "pid", json_integer(report->trigger_tid));
	// A task that was killed itself may be gone by now; its record is that of the victim.
	if (owner != NULL && report->trigger_tid != 0 &&
	    tl_container_by_pid(report->trigger_tid, owner)) {
		(void)json_object_set_new(trigger, "container_id", json_string(owner->id));
		(void)json_object_set_new(trigger, "container_hostname",
					  tl_text_as_json(owner->hostname));
	}
	free(owner);
	return trigger;
}

static int save(const struct tl_oom_report *report, const struct tl_container *owner)
{
	json_t *data = json_pack("{s:s, s:o, s:o, s:{s:o}}", "constraint", report->constraint,
				 "trigger", trigger_of(report), "victim", victim_of(report, owner),
				 "memory_snapshot", "host_meminfo", host_memory());

	if (data == NULL)
		return -ENOMEM;
	if (report->gfp_mask[0] != '\0') {
		(void)json_object_set_new(data, "gfp_mask", json_string(report->gfp_mask));
		(void)json_object_set_new(data, "order", json_integer(report->order));
	}
	if (report->stack.len != 0)
		(void)json_object_set_new(data, "stack", json_string(report->stack.data));
	char *json = json_dumps(data, JSON_COMPACT);
	int rc = json == NULL ? -EINVAL : tl_store_save("oom", owner->id, tl_host_time_ns(), json);
	free(json);
	json_decref(data);
	return rc;
}

static int start(void *arg, struct tl_ctx *ctx)
{
	struct oom *self = arg;
	struct oom_options options;
	struct tl_kmsg *kmsg;
	const char *message;
	int rc = tl_kmsg_open(&kmsg);

	if (rc < 0)
		return rc;
	tl_ctx_hook(ctx, "/dev/kmsg");
	while ((message = tl_kmsg_next(kmsg, ctx, 0)) != NULL) {
		if (!tl_oom_report_line(&self->report, message))
			continue;
		bool is_inside = container_in(self->report.cgroup, &self->owner) ||
				 (self->report.cgroup[0] == '\0' && // not told: it may be there still
				  tl_container_by_pid(self->report.victim_pid, &self->owner));
		atomic_fetch_add(is_inside ? &self->container : &self->host, 1);
		tl_ctx_options(ctx, &options, sizeof(options));
		if (tl_event_gate_pass(&self->gate, options.rate, tl_host_clock_ns()))
			rc = save(&self->report, &self->owner);
		else
			atomic_fetch_add(&self->suppressed, 1);
	}
	tl_kmsg_close(kmsg);
	tl_oom_report_clear(&self->report);
	return rc;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct oom *self = arg;

	tl_emit_counter(emit, "host_total", (double)atomic_load(&self->host),
			"Processes killed outside of containers.", TL_NO_LABELS);
	tl_emit_counter(emit, "container_total", (double)atomic_load(&self->container),
			"Processes killed in containers.", TL_NO_LABELS);
	tl_emit_counter(emit, "suppressed_total", (double)atomic_load(&self->suppressed),
			"Kills that were counted, but not saved (collectors.oom.rate).",
			TL_NO_LABELS);
	return 0;
}

static const struct tl_collector_ops ops = {.start = start, .update = update, .close = free};

static int new_oom(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	if (!tl_host_exists("/dev/kmsg")) {
		tl_collector_says(setup, "there is no /dev/kmsg");
		return -EOPNOTSUPP;
	}
	*ret = (struct tl_collector) {.ops = &ops, .self = calloc(1, sizeof(struct oom)),
				      .interval_s = 10, .flags = TL_TRACING | TL_METRIC};
	return ret->self == NULL ? -ENOMEM : 0;
}

TL_COLLECTOR(oom, new_oom, .help = "Processes killed for lack of memory.", .options = rows,
	     .options_size = sizeof(struct oom_options));
