// SPDX-License-Identifier: Apache-2.0
// Stands in for the decoding side (stream/stream.h): records what reassembly hands on, byte for
// byte. Linked instead of stream/driver.c. Not thread-safe; one set of recordings per process.
#pragma once

#include "stream/stream.h"

#define RECORDER_CONNS_MAX 65536u
#define RECORDER_LOG_MAX 4096u

struct recording {
	struct tl_flow *flow;
	uint8_t *bytes[2];     // the first recorder_bytes_max delivered
	uint64_t room[2];
	uint64_t len[2];       // delivered
	uint64_t lost[2];
	uint32_t gaps[2];
	uint64_t stall_ns[2];
	uint64_t last_ns[2];   // time of the last piece
	bool has_ended[2];
	bool is_closed;
	enum tl_end end;
	uint64_t end_ns;
	uint32_t datagrams;
	uint32_t expired;
	uint64_t expired_ns;
	struct tl_flow_identity identity; // at the end
	// The order of things: "0:5 1:3 0-2 0. 1." = side:bytes, side-lost, side. (end), each with a blank.
	char log[RECORDER_LOG_MAX];
	uint32_t log_len;
};

// What the decoding side answers; set by a test, reset by recorder_reset().
struct recorder_answers {
	uint64_t skip[2];    // bytes nobody will look at, counted down by what is delivered
	bool is_deaf;
	bool is_idle;
	bool refuses;
	uint64_t timeout_ns; // a deadline this long after the last data, 0: none
	uint16_t verdict;    // set at the first data, 0: none
};
extern struct recorder_answers recorder_answers;
extern uint64_t recorder_bytes_max; // per side; more are counted, not kept

void recorder_reset(void);
uint32_t recorder_count(void);
struct recording *recorder_at(uint32_t index); // in order of opening
