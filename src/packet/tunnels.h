// SPDX-License-Identifier: Apache-2.0
// The encapsulations: each reader consumes one header and enters the tunnel. A UDP port alone proves
// nothing, as a client may have drawn it: the fixed bits must be right too, else the datagram is
// what it seems to be. Behind a type or protocol number of its own a header is what it says.
// Inline, as both ways use them: the straight one (straight.c) and the walk (decode.c).
#pragma once

#include "packet/walk.h"

#define VXLAN_BYTES 8u
#define GENEVE_BYTES 8u
#define GTPU_BYTES 8u
#define MPLS_ENTRY_BYTES 4u
#define MPLS_ENTROPY 7u          // the label that announces an entropy label
#define MPLS_RESERVED_MAX 15u    // labels that name no path
#define GTPU_DATA 255u           // message type: a user's packet
#define GTPU_EXTENSIONS_MAX 16u  // more are no traffic of a mobile network

// ---- behind an Ethernet type -----------------------------------------------------------------

static inline bool is_known_type(uint16_t type)
{
	return type == TYPE_IPV4 || type == TYPE_IPV6 || type == TYPE_ARP || type == TYPE_MPLS ||
	       type == TYPE_PPPOE || is_vlan(type);
}

// The label stack does not say what it carries. Its first nibble does for IP; a pseudowire has an
// Ethernet frame, behind a control word or not.
static inline int behind_mpls(struct walk *w)
{
	if (!has(w, 1))
		return missing(w, 1);
	switch (here(w)[0] >> 4) {
	case 4:
		return LAYER_IPV4;
	case 6:
		return LAYER_IPV6;
	case 1: // the channel that belongs to a path: management
		return TL_DECODED_NOT_IP;
	default:
		break;
	}
	if (!has(w, ETHERNET_BYTES))
		return missing(w, ETHERNET_BYTES);
	bool is_frame = is_known_type(tl_load_be16(here(w) + ETHERNET_BYTES - 2));
	if (!is_frame && here(w)[0] >> 4 == 0)
		w->at += 4;
	return LAYER_ETHERNET;
}

// The id kept is the innermost label that names a path: of a stack the outer ones change from hop to
// hop, reserved labels and the entropy label name nothing.
static inline int read_mpls(struct walk *w)
{
	uint32_t id = 0;
	uint32_t entry = 0;
	bool is_entropy = false;

	if (!is_followed(w, TL_TUNNEL_MPLS))
		return TL_DECODED_NOT_IP;
	while ((entry & 0x100) == 0) {
		if (!has(w, MPLS_ENTRY_BYTES))
			return missing(w, MPLS_ENTRY_BYTES);
		entry = tl_load_be32(here(w));
		uint32_t label = entry >> 12;
		if (label > MPLS_RESERVED_MAX && !is_entropy) {
			if (id != 0)
				note_layer(w, TL_TUNNEL_MPLS, id);
			id = label;
		}
		is_entropy = label == MPLS_ENTROPY;
		w->at += MPLS_ENTRY_BYTES;
	}
	int next = behind_mpls(w);
	return next < TL_DECODED_COUNT ? next : enter_tunnel(w, TL_TUNNEL_MPLS, id, next);
}

// PPP as PPPoE and L2TP carry it: the protocol number is even in its first byte, or alone.
static inline int read_ppp(struct walk *w, enum tl_tunnel tunnel, uint32_t id)
{
	if (!has(w, 2))
		return missing(w, 2);
	const uint8_t *p = here(w);
	bool is_short = (p[0] & 1) != 0;
	uint16_t protocol = is_short ? p[0] : tl_load_be16(p);
	w->at += is_short ? 1 : 2;
	if (TL_LIKELY(protocol == 0x0021))
		return enter_tunnel(w, tunnel, id, LAYER_IPV4);
	switch (protocol) {
	case 0x0057:
		return enter_tunnel(w, tunnel, id, LAYER_IPV6);
	case 0x0281:
		return enter_tunnel(w, tunnel, id, LAYER_MPLS);
	default:
		return TL_DECODED_NOT_IP;
	}
}

static inline int read_pppoe(struct walk *w)
{
	if (!is_followed(w, TL_TUNNEL_PPPOE))
		return TL_DECODED_NOT_IP;
	if (!has(w, 6))
		return missing(w, 6);
	const uint8_t *p = here(w);
	uint32_t len = tl_load_be16(p + 4);

	if (p[0] != 0x11 || p[1] != 0)
		return TL_DECODED_NOT_IP;
	w->at += 6;
	if (len > w->end - w->at)
		return TL_DECODED_MALFORMED;
	set_end(w, w->at + len);
	return read_ppp(w, TL_TUNNEL_PPPOE, tl_load_be16(p + 2));
}

// The tag of a provider's backbone: flags and the service's 24 bits, then the customer's frame.
static inline int read_pbb(struct walk *w)
{
	if (!is_followed(w, TL_TUNNEL_PBB))
		return TL_DECODED_NOT_IP;
	if (!has(w, 4))
		return missing(w, 4);
	uint32_t id = tl_load_be32(here(w)) & 0xffffff;
	w->at += 4;
	return enter_tunnel(w, TL_TUNNEL_PBB, id, LAYER_ETHERNET);
}

// Only one direction names the virtual interface as the destination, the other as the source: the
// id is whichever is there, so that both directions have the same.
static inline int read_vntag(struct walk *w)
{
	if (!is_followed(w, TL_TUNNEL_VNTAG))
		return TL_DECODED_NOT_IP;
	if (!has(w, 6))
		return missing(w, 6);
	uint32_t tag = tl_load_be32(here(w));
	uint32_t destination = tag >> 16 & 0x3fff;
	w->type = tl_load_be16(here(w) + 4);
	w->at += 6;
	return enter_tunnel(w, TL_TUNNEL_VNTAG, destination != 0 ? destination : tag & 0xfff,
			    LAYER_ETHERTYPE);
}

static inline int read_etag(struct walk *w)
{
	if (!is_followed(w, TL_TUNNEL_ETAG))
		return TL_DECODED_NOT_IP;
	if (!has(w, 8))
		return missing(w, 8);
	const uint8_t *p = here(w);
	uint32_t ingress = tl_load_be16(p) & 0xfff;
	uint32_t destination = tl_load_be16(p + 2) & 0x3fff;
	w->type = tl_load_be16(p + 6);
	w->at += 8;
	return enter_tunnel(w, TL_TUNNEL_ETAG, destination != 0 ? destination : ingress,
			    LAYER_ETHERTYPE);
}

// What the next-protocol numbers of NSH and VXLAN-GPE stand for.
static inline int by_next_protocol(uint8_t number)
{
	switch (number) {
	case 1:
		return LAYER_IPV4;
	case 2:
		return LAYER_IPV6;
	case 3:
		return LAYER_ETHERNET;
	case 4:
		return LAYER_NSH;
	case 5:
		return LAYER_MPLS;
	default:
		return TL_DECODED_NOT_IP;
	}
}

static inline int read_nsh(struct walk *w)
{
	if (!is_followed(w, TL_TUNNEL_NSH))
		return TL_DECODED_NOT_IP;
	if (!has(w, 8))
		return missing(w, 8);
	const uint8_t *p = here(w);
	uint32_t len = (p[1] & 0x3fu) * 4;
	if (p[0] >> 6 != 0)
		return TL_DECODED_NOT_IP;
	if (len < 8)
		return TL_DECODED_MALFORMED;
	if (!has(w, len))
		return missing(w, len);
	int next = by_next_protocol(p[3]);
	w->at += len;
	return next < TL_DECODED_COUNT
		       ? next
		       : enter_tunnel(w, TL_TUNNEL_NSH, tl_load_be32(p + 4) >> 8, next);
}

// ---- behind GRE ------------------------------------------------------------------------------

// A mirrored frame. Type I has no header at all; II has 8 bytes, III 12 and perhaps 8 more, and is
// told by its version too, as not all senders give it the type of its own.
static inline int read_erspan(struct walk *w, uint16_t type, bool has_sequence)
{
	if (!is_followed(w, TL_TUNNEL_ERSPAN))
		return finish(w, TL_DECODED_OTHER_L4);
	if (type == TYPE_ERSPAN && !has_sequence)
		return enter_tunnel(w, TL_TUNNEL_ERSPAN, 0, LAYER_ETHERNET);
	if (!has(w, 8))
		return missing(w, 8);
	const uint8_t *p = here(w);
	uint32_t id = tl_load_be16(p + 2) & 0x3ff;
	if (p[0] >> 4 == 1) {
		w->at += 8;
		return enter_tunnel(w, TL_TUNNEL_ERSPAN, id, LAYER_ETHERNET);
	}
	if (p[0] >> 4 != 2)
		return finish(w, TL_DECODED_OTHER_L4);
	if (!has(w, 12))
		return missing(w, 12);
	uint32_t len = (p[11] & 1) != 0 ? 20 : 12;
	uint32_t frame_type = tl_load_be16(p + 10) >> 10 & 0x1f;
	if (!has(w, len))
		return missing(w, len);
	w->at += len;
	if (frame_type != 0 && frame_type != 2)
		return TL_DECODED_NOT_IP;
	return enter_tunnel(w, TL_TUNNEL_ERSPAN, id, frame_type == 0 ? LAYER_ETHERNET : LAYER_IP);
}

static inline int by_gre_type(struct walk *w, uint16_t type, uint32_t key)
{
	int next = LAYER_ETHERTYPE;

	if (!is_followed(w, TL_TUNNEL_GRE))
		return finish(w, TL_DECODED_OTHER_L4);
	switch (type) {
	case TYPE_TEB:
		next = LAYER_ETHERNET;
		break;
	case TYPE_IPV4:
	case TYPE_IPV6:
	case TYPE_MPLS:
	case TYPE_NSH:
		w->type = type;
		break;
	default:
		return finish(w, TL_DECODED_OTHER_L4);
	}
	return enter_tunnel(w, TL_TUNNEL_GRE, key, next);
}

static inline int read_gre(struct walk *w)
{
	if (!has(w, 4))
		return missing(w, 4);
	const uint8_t *p = here(w);
	uint16_t flags = tl_load_be16(p);
	uint16_t type = tl_load_be16(p + 2);
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
	if (type == TYPE_ERSPAN || type == TYPE_ERSPAN_3)
		return read_erspan(w, type, (flags & 0x1000) != 0);
	return by_gre_type(w, type, key);
}

// ---- behind a UDP port -----------------------------------------------------------------------

// VXLAN always has an Ethernet frame; with the bit P it is VXLAN-GPE, which names what it has. 0x80
// and the two words behind it belong to group policies.
static inline int read_vxlan(struct walk *w)
{
	if (w->end - w->at < VXLAN_BYTES)
		return finish(w, TL_DECODED_OK);
	if (!has(w, VXLAN_BYTES))
		return missing(w, VXLAN_BYTES);
	const uint8_t *p = here(w);
	uint32_t id = tl_load_be32(p + 4);
	bool is_generic = (p[0] & 0x7f) == 0x0c;
	enum tl_tunnel tunnel = is_generic ? TL_TUNNEL_VXLAN_GPE : TL_TUNNEL_VXLAN;
	int next = is_generic ? by_next_protocol(p[3]) : LAYER_ETHERNET;

	if (((p[0] & 0x7f) != 0x08 && !is_generic) || (id & 0xff) != 0 || next < TL_DECODED_COUNT ||
	    !is_followed(w, tunnel))
		return finish(w, TL_DECODED_OK);
	w->at += VXLAN_BYTES;
	return enter_tunnel(w, tunnel, id >> 8, next);
}

static inline int read_geneve(struct walk *w)
{
	if (w->end - w->at < GENEVE_BYTES || !is_followed(w, TL_TUNNEL_GENEVE))
		return finish(w, TL_DECODED_OK);
	if (!has(w, GENEVE_BYTES))
		return missing(w, GENEVE_BYTES);
	const uint8_t *p = here(w);
	uint32_t fixed = tl_load_be32(p); // version, length of the options, flags, type
	uint32_t id = tl_load_be32(p + 4);
	uint32_t len = GENEVE_BYTES + (fixed >> 24 & 0x3f) * 4;
	uint16_t type = (uint16_t)fixed;

	if ((fixed & 0xc03f0000) != 0 || (id & 0xff) != 0 || len > w->end - w->at ||
	    (type != TYPE_TEB && type != TYPE_NSH && !is_known_type(type)))
		return finish(w, TL_DECODED_OK);
	if (!has(w, len))
		return missing(w, len);
	w->at += len;
	w->type = type;
	return enter_tunnel(w, TL_TUNNEL_GENEVE, id >> 8,
			    type == TYPE_TEB ? LAYER_ETHERNET : LAYER_ETHERTYPE);
}

// Where the packet behind a GTP-U header begins: its optional fields are there together or not at
// all, each extension tells its length in words and what follows it. 0: there is none; negative: not
// enough bytes were captured, and that is how many are needed.
static inline int64_t gtpu_header(const struct walk *w, uint32_t end)
{
	const uint8_t *p = here(w);
	uint32_t len = GTPU_BYTES;

	if ((p[0] & 0x07) == 0)
		return len;
	len += 4;
	if (w->at + len > end)
		return 0;
	if (!has(w, len))
		return -(int64_t)len;
	uint8_t next = (p[0] & 0x04) != 0 ? p[len - 1] : 0;
	for (uint32_t i = 0; next != 0; i++) {
		if (i == GTPU_EXTENSIONS_MAX || w->at + len + 4 > end)
			return 0;
		if (!has(w, len + 1))
			return -(int64_t)(len + 1);
		uint32_t bytes = p[len] * 4u;
		if (bytes == 0 || w->at + len + bytes > end)
			return 0;
		len += bytes;
		if (!has(w, len))
			return -(int64_t)len;
		next = p[len - 1];
	}
	return len;
}

static inline int read_gtpu(struct walk *w)
{
	if (w->end - w->at < GTPU_BYTES || !is_followed(w, TL_TUNNEL_GTPU))
		return finish(w, TL_DECODED_OK);
	if (!has(w, GTPU_BYTES))
		return missing(w, GTPU_BYTES);
	const uint8_t *p = here(w);
	uint32_t end = w->at + GTPU_BYTES + tl_load_be16(p + 2);

	if ((p[0] & 0xf8) != 0x30 || p[1] != GTPU_DATA || end > w->end)
		return finish(w, TL_DECODED_OK);
	int64_t len = gtpu_header(w, end);
	if (len < 0)
		return missing(w, (uint32_t)-len);
	// Another PDU than IP, as a 5G session may carry, stays what UDP says it is.
	if (len == 0 || w->at + len >= end)
		return finish(w, TL_DECODED_OK);
	if (!has(w, (uint32_t)len + 1))
		return missing(w, (uint32_t)len + 1);
	uint8_t version = p[len] >> 4;
	if (version != 4 && version != 6)
		return finish(w, TL_DECODED_OK);
	w->at += (uint32_t)len;
	set_end(w, end);
	return enter_tunnel(w, TL_TUNNEL_GTPU, tl_load_be32(p + 4),
			    version == 4 ? LAYER_IPV4 : LAYER_IPV6);
}

// Up to two indications, then an IPv6 packet that fills the datagram.
static inline int read_teredo(struct walk *w)
{
	uint32_t len = 0;

	if (!is_followed(w, TL_TUNNEL_TEREDO))
		return finish(w, TL_DECODED_OK);
	for (uint32_t i = 0; i < 2 && w->end - w->at >= len + IPV6_BYTES; i++) {
		if (!has(w, len + 4))
			return missing(w, len + 4);
		const uint8_t *p = here(w) + len;
		if (tl_load_be16(p) == 1) // authentication
			len += 13u + p[2] + p[3];
		else if (tl_load_be16(p) == 0) // origin
			len += 8;
		else
			break;
	}
	if (w->end - w->at < len + IPV6_BYTES)
		return finish(w, TL_DECODED_OK);
	if (!has(w, len + 6))
		return missing(w, len + 6);
	const uint8_t *p = here(w) + len;
	if (p[0] >> 4 != 6 || tl_load_be16(p + 4) != w->end - w->at - len - IPV6_BYTES)
		return finish(w, TL_DECODED_OK);
	w->at += len;
	return enter_tunnel(w, TL_TUNNEL_TEREDO, 0, LAYER_IPV6);
}

// Version 2, data only. Version 3 does not tell what a session carries nor how long its header is:
// both were agreed before.
static inline int read_l2tp(struct walk *w)
{
	// The address and control bytes of PPP may be there or not; its protocol number is.
	if (w->end - w->at < 6 + 4 || !is_followed(w, TL_TUNNEL_L2TP))
		return finish(w, TL_DECODED_OK);
	if (!has(w, 2))
		return missing(w, 2);
	const uint8_t *p = here(w);
	uint32_t flags = tl_load_be16(p);
	uint32_t length_bytes = flags >> 13 & 2;
	uint32_t sequence_bytes = flags >> 9 & 4;
	uint32_t offset_bytes = flags >> 8 & 2;
	uint32_t len = 6 + length_bytes + sequence_bytes + offset_bytes;

	if ((flags & 0xb4ff) != 2 || w->end - w->at < len + 4) // control, reserved bits, version
		return finish(w, TL_DECODED_OK);
	if (!has(w, len + 4))
		return missing(w, len + 4);
	uint32_t ids = tl_load_be32(p + 2 + length_bytes);
	if (length_bytes + offset_bytes != 0) {
		uint32_t end = length_bytes != 0 ? w->at + tl_load_be16(p + 2) : w->end;
		if (offset_bytes != 0)
			len += tl_load_be16(p + len - 2);
		if (end > w->end || end < w->at + len + 4)
			return finish(w, TL_DECODED_OK);
		if (!has(w, len + 4))
			return missing(w, len + 4);
		set_end(w, end);
	}
	w->at += len;
	if (tl_load_be16(here(w)) == 0xff03)
		w->at += 2;
	return read_ppp(w, TL_TUNNEL_L2TP, ids);
}

static inline int read_tunnel(struct walk *w, int layer)
{
	switch (layer) {
	case LAYER_MPLS:
		return read_mpls(w);
	case LAYER_PPPOE:
		return read_pppoe(w);
	case LAYER_PBB:
		return read_pbb(w);
	case LAYER_VNTAG:
		return read_vntag(w);
	case LAYER_ETAG:
		return read_etag(w);
	case LAYER_NSH:
		return read_nsh(w);
	case LAYER_GRE:
		return read_gre(w);
	case LAYER_VXLAN:
		return read_vxlan(w);
	case LAYER_GENEVE:
		return read_geneve(w);
	case LAYER_GTPU:
		return read_gtpu(w);
	case LAYER_TEREDO:
		return read_teredo(w);
	default:
		TL_ASSERT(layer == LAYER_L2TP);
		return read_l2tp(w);
	}
}
