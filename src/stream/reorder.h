// SPDX-License-Identifier: Apache-2.0
// Where TCP segments wait: for an earlier one that is missing, or for the other side's bytes that
// they acknowledge. A flow has state here only while something waits. Bytes are copied into
// blocks of a bounded pool; bytes that nobody will look at are kept as lengths only.
#pragma once

#include "base/pool.h"
#include "flow/table.h"

#define TL_SEGMENT_BLOCK_BYTES 2048u // one Ethernet segment per block; larger ones are split
#define TL_SEGMENTS_PER_BLOCK 2u     // heads per block: those without bytes need no block
#define TL_SEGMENTS_FLOW_MAX 4096u   // of one side: bounds the walk of an insertion

struct tl_segment {
	uint32_t next;     // in order of sequence numbers, TL_POOL_NONE at the end
	uint32_t seq;
	uint32_t len;      // bytes on the wire, FIN not counted
	uint32_t kept;     // of them in `block`; fewer were captured, or none are wanted
	uint32_t ack;      // with TL_SEGMENT_ACK: fed only after the other side up to here
	uint32_t block;    // TL_POOL_NONE if none
	uint64_t time_ns;
	uint32_t flags;
	uint32_t reserved;
};

enum {
	TL_SEGMENT_ACK = 1u << 0,
	TL_SEGMENT_FIN = 1u << 1,
	TL_SEGMENT_UNWANTED = 1u << 2, // inside a skip when it came: no bytes were kept
};

// What waits on one side.
struct tl_reorder_side {
	uint32_t head, tail;   // segments
	uint32_t count;
	uint32_t bytes;        // kept
	uint64_t hole_ns;      // with has_hole: when the missing bytes were first noticed
	uint64_t proven_ns;    // with is_proven
	uint32_t hole_seq;     // with has_hole: next_seq then
	uint32_t beyond;       // with has_beyond: a sequence number this side was seen to have reached
	uint32_t timestamp;    // with has_timestamp: TSval of the segment that revealed the hole
	bool has_hole;
	bool is_proven;        // the peer acknowledged past the hole and data beyond it was seen
	bool is_acked;         // the peer acknowledged past next_seq
	bool has_beyond;
	bool has_timestamp;
};

struct tl_reorder_flow {
	struct tl_reorder_side side[2];
};

struct tl_reorder {
	struct tl_pool flows;    // struct tl_reorder_flow
	struct tl_pool segments; // struct tl_segment
	struct tl_pool blocks;   // TL_SEGMENT_BLOCK_BYTES
	uint64_t flow_bytes_max;
};

// A piece of a packet to be kept.
struct tl_segment_spec {
	uint32_t seq;
	uint32_t len;       // on the wire
	uint32_t captured;
	uint32_t ack;
	uint32_t flags;
	uint32_t offset;    // of its bytes in the packet
	uint64_t time_ns;
	const struct tl_packet *packet; // NULL with TL_SEGMENT_UNWANTED
};

int tl_reorder_init(struct tl_reorder *reorder, const struct tl_flow_options *options);
void tl_reorder_fini(struct tl_reorder *reorder);

// The flow's state, made when it has none; NULL when the pool is empty.
struct tl_reorder_flow *tl_reorder_open(struct tl_reorder *reorder, struct tl_flow *flow);
// The flow's state, NULL if it has none.
static inline struct tl_reorder_flow *tl_reorder_at(const struct tl_reorder *reorder,
						    const struct tl_flow *flow)
{
	return flow->reorder == TL_POOL_NONE
		       ? NULL
		       : (struct tl_reorder_flow *)tl_pool_at(&reorder->flows, flow->reorder);
}
// Gives back the state; nothing may wait in it.
void tl_reorder_close(struct tl_reorder *reorder, struct tl_flow *flow);

enum tl_kept {
	TL_KEPT,        // all that was new
	TL_KEPT_NOTHING, // held already
	TL_KEPT_FULL,   // the pool or the flow's share is used up; a part may be held
};

// Keeps what no segment holds yet: bytes that came first win. `ret_differs` is set when bytes held
// already differ, `ret_repeats` when some were held.
enum tl_kept tl_reorder_insert(struct tl_reorder *reorder, struct tl_reorder_side *side,
			       const struct tl_segment_spec *spec, bool *ret_repeats,
			       bool *ret_differs);

static inline struct tl_segment *tl_reorder_head(const struct tl_reorder *reorder,
						 const struct tl_reorder_side *side)
{
	return side->head == TL_POOL_NONE
		       ? NULL
		       : (struct tl_segment *)tl_pool_at(&reorder->segments, side->head);
}
static inline const uint8_t *tl_segment_bytes(const struct tl_reorder *reorder,
					      const struct tl_segment *segment)
{
	return tl_pool_at(&reorder->blocks, segment->block);
}
// Drops the head.
void tl_reorder_pop(struct tl_reorder *reorder, struct tl_reorder_side *side);
