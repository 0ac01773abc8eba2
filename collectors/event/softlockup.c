// SPDX-License-Identifier: Apache-2.0
// A CPU that did not schedule for twice kernel.watchdog_thresh seconds. No tracepoint tells of it; the
// kernel's log does, on every kernel.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/event/watchdog.h"

static const struct tl_option rows[] = {TL_WATCHDOG_ROWS, TL_OPTION_END};

// "watchdog: BUG: soft lockup - CPU#1 stuck for 23s! [comm:6206]"
static json_t *parse(const char *line, uint32_t *ret_pid)
{
	const char *at = strstr(line, "BUG: soft lockup - CPU#");
	char comm[64] = "";
	int cpu, seconds;

	if (at == NULL || sscanf(at, "BUG: soft lockup - CPU#%d stuck for %ds!", &cpu, &seconds) != 2)
		return NULL;
	const char *open = strchr(at, '['), *colon = strrchr(at, ':');
	if (open != NULL && colon != NULL && colon > open) {
		(void)snprintf(comm, sizeof(comm), "%.*s", (int)(colon - open - 1), open + 1);
		*ret_pid = (uint32_t)strtoul(colon + 1, NULL, 10);
	}
	return json_pack("{s:i, s:i, s:s, s:i}", "cpu", cpu, "pid", (int)*ret_pid, "comm", comm,
			 "stuck_seconds", seconds);
}

static int start(void *self, struct tl_ctx *ctx)
{
	tl_ctx_hook(ctx, "/dev/kmsg");
	return tl_watchdog_follow(self, ctx, "softlockup", parse, "cpus_stack");
}

static const struct tl_collector_ops ops = {
	.start = start, .update = tl_watchdog_update, .close = free};

static int new_softlockup(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	static const char setting[] = "/proc/sys/kernel/watchdog_thresh";

	if (!tl_host_exists("/dev/kmsg") || !tl_host_exists(setting)) {
		tl_collector_says(setup, "there is no %s",
				  tl_host_exists("/dev/kmsg") ? setting : "/dev/kmsg");
		return -EOPNOTSUPP;
	}
	*ret = (struct tl_collector) {.ops = &ops, .self = calloc(1, sizeof(struct tl_watchdog)),
				      .interval_s = 10, .flags = TL_TRACING | TL_METRIC};
	return ret->self == NULL ? -ENOMEM : 0;
}

TL_COLLECTOR(softlockup, new_softlockup, .help = "CPUs that did not schedule for too long.",
	     .options = rows, .options_size = sizeof(struct tl_watchdog_options));
