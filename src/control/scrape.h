// SPDX-License-Identifier: Apache-2.0
// One answer to a scrape: format by the Accept header, histogram style by the query, gzip if the
// reader takes it. It is written while it is read: an answer of any size takes a few pieces of
// memory, and a slow reader holds nothing but the picture it reads. Any thread; an answer belongs to
// one.
#pragma once

#include "exporters/prometheus/prometheus.h"

#include <sys/types.h>

struct tl_scrape;

struct tl_scrape_request {
	bool is_self;                // the probe's own metrics
	const char *accept;          // headers, NULL if absent
	const char *accept_encoding;
	uint32_t style;              // enum tl_histogram_style
	const struct tl_real_list *le_seconds, *le_bytes; // must outlive the answer
};

// "vmrange", "le", "native". False for anything else.
bool tl_scrape_style(const char *word, uint32_t *ret_style);

// Takes over the reference to `snapshot`, also when it fails. NULL on no memory.
struct tl_scrape *tl_scrape_open(const struct tl_scrape_request *request,
				 struct tl_snapshot *snapshot);
const char *tl_scrape_content_type(const struct tl_scrape *scrape);
bool tl_scrape_is_gzip(const struct tl_scrape *scrape);
// The next bytes, at most `max`; 0 at the end, -EIO when zlib fails.
ssize_t tl_scrape_read(struct tl_scrape *scrape, char *buffer, size_t max);
void tl_scrape_close(struct tl_scrape *scrape); // accepts NULL
