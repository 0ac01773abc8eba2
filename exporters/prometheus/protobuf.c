// SPDX-License-Identifier: Apache-2.0
// Written straight into the text: the messages are few and plain, and trees of structs for each
// of 100,000 series would be most of the work.
#include "exporters/prometheus/protobuf.h"

#include "base/check.h"
#include "metrics/vmrange.h"

#include <string.h>

#define VARINT_BYTES_MAX 10u
#define HOLE_MAX 2 // empty buckets that cost less as zeros than as a span of their own
#define BUCKETS_MAX (TL_VMRANGE_COUNT * (HOLE_MAX + 1))

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2 };
enum { TYPE_COUNTER = 0, TYPE_GAUGE = 1, TYPE_UNTYPED = 3, TYPE_HISTOGRAM = 4 };
enum { FAMILY_NAME = 1, FAMILY_HELP = 2, FAMILY_TYPE = 3, FAMILY_METRIC = 4, FAMILY_UNIT = 5 };
enum {
	METRIC_LABEL = 1, METRIC_GAUGE = 2, METRIC_COUNTER = 3, METRIC_UNTYPED = 5, METRIC_HISTOGRAM = 7
};
enum { LABEL_NAME = 1, LABEL_VALUE = 2 };
enum { VALUE = 1, COUNTER_EXEMPLAR = 2, COUNTER_CREATED = 3 };
enum { EXEMPLAR_LABEL = 1, EXEMPLAR_VALUE = 2, EXEMPLAR_TIME = 3 };
enum { TIME_SECONDS = 1, TIME_NANOS = 2 };
enum {
	HISTOGRAM_COUNT = 1, HISTOGRAM_SUM = 2, HISTOGRAM_SCHEMA = 5, HISTOGRAM_ZERO_THRESHOLD = 6,
	HISTOGRAM_ZERO_COUNT = 7, HISTOGRAM_SPAN = 12, HISTOGRAM_DELTA = 13, HISTOGRAM_CREATED = 15,
	HISTOGRAM_EXEMPLAR = 16
};
enum { SPAN_OFFSET = 1, SPAN_LENGTH = 2 };

static uint32_t encode_varint(uint64_t value, uint8_t ret[VARINT_BYTES_MAX])
{
	uint32_t len = 0;

	for (; value >= 0x80; value >>= 7)
		ret[len++] = (uint8_t)(value | 0x80);
	ret[len++] = (uint8_t)value;
	return len;
}

static void put_varint(struct tl_text *text, uint64_t value)
{
	uint8_t bytes[VARINT_BYTES_MAX];

	tl_text_add(text, bytes, encode_varint(value, bytes));
}

static void put_key(struct tl_text *text, uint32_t field, uint32_t wire)
{
	put_varint(text, field << 3 | wire);
}

static void put_uint(struct tl_text *text, uint32_t field, uint64_t value)
{
	put_key(text, field, WIRE_VARINT);
	put_varint(text, value);
}

static uint64_t zigzag(int64_t value)
{
	return value < 0 ? ~((uint64_t)value << 1) : (uint64_t)value << 1;
}

static void put_double(struct tl_text *text, uint32_t field, double value)
{
	put_key(text, field, WIRE_FIXED64);
	tl_text_add(text, &value, sizeof(value));
}

static void put_string(struct tl_text *text, uint32_t field, const char *value)
{
	size_t len = strlen(value);

	put_key(text, field, WIRE_BYTES);
	put_varint(text, len);
	tl_text_add(text, value, len);
}

// A message's length stands in front of it and is known behind it.
static void put_length(struct tl_text *text, size_t begin)
{
	uint8_t bytes[VARINT_BYTES_MAX];
	size_t len = text->len - begin;
	uint32_t head = encode_varint(len, bytes);

	tl_text_add(text, bytes, head);
	memmove(text->data + begin + head, text->data + begin, len);
	memcpy(text->data + begin, bytes, head);
}

static size_t begin_message(struct tl_text *text, uint32_t field)
{
	put_key(text, field, WIRE_BYTES);
	return text->len;
}

static void put_time(struct tl_text *text, uint32_t field, uint64_t ns)
{
	size_t begin = begin_message(text, field);

	put_uint(text, TIME_SECONDS, ns / 1000000000);
	put_uint(text, TIME_NANOS, ns % 1000000000);
	put_length(text, begin);
}

static void put_label(struct tl_text *text, uint32_t field, const char *name, const char *value)
{
	size_t begin = begin_message(text, field);

	put_string(text, LABEL_NAME, name);
	put_string(text, LABEL_VALUE, value);
	put_length(text, begin);
}

static void put_exemplar(struct tl_text *text, uint32_t field, const struct tl_sample *sample)
{
	static const char digits[] = "0123456789abcdef";
	static const uint8_t none[16];
	char id[2 * sizeof(none) + 1] = "";

	if (memcmp(sample->exemplar_trace_id, none, sizeof(none)) == 0)
		return;
	for (uint32_t i = 0; i < sizeof(none); i++) {
		id[2 * i] = digits[sample->exemplar_trace_id[i] >> 4];
		id[2 * i + 1] = digits[sample->exemplar_trace_id[i] & 15];
	}
	size_t begin = begin_message(text, field);
	put_label(text, EXEMPLAR_LABEL, "trace_id", id);
	put_double(text, EXEMPLAR_VALUE, sample->exemplar_value);
	put_time(text, EXEMPLAR_TIME, sample->exemplar_ns);
	put_length(text, begin);
}

// ---- Histograms --------------------------------------------------------------------------------

// The buckets above zero, in runs: `count` of them from `index` on.
struct run {
	int32_t index;
	uint32_t count;
};

struct buckets {
	struct run runs[TL_VMRANGE_COUNT];
	uint64_t counts[BUCKETS_MAX]; // of all runs, one behind the other
	uint32_t run_count, count;
};

static void add_bucket(struct buckets *b, int32_t index, uint64_t count)
{
	struct run *run = b->run_count == 0 ? NULL : &b->runs[b->run_count - 1];
	int32_t hole = run == NULL ? INT32_MAX : index - run->index - (int32_t)run->count;

	if (hole < 0) { // two vmrange buckets in one
		b->counts[b->count - 1] += count;
		return;
	}
	if (hole > HOLE_MAX) {
		run = &b->runs[b->run_count++];
		*run = (struct run) {.index = index};
		hole = 0;
	}
	TL_ASSERT(b->count + (uint32_t)hole < BUCKETS_MAX);
	for (; hole > 0; hole--, run->count++)
		b->counts[b->count++] = 0;
	b->counts[b->count++] = count;
	run->count++;
}

static void put_buckets(struct tl_text *text, const struct tl_histogram_value *h)
{
	struct buckets b;
	int32_t end = 0;
	uint64_t before = 0;

	b.run_count = b.count = 0;
	for (uint32_t i = 0; i < h->bucket_count; i++)
		// A bucket here is closed above, and numbered by that end.
		if (h->buckets[i].index != TL_VMRANGE_LOWER)
			add_bucket(&b, tl_vmrange_exponential(h->buckets[i].index) + 1,
				   h->buckets[i].count);
	for (uint32_t i = 0; i < b.run_count; i++) {
		size_t begin = begin_message(text, HISTOGRAM_SPAN);
		put_uint(text, SPAN_OFFSET, zigzag(b.runs[i].index - end));
		put_uint(text, SPAN_LENGTH, b.runs[i].count);
		put_length(text, begin);
		end = b.runs[i].index + (int32_t)b.runs[i].count;
	}
	if (b.count == 0)
		return;
	size_t begin = begin_message(text, HISTOGRAM_DELTA);
	for (uint32_t i = 0; i < b.count; i++) {
		put_varint(text, zigzag((int64_t)(b.counts[i] - before)));
		before = b.counts[i];
	}
	put_length(text, begin);
}

static void put_histogram(struct tl_text *text, const struct tl_sample *sample)
{
	const struct tl_histogram_value *h = sample->histogram;
	bool has_zero = h->bucket_count != 0 && h->buckets[0].index == TL_VMRANGE_LOWER;

	put_uint(text, HISTOGRAM_COUNT, h->count);
	put_double(text, HISTOGRAM_SUM, h->sum);
	put_uint(text, HISTOGRAM_SCHEMA, zigzag(TL_VMRANGE_SCALE));
	put_double(text, HISTOGRAM_ZERO_THRESHOLD, tl_vmrange_end(TL_VMRANGE_LOWER));
	put_uint(text, HISTOGRAM_ZERO_COUNT, has_zero ? h->buckets[0].count : 0);
	put_buckets(text, h);
	if (sample->created_ns != 0)
		put_time(text, HISTOGRAM_CREATED, sample->created_ns);
	put_exemplar(text, HISTOGRAM_EXEMPLAR, sample);
}

// ---- Families ----------------------------------------------------------------------------------

// As in the text: packetd's counters that are not called _total are of no known type.
static uint32_t type_of(const struct tl_sample *sample)
{
	size_t len = strlen(sample->family);
	bool is_total = len > 6 && strcmp(sample->family + len - 6, "_total") == 0;

	if (sample->type == TL_METRIC_HISTOGRAM)
		return TYPE_HISTOGRAM;
	if (sample->type == TL_METRIC_GAUGE)
		return TYPE_GAUGE;
	return is_total ? TYPE_COUNTER : TYPE_UNTYPED;
}

static void put_metric(struct tl_text *text, const struct tl_sample *sample, uint32_t type)
{
	static const uint32_t fields[] = {[TYPE_COUNTER] = METRIC_COUNTER, [TYPE_GAUGE] = METRIC_GAUGE,
					  [TYPE_UNTYPED] = METRIC_UNTYPED,
					  [TYPE_HISTOGRAM] = METRIC_HISTOGRAM};
	size_t metric = begin_message(text, FAMILY_METRIC);

	for (uint32_t i = 0; i < sample->label_count; i++)
		put_label(text, METRIC_LABEL, sample->labels[i].name, sample->labels[i].value);
	size_t value = begin_message(text, fields[type]);
	if (type == TYPE_HISTOGRAM)
		put_histogram(text, sample);
	else
		put_double(text, VALUE, sample->value);
	if (type == TYPE_COUNTER) {
		put_exemplar(text, COUNTER_EXEMPLAR, sample);
		if (sample->created_ns != 0)
			put_time(text, COUNTER_CREATED, sample->created_ns);
	}
	put_length(text, value);
	put_length(text, metric);
}

void tl_prometheus_put_family(struct tl_text *text, const struct tl_snapshot *snapshot, uint32_t from,
			      uint32_t to)
{
	const struct tl_sample *first = tl_snapshot_at(snapshot, from);
	uint32_t type = type_of(first);
	size_t begin = text->len;

	put_string(text, FAMILY_NAME, first->family);
	put_string(text, FAMILY_HELP, first->help);
	put_uint(text, FAMILY_TYPE, type);
	for (uint32_t i = from; i < to; i++)
		put_metric(text, tl_snapshot_at(snapshot, i), type);
	if (first->unit[0] != '\0')
		put_string(text, FAMILY_UNIT, first->unit);
	put_length(text, begin);
}
