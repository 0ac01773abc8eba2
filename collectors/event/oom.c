// SPDX-License-Identifier: Apache-2.0
// The kernel killed a process for lack of memory: who, in which cgroup, on whose allocation. Read
// from the kernel's log, which says this in one line since 5.0 (oom-kill:constraint=...).
#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/kmsg.h"

struct oom {
	_Atomic uint64_t host, container; // victims, counted by update()
	char trigger[64];                 // command of the task whose allocation failed
};

// The value of "key=" up to the next comma.
static void value_of(const char *line, const char *key, char *ret, size_t size)
{
	const char *at = strstr(line, key);

	ret[0] = '\0';
	if (at != NULL)
		(void)snprintf(ret, size, "%.*s", (int)strcspn(at + strlen(key), ","),
			       at + strlen(key));
}

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

// What can still be read of the victim's cgroup: its files outlive the process.
static json_t *cgroup_of(const char *path, const struct tl_container *container)
{
	json_t *cgroup = json_pack("{s:s}", "path", path);
	static const char *const files[][2] = {{"memory.current", "current"},
					       {"memory.max", "max"},
					       {"memory.usage_in_bytes", "current"},
					       {"memory.limit_in_bytes", "max"}};
	char file[TL_CONTAINER_PATH_BYTES + 64];
	uint64_t bytes;

	for (size_t i = 0; container != NULL && i < 4; i++) {
		(void)snprintf(file, sizeof(file), "%s/%s", container->cgroup[TL_CGROUP_MEMORY],
			       files[i][0]);
		if (tl_host_number(file, &bytes) == 0 && bytes < INT64_MAX)
			(void)json_object_set_new(cgroup, files[i][1],
						  json_integer((json_int_t)bytes));
	}
	return cgroup;
}

// The container whose id is the last one in a cgroup path; false for the host's own.
static bool container_in(const char *path, struct tl_container *ret)
{
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

static int save(struct oom *self, const char *line)
{
	struct tl_container *container = calloc(1, sizeof(*container));
	char constraint[64], path[512], comm[64], pid[24];

	if (container == NULL)
		return -ENOMEM;
	value_of(line, "constraint=", constraint, sizeof(constraint));
	value_of(line, "task_memcg=", path, sizeof(path));
	value_of(line, "task=", comm, sizeof(comm));
	value_of(line, "pid=", pid, sizeof(pid));
	bool is_inside = container_in(path, container);
	atomic_fetch_add(is_inside ? &self->container : &self->host, 1);
	json_t *data = json_pack(
		"{s:s, s:{s:s}, s:{s:i, s:s, s:s, s:s, s:o}, s:{s:o}}", "constraint", constraint,
		"trigger", "comm", self->trigger, "victim", "pid", (int)strtol(pid, NULL, 10), "comm",
		comm, "container_id", container->id, "container_hostname", container->hostname,
		"cgroup", cgroup_of(path, is_inside ? container : NULL), "memory_snapshot",
		"host_meminfo", host_memory());
	char *json = data == NULL ? NULL : json_dumps(data, JSON_COMPACT);
	int rc = json == NULL ? -EINVAL :
		tl_store_save("oom", is_inside ? container->id : "", tl_host_time_ns(), json);
	free(json);
	json_decref(data);
	free(container);
	return rc;
}

static int start(void *arg, struct tl_ctx *ctx)
{
	struct oom *self = arg;
	struct tl_kmsg *kmsg;
	const char *message;
	int rc = tl_kmsg_open(&kmsg);

	if (rc < 0)
		return rc;
	while ((message = tl_kmsg_next(kmsg, ctx, 0)) != NULL) {
		const char *invoked = strstr(message, " invoked oom-killer:");
		if (invoked != NULL)
			(void)snprintf(self->trigger, sizeof(self->trigger), "%.*s",
				       (int)(invoked - message), message);
		else if (strncmp(message, "oom-kill:", strlen("oom-kill:")) == 0)
			rc = save(self, message);
	}
	tl_kmsg_close(kmsg);
	return rc;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct oom *self = arg;

	tl_emit_counter(emit, "host_total", (double)atomic_load(&self->host),
			"Processes killed outside of containers.", TL_NO_LABELS);
	tl_emit_counter(emit, "container_total", (double)atomic_load(&self->container),
			"Processes killed in containers.", TL_NO_LABELS);
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

TL_COLLECTOR(oom, new_oom, .help = "Processes killed for lack of memory.");
