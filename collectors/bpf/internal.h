// SPDX-License-Identifier: Apache-2.0
// What the files of this folder share.
#pragma once

#include <stdint.h>

// A perf event on `cpu`, counting nothing yet, for a program: a tracepoint by its number, or the
// CPU clock `hz` times a second. A file descriptor, or -errno.
int tl_perf_open_tracepoint(int64_t id, uint32_t cpu);
int tl_perf_open_clock(uint32_t hz, uint32_t cpu);
// CPUs that are online, at most `max`; how many.
uint32_t tl_perf_cpus(uint32_t *ret_cpus, uint32_t max);

#define TL_PERF_CPUS_MAX 1024u
