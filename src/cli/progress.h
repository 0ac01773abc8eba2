// SPDX-License-Identifier: Apache-2.0
// The line that tells how far the reading of a long file has come. Only where somebody looks:
// standard error is a terminal and standard output, where the records go, is not the same one.
// Main thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "worker/pipeline.h"

struct tl_progress {
	bool is_wanted, is_shown;
	uint64_t begin_ns; // monotonic, as all times here
	uint64_t next_ns;  // when the line is due
};

// `is_report`: the command prints nothing before its end, so that its output can't get in the way.
void tl_progress_begin(struct tl_progress *progress, bool is_report, uint64_t now_ns);
// Shows the line when it is due: nothing in the first second, then four times a second.
void tl_progress_turn(struct tl_progress *progress, struct tl_pipeline *pipeline, uint64_t now_ns);
// Takes the line away.
void tl_progress_end(struct tl_progress *progress);
