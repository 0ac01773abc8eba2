// SPDX-License-Identifier: Apache-2.0
// Copies of packets: a SPAN of two ports, `any`, or a bridge deliver one packet several times, and
// not always back to back (A B A' B'). Each busy flow has the fingerprints of its last packets.
// A copy is identical but for MAC, VLAN and TTL; a retransmission has a new IP id or time stamp.
#pragma once

#include "base/pool.h"
#include "flow/table.h"

#define TL_COPIES_KEPT 16u        // packets of a flow a copy may lag behind its original
#define TL_COPIES_SLOTS_MAX 65536u // flows busy within `duplicate_ns`

struct tl_copies_slot {
	uint32_t print[TL_COPIES_KEPT];
	uint16_t stamp[TL_COPIES_KEPT]; // times, in units that the window has 256 of at most
	uint64_t last_ns;
	uint32_t owner;  // flow serial
	uint32_t next;   // where the next fingerprint goes
};

struct tl_copies {
	struct tl_pool pool;  // slots are taken once and then passed on in turn
	uint32_t hand;
	uint32_t unit_shift;  // a unit is 2^this ns
	uint64_t window_ns;   // 0: copies are not looked for
};

int tl_copies_init(struct tl_copies *copies, const struct tl_flow_options *options);
void tl_copies_fini(struct tl_copies *copies);

// True if the flow had a packet with this fingerprint a moment ago; else remembers it.
bool tl_copies_is_copy(struct tl_copies *copies, struct tl_flow *flow, uint32_t print, uint64_t now_ns);

static inline void tl_copies_prefetch(const struct tl_copies *copies, const struct tl_flow *flow)
{
	if (flow->copies == TL_POOL_NONE)
		return;
	const uint8_t *slot = tl_pool_at(&copies->pool, flow->copies);
	__builtin_prefetch(slot, 1);
	__builtin_prefetch(slot + 64, 1);
}

// The fingerprint of what makes a packet itself, of either protocol.
uint32_t tl_packet_fingerprint(const struct tl_packet *packet, const struct tl_headers *headers);
