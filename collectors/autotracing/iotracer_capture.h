// SPDX-License-Identifier: Apache-2.0
// Who uses a disk, which files, and who waits for it. One thread.
#pragma once

#include <jansson.h>

#include "collectors/collector.h"

#define TL_IO_PROCESSES_MAX 10u // told of
#define TL_IO_FILES_MAX 5u      // of each
#define TL_IO_STALLS_MAX 10u    // the longest

struct tl_io_what {
	uint32_t device; // major << 20 | minor, of a whole disk
	uint64_t span_ns;
	uint64_t stall_ns; // a wait for I/O that is longer is told of
};

// Looks for `span_ns` and sets source, process_file_io_stats and io_schedule_timeout_stacks in
// `data`. 0, -ECANCELED when the run is to end, other -errno.
int tl_iotracer_capture(struct tl_ctx *ctx, const struct tl_io_what *what, json_t *data);
