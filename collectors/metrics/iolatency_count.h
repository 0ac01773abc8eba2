// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The counting that both BPF programs of iolatency share.
#pragma once

#include "collectors/bpf/kernel.h"
#include "collectors/metrics/iolatency.h"

#ifdef __bpf__

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IOLATENCY_DISKS_MAX);
	__type(key, struct iolatency_key);
	__type(value, struct iolatency_value);
} disks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, IOLATENCY_GROUPS_MAX);
	__type(key, struct iolatency_key);
	__type(value, struct iolatency_value);
} groups SEC(".maps");

static const struct iolatency_value zero;

static __always_inline __u32 zone_of(__u64 ns)
{
	__u64 ms = ns / 1000000;

	return ms < 20 ? 0 : ms < 30 ? 1 : ms < 50 ? 2 : ms < 100 ? 3 : ms < 200 ? 4 : ms < 400 ? 5 : 6;
}

static __always_inline void count_in(void *map, const struct iolatency_key *key, __u64 q2c_ns,
				     __u64 d2c_ns)
{
	struct iolatency_value *value = bpf_map_lookup_elem(map, key);

	if (value == NULL) {
		bpf_map_update_elem(map, key, &zero, BPF_NOEXIST);
		value = bpf_map_lookup_elem(map, key);
	}
	if (value == NULL)
		return;
	if (q2c_ns != 0) {
		__sync_fetch_and_add(&value->q2c_zones[zone_of(q2c_ns)], 1);
		__sync_fetch_and_add(&value->q2c_ns, q2c_ns);
	}
	if (d2c_ns != 0) {
		__sync_fetch_and_add(&value->d2c_zones[zone_of(d2c_ns)], 1);
		__sync_fetch_and_add(&value->d2c_ns, d2c_ns);
	}
}

static __always_inline void count(__u32 device, __u32 op, __u64 cgroup, __u64 q2c_ns, __u64 d2c_ns)
{
	struct iolatency_key key = {.device = device, .op = op};

	count_in(&disks, &key, q2c_ns, d2c_ns);
	if (cgroup == 0)
		return;
	key.cgroup = cgroup;
	count_in(&groups, &key, q2c_ns, d2c_ns);
}

// Time since `then`, at least 1; 0 when that was never set.
static __always_inline __u64 since(__u64 then, __u64 now)
{
	return then == 0 ? 0 : now > then ? now - then : 1;
}

#endif
