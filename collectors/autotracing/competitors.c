// SPDX-License-Identifier: Apache-2.0
#include "collectors/autotracing/competitors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/jansson.h"
#include "collectors/autotracing/times.h"
#include "collectors/container/usage.h"
#include "collectors/tasks.h"

#define GROUPS_MAX 512u // further groups are one, without a name

// A process of a group, or all of a group.
struct runner {
	uint32_t pid;
	char comm[16];
	uint64_t run_ns;
};

struct group {
	char path[TL_TASK_CGROUP_BYTES];
	uint64_t run_ns;
	uint32_t runner_count;
	struct runner *runners;
};

// A thread of the container.
struct own {
	uint64_t run_ns, wait_ns;
};

struct look {
	struct tl_ctx *ctx;
	struct tl_text text;
	struct tl_times *times;
	const struct tl_container *container;
	uint64_t span_ns;
	cpu_set_t cpus;
	uint32_t group_count, own_count;
	struct group *groups;
	struct own *owns;
	uint64_t own_run_ns, other_run_ns;
};

// ---- Gathering -----------------------------------------------------------------------------------

static bool first_look(void *arg, uint32_t tid)
{
	struct look *look = arg;
	uint64_t run_ns, wait_ns;

	if (tl_task_times(tid, &look->text, &run_ns, &wait_ns))
		(void)tl_times_note(look->times, tid, run_ns, wait_ns, 0, &run_ns, &wait_ns);
	return !tl_ctx_done(look->ctx);
}

static struct group *group_of(struct look *look, const char *path)
{
	for (uint32_t i = 0; i < look->group_count; i++)
		if (strcmp(look->groups[i].path, path) == 0)
			return &look->groups[i];
	if (look->group_count + 1 == GROUPS_MAX)
		path = "";
	if (look->group_count == GROUPS_MAX)
		return &look->groups[GROUPS_MAX - 1];
	struct group *group = &look->groups[look->group_count++];
	strcpy(group->path, path);
	return group;
}

static void add_runner(struct group *group, const struct tl_task *task, uint64_t run_ns)
{
	group->run_ns += run_ns;
	for (uint32_t i = 0; i < group->runner_count; i++)
		if (group->runners[i].pid == task->pid) {
			group->runners[i].run_ns += run_ns;
			return;
		}
	struct runner *runners = reallocarray(group->runners, group->runner_count + 1,
					      sizeof(*runners));
	if (runners == NULL)
		return;
	group->runners = runners;
	struct runner *runner = &runners[group->runner_count++];
	*runner = (struct runner) {.pid = task->pid, .run_ns = run_ns};
	memcpy(runner->comm, task->comm, sizeof(runner->comm));
}

static void add_own(struct look *look, uint64_t run_ns, uint64_t wait_ns)
{
	struct own *owns = reallocarray(look->owns, look->own_count + 1, sizeof(*owns));

	look->own_run_ns += run_ns;
	if (owns == NULL)
		return;
	look->owns = owns;
	owns[look->own_count++] = (struct own) {run_ns, wait_ns};
}

static bool second_look(void *arg, uint32_t tid)
{
	struct look *look = arg;
	char path[TL_TASK_CGROUP_BYTES];
	uint64_t run_ns, wait_ns;
	struct tl_task task;

	if (!tl_task_times(tid, &look->text, &run_ns, &wait_ns) ||
	    !tl_times_note(look->times, tid, run_ns, wait_ns, look->span_ns, &run_ns, &wait_ns) ||
	    run_ns + wait_ns == 0)
		return !tl_ctx_done(look->ctx);
	tl_task_cgroup(tid, &look->text, path);
	if (strstr(path, look->container->id) != NULL) { // its cgroup, or one below
		add_own(look, run_ns, wait_ns);
	} else if (run_ns != 0 && tl_task_read(tid, &look->text, &task) &&
		   task.cpu < CPU_SETSIZE && CPU_ISSET(task.cpu, &look->cpus)) {
		task.pid = tl_task_process(tid, &look->text);
		look->other_run_ns += run_ns;
		add_runner(group_of(look, path), &task, run_ns);
	}
	return !tl_ctx_done(look->ctx);
}

// ---- Telling -------------------------------------------------------------------------------------

static int by_run(const void *a, const void *b)
{
	uint64_t left = ((const struct runner *)a)->run_ns, right = ((const struct runner *)b)->run_ns;

	return left < right ? 1 : left > right ? -1 : 0;
}

static int groups_by_run(const void *a, const void *b)
{
	uint64_t left = ((const struct group *)a)->run_ns, right = ((const struct group *)b)->run_ns;

	return left < right ? 1 : left > right ? -1 : 0;
}

static json_t *runners_json(struct group *group)
{
	json_t *list = json_array();

	qsort(group->runners, group->runner_count, sizeof(*group->runners), by_run);
	for (uint32_t i = 0; i < group->runner_count && i < TL_COMPETITOR_TASKS_MAX; i++)
		(void)json_array_append_new(
			list, json_pack("{s:I, s:o, s:f}", "pid", (json_int_t)group->runners[i].pid,
					"comm", tl_text_as_json(group->runners[i].comm), "running_ms",
					(double)group->runners[i].run_ns / 1e6));
	return list;
}

static json_t *group_json(struct group *group, double cpus_ns)
{
	struct tl_container *container = calloc(1, sizeof(*container));
	json_t *object = json_pack("{s:o, s:f, s:f, s:o}", "cgroup", tl_text_as_json(group->path),
				   "cpu_percent", 100 * (double)group->run_ns / cpus_ns, "running_ms",
				   (double)group->run_ns / 1e6, "processes", runners_json(group));

	if (container != NULL && object != NULL && group->runner_count != 0 &&
	    tl_container_by_pid(group->runners[0].pid, container)) {
		(void)json_object_set_new(object, "container_id", json_string(container->id));
		(void)json_object_set_new(object, "container_hostname",
					  tl_text_as_json(container->hostname));
	}
	free(container);
	return object;
}

// Whoever else ran on these CPUs may have been what a thread waited for: of its waiting the part
// that own threads (but for itself) had of what they and others ran.
static void split(const struct look *look, struct tl_contention *ret)
{
	for (uint32_t i = 0; i < look->own_count; i++) {
		const struct own *own = &look->owns[i];
		double inner = (double)(look->own_run_ns - own->run_ns);
		double all = inner + (double)look->other_run_ns;
		uint64_t inner_ns = all > 0 ? (uint64_t)((double)own->wait_ns * inner / all) : 0;
		ret->run_ns += own->run_ns;
		ret->wait_ns += own->wait_ns;
		ret->inner_ns += inner_ns;
		ret->outer_ns += all > 0 ? own->wait_ns - inner_ns : 0;
	}
}

static int look_twice(struct look *look, struct tl_contention *ret)
{
	uint64_t began_ns = tl_host_clock_ns();

	tl_times_begin(look->times);
	tl_tasks_each(first_look, look);
	if (!tl_ctx_sleep(look->ctx, look->span_ns))
		return -ECANCELED;
	ret->span_ns = look->span_ns = tl_host_clock_ns() - began_ns;
	tl_times_begin(look->times);
	tl_tasks_each(second_look, look);
	if (tl_ctx_done(look->ctx))
		return -ECANCELED;
	split(look, ret);
	double cpus_ns = (double)ret->span_ns * CPU_COUNT(&look->cpus);
	ret->source = "schedstat";
	ret->competitors = json_array();
	qsort(look->groups, look->group_count, sizeof(*look->groups), groups_by_run);
	for (uint32_t i = 0; i < look->group_count && i < TL_COMPETITORS_MAX; i++)
		(void)json_array_append_new(ret->competitors,
					    group_json(&look->groups[i], cpus_ns));
	return 0;
}

int tl_contention_look(struct tl_ctx *ctx, const struct tl_container *container, uint64_t span_ns,
		       struct tl_contention *ret)
{
	struct look look = {
		.ctx = ctx, .container = container, .span_ns = span_ns,
		.times = tl_times_create(), .groups = calloc(GROUPS_MAX, sizeof(*look.groups)),
	};
	int rc = look.times == NULL || look.groups == NULL ? -ENOMEM : 0;

	*ret = (struct tl_contention) {0};
	tl_container_cpus(container, &look.text, &look.cpus);
	if (rc == 0)
		rc = look_twice(&look, ret);
	for (uint32_t i = 0; look.groups != NULL && i < look.group_count; i++)
		free(look.groups[i].runners);
	free(look.groups);
	free(look.owns);
	tl_times_destroy(look.times);
	tl_text_free(&look.text);
	return rc;
}
