// SPDX-License-Identifier: Apache-2.0
// What the kernel writes about a kill for lack of memory, over many lines (mm/oom_kill.c): who ran out
// of it, on which path, the state of its cgroup, who was chosen, who was killed. Kills don't overlap:
// the kernel holds a lock meanwhile. Any of the lines but the last may be missing, as they are
// rate-limited.
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

struct tl_oom_report {
	char trigger[64];        // command of the task whose allocation failed, "" unknown
	uint32_t trigger_tid;    // 0 unknown
	char gfp_mask[128];
	uint32_t order;
	char constraint[64];
	char limited_by[512];    // the memory cgroup that was full, "" for the host
	char cgroup[512];        // of the victim, in the memory controller's tree, "" unknown
	uint64_t usage_bytes, limit_bytes; // of limited_by, 0 unknown
	json_t *stat;            // of limited_by, NULL unknown
	struct tl_text stack;    // of the trigger, a line each
	char victim[64];
	uint32_t victim_pid;
	uint64_t total_bytes, anon_bytes, file_bytes, shmem_bytes, page_table_bytes;
	int64_t score_adj;
	uint32_t uid;
	uint8_t part;            // of what is being read
	bool is_told;            // a victim of it was
	bool is_group;           // the victim's cgroup goes whole
};

// Takes the next line of the kernel's log. True: it was the last one of a report, which stays until
// the next call.
bool tl_oom_report_line(struct tl_oom_report *report, const char *line);
void tl_oom_report_clear(struct tl_oom_report *report); // frees what it holds
