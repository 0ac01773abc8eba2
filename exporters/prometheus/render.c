// SPDX-License-Identifier: Apache-2.0
#include "exporters/prometheus/prometheus.h"

#include "base/check.h"
#include "exporters/prometheus/protobuf.h"
#include "metrics/vmrange.h"

#include <inttypes.h>

#define PIECE_BYTES (16u * 1024)

// packetd's boundaries; the first four are ours: much of what a probe sees is faster than 1 ms.
// The same as the defaults of metrics.le_seconds and metrics.le_bytes.
static double default_seconds[] = {
	0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10,
	20, 30, 60, 120, 300, 600,
};
static double default_bytes[] = {
	10 << 10, 100 << 10, 250 << 10, 500 << 10, 1 << 20, 5 << 20, 10 << 20, 20 << 20, 30 << 20,
	50 << 20, 80 << 20, 100 << 20, 150 << 20, 200 << 20, 500 << 20,
};

static void put_escaped(struct tl_prometheus_page *p, const char *value, bool with_quotes)
{
	for (; *value != 0; value++) {
		size_t plain = strcspn(value, with_quotes ? "\\\n\"" : "\\\n");
		tl_text_add(&p->text, value, plain);
		value += plain;
		if (*value == 0)
			break;
		tl_text_puts(&p->text, *value == '\n' ? "\\n" : *value == '"' ? "\\\"" : "\\\\");
	}
}

// The family's name on the metadata lines: OpenMetrics names counters without `_total`.
static void put_head(struct tl_prometheus_page *p, const struct tl_sample *sample,
		     const char *suffix, int len, const char *type, bool has_unit)
{
	tl_text_printf(&p->text, "# HELP %.*s%s ", len, sample->family, suffix);
	put_escaped(p, sample->help, p->is_open);
	tl_text_printf(&p->text, "\n# TYPE %.*s%s %s\n", len, sample->family, suffix, type);
	if (p->is_open && has_unit && sample->unit[0] != 0)
		tl_text_printf(&p->text, "# UNIT %.*s%s %s\n", len, sample->family, suffix,
			       sample->unit);
}

// `name{labels`; true when there are labels.
static bool put_labels(struct tl_prometheus_page *p, const struct tl_sample *sample, int len,
		       const char *suffix)
{
	tl_text_add(&p->text, sample->family, (size_t)len);
	tl_text_puts(&p->text, suffix);
	for (uint32_t i = 0; i < sample->label_count; i++) {
		tl_text_add(&p->text, i == 0 ? "{" : ",", 1);
		tl_text_puts(&p->text, sample->labels[i].name);
		tl_text_add(&p->text, "=\"", 2);
		put_escaped(p, sample->labels[i].value, true);
		tl_text_add(&p->text, "\"", 1);
	}
	return sample->label_count != 0;
}

static void put_series(struct tl_prometheus_page *p, const struct tl_sample *sample, int len,
		       const char *suffix)
{
	tl_text_puts(&p->text, put_labels(p, sample, len, suffix) ? "} " : " ");
}

// The buckets of a histogram differ in one label only: what is before it is written once a sample.
static void begin_buckets(struct tl_prometheus_page *p, const struct tl_sample *sample, int len,
			  const char *extra)
{
	size_t before = p->text.len;

	tl_text_puts(&p->text, put_labels(p, sample, len, "_bucket") ? "," : "{");
	tl_text_puts(&p->text, extra);
	tl_text_add(&p->text, "=\"", 2);
	tl_text_clear(&p->prefix);
	tl_text_add(&p->prefix, p->text.data + before, p->text.len - before);
	p->text.len = before;
}

// `name_bucket{labels,extra="value"} count`, without the end of the line.
static void put_bucket(struct tl_prometheus_page *p, const char *value, uint64_t count)
{
	tl_text_add(&p->text, p->prefix.data, p->prefix.len);
	tl_text_puts(&p->text, value);
	tl_text_add(&p->text, "\"} ", 3);
	tl_prometheus_uint(&p->text, count);
}

static void put_time(struct tl_prometheus_page *p, uint64_t ns)
{
	tl_text_printf(&p->text, "%" PRIu64 ".%03" PRIu64, ns / 1000000000, ns / 1000000 % 1000);
}

static void put_exemplar(struct tl_prometheus_page *p, const struct tl_sample *sample)
{
	static const uint8_t none[16];

	if (!p->is_open || memcmp(sample->exemplar_trace_id, none, sizeof(none)) == 0)
		return;
	tl_text_puts(&p->text, " # {trace_id=\"");
	for (uint32_t i = 0; i < sizeof(none); i++)
		tl_text_printf(&p->text, "%02x", sample->exemplar_trace_id[i]);
	tl_text_puts(&p->text, "\"} ");
	tl_prometheus_number(&p->text, sample->exemplar_value, false);
	tl_text_puts(&p->text, " ");
	put_time(p, sample->exemplar_ns);
}

static void put_number_line(struct tl_prometheus_page *p, double value)
{
	tl_prometheus_number(&p->text, value, false);
	tl_text_puts(&p->text, "\n");
}

static void put_created(struct tl_prometheus_page *p, const struct tl_sample *sample, int len)
{
	if (!p->is_open || sample->created_ns == 0)
		return;
	put_series(p, sample, len, "_created");
	put_time(p, sample->created_ns);
	tl_text_puts(&p->text, "\n");
}

// One sample of a family that is no histogram, the family's head before its first.
static void put_plain(struct tl_prometheus_page *p, const struct tl_sample *sample)
{
	size_t len = strlen(sample->family);
	bool is_total = len > 6 && strcmp(sample->family + len - 6, "_total") == 0;
	bool is_counter = sample->type == TL_METRIC_COUNTER && is_total;
	// packetd has counters that are not called _total; under a strict reader's eyes these are
	// of no known type.
	const char *type = is_counter ? "counter" : sample->type == TL_METRIC_GAUGE ? "gauge" :
			   p->is_open ? "unknown" : "untyped";
	int base = (int)(is_counter ? len - 6 : len);

	if (p->at == p->from)
		put_head(p, sample, "", p->is_open ? base : (int)len, type, true);
	put_series(p, sample, (int)len, "");
	tl_prometheus_number(&p->text, sample->value, false);
	if (is_counter)
		put_exemplar(p, sample);
	tl_text_puts(&p->text, "\n");
	if (is_counter)
		put_created(p, sample, base);
}

// Three families of no known type, one behind the other: a `histogram` without `le` is invalid to
// strict readers.
static const char *const vmrange_parts[] = {"_bucket", "_sum", "_count"};

static void put_vmrange(struct tl_prometheus_page *p, const struct tl_sample *sample)
{
	const struct tl_histogram_value *h = sample->histogram;
	int len = (int)strlen(sample->family);

	if (p->at == p->from)
		put_head(p, sample, vmrange_parts[p->part], len,
			 p->is_open ? "unknown" : "untyped", false);
	if (p->part == 0)
		begin_buckets(p, sample, len, "vmrange");
	for (uint32_t k = 0; p->part == 0 && k < h->bucket_count; k++) {
		put_bucket(p, tl_vmrange_label(h->buckets[k].index), h->buckets[k].count);
		tl_text_add(&p->text, "\n", 1);
	}
	if (p->part != 0) {
		put_series(p, sample, len, vmrange_parts[p->part]);
		put_number_line(p, p->part == 1 ? h->sum : (double)h->count);
	}
}

static struct tl_real_list boundaries_of(const struct tl_prometheus_page *p, bool is_time)
{
	const struct tl_real_list *list =
		is_time ? p->options.le_seconds : p->options.le_bytes;

	if (list != NULL && list->count != 0)
		return *list;
	if (is_time)
		return (struct tl_real_list) {default_seconds, TL_COUNT_OF(default_seconds)};
	return (struct tl_real_list) {default_bytes, TL_COUNT_OF(default_bytes)};
}

// The boundaries as texts, each with its NUL, "+Inf" last: the same for all samples of a family.
static const char *boundary_texts(struct tl_prometheus_page *p, bool is_time,
				  struct tl_real_list boundaries)
{
	struct tl_text *texts = &p->boundaries[is_time];

	if (texts->len != 0)
		return texts->data;
	for (uint32_t i = 0; i < boundaries.count; i++) {
		tl_prometheus_number(texts, boundaries.items[i], p->is_open);
		tl_text_add(texts, "", 1);
	}
	tl_text_add(texts, "+Inf", 5);
	return texts->data;
}

// A vmrange bucket counts under the first boundary that is not below its upper end: never too
// early, and too late only for values within 14 % below a boundary that cuts a bucket.
static void put_le_series(struct tl_prometheus_page *p, const struct tl_sample *sample, int len)
{
	const struct tl_histogram_value *h = sample->histogram;
	bool is_time = strcmp(sample->unit, "seconds") == 0;
	struct tl_real_list boundaries = boundaries_of(p, is_time);
	const char *text = boundary_texts(p, is_time, boundaries);
	uint64_t below = 0;
	uint32_t k = 0;
	bool has_exemplar = false;

	begin_buckets(p, sample, len, "le");
	for (uint32_t i = 0; i <= boundaries.count; i++, text += strlen(text) + 1) {
		bool is_last = i == boundaries.count;
		while (k < h->bucket_count &&
		       (is_last || tl_vmrange_end(h->buckets[k].index) <= boundaries.items[i]))
			below += h->buckets[k++].count;
		put_bucket(p, text, below);
		if (!has_exemplar && (is_last || sample->exemplar_value <= boundaries.items[i])) {
			put_exemplar(p, sample);
			has_exemplar = true;
		}
		tl_text_add(&p->text, "\n", 1);
	}
	put_series(p, sample, len, "_sum");
	put_number_line(p, h->sum);
	put_series(p, sample, len, "_count");
	put_number_line(p, (double)h->count);
	put_created(p, sample, len);
}

static void put_le(struct tl_prometheus_page *p, const struct tl_sample *sample)
{
	int len = (int)strlen(sample->family);

	if (p->at == p->from)
		put_head(p, sample, "", len, "histogram", true);
	put_le_series(p, sample, len);
}

// ---- Piece by piece ----------------------------------------------------------------------------

void tl_prometheus_begin(struct tl_prometheus_page *page, const struct tl_snapshot *snapshot,
			 const struct tl_prometheus_options *options)
{
	*page = (struct tl_prometheus_page) {
		.snapshot = snapshot,
		.options = *options,
		.is_open = options->format == TL_PROMETHEUS_OPENMETRICS,
	};
}

// On to the next family that is wanted; false behind the last one.
static bool next_family(struct tl_prometheus_page *p)
{
	uint32_t count = tl_snapshot_count(p->snapshot);

	p->part = 0;
	do {
		p->from = p->at = p->to;
		if (p->from == count)
			return false;
		const char *family = tl_snapshot_at(p->snapshot, p->from)->family;
		for (p->to = p->from + 1; p->to < count; p->to++)
			if (strcmp(tl_snapshot_at(p->snapshot, p->to)->family, family) != 0)
				break;
	} while (tl_snapshot_at(p->snapshot, p->from)->is_self != p->options.is_self);
	return true;
}

static void put_sample(struct tl_prometheus_page *p)
{
	if (p->options.format == TL_PROMETHEUS_PROTOBUF) { // its length stands in front of a family
		tl_prometheus_put_family(&p->text, p->snapshot, p->from, p->to);
		p->at = p->to;
		return;
	}
	const struct tl_sample *sample = tl_snapshot_at(p->snapshot, p->at);
	bool is_vmrange = sample->type == TL_METRIC_HISTOGRAM &&
			  p->options.histogram == TL_HISTOGRAM_VMRANGE;

	if (sample->type != TL_METRIC_HISTOGRAM)
		put_plain(p, sample);
	else if (is_vmrange)
		put_vmrange(p, sample);
	else
		put_le(p, sample);
	p->at++;
	if (p->at == p->to && is_vmrange && p->part + 1 < TL_COUNT_OF(vmrange_parts)) {
		p->at = p->from;
		p->part++;
	}
}

bool tl_prometheus_next(struct tl_prometheus_page *page)
{
	tl_text_clear(&page->text);
	while (!page->is_done && page->text.len < PIECE_BYTES) {
		if (page->at == page->to && !next_family(page)) {
			if (page->is_open)
				tl_text_puts(&page->text, "# EOF\n");
			page->is_done = true;
		} else {
			put_sample(page);
		}
	}
	return page->text.len != 0;
}

void tl_prometheus_end(struct tl_prometheus_page *page)
{
	tl_text_free(&page->text);
	tl_text_free(&page->prefix);
	tl_text_free(&page->boundaries[0]);
	tl_text_free(&page->boundaries[1]);
}

int tl_prometheus_render(const struct tl_snapshot *snapshot,
			 const struct tl_prometheus_options *options, tl_prometheus_write_fn *write,
			 void *arg)
{
	struct tl_prometheus_page page;
	int rc = 0;

	tl_prometheus_begin(&page, snapshot, options);
	while (rc == 0 && tl_prometheus_next(&page))
		rc = write(arg, page.text.data, page.text.len);
	tl_prometheus_end(&page);
	return rc;
}
