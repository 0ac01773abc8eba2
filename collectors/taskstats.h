// SPDX-License-Identifier: Apache-2.0
// How many tasks of a cgroup are in which state, by the kernel's own count (generic netlink,
// Documentation/accounting/cgroupstats.rst). Of cgroup v1 only. One thread.
#pragma once

#include <stdint.h>

struct tl_cgroup_tasks {
	uint64_t sleeping, running, stopped, uninterruptible, iowait;
};

// A socket, or -errno (-ENOENT: this kernel has no taskstats). Close it by close().
int tl_taskstats_open(uint16_t *ret_family);
// Counts the tasks of a cgroup's directory (below the root). 0 or -errno.
int tl_taskstats_read(int fd, uint16_t family, const char *directory,
		      struct tl_cgroup_tasks *ret_tasks);
