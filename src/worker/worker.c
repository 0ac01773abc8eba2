// SPDX-License-Identifier: Apache-2.0
#include "worker/worker.h"

#include "base/check.h"
#include "base/pool.h"
#include "pmd/wait.h"

#include <errno.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_prefetch.h>

// Where a burst is turned into packets. Some 110 KiB, of which usual traffic touches five.
struct tl_worker_scratch {
	struct rte_mbuf *mbufs[TL_BURST_MAX];
	struct tl_packet packets[TL_BURST_MAX];
	struct tl_chunk chunks[TL_BURST_MAX * TL_CHUNKS_MAX];
	uint8_t headers[TL_BURST_MAX][TL_HEADERS_BYTES_MAX];
	struct tl_port_stats booked[TL_PORTS_MAX]; // first worker: what it has counted of them
};

#define BOOK_EVERY_TURNS 4096u
#define SHARED_MBUFS_MAX 16u // of mbufs that may hold 22 packets each, in one turn

// ---- Records -------------------------------------------------------------------------------

static void take_record(void *arg, const struct tl_roundtrip *record)
{
	struct tl_worker *worker = arg;
	uint32_t turns = 0;

	if (worker->metrics != NULL)
		tl_worker_metrics_roundtrip(worker->metrics, record);
	if (worker->records == NULL)
		return;
	for (;;) {
		void *room = tl_ring_reserve(worker->records, record->size);
		if (TL_LIKELY(room != NULL)) {
			memcpy(room, record, record->size);
			tl_ring_commit(worker->records, record->size);
			return;
		}
		if (!worker->is_lossless || record->size > tl_ring_message_max(worker->records) ||
		    atomic_load_explicit(&worker->signals->abandon, memory_order_relaxed))
			break;
		if (worker->metrics != NULL)
			tl_worker_metrics_poll(worker->metrics, worker->engine);
		tl_wait_turn(&turns);
	}
	tl_counter_add(tl_engine_counters(worker->engine), TL_COUNT_RECORDS_DROPPED, 1);
}

static void take_rtt(void *arg, const struct tl_flow_identity *flow, uint64_t client_ns,
		     uint64_t server_ns)
{
	struct tl_worker *worker = arg;

	tl_worker_metrics_rtt(worker->metrics, flow, client_ns, server_ns);
}

// ---- From mbufs to packets -----------------------------------------------------------------

// Lists the segments of a chain from `skip` bytes on; gives the bytes listed.
static uint32_t list_chunks(const struct rte_mbuf *m, uint32_t skip, struct tl_packet *packet,
			    struct tl_chunk *chunks)
{
	uint32_t len = 0;

	for (; m != NULL && packet->chunk_count < TL_CHUNKS_MAX; m = m->next) {
		if (skip >= m->data_len) {
			skip -= m->data_len;
			continue;
		}
		chunks[packet->chunk_count++] = (struct tl_chunk) {
			.data = rte_pktmbuf_mtod_offset(m, const uint8_t *, skip),
			.len = m->data_len - skip,
		};
		len += m->data_len - skip;
		skip = 0;
	}
	return len;
}

static void fill_chain(struct tl_worker_scratch *scratch, uint32_t index, struct rte_mbuf *m,
		       struct tl_packet *packet, struct tl_chunk *chunks)
{
	uint32_t linear = m->pkt_len < TL_HEADERS_BYTES_MAX ? m->pkt_len : TL_HEADERS_BYTES_MAX;

	packet->chunk_count = 0;
	packet->len = 0;
	if (m->data_len < linear) {
		uint8_t *headers = scratch->headers[index];
		const uint8_t *data = rte_pktmbuf_read(m, 0, linear, headers);
		chunks[packet->chunk_count++] = (struct tl_chunk) {.data = data, .len = linear};
		packet->len = linear;
	}
	packet->len += list_chunks(m, packet->len, packet, chunks);
}

static void fill(struct tl_worker_scratch *scratch, uint32_t index, struct rte_mbuf *m,
		 struct tl_chunk *chunk, uint8_t port)
{
	struct tl_packet *packet = &scratch->packets[index];
	const struct tl_mbuf_meta *meta = tl_mbuf_meta(m);

	packet->chunks = chunk;
	packet->link_type = tl_mbuf_link_type(m);
	packet->port = port;
	packet->is_reassembled = tl_mbuf_is_reassembled(m);
	packet->time_ns = meta->time_ns;
	if (TL_LIKELY(m->nb_segs == 1)) {
		packet->chunk_count = 1;
		packet->len = m->data_len;
		chunk->data = rte_pktmbuf_mtod(m, const uint8_t *);
		chunk->len = m->data_len;
	} else {
		fill_chain(scratch, index, m, packet, chunk);
	}
	packet->original_len = meta->original_len > packet->len ? meta->original_len : packet->len;
	if (TL_UNLIKELY(packet->is_reassembled))
		packet->outer = meta->outer;
}

// How far the mbufs of a burst have become packets.
struct progress {
	uint32_t mbuf;
	uint32_t at; // in an mbuf of frames: the next one
	const uint8_t *next; // bytes of the mbuf behind
};

// The frames of an mbuf from `progress` on, until the scratch is full; gives the packets there are.
// Asks for the lines of the next mbuf meanwhile, which lie in the cache of the other CPU.
static uint32_t fill_frames(struct tl_worker_scratch *scratch, uint32_t count, uint8_t port,
			    struct tl_chunk *chunk, struct progress *progress)
{
	struct rte_mbuf *m = scratch->mbufs[progress->mbuf];
	const uint8_t *data = m->buf_addr;
	const uint8_t *next = progress->next;
	uint32_t end = m->data_len;
	uint32_t at = progress->at;

	for (; at < end && count < TL_BURST_MAX; count++, chunk++) {
		const struct tl_frame *frame = (const struct tl_frame *)(const void *)(data + at);
		struct tl_packet *packet = &scratch->packets[count];
		rte_prefetch0(next + at);
		rte_prefetch0(next + at + 64);
		packet->chunks = chunk;
		packet->chunk_count = 1;
		packet->link_type = frame->link_type;
		packet->port = port;
		packet->is_reassembled = false;
		packet->len = frame->len;
		packet->original_len = frame->original_len;
		packet->time_ns = frame->time_ns;
		chunk->data = (const uint8_t *)(frame + 1);
		chunk->len = frame->len;
		at += tl_frame_bytes(frame->len);
	}
	progress->at = at;
	if (at >= end) {
		progress->at = 0;
		progress->mbuf++;
	}
	return count;
}

// Fills scratch->packets from scratch->mbufs, up to a burst.
static uint32_t make_packets(struct tl_worker_scratch *scratch, uint32_t mbufs, uint8_t port,
			     struct progress *progress)
{
	struct tl_chunk *chunk = scratch->chunks;
	uint32_t count = 0;

	while (progress->mbuf < mbufs && count < TL_BURST_MAX) {
		struct rte_mbuf *m = scratch->mbufs[progress->mbuf];
		bool is_last = progress->mbuf + 1 == mbufs;
		progress->next = scratch->mbufs[progress->mbuf + !is_last]->buf_addr;
		if (tl_mbuf_has_frames(m)) {
			uint32_t before = count;
			count = fill_frames(scratch, count, port, chunk, progress);
			chunk += count - before;
		} else {
			fill(scratch, count, m, chunk, port);
			chunk += scratch->packets[count].chunk_count;
			count++;
			progress->mbuf++;
		}
	}
	return count;
}

static void prefetch(struct tl_worker_scratch *scratch, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		rte_prefetch0(scratch->mbufs[i]);
		rte_prefetch0((const uint8_t *)scratch->mbufs[i] + 64);
	}
	for (uint32_t i = 0; i < count; i++)
		rte_prefetch0(rte_pktmbuf_mtod(scratch->mbufs[i], const void *));
}

// One burst of one port. Gives the number of packets.
static uint32_t work(struct tl_worker *worker, struct tl_port *port)
{
	struct tl_worker_scratch *scratch = worker->scratch;
	uint16_t ethdev = port->ethdev[worker->index];
	uint16_t max = port->has_distributor ? SHARED_MBUFS_MAX : TL_BURST_MAX;
	uint16_t count = rte_eth_rx_burst(ethdev, port->queue[worker->index], scratch->mbufs, max);
	struct progress progress = {0};
	uint32_t packets = 0;

	if (count == 0)
		return 0;
	prefetch(scratch, count);
	if (port->ops->stamp != NULL && !port->has_distributor)
		port->ops->stamp(port, scratch->mbufs, count);
	while (progress.mbuf < count) {
		uint32_t ready = make_packets(scratch, count, port->index, &progress);
		tl_engine_burst(worker->engine, scratch->packets, ready);
		packets += ready;
	}
	rte_pktmbuf_free_bulk(scratch->mbufs, count);
	_Atomic uint64_t *taken = &port->taken[worker->index].packets;
	uint64_t before = atomic_load_explicit(taken, memory_order_relaxed);
	atomic_store_explicit(taken, before + packets, memory_order_release);
	return packets;
}

// ---- What ports did in the workers' place --------------------------------------------------

static uint64_t fragment_drops(const struct tl_defrag_stats *s)
{
	return s->timeouts + s->evicted + s->malformed + s->duplicates;
}

// A port's distributor filters, and puts fragments together before it hashes. The first worker
// counts these packets as if they had come to it, so that the counters are the same for any
// number of workers and the books close.
static void book_ports(struct tl_worker *worker)
{
	struct tl_counters *c = tl_engine_counters(worker->engine);
	struct tl_port_stats now;

	if (worker->index != 0)
		return;
	for (uint32_t i = 0; i < worker->port_count; i++) {
		struct tl_port *port = worker->ports[i];
		struct tl_port_stats *was = &worker->scratch->booked[i];
		if (!port->has_distributor)
			continue;
		port->ops->stats(port, &now);
		const struct tl_defrag_stats *f = &now.fragments;
		uint64_t filtered = now.filtered - was->filtered;
		// What was put together reaches a worker and is counted there, as one packet.
		uint64_t whole = f->reassembled - was->fragments.reassembled;
		uint64_t used = f->used - was->fragments.used;
		tl_counter_add(c, TL_COUNT_DROP_FILTERED, filtered);
		tl_counter_add(c, TL_COUNT_FRAGMENTS_USED, used);
		tl_counter_add(c, TL_COUNT_DROP_FRAGMENT,
			       fragment_drops(f) - fragment_drops(&was->fragments));
		uint64_t unfollowed = now.fragments_not_followed - was->fragments_not_followed;
		tl_counter_add(c, TL_COUNT_DROP_OTHER_L4, unfollowed);
		tl_counter_add(c, TL_COUNT_PACKETS_PROCESSED, used - whole - unfollowed);
		tl_counter_add(c, TL_COUNT_PACKETS_OFFERED,
			       filtered + f->fragments - was->fragments.fragments - whole);
		tl_counter_add(c, TL_COUNT_BYTES_OFFERED,
			       now.filtered_bytes - was->filtered_bytes + now.fragment_bytes -
				       was->fragment_bytes -
				       (now.reassembled_bytes - was->reassembled_bytes));
		*was = now;
	}
}

// ---- The loop ------------------------------------------------------------------------------

struct turn {
	uint32_t packets;
	bool is_done;      // every port had ended before it was found empty
	uint64_t clock_ns; // the least of the ports that go on
};

static struct turn poll_ports(struct tl_worker *worker)
{
	struct turn turn = {.is_done = true, .clock_ns = UINT64_MAX};

	for (uint32_t i = 0; i < worker->port_count; i++) {
		struct tl_port *port = worker->ports[i];
		if (port->ethdev[worker->index] == UINT16_MAX)
			continue;
		// Both before the burst: what was enqueued before they were set is in the ring.
		bool is_done = port->ops->is_done(port);
		uint64_t clock_ns = port->ops->clock(port);
		if (is_done && !port->has_distributor)
			continue;
		uint32_t count = work(worker, port);
		turn.packets += count;
		if (count == 0 && is_done)
			continue;
		turn.is_done = false;
		turn.clock_ns = clock_ns < turn.clock_ns ? clock_ns : turn.clock_ns;
	}
	return turn;
}

static void take_changes(struct tl_worker *worker)
{
	uint32_t wanted = atomic_load_explicit(&worker->signals->generation, memory_order_acquire);

	if (TL_LIKELY(wanted == atomic_load_explicit(&worker->taken, memory_order_relaxed)))
		return;
	tl_engine_set_rules(worker->engine, worker->signals->rules);
	tl_worker_take_metrics(worker);
	atomic_store_explicit(&worker->taken, wanted, memory_order_release);
}

void tl_worker_take_metrics(struct tl_worker *worker)
{
	if (worker->metrics_wanted == worker->metrics)
		return;
	tl_worker_metrics_succeed(worker->metrics_wanted, worker->metrics);
	worker->metrics = worker->metrics_wanted;
}

// No more packets will come: everything that is due by the ports' last stamp is done before the
// rest is ended, so that what times out does not depend on which flows shared this worker.
static void finish(struct tl_worker *worker)
{
	uint64_t clock_ns = 0;

	// Nothing can be lost by waiting any more: the tail of a live capture may wait, too.
	worker->is_lossless = true;
	for (uint32_t i = 0; i < worker->port_count; i++) {
		uint64_t port_ns = worker->ports[i]->ops->clock(worker->ports[i]);
		clock_ns = port_ns > clock_ns ? port_ns : clock_ns;
	}
	while (clock_ns != 0 && tl_engine_advance(worker->engine, clock_ns)) {
		if (worker->metrics != NULL)
			tl_worker_metrics_poll(worker->metrics, worker->engine);
	}
	book_ports(worker);
	tl_engine_finish(worker->engine, TL_END_INPUT);
	atomic_store_explicit(&worker->is_running, false, memory_order_release);
}

int tl_worker_run(void *arg)
{
	struct tl_worker *worker = arg;
	uint64_t packets = 0;

	for (uint32_t turns = 0;; turns++) {
		take_changes(worker);
		struct turn turn = poll_ports(worker);
		bool has_more = false;
		if (turn.packets == 0) {
			if (turn.is_done)
				break;
			if (turn.clock_ns != UINT64_MAX && turn.clock_ns != 0)
				has_more = tl_engine_advance(worker->engine, turn.clock_ns);
		}
		if (turns % BOOK_EVERY_TURNS == 0 || tl_idle_is_deep(&worker->idle))
			book_ports(worker);
		if (worker->metrics != NULL)
			tl_worker_metrics_poll(worker->metrics, worker->engine);
		tl_busy_turn(&worker->busy, turn.packets > 0 || has_more);
		if (turn.packets > 0) {
			packets += turn.packets;
			atomic_store_explicit(&worker->packets, packets, memory_order_relaxed);
			tl_idle_reset(&worker->idle);
		} else if (!has_more) {
			tl_idle_turn(&worker->idle);
		}
	}
	finish(worker);
	return 0;
}

// ---- Life ----------------------------------------------------------------------------------

int tl_worker_init(struct tl_worker *worker, const struct tl_worker_options *options)
{
	worker->scratch = tl_map(sizeof(*worker->scratch));
	if (worker->scratch == NULL)
		return -ENOMEM;
	worker->engine = tl_engine_create(&options->engine, options->rules, take_record, worker);
	if (worker->engine == NULL)
		return -ENOMEM;
	if (options->metrics != NULL) {
		worker->metrics = tl_worker_metrics_create(options->metrics, (uint8_t)worker->index);
		if (worker->metrics == NULL)
			return -ENOMEM;
		tl_engine_on_rtt(worker->engine, take_rtt, worker);
	}
	if (options->record_ring_bytes > 0) {
		worker->records = tl_ring_create(options->record_ring_bytes);
		if (worker->records == NULL)
			return -ENOMEM;
	}
	worker->metrics_wanted = worker->metrics;
	return 0;
}

void tl_worker_fini(struct tl_worker *worker)
{
	if (worker->engine != NULL)
		tl_engine_destroy(worker->engine);
	if (worker->metrics != NULL)
		tl_worker_metrics_destroy(worker->metrics);
	tl_ring_destroy(worker->records);
	if (worker->scratch != NULL)
		tl_unmap(worker->scratch, sizeof(*worker->scratch));
}
