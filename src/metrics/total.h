// SPDX-License-Identifier: Apache-2.0
// The control lcore's side: cumulative totals of all workers, by protocol and label values.
#pragma once

#include "metrics/bank.h"

struct tl_total_counter {
	uint64_t value;
	uint64_t created_ns; // wall time, 0: never counted
	uint64_t touched_ns;
};

struct tl_total_histogram {
	uint64_t sum;        // in the bank's unit: ns, bytes, rows
	uint64_t count;
	uint64_t created_ns;
	uint64_t touched_ns;
	uint64_t lower, upper;
	uint64_t *decades[TL_VMRANGE_DECADES]; // TL_VMRANGE_PER_DECADE each, NULL: all 0
};

// One group of series, merged.
struct tl_total {
	struct tl_total *next; // in its hash chain
	uint64_t hash;
	uint64_t touched_ns;
	uint32_t index;        // in tl_metrics.totals
	uint16_t protocol;
	bool is_overflow;
	bool has_exemplar;
	uint8_t exemplar_status;
	uint8_t trace_id[16];
	uint64_t exemplar_ns;
	uint64_t exemplar_time_ns;
	struct tl_total_counter requests[TL_STATUS_COUNT];
	struct tl_total_counter extras[TL_EXTRAS_MAX];
	struct tl_total_histogram histograms[TL_BANK_HISTOGRAMS];
	uint32_t values_len;
	char values[]; // texts of the labels, each with its NUL
};

// What a worker's group id means here.
struct tl_total_link {
	uint32_t group_generation;
	uint32_t total;            // index
	uint64_t total_generation;
};

struct tl_total_worker {
	struct tl_worker_metrics *metrics;
	struct tl_total_link *links; // by group id
	bool has_counters;
	bool is_merged;              // the retired bank is empty
	uint32_t groups;
	struct tl_counters counters;
	struct tl_verdict_count *verdicts;
	uint64_t *decoder_counters;
};

// Set by tl_metrics_set.
struct tl_set_sample {
	char *family;
	char *labels;
	char *help;
	uint64_t hash;
	uint64_t created_ns;
	uint64_t touched_ns;
	double value;
	uint8_t type;
};

#define TL_SET_SAMPLES_MAX 65536u // by tl_metrics_set; more are refused

struct tl_metrics {
	struct tl_total_worker *workers;
	uint32_t worker_count;
	const struct tl_plan *plans; // of the first worker; all are alike
	uint32_t plan_count;
	uint32_t verdict_count;
	uint32_t decoder_counter_count;
	uint64_t idle_ns;
	bool l4_enabled;
	uint64_t start_ns;           // wall time of the first merge
	uint64_t now_ns;             // and of the last one
	uint64_t swept_ns;
	uint64_t overflows;          // roundtrips booked under `other` by the merge
	struct tl_total **totals;    // by index, NULL: free
	uint64_t *generations;       // by index
	struct tl_total **chains;
	uint32_t chain_mask;
	uint32_t total_capacity;
	uint32_t total_budget;
	uint32_t total_used;         // of the budget
	uint32_t total_touched;      // indexes used at least once
	uint32_t *free_totals;
	uint32_t free_count;
	uint32_t family_max;
	uint32_t *family_totals;     // by registry id
	struct tl_text scratch;
	tl_metrics_name_fn *name;    // NULL: servers have no names
	void *name_arg;
	tl_metrics_id_fn *id_name;   // NULL: ids have no names
	void *id_arg;
	struct tl_text value;        // of one label, scratch
	struct tl_templates templates; // over what the workers made
	struct tl_set_sample *set;
	uint32_t set_count;
	uint32_t set_capacity;
	struct tl_points **points; // by tl_metrics_set_points
	uint32_t points_count;
	struct tl_snapshot *snapshot; // of the last merge, NULL: to be made
	bool is_changed;
};
