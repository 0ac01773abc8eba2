// SPDX-License-Identifier: Apache-2.0
// What the files of the engine share: its state, and the life of flows between packets.
#pragma once

#include "engine/engine.h"
#include "flow/copies.h"
#include "flow/syn.h"
#include "flow/table.h"
#include "stream/tcp.h"

#define ENGINE_CLOCK_JUMP_NS UINT64_C(3600000000000) // a packet farther ahead is not believed at once
#define ENGINE_JUMP_PACKETS 32u     // ... but this many in a row are
#define ENGINE_SLACK_NS 250000000u  // sweeps lag, so that packets may overtake each other by this
#define ENGINE_LOOK_NS 1000000000u  // busy flows are looked at this often
#define ENGINE_QUIET_NS UINT64_C(5000000000) // idle decoding state is released after
#define ENGINE_EVICT_IDLE_NS 1000000000u // a flow silent for less is not given up for a new one
#define ENGINE_SWEEP_BUDGET 128u    // flows looked at per burst
#define ENGINE_ADVANCE_BUDGET 1024u // and per advance
#define ENGINE_DATAGRAM_MAX 65536u

struct tl_engine {
	struct tl_engine_options options;
	struct tl_counters counters;
	struct tl_flow_table flows;
	struct tl_syn_table syns;
	struct tl_copies copies;
	struct tl_tcp tcp;
	struct tl_l7 *l7;
	struct tl_defrag *defrag;       // NULL when ports defragment
	struct tl_verdict_count *verdicts;
	uint32_t verdict_count;
	uint64_t idle_least_ns;         // no flow is given up sooner
	uint64_t clock_ns;
	uint64_t jump_ns;               // the time a jump led to, 0 if none is pending
	uint32_t jump_packets;
	uint64_t *order;                // scratch of finish: flows_max entries, touched only there
	uint8_t *datagram;              // scratch: a datagram in one piece
	tl_rtt_fn *rtt;
	void *rtt_arg;
};

// A packet between the stages of a burst.
struct staged {
	const struct tl_packet *packet;
	struct tl_flow *likely; // what its hash means, but for a collision; NULL if nothing
	struct tl_headers headers;
	uint32_t hash;
	uint8_t side;
};

static inline void engine_count(struct tl_engine *e, enum tl_counter id)
{
	tl_counter_add(&e->counters, id, 1);
}

// ---- flows.c: the life of a flow

// A new flow for the packet's tuple; evicts if it must. NULL (counted) when there is no room.
struct tl_flow *tl_engine_flow_begin(struct tl_engine *e, const struct staged *p);
// Begins another connection in the place of a closed one.
void tl_engine_flow_renew(struct tl_engine *e, struct tl_flow *flow, const struct staged *p);
// Ends the connection and keeps the flow, so that late packets begin nothing.
void tl_engine_flow_close(struct tl_engine *e, struct tl_flow *flow, enum tl_end end, uint64_t time_ns);
// Does what is due up to `now_ns`; false: the flow was silent for too long and is gone.
bool tl_engine_flow_due(struct tl_engine *e, struct tl_flow *flow, uint64_t now_ns);
static inline bool tl_engine_flow_touch(struct tl_engine *e, struct tl_flow *flow, uint64_t now_ns)
{
	// Without a hole nothing but an open request or silence can be due.
	if (TL_LIKELY(flow->reorder == TL_POOL_NONE && now_ns < flow->last_ns + e->idle_least_ns &&
		      (flow->conn == NULL || now_ns < tl_conn_deadline(flow->conn))))
		return true;
	return tl_engine_flow_due(e, flow, now_ns);
}
// Has the wheel look at a flow that has something to wait for.
void tl_engine_flow_wake(struct tl_engine *e, struct tl_flow *flow, uint64_t now_ns);
// Counts the flow's bytes under its present verdict.
void tl_engine_flow_rebook(struct tl_engine *e, struct tl_flow *flow);
static inline void tl_engine_flow_book(struct tl_engine *e, struct tl_flow *flow)
{
	if (TL_UNLIKELY(flow->booked != flow->verdict))
		tl_engine_flow_rebook(e, flow);
}
bool tl_engine_sweep(struct tl_engine *e, uint64_t now_ns, uint32_t budget);
void tl_engine_flows_finish(struct tl_engine *e, enum tl_end end);

// ---- handshake.c: SYNs, and how attempts become flows

enum engine_found {
	ENGINE_FLOW,     // `ret_flow` takes the packet
	ENGINE_CONSUMED, // nothing more to do
	ENGINE_REFUSED,  // no room: dropped
};

// A packet whose flow is unknown or closed (`flow` then is the closed one), or a live one that may
// belong to a new connection.
enum engine_found tl_engine_handshake(struct tl_engine *e, const struct staged *p, struct tl_flow *flow,
				   struct tl_flow **ret_flow);
// A SYN or SYN-ACK of a live flow: sent again, late, or a copy (then true, and it is done with).
bool tl_engine_live_syn(struct tl_engine *e, const struct staged *p, struct tl_flow *flow);
uint64_t tl_engine_syn_look(void *arg, uint32_t id, uint64_t now_ns);
void tl_engine_syns_finish(struct tl_engine *e);
