// SPDX-License-Identifier: Apache-2.0
// A snapshot owns all it points to, in an arena of its own: readers may keep it as long as they
// like while the totals move on.
#include "base/check.h"
#include "metrics/total.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_BYTES (256u * 1024)

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(16) uint8_t data[];
};

struct tl_snapshot {
	_Atomic uint32_t users;
	uint32_t count;
	uint32_t capacity;
	uint64_t time_ns;
	struct tl_sample *samples;
	struct chunk *chunks;
	struct tl_points **points; // samples point into them
	uint32_t points_count;
};

static void *arena_take(struct tl_snapshot *s, size_t size)
{
	size = (size + 15) & ~(size_t)15;
	if (s->chunks == NULL || s->chunks->size - s->chunks->used < size) {
		size_t want = size > CHUNK_BYTES ? size : CHUNK_BYTES;
		struct chunk *chunk = malloc(sizeof(*chunk) + want);
		TL_ASSERT(chunk != NULL && "out of memory");
		chunk->next = s->chunks;
		chunk->used = 0;
		chunk->size = want;
		s->chunks = chunk;
	}
	void *memory = s->chunks->data + s->chunks->used;
	s->chunks->used += size;
	return memset(memory, 0, size);
}

static const char *arena_text(struct tl_snapshot *s, const char *text, size_t len)
{
	char *copy = arena_take(s, len + 1);
	memcpy(copy, text, len);
	return copy;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);
	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

// The unit is the last word of the name, `_total` aside: OpenMetrics insists on that anyway.
static const char *unit_of(const char *family)
{
	static const char *const units[] = {"seconds", "bytes"};
	char end[32];

	for (uint32_t i = 0; i < TL_COUNT_OF(units); i++) {
		(void)snprintf(end, sizeof(end), "_%s_total", units[i]);
		bool is_total = ends_with(family, end);
		(void)snprintf(end, sizeof(end), "_%s", units[i]);
		if (is_total || ends_with(family, end))
			return units[i];
	}
	return "";
}

// `family` and `help` must live as long as the snapshot.
static struct tl_sample *add(struct tl_snapshot *s, const char *family, const char *help,
			     uint8_t type)
{
	if (s->count == s->capacity) {
		s->capacity = s->capacity != 0 ? s->capacity * 2 : 512;
		s->samples = realloc(s->samples, s->capacity * sizeof(*s->samples));
		TL_ASSERT(s->samples != NULL && "out of memory");
	}
	struct tl_sample *sample = &s->samples[s->count++];
	*sample = (struct tl_sample) {
		.family = family,
		.help = help,
		.unit = unit_of(family),
		.type = type,
		.is_self = strncmp(family, "tapline_", 8) == 0,
	};
	return sample;
}

// ---- Labels ------------------------------------------------------------------------------------

#define SET_LABELS_MAX 16u

// `a="b",c="d"` with the escapes of the text format, as the tables and tl_metrics_set have it.
static void parse_labels(struct tl_snapshot *s, struct tl_sample *sample, const char *text)
{
	struct tl_label *labels = arena_take(s, sizeof(*labels) * SET_LABELS_MAX);
	uint32_t count = 0;

	while (*text != 0 && count < SET_LABELS_MAX) {
		const char *equals = strchr(text, '=');
		if (equals == NULL || equals[1] != '"')
			break;
		labels[count].name = arena_text(s, text, (size_t)(equals - text));
		char *to = arena_take(s, strlen(equals + 2) + 1);
		labels[count++].value = to;
		for (text = equals + 2; *text != 0 && *text != '"'; text++) {
			bool is_escaped = *text == '\\' && text[1] != 0;
			text += is_escaped;
			*to++ = is_escaped && *text == 'n' ? '\n' : *text;
		}
		text += *text == '"';
		text += *text == ',';
	}
	sample->labels = labels;
	sample->label_count = count;
}

// The labels of a total, with room for one more.
static struct tl_label *total_labels(struct tl_snapshot *s, const struct tl_plan *plan,
				     const struct tl_total *total, const char *const *names)
{
	struct tl_label *labels = arena_take(s, sizeof(*labels) * (plan->label_count + 1));
	const char *value = arena_text(s, total->values, total->values_len);

	for (uint32_t i = 0; i < plan->label_count; i++) {
		labels[i] = (struct tl_label) {.name = names[i], .value = value};
		value += strlen(value) + 1;
	}
	return labels;
}

static const struct tl_label *with_label(struct tl_snapshot *s, const struct tl_label *labels,
					 uint32_t count, const char *name, const char *value)
{
	struct tl_label *all = arena_take(s, sizeof(*all) * (count + 1));
	if (count != 0)
		memcpy(all, labels, sizeof(*all) * count);
	all[count] = (struct tl_label) {.name = name, .value = value};
	return all;
}

// ---- Protocols ---------------------------------------------------------------------------------

static const struct tl_histogram_value *histogram_value(struct tl_snapshot *s,
							const struct tl_total_histogram *h,
							bool is_time)
{
	uint32_t count = (h->lower != 0 ? 1u : 0u) + (h->upper != 0 ? 1u : 0u);

	for (uint32_t d = 0; d < TL_VMRANGE_DECADES; d++)
		for (uint32_t i = 0; h->decades[d] != NULL && i < TL_VMRANGE_PER_DECADE; i++)
			count += h->decades[d][i] != 0;
	struct tl_histogram_value *value =
		arena_take(s, sizeof(*value) + count * sizeof(value->buckets[0]));
	value->count = h->count;
	value->sum = is_time ? (double)h->sum / 1e9 : (double)h->sum;
	struct tl_histogram_bucket *to = value->buckets;
	if (h->lower != 0)
		*to++ = (struct tl_histogram_bucket) {TL_VMRANGE_LOWER, h->lower};
	for (uint32_t d = 0; d < TL_VMRANGE_DECADES; d++) {
		for (uint32_t i = 0; h->decades[d] != NULL && i < TL_VMRANGE_PER_DECADE; i++) {
			if (h->decades[d][i] == 0)
				continue;
			uint16_t index = (uint16_t)(1 + d * TL_VMRANGE_PER_DECADE + i);
			*to++ = (struct tl_histogram_bucket) {index, h->decades[d][i]};
		}
	}
	if (h->upper != 0)
		*to++ = (struct tl_histogram_bucket) {TL_VMRANGE_UPPER, h->upper};
	value->bucket_count = (uint32_t)(to - value->buckets);
	return value;
}

static void set_exemplar(struct tl_sample *sample, const struct tl_total *total, double value)
{
	if (!total->has_exemplar)
		return;
	memcpy(sample->exemplar_trace_id, total->trace_id, sizeof(sample->exemplar_trace_id));
	sample->exemplar_value = value;
	sample->exemplar_ns = total->exemplar_time_ns;
}

static struct tl_sample *add_histogram(struct tl_snapshot *s, const struct tl_total_histogram *h,
				       const char *family, const char *help, bool is_time,
				       const struct tl_label *labels, uint32_t label_count)
{
	if (h->created_ns == 0)
		return NULL;
	struct tl_sample *sample = add(s, family, help, TL_METRIC_HISTOGRAM);
	sample->labels = labels;
	sample->label_count = label_count;
	sample->created_ns = h->created_ns;
	sample->touched_ns = h->touched_ns;
	sample->histogram = histogram_value(s, h, is_time);
	return sample;
}

// Names of a protocol's families and labels within one snapshot.
struct family_names {
	const char *requests, *duration, *request_bytes, *response_bytes;
	const char *extras[TL_EXTRAS_MAX];
	const char *extras_help[TL_EXTRAS_MAX];
	const char *labels[TL_LABELS_MAX];
};

static const char *join(struct tl_snapshot *s, const char *a, const char *b)
{
	char text[128];
	int len = snprintf(text, sizeof(text), "%s%s", a, b);
	return arena_text(s, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

static struct family_names *make_names(struct tl_snapshot *s, const struct tl_plan *plan)
{
	struct family_names *names = arena_take(s, sizeof(*names));

	names->requests = join(s, plan->name, "_requests_total");
	names->duration = join(s, plan->name, "_request_duration_seconds");
	names->request_bytes = join(s, plan->name, "_request_body_bytes");
	names->response_bytes = join(s, plan->name, "_response_body_bytes");
	for (uint32_t i = 0; i < plan->extra_count; i++) {
		names->extras[i] = join(s, plan->extras[i].family, "");
		names->extras_help[i] = plan->extras[i].help != NULL ? plan->extras[i].help : "";
	}
	for (uint32_t i = 0; i < plan->label_count; i++)
		names->labels[i] = join(s, plan->labels[i].name, "");
	return names;
}

static void add_counter(struct tl_snapshot *s, const struct tl_total_counter *counter,
			const char *family, const char *help, const struct tl_label *labels,
			uint32_t label_count)
{
	struct tl_sample *sample = add(s, family, help, TL_METRIC_COUNTER);
	sample->labels = labels;
	sample->label_count = label_count;
	sample->created_ns = counter->created_ns;
	sample->touched_ns = counter->touched_ns;
	sample->value = (double)counter->value;
}

static void add_requests(struct tl_snapshot *s, const struct tl_plan *plan,
			 const struct tl_total *total, const struct family_names *names,
			 const struct tl_label *labels)
{
	for (uint32_t i = 0; i < TL_STATUS_COUNT; i++) {
		uint32_t count = plan->label_count;
		const struct tl_label *all = labels;
		if (total->requests[i].created_ns == 0)
			continue;
		if (!plan->has_status)
			all = with_label(s, labels, count++, "status",
					 tl_status_name((enum tl_status)i));
		// With the user's own status label, the group of `other` may hold several.
		else if (s->count != 0 &&
			 s->samples[s->count - 1].labels == labels) {
			s->samples[s->count - 1].value += (double)total->requests[i].value;
			continue;
		}
		add_counter(s, &total->requests[i], names->requests,
			    "Requests, one-way messages and orphan responses, by status.", all,
			    count);
		if (total->exemplar_status == i)
			set_exemplar(&s->samples[s->count - 1], total, 1);
	}
}

static void add_total(struct tl_snapshot *s, const struct tl_plan *plan,
		      const struct tl_total *total, const struct family_names *names)
{
	uint32_t count = plan->label_count;
	const struct tl_label *labels = total_labels(s, plan, total, names->labels);

	if (plan->protocol == TL_PLAN_L4) {
		static const char *const sides[2] = {"client", "server"};
		for (uint32_t i = 0; i < 2; i++)
			(void)add_histogram(s, &total->histograms[i], "tcp_handshake_rtt_seconds",
					    "Round trip within the handshake, between the tap and "
					    "either side.", true,
					    with_label(s, labels, count, "side", sides[i]),
					    count + 1);
		return;
	}
	add_requests(s, plan, total, names, labels);
	struct tl_sample *duration = add_histogram(s, &total->histograms[TL_BANK_DURATION],
		names->duration, "Time from the first byte of the request to the last one of its "
		"response.", true, labels, count);
	if (duration != NULL)
		set_exemplar(duration, total, (double)total->exemplar_ns / 1e9);
	(void)add_histogram(s, &total->histograms[TL_BANK_REQUEST], names->request_bytes,
			    "Size of request bodies.", false, labels, count);
	(void)add_histogram(s, &total->histograms[TL_BANK_RESPONSE], names->response_bytes,
			    "Size of response bodies.", false, labels, count);
	for (uint32_t i = 0; i < plan->extra_count; i++) {
		if (plan->extras[i].is_histogram)
			(void)add_histogram(s, &total->histograms[TL_BANK_EXTRA + i],
					    names->extras[i], names->extras_help[i], false, labels,
					    count);
		else if (total->extras[i].created_ns != 0)
			add_counter(s, &total->extras[i], names->extras[i], names->extras_help[i],
				    labels, count);
	}
}

// ---- The probe itself --------------------------------------------------------------------------

static struct tl_sample *add_number(struct tl_snapshot *s, const struct tl_metrics *m,
				    const char *family, const char *help, uint8_t type,
				    double value)
{
	struct tl_sample *sample = add(s, family, help, type);
	sample->created_ns = m->start_ns;
	sample->touched_ns = m->now_ns;
	sample->value = value;
	return sample;
}

static const struct {
	enum tl_counter id;
	const char *family, *labels, *help;
} counter_rows[] = {
#define COUNTER_ROW(id, family, labels, help) {TL_COUNT_##id, family, labels, help},
	TL_COUNTERS(COUNTER_ROW)
};

// With the option off, the L4 families stay out, but for the sizes of the tables.
static bool is_unwanted_l4(const struct tl_metrics *m, const char *family)
{
	return !m->l4_enabled && strncmp(family, "tapline_", 8) != 0 &&
	       !ends_with(family, "_active_conns") &&
	       !ends_with(family, "_remove_expired_conns_total");
}

static void add_counters(struct tl_snapshot *s, const struct tl_metrics *m)
{
	const char *help = "", *family = "";

	for (uint32_t i = 0; i < TL_COUNTER_COUNT && m->worker_count != 0; i++) {
		uint64_t sum = counter_rows[i].id == TL_COUNT_SERIES_OVERFLOW ? m->overflows : 0;
		for (uint32_t w = 0; w < m->worker_count; w++)
			sum += m->workers[w].counters.at[counter_rows[i].id];
		// The first row of a family has its help.
		if (strcmp(family, counter_rows[i].family) != 0)
			help = counter_rows[i].help;
		family = counter_rows[i].family;
		if (is_unwanted_l4(m, family))
			continue;
		struct tl_sample *sample = add_number(s, m, family, help,
			ends_with(family, "_total") ? TL_METRIC_COUNTER : TL_METRIC_GAUGE,
			(double)sum);
		parse_labels(s, sample, counter_rows[i].labels);
	}
}

static void add_verdicts(struct tl_snapshot *s, const struct tl_metrics *m)
{
	for (uint32_t i = 0; i < m->verdict_count; i++) {
		struct tl_verdict_count sum = {0};
		const char *name = i < m->plan_count ?
			(i == TL_PLAN_L4 ? NULL : m->plans[i].name) :
			tl_verdict_name((uint16_t)(TL_VERDICT_BASE + i - m->plan_count));
		if (name == NULL)
			continue;
		for (uint32_t w = 0; w < m->worker_count; w++) {
			sum.flows += m->workers[w].verdicts[i].flows;
			sum.bytes += m->workers[w].verdicts[i].bytes;
		}
		const struct tl_label *labels = with_label(s, NULL, 0, "verdict", name);
		for (uint32_t k = 0; k < 2; k++) {
			struct tl_sample *sample = add_number(s, m,
				k == 0 ? "tapline_flows_total" : "tapline_bytes_total",
				k == 0 ? "Flows by what they turned out to carry." :
					 "Payload bytes by what their flow carries.",
				TL_METRIC_COUNTER, (double)(k == 0 ? sum.flows : sum.bytes));
			sample->labels = labels;
			sample->label_count = 1;
		}
	}
}

static void add_decoder_counters(struct tl_snapshot *s, const struct tl_metrics *m)
{
	uint32_t at = 0;

	for (uint16_t id = 1; id < tl_decoder_count && m->worker_count != 0; id++) {
		const struct tl_decoder *decoder = tl_decoders[id];
		for (uint32_t i = 0; decoder != NULL && i < decoder->counter_count; i++, at++) {
			uint64_t sum = 0;
			for (uint32_t w = 0; w < m->worker_count; w++)
				sum += m->workers[w].decoder_counters[at];
			struct tl_sample *sample = add_number(s, m, "tapline_decoder_events_total",
				"What decoders came upon, by protocol.", TL_METRIC_COUNTER,
				(double)sum);
			sample->labels = with_label(s, with_label(s, NULL, 0, "protocol",
								  decoder->name),
						    1, "event", decoder->counters[i]);
			sample->label_count = 2;
		}
	}
}

static void add_self(struct tl_snapshot *s, const struct tl_metrics *m)
{
	uint32_t totals = m->total_touched - m->free_count;

	(void)add_number(s, m, "tapline_uptime_seconds", "Time since metrics began.",
			 TL_METRIC_GAUGE, (double)(m->now_ns - m->start_ns) / 1e9);
	struct tl_sample *sample = add_number(s, m, "tapline_build_info",
		"1, with the version as a label.", TL_METRIC_GAUGE, 1);
	sample->labels = with_label(s, NULL, 0, "version", TL_VERSION);
	sample->label_count = 1;
	(void)add_number(s, m, "tapline_series_groups",
			 "Combinations of label values known now.", TL_METRIC_GAUGE, totals);
	for (uint32_t i = 0; i < m->worker_count; i++) {
		char number[16];
		int len = snprintf(number, sizeof(number), "%u", i);
		sample = add_number(s, m, "tapline_worker_series_groups",
				    "Combinations of label values that a worker knows now.",
				    TL_METRIC_GAUGE, m->workers[i].groups);
		sample->labels = with_label(s, NULL, 0, "worker",
					    arena_text(s, number, (size_t)len));
		sample->label_count = 1;
	}
	for (uint32_t i = 0; i < m->set_count; i++) {
		const struct tl_set_sample *set = &m->set[i];
		sample = add(s, join(s, set->family, ""),
			     arena_text(s, set->help, strlen(set->help)), set->type);
		parse_labels(s, sample, set->labels);
		sample->created_ns = set->created_ns;
		sample->touched_ns = set->touched_ns;
		sample->value = set->value;
	}
}

static void add_points(struct tl_snapshot *s, const struct tl_metrics *m)
{
	s->points = calloc(m->points_count + 1, sizeof(struct tl_points *));
	TL_ASSERT(s->points != NULL && "out of memory");
	for (uint32_t i = 0; i < m->points_count; i++) {
		const struct tl_points *list = s->points[s->points_count++] =
			tl_points_get(m->points[i]);
		for (uint32_t k = 0; k < tl_points_count(list); k++) {
			const struct tl_point *point = tl_points_at(list, k);
			struct tl_sample *sample = add(s, point->family, point->help, point->type);
			sample->labels = point->labels;
			sample->label_count = point->label_count;
			sample->touched_ns = m->now_ns;
			sample->value = point->value;
		}
	}
}

static int compare_samples(const void *left, const void *right)
{
	const struct tl_sample *a = left, *b = right;
	int order = a->family == b->family ? 0 : strcmp(a->family, b->family);

	for (uint32_t i = 0; order == 0 && i < a->label_count && i < b->label_count; i++) {
		order = a->labels[i].name == b->labels[i].name ? 0 :
			strcmp(a->labels[i].name, b->labels[i].name);
		if (order == 0)
			order = strcmp(a->labels[i].value, b->labels[i].value);
	}
	return order != 0 ? order : (int)a->label_count - (int)b->label_count;
}

static struct tl_snapshot *make_snapshot(const struct tl_metrics *m)
{
	struct tl_snapshot *s = calloc(1, sizeof(*s));
	struct family_names **names = calloc(m->plan_count + 1, sizeof(*names));

	TL_ASSERT(s != NULL && names != NULL && "out of memory");
	s->users = 1;
	s->time_ns = m->now_ns;
	for (uint32_t i = 0; i < m->total_touched; i++) {
		const struct tl_total *total = m->totals[i];
		if (total == NULL)
			continue;
		const struct tl_plan *plan = &m->plans[total->protocol];
		if (names[total->protocol] == NULL)
			names[total->protocol] = make_names(s, plan);
		add_total(s, plan, total, names[total->protocol]);
	}
	free(names);
	add_counters(s, m);
	add_verdicts(s, m);
	add_decoder_counters(s, m);
	add_self(s, m);
	add_points(s, m);
	qsort(s->samples, s->count, sizeof(*s->samples), compare_samples);
	return s;
}

struct tl_snapshot *tl_metrics_snapshot(struct tl_metrics *m)
{
	if (m->snapshot == NULL || m->is_changed) {
		tl_snapshot_put(m->snapshot);
		m->snapshot = make_snapshot(m);
		m->is_changed = false;
	}
	(void)atomic_fetch_add_explicit(&m->snapshot->users, 1, memory_order_relaxed);
	return m->snapshot;
}

struct tl_snapshot *tl_snapshot_get(struct tl_snapshot *s)
{
	(void)atomic_fetch_add_explicit(&s->users, 1, memory_order_relaxed);
	return s;
}

void tl_snapshot_put(struct tl_snapshot *s)
{
	if (s == NULL || atomic_fetch_sub_explicit(&s->users, 1, memory_order_acq_rel) != 1)
		return;
	while (s->chunks != NULL) {
		struct chunk *next = s->chunks->next;
		free(s->chunks);
		s->chunks = next;
	}
	for (uint32_t i = 0; i < s->points_count; i++)
		tl_points_put(s->points[i]);
	free(s->points);
	free(s->samples);
	free(s);
}

// ---- Reading -----------------------------------------------------------------------------------

uint64_t tl_snapshot_time(const struct tl_snapshot *s)
{
	return s->time_ns;
}

uint32_t tl_snapshot_count(const struct tl_snapshot *s)
{
	return s->count;
}

const struct tl_sample *tl_snapshot_at(const struct tl_snapshot *s, uint32_t index)
{
	TL_ASSERT(index < s->count);
	return &s->samples[index];
}

static bool has_labels(const struct tl_sample *sample, const char *labels)
{
	for (uint32_t i = 0; i < sample->label_count; i++) {
		size_t len = strlen(sample->labels[i].name);
		if (i != 0 && *labels++ != ',')
			return false;
		if (strncmp(labels, sample->labels[i].name, len) != 0 ||
		    strncmp(labels + len, "=\"", 2) != 0)
			return false;
		labels += len + 2;
		for (const char *value = sample->labels[i].value; *value != 0; value++) {
			char plain = *value == '\n' ? 'n' : *value;
			if ((*value == '\n' || *value == '"' || *value == '\\') &&
			    *labels++ != '\\')
				return false;
			if (*labels++ != plain)
				return false;
		}
		if (*labels++ != '"')
			return false;
	}
	return *labels == 0;
}

double tl_snapshot_value(const struct tl_snapshot *s, const char *family, const char *labels)
{
	uint32_t low = 0, high = s->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (strcmp(s->samples[middle].family, family) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < s->count && strcmp(s->samples[low].family, family) == 0; low++)
		if (has_labels(&s->samples[low], labels))
			return s->samples[low].value;
	return 0;
}

double tl_histogram_quantile(const struct tl_histogram_value *h, double q)
{
	if (h == NULL || h->count == 0 || isnan(q))
		return (double)NAN;
	double rank = q * (double)h->count, below = 0;
	for (uint32_t i = 0; i < h->bucket_count; i++) {
		double count = (double)h->buckets[i].count;
		double start = tl_vmrange_start(h->buckets[i].index);
		double end = tl_vmrange_end(h->buckets[i].index);
		if (below + count < rank && i + 1 < h->bucket_count) {
			below += count;
			continue;
		}
		if (isinf(end))
			return start;
		double part = (rank - below) / count;
		return start + (end - start) * (part < 0 ? 0 : part > 1 ? 1 : part);
	}
	return (double)NAN;
}
