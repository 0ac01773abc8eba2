// SPDX-License-Identifier: Apache-2.0
// Who ran on the CPUs that a container may use while its threads waited for one. One thread.
#pragma once

#include <jansson.h>

#include "collectors/collector.h"

#define TL_COMPETITORS_MAX 10u    // groups in the answer
#define TL_COMPETITOR_TASKS_MAX 5u // processes of each

struct tl_contention {
	uint64_t span_ns;            // that was looked at
	uint64_t run_ns, wait_ns;    // of the container's threads
	uint64_t inner_ns, outer_ns; // of wait_ns: while own threads ran, while others did
	const char *source;          // how that is known
	json_t *competitors;         // the other groups, the busiest first; to be released
};

// Looks for `span_ns`. 0, -ECANCELED when the run is to end, other -errno.
int tl_contention_look(struct tl_ctx *ctx, const struct tl_container *container, uint64_t span_ns,
		       struct tl_contention *ret);
