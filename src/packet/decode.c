// SPDX-License-Identifier: Apache-2.0
// Walks the headers from the link layer to the innermost TCP or UDP.
#include "packet/tunnels.h"

#define SLL_BYTES 16u
#define SLL2_BYTES 20u
#define FAMILY_BYTES 4u

// Chains of IPv6 extension headers longer than this are no traffic that hosts accept.
#define IPV6_EXTENSIONS_MAX 16u

#define ARPHRD_NETLINK 824 // its cooked "protocol" is a netlink family, no Ethernet type

// -- link layers

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
		if (id != 0)
			note_layer(w, TL_TUNNEL_NONE, id);
		w->type = tl_load_be16(here(w) + 2);
		w->at += VLAN_TAG_BYTES;
	}
	return by_ethertype(w->type);
}

// A type below 1536 is the length of an 802.3 frame (LLC, SNAP): no IP traffic of today.
static inline int read_ethertype(struct walk *w)
{
	return TL_UNLIKELY(is_vlan(w->type)) ? read_vlans(w) : by_ethertype(w->type);
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
	case PROTOCOL_IPV6:
		if (!is_followed(w, TL_TUNNEL_IPIP))
			return finish(w, TL_DECODED_OTHER_L4);
		return enter_tunnel(w, TL_TUNNEL_IPIP, 0,
				    w->protocol == PROTOCOL_IPV4 ? LAYER_IPV4 : LAYER_IPV6);
	case PROTOCOL_GRE:
		return LAYER_GRE;
	case PROTOCOL_AH:
		return read_ah(w);
	default:
		return finish(w, TL_DECODED_OTHER_L4);
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
	int layer = layer_of_ports(h->tuple.source_port, h->tuple.destination_port);
	return layer == TL_DECODED_OK ? finish(w, TL_DECODED_OK) : layer;
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
		default:
			if (layer < LAYER_TUNNEL)
				return layer;
			layer = read_tunnel(w, layer);
			break;
		}
	}
}

static inline enum tl_decoded walk(const struct tl_packet *packet, uint32_t left_alone,
				   struct tl_path *path, uint32_t path_end,
				   struct tl_headers *ret_headers)
{
	uint32_t wire = packet->original_len > packet->len ? packet->original_len : packet->len;
	struct walk w = {
		.packet = packet,
		.headers = ret_headers,
		.have = header_bytes(packet),
		.left_alone = left_alone,
		.path = path,
		.path_end = path_end,
	};

	if (w.have != 0)
		w.data = packet->chunks[0].data;
	set_end(&w, wire < WIRE_BYTES_MAX ? wire : WIRE_BYTES_MAX);
	clear(ret_headers);
	if (TL_UNLIKELY(packet->is_reassembled))
		ret_headers->outer = packet->outer;
	return (enum tl_decoded)follow(&w, read_link(&w));
}

enum tl_decoded tl_packet_walk(const struct tl_packet *packet, uint32_t left_alone,
			       struct tl_headers *ret_headers)
{
	return walk(packet, left_alone, NULL, 0, ret_headers);
}

// Follows every encapsulation: whichever was left alone lies behind the innermost IP header.
void tl_packet_path(const struct tl_packet *packet, const struct tl_headers *headers,
		    struct tl_path *ret_path)
{
	struct tl_headers again;

	*ret_path = packet->is_reassembled ? *packet->path : (struct tl_path) {.count = 0};
	(void)walk(packet, 0, ret_path, headers->l3_offset, &again);
}
