// SPDX-License-Identifier: Apache-2.0
#include "packet/defrag.h"

#include "base/check.h"
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static struct tl_defrag *create(uint64_t datagrams, uint64_t bytes)
{
	const struct tl_defrag_options options = {
		.datagrams_max = datagrams, .bytes_max = bytes, .timeout_ns = 30 * SECOND};
	struct tl_defrag *d = tl_defrag_create(&options);
	assert_non_null(d);
	return d;
}

// Every fragment offered is booked exactly once.
static struct tl_defrag_stats stats_of(const struct tl_defrag *d)
{
	struct tl_defrag_stats s;
	tl_defrag_stats(d, &s);
	assert_int_equal(s.fragments, s.used + s.timeouts + s.evicted + s.malformed +
					      s.duplicates + s.held);
	return s;
}

// Offers the packet of a recipe. In an untagged IPv4 one, `id` becomes part of the addresses, so
// that there may be many datagrams. The captured part is `cut` bytes short.
static const struct tl_packet *offer_cut(struct tl_defrag *d, const char *recipe, uint16_t id,
					 uint64_t time_ns, uint32_t cut)
{
	static struct wire w;
	struct tl_headers h;

	wire_build(&w, recipe);
	if (w.room[w.at + 12] == 8)
		wire_be16(w.room + w.at + 14 + 14, id);
	uint32_t len = wire_len(&w) - cut;
	uint8_t *copy = malloc(len);
	assert_non_null(copy);
	memcpy(copy, w.room + w.at, len);
	struct tl_chunk chunk = {.data = copy, .len = len};
	struct tl_packet packet = {.chunks = &chunk, .chunk_count = 1, .link_type = w.link_type,
				   .port = 3, .len = len, .original_len = wire_len(&w),
				   .time_ns = time_ns};
	assert_int_equal(tl_packet_decode(&packet, &h), TL_DECODED_FRAGMENT);
	const struct tl_packet *whole = tl_defrag_add(d, &packet, &h);
	free(copy);
	return whole;
}

static const struct tl_packet *offer(struct tl_defrag *d, const char *recipe, uint64_t time_ns)
{
	return offer_cut(d, recipe, 1, time_ns, 0);
}

// The three pieces of "udp pay:56": bytes of the pattern continue where the recipe's don't, so
// the test compares with what each piece brought.
static const char *const thirds[] = {
	"eth vlan:9 ipv4m:0 udp pay:16",
	"eth vlan:9 ipv4m:24 proto:17 pay:24",
	"eth vlan:9 ipv4f:48 proto:17 pay:11",
};

static void check_whole(const struct tl_packet *whole, uint64_t time_ns)
{
	struct tl_headers h;

	assert_non_null(whole);
	assert_int_equal(whole->link_type, TL_LINK_RAW);
	assert_true(whole->is_reassembled);
	assert_int_equal(whole->time_ns, time_ns);
	assert_int_equal(whole->port, 3);
	assert_int_equal(whole->len, 20 + 59);
	assert_int_equal(whole->original_len, 20 + 59);
	const uint8_t *p = whole->chunks[0].data;
	assert_int_equal(tl_load_be16(p + 2), 20 + 59);
	assert_int_equal(tl_load_be16(p + 6), 0);
	uint32_t sum = 0;
	for (uint32_t i = 0; i < 20; i += 2)
		sum += tl_load_be16(p + i);
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
	for (uint32_t i = 0; i < 24; i++)
		assert_int_equal(p[20 + 24 + i], (uint8_t)(i * 7 + 1));
	for (uint32_t i = 0; i < 11; i++)
		assert_int_equal(p[20 + 48 + i], (uint8_t)(i * 7 + 1));
	// The UDP length (24) was built for the first piece alone; make it the datagram's.
	uint8_t *fixed = malloc(whole->len);
	assert_non_null(fixed);
	memcpy(fixed, p, whole->len);
	wire_be16(fixed + 24, 59);
	struct tl_chunk chunk = {.data = fixed, .len = whole->len};
	struct tl_packet packet = *whole;
	packet.chunks = &chunk;
	assert_int_equal(tl_packet_decode(&packet, &h), TL_DECODED_OK);
	assert_int_equal(h.payload_len, 51);
	assert_int_equal(h.outer.vlan_count, 1);
	assert_int_equal(h.outer.vlans[0], 9);
	free(fixed);
}

static const uint8_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
				     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

static void three_fragments_in_every_order(void **state)
{
	(void)state;
	struct tl_defrag *d = create(16, 1 << 20);

	for (uint32_t i = 0; i < 6; i++) {
		assert_null(offer(d, thirds[orders[i][0]], 10 * i));
		assert_null(offer(d, thirds[orders[i][1]], 10 * i + 1));
		// A copy brings nothing and changes nothing.
		assert_null(offer(d, thirds[orders[i][1]], 10 * i + 1));
		check_whole(offer(d, thirds[orders[i][2]], 10 * i + 2), 10 * i + 2);
	}
	struct tl_defrag_stats s = stats_of(d);
	assert_int_equal(s.reassembled, 6);
	assert_int_equal(s.used, 18);
	assert_int_equal(s.duplicates, 6);
	assert_int_equal(s.overlaps, 0);
	assert_int_equal(s.held, 0);
	tl_defrag_destroy(d);
}

// Pieces that overlap: the byte that came first stays, in all orders.
static void the_first_byte_wins_in_every_order(void **state)
{
	(void)state;
	// 0..32 of pattern A, 16..48 of pattern B (the pattern restarts), 40..51 of pattern C.
	static const struct {
		const char *recipe;
		uint32_t at, len;
	} pieces[] = {
		{"eth ipv4m:0 proto:17 pay:32", 0, 32},
		{"eth ipv4m:16 proto:17 pay:32", 16, 32},
		{"eth ipv4f:40 proto:17 pay:11", 40, 11},
	};
	struct tl_defrag *d = create(16, 1 << 20);

	for (uint32_t i = 0; i < 6; i++) {
		uint8_t want[51] = {0};
		bool known[51] = {false};
		const struct tl_packet *whole = NULL;
		for (uint32_t j = 0; j < 3; j++) {
			uint32_t k = orders[i][j];
			for (uint32_t at = 0; at < pieces[k].len; at++) {
				uint32_t to = pieces[k].at + at;
				if (!known[to])
					want[to] = (uint8_t)(at * 7 + 1);
				known[to] = true;
			}
			assert_null(whole);
			whole = offer(d, pieces[k].recipe, i);
		}
		assert_non_null(whole);
		assert_memory_equal(whole->chunks[0].data + 20, want, sizeof(want));
	}
	struct tl_defrag_stats s = stats_of(d);
	assert_int_equal(s.reassembled, 6);
	// Two places overlap; each is found when its second piece comes.
	assert_true(s.overlaps >= 6 && s.overlaps <= 12);
	tl_defrag_destroy(d);
}

static void ipv6_loses_its_fragment_header(void **state)
{
	(void)state;
	struct tl_defrag *d = create(16, 1 << 20);
	struct tl_headers h;

	assert_null(offer(d, "eth ipv6 hop frag:16 proto:17 pay:5", 1));
	const struct tl_packet *whole = offer(d, "eth ipv6 hop fragm:0 udp pay:8", 2);
	assert_non_null(whole);
	assert_int_equal(whole->len, 40 + 21);
	// The UDP length was built for the first piece: the rest is a trailer.
	assert_int_equal(tl_packet_decode(whole, &h), TL_DECODED_OK);
	assert_int_equal(h.tuple.protocol, 17);
	assert_int_equal(h.tuple.ip_version, 6);
	assert_int_equal(h.payload_len, 8);
	stats_of(d);
	tl_defrag_destroy(d);
}

// Fragments inside a tunnel keep what surrounds them, and other tunnels' fragments apart; a
// whole datagram may hold a tunnel in turn.
static void tunnels_are_kept_and_kept_apart(void **state)
{
	(void)state;
	struct tl_defrag *d = create(16, 1 << 20);
	struct tl_headers h;

	assert_null(offer(d, "eth vlan:5 ipv4 grek:7 ipv4m:0 udp pay:8", 1));
	assert_null(offer(d, "eth vlan:5 ipv4 grek:8 ipv4f:16 proto:17 pay:5", 1));
	assert_null(offer(d, "eth vlan:6 ipv4 grek:7 ipv4f:16 proto:17 pay:5", 1));
	const struct tl_packet *whole = offer(d, "eth vlan:5 ipv4 grek:7 ipv4f:16 proto:17 pay:5", 1);
	assert_non_null(whole);
	assert_int_equal(tl_packet_decode(whole, &h), TL_DECODED_OK);
	assert_int_equal(h.outer.tunnel, TL_TUNNEL_GRE);
	assert_int_equal(h.outer.tunnel_id, 7);
	assert_int_equal(h.outer.tunnel_depth, 1);
	assert_int_equal(h.outer.vlans[0], 5);

	assert_null(offer(d, "eth ipv4m:0 gre ipv4 tcp pay:16", 2)); // 4 + 20 + 20 + 16 = 60: bad
	assert_int_equal(stats_of(d).malformed, 1);
	assert_null(offer(d, "eth ipv4m:0 gre ipv4 tcp pay:20", 2));
	whole = offer(d, "eth ipv4f:64 proto:47 pay:3", 2);
	assert_non_null(whole);
	assert_int_equal(tl_packet_decode(whole, &h), TL_DECODED_OK);
	assert_int_equal(h.outer.tunnel_depth, 1);
	assert_int_equal(h.payload_len, 20);
	tl_defrag_destroy(d);
}

// Two mirrors of clusters that number their networks and pods alike.
static void tunnels_around_the_innermost_keep_fragments_apart(void **state)
{
	(void)state;
	struct tl_defrag *d = create(16, 1 << 20);
	struct tl_headers h;

	assert_null(offer(d, "eth ipv4 udp:4789 vxlan:1 eth ipv4 udp:4789 vxlan:42 eth ipv4m:0 udp pay:8",
			  1));
	assert_null(offer(d, "eth ipv4 udp:4789 vxlan:2 eth ipv4 udp:4789 vxlan:42 eth ipv4f:16 proto:17"
			  " pay:5", 1));
	const struct tl_packet *whole = offer(d, "eth ipv4 udp:4789 vxlan:1 eth ipv4 udp:4789 vxlan:42 eth"
					      " ipv4f:16 proto:17 pay:5", 1);
	assert_non_null(whole);
	assert_int_equal(tl_packet_decode(whole, &h), TL_DECODED_OK);
	assert_int_equal(h.outer.tunnel_depth, 2);
	// Labels may be chosen by ports, which only the first fragment has.
	assert_null(offer(d, "eth mpls:100 ipv4 udp:4789 vxlan:42 eth ipv4m:0 udp pay:8", 1));
	assert_non_null(offer(d, "eth mpls:200 ipv4 udp:4789 vxlan:42 eth ipv4f:16 proto:17 pay:5", 1));
	tl_defrag_destroy(d);
}

// What surrounds fragments and what the whole datagram holds in turn make one path.
static void paths_go_through_datagrams(void **state)
{
	(void)state;
	struct tl_defrag *d = create(16, 1 << 20);
	struct tl_headers h;
	struct tl_path path;

	assert_null(offer(d, "eth vlan:5 ipv4 grek:7 ipv4m:0 udp:4789 vxlan:42 eth vlan:6 ipv4 tcp pay:14",
			  1));
	const struct tl_packet *whole = offer(d, "eth vlan:5 ipv4 grek:7 ipv4f:88 proto:17 pay:3", 1);
	assert_non_null(whole);
	assert_int_equal(whole->path->count, 2);
	assert_int_equal(tl_packet_decode(whole, &h), TL_DECODED_OK);
	tl_packet_path(whole, &h, &path);
	const uint32_t ids[] = {5, 7, 42, 6};
	const uint8_t kinds[] = {TL_TUNNEL_NONE, TL_TUNNEL_GRE, TL_TUNNEL_VXLAN, TL_TUNNEL_NONE};
	assert_int_equal(path.count, 4);
	assert_memory_equal(path.ids, ids, sizeof(ids));
	assert_memory_equal(path.kinds, kinds, sizeof(kinds));
	tl_defrag_destroy(d);
}

// The snaplen took the end of each fragment: what is left is the beginning of the datagram.
static void cut_fragments_give_a_cut_datagram(void **state)
{
	(void)state;
	struct tl_defrag *d = create(16, 1 << 20);
	struct tl_headers h;

	assert_null(offer_cut(d, "eth ipv4m:0 udp pay:1472", 1, 1, 400));
	const struct tl_packet *whole = offer_cut(d, "eth ipv4f:1480 proto:17 pay:100", 1, 1, 90);
	assert_non_null(whole);
	assert_int_equal(whole->len, 20 + 1480 - 400);
	assert_int_equal(whole->original_len, 20 + 1580);
	assert_int_equal(tl_packet_decode(whole, &h), TL_DECODED_OK);
	assert_int_equal(h.payload_len, 1472 - 400);
	assert_int_equal(h.payload_wire_len, 1472);
	tl_defrag_destroy(d);
}

static void contradictions_are_counted(void **state)
{
	(void)state;
	struct tl_defrag *d = create(16, 1 << 20);

	assert_null(offer(d, "eth ipv4m:0 proto:17 pay:12", 1));     // no multiple of 8
	assert_null(offer(d, "eth ipv4f:8 proto:17", 1));            // empty
	assert_null(offer(d, "eth ipv4f:65528 proto:17 pay:100", 1)); // beyond what IP can hold
	assert_int_equal(stats_of(d).malformed, 3);
	assert_int_equal(stats_of(d).held, 0);
	assert_null(offer(d, "eth ipv4f:48 proto:17 pay:8", 1));
	assert_null(offer(d, "eth ipv4f:48 proto:17 pay:9", 1));  // another end
	assert_null(offer(d, "eth ipv4f:40 proto:17 pay:8", 1));  // an earlier end
	assert_null(offer(d, "eth ipv4m:56 proto:17 pay:8", 1));  // beyond the end
	assert_int_equal(stats_of(d).malformed, 6);
	assert_int_equal(stats_of(d).held, 1);
	tl_defrag_destroy(d);
}

static void time_and_room_are_bounded(void **state)
{
	(void)state;
	struct tl_defrag *d = create(4, 0);
	static const char recipe[] = "eth ipv4m:0 proto:17 pay:64";

	for (uint16_t id = 1; id <= 6; id++)
		assert_null(offer_cut(d, recipe, id, id * SECOND, 0));
	struct tl_defrag_stats s = stats_of(d);
	assert_int_equal(s.evicted, 2);
	assert_int_equal(s.held, 4);
	// Datagrams 3 to 6 are left; 3 and 4 are too old at 34 s, exactly.
	tl_defrag_advance(d, 33 * SECOND - 1);
	assert_int_equal(stats_of(d).timeouts, 0);
	tl_defrag_advance(d, 34 * SECOND);
	assert_int_equal(stats_of(d).timeouts, 2);
	// A late fragment doesn't complete a datagram that nobody swept: ids are used again.
	assert_null(offer_cut(d, "eth ipv4f:64 proto:17 pay:8", 5, 35 * SECOND, 0));
	assert_int_equal(stats_of(d).timeouts, 3);
	assert_non_null(offer_cut(d, "eth ipv4f:64 proto:17 pay:8", 6, 36 * SECOND - 1, 0));
	tl_defrag_destroy(d);

	// The smallest memory holds 32 blocks; fragments far apart take one each.
	d = create(1000, 0);
	for (uint16_t id = 1; id <= 40; id++)
		assert_null(offer_cut(d, recipe, id, 1, 0));
	assert_int_equal(stats_of(d).evicted, 8);
	assert_int_equal(stats_of(d).held, 32);
	tl_defrag_destroy(d);
	tl_defrag_destroy(NULL);
}

// The largest datagram IPv4 can carry, in fragments of 1480, last first.
static void the_largest_datagram_is_put_together(void **state)
{
	(void)state;
	struct tl_defrag *d = create(4, 0);
	const struct tl_packet *whole = NULL;
	char recipe[64];

	(void)snprintf(recipe, sizeof(recipe), "eth ipv4f:%u proto:17 pay:%u", 44 * 1480u, 395u);
	assert_null(offer(d, recipe, 1));
	for (uint32_t i = 44; i-- > 0;) {
		assert_null(whole);
		(void)snprintf(recipe, sizeof(recipe), "eth ipv4m:%u proto:17 pay:1480", i * 1480u);
		whole = offer(d, recipe, 1);
	}
	assert_non_null(whole);
	assert_int_equal(whole->len, 65535);
	for (uint32_t i = 0; i < 65515; i++)
		assert_int_equal(whole->chunks[0].data[20 + i], (uint8_t)(i % 1480 * 7 + 1));
	tl_defrag_destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_fragments_in_every_order),
		cmocka_unit_test(the_first_byte_wins_in_every_order),
		cmocka_unit_test(ipv6_loses_its_fragment_header),
		cmocka_unit_test(tunnels_are_kept_and_kept_apart),
		cmocka_unit_test(tunnels_around_the_innermost_keep_fragments_apart),
		cmocka_unit_test(paths_go_through_datagrams),
		cmocka_unit_test(cut_fragments_give_a_cut_datagram),
		cmocka_unit_test(contradictions_are_counted),
		cmocka_unit_test(time_and_room_are_bounded),
		cmocka_unit_test(the_largest_datagram_is_put_together),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
