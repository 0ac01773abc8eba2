// SPDX-License-Identifier: Apache-2.0
// The closing words of `watch` and `stats`: what was seen, what it was, what was lost, and why
// little was decoded if that is so.
#pragma once

#include "base/text.h"
#include "control/totals.h"

#define TL_TALLY_PROTOCOLS_MAX 64u

// Roundtrips by protocol and status, counted as they pass.
struct tl_tally {
	uint64_t count[TL_TALLY_PROTOCOLS_MAX][TL_STATUS_COUNT];
	uint64_t total;
};

static inline void tl_tally_add(struct tl_tally *tally, const struct tl_roundtrip *record)
{
	if (record->protocol < TL_TALLY_PROTOCOLS_MAX && record->status < TL_STATUS_COUNT)
		tally->count[record->protocol][record->status]++;
	tally->total++;
}

void tl_summary_print(struct tl_text *text, const struct tl_totals *totals,
		      const struct tl_tally *tally, const char *filter);
