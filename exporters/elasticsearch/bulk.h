// SPDX-License-Identifier: Apache-2.0
// Inside the exporter `elasticsearch`: documents and the answers of _bulk. Helper thread.
#pragma once

#include "base/text.h"
#include "exporters/http_sink/http_sink.h"
#include "exporters/record/copy.h"

#define TL_BULK_ITEMS_MAX 10000u // of one request

// Appends the document of a roundtrip as one line: the fields of the Elastic Common Schema (8.x)
// by the attributes of the field tables, everything else below tapline.*.
void tl_bulk_roundtrip(struct tl_text *text, const struct tl_roundtrip_signal *signal);
// Of an event: `json` is what the store keeps; its tracer_data stays one object.
void tl_bulk_event(struct tl_text *text, const struct tl_event *event, const char *probe);

// Sorts the items of an answer: delivered (also 409, a document that is there already), to be sent
// again (429, 5xx, a block of the cluster: its two lines are appended to `again`, counted in
// `again_items`), refused for good. An answer that can't be read, or was cut, leaves all items to be
// sent again.
struct tl_bulk_outcome {
	uint32_t delivered, rejected, again_items;
	bool is_too_large; // the answer has more values than will be read
	char message[120]; // the first failure, "" without one
};
void tl_bulk_judge(struct tl_bytes payload, uint32_t items, struct tl_bytes reply,
		   struct tl_text *ret_again, struct tl_bulk_outcome *ret_outcome);
// The first half of the items' lines; 0 when there is only one item.
uint32_t tl_bulk_half(struct tl_bytes payload, uint32_t items);
