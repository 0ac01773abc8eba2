// SPDX-License-Identifier: Apache-2.0
// Remote write 1.0 on the wire: series are gathered into a WriteRequest (protobuf) that is
// compressed as one snappy block.
// Source: prometheus.io/docs/specs/prw/remote_write_spec (1.0).
#pragma once

#include "base/text.h"
#include "exporters/http_sink/http_sink.h"

#define TL_WRITE_LABELS_MAX 64u // of one series; further ones are left out

struct tl_write_label {
	const char *name;
	const char *value;
};

struct tl_write_sample {
	double value;
	int64_t time_ms;
};

// Grows a request; zero-initialised to begin with.
struct tl_write_request {
	struct tl_text body; // protobuf, not compressed yet
	uint32_t samples;
	int64_t last_ms;     // newest time in it
};

void tl_write_request_fini(struct tl_write_request *request);
// Sorts `labels` by name (in place), leaves out those without a value and all but the first of a
// name. `samples` ascend in time.
void tl_write_request_series(struct tl_write_request *request, struct tl_write_label *labels,
			     uint32_t label_count, const struct tl_write_sample *samples,
			     uint32_t sample_count);
// `type` is of MetricMetadata.MetricType.
void tl_write_request_metadata(struct tl_write_request *request, const char *family, int type,
			       const char *help, const char *unit);
// The request as it is sent; empty again afterwards. The bytes belong to `ret_payload`, which the
// caller frees.
void tl_write_request_finish(struct tl_write_request *request, struct tl_text *ret_payload);
// Halves a payload by series; false when it holds fewer than two, or can't be read.
bool tl_write_request_split(struct tl_bytes payload, struct tl_http_pieces *pieces);

// The value that ends a series: a NaN of these bits, no other.
double tl_write_stale_marker(void);
