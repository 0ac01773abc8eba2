// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The same by the records of classic tracepoints, which don't tell the cgroup of who gets the CPU:
// the host only.
#include "collectors/metrics/runqlat_count.h"

const volatile __u32 wakeup_pid, wakeup_new_pid;
const volatile __u32 switch_prev_pid, switch_prev_state, switch_next_pid;

static __always_inline __u32 word_at(void *record, __u32 offset)
{
	__u32 word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), record + offset);
	return word;
}

SEC("tracepoint/sched/sched_wakeup")
int wakeup(void *record)
{
	on_wakeup(word_at(record, wakeup_pid));
	return TL_PASS;
}

SEC("tracepoint/sched/sched_wakeup_new")
int wakeup_new(void *record)
{
	on_wakeup(word_at(record, wakeup_new_pid));
	return TL_PASS;
}

// The low byte says why a task sleeps, if it does; one above it, that it was preempted.
SEC("tracepoint/sched/sched_switch")
int switched(void *record)
{
	on_switched_out(word_at(record, switch_prev_pid),
			(word_at(record, switch_prev_state) & 0xff) == 0);
	__u64 wait = end_wait(word_at(record, switch_next_pid));
	if (wait != 0)
		count_host(wait);
	return TL_PASS;
}

TL_LICENSE;
