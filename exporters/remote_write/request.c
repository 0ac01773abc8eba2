// SPDX-License-Identifier: Apache-2.0
#include "exporters/remote_write/request.h"

#include "remote.pb-c.h"

#include "base/check.h"

#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

#define STALE_BITS UINT64_C(0x7ff0000000000002)
#define SAMPLES_MAX 4u                  // of one series in one call
#define UNPACKED_BYTES_MAX (256u << 20) // of a payload that is split

double tl_write_stale_marker(void)
{
	uint64_t bits = STALE_BITS;
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

void tl_write_request_fini(struct tl_write_request *request)
{
	tl_text_free(&request->body);
}

static void append(struct tl_write_request *request, const Prometheus__WriteRequest *part)
{
	// Messages of one type that stand behind one another are one message (protobuf's law of
	// merging): so a request grows without being held as a tree.
	struct tl_text *body = &request->body;
	size_t size = prometheus__write_request__get_packed_size(part);

	if (body->capacity - body->len < size + 1) {
		static const uint8_t zeros[4096];
		size_t len = body->len;
		for (size_t left = size; left != 0;) { // makes room by appending
			size_t step = left < sizeof(zeros) ? left : sizeof(zeros);
			tl_text_add(body, zeros, step);
			left -= step;
		}
		body->len = len;
	}
	body->len += prometheus__write_request__pack(part, (uint8_t *)body->data + body->len);
}

static uint32_t sort_labels(struct tl_write_label *labels, uint32_t count)
{
	uint32_t kept = 0;

	// Stable, so that the first of a name stays.
	for (uint32_t i = 1; i < count; i++) {
		struct tl_write_label label = labels[i];
		uint32_t k = i;
		for (; k > 0 && strcmp(labels[k - 1].name, label.name) > 0; k--)
			labels[k] = labels[k - 1];
		labels[k] = label;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (labels[i].value[0] == '\0' ||
		    (kept != 0 && strcmp(labels[kept - 1].name, labels[i].name) == 0))
			continue;
		labels[kept++] = labels[i];
	}
	return kept;
}

void tl_write_request_series(struct tl_write_request *request, struct tl_write_label *labels,
			     uint32_t label_count, const struct tl_write_sample *samples,
			     uint32_t sample_count)
{
	Prometheus__Label label_messages[TL_WRITE_LABELS_MAX], *label_list[TL_WRITE_LABELS_MAX];
	Prometheus__Sample sample_messages[SAMPLES_MAX], *sample_list[SAMPLES_MAX];
	Prometheus__TimeSeries series = PROMETHEUS__TIME_SERIES__INIT, *series_list = &series;
	Prometheus__WriteRequest part = PROMETHEUS__WRITE_REQUEST__INIT;

	TL_ASSERT(sample_count > 0 && sample_count <= SAMPLES_MAX &&
		  label_count <= TL_WRITE_LABELS_MAX);
	label_count = sort_labels(labels, label_count);
	for (uint32_t i = 0; i < label_count; i++) {
		prometheus__label__init(&label_messages[i]);
		// protobuf-c only reads them.
		label_messages[i].name = (char *)(uintptr_t)labels[i].name;
		label_messages[i].value = (char *)(uintptr_t)labels[i].value;
		label_list[i] = &label_messages[i];
	}
	for (uint32_t i = 0; i < sample_count; i++) {
		prometheus__sample__init(&sample_messages[i]);
		// Copied as bytes: the stale marker is a NaN that must not be touched.
		memcpy(&sample_messages[i].value, &samples[i].value, sizeof(double));
		sample_messages[i].timestamp = samples[i].time_ms;
		sample_list[i] = &sample_messages[i];
	}
	series.n_labels = label_count;
	series.labels = label_list;
	series.n_samples = sample_count;
	series.samples = sample_list;
	part.n_timeseries = 1;
	part.timeseries = &series_list;
	append(request, &part);
	request->samples += sample_count;
	if (samples[sample_count - 1].time_ms > request->last_ms)
		request->last_ms = samples[sample_count - 1].time_ms;
}

void tl_write_request_metadata(struct tl_write_request *request, const char *family, int type,
			       const char *help, const char *unit)
{
	Prometheus__MetricMetadata metadata = PROMETHEUS__METRIC_METADATA__INIT;
	Prometheus__MetricMetadata *list = &metadata;
	Prometheus__WriteRequest part = PROMETHEUS__WRITE_REQUEST__INIT;

	metadata.type = (Prometheus__MetricMetadata__MetricType)type;
	metadata.metric_family_name = (char *)(uintptr_t)family;
	metadata.help = (char *)(uintptr_t)help;
	metadata.unit = (char *)(uintptr_t)unit;
	part.n_metadata = 1;
	part.metadata = &list;
	append(request, &part);
}

// Makes room in `text` for `size` bytes behind what it holds.
static void compress(struct tl_bytes input, struct tl_text *output)
{
	size_t size = snappy_max_compressed_length(input.len);

	// snappy writes into memory that it is given whole.
	char *memory = malloc(size);
	TL_ASSERT(memory != NULL && "out of memory");
	(void)snappy_compress((const char *)input.ptr, input.len, memory, &size);
	tl_text_add(output, memory, size);
	free(memory);
}

void tl_write_request_finish(struct tl_write_request *request, struct tl_text *ret_payload)
{
	tl_text_clear(ret_payload);
	compress(tl_bytes(request->body.data, (uint32_t)request->body.len), ret_payload);
	tl_text_clear(&request->body);
	request->samples = 0;
	request->last_ms = 0;
}

// ---- Splitting ---------------------------------------------------------------------------------

static void add_half(Prometheus__WriteRequest *whole, size_t from, size_t to,
		     struct tl_http_pieces *pieces)
{
	Prometheus__WriteRequest half = PROMETHEUS__WRITE_REQUEST__INIT;
	struct tl_text payload = {0};
	size_t items = 0;

	half.n_timeseries = to - from;
	half.timeseries = whole->timeseries + from;
	for (size_t i = from; i < to; i++)
		items += whole->timeseries[i]->n_samples;
	size_t size = prometheus__write_request__get_packed_size(&half);
	uint8_t *body = malloc(size != 0 ? size : 1);
	TL_ASSERT(body != NULL && "out of memory");
	(void)prometheus__write_request__pack(&half, body);
	compress(tl_bytes(body, (uint32_t)size), &payload);
	tl_http_pieces_add(pieces, tl_bytes(payload.data, (uint32_t)payload.len), (uint32_t)items);
	free(body);
	tl_text_free(&payload);
}

bool tl_write_request_split(struct tl_bytes payload, struct tl_http_pieces *pieces)
{
	size_t size = 0;

	if (snappy_uncompressed_length((const char *)payload.ptr, payload.len, &size) != SNAPPY_OK ||
	    size > UNPACKED_BYTES_MAX)
		return false;
	char *body = malloc(size != 0 ? size : 1);
	TL_ASSERT(body != NULL && "out of memory");
	Prometheus__WriteRequest *whole = NULL;
	if (snappy_uncompress((const char *)payload.ptr, payload.len, body, &size) == SNAPPY_OK)
		whole = prometheus__write_request__unpack(NULL, size, (const uint8_t *)body);
	free(body);
	bool can = whole != NULL && whole->n_timeseries >= 2;
	if (can) {
		size_t middle = whole->n_timeseries / 2;
		add_half(whole, 0, middle, pieces);
		add_half(whole, middle, whole->n_timeseries, pieces);
	}
	prometheus__write_request__free_unpacked(whole, NULL);
	return can;
}
