// SPDX-License-Identifier: Apache-2.0
// Texts made of a record's field values: names and attributes of spans (struct tl_span_attribute
// of l7/decoder.h says what a template is). Control lcore or a thread that owns the record.
#pragma once

#include "base/text.h"
#include "exporters/exporter.h"

// Appends. False, and nothing is appended, when a field of the template has no value.
bool tl_record_template(struct tl_text *text, const char *template,
			const struct tl_roundtrip *record);
// The first value of the field `name` in the request, else in the response. False: none.
bool tl_record_value(const struct tl_roundtrip *record, const char *name,
		     const struct tl_field **ret_field, struct tl_value *ret_value);
// Appends one value as text.
void tl_record_value_text(struct tl_text *text, const struct tl_field *field,
			  const struct tl_value *value);
