// SPDX-License-Identifier: Apache-2.0
// Signals that come one by one (spans, records, events) become jobs of many: they wait here until
// there are enough of them, they take TL_HTTP_BATCH_BYTES, or the first has waited
// TL_HTTP_BATCH_NS. Control lcore.
#pragma once

#include "exporters/http_sink/http_sink.h"

#define TL_HTTP_BATCH_NS UINT64_C(1000000000)
#define TL_HTTP_BATCH_BYTES (8u << 20)
// Of a sink that is fed by batches: what its helper thread may be behind.
#define TL_HTTP_BATCH_JOBS 64u
#define TL_HTTP_BATCH_JOBS_BYTES (64u << 20)

// Begins what an exporter gathers. A job, as encode() and discard() get it, is the first of a list.
struct tl_http_item {
	struct tl_http_item *next;
};

struct tl_http_batch {
	struct tl_http_sink *sink;
	uint64_t count_max;
	struct tl_http_item *first, **last;
	uint32_t count;
	uint64_t bytes;
	uint64_t due_ns; // CLOCK_MONOTONIC, of the first
};

void tl_http_batch_init(struct tl_http_batch *batch, struct tl_http_sink *sink, uint64_t count_max);
// Takes `item` over; `bytes` is the memory that it takes.
void tl_http_batch_add(struct tl_http_batch *batch, struct tl_http_item *item, uint64_t bytes);
// Hands over what is there, whether it is due or not.
void tl_http_batch_submit(struct tl_http_batch *batch);
// tl_exporter.flush of a sink with a batch: hands over what is due, then as tl_http_sink_flush.
void tl_http_batch_flush(struct tl_http_batch *batch, uint64_t deadline_ns);
