// SPDX-License-Identifier: Apache-2.0
// One answer to a scrape: format by the Accept header, histogram style by the query, gzip if the
// reader takes it.
#pragma once

#include "base/text.h"
#include "metrics/metrics.h"

struct tl_scrape {
	// Asked for
	bool is_self;                // the probe's own metrics
	const char *accept;          // headers, NULL if absent
	const char *accept_encoding;
	uint32_t style;              // enum tl_histogram_style
	struct tl_real_list le_seconds, le_bytes;
	// Answered
	struct tl_text body;         // malloc'ed
	const char *content_type;
	bool is_gzip;
};

// "vmrange", "le". False for anything else.
bool tl_scrape_set_style(struct tl_scrape *scrape, const char *word);
// 0 or -ENOMEM.
int tl_scrape_render(struct tl_scrape *scrape, const struct tl_snapshot *snapshot);
void tl_scrape_fini(struct tl_scrape *scrape);
