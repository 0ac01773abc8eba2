// SPDX-License-Identifier: Apache-2.0
#include "pmd/pcap/distribute.h"

#include "base/check.h"
#include "pmd/wait.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_prefetch.h>

#define BURST 16u // mbufs handed over at once; also frames' mbufs that wait for company
#define POOL_CACHE 256u
// Without huge pages an object may not straddle a page: up to this size two fit in 4 KiB.
#define ROOM_BYTES 1792u
#define MBUF_BYTES 2064u // of EAL memory per mbuf, measured, with its pool's overhead
#define TX_RING_SLOTS 64u
// A packet of 64 KiB takes 37 mbufs, and up to 1.5 caches hide on either side of a pool.
#define PACKETS_MIN 2048u
#define CHUNK_MBUFS_MAX TL_CHUNKS_MAX

static_assert(ROOM_BYTES >= sizeof(struct tl_path) + TL_HEADERS_BYTES_MAX, "headers must be linear");

// One worker's side of the port.
struct output {
	struct rte_ring *ring;
	struct rte_mempool *pool;
	uint16_t ethdev;
	bool has_ethdev;
	uint32_t pending_count;
	uint32_t stock_count;
	struct rte_mbuf *open; // takes further frames; NULL if none does
	uint32_t open_at;      // bytes in it
	uint64_t handed;       // packets given to the ring
	_Atomic uint64_t told; // the same, for others
	struct rte_mbuf *pending[BURST];                 // packets on their way to the ring
	struct rte_mbuf *stock[BURST + CHUNK_MBUFS_MAX]; // fresh mbufs
};

struct tl_distributor {
	uint32_t workers;
	uint32_t packets_max;
	uint32_t left_alone;
	bool is_lossless;
	uint64_t seed;
	uint64_t last_ns; // stamp of the last packet
	struct tl_defrag *defrag; // NULL with one worker: its engine does it
	struct rte_ring *tx_ring; // never used; an ethdev must have one
	struct tl_port_stats stats;
	const struct tl_port *port; // counts what its workers have taken
	_Alignas(64) _Atomic uint64_t clock_ns;
	atomic_bool is_done;
	_Alignas(64) struct output outputs[];
};

uint64_t tl_distributor_memory(uint32_t workers, uint32_t packets_max)
{
	uint64_t packets = packets_max < PACKETS_MIN ? PACKETS_MIN : packets_max;
	// mbufs, the pool's own ring of free ones, the hand-over ring, the ethdev.
	return workers * (packets * (MBUF_BYTES + 16) + 256 * 1024);
}

static int fail(char *error, uint32_t error_size, const char *what)
{
	int err = rte_errno > 0 ? rte_errno : ENOMEM;

	(void)snprintf(error, error_size, "can't create a packet %s: %s%s", what, strerror(err),
		       err == ENOMEM ? " (fewer workers need less memory: --workers 1)" : "");
	return -err;
}

static int start_ethdev(struct output *out)
{
	static const struct rte_eth_conf conf;
	int socket = rte_eth_dev_socket_id(out->ethdev);
	unsigned int where = (unsigned int)socket; // SOCKET_ID_ANY is -1, passed on as it is

	int rc = rte_eth_dev_configure(out->ethdev, 1, 1, &conf);
	if (rc == 0)
		rc = rte_eth_rx_queue_setup(out->ethdev, 0, rte_ring_get_size(out->ring) <= 4096
				? (uint16_t)rte_ring_get_size(out->ring) : 4096, where, NULL,
				out->pool);
	if (rc == 0)
		rc = rte_eth_tx_queue_setup(out->ethdev, 0, TX_RING_SLOTS, where, NULL);
	if (rc == 0)
		rc = rte_eth_dev_start(out->ethdev);
	return rc;
}

static int create_output(struct tl_distributor *d, const struct tl_distributor_options *options,
			 uint32_t index, char *error, uint32_t error_size)
{
	struct output *out = &d->outputs[index];
	uint32_t packets = options->packets_max < PACKETS_MIN ? PACKETS_MIN : options->packets_max;
	uint32_t slots = rte_align32pow2(packets + 1) / 2;
	char name[RTE_RING_NAMESIZE];

	(void)snprintf(name, sizeof(name), "%s_%u", options->name, index);
	// Only the rx lcore takes from the pool; it gives back too when the ring is full.
	out->pool = rte_pktmbuf_pool_create_by_ops(name, packets, POOL_CACHE, 0, ROOM_BYTES,
						   SOCKET_ID_ANY, "ring_mp_sc");
	if (out->pool == NULL)
		return fail(error, error_size, "pool");
	out->ring = rte_ring_create(name, slots, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (out->ring == NULL)
		return fail(error, error_size, "ring");
	int port = rte_eth_from_rings(name, &out->ring, 1, &d->tx_ring, 1, 0);
	if (port < 0)
		return fail(error, error_size, "device");
	out->ethdev = (uint16_t)port;
	out->has_ethdev = true;
	int rc = start_ethdev(out);
	if (rc < 0) {
		rte_errno = -rc;
		return fail(error, error_size, "device");
	}
	return 0;
}

int tl_distributor_create(const struct tl_distributor_options *options,
			  struct tl_distributor **ret_distributor, char *error,
			  uint32_t error_size)
{
	TL_ASSERT(options->workers > 0 && options->workers <= TL_WORKERS_MAX);
	uint32_t ethdevs = rte_eth_dev_count_total();
	if (ethdevs + options->workers > RTE_MAX_ETHPORTS) {
		(void)snprintf(error, error_size, "each worker needs a port of DPDK for each capture port:"
			       " with %u workers these are more than %u; fewer workers, or fewer ports",
			       options->workers, RTE_MAX_ETHPORTS);
		return -EINVAL;
	}
	size_t size = sizeof(struct tl_distributor) + options->workers * sizeof(struct output);
	struct tl_distributor *d = aligned_alloc(64, (size + 63) & ~(size_t)63);
	if (d == NULL)
		return fail(error, error_size, "distributor");
	memset(d, 0, size);
	d->workers = options->workers;
	d->packets_max = options->packets_max;
	d->is_lossless = options->is_lossless;
	d->left_alone = options->left_alone;
	d->seed = options->seed;
	int rc = 0;
	if (d->workers > 1) {
		d->defrag = tl_defrag_create(&options->defrag);
		if (d->defrag == NULL)
			rc = fail(error, error_size, "reassembly table");
	}
	if (rc == 0) {
		char name[RTE_RING_NAMESIZE];
		(void)snprintf(name, sizeof(name), "%s_tx", options->name);
		d->tx_ring = rte_ring_create(name, TX_RING_SLOTS, SOCKET_ID_ANY, 0);
		if (d->tx_ring == NULL)
			rc = fail(error, error_size, "ring");
	}
	for (uint32_t i = 0; rc == 0 && i < d->workers; i++)
		rc = create_output(d, options, i, error, error_size);
	if (rc < 0) {
		tl_distributor_destroy(d);
		return rc;
	}
	*ret_distributor = d;
	return 0;
}

void tl_distributor_destroy(struct tl_distributor *d)
{
	char name[RTE_ETH_NAME_MAX_LEN];

	if (d == NULL)
		return;
	for (uint32_t i = 0; i < d->workers; i++) {
		struct output *out = &d->outputs[i];
		// The name would stay taken after a mere close.
		if (out->has_ethdev && rte_eth_dev_get_name_by_port(out->ethdev, name) == 0) {
			(void)rte_eth_dev_stop(out->ethdev);
			(void)rte_vdev_uninit(name);
		}
		rte_ring_free(out->ring);
		rte_mempool_free(out->pool);
	}
	rte_ring_free(d->tx_ring);
	tl_defrag_destroy(d->defrag);
	free(d);
}

void tl_distributor_attach(struct tl_distributor *d, struct tl_port *port)
{
	d->port = port;
	for (uint32_t i = 0; i < d->workers; i++) {
		port->ethdev[i] = d->outputs[i].ethdev;
		port->queue[i] = 0;
	}
	port->has_distributor = true;
	port->is_decoded = d->defrag != NULL;
}

// ---- Per packet ----------------------------------------------------------------------------

static uint64_t packets_in(struct rte_mbuf *const *mbufs, uint32_t count)
{
	uint64_t packets = 0;

	for (uint32_t i = 0; i < count; i++)
		packets += tl_mbuf_packets(mbufs[i]);
	return packets;
}

// Packets that the worker has not taken yet.
static uint64_t queued(const struct tl_distributor *d, const struct output *out)
{
	// In this order, as never more was taken than had been told before.
	uint64_t taken = d->port == NULL ? 0 : atomic_load_explicit(
		&d->port->taken[out - d->outputs].packets, memory_order_acquire);

	return atomic_load_explicit(&out->told, memory_order_relaxed) - taken;
}

static void push(struct tl_distributor *d, struct output *out)
{
	uint32_t done = 0;
	uint32_t turns = 0;
	uint64_t packets = packets_in(out->pending, out->pending_count);
	// No more packets wait than there are mbufs, however many of them share one: all that waits is
	// worked off after a stop.
	bool is_full = !d->is_lossless && queued(d, out) + packets > d->packets_max;

	// Before they can be taken: what is queued must never come out below zero.
	out->handed += packets;
	atomic_store_explicit(&out->told, out->handed, memory_order_relaxed);
	while (!is_full) {
		done += rte_ring_sp_enqueue_burst(out->ring, (void *const *)&out->pending[done],
						  out->pending_count - done, NULL);
		if (done == out->pending_count || !d->is_lossless)
			break;
		// The worker always drains, also after a stop: this can't last for ever.
		tl_wait_turn(&turns);
	}
	if (TL_UNLIKELY(done < out->pending_count)) {
		packets = packets_in(&out->pending[done], out->pending_count - done);
		d->stats.ring_dropped += packets;
		out->handed -= packets;
		atomic_store_explicit(&out->told, out->handed, memory_order_relaxed);
		rte_pktmbuf_free_bulk(&out->pending[done], out->pending_count - done);
	}
	out->pending_count = 0;
}

// Makes sure that `count` fresh mbufs are in stock. False: there are none, now (live).
static bool restock(struct tl_distributor *d, struct output *out, uint32_t count)
{
	uint32_t turns = 0;

	while (out->stock_count < count) {
		uint32_t want = count - out->stock_count;
		want = want < BURST ? BURST : want;
		want = want > TL_COUNT_OF(out->stock) - out->stock_count ? count - out->stock_count
									  : want;
		struct rte_mbuf **at = &out->stock[out->stock_count];
		if (rte_pktmbuf_alloc_bulk(out->pool, at, want) == 0) {
			out->stock_count += want;
			break;
		}
		if (!d->is_lossless)
			return false;
		// What waits here may be what the worker needs to give mbufs back.
		if (out->pending_count > 0)
			push(d, out);
		tl_wait_turn(&turns);
	}
	return true;
}

static void enqueue(struct tl_distributor *d, struct output *out, struct rte_mbuf *m)
{
	out->pending[out->pending_count++] = m;
	if (out->pending_count == BURST)
		push(d, out);
}

// No more frames into the open mbuf.
static void seal(struct tl_distributor *d, struct output *out)
{
	struct rte_mbuf *m = out->open;

	if (m == NULL)
		return;
	m->data_len = (uint16_t)out->open_at;
	m->pkt_len = out->open_at;
	out->open = NULL;
	enqueue(d, out, m);
}

static bool open_next(struct tl_distributor *d, struct output *out)
{
	seal(d, out);
	if (TL_UNLIKELY(out->stock_count == 0) && !restock(d, out, 1))
		return false;
	struct rte_mbuf *m = out->stock[--out->stock_count];
	m->data_off = 0;
	m->packet_type = TL_MBUF_FRAMES;
	m->hash.usr = 0;
	out->open = m;
	out->open_at = 0;
	if (out->stock_count > 0)
		__builtin_prefetch(out->stock[out->stock_count - 1], 1);
	return true;
}

// A packet of one chunk that fits an mbuf: a frame in the open one, or in a fresh one.
static void deal_frame(struct tl_distributor *d, struct output *out, const struct tl_packet *packet)
{
	uint32_t bytes = tl_frame_bytes(packet->len);

	if (out->open == NULL || out->open_at + bytes > ROOM_BYTES) {
		if (!open_next(d, out)) {
			d->stats.pool_dropped++;
			return;
		}
	}
	struct tl_frame *frame =
		(struct tl_frame *)(void *)((uint8_t *)out->open->buf_addr + out->open_at);
	*frame = (struct tl_frame) {
		.time_ns = packet->time_ns,
		.original_len = packet->original_len,
		.len = (uint16_t)packet->len,
		.link_type = packet->link_type,
	};
	memcpy(frame + 1, packet->chunks[0].data, packet->len);
	out->open_at += bytes;
	out->open->hash.usr++;
}

// The path of a packet that was put together lies before its data.
static uint32_t bytes_before(const struct tl_packet *packet)
{
	return packet->is_reassembled ? (uint32_t)sizeof(struct tl_path) : 0;
}

// A packet that does not fit one mbuf, or whose chunks are several: a chain of full mbufs.
static struct rte_mbuf *copy_chain(struct output *out, const struct tl_packet *packet,
				   uint32_t len)
{
	struct rte_mbuf *head = NULL;
	struct rte_mbuf *tail = NULL;

	for (uint32_t at = 0; at < len || head == NULL;) {
		uint32_t before = head == NULL ? bytes_before(packet) : 0;
		uint32_t room = ROOM_BYTES - before;
		uint32_t part = len - at < room ? len - at : room;
		struct rte_mbuf *m = out->stock[--out->stock_count];
		m->data_off = (uint16_t)before;
		m->data_len = (uint16_t)part;
		(void)tl_packet_copy(packet, at, part, rte_pktmbuf_mtod(m, void *));
		at += part;
		if (head == NULL)
			head = m;
		else
			tail->next = m;
		tail = m;
		head->nb_segs = (uint16_t)(head->nb_segs + (head != m));
	}
	head->pkt_len = len;
	return head;
}

static void deal(struct tl_distributor *d, struct output *out, const struct tl_packet *packet)
{
	uint32_t len = packet->len;

	if (TL_LIKELY(len <= ROOM_BYTES - sizeof(struct tl_frame) && packet->chunk_count == 1 &&
		      !packet->is_reassembled)) {
		deal_frame(d, out, packet);
		return;
	}
	uint32_t room = CHUNK_MBUFS_MAX * ROOM_BYTES - bytes_before(packet);
	if (TL_UNLIKELY(len > room)) {
		len = room;
		d->stats.cut++;
	}
	seal(d, out);
	uint32_t bytes = bytes_before(packet) + len;
	uint32_t mbufs = bytes <= ROOM_BYTES ? 1 : (bytes + ROOM_BYTES - 1) / ROOM_BYTES;
	if (TL_UNLIKELY(out->stock_count < mbufs) && !restock(d, out, mbufs)) {
		d->stats.pool_dropped++;
		return;
	}
	struct rte_mbuf *m = copy_chain(out, packet, len);
	tl_mbuf_mark(m, packet->link_type, packet->is_reassembled);
	struct tl_mbuf_meta *meta = tl_mbuf_meta(m);
	meta->time_ns = packet->time_ns;
	meta->original_len = packet->original_len;
	if (TL_UNLIKELY(packet->is_reassembled)) {
		meta->outer = packet->outer;
		*tl_mbuf_path(m) = *packet->path;
	}
	enqueue(d, out, m);
}

// Takes a fragment; gives the datagram that it completed, or NULL.
static const struct tl_packet *put_together(struct tl_distributor *d,
					    const struct tl_packet *packet,
					    struct tl_headers *headers, enum tl_decoded *ret_decoded)
{
	struct tl_defrag_stats before;
	struct tl_defrag_stats after;

	d->stats.fragment_bytes += packet->original_len;
	tl_defrag_stats(d->defrag, &before);
	packet = tl_defrag_add(d->defrag, packet, headers);
	if (packet == NULL)
		return NULL;
	tl_defrag_stats(d->defrag, &after);
	*ret_decoded = tl_packet_decode_but(packet, d->left_alone, headers);
	d->stats.reassembled_bytes += packet->original_len;
	if (*ret_decoded != TL_DECODED_OK)
		d->stats.fragments_not_followed += after.used - before.used - 1;
	return packet;
}

void tl_distributor_packet(struct tl_distributor *d, const struct tl_packet *packet)
{
	struct tl_headers headers;
	uint32_t worker = 0;

	d->last_ns = packet->time_ns;
	if (d->defrag != NULL) {
		enum tl_decoded decoded = tl_packet_decode_but(packet, d->left_alone, &headers);
		if (TL_UNLIKELY(decoded == TL_DECODED_FRAGMENT)) {
			packet = put_together(d, packet, &headers, &decoded);
			if (packet == NULL)
				return;
		}
		if (TL_LIKELY(decoded == TL_DECODED_OK)) {
			uint64_t hash = tl_tuple_hash(&headers.tuple, d->seed);
			worker = (uint32_t)((hash * d->workers) >> 32);
		}
	}
	deal(d, &d->outputs[worker], packet);
}

void tl_distributor_flush(struct tl_distributor *d, uint64_t clock_ns)
{
	for (uint32_t i = 0; i < d->workers; i++) {
		seal(d, &d->outputs[i]);
		if (d->outputs[i].pending_count > 0)
			push(d, &d->outputs[i]);
	}
	if (clock_ns < d->last_ns)
		clock_ns = d->last_ns;
	if (d->defrag != NULL)
		tl_defrag_advance(d->defrag, clock_ns);
	atomic_store_explicit(&d->clock_ns, clock_ns, memory_order_release);
}

void tl_distributor_end(struct tl_distributor *d)
{
	if (d->defrag != NULL)
		tl_defrag_advance(d->defrag, UINT64_MAX);
	tl_distributor_flush(d, 0);
	atomic_store_explicit(&d->is_done, true, memory_order_release);
}

// ---- Any thread ----------------------------------------------------------------------------

uint64_t tl_distributor_clock(const struct tl_distributor *d)
{
	return atomic_load_explicit(&d->clock_ns, memory_order_acquire);
}

bool tl_distributor_is_done(const struct tl_distributor *d)
{
	return atomic_load_explicit(&d->is_done, memory_order_acquire);
}

bool tl_distributor_is_pressed(const struct tl_distributor *d, uint32_t worker)
{
	return queued(d, &d->outputs[worker]) > d->packets_max / 2;
}

void tl_distributor_stats(const struct tl_distributor *d, struct tl_port_stats *ret_stats)
{
	ret_stats->ring_dropped = d->stats.ring_dropped;
	ret_stats->pool_dropped = d->stats.pool_dropped;
	ret_stats->cut = d->stats.cut;
	ret_stats->fragment_bytes = d->stats.fragment_bytes;
	ret_stats->fragments_not_followed = d->stats.fragments_not_followed;
	ret_stats->reassembled_bytes = d->stats.reassembled_bytes;
	ret_stats->queued = 0;
	for (uint32_t i = 0; i < d->workers; i++)
		ret_stats->queued += queued(d, &d->outputs[i]);
	if (d->defrag != NULL)
		tl_defrag_stats(d->defrag, &ret_stats->fragments);
}
