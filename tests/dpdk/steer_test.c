// SPDX-License-Identifier: Apache-2.0
// How long packets wait for those of a worker that says nothing (src/worker/steer.h).
#include "base/check.h"
#include "pmd/eal.h"
#include "tests/support/options.h"
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
	struct tl_port *port = &s.port;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packets_wait_once),
		cmocka_unit_test(later_packets_wait_anew),
		cmocka_unit_test(clocks_never_run_back),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
