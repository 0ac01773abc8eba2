// SPDX-License-Identifier: Apache-2.0
// Traffic made in memory, for benchmarks: an rx callback on a ring port hands out HTTP
// conversations whose addresses and sequence numbers are rewritten as they go on for ever. The
// worker's lcore makes its own packets, so figures include that: the rewriting, and a copy of the
// frame where the mbuf held one of another kind before.
#pragma once

#include <stdint.h>

enum tl_synthetic_load {
	TL_SYNTHETIC_KEEP_ALIVE, // small requests and responses on connections kept alive
	TL_SYNTHETIC_BODIES,     // segments of 1460 bytes of endless response bodies
};

struct tl_synthetic {
	uint32_t load;    // enum tl_synthetic_load
	uint32_t flows;   // connections that take turns, at most TL_SYNTHETIC_FLOWS_MAX
	uint64_t packets; // after which the input ends
};

#define TL_SYNTHETIC_FLOWS_MAX (1u << 20)
