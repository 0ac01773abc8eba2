// SPDX-License-Identifier: Apache-2.0
// The sums over all workers and ports that summaries, hints and the status page are made from.
#pragma once

#include "worker/pipeline.h"

#define TL_TOTALS_PORTS_MAX 16u
#define TL_HINT_BYTES 512u
#define TL_TOTALS_VERDICTS_MAX 64u

struct tl_totals {
	struct tl_counters counters;
	struct tl_verdict_count verdicts[TL_TOTALS_VERDICTS_MAX]; // as tl_engine_verdicts()
	uint32_t verdict_count;
	struct tl_port_status ports[TL_TOTALS_PORTS_MAX];
	uint32_t port_count;
	uint64_t kernel_dropped, ring_dropped, pool_dropped; // over all ports
	uint64_t overlooked_tags; // the most of any port, see pmd/port.h
	struct tl_names names; // that TLS connections asked for; see tl_totals_read_names()
};

// Values of running workers may be a burst apart; after the pipeline has finished they are exact.
void tl_totals_read(struct tl_pipeline *pipeline, struct tl_totals *ret_totals);

// Adds the names to the totals read before. Only of a pipeline that has finished.
void tl_totals_read_names(struct tl_pipeline *pipeline, struct tl_totals *totals);

// Name of verdict number `index` of `verdicts`.
const char *tl_totals_verdict_name(uint32_t index);

// Advice on a filter that drops packets for `tags` VLAN tags only (tl_port_status.overlooked_tags);
// "" when there is none.
void tl_totals_filter_advice(uint64_t tags, const char *filter, char ret_line[TL_HINT_BYTES]);

// What explains the numbers, in words, most important first: little decoded and why, losses, a
// tap that sees one direction, cut packets, copies. Up to `max` lines, each a full sentence.
// `filter` is the packet filter in force, "" for none.
uint32_t tl_totals_hints(const struct tl_totals *totals, const char *filter,
			 char (*ret_hints)[TL_HINT_BYTES], uint32_t max);
