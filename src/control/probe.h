// SPDX-License-Identifier: Apache-2.0
// The running probe as a command sees it: pipeline, metrics and enrichment under one handle,
// driven turn by turn from the main thread (which is the control lcore).
#pragma once

#include "control/enrich.h"
#include "control/totals.h"
#include "metrics/metrics.h"
#include "worker/pipeline.h"

struct tl_probe;

struct tl_probe_options {
	struct tl_pipeline_options pipeline; // its `metrics` is taken from below
	const struct tl_metrics_options *metrics; // NULL: none are kept
	const char *name;                    // the probe's, "" for none
	const struct tl_text_map *names;     // service names, may be NULL
	uint64_t merge_ns;                   // time between two merges of the metrics
};

// Starts everything. On failure -errno as tl_pipeline_create and a line in `error`.
int tl_probe_start(const struct tl_probe_options *options, const struct tl_rules *rules,
		   struct tl_probe **ret_probe, char *error, uint32_t error_size);
void tl_probe_stop(struct tl_probe *probe);    // asks for an orderly end
void tl_probe_destroy(struct tl_probe *probe); // after it has finished; accepts NULL

// Called with each record. Less than 0 ends the probe in order (a closed pipe).
typedef int tl_probe_record_fn(void *arg, const struct tl_roundtrip_signal *signal);

// One turn: hands out a bounded number of records, merges metrics when due. Returns the records
// handed out; with none it sleeps up to a millisecond. `ret_finished` is set after the last
// record, the final merge included.
uint32_t tl_probe_turn(struct tl_probe *probe, tl_probe_record_fn *fn, void *arg,
		       bool *ret_finished);

// Why the input failed, "" if it did not.
const char *tl_probe_error(const struct tl_probe *probe);
struct tl_pipeline *tl_probe_pipeline(struct tl_probe *probe);
struct tl_metrics *tl_probe_metrics(struct tl_probe *probe); // NULL without
