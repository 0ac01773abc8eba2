// SPDX-License-Identifier: Apache-2.0
// Internal to src/packet: the walk from header to header. Each header has one function that consumes
// it and names the layer that follows; a new encapsulation is one more function in tunnels.h and a
// case where its carrier is dispatched (by Ethernet type, IP protocol, GRE type or UDP port).
#pragma once

#include "base/check.h"
#include "packet/packet.h"

#include <assert.h>
#include <endian.h>
#include <stddef.h>

#define ETHERNET_BYTES 14u
#define VLAN_TAG_BYTES 4u
#define IPV4_BYTES_MIN 20u
#define IPV6_BYTES 40u
#define TCP_BYTES_MIN 20u
#define UDP_BYTES 8u

// Headers are looked for in this many bytes at most; it also keeps offset arithmetic far from
// the end of 32 bits, whatever lengths the caller was given.
#define REACH_BYTES_MAX 65536u
#define WIRE_BYTES_MAX (1u << 30)

enum {
	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_ERSPAN_3 = 0x22eb,
	TYPE_TEB = 0x6558, // transparent Ethernet bridging, inside GRE
	TYPE_VLAN = 0x8100,
	TYPE_IPV6 = 0x86dd,
	TYPE_MPLS = 0x8847,
	TYPE_MPLS_UPSTREAM = 0x8848,
	TYPE_PPPOE = 0x8864,
	TYPE_VLAN_SERVICE = 0x88a8,
	TYPE_ERSPAN = 0x88be, // I without a sequence number in GRE, II with one
	TYPE_PBB = 0x88e7,
	TYPE_VNTAG = 0x8926,
	TYPE_ETAG = 0x893f,
	TYPE_NSH = 0x894f,
	TYPE_VLAN_OLD_1 = 0x9100,
	TYPE_VLAN_OLD_2 = 0x9200,
};

enum {
	PROTOCOL_HOP_BY_HOP = 0,
	PROTOCOL_IPV4 = 4,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_IPV6 = 41,
	PROTOCOL_ROUTING = 43,
	PROTOCOL_FRAGMENT = 44,
	PROTOCOL_GRE = 47,
	PROTOCOL_AH = 51,
	PROTOCOL_NONE = 59,
	PROTOCOL_DESTINATION = 60,
};

enum {
	PORT_L2TP = 1701,
	PORT_GTPU = 2152,
	PORT_TEREDO = 3544,
	PORT_VXLAN = 4789,
	PORT_VXLAN_GPE = 4790,
	PORT_GENEVE = 6081,
	PORT_VXLAN_LINUX = 8472, // Linux's default before the port was assigned
};

// What comes next: a layer, or, below TL_DECODED_COUNT, the verdict.
enum layer {
	LAYER_ETHERNET = TL_DECODED_COUNT,
	LAYER_ETHERTYPE, // dispatch on walk.type
	LAYER_IP,        // version by the first nibble
	LAYER_IPV4,
	LAYER_IPV6,
	LAYER_PROTOCOL,  // dispatch on walk.protocol
	LAYER_TCP,
	LAYER_UDP,
	LAYER_TUNNEL,    // from here on tunnels.h reads them
	LAYER_MPLS = LAYER_TUNNEL,
	LAYER_PPPOE,
	LAYER_PBB,
	LAYER_VNTAG,
	LAYER_ETAG,
	LAYER_NSH,
	LAYER_GRE,
	LAYER_VXLAN,
	LAYER_GENEVE,
	LAYER_GTPU,
	LAYER_TEREDO,
	LAYER_L2TP,
};

struct walk {
	const struct tl_packet *packet;
	struct tl_headers *headers;
	const uint8_t *data; // of chunk 0
	uint32_t at;         // where the next header begins; never beyond `limit`
	uint32_t have;       // bytes of chunk 0 that may be read
	uint32_t end;        // where the enclosing layer ends by its own length; may exceed `have`
	uint32_t limit;      // the smaller of both
	uint32_t left_alone; // encapsulations that are not followed, a bit each
	uint32_t path_end;   // layers are noted up to here
	struct tl_path *path; // where, NULL: nowhere
	uint16_t type;       // for LAYER_ETHERTYPE
	uint8_t protocol;    // for LAYER_PROTOCOL
};

static inline const uint8_t *here(const struct walk *w)
{
	return w->data + w->at;
}

static inline bool has(const struct walk *w, uint32_t len)
{
	return TL_LIKELY(len <= w->limit - w->at);
}

// Why `len` bytes are not there.
static inline int missing(const struct walk *w, uint32_t len)
{
	if (w->at + len > w->end)
		return TL_DECODED_MALFORMED;
	// Captured, but behind the part that headers are read from.
	if (w->at + len <= w->packet->len)
		return TL_DECODED_TOO_DEEP;
	return TL_DECODED_TRUNCATED;
}

static inline void set_end(struct walk *w, uint32_t end)
{
	w->end = end;
	w->limit = end < w->have ? end : w->have;
}

// Ends the walk: everything from `at` to the layer's end is payload.
static inline int finish(struct walk *w, int verdict)
{
	struct tl_headers *h = w->headers;
	uint32_t captured = w->packet->len < w->end ? w->packet->len : w->end;

	h->payload_offset = w->at;
	h->payload_len = captured - w->at;
	h->payload_wire_len = w->end - w->at;
	return verdict;
}

static inline bool is_followed(const struct walk *w, enum tl_tunnel tunnel)
{
	return TL_LIKELY((w->left_alone & TL_TUNNEL_BIT(tunnel)) == 0);
}

static inline void note_layer(const struct walk *w, enum tl_tunnel kind, uint32_t id)
{
	struct tl_path *path = w->path;

	if (TL_LIKELY(path == NULL) || w->at > w->path_end || path->count == UINT8_MAX)
		return;
	if (path->count < TL_LAYERS_KEPT_MAX) {
		path->kinds[path->count] = (uint8_t)kind;
		path->ids[path->count] = id;
	}
	path->count++;
}

static inline int enter_tunnel(struct walk *w, enum tl_tunnel tunnel, uint32_t id, int layer)
{
	struct tl_outer *outer = &w->headers->outer;

	if (outer->tunnel_depth >= TL_TUNNEL_DEPTH_MAX)
		return TL_DECODED_TOO_DEEP;
	outer->tunnel_depth++;
	outer->tunnel = (uint8_t)tunnel;
	outer->tunnel_id = id;
	note_layer(w, tunnel, id);
	return layer;
}

static inline bool is_vlan(uint16_t type)
{
	return type == TYPE_VLAN || type == TYPE_VLAN_SERVICE || type == TYPE_VLAN_OLD_1 ||
	       type == TYPE_VLAN_OLD_2;
}

static inline int by_ethertype(uint16_t type)
{
	if (TL_LIKELY(type == TYPE_IPV4))
		return LAYER_IPV4;
	switch (type) {
	case TYPE_IPV6:
		return LAYER_IPV6;
	case TYPE_MPLS:
	case TYPE_MPLS_UPSTREAM:
		return LAYER_MPLS;
	case TYPE_PPPOE:
		return LAYER_PPPOE;
	case TYPE_PBB:
		return LAYER_PBB;
	case TYPE_VNTAG:
		return LAYER_VNTAG;
	case TYPE_ETAG:
		return LAYER_ETAG;
	case TYPE_NSH:
		return LAYER_NSH;
	default:
		return TL_DECODED_NOT_IP;
	}
}

// Any port of a datagram in this table may belong to an encapsulation: a filter in front of the
// comparisons, as nearly every datagram has other ports.
#define PORT_BIT(port) (UINT64_C(1) << ((port) & 63))
#define PORT_BITS                                                                                  \
	(PORT_BIT(PORT_L2TP) | PORT_BIT(PORT_GTPU) | PORT_BIT(PORT_TEREDO) | PORT_BIT(PORT_VXLAN) | \
	 PORT_BIT(PORT_VXLAN_GPE) | PORT_BIT(PORT_GENEVE) | PORT_BIT(PORT_VXLAN_LINUX))

// The encapsulation that a datagram's ports stand for, or TL_DECODED_OK. Those that answer from
// their own port are told by either, as a client may sit behind an address translation.
static inline int layer_of_ports(uint16_t source, uint16_t destination)
{
	if (TL_LIKELY(((PORT_BITS >> (source & 63) | PORT_BITS >> (destination & 63)) & 1) == 0))
		return TL_DECODED_OK;
	switch (destination) {
	case PORT_VXLAN:
	case PORT_VXLAN_LINUX:
	case PORT_VXLAN_GPE:
		return LAYER_VXLAN;
	case PORT_GENEVE:
		return LAYER_GENEVE;
	case PORT_GTPU:
		return LAYER_GTPU;
	case PORT_TEREDO:
		return LAYER_TEREDO;
	case PORT_L2TP:
		return LAYER_L2TP;
	default:
		return source == PORT_TEREDO ? LAYER_TEREDO
		       : source == PORT_L2TP ? LAYER_L2TP
					     : TL_DECODED_OK;
	}
}

// The general way, which reads everything.
enum tl_decoded tl_packet_walk(const struct tl_packet *packet, uint32_t left_alone,
			       struct tl_headers *ret_headers);

// ---- what both ways share --------------------------------------------------------------------

// In two words, as it is read again at once: loads wait for stores of other sizes.
static inline void write_mapped(uint8_t ret_address[16], const uint8_t *ipv4)
{
	uint64_t word[2] = {0, htole64((uint64_t)tl_load_le32(ipv4) << 32 | 0xffff0000)};

	memcpy(ret_address, word, sizeof(word));
}

static inline void read_tcp_options(struct tl_headers *h, const uint8_t *p, uint32_t len)
{
	// What nearly every segment carries: two fillers and the timestamps.
	if (TL_LIKELY(len >= 12 && tl_load_be32(p) == 0x0101080a)) {
		h->tcp_has_timestamps = true;
		h->tcp_timestamp = tl_load_be32(p + 4);
		if (len == 12)
			return;
	}
	for (uint32_t at = 0; at < len && p[at] != 0;) {
		if (p[at] == 1) {
			at++;
			continue;
		}
		if (len - at < 2 || p[at + 1] < 2 || p[at + 1] > len - at)
			return;
		const uint8_t *option = p + at;
		at += option[1];
		if (option[0] == 8 && option[1] == 10) {
			h->tcp_has_timestamps = true;
			h->tcp_timestamp = tl_load_be32(option + 2);
		}
		if ((h->tcp_flags & TL_TCP_SYN) == 0)
			continue;
		if (option[0] == 2 && option[1] == 4)
			h->tcp_mss = tl_load_be16(option + 2);
		else if (option[0] == 3 && option[1] == 3)
			h->tcp_window_scale = option[2] < 14 ? option[2] : 14; // RFC 7323, 2.3
	}
}

// Bytes that headers may be read from: all are in the first chunk.
static inline uint32_t header_bytes(const struct tl_packet *packet)
{
	uint32_t len = packet->chunk_count != 0 ? packet->chunks[0].len : 0;

	// A shorter first chunk is the caller's bug; what doesn't fit is then TOO_DEEP.
	TL_CHECK(len >= packet->len || len >= TL_HEADERS_BYTES_MAX);
	if (len > packet->len)
		len = packet->len;
	return len < REACH_BYTES_MAX ? len : REACH_BYTES_MAX;
}

// Assigning the whole struct at once makes gcc emit `rep stos`, whose start alone takes 10 ns; in
// parts it is a handful of vector stores.
static inline void clear(struct tl_headers *h)
{
	static_assert(sizeof(*h) - offsetof(struct tl_headers, l3_offset) <= 64, "two more stores");

	h->tuple = (struct tl_tuple) {.zero = 0};
	h->outer = (struct tl_outer) {.tunnel = TL_TUNNEL_NONE};
	memset(&h->l3_offset, 0, 32);
	uint8_t *rest = (uint8_t *)&h->l3_offset + 32;
	memset(rest, 0, sizeof(*h) - offsetof(struct tl_headers, l3_offset) - 32);
	h->tcp_window_scale = TL_NO_WINDOW_SCALE;
}
