// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Softirqs that begin late or run long, and timers that were held up because interrupts were off.
// The first three programs run on every softirq, so they do no more than they must: to read a clock
// costs most, so that it is read once, and ticks tell when there is reason to do it again.
#include "collectors/event/softirq.bpf.h"

#define SLOTS 16u // a power of 2 that is not below VECTORS

struct cpu {
	__u64 raised[SLOTS]; // ticks; 0: not pending
	__u64 entered;       // ticks
	__u64 entered_ns;    // 0: none runs
	bool has_culprit;
	struct culprit culprit; // taken while a long one ran
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu);
} cpus SEC(".maps");

static __always_inline int on_raise(__u32 vector)
{
	struct cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);

	if (cpu != NULL && cpu->raised[vector % SLOTS] == 0)
		cpu->raised[vector % SLOTS] = bpf_jiffies64();
	return 0;
}

static __always_inline int on_entry(void *ctx, __u32 vector)
{
	const struct tl_event_setting *setting = bpf_map_lookup_elem(&settings, &zero);
	struct cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);

	if (cpu == NULL || setting == NULL)
		return 0;
	__u64 now_ns = bpf_ktime_get_ns(), ticks = bpf_jiffies64();
	__u64 since = cpu->raised[vector % SLOTS];
	cpu->raised[vector % SLOTS] = 0;
	cpu->entered = ticks;
	cpu->entered_ns = now_ns;
	__u64 late_ns = since == 0 ? 0 : (ticks - since) * setting->tick_ns;
	if (late_ns > setting->threshold_ns[TL_SOFTIRQ_LATE])
		tell(ctx, setting, NULL, TL_SOFTIRQ_LATE, 1u << vector % SLOTS, now_ns, late_ns);
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
			tell(ctx, setting, cpu->has_culprit ? &cpu->culprit : NULL,
			     TL_SOFTIRQ_LONG, 1u << vector % SLOTS, now_ns, now_ns - since_ns);
	}
	cpu->entered_ns = 0;
	cpu->has_culprit = false;
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
	if (cpu->entered_ns != 0 && !cpu->has_culprit &&
	    now_ns - cpu->entered_ns > setting->threshold_ns[TL_SOFTIRQ_LONG]) {
		note_culprit(ctx, &cpu->culprit, now_ns);
		cpu->has_culprit = true;
	}
	weigh_timer(ctx, setting, timer, now_ns);
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
