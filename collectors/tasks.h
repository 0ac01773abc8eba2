// SPDX-License-Identifier: Apache-2.0
// The threads of the host or of one cgroup, as /proc shows them: state, times, stack. Any thread;
// `text` is room to read into.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define TL_TASKS_MAX 131072u      // looked at in one walk
#define TL_TASK_STACKS_MAX 64u    // of one text
#define TL_TASK_CGROUP_BYTES 512u

struct tl_task {
	uint32_t tid, pid; // pid: of its process
	uint32_t cpu;      // that it ran on last
	char state;        // R, S, D, ... as in proc(5)
	char comm[16];
};

// False: enough.
typedef bool tl_task_visit_fn(void *arg, uint32_t tid);

// Each thread in a cgroup directory (below the root) and in those below it.
void tl_tasks_of_cgroup(const char *directory, bool is_v2, tl_task_visit_fn *visit, void *arg);
// Each thread of the host; each process.
void tl_tasks_each(tl_task_visit_fn *visit, void *arg);
void tl_processes_each(tl_task_visit_fn *visit, void *arg);

// False: it is gone. `pid` stays 0, see tl_task_process().
bool tl_task_read(uint32_t tid, struct tl_text *text, struct tl_task *ret_task);
uint32_t tl_task_process(uint32_t tid, struct tl_text *text); // 0: it is gone
// Time it ran, and time it could have run but waited for a CPU. False: gone, or not told.
bool tl_task_times(uint32_t tid, struct tl_text *text, uint64_t *ret_run_ns,
		   uint64_t *ret_wait_ns);
// Its cgroup in the tree of the cpu controller, "" when that is not known.
void tl_task_cgroup(uint32_t tid, struct tl_text *text, char ret_path[TL_TASK_CGROUP_BYTES]);

// Appends "COMM (TID)" and the kernel's stack of a thread to `stacks`, if it is in uninterruptible
// sleep. False: it is not, or its stack can't be read.
bool tl_task_add_blocked(uint32_t tid, struct tl_text *text, struct tl_text *stacks);
