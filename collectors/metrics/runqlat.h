// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What runqlat.bpf.c counts and runqlat.c reads.
#pragma once

#include <linux/types.h>

#define RUNQLAT_WAITING_MAX 16384 // tasks that wait for a CPU at a time
#define RUNQLAT_GROUPS_MAX 4096
#define RUNQLAT_ZONES 4 // the last one has no end

struct runqlat_value {
	__u64 zones[RUNQLAT_ZONES]; // times that a task got a CPU
	__u64 wait_ns;              // sum
};
