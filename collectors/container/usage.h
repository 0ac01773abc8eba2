// SPDX-License-Identifier: Apache-2.0
// What a container may use of the CPUs, and what it has used. `text` is room to read into. Any
// thread.
#pragma once

#include <sched.h>

#include "base/text.h"
#include "collectors/container/container.h"

struct tl_cpu_used {
	uint64_t user_ns, system_ns, total_ns; // since the container began
};

// False: its cgroup does not tell, or is gone.
bool tl_container_used(const struct tl_container *container, struct tl_text *text,
		       struct tl_cpu_used *ret_used);
// The CPUs it may run on: those of its cpuset, else all that are online.
void tl_container_cpus(const struct tl_container *container, struct tl_text *text,
		       cpu_set_t *ret_cpus);
// Cores that it may use: its quota, at most its CPUs.
double tl_container_cores(const struct tl_container *container, struct tl_text *text);
// "0-3,8" as the kernel writes it. False: there is no CPU in it.
bool tl_cpu_list_parse(const char *list, cpu_set_t *ret_cpus);
