// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Keeps interrupts off for 20 ms on the CPU on which a task of a certain name sets a timer: the
// tracepoint is reached with interrupts off.
#include "collectors/bpf/kernel.h"

#define HOLD_NS 20000000ull

TL_LICENSE;

static long turn(__u32 index, void *arg)
{
	const __u64 *end_ns = arg;

	(void)index;
	return bpf_ktime_get_ns() >= *end_ns;
}

SEC("raw_tp/hrtimer_start") int hold(void *ctx)
{
	static const char name[8] = "tl-hold";
	char comm[TL_COMM_BYTES];
	__u64 end_ns = bpf_ktime_get_ns() + HOLD_NS;

	(void)ctx;
	bpf_get_current_comm(comm, sizeof(comm));
	for (int i = 0; i < (int)sizeof(name); i++)
		if (comm[i] != name[i])
			return 0;
	bpf_loop(1 << 23, turn, &end_ns, 0);
	return 0;
}
