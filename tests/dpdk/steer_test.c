// SPDX-License-Identifier: Apache-2.0
// How long packets wait for those of a worker that says nothing, and what is handed on where the device
// keeps conversations together (src/worker/steer.h).
#include "base/check.h"
#include "pmd/eal.h"
#include "tests/support/options.h"
#include "tests/support/packets.h"
#include "worker/steer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_mbuf.h>

#define T UINT64_C(1700000000000000000)
#define HOUR UINT64_C(3600000000000)
#define MBUFS 2047u // so that a ring holds two bursts
#define FRAME_BYTES 60u // of zeros: nobody's, so that whoever reads it keeps it

struct steered {
	struct rte_mempool *pool;
	struct tl_port port;
	struct tl_steer *steer;
};

static int set_up(void **state)
{
	static struct steered s;
	const struct tl_eal_options options = {.workers = 1, .floats = true, .memory_bytes = 8u << 20};
	static struct tl_port *const port = &s.port;
	struct tl_eal eal;
	char error[256];

	TL_ASSERT(tl_eal_start(&options, &eal, error, sizeof(error)) == 0);
	s.pool = rte_pktmbuf_pool_create("steer", MBUFS, 0, 0, 2048, SOCKET_ID_ANY);
	s.steer = tl_steer_create(&(struct tl_steer_options) {
		.ports = &port, .port_count = 1, .workers = 2, .packets_max = MBUFS, .seed = 1,
		.defrag = test_engine_options(1).defrag});
	TL_ASSERT(s.pool != NULL && s.steer != NULL);
	*state = &s;
	return 0;
}

static int tear_down(void **state)
{
	struct steered *s = *state;

	tl_steer_destroy(s->steer);
	assert_int_equal(rte_mempool_avail_count(s->pool), MBUFS);
	rte_mempool_free(s->pool);
	return 0;
}

// Worker 0 reads a burst of one stamp.
static void reads(struct steered *s, uint64_t time_ns)
{
	struct rte_mbuf *mbufs[TL_BURST_MAX];

	TL_ASSERT(rte_pktmbuf_alloc_bulk(s->pool, mbufs, TL_BURST_MAX) == 0);
	for (uint32_t i = 0; i < TL_BURST_MAX; i++) {
		memset(rte_pktmbuf_append(mbufs[i], FRAME_BYTES), 0, FRAME_BYTES);
		tl_mbuf_mark(mbufs[i], TL_LINK_ETHERNET, false);
		tl_mbuf_meta(mbufs[i])->time_ns = time_ns;
		tl_mbuf_meta(mbufs[i])->original_len = FRAME_BYTES;
	}
	tl_steer_sort(s->steer, 0, 0, mbufs, TL_BURST_MAX);
}

static uint32_t takes(struct steered *s)
{
	struct rte_mbuf *mbufs[TL_BURST_MAX];
	uint32_t count = tl_steer_take(s->steer, 0, mbufs, TL_BURST_MAX);

	rte_pktmbuf_free_bulk(mbufs, count);
	return count;
}

// What came at one time has waited for the same time, and goes together.
static void packets_wait_once(void **state)
{
	struct steered *s = *state;
	uint32_t count;

	reads(s, T);
	do
		count = takes(s);
	while (count == 0);
	assert_int_equal(count, TL_BURST_MAX);
}

// What came later has not waited yet; as soon as the other worker has read further it goes.
static void later_packets_wait_anew(void **state)
{
	struct steered *s = *state;

	reads(s, T + HOUR);
	assert_int_equal(takes(s), 0);
	tl_steer_clock(s->steer, 1, 0, T + HOUR - 1);
	assert_int_equal(takes(s), 0);
	tl_steer_clock(s->steer, 1, 0, T + HOUR);
	assert_int_equal(takes(s), TL_BURST_MAX);
}

// A worker that reads an older stamp does not take back how far it had read.
static void clocks_never_run_back(void **state)
{
	struct steered *s = *state;
	struct rte_mbuf *mbufs[TL_BURST_MAX];

	reads(s, T + 3 * HOUR);
	reads(s, T + 2 * HOUR);
	tl_steer_clock(s->steer, 1, 0, UINT64_MAX);
	assert_int_equal(takes(s), TL_BURST_MAX);
	assert_int_equal(takes(s), TL_BURST_MAX);
	// Worker 1 waits for worker 0, of which it has nothing.
	TL_ASSERT(rte_pktmbuf_alloc_bulk(s->pool, mbufs, 1) == 0);
	memset(rte_pktmbuf_append(mbufs[0], FRAME_BYTES), 0, FRAME_BYTES);
	tl_mbuf_mark(mbufs[0], TL_LINK_ETHERNET, false);
	tl_mbuf_meta(mbufs[0])->time_ns = T + 3 * HOUR;
	tl_steer_sort(s->steer, 1, 0, mbufs, 1);
	assert_int_equal(tl_steer_take(s->steer, 1, mbufs, TL_BURST_MAX), 1);
	rte_pktmbuf_free(mbufs[0]);
}

// ---- Behind a device that keeps conversations together -------------------------------------

#define CONVERSATIONS 64u

static uint32_t queue_of_datagrams;

static uint32_t queue_of(const struct tl_port *port, const struct tl_tuple *tuple)
{
	(void)port;
	assert_int_equal(tuple->destination_port, 53);
	return queue_of_datagrams;
}

static struct tl_steer *steer_of_a_good_device(struct tl_port *port)
{
	static const struct tl_port_ops ops = {.kind = "test", .queue_of = queue_of};
	static struct tl_port *ports[1];

	ports[0] = port;
	*port = (struct tl_port) {.ops = &ops, .queue = {0, 1}};
	struct tl_steer *steer = tl_steer_create(&(struct tl_steer_options) {
		.ports = ports, .port_count = 1, .workers = 2, .packets_max = MBUFS, .seed = 1,
		.leaves_whole = true, .defrag = test_engine_options(1).defrag});
	TL_ASSERT(steer != NULL);
	// Nobody waits for anybody.
	tl_steer_clock(steer, 0, 0, UINT64_MAX);
	tl_steer_clock(steer, 1, 0, UINT64_MAX);
	return steer;
}

// Worker `me` reads a frame; whether it goes on there at once.
static bool is_kept(struct steered *s, struct tl_steer *steer, uint32_t me, const uint8_t *frame,
		    uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(s->pool);

	TL_ASSERT(m != NULL);
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, len);
	tl_mbuf_mark(m, TL_LINK_ETHERNET, false);
	*tl_mbuf_meta(m) = (struct tl_mbuf_meta) {.time_ns = T, .original_len = len};
	bool is_kept = tl_steer_sort(steer, me, 0, &m, 1) == 1;
	if (is_kept)
		rte_pktmbuf_free(m);
	return is_kept;
}

// The worker that gets what was handed on last; both ask, so that fragments are put together.
static uint32_t taker(struct tl_steer *steer)
{
	struct rte_mbuf *mbufs[TL_BURST_MAX];

	for (uint32_t i = 0; i < 4; i++) {
		uint32_t count = tl_steer_take(steer, i % 2, mbufs, TL_BURST_MAX);
		rte_pktmbuf_free_bulk(mbufs, count);
		if (count > 0)
			return i % 2;
	}
	return UINT32_MAX;
}

static uint32_t write_frame(uint32_t number, bool is_back, bool is_udp, const void *payload,
			    uint32_t payload_len, uint8_t *ret)
{
	const uint16_t here = (uint16_t)(20000 + number), there = is_udp ? 53 : 80;

	return packet_write(&(struct packet_spec) {
		.source = is_back ? "10.0.0.2" : "10.0.0.1",
		.destination = is_back ? "10.0.0.1" : "10.0.0.2",
		.source_port = is_back ? there : here,
		.destination_port = is_back ? here : there,
		.is_udp = is_udp,
		.flags = TL_TCP_ACK,
		.payload = tl_bytes(payload, payload_len)}, ret);
}

// VXLAN around the frame, as a switch does it: its source port is a hash of the inner packet's.
static uint32_t wrap(uint32_t number, bool is_back, const uint8_t *inner, uint32_t len, uint8_t *ret)
{
	uint8_t payload[512] = {8, [6] = 42};

	memcpy(payload + 8, inner, len);
	return packet_write(&(struct packet_spec) {
		.source = "192.0.2.1", .destination = "192.0.2.2",
		.source_port = (uint16_t)(50000 + number * 2 + is_back), .destination_port = 4789,
		.is_udp = true, .payload = tl_bytes(payload, len + 8)}, ret);
}

static void whole_packets_stay_where_they_are_read(void **state)
{
	struct steered *s = *state;
	static struct tl_port port;
	struct tl_steer *steer = steer_of_a_good_device(&port);
	uint8_t frame[256];
	static const uint8_t arp[60] = {[12] = 8, [13] = 6};

	for (uint32_t i = 0; i < CONVERSATIONS; i++)
		for (uint32_t k = 0; k < 4; k++) {
			uint32_t len = write_frame(i, k % 2 == 1, k / 2 == 1, "abc", 3, frame);
			assert_true(is_kept(s, steer, i % 2, frame, len));
		}
	assert_true(is_kept(s, steer, 1, arp, sizeof(arp)));
	assert_int_equal(taker(steer), UINT32_MAX);
	tl_steer_destroy(steer);
}

static void both_directions_of_what_a_tunnel_carries_meet(void **state)
{
	struct steered *s = *state;
	static struct tl_port port;
	struct tl_steer *steer = steer_of_a_good_device(&port);
	uint8_t inner[256], frame[512];
	uint32_t of[2] = {0};

	for (uint32_t i = 0; i < CONVERSATIONS; i++) {
		uint32_t takers[2];
		for (uint32_t back = 0; back < 2; back++) {
			uint32_t len = write_frame(i, back, false, "abc", 3, inner);
			len = wrap(i, back, inner, len, frame);
			assert_false(is_kept(s, steer, back, frame, len));
			takers[back] = taker(steer);
		}
		assert_int_equal(takers[0], takers[1]);
		of[takers[0]]++;
	}
	assert_true(of[0] > CONVERSATIONS / 4 && of[1] > CONVERSATIONS / 4);
	tl_steer_destroy(steer);
}

static void fragments_go_to_the_queue_of_the_conversation(void **state)
{
	struct steered *s = *state;
	static struct tl_port port;
	struct tl_steer *steer = steer_of_a_good_device(&port);
	static const uint8_t payload[104];
	uint8_t frame[256];

	for (queue_of_datagrams = 0; queue_of_datagrams < 2; queue_of_datagrams++) {
		uint32_t len = write_frame(1, false, true, payload, sizeof(payload), frame);
		// 64 bytes behind the IP header, and the rest.
		frame[19] = (uint8_t)(7 + queue_of_datagrams);
		frame[17] = 20 + 64;
		frame[20] = 0x20;
		assert_false(is_kept(s, steer, 0, frame, 34 + 64));
		assert_int_equal(taker(steer), UINT32_MAX);
		memmove(frame + 34, frame + 34 + 64, len - 34 - 64);
		frame[17] = (uint8_t)(len - 14 - 64);
		frame[20] = 0;
		frame[21] = 64 / 8;
		assert_false(is_kept(s, steer, 1, frame, len - 64));
		assert_int_equal(taker(steer), queue_of_datagrams);
	}
	tl_steer_destroy(steer);
}

// Its key is symmetric, it says, but directions come on different queues.
static void a_device_that_lies_is_not_believed(void **state)
{
	struct steered *s = *state;
	static struct tl_port port;
	struct tl_steer *steer = steer_of_a_good_device(&port);
	struct tl_steered stats;
	uint8_t frame[256];
	uint32_t met = 0;

	for (uint32_t i = 0; i < CONVERSATIONS; i++) {
		uint32_t takers[2] = {UINT32_MAX, UINT32_MAX};
		for (uint32_t back = 0; back < 2; back++) {
			uint32_t len = write_frame(i, back, false, "abc", 3, frame);
			if (!is_kept(s, steer, back, frame, len))
				takers[back] = taker(steer);
		}
		met += takers[0] != UINT32_MAX && takers[0] == takers[1];
	}
	tl_steer_port_stats(steer, 0, &stats);
	assert_false(stats.leaves_whole);
	assert_true(stats.split > 32 && stats.together == 0);
	assert_in_range(met, CONVERSATIONS - 40, CONVERSATIONS - 32);
	tl_steer_destroy(steer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_wait_once),
		cmocka_unit_test(later_packets_wait_anew),
		cmocka_unit_test(clocks_never_run_back),
		cmocka_unit_test(whole_packets_stay_where_they_are_read),
		cmocka_unit_test(both_directions_of_what_a_tunnel_carries_meet),
		cmocka_unit_test(fragments_go_to_the_queue_of_the_conversation),
		cmocka_unit_test(a_device_that_lies_is_not_believed),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
