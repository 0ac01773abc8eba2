// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// For BPF programs: the few members of kernel structures that they read. Offsets are found when a
// program is loaded (CO-RE), so only names and types matter here; add what a new program needs.
// Members that not every kernel has are asked for by bpf_core_field_exists().
#pragma once

#ifdef __bpf__

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#ifndef bool
#define bool _Bool
#define true 1
#define false 0
#endif

#define TL_LICENSE char tl_license[] SEC("license") = "GPL"
#define TL_COMM_BYTES 16
// What a program on a classic tracepoint returns, always: after a 0 the kernel keeps the record from
// everybody, be it perf or another agent.
#define TL_PASS 1

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

enum cgroup_subsys_id {
	cpu_cgrp_id,
	memory_cgrp_id,
	io_cgrp_id,
};

struct css_set {
	struct cgroup_subsys_state *subsys[1]; // one per controller
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	int pid;
	int tgid;
	char comm[TL_COMM_BYTES];
	unsigned int __state;
	struct task_struct *group_leader;
	struct css_set *cgroups;
};

struct task_struct___old { // before 5.14
	long state;
};

struct blkcg {
	struct cgroup_subsys_state css;
};

struct blkcg_gq {
	struct blkcg *blkcg;
};

struct bio {
	struct blkcg_gq *bi_blkg;
};

struct gendisk {
	int major;
	int first_minor;
};

struct request_queue {
	struct gendisk *disk;
};

struct request {
	struct request_queue *q;
	unsigned int cmd_flags;
	unsigned int __data_len;
	struct bio *bio;
	__u64 start_time_ns;
	__u64 io_start_time_ns;
};

struct request___old { // before 5.17
	struct gendisk *rq_disk;
};

#pragma clang attribute pop

// The cgroup that tl_container_by_cgroup() knows a task by: of the cpu controller where that has a
// tree of its own (v1), else of the one tree. Set to tl_containers_are_v2().
const volatile bool tl_is_v2 = false;

static __always_inline __u64 tl_cgroup_of(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);

	if (tl_is_v2)
		return BPF_CORE_READ(set, dfl_cgrp, kn, id);
	int index = bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id);
	void *first = __builtin_preserve_access_index(&set->subsys[0]);
	struct cgroup_subsys_state *state = NULL;
	bpf_probe_read_kernel(&state, sizeof(state), first + (__u32)index * sizeof(state));
	return BPF_CORE_READ(state, cgroup, kn, id);
}

#endif
