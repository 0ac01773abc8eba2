// SPDX-License-Identifier: Apache-2.0
// The Prometheus exposition: a snapshot as text 0.0.4, OpenMetrics 1.0 or protobuf, written piece by
// piece.
// Sources: prometheus.io/docs/instrumenting/exposition_formats, the OpenMetrics specification 1.0.
#pragma once

#include "base/text.h"
#include "metrics/metrics.h"

enum tl_prometheus_format {
	TL_PROMETHEUS_TEXT,
	TL_PROMETHEUS_OPENMETRICS,
	TL_PROMETHEUS_PROTOBUF, // histograms are native ones, whatever the style
};

struct tl_prometheus_options {
	uint8_t format;    // enum tl_prometheus_format
	uint8_t histogram; // enum tl_histogram_style; a text has le for native
	bool is_self;      // the probe's own metrics; false: those of the traffic
	// Boundaries for style le, ascending; NULL or empty: packetd's, extended below 1 ms.
	const struct tl_real_list *le_seconds;
	const struct tl_real_list *le_bytes; // of all histograms that are no times
};

// A rendering under way. It holds one piece, or in protobuf a family, whatever the size of the page,
// so that many readers may be served at once; the snapshot must stay until the end. Any thread, one
// at a time.
struct tl_prometheus_page {
	struct tl_text text; // the present piece
	// Private.
	struct tl_text prefix;        // of the buckets of a sample
	struct tl_text boundaries[2]; // `le` of bytes, of times
	const struct tl_snapshot *snapshot;
	struct tl_prometheus_options options;
	uint32_t from, to; // samples of the family under way
	uint32_t at;       // the next of them
	uint32_t part;     // vmrange: buckets, sums, counts
	bool is_open;      // OpenMetrics
	bool is_done;
};

void tl_prometheus_begin(struct tl_prometheus_page *page, const struct tl_snapshot *snapshot,
			 const struct tl_prometheus_options *options);
// The next piece of at least 16 KiB, or the rest. False when there is none.
bool tl_prometheus_next(struct tl_prometheus_page *page);
void tl_prometheus_end(struct tl_prometheus_page *page);

// Takes the next piece of the page; anything but 0 ends the rendering and is its result.
typedef int tl_prometheus_write_fn(void *arg, const char *data, size_t len);

// Renders the whole page. 0, or what `write` gave.
int tl_prometheus_render(const struct tl_snapshot *snapshot,
			 const struct tl_prometheus_options *options, tl_prometheus_write_fn *write,
			 void *arg);

// The format that an Accept header prefers, by its q-values; text where it names neither. NULL is
// no header. Protobuf is a choice only where native histograms are wanted.
enum tl_prometheus_format tl_prometheus_negotiate(const char *accept, bool with_protobuf);
const char *tl_prometheus_content_type(enum tl_prometheus_format format);

void tl_prometheus_uint(struct tl_text *text, uint64_t value);
// Appends a number so that reading it gives the same double: the shortest such text. `is_go`: as
// Go's %g writes it with a fraction, which is OpenMetrics' canonical form of `le`.
void tl_prometheus_number(struct tl_text *text, double value, bool is_go);
