// SPDX-License-Identifier: Apache-2.0
// perf_event_open(2) without BPF: samples of what runs on the CPUs (a software clock, so that
// virtual machines have it too), and records of tracepoints; both with stacks. Belongs to the run of
// start() that opened it, as a loaded BPF object does. One thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "collectors/collector.h"

#define TL_PERF_FRAMES_MAX 127u // of a stack, both parts together; the kernel's own limit

struct tl_perf_options {
	uint32_t hz;            // samples per second and CPU; 0: records of `tracepoint`
	const char *tracepoint; // "sched/sched_process_hang"
	const char *filter;     // of its fields ("prev_state == 2"), NULL: all; see trace/events.rst
	bool has_stacks;
};

struct tl_perf_sample {
	uint64_t time_ns;        // CLOCK_MONOTONIC
	uint32_t pid, tid;       // 0: the idle task
	uint32_t cpu;
	uint32_t kernel_count, user_count;
	const uint64_t *kernel;  // addresses, the innermost first
	const uint64_t *user;
	const void *raw;         // a tracepoint's record: tl_tracepoint_field() says what is where
	uint32_t raw_size;
};

struct tl_perf;

// On every online CPU. 0; -errno, among others -EACCES without the right to, -ENOENT without such a
// tracepoint.
int tl_perf_open(struct tl_ctx *ctx, const struct tl_perf_options *options,
		 struct tl_perf **ret_perf);
void tl_perf_close(struct tl_perf *perf); // accepts NULL

// Hands over what has come, in the order of each CPU; waits for `ns` at most. False when the run is
// to end. What `sample` points to is valid in `fn` only.
typedef void tl_perf_fn(void *arg, const struct tl_perf_sample *sample);
bool tl_perf_wait(struct tl_perf *perf, struct tl_ctx *ctx, uint64_t ns, tl_perf_fn *fn, void *arg);
uint64_t tl_perf_lost(const struct tl_perf *perf); // samples that found no room
