// SPDX-License-Identifier: Apache-2.0
// Inside the exporter `otlp`: what its files share.
#pragma once

#include "exporters/http_sink/batch.h"
#include "exporters/otlp/pack.h"
#include "exporters/record/copy.h"

enum otlp_compression { OTLP_GZIP, OTLP_NONE };

struct otlp_options {
	struct tl_http_options http;
	const char *traces_url;  // "" for <url>/v1/traces
	const char *metrics_url;
	bool traces, metrics;
	bool self_metrics;
	uint32_t compression;    // enum otlp_compression
	uint64_t interval_ns;    // between two exports of metrics
	uint64_t batch_max;      // spans of one request
	uint64_t sample_percent; // of traces without a decision of their own
	uint64_t slow_ns;        // spans from here on are always sent, 0: by sampling alone
	bool parent_based;       // an unsampled trace stays so
	struct tl_text_map resource;
};

// ---- environment.c: OTEL_* ---------------------------------------------------------------------

enum otlp_signal { OTLP_TRACES, OTLP_METRICS, OTLP_SIGNALS };

struct otlp_signal_settings {
	char url[1024];
	struct tl_http_options http; // its texts may point into the environment
	bool is_gzip;
	struct tl_text_pair *header_items; // of http.headers, to be freed
	char *header_texts;                // likewise
};

struct otlp_settings {
	struct otlp_signal_settings signals[OTLP_SIGNALS];
	const char *service_name;        // of the probe itself
	const char *resource_attributes; // "k=v,k2=v2" of the environment, "" for none
};

// What is set in `options` wins, then the environment, then the defaults of the specification. 0,
// or -EINVAL with a line in `error`.
int tl_otlp_settings_make(const struct otlp_options *options, struct otlp_settings *ret_settings,
		       char *error, uint32_t error_size);
void tl_otlp_settings_fini(struct otlp_settings *settings);
// The next "key=value" of a list in W3C baggage form, percent-decoded, without blanks around it; what
// is longer than its room is cut. False at the end.
bool tl_otlp_next_pair(const char **list, char *ret_key, size_t key_size, char *ret_value,
		    size_t value_size);

// ---- traces.c ----------------------------------------------------------------------------------

// What is handed from the control lcore to the helper thread: a span, or a picture of the metrics.
struct otlp_item {
	struct tl_http_item head;
	struct tl_snapshot *snapshot; // NULL: it is a span
	struct tl_span span;          // its pointers lead into the copy
	struct tl_record_copy *copy;
};

struct otlp_item *tl_otlp_span_copy(const struct tl_span *span); // NULL on no memory

struct otlp_identity {
	const char *probe, *version, *host;
	const struct otlp_settings *settings;
	const struct tl_text_map *resource;
};

// The `count` spans from `first` on as an ExportTraceServiceRequest in `ret_payload`.
void tl_otlp_encode_spans(const struct otlp_identity *identity, const struct otlp_item *first,
			  uint32_t count, struct tl_text *ret_payload);

// ---- metrics.c ---------------------------------------------------------------------------------

// An ExportMetricsServiceRequest, at most about `bytes_max` large; `*at` is the sample to begin
// with and the one to go on with. Number of data points; 0 when nothing is left.
uint32_t tl_otlp_encode_metrics(const struct otlp_identity *identity,
			     const struct tl_snapshot *snapshot, bool with_self, uint32_t *at,
			     struct tl_text *ret_payload);

// ---- split.c -----------------------------------------------------------------------------------

// Halves a request. False: it has one item, or can't be read.
bool tl_otlp_split_spans(struct tl_bytes payload, struct tl_http_pieces *pieces);
bool tl_otlp_split_metrics(struct tl_bytes payload, struct tl_http_pieces *pieces);

// ---- answer.c ----------------------------------------------------------------------------------

// Reads the answer to a request of `items`: a partial success says how many were rejected, and must
// not be tried again. What can't be read counts as a whole success.
void tl_otlp_judge(struct tl_bytes answer, uint32_t items, struct tl_http_result *ret_result);

// ---- otlp.c ------------------------------------------------------------------------------------

// Attributes of the probe's own resource: service.name, host.name, telemetry.sdk and what the user
// adds. For observed services `service` replaces the name, and `workload` says where it runs, or is
// NULL.
Otlp__Resource *tl_otlp_resource(struct otlp_arena *arena, const struct otlp_identity *identity,
			      const char *service, const struct tl_workload *workload);
// The attributes k8s.* of a workload, each name behind `prefix`.
void tl_otlp_add_workload(struct otlp_arena *arena, struct otlp_attributes *list, const char *prefix,
			  const struct tl_workload *workload);
