// SPDX-License-Identifier: Apache-2.0
#include "exporters/http_sink/batch.h"

#include "base/clock.h"

void tl_http_batch_init(struct tl_http_batch *batch, struct tl_http_sink *sink, uint64_t count_max)
{
	*batch = (struct tl_http_batch) {
		.sink = sink, .count_max = count_max, .last = &batch->first};
}

void tl_http_batch_submit(struct tl_http_batch *batch)
{
	struct tl_http_item *first = batch->first;
	uint32_t count = batch->count;
	uint64_t bytes = batch->bytes;

	if (first == NULL)
		return;
	tl_http_batch_init(batch, batch->sink, batch->count_max);
	(void)tl_http_sink_submit(batch->sink, first, count, bytes); // a full inbox is counted there
}

void tl_http_batch_add(struct tl_http_batch *batch, struct tl_http_item *item, uint64_t bytes)
{
	item->next = NULL;
	*batch->last = item;
	batch->last = &item->next;
	batch->bytes += bytes;
	if (batch->count++ == 0)
		batch->due_ns = tl_clock_ns(CLOCK_MONOTONIC) + TL_HTTP_BATCH_NS;
	if (batch->count >= batch->count_max || batch->bytes >= TL_HTTP_BATCH_BYTES)
		tl_http_batch_submit(batch);
}

void tl_http_batch_flush(struct tl_http_batch *batch, uint64_t deadline_ns)
{
	if (batch->first != NULL && tl_clock_ns(CLOCK_MONOTONIC) >= batch->due_ns)
		tl_http_batch_submit(batch);
	(void)tl_http_sink_flush(batch->sink, deadline_ns);
}
