// SPDX-License-Identifier: Apache-2.0
#include "collectors/event/oom_report.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STAT_MAX 128u         // keys of a cgroup's statistics
#define STACK_BYTES_MAX 8192u

enum { PART_HEAD, PART_STACK, PART_STAT };

// The value of "key=" or "key:" up to the next comma or blank.
static bool value_of(const char *line, const char *key, char *ret, size_t size)
{
	const char *at = strstr(line, key);

	ret[0] = '\0';
	if (at == NULL)
		return false;
	at += strlen(key);
	(void)snprintf(ret, size, "%.*s", (int)strcspn(at, ", "), at);
	return true;
}

static int64_t number_of(const char *line, const char *key)
{
	char text[32];

	return value_of(line, key, text, sizeof(text)) ? strtoll(text, NULL, 10) : 0;
}

static uint64_t kilobytes_of(const char *line, const char *key)
{
	return (uint64_t)number_of(line, key) * 1024;
}

void tl_oom_report_clear(struct tl_oom_report *report)
{
	json_decref(report->stat);
	tl_text_free(&report->stack);
	*report = (struct tl_oom_report) {0};
}

// "python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"
static bool begin(struct tl_oom_report *report, const char *line)
{
	const char *invoked = strstr(line, " invoked oom-killer:");

	if (invoked == NULL)
		return false;
	tl_oom_report_clear(report);
	(void)snprintf(report->trigger, sizeof(report->trigger), "%.*s", (int)(invoked - line), line);
	(void)value_of(line, "gfp_mask=", report->gfp_mask, sizeof(report->gfp_mask));
	report->order = (uint32_t)number_of(line, "order=");
	report->part = PART_HEAD;
	return true;
}

// "memory: usage 40960kB, limit 40960kB, failcnt 19"
static bool take_usage(struct tl_oom_report *report, const char *line)
{
	unsigned long long usage, limit;

	if (sscanf(line, "memory: usage %llukB, limit %llukB", &usage, &limit) != 2)
		return false;
	report->usage_bytes = usage * 1024;
	report->limit_bytes = limit * 1024;
	report->part = PART_HEAD;
	return true;
}

// "rss 41857024" behind "Memory cgroup stats for /docker/ID:"
static void take_stat(struct tl_oom_report *report, const char *line)
{
	char key[64];
	long long value;

	if (sscanf(line, "%63s %lld", key, &value) != 2 || !islower((unsigned char)key[0]))
		report->part = PART_HEAD;
	else if (json_object_size(report->stat) < STAT_MAX)
		(void)json_object_set_new(report->stat, key, json_integer(value));
}

// "oom-kill:constraint=CONSTRAINT_MEMCG,...,oom_memcg=/a,task_memcg=/a/b,task=python3,pid=1,uid=0"
static void take_choice(struct tl_oom_report *report, const char *line)
{
	(void)value_of(line, "constraint=", report->constraint, sizeof(report->constraint));
	(void)value_of(line, "oom_memcg=", report->limited_by, sizeof(report->limited_by));
	(void)value_of(line, "task_memcg=", report->cgroup, sizeof(report->cgroup));
	report->part = PART_HEAD;
}

static void take_middle(struct tl_oom_report *report, const char *line)
{
	const char *pid = strstr(line, "PID: ");

	if (strncmp(line, "oom-kill:", strlen("oom-kill:")) == 0) {
		take_choice(report, line);
	} else if (strncmp(line, "CPU: ", strlen("CPU: ")) == 0 && pid != NULL) {
		report->trigger_tid = (uint32_t)strtoul(pid + strlen("PID: "), NULL, 10);
	} else if (strncmp(line, "Call Trace:", strlen("Call Trace:")) == 0) {
		report->part = PART_STACK;
	} else if (take_usage(report, line)) {
		return;
	} else if (strncmp(line, "Memory cgroup stats for ", strlen("Memory cgroup stats for ")) == 0) {
		json_decref(report->stat);
		report->stat = json_object();
		report->part = PART_STAT;
	} else if (report->part == PART_STACK) {
		// Frames are indented; the registers of the user's side are not.
		if (line[0] != ' ' || strstr(line, "</TASK>") != NULL)
			report->part = PART_HEAD;
		else if (strstr(line, "<TASK>") == NULL && report->stack.len < STACK_BYTES_MAX)
			tl_text_printf(&report->stack, "%s\n", line + strspn(line, " "));
	} else if (report->part == PART_STAT) {
		take_stat(report, line);
	}
}

// "Memory cgroup out of memory: Killed process 1 (python3) total-vm:9kB, anon-rss:9kB, ...
// UID:0 pgtables:144kB oom_score_adj:0". A command may have any byte in it, parentheses too.
static bool take_kill(struct tl_oom_report *report, const char *line)
{
	static const char killed[] = "Killed process ";
	const char *at = strstr(line, killed), *end = strstr(line, ") total-vm:");
	char *open;

	if (at == NULL || end == NULL || end < at)
		return false;
	if (report->is_told && !report->is_group)
		tl_oom_report_clear(report); // the lines about this one were suppressed
	report->is_told = true;
	report->victim_pid = (uint32_t)strtoul(at + strlen(killed), &open, 10);
	if (strncmp(open, " (", 2) != 0)
		return false;
	(void)snprintf(report->victim, sizeof(report->victim), "%.*s", (int)(end - open - 2), open + 2);
	report->total_bytes = kilobytes_of(end, "total-vm:");
	report->anon_bytes = kilobytes_of(end, "anon-rss:");
	report->file_bytes = kilobytes_of(end, "file-rss:");
	report->shmem_bytes = kilobytes_of(end, "shmem-rss:");
	report->page_table_bytes = kilobytes_of(end, "pgtables:");
	report->score_adj = number_of(end, "oom_score_adj:");
	report->uid = (uint32_t)number_of(end, "UID:");
	return true;
}

bool tl_oom_report_line(struct tl_oom_report *report, const char *line)
{
	// What is told of one kill says nothing of the next, but a group dies of one cause.
	if (strstr(line, "are going to be killed due to memory.oom.group set") != NULL)
		report->is_group = true;
	if (begin(report, line))
		return false;
	if (take_kill(report, line))
		return true;
	take_middle(report, line);
	return false;
}
