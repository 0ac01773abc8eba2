// SPDX-License-Identifier: Apache-2.0
// The exporter `otlp`: spans and metrics to an OpenTelemetry receiver by OTLP 1.x over HTTP with
// protobuf bodies (opentelemetry-proto, docs/specification.md). The control lcore copies spans and
// keeps snapshots; encoding and sending is the helper thread's.
#include "exporters/otlp/otlp.h"

#include "base/clock.h"
#include "base/hash.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.pb-c.h"
#include "resource.pb-c.h"

static const char *const compression_words[] = {"gzip", "none", NULL};

#define ROW(name, member_type, default_value, ...) \
	{.key = #name, .type = member_type, .offset = offsetof(struct otlp_options, name), \
	 .value = default_value, __VA_ARGS__}

static const struct tl_option rows[] = {
	{.key = "url", .type = TL_OPTION_TEXT, .offset = offsetof(struct otlp_options, http.url),
	 .value = "\"\"",
	 .help = "Base of the receiver; /v1/traces and /v1/metrics are appended. Empty takes "
		 "OTEL_EXPORTER_OTLP_ENDPOINT, else http://localhost:4318."},
	{.key = "timeout", .type = TL_OPTION_DURATION,
	 .offset = offsetof(struct otlp_options, http.timeout_ns), .value = "0s",
	 .max = UINT64_C(3600000000000),
	 .help = "Limit of a whole request; 0 takes OTEL_EXPORTER_OTLP_TIMEOUT, else 10s."},
	TL_HTTP_ROWS_MORE(struct otlp_options, http),
	ROW(traces_url, TL_OPTION_TEXT, "\"\"", .help = "Where traces go instead, as it is."),
	ROW(metrics_url, TL_OPTION_TEXT, "\"\"", .help = "Where metrics go instead, as it is."),
	ROW(traces, TL_OPTION_BOOL, "true", .help = "Send a span for each roundtrip."),
	ROW(metrics, TL_OPTION_BOOL, "true", .help = "Send metrics."),
	ROW(self_metrics, TL_OPTION_BOOL, "true",
	    .help = "Send the probe's own metrics (tapline_...) too."),
	ROW(compression, TL_OPTION_CHOICE, "gzip", .choices = compression_words,
	    .help = "Of requests."),
	{.key = "interval", .type = TL_OPTION_DURATION,
	 .offset = offsetof(struct otlp_options, interval_ns), .value = "15s",
	 .min = UINT64_C(1000000000), .max = UINT64_C(3600000000000),
	 .help = "Time between two exports of metrics."},
	{.key = "batch", .type = TL_OPTION_UINT, .offset = offsetof(struct otlp_options, batch_max),
	 .value = "512", .min = 1, .max = 8192, .help = "Spans of one request."},
	{.key = "sample", .type = TL_OPTION_UINT,
	 .offset = offsetof(struct otlp_options, sample_percent), .value = "100", .max = 100,
	 .help = "Percent of the traces that are sent, chosen by trace id. Errors and slow spans are "
		 "always sent."},
	{.key = "slow", .type = TL_OPTION_DURATION,
	 .offset = offsetof(struct otlp_options, slow_ns), .value = "1s",
	 .help = "Spans that last this long are always sent; 0 sends them by sampling alone."},
	ROW(parent_based, TL_OPTION_BOOL, "true",
	    .help = "Send nothing of a trace whose own flag says that it is not sampled."),
	ROW(resource, TL_OPTION_TEXT_MAP, "{}",
	    .help = "Attributes added to every resource, as in {deployment.environment.name: prod}."),
	TL_OPTION_END,
};

struct otlp {
	const struct otlp_options *options;
	struct otlp_settings settings;
	struct otlp_identity identity;
	char probe[256], version[64], host[256];
	struct tl_http_sink *sink;
	// Control lcore.
	struct tl_http_batch batch;  // spans
	uint64_t metrics_due_ns;     // CLOCK_MONOTONIC
	struct tl_snapshot *latest;  // not sent yet
	// Helper thread.
	struct tl_text payload;
};

static void free_items(struct tl_http_item *first)
{
	while (first != NULL) {
		struct otlp_item *item = (struct otlp_item *)first;
		first = first->next;
		tl_snapshot_put(item->snapshot);
		free(item->copy);
		free(item);
	}
}

// ---- Resources -----------------------------------------------------------------------------------

// Kinds that the semantic conventions know, with the attribute of their name.
static const char *workload_attribute(const char *kind)
{
	static const char *const kinds[][2] = {
		{"Deployment", "k8s.deployment.name"}, {"ReplicaSet", "k8s.replicaset.name"},
		{"StatefulSet", "k8s.statefulset.name"}, {"DaemonSet", "k8s.daemonset.name"},
		{"Job", "k8s.job.name"},               {"CronJob", "k8s.cronjob.name"},
		{"Service", "k8s.service.name"},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i][0], kind) == 0)
			return kinds[i][1];
	return NULL;
}

void tl_otlp_add_workload(struct otlp_arena *arena, struct otlp_attributes *list, const char *prefix,
			  const struct tl_workload *workload)
{
	const struct {
		const char *name, *value;
	} pairs[] = {{"k8s.namespace.name", workload->ns},
		    {workload_attribute(workload->kind), workload->name},
		    {"k8s.pod.name", workload->pod},
		    {"k8s.node.name", workload->node}};
	char key[64];

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if (pairs[i].name == NULL)
			continue;
		(void)snprintf(key, sizeof(key), "%s%s", prefix, pairs[i].name);
		tl_otlp_add_string(arena, list, key, pairs[i].value);
	}
}

Otlp__Resource *tl_otlp_resource(struct otlp_arena *arena, const struct otlp_identity *identity,
			      const char *service, const struct tl_workload *workload)
{
	Otlp__Resource *resource = tl_otlp_take(arena, sizeof(*resource));
	struct otlp_attributes list = {0};
	const char *own = identity->settings->service_name;
	const char *pairs = identity->settings->resource_attributes;
	char key[256], value[1024];

	otlp__resource__init(resource);
	tl_otlp_add_string(arena, &list, "service.name",
			service != NULL ? service : own[0] != '\0' ? own : "tapline");
	// Who saw it: the probe's identity stands beside the service's.
	tl_otlp_add_string(arena, &list, "tapline.probe", identity->probe);
	if (service == NULL) {
		tl_otlp_add_string(arena, &list, "service.instance.id", identity->probe);
		tl_otlp_add_string(arena, &list, "service.version", identity->version);
		tl_otlp_add_string(arena, &list, "host.name", identity->host);
	}
	if (workload != NULL) {
		tl_otlp_add_string(arena, &list, "service.namespace", workload->ns);
		tl_otlp_add_workload(arena, &list, "", workload);
	}
	tl_otlp_add_string(arena, &list, "telemetry.sdk.name", "tapline");
	tl_otlp_add_string(arena, &list, "telemetry.sdk.language", "c");
	tl_otlp_add_string(arena, &list, "telemetry.sdk.version", identity->version);
	for (uint32_t i = 0; i < identity->resource->count; i++)
		tl_otlp_add_string(arena, &list, identity->resource->items[i].key,
				identity->resource->items[i].value);
	while (tl_otlp_next_pair(&pairs, key, sizeof(key), value, sizeof(value)))
		if (strcmp(key, "service.name") != 0)
			tl_otlp_add_string(arena, &list, key, value);
	resource->attributes = list.items;
	resource->n_attributes = list.count;
	return resource;
}

// ---- Helper thread -------------------------------------------------------------------------------

static void push(struct otlp *self, enum otlp_signal lane, uint32_t items)
{
	(void)tl_http_sink_push(self->sink, lane,
				tl_bytes((const uint8_t *)self->payload.data,
					 (uint32_t)self->payload.len),
				items, tl_clock_ns(CLOCK_REALTIME));
}

static void push_metrics(struct otlp *self, const struct tl_snapshot *snapshot)
{
	uint32_t at = 0, points;

	while ((points = tl_otlp_encode_metrics(&self->identity, snapshot,
						self->options->self_metrics, &at,
						&self->payload)) != 0)
		push(self, OTLP_METRICS, points);
}

// A job is a batch of spans, or one picture of the metrics.
static void otlp_encode(void *arg, struct tl_http_sink *sink, void *job)
{
	struct otlp *self = arg;
	const struct otlp_item *first = job;
	uint32_t count = 0;

	self->sink = sink;
	if (first->snapshot != NULL) {
		push_metrics(self, first->snapshot);
	} else {
		for (const struct tl_http_item *item = job; item != NULL; item = item->next)
			count++;
		tl_otlp_encode_spans(&self->identity, first, count, &self->payload);
		push(self, OTLP_TRACES, count);
	}
	free_items(job);
}

static void otlp_discard(void *arg, void *job)
{
	(void)arg;
	free_items(job);
}

static void otlp_accepted(void *arg, struct tl_bytes payload, uint32_t items,
			  const struct tl_http_reply *reply, struct tl_http_result *ret_result,
			  struct tl_http_pieces *again)
{
	(void)arg;
	(void)payload;
	(void)again;
	tl_otlp_judge(reply->body, items, ret_result);
}

static bool otlp_split(void *arg, uint32_t lane, struct tl_bytes payload, uint32_t items,
		       struct tl_http_pieces *pieces)
{
	(void)arg;
	(void)items;
	return lane == OTLP_TRACES ? tl_otlp_split_spans(payload, pieces) :
				     tl_otlp_split_metrics(payload, pieces);
}

// ---- Control lcore -------------------------------------------------------------------------------

static bool is_wanted(const struct otlp *self, const struct tl_span *span)
{
	const struct otlp_options *o = self->options;
	uint64_t duration = span->end_ns - span->start_ns;

	if (!span->is_sampled && o->parent_based)
		return false;
	if (span->is_error || (o->slow_ns != 0 && duration >= o->slow_ns))
		return true;
	// By the trace's id: every probe keeps or leaves the same traces.
	return tl_hash64(span->trace_id, sizeof(span->trace_id), 0) % 100 < o->sample_percent;
}

static int otlp_span(void *arg, const struct tl_span *span)
{
	struct otlp *self = arg;

	if (!self->options->traces || !is_wanted(self, span))
		return 0;
	struct otlp_item *item = tl_otlp_span_copy(span);
	if (item == NULL)
		return -ENOMEM;
	tl_http_batch_add(&self->batch, &item->head, sizeof(*item) + item->copy->size);
	return 0;
}

static void submit_metrics(struct otlp *self)
{
	struct otlp_item *item = calloc(1, sizeof(*item));

	if (item == NULL)
		return; // the next round has what this one would have had
	item->snapshot = self->latest;
	self->latest = NULL;
	(void)tl_http_sink_submit(self->sink, &item->head, tl_snapshot_count(item->snapshot), 0);
}

static int otlp_metrics(void *arg, struct tl_snapshot *snapshot)
{
	struct otlp *self = arg;
	uint64_t now = tl_clock_ns(CLOCK_MONOTONIC);

	if (!self->options->metrics)
		return 0;
	tl_snapshot_put(self->latest);
	self->latest = tl_snapshot_get(snapshot);
	if (now < self->metrics_due_ns)
		return 0;
	self->metrics_due_ns += self->options->interval_ns;
	if (self->metrics_due_ns <= now)
		self->metrics_due_ns = now + self->options->interval_ns;
	submit_metrics(self);
	return 0;
}

// What was gathered goes out.
static void otlp_end(void *arg)
{
	struct otlp *self = arg;

	tl_http_batch_submit(&self->batch);
	if (self->latest != NULL)
		submit_metrics(self);
	tl_http_sink_begin_flush(self->sink);
}

static int otlp_flush(void *arg, uint64_t deadline_ns)
{
	struct otlp *self = arg;

	tl_http_batch_flush(&self->batch, deadline_ns);
	return 0;
}

static void otlp_stats(void *arg, struct tl_exporter_stats *ret_stats)
{
	struct otlp *self = arg;

	tl_http_sink_stats(self->sink, ret_stats);
}

static void otlp_close(void *arg)
{
	struct otlp *self = arg;

	if (self == NULL)
		return;
	tl_http_sink_destroy(self->sink);
	free_items(self->batch.first);
	tl_snapshot_put(self->latest);
	tl_text_free(&self->payload);
	tl_otlp_settings_fini(&self->settings);
	free(self);
}

// ---- Opening -------------------------------------------------------------------------------------

static int otlp_check(const void *options, char *error, uint32_t error_size)
{
	const struct otlp_options *o = options;

	if (!o->traces && !o->metrics) {
		(void)snprintf(error, error_size, "traces and metrics are both false");
		return -EINVAL;
	}
	return tl_http_check(&o->http, false, error, error_size);
}

// Only four are to be retried (OTLP/HTTP, "Failures"); refusals of access are held, since tokens
// rotate and receivers are set up late.
static const struct tl_http_rule rules[] = {
	{300, 399, TL_HTTP_HOLD}, {401, 401, TL_HTTP_HOLD},  {403, 404, TL_HTTP_HOLD},
	{407, 407, TL_HTTP_HOLD}, {413, 413, TL_HTTP_SPLIT}, {429, 429, TL_HTTP_RETRY},
	{502, 504, TL_HTTP_RETRY}, {400, 599, TL_HTTP_DROP}, {0, 0, 0},
};

static const struct tl_http_sink_ops ops = {
	.content_type = "application/x-protobuf", .rules = rules, .encode = otlp_encode,
	.discard = otlp_discard, .accepted = otlp_accepted, .split = otlp_split,
};

static int otlp_open(const void *options, const struct tl_exporter_env *env, void **ret_self,
		     char *error, uint32_t error_size)
{
	int rc = otlp_check(options, error, error_size);
	if (rc < 0)
		return rc;
	struct otlp *self = calloc(1, sizeof(*self));
	if (self == NULL)
		return -ENOMEM;
	self->options = options;
	(void)snprintf(self->probe, sizeof(self->probe), "%s", env->probe == NULL ? "" : env->probe);
	(void)snprintf(self->version, sizeof(self->version), "%s", env->version);
	if (gethostname(self->host, sizeof(self->host) - 1) < 0)
		self->host[0] = '\0';
	self->identity = (struct otlp_identity) {
		.probe = self->probe, .version = self->version, .host = self->host,
		.settings = &self->settings, .resource = &self->options->resource};
	rc = tl_otlp_settings_make(self->options, &self->settings, error, error_size);
	if (rc == 0) {
		static const char *const names[OTLP_SIGNALS] = {"traces", "metrics"};
		struct tl_http_lane lanes[OTLP_SIGNALS];
		for (uint32_t i = 0; i < OTLP_SIGNALS; i++) {
			const struct otlp_signal_settings *signal = &self->settings.signals[i];
			lanes[i] = (struct tl_http_lane) {
				.name = names[i], .url = signal->url, .is_gzip = signal->is_gzip,
				.options = &signal->http};
		}
		rc = tl_http_sink_create(
			&(struct tl_http_sink_spec) {
				.exporter = "otlp", .options = &self->options->http, .env = env,
				.ops = &ops, .arg = self, .lanes = lanes, .lane_count = OTLP_SIGNALS,
				.inbox_jobs_max = TL_HTTP_BATCH_JOBS,
				.inbox_bytes_max = TL_HTTP_BATCH_JOBS_BYTES},
			&self->sink, error, error_size);
	}
	if (rc < 0) {
		otlp_close(self);
		return rc;
	}
	tl_http_batch_init(&self->batch, self->sink, self->options->batch_max);
	*ret_self = self;
	return 0;
}

extern const struct tl_exporter tl_exporter_otlp;
const struct tl_exporter tl_exporter_otlp = {
	.name = "otlp",
	.help = "Spans and metrics to an OpenTelemetry receiver by OTLP over HTTP.",
	.options = rows,
	.options_size = sizeof(struct otlp_options),
	.is_list = true,
	.check = otlp_check,
	.open = otlp_open,
	.metrics = otlp_metrics,
	.span = otlp_span,
	.end = otlp_end,
	.flush = otlp_flush,
	.stats = otlp_stats,
	.close = otlp_close,
};
