// SPDX-License-Identifier: Apache-2.0
// What TCP reassembly hands to the decoders' side of a connection: in-order pieces, losses and
// ends, per side of the flow, each with its packet time. Implemented by stream/driver.c, called
// by stream/tcp.c and the engine. A `tl_conn` exists only while a flow has something to decode.
#pragma once

#include "flow/flow.h"
#include "l7/decoder.h"
#include "l7/names.h"

struct tl_l7;   // one worker's decoding side: pools, rules, counters
struct tl_conn; // one connection's decoding state

struct tl_rules; // which flows may be which protocol (l7/rules.h), immutable

// Which protocols are looked for where. Made from the configuration or from --proto.
struct tl_l7_options {
	uint64_t connections_max;     // connections with decoding state per worker
	uint64_t exchanges_max;       // open requests per worker
	uint64_t exchanges_per_connection_max;
	uint64_t message_bytes_max;   // bytes of field values held per worker
	uint64_t carry_bytes_max;     // bytes of partial messages held per worker
	uint64_t detect_bytes_max;    // bytes of a lane looked at before the verdict `unknown`
	uint64_t detect_packets_max;
};

// A finished roundtrip; `record` is borrowed during the call.
typedef void tl_roundtrip_fn(void *arg, const struct tl_roundtrip *record);

// NULL on no memory. `counters` and `options` outlive it; `complete` is called on this lcore.
struct tl_l7 *tl_l7_create(const struct tl_l7_options *options, const struct tl_rules *rules,
			   uint8_t worker, struct tl_counters *counters, tl_roundtrip_fn *complete,
			   void *arg);
void tl_l7_destroy(struct tl_l7 *l7);
// Where the flows of its connections are: their paths go into records. Before the first connection.
void tl_l7_set_flows(struct tl_l7 *l7, const struct tl_flow_table *flows);
// Swaps the rules (a reload), between bursts. Verdicts of open flows stay.
void tl_l7_set_rules(struct tl_l7 *l7, const struct tl_rules *rules);
// Counters of the decoders, [protocol id][counter], NULL for a decoder without any.
const uint64_t *tl_l7_decoder_counters(const struct tl_l7 *l7, uint16_t protocol);
// Calls `fn` with each TLS connection that asks for a name, on this lcore.
void tl_l7_on_asked(struct tl_l7 *l7, tl_asked_fn *fn, void *arg);
// The names that TLS connections asked for. Read them when the worker has finished.
const struct tl_names *tl_l7_names(const struct tl_l7 *l7);

// Begins decoding a flow that has its first payload; a flow with a sticky verdict goes on with
// that protocol. NULL when the pool is full (counted) or the rules exclude the flow (its verdict
// says so).
struct tl_conn *tl_conn_open(struct tl_l7 *l7, struct tl_flow *flow, uint64_t now_ns);

// Bytes of `side` in order. `stall_ns`: how long they had waited for a retransmission.
void tl_conn_data(struct tl_l7 *l7, struct tl_conn *conn, uint8_t side, struct tl_bytes bytes,
		  uint64_t time_ns, uint64_t stall_ns);
// A datagram; `wire_len` > bytes.len when the snaplen cut it.
void tl_conn_datagram(struct tl_l7 *l7, struct tl_conn *conn, uint8_t side, struct tl_bytes bytes,
		      uint32_t wire_len, uint64_t time_ns);
// `lost` bytes of `side` will never come.
void tl_conn_gap(struct tl_l7 *l7, struct tl_conn *conn, uint8_t side, uint64_t lost,
		 uint64_t time_ns);
// Bytes of `side` from here on that nobody will look at: reassembly need not keep them.
uint64_t tl_conn_skip(const struct tl_conn *conn, uint8_t side);
// The same as tl_conn_data() in short for bytes inside a skip that goes on behind them; false, and
// nothing done, for all others.
bool tl_conn_pass(struct tl_conn *conn, uint8_t side, uint32_t len, uint64_t time_ns);
// One side has ended in order (FIN).
void tl_conn_end_side(struct tl_l7 *l7, struct tl_conn *conn, uint8_t side, uint64_t time_ns);
// The connection is over: completes what is open, frees the conn.
void tl_conn_close(struct tl_l7 *l7, struct tl_conn *conn, enum tl_end end, uint64_t time_ns);

// Earliest time at which an open request times out, UINT64_MAX if none.
uint64_t tl_conn_deadline(const struct tl_conn *conn);
// Emits the time-outs due at `now_ns`, stamped with their own deadline.
void tl_conn_expire(struct tl_l7 *l7, struct tl_conn *conn, uint64_t now_ns);
// Nothing is open, carried or remembered: the conn may be closed without a trace and opened anew
// with the flow's sticky verdict.
bool tl_conn_is_idle(const struct tl_conn *conn);
// A decoder found nothing and looks no more: payload needs no reassembly, only counting.
bool tl_conn_is_deaf(const struct tl_conn *conn);
