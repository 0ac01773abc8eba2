// SPDX-License-Identifier: Apache-2.0
// Metrics: counters as cumulative monotonic sums, gauges, histograms as exponential ones of a fixed
// scale (tl_vmrange_exponential); count and sum are exact.
#include "exporters/otlp/otlp.h"

#include "metrics/metrics.h"
#include "metrics/vmrange.h"

#include <string.h>

#include "metrics.pb-c.h"
#include "metrics_service.pb-c.h"

#define POINTS_MAX 8192u           // of one request: about 1 MiB
#define VMRANGE_MIN 1e-9           // below is bucket 0

static void set_attributes(struct otlp_arena *arena, const struct tl_sample *sample,
			   Otlp__KeyValue ***ret_items, size_t *ret_count)
{
	struct otlp_attributes list = {0};

	for (uint32_t i = 0; i < sample->label_count; i++)
		tl_otlp_add_string(arena, &list, sample->labels[i].name, sample->labels[i].value);
	*ret_items = list.items;
	*ret_count = list.count;
}

static Otlp__NumberDataPoint *number_point(struct otlp_arena *arena,
					   const struct tl_sample *sample, uint64_t now_ns)
{
	Otlp__NumberDataPoint *point = tl_otlp_take(arena, sizeof(*point));

	otlp__number_data_point__init(point);
	set_attributes(arena, sample, &point->attributes, &point->n_attributes);
	point->start_time_unix_nano = sample->type == TL_METRIC_COUNTER ? sample->created_ns : 0;
	point->time_unix_nano = now_ns;
	point->value_case = OTLP__NUMBER_DATA_POINT__VALUE_AS_DOUBLE;
	point->as_double = sample->value;
	return point;
}

static void set_buckets(struct otlp_arena *arena, const struct tl_histogram_value *h,
			Otlp__ExponentialHistogramDataPoint *point)
{
	Otlp__ExponentialHistogramDataPoint__Buckets *positive = tl_otlp_take(arena, sizeof(*positive));
	uint32_t first = h->bucket_count != 0 && h->buckets[0].index == 0 ? 1 : 0;

	otlp__exponential_histogram_data_point__buckets__init(positive);
	point->positive = positive;
	if (first == 1)
		point->zero_count = h->buckets[0].count;
	if (first == h->bucket_count)
		return;
	positive->offset = tl_vmrange_exponential(h->buckets[first].index);
	int32_t last = tl_vmrange_exponential(h->buckets[h->bucket_count - 1].index);
	positive->n_bucket_counts = (size_t)(last - positive->offset + 1);
	positive->bucket_counts = tl_otlp_take(arena, positive->n_bucket_counts * sizeof(uint64_t));
	for (uint32_t i = first; i < h->bucket_count; i++) {
		int32_t index = tl_vmrange_exponential(h->buckets[i].index);
		positive->bucket_counts[index - positive->offset] += h->buckets[i].count;
	}
}

static Otlp__ExponentialHistogramDataPoint *
histogram_point(struct otlp_arena *arena, const struct tl_sample *sample, uint64_t now_ns)
{
	Otlp__ExponentialHistogramDataPoint *point = tl_otlp_take(arena, sizeof(*point));

	otlp__exponential_histogram_data_point__init(point);
	set_attributes(arena, sample, &point->attributes, &point->n_attributes);
	point->start_time_unix_nano = sample->created_ns;
	point->time_unix_nano = now_ns;
	point->count = sample->histogram->count;
	point->_sum_case = OTLP__EXPONENTIAL_HISTOGRAM_DATA_POINT___SUM_SUM;
	point->sum = sample->histogram->sum;
	point->scale = TL_VMRANGE_SCALE;
	point->zero_threshold = VMRANGE_MIN;
	set_buckets(arena, sample->histogram, point);
	return point;
}

// One family, `count` of its samples from `at` on.
static Otlp__Metric *make_metric(struct otlp_arena *arena, const struct tl_snapshot *snapshot,
				 uint32_t at, uint32_t count)
{
	const struct tl_sample *first = tl_snapshot_at(snapshot, at);
	uint64_t now_ns = tl_snapshot_time(snapshot);
	Otlp__Metric *metric = tl_otlp_take(arena, sizeof(*metric));
	void **points = tl_otlp_take(arena, count * sizeof(void *));
	const char *unit = strcmp(first->unit, "seconds") == 0 ? "s" :
			   strcmp(first->unit, "bytes") == 0 ? "By" : "";

	otlp__metric__init(metric);
	metric->name = tl_otlp_text(arena, first->family, strlen(first->family));
	metric->description = tl_otlp_text(arena, first->help, strlen(first->help));
	metric->unit = tl_otlp_text(arena, unit, strlen(unit));
	for (uint32_t i = 0; i < count; i++) {
		const struct tl_sample *sample = tl_snapshot_at(snapshot, at + i);
		points[i] = first->type == TL_METRIC_HISTOGRAM ?
			(void *)histogram_point(arena, sample, now_ns) :
			(void *)number_point(arena, sample, now_ns);
	}
	if (first->type == TL_METRIC_HISTOGRAM) {
		metric->data_case = OTLP__METRIC__DATA_EXPONENTIAL_HISTOGRAM;
		metric->exponential_histogram =
			tl_otlp_take(arena, sizeof(*metric->exponential_histogram));
		otlp__exponential_histogram__init(metric->exponential_histogram);
		metric->exponential_histogram->aggregation_temporality =
			OTLP__AGGREGATION_TEMPORALITY__AGGREGATION_TEMPORALITY_CUMULATIVE;
		metric->exponential_histogram->n_data_points = count;
		metric->exponential_histogram->data_points = (void *)points;
	} else if (first->type == TL_METRIC_COUNTER) {
		metric->data_case = OTLP__METRIC__DATA_SUM;
		metric->sum = tl_otlp_take(arena, sizeof(*metric->sum));
		otlp__sum__init(metric->sum);
		metric->sum->aggregation_temporality =
			OTLP__AGGREGATION_TEMPORALITY__AGGREGATION_TEMPORALITY_CUMULATIVE;
		metric->sum->is_monotonic = true;
		metric->sum->n_data_points = count;
		metric->sum->data_points = (void *)points;
	} else {
		metric->data_case = OTLP__METRIC__DATA_GAUGE;
		metric->gauge = tl_otlp_take(arena, sizeof(*metric->gauge));
		otlp__gauge__init(metric->gauge);
		metric->gauge->n_data_points = count;
		metric->gauge->data_points = (void *)points;
	}
	return metric;
}

// Samples of the same family from `at` on, at most `max`.
static uint32_t family_length(const struct tl_snapshot *snapshot, uint32_t at, uint32_t max)
{
	const char *family = tl_snapshot_at(snapshot, at)->family;
	uint32_t count = 1;

	while (count < max && at + count < tl_snapshot_count(snapshot) &&
	       strcmp(tl_snapshot_at(snapshot, at + count)->family, family) == 0)
		count++;
	return count;
}

uint32_t tl_otlp_encode_metrics(const struct otlp_identity *identity,
			     const struct tl_snapshot *snapshot, bool with_self, uint32_t *at,
			     struct tl_text *ret_payload)
{
	Otlp__ExportMetricsServiceRequest request = OTLP__EXPORT_METRICS_SERVICE_REQUEST__INIT;
	Otlp__ResourceMetrics resource = OTLP__RESOURCE_METRICS__INIT;
	Otlp__ScopeMetrics scope = OTLP__SCOPE_METRICS__INIT;
	Otlp__ResourceMetrics *resources[] = {&resource};
	Otlp__ScopeMetrics *scopes[] = {&scope};
	struct otlp_arena arena = {0};
	uint32_t points = 0;

	scope.metrics = tl_otlp_take(&arena, POINTS_MAX * sizeof(Otlp__Metric *));
	while (*at < tl_snapshot_count(snapshot) && points < POINTS_MAX) {
		uint32_t count = family_length(snapshot, *at, POINTS_MAX - points);
		if (with_self || !tl_snapshot_at(snapshot, *at)->is_self) {
			scope.metrics[scope.n_metrics++] = make_metric(&arena, snapshot, *at, count);
			points += count;
		}
		*at += count;
	}
	if (points != 0) {
		resource.resource = tl_otlp_resource(&arena, identity, NULL, NULL);
		resource.schema_url = scope.schema_url =
			tl_otlp_text(&arena, OTLP_SCHEMA_URL, strlen(OTLP_SCHEMA_URL));
		scope.scope = tl_otlp_scope(&arena, identity->version);
		resource.n_scope_metrics = request.n_resource_metrics = 1;
		resource.scope_metrics = scopes;
		request.resource_metrics = resources;
		tl_otlp_pack(&request.base, ret_payload);
	}
	tl_otlp_empty(&arena);
	return points;
}
