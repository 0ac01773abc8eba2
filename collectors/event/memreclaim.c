// SPDX-License-Identifier: Apache-2.0
// A task that was held up for long by freeing memory itself, for the host or for its memory cgroup.
#include <stddef.h>
#include <string.h>

#include "collectors/event/event.h"
#include "collectors/event/gate.h"

TL_BPF_CODE(memreclaim);

enum { DIRECT_BEGIN, MEMCG_BEGIN, DIRECT_END, MEMCG_END }; // tracepoints

struct memreclaim_options {
	uint64_t threshold_ns;
	uint64_t rate;
	bool has_host;
};

static const struct tl_option rows[] = {
	{.key = "threshold", .type = TL_OPTION_DURATION, .hot = true,
	 .offset = offsetof(struct memreclaim_options, threshold_ns), .value = "900ms", .min = 1000,
	 .help = "Time that one reclaim may hold up a task."},
	{.key = "host", .type = TL_OPTION_BOOL, .hot = true,
	 .offset = offsetof(struct memreclaim_options, has_host), .value = "false",
	 .help = "Save what happens outside of containers, too."},
	TL_EVENT_RATE_ROW(struct memreclaim_options, rate, "100"),
	TL_OPTION_END,
};

#define BEGUN_MAX 256u // tasks that free memory at once

struct memreclaim {
	struct tl_event event; // first
	bool has_host;
	struct tl_tracepoint_field reclaimed;
	uint64_t lost; // samples, when the last one was taken
	struct {
		uint32_t tid; // 0: free
		uint64_t since_ns;
	} begun[BEGUN_MAX];
};

static void set(struct tl_event *event, struct tl_ctx *ctx, struct tl_event_setting *ret)
{
	struct memreclaim *self = (struct memreclaim *)event;
	struct memreclaim_options options;

	tl_ctx_options(ctx, &options, sizeof(options));
	self->has_host = options.has_host;
	ret->threshold_ns[0] = options.threshold_ns;
	ret->rate = options.rate;
}

static void tell(struct tl_event *event, const void *data, uint32_t size)
{
	const struct memreclaim *self = (const struct memreclaim *)event;
	const struct tl_memreclaim_record *record = data;
	struct tl_text stack = {0};

	if (size < sizeof(*record))
		return;
	tl_event_find_task(event, &record->task);
	if (event->owner.id[0] == '\0' && !self->has_host) {
		atomic_fetch_add(&event->known, 1);
		return;
	}
	tl_event_stack(&record->stack, &stack);
	json_t *json = json_pack("{s:s, s:I, s:I, s:I, s:s}", "type",
				 record->is_memcg ? "memcg" : "direct", "reclaim_duration_ns",
				 (json_int_t)record->duration_ns, "threshold_ns",
				 (json_int_t)record->threshold_ns, "pages_reclaimed",
				 (json_int_t)record->reclaimed, "stack", stack.data);
	tl_event_add_task(json, &record->task);
	tl_event_save(event, record->task.time_ns, json);
	tl_text_free(&stack);
}

static const char *const btf[] = {"direct_begin_btf", "direct_end_btf", "memcg_begin_btf",
				  "memcg_end_btf", NULL};
static const char *const raw[] = {"direct_begin_raw", "direct_end_raw", "memcg_begin_raw",
				  "memcg_end_raw", NULL};
static const struct tl_bpf_hook hooks[] = {
	{.name = "tp_btf", .code = &tl_bpf_code_memreclaim, .programs = btf},
	{.name = "raw_tp", .code = &tl_bpf_code_memreclaim, .programs = raw},
	{.name = NULL},
};

// ---- Without BPF ---------------------------------------------------------------------------------

static int find_fields(struct tl_event *event)
{
	struct memreclaim *self = (struct memreclaim *)event;

	memset(self->begun, 0, sizeof(self->begun));
	self->lost = 0;
	return tl_tracepoint_field("vmscan/mm_vmscan_direct_reclaim_end", "nr_reclaimed",
				   &self->reclaimed);
}

// The place of the task, or a free one, or that of the one that began first.
static uint32_t place_of(const struct memreclaim *self, uint32_t tid)
{
	uint32_t best = 0;

	for (uint32_t i = 0; i < BEGUN_MAX; i++) {
		if (self->begun[i].tid == tid)
			return i;
		if (self->begun[best].tid != 0 && (self->begun[i].tid == 0 ||
		    self->begun[i].since_ns < self->begun[best].since_ns))
			best = i;
	}
	return best;
}

// CPUs are looked at one after the other, ten times a second: of a task that moved to another one an
// end may come before the begin. Such a pair is missed, unless it is longer than that.
static void take(struct tl_event *event, const struct tl_perf_sample *sample)
{
	struct memreclaim *self = (struct memreclaim *)event;
	struct tl_memreclaim_record record = {.threshold_ns = event->setting.threshold_ns[0],
					      .is_memcg = sample->place == MEMCG_END};

	if (self->lost != event->perf_lost) // there may be ends among them
		memset(self->begun, 0, sizeof(self->begun));
	self->lost = event->perf_lost;
	uint32_t at = place_of(self, sample->tid);
	if (sample->place == DIRECT_BEGIN || sample->place == MEMCG_BEGIN) {
		self->begun[at].tid = sample->tid;
		self->begun[at].since_ns = sample->time_ns;
		return;
	}
	if (self->begun[at].tid != sample->tid || sample->time_ns < self->begun[at].since_ns)
		return;
	record.duration_ns = sample->time_ns - self->begun[at].since_ns;
	self->begun[at].tid = 0;
	if (record.duration_ns < record.threshold_ns || !tl_event_may_tell(event, sample->time_ns))
		return;
	tl_event_task_of(sample, &record.task);
	tl_event_stack_of(sample, &record.stack);
	record.reclaimed = tl_event_field(sample, &self->reclaimed);
	tell(event, &record, sizeof(record));
}

static const char *const tracepoints[] = {
	[DIRECT_BEGIN] = "vmscan/mm_vmscan_direct_reclaim_begin",
	[MEMCG_BEGIN] = "vmscan/mm_vmscan_memcg_reclaim_begin",
	[DIRECT_END] = "vmscan/mm_vmscan_direct_reclaim_end",
	[MEMCG_END] = "vmscan/mm_vmscan_memcg_reclaim_end",
	NULL,
};
static const struct tl_event_perf perf = {
	.options = {.tracepoints = tracepoints, .has_stacks = true, .is_kernel_only = true,
		    .stackless = 1 << DIRECT_BEGIN | 1 << MEMCG_BEGIN},
	.open = find_fields,
	.take = take,
};
static const struct tl_event_kind kind = {
	.name = "memreclaim", .hooks = hooks, .perf = &perf, .set = set, .tell = tell};

static int new_memreclaim(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup;
	return tl_event_new(&kind, &tl_event_ops, sizeof(struct memreclaim), 5, ret);
}

TL_COLLECTOR(memreclaim, new_memreclaim,
	     .help = "Tasks that were held up for long by freeing memory themselves.",
	     .options = rows, .options_size = sizeof(struct memreclaim_options));
