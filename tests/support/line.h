// SPDX-License-Identifier: Apache-2.0
// A tiny protocol that uses everything a decoder may do, and a connection to run it on without
// flows, packets or time. Lines "<verb> <key> <len>\n", followed by `len` bytes:
//   Q request, skipped body   K request, its body's first 8 bytes are kept
//   A answer by key           B answer, its body kept      O answer to the oldest
//   T answers all up to key   F answer, body to the end of the lane
//   I interim answer          W one-way      R retry of key     C cancels key
//   L may wait for `len` ms (no body)        S switch both lanes at this lane's end of line to `len`
//   H opens child key         D `len` bytes for child key       E ends child key
//   G a piece of request key   N its last piece   M a piece of key's answer   P its last piece
//   V gives a string as long as `len`        Z breaks off: tl_stop()
#pragma once

#include "stream/driver.h"
#include "stream/stream.h"

#define LINE_PROTOCOL 1u
#define LINE_CHILD 2u
#define VAGUE_PROTOCOL 3u

enum { LINE_FIELD_KEY, LINE_FIELD_BODY };

struct tl_flow {
	struct tl_flow_identity identity;
	uint16_t verdict;
	uint8_t client_side;
};

struct rig {
	struct tl_l7 *l7;
	struct tl_rules *rules;
	struct tl_conn *conn;
	struct tl_flow flow;
	struct tl_counters counters;
	struct tl_l7_options options;
	uint64_t ns;
	uint64_t given;
	char log[1u << 16]; // one line per record, without times
	uint32_t log_len;
	uint32_t records;
	uint32_t answered_opened; // records of opened requests
	struct tl_roundtrip last;
};

void rig_init(struct rig *rig);
void rig_init_with(struct rig *rig, const struct tl_l7_options *options);
// Closes the connection, checks that the books close and that every pool is empty.
void rig_fini(struct rig *rig);
void rig_open(struct rig *rig);
void rig_feed(struct rig *rig, enum tl_lane lane, const char *bytes, uint32_t len);
void rig_say(struct rig *rig, enum tl_lane lane, const char *text);
void rig_gap(struct rig *rig, enum tl_lane lane, uint64_t lost);
void rig_close(struct rig *rig, enum tl_end end);
void rig_check_books(const struct rig *rig);
uint64_t rig_count(const struct rig *rig, enum tl_counter id);
