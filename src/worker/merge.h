// SPDX-License-Identifier: Apache-2.0
// The packets of several live ports in the order of their stamps. The kernel hands over what an
// interface received in blocks of up to ten milliseconds, each interface when its own block is due:
// of the two ports of a TAP the responses came before the requests.
//
// One lane for each port: what was taken from its ring and not processed. The oldest packet goes
// when every other port has said that it read further, or a moment has passed, or its ring fills.
#pragma once

#include "pmd/port.h"

#define TL_MERGE_MBUFS 16u // of a lane, each of which may hold 22 packets

struct tl_merge_lane {
	struct rte_mbuf *mbufs[TL_MERGE_MBUFS];
	uint32_t count;    // mbufs
	uint32_t mbuf, at; // the next packet: its mbuf and, in one of frames, where
	uint32_t taken;    // packets given since the last release
	uint64_t since;    // cycles: packets wait since then, 0: they don't
	uint64_t since_ns; // ... the stamp of the first
	uint64_t bound_ns; // with an empty lane: nothing older will come
};

struct tl_merge {
	struct tl_port *const *ports;
	uint32_t port_count;
	uint32_t worker;
	uint64_t wait; // cycles
	uint64_t cycles_per_us;
	struct tl_merge_lane lanes[TL_PORTS_MAX];
};

struct tl_merge_state {
	bool is_done;      // every port has ended, and all its packets were given
	uint64_t clock_ns; // no packet that will be given is older
};

void tl_merge_init(struct tl_merge *merge, struct tl_port *const *ports, uint32_t port_count,
		   uint32_t worker, bool is_crowded);
void tl_merge_fini(struct tl_merge *merge); // frees the mbufs that are left

// Gives up to `max` packets, whose bytes stay until tl_merge_release. `chunks` has room for `max` times
// TL_CHUNKS_MAX, `headers` for `max` times TL_HEADERS_BYTES_MAX.
uint32_t tl_merge_take(struct tl_merge *merge, struct tl_packet *packets, struct tl_chunk *chunks,
		       uint8_t (*headers)[TL_HEADERS_BYTES_MAX], uint32_t max,
		       struct tl_merge_state *ret_state);
void tl_merge_release(struct tl_merge *merge);
