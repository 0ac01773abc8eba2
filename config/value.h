// SPDX-License-Identifier: Apache-2.0
// Sizes, durations and plain numbers as people write them; shared by the configuration and the
// command line. Pure functions.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TL_VALUE_TEXT_BYTES 32u // room for any printed size or duration

// Each returns false, and leaves *ret alone, when `text` isn't one or doesn't fit into 64 bits.
bool tl_parse_uint(const char *text, uint64_t *ret);
// "64MiB", "10kB", "1.5GB", "4096". k, M, G, T are powers of 1000, Ki, Mi, Gi, Ti of 1024.
bool tl_parse_size(const char *text, uint64_t *ret_bytes);
// "30s", "100ms", "1.5h", "1h30m", "7d", "0". Any other number needs a unit.
bool tl_parse_duration(const char *text, uint64_t *ret_ns);
bool tl_parse_real(const char *text, double *ret);
// true, yes, on; false, no, off.
bool tl_parse_bool(const char *text, bool *ret);
// IPv4 or IPv6 address with an optional prefix length.
bool tl_parse_network(const char *text);

// In the largest unit that needs no fraction. `ret` has TL_VALUE_TEXT_BYTES; returns `ret`.
char *tl_format_size(uint64_t bytes, char *ret);
char *tl_format_duration(uint64_t ns, char *ret);

// The word of `words` (count of them, NULL entries skipped) that `word` was probably meant to
// be; NULL if none is near.
const char *tl_nearest(const char *word, const char *const *words, uint32_t count);
