// SPDX-License-Identifier: Apache-2.0
#include "worker/worker.h"

#include "base/check.h"
#include "base/pool.h"
#include "pmd/wait.h"
#include "worker/view.h"

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
	struct tl_port_stats steered;              // what it has counted of its own reassembly
};

#define BOOK_EVERY_TURNS 4096u
#define STEER_SLACK_NS UINT64_C(250000000) // a packet is handed from worker to worker within it
#define SHARED_MBUFS_MAX 16u // of mbufs that may hold 22 packets each, in one turn

// ---- Records -------------------------------------------------------------------------------

// Copies a message into the ring; `otherwise` counts it where there is no room.
static void hand_over(struct tl_worker *worker, const void *message, uint32_t size,
		      enum tl_counter otherwise)
{
	uint32_t turns = 0;

	for (;;) {
		void *room = tl_ring_reserve(worker->records, size);
		if (TL_LIKELY(room != NULL)) {
			memcpy(room, message, size);
			tl_ring_commit(worker->records, size);
			return;
		}
		if (!worker->is_lossless || size > tl_ring_message_max(worker->records) ||
		    atomic_load_explicit(&worker->signals->abandon, memory_order_relaxed))
			break;
		if (worker->metrics != NULL)
			tl_worker_metrics_poll(worker->metrics, worker->engine);
		tl_wait_turn(&turns);
	}
	tl_counter_add(tl_engine_counters(worker->engine), otherwise, 1);
}

static void take_record(void *arg, const struct tl_roundtrip *record)
{
	struct tl_worker *worker = arg;

	if (worker->metrics != NULL)
		tl_worker_metrics_roundtrip(worker->metrics, record);
	if (worker->records != NULL)
		hand_over(worker, record, record->size, TL_COUNT_RECORDS_DROPPED);
}

static void take_asked(void *arg, const struct tl_flow_identity *flow, const char *name)
{
	struct tl_worker *worker = arg;
	size_t bytes = offsetof(struct tl_asked, name) + strlen(name) + 1;
	struct tl_asked asked = {
		.size = ((uint32_t)bytes + 7u) & ~7u,
		.server_port = flow->server_port,
		.time_ns = flow->last_ns,
	};

	TL_ASSERT(bytes <= sizeof(asked));
	memcpy(asked.server_address, flow->server_address, sizeof(asked.server_address));
	memcpy(asked.name, name, strlen(name) + 1);
	hand_over(worker, &asked, asked.size, TL_COUNT_NAMES_DROPPED);
}

static void take_rtt(void *arg, const struct tl_flow_identity *flow, uint64_t client_ns,
		     uint64_t server_ns)
{
	struct tl_worker *worker = arg;

	tl_worker_metrics_rtt(worker->metrics, flow, client_ns, server_ns);
}

// ---- From mbufs to packets -----------------------------------------------------------------

// The port of packets whose mbufs say which one it is.
#define PORT_OF_MBUF UINT8_MAX

static_assert(PORT_OF_MBUF >= TL_PORTS_MAX, "no port's index");

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
		rte_prefetch0(next + at);
		rte_prefetch0(next + at + 64);
		tl_view_frame(frame, port, chunk, &scratch->packets[count]);
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
			tl_view(m, port == PORT_OF_MBUF ? (uint8_t)m->port : port, chunk,
				scratch->headers[count], &scratch->packets[count]);
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

// The first `count` of the scratch's mbufs, on to the engine. Gives the number of packets.
static uint32_t process(struct tl_worker *worker, uint32_t count, uint8_t port)
{
	struct tl_worker_scratch *scratch = worker->scratch;
	struct progress progress = {0};
	uint32_t packets = 0;

	while (progress.mbuf < count) {
		uint32_t ready = make_packets(scratch, count, port, &progress);
		tl_engine_burst(worker->engine, scratch->packets, ready);
		packets += ready;
	}
	rte_pktmbuf_free_bulk(scratch->mbufs, count);
	return packets;
}

// One burst of one port. Gives the packets read, which may all belong to other workers, and adds
// those that went on to the engine.
static uint32_t work(struct tl_worker *worker, struct tl_port *port, uint32_t *packets)
{
	struct tl_worker_scratch *scratch = worker->scratch;
	uint16_t queue = port->queue[worker->index];
	uint16_t max = port->has_distributor ? SHARED_MBUFS_MAX : TL_BURST_MAX;
	uint32_t count = rte_eth_rx_burst(port->ethdev[worker->index], queue, scratch->mbufs, max);

	if (count == 0)
		return 0;
	prefetch(scratch, count);
	if (port->has_distributor) {
		uint32_t taken = process(worker, count, port->index);
		_Atomic uint64_t *sum = &port->taken[worker->index].packets;
		uint64_t before = atomic_load_explicit(sum, memory_order_relaxed);
		atomic_store_explicit(sum, before + taken, memory_order_release);
		*packets += taken;
		return taken;
	}
	if (port->ops->stamp != NULL)
		port->ops->stamp(port, scratch->mbufs, (uint16_t)count);
	uint32_t own = count;
	if (worker->steer != NULL)
		own = tl_steer_sort(worker->steer, worker->index, port->index, scratch->mbufs, count);
	if (own > 0)
		*packets += process(worker, own, port->index);
	return count;
}

// What was handed over, by others or by this worker itself.
static uint32_t take_steered(struct tl_worker *worker)
{
	struct tl_worker_scratch *scratch = worker->scratch;
	uint32_t count = tl_steer_take(worker->steer, worker->index, scratch->mbufs, TL_BURST_MAX);

	if (count == 0)
		return 0;
	prefetch(scratch, count);
	return process(worker, count, PORT_OF_MBUF);
}

// ---- What ports did in the workers' place --------------------------------------------------

static uint64_t fragment_drops(const struct tl_defrag_stats *s)
{
	return s->timeouts + s->evicted + s->malformed + s->duplicates;
}

// Counts what was filtered or put together since `was`, as if these packets had come to the engine.
static void book(struct tl_counters *c, const struct tl_port_stats *now, struct tl_port_stats *was)
{
	const struct tl_defrag_stats *f = &now->fragments;
	uint64_t filtered = now->filtered - was->filtered;
	// What was put together reaches a worker and is counted there, as one packet.
	uint64_t whole = f->reassembled - was->fragments.reassembled;
	uint64_t used = f->used - was->fragments.used;
	uint64_t unfollowed = now->fragments_not_followed - was->fragments_not_followed;

	tl_counter_add(c, TL_COUNT_DROP_FILTERED, filtered);
	tl_counter_add(c, TL_COUNT_FRAGMENTS_USED, used);
	tl_counter_add(c, TL_COUNT_DROP_FRAGMENT,
		       fragment_drops(f) - fragment_drops(&was->fragments));
	tl_counter_add(c, TL_COUNT_DROP_OTHER_L4, unfollowed);
	tl_counter_add(c, TL_COUNT_PACKETS_PROCESSED, used - whole - unfollowed);
	tl_counter_add(c, TL_COUNT_PACKETS_OFFERED,
		       filtered + f->fragments - was->fragments.fragments - whole);
	tl_counter_add(c, TL_COUNT_BYTES_OFFERED,
		       now->filtered_bytes - was->filtered_bytes + now->fragment_bytes -
			       was->fragment_bytes -
			       (now->reassembled_bytes - was->reassembled_bytes));
	*was = *now;
}

// A port's distributor filters, and puts fragments together before it hashes. The first worker
// counts that, so that the counters are the same for any number of workers and the books close. A
// worker that steers counts its own.
static void book_ports(struct tl_worker *worker)
{
	struct tl_counters *c = tl_engine_counters(worker->engine);
	struct tl_port_stats now;

	if (worker->steer != NULL) {
		tl_steer_stats(worker->steer, worker->index, &now);
		book(c, &now, &worker->scratch->steered);
	}
	if (worker->index != 0)
		return;
	for (uint32_t i = 0; i < worker->port_count; i++) {
		struct tl_port *port = worker->ports[i];
		if (!port->has_distributor)
			continue;
		port->ops->stats(port, &now);
		book(c, &now, &worker->scratch->booked[i]);
	}
}

// ---- The loop ------------------------------------------------------------------------------

struct turn {
	uint32_t packets;  // on to the engine
	bool is_busy;      // something was read
	bool is_done;      // every port had ended before it was found empty
	uint64_t clock_ns; // the least of the ports that go on
};

// A port whose queue this worker polls itself.
static void poll_queue(struct tl_worker *worker, struct tl_port *port, struct turn *turn)
{
	bool is_done = port->ops->is_done(port);
	uint16_t queue = port->queue[worker->index];

	if (is_done) {
		if (worker->steer != NULL)
			tl_steer_clock(worker->steer, worker->index, port->index, UINT64_MAX);
		return;
	}
	turn->is_done = false;
	uint64_t clock_ns = port->ops->clock(port);
	turn->clock_ns = clock_ns < turn->clock_ns ? clock_ns : turn->clock_ns;
	if (worker->steer != NULL && !tl_steer_has_room(worker->steer, worker->index))
		return;
	if (work(worker, port, &turn->packets) > 0) {
		turn->is_busy = true;
		return;
	}
	if (port->ops->is_at_end != NULL && port->ops->is_at_end(port, queue))
		clock_ns = UINT64_MAX;
	else if (port->is_stamped && clock_ns > port->delivery_ns)
		clock_ns -= port->delivery_ns;
	if (worker->steer != NULL)
		tl_steer_clock(worker->steer, worker->index, port->index, clock_ns);
}

static void poll_distributed(struct tl_worker *worker, struct tl_port *port, struct turn *turn)
{
	// Both before the burst: what was enqueued before they were set is in the ring.
	bool is_done = port->ops->is_done(port);
	uint64_t clock_ns = port->ops->clock(port);
	uint32_t count = work(worker, port, &turn->packets);

	if (count == 0 && is_done)
		return;
	turn->is_busy |= count > 0;
	turn->is_done = false;
	turn->clock_ns = clock_ns < turn->clock_ns ? clock_ns : turn->clock_ns;
}

static struct turn poll_merged(struct tl_worker *worker)
{
	struct tl_worker_scratch *scratch = worker->scratch;
	struct tl_merge_state state;
	uint32_t count = tl_merge_take(worker->merge, scratch->packets, scratch->chunks,
				       scratch->headers, TL_BURST_MAX, &state);

	if (count > 0) {
		tl_engine_burst(worker->engine, scratch->packets, count);
		tl_merge_release(worker->merge);
	}
	return (struct turn) {
		.packets = count,
		.is_busy = count > 0,
		.is_done = state.is_done,
		.clock_ns = state.clock_ns,
	};
}

static struct turn poll_ports(struct tl_worker *worker)
{
	if (worker->merge != NULL)
		return poll_merged(worker);
	struct turn turn = {.is_done = true, .clock_ns = UINT64_MAX};

	for (uint32_t i = 0; i < worker->port_count; i++) {
		struct tl_port *port = worker->ports[i];
		if (port->ethdev[worker->index] == UINT16_MAX)
			continue;
		if (port->has_distributor)
			poll_distributed(worker, port, &turn);
		else
			poll_queue(worker, port, &turn);
	}
	if (worker->steer == NULL)
		return turn;
	uint32_t taken = take_steered(worker);
	turn.packets += taken;
	turn.is_busy |= taken > 0;
	if (turn.is_done)
		turn.is_done = taken == 0 && tl_steer_is_over(worker->steer, worker->index);
	// What another has read may be older than the clock of this moment.
	if (turn.clock_ns != UINT64_MAX)
		turn.clock_ns -= turn.clock_ns < STEER_SLACK_NS ? turn.clock_ns : STEER_SLACK_NS;
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
		if (!turn.is_busy) {
			if (turn.is_done)
				break;
			if (turn.clock_ns != UINT64_MAX && turn.clock_ns != 0)
				has_more = tl_engine_advance(worker->engine, turn.clock_ns);
		}
		if (turns % BOOK_EVERY_TURNS == 0 || tl_idle_is_deep(&worker->idle))
			book_ports(worker);
		if (worker->metrics != NULL)
			tl_worker_metrics_poll(worker->metrics, worker->engine);
		tl_busy_turn(&worker->busy, turn.is_busy || has_more);
		if (turn.is_busy) {
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
		tl_engine_on_asked(worker->engine, take_asked, worker);
	}
	worker->metrics_wanted = worker->metrics;
	if (options->merges) {
		worker->merge = tl_map(sizeof(*worker->merge));
		if (worker->merge == NULL)
			return -ENOMEM;
		tl_merge_init(worker->merge, worker->ports, worker->port_count, worker->index,
			      options->is_crowded);
	}
	return 0;
}

void tl_worker_fini(struct tl_worker *worker)
{
	if (worker->engine != NULL)
		tl_engine_destroy(worker->engine);
	if (worker->metrics != NULL)
		tl_worker_metrics_destroy(worker->metrics);
	tl_ring_destroy(worker->records);
	if (worker->merge != NULL) {
		tl_merge_fini(worker->merge);
		tl_unmap(worker->merge, sizeof(*worker->merge));
	}
	if (worker->scratch != NULL)
		tl_unmap(worker->scratch, sizeof(*worker->scratch));
}
