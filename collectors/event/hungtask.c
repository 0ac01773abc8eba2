// SPDX-License-Identifier: Apache-2.0
// A task that did not run for kernel.hung_task_timeout_secs: by the kernel's log. It tells only as
// many as kernel.hung_task_warnings says, so a program at the tracepoint comes first.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/event/watchdog.h"

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

static int start(void *self, struct tl_ctx *ctx)
{
	return tl_watchdog_follow(self, ctx, "hungtask", parse, "blocked_processes_stack");
}

static const struct tl_collector_ops ops = {
	.start = start, .update = tl_watchdog_update, .close = free};

static int new_hungtask(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	if (!tl_host_exists("/dev/kmsg") || !tl_host_exists(timeout_path)) {
		tl_collector_says(setup, "there is no %s",
				  tl_host_exists("/dev/kmsg") ? timeout_path : "/dev/kmsg");
		return -EOPNOTSUPP;
	}
	*ret = (struct tl_collector) {.ops = &ops, .self = calloc(1, sizeof(struct tl_watchdog)),
				      .interval_s = 10, .flags = TL_TRACING | TL_METRIC};
	return ret->self == NULL ? -ENOMEM : 0;
}

TL_COLLECTOR(hungtask, new_hungtask, .help = "Tasks that did not run for too long.",
	     .options = rows, .options_size = sizeof(struct tl_watchdog_options));
