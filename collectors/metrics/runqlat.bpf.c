// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// How long tasks that can run wait for a CPU.
#include "collectors/metrics/runqlat_count.h"

SEC("tp_btf/sched_wakeup")
int BPF_PROG(wakeup, struct task_struct *task)
{
	on_wakeup(BPF_CORE_READ(task, pid));
	return 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(wakeup_new, struct task_struct *task)
{
	on_wakeup(BPF_CORE_READ(task, pid));
	return 0;
}

static __always_inline bool can_run(struct task_struct *task)
{
	if (bpf_core_field_exists(task->__state))
		return BPF_CORE_READ(task, __state) == 0;
	return BPF_CORE_READ((struct task_struct___old *)task, state) == 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(switched, bool is_preempted, struct task_struct *prev, struct task_struct *next)
{
	on_switched_out(BPF_CORE_READ(prev, pid), is_preempted || can_run(prev));
	__u64 wait = end_wait(BPF_CORE_READ(next, pid));
	if (wait != 0) {
		count_host(wait);
		count_group(tl_cgroup_of(next), wait);
	}
	return 0;
}

TL_LICENSE;
