// SPDX-License-Identifier: Apache-2.0
// Load: the host's averages and runnable tasks; of a container, how many of its tasks run or wait
// without being interruptible (counted from the tasks themselves: works on cgroup v1 and v2).
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "collectors/metrics/reader.h"

#define TASKS_MAX 4096u // looked at per container

// The state follows the command's last ')', which may itself contain any character.
static char task_state(const char *tid)
{
	struct tl_text text = {0};
	char state = '\0';

	if (tl_host_readf(&text, "/proc/%s/stat", tid) == 0) {
		const char *end = strrchr(text.data, ')');
		state = end == NULL || end[1] == '\0' ? '\0' : end[2];
	}
	tl_text_free(&text);
	return state;
}

static bool visit_container(void *arg, const struct tl_container *container)
{
	struct tl_reader *self = arg;
	uint32_t running = 0, blocked = 0, seen = 0;

	if (tl_host_readf(&self->text, "%s/%s", container->cgroup[TL_CGROUP_CPU],
			  container->is_v2 ? "cgroup.threads" : "tasks") < 0)
		return true;
	char *rest = self->text.data, *tid;
	while (seen < TASKS_MAX && (tid = tl_host_line(&rest)) != NULL) {
		char state = task_state(tid);
		seen++;
		running += state == 'R';
		blocked += state == 'D';
	}
	tl_emit_container_gauge(self->emit, container, "nr_running", running,
				"Tasks that run or wait for a CPU.", TL_NO_LABELS);
	tl_emit_container_gauge(self->emit, container, "nr_uninterruptible", blocked,
				"Tasks that wait without being interruptible.", TL_NO_LABELS);
	return true;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct tl_reader *self = arg;
	double load1, load5, load15;
	unsigned running, tasks;

	self->emit = emit;
	int rc = tl_host_read("/proc/loadavg", &self->text);
	if (rc < 0)
		return rc;
	if (sscanf(self->text.data, "%lf %lf %lf %u/%u", &load1, &load5, &load15, &running,
		   &tasks) != 5)
		return -EBADMSG;
	tl_emit_gauge(emit, "load1", load1, "Load average of one minute.", TL_NO_LABELS);
	tl_emit_gauge(emit, "load5", load5, "Load average of five minutes.", TL_NO_LABELS);
	tl_emit_gauge(emit, "load15", load15, "Load average of fifteen minutes.", TL_NO_LABELS);
	tl_emit_gauge(emit, "nr_running", running, "Tasks that run or wait for a CPU.",
		      TL_NO_LABELS);
	tl_emit_gauge(emit, "nr_tasks", tasks, "Tasks there are.", TL_NO_LABELS);
	(void)tl_container_each(visit_container, self);
	return 0;
}

static const struct tl_collector_ops ops = {.update = update, .close = tl_reader_close};

static int new_loadavg(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	return tl_reader_new_of(setup, "/proc/loadavg", &ops, NULL, ret);
}

TL_COLLECTOR(loadavg, new_loadavg, .help = "Load averages and runnable tasks.");
