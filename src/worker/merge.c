// SPDX-License-Identifier: Apache-2.0
#include "worker/merge.h"

#include "worker/view.h"

#include <string.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>

// Longer than the kernel keeps a block, and the reader sleeps.
#define WAIT_MS 30u
#define WAIT_CROWDED_MS 200u

void tl_merge_init(struct tl_merge *m, struct tl_port *const *ports, uint32_t port_count,
		   uint32_t worker, bool is_crowded)
{
	memset(m, 0, sizeof(*m));
	m->ports = ports;
	m->port_count = port_count;
	m->worker = worker;
	m->cycles_per_us = rte_get_tsc_hz() / 1000000;
	m->wait = m->cycles_per_us * 1000 * (is_crowded ? WAIT_CROWDED_MS : WAIT_MS);
}

void tl_merge_fini(struct tl_merge *m)
{
	for (uint32_t i = 0; i < m->port_count; i++)
		rte_pktmbuf_free_bulk(m->lanes[i].mbufs, m->lanes[i].count);
}

static bool is_empty(const struct tl_merge_lane *lane)
{
	return lane->mbuf == lane->count;
}

static struct rte_mbuf *mbuf_of(const struct tl_merge_lane *lane)
{
	return lane->mbufs[lane->mbuf];
}

static const struct tl_frame *frame_of(const struct tl_merge_lane *lane)
{
	const uint8_t *data = mbuf_of(lane)->buf_addr;

	return (const struct tl_frame *)(const void *)(data + lane->at);
}

static uint64_t head_ns(const struct tl_merge_lane *lane)
{
	return tl_mbuf_has_frames(mbuf_of(lane)) ? frame_of(lane)->time_ns
						 : tl_mbuf_meta(mbuf_of(lane))->time_ns;
}

static void refill(struct tl_merge *m, uint32_t index)
{
	struct tl_merge_lane *lane = &m->lanes[index];
	struct tl_port *port = m->ports[index];
	// Both before the burst: what was enqueued before they were set is in the ring.
	bool is_done = port->ops->is_done(port);
	uint64_t clock_ns = port->ops->clock(port);

	lane->mbuf = lane->at = 0;
	lane->count = rte_eth_rx_burst(port->ethdev[m->worker], port->queue[m->worker], lane->mbufs,
				       TL_MERGE_MBUFS);
	lane->bound_ns = is_done ? UINT64_MAX : clock_ns;
}

// Whether the next packet has waited long enough for older ones of a port that says nothing. A later
// one has come that much later.
static bool has_waited(const struct tl_merge *m, struct tl_merge_lane *lane, uint64_t time_ns)
{
	uint64_t now = rte_rdtsc();

	if (lane->since == 0) {
		lane->since = now;
		lane->since_ns = time_ns;
	}
	uint64_t later_us = time_ns > lane->since_ns ? (time_ns - lane->since_ns) / 1000 : 0;
	return now - lane->since >= m->wait + later_us * m->cycles_per_us;
}

// The lane of the oldest packet, if that may go.
static struct tl_merge_lane *choose(struct tl_merge *m, uint64_t *ret_clock_ns)
{
	struct tl_merge_lane *best = NULL;
	uint64_t best_ns = UINT64_MAX, bound_ns = UINT64_MAX;
	uint32_t which = 0;

	for (uint32_t i = 0; i < m->port_count; i++) {
		struct tl_merge_lane *lane = &m->lanes[i];
		if (is_empty(lane)) {
			bound_ns = lane->bound_ns < bound_ns ? lane->bound_ns : bound_ns;
			continue;
		}
		uint64_t time_ns = head_ns(lane);
		if (best == NULL || time_ns < best_ns) {
			best = lane;
			best_ns = time_ns;
			which = i;
		}
	}
	*ret_clock_ns = best_ns < bound_ns ? best_ns : bound_ns;
	if (best == NULL)
		return NULL;
	if (best_ns <= bound_ns) {
		best->since = 0;
		return best;
	}
	struct tl_port *port = m->ports[which];
	bool is_late = (port->ops->is_pressed != NULL && port->ops->is_pressed(port, m->worker)) ||
		       has_waited(m, best, best_ns);
	return is_late ? best : NULL;
}

static void give(struct tl_merge_lane *lane, uint8_t port, struct tl_packet *packet,
		 struct tl_chunk *chunks, uint8_t *headers)
{
	struct rte_mbuf *m = mbuf_of(lane);

	lane->taken++;
	if (!tl_mbuf_has_frames(m)) {
		tl_view(m, port, chunks, headers, packet);
		lane->mbuf++;
		return;
	}
	const struct tl_frame *frame = frame_of(lane);
	tl_view_frame(frame, port, chunks, packet);
	lane->at += tl_frame_bytes(frame->len);
	if (lane->at >= m->data_len) {
		lane->at = 0;
		lane->mbuf++;
	}
}

uint32_t tl_merge_take(struct tl_merge *m, struct tl_packet *packets, struct tl_chunk *chunks,
		       uint8_t (*headers)[TL_HEADERS_BYTES_MAX], uint32_t max,
		       struct tl_merge_state *ret_state)
{
	uint32_t count = 0;
	struct tl_merge_lane *lane;

	for (uint32_t i = 0; i < m->port_count; i++)
		if (is_empty(&m->lanes[i]))
			refill(m, i);
	while (count < max && (lane = choose(m, &ret_state->clock_ns)) != NULL) {
		uint8_t port = (uint8_t)(lane - m->lanes);
		give(lane, port, &packets[count], chunks, headers[count]);
		chunks += packets[count].chunk_count;
		count++;
		if (is_empty(lane))
			break; // its ring may hold older packets than the other lanes
	}
	ret_state->is_done = count == 0;
	for (uint32_t i = 0; i < m->port_count; i++)
		ret_state->is_done &= is_empty(&m->lanes[i]) && m->lanes[i].bound_ns == UINT64_MAX;
	return count;
}

void tl_merge_release(struct tl_merge *m)
{
	for (uint32_t i = 0; i < m->port_count; i++) {
		struct tl_merge_lane *lane = &m->lanes[i];
		_Atomic uint64_t *taken = &m->ports[i]->taken[m->worker].packets;
		uint64_t before = atomic_load_explicit(taken, memory_order_relaxed);
		if (lane->taken > 0)
			atomic_store_explicit(taken, before + lane->taken, memory_order_release);
		lane->taken = 0;
		if (!is_empty(lane))
			continue;
		rte_pktmbuf_free_bulk(lane->mbufs, lane->count);
		lane->count = lane->mbuf = 0;
	}
}
