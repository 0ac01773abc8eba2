// SPDX-License-Identifier: Apache-2.0
// A roundtrip as people and programs read it: the JSON object and the text line. Both are made
// from the protocol's field table; nothing here knows a protocol. Control lcore.
#pragma once

#include "base/text.h"
#include "exporters/exporter.h"

#define TL_RECORD_SCHEMA "1" // "schema" of the JSON record

// Appends the record as a JSON object. False on no memory (nothing is appended).
bool tl_record_json(struct tl_text *text, const struct tl_roundtrip_signal *signal, bool verbose);

// The same as a line.
bool tl_record_json_line(struct tl_text *text, const struct tl_roundtrip_signal *signal,
			 bool verbose);

// Appends one line for a terminal: time, protocol, endpoints, request, answer, size, duration.
// `slow_ns`: durations from here on stand out (0: none do).
void tl_record_text_line(struct tl_text *text, const struct tl_roundtrip_signal *signal,
			 bool with_colour, uint64_t slow_ns);
