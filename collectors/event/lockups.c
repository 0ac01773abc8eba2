// SPDX-License-Identifier: Apache-2.0
// What the kernel's own watchdogs say in its log: a CPU that does not schedule (softlockup), a task
// that does not run (hungtask), each with the call trace that follows. Saves are spaced by a
// backoff, the counter always counts.
#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/kmsg.h"

#define MINUTE_NS UINT64_C(60000000000)
#define BACKOFF_MIN_NS (10 * MINUTE_NS)
#define BACKOFF_MAX_NS (180 * MINUTE_NS)
#define BACKOFF_DECAY_NS (60 * MINUTE_NS) // quiet for so long: the first pause again

// Makes tracer_data of the line; NULL when it is not the watchdog's.
typedef json_t *parse_fn(const char *line);

struct watchdog {
	const char *name;
	parse_fn *parse;
	const char *stack_key;
};

struct lockups {
	const struct watchdog *watchdog;
	_Atomic uint64_t count;
	uint64_t saved_ns, pause_ns; // of the backoff
};

// "watchdog: BUG: soft lockup - CPU#1 stuck for 23s! [comm:6206]"
static json_t *parse_softlockup(const char *line)
{
	const char *at = strstr(line, "BUG: soft lockup - CPU#");
	char comm[64] = "";
	int cpu, seconds, pid = 0;

	if (at == NULL || sscanf(at, "BUG: soft lockup - CPU#%d stuck for %ds!", &cpu, &seconds) != 2)
		return NULL;
	const char *open = strchr(at, '['), *colon = strrchr(at, ':');
	if (open != NULL && colon != NULL && colon > open) {
		(void)snprintf(comm, sizeof(comm), "%.*s", (int)(colon - open - 1), open + 1);
		pid = (int)strtol(colon + 1, NULL, 10);
	}
	return json_pack("{s:i, s:i, s:s, s:i}", "cpu", cpu, "pid", pid, "comm", comm,
			 "stuck_seconds", seconds);
}

// "INFO: task comm:1234 blocked for more than 120 seconds."
static json_t *parse_hungtask(const char *line)
{
	const char *at = strstr(line, "INFO: task "), *end = strstr(line, " blocked for more than ");

	if (at == NULL || end == NULL)
		return NULL;
	at += strlen("INFO: task ");
	const char *colon = end;
	while (colon > at && *colon != ':')
		colon--;
	char comm[64];
	(void)snprintf(comm, sizeof(comm), "%.*s", (int)(colon - at), at);
	return json_pack("{s:i, s:s, s:i}", "tid", (int)strtol(colon + 1, NULL, 10), "comm", comm,
			 "hung_task_timeout_secs",
			 (int)strtol(end + strlen(" blocked for more than "), NULL, 10));
}

static bool may_save(struct lockups *self)
{
	uint64_t now_ns = tl_host_clock_ns();

	if (self->saved_ns != 0 && now_ns - self->saved_ns < self->pause_ns)
		return false;
	bool is_quiet = self->saved_ns == 0 ||
			now_ns - self->saved_ns >= self->pause_ns + BACKOFF_DECAY_NS;
	self->pause_ns = is_quiet ? BACKOFF_MIN_NS : self->pause_ns * 2;
	if (self->pause_ns > BACKOFF_MAX_NS)
		self->pause_ns = BACKOFF_MAX_NS;
	self->saved_ns = now_ns;
	return true;
}

static int save(const struct watchdog *watchdog, json_t *data, const struct tl_text *stack)
{
	uint32_t pid = (uint32_t)json_integer_value(json_object_get(data, "pid"));
	struct tl_container *container = calloc(1, sizeof(*container));

	if (pid == 0)
		pid = (uint32_t)json_integer_value(json_object_get(data, "tid"));
	bool is_inside = container != NULL && pid != 0 && tl_container_by_pid(pid, container);
	(void)json_object_set_new(data, watchdog->stack_key, json_string(stack->data));
	char *json = json_dumps(data, JSON_COMPACT);
	int rc = json == NULL ? -EINVAL :
		tl_store_save(watchdog->name, is_inside ? container->id : "", tl_host_time_ns(), json);
	free(json);
	free(container);
	return rc;
}

static int start(void *arg, struct tl_ctx *ctx)
{
	struct lockups *self = arg;
	struct tl_text stack = {0};
	struct tl_kmsg *kmsg;
	const char *message;
	int rc = tl_kmsg_open(&kmsg);

	if (rc < 0)
		return rc;
	while ((message = tl_kmsg_next(kmsg, ctx, 0)) != NULL) {
		json_t *data = self->watchdog->parse(message);
		if (data == NULL)
			continue;
		atomic_fetch_add(&self->count, 1);
		if (may_save(self)) {
			tl_kmsg_gather(kmsg, ctx, "</TASK>", &stack);
			rc = save(self->watchdog, data, &stack);
		}
		json_decref(data);
	}
	tl_kmsg_close(kmsg);
	tl_text_free(&stack);
	return rc;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct lockups *self = arg;

	tl_emit_counter(emit, "total", (double)atomic_load(&self->count),
			"Times that the kernel's watchdog spoke up.", TL_NO_LABELS);
	return 0;
}

static const struct tl_collector_ops ops = {.start = start, .update = update, .close = free};

static int make(const struct tl_collector_setup *setup, const struct watchdog *watchdog,
		const char *setting, struct tl_collector *ret)
{
	if (!tl_host_exists("/dev/kmsg") || !tl_host_exists(setting)) {
		tl_collector_says(setup, "there is no %s",
				  tl_host_exists("/dev/kmsg") ? setting : "/dev/kmsg");
		return -EOPNOTSUPP;
	}
	struct lockups *self = calloc(1, sizeof(*self));
	if (self == NULL)
		return -ENOMEM;
	self->watchdog = watchdog;
	*ret = (struct tl_collector) {
		.ops = &ops, .self = self, .interval_s = 10, .flags = TL_TRACING | TL_METRIC};
	return 0;
}

static int new_softlockup(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	static const struct watchdog watchdog = {"softlockup", parse_softlockup, "cpus_stack"};

	return make(setup, &watchdog, "/proc/sys/kernel/watchdog_thresh", ret);
}

static int new_hungtask(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	static const struct watchdog watchdog = {"hungtask", parse_hungtask,
						 "blocked_processes_stack"};

	return make(setup, &watchdog, "/proc/sys/kernel/hung_task_timeout_secs", ret);
}

TL_COLLECTOR(softlockup, new_softlockup, .help = "CPUs that did not schedule for too long.");
TL_COLLECTOR(hungtask, new_hungtask, .help = "Tasks that did not run for too long.");
