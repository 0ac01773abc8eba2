// SPDX-License-Identifier: Apache-2.0
// The kernel's own description of its tracepoints (Documentation/trace/events.rst). Read where
// tracefs is mounted, or by a mount of our own that nobody else sees and that goes with us.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// The tracepoint's number for perf_event_open(). -errno: no such tracepoint, or no tracefs.
int64_t tl_tracepoint_id(const char *tracepoint);

struct tl_tracepoint_field {
	uint32_t offset;
	uint32_t size;
	bool is_data_loc; // the value is a uint32_t: offset | size << 16 of the text itself
};

// `tracepoint` is "category/name". 0 or -errno (-ENOENT: no such tracepoint or field).
int tl_tracepoint_field(const char *tracepoint, const char *field,
			struct tl_tracepoint_field *ret_field);
