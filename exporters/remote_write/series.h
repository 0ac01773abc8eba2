// SPDX-License-Identifier: Apache-2.0
// What has to be told after a picture of the metrics, compared with the one told before: the
// series of the new one, those that begin with it and those that ended with the old one.
#pragma once

#include "metrics/metrics.h"

enum tl_series_state {
	TL_SERIES_NEW,     // not in the picture before
	TL_SERIES_PRESENT,
	TL_SERIES_ENDED,   // only in the picture before; the value means nothing
};

// One series as remote write has it: name, the sample's labels, perhaps one more.
struct tl_series_point {
	const struct tl_sample *sample;
	const char *suffix;      // of the family's name: "", "_bucket", "_sum", "_count"
	const char *extra_name;  // "vmrange", "le" or NULL
	const char *extra_value;
	double value;
	uint8_t state;           // enum tl_series_state
	bool is_counter;         // goes up from 0
};

typedef void tl_series_fn(void *arg, const struct tl_series_point *point);

struct tl_series_options {
	uint32_t histogram; // TL_HISTOGRAM_VMRANGE or TL_HISTOGRAM_LE
	bool with_self;     // the probe's own metrics too
	const struct tl_real_list *le_seconds, *le_bytes;
};

// The times of two rounds. They only go forward, also over a restart and when the clock is set
// back: what is older than a sample before would be refused together with all that is in its
// request. Zero-initialised to begin with.
struct tl_series_times {
	int64_t before_ms; // of the round before, where the 0 of a new series lies
	int64_t now_ms;    // of this one; what ended lies one ms before it
};

// Begins a round at wall time `wall_ms`. `last_ms` is the newest time of an earlier run, 0 for
// none; it only matters in the first round, whose predecessor is made up. False: the clock stands
// too early, and the time was held.
bool tl_series_next_round(struct tl_series_times *times, int64_t wall_ms, int64_t interval_ms,
			  int64_t last_ms);

// Either picture may be NULL: nothing before, nothing any more.
void tl_series_compare(const struct tl_snapshot *before, const struct tl_snapshot *now,
		       const struct tl_series_options *options, tl_series_fn *fn, void *arg);
