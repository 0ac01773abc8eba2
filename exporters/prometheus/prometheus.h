// SPDX-License-Identifier: Apache-2.0
// The Prometheus exposition: a snapshot as text 0.0.4 or OpenMetrics 1.0, written piece by piece.
// Sources: prometheus.io/docs/instrumenting/exposition_formats, the OpenMetrics specification 1.0.
#pragma once

#include "base/text.h"
#include "metrics/metrics.h"

enum tl_prometheus_format { TL_PROMETHEUS_TEXT, TL_PROMETHEUS_OPENMETRICS };

struct tl_prometheus_options {
	uint8_t format;    // enum tl_prometheus_format
	uint8_t histogram; // enum tl_histogram_style
	bool is_self;      // the probe's own metrics; false: those of the traffic
	// Boundaries for style le, ascending; NULL or empty: packetd's, extended below 1 ms.
	const struct tl_real_list *le_seconds;
	const struct tl_real_list *le_bytes; // of all histograms that are no times
};

// Takes the next piece of the page; anything but 0 ends the rendering and is its result.
typedef int tl_prometheus_write_fn(void *arg, const char *data, size_t len);

// Renders the whole page in pieces of some 16 KiB. 0, what `write` gave, or -ENOTSUP with a line
// for the user in `error` (native histograms have no text form). Any thread.
int tl_prometheus_render(const struct tl_snapshot *snapshot,
			 const struct tl_prometheus_options *options, tl_prometheus_write_fn *write,
			 void *arg, char *error, uint32_t error_size);

// The format that an Accept header prefers, by its q-values; text where it names neither. NULL is
// no header.
enum tl_prometheus_format tl_prometheus_negotiate(const char *accept);
const char *tl_prometheus_content_type(enum tl_prometheus_format format);

// Appends a number so that reading it gives the same double: the shortest such text. `is_go`: as
// Go's %g writes it with a fraction, which is OpenMetrics' canonical form of `le`.
void tl_prometheus_number(struct tl_text *text, double value, bool is_go);
