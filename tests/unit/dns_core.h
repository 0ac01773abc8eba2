// SPDX-License-Identifier: Apache-2.0
// As much of the core as a decoder needs to run: messages with their values as text, a pending
// queue, a carry. What completes is written, one line each, into `log`.
#pragma once

#include "l7/decoder.h"

#define CORE_LOG_BYTES 65536u

struct core_message {
	bool is_begun, has_ended, has_role;
	uint64_t begin, end;
	uint32_t flags;
	uint32_t body;
	char text[16384];
};

struct core_pending {
	uint64_t key;
	uint8_t memo[TL_MEMO_BYTES];
	uint32_t retries;
	char text[2048]; // of the request
};

struct tl_ctx {
	bool is_udp, is_multicast, has_stopped;
	uint16_t port;
	struct core_message messages[TL_LANE_COUNT];
	struct core_pending pending[TL_LANE_COUNT][64];
	uint32_t pending_count[TL_LANE_COUNT];
	uint32_t counters[8];
	uint32_t parts;
	uint8_t carry[TL_LANE_COUNT][70000];
	uint32_t carry_len[TL_LANE_COUNT];
	uint64_t offset[TL_LANE_COUNT];
	uint64_t state[TL_STATE_BYTES_MAX / 8];
	char log[CORE_LOG_BYTES];
};

void core_start(struct tl_ctx *ctx, bool is_udp, uint16_t port);
// A datagram, or the next bytes of a stream.
void core_feed(struct tl_ctx *ctx, enum tl_lane lane, const void *bytes, uint32_t len);
void core_lose(struct tl_ctx *ctx, enum tl_lane lane, uint32_t len);
