// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Softirqs that begin late or run long, and timers that were held up because interrupts were off.
// The first three programs run on every softirq, so they do no more than they must: to read a clock
// costs most, so that it is read once, and ticks tell when there is reason to do it again.
#include "collectors/event/event.bpf.h"

#define VECTORS 16u // a power of 2; the kernel has 10
#define CLOCK_MONOTONIC 1

struct cpu {
	__u64 raised[VECTORS]; // ticks; 0: not pending
	__u64 entered;         // ticks
	__u64 entered_ns;      // 0: none runs
	__u32 has_stack;
	struct tl_event_stack stack; // taken while a long one ran
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu);
} cpus SEC(".maps");

static __always_inline void tell(void *ctx, const struct tl_event_setting *setting,
				 struct cpu *cpu, __u32 kind, __u32 vector, __u64 now_ns,
				 __u64 duration_ns)
{
	if (!may_tell(setting, now_ns))
		return;
	struct tl_softirq_record *record = RESERVE(struct tl_softirq_record);
	if (record == NULL)
		return;
	note_task(&record->task, now_ns);
	if (kind == TL_SOFTIRQ_LONG && cpu->has_stack)
		record->stack = cpu->stack;
	else
		note_stack(ctx, &record->stack);
	record->duration_ns = duration_ns;
	record->threshold_ns = setting->threshold_ns[kind];
	record->kind = kind;
	record->vector = vector;
	bpf_ringbuf_submit(record, 0);
}

static __always_inline int on_raise(__u32 vector)
{
	struct cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);

	if (cpu != NULL && cpu->raised[vector % VECTORS] == 0)
		cpu->raised[vector % VECTORS] = bpf_jiffies64();
	return 0;
}

static __always_inline int on_entry(void *ctx, __u32 vector)
{
	const struct tl_event_setting *setting = bpf_map_lookup_elem(&settings, &zero);
	struct cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);

	if (cpu == NULL || setting == NULL)
		return 0;
	__u64 now_ns = bpf_ktime_get_ns(), ticks = bpf_jiffies64();
	__u64 since = cpu->raised[vector % VECTORS];
	cpu->raised[vector % VECTORS] = 0;
	cpu->entered = ticks;
	cpu->entered_ns = now_ns;
	__u64 late_ns = since == 0 ? 0 : (ticks - since) * setting->tick_ns;
	if (late_ns > setting->threshold_ns[TL_SOFTIRQ_LATE])
		tell(ctx, setting, cpu, TL_SOFTIRQ_LATE, vector, now_ns, late_ns);
	return 0;
}

static __always_inline int on_exit(void *ctx, __u32 vector)
{
	const struct tl_event_setting *setting = bpf_map_lookup_elem(&settings, &zero);
	struct cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);

	if (cpu == NULL || setting == NULL || cpu->entered_ns == 0)
		return 0;
	__u64 since_ns = cpu->entered_ns, threshold_ns = setting->threshold_ns[TL_SOFTIRQ_LONG];
	if ((bpf_jiffies64() - cpu->entered + 1) * setting->tick_ns > threshold_ns) {
		__u64 now_ns = bpf_ktime_get_ns();
		if (now_ns - since_ns > threshold_ns)
			tell(ctx, setting, cpu, TL_SOFTIRQ_LONG, vector, now_ns, now_ns - since_ns);
	}
	cpu->entered_ns = 0;
	cpu->has_stack = 0;
	return 0;
}

// A timer of the hard interrupt: it sees what a long softirq is at, and how late it is itself.
static __always_inline int on_expire(void *ctx, struct hrtimer *timer)
{
	const struct tl_event_setting *setting = bpf_map_lookup_elem(&settings, &zero);
	struct cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);

	if (cpu == NULL || setting == NULL || BPF_CORE_READ(timer, is_soft) != 0)
		return 0;
	__u64 now_ns = bpf_ktime_get_ns();
	if (cpu->entered_ns != 0 && !cpu->has_stack &&
	    now_ns - cpu->entered_ns > setting->threshold_ns[TL_SOFTIRQ_LONG]) {
		note_stack(ctx, &cpu->stack);
		cpu->has_stack = 1;
	}
	__s64 late_ns = (__s64)now_ns - BPF_CORE_READ(timer, node.expires);
	if (late_ns > (__s64)setting->threshold_ns[TL_SOFTIRQ_TIMER] &&
	    BPF_CORE_READ(timer, base, clockid) == CLOCK_MONOTONIC)
		tell(ctx, setting, cpu, TL_SOFTIRQ_TIMER, 0, now_ns, (__u64)late_ns);
	return 0;
}

#define HOOKS(kind, suffix) \
	SEC(kind "/softirq_raise") int BPF_PROG(raise_##suffix, unsigned int vector) \
	{ \
		return on_raise(vector); \
	} \
	SEC(kind "/softirq_entry") int BPF_PROG(entry_##suffix, unsigned int vector) \
	{ \
		return on_entry(ctx, vector); \
	} \
	SEC(kind "/softirq_exit") int BPF_PROG(exit_##suffix, unsigned int vector) \
	{ \
		return on_exit(ctx, vector); \
	} \
	SEC(kind "/hrtimer_expire_entry") int BPF_PROG(expire_##suffix, struct hrtimer *timer) \
	{ \
		return on_expire(ctx, timer); \
	}

HOOKS("tp_btf", btf)
HOOKS("raw_tp", raw)
