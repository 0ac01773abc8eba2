// SPDX-License-Identifier: Apache-2.0
// Metrics: what a worker adds to, what the control lcore merges, what exporters read.
//
// A series is named by a family and its label values and has a stable id in its worker. Values
// live in two banks indexed by that id: the control lcore asks for a flip, the worker flips
// between bursts and acknowledges, the control lcore merges the retired bank into cumulative
// totals. A scrape reads the last merged snapshot and never waits for a worker.
#pragma once

#include "base/counters.h"
#include "engine/engine.h"
#include "l7/roundtrip.h"
#include "metrics/points.h"
#include "metrics/template.h"

enum tl_histogram_style { TL_HISTOGRAM_VMRANGE, TL_HISTOGRAM_LE, TL_HISTOGRAM_NATIVE };

// Labels of one protocol's metrics, in output order: record fields by path ("request.method",
// "response.status_code", "server.address"). Empty: the field table's defaults.
struct tl_protocol_labels {
	const char *protocol;
	struct tl_text_list labels;
};

struct tl_metrics_options {
	uint64_t series_max;           // series of the whole probe
	uint64_t series_per_family_max;
	uint64_t label_values_max;     // distinct values of one label of one family
	uint64_t label_bytes_max;      // longest label value, cut beyond
	uint64_t idle_ns;              // series without a sample are removed after
	bool timeouts_in_duration;     // time-outs enter the duration histogram
	uint32_t histogram;            // enum tl_histogram_style, the server's default
	struct tl_real_list le_seconds; // boundaries for style le
	struct tl_real_list le_bytes;
	struct tl_option_table labels; // of struct tl_protocol_labels
	struct tl_option_table templates; // of struct tl_template_rule
	uint64_t template_values_max;  // of labels with paths or names that no rule tells about
	bool learn_templates;          // of these labels
	struct tl_text_list tcp_labels; // L4 labels: "source.host", "source.port", ...
	bool l4_enabled;
};

// Whether every label path and protocol in `options` exists: 0, or -EINVAL and one line in `error`.
// Unknown ones are otherwise left out. Control lcore.
int tl_metrics_check(const struct tl_metrics_options *options, char *error, uint32_t error_size);
// Calls `fn` for each rule and pattern of templates that is allowed, but of no use. `key` is where it
// stands ("metrics.templates[0].patterns[2]"), `words` says why.
typedef void tl_metrics_advice_fn(void *arg, const char *key, const char *words);
void tl_metrics_advise(const struct tl_metrics_options *options, tl_metrics_advice_fn *fn, void *arg);

// ---- Worker side: single writer, on its lcore; no allocation, no lock -----------------------

struct tl_worker_metrics;

// NULL on no memory. Keeps nothing of `options`.
struct tl_worker_metrics *tl_worker_metrics_create(const struct tl_metrics_options *options,
						   uint8_t worker);
void tl_worker_metrics_destroy(struct tl_worker_metrics *metrics);
// Books a finished roundtrip: requests_total, durations, sizes, and the protocol's own families.
void tl_worker_metrics_roundtrip(struct tl_worker_metrics *metrics,
				 const struct tl_roundtrip *record);
void tl_worker_metrics_rtt(struct tl_worker_metrics *metrics, const struct tl_flow_identity *flow,
			   uint64_t client_ns, uint64_t server_ns);
// Takes over where `before` ends: counts that must not go back. On the worker's lcore, or when it
// has stopped.
void tl_worker_metrics_succeed(struct tl_worker_metrics *metrics,
			       const struct tl_worker_metrics *before);
// Between bursts: honours a pending flip, copying the engine's counters and verdicts of the same
// moment. Cheap when none is pending. Every loop that waits or sleeps calls it at least each ms.
void tl_worker_metrics_poll(struct tl_worker_metrics *metrics, struct tl_engine *engine);

// ---- Control side ---------------------------------------------------------------------------

struct tl_metrics;  // the merged totals of all workers
struct tl_snapshot; // an immutable picture of them, reference-counted (thread-safe)

// Without workers (`count` 0) only what is set here and collected elsewhere is in its snapshots.
struct tl_metrics *tl_metrics_create(const struct tl_metrics_options *options,
				     struct tl_worker_metrics *const *workers, uint32_t count);
void tl_metrics_destroy(struct tl_metrics *metrics);
// Asks all workers to flip; later, merges those that did. `merge` returns false while a worker
// has not acknowledged yet. `now_ns` is wall time.
void tl_metrics_flip(struct tl_metrics *metrics);
bool tl_metrics_merge(struct tl_metrics *metrics, uint64_t now_ns);
// Without workers' help: only when they have stopped, and before the engine that the last poll
// brought is destroyed.
void tl_metrics_merge_stopped(struct tl_metrics *metrics, uint64_t now_ns);
// Other options, after every worker has left its metrics for one of `workers` (as many as before).
// Merges what the old ones hold; the caller then destroys them. Totals go on, but those of a
// protocol whose labels are others than before end here: their series are gone at once.
void tl_metrics_replace(struct tl_metrics *metrics, const struct tl_metrics_options *options,
			struct tl_worker_metrics *const *workers, uint64_t now_ns);
// Gauges and counters of the control side and the ports, set before a snapshot. `family` and
// `labels` ("a=\"b\"", escaped) are copied.
void tl_metrics_set(struct tl_metrics *metrics, const char *family, const char *labels,
		    const char *type, const char *help, double value);
// What others measured: the lists replace all that were set before. Takes a reference of each.
// Their series have no `created_ns`: counters of the host began before the probe.
void tl_metrics_set_points(struct tl_metrics *metrics, struct tl_points *const *lists,
			   uint32_t count);
// Wall time for what is set without a merge: a probe without workers.
void tl_metrics_set_time(struct tl_metrics *metrics, uint64_t now_ns);
// Who knows what is at an address and port (0: of a client, whose port says nothing): for the labels
// server.name, server.namespace and so on. NULL where nobody does, and what it gives stays valid until
// the next call. Control lcore.
enum tl_name_of { TL_NAME_OF_SERVICE, TL_NAME_OF_NAMESPACE, TL_NAME_OF_WORKLOAD, TL_NAME_OF_POD };
typedef const char *tl_metrics_name_fn(void *arg, enum tl_name_of what, const uint8_t address[16],
				       uint16_t port);
void tl_metrics_on_name(struct tl_metrics *metrics, tl_metrics_name_fn *fn, void *arg);
// The same for ids that requests have instead of names (struct tl_naming of a decoder): empty where
// nobody has told, and so is the label.
typedef struct tl_bytes tl_metrics_id_fn(void *arg, uint16_t protocol, struct tl_bytes id);
void tl_metrics_on_id(struct tl_metrics *metrics, tl_metrics_id_fn *fn, void *arg);
// Other names hold from now on: series are looked up anew.
void tl_metrics_rename(struct tl_metrics *metrics);
// The picture as of the last merge; give back with tl_snapshot_put.
struct tl_snapshot *tl_metrics_snapshot(struct tl_metrics *metrics);
// Another reference to the same picture, and the end of one; both thread-safe.
struct tl_snapshot *tl_snapshot_get(struct tl_snapshot *snapshot);
void tl_snapshot_put(struct tl_snapshot *snapshot);

// ---- Reading a snapshot: any thread ----------------------------------------------------------

struct tl_sample {
	const char *family;  // "http_requests_total"
	const char *help;
	const char *unit;    // "seconds", "bytes", ""
	uint8_t type;        // enum tl_metric_type
	bool is_self;        // about the probe itself: GET /metrics; else GET /protocol/metrics
	const struct tl_label *labels;
	uint32_t label_count;
	uint64_t created_ns; // wall time of the series' first sample, 0: it began before the probe
	uint64_t touched_ns; // wall time of its last change
	uint8_t exemplar_trace_id[16]; // of a recent roundtrip with trace context, all 0 if none
	double exemplar_value;
	uint64_t exemplar_ns;
	double value;        // counter, gauge
	const struct tl_histogram_value *histogram; // histogram
};

// A histogram's totals: vmrange buckets in ascending order, only non-zero ones.
struct tl_histogram_value {
	uint64_t count;
	double sum;
	uint32_t bucket_count;
	struct tl_histogram_bucket {
		uint16_t index; // 0 lower, 1..486 the vmrange buckets, 487 upper
		uint64_t count;
	} buckets[];
};

uint64_t tl_snapshot_time(const struct tl_snapshot *snapshot);
// Samples, grouped by family, families in name order.
uint32_t tl_snapshot_count(const struct tl_snapshot *snapshot);
const struct tl_sample *tl_snapshot_at(const struct tl_snapshot *snapshot, uint32_t index);
// The value of a counter or gauge by family and rendered labels; 0 if there is none. For reports.
double tl_snapshot_value(const struct tl_snapshot *snapshot, const char *family, const char *labels);
// Estimated quantile of a histogram (linear inside the bucket), NAN when empty.
double tl_histogram_quantile(const struct tl_histogram_value *histogram, double q);
