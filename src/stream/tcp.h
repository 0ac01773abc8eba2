// SPDX-License-Identifier: Apache-2.0
// TCP tracking and reassembly of one worker's flows: from segments as the tap saw them to bytes in
// order, losses and ends. What it relies on: RFC 9293 (TCP), RFC 5961 section 3.2 (RST), RFC 7323
// (time stamps). The tap is no end point: it may miss packets that arrived, see copies, and join late.
// A hole is lost only by the rules of `struct tl_flow_options`, compared with packet time.
#pragma once

#include "stream/feed.h"
#include "stream/reorder.h"

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

// One segment of an open flow. Deadlines up to its time have been dealt with (tl_tcp_expire).
enum tl_tcp_result tl_tcp_packet(struct tl_tcp *tcp, struct tl_flow *flow, uint8_t side,
				 const struct tl_headers *headers, const struct tl_packet *packet);

// Both directions have ended in order; the owner closes the flow.
static inline bool tl_tcp_is_over(const struct tl_flow *flow)
{
	const uint32_t both = TL_FLOW_FIN | TL_FLOW_FIN << 1;
	return (flow->bits & both) == both;
}

// The earliest time at which a hole is given up or an open request times out, UINT64_MAX if none.
uint64_t tl_tcp_deadline(const struct tl_tcp *tcp, const struct tl_flow *flow);
// Does what is due at `now_ns`, in order, stamped with each deadline. Also for UDP flows.
void tl_tcp_expire(struct tl_tcp *tcp, struct tl_flow *flow, uint64_t now_ns);

// The connection is over: hands on what waits, after gaps where bytes are missing, and closes the
// decoding side.
void tl_tcp_end(struct tl_tcp *tcp, struct tl_flow *flow, enum tl_end end, uint64_t time_ns);
