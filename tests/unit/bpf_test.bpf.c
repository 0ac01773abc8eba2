// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Counts and tells of calls of getpgid() by one process.
#include "collectors/bpf/kernel.h"

const volatile __u32 wanted_pid;
const volatile __u32 call; // its number

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} by_argument SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} perf SEC(".maps");

static __always_inline int note(void *ctx, __u64 argument)
{
	__u32 zero = 0, key = (__u32)argument;
	__u64 *count = bpf_map_lookup_elem(&counts, &zero);

	if (bpf_get_current_pid_tgid() >> 32 != wanted_pid)
		return 0;
	if (count != NULL)
		(*count)++;
	bpf_map_update_elem(&by_argument, &key, &argument, BPF_ANY);
	bpf_ringbuf_output(&ring, &argument, sizeof(argument), 0);
	bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &argument, sizeof(argument));
	return 0;
}

struct pt_regs; // its layout is the architecture's business: only the number is looked at

SEC("tp_btf/sys_enter")
int BPF_PROG(enter_btf, struct pt_regs *registers, long id)
{
	return id == call ? note(ctx, 7) : 0;
}

SEC("tracepoint/raw_syscalls/sys_enter")
int enter_classic(void *record)
{
	struct {
		__u64 head;
		long id;
		unsigned long arguments[6];
	} *entered = record;

	if (entered->id == call)
		(void)note(record, entered->arguments[0]);
	return TL_PASS;
}

SEC("tp_btf/no_such_tracepoint")
int BPF_PROG(never)
{
	return 0;
}

SEC("perf_event")
int on_clock(void *ctx)
{
	__u32 one = 1;
	__u64 *count = bpf_map_lookup_elem(&counts, &one);

	if (count != NULL)
		(*count)++;
	return 0;
}

TL_LICENSE;
