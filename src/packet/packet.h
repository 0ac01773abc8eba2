// SPDX-License-Identifier: Apache-2.0
// A captured packet and what its headers say. From here on nothing knows DPDK: unit tests,
// fuzzers and the engine feed `struct tl_packet` from plain memory.
#pragma once

#include "base/bytes.h"
#include "base/hash.h"

// Link types by their registered LINKTYPE_ numbers (https://www.tcpdump.org/linktypes.html).
enum tl_link_type {
	TL_LINK_NULL = 0,       // BSD loopback, address family in host order
	TL_LINK_ETHERNET = 1,
	TL_LINK_RAW_BSD = 12,   // raw IP as some systems number it
	TL_LINK_RAW = 101,      // raw IP, version by its first nibble
	TL_LINK_LOOP = 108,     // OpenBSD loopback, address family in network order
	TL_LINK_SLL = 113,      // Linux cooked v1 (`any`)
	TL_LINK_IPV4 = 228,
	TL_LINK_IPV6 = 229,
	TL_LINK_SLL2 = 276,     // Linux cooked v2
};

#define TL_CHUNKS_MAX 64u        // 64 KiB in 1 KiB pieces; more are not read, counted as cut
#define TL_HEADERS_BYTES_MAX 512u // all headers to the innermost L4 one must fit the first chunk
#define TL_VLANS_KEPT_MAX 4u     // VLAN ids kept for the record; any number of tags is decoded
#define TL_TUNNEL_DEPTH_MAX 8u   // encapsulations followed; deeper is counted as too_deep
#define TL_LAYERS_KEPT_MAX 12u   // layers of a path kept: one cache line; more are counted

enum tl_tunnel {
	TL_TUNNEL_NONE,
	TL_TUNNEL_GRE,       // also around Ethernet (TEB, NVGRE); the id is the key
	TL_TUNNEL_VXLAN,     // network identifier
	TL_TUNNEL_IPIP,      // any of the four IP-in-IP combinations, 6in4 and 4in6 among them
	TL_TUNNEL_MPLS,      // innermost label that names a path
	TL_TUNNEL_PPPOE,     // session
	TL_TUNNEL_ERSPAN,    // I, II and III; session, 0 with I
	TL_TUNNEL_GENEVE,    // network identifier
	TL_TUNNEL_VXLAN_GPE, // network identifier
	TL_TUNNEL_GTPU,      // tunnel endpoint identifier
	TL_TUNNEL_TEREDO,
	TL_TUNNEL_NSH,       // service path
	TL_TUNNEL_PBB,       // service instance
	TL_TUNNEL_VNTAG,     // virtual interface
	TL_TUNNEL_ETAG,      // port extender's channel (802.1BR)
	TL_TUNNEL_L2TP,      // version 2; tunnel << 16 | session
	TL_TUNNEL_COUNT
};

// In a set of encapsulations.
#define TL_TUNNEL_BIT(tunnel) (1u << (tunnel))

// The name used in records and the configuration: "vxlan" etc.
const char *tl_tunnel_name(enum tl_tunnel tunnel);
// The encapsulation of a name, TL_TUNNEL_NONE for a word that isn't one.
enum tl_tunnel tl_tunnel_by_name(const char *name);

// What surrounded the innermost IP packet. 16 bytes, plain: it also travels beside a packet
// that was put together from fragments.
struct tl_outer {
	uint16_t vlans[TL_VLANS_KEPT_MAX]; // outermost first, 12-bit ids
	uint8_t vlan_count;                // tags kept
	uint8_t tunnel;                    // innermost encapsulation, enum tl_tunnel
	uint8_t tunnel_depth;
	uint8_t reserved;
	uint32_t tunnel_id;                // of the innermost one, 0 if it has none
};

// All layers around the innermost IP packet, outermost first: each VLAN tag, each label of an MPLS
// stack and each encapsulation. For connections whose `outer` alone would leave something out.
struct tl_path {
	uint32_t ids[TL_LAYERS_KEPT_MAX];  // as in struct tl_outer, 0 for none
	uint8_t kinds[TL_LAYERS_KEPT_MAX]; // enum tl_tunnel, TL_TUNNEL_NONE: a VLAN tag
	uint8_t count;                     // of layers, those that were not kept included
	uint8_t reserved[3];
};

struct tl_chunk {
	const uint8_t *data;
	uint32_t len;
};

// One packet as captured. The first chunk holds all of it or at least its first
// TL_HEADERS_BYTES_MAX bytes. Borrowed: valid only during the call it is passed to.
struct tl_packet {
	const struct tl_chunk *chunks;
	uint16_t chunk_count;
	uint16_t link_type;    // enum tl_link_type or any other registered number
	uint8_t port;          // index of the port it came from
	bool is_reassembled;   // put together from fragments: `outer` is already known
	uint32_t len;          // bytes captured
	uint32_t original_len; // bytes on the wire, >= len
	uint64_t time_ns;      // since the epoch
	struct tl_outer outer; // with is_reassembled: what surrounded the first fragment
	const struct tl_path *path; // ... and all of it, never NULL
};

// Addresses are 16 bytes always; IPv4 is ::ffff:a.b.c.d, so that one comparison serves both.
struct tl_tuple {
	uint8_t source[16];
	uint8_t destination[16];
	uint16_t source_port;
	uint16_t destination_port;
	uint8_t protocol;   // IP protocol number of the L4 header, 6 or 17
	uint8_t ip_version; // 4 or 6, as on the wire
	uint16_t zero;      // keeps the struct free of padding: it is hashed and compared whole
};

enum tl_tcp_flag {
	TL_TCP_FIN = 0x01,
	TL_TCP_SYN = 0x02,
	TL_TCP_RST = 0x04,
	TL_TCP_PSH = 0x08,
	TL_TCP_ACK = 0x10,
	TL_TCP_URG = 0x20,
};

// The innermost IP packet's headers.
struct tl_headers {
	struct tl_tuple tuple;
	struct tl_outer outer;
	uint32_t l3_offset;         // of the innermost IP header in the packet
	uint32_t payload_offset;    // of the L4 payload (or of the fragment's data) in the packet
	uint32_t payload_len;       // L4 payload bytes that were captured
	uint32_t payload_wire_len;  // L4 payload bytes by the IP length: more when the snaplen cut
	uint16_t ip_id;             // IPv4 identification, 0 for IPv6
	uint16_t tcp_window;        // TCP only, as all that follow but ttl: as sent, unscaled
	uint8_t ttl;
	uint8_t tcp_flags;
	uint16_t tcp_mss;           // of a SYN, 0 if absent
	uint8_t tcp_window_scale;   // of a SYN, TL_NO_WINDOW_SCALE if absent
	bool tcp_has_timestamps;
	uint32_t tcp_seq;
	uint32_t tcp_ack;
	uint32_t tcp_timestamp;     // TSval
	uint8_t tcp_options_len;    // bytes of options right before the payload, 0 if they were cut
	// Fragments only (TL_DECODED_FRAGMENT)
	uint32_t fragment_id;
	uint32_t fragment_offset;   // bytes
	bool fragment_more;
};

#define TL_NO_WINDOW_SCALE 0xff

// What decoding came to. Everything that isn't OK or FRAGMENT is a drop cause with its counter.
enum tl_decoded {
	TL_DECODED_OK,           // TCP or UDP, `headers` complete
	TL_DECODED_FRAGMENT,     // an IP fragment: hand to tl_defrag_add
	TL_DECODED_NOT_IP,       // ARP, LLDP, STP ...
	TL_DECODED_OTHER_L4,     // ICMP, SCTP, ESP ...: IP, but nothing we follow
	TL_DECODED_LINK_TYPE,    // a link type we can't read
	TL_DECODED_MALFORMED,    // lengths or versions that contradict each other
	TL_DECODED_TRUNCATED,    // the snaplen cut into the headers
	TL_DECODED_TOO_DEEP,     // more encapsulations than TL_TUNNEL_DEPTH_MAX
	TL_DECODED_COUNT
};

// The word used in metrics and summaries: "not_ip" etc.
const char *tl_decoded_name(enum tl_decoded decoded);

// Reads the headers of `packet` down to the innermost TCP or UDP. Pure; any bytes are safe.
// `ret_headers` is complete for OK, has the fragment members and addresses for FRAGMENT, and is
// otherwise filled as far as decoding got.
// Sources: IEEE 802.1Q/802.1ad; RFC 791, 8200 (IP), 9293 (TCP), 768 (UDP), 2784 and 2890 (GRE),
// 7348 (VXLAN), 2003 and 4213 (IP in IP), 3032 and 4385 (MPLS), 2516 and 1661 (PPPoE), 8926 (Geneve),
// draft-ietf-nvo3-vxlan-gpe-13, draft-foschiano-erspan-03, 3GPP TS 29.281 (GTP-U), 4380 (Teredo),
// 8300 (NSH), 2661 (L2TP); IEEE 802.1ah (PBB), 802.1BR (E-TAG); linktypes above for SLL, SLL2, NULL
// and LOOP.
// Encapsulations of the set `left_alone` are not followed: what carries them is the packet then.
enum tl_decoded tl_packet_decode_but(const struct tl_packet *packet, uint32_t left_alone,
				     struct tl_headers *ret_headers);

// With all encapsulations followed.
static inline enum tl_decoded tl_packet_decode(const struct tl_packet *packet,
					       struct tl_headers *ret_headers)
{
	return tl_packet_decode_but(packet, 0, ret_headers);
}

// Lists the layers around a packet that tl_packet_decode_but() made `headers` of. Reads it once
// more: for the first packet of a connection and of a datagram, not for each.
void tl_packet_path(const struct tl_packet *packet, const struct tl_headers *headers,
		    struct tl_path *ret_path);

// Whether a path may tell more. False: the layers are a tunnel or VLAN ids, which `outer` has.
static inline bool tl_outer_has_path(const struct tl_outer *outer)
{
	return outer->tunnel_depth > 1 || outer->tunnel == TL_TUNNEL_MPLS ||
	       outer->vlan_count == TL_VLANS_KEPT_MAX ||
	       (outer->tunnel_depth != 0 && outer->vlan_count != 0);
}

// Copies up to `len` payload bytes from `offset` of the packet into `ret`; gives the number copied.
uint32_t tl_packet_copy(const struct tl_packet *packet, uint32_t offset, uint32_t len, void *ret);

// One end of a conversation. The port enters by a multiplication of its own: mixed into an
// address word, it would let a peer trade address bits for port bits without changing the hash.
static inline uint64_t tl_tuple_hash_end(const uint8_t address[16], uint16_t port, uint64_t seed)
{
	uint64_t h = tl_hash_mix(tl_hash_word(address, 8) ^ seed ^ UINT64_C(0xa0761d6478bd642f),
				 tl_hash_word(address + 8, 8) ^ UINT64_C(0xe7037ed1a0b428db));
	return tl_hash_mix(h ^ seed, port ^ UINT64_C(0x8ebc6af09c88c6e3));
}

// The symmetric flow hash: equal for both directions of a conversation.
// Both ends are hashed side by side and added, which is as symmetric as sorting them first but
// has no branch. A sum and no exclusive or: a host that talks to itself would always give 0.
static inline uint32_t tl_tuple_hash(const struct tl_tuple *tuple, uint64_t seed)
{
	uint64_t sum = tl_tuple_hash_end(tuple->source, tuple->source_port, seed) +
		       tl_tuple_hash_end(tuple->destination, tuple->destination_port, seed);
	return (uint32_t)tl_hash_mix(sum ^ tuple->protocol, UINT64_C(0x589965cc75374cc3));
}
