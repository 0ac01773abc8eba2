// SPDX-License-Identifier: Apache-2.0
// Text of others in JSON. jansson takes valid UTF-8 only, and makes nothing of an object whose
// format (json_pack) has other text in it; what was given with "o" is freed all the same. Names of
// tasks and files, of hosts and containers, and what peers answered may be any bytes, or be cut
// within a character. Any thread but workers.
#pragma once

#include "base/text.h"

#include <jansson.h>
#include <string.h>

// A string of the bytes, each that is no UTF-8 replaced by U+FFFD.
static inline json_t *tl_bytes_as_json(struct tl_bytes bytes)
{
	struct tl_text clean = {0};

	tl_text_puts(&clean, ""); // also an empty one is a string
	tl_text_utf8(&clean, bytes, false);
	json_t *string = json_stringn(clean.data, clean.len);
	tl_text_free(&clean);
	return string;
}

static inline json_t *tl_text_as_json(const char *text)
{
	return tl_bytes_as_json(tl_bytes_of(text));
}

// Of a place of `size` bytes that the text may fill.
static inline json_t *tl_place_as_json(const char *text, size_t size)
{
	return tl_bytes_as_json(tl_bytes(text, (uint32_t)strnlen(text, size)));
}
