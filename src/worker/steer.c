// SPDX-License-Identifier: Apache-2.0
#include "worker/steer.h"

#include "base/check.h"
#include "engine/engine.h"
#include "flow/table.h"
#include "worker/view.h"

#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ring.h>

#define BURST TL_BURST_MAX
#define RING_SLOTS_MIN (2 * BURST)
#define RING_SLOTS_MAX 4096u
// At most so long a live packet waits for older ones of a worker that was scheduled away; less if its
// ring fills meanwhile.
#define MERGE_WAIT_US 60000u
#define MERGE_WAIT_CROWDED_US 200000u
#define SAMPLES 4096u           // conversations that are watched at once
#define SAMPLES_JUDGED 1024u    // ... and afterwards enough is known
#define SPLIT_ENOUGH 32u // ... of them on two queues, and one in eight: the device isn't believed
#define LOOKS_MAX (1u << 20) // packets that a worker looks into for this
#define CHUNK_MBUFS_MAX TL_CHUNKS_MAX
#define ETHERTYPE_IPV4 0x0800u
#define ETHERTYPE_IPV6 0x86ddu
#define ETHERTYPE_VLAN 0x8100u
#define IPV4_FRAGMENT 0x3fffu // more fragments, or not the first
#define TCP 6u
#define PLAIN_BYTES_MIN 38u // Ethernet, a tag, IPv4
#define KEEPS UINT32_MAX // in place of a worker: goes on at once where it was read

// One worker's reading of one port.
struct source {
	_Alignas(64) _Atomic uint64_t clock_ns; // nothing older will come; UINT64_MAX: nothing
	_Atomic uint64_t handed; // into rings
	_Atomic uint64_t moved;  // ... of other workers
	_Atomic uint64_t lost;
	_Atomic uint64_t unbuffered; // datagrams put together without a buffer to go on in
	uint32_t looks;
	uint32_t out_count[TL_WORKERS_MAX];
	struct rte_mbuf *out[TL_WORKERS_MAX][BURST];
};

// What comes from one source to one worker.
struct inbox {
	struct rte_ring *ring;
	uint32_t at, count; // of what was taken from the ring to be merged
	uint64_t since;     // cycles: packets wait here since then, 0: they don't
	uint64_t since_ns;  // ... the stamp of the first
	_Atomic uint64_t taken;
	struct rte_mbuf *mbufs[BURST];
};

// The two directions of a conversation, the queue of each. Workers race for the entries; what that
// spoils is one sample.
struct sample {
	_Atomic uint64_t word; // hash << 32 | (queue + 1) << 8 of side 1 | of side 0
};

enum phase { PHASE_READS, PHASE_READ, PHASE_SENDS_NO_MORE };

struct station {
	_Alignas(64) _Atomic uint32_t phase;
	struct tl_defrag *defrag;
	struct tl_port_stats stats;
	struct source *sources;    // one per port
	struct inbox *inboxes;     // one per worker and port
	struct tl_chunk chunks[TL_CHUNKS_MAX];
	uint8_t headers[TL_HEADERS_BYTES_MAX];
};

struct port_samples {
	_Atomic uint32_t together;
	_Atomic uint32_t split;
	struct sample at[SAMPLES];
};

struct tl_steer {
	struct tl_steer_options options;
	uint32_t source_count;
	uint32_t slots;      // of each ring
	uint64_t merge_wait; // cycles
	uint64_t cycles_per_us;
	atomic_bool leaves_whole;
	struct port_samples *samples; // one per port
	struct station stations[];
};

// ---- Life ----------------------------------------------------------------------------------

static void *zeroed(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);

	if (memory != NULL)
		memset(memory, 0, size);
	return memory;
}

// All that waits in rings must leave mbufs for the queue.
static uint32_t ring_slots(const struct tl_steer_options *options)
{
	uint32_t slots = RING_SLOTS_MAX;

	while (slots > RING_SLOTS_MIN && slots * options->workers > options->packets_max / 2)
		slots /= 2;
	return slots;
}

static struct rte_ring *create_ring(uint32_t slots)
{
	ssize_t size = rte_ring_get_memsize(slots);
	struct rte_ring *ring = size < 0 ? NULL : zeroed((size_t)size);

	if (ring != NULL && rte_ring_init(ring, "steer", slots, RING_F_SP_ENQ | RING_F_SC_DEQ) < 0) {
		free(ring);
		return NULL;
	}
	return ring;
}

static bool init_station(struct tl_steer *s, struct station *station)
{
	const struct tl_steer_options *options = &s->options;

	station->sources = zeroed(options->port_count * sizeof(*station->sources));
	station->inboxes = zeroed(s->source_count * sizeof(*station->inboxes));
	station->defrag = tl_defrag_create(&options->defrag);
	if (station->sources == NULL || station->inboxes == NULL || station->defrag == NULL)
		return false;
	for (uint32_t i = 0; i < s->source_count; i++) {
		station->inboxes[i].ring = create_ring(s->slots);
		if (station->inboxes[i].ring == NULL)
			return false;
	}
	// Ports that others read for us never hold a merge up.
	for (uint32_t i = 0; i < options->port_count; i++)
		if (options->ports[i]->has_distributor)
			atomic_store(&station->sources[i].clock_ns, UINT64_MAX);
	return true;
}

struct tl_steer *tl_steer_create(const struct tl_steer_options *options)
{
	TL_ASSERT(options->workers <= TL_WORKERS_MAX && options->port_count <= TL_PORTS_MAX);
	size_t size = sizeof(struct tl_steer) + options->workers * sizeof(struct station);
	struct tl_steer *s = zeroed(size);
	bool is_good = s != NULL;

	if (!is_good)
		return NULL;
	s->options = *options;
	atomic_store(&s->leaves_whole, options->leaves_whole);
	s->source_count = options->workers * options->port_count;
	s->slots = ring_slots(options);
	s->cycles_per_us = rte_get_tsc_hz() / 1000000;
	s->merge_wait = s->cycles_per_us *
			(options->is_crowded ? MERGE_WAIT_CROWDED_US : MERGE_WAIT_US);
	s->samples = zeroed(options->port_count * sizeof(*s->samples));
	is_good = s->samples != NULL;
	for (uint32_t i = 0; i < options->workers && is_good; i++)
		is_good = init_station(s, &s->stations[i]);
	if (is_good)
		return s;
	tl_steer_destroy(s);
	return NULL;
}

static void empty(struct inbox *inbox)
{
	void *mbuf;

	for (; inbox->at < inbox->count; inbox->at++)
		rte_pktmbuf_free(inbox->mbufs[inbox->at]);
	while (rte_ring_sc_dequeue(inbox->ring, &mbuf) == 0)
		rte_pktmbuf_free(mbuf);
}

void tl_steer_destroy(struct tl_steer *s)
{
	if (s == NULL)
		return;
	for (uint32_t i = 0; i < s->options.workers; i++) {
		struct station *station = &s->stations[i];
		for (uint32_t k = 0; station->inboxes != NULL && k < s->source_count; k++) {
			if (station->inboxes[k].ring != NULL)
				empty(&station->inboxes[k]);
			free(station->inboxes[k].ring);
		}
		free(station->inboxes);
		free(station->sources);
		tl_defrag_destroy(station->defrag);
	}
	free(s->samples);
	free(s);
}

// ---- Whose is it? --------------------------------------------------------------------------

static uint32_t worker_of(const struct tl_steer *s, uint32_t hash)
{
	return (uint32_t)(((uint64_t)hash * s->options.workers) >> 32);
}

// Watches some conversations for the queues that their directions come on.
static void look(struct tl_steer *s, uint32_t port, uint32_t queue, const struct tl_tuple *tuple,
		 uint32_t hash)
{
	struct port_samples *samples = &s->samples[port];
	uint32_t split = atomic_load_explicit(&samples->split, memory_order_relaxed);
	uint32_t judged = atomic_load_explicit(&samples->together, memory_order_relaxed) + split;

	if (TL_LIKELY(judged >= SAMPLES_JUDGED))
		return;
	// Not the bits that choose the worker.
	struct sample *at = &samples->at[hash % SAMPLES];
	uint64_t word = atomic_load_explicit(&at->word, memory_order_relaxed);
	uint32_t shift = tl_tuple_side(tuple) * 8u;
	uint64_t mine = (uint64_t)hash << 32;

	if (word >> 32 != hash || (word & 0xffff) == 0xffff)
		word = word >> 32 == hash ? word : mine; // another takes the place
	if (((word >> shift) & 0xff) != 0)
		return; // judged, or this direction again
	word |= (uint64_t)(queue + 1) << shift;
	uint32_t one = word & 0xff, other = (word >> 8) & 0xff;
	if (one != 0 && other != 0) {
		atomic_fetch_add_explicit(one == other ? &samples->together : &samples->split, 1,
					  memory_order_relaxed);
		word |= 0xffff;
		if (one != other && split >= SPLIT_ENOUGH && split * 8 > judged)
			atomic_store_explicit(&s->leaves_whole, false, memory_order_relaxed);
	}
	atomic_store_explicit(&at->word, word, memory_order_relaxed);
}

// The fragments of a datagram meet at one worker, which then learns whose the datagram is; those of all
// datagrams between two hosts at the same one, so that an answer is not put together before its query.
static uint32_t worker_of_fragment(const struct tl_steer *s, const struct tl_headers *headers)
{
	struct tl_tuple tuple = headers->tuple;

	tuple.source_port = tuple.destination_port = 0;
	return worker_of(s, tl_tuple_hash(&tuple, s->options.seed));
}

// TCP right in Ethernet, whole: the device has seen all that there is.
static bool is_plain_tcp(const struct rte_mbuf *m)
{
	const uint8_t *at = rte_pktmbuf_mtod(m, const uint8_t *);

	if (m->data_len < PLAIN_BYTES_MIN || tl_mbuf_link_type(m) != TL_LINK_ETHERNET)
		return false;
	uint16_t type = tl_load_be16(at + 12);
	if (type == ETHERTYPE_VLAN) {
		at += 4;
		type = tl_load_be16(at + 12);
	}
	if (type == ETHERTYPE_IPV4)
		return at[23] == TCP && (tl_load_be16(at + 20) & IPV4_FRAGMENT) == 0;
	return type == ETHERTYPE_IPV6 && at[20] == TCP;
}

// Whether enough was looked into to believe the device.
static bool is_looked_at(const struct tl_steer *s, uint32_t me, uint32_t port)
{
	const struct port_samples *samples = &s->samples[port];
	uint32_t judged = atomic_load_explicit(&samples->together, memory_order_relaxed) +
			  atomic_load_explicit(&samples->split, memory_order_relaxed);

	return judged >= SAMPLES_JUDGED || s->stations[me].sources[port].looks >= LOOKS_MAX;
}

static uint32_t owner_of(struct tl_steer *s, uint32_t me, uint32_t port, struct rte_mbuf *m)
{
	struct station *station = &s->stations[me];
	bool leaves_whole = atomic_load_explicit(&s->leaves_whole, memory_order_relaxed);
	struct tl_packet packet;
	struct tl_headers headers;

	if (leaves_whole && is_plain_tcp(m)) {
		if (TL_LIKELY(is_looked_at(s, me, port)))
			return KEEPS;
		station->sources[port].looks++;
	}
	tl_view(m, (uint8_t)port, station->chunks, station->headers, &packet);
	switch (tl_packet_decode_but(&packet, s->options.left_alone, &headers)) {
	case TL_DECODED_OK: {
		uint32_t hash = tl_tuple_hash(&headers.tuple, s->options.seed);
		if (leaves_whole && headers.outer.tunnel_depth != 0)
			return worker_of(s, hash); // nobody said that these were together
		look(s, port, s->options.ports[port]->queue[me], &headers.tuple, hash);
		return leaves_whole ? KEEPS : worker_of(s, hash);
	}
	case TL_DECODED_FRAGMENT:
		m->packet_type |= TL_MBUF_FRAGMENT;
		return worker_of_fragment(s, &headers);
	default:
		return leaves_whole ? KEEPS : me; // counts it as it would any other
	}
}

// ---- Handing on ----------------------------------------------------------------------------

static struct inbox *inbox_of(struct tl_steer *s, uint32_t from, uint32_t port, uint32_t to)
{
	return &s->stations[to].inboxes[from * s->options.port_count + port];
}

static void add(_Atomic uint64_t *count, uint64_t n)
{
	uint64_t before = atomic_load_explicit(count, memory_order_relaxed);

	atomic_store_explicit(count, before + n, memory_order_release); // single writer
}

static void flush(struct tl_steer *s, uint32_t me, uint32_t port, uint32_t to)
{
	struct source *source = &s->stations[me].sources[port];
	uint32_t count = source->out_count[to];

	source->out_count[to] = 0;
	// Before they can be taken: what is queued must never come out below zero.
	add(&source->handed, count);
	if (to != me)
		add(&source->moved, count);
	uint32_t done = rte_ring_sp_enqueue_burst(inbox_of(s, me, port, to)->ring,
						  (void *const *)source->out[to], count, NULL);
	if (TL_LIKELY(done == count))
		return;
	TL_CHECK(!s->options.is_lossless); // there was room for a burst
	add(&source->lost, count - done);
	rte_pktmbuf_free_bulk(&source->out[to][done], count - done);
}

static void hand(struct tl_steer *s, uint32_t me, uint32_t port, uint32_t to, struct rte_mbuf *m)
{
	struct source *source = &s->stations[me].sources[port];

	source->out[to][source->out_count[to]++] = m;
	if (source->out_count[to] == BURST)
		flush(s, me, port, to);
}

// ---- Fragments -----------------------------------------------------------------------------

// A chain with the datagram's bytes, of the pool of its last fragment. NULL without buffers.
static struct rte_mbuf *mbuf_of(const struct tl_packet *packet, struct rte_mempool *pool)
{
	struct rte_mbuf *head = NULL, *tail = NULL;

	for (uint32_t at = 0; at < packet->len || head == NULL;) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		if (m == NULL || (head != NULL && head->nb_segs == CHUNK_MBUFS_MAX)) {
			rte_pktmbuf_free(m);
			rte_pktmbuf_free(head);
			return NULL;
		}
		uint32_t room = rte_pktmbuf_tailroom(m);
		uint32_t part = packet->len - at < room ? packet->len - at : room;
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
	head->pkt_len = packet->len;
	tl_mbuf_mark(head, packet->link_type, true);
	struct tl_mbuf_meta *meta = tl_mbuf_meta(head);
	meta->time_ns = packet->time_ns;
	meta->original_len = packet->original_len;
	meta->outer = packet->outer;
	TL_ASSERT(rte_pktmbuf_headroom(head) >= sizeof(struct tl_path));
	*tl_mbuf_path(head) = *packet->path;
	return head;
}

// The conversation's other packets are where the device has put them, or where their hash tells.
static uint32_t worker_of_datagram(const struct tl_steer *s, uint32_t port,
				   const struct tl_headers *headers)
{
	const struct tl_port *from = s->options.ports[port];

	if (atomic_load_explicit(&s->leaves_whole, memory_order_relaxed) &&
	    headers->outer.tunnel_depth == 0 && from->ops->queue_of != NULL) {
		uint32_t queue = from->ops->queue_of(from, &headers->tuple);
		if (queue < s->options.workers)
			return queue;
	}
	return worker_of(s, tl_tuple_hash(&headers->tuple, s->options.seed));
}

// Whose the datagram is that the station has put together, as the distributor counts it.
static uint32_t owner_of_datagram(struct tl_steer *s, uint32_t me, const struct tl_packet *datagram,
				  uint64_t fragments)
{
	struct tl_port_stats *stats = &s->stations[me].stats;
	struct tl_headers headers;

	stats->reassembled_bytes += datagram->original_len;
	if (tl_packet_decode_but(datagram, s->options.left_alone, &headers) == TL_DECODED_OK)
		return worker_of_datagram(s, datagram->port, &headers);
	stats->fragments_not_followed += fragments - 1;
	return me;
}

// Takes a fragment; gives the datagram that it completes if that belongs to `me`, else NULL.
static struct rte_mbuf *put_together(struct tl_steer *s, uint32_t me, struct rte_mbuf *m)
{
	struct station *station = &s->stations[me];
	uint32_t port = m->port;
	struct tl_defrag_stats before, after;
	struct tl_packet packet;
	struct tl_headers headers;
	struct rte_mbuf *whole = NULL;

	m->packet_type &= ~TL_MBUF_FRAGMENT;
	tl_view(m, (uint8_t)port, station->chunks, station->headers, &packet);
	(void)tl_packet_decode_but(&packet, s->options.left_alone, &headers);
	tl_defrag_advance(station->defrag, packet.time_ns);
	station->stats.fragment_bytes += packet.original_len;
	tl_defrag_stats(station->defrag, &before);
	const struct tl_packet *datagram = tl_defrag_add(station->defrag, &packet, &headers);
	tl_defrag_stats(station->defrag, &after);
	if (datagram != NULL)
		whole = mbuf_of(datagram, m->pool);
	if (datagram != NULL && whole == NULL)
		add(&station->sources[port].unbuffered, 1);
	rte_pktmbuf_free(m);
	if (whole == NULL)
		return NULL;
	whole->port = (uint16_t)port;
	uint32_t to = owner_of_datagram(s, me, datagram, after.used - before.used);
	if (to == me)
		return whole;
	// A lossless one never waits here, since the other might wait for this one: better with the
	// wrong worker than lost.
	if (s->options.is_lossless && rte_ring_free_count(inbox_of(s, me, port, to)->ring) == 0)
		return whole;
	hand(s, me, port, to, whole);
	flush(s, me, port, to);
	return NULL;
}

// ---- Reading -------------------------------------------------------------------------------

bool tl_steer_has_room(struct tl_steer *s, uint32_t me)
{
	for (uint32_t port = 0; s->options.is_lossless && port < s->options.port_count; port++)
		for (uint32_t to = 0; to < s->options.workers; to++)
			if (rte_ring_free_count(inbox_of(s, me, port, to)->ring) < BURST)
				return false;
	return true;
}

uint32_t tl_steer_sort(struct tl_steer *s, uint32_t me, uint32_t port, struct rte_mbuf **mbufs,
		       uint32_t count)
{
	struct source *source = &s->stations[me].sources[port];
	uint64_t clock_ns = atomic_load_explicit(&source->clock_ns, memory_order_relaxed);
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct rte_mbuf *m = mbufs[i];
		uint64_t time_ns = tl_mbuf_meta(m)->time_ns;
		m->port = (uint16_t)port;
		// It never runs back: of workers that wait for each other one could always go on.
		clock_ns = time_ns > clock_ns ? time_ns : clock_ns;
		uint32_t to = s->options.workers == 1 ? 0 : owner_of(s, me, port, m);
		if (to == KEEPS)
			mbufs[kept++] = m;
		else
			hand(s, me, port, to, m);
	}
	for (uint32_t to = 0; to < s->options.workers; to++)
		if (source->out_count[to] > 0)
			flush(s, me, port, to);
	atomic_store_explicit(&source->clock_ns, clock_ns, memory_order_release);
	return kept;
}

void tl_steer_clock(struct tl_steer *s, uint32_t me, uint32_t port, uint64_t clock_ns)
{
	_Atomic uint64_t *clock = &s->stations[me].sources[port].clock_ns;

	if (clock_ns > atomic_load_explicit(clock, memory_order_relaxed))
		atomic_store_explicit(clock, clock_ns, memory_order_release);
}

// ---- Taking --------------------------------------------------------------------------------

static bool refill(struct inbox *inbox)
{
	if (inbox->at < inbox->count)
		return true;
	inbox->at = 0;
	inbox->count = rte_ring_sc_dequeue_burst(inbox->ring, (void **)inbox->mbufs, BURST, NULL);
	return inbox->count > 0;
}

// Whether the next packet has waited long enough for older ones of a source that says nothing. A
// later one has come that much later.
static bool has_waited(const struct tl_steer *s, struct inbox *inbox, uint64_t time_ns)
{
	uint64_t now = rte_rdtsc();

	if (inbox->since == 0) {
		inbox->since = now;
		inbox->since_ns = time_ns;
	}
	uint64_t later_us = time_ns > inbox->since_ns ? (time_ns - inbox->since_ns) / 1000 : 0;
	return now - inbox->since >= s->merge_wait + later_us * s->cycles_per_us;
}

// The oldest packet's inbox, if none that is older can come; live it also goes when it waited long
// enough. `ret_until` is the time up to which its next packets may go, too.
static struct inbox *oldest(struct tl_steer *s, uint32_t me, uint64_t *ret_until)
{
	struct station *station = &s->stations[me];
	struct inbox *best = NULL;
	uint64_t best_ns = UINT64_MAX, until_ns = UINT64_MAX, bound_ns = UINT64_MAX;

	for (uint32_t i = 0; i < s->source_count; i++) {
		const struct station *from = &s->stations[i / s->options.port_count];
		const struct source *source = &from->sources[i % s->options.port_count];
		struct inbox *inbox = &station->inboxes[i];
		// Before the ring: what was handed over before it was set is found there.
		uint64_t clock_ns = atomic_load_explicit(&source->clock_ns, memory_order_acquire);
		if (!refill(inbox)) {
			bound_ns = clock_ns < bound_ns ? clock_ns : bound_ns;
			continue;
		}
		uint64_t time_ns = tl_mbuf_meta(inbox->mbufs[inbox->at])->time_ns;
		if (best == NULL || time_ns < best_ns) {
			until_ns = best_ns;
			best = inbox;
			best_ns = time_ns;
		} else if (time_ns < until_ns) {
			until_ns = time_ns;
		}
	}
	*ret_until = until_ns < bound_ns ? until_ns : bound_ns;
	if (best == NULL)
		return NULL;
	if (best_ns <= bound_ns) {
		best->since = 0;
		return best;
	}
	if (s->options.is_lossless)
		return NULL;
	bool is_late = rte_ring_count(best->ring) > s->slots / 2 || has_waited(s, best, best_ns);
	return is_late ? best : NULL;
}

uint32_t tl_steer_take(struct tl_steer *s, uint32_t me, struct rte_mbuf **mbufs, uint32_t max)
{
	uint32_t count = 0;
	uint64_t until_ns;
	struct inbox *inbox;

	while (count < max && (inbox = oldest(s, me, &until_ns)) != NULL) {
		uint64_t taken = 0;
		uint64_t time_ns;
		do {
			struct rte_mbuf *m = inbox->mbufs[inbox->at++];
			taken++;
			if ((m->packet_type & TL_MBUF_FRAGMENT) != 0)
				m = put_together(s, me, m);
			if (m != NULL)
				mbufs[count++] = m;
			time_ns = inbox->at < inbox->count
					  ? tl_mbuf_meta(inbox->mbufs[inbox->at])->time_ns
					  : UINT64_MAX;
		} while (count < max && time_ns <= until_ns && time_ns != UINT64_MAX);
		add(&inbox->taken, taken);
	}
	return count;
}

static bool has_mail(const struct tl_steer *s, uint32_t me)
{
	const struct station *station = &s->stations[me];

	for (uint32_t i = 0; i < s->source_count; i++) {
		const struct inbox *inbox = &station->inboxes[i];
		if (inbox->at < inbox->count || rte_ring_count(inbox->ring) > 0)
			return true;
	}
	return false;
}

static uint32_t least_phase(const struct tl_steer *s)
{
	uint32_t least = PHASE_SENDS_NO_MORE;

	for (uint32_t i = 0; i < s->options.workers; i++) {
		uint32_t phase = atomic_load_explicit(&s->stations[i].phase, memory_order_acquire);
		least = phase < least ? phase : least;
	}
	return least;
}

// What was read has been handed on when a worker is past PHASE_READS, and the datagrams made of it
// past PHASE_READ.
bool tl_steer_is_over(struct tl_steer *s, uint32_t me)
{
	struct station *station = &s->stations[me];
	uint32_t phase = atomic_load_explicit(&station->phase, memory_order_relaxed);

	if (phase == PHASE_READS)
		atomic_store_explicit(&station->phase, PHASE_READ, memory_order_release);
	uint32_t least = least_phase(s); // before the look at the rings
	if (least == PHASE_READS || has_mail(s, me))
		return false;
	if (phase != PHASE_SENDS_NO_MORE) {
		tl_defrag_advance(station->defrag, UINT64_MAX);
		atomic_store_explicit(&station->phase, PHASE_SENDS_NO_MORE, memory_order_release);
	}
	return least == PHASE_SENDS_NO_MORE;
}

// ---- Books ---------------------------------------------------------------------------------

void tl_steer_stats(const struct tl_steer *s, uint32_t me, struct tl_port_stats *ret_stats)
{
	*ret_stats = s->stations[me].stats;
	tl_defrag_stats(s->stations[me].defrag, &ret_stats->fragments);
}

void tl_steer_port_stats(const struct tl_steer *s, uint32_t port, struct tl_steered *ret_stats)
{
	uint64_t taken = 0, handed = 0;

	*ret_stats = (struct tl_steered) {0};
	for (uint32_t from = 0; from < s->options.workers; from++)
		for (uint32_t to = 0; to < s->options.workers; to++) {
			const struct inbox *inbox =
				&s->stations[to].inboxes[from * s->options.port_count + port];
			// In this order, as never more was taken than had been handed over before.
			taken += atomic_load_explicit(&inbox->taken, memory_order_acquire);
		}
	for (uint32_t from = 0; from < s->options.workers; from++) {
		const struct source *source = &s->stations[from].sources[port];
		handed += atomic_load_explicit(&source->handed, memory_order_relaxed);
		ret_stats->moved += atomic_load_explicit(&source->moved, memory_order_relaxed);
		ret_stats->unbuffered +=
			atomic_load_explicit(&source->unbuffered, memory_order_relaxed);
		ret_stats->lost += atomic_load_explicit(&source->lost, memory_order_relaxed);
	}
	ret_stats->queued = handed - ret_stats->lost - taken;
	ret_stats->leaves_whole = atomic_load_explicit(&s->leaves_whole, memory_order_relaxed);
	ret_stats->together = atomic_load_explicit(&s->samples[port].together, memory_order_relaxed);
	ret_stats->split = atomic_load_explicit(&s->samples[port].split, memory_order_relaxed);
}
