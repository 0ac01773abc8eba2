// SPDX-License-Identifier: Apache-2.0
// What a worker and the control lcore share: two banks of values. The bank of the running epoch is
// the worker's; the other one is the control lcore's from the acknowledgement of a flip until the
// next request. A bank is empty when its epoch begins.
#pragma once

#include "metrics/series.h"
#include "metrics/vmrange.h"

#include <stdatomic.h>

// Decades that 64-bit integers can reach: 20 of nanoseconds, 20 of counts from 1 up.
#define TL_BANK_DECADES 20u
#define TL_BANK_COUNT_DECADE 8u // first one of counts: 1 lies in the bucket that ends at 1.0

// One histogram within an epoch. Blocks are numbers of the bank's block array + 1, 0: none yet.
struct tl_bank_histogram {
	uint64_t sum; // ns, bytes, rows; saturates
	uint32_t lower, upper;
	uint32_t blocks[TL_BANK_DECADES];
};

struct tl_bank_block {
	uint32_t counts[TL_VMRANGE_PER_DECADE];
};

enum tl_bank_slot {
	TL_BANK_DURATION, // of L4: handshake round trip, client side
	TL_BANK_REQUEST,  // bytes; of L4: server side
	TL_BANK_RESPONSE,
	TL_BANK_EXTRA,
	TL_BANK_HISTOGRAMS = TL_BANK_EXTRA + TL_EXTRAS_MAX
};

// What one group gathered in one epoch.
struct tl_bank_values {
	bool is_dirty;
	bool has_exemplar;
	uint8_t exemplar_status;
	uint64_t requests[TL_STATUS_COUNT];
	uint64_t extras[TL_EXTRAS_MAX];
	uint8_t trace_id[16];
	uint64_t exemplar_ns; // duration
	uint64_t exemplar_time_ns;
	struct tl_bank_histogram histograms[TL_BANK_HISTOGRAMS];
};

struct tl_bank {
	struct tl_bank_values *values; // by group id
	struct tl_bank_block *blocks;
	uint32_t *dirty;               // ids of groups with values
	uint32_t dirty_count;
	uint32_t block_count;
	// Cumulative, copied when the epoch ended, all of the same moment.
	struct tl_counters counters;
	struct tl_verdict_count *verdicts;
	uint64_t *decoder_counters;    // of all protocols, one after another
	bool has_counters;
	uint32_t groups;
};

struct tl_worker_metrics {
	_Alignas(64) _Atomic uint32_t requested;    // epoch the control lcore asks for
	_Alignas(64) _Atomic uint32_t acknowledged; // epoch that runs
	_Alignas(64) uint32_t epoch;
	uint8_t worker;
	bool timeouts_in_duration;
	bool l4_enabled;
	uint32_t label_bytes_max;
	uint32_t block_limit;
	uint32_t plan_count;
	uint32_t verdict_count;
	uint32_t decoder_counter_count;
	uint64_t idle_ns;
	uint64_t clock_ns;   // packet time of the last flip
	uint64_t overflows;  // roundtrips booked under `other`
	struct tl_engine *engine; // that the last poll brought
	struct tl_plan *plans;
	struct tl_bank banks[2];
	struct tl_series series;
	struct tl_key key;   // scratch
	struct tl_templates templates;
	uint64_t ignored;    // roundtrips that a pattern says not to count
	struct tl_template_room rooms[TL_LABELS_MAX]; // scratch
};
