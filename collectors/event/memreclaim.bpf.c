// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// How long a task was held up by freeing memory itself: for the host (direct), or for its memory
// cgroup. Both are rare; nothing runs while memory is plenty.
#include "collectors/event/event.bpf.h"

#define TASKS_MAX 4096 // that free memory at once

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TASKS_MAX);
	__type(key, __u32); // tid
	__type(value, __u64);
} begun SEC(".maps");

static __always_inline int on_begin(void)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	__u64 now_ns = bpf_ktime_get_ns();

	bpf_map_update_elem(&begun, &tid, &now_ns, BPF_ANY);
	return 0;
}

static __always_inline int on_end(void *ctx, __u64 reclaimed, bool is_memcg)
{
	const struct tl_event_setting *setting = bpf_map_lookup_elem(&settings, &zero);
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	const __u64 *since_ns = bpf_map_lookup_elem(&begun, &tid);

	if (setting == NULL || since_ns == NULL)
		return 0;
	__u64 now_ns = bpf_ktime_get_ns(), spent_ns = now_ns - *since_ns;
	bpf_map_delete_elem(&begun, &tid);
	if (spent_ns < setting->threshold_ns[0] || !may_tell(setting, now_ns))
		return 0;
	struct tl_memreclaim_record *record = RESERVE(struct tl_memreclaim_record);
	if (record == NULL)
		return 0;
	note_task(&record->task, now_ns);
	note_stack(ctx, &record->stack);
	record->duration_ns = spent_ns;
	record->threshold_ns = setting->threshold_ns[0];
	record->reclaimed = reclaimed;
	record->is_memcg = is_memcg;
	bpf_ringbuf_submit(record, 0);
	return 0;
}

#define HOOKS(kind, suffix) \
	SEC(kind "/mm_vmscan_direct_reclaim_begin") int BPF_PROG(direct_begin_##suffix) \
	{ \
		return on_begin(); \
	} \
	SEC(kind "/mm_vmscan_memcg_reclaim_begin") int BPF_PROG(memcg_begin_##suffix) \
	{ \
		return on_begin(); \
	} \
	SEC(kind "/mm_vmscan_direct_reclaim_end") \
	int BPF_PROG(direct_end_##suffix, unsigned long reclaimed) \
	{ \
		return on_end(ctx, reclaimed, false); \
	} \
	SEC(kind "/mm_vmscan_memcg_reclaim_end") \
	int BPF_PROG(memcg_end_##suffix, unsigned long reclaimed) \
	{ \
		return on_end(ctx, reclaimed, true); \
	}

HOOKS("tp_btf", btf)
HOOKS("raw_tp", raw)
