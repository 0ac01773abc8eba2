// SPDX-License-Identifier: Apache-2.0
#include "engine/internal.h"

#include "base/check.h"

#define NS_PER_MS 1000000u

static bool is_plain_syn(const struct tl_headers *h)
{
	return (h->tcp_flags & (TL_TCP_SYN | TL_TCP_ACK | TL_TCP_RST | TL_TCP_FIN)) == TL_TCP_SYN;
}

static bool is_syn_ack(const struct tl_headers *h)
{
	return (h->tcp_flags & (TL_TCP_SYN | TL_TCP_ACK | TL_TCP_RST)) == (TL_TCP_SYN | TL_TCP_ACK);
}

static uint8_t client_of(const struct tl_syn *syn)
{
	return (syn->bits & TL_SYN_CLIENT_1) != 0;
}

static void set_last(struct tl_syn *syn, uint64_t now_ns)
{
	uint64_t ms = now_ns > syn->first_ns ? (now_ns - syn->first_ns) / NS_PER_MS : 0;
	syn->last_ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static uint32_t hash_of(const struct tl_engine *e, const struct tl_syn *syn)
{
	struct tl_tuple tuple;

	tl_syn_tuple(syn, &tuple);
	return tl_flow_table_hash_in(&e->flows, &tuple, syn->outer);
}

static void drop(struct tl_engine *e, struct tl_syn *syn)
{
	tl_syn_remove(&e->syns, hash_of(e, syn), syn);
}

static void count_failure(struct tl_engine *e, const struct tl_syn *syn)
{
	if ((syn->bits & TL_SYN_SEEN) == 0)
		return; // an answer to something the tap did not see
	engine_count(e, (syn->bits & TL_SYN_ANSWERED) != 0 ? TL_COUNT_TCP_FAIL_CLIENT
							    : TL_COUNT_TCP_FAIL_NO_ANSWER);
}

static uint64_t syn_deadline(const struct tl_engine *e, const struct tl_syn *syn)
{
	return tl_syn_last_ns(syn) + e->options.flow.syn_idle_ns;
}

uint64_t tl_engine_syn_look(void *arg, uint32_t id, uint64_t now_ns)
{
	struct tl_engine *e = arg;
	struct tl_syn *syn = tl_pool_at(&e->syns.pool, id);
	uint64_t deadline_ns = syn_deadline(e, syn) + ENGINE_SLACK_NS;

	if (now_ns < deadline_ns)
		return deadline_ns;
	count_failure(e, syn);
	drop(e, syn);
	return UINT64_MAX;
}

void tl_engine_syns_finish(struct tl_engine *e)
{
	for (uint32_t id = 0; id < e->syns.pool.touched; id++) {
		if (!tl_wheel_is_armed(&e->syns.wheel, id))
			continue;
		struct tl_syn *syn = tl_pool_at(&e->syns.pool, id);
		if (syn_deadline(e, syn) <= e->clock_ns)
			count_failure(e, syn);
		drop(e, syn);
	}
}

static struct tl_syn *add(struct tl_engine *e, const struct staged *p)
{
	const struct tl_headers *h = &p->headers;
	struct tl_syn *syn = tl_syn_add(&e->syns, p->hash, &h->tuple, &h->outer);

	if (syn == NULL) {
		struct tl_syn *oldest = tl_syn_oldest(&e->syns);
		if (oldest == NULL)
			return NULL;
		engine_count(e, TL_COUNT_SYN_ONLY_EVICTED);
		drop(e, oldest);
		syn = tl_syn_add(&e->syns, p->hash, &h->tuple, &h->outer);
		if (syn == NULL)
			return NULL;
	}
	engine_count(e, TL_COUNT_SYN_ONLY);
	syn->first_ns = p->packet->time_ns;
	syn->port = p->packet->port;
	tl_wheel_arm(&e->syns.wheel, tl_pool_index(&e->syns.pool, syn),
		     syn->first_ns + e->options.flow.syn_idle_ns + ENGINE_SLACK_NS);
	return syn;
}

// The same SYN or SYN-ACK again: a copy by the capture, or sent again. True for a copy.
static bool count_again(struct tl_engine *e, uint64_t last_ns, uint64_t now_ns)
{
	if (now_ns <= last_ns + e->options.flow.duplicate_ns) {
		engine_count(e, TL_COUNT_DUPLICATES_TCP);
		return true;
	}
	engine_count(e, TL_COUNT_TCP_RETRANSMITTED_SYN);
	return false;
}

static void take_again(struct tl_engine *e, uint64_t last_ns, uint64_t now_ns, struct tl_syn *syn)
{
	if (count_again(e, last_ns, now_ns))
		return;
	engine_count(e, TL_COUNT_TCP_PACKETS);
	syn->bits |= TL_SYN_RESENT;
	set_last(syn, now_ns);
}

static void take_syn(struct tl_engine *e, const struct staged *p, struct tl_syn *syn)
{
	const struct tl_headers *h = &p->headers;
	uint64_t now_ns = p->packet->time_ns;

	if (syn != NULL && (syn->bits & TL_SYN_SEEN) != 0 && syn->isn == h->tcp_seq) {
		// A copy lags its original by little, but a SYN-ACK may lie between them.
		uint64_t last = (syn->bits & TL_SYN_RESENT) != 0 ? tl_syn_last_ns(syn) : syn->first_ns;
		take_again(e, last, now_ns, syn);
		return;
	}
	engine_count(e, TL_COUNT_TCP_PACKETS);
	if (syn != NULL && (syn->bits & TL_SYN_SEEN) == 0 && syn->isn == h->tcp_seq) {
		// Its SYN-ACK overtook it in the capture.
		syn->bits |= TL_SYN_SEEN | TL_SYN_RESENT;
		return;
	}
	if (syn != NULL) {
		// Another attempt from the same port.
		count_failure(e, syn);
		drop(e, syn);
	}
	syn = add(e, p);
	if (syn == NULL)
		return;
	syn->isn = h->tcp_seq;
	syn->bits |= TL_SYN_SEEN | (p->side != 0 ? TL_SYN_CLIENT_1 : 0);
}

static void take_syn_ack(struct tl_engine *e, const struct staged *p, struct tl_syn *syn)
{
	const struct tl_headers *h = &p->headers;
	uint64_t now_ns = p->packet->time_ns;

	if (syn != NULL && (client_of(syn) == p->side || syn->isn + 1 != h->tcp_ack))
		syn = NULL;
	if (syn != NULL && (syn->bits & TL_SYN_ANSWERED) != 0) {
		uint64_t last = syn->first_ns + syn->answered_ns;
		if ((syn->bits & TL_SYN_RESENT) != 0 && tl_syn_last_ns(syn) > last)
			last = tl_syn_last_ns(syn);
		take_again(e, last, now_ns, syn);
		return;
	}
	engine_count(e, TL_COUNT_TCP_PACKETS);
	if (syn == NULL) {
		if (tl_syn_find(&e->syns, p->hash, &h->tuple, &h->outer) != NULL)
			return; // answers something else: a probe, or long ago
		syn = add(e, p);
		if (syn == NULL)
			return;
		syn->isn = h->tcp_ack - 1;
		syn->bits |= p->side != 0 ? 0 : TL_SYN_CLIENT_1;
	}
	uint64_t after = now_ns > syn->first_ns ? now_ns - syn->first_ns : 0;
	syn->bits |= TL_SYN_ANSWERED;
	syn->server_isn = h->tcp_seq;
	syn->answered_ns = after < UINT32_MAX ? (uint32_t)after : UINT32_MAX;
	set_last(syn, now_ns);
}

static void report_rtt(struct tl_engine *e, const struct tl_syn *syn, struct tl_flow *flow,
		       uint64_t now_ns)
{
	const uint32_t whole = TL_SYN_SEEN | TL_SYN_ANSWERED;
	uint64_t answered = syn->first_ns + syn->answered_ns;

	if ((syn->bits & whole) != whole)
		return;
	engine_count(e, TL_COUNT_TCP_HANDSHAKES);
	if ((syn->bits & TL_SYN_RESENT) != 0 || syn->answered_ns == UINT32_MAX || now_ns < answered)
		return;
	uint64_t rtt_us = (now_ns - syn->first_ns) / 1000;
	flow->rtt_us = rtt_us < UINT32_MAX ? (uint32_t)rtt_us : UINT32_MAX;
	if (e->rtt != NULL) {
		struct tl_flow_identity identity;
		tl_flow_identity(flow, &identity);
		e->rtt(e->rtt_arg, &identity, now_ns - answered, syn->answered_ns);
	}
}

// The attempt has become a connection: what its handshake said goes into the flow.
static void promote(struct tl_engine *e, const struct staged *p, struct tl_syn *syn,
		    struct tl_flow *flow)
{
	const struct tl_headers *h = &p->headers;
	uint8_t client = client_of(syn);
	bool is_answer_by_client = p->side == client && (h->tcp_flags & TL_TCP_ACK) != 0;

	flow->connection_id = tl_connection_id(&h->tuple, syn->first_ns);
	flow->port = syn->port;
	flow->isn = syn->isn;
	tl_flow_set_client_side(flow, client);
	tl_flow_mark(flow, TL_FLOW_CLIENT_SURE);
	tl_tcp_expect(flow, client, syn->isn + 1);
	if ((syn->bits & TL_SYN_SEEN) != 0)
		tl_flow_mark(flow, (uint32_t)TL_FLOW_SEEN << client);
	if ((syn->bits & TL_SYN_ANSWERED) != 0) {
		tl_tcp_expect(flow, client ^ 1, syn->server_isn + 1);
		tl_flow_mark(flow, (uint32_t)TL_FLOW_SEEN << (client ^ 1));
	} else if (is_answer_by_client && h->tcp_seq == syn->isn + 1) {
		// The SYN-ACK was missed; its number follows from what the client acknowledges.
		tl_tcp_expect(flow, client ^ 1, h->tcp_ack);
	}
	if (is_answer_by_client)
		report_rtt(e, syn, flow, p->packet->time_ns);
	drop(e, syn);
}

// True if the packet proves that the attempt succeeded.
static bool is_proof(const struct staged *p, const struct tl_syn *syn)
{
	const struct tl_headers *h = &p->headers;

	if ((h->tcp_flags & (TL_TCP_SYN | TL_TCP_RST)) != 0)
		return false;
	if (p->side == client_of(syn))
		return (h->tcp_flags & TL_TCP_ACK) != 0 && h->tcp_seq - (syn->isn + 1) < 1u << 20;
	if ((syn->bits & TL_SYN_ANSWERED) != 0)
		return h->tcp_seq - (syn->server_isn + 1) < 1u << 20;
	return h->tcp_ack - (syn->isn + 1) < 1u << 20;
}

static struct tl_flow *make_room(struct tl_engine *e, const struct staged *p, struct tl_flow *flow)
{
	if (flow == NULL)
		return tl_engine_flow_begin(e, p);
	// The old connection ended without the tap seeing how.
	if (!tl_flow_is(flow, TL_FLOW_CLOSED))
		tl_engine_flow_close(e, flow, TL_END_FIN, flow->last_ns);
	tl_engine_flow_renew(e, flow, p);
	return flow;
}

static void take_reset(struct tl_engine *e, const struct staged *p, struct tl_syn *syn)
{
	const struct tl_headers *h = &p->headers;
	bool is_client = p->side == client_of(syn);

	if ((h->tcp_flags & TL_TCP_ACK) != 0 && !is_client && h->tcp_ack != syn->isn + 1)
		return; // refuses something else
	engine_count(e, is_client ? TL_COUNT_TCP_RESETS_CLIENT : TL_COUNT_TCP_RESETS_SERVER);
	if ((syn->bits & TL_SYN_SEEN) != 0)
		engine_count(e, is_client ? TL_COUNT_TCP_FAIL_CLIENT : TL_COUNT_TCP_FAIL_REFUSED);
	drop(e, syn);
}

// A packet of an unknown connection begins one only if it carries something; a single byte
// without PSH is a keep-alive probe, whose byte is none of the stream.
static bool begins_late(const struct tl_headers *h)
{
	if (h->payload_wire_len == 0 || (h->tcp_flags & (TL_TCP_RST | TL_TCP_SYN)) != 0)
		return false;
	return h->payload_wire_len > 1 || (h->tcp_flags & (TL_TCP_PSH | TL_TCP_FIN)) != 0;
}

// Of a closed connection: numbers that are none of its own.
static bool is_far(const struct tl_flow *flow, const struct staged *p)
{
	int32_t diff = tl_seq_diff(p->headers.tcp_seq, flow->side[p->side].next_seq);
	bool is_known = tl_flow_is(flow, (uint32_t)TL_FLOW_KNOWN << p->side);
	return is_known && (diff > 1 << 26 || diff < -(1 << 26));
}

enum engine_found tl_engine_handshake(struct tl_engine *e, const struct staged *p, struct tl_flow *flow,
				   struct tl_flow **ret_flow)
{
	const struct tl_headers *h = &p->headers;
	struct tl_syn *syn = tl_syn_find(&e->syns, p->hash, &h->tuple, &h->outer);
	bool has_data = h->payload_wire_len != 0;
	uint64_t before = e->counters.at[TL_COUNT_TCP_PACKETS];

	if (is_plain_syn(h) || is_syn_ack(h)) {
		if (is_plain_syn(h))
			take_syn(e, p, syn);
		else
			take_syn_ack(e, p, syn);
		syn = tl_syn_find(&e->syns, p->hash, &h->tuple, &h->outer);
		if (flow != NULL && syn != NULL)
			tl_flow_mark(flow, TL_FLOW_SYN);
		if (!has_data || syn == NULL || e->counters.at[TL_COUNT_TCP_PACKETS] == before)
			return ENGINE_CONSUMED;
		// Fast open: data in the SYN begins the connection at once. Who takes the packet
		// counts it.
		e->counters.at[TL_COUNT_TCP_PACKETS] = before;
	} else if (syn == NULL || (!is_proof(p, syn) && (h->tcp_flags & TL_TCP_RST) == 0)) {
		if (flow != NULL && !tl_flow_is(flow, TL_FLOW_CLOSED)) {
			*ret_flow = flow;
			return ENGINE_FLOW;
		}
		if (!begins_late(h) || (flow != NULL && !is_far(flow, p))) {
			engine_count(e, TL_COUNT_TCP_PACKETS);
			if (has_data)
				engine_count(e, TL_COUNT_TCP_SKIPPED);
			return ENGINE_CONSUMED;
		}
	} else if ((h->tcp_flags & TL_TCP_RST) != 0) {
		if (flow != NULL && !tl_flow_is(flow, TL_FLOW_CLOSED)) {
			*ret_flow = flow;
			return ENGINE_FLOW;
		}
		engine_count(e, TL_COUNT_TCP_PACKETS);
		take_reset(e, p, syn);
		return ENGINE_CONSUMED;
	}
	flow = make_room(e, p, flow);
	if (flow == NULL)
		return ENGINE_REFUSED;
	if (syn != NULL)
		promote(e, p, syn, flow);
	else
		tl_flow_mark(flow, TL_FLOW_LATE);
	*ret_flow = flow;
	return ENGINE_FLOW;
}

bool tl_engine_live_syn(struct tl_engine *e, const struct staged *p, struct tl_flow *flow)
{
	const struct tl_headers *h = &p->headers;
	uint32_t known = (uint32_t)TL_FLOW_KNOWN << p->side;

	if (is_plain_syn(h)) {
		if (tl_flow_is(flow, TL_FLOW_LATE) || flow->isn != h->tcp_seq)
			return false; // perhaps the ports are used again
		// The SYN itself may come behind what answers it: its side is there.
		tl_flow_mark(flow, (uint32_t)TL_FLOW_SEEN << p->side);
		return count_again(e, flow->last_ns, p->packet->time_ns);
	}
	if (!is_syn_ack(h))
		return false;
	if (!tl_flow_is(flow, known)) {
		// The handshake's answer came behind what it answers.
		tl_flow_set_client_side(flow, p->side ^ 1);
		tl_flow_mark(flow, TL_FLOW_CLIENT_SURE);
		tl_tcp_meet(&e->tcp, flow, p->side, h->tcp_seq + 1, p->packet->time_ns);
		return false;
	}
	if (tl_seq_diff(h->tcp_seq + 1, flow->side[p->side].next_seq) <= 0) {
		return count_again(e, flow->last_ns, p->packet->time_ns);
	}
	return false;
}
