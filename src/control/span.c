// SPDX-License-Identifier: Apache-2.0
#include "control/span.h"

#include "base/hash.h"
#include "exporters/record/template.h"

#include <string.h>

static void set_ids(const struct tl_roundtrip_signal *signal, struct tl_span *span)
{
	const struct tl_trace *trace = &signal->record->trace;
	uint64_t word;

	memcpy(span->span_id, signal->names->span_id, sizeof(span->span_id));
	if ((trace->flags & TL_TRACE_PRESENT) != 0) {
		memcpy(span->trace_id, trace->trace_id, sizeof(span->trace_id));
		memcpy(span->parent_span_id, trace->parent_span_id, sizeof(span->parent_span_id));
		// Without a flag (b3 may leave it out) the decision is ours.
		span->is_sampled = (trace->flags & TL_TRACE_HAS_SAMPLED) == 0 ||
				   (trace->flags & TL_TRACE_SAMPLED) != 0;
		return;
	}
	// The record's id is unique over probes and runs: its hash names the trace.
	word = tl_hash64(signal->names->id, sizeof(signal->names->id), 1);
	memcpy(span->trace_id, &word, sizeof(word));
	word = tl_hash64(signal->names->id, sizeof(signal->names->id), 2) | 1;
	memcpy(span->trace_id + sizeof(word), &word, sizeof(word));
	span->is_sampled = true;
}

static bool is_error(uint8_t kind, uint8_t status)
{
	switch (status) {
	case TL_STATUS_OK:
	case TL_STATUS_ONE_WAY:
	case TL_STATUS_CANCELLED:
		return false;
	case TL_STATUS_CLIENT_ERROR: // not the fault of a server, by the semantic conventions
		return kind != TL_SPAN_SERVER;
	default:
		return true;
	}
}

// What a broker hands over on its own is the work of a consumer, in the conventions' words.
static uint8_t kind_of(const struct tl_span_rules *rules, const struct tl_roundtrip *record,
		       struct tl_text *scratch)
{
	if (rules == NULL)
		return TL_SPAN_SERVER;
	tl_text_clear(scratch);
	bool is_consumer = rules->consumer_if != NULL &&
			   tl_record_template(scratch, rules->consumer_if, record) &&
			   strcmp(scratch->data, rules->consumer_is) == 0;
	return is_consumer ? TL_SPAN_CONSUMER : rules->kind;
}

bool tl_span_make(const struct tl_roundtrip_signal *signal, struct tl_text *name,
		  struct tl_span *ret_span)
{
	const struct tl_roundtrip *record = signal->record;
	const struct tl_decoder *decoder = tl_decoder_at(record->protocol);

	if (decoder == NULL || record->request.seen == 0)
		return false;
	const struct tl_span_rules *rules = decoder->span;
	*ret_span = (struct tl_span) {
		.record = record,
		.names = signal->names,
		.kind = kind_of(rules, record, name),
		.start_ns = tl_roundtrip_time(record),
		.end_ns = tl_roundtrip_time(record) + record->duration_ns,
	};
	ret_span->is_error = is_error(ret_span->kind, record->status);
	set_ids(signal, ret_span);
	tl_text_clear(name);
	bool has_name = false;
	for (uint32_t i = 0; rules != NULL && !has_name && rules->names[i] != NULL; i++)
		has_name = tl_record_template(name, rules->names[i], record);
	if (!has_name)
		tl_text_puts(name, decoder->name);
	ret_span->name = name->data;
	return true;
}
