// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What the two ways to watch softirqs share: softirq.bpf.c (each softirq) and softirq_ticks.bpf.c
// (what a timer interrupts).
#pragma once

#ifdef __bpf__

#include "collectors/event/event.bpf.h"

#define VECTORS 10u // of the kernel
#define CLOCK_MONOTONIC 1

// Who was in the way, and where.
struct culprit {
	struct tl_event_task task;
	struct tl_event_stack stack;
};

static __always_inline void note_culprit(void *ctx, struct culprit *culprit, __u64 now_ns)
{
	note_task(&culprit->task, now_ns);
	note_stack(ctx, &culprit->stack);
}

// `culprit` NULL: it is found here. `vectors` has a bit for each that it may be.
static __always_inline void tell(void *ctx, const struct tl_event_setting *setting,
				 const struct culprit *culprit, __u32 kind, __u32 vectors,
				 __u64 end_ns, __u64 duration_ns)
{
	if (!may_tell(setting, end_ns))
		return;
	struct tl_softirq_record *record = RESERVE(struct tl_softirq_record);
	if (record == NULL)
		return;
	if (culprit != NULL) {
		record->task = culprit->task;
		record->task.time_ns = end_ns;
		record->stack = culprit->stack;
	} else {
		note_task(&record->task, end_ns);
		note_stack(ctx, &record->stack);
	}
	record->duration_ns = duration_ns;
	record->threshold_ns = setting->threshold_ns[kind];
	record->kind = kind;
	record->vectors = vectors;
	bpf_ringbuf_submit(record, 0);
}

// An interrupt's timer that comes late: interrupts were off.
static __always_inline void weigh_timer(void *ctx, const struct tl_event_setting *setting,
					struct hrtimer *timer, __u64 now_ns)
{
	__s64 late_ns = (__s64)now_ns - BPF_CORE_READ(timer, node.expires);

	if (late_ns > (__s64)setting->threshold_ns[TL_SOFTIRQ_TIMER] &&
	    BPF_CORE_READ(timer, base, clockid) == CLOCK_MONOTONIC)
		tell(ctx, setting, NULL, TL_SOFTIRQ_TIMER, 0, now_ns, (__u64)late_ns);
}

#endif
