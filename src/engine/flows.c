// SPDX-License-Identifier: Apache-2.0
#include "engine/internal.h"

#include "base/check.h"
#include "l7/decoder.h"

#define EPHEMERAL_PORT_MIN 32768u // servers rarely listen above

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static struct tl_verdict_count *verdict_at(struct tl_engine *e, uint16_t verdict)
{
	uint32_t index = verdict >= TL_VERDICT_BASE
				 ? tl_decoder_count + (uint32_t)(verdict - TL_VERDICT_BASE)
				 : verdict;
	TL_CHECK(index < e->verdict_count);
	return &e->verdicts[index < e->verdict_count ? index : e->verdict_count - 1];
}

void tl_engine_flow_rebook(struct tl_engine *e, struct tl_flow *flow)
{
	struct tl_verdict_count *from = verdict_at(e, flow->booked);
	struct tl_verdict_count *to = verdict_at(e, flow->verdict);
	from->flows--;
	from->bytes -= flow->payload_bytes;
	to->flows++;
	to->bytes += flow->payload_bytes;
	flow->booked = flow->verdict;
}

// The side that is likely the client of a flow whose begin was not seen.
static uint8_t likely_client(const struct tl_headers *h, uint8_t sender)
{
	const uint8_t *to = h->tuple.destination;
	bool is_v4 = h->tuple.ip_version == 4;

	if (h->tuple.protocol == 17 && (is_v4 ? (to[12] & 0xf0) == 0xe0 : to[0] == 0xff))
		return sender; // nobody answers from a group address
	uint16_t source = h->tuple.source_port;
	uint16_t destination = h->tuple.destination_port;
	if (source < destination && source < EPHEMERAL_PORT_MIN)
		return sender ^ 1;
	return sender;
}

static bool is_udp(const struct tl_flow *flow)
{
	return tl_flow_is(flow, TL_FLOW_UDP);
}

static uint64_t idle_ns(const struct tl_engine *e, const struct tl_flow *flow)
{
	const uint32_t fins = TL_FLOW_FIN | TL_FLOW_FIN << 1;
	const uint32_t both = TL_FLOW_SEEN | TL_FLOW_SEEN << 1;

	if (is_udp(flow))
		return e->options.flow.udp_idle_ns;
	if (tl_flow_is(flow, TL_FLOW_CLOSED))
		return e->options.flow.tcp_closed_ns;
	// Of a one-sided flow no second FIN will come.
	if ((flow->bits & fins) != 0 && (flow->bits & both) != both)
		return e->options.flow.tcp_closed_ns;
	return e->options.flow.tcp_idle_ns;
}

static void arm(struct tl_engine *e, struct tl_flow *flow, uint64_t time_ns)
{
	tl_wheel_arm(&e->flows.wheel, tl_flow_id(&e->flows, flow), time_ns);
}

static void begin(struct tl_engine *e, struct tl_flow *flow, const struct staged *p)
{
	uint64_t now_ns = p->packet->time_ns;

	if (TL_UNLIKELY(tl_outer_has_path(&p->headers.outer)))
		tl_packet_path(p->packet, &p->headers, tl_flow_path_at(&e->flows, flow));
	flow->port = p->packet->port;
	flow->connection_id = tl_connection_id(&p->headers.tuple, now_ns);
	flow->last_ns = now_ns;
	if (likely_client(&p->headers, p->side) != 0)
		tl_flow_mark(flow, TL_FLOW_CLIENT_1);
	verdict_at(e, flow->booked)->flows++;
	engine_count(e, is_udp(flow) ? TL_COUNT_FLOWS_UDP : TL_COUNT_FLOWS_TCP);
	engine_count(e, is_udp(flow) ? TL_COUNT_UDP_ACTIVE : TL_COUNT_TCP_ACTIVE);
	arm(e, flow, now_ns + idle_ns(e, flow) + ENGINE_SLACK_NS);
}

static void end(struct tl_engine *e, struct tl_flow *flow, enum tl_end why, uint64_t time_ns)
{
	if (tl_flow_is(flow, TL_FLOW_CLOSED))
		return;
	tl_tcp_end(&e->tcp, flow, why, time_ns);
	tl_engine_flow_book(e, flow);
	tl_flow_mark(flow, TL_FLOW_CLOSED);
	e->counters.at[is_udp(flow) ? TL_COUNT_UDP_ACTIVE : TL_COUNT_TCP_ACTIVE]--;
}

struct tl_flow *tl_engine_flow_begin(struct tl_engine *e, const struct staged *p)
{
	const struct tl_headers *h = &p->headers;
	struct tl_flow *flow = tl_flow_table_add(&e->flows, p->hash, &h->tuple, &h->outer);

	if (flow == NULL) {
		uint64_t now_ns = p->packet->time_ns;
		struct tl_flow *victim = tl_flow_table_victim(&e->flows, now_ns, ENGINE_EVICT_IDLE_NS);
		if (victim != NULL) {
			engine_count(e, TL_COUNT_FLOWS_EVICTED);
			end(e, victim, TL_END_EVICTED, now_ns);
			tl_flow_table_remove(&e->flows, victim);
			flow = tl_flow_table_add(&e->flows, p->hash, &h->tuple, &h->outer);
		}
		if (flow == NULL)
			return NULL;
	}
	begin(e, flow, p);
	return flow;
}

void tl_engine_flow_renew(struct tl_engine *e, struct tl_flow *flow, const struct staged *p)
{
	TL_CHECK(tl_flow_is(flow, TL_FLOW_CLOSED));
	tl_flow_table_renew(&e->flows, flow, &p->headers.outer);
	begin(e, flow, p);
}

void tl_engine_flow_close(struct tl_engine *e, struct tl_flow *flow, enum tl_end why, uint64_t time_ns)
{
	end(e, flow, why, time_ns);
	arm(e, flow, flow->last_ns + idle_ns(e, flow) + ENGINE_SLACK_NS);
}

// The flow has been silent up to its limit: an end of its own, stamped with that moment.
static void time_out(struct tl_engine *e, struct tl_flow *flow, uint64_t limit_ns)
{
	if (!tl_flow_is(flow, TL_FLOW_CLOSED)) {
		const uint32_t fins = TL_FLOW_FIN | TL_FLOW_FIN << 1;
		bool has_fin = (flow->bits & fins) != 0 && !is_udp(flow);
		engine_count(e, is_udp(flow) ? TL_COUNT_UDP_EXPIRED : TL_COUNT_TCP_EXPIRED);
		end(e, flow, has_fin ? TL_END_FIN : TL_END_TIMEOUT, limit_ns);
	}
	tl_flow_table_remove(&e->flows, flow);
}

// What is due at `now_ns` by the flow's own packets; false when it ended by silence.
static bool settle(struct tl_engine *e, struct tl_flow *flow, uint64_t now_ns)
{
	uint64_t limit_ns = flow->last_ns + idle_ns(e, flow);

	if (flow->conn != NULL || flow->reorder != TL_POOL_NONE) {
		tl_tcp_expire(&e->tcp, flow, earlier(now_ns, limit_ns));
		tl_engine_flow_book(e, flow);
		if (!is_udp(flow) && tl_tcp_is_over(flow) && !tl_flow_is(flow, TL_FLOW_CLOSED)) {
			tl_engine_flow_close(e, flow, TL_END_FIN, flow->last_ns);
			limit_ns = flow->last_ns + idle_ns(e, flow);
		}
	}
	if (now_ns < limit_ns)
		return true;
	time_out(e, flow, limit_ns);
	return false;
}

bool tl_engine_flow_due(struct tl_engine *e, struct tl_flow *flow, uint64_t now_ns)
{
	if (now_ns < flow->last_ns)
		return true;
	return settle(e, flow, now_ns);
}

void tl_engine_flow_wake(struct tl_engine *e, struct tl_flow *flow, uint64_t now_ns)
{
	arm(e, flow, now_ns + ENGINE_LOOK_NS);
}

static uint64_t flow_look(void *arg, uint32_t id, uint64_t now_ns)
{
	struct tl_engine *e = arg;
	struct tl_flow *flow = tl_flow_at(&e->flows, id);
	uint64_t until_ns = now_ns > ENGINE_SLACK_NS ? now_ns - ENGINE_SLACK_NS : 0;

	TL_CHECK(flow->serial != 0);
	if (!settle(e, flow, until_ns))
		return UINT64_MAX;
	if (flow->conn != NULL && flow->last_ns + ENGINE_QUIET_NS <= until_ns &&
	    tl_conn_is_idle(flow->conn))
		tl_feed_close(&e->tcp.feed, flow, TL_END_TIMEOUT, flow->last_ns);
	tl_engine_flow_book(e, flow);
	uint64_t limit_ns = flow->last_ns + idle_ns(e, flow) + ENGINE_SLACK_NS;
	if (flow->conn != NULL || flow->reorder != TL_POOL_NONE)
		return earlier(limit_ns, now_ns + ENGINE_LOOK_NS);
	return limit_ns;
}

bool tl_engine_sweep(struct tl_engine *e, uint64_t now_ns, uint32_t budget)
{
	bool has_more = tl_wheel_advance(&e->flows.wheel, now_ns, budget, flow_look, e);
	has_more |= tl_wheel_advance(&e->syns.wheel, now_ns, budget, tl_engine_syn_look, e);
	return has_more;
}

static void sift_down(uint64_t *keys, uint32_t at, uint32_t count)
{
	for (;;) {
		uint32_t child = at * 2 + 1;
		if (child >= count)
			return;
		if (child + 1 < count && keys[child + 1] > keys[child])
			child++;
		if (keys[at] >= keys[child])
			return;
		uint64_t key = keys[at];
		keys[at] = keys[child];
		keys[child] = key;
		at = child;
	}
}

// Heap sort: in place and without a bad case.
static void sort(uint64_t *keys, uint32_t count)
{
	for (uint32_t i = count / 2; i-- != 0;)
		sift_down(keys, i, count);
	for (uint32_t n = count; n > 1;) {
		uint64_t key = keys[--n];
		keys[n] = keys[0];
		keys[0] = key;
		sift_down(keys, 0, n);
	}
}

void tl_engine_flows_finish(struct tl_engine *e, enum tl_end why)
{
	uint32_t count = 0;
	uint32_t oldest = e->flows.serial - INT32_MAX; // serials wrap: order by distance

	for (uint32_t id = 0; id < e->flows.pool.touched; id++) {
		const struct tl_flow *flow = tl_flow_at(&e->flows, id);
		if (flow->serial != 0)
			e->order[count++] = (uint64_t)(flow->serial - oldest) << 32 | id;
	}
	sort(e->order, count);
	for (uint32_t i = 0; i < count; i++) {
		struct tl_flow *flow = tl_flow_at(&e->flows, (uint32_t)e->order[i]);
		if (!settle(e, flow, e->clock_ns))
			continue;
		end(e, flow, why, flow->last_ns);
		tl_flow_table_remove(&e->flows, flow);
	}
}
