// SPDX-License-Identifier: Apache-2.0
// Packets that the kernel dropped: why, where, of which flow. Drops that are known to mean nothing
// are left out by what their stacks have in them.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "collectors/event/event.h"
#include "collectors/event/gate.h"

TL_BPF_CODE(dropwatch);

#define ISSUES_MAX 64u
#define REASONS_MAX 512u

enum { PACKETS_TCP, PACKETS_IP, PACKETS_ALL };

struct dropwatch_options {
	uint32_t packets;
	uint64_t rate;
	struct tl_text_map known_issues;
};

static const char *const packets[] = {"tcp", "ip", "all", NULL};
static const struct tl_option rows[] = {
	{.key = "packets", .type = TL_OPTION_CHOICE, .hot = true, .choices = packets,
	 .offset = offsetof(struct dropwatch_options, packets), .value = "tcp",
	 .help = "Which packets are watched: TCP, all of IPv4 and IPv6, or all."},
	{.key = "known_issues", .type = TL_OPTION_TEXT_MAP,
	 .offset = offsetof(struct dropwatch_options, known_issues), .value = "{}",
	 .help = "Names and extended regular expressions: drops whose stack matches one are only "
		 "counted."},
	TL_EVENT_RATE_ROW(struct dropwatch_options, rate, "100"),
	TL_OPTION_END,
};

// The kernel's names of reasons, and of the subsystems that have reasons of their own.
struct reason {
	uint32_t value;
	char name[60];
};

struct dropwatch {
	struct tl_event event; // first
	uint32_t reason_count, group_count;
	struct reason reasons[REASONS_MAX], groups[REASONS_MAX / 8];
	bool has_issues;
	uint32_t issue_count;
	regex_t issues[ISSUES_MAX];
	struct tl_tracepoint_field location, protocol, reason; // without BPF
};

static const char tracepoint[] = "skb/kfree_skb";

static void set(struct tl_event *event, struct tl_ctx *ctx, struct tl_event_setting *ret)
{
	static const uint64_t flags[] = {
		[PACKETS_TCP] = TL_DROPWATCH_TCP, [PACKETS_IP] = TL_DROPWATCH_IP, [PACKETS_ALL] = 0};
	struct dropwatch_options options;

	(void)event;
	tl_ctx_options(ctx, &options, sizeof(options));
	ret->flags = flags[options.packets];
	ret->rate = options.rate;
}

static bool is_known(const struct dropwatch *self, const char *stack)
{
	for (uint32_t i = 0; i < self->issue_count; i++)
		if (regexec(&self->issues[i], stack, 0, NULL, 0) == 0)
			return true;
	return false;
}

static void note_reason(void *arg, const char *name, uint32_t value)
{
	struct dropwatch *self = arg;
	const char *plain = strncmp(name, "SKB_DROP_REASON_", 16) == 0 ? name + 16 :
			    strncmp(name, "SKB_", 4) == 0 ? name + 4 : name;

	if (self->reason_count == REASONS_MAX)
		return;
	struct reason *reason = &self->reasons[self->reason_count++];
	reason->value = value;
	(void)snprintf(reason->name, sizeof(reason->name), "%s", plain);
}

static void note_group(void *arg, const char *name, uint32_t value)
{
	struct dropwatch *self = arg;
	const char *plain = strncmp(name, "SKB_DROP_REASON_SUBSYS_", 23) == 0 ? name + 23 : name;

	if (self->group_count == TL_COUNT_OF(self->groups))
		return;
	struct reason *group = &self->groups[self->group_count++];
	group->value = value;
	(void)snprintf(group->name, sizeof(group->name), "%s", plain);
}

static void add_name(json_t *json, const char *key, const struct reason *names, uint32_t count,
		     uint32_t value)
{
	char text[16];

	for (uint32_t i = 0; i < count; i++)
		if (names[i].value == value) {
			(void)json_object_set_new(json, key, json_string(names[i].name));
			return;
		}
	(void)snprintf(text, sizeof(text), "%u", value);
	(void)json_object_set_new(json, key, json_string(text));
}

static void tell(struct tl_event *event, const void *data, uint32_t size)
{
	const struct dropwatch *self = (const struct dropwatch *)event;
	const struct tl_dropwatch_record *record = data;
	struct tl_event_stack place = {.count = 1, .frames = {record->location}};
	struct tl_text stack = {0}, location = {0};

	if (size < sizeof(*record))
		return;
	tl_event_stack(&record->stack, &stack);
	if (is_known(self, stack.data)) {
		atomic_fetch_add(&event->known, 1);
		goto out_free;
	}
	tl_event_find_net(event, record->packet.net_inum);
	tl_event_stack(&place, &location);
	location.data[strcspn(location.data, "\n")] = '\0';
	json_t *json = json_pack("{s:s, s:s, s:s}", "drop_source", "software", "drop_location",
				 location.data, "stack", stack.data);
	add_name(json, "drop_reason", self->reasons, self->reason_count, record->reason);
	add_name(json, "drop_reason_group", self->groups, self->group_count, record->reason >> 16);
	if (record->tcp_state != 0)
		(void)json_object_set_new(json, "tcp_state",
					  json_string(tl_event_tcp_state(record->tcp_state)));
	tl_event_add_task(json, &record->task);
	if (event->perf == NULL)
		tl_event_add_packet(json, &record->packet);
	else // nobody looked at it
		tl_event_add_type(json, &record->packet);
	tl_event_save(event, record->task.time_ns, json);
out_free:
	tl_text_free(&stack);
	tl_text_free(&location);
}

static const char *const btf[] = {"free_btf", NULL}, *const raw[] = {"free_raw", NULL};
static const struct tl_bpf_hook hooks[] = {
	{.name = "tp_btf", .code = &tl_bpf_code_dropwatch, .programs = btf},
	{.name = "raw_tp", .code = &tl_bpf_code_dropwatch, .programs = raw},
	{.name = NULL},
};

// ---- Without BPF ---------------------------------------------------------------------------------

static int find_fields(struct tl_event *event)
{
	struct dropwatch *self = (struct dropwatch *)event;
	int rc = tl_tracepoint_field(tracepoint, "location", &self->location);

	if (rc == 0)
		rc = tl_tracepoint_field(tracepoint, "protocol", &self->protocol);
	if (tl_tracepoint_field(tracepoint, "reason", &self->reason) < 0) // before 5.17
		self->reason = (struct tl_tracepoint_field) {0};
	return rc;
}

// The record tells the packet's address, not what is in it: TCP is what IP is.
static void take(struct tl_event *event, const struct tl_perf_sample *sample)
{
	const struct dropwatch *self = (const struct dropwatch *)event;
	uint16_t protocol = (uint16_t)tl_event_field(sample, &self->protocol);
	struct tl_dropwatch_record record = {
		.location = tl_event_field(sample, &self->location),
		.reason = (uint32_t)tl_event_field(sample, &self->reason),
		.packet.protocol = htons(protocol),
	};

	if (event->setting.flags != 0 && protocol != ETH_P_IP && protocol != ETH_P_IPV6)
		return;
	if (!tl_event_may_tell(event, sample->time_ns))
		return;
	tl_event_task_of(sample, &record.task);
	tl_event_stack_of(sample, &record.stack);
	tell(event, &record, sizeof(record));
}

static const char *const tracepoints[] = {tracepoint, NULL};
static const struct tl_event_perf perf = {
	.options = {.tracepoints = tracepoints, .has_stacks = true, .is_kernel_only = true,
		    .ring_bytes = 256u << 10},
	.open = find_fields,
	.take = take,
};
static const struct tl_event_kind kind = {
	.name = "dropwatch", .hooks = hooks, .perf = &perf, .set = set, .tell = tell};

// Once: the texts are those of the configuration that the agent began with.
static int take_issues(struct dropwatch *self, const struct tl_ctx *ctx)
{
	struct dropwatch_options options;

	if (self->has_issues)
		return 0;
	tl_ctx_options(ctx, &options, sizeof(options));
	if (options.known_issues.count > ISSUES_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < options.known_issues.count; i++) {
		if (regcomp(&self->issues[self->issue_count], options.known_issues.items[i].value,
			    REG_EXTENDED | REG_NOSUB | REG_NEWLINE) != 0)
			return -EINVAL;
		self->issue_count++;
	}
	self->has_issues = true;
	return 0;
}

static int start(void *arg, struct tl_ctx *ctx)
{
	struct dropwatch *self = arg;
	int rc = take_issues(self, ctx);

	if (self->reason_count == 0) {
		tl_bpf_enum("skb_drop_reason", note_reason, self);
		tl_bpf_enum("skb_drop_reason_subsys", note_group, self);
	}
	return rc < 0 ? rc : tl_event_run(arg, ctx);
}

static void close_dropwatch(void *arg)
{
	struct dropwatch *self = arg;

	for (uint32_t i = 0; i < self->issue_count; i++)
		regfree(&self->issues[i]);
	tl_event_destroy(self);
}

static const struct tl_collector_ops ops = {
	.start = start, .update = tl_event_update, .close = close_dropwatch};

static int new_dropwatch(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup;
	return tl_event_new(&kind, &ops, sizeof(struct dropwatch), 10, ret);
}

TL_COLLECTOR(dropwatch, new_dropwatch,
	     .help = "Packets that the kernel dropped: why, where, of which flow.",
	     .options = rows, .options_size = sizeof(struct dropwatch_options));
