// SPDX-License-Identifier: Apache-2.0
// A softirq that begins late or runs long, and a timer that could not interrupt in time: what holds
// up packets, timers and RCU on a CPU, with the stack of who was in the way.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "collectors/event/event.h"
#include "collectors/event/gate.h"

TL_BPF_CODE(softirq);
TL_BPF_CODE(softirq_ticks);

struct softirq_options {
	uint64_t late_ns, long_ns, timer_ns;
	uint64_t rate;
	bool is_exact;
};

#define ROW(member, row_key, row_help) \
	{.key = row_key, .type = TL_OPTION_DURATION, .hot = true, \
	 .offset = offsetof(struct softirq_options, member), .value = "10ms", .min = 10000, \
	 .help = row_help}

static const struct tl_option rows[] = {
	ROW(late_ns, "late", "Time from a softirq's raise to its begin that is too long."),
	ROW(long_ns, "long", "Time that a softirq may run."),
	ROW(timer_ns, "timer", "Time that a timer's interrupt may be late."),
	TL_EVENT_RATE_ROW(struct softirq_options, rate, "10"),
	{.key = "exact", .type = TL_OPTION_BOOL, .offset = offsetof(struct softirq_options, is_exact),
	 .value = "false", .help = "Watch each softirq, not what timers interrupt: exact, and dearer."},
	TL_OPTION_END,
};

static void set(struct tl_event *event, struct tl_ctx *ctx, struct tl_event_setting *ret)
{
	struct softirq_options options;

	(void)event;
	tl_ctx_options(ctx, &options, sizeof(options));
	ret->threshold_ns[TL_SOFTIRQ_LATE] = options.late_ns;
	ret->threshold_ns[TL_SOFTIRQ_LONG] = options.long_ns;
	ret->threshold_ns[TL_SOFTIRQ_TIMER] = options.timer_ns;
	ret->rate = options.rate;
}

static const char *const vector_names[] = {"HI", "TIMER", "NET_TX", "NET_RX", "BLOCK",
					   "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"};

// What the stack of one that runs shows it to be, by the function that the kernel calls for it.
static const char *vector_of(const char *stack)
{
	static const struct {
		const char *function, *vector;
	} functions[] = {
		{"tasklet_hi_action", "HI"}, {"run_timer_softirq", "TIMER"},
		{"net_tx_action", "NET_TX"}, {"net_rx_action", "NET_RX"},
		{"blk_done_softirq", "BLOCK"}, {"irq_poll_softirq", "IRQ_POLL"},
		{"tasklet_action", "TASKLET"}, {"sched_balance_softirq", "SCHED"},
		{"run_rebalance_domains", "SCHED"}, {"hrtimer_run_softirq", "HRTIMER"},
		{"rcu_core", "RCU"},
	};

	for (; stack != NULL && stack[0] != '\0'; stack = strchr(stack, '\n')) {
		stack += stack[0] == '\n';
		for (uint32_t i = 0; i < TL_COUNT_OF(functions); i++)
			if (strncmp(stack, functions[i].function, strlen(functions[i].function)) == 0)
				return functions[i].vector;
	}
	return NULL;
}

// NULL: it can't be told, or there is none.
static const char *vector_name(const struct tl_softirq_record *record, const char *stack)
{
	for (uint32_t i = 0; i < TL_COUNT_OF(vector_names); i++)
		if (record->vectors == 1u << i)
			return vector_names[i];
	return record->kind == TL_SOFTIRQ_LONG ? vector_of(stack) : NULL;
}

static void tell(struct tl_event *event, const void *data, uint32_t size)
{
	static const char *const kinds[] = {"late", "long", "timer"};
	const struct tl_softirq_record *record = data;
	struct tl_text stack = {0};

	if (size < sizeof(*record) || record->kind >= TL_COUNT_OF(kinds))
		return;
	tl_event_find_task(event, &record->task);
	tl_event_stack(&record->stack, &stack);
	json_t *json = json_pack("{s:s, s:I, s:I, s:i, s:s}", "kind", kinds[record->kind],
				 "duration_ns", (json_int_t)record->duration_ns, "threshold_ns",
				 (json_int_t)record->threshold_ns, "cpu", (int)record->task.cpu,
				 "stack", stack.data);
	const char *vector = vector_name(record, stack.data);
	if (vector != NULL)
		(void)json_object_set_new(json, "vector", json_string(vector));
	tl_event_add_task(json, &record->task);
	tl_event_save(event, record->task.time_ns, json);
	tl_text_free(&stack);
}

static const char *const ticks[] = {"expire_ticks", NULL};
static const char *const btf[] = {"raise_btf", "entry_btf", "exit_btf", "expire_btf", NULL};
static const char *const raw[] = {"raise_raw", "entry_raw", "exit_raw", "expire_raw", NULL};

// Where a CPU has what the program at timers reads, as seen from its timers. Kernels have moved it
// about: the first that is there is taken. Found once, by the only run there is at a time.
static int64_t begun_at, pending_at, count_at;
static const struct tl_bpf_constant places[] = {
	{"begun_at", &begun_at, sizeof(begun_at)}, {"pending_at", &pending_at, sizeof(pending_at)},
	{"count_at", &count_at, sizeof(count_at)}, {NULL, NULL, 0}};

static bool find_places(void)
{
	enum { TIMERS, BEGUN, PENDING, COUNT = PENDING + 3, END = COUNT + 2 };
	struct tl_bpf_percpu found[END] = {
		[TIMERS] = {"hrtimer_bases", NULL, 0},
		[BEGUN] = {"kstat", "softirqs", 0},
		[PENDING] = {"__softirq_pending", NULL, 0},
		{"pcpu_hot", "softirq_pending", 0},
		{"irq_stat", "__softirq_pending", 0},
		[COUNT] = {"__preempt_count", NULL, 0},
		{"pcpu_hot", "preempt_count", 0},
	};

	if (tl_bpf_find_percpu(found, END) < 0 || found[TIMERS].offset < 0 ||
	    found[BEGUN].offset < 0)
		return false;
	begun_at = found[BEGUN].offset - found[TIMERS].offset;
	pending_at = count_at = 0;
	for (uint32_t i = PENDING; i < END; i++) {
		int64_t *at = i < COUNT ? &pending_at : &count_at;
		if (*at == 0 && found[i].offset >= 0)
			*at = found[i].offset - found[TIMERS].offset;
	}
	return pending_at != 0;
}

static const struct tl_bpf_hook hooks[] = {
	{.name = "ticks", .code = &tl_bpf_code_softirq_ticks, .programs = ticks, .constants = places},
	{.name = "tp_btf", .code = &tl_bpf_code_softirq, .programs = btf},
	{.name = "raw_tp", .code = &tl_bpf_code_softirq, .programs = raw},
	{.name = NULL},
};

// ---- Without BPF ---------------------------------------------------------------------------------

// Begins and ends by their records, all of them; what was in the way by samples of the CPU clock. What
// a timer is late can't be told: its records don't say what it was set for.

enum { RAISE, ENTRY, EXIT }; // tracepoints

#define VECTORS 16u // a power of 2; the kernel has 10
#define CLOCK_HZ 199u

struct cpu {
	uint64_t raised_ns[VECTORS]; // 0: not pending
	uint64_t entered_ns;         // 0: none runs
	uint64_t stack_ns;
	struct tl_event_stack stack; // of the last sample
};

struct softirq {
	struct tl_event event; // first
	struct tl_tracepoint_field vector;
	uint64_t lost; // samples, when the last one was taken
	uint32_t cpu_count;
	struct cpu *cpus;
};

static int find_field(struct tl_event *event)
{
	struct softirq *self = (struct softirq *)event;
	long count = sysconf(_SC_NPROCESSORS_CONF);

	free(self->cpus);
	self->cpu_count = count < 1 ? 1 : (uint32_t)count;
	self->cpus = calloc(self->cpu_count, sizeof(*self->cpus));
	self->lost = 0;
	return self->cpus == NULL ? -ENOMEM :
	       tl_tracepoint_field("irq/softirq_entry", "vec", &self->vector);
}

// `since_ns` is when the CPU began to be in the way: a stack that was taken since then shows it.
static void tell_sample(struct tl_event *event, const struct tl_perf_sample *sample,
			const struct cpu *cpu, enum tl_softirq_kind what, uint32_t vector,
			uint64_t since_ns)
{
	struct tl_softirq_record record = {.duration_ns = sample->time_ns - since_ns,
					   .threshold_ns = event->setting.threshold_ns[what],
					   .kind = what, .vectors = 1u << vector};

	if (record.duration_ns <= record.threshold_ns ||
	    !tl_event_may_tell(event, sample->time_ns))
		return;
	tl_event_task_of(sample, &record.task);
	if (cpu->stack_ns >= since_ns)
		record.stack = cpu->stack;
	tell(event, &record, sizeof(record));
}

static void take(struct tl_event *event, const struct tl_perf_sample *sample)
{
	struct softirq *self = (struct softirq *)event;
	uint32_t vector = (uint32_t)tl_event_field(sample, &self->vector) % VECTORS;

	if (sample->cpu >= self->cpu_count)
		return;
	if (self->lost != event->perf_lost) // there may be begins and ends among them
		memset(self->cpus, 0, self->cpu_count * sizeof(*self->cpus));
	self->lost = event->perf_lost;
	struct cpu *cpu = &self->cpus[sample->cpu];
	uint64_t raised_ns = cpu->raised_ns[vector];
	switch (sample->place) {
	case RAISE:
		if (raised_ns == 0)
			cpu->raised_ns[vector] = sample->time_ns;
		break;
	case ENTRY:
		cpu->raised_ns[vector] = 0;
		cpu->entered_ns = sample->time_ns;
		if (raised_ns != 0)
			tell_sample(event, sample, cpu, TL_SOFTIRQ_LATE, vector, raised_ns);
		break;
	case EXIT:
		if (cpu->entered_ns != 0)
			tell_sample(event, sample, cpu, TL_SOFTIRQ_LONG, vector, cpu->entered_ns);
		cpu->entered_ns = 0;
		break;
	default: // of the clock
		tl_event_stack_of(sample, &cpu->stack);
		cpu->stack_ns = sample->time_ns;
	}
}

static void close_softirq(void *arg)
{
	struct softirq *self = arg;

	free(self->cpus);
	tl_event_destroy(self);
}

static const char *const tracepoints[] = {
	[RAISE] = "irq/softirq_raise", [ENTRY] = "irq/softirq_entry", [EXIT] = "irq/softirq_exit", NULL};
static const struct tl_event_perf perf = {
	.options = {.hz = CLOCK_HZ, .tracepoints = tracepoints, .has_stacks = true,
		    .is_kernel_only = true, .stackless = 1 << RAISE | 1 << ENTRY | 1 << EXIT,
		    .ring_bytes = 512u << 10},
	.open = find_field,
	.take = take,
};
static const struct tl_event_kind kind = {
	.name = "softirq", .hooks = hooks, .perf = &perf, .set = set, .tell = tell};
static const struct tl_event_kind kind_exact = {
	.name = "softirq", .hooks = &hooks[1], .perf = &perf, .set = set, .tell = tell};

static int start(void *arg, struct tl_ctx *ctx)
{
	struct softirq *self = arg;
	struct softirq_options options;

	tl_ctx_options(ctx, &options, sizeof(options));
	self->event.kind = options.is_exact || !find_places() ? &kind_exact : &kind;
	return tl_event_run(self, ctx);
}

static const struct tl_collector_ops ops = {
	.start = start, .update = tl_event_update, .close = close_softirq};

static int new_softirq(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup;
	return tl_event_new(&kind, &ops, sizeof(struct softirq), 10, ret);
}

TL_COLLECTOR(softirq, new_softirq,
	     .help = "Softirqs that begin late or run long, timers that are held up.",
	     .options = rows, .options_size = sizeof(struct softirq_options));
