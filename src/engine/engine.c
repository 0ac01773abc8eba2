// SPDX-License-Identifier: Apache-2.0
#include "engine/internal.h"

#include "base/check.h"
#include "l7/decoder.h"

#include <stdlib.h>

static bool init_tables(struct tl_engine *e, const struct tl_rules *rules, tl_roundtrip_fn *complete,
			void *arg)
{
	const struct tl_flow_options *flow = &e->options.flow;

	if (tl_flow_table_init(&e->flows, flow, e->options.seed) != 0 ||
	    tl_syn_table_init(&e->syns, flow, e->options.seed) != 0 ||
	    tl_copies_init(&e->copies, flow) != 0)
		return false;
	e->verdict_count = (uint32_t)tl_decoder_count + TL_VERDICT_COUNT;
	e->verdicts = tl_map(e->verdict_count * sizeof(*e->verdicts));
	e->order = tl_map(flow->flows_max * sizeof(*e->order));
	e->datagram = tl_map(ENGINE_DATAGRAM_MAX);
	if (e->verdicts == NULL || e->order == NULL || e->datagram == NULL)
		return false;
	if (e->options.defragments) {
		e->defrag = tl_defrag_create(&e->options.defrag);
		if (e->defrag == NULL)
			return false;
	}
	e->l7 = tl_l7_create(&e->options.l7, rules, e->options.worker, &e->counters, complete, arg);
	if (e->l7 == NULL)
		return false;
	tl_l7_set_flows(e->l7, &e->flows);
	return tl_tcp_init(&e->tcp, flow, e->l7, &e->counters) == 0;
}

static uint64_t least_idle(const struct tl_flow_options *flow)
{
	uint64_t tcp = flow->tcp_idle_ns < flow->tcp_closed_ns ? flow->tcp_idle_ns
							       : flow->tcp_closed_ns;
	return tcp < flow->udp_idle_ns ? tcp : flow->udp_idle_ns;
}

struct tl_engine *tl_engine_create(const struct tl_engine_options *options,
				   const struct tl_rules *rules, tl_roundtrip_fn *complete,
				   void *arg)
{
	struct tl_engine *e = tl_map(sizeof(*e));

	if (e == NULL)
		return NULL;
	e->options = *options;
	e->idle_least_ns = least_idle(&options->flow);
	if (!init_tables(e, rules, complete, arg)) {
		tl_engine_destroy(e);
		return NULL;
	}
	return e;
}

void tl_engine_destroy(struct tl_engine *e)
{
	if (e == NULL)
		return;
	tl_tcp_fini(&e->tcp);
	if (e->l7 != NULL)
		tl_l7_destroy(e->l7);
	if (e->defrag != NULL)
		tl_defrag_destroy(e->defrag);
	tl_unmap(e->datagram, ENGINE_DATAGRAM_MAX);
	tl_unmap(e->order, e->options.flow.flows_max * sizeof(*e->order));
	tl_unmap(e->verdicts, e->verdict_count * sizeof(*e->verdicts));
	tl_copies_fini(&e->copies);
	tl_syn_table_fini(&e->syns);
	tl_flow_table_fini(&e->flows);
	tl_unmap(e, sizeof(*e));
}

// ---- the clock ----------------------------------------------------------------------------

// Packet time goes forward only. One packet from the far future is not believed: its stamp is
// wrong more often than the line was silent; a row of them is.
static void tick(struct tl_engine *e, uint64_t now_ns)
{
	if (TL_UNLIKELY(now_ns < e->clock_ns)) {
		engine_count(e, TL_COUNT_CLOCK_BACKWARD);
		e->jump_ns = 0;
		return;
	}
	if (TL_UNLIKELY(e->clock_ns == 0)) {
		tl_wheel_start(&e->flows.wheel, now_ns);
		tl_wheel_start(&e->syns.wheel, now_ns);
		e->clock_ns = now_ns;
	}
	if (TL_LIKELY(now_ns - e->clock_ns <= ENGINE_CLOCK_JUMP_NS)) {
		e->clock_ns = now_ns;
		e->jump_ns = 0;
		return;
	}
	if (e->jump_ns == 0) {
		engine_count(e, TL_COUNT_CLOCK_JUMPS);
		e->jump_packets = 0;
	}
	if (now_ns > e->jump_ns)
		e->jump_ns = now_ns;
	if (++e->jump_packets >= ENGINE_JUMP_PACKETS) {
		e->clock_ns = e->jump_ns;
		e->jump_ns = 0;
	}
}

// ---- one packet ---------------------------------------------------------------------------

static void take_payload_bytes(struct tl_engine *e, struct tl_flow *flow, uint32_t bytes)
{
	flow->payload_bytes += bytes;
	uint32_t index = flow->booked >= TL_VERDICT_BASE
				 ? tl_decoder_count + (uint32_t)(flow->booked - TL_VERDICT_BASE)
				 : flow->booked;
	e->verdicts[index].bytes += bytes;
}

static bool is_copy(struct tl_engine *e, struct tl_flow *flow, const struct staged *p)
{
	uint32_t print = tl_packet_fingerprint(p->packet, &p->headers);
	return tl_copies_is_copy(&e->copies, flow, print, p->packet->time_ns);
}

// The packet's flow, NULL if it has none.
static inline struct tl_flow *flow_of(const struct tl_engine *e, const struct staged *p)
{
	const struct tl_headers *h = &p->headers;
	struct tl_flow *flow = p->likely;

	// An earlier packet of the burst may have ended it, or begun another in its place.
	if (TL_LIKELY(flow != NULL && flow->serial != 0 &&
		      tl_flow_has(flow, &e->flows, &h->tuple, &h->outer, p->side)))
		return flow;
	return tl_flow_table_find(&e->flows, p->hash, &h->tuple, &h->outer);
}

static void note_time(struct tl_flow *flow, uint64_t now_ns)
{
	if (now_ns > flow->last_ns)
		flow->last_ns = now_ns;
}

// After the packet: books, and the wheel when the flow began to wait for something.
static void settle(struct tl_engine *e, struct tl_flow *flow, bool was_busy)
{
	tl_engine_flow_book(e, flow);
	if (!was_busy && (flow->conn != NULL || flow->reorder != TL_POOL_NONE))
		tl_engine_flow_wake(e, flow, flow->last_ns);
}

// A segment that follows in order, as most do.
static inline void take_straight(struct tl_engine *e, struct tl_flow *flow, const struct staged *p)
{
	const struct tl_packet *packet = p->packet;
	const struct tl_headers *h = &p->headers;
	bool was_busy = flow->conn != NULL;

	if (e->copies.window_ns != 0)
		tl_copies_remember(&e->copies, flow, tl_packet_fingerprint(packet, h),
				   packet->time_ns);
	note_time(flow, packet->time_ns);
	tl_tcp_straight(&e->tcp, flow, p->side, h, packet);
	engine_count(e, TL_COUNT_TCP_PACKETS);
	tl_counter_add(&e->counters, TL_COUNT_TCP_BYTES, h->payload_len);
	take_payload_bytes(e, flow, h->payload_len);
	settle(e, flow, was_busy);
}

static void feed_tcp(struct tl_engine *e, struct tl_flow *flow, const struct staged *p)
{
	const struct tl_headers *h = &p->headers;
	bool was_busy = flow->conn != NULL || flow->reorder != TL_POOL_NONE;

	note_time(flow, p->packet->time_ns);
	enum tl_tcp_result result = tl_tcp_packet(&e->tcp, flow, p->side, h, p->packet);
	if (TL_UNLIKELY(result == TL_TCP_OTHER)) {
		tl_engine_flow_close(e, flow, TL_END_FIN, p->packet->time_ns);
		tl_engine_flow_renew(e, flow, p);
		tl_flow_mark(flow, TL_FLOW_LATE);
		(void)tl_copies_is_copy(&e->copies, flow, tl_packet_fingerprint(p->packet, h),
					p->packet->time_ns);
		was_busy = false;
		result = tl_tcp_packet(&e->tcp, flow, p->side, h, p->packet);
	}
	engine_count(e, TL_COUNT_TCP_PACKETS);
	tl_counter_add(&e->counters, TL_COUNT_TCP_BYTES, h->payload_wire_len);
	take_payload_bytes(e, flow, h->payload_wire_len);
	if (result == TL_TCP_RESET) {
		bool is_client = tl_flow_client_side(flow) == p->side;
		engine_count(e, is_client ? TL_COUNT_TCP_RESETS_CLIENT : TL_COUNT_TCP_RESETS_SERVER);
		tl_engine_flow_close(e, flow, TL_END_RESET, p->packet->time_ns);
	} else if (result == TL_TCP_ENDED) {
		tl_engine_flow_close(e, flow, TL_END_FIN, p->packet->time_ns);
	}
	settle(e, flow, was_busy || tl_flow_is(flow, TL_FLOW_CLOSED));
}

// False: dropped, the table is full.
static bool take_tcp(struct tl_engine *e, const struct staged *p)
{
	const struct tl_headers *h = &p->headers;
	struct tl_flow *flow = flow_of(e, p);
	bool needs_handshake = true;

	if (TL_LIKELY(flow != NULL) && !tl_engine_flow_touch(e, flow, p->packet->time_ns))
		flow = NULL;
	if (TL_LIKELY(flow != NULL)) {
		if (TL_LIKELY(tl_tcp_is_straight(flow, p->side, h, p->packet))) {
			take_straight(e, flow, p);
			return true;
		}
		if (is_copy(e, flow, p)) {
			engine_count(e, TL_COUNT_DUPLICATES_TCP);
			return true;
		}
		bool is_syn = (h->tcp_flags & TL_TCP_SYN) != 0;
		bool is_live = !tl_flow_is(flow, TL_FLOW_CLOSED);
		bool has_attempt = tl_flow_is(flow, TL_FLOW_SYN);
		if (is_live && is_syn && !has_attempt && tl_engine_live_syn(e, p, flow))
			return true;
		bool is_attempt = is_syn && (h->tcp_flags & TL_TCP_ACK) == 0 &&
				  (tl_flow_is(flow, TL_FLOW_LATE) || flow->isn != h->tcp_seq);
		needs_handshake = !is_live || has_attempt || is_attempt;
	}
	if (TL_UNLIKELY(needs_handshake)) {
		struct tl_flow *before = flow;
		uint32_t serial = flow != NULL ? flow->serial : 0;
		switch (tl_engine_handshake(e, p, flow, &flow)) {
		case ENGINE_REFUSED:
			return false;
		case ENGINE_CONSUMED:
			return true;
		case ENGINE_FLOW:
			if (flow != before || flow->serial != serial)
				(void)is_copy(e, flow, p); // remembers it
			break;
		}
	}
	feed_tcp(e, flow, p);
	return true;
}

// The datagram in one piece: where it lies, or copied together.
static struct tl_bytes datagram_of(struct tl_engine *e, const struct staged *p)
{
	const struct tl_headers *h = &p->headers;
	const struct tl_chunk *first = &p->packet->chunks[0];

	if (h->payload_offset + h->payload_len <= first->len)
		return tl_bytes(first->data + h->payload_offset, h->payload_len);
	uint32_t len = h->payload_len < ENGINE_DATAGRAM_MAX ? h->payload_len : ENGINE_DATAGRAM_MAX;
	len = tl_packet_copy(p->packet, h->payload_offset, len, e->datagram);
	return tl_bytes(e->datagram, len);
}

static bool take_udp(struct tl_engine *e, const struct staged *p)
{
	const struct tl_headers *h = &p->headers;
	struct tl_flow *flow = flow_of(e, p);
	uint64_t now_ns = p->packet->time_ns;

	if (flow != NULL && !tl_engine_flow_touch(e, flow, now_ns))
		flow = NULL;
	if (flow == NULL) {
		flow = tl_engine_flow_begin(e, p);
		if (flow == NULL)
			return false;
	}
	if (is_copy(e, flow, p)) {
		engine_count(e, TL_COUNT_DUPLICATES_UDP);
		return true;
	}
	bool was_busy = flow->conn != NULL;
	note_time(flow, now_ns);
	tl_flow_mark(flow, (uint32_t)TL_FLOW_SEEN << p->side);
	engine_count(e, TL_COUNT_UDP_PACKETS);
	tl_counter_add(&e->counters, TL_COUNT_UDP_BYTES, h->payload_wire_len);
	take_payload_bytes(e, flow, h->payload_wire_len);
	if (h->payload_wire_len != 0) {
		tl_feed_datagram(&e->tcp.feed, flow, p->side, datagram_of(e, p), h->payload_wire_len,
				 now_ns);
		tl_feed_settle(&e->tcp.feed, flow, now_ns);
	}
	settle(e, flow, was_busy);
	return true;
}

static void take(struct tl_engine *e, const struct staged *p, uint64_t packets)
{
	bool is_tcp = p->headers.tuple.protocol == 6;

	tick(e, p->packet->time_ns);
	if (p->headers.payload_wire_len > p->headers.payload_len)
		engine_count(e, TL_COUNT_SNAPLEN_CUT);
	bool is_taken = is_tcp ? take_tcp(e, p) : take_udp(e, p);
	tl_counter_add(&e->counters, is_taken ? TL_COUNT_PACKETS_PROCESSED : TL_COUNT_DROP_FLOW_TABLE,
		       packets);
}

// ---- bursts -------------------------------------------------------------------------------

static enum tl_counter drop_cause(enum tl_decoded decoded)
{
	switch (decoded) {
	case TL_DECODED_NOT_IP:
		return TL_COUNT_DROP_NOT_IP;
	case TL_DECODED_OTHER_L4:
		return TL_COUNT_DROP_OTHER_L4;
	case TL_DECODED_LINK_TYPE:
		return TL_COUNT_DROP_LINK_TYPE;
	case TL_DECODED_TRUNCATED:
		return TL_COUNT_DROP_TRUNCATED;
	case TL_DECODED_TOO_DEEP:
		return TL_COUNT_DROP_TOO_DEEP;
	case TL_DECODED_FRAGMENT:
		return TL_COUNT_DROP_FRAGMENT;
	case TL_DECODED_OK:
	case TL_DECODED_MALFORMED:
	case TL_DECODED_COUNT:
		break;
	}
	return TL_COUNT_DROP_MALFORMED;
}

static void stage(struct tl_engine *e, const struct tl_packet *packet, struct staged *p)
{
	p->packet = packet;
	p->hash = tl_flow_table_hash(&e->flows, &p->headers.tuple, &p->headers.outer);
	p->side = tl_tuple_side(&p->headers.tuple);
	p->likely = NULL;
	tl_index_prefetch(&e->flows.index, p->hash);
}

static void take_staged(struct tl_engine *e, struct staged *staged, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		staged[i].likely = tl_flow_table_prefetch(&e->flows, staged[i].hash);
	for (uint32_t i = 0; i < count; i++)
		if (staged[i].likely != NULL)
			tl_copies_prefetch(&e->copies, staged[i].likely);
	for (uint32_t i = 0; i < count; i++)
		take(e, &staged[i], 1);
}

// What became of fragments, as the defragmenter counts it; drops are booked as they happen.
static uint64_t fragment_drops(const struct tl_defrag_stats *s)
{
	return s->timeouts + s->evicted + s->malformed + s->duplicates;
}

static void take_fragment(struct tl_engine *e, const struct tl_packet *packet,
			  const struct tl_headers *headers)
{
	struct tl_defrag_stats before;
	struct tl_defrag_stats after;
	struct staged whole;

	if (e->defrag == NULL) {
		engine_count(e, TL_COUNT_DROP_FRAGMENT);
		return;
	}
	tl_defrag_stats(e->defrag, &before);
	const struct tl_packet *datagram = tl_defrag_add(e->defrag, packet, headers);
	tl_defrag_stats(e->defrag, &after);
	tl_counter_add(&e->counters, TL_COUNT_DROP_FRAGMENT,
		       fragment_drops(&after) - fragment_drops(&before));
	if (datagram == NULL)
		return;
	uint64_t used = after.used - before.used;
	tl_counter_add(&e->counters, TL_COUNT_FRAGMENTS_USED, used);
	enum tl_decoded decoded =
		tl_packet_decode_but(datagram, e->options.left_alone, &whole.headers);
	if (decoded != TL_DECODED_OK) {
		tl_counter_add(&e->counters, drop_cause(decoded), used);
		return;
	}
	stage(e, datagram, &whole);
	take(e, &whole, used);
}

static void advance_defrag(struct tl_engine *e)
{
	struct tl_defrag_stats before;
	struct tl_defrag_stats after;

	if (e->defrag == NULL)
		return;
	tl_defrag_stats(e->defrag, &before);
	if (before.held == 0)
		return;
	tl_defrag_advance(e->defrag, e->clock_ns);
	tl_defrag_stats(e->defrag, &after);
	tl_counter_add(&e->counters, TL_COUNT_DROP_FRAGMENT,
		       fragment_drops(&after) - fragment_drops(&before));
}

void tl_engine_burst(struct tl_engine *e, const struct tl_packet *packets, uint32_t count)
{
	struct staged staged[TL_BURST_MAX];
	uint32_t ready = 0;
	uint64_t bytes = 0;

	TL_CHECK(count <= TL_BURST_MAX);
	tl_counter_add(&e->counters, TL_COUNT_PACKETS_OFFERED, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct tl_packet *packet = &packets[i];
		bytes += packet->original_len;
		enum tl_decoded decoded = tl_packet_decode_but(
			packet, e->options.left_alone, &staged[ready].headers);
		if (TL_LIKELY(decoded == TL_DECODED_OK)) {
			stage(e, packet, &staged[ready]);
			ready++;
		} else if (decoded == TL_DECODED_FRAGMENT) {
			// A datagram that becomes complete is good until the next fragment only.
			struct tl_headers headers = staged[ready].headers;
			take_staged(e, staged, ready);
			ready = 0;
			take_fragment(e, packet, &headers);
		} else {
			engine_count(e, drop_cause(decoded));
		}
	}
	tl_counter_add(&e->counters, TL_COUNT_BYTES_OFFERED, bytes);
	take_staged(e, staged, ready);
	(void)tl_engine_sweep(e, e->clock_ns, ENGINE_SWEEP_BUDGET);
	advance_defrag(e);
}

bool tl_engine_advance(struct tl_engine *e, uint64_t now_ns)
{
	if (now_ns > e->clock_ns)
		tick(e, now_ns);
	advance_defrag(e);
	return tl_engine_sweep(e, e->clock_ns, ENGINE_ADVANCE_BUDGET);
}

void tl_engine_finish(struct tl_engine *e, enum tl_end end)
{
	// A jump at the very end has no row of packets to confirm it.
	if (e->jump_ns > e->clock_ns)
		e->clock_ns = e->jump_ns;
	e->jump_ns = 0;
	if (e->defrag != NULL) {
		struct tl_defrag_stats before;
		struct tl_defrag_stats after;
		tl_defrag_stats(e->defrag, &before);
		tl_defrag_advance(e->defrag, UINT64_MAX);
		tl_defrag_stats(e->defrag, &after);
		tl_counter_add(&e->counters, TL_COUNT_DROP_FRAGMENT,
			       fragment_drops(&after) - fragment_drops(&before));
	}
	tl_engine_flows_finish(e, end);
	tl_engine_syns_finish(e);
}

void tl_engine_set_rules(struct tl_engine *e, const struct tl_rules *rules)
{
	tl_l7_set_rules(e->l7, rules);
}

struct tl_counters *tl_engine_counters(struct tl_engine *e)
{
	return &e->counters;
}

uint64_t tl_engine_clock(const struct tl_engine *e)
{
	return e->clock_ns;
}

struct tl_l7 *tl_engine_l7(struct tl_engine *e)
{
	return e->l7;
}

const struct tl_verdict_count *tl_engine_verdicts(struct tl_engine *e, uint32_t *ret_count)
{
	*ret_count = e->verdict_count;
	return e->verdicts;
}

void tl_engine_on_rtt(struct tl_engine *e, tl_rtt_fn *fn, void *arg)
{
	e->rtt = fn;
	e->rtt_arg = arg;
}

void tl_engine_on_asked(struct tl_engine *e, tl_asked_fn *fn, void *arg)
{
	tl_l7_on_asked(e->l7, fn, arg);
}
