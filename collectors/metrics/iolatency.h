// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What iolatency.bpf.c counts and iolatency.c reads.
#pragma once

#include <linux/types.h>

#define IOLATENCY_DISKS_MAX 1024
#define IOLATENCY_GROUPS_MAX 4096
#define IOLATENCY_OPS 4   // read, write, flush, discard
#define IOLATENCY_ZONES 7 // the last one has no end

struct iolatency_key {
	__u32 device; // major << 20 | minor
	__u32 op;
	__u64 cgroup; // of the block controller, 0: all
};

struct iolatency_value {
	__u64 q2c_zones[IOLATENCY_ZONES]; // requests
	__u64 d2c_zones[IOLATENCY_ZONES];
	__u64 q2c_ns, d2c_ns;             // sums
};
