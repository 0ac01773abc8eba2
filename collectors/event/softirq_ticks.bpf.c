// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Softirqs that begin late or run long, as the timers that interrupt a CPU see them, above all its
// tick: nothing runs on a softirq itself, of which a busy host has a million a second. One that two
// timers found pending, with none of its kind begun between them, was pending all the time; one that
// both interrupted, with none begun between them, ran all the time.
#include "collectors/event/softirq.bpf.h"

// Where a CPU has it, as seen from its timers (hrtimer_bases); set by the user side.
const volatile __s64 begun_at = 0;   // how many began, by vector (kstat.softirqs)
const volatile __s64 pending_at = 0; // a bit for each vector
const volatile __s64 count_at = 0;   // the count of reasons not to be preempted; 0: tasks have it

#define SOFTIRQ_SERVING 0x100u // in the count: one runs, or its thread

// What a timer finds. It is kept in the map because the verifier follows every value that a variable
// may have, and those of a map's memory not.
struct turn {
	__u64 late_ns;  // when that was found first which waited longest of those that have begun
	__u32 late;     // a bit for it
	__u32 begun;    // since the timer before: a bit for each
	bool is_over;   // something is over its time now
};

struct cpu {
	__u64 pending_ns[VECTORS]; // found pending first; 0: not pending
	__u64 running_ns;          // found running first; 0: none runs
	__u64 last_ns;             // of the timer before
	__u32 counts[VECTORS];     // of those that have begun, as it found them
	__u32 running;             // what may be running: a bit for each
	struct turn turn;
	bool has_culprit;
	struct culprit culprit; // of what is over its time now
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu);
} cpus SEC(".maps");

static __always_inline bool is_serving(const char *timers)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct task_struct___rt *rt = (void *)task;
	struct task_struct___arm64 *arm64 = (void *)task;
	__u32 count = 0;

	if (bpf_core_field_exists(rt->softirq_disable_cnt)) // PREEMPT_RT
		count = (__u32)BPF_CORE_READ(rt, softirq_disable_cnt);
	else if (count_at != 0)
		bpf_probe_read_kernel(&count, sizeof(count), timers + count_at);
	else
		count = (__u32)BPF_CORE_READ(arm64, thread_info.preempt_count);
	return (count & SOFTIRQ_SERVING) != 0;
}

// What was found first at `since_ns` and last by the timer before. It is longer by up to two ticks:
// one is the best guess, half of it behind the end.
static __always_inline void weigh(void *ctx, const struct tl_event_setting *setting,
				  const struct cpu *cpu, __u32 kind, __u32 vectors, __u64 since_ns,
				  __u64 now_ns)
{
	__u64 duration_ns = cpu->last_ns - since_ns + setting->tick_ns;
	__u64 end_ns = cpu->last_ns + setting->tick_ns / 2;

	if (cpu->last_ns == since_ns || duration_ns <= setting->threshold_ns[kind])
		return; // found once says nothing
	tell(ctx, setting, cpu->has_culprit ? &cpu->culprit : NULL, kind, vectors,
	     end_ns < now_ns ? end_ns : now_ns, duration_ns);
}

static __always_inline bool is_over(const struct tl_event_setting *setting, __u32 kind,
				    __u64 since_ns, __u64 now_ns)
{
	return since_ns != 0 && now_ns != since_ns &&
	       now_ns - since_ns + setting->tick_ns > setting->threshold_ns[kind];
}

// Notes which have begun, what is pending, and since when.
static __always_inline void look(const struct tl_event_setting *setting, struct cpu *cpu,
				 const char *timers, __u64 now_ns)
{
	struct turn *turn = &cpu->turn;
	__u32 counts[VECTORS] = {0};
	__u16 pending = 0;

	bpf_probe_read_kernel(counts, sizeof(counts), timers + begun_at);
	bpf_probe_read_kernel(&pending, sizeof(pending), timers + pending_at);
	*turn = (struct turn) {0};
	for (__u32 i = 0; i < VECTORS; i++) {
		bool is_pending = (pending >> i & 1) != 0, is_same = counts[i] == cpu->counts[i];
		__u64 since_ns = cpu->pending_ns[i];
		cpu->counts[i] = counts[i];
		if (!is_same)
			turn->begun |= 1u << i;
		if (since_ns != 0 && !(is_pending && is_same)) {
			if (turn->late_ns == 0 || since_ns < turn->late_ns) {
				turn->late_ns = since_ns;
				turn->late = 1u << i;
			}
			since_ns = 0;
		}
		cpu->pending_ns[i] = !is_pending ? 0 : since_ns != 0 ? since_ns : now_ns;
		if (is_over(setting, TL_SOFTIRQ_LATE, cpu->pending_ns[i], now_ns))
			turn->is_over = true;
	}
}

// Weighs what has ended since the timer before. Of those that waited together only the one that did
// so longest is told: the others had the same in their way.
static __always_inline void weigh_all(void *ctx, const struct tl_event_setting *setting,
				      struct cpu *cpu, bool is_running, __u64 now_ns)
{
	struct turn *turn = &cpu->turn;

	if (turn->late_ns != 0)
		weigh(ctx, setting, cpu, TL_SOFTIRQ_LATE, turn->late, turn->late_ns, now_ns);
	if (cpu->running_ns != 0 && !(is_running && turn->begun == 0)) {
		weigh(ctx, setting, cpu, TL_SOFTIRQ_LONG, cpu->running, cpu->running_ns, now_ns);
		cpu->running_ns = 0;
	}
	if (is_running && cpu->running_ns == 0) {
		cpu->running_ns = now_ns;
		cpu->running = turn->begun;
	}
	if (is_over(setting, TL_SOFTIRQ_LONG, cpu->running_ns, now_ns))
		turn->is_over = true;
}

SEC("tp_btf/hrtimer_expire_entry")
int BPF_PROG(expire_ticks, struct hrtimer *timer)
{
	const struct tl_event_setting *setting = bpf_map_lookup_elem(&settings, &zero);
	struct cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);

	if (cpu == NULL || setting == NULL || BPF_CORE_READ(timer, is_soft) != 0)
		return 0;
	__u64 now_ns = bpf_ktime_get_ns();
	const char *timers = (const char *)BPF_CORE_READ(timer, base, cpu_base);
	look(setting, cpu, timers, now_ns);
	weigh_all(ctx, setting, cpu, is_serving(timers), now_ns);
	if (cpu->turn.is_over && !cpu->has_culprit)
		note_culprit(ctx, &cpu->culprit, now_ns);
	cpu->has_culprit = cpu->turn.is_over;
	cpu->last_ns = now_ns;
	weigh_timer(ctx, setting, timer, now_ns);
	return 0;
}
