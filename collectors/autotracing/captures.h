// SPDX-License-Identifier: Apache-2.0
// What all autotracing collectors share: how many captures there may be in an hour, what became of
// them, and their way to the store. Everything but the counters belongs to the tracer's thread.
#pragma once

#include <jansson.h>
#include <stdatomic.h>

#include "collectors/collector.h"

struct tl_captures {
	const char *tracer;
	_Atomic uint64_t saved, limited, failed;
	double left;        // captures that are still within the limit
	uint64_t filled_ns; // when that was computed last, 0: never
};

// A hot option of a collector: TL_HOT(struct dload_options, threshold, TL_OPTION_UINT, "5", ...)
// is the row of its member.
#define TL_HOT(options, member, row_type, default_value, ...) \
	{.key = #member, .type = row_type, .hot = true, .offset = offsetof(options, member), \
	 .value = default_value, __VA_ARGS__}
// The rows that all have.
#define TL_HOT_COMMON(options) TL_HOT_HELD_OFF(options, "30m")
#define TL_HOT_HELD_OFF(options, default_value) \
	TL_HOT(options, hold_off, TL_OPTION_DURATION, default_value, \
	       .help = "Time after a capture in which the same subject causes no other."), \
	TL_HOT(options, limit, TL_OPTION_UINT, "20", .max = 100000, \
	       .help = "Captures in an hour. 0 is no limit.")

// Whether one more capture is within `per_hour` (0: no limit); takes it, or counts it as limited.
bool tl_captures_may(struct tl_captures *captures, uint64_t per_hour);
// Stores the object `data` (taken; NULL is no memory) and counts it. 0 or -errno of the store.
int tl_captures_save(struct tl_captures *captures, const char *container_id, json_t *data);
// The counters captures_total, limited_total and failures_total.
void tl_captures_emit(const struct tl_captures *captures, struct tl_emit *emit);
