// SPDX-License-Identifier: Apache-2.0
// A softirq that begins late or runs long, and a timer that could not interrupt in time: what holds
// up packets, timers and RCU on a CPU, with the stack of who was in the way.
#include <stddef.h>

#include "base/check.h"
#include "collectors/event/event.h"
#include "collectors/event/gate.h"

TL_BPF_CODE(softirq);

struct softirq_options {
	uint64_t late_ns, long_ns, timer_ns;
	uint64_t rate;
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

static void tell(struct tl_event *event, const void *data, uint32_t size)
{
	static const char *const kinds[] = {"late", "long", "timer"};
	static const char *const vectors[] = {"HI", "TIMER", "NET_TX", "NET_RX", "BLOCK",
					      "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"};
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
	if (record->kind != TL_SOFTIRQ_TIMER && record->vector < TL_COUNT_OF(vectors))
		(void)json_object_set_new(json, "vector", json_string(vectors[record->vector]));
	tl_event_add_task(json, &record->task);
	tl_event_save(event, record->task.time_ns, json);
	tl_text_free(&stack);
}

static const char *const btf[] = {"raise_btf", "entry_btf", "exit_btf", "expire_btf", NULL};
static const char *const raw[] = {"raise_raw", "entry_raw", "exit_raw", "expire_raw", NULL};
static const struct tl_bpf_hook hooks[] = {
	{.name = "tp_btf", .code = &tl_bpf_code_softirq, .programs = btf},
	{.name = "raw_tp", .code = &tl_bpf_code_softirq, .programs = raw},
	{.name = NULL},
};
static const struct tl_event_kind kind = {
	.name = "softirq", .hooks = hooks, .set = set, .tell = tell};

static int new_softirq(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup;
	return tl_event_new(&kind, &tl_event_ops, 0, 10, ret);
}

TL_COLLECTOR(softirq, new_softirq,
	     .help = "Softirqs that begin late or run long, timers that are held up.",
	     .options = rows, .options_size = sizeof(struct softirq_options));
