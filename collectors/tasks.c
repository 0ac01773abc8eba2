// SPDX-License-Identifier: Apache-2.0
#include "collectors/tasks.h"

#include <dirent.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/host.h"

// ---- Walking -------------------------------------------------------------------------------------

static bool visit_lines(char *lines, tl_task_visit_fn *visit, void *arg, uint32_t *seen)
{
	char *tid;

	while ((tid = tl_host_line(&lines)) != NULL)
		if ((*seen)++ == TL_TASKS_MAX || !visit(arg, (uint32_t)strtoul(tid, NULL, 10)))
			return false;
	return true;
}

void tl_tasks_of_cgroup(const char *directory, bool is_v2, tl_task_visit_fn *visit, void *arg)
{
	char root[PATH_MAX];
	char *roots[] = {root, NULL};
	size_t prefix = strlen(tl_host_path("", root, sizeof(root)));
	struct tl_text text = {0};
	uint32_t seen = 0;
	bool goes_on = true;
	FTSENT *entry;

	(void)tl_host_path(directory, root, sizeof(root));
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	while (walk != NULL && goes_on && (entry = fts_read(walk)) != NULL)
		if (entry->fts_info == FTS_D &&
		    tl_host_readf(&text, "%s/%s", entry->fts_path + prefix,
				  is_v2 ? "cgroup.threads" : "tasks") == 0)
			goes_on = visit_lines(text.data, visit, arg, &seen);
	if (walk != NULL)
		(void)fts_close(walk);
	tl_text_free(&text);
}

// Visits the numbers that are names in a directory.
static bool visit_names(const char *path, tl_task_visit_fn *visit, void *arg)
{
	char full[PATH_MAX];
	DIR *directory = opendir(tl_host_path(path, full, sizeof(full)));
	struct dirent *entry;
	bool goes_on = true;

	while (directory != NULL && goes_on && (entry = readdir(directory)) != NULL)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			goes_on = visit(arg, (uint32_t)strtoul(entry->d_name, NULL, 10));
	if (directory != NULL)
		(void)closedir(directory);
	return goes_on;
}

struct each {
	tl_task_visit_fn *visit;
	void *arg;
	uint32_t seen;
};

static bool visit_task(void *arg, uint32_t tid)
{
	struct each *each = arg;

	return each->seen++ < TL_TASKS_MAX && each->visit(each->arg, tid);
}

static bool visit_process(void *arg, uint32_t pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%u/task", pid);
	return visit_names(path, visit_task, arg);
}

void tl_tasks_each(tl_task_visit_fn *visit, void *arg)
{
	struct each each = {visit, arg, 0};

	(void)visit_names("/proc", visit_process, &each);
}

void tl_processes_each(tl_task_visit_fn *visit, void *arg)
{
	struct each each = {visit, arg, 0};

	(void)visit_names("/proc", visit_task, &each);
}

// ---- One task ------------------------------------------------------------------------------------

bool tl_task_read(uint32_t tid, struct tl_text *text, struct tl_task *ret)
{
	*ret = (struct tl_task) {.tid = tid};
	if (tl_host_readf(text, "/proc/%u/stat", tid) < 0)
		return false;
	// The command stands in parentheses and may itself contain any character.
	const char *open = strchr(text->data, '('), *end = strrchr(text->data, ')');
	if (open == NULL || end == NULL || end < open || end[1] == '\0')
		return false;
	(void)snprintf(ret->comm, sizeof(ret->comm), "%.*s", (int)(end - open - 1), open + 1);
	ret->state = end[2];
	char *rest = text->data + (end + 1 - text->data), *word;
	for (uint32_t field = 3; (word = tl_host_word(&rest)) != NULL; field++)
		if (field == 39)
			ret->cpu = (uint32_t)strtoul(word, NULL, 10);
	return true;
}

uint32_t tl_task_process(uint32_t tid, struct tl_text *text)
{
	uint64_t pid = 0;

	if (tl_host_readf(text, "/proc/%u/status", tid) < 0 ||
	    !tl_host_value(text->data, "Tgid", &pid))
		return 0;
	return (uint32_t)pid;
}

bool tl_task_times(uint32_t tid, struct tl_text *text, uint64_t *ret_run_ns, uint64_t *ret_wait_ns)
{
	char *end;

	if (tl_host_readf(text, "/proc/%u/schedstat", tid) < 0)
		return false;
	*ret_run_ns = strtoull(text->data, &end, 10);
	if (*end != ' ')
		return false;
	*ret_wait_ns = strtoull(end, NULL, 10);
	return true;
}

// Whether "cpu" is one of the words before the next ':'.
static bool has_cpu(const char *list)
{
	for (const char *at = list; *at != ':' && *at != '\0'; at += *at == ',') {
		size_t len = strcspn(at, ",:");
		if (len == 3 && strncmp(at, "cpu", 3) == 0)
			return true;
		at += len;
	}
	return false;
}

void tl_task_cgroup(uint32_t tid, struct tl_text *text, char ret_path[TL_TASK_CGROUP_BYTES])
{
	ret_path[0] = '\0';
	if (tl_host_readf(text, "/proc/%u/cgroup", tid) < 0)
		return;
	char *rest = text->data, *line;
	while ((line = tl_host_line(&rest)) != NULL) {
		const char *list = strchr(line, ':');
		const char *path = list == NULL ? NULL : strchr(list + 1, ':');
		if (path == NULL || (!has_cpu(list + 1) && path != list + 1))
			continue;
		(void)snprintf(ret_path, TL_TASK_CGROUP_BYTES, "%s", path + 1);
		if (has_cpu(list + 1)) // beside it the unified tree is without controllers
			return;
	}
}

bool tl_task_add_blocked(uint32_t tid, struct tl_text *text, struct tl_text *stacks)
{
	struct tl_task task;

	if (!tl_task_read(tid, text, &task) || task.state != 'D' ||
	    tl_host_readf(text, "/proc/%u/stack", tid) < 0 || text->len == 0)
		return false;
	tl_text_printf(stacks, "%s%s (%u)\n", stacks->len == 0 ? "" : "\n", task.comm, tid);
	tl_text_puts(stacks, text->data);
	return true;
}
