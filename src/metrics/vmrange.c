// SPDX-License-Identifier: Apache-2.0
#include "metrics/vmrange.h"

#include "base/check.h"
#include "vmrange_table.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

// Boundaries 10^(k/18), k = 0, 1, ..., that lie below `n`. A slot of vmrange_slots is narrower
// than the distance of two boundaries, so at most one of them lies inside it.
static inline uint32_t rank_of(uint64_t n)
{
	uint32_t slot = (uint32_t)n;

	if (n >= 16) {
		uint32_t shift = 59 - (uint32_t)__builtin_clzll(n);
		slot = shift * 16 + (uint32_t)(n >> shift);
	}
	uint32_t rank = vmrange_slots[slot];
	return rank + (n > vmrange_floors[rank]);
}

uint32_t tl_vmrange_of_ns(uint64_t ns)
{
	uint32_t rank = rank_of(ns);

	// The very first boundary belongs to the bucket above it: nothing but zero is below.
	return rank != 0 ? rank : ns != 0;
}

uint32_t tl_vmrange_of_count(uint64_t count)
{
	if (count == 0)
		return TL_VMRANGE_LOWER;
	uint32_t bucket = TL_VMRANGE_ONE + rank_of(count);
	return bucket < TL_VMRANGE_UPPER ? bucket : TL_VMRANGE_UPPER;
}

static char labels[TL_VMRANGE_COUNT][TL_VMRANGE_LABEL_SIZE];
static double ends[TL_VMRANGE_COUNT];
static pthread_once_t texts_once = PTHREAD_ONCE_INIT;

// The label texts come from repeated multiplication, rounding errors included: computed any other
// way, some would differ in the last digit and become other series.
static void make_texts(void)
{
	const double growth = pow(10, 1.0 / TL_VMRANGE_PER_DECADE);
	double value = 1e-9;
	char start[TL_VMRANGE_LABEL_SIZE], end[TL_VMRANGE_LABEL_SIZE];

	(void)snprintf(start, sizeof(start), "%.3e", value);
	(void)snprintf(labels[TL_VMRANGE_LOWER], TL_VMRANGE_LABEL_SIZE, "0...%.9s", start);
	ends[TL_VMRANGE_LOWER] = value;
	for (uint32_t i = 1; i < TL_VMRANGE_UPPER; i++) {
		value *= growth;
		(void)snprintf(end, sizeof(end), "%.3e", value);
		(void)snprintf(labels[i], TL_VMRANGE_LABEL_SIZE, "%.9s...%.9s", start, end);
		(void)snprintf(start, sizeof(start), "%.9s", end);
		// Numbers, unlike texts, are exact: decades are hit to the last bit.
		ends[i] = i % TL_VMRANGE_PER_DECADE == 0 ?
			strtod(end, NULL) : pow(10, (double)i / TL_VMRANGE_PER_DECADE - 9);
	}
	(void)snprintf(labels[TL_VMRANGE_UPPER], TL_VMRANGE_LABEL_SIZE, "%.9s...+Inf", start);
	ends[TL_VMRANGE_UPPER] = (double)INFINITY;
}

double tl_vmrange_end(uint32_t bucket)
{
	TL_ASSERT(bucket < TL_VMRANGE_COUNT);
	(void)pthread_once(&texts_once, make_texts);
	return ends[bucket];
}

double tl_vmrange_start(uint32_t bucket)
{
	return bucket == TL_VMRANGE_LOWER ? 0 : tl_vmrange_end(bucket - 1);
}

int32_t tl_vmrange_exponential(uint32_t bucket)
{
	double middle = bucket >= TL_VMRANGE_UPPER ?
		tl_vmrange_start(bucket) : sqrt(tl_vmrange_start(bucket) * tl_vmrange_end(bucket));

	return (int32_t)ceil(ldexp(log2(middle), TL_VMRANGE_SCALE)) - 1;
}

const char *tl_vmrange_label(uint32_t bucket)
{
	TL_ASSERT(bucket < TL_VMRANGE_COUNT);
	(void)pthread_once(&texts_once, make_texts);
	return labels[bucket];
}
