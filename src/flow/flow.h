// SPDX-License-Identifier: Apache-2.0
// What the layers above may know of a flow. A flow has two sides, 0 and 1, in the order of its
// normalised key; which of them is the client is decided by the SYN, else by ports, else by what
// the decoders recognise.
#pragma once

#include "base/counters.h"
#include "packet/packet.h"

struct tl_flow_table;
struct tl_flow; // flow/table.h; 128 bytes, index-addressed, never moves while it lives

// Everything a record says of its connection.
struct tl_flow_identity {
	uint8_t client_address[16];
	uint8_t server_address[16];
	uint16_t client_port;
	uint16_t server_port;
	uint8_t ip_version;
	uint8_t l4;
	uint8_t port;        // capture port index
	bool is_late_join;   // its begin was not seen
	bool is_one_sided;   // no packet of the other side was ever seen
	bool client_is_sure; // a SYN said so; otherwise a decoder may decide
	uint64_t connection_id;
	uint64_t last_ns;
	uint32_t rtt_us;
	struct tl_outer outer;
};

// What a flow turned out to carry, for tapline_flows_total{verdict}. Values below TL_VERDICT_BASE
// are registry ids of protocols.
enum tl_verdict {
	TL_VERDICT_BASE = 0xff00,
	TL_VERDICT_NO_PAYLOAD = TL_VERDICT_BASE, // no payload yet
	TL_VERDICT_UNDECIDED, // payload seen, still looking
	TL_VERDICT_UNKNOWN,   // looked and recognised nothing
	TL_VERDICT_IGNORED,   // excluded by the rules
	TL_VERDICT_TLS,
	TL_VERDICT_QUIC,
	TL_VERDICT_SSH,
	TL_VERDICT_UPGRADED,  // websocket and other things a connection was switched to
	TL_VERDICT_AMQP_1_0,  // shares its port and first bytes with AMQP 0-9-1, nothing else
	TL_VERDICT_END
};
#define TL_VERDICT_COUNT (TL_VERDICT_END - TL_VERDICT_BASE)

// "no_payload", "tls" ...; protocols have their registry name instead. NULL outside the range.
const char *tl_verdict_name(uint16_t verdict);

void tl_flow_identity(const struct tl_flow *flow, struct tl_flow_identity *ret_identity);

// All layers around the flow's first packet, NULL where its `outer` tells them already.
const struct tl_path *tl_flow_path(const struct tl_flow_table *table, const struct tl_flow *flow);

// The side that is the client now (0 or 1), and a decoder's better knowledge of it. Ignored when
// a SYN has settled the matter.
uint8_t tl_flow_client_side(const struct tl_flow *flow);
void tl_flow_set_client_side(struct tl_flow *flow, uint8_t side);

uint16_t tl_flow_verdict(const struct tl_flow *flow);
void tl_flow_set_verdict(struct tl_flow *flow, uint16_t verdict);

struct tl_flow_options {
	uint64_t flows_max;           // flows of all kinds per worker
	uint64_t syn_max;             // SYN-only entries per worker
	uint64_t tcp_idle_ns;         // silent TCP connections are removed after
	uint64_t tcp_closed_ns;       // after FIN both ways or RST
	uint64_t udp_idle_ns;
	uint64_t syn_idle_ns;
	uint64_t reorder_bytes_max;   // bytes of out-of-order segments kept per worker
	uint64_t reorder_flow_bytes_max; // and per flow
	uint64_t gap_seen_ns;         // a hole the peer acknowledged past is lost after (20 ms)
	uint64_t gap_silent_ns;       // ... or when nothing came for (200 ms)
	uint64_t gap_one_sided_ns;    // a hole of a one-sided flow is lost after
	uint64_t duplicate_ns;        // an identical packet within this time is a copy
	bool vlan_in_key;             // VLAN ids tell flows apart
	bool tunnel_in_key;           // the innermost encapsulation and its id do
};
