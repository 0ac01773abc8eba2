// SPDX-License-Identifier: Apache-2.0
// Builds packets for tests from a recipe of words, outermost first: "eth vlan:7 ipv4 tcp pay:10".
// It is made from the inside out, so every length and next-protocol field comes out right.
#pragma once

#include "base/bytes.h"
#include "packet/packet.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define WIRE_MAX 4096u

struct wire {
	uint8_t room[WIRE_MAX];
	uint32_t at;       // first byte of what is built so far
	uint32_t end;
	uint32_t trailer;  // bytes behind the IP packet
	uint16_t type;     // Ethernet type of what is built
	uint8_t protocol;  // IP protocol of what is built
	uint16_t link_type;
};

static inline uint8_t *wire_front(struct wire *w, uint32_t len)
{
	assert(w->at >= len);
	w->at -= len;
	memset(w->room + w->at, 0, len);
	return w->room + w->at;
}

static inline void wire_be16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static inline void wire_be32(uint8_t *p, uint32_t value)
{
	wire_be16(p, value >> 16);
	wire_be16(p + 2, value);
}

static inline uint32_t wire_built(const struct wire *w)
{
	return w->end - w->at - w->trailer;
}

static inline void wire_tcp(struct wire *w, const char *kind, uint32_t port)
{
	static const uint8_t stamps[12] = {1, 1, 8, 10, 0, 0, 0x30, 0x39, 0, 0, 0, 1};
	static const uint8_t syn[20] = {2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0x30, 0x39,
					0, 0, 0, 0, 1, 3, 3, 7};
	uint32_t options = strcmp(kind, "tcpts") == 0 ? 12 : strcmp(kind, "syn") == 0 ? 20 : 0;
	uint8_t *p = wire_front(w, 20 + options);

	wire_be16(p, 40000);
	wire_be16(p + 2, port != 0 ? port : 80);
	wire_be32(p + 4, 0x01020304);
	wire_be32(p + 8, 0x05060708);
	p[12] = (uint8_t)((20 + options) / 4 << 4);
	p[13] = options == 20 ? TL_TCP_SYN : TL_TCP_ACK | TL_TCP_PSH;
	wire_be16(p + 14, 501);
	memcpy(p + 20, options == 20 ? syn : stamps, options);
	w->protocol = 6;
}

static inline void wire_udp(struct wire *w, uint32_t port)
{
	uint32_t len = wire_built(w) + 8;
	uint8_t *p = wire_front(w, 8);

	wire_be16(p, 40000);
	wire_be16(p + 2, port != 0 ? port : 53);
	wire_be16(p + 4, len);
	w->protocol = 17;
}

// ipv4:N gives addresses 10.0.0.N -> 10.0.1.N; "ipv4o" has 8 bytes of options, "ipv4tso" no
// length; ipv4f:N is a fragment at N bytes, ipv4m:N one with more to come.
static inline void wire_ipv4(struct wire *w, const char *kind, uint32_t number)
{
	uint32_t options = strcmp(kind, "ipv4o") == 0 ? 8 : 0;
	uint32_t len = wire_built(w) + 20 + options;
	uint8_t *p = wire_front(w, 20 + options);
	bool is_more = strcmp(kind, "ipv4m") == 0;
	bool is_fragment = is_more || strcmp(kind, "ipv4f") == 0;

	memset(p + 20, 1, options);
	p[0] = (uint8_t)(0x40 | (20 + options) / 4);
	wire_be16(p + 2, strcmp(kind, "ipv4tso") == 0 ? 0 : len);
	wire_be16(p + 4, 0x1234);
	wire_be16(p + 6, (is_fragment ? number / 8 : 0x4000) | (is_more ? 0x2000 : 0));
	p[8] = 64;
	p[9] = w->protocol;
	wire_be32(p + 12, 0x0a000000 | (is_fragment ? 0 : number));
	wire_be32(p + 16, 0x0a000100 | (is_fragment ? 0 : number));
	w->type = 0x0800;
	w->protocol = 4;
}

static inline void wire_ipv6(struct wire *w, const char *kind)
{
	uint32_t len = wire_built(w);
	uint8_t *p = wire_front(w, 40);

	p[0] = 0x60;
	wire_be16(p + 4, strcmp(kind, "ipv6tso") == 0 ? 0 : len);
	p[6] = w->protocol;
	p[7] = 63;
	p[8] = p[24] = 0xfd;
	p[23] = 1;
	p[39] = 2;
	w->type = 0x86dd;
	w->protocol = 41;
}

// hop, routing, destination take 8 * (1 + N) bytes; ah 12 + 4 * N; frag:N and fragm:N as above.
static inline bool wire_extension(struct wire *w, const char *kind, uint32_t number)
{
	static const struct {
		const char *kind;
		uint8_t protocol;
	} kinds[] = {{"hop", 0}, {"routing", 43}, {"destination", 60}, {"ah", 51}, {"frag", 44},
		     {"fragm", 44}};

	for (uint32_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].kind, kind) != 0)
			continue;
		uint32_t len = kinds[i].protocol == 44   ? 8
			       : kinds[i].protocol == 51 ? 12 + 4 * number
							 : 8 + 8 * number;
		uint8_t *p = wire_front(w, len);
		p[0] = w->protocol;
		p[1] = (uint8_t)(kinds[i].protocol == 51 ? 1 + number : number);
		if (kinds[i].protocol == 44) {
			p[1] = 0;
			wire_be16(p + 2, number | (kind[4] == 'm' ? 1 : 0));
			wire_be32(p + 4, 0xabcd1234);
		}
		w->protocol = kinds[i].protocol;
		return true;
	}
	return false;
}

// gre, grek:KEY, greall:KEY (checksum, key, sequence), teb:KEY around Ethernet, pptp.
static inline bool wire_gre(struct wire *w, const char *kind, uint32_t key)
{
	bool is_all = strcmp(kind, "greall") == 0;
	bool has_key = is_all || strcmp(kind, "grek") == 0 || strcmp(kind, "teb") == 0;

	if (!has_key && strcmp(kind, "gre") != 0 && strcmp(kind, "pptp") != 0)
		return false;
	uint8_t *p = wire_front(w, is_all ? 16 : has_key ? 8 : 4);
	p[0] = is_all ? 0xb0 : has_key ? 0x20 : 0;
	p[1] = strcmp(kind, "pptp") == 0 ? 1 : 0;
	wire_be16(p + 2, strcmp(kind, "teb") == 0 ? 0x6558 : w->type);
	if (has_key)
		wire_be32(p + (is_all ? 8 : 4), key);
	w->protocol = 47;
	return true;
}

// erspan1, erspan2:SESSION, erspan3:SESSION (with a subheader: erspan3o) in GRE around Ethernet.
static inline bool wire_erspan(struct wire *w, const char *kind, uint32_t id)
{
	if (strncmp(kind, "erspan", 6) != 0)
		return false;
	bool is_third = kind[6] == '3';
	bool has_more = is_third && kind[7] == 'o';
	if (kind[6] != '1') {
		uint8_t *p = wire_front(w, kind[6] == '2' ? 8 : has_more ? 20 : 12);
		wire_be16(p, (is_third ? 0x2000u : 0x1000u) | 100);
		wire_be16(p + 2, 0x1800 | id);
		if (is_third)
			p[11] = has_more;
		wire_be32(wire_front(w, 4), 77); // sequence number
	}
	uint8_t *p = wire_front(w, 4);
	p[0] = kind[6] == '1' ? 0 : 0x10;
	wire_be16(p + 2, is_third ? 0x22eb : 0x88be);
	w->protocol = 47;
	return true;
}

// What has an Ethernet type: mpls:LABEL is the bottom of the stack, mplsup:LABEL one above, pw a
// control word; pppoe:SESSION; pbb:SERVICE; vntag:INTERFACE, vntags with it as the source; etag.
static inline bool wire_tag(struct wire *w, const char *kind, uint32_t id)
{
	static const struct {
		const char *kind;
		uint16_t type;
		uint8_t len;
	} kinds[] = {{"mpls", 0x8847, 4}, {"mplsup", 0x8848, 4}, {"pw", 0, 4}, {"pppoe", 0x8864, 8},
		     {"pbb", 0x88e7, 4}, {"vntag", 0x8926, 6}, {"vntags", 0x8926, 6}, {"etag", 0x893f, 8}};
	uint32_t len = wire_built(w);
	uint32_t i = 0;

	while (i < sizeof(kinds) / sizeof(kinds[0]) && strcmp(kinds[i].kind, kind) != 0)
		i++;
	if (i == sizeof(kinds) / sizeof(kinds[0]))
		return false;
	uint8_t *p = wire_front(w, kinds[i].len);
	if (kind[0] == 'm') {
		wire_be32(p, id << 12 | (kind[4] == '\0' ? 0x140 : 0x40));
	} else if (kind[1] == 'p') {
		p[0] = 0x11;
		wire_be16(p + 2, id);
		wire_be16(p + 4, len + 2);
		wire_be16(p + 6, w->type == 0x0800 ? 0x0021 : w->type == 0x86dd ? 0x0057 : 0xc021);
	} else if (kind[1] == 'b') {
		wire_be32(p, 0xa0000000 | id);
	} else if (kind[0] == 'v') {
		wire_be32(p, kind[5] == '\0' ? id << 16 : id);
		wire_be16(p + 4, w->type);
	} else if (kind[0] == 'e') {
		wire_be16(p + 2, id);
		wire_be16(p + 6, w->type);
	}
	w->type = kinds[i].type;
	return true;
}

// The next-protocol number of NSH and VXLAN-GPE for what is built.
static inline uint8_t wire_next(const struct wire *w)
{
	return w->type == 0x0800 ? 1 : w->type == 0x86dd ? 2 : w->type == 0x894f ? 4 : 3;
}

// What has a UDP port (the word "udp:PORT" goes before) and NSH, which has an Ethernet type too.
static inline bool wire_overlay(struct wire *w, const char *kind, uint32_t id)
{
	uint32_t len = wire_built(w);
	uint8_t *p;

	if (strcmp(kind, "gpe") == 0) {
		p = wire_front(w, 8);
		p[0] = 0x0c;
		p[3] = wire_next(w);
		wire_be32(p + 4, id << 8);
	} else if (strcmp(kind, "nsh") == 0) {
		p = wire_front(w, 24);
		wire_be16(p, 0x0fc6);
		p[2] = 1;
		p[3] = wire_next(w);
		wire_be32(p + 4, id << 8 | 255);
		w->type = 0x894f;
	} else if (strcmp(kind, "geneve") == 0 || strcmp(kind, "geneveip") == 0) {
		p = wire_front(w, 16); // with two words of options
		p[0] = 2;
		wire_be16(p + 2, kind[6] == '\0' ? 0x6558 : w->type);
		wire_be32(p + 4, id << 8);
	} else if (strcmp(kind, "gtpu") == 0 || strcmp(kind, "gtpux") == 0) {
		bool has_more = kind[4] == 'x'; // sequence number and one extension of four bytes
		p = wire_front(w, has_more ? 16 : 8);
		p[0] = has_more ? 0x36 : 0x30;
		p[1] = 255;
		wire_be16(p + 2, len + (has_more ? 8 : 0));
		wire_be32(p + 4, id);
		if (has_more) {
			p[11] = 0x85;
			p[12] = 1;
		}
	} else if (strcmp(kind, "origin") == 0) {
		p = wire_front(w, 8);
		wire_be32(p + 4, 0x0a000001);
	} else if (strcmp(kind, "l2tp") == 0 || strcmp(kind, "l2tpall") == 0) {
		bool has_all = kind[4] == 'a'; // length, sequence, offset of two bytes
		p = wire_front(w, has_all ? 20 : 10);
		wire_be16(p, has_all ? 0x4a02 : 2);
		if (has_all)
			wire_be16(p + 2, len + 20);
		wire_be32(p + (has_all ? 4 : 2), id);
		if (has_all)
			wire_be16(p + 12, 2);
		wire_be16(p + (has_all ? 16 : 6), 0xff03);
		wire_be16(p + (has_all ? 18 : 8), w->type == 0x0800 ? 0x0021 : 0x0057);
	} else {
		return false;
	}
	return true;
}

static inline bool wire_link(struct wire *w, const char *kind, uint32_t number)
{
	uint8_t *p;

	if (strcmp(kind, "eth") == 0) {
		p = wire_front(w, 14);
		wire_be16(p + 12, w->type);
		w->type = 0; // a frame in what comes outside of it
		w->link_type = TL_LINK_ETHERNET;
	} else if (strcmp(kind, "vlan") == 0 || strcmp(kind, "qinq") == 0 ||
		   strcmp(kind, "oldq") == 0 || strcmp(kind, "oldq2") == 0) {
		p = wire_front(w, 4);
		wire_be16(p, 0xe000 | number);
		wire_be16(p + 2, w->type);
		w->type = strcmp(kind, "vlan") == 0   ? 0x8100
			  : strcmp(kind, "qinq") == 0 ? 0x88a8
			  : strcmp(kind, "oldq") == 0 ? 0x9100
						      : 0x9200;
	} else if (strcmp(kind, "sll") == 0) {
		p = wire_front(w, 16);
		wire_be16(p + 2, number != 0 ? number : 1);
		wire_be16(p + 14, w->type);
		w->link_type = TL_LINK_SLL;
	} else if (strcmp(kind, "sll2") == 0) {
		p = wire_front(w, 20);
		wire_be16(p, w->type);
		wire_be16(p + 8, number != 0 ? number : 1);
		w->link_type = TL_LINK_SLL2;
	} else if (strcmp(kind, "null") == 0 || strcmp(kind, "loop") == 0) {
		p = wire_front(w, 4);
		p[kind[0] == 'n' ? 0 : 3] = (uint8_t)number;
		w->link_type = kind[0] == 'n' ? TL_LINK_NULL : TL_LINK_LOOP;
	} else {
		return false;
	}
	return true;
}

static inline void wire_word(struct wire *w, const char *kind, uint32_t number)
{
	if (strcmp(kind, "pay") == 0) {
		uint8_t *p = wire_front(w, number);
		for (uint32_t i = 0; i < number; i++)
			p[i] = (uint8_t)(i * 7 + 1);
	} else if (strcmp(kind, "trailer") == 0) {
		memset(wire_front(w, number), 0xee, number);
		w->trailer = number;
	} else if (strncmp(kind, "tcp", 3) == 0 || strcmp(kind, "syn") == 0) {
		wire_tcp(w, kind, number);
	} else if (strcmp(kind, "udp") == 0) {
		wire_udp(w, number);
	} else if (strncmp(kind, "ipv4", 4) == 0) {
		wire_ipv4(w, kind, number);
	} else if (strncmp(kind, "ipv6", 4) == 0) {
		wire_ipv6(w, kind);
	} else if (strcmp(kind, "type") == 0) {
		w->type = (uint16_t)number;
	} else if (strcmp(kind, "proto") == 0) {
		w->protocol = (uint8_t)number;
	} else if (strcmp(kind, "link") == 0) {
		w->link_type = (uint16_t)number;
	} else if (strcmp(kind, "vxlan") == 0) {
		uint8_t *p = wire_front(w, 8);
		p[0] = 0x08;
		wire_be32(p + 4, number << 8);
	} else if (!wire_extension(w, kind, number) && !wire_gre(w, kind, number) &&
		   !wire_erspan(w, kind, number) && !wire_tag(w, kind, number) &&
		   !wire_overlay(w, kind, number) && !wire_link(w, kind, number)) {
		fprintf(stderr, "unknown word '%s'\n", kind);
		abort();
	}
}

// Builds `recipe`; the bytes are then at wire->room + wire->at up to wire->end.
static inline void wire_build(struct wire *w, const char *recipe)
{
	char copy[512];
	size_t len = strlen(recipe);

	assert(len < sizeof(copy));
	memcpy(copy, recipe, len + 1);
	*w = (struct wire) {.at = WIRE_MAX, .end = WIRE_MAX, .link_type = TL_LINK_RAW,
			    .type = 0x0806, .protocol = 1};
	while (len != 0) {
		while (len != 0 && copy[len - 1] != ' ')
			len--;
		char *word = copy + len;
		char *colon = strchr(word, ':');
		uint32_t number = colon != NULL ? (uint32_t)strtoul(colon + 1, NULL, 0) : 0;
		if (colon != NULL)
			*colon = '\0';
		wire_word(w, word, number);
		if (len != 0)
			copy[--len] = '\0';
	}
}

static inline uint32_t wire_len(const struct wire *w)
{
	return w->end - w->at;
}
