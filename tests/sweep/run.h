// SPDX-License-Identifier: Apache-2.0
// Plays a conversation through a real engine as packets, and keeps the records as text.
#pragma once

#include "conversation.h"
#include "engine/engine.h"
#include "tests/support/packets.h"

#define PACKETS_MAX 4096u
#define RECORDS_MAX 512u
#define RECORD_TEXT_MAX 8192u

// The packets of one run, in the order in which the probe sees them.
struct plan {
	struct packet_spec packets[PACKETS_MAX];
	int32_t turn[PACKETS_MAX]; // whose bytes a packet carries; -1: none (handshake, ACK, FIN)
	uint32_t count;
};

// How to make packets of a conversation.
struct plan_spec {
	const uint8_t *order;  // of turns; NULL: as they stand
	const uint32_t *cuts;  // ascending offsets in the conversation's bytes
	uint32_t cut_count;
	bool every_byte;       // one byte per packet
	uint64_t step_ns;      // between turns; segments of a turn are a hundredth of it apart
	uint32_t hole_begin;   // these bytes never come
	uint32_t hole_end;
	uint32_t from;         // late join: packets before this byte, handshake too, were not seen
	int only_lane;         // -1: both
};

struct record {
	char *request;  // "req=none" or "req.method=GET ..."
	char *response;
	uint32_t flags;
	uint8_t status;
	uint8_t reason;
	uint8_t trace[32];
};

struct result {
	struct record records[RECORDS_MAX];
	uint32_t count;
	uint32_t after_turn[TURNS_MAX]; // records complete when the turn's bytes had been seen
	char ledger[256];               // what doesn't add up; "" if all does
};

void plan_make(const struct conversation *c, const struct plan_spec *spec, struct plan *ret);
// Plays it; result_free() the result.
void run_plan(const struct conversation *c, const struct tl_rules *rules, const struct plan *plan,
	      struct result *ret);
void result_free(struct result *r);

// Writes "status reason=R flags=F req... res..." with the flags in `ignore` left out.
void record_text(const struct record *r, uint32_t ignore, char *ret, size_t size);

// An engine of few connections; tl_engine_destroy() it.
struct tl_engine *run_engine_create(const struct tl_rules *rules, tl_roundtrip_fn *take, void *arg);

// Rules that detect every protocol, with the conversation's options. run_options_free() both.
struct run_options;
struct run_options *run_options_create(const struct conversation *c);
const struct tl_rules *run_options_rules(const struct run_options *o);
void run_options_free(struct run_options *o);
