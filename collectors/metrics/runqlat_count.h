// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The counting that both BPF programs of runqlat share.
#pragma once

#include "collectors/bpf/kernel.h"
#include "collectors/metrics/runqlat.h"

#ifdef __bpf__

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RUNQLAT_WAITING_MAX);
	__type(key, __u32); // thread
	__type(value, __u64); // since
} waiting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct runqlat_value);
} host SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, RUNQLAT_GROUPS_MAX);
	__type(key, __u64); // cgroup
	__type(value, struct runqlat_value);
} groups SEC(".maps");

static const struct runqlat_value zero;

// One that is woken may be waiting already, preempted on its way to sleep.
static __always_inline void on_wakeup(__u32 tid)
{
	__u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&waiting, &tid, &now, BPF_NOEXIST);
}

// Whatever was known of one that has had the CPU is over.
static __always_inline void on_switched_out(__u32 tid, bool can_run)
{
	__u64 now = bpf_ktime_get_ns();

	if (tid == 0) // the idle task never waits
		return;
	if (can_run)
		bpf_map_update_elem(&waiting, &tid, &now, BPF_ANY);
	else
		bpf_map_delete_elem(&waiting, &tid);
}

// Time that `tid` waited, at least 1; 0 when that is not known.
static __always_inline __u64 end_wait(__u32 tid)
{
	__u64 *since = bpf_map_lookup_elem(&waiting, &tid);

	if (since == NULL)
		return 0;
	__u64 now = bpf_ktime_get_ns(), wait = now > *since ? now - *since : 1;
	bpf_map_delete_elem(&waiting, &tid);
	return wait;
}

static __always_inline __u32 zone_of(__u64 ns)
{
	return ns < 10000000 ? 0 : ns < 20000000 ? 1 : ns < 50000000 ? 2 : 3;
}

static __always_inline void count_host(__u64 wait_ns)
{
	__u32 key = 0;
	struct runqlat_value *value = bpf_map_lookup_elem(&host, &key);

	if (value == NULL)
		return;
	value->zones[zone_of(wait_ns)]++;
	value->wait_ns += wait_ns;
}

static __always_inline void count_group(__u64 cgroup, __u64 wait_ns)
{
	struct runqlat_value *value;

	if (cgroup <= 1) // the root
		return;
	value = bpf_map_lookup_elem(&groups, &cgroup);
	if (value == NULL) {
		bpf_map_update_elem(&groups, &cgroup, &zero, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&groups, &cgroup);
	}
	if (value == NULL)
		return;
	__sync_fetch_and_add(&value->zones[zone_of(wait_ns)], 1);
	__sync_fetch_and_add(&value->wait_ns, wait_ns);
}

#endif
