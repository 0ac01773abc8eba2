// SPDX-License-Identifier: Apache-2.0
// The straight way: what nearly all packets are, without a dispatch per layer. Ethernet with one VLAN
// tag or none, IP without options, extensions or fragments, TCP or UDP, also inside
// encapsulations; all headers there and all lengths in order. It decides nothing about anything
// else: the walk does, from the start.
#include "packet/tunnels.h"

// Left to itself, the compiler keeps the place in memory.
#define INLINE static inline __attribute__((always_inline))

// What comes next when the walk is to decide: no layer.
#define UP_TO_THE_WALK TL_DECODED_NOT_IP

// Where the reading is. Plain values, so that they stay in registers.
struct place {
	uint32_t at;
	uint32_t end;   // of the enclosing layer by its own length, 0 outside of all
	uint32_t limit; // the same, or where the bytes end
	uint32_t l3;    // where the IP header begins that was read last
	int next;       // layer
};

INLINE bool is_there(const struct place *p, uint32_t len)
{
	return TL_LIKELY(p->limit - p->at >= len);
}

INLINE void narrow(struct place *p, uint32_t end)
{
	p->end = end;
	p->limit = end < p->limit ? end : p->limit;
}

INLINE int read_ethernet(struct place *p, const uint8_t *data, struct tl_headers *h)
{
	struct tl_outer *outer = &h->outer;

	if (!is_there(p, ETHERNET_BYTES + VLAN_TAG_BYTES))
		return UP_TO_THE_WALK;
	const uint8_t *frame = data + p->at;
	uint16_t type = tl_load_be16(frame + 12);
	p->at += ETHERNET_BYTES;
	if (type == TYPE_VLAN) {
		uint16_t vlan = tl_load_be16(frame + 14) & 0x0fff;
		if (outer->vlan_count == TL_VLANS_KEPT_MAX)
			return UP_TO_THE_WALK;
		outer->vlans[outer->vlan_count] = vlan;
		outer->vlan_count = (uint8_t)(outer->vlan_count + (vlan != 0)); // 0 is a priority mark
		type = tl_load_be16(frame + 16);
		p->at += VLAN_TAG_BYTES;
	}
	return by_ethertype(type);
}

INLINE int by_plain_protocol(struct tl_headers *h, uint8_t protocol, uint32_t left_alone)
{
	struct walk w = {.headers = h, .left_alone = left_alone};

	if (TL_LIKELY(protocol == PROTOCOL_TCP))
		return LAYER_TCP;
	if (protocol == PROTOCOL_UDP)
		return LAYER_UDP;
	if (protocol == PROTOCOL_GRE)
		return LAYER_GRE;
	if ((protocol != PROTOCOL_IPV4 && protocol != PROTOCOL_IPV6) ||
	    !is_followed(&w, TL_TUNNEL_IPIP))
		return UP_TO_THE_WALK;
	return enter_tunnel(&w, TL_TUNNEL_IPIP, 0,
			    protocol == PROTOCOL_IPV4 ? LAYER_IPV4 : LAYER_IPV6);
}

// Inside a tunnel a longer packet than its carrier is nonsense.
INLINE bool is_end_odd(const struct place *p, uint32_t end)
{
	return p->end != 0 && end > p->end;
}

// Only checked: the packet's own header is written when its end is known, those of carriers never.
INLINE int read_ipv4(struct place *p, const uint8_t *data, struct tl_headers *h,
			    uint32_t left_alone)
{
	if (!is_there(p, IPV4_BYTES_MIN))
		return UP_TO_THE_WALK;
	const uint8_t *ip = data + p->at;
	uint32_t total_len = tl_load_be16(ip + 2);
	uint32_t end = p->at + total_len;
	if (ip[0] != 0x45 || (tl_load_be16(ip + 6) & 0x3fff) != 0 || total_len < IPV4_BYTES_MIN ||
	    is_end_odd(p, end))
		return UP_TO_THE_WALK;
	p->l3 = p->at;
	p->at += IPV4_BYTES_MIN;
	narrow(p, end);
	return by_plain_protocol(h, ip[9], left_alone);
}

INLINE int read_ipv6(struct place *p, const uint8_t *data, struct tl_headers *h,
			    uint32_t left_alone)
{
	if (!is_there(p, IPV6_BYTES))
		return UP_TO_THE_WALK;
	const uint8_t *ip = data + p->at;
	uint32_t payload_len = tl_load_be16(ip + 4);
	uint32_t end = p->at + IPV6_BYTES + payload_len;
	if (ip[0] >> 4 != 6 || payload_len == 0 || is_end_odd(p, end))
		return UP_TO_THE_WALK;
	p->l3 = p->at;
	p->at += IPV6_BYTES;
	narrow(p, end);
	return by_plain_protocol(h, ip[6], left_alone);
}

INLINE void write_ip(const struct place *p, const uint8_t *data, struct tl_headers *h)
{
	const uint8_t *ip = data + p->l3;

	h->l3_offset = p->l3;
	if (TL_LIKELY(ip[0] == 0x45)) {
		h->tuple.ip_version = 4;
		write_mapped(h->tuple.source, ip + 12);
		write_mapped(h->tuple.destination, ip + 16);
		h->ip_id = tl_load_be16(ip + 4);
		h->ttl = ip[8];
	} else {
		h->tuple.ip_version = 6;
		memcpy(h->tuple.source, ip + 8, 16);
		memcpy(h->tuple.destination, ip + 24, 16);
		h->ttl = ip[7];
	}
}

// The payload begins here.
INLINE void finish_straight(const struct place *p, const struct tl_packet *packet,
				   struct tl_headers *h)
{
	write_ip(p, packet->chunks[0].data, h);
	h->payload_offset = p->at;
	h->payload_len = (packet->len < p->end ? packet->len : p->end) - p->at;
	h->payload_wire_len = p->end - p->at;
}

INLINE bool read_tcp(struct place *p, const struct tl_packet *packet, const uint8_t *data,
			    struct tl_headers *h)
{
	if (!is_there(p, TCP_BYTES_MIN))
		return false;
	const uint8_t *tcp = data + p->at;
	uint32_t header_len = (tcp[12] >> 4) * 4u;
	if (header_len < TCP_BYTES_MIN || !is_there(p, header_len))
		return false;
	h->tuple.protocol = PROTOCOL_TCP;
	h->tuple.source_port = tl_load_be16(tcp);
	h->tuple.destination_port = tl_load_be16(tcp + 2);
	h->tcp_flags = tcp[13];
	h->tcp_window = tl_load_be16(tcp + 14);
	h->tcp_seq = tl_load_be32(tcp + 4);
	h->tcp_ack = tl_load_be32(tcp + 8);
	h->tcp_options_len = (uint8_t)(header_len - TCP_BYTES_MIN);
	if (header_len != TCP_BYTES_MIN)
		read_tcp_options(h, tcp + TCP_BYTES_MIN, header_len - TCP_BYTES_MIN);
	p->at += header_len;
	finish_straight(p, packet, h);
	return true;
}

// Gives TL_DECODED_OK for a datagram that is no encapsulation: its headers are written then.
INLINE int read_udp(struct place *p, const struct tl_packet *packet, const uint8_t *data,
			   struct tl_headers *h)
{
	if (!is_there(p, UDP_BYTES))
		return UP_TO_THE_WALK;
	const uint8_t *udp = data + p->at;
	uint32_t len = tl_load_be16(udp + 4);
	if (len < UDP_BYTES || len > p->end - p->at)
		return UP_TO_THE_WALK;
	uint16_t source = tl_load_be16(udp);
	uint16_t destination = tl_load_be16(udp + 2);
	int next = layer_of_ports(source, destination);
	narrow(p, p->at + len);
	p->at += UDP_BYTES;
	if (TL_LIKELY(next == TL_DECODED_OK)) {
		h->tuple.protocol = PROTOCOL_UDP;
		h->tuple.source_port = source;
		h->tuple.destination_port = destination;
		finish_straight(p, packet, h);
	}
	return next;
}

enum turn { TURN_DONE, TURN_TO_THE_WALK, TURN_DEEPER };

// From Ethernet or IP to TCP, UDP or the header of an encapsulation.
INLINE enum turn take_turn(struct place *p, const struct tl_packet *packet,
				  uint32_t left_alone, struct tl_headers *h)
{
	const uint8_t *data = packet->chunks[0].data;

	if (p->next == LAYER_ETHERNET)
		p->next = read_ethernet(p, data, h);
	if (TL_LIKELY(p->next == LAYER_IPV4))
		p->next = read_ipv4(p, data, h, left_alone);
	else if (p->next == LAYER_IPV6)
		p->next = read_ipv6(p, data, h, left_alone);
	if (TL_LIKELY(p->next == LAYER_TCP))
		return read_tcp(p, packet, data, h) ? TURN_DONE : TURN_TO_THE_WALK;
	if (TL_LIKELY(p->next == LAYER_UDP)) {
		p->next = read_udp(p, packet, data, h);
		if (TL_LIKELY(p->next == TL_DECODED_OK))
			return TURN_DONE;
	}
	if (p->next >= LAYER_TUNNEL || p->next == LAYER_IPV4 || p->next == LAYER_IPV6)
		return TURN_DEEPER;
	return TURN_TO_THE_WALK;
}

INLINE uint32_t wire_bytes(const struct tl_packet *packet)
{
	uint32_t wire = packet->original_len > packet->len ? packet->original_len : packet->len;
	return wire < WIRE_BYTES_MAX ? wire : WIRE_BYTES_MAX;
}

// The header of an encapsulation, by the same readers as the walk's; IP in IP has none.
INLINE void enter(struct place *p, uint32_t left_alone, const struct tl_packet *packet,
			 struct tl_headers *h)
{
	struct walk w;

	if (p->next < LAYER_TUNNEL)
		return;
	w.packet = packet;
	w.headers = h;
	w.data = packet->chunks[0].data;
	w.at = p->at;
	w.have = p->limit;
	w.end = p->end;
	w.limit = p->limit;
	w.left_alone = left_alone;
	w.path = NULL;
	w.type = 0;
	p->next = read_tunnel(&w, p->next);
	if (p->next == LAYER_ETHERTYPE)
		p->next = by_ethertype(w.type);
	p->at = w.at;
	p->end = w.end;
	p->limit = w.limit;
}

INLINE uint32_t bytes_there(const struct tl_packet *packet)
{
	return packet->chunks[0].len < packet->len ? packet->chunks[0].len : packet->len;
}

// Ends, as each turn consumes bytes. Flattened, so that the readers of encapsulations have their
// place in registers: else where the next header begins goes through memory before it can be read.
static __attribute__((noinline, flatten)) enum tl_decoded
decode_deeper(const struct tl_packet *packet, uint32_t left_alone, struct tl_headers *h, uint32_t at,
	      uint32_t end, int next)
{
	struct place p = {.at = at, .limit = bytes_there(packet), .next = next};
	enum turn turn;

	narrow(&p, end != 0 ? end : wire_bytes(packet));
	do {
		enter(&p, left_alone, packet, h);
		turn = take_turn(&p, packet, left_alone, h);
	} while (turn == TURN_DEEPER);
	return turn == TURN_DONE ? TL_DECODED_OK : tl_packet_walk(packet, left_alone, h);
}

INLINE bool is_straight(const struct tl_packet *packet)
{
	return packet->link_type == TL_LINK_ETHERNET && packet->chunk_count != 0 &&
	       packet->len <= REACH_BYTES_MAX && !packet->is_reassembled;
}

enum tl_decoded tl_packet_decode_but(const struct tl_packet *packet, uint32_t left_alone,
				     struct tl_headers *ret_headers)
{
	if (TL_UNLIKELY(!is_straight(packet)))
		return tl_packet_walk(packet, left_alone, ret_headers);

	struct place p = {.limit = bytes_there(packet), .next = LAYER_ETHERNET};

	clear(ret_headers);
	enum turn turn = take_turn(&p, packet, left_alone, ret_headers);
	if (TL_LIKELY(turn == TURN_DONE))
		return TL_DECODED_OK;
	if (turn == TURN_TO_THE_WALK)
		return tl_packet_walk(packet, left_alone, ret_headers);
	return decode_deeper(packet, left_alone, ret_headers, p.at, p.end, p.next);
}
