// SPDX-License-Identifier: Apache-2.0
// The one-shot report of `stats`: per server and protocol the requests, errors and durations with
// their split; the slowest roundtrips; what was not decoded and why; losses.
#pragma once

#include "cli/summary.h"
#include "exporters/exporter.h"

#include <jansson.h>

struct tl_report;

struct tl_report *tl_report_create(void); // NULL on no memory
void tl_report_destroy(struct tl_report *report);
void tl_report_add(struct tl_report *report, const struct tl_roundtrip_signal *signal);

// Tables for people.
void tl_report_print(const struct tl_report *report, const struct tl_totals *totals,
		     const char *filter, struct tl_text *text);
// The same as one JSON object; the caller gives it back.
json_t *tl_report_json(const struct tl_report *report, const struct tl_totals *totals,
		       const char *filter);
