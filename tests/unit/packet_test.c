// SPDX-License-Identifier: Apache-2.0
#include "packet/packet.h"

#include "base/check.h"
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

// Decodes an exact-size heap copy of the first `len` bytes, so that a sanitizer sees over-reads.
static enum tl_decoded decode(const uint8_t *bytes, uint32_t len, uint32_t original_len,
			      uint16_t link_type, struct tl_headers *ret)
{
	uint8_t *copy = malloc(len != 0 ? len : 1);
	assert_non_null(copy);
	if (len != 0)
		memcpy(copy, bytes, len);
	struct tl_chunk chunk = {.data = copy, .len = len};
	struct tl_packet packet = {
		.chunks = &chunk,
		.chunk_count = 1,
		.link_type = link_type,
		.len = len,
		.original_len = original_len,
	};
	enum tl_decoded decoded = tl_packet_decode(&packet, ret);
	free(copy);
	return decoded;
}

static enum tl_decoded decode_recipe(const char *recipe, struct tl_headers *ret)
{
	struct wire w;
	wire_build(&w, recipe);
	return decode(w.room + w.at, wire_len(&w), wire_len(&w), w.link_type, ret);
}

struct row {
	const char *recipe;
	enum tl_decoded want;
	uint32_t payload_at;  // OK and FRAGMENT only, as the next one
	uint32_t payload_len;
	uint8_t options;      // bytes of TCP options: may be cut off without harm
};

static const struct row rows[] = {
	// Link types.
	{"eth ipv4 tcp pay:10", TL_DECODED_OK, 54, 10, 0},
	{"eth ipv4 tcpts pay:10", TL_DECODED_OK, 66, 10, 12},
	{"eth ipv6 udp pay:3", TL_DECODED_OK, 62, 3, 0},
	{"sll ipv4 tcp pay:5", TL_DECODED_OK, 56, 5, 0},
	{"sll vlan:5 ipv4 tcp pay:5", TL_DECODED_OK, 60, 5, 0},
	{"sll:824 ipv4 tcp pay:5", TL_DECODED_NOT_IP, 0, 0, 0},
	{"sll2 ipv6 tcp pay:5", TL_DECODED_OK, 80, 5, 0},
	{"sll2:824 ipv6 tcp pay:5", TL_DECODED_NOT_IP, 0, 0, 0},
	{"link:101 ipv4 udp pay:1", TL_DECODED_OK, 28, 1, 0},
	{"link:101 ipv6 udp pay:1", TL_DECODED_OK, 48, 1, 0},
	{"link:12 ipv4 udp pay:1", TL_DECODED_OK, 28, 1, 0},
	{"link:228 ipv4 udp pay:1", TL_DECODED_OK, 28, 1, 0},
	{"link:229 ipv6 udp pay:1", TL_DECODED_OK, 48, 1, 0},
	{"link:228 ipv6 udp pay:1", TL_DECODED_MALFORMED, 0, 0, 0},
	{"link:229 ipv4 udp pay:1", TL_DECODED_MALFORMED, 0, 0, 0},
	{"null:2 ipv4 tcp pay:1", TL_DECODED_OK, 44, 1, 0},
	{"null:24 ipv6 tcp pay:1", TL_DECODED_OK, 64, 1, 0},
	{"null:28 ipv6 tcp pay:1", TL_DECODED_OK, 64, 1, 0},
	{"null:30 ipv6 tcp pay:1", TL_DECODED_OK, 64, 1, 0},
	{"null:10 ipv6 tcp pay:1", TL_DECODED_OK, 64, 1, 0},
	{"null:7 ipv6 tcp pay:1", TL_DECODED_NOT_IP, 0, 0, 0},
	{"loop:2 ipv4 tcp pay:1", TL_DECODED_OK, 44, 1, 0},
	{"loop:30 ipv6 tcp pay:1", TL_DECODED_OK, 64, 1, 0},
	{"link:147 ipv4 tcp pay:1", TL_DECODED_LINK_TYPE, 0, 0, 0},
	{"link:105 ipv4 tcp pay:1", TL_DECODED_LINK_TYPE, 0, 0, 0},
	{"link:101 pay:40", TL_DECODED_MALFORMED, 0, 0, 0},
	// What isn't IP.
	{"eth type:0x0806 pay:46", TL_DECODED_NOT_IP, 0, 0, 0},
	{"eth type:38 pay:46", TL_DECODED_NOT_IP, 0, 0, 0},
	{"eth type:1500 pay:46", TL_DECODED_NOT_IP, 0, 0, 0},
	{"eth vlan:9 type:38 pay:46", TL_DECODED_NOT_IP, 0, 0, 0},
	{"eth type:0x88cc pay:46", TL_DECODED_NOT_IP, 0, 0, 0},
	{"eth type:0x0800 pay:46", TL_DECODED_MALFORMED, 0, 0, 0},
	// Tags.
	{"eth vlan:100 ipv4 tcp pay:1", TL_DECODED_OK, 58, 1, 0},
	{"eth qinq:10 vlan:20 ipv4 tcp pay:1", TL_DECODED_OK, 62, 1, 0},
	{"eth oldq:1 oldq2:2 vlan:3 ipv6 tcp pay:1", TL_DECODED_OK, 86, 1, 0},
	{"eth vlan:1 vlan:2 vlan:3 vlan:4 vlan:5 vlan:6 vlan:7 ipv4 udp", TL_DECODED_OK, 70, 0, 0},
	// IP lengths: padding and trailers are no payload, options are no payload either.
	{"eth ipv4 tcp trailer:6", TL_DECODED_OK, 54, 0, 0},
	{"eth ipv4 udp pay:2 trailer:16", TL_DECODED_OK, 42, 2, 0},
	{"eth ipv6 udp pay:2 trailer:4", TL_DECODED_OK, 62, 2, 0},
	{"eth ipv4o tcpts pay:9", TL_DECODED_OK, 74, 9, 12},
	{"eth ipv4tso tcp pay:3000", TL_DECODED_OK, 54, 3000, 0},
	{"eth ipv6tso tcp pay:3000", TL_DECODED_OK, 74, 3000, 0},
	{"eth ipv4 ah:3 tcp pay:1", TL_DECODED_OK, 78, 1, 0},
	// Extension headers.
	{"eth ipv6 hop routing:2 destination:1 tcp pay:4", TL_DECODED_OK, 122, 4, 0},
	{"eth ipv6 hop ah:3 udp pay:4", TL_DECODED_OK, 94, 4, 0},
	{"eth ipv6 frag:0 udp pay:4", TL_DECODED_OK, 70, 4, 0},
	{"eth ipv6 hop fragm:0 udp pay:8", TL_DECODED_FRAGMENT, 70, 16, 0},
	{"eth ipv6 frag:1232 pay:7", TL_DECODED_FRAGMENT, 62, 7, 0},
	{"eth ipv6 proto:59", TL_DECODED_OTHER_L4, 0, 0, 0},
	{"eth ipv6 destination proto:58 pay:8", TL_DECODED_OTHER_L4, 0, 0, 0},
	{"eth ipv6 hop hop hop hop hop hop hop hop hop hop hop hop hop hop hop hop tcp",
	 TL_DECODED_OK, 202, 0, 0},
	{"eth ipv6 hop hop hop hop hop hop hop hop hop hop hop hop hop hop hop hop hop tcp",
	 TL_DECODED_MALFORMED, 0, 0, 0},
	// Fragments.
	{"eth ipv4m:0 udp pay:1472", TL_DECODED_FRAGMENT, 34, 1480, 0},
	{"eth ipv4m:1480 pay:1480", TL_DECODED_FRAGMENT, 34, 1480, 0},
	{"eth ipv4f:2960 pay:3 trailer:23", TL_DECODED_FRAGMENT, 34, 3, 0},
	// Other protocols.
	{"eth ipv4 proto:1 pay:8", TL_DECODED_OTHER_L4, 0, 0, 0},
	{"eth ipv4 proto:132 pay:8", TL_DECODED_OTHER_L4, 0, 0, 0},
	{"eth ipv4 proto:50 pay:8", TL_DECODED_OTHER_L4, 0, 0, 0},
	{"eth ipv4 proto:0 pay:8", TL_DECODED_OTHER_L4, 0, 0, 0},
	// Tunnels.
	{"eth ipv4 gre ipv4 tcp pay:1", TL_DECODED_OK, 78, 1, 0},
	{"eth ipv4 grek:9 ipv6 tcp pay:1", TL_DECODED_OK, 102, 1, 0},
	{"eth ipv4 greall:9 ipv4 tcp pay:1", TL_DECODED_OK, 90, 1, 0},
	{"eth ipv6 gre ipv4 tcp pay:1", TL_DECODED_OK, 98, 1, 0},
	{"eth ipv4 teb:77 eth vlan:8 ipv4 udp pay:1", TL_DECODED_OK, 88, 1, 0},
	{"eth ipv4 teb:77 eth type:0x0806 pay:46", TL_DECODED_NOT_IP, 0, 0, 0},
	{"eth ipv4 pptp ipv4 tcp pay:1", TL_DECODED_OTHER_L4, 0, 0, 0},
	{"eth ipv4 gre type:0x880b pay:60", TL_DECODED_OTHER_L4, 0, 0, 0},
	{"eth ipv4 ipv4 tcp pay:1", TL_DECODED_OK, 74, 1, 0},
	{"eth ipv4 ipv6 tcp pay:1", TL_DECODED_OK, 94, 1, 0},
	{"eth ipv6 ipv4 tcp pay:1", TL_DECODED_OK, 94, 1, 0},
	{"eth ipv6 ipv6 tcp pay:1", TL_DECODED_OK, 114, 1, 0},
	{"eth ipv4 udp:4789 vxlan:42 eth ipv4 tcp pay:1", TL_DECODED_OK, 104, 1, 0},
	{"eth ipv4 udp:8472 vxlan:42 eth ipv4 tcpts pay:1", TL_DECODED_OK, 116, 1, 12},
	{"eth ipv6 udp:4789 vxlan:42 eth vlan:3 ipv6 udp pay:1", TL_DECODED_OK, 136, 1, 0},
	{"eth ipv4 udp:4789 vxlan:42 eth type:0x0806 pay:46", TL_DECODED_NOT_IP, 0, 0, 0},
	{"eth ipv4 gre ipv4m:0 udp pay:8", TL_DECODED_FRAGMENT, 58, 16, 0},
	{"eth ipv4 gre mpls:5 ipv4 tcp pay:1", TL_DECODED_OK, 82, 1, 0},
	{"eth ipv4 erspan1 eth ipv4 tcp pay:1", TL_DECODED_OK, 92, 1, 0},
	{"eth ipv4 erspan2:5 eth vlan:3 ipv4 tcp pay:1", TL_DECODED_OK, 108, 1, 0},
	{"eth ipv4 erspan3:5 eth ipv4 tcp pay:1", TL_DECODED_OK, 108, 1, 0},
	{"eth ipv6 erspan3o:5 eth ipv4 tcpts pay:1", TL_DECODED_OK, 148, 1, 12},
	{"eth mpls:100 ipv4 tcp pay:1", TL_DECODED_OK, 58, 1, 0},
	{"eth mplsup:9 mpls:100 ipv6 tcp pay:1", TL_DECODED_OK, 82, 1, 0},
	{"eth vlan:7 mpls:3 ipv4 udp trailer:6", TL_DECODED_OK, 50, 0, 0},
	{"sll mpls:100 ipv4 tcp pay:1", TL_DECODED_OK, 60, 1, 0},
	{"eth mpls:100 pw eth ipv4 tcp pay:1", TL_DECODED_OK, 76, 1, 0},
	{"eth mpls:100 eth vlan:3 ipv4 tcp pay:1", TL_DECODED_OK, 76, 1, 0},
	{"eth mpls:100 pw eth type:0x88cc pay:46", TL_DECODED_NOT_IP, 0, 0, 0},
	{"eth pppoe:5 ipv4 tcp pay:1 trailer:6", TL_DECODED_OK, 62, 1, 0},
	{"eth qinq:4 vlan:5 pppoe:5 ipv6 udp", TL_DECODED_OK, 78, 0, 0},
	{"eth pppoe:5 type:0 pay:30", TL_DECODED_NOT_IP, 0, 0, 0},
	{"eth type:0x8863 pay:30", TL_DECODED_NOT_IP, 0, 0, 0},
	{"eth pbb:70000 eth vlan:3 ipv4 tcp pay:1", TL_DECODED_OK, 76, 1, 0},
	{"eth vntag:5 vlan:3 ipv4 tcp pay:1", TL_DECODED_OK, 64, 1, 0},
	{"eth etag:5 ipv4 tcp pay:1", TL_DECODED_OK, 62, 1, 0},
	{"eth nsh:9 ipv4 tcp pay:1", TL_DECODED_OK, 78, 1, 0},
	{"eth ipv4 udp:4790 gpe:42 ipv4 tcp pay:1", TL_DECODED_OK, 90, 1, 0},
	{"eth ipv4 udp:4790 gpe:42 nsh:7 eth ipv6 tcp pay:1", TL_DECODED_OK, 148, 1, 0},
	{"eth ipv4 udp:6081 geneve:42 eth ipv4 tcp pay:1", TL_DECODED_OK, 112, 1, 0},
	{"eth ipv6 udp:6081 geneveip:42 ipv4 tcp pay:1", TL_DECODED_OK, 118, 1, 0},
	{"eth ipv4 udp:2152 gtpu:42 ipv4 tcp pay:1", TL_DECODED_OK, 90, 1, 0},
	{"eth ipv4 udp:2152 gtpux:42 ipv6 tcp pay:1", TL_DECODED_OK, 118, 1, 0},
	{"eth ipv4 udp:2152 gtpu:42 ipv4m:0 udp pay:8", TL_DECODED_FRAGMENT, 70, 16, 0},
	{"eth ipv4 udp:3544 ipv6 udp pay:4", TL_DECODED_OK, 90, 4, 0},
	{"eth ipv4 udp:3544 origin ipv6 tcp pay:4", TL_DECODED_OK, 110, 4, 0},
	{"eth ipv4 udp:1701 l2tp:9 ipv4 tcp pay:1", TL_DECODED_OK, 92, 1, 0},
	{"eth ipv4 udp:1701 l2tpall:9 ipv6 tcp pay:1", TL_DECODED_OK, 122, 1, 0},
	// A client that drew a tunnel's port: not our tunnel, so an ordinary datagram.
	{"eth ipv4 udp:1701 pay:30", TL_DECODED_OK, 42, 30, 0},
	{"eth ipv4 udp:2152 pay:30", TL_DECODED_OK, 42, 30, 0},
	{"eth ipv4 udp:3544 pay:60", TL_DECODED_OK, 42, 60, 0},
	{"eth ipv4 udp:4790 pay:30", TL_DECODED_OK, 42, 30, 0},
	{"eth ipv4 udp:6081 pay:30", TL_DECODED_OK, 42, 30, 0},
	{"eth ipv4 udp:1701 pay:3", TL_DECODED_OK, 42, 3, 0},
	{"eth ipv4 udp:2152 pay:3", TL_DECODED_OK, 42, 3, 0},
	{"eth ipv4 udp:3544 pay:3", TL_DECODED_OK, 42, 3, 0},
	{"eth ipv4 udp:6081 pay:3", TL_DECODED_OK, 42, 3, 0},
	{"eth ipv4 udp:4789 pay:30", TL_DECODED_OK, 42, 30, 0},
	{"eth ipv4 udp:4789 pay:3", TL_DECODED_OK, 42, 3, 0},
	// Depth: eight are followed, not nine.
	{"eth ipv4 gre ipv4 gre ipv4 gre ipv4 gre ipv4 gre ipv4 gre ipv4 gre ipv4 gre ipv4 tcp pay:1",
	 TL_DECODED_OK, 246, 1, 0},
	{"eth ipv4 gre ipv4 gre ipv4 gre ipv4 gre ipv4 gre ipv4 gre ipv4 gre ipv4 gre ipv4 gre ipv4 "
	 "tcp pay:1",
	 TL_DECODED_TOO_DEEP, 0, 0, 0},
	{"eth ipv4 ipv4 ipv4 ipv4 ipv4 ipv4 ipv4 ipv4 ipv4 ipv4 tcp", TL_DECODED_TOO_DEEP, 0, 0, 0},
};

static bool has_payload(enum tl_decoded decoded)
{
	return decoded == TL_DECODED_OK || decoded == TL_DECODED_FRAGMENT;
}

static void every_recipe_decodes_as_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < TL_COUNT_OF(rows); i++) {
		const struct row *row = &rows[i];
		struct tl_headers h;
		enum tl_decoded got = decode_recipe(row->recipe, &h);

		if (got != row->want)
			fail_msg("'%s': %s, not %s", row->recipe, tl_decoded_name(got),
				 tl_decoded_name(row->want));
		if (!has_payload(got))
			continue;
		if (h.payload_offset != row->payload_at || h.payload_len != row->payload_len ||
		    h.payload_wire_len != row->payload_len)
			fail_msg("'%s': payload %u+%u/%u, not %u+%u", row->recipe, h.payload_offset,
				 h.payload_len, h.payload_wire_len, row->payload_at, row->payload_len);
	}
}

// The captured part ends anywhere. All headers there: as before with less payload. Else the
// verdict is TRUNCATED, unless the bytes that decided it are there already.
static void check_cut(const struct row *row, const struct wire *w, uint32_t cut)
{
	struct tl_headers h;
	uint32_t full = wire_len(w);
	enum tl_decoded got = decode(w->room + w->at, cut, full, w->link_type, &h);

	if (has_payload(row->want)) {
		uint32_t header_end = row->payload_at - row->options;
		enum tl_decoded want = cut >= header_end ? row->want : TL_DECODED_TRUNCATED;
		if (got != want)
			fail_msg("'%s' cut at %u: %s, not %s", row->recipe, cut, tl_decoded_name(got),
				 tl_decoded_name(want));
		if (got == TL_DECODED_TRUNCATED)
			return;
		uint32_t there = cut > row->payload_at ? cut - row->payload_at : 0;
		if (there > row->payload_len)
			there = row->payload_len;
		assert_int_equal(h.payload_len, there);
		assert_int_equal(h.payload_wire_len, row->payload_len);
		assert_true(h.payload_offset <= cut && h.payload_offset + h.payload_len <= cut);
	} else if (got != row->want && got != TL_DECODED_TRUNCATED) {
		fail_msg("'%s' cut at %u: %s", row->recipe, cut, tl_decoded_name(got));
	}
}

static bool is_drawn_port(const char *recipe)
{
	const char *udp = strstr(recipe, "udp:");
	return udp != NULL && strncmp(udp + 8, " pay", 4) == 0;
}

static void headers_cut_at_every_byte_are_truncated(void **state)
{
	(void)state;
	for (size_t i = 0; i < TL_COUNT_OF(rows); i++) {
		struct wire w;
		wire_build(&w, rows[i].recipe);
		// These are OK only once the would-be tunnel header was seen.
		if (is_drawn_port(rows[i].recipe))
			continue;
		for (uint32_t cut = 0; cut < wire_len(&w); cut++)
			check_cut(&rows[i], &w, cut);
	}
}

// The wire itself ends early: a verdict of some kind, and never a byte read behind the end.
static void short_frames_and_flipped_bytes_are_safe(void **state)
{
	(void)state;
	uint64_t seed = 1;
	for (size_t i = 0; i < TL_COUNT_OF(rows); i++) {
		struct wire w;
		struct tl_headers h;
		wire_build(&w, rows[i].recipe);
		uint32_t len = wire_len(&w) < 300 ? wire_len(&w) : 300;
		for (uint32_t cut = 0; cut < len; cut++)
			assert_true(decode(w.room + w.at, cut, cut, w.link_type, &h) <
				    TL_DECODED_COUNT);
		for (uint32_t flip = 0; flip < 2000; flip++) {
			seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			uint32_t at = w.at + (uint32_t)(seed >> 33) % len;
			uint8_t was = w.room[at];
			w.room[at] = (uint8_t)(seed >> 56);
			enum tl_decoded got = decode(w.room + w.at, len, wire_len(&w), w.link_type, &h);
			assert_true(got < TL_DECODED_COUNT);
			if (has_payload(got)) {
				assert_true(h.payload_len <= h.payload_wire_len);
				assert_true(h.payload_offset + h.payload_len <= len);
			}
			w.room[at] = was;
		}
	}
}

struct bad {
	const char *recipe;
	uint32_t at; // byte to overwrite
	uint8_t value;
	enum tl_decoded want;
};

// The same bytes behind a cooked header, which only the general walk reads.
static enum tl_decoded decode_cooked(const uint8_t *frame, uint32_t len, uint32_t original_len,
				     struct tl_headers *ret)
{
	uint8_t cooked[WIRE_MAX] = {0};

	memcpy(cooked + 14, frame + 12, len - 12);
	enum tl_decoded decoded = decode(cooked, len + 2, original_len + 2, TL_LINK_SLL, ret);
	if (decoded == TL_DECODED_OK) {
		ret->l3_offset -= 2;
		ret->payload_offset -= 2;
	}
	return decoded;
}

static void the_straight_way_reads_what_the_walk_reads(void **state)
{
	(void)state;
	static const char *const recipes[] = {
		"eth ipv4 tcp pay:40", "eth ipv4 tcpts pay:10", "eth ipv4 syn pay:3",
		"eth vlan:7 ipv4 tcp pay:9", "eth vlan:0 ipv4 udp pay:40", "eth ipv4 udp pay:40",
		"eth ipv4 udp:4789 vxlan:42 eth ipv4 tcpts pay:9",
		"eth ipv4 udp:2152 gtpu:42 ipv4 tcpts pay:9",
		"eth ipv4 udp:6081 geneve:42 eth ipv4 tcpts pay:9",
		"eth ipv4 udp:1701 l2tp:9 ipv4 tcp pay:9", "eth ipv4 udp:1701 l2tpall:9 ipv4 udp pay:9",
		"eth ipv4 udp:3544 origin ipv6 tcp pay:9", "eth ipv4 greall:9 ipv4 tcp pay:9",
		"eth ipv4 erspan3:9 eth ipv4 udp pay:9", "eth mplsup:9 mpls:100 ipv4 tcp pay:9",
		"eth vlan:7 pppoe:5 ipv4 tcp pay:9",
	};
	uint32_t seed = 1;
	uint32_t good = 0;

	for (uint32_t i = 0; i < TL_COUNT_OF(recipes) * 4000; i++) {
		struct tl_headers straight;
		struct tl_headers walked;
		struct wire w;
		wire_build(&w, recipes[i % TL_COUNT_OF(recipes)]);
		uint8_t *frame = w.room + w.at;
		uint32_t len = wire_len(&w);
		for (uint32_t flips = (i / TL_COUNT_OF(recipes)) % 4; flips != 0; flips--) {
			seed = seed * 1664525u + 1013904223u;
			frame[12 + (seed >> 8) % 50] ^= (uint8_t)(1u << (seed >> 29));
		}
		seed = seed * 1664525u + 1013904223u;
		uint32_t captured = (seed >> 31) != 0 ? len : 12 + (seed >> 8) % (len - 11);
		enum tl_decoded is = decode(frame, captured, len, TL_LINK_ETHERNET, &straight);
		assert_int_equal(is, decode_cooked(frame, captured, len, &walked));
		if (is != TL_DECODED_OK)
			continue;
		good++;
		assert_memory_equal(&straight, &walked, sizeof(walked));
	}
	assert_in_range(good, 20000, 54000);
}

static void contradicting_lengths_are_malformed(void **state)
{
	(void)state;
	static const struct bad bads[] = {
		{"eth ipv4 tcp pay:10", 14, 0x44, TL_DECODED_MALFORMED}, // IHL 4
		{"eth ipv4 tcp pay:10", 14, 0x55, TL_DECODED_MALFORMED}, // version 5
		{"eth ipv4 tcp pay:10", 17, 19, TL_DECODED_MALFORMED},   // total below the header
		{"eth ipv4 tcp pay:10", 17, 30, TL_DECODED_MALFORMED},   // TCP header cut by IP
		{"eth ipv4 tcp pay:10", 46, 0x40, TL_DECODED_MALFORMED}, // data offset 4
		{"eth ipv4 tcp pay:10", 46, 0xf0, TL_DECODED_MALFORMED}, // 60 bytes of 30
		{"eth ipv4 udp pay:10", 39, 7, TL_DECODED_MALFORMED},
		{"eth ipv4 udp pay:10", 39, 0, TL_DECODED_MALFORMED},
		{"eth ipv4 udp pay:10", 39, 19, TL_DECODED_MALFORMED},
		{"eth ipv4 udp pay:10", 39, 8, TL_DECODED_OK},
		{"eth ipv6 udp pay:10", 59, 0, TL_DECODED_OK},           // as in jumbograms
		{"eth ipv6 tcp pay:10", 14, 0x40, TL_DECODED_MALFORMED},
		{"eth ipv6 hop tcp pay:10", 55, 200, TL_DECODED_MALFORMED},
		{"eth ipv4 ipv4 tcp pay:10", 36, 1, TL_DECODED_MALFORMED}, // inner above outer
		// The frame is shorter than IP says and nobody told of a cut: the payload is.
		{"eth ipv4 tcp pay:10", 16, 1, TL_DECODED_OK},
	};

	for (size_t i = 0; i < TL_COUNT_OF(bads); i++) {
		struct wire w;
		struct tl_headers h;
		wire_build(&w, bads[i].recipe);
		w.room[w.at + bads[i].at] = bads[i].value;
		enum tl_decoded got =
			decode(w.room + w.at, wire_len(&w), wire_len(&w), w.link_type, &h);
		if (got != bads[i].want)
			fail_msg("'%s' [%u]=%u: %s, not %s", bads[i].recipe, bads[i].at, bads[i].value,
				 tl_decoded_name(got), tl_decoded_name(bads[i].want));
	}
}

static void every_field_of_a_segment_is_read(void **state)
{
	(void)state;
	struct tl_headers h;

	assert_int_equal(decode_recipe("eth vlan:100 vlan:0 vlan:7 ipv4:9 syn", &h), TL_DECODED_OK);
	const uint8_t source[16] = {[10] = 0xff, 0xff, 10, 0, 0, 9};
	const uint8_t destination[16] = {[10] = 0xff, 0xff, 10, 0, 1, 9};
	assert_memory_equal(h.tuple.source, source, 16);
	assert_memory_equal(h.tuple.destination, destination, 16);
	assert_int_equal(h.tuple.source_port, 40000);
	assert_int_equal(h.tuple.destination_port, 80);
	assert_int_equal(h.tuple.protocol, 6);
	assert_int_equal(h.tuple.ip_version, 4);
	assert_int_equal(h.tuple.zero, 0);
	assert_int_equal(h.outer.vlan_count, 2); // the priority mark is no VLAN
	assert_int_equal(h.outer.vlans[0], 100);
	assert_int_equal(h.outer.vlans[1], 7);
	assert_int_equal(h.outer.tunnel, TL_TUNNEL_NONE);
	assert_int_equal(h.l3_offset, 26);
	assert_int_equal(h.ip_id, 0x1234);
	assert_int_equal(h.ttl, 64);
	assert_int_equal(h.tcp_flags, TL_TCP_SYN);
	assert_int_equal(h.tcp_seq, 0x01020304);
	assert_int_equal(h.tcp_ack, 0x05060708);
	assert_int_equal(h.tcp_window, 501);
	assert_int_equal(h.tcp_mss, 1460);
	assert_int_equal(h.tcp_window_scale, 7);
	assert_true(h.tcp_has_timestamps);
	assert_int_equal(h.tcp_timestamp, 12345);

	assert_int_equal(decode_recipe("eth ipv6 tcpts", &h), TL_DECODED_OK);
	assert_int_equal(h.tuple.source[0], 0xfd);
	assert_int_equal(h.tuple.destination[15], 2);
	assert_int_equal(h.tuple.ip_version, 6);
	assert_int_equal(h.ttl, 63);
	assert_int_equal(h.tcp_window_scale, TL_NO_WINDOW_SCALE);
	assert_int_equal(h.tcp_timestamp, 12345);
}

static void tunnels_are_told(void **state)
{
	(void)state;
	static const struct {
		const char *recipe;
		enum tl_tunnel tunnel;
		uint32_t id;
		uint8_t depth;
		uint8_t vlans;
	} told[] = {
		{"eth ipv4 gre ipv4 tcp", TL_TUNNEL_GRE, 0, 1, 0},
		{"eth ipv4 greall:77 ipv4 tcp", TL_TUNNEL_GRE, 77, 1, 0},
		{"eth vlan:4 ipv4 teb:5 eth vlan:6 ipv4 udp", TL_TUNNEL_GRE, 5, 1, 2},
		{"eth ipv4 udp:4789 vxlan:0xabcdef eth ipv4 tcp", TL_TUNNEL_VXLAN, 0xabcdef, 1, 0},
		{"eth ipv4 udp:4789 vxlan:3 eth ipv4 ipv6 tcp", TL_TUNNEL_IPIP, 0, 2, 0},
		{"eth ipv4 ipv4 grek:8 ipv4 tcp", TL_TUNNEL_GRE, 8, 2, 0},
		{"eth vlan:1 vlan:2 ipv4 teb eth vlan:3 vlan:4 vlan:5 ipv4 tcp", TL_TUNNEL_GRE, 0, 1,
		 4},
		{"eth mpls:77 ipv4 tcp", TL_TUNNEL_MPLS, 77, 1, 0},
		{"eth mplsup:9 mplsup:8 mpls:100 ipv4 tcp", TL_TUNNEL_MPLS, 100, 1, 0},
		{"eth mplsup:100 mpls:0 ipv4 tcp", TL_TUNNEL_MPLS, 100, 1, 0}, // explicit null
		{"eth mplsup:100 mplsup:7 mpls:999 ipv4 tcp", TL_TUNNEL_MPLS, 100, 1, 0}, // entropy
		{"eth ipv4 grek:8 mpls:77 ipv4 tcp", TL_TUNNEL_MPLS, 77, 2, 0},
		{"eth pppoe:0xabc ipv4 tcp", TL_TUNNEL_PPPOE, 0xabc, 1, 0},
		{"eth pbb:0xabcdef eth vlan:3 ipv4 tcp", TL_TUNNEL_PBB, 0xabcdef, 1, 1},
		{"eth vntag:0x2bc ipv4 tcp", TL_TUNNEL_VNTAG, 0x2bc, 1, 0},
		{"eth vntags:0x2bc ipv4 tcp", TL_TUNNEL_VNTAG, 0x2bc, 1, 0},
		{"eth etag:0x2bc ipv4 tcp", TL_TUNNEL_ETAG, 0x2bc, 1, 0},
		{"eth nsh:9 ipv4 tcp", TL_TUNNEL_NSH, 9, 1, 0},
		{"eth ipv4 erspan1 eth ipv4 tcp", TL_TUNNEL_ERSPAN, 0, 1, 0},
		{"eth ipv4 erspan2:1023 eth vlan:3 ipv4 tcp", TL_TUNNEL_ERSPAN, 1023, 1, 1},
		{"eth ipv4 erspan3:513 eth ipv4 tcp", TL_TUNNEL_ERSPAN, 513, 1, 0},
		{"eth ipv4 udp:4790 gpe:42 ipv4 tcp", TL_TUNNEL_VXLAN_GPE, 42, 1, 0},
		{"eth ipv4 udp:4789 gpe:42 nsh:7 eth ipv4 tcp", TL_TUNNEL_NSH, 7, 2, 0},
		{"eth ipv4 udp:6081 geneve:42 eth ipv4 tcp", TL_TUNNEL_GENEVE, 42, 1, 0},
		{"eth ipv4 udp:2152 gtpu:0xfedcba98 ipv4 tcp", TL_TUNNEL_GTPU, 0xfedcba98, 1, 0},
		{"eth ipv4 udp:3544 ipv6 udp", TL_TUNNEL_TEREDO, 0, 1, 0},
		{"eth ipv4 udp:1701 l2tp:0x10002 ipv4 tcp", TL_TUNNEL_L2TP, 0x10002, 1, 0},
		{"eth ipv4 udp:1701 l2tpall:0x10002 ipv4 tcp", TL_TUNNEL_L2TP, 0x10002, 1, 0},
	};

	for (size_t i = 0; i < TL_COUNT_OF(told); i++) {
		struct tl_headers h;
		assert_int_equal(decode_recipe(told[i].recipe, &h), TL_DECODED_OK);
		assert_int_equal(h.outer.tunnel, told[i].tunnel);
		assert_int_equal(h.outer.tunnel_id, told[i].id);
		assert_int_equal(h.outer.tunnel_depth, told[i].depth);
		assert_int_equal(h.outer.vlan_count, told[i].vlans);
	}
	assert_string_equal(tl_tunnel_name(TL_TUNNEL_VXLAN), "vxlan");
	assert_string_equal(tl_decoded_name(TL_DECODED_NOT_IP), "not_ip");
}

// The layers of a recipe in words, those of encapsulations that are left alone excepted.
static enum tl_decoded path_of(const char *recipe, uint32_t left_alone, struct tl_headers *h,
			       struct tl_path *ret, char words[512])
{
	struct wire w;
	wire_build(&w, recipe);
	struct tl_chunk chunk = {.data = w.room + w.at, .len = wire_len(&w)};
	struct tl_packet packet = {.chunks = &chunk, .chunk_count = 1, .link_type = w.link_type,
				   .len = chunk.len, .original_len = chunk.len};
	enum tl_decoded decoded = tl_packet_decode_but(&packet, left_alone, h);
	size_t at = 0;

	memset(ret, 0xee, sizeof(*ret));
	tl_packet_path(&packet, h, ret);
	words[0] = '\0';
	for (uint32_t i = 0; i < ret->count && i < TL_LAYERS_KEPT_MAX; i++)
		at += (size_t)snprintf(words + at, 512 - at, "%s%s:%u", i == 0 ? "" : " ",
				       ret->kinds[i] == TL_TUNNEL_NONE
					       ? "vlan"
					       : tl_tunnel_name((enum tl_tunnel)ret->kinds[i]),
				       ret->ids[i]);
	return decoded;
}

static void paths_name_every_layer(void **state)
{
	(void)state;
	static const struct {
		const char *recipe;
		const char *words;
		uint32_t count;
		uint32_t left_alone;
	} told[] = {
		{"eth vlan:5 ipv4 grek:7 ipv4 udp:4789 vxlan:42 eth vlan:6 ipv4 tcp",
		 "vlan:5 gre:7 vxlan:42 vlan:6", 4, 0},
		{"eth vlan:5 ipv4 grek:7 ipv4 udp:4789 vxlan:42 eth vlan:6 ipv4 tcp", "vlan:5 gre:7", 2,
		 TL_TUNNEL_BIT(TL_TUNNEL_VXLAN)},
		{"eth ipv4 ipv6 grek:7 ipv4 ipv4 tcp", "ipip:0 gre:7 ipip:0", 3, 0},
		{"eth qinq:4 vlan:0 ipv4 erspan2:9 eth vlan:3 ipv4m:0 udp pay:8",
		 "vlan:4 erspan:9 vlan:3", 3, 0},
		// Of a stack every label that names a path; 7 announces an entropy label.
		{"eth mplsup:16004 mplsup:100 mplsup:7 mplsup:999 mpls:0 ipv4 udp:4789 vxlan:42 eth "
		 "ipv4 tcp",
		 "mpls:16004 mpls:100 vxlan:42", 3, 0},
		{"eth mpls:0 ipv6 tcp", "mpls:0", 1, 0},
		{"eth vlan:1 vlan:2 vlan:3 vlan:4 vlan:5 vlan:6 ipv4 tcp",
		 "vlan:1 vlan:2 vlan:3 vlan:4 vlan:5 vlan:6", 6, 0},
		{"eth vlan:1 vlan:2 vlan:3 vlan:4 vlan:5 vlan:6 ipv4 gre ipv4 gre ipv4 gre ipv4 gre ipv4 "
		 "gre ipv4 gre ipv4 gre ipv4 gre ipv4 tcp",
		 "vlan:1 vlan:2 vlan:3 vlan:4 vlan:5 vlan:6 gre:0 gre:0 gre:0 gre:0 gre:0 gre:0", 14, 0},
	};
	char words[512];

	for (size_t i = 0; i < TL_COUNT_OF(told); i++) {
		struct tl_headers h;
		struct tl_path path;
		assert_true(has_payload(path_of(told[i].recipe, told[i].left_alone, &h, &path, words)));
		assert_string_equal(words, told[i].words);
		assert_int_equal(path.count, told[i].count);
	}
	// Where a packet has no path, what it has instead tells the same.
	for (size_t i = 0; i < TL_COUNT_OF(rows); i++) {
		struct tl_headers h;
		struct tl_path path;
		if (!has_payload(path_of(rows[i].recipe, 0, &h, &path, words)) ||
		    tl_outer_has_path(&h.outer))
			continue;
		assert_int_equal(path.count, h.outer.tunnel_depth + h.outer.vlan_count);
		for (uint32_t v = 0; v < h.outer.vlan_count; v++)
			assert_int_equal(path.ids[v], h.outer.vlans[v]);
		if (h.outer.tunnel_depth != 0)
			assert_true(path.ids[0] == h.outer.tunnel_id &&
				    path.kinds[0] == h.outer.tunnel);
	}
}

static enum tl_decoded decode_but(const char *recipe, uint32_t left_alone, struct tl_headers *ret)
{
	struct wire w;
	wire_build(&w, recipe);
	struct tl_chunk chunk = {.data = w.room + w.at, .len = wire_len(&w)};
	struct tl_packet packet = {.chunks = &chunk, .chunk_count = 1, .link_type = w.link_type,
				   .len = chunk.len, .original_len = chunk.len};
	return tl_packet_decode_but(&packet, left_alone, ret);
}

// Each encapsulation can be left alone by itself, and is then what carries it.
static void encapsulations_are_left_alone_one_by_one(void **state)
{
	(void)state;
	static const struct {
		enum tl_tunnel tunnel;
		const char *recipe;
		enum tl_decoded want;
	} rows_alone[] = {
		{TL_TUNNEL_GRE, "eth ipv4 gre ipv4 tcp pay:1", TL_DECODED_OTHER_L4},
		{TL_TUNNEL_VXLAN, "eth ipv4 udp:4789 vxlan:42 eth ipv4 tcp", TL_DECODED_OK},
		{TL_TUNNEL_IPIP, "eth ipv4 ipv6 tcp", TL_DECODED_OTHER_L4},
		{TL_TUNNEL_MPLS, "eth mpls:100 ipv4 tcp", TL_DECODED_NOT_IP},
		{TL_TUNNEL_PPPOE, "eth pppoe:5 ipv4 tcp", TL_DECODED_NOT_IP},
		{TL_TUNNEL_ERSPAN, "eth ipv4 erspan2:5 eth ipv4 tcp", TL_DECODED_OTHER_L4},
		{TL_TUNNEL_GENEVE, "eth ipv4 udp:6081 geneve:42 eth ipv4 tcp", TL_DECODED_OK},
		{TL_TUNNEL_VXLAN_GPE, "eth ipv4 udp:4790 gpe:42 ipv4 tcp", TL_DECODED_OK},
		{TL_TUNNEL_GTPU, "eth ipv4 udp:2152 gtpu:42 ipv4 tcp", TL_DECODED_OK},
		{TL_TUNNEL_TEREDO, "eth ipv4 udp:3544 ipv6 udp", TL_DECODED_OK},
		{TL_TUNNEL_NSH, "eth nsh:9 ipv4 tcp", TL_DECODED_NOT_IP},
		{TL_TUNNEL_PBB, "eth pbb:7 eth ipv4 tcp", TL_DECODED_NOT_IP},
		{TL_TUNNEL_VNTAG, "eth vntag:5 ipv4 tcp", TL_DECODED_NOT_IP},
		{TL_TUNNEL_ETAG, "eth etag:5 ipv4 tcp", TL_DECODED_NOT_IP},
		{TL_TUNNEL_L2TP, "eth ipv4 udp:1701 l2tp:9 ipv4 tcp", TL_DECODED_OK},
	};
	static_assert(TL_COUNT_OF(rows_alone) == TL_TUNNEL_COUNT - 1, "one each");

	for (size_t i = 0; i < TL_COUNT_OF(rows_alone); i++) {
		const char *recipe = rows_alone[i].recipe;
		enum tl_tunnel tunnel = rows_alone[i].tunnel;
		struct tl_headers h;
		assert_int_equal(decode_but(recipe, 0, &h), TL_DECODED_OK);
		assert_int_equal(h.outer.tunnel, tunnel);
		assert_int_equal(decode_but(recipe, ~TL_TUNNEL_BIT(tunnel), &h), TL_DECODED_OK);
		assert_int_equal(h.outer.tunnel, tunnel);
		assert_int_equal(decode_but(recipe, TL_TUNNEL_BIT(tunnel), &h), rows_alone[i].want);
		assert_int_equal(h.outer.tunnel, TL_TUNNEL_NONE);
		if (rows_alone[i].want == TL_DECODED_OK)
			assert_int_equal(h.tuple.protocol, 17);
		assert_int_equal(tl_tunnel_by_name(tl_tunnel_name(tunnel)), tunnel);
	}
	assert_int_equal(tl_tunnel_by_name("none"), TL_TUNNEL_NONE);
	assert_int_equal(tl_tunnel_by_name("vxlans"), TL_TUNNEL_NONE);
}

// Headers that contradict themselves end as what carries them, or as malformed.
static void broken_encapsulations_are_told(void **state)
{
	(void)state;
	static const struct bad bads[] = {
		{"eth pppoe:5 ipv4 tcp pay:1", 15, 1, TL_DECODED_NOT_IP},   // code
		{"eth pppoe:5 ipv4 tcp pay:1", 18, 1, TL_DECODED_MALFORMED}, // longer than the frame
		{"eth nsh:9 ipv4 tcp", 15, 0xc1, TL_DECODED_MALFORMED},     // 4 bytes
		{"eth nsh:9 ipv4 tcp", 14, 0x4f, TL_DECODED_NOT_IP},        // version
		{"eth nsh:9 ipv4 tcp", 17, 9, TL_DECODED_NOT_IP},           // next protocol
		{"eth mpls:9 ipv4 tcp", 18, 0x15, TL_DECODED_NOT_IP},       // the path's own channel
		{"eth ipv4 udp:6081 geneve:42 eth ipv4 tcp", 42, 0x42, TL_DECODED_OK}, // version
		{"eth ipv4 udp:6081 geneve:42 eth ipv4 tcp", 42, 0x3f, TL_DECODED_OK}, // options
		{"eth ipv4 udp:2152 gtpu:42 ipv4 tcp", 42, 0x50, TL_DECODED_OK},       // version 2
		{"eth ipv4 udp:2152 gtpu:42 ipv4 tcp", 43, 1, TL_DECODED_OK},          // echo
		{"eth ipv4 udp:2152 gtpu:42 ipv4 tcp", 45, 99, TL_DECODED_OK},         // length
		{"eth ipv4 udp:2152 gtpu:42 ipv4 tcp", 50, 0x15, TL_DECODED_OK},       // not IP
		{"eth ipv4 udp:2152 gtpux:42 ipv4 tcp", 54, 0, TL_DECODED_OK},         // extension
		{"eth ipv4 udp:2152 gtpux:42 ipv4 tcp", 54, 200, TL_DECODED_OK},
		{"eth ipv4 udp:3544 ipv6 udp", 47, 9, TL_DECODED_OK},                  // length
		{"eth ipv4 udp:1701 l2tp:9 ipv4 tcp", 42, 0x80, TL_DECODED_OK},        // control
		{"eth ipv4 udp:1701 l2tpall:9 ipv4 tcp", 45, 200, TL_DECODED_OK},      // length
		{"eth ipv4 udp:1701 l2tpall:9 ipv4 tcp", 54, 200, TL_DECODED_OK},      // offset
		{"eth ipv4 udp:4790 gpe:42 ipv4 tcp", 45, 77, TL_DECODED_OK}, // next protocol
	};

	for (size_t i = 0; i < TL_COUNT_OF(bads); i++) {
		struct wire w;
		struct tl_headers h;
		wire_build(&w, bads[i].recipe);
		w.room[w.at + bads[i].at] = bads[i].value;
		enum tl_decoded got =
			decode(w.room + w.at, wire_len(&w), wire_len(&w), w.link_type, &h);
		if (got != bads[i].want || (got == TL_DECODED_OK && h.tuple.protocol != 17))
			fail_msg("'%s' [%u]=%u: %s of %u, not %s", bads[i].recipe, bads[i].at,
				 bads[i].value, tl_decoded_name(got), h.tuple.protocol,
				 tl_decoded_name(bads[i].want));
	}
}

// A window scale above 14 counts as 14; broken option lists end the reading, not the segment.
static void odd_options_do_no_harm(void **state)
{
	(void)state;
	static const struct {
		uint8_t options[8];
		uint16_t mss;
		uint8_t scale;
	} odd[] = {
		{{3, 3, 15, 2, 4, 1, 0, 0}, 256, 14},
		{{2, 4, 1, 0, 3, 3, 2, 0}, 256, 2},
		{{2, 0, 1, 0, 3, 3, 2, 0}, 0, TL_NO_WINDOW_SCALE}, // length 0
		{{2, 1, 1, 0, 3, 3, 2, 0}, 0, TL_NO_WINDOW_SCALE},
		{{2, 200, 1, 0, 3, 3, 2, 0}, 0, TL_NO_WINDOW_SCALE},
		{{0, 2, 4, 1, 0, 3, 3, 2}, 0, TL_NO_WINDOW_SCALE}, // end of list
		{{1, 1, 1, 1, 1, 1, 1, 2}, 0, TL_NO_WINDOW_SCALE},
	};

	for (size_t i = 0; i < TL_COUNT_OF(odd); i++) {
		struct wire w;
		struct tl_headers h;
		wire_build(&w, "eth ipv4 syn");
		memset(w.room + w.at + 54, 1, 20);
		memcpy(w.room + w.at + 54 + 12, odd[i].options, 8);
		assert_int_equal(decode(w.room + w.at, wire_len(&w), wire_len(&w), w.link_type, &h),
				 TL_DECODED_OK);
		assert_int_equal(h.tcp_mss, odd[i].mss);
		assert_int_equal(h.tcp_window_scale, odd[i].scale);
	}
}

// A packet of the largest size in pieces: headers from the first, lengths from all.
static void long_packets_come_in_chunks(void **state)
{
	(void)state;
	enum { PAYLOAD = 3000, FIRST = 600 };
	struct wire w;
	struct tl_headers h;
	wire_build(&w, "eth ipv4 tcp pay:3000");
	struct tl_chunk chunks[] = {
		{.data = w.room + w.at, .len = FIRST},
		{.data = w.room + w.at + FIRST, .len = 1},
		{.data = NULL, .len = 0},
		{.data = w.room + w.at + FIRST + 1, .len = wire_len(&w) - FIRST - 1},
	};
	struct tl_packet packet = {
		.chunks = chunks,
		.chunk_count = TL_COUNT_OF(chunks),
		.link_type = TL_LINK_ETHERNET,
		.len = wire_len(&w),
		.original_len = wire_len(&w),
	};

	assert_int_equal(tl_packet_decode(&packet, &h), TL_DECODED_OK);
	assert_int_equal(h.payload_len, PAYLOAD);
	uint8_t out[PAYLOAD + 8];
	assert_int_equal(tl_packet_copy(&packet, h.payload_offset, sizeof(out), out), PAYLOAD);
	assert_memory_equal(out, w.room + w.at + 54, PAYLOAD);
	assert_int_equal(tl_packet_copy(&packet, FIRST - 1, 4, out), 4);
	assert_memory_equal(out, w.room + w.at + FIRST - 1, 4);
	assert_int_equal(tl_packet_copy(&packet, packet.len, 4, out), 0);
	assert_int_equal(tl_packet_copy(&packet, UINT32_MAX, 4, out), 0);
}

// GSO gives packets beyond 64 KiB with a zero length; only the length of the capture is left.
static void oversized_packets_take_the_captured_length(void **state)
{
	(void)state;
	enum { LEN = 150000 };
	uint8_t *big = calloc(1, LEN);
	struct wire w;
	struct tl_headers h;

	assert_non_null(big);
	wire_build(&w, "eth ipv4tso tcp");
	memcpy(big, w.room + w.at, wire_len(&w));
	assert_int_equal(decode(big, LEN, LEN, TL_LINK_ETHERNET, &h), TL_DECODED_OK);
	assert_int_equal(h.payload_wire_len, LEN - 54);
	wire_build(&w, "eth ipv6tso tcp");
	memcpy(big, w.room + w.at, wire_len(&w));
	assert_int_equal(decode(big, LEN, LEN + 7, TL_LINK_ETHERNET, &h), TL_DECODED_OK);
	assert_int_equal(h.payload_len, LEN - 74);
	assert_int_equal(h.payload_wire_len, LEN + 7 - 74);
	free(big);
}

static struct tl_tuple reversed(const struct tl_tuple *t)
{
	struct tl_tuple r = *t;
	memcpy(r.source, t->destination, 16);
	memcpy(r.destination, t->source, 16);
	r.source_port = t->destination_port;
	r.destination_port = t->source_port;
	return r;
}

static void hash_is_symmetric_seeded_and_spreads(void **state)
{
	(void)state;
	enum { TUPLES = 65536, BUCKETS = 1024 };
	static uint32_t counts[BUCKETS];
	uint32_t same_with_other_seed = 0;
	uint32_t same_with_ports_swapped = 0;

	for (uint32_t i = 0; i < TUPLES; i++) {
		struct tl_tuple t = {.source_port = (uint16_t)(1024 + i % 251), .destination_port = 80,
				     .protocol = 6, .ip_version = 4};
		wire_be32(t.source + 12, 0x0a000000 + i / 251);
		wire_be32(t.destination + 12, 0x0a010000 + i % 7);
		struct tl_tuple r = reversed(&t);
		uint32_t hash = tl_tuple_hash(&t, 42);
		assert_int_equal(hash, tl_tuple_hash(&r, 42));
		same_with_other_seed += hash == tl_tuple_hash(&t, 43);
		r = t;
		r.source_port = t.destination_port;
		r.destination_port = t.source_port;
		same_with_ports_swapped += hash == tl_tuple_hash(&r, 42);
		counts[hash % BUCKETS]++;
	}
	assert_true(same_with_other_seed < 3);
	assert_true(same_with_ports_swapped < 3);
	// Chi squared with 1023 degrees of freedom: mean 1023, deviation 45.
	double chi = 0;
	for (uint32_t i = 0; i < BUCKETS; i++) {
		double off = counts[i] - (double)TUPLES / BUCKETS;
		chi += off * off * BUCKETS / TUPLES;
	}
	assert_true(chi < 1023 + 6 * 45);
	// A host that talks to itself is no special case.
	struct tl_tuple self = {.source_port = 9, .destination_port = 9, .protocol = 17};
	uint32_t first = tl_tuple_hash(&self, 42);
	self.source[15] = self.destination[15] = 1;
	assert_int_not_equal(first, tl_tuple_hash(&self, 42));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_recipe_decodes_as_told),
		cmocka_unit_test(headers_cut_at_every_byte_are_truncated),
		cmocka_unit_test(short_frames_and_flipped_bytes_are_safe),
		cmocka_unit_test(the_straight_way_reads_what_the_walk_reads),
		cmocka_unit_test(contradicting_lengths_are_malformed),
		cmocka_unit_test(every_field_of_a_segment_is_read),
		cmocka_unit_test(tunnels_are_told),
		cmocka_unit_test(paths_name_every_layer),
		cmocka_unit_test(encapsulations_are_left_alone_one_by_one),
		cmocka_unit_test(broken_encapsulations_are_told),
		cmocka_unit_test(odd_options_do_no_harm),
		cmocka_unit_test(long_packets_come_in_chunks),
		cmocka_unit_test(oversized_packets_take_the_captured_length),
		cmocka_unit_test(hash_is_symmetric_seeded_and_spreads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
