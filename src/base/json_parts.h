// SPDX-License-Identifier: Apache-2.0
// JSON from elsewhere, before it is parsed: a text of small values takes many times its size as a tree
// (RFC 8259; jansson needs up to 300 bytes for each value).
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Whether `text` has at most `parts_max` values, as far as can be told without reading strings: commas
// and brackets in them count, too.
static inline bool tl_json_is_within(const char *text, size_t len, size_t parts_max)
{
	size_t parts = 0;

	for (size_t i = 0; i < len && parts <= parts_max; i++)
		parts += text[i] == '{' || text[i] == '[' || text[i] == ',';
	return parts <= parts_max;
}
