// SPDX-License-Identifier: Apache-2.0
// A roundtrip as a span of OpenTelemetry: identity, kind, name, times. Its attributes are the
// exporter's to write, from the record. Control thread.
#pragma once

#include "base/text.h"
#include "exporters/exporter.h"

// `name` holds the span's name until the next call. Without trace context in the traffic the span
// is the root of a trace of its own: a parent is never invented. False: there is no span to make
// (a response without its request).
bool tl_span_make(const struct tl_roundtrip_signal *signal, struct tl_text *name,
		  struct tl_span *ret_span);
