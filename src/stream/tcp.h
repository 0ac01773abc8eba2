// SPDX-License-Identifier: Apache-2.0
// TCP tracking and reassembly of one worker's flows: from segments as the tap saw them to bytes in
// order, losses and ends. What it relies on: RFC 9293 (TCP), RFC 5961 section 3.2 (RST), RFC 7323
// (time stamps). The tap is no end point: it may miss packets that arrived, see copies, and join late.
// A hole is lost only by the rules of `struct tl_flow_options`, compared with packet time.
#pragma once

#include "stream/feed.h"
#include "stream/reorder.h"

// Farther than this from what is expected is not this connection, or a long loss. Twice the largest
// window in common use, a sixty-fourth of the sequence space: a random number is rarely inside.
#define TL_TCP_NEAR_BYTES_MAX (1 << 26)

struct tl_tcp {
	struct tl_feed feed;
	struct tl_reorder reorder;
	const struct tl_flow_options *options;
};

// What a segment did to its connection.
enum tl_tcp_result {
	TL_TCP_GOES_ON,
	TL_TCP_ENDED, // both FINs were handed on
	TL_TCP_RESET, // a valid RST
	TL_TCP_OTHER, // it belongs to another connection between the same ends; nothing was done
};

// `options`, `l7` and `counters` outlive it. 0, -EINVAL or -ENOMEM.
int tl_tcp_init(struct tl_tcp *tcp, const struct tl_flow_options *options, struct tl_l7 *l7,
		struct tl_counters *counters);
void tl_tcp_fini(struct tl_tcp *tcp);

// The sequence number from which a side's bytes are expected.
void tl_tcp_expect(struct tl_flow *flow, uint8_t side, uint32_t seq);
// The same when a side's first number is seen in the midst of the connection: what the other side's
// bytes acknowledged when they were handed on comes too late, and is lost.
void tl_tcp_meet(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t side, uint32_t seq,
		 uint64_t time_ns);

// One segment of an open flow. Deadlines up to its time have been dealt with (tl_tcp_expire).
enum tl_tcp_result tl_tcp_packet(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t side,
				 const struct tl_headers *headers, const struct tl_packet *packet);

// What most segments are: payload right behind what came before, while nothing waits on either side,
// with an ACK for nothing that was not seen. It is no copy of an earlier one, as that would have moved
// next_seq.
static inline bool tl_tcp_is_straight(const struct tl_flow *flow, uint8_t s,
				      const struct tl_headers *h, const struct tl_packet *packet)
{
	const uint32_t known = (uint32_t)TL_FLOW_KNOWN << s;
	const uint32_t never = (uint32_t)(TL_FLOW_FIN | TL_FLOW_ZERO) << s | TL_FLOW_CLOSED |
			       TL_FLOW_SYN;
	const struct tl_flow_side *side = &flow->side[s];
	const struct tl_flow_side *peer = &flow->side[s ^ 1];
	uint32_t len = h->payload_len;

	if (flow->reorder != TL_POOL_NONE || (flow->bits & (known | never)) != known ||
	    (h->tcp_flags & (TL_TCP_SYN | TL_TCP_FIN | TL_TCP_RST | TL_TCP_ACK)) != TL_TCP_ACK ||
	    h->tcp_seq != side->next_seq || len == 0 || len != h->payload_wire_len ||
	    h->tcp_window == 0 || h->payload_offset + len > packet->chunks[0].len)
		return false;
	if ((flow->bits & (uint32_t)TL_FLOW_KNOWN << (s ^ 1)) == 0)
		return true;
	int32_t ahead = tl_seq_diff(h->tcp_ack, peer->next_seq);
	return (flow->bits & (uint32_t)TL_FLOW_SEEN << (s ^ 1)) != 0 && ahead <= 0 &&
	       ahead >= -TL_TCP_NEAR_BYTES_MAX &&
	       tl_seq_diff(side->acked, peer->next_seq) <= 0 &&
	       tl_seq_diff(peer->acked, side->next_seq + len) <= 0;
}

// Such a segment in short; tl_tcp_packet() comes to the same, with TL_TCP_GOES_ON.
static inline void tl_tcp_straight(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t s,
				   const struct tl_headers *h, const struct tl_packet *packet)
{
	struct tl_flow_side *side = &flow->side[s];
	uint32_t len = h->payload_len;

	if (tl_seq_diff(h->tcp_ack, side->acked) > 0)
		side->acked = h->tcp_ack;
	tl_flow_mark(flow, (uint32_t)TL_FLOW_SEEN << s);
	side->next_seq += len;
	tl_feed_straight(&tcp->feed, flow, s,
			 tl_bytes(packet->chunks[0].data + h->payload_offset, len), packet->time_ns);
}

// Both directions have ended in order; the owner closes the flow.
static inline bool tl_tcp_is_over(const struct tl_flow *flow)
{
	const uint32_t both = TL_FLOW_FIN | TL_FLOW_FIN << 1;
	return (flow->bits & both) == both;
}

// Does what is due at `now_ns`, in order, stamped with each deadline. Also for UDP flows.
void tl_tcp_expire(struct tl_tcp *tcp, struct tl_flow *flow, uint64_t now_ns);

// The connection is over: hands on what waits, after gaps where bytes are missing, and closes the
// decoding side.
void tl_tcp_end(struct tl_tcp *tcp, struct tl_flow *flow, enum tl_end end, uint64_t time_ns);
