// SPDX-License-Identifier: Apache-2.0
// A task that was held up for long by freeing memory itself, for the host or for its memory cgroup.
#include <stddef.h>

#include "collectors/event/event.h"
#include "collectors/event/gate.h"

TL_BPF_CODE(memreclaim);

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

struct memreclaim {
	struct tl_event event; // first
	bool has_host;
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
static const struct tl_event_kind kind = {
	.name = "memreclaim", .hooks = hooks, .set = set, .tell = tell};

static int new_memreclaim(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup;
	return tl_event_new(&kind, &tl_event_ops, sizeof(struct memreclaim), 5, ret);
}

TL_COLLECTOR(memreclaim, new_memreclaim,
	     .help = "Tasks that were held up for long by freeing memory themselves.",
	     .options = rows, .options_size = sizeof(struct memreclaim_options));
