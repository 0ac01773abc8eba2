// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Each task that the kernel's watchdog finds hung. The log tells only the first of them
// (kernel.hung_task_warnings).
#include "collectors/event/event.bpf.h"

SEC("tp_btf/sched_process_hang") int BPF_PROG(hang_btf, struct task_struct *task)
{
	const struct tl_event_setting *setting = bpf_map_lookup_elem(&settings, &zero);
	__u64 now_ns = bpf_ktime_get_ns();

	if (setting == NULL || !may_tell(setting, now_ns))
		return 0;
	struct tl_hungtask_record *record = RESERVE(struct tl_hungtask_record);
	if (record == NULL)
		return 0;
	record->task.time_ns = now_ns;
	record->task.pid = (__u32)task->tgid;
	record->task.tid = (__u32)task->pid;
	record->task.cpu = bpf_get_smp_processor_id();
	record->task.cgroup = tl_cgroup_of(task);
	BPF_CORE_READ_STR_INTO(&record->task.comm, task, comm);
	long bytes = bpf_get_task_stack(task, record->stack.frames, sizeof(record->stack.frames), 0);
	record->stack.count = bytes < 0 ? 0 : (__u32)bytes / sizeof(record->stack.frames[0]);
	bpf_ringbuf_submit(record, 0);
	return 0;
}
