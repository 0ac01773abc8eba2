// SPDX-License-Identifier: Apache-2.0
// Walks the headers from the link layer to the innermost TCP or UDP. Each header has one function
// that consumes it and names the layer that follows; a new encapsulation is one more function
// and a case in the dispatch of its carrier (by_ethertype, by_protocol, by_gre_type, by_udp_port).
#include "base/check.h"
#include "packet/packet.h"

#include <assert.h>
#include <endian.h>
#include <stddef.h>

#define ETHERNET_BYTES 14u
#define SLL_BYTES 16u
#define SLL2_BYTES 20u
#define FAMILY_BYTES 4u
#define VLAN_TAG_BYTES 4u
#define IPV4_BYTES_MIN 20u
#define IPV6_BYTES 40u
#define TCP_BYTES_MIN 20u
#define UDP_BYTES 8u
#define VXLAN_BYTES 8u

// Headers are looked for in this many bytes at most; it also keeps offset arithmetic far from
// the end of 32 bits, whatever lengths the caller was given.
#define REACH_BYTES_MAX 65536u
#define WIRE_BYTES_MAX (1u << 30)

// Chains of IPv6 extension headers longer than this are no traffic that hosts accept.
#define IPV6_EXTENSIONS_MAX 16u

#define ARPHRD_NETLINK 824 // its cooked "protocol" is a netlink family, no Ethernet type

enum {
	TYPE_IPV4 = 0x0800,
	TYPE_TEB = 0x6558, // transparent Ethernet bridging, inside GRE
	TYPE_VLAN = 0x8100,
	TYPE_IPV6 = 0x86dd,
	TYPE_VLAN_SERVICE = 0x88a8,
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
	PORT_VXLAN = 4789,
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
	LAYER_GRE,
	LAYER_VXLAN,
};

struct walk {
	const struct tl_packet *packet;
	struct tl_headers *headers;
	const uint8_t *data; // of chunk 0
	uint32_t at;         // where the next header begins; never beyond `limit`
	uint32_t have;       // bytes of chunk 0 that may be read
	uint32_t end;        // where the enclosing layer ends by its own length; may exceed `have`
	uint32_t limit;      // the smaller of both
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
static int missing(const struct walk *w, uint32_t len)
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

static int enter_tunnel(struct walk *w, enum tl_tunnel tunnel, uint32_t id, int layer)
{
	struct tl_outer *outer = &w->headers->outer;

	if (outer->tunnel_depth >= TL_TUNNEL_DEPTH_MAX)
		return TL_DECODED_TOO_DEEP;
	outer->tunnel_depth++;
	outer->tunnel = (uint8_t)tunnel;
	outer->tunnel_id = id;
	return layer;
}

// -- link layers

static inline int by_ethertype(const struct walk *w)
{
	if (TL_LIKELY(w->type == TYPE_IPV4))
		return LAYER_IPV4;
	return w->type == TYPE_IPV6 ? LAYER_IPV6 : TL_DECODED_NOT_IP;
}

static inline bool is_vlan(uint16_t type)
{
	return type == TYPE_VLAN || type == TYPE_VLAN_SERVICE || type == TYPE_VLAN_OLD_1 ||
	       type == TYPE_VLAN_OLD_2;
}

// Any number of tags: each takes four captured bytes, so the loop ends with the packet.
static int read_vlans(struct walk *w)
{
	struct tl_outer *outer = &w->headers->outer;

	while (is_vlan(w->type)) {
		if (!has(w, VLAN_TAG_BYTES))
			return missing(w, VLAN_TAG_BYTES);
		uint16_t id = tl_load_be16(here(w)) & 0x0fff;
		// Id 0 is a priority mark without a VLAN.
		if (id != 0 && outer->vlan_count < TL_VLANS_KEPT_MAX)
			outer->vlans[outer->vlan_count++] = id;
		w->type = tl_load_be16(here(w) + 2);
		w->at += VLAN_TAG_BYTES;
	}
	return by_ethertype(w);
}

// A type below 1536 is the length of an 802.3 frame (LLC, SNAP): no IP traffic of today.
static inline int read_ethertype(struct walk *w)
{
	return TL_UNLIKELY(is_vlan(w->type)) ? read_vlans(w) : by_ethertype(w);
}

static inline int read_ethernet(struct walk *w)
{
	if (!has(w, ETHERNET_BYTES))
		return missing(w, ETHERNET_BYTES);
	w->type = tl_load_be16(here(w) + 12);
	w->at += ETHERNET_BYTES;
	return LAYER_ETHERTYPE;
}

static int read_sll(struct walk *w)
{
	if (!has(w, SLL_BYTES))
		return missing(w, SLL_BYTES);
	if (tl_load_be16(here(w) + 2) == ARPHRD_NETLINK)
		return TL_DECODED_NOT_IP;
	w->type = tl_load_be16(here(w) + 14);
	w->at += SLL_BYTES;
	return LAYER_ETHERTYPE;
}

static int read_sll2(struct walk *w)
{
	if (!has(w, SLL2_BYTES))
		return missing(w, SLL2_BYTES);
	if (tl_load_be16(here(w) + 8) == ARPHRD_NETLINK)
		return TL_DECODED_NOT_IP;
	w->type = tl_load_be16(here(w));
	w->at += SLL2_BYTES;
	return LAYER_ETHERTYPE;
}

// The address family of the capturing system in its own byte order, which the file doesn't tell;
// families are small numbers, so the order shows. IPv6 is 24, 28 or 30 on the BSDs, 10 on Linux.
static int read_family(struct walk *w)
{
	if (!has(w, FAMILY_BYTES))
		return missing(w, FAMILY_BYTES);
	uint32_t family = tl_load_le32(here(w));
	if (family > UINT16_MAX)
		family = tl_load_be32(here(w));
	w->at += FAMILY_BYTES;
	switch (family) {
	case 2:
		return LAYER_IPV4;
	case 10:
	case 24:
	case 28:
	case 30:
		return LAYER_IPV6;
	default:
		return TL_DECODED_NOT_IP;
	}
}

static int read_link(struct walk *w)
{
	switch (w->packet->link_type) {
	case TL_LINK_ETHERNET:
		return read_ethernet(w);
	case TL_LINK_SLL:
		return read_sll(w);
	case TL_LINK_SLL2:
		return read_sll2(w);
	case TL_LINK_NULL:
	case TL_LINK_LOOP:
		return read_family(w);
	case TL_LINK_RAW:
	case TL_LINK_RAW_BSD:
		return LAYER_IP;
	case TL_LINK_IPV4:
		return LAYER_IPV4;
	case TL_LINK_IPV6:
		return LAYER_IPV6;
	default:
		return TL_DECODED_LINK_TYPE;
	}
}

// -- IP

// In two words, as it is read again at once: loads wait for stores of other sizes.
static inline void write_mapped(uint8_t ret_address[16], const uint8_t *ipv4)
{
	uint64_t word[2] = {0, htobe64(UINT64_C(0xffff00000000) | tl_load_be32(ipv4))};

	memcpy(ret_address, word, sizeof(word));
}

static int read_ip(struct walk *w)
{
	if (!has(w, 1))
		return missing(w, 1);
	switch (here(w)[0] >> 4) {
	case 4:
		return LAYER_IPV4;
	case 6:
		return LAYER_IPV6;
	default:
		return TL_DECODED_MALFORMED;
	}
}

// The IP length bounds what follows: Ethernet pads short frames, and trailers exist. For the
// outermost header it wins over the length on the wire too, since some tools cut packets and
// forget to say so; inside a tunnel a longer packet than its carrier is nonsense.
static inline bool set_ip_end(struct walk *w, uint32_t end)
{
	if (end > w->end && w->headers->outer.tunnel_depth != 0)
		return false;
	set_end(w, end);
	return true;
}

static inline int read_ipv4(struct walk *w)
{
	if (!has(w, IPV4_BYTES_MIN))
		return missing(w, IPV4_BYTES_MIN);
	struct tl_headers *h = w->headers;
	const uint8_t *p = here(w);
	uint32_t header_len = (p[0] & 0x0fu) * 4;
	uint32_t total_len = tl_load_be16(p + 2);
	uint16_t fragment = tl_load_be16(p + 6);

	if (p[0] >> 4 != 4 || header_len < IPV4_BYTES_MIN)
		return TL_DECODED_MALFORMED;
	// A segment that the NIC was still to cut (TSO) may have no length yet: it fills the packet.
	if (TL_LIKELY(total_len != 0)) {
		if (total_len < header_len || !set_ip_end(w, w->at + total_len))
			return TL_DECODED_MALFORMED;
	}
	if (!has(w, header_len))
		return missing(w, header_len);
	h->l3_offset = w->at;
	h->tuple.ip_version = 4;
	h->tuple.protocol = p[9];
	write_mapped(h->tuple.source, p + 12);
	write_mapped(h->tuple.destination, p + 16);
	h->ip_id = tl_load_be16(p + 4);
	h->ttl = p[8];
	w->at += header_len;
	if (TL_UNLIKELY((fragment & 0x3fff) != 0)) {
		h->fragment_id = h->ip_id;
		h->fragment_offset = (fragment & 0x1fffu) * 8;
		h->fragment_more = (fragment & 0x2000) != 0;
		return finish(w, TL_DECODED_FRAGMENT);
	}
	w->protocol = p[9];
	return LAYER_PROTOCOL;
}

// Consumes one extension header and gives LAYER_IPV6 while more may follow.
static int read_ipv6_extension(struct walk *w)
{
	struct tl_headers *h = w->headers;

	if (!has(w, 8))
		return missing(w, 8);
	const uint8_t *p = here(w);
	uint32_t len = (p[1] + 1u) * 8;
	if (w->protocol == PROTOCOL_AH) {
		len = (p[1] + 2u) * 4;
	} else if (w->protocol == PROTOCOL_FRAGMENT) {
		len = 8;
		h->fragment_offset = tl_load_be16(p + 2) & 0xfff8u;
		h->fragment_more = (p[3] & 1) != 0;
		h->fragment_id = tl_load_be32(p + 4);
	}
	if (!has(w, len))
		return missing(w, len);
	bool was_fragment = w->protocol == PROTOCOL_FRAGMENT;
	w->protocol = p[0];
	h->tuple.protocol = p[0];
	w->at += len;
	// A fragment header without offset and successor is a whole packet (RFC 6946).
	if (was_fragment && (h->fragment_offset != 0 || h->fragment_more))
		return finish(w, TL_DECODED_FRAGMENT);
	return LAYER_IPV6;
}

static inline bool is_ipv6_extension(uint8_t protocol)
{
	return protocol == PROTOCOL_HOP_BY_HOP || protocol == PROTOCOL_ROUTING ||
	       protocol == PROTOCOL_FRAGMENT || protocol == PROTOCOL_DESTINATION ||
	       protocol == PROTOCOL_AH;
}

static inline int read_ipv6(struct walk *w)
{
	if (!has(w, IPV6_BYTES))
		return missing(w, IPV6_BYTES);
	struct tl_headers *h = w->headers;
	const uint8_t *p = here(w);
	uint32_t payload_len = tl_load_be16(p + 4);

	if (p[0] >> 4 != 6)
		return TL_DECODED_MALFORMED;
	// 0: a jumbogram (RFC 2675) or a segment before segmentation; both fill the packet.
	if (TL_LIKELY(payload_len != 0 || p[6] == PROTOCOL_NONE)) {
		if (!set_ip_end(w, w->at + IPV6_BYTES + payload_len))
			return TL_DECODED_MALFORMED;
	}
	h->l3_offset = w->at;
	h->tuple.ip_version = 6;
	h->tuple.protocol = p[6];
	memcpy(h->tuple.source, p + 8, 16);
	memcpy(h->tuple.destination, p + 24, 16);
	h->ip_id = 0;
	h->ttl = p[7];
	w->protocol = p[6];
	w->at += IPV6_BYTES;
	for (uint32_t i = 0; TL_UNLIKELY(is_ipv6_extension(w->protocol)); i++) {
		int next = i < IPV6_EXTENSIONS_MAX ? read_ipv6_extension(w) : TL_DECODED_MALFORMED;
		if (next != LAYER_IPV6)
			return next;
	}
	return LAYER_PROTOCOL;
}

// -- what IP carries

// The authentication header of IPv4; of IPv6 it is one of the extension headers.
static int read_ah(struct walk *w)
{
	if (!has(w, 8))
		return missing(w, 8);
	uint32_t len = (here(w)[1] + 2u) * 4;
	if (!has(w, len))
		return missing(w, len);
	w->protocol = here(w)[0];
	w->headers->tuple.protocol = w->protocol;
	w->at += len;
	return LAYER_PROTOCOL;
}

static inline int by_protocol(struct walk *w)
{
	switch (w->protocol) {
	case PROTOCOL_TCP:
		return LAYER_TCP;
	case PROTOCOL_UDP:
		return LAYER_UDP;
	case PROTOCOL_IPV4:
		return enter_tunnel(w, TL_TUNNEL_IPIP, 0, LAYER_IPV4);
	case PROTOCOL_IPV6:
		return enter_tunnel(w, TL_TUNNEL_IPIP, 0, LAYER_IPV6);
	case PROTOCOL_GRE:
		return LAYER_GRE;
	case PROTOCOL_AH:
		return read_ah(w);
	default:
		return finish(w, TL_DECODED_OTHER_L4);
	}
}

static int by_gre_type(struct walk *w, uint16_t type, uint32_t key)
{
	switch (type) {
	case TYPE_IPV4:
		return enter_tunnel(w, TL_TUNNEL_GRE, key, LAYER_IPV4);
	case TYPE_IPV6:
		return enter_tunnel(w, TL_TUNNEL_GRE, key, LAYER_IPV6);
	case TYPE_TEB:
		return enter_tunnel(w, TL_TUNNEL_GRE, key, LAYER_ETHERNET);
	default:
		return finish(w, TL_DECODED_OTHER_L4);
	}
}

static int read_gre(struct walk *w)
{
	if (!has(w, 4))
		return missing(w, 4);
	const uint8_t *p = here(w);
	uint16_t flags = tl_load_be16(p);
	uint32_t key = 0;
	uint32_t len = 4;

	// Version 1 is PPTP; source routing (RFC 1701) was withdrawn.
	if ((flags & 0x4007) != 0)
		return finish(w, TL_DECODED_OTHER_L4);
	if ((flags & 0x8000) != 0) // checksum and reserved
		len += 4;
	uint32_t key_at = len;
	if ((flags & 0x2000) != 0)
		len += 4;
	if ((flags & 0x1000) != 0) // sequence number
		len += 4;
	if (!has(w, len))
		return missing(w, len);
	if ((flags & 0x2000) != 0)
		key = tl_load_be32(p + key_at);
	w->at += len;
	return by_gre_type(w, tl_load_be16(p + 2), key);
}

// The port alone proves nothing: a client may have drawn it. The fixed bits must be right too
// (0x80 and the two words behind it belong to group policies).
static int read_vxlan(struct walk *w)
{
	if (w->end - w->at < VXLAN_BYTES)
		return finish(w, TL_DECODED_OK);
	if (!has(w, VXLAN_BYTES))
		return missing(w, VXLAN_BYTES);
	const uint8_t *p = here(w);
	if ((p[0] & 0x7f) != 0x08 || p[7] != 0)
		return finish(w, TL_DECODED_OK);
	w->at += VXLAN_BYTES;
	return enter_tunnel(w, TL_TUNNEL_VXLAN, tl_load_be32(p + 4) >> 8, LAYER_ETHERNET);
}

static inline int by_udp_port(struct walk *w, uint16_t destination)
{
	switch (destination) {
	case PORT_VXLAN:
	case PORT_VXLAN_LINUX:
		return LAYER_VXLAN;
	default:
		return finish(w, TL_DECODED_OK);
	}
}

static inline int read_udp(struct walk *w)
{
	if (!has(w, UDP_BYTES))
		return missing(w, UDP_BYTES);
	struct tl_headers *h = w->headers;
	const uint8_t *p = here(w);
	uint32_t room = w->end - w->at;
	uint32_t len = tl_load_be16(p + 4);

	if (len == 0 && h->tuple.ip_version == 6)
		len = room; // RFC 2675, section 4
	if (len < UDP_BYTES || len > room)
		return TL_DECODED_MALFORMED;
	h->tuple.source_port = tl_load_be16(p);
	h->tuple.destination_port = tl_load_be16(p + 2);
	set_end(w, w->at + len);
	w->at += UDP_BYTES;
	return by_udp_port(w, h->tuple.destination_port);
}

static void read_tcp_options(struct tl_headers *h, const uint8_t *p, uint32_t len)
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

// Options that the snaplen cut off don't spoil a segment: its sequence space is known, and
// capturing 64 bytes per packet is common.
static inline int read_tcp(struct walk *w)
{
	if (!has(w, TCP_BYTES_MIN))
		return missing(w, TCP_BYTES_MIN);
	struct tl_headers *h = w->headers;
	const uint8_t *p = here(w);
	uint32_t header_len = (p[12] >> 4) * 4u;
	uint32_t left = w->limit - w->at;

	if (header_len < TCP_BYTES_MIN || header_len > w->end - w->at)
		return TL_DECODED_MALFORMED;
	h->tuple.source_port = tl_load_be16(p);
	h->tuple.destination_port = tl_load_be16(p + 2);
	h->tcp_seq = tl_load_be32(p + 4);
	h->tcp_ack = tl_load_be32(p + 8);
	h->tcp_flags = p[13];
	h->tcp_window = tl_load_be16(p + 14);
	uint32_t options_len = (header_len < left ? header_len : left) - TCP_BYTES_MIN;
	if (options_len != 0)
		read_tcp_options(h, p + TCP_BYTES_MIN, options_len);
	if (TL_UNLIKELY(header_len > left)) {
		if (w->at + header_len <= w->packet->len)
			return TL_DECODED_TOO_DEEP;
		h->payload_offset = w->packet->len;
		h->payload_wire_len = w->end - w->at - header_len;
		return TL_DECODED_OK;
	}
	h->tcp_options_len = (uint8_t)options_len;
	w->at += header_len;
	return finish(w, TL_DECODED_OK);
}

// Ends: every layer consumes bytes of the packet, except for tunnels, whose depth is bounded.
static int follow(struct walk *w, int layer)
{
	for (;;) {
		switch (layer) {
		case LAYER_ETHERNET:
			layer = read_ethernet(w);
			break;
		case LAYER_ETHERTYPE:
			layer = read_ethertype(w);
			break;
		case LAYER_IP:
			layer = read_ip(w);
			break;
		case LAYER_IPV4:
			layer = read_ipv4(w);
			break;
		case LAYER_IPV6:
			layer = read_ipv6(w);
			break;
		case LAYER_PROTOCOL:
			layer = by_protocol(w);
			break;
		case LAYER_TCP:
			layer = read_tcp(w);
			break;
		case LAYER_UDP:
			layer = read_udp(w);
			break;
		case LAYER_GRE:
			layer = read_gre(w);
			break;
		case LAYER_VXLAN:
			layer = read_vxlan(w);
			break;
		default:
			return layer;
		}
	}
}

// Bytes that headers may be read from: all are in the first chunk.
static uint32_t header_bytes(const struct tl_packet *packet)
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

// -- the straight way

static inline void read_plain_tcp(struct tl_headers *h, const uint8_t *p, uint32_t header_len)
{
	h->tcp_flags = p[13];
	h->tcp_window = tl_load_be16(p + 14);
	h->tcp_seq = tl_load_be32(p + 4);
	h->tcp_ack = tl_load_be32(p + 8);
	h->tcp_options_len = (uint8_t)(header_len - TCP_BYTES_MIN);
	if (header_len != TCP_BYTES_MIN)
		read_tcp_options(h, p + TCP_BYTES_MIN, header_len - TCP_BYTES_MIN);
}

// What nearly all packets are, without a dispatch per layer: Ethernet with one VLAN tag or none,
// IPv4 without options or fragments, TCP or UDP, all headers there and all lengths in order. False
// for anything else, about which it decides nothing: the walk does.
static inline bool decode_plain(const struct tl_packet *packet, struct tl_headers *h)
{
	uint32_t have = packet->chunk_count != 0 ? packet->chunks[0].len : 0;
	uint32_t at = ETHERNET_BYTES;
	uint16_t vlan = 0;

	have = have < packet->len ? have : packet->len;
	if (packet->link_type != TL_LINK_ETHERNET || packet->is_reassembled ||
	    have < ETHERNET_BYTES + VLAN_TAG_BYTES + IPV4_BYTES_MIN + TCP_BYTES_MIN)
		return false;
	const uint8_t *data = packet->chunks[0].data;
	uint16_t type = tl_load_be16(data + 12);
	if (type == TYPE_VLAN) {
		vlan = tl_load_be16(data + 14) & 0x0fff;
		type = tl_load_be16(data + 16);
		at += VLAN_TAG_BYTES;
	}
	const uint8_t *ip = data + at;
	uint32_t total_len = tl_load_be16(ip + 2);
	if (type != TYPE_IPV4 || ip[0] != 0x45 || (tl_load_be16(ip + 6) & 0x3fff) != 0)
		return false;
	const uint8_t *l4 = ip + IPV4_BYTES_MIN;
	uint32_t header_len = UDP_BYTES;
	uint32_t end = at + total_len;
	if (TL_LIKELY(ip[9] == PROTOCOL_TCP)) {
		header_len = (l4[12] >> 4) * 4u;
		if (header_len < TCP_BYTES_MIN)
			return false;
	} else if (ip[9] == PROTOCOL_UDP) {
		uint16_t destination = tl_load_be16(l4 + 2);
		if (destination == PORT_VXLAN || destination == PORT_VXLAN_LINUX ||
		    tl_load_be16(l4 + 4) < UDP_BYTES)
			return false;
		end = at + IPV4_BYTES_MIN + tl_load_be16(l4 + 4);
	} else {
		return false;
	}
	uint32_t payload = at + IPV4_BYTES_MIN + header_len;
	if (payload > have || payload > end || end > at + total_len)
		return false;
	clear(h);
	h->tuple.protocol = ip[9];
	h->tuple.ip_version = 4;
	write_mapped(h->tuple.source, ip + 12);
	write_mapped(h->tuple.destination, ip + 16);
	h->outer.vlans[0] = vlan;
	h->outer.vlan_count = vlan != 0; // id 0 is a priority mark
	h->l3_offset = at;
	h->payload_offset = payload;
	h->payload_len = (packet->len < end ? packet->len : end) - payload;
	h->payload_wire_len = end - payload;
	h->ip_id = tl_load_be16(ip + 4);
	h->ttl = ip[8];
	h->tuple.source_port = tl_load_be16(l4);
	h->tuple.destination_port = tl_load_be16(l4 + 2);
	if (TL_LIKELY(ip[9] == PROTOCOL_TCP))
		read_plain_tcp(h, l4, header_len);
	return true;
}

static __attribute__((noinline)) enum tl_decoded decode_walk(const struct tl_packet *packet,
							     struct tl_headers *ret_headers)
{
	uint32_t wire = packet->original_len > packet->len ? packet->original_len : packet->len;
	struct walk w = {
		.packet = packet,
		.headers = ret_headers,
		.have = header_bytes(packet),
	};

	if (w.have != 0)
		w.data = packet->chunks[0].data;
	set_end(&w, wire < WIRE_BYTES_MAX ? wire : WIRE_BYTES_MAX);
	clear(ret_headers);
	if (TL_UNLIKELY(packet->is_reassembled))
		ret_headers->outer = packet->outer;
	return (enum tl_decoded)follow(&w, read_link(&w));
}

enum tl_decoded tl_packet_decode(const struct tl_packet *packet, struct tl_headers *ret_headers)
{
	if (TL_LIKELY(decode_plain(packet, ret_headers)))
		return TL_DECODED_OK;
	return decode_walk(packet, ret_headers);
}
