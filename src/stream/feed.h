// SPDX-License-Identifier: Apache-2.0
// The seam between a flow and its decoding side: opens a connection when the first payload comes,
// hands on bytes and losses, and keeps the books of what nobody decodes.
#pragma once

#include "flow/table.h"
#include "stream/stream.h"

struct tl_feed {
	struct tl_l7 *l7;
	struct tl_counters *counters;
};

// In-order bytes of a side.
void tl_feed_data(struct tl_feed *feed, struct tl_flow *flow, uint8_t side, struct tl_bytes bytes,
		  uint64_t time_ns, uint64_t stall_ns);
// Bytes that were in order but are not held: inside what the decoders skip. Counted as lost
// when the decoders want them after all.
void tl_feed_unwanted(struct tl_feed *feed, struct tl_flow *flow, uint8_t side, uint32_t len,
		      uint64_t time_ns);
void tl_feed_gap(struct tl_feed *feed, struct tl_flow *flow, uint8_t side, uint64_t lost,
		 uint64_t time_ns);
void tl_feed_datagram(struct tl_feed *feed, struct tl_flow *flow, uint8_t side,
		      struct tl_bytes bytes, uint32_t wire_len, uint64_t time_ns);
// In-order bytes of a side that waited for nothing: tl_feed_data() and tl_feed_settle(), in short for
// bodies that are skipped and flows that nobody reads.
void tl_feed_straight(struct tl_feed *feed, struct tl_flow *flow, uint8_t side,
		      struct tl_bytes bytes, uint64_t time_ns);
// Gives back a connection whose decoders look no more.
void tl_feed_settle(struct tl_feed *feed, struct tl_flow *flow, uint64_t now_ns);
void tl_feed_close(struct tl_feed *feed, struct tl_flow *flow, enum tl_end end, uint64_t time_ns);
