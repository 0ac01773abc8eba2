// SPDX-License-Identifier: Apache-2.0
// Readers of the trace context that requests carry. Pure functions on header values; every one
// leaves its result alone when the value is not valid.
// Sources: W3C Trace Context (https://www.w3.org/TR/trace-context/), section 3.2;
// B3 propagation (https://github.com/openzipkin/b3-propagation);
// github.com/census-instrumentation/opencensus-specs, encodings/BinaryEncoding.md.
#pragma once

#include "base/bytes.h"
#include "l7/roundtrip.h"

#define TL_TRACEPARENT_BYTES 55u // of version 00, and of what a reader may use of later ones

// `traceparent`: version-traceid-parentid-flags.
bool tl_trace_from_traceparent(struct tl_bytes value, struct tl_trace *ret_trace);

// `b3`: traceid-spanid[-sampled[-parentspanid]]. A bare sampling decision ("0", "1", "d") names
// no trace: it gives false.
bool tl_trace_from_b3(struct tl_bytes value, struct tl_trace *ret_trace);

// `grpc-trace-bin`, OpenCensus's binary form, which gRPC sends in base64.
bool tl_trace_from_grpc_bin(struct tl_bytes value, struct tl_trace *ret_trace);

// The headers of the older b3 form come one by one. Each adds its part to `trace`; when both ids
// are there, TL_TRACE_PRESENT is set. False: the value is not valid.
bool tl_trace_add_b3_trace_id(struct tl_bytes value, struct tl_trace *trace);
bool tl_trace_add_b3_span_id(struct tl_bytes value, struct tl_trace *trace);
bool tl_trace_add_b3_sampled(struct tl_bytes value, struct tl_trace *trace);
