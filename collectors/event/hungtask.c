// SPDX-License-Identifier: Apache-2.0
// A task that did not run for kernel.hung_task_timeout_secs. The kernel's log tells of no more than
// kernel.hung_task_warnings, so a program at the tracepoint comes first.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/event/event.h"
#include "collectors/event/watchdog.h"
#include "collectors/host.h"

TL_BPF_CODE(hungtask);

struct hungtask {
	struct tl_event event; // first
	struct tl_watchdog watchdog;
	struct tl_watchdog_options options; // as set last
};

static const struct tl_option rows[] = {TL_WATCHDOG_ROWS, TL_OPTION_END};
static const char timeout_path[] = "/proc/sys/kernel/hung_task_timeout_secs";

// "INFO: task comm:1234 blocked for more than 120 seconds."
static json_t *parse(const char *line, uint32_t *ret_pid)
{
	const char *at = strstr(line, "INFO: task "), *end = strstr(line, " blocked for more than ");
	char comm[64];

	if (at == NULL || end == NULL || end < at)
		return NULL;
	at += strlen("INFO: task ");
	const char *colon = end;
	while (colon > at && *colon != ':')
		colon--;
	(void)snprintf(comm, sizeof(comm), "%.*s", (int)(colon - at), at);
	*ret_pid = (uint32_t)strtoul(colon + 1, NULL, 10);
	return json_pack("{s:i, s:s, s:i}", "tid", (int)*ret_pid, "comm", comm,
			 "hung_task_timeout_secs",
			 (int)strtol(end + strlen(" blocked for more than "), NULL, 10));
}

static void set(struct tl_event *event, struct tl_ctx *ctx, struct tl_event_setting *ret)
{
	struct hungtask *self = (struct hungtask *)event;

	tl_ctx_options(ctx, &self->options, sizeof(self->options));
	ret->rate = UINT32_MAX; // the backoff is the limit
}

static void tell(struct tl_event *event, const void *data, uint32_t size)
{
	struct hungtask *self = (struct hungtask *)event;
	const struct tl_hungtask_record *record = data;
	struct tl_text stack = {0};
	uint64_t timeout_s = 0;

	if (size < sizeof(*record))
		return;
	atomic_fetch_add(&self->watchdog.count, 1);
	if (!tl_watchdog_may_save(&self->watchdog, &self->options, tl_host_clock_ns()))
		return;
	tl_event_find_task(event, &record->task);
	tl_event_stack(&record->stack, &stack);
	(void)tl_host_number(timeout_path, &timeout_s);
	json_t *json = json_pack("{s:I, s:s}", "hung_task_timeout_secs", (json_int_t)timeout_s,
				 "blocked_processes_stack", stack.data);
	tl_event_add_task(json, &record->task);
	tl_event_save(event, record->task.time_ns, json);
	tl_text_free(&stack);
}

static const char *const btf[] = {"hang_btf", NULL};
static const struct tl_bpf_hook hooks[] = {
	{.name = "tp_btf", .code = &tl_bpf_code_hungtask, .programs = btf},
	{.name = NULL},
};
static const struct tl_event_kind kind = {
	.name = "hungtask", .hooks = hooks, .set = set, .tell = tell};

static int start(void *arg, struct tl_ctx *ctx)
{
	struct hungtask *self = arg;
	int rc = tl_event_run(&self->event, ctx);

	if (rc == 0 || tl_ctx_done(ctx))
		return 0;
	tl_ctx_hook(ctx, "/dev/kmsg (no program: %s)", strerror(-rc));
	return tl_watchdog_follow(&self->watchdog, ctx, "hungtask", parse,
				  "blocked_processes_stack");
}

static int update(void *arg, struct tl_emit *emit)
{
	struct hungtask *self = arg;

	return tl_watchdog_update(&self->watchdog, emit);
}

static const struct tl_collector_ops ops = {
	.start = start, .update = update, .close = tl_event_destroy};

static int new_hungtask(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	if (!tl_host_exists("/dev/kmsg") || !tl_host_exists(timeout_path)) {
		tl_collector_says(setup, "there is no %s",
				  tl_host_exists("/dev/kmsg") ? timeout_path : "/dev/kmsg");
		return -EOPNOTSUPP;
	}
	return tl_event_new(&kind, &ops, sizeof(struct hungtask), 10, ret);
}

TL_COLLECTOR(hungtask, new_hungtask, .help = "Tasks that did not run for too long.",
	     .options = rows, .options_size = sizeof(struct tl_watchdog_options));
