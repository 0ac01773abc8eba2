// SPDX-License-Identifier: Apache-2.0
// IPv4 and IPv6 reassembly: bounded in datagrams, bytes and time. The tap keeps whichever copy
// of a byte came first; overlapping fragments with different bytes are counted.
#pragma once

#include "packet/packet.h"

struct tl_defrag;

struct tl_defrag_options {
	uint64_t datagrams_max; // incomplete datagrams kept at once
	uint64_t bytes_max;     // bytes of fragments kept at once
	uint64_t timeout_ns;    // packet time after which an incomplete datagram is given up
};

struct tl_defrag_stats {
	uint64_t fragments;   // offered
	uint64_t reassembled; // datagrams completed
	uint64_t timeouts;    // fragments dropped: their datagram stayed incomplete
	uint64_t evicted;     // fragments dropped: no room
	uint64_t malformed;   // fragments dropped: offsets that contradict each other
	uint64_t duplicates;  // fragments dropped: nothing new in them
	uint64_t overlaps;    // fragments whose bytes differ from those already held
	uint64_t used;        // fragments that went into completed datagrams
	uint64_t held;        // fragments of incomplete datagrams now
};

// NULL on no memory. Not thread-safe: one per lcore that decodes.
struct tl_defrag *tl_defrag_create(const struct tl_defrag_options *options);
void tl_defrag_destroy(struct tl_defrag *defrag);

// Takes a fragment. Returns a packet of link type TL_LINK_RAW with is_reassembled set when the
// datagram is complete, stamped with this fragment's time (the last one to arrive); otherwise
// NULL. The packet stays valid until the next call.
const struct tl_packet *tl_defrag_add(struct tl_defrag *defrag, const struct tl_packet *packet,
				      const struct tl_headers *headers);

// Drops what is older than the time-out at `now_ns`.
void tl_defrag_advance(struct tl_defrag *defrag, uint64_t now_ns);

void tl_defrag_stats(const struct tl_defrag *defrag, struct tl_defrag_stats *ret_stats);
