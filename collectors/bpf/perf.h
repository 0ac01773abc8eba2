// SPDX-License-Identifier: Apache-2.0
// perf_event_open(2) without BPF: samples of what runs on the CPUs (a software clock, so that
// virtual machines have it too), and records of tracepoints; both with stacks. Belongs to the run of
// start() that opened it, as a loaded BPF object does. One thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "collectors/collector.h"

#define TL_PERF_FRAMES_MAX 127u // of a stack, both parts together; the kernel's own limit

#define TL_PERF_TRACEPOINTS_MAX 4u
#define TL_PERF_CLOCK UINT32_MAX // a sample's place: of the CPU clock

// At least one of hz and tracepoints is asked for. What one CPU tells comes in order, whatever it is.
struct tl_perf_options {
	uint32_t hz;                    // samples of the clock, per second and CPU; 0: none
	const char *const *tracepoints; // "sched/sched_process_hang"; ended by NULL; NULL: none
	const char *filter;             // of fields of each of them ("prev_state == 2"), NULL: all;
					// see trace/events.rst
	bool has_stacks;
	bool is_kernel_only;            // stacks without the user's part
	uint32_t stackless;             // bit i: without the stacks of tracepoints[i]
	uint32_t ring_bytes;            // of each CPU, for 100 ms; a power of two; 0: 64 KiB
};

struct tl_perf_sample {
	uint64_t time_ns;        // CLOCK_MONOTONIC
	uint32_t pid, tid;       // 0: the idle task
	uint32_t cpu;
	uint32_t place;          // in tracepoints, or TL_PERF_CLOCK
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
