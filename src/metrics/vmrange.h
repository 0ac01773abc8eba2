// SPDX-License-Identifier: Apache-2.0
// The vmrange histogram: 18 buckets per decade from 1e-9 to 1e18, each open below and closed above,
// plus one below all and one above all. Boundaries and label texts are those of the histogram in
// github.com/VictoriaMetrics/metrics, so that series of both add up.
//
// A bucket's number is 0 for the lower one, 1..486, and 487 for the upper one.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TL_VMRANGE_PER_DECADE 18u
#define TL_VMRANGE_DECADES 27u
#define TL_VMRANGE_LOWER 0u
#define TL_VMRANGE_UPPER (TL_VMRANGE_PER_DECADE * TL_VMRANGE_DECADES + 1)
#define TL_VMRANGE_COUNT (TL_VMRANGE_UPPER + 1)
#define TL_VMRANGE_ONE (9 * TL_VMRANGE_PER_DECADE) // the bucket that ends at 1.0
#define TL_VMRANGE_LABEL_SIZE 24u // longest label text with its NUL, rounded up

// The bucket of `ns` nanoseconds, measured in seconds. Integers only: no libm on the hot path.
uint32_t tl_vmrange_of_ns(uint64_t ns);

// The bucket of a whole number of something: bytes, rows.
uint32_t tl_vmrange_of_count(uint64_t count);

// The bounds of a bucket as numbers: 0 below the lower bucket, INFINITY above the upper one.
double tl_vmrange_start(uint32_t bucket);
double tl_vmrange_end(uint32_t bucket);

// The bucket of an exponential histogram of 2^TL_VMRANGE_SCALE buckets per power of two (about 27 per
// decade) that holds the middle of a vmrange bucket: n is open at 2^(n/8), closed at 2^((n+1)/8).
// Quantiles move by less than a vmrange bucket. Not of the lower bucket.
#define TL_VMRANGE_SCALE 3
int32_t tl_vmrange_exponential(uint32_t bucket);

// The value of the label `vmrange`: "8.799e-01...1.000e+00". Static. Any thread.
const char *tl_vmrange_label(uint32_t bucket);
