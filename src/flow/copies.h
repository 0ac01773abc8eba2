// SPDX-License-Identifier: Apache-2.0
// Copies of packets: a SPAN of two ports, `any`, or a bridge deliver one packet several times, and
// not always back to back (A B A' B'). Each busy flow has the fingerprints of its last packets.
// A copy is identical but for MAC, VLAN and TTL; a retransmission has a new IP id or time stamp.
#pragma once

#include "base/hash.h"
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

// Remembers a packet that can't be a copy, as it continues what came before.
static inline void tl_copies_remember(struct tl_copies *copies, struct tl_flow *flow, uint32_t print,
				      uint64_t now_ns)
{
	if (TL_UNLIKELY(flow->copies == TL_POOL_NONE)) {
		(void)tl_copies_is_copy(copies, flow, print, now_ns);
		return;
	}
	struct tl_copies_slot *slot = tl_pool_at(&copies->pool, flow->copies);
	if (TL_UNLIKELY(slot->owner != flow->serial || now_ns < slot->last_ns ||
			now_ns - slot->last_ns > copies->window_ns)) {
		(void)tl_copies_is_copy(copies, flow, print, now_ns);
		return;
	}
	slot->last_ns = now_ns;
	slot->print[slot->next] = print;
	slot->stamp[slot->next] = (uint16_t)(now_ns >> copies->unit_shift);
	slot->next = (slot->next + 1) % TL_COPIES_KEPT;
}

static inline void tl_copies_prefetch(const struct tl_copies *copies, const struct tl_flow *flow)
{
	if (flow->copies == TL_POOL_NONE)
		return;
	const uint8_t *slot = tl_pool_at(&copies->pool, flow->copies);
	__builtin_prefetch(slot, 1);
	__builtin_prefetch(slot + 64, 1);
}

// A word of what lies behind a packet's numbers, for its fingerprint: of a segment's options, of a
// datagram.
uint64_t tl_print_options(const struct tl_packet *packet, const struct tl_headers *headers);
uint64_t tl_print_datagram(const struct tl_packet *packet, const struct tl_headers *headers);
// The first bytes of a payload that has less than eight, or not in one piece.
uint64_t tl_print_bytes(const struct tl_packet *packet, const struct tl_headers *headers);

static inline uint64_t tl_print_word(const void *p)
{
	uint64_t word;
	memcpy(&word, p, sizeof(word));
	return word;
}

// The fingerprint of what makes a packet itself, of either protocol: its numbers and lengths, its
// IP identification and time stamps, and the first of its payload. At an equal sequence number
// payloads hardly ever differ; a datagram has nothing else to tell it from the next.
static inline uint32_t tl_packet_fingerprint(const struct tl_packet *packet, const struct tl_headers *h)
{
	const struct tl_chunk *first = &packet->chunks[0];
	const uint8_t *payload = first->data + h->payload_offset;
	uint64_t extra = 0;
	uint64_t bytes = 0;

	_Static_assert(offsetof(struct tl_headers, tcp_ack) ==
			       offsetof(struct tl_headers, tcp_seq) + 4 &&
		       offsetof(struct tl_headers, tcp_window) ==
			       offsetof(struct tl_headers, payload_wire_len) + 6, "read as words");
	if (TL_LIKELY(h->tuple.protocol == 6)) {
		if (h->tcp_options_len == 12 && (h->tcp_flags & TL_TCP_SYN) == 0)
			extra = tl_print_word(payload - 8); // the time stamps
		else if (h->tcp_options_len != 0)
			extra = tl_print_options(packet, h);
		if (TL_LIKELY(h->payload_len >= sizeof(bytes) &&
			      h->payload_offset + sizeof(bytes) <= first->len))
			bytes = tl_print_word(payload);
		else if (h->payload_len != 0)
			bytes = tl_print_bytes(packet, h);
	} else {
		extra = tl_print_datagram(packet, h);
	}
	uint64_t print = tl_hash_mix(tl_print_word(&h->tcp_seq) ^ UINT64_C(0xa0761d6478bd642f),
				     tl_print_word(&h->payload_wire_len) ^
					     UINT64_C(0xe7037ed1a0b428db));
	print ^= tl_hash_mix(extra ^ UINT64_C(0x8ebc6af09c88c6e3),
			     ((uint64_t)h->tuple.source_port << 16 |
			      (uint64_t)h->tuple.source[15] << 8 | h->tcp_flags) ^
				     UINT64_C(0x589965cc75374cc3));
	print ^= bytes * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t folded = (uint32_t)(print >> 32) ^ (uint32_t)print;
	return folded != 0 ? folded : 1; // 0 marks a free place
}
