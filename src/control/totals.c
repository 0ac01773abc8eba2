// SPDX-License-Identifier: Apache-2.0
#include "control/totals.h"

#include "base/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Shares (in percent) from which a thing is worth a hint.
#define TLS_PERCENT 50u
#define ONE_SIDED_PERCENT 30u
#define CUT_PERCENT 1u
#define DUPLICATE_PERCENT 5u
#define NOT_FOLLOWED_PERCENT 30u
#define UNKNOWN_PERCENT 50u

void tl_totals_read(struct tl_pipeline *pipeline, struct tl_totals *t)
{
	*t = (struct tl_totals) {0};
	for (uint32_t w = 0; w < tl_pipeline_worker_count(pipeline); w++) {
		struct tl_engine *engine = tl_pipeline_engine(pipeline, w);
		const struct tl_counters *counters = tl_engine_counters(engine);
		uint32_t count;
		const struct tl_verdict_count *verdicts = tl_engine_verdicts(engine, &count);

		for (uint32_t i = 0; i < TL_COUNTER_COUNT; i++)
			t->counters.at[i] += counters->at[i];
		TL_ASSERT(count <= TL_TOTALS_VERDICTS_MAX);
		t->verdict_count = count;
		for (uint32_t i = 0; i < count; i++) {
			t->verdicts[i].flows += verdicts[i].flows;
			t->verdicts[i].bytes += verdicts[i].bytes;
		}
	}
	t->port_count = tl_pipeline_ports(pipeline, t->ports, TL_TOTALS_PORTS_MAX);
	for (uint32_t i = 0; i < t->port_count; i++) {
		t->kernel_dropped += t->ports[i].kernel_dropped;
		t->ring_dropped += t->ports[i].ring_dropped;
		t->pool_dropped += t->ports[i].pool_dropped;
		if (t->ports[i].overlooked_tags > t->overlooked_tags)
			t->overlooked_tags = t->ports[i].overlooked_tags;
	}
}

void tl_totals_read_names(struct tl_pipeline *pipeline, struct tl_totals *t)
{
	for (uint32_t w = 0; w < tl_pipeline_worker_count(pipeline); w++)
		tl_names_merge(&t->names, tl_l7_names(tl_engine_l7(tl_pipeline_engine(pipeline, w))));
}

const char *tl_totals_verdict_name(uint32_t index)
{
	if (index < tl_decoder_count)
		return tl_decoders[index] == NULL ? NULL : tl_decoders[index]->name;
	return tl_verdict_name((uint16_t)(TL_VERDICT_BASE + index - tl_decoder_count));
}

static uint64_t percent(uint64_t part, uint64_t whole)
{
	return whole == 0 ? 0 : (uint64_t)((double)part * 100 / (double)whole + 0.5);
}

struct hints {
	char (*lines)[TL_HINT_BYTES];
	uint32_t count, max;
};

__attribute__((format(printf, 2, 3))) static void hint(struct hints *h, const char *format, ...)
{
	va_list args;

	if (h->count == h->max)
		return;
	va_start(args, format);
	(void)vsnprintf(h->lines[h->count++], TL_HINT_BYTES, format, args);
	va_end(args);
}

static struct tl_verdict_count verdict(const struct tl_totals *t, enum tl_verdict which)
{
	uint32_t index = tl_decoder_count + (uint32_t)which - TL_VERDICT_BASE;
	return index < t->verdict_count ? t->verdicts[index] : (struct tl_verdict_count) {0};
}

// Of several ports one may fail, or lose its link, while the others go on.
static void hint_ports(struct hints *h, const struct tl_totals *t)
{
	for (uint32_t i = 0; i < t->port_count; i++) {
		const struct tl_port_status *p = &t->ports[i];
		if (p->error[0] != '\0')
			hint(h, "Port %s: %s.", p->name, p->error);
		else if (!p->is_up)
			hint(h, "Port %s has no link: is the cable plugged in, and the interface up?",
			     p->name);
	}
}

static void hint_nothing(struct hints *h, const struct tl_totals *t, const char *filter)
{
	if (t->counters.at[TL_COUNT_PACKETS_OFFERED] + t->counters.at[TL_COUNT_DROP_FILTERED] != 0)
		return;
	hint(h, filter[0] != '\0' ? "No packet arrived: the filter matched nothing."
			   : "No packet arrived: is there traffic, and does the mirror port send it here"
			     " (or the tool that wrote the file see any)?");
}

void tl_totals_filter_advice(uint64_t tags, const char *filter, char ret_line[TL_HINT_BYTES])
{
	ret_line[0] = '\0';
	// Behind the word `vlan` an expression looks one tag further in.
	if (tags == 1)
		(void)snprintf(ret_line, TL_HINT_BYTES,
			       "The filter drops packets for their VLAN tag only; to have them, too:"
			       " (%s) or (vlan and (%s))", filter, filter);
	else if (tags > 1)
		(void)snprintf(ret_line, TL_HINT_BYTES,
			       "The filter drops packets for their VLAN tags only; to have them, too:"
			       " (%s) or (vlan and ((%s) or (vlan and (%s))))", filter, filter,
			       filter);
}

static void hint_tagged(struct hints *h, const struct tl_totals *t, const char *filter)
{
	char advice[TL_HINT_BYTES];

	tl_totals_filter_advice(t->overlooked_tags, filter, advice);
	if (advice[0] != '\0')
		hint(h, "%s", advice);
}

static void hint_not_followed(struct hints *h, const struct tl_totals *t)
{
	const uint64_t *c = t->counters.at;
	uint64_t offered = c[TL_COUNT_PACKETS_OFFERED];
	static const struct {
		enum tl_counter counter;
		const char *words;
	} causes[] = {
		{TL_COUNT_DROP_LINK_TYPE, "have a link type that can't be read"},
		{TL_COUNT_DROP_OTHER_L4, "are neither TCP nor UDP"},
		{TL_COUNT_DROP_NOT_IP, "are not IP"},
		{TL_COUNT_DROP_MALFORMED, "have malformed headers"},
		{TL_COUNT_DROP_TRUNCATED, "were cut within their headers: capture with a larger snaplen"},
		{TL_COUNT_DROP_FRAGMENT, "are fragments whose datagram never became complete"},
		{TL_COUNT_DROP_FLOW_TABLE, "found the flow table full: raise limits.flow.flows_max"},
	};

	for (size_t i = 0; i < TL_COUNT_OF(causes); i++)
		if (percent(c[causes[i].counter], offered) >= NOT_FOLLOWED_PERCENT)
			hint(h, "%" PRIu64 " %% of packets %s.",
			     percent(c[causes[i].counter], offered), causes[i].words);
	if (offered != 0 && c[TL_COUNT_DROP_FILTERED] == offered)
		hint(h, "The filter matched nothing.");
}

static void hint_payload(struct hints *h, const struct tl_totals *t)
{
	uint64_t bytes = 0, flows = 0;

	for (uint32_t i = 0; i < t->verdict_count; i++) {
		bytes += t->verdicts[i].bytes;
		flows += t->verdicts[i].flows;
	}
	uint64_t tls = percent(verdict(t, TL_VERDICT_TLS).bytes, bytes);
	uint64_t quic = percent(verdict(t, TL_VERDICT_QUIC).bytes, bytes);
	uint64_t unknown = percent(verdict(t, TL_VERDICT_UNKNOWN).bytes, bytes);
	if (tls + quic >= TLS_PERCENT)
		hint(h, "%" PRIu64 " %% of bytes are %s: encrypted, counted but not decoded.",
		     tls + quic, quic > tls ? "QUIC" : "TLS");
	if (unknown >= UNKNOWN_PERCENT)
		hint(h, "%" PRIu64 " %% of bytes belong to no protocol that is built in.", unknown);
	uint64_t silent = percent(verdict(t, TL_VERDICT_NO_PAYLOAD).flows, flows);
	if (flows != 0 && silent == 100)
		hint(h, "No flow carried any payload.");
	uint64_t ignored = percent(verdict(t, TL_VERDICT_IGNORED).bytes, bytes);
	if (ignored >= UNKNOWN_PERCENT)
		hint(h, "%" PRIu64 " %% of bytes are outside the rules (protocols.rules, --proto).", ignored);
	uint64_t one_sided = percent(t->counters.at[TL_COUNT_FLOWS_ONE_SIDED],
				     t->counters.at[TL_COUNT_FLOWS_TCP]);
	if (one_sided >= ONE_SIDED_PERCENT)
		hint(h, "One direction only on %" PRIu64 " %% of TCP flows: does the tap mirror both"
		     " directions, and do both carry the same VLAN?", one_sided);
}

static void hint_losses(struct hints *h, const struct tl_totals *t)
{
	const uint64_t *c = t->counters.at;
	uint64_t offered = c[TL_COUNT_PACKETS_OFFERED];

	if (t->kernel_dropped != 0)
		hint(h, "The kernel dropped %" PRIu64 " packets (%" PRIu64 " %%): raise"
		     " capture.buffer, narrow the filter, or add workers.",
		     t->kernel_dropped, percent(t->kernel_dropped, offered + t->kernel_dropped));
	if (t->ring_dropped + t->pool_dropped != 0)
		hint(h, "Workers were too slow for %" PRIu64 " packets: add workers.",
		     t->ring_dropped + t->pool_dropped);
	if (percent(c[TL_COUNT_SNAPLEN_CUT], offered) >= CUT_PERCENT)
		hint(h, "%" PRIu64 " %% of packets were cut by the snaplen of the capture: what was cut"
		     " counts as lost.", percent(c[TL_COUNT_SNAPLEN_CUT], offered));
	uint64_t copies = c[TL_COUNT_DUPLICATES_TCP] + c[TL_COUNT_DUPLICATES_UDP];
	if (percent(copies, offered) >= DUPLICATE_PERCENT)
		hint(h, "%" PRIu64 " %% of packets are copies of others, as a mirror of two ports or a"
		     " bridge makes them; they are counted once.", percent(copies, offered));
	if (c[TL_COUNT_STREAM_LOST] != 0)
		hint(h, "%" PRIu64 " bytes in %" PRIu64 " places of TCP streams never reached the probe.",
		     c[TL_COUNT_STREAM_LOST], c[TL_COUNT_STREAM_GAPS]);
}

uint32_t tl_totals_hints(const struct tl_totals *totals, const char *filter,
			 char (*ret_hints)[TL_HINT_BYTES], uint32_t max)
{
	struct hints h = {.lines = ret_hints, .max = max};

	hint_ports(&h, totals);
	hint_nothing(&h, totals, filter);
	hint_tagged(&h, totals, filter);
	hint_not_followed(&h, totals);
	hint_payload(&h, totals);
	hint_losses(&h, totals);
	return h.count;
}
