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
	const char *names_file;              // more of them, NULL or "" for none
	struct tl_kube *kube;                // NULL for none; must outlive the probe
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
// handed out; with none it sleeps up to five milliseconds. `ret_finished` is set after the last
// record, the final merge included.
uint32_t tl_probe_turn(struct tl_probe *probe, tl_probe_record_fn *fn, void *arg,
		       bool *ret_finished);

// What may change while the probe runs. Nothing has changed when this fails, except after
// -ETIMEDOUT (an lcore did not answer in 5 s): then neither the old nor the new may be freed.
struct tl_probe_change {
	const struct tl_rules *rules;
	const struct tl_metrics_options *metrics; // NULL: as they are
	const char *filter;                       // NULL: as it is
	const struct tl_text_map *names;
	const char *names_file;                   // read again, NULL or "" for none
};

// Hands out records while it waits for the lcores. 0 or -errno and a line in `error`; after 0 what
// was in force before may be freed.
int tl_probe_change(struct tl_probe *probe, const struct tl_probe_change *change,
		    tl_probe_record_fn *fn, void *arg, char *error, uint32_t error_size);

// Why the input failed, "" if it did not.
const char *tl_probe_error(const struct tl_probe *probe);
struct tl_pipeline *tl_probe_pipeline(struct tl_probe *probe);
struct tl_metrics *tl_probe_metrics(struct tl_probe *probe); // NULL without
// Merges of the workers' metrics that are complete: a picture taken when it has grown is fresh.
uint64_t tl_probe_merges(const struct tl_probe *probe);
