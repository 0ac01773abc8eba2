// SPDX-License-Identifier: Apache-2.0
// The parts of a line of JSON, written straight into a text: for records, of which there may be
// hundreds of thousands a second. All else that is JSON goes through the library (jansson), whose way
// of writing this is (docs/adr/0004).
#pragma once

#include "base/text.h"

// What stands there as it is: with a literal the compiler knows its length.
static inline void tl_json_raw(struct tl_text *text, const char *literal)
{
	size_t len = strlen(literal);
	char *at = tl_text_room(text, len);

	memcpy(at, literal, len);
	tl_text_took(text, at + len);
}

// A string with its quotes, as valid UTF-8 like tl_text_utf8().
void tl_json_string(struct tl_text *text, struct tl_bytes bytes, bool is_cut);
// `"name":`, in front of a member's value. For names of ours, which need no escapes.
void tl_json_key(struct tl_text *text, const char *name);
