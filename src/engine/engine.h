// SPDX-License-Identifier: Apache-2.0
// One worker's whole way from packet to roundtrip, without DPDK: decode, flow table, TCP,
// reassembly, decoders, pairing. The worker lcore, the unit tests, the sweep harness and the
// fuzzers all drive this. Single-threaded; no allocation after create, no clock, no I/O.
#pragma once

#include "flow/flow.h"
#include "packet/defrag.h"
#include "stream/stream.h"

#define TL_BURST_MAX 64u

struct tl_engine;

struct tl_engine_options {
	struct tl_flow_options flow;
	struct tl_l7_options l7;
	struct tl_defrag_options defrag;
	uint64_t seed;   // of the flow table's hash
	uint32_t left_alone; // encapsulations that are not followed, TL_TUNNEL_BIT each
	uint8_t worker;
	bool defragments; // fragments come here (tests, NIC queues); false: the port did it already
};

// NULL on no memory. `rules` stays the caller's and must live until replaced.
struct tl_engine *tl_engine_create(const struct tl_engine_options *options,
				   const struct tl_rules *rules, tl_roundtrip_fn *complete,
				   void *arg);
void tl_engine_destroy(struct tl_engine *engine);

// Processes a burst of at most TL_BURST_MAX packets in order.
void tl_engine_burst(struct tl_engine *engine, const struct tl_packet *packets, uint32_t count);

// No packet came and the port's clock says `now_ns`: sweeps silent flows, bounded work per call;
// true if more is due.
bool tl_engine_advance(struct tl_engine *engine, uint64_t now_ns);

// End of input or stop: completes everything open with `end`, empties the tables.
void tl_engine_finish(struct tl_engine *engine, enum tl_end end);

void tl_engine_set_rules(struct tl_engine *engine, const struct tl_rules *rules);

// The worker's counters; also the packet clock.
struct tl_counters *tl_engine_counters(struct tl_engine *engine);
uint64_t tl_engine_clock(const struct tl_engine *engine);
struct tl_l7 *tl_engine_l7(struct tl_engine *engine);

// Flows by verdict: [registry id] for protocols, [tl_decoder_count + v - TL_VERDICT_BASE] for the
// others. `flows` counts a flow when it ends or is asked for, `bytes` are payload bytes.
struct tl_verdict_count {
	uint64_t flows;
	uint64_t bytes;
};
const struct tl_verdict_count *tl_engine_verdicts(struct tl_engine *engine, uint32_t *ret_count);

// Handshake round trips: split at the tap into client and server side. Called on this lcore.
typedef void tl_rtt_fn(void *arg, const struct tl_flow_identity *flow, uint64_t client_ns,
		       uint64_t server_ns);
void tl_engine_on_rtt(struct tl_engine *engine, tl_rtt_fn *fn, void *arg);
// Names that TLS connections ask for, with the flow. Called on this lcore.
void tl_engine_on_asked(struct tl_engine *engine, tl_asked_fn *fn, void *arg);
