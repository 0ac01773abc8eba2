// SPDX-License-Identifier: Apache-2.0
// A request that a receiver found too large becomes two. The queue keeps payloads only, so it is
// read back.
#include "exporters/otlp/otlp.h"

#include "exporters/http_sink/gzip.h"

#include <stdlib.h>
#include <string.h>

#include "metrics_service.pb-c.h"
#include "trace_service.pb-c.h"

// Both halves are the same tree with other items hidden in it: `from` up to `to` are shown. Counts
// items in the order of the tree.
struct window {
	uint32_t from, to, seen;
};

static void show(struct window *window, size_t *count, void ***items)
{
	size_t first = window->from > window->seen ? window->from - window->seen : 0;
	size_t last = window->to > window->seen ? window->to - window->seen : 0;

	window->seen += (uint32_t)*count;
	if (last > *count)
		last = *count;
	if (first > last)
		first = last;
	*items += first;
	*count = last - first;
}

static uint32_t count_spans(const Otlp__ExportTraceServiceRequest *request)
{
	uint32_t count = 0;

	for (size_t r = 0; r < request->n_resource_spans; r++)
		for (size_t s = 0; s < request->resource_spans[r]->n_scope_spans; s++)
			count += (uint32_t)request->resource_spans[r]->scope_spans[s]->n_spans;
	return count;
}

static void add_span_half(Otlp__ExportTraceServiceRequest *request, uint32_t from, uint32_t to,
			  struct tl_http_pieces *pieces)
{
	struct window window = {from, to, 0};
	struct tl_text payload = {0};
	struct saved {
		Otlp__ScopeSpans *scope;
		Otlp__Span **items;
		size_t count;
	};
	struct saved *saved = calloc(count_spans(request) + 1, sizeof(*saved));
	size_t saved_count = 0;

	for (size_t r = 0; saved != NULL && r < request->n_resource_spans; r++)
		for (size_t s = 0; s < request->resource_spans[r]->n_scope_spans; s++) {
			Otlp__ScopeSpans *scope = request->resource_spans[r]->scope_spans[s];
			if (scope->n_spans == 0)
				continue;
			saved[saved_count++] = (struct saved) {scope, scope->spans, scope->n_spans};
			show(&window, &scope->n_spans, (void ***)(void *)&scope->spans);
		}
	tl_otlp_pack(&request->base, &payload);
	tl_http_pieces_add(pieces, tl_bytes((const uint8_t *)payload.data, (uint32_t)payload.len),
			   to - from);
	for (size_t i = 0; i < saved_count; i++) {
		saved[i].scope->spans = saved[i].items;
		saved[i].scope->n_spans = saved[i].count;
	}
	free(saved);
	tl_text_free(&payload);
}

bool tl_otlp_split_spans(struct tl_bytes payload, struct tl_http_pieces *pieces)
{
	struct tl_text buffer = {0};
	struct tl_bytes plain;
	Otlp__ExportTraceServiceRequest *request = NULL;

	if (tl_gzip_plain(payload, &buffer, &plain))
		request = otlp__export_trace_service_request__unpack(NULL, plain.len, plain.ptr);
	tl_text_free(&buffer);
	uint32_t count = request != NULL ? count_spans(request) : 0;
	if (count >= 2) {
		add_span_half(request, 0, count / 2, pieces);
		add_span_half(request, count / 2, count, pieces);
	}
	if (request != NULL)
		otlp__export_trace_service_request__free_unpacked(request, NULL);
	return count >= 2;
}

static uint32_t points_of(const Otlp__Metric *metric)
{
	switch (metric->data_case) {
	case OTLP__METRIC__DATA_SUM:
		return (uint32_t)metric->sum->n_data_points;
	case OTLP__METRIC__DATA_GAUGE:
		return (uint32_t)metric->gauge->n_data_points;
	case OTLP__METRIC__DATA_EXPONENTIAL_HISTOGRAM:
		return (uint32_t)metric->exponential_histogram->n_data_points;
	default:
		return 0;
	}
}

static void add_metric_half(Otlp__ExportMetricsServiceRequest *request, Otlp__Metric **metrics,
			    size_t count, struct tl_http_pieces *pieces)
{
	Otlp__ScopeMetrics *scope = request->resource_metrics[0]->scope_metrics[0];
	struct tl_text payload = {0};
	uint32_t points = 0;

	scope->metrics = metrics;
	scope->n_metrics = count;
	for (size_t i = 0; i < count; i++)
		points += points_of(metrics[i]);
	tl_otlp_pack(&request->base, &payload);
	tl_http_pieces_add(pieces, tl_bytes((const uint8_t *)payload.data, (uint32_t)payload.len),
			   points);
	tl_text_free(&payload);
}

// Our own requests have one resource and one scope. Families stay whole: halved by their number.
bool tl_otlp_split_metrics(struct tl_bytes payload, struct tl_http_pieces *pieces)
{
	struct tl_text buffer = {0};
	struct tl_bytes plain;
	Otlp__ExportMetricsServiceRequest *request = NULL;

	if (tl_gzip_plain(payload, &buffer, &plain))
		request = otlp__export_metrics_service_request__unpack(NULL, plain.len, plain.ptr);
	tl_text_free(&buffer);
	bool is_ours = request != NULL && request->n_resource_metrics == 1 &&
		       request->resource_metrics[0]->n_scope_metrics == 1;
	Otlp__ScopeMetrics *scope =
		is_ours ? request->resource_metrics[0]->scope_metrics[0] : NULL;
	bool is_halved = scope != NULL && scope->n_metrics >= 2;
	if (is_halved) {
		Otlp__Metric **all = scope->metrics;
		size_t count = scope->n_metrics;
		add_metric_half(request, all, count / 2, pieces);
		add_metric_half(request, all + count / 2, count - count / 2, pieces);
		scope->metrics = all;
		scope->n_metrics = count;
	}
	if (request != NULL)
		otlp__export_metrics_service_request__free_unpacked(request, NULL);
	return is_halved;
}
