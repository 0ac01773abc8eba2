// SPDX-License-Identifier: Apache-2.0
// Settings of an engine for tests and benchmarks: the product's times, rooms by the number of
// connections. Who needs another value sets it in what this gives.
#pragma once

#include "engine/engine.h"

static inline struct tl_engine_options test_engine_options(uint64_t connections)
{
	const uint64_t second = UINT64_C(1000000000);

	return (struct tl_engine_options) {
		.flow = {
			.flows_max = connections,
			.syn_max = connections,
			.tcp_idle_ns = 300 * second,
			.tcp_closed_ns = 2 * second,
			.udp_idle_ns = 60 * second,
			.syn_idle_ns = 30 * second,
			.reorder_bytes_max = 1u << 20,
			.reorder_flow_bytes_max = 1u << 19,
			.gap_seen_ns = second / 50,
			.gap_silent_ns = second / 5,
			.gap_one_sided_ns = second / 5,
			.duplicate_ns = second / 1000,
		},
		.l7 = {
			.connections_max = connections,
			.exchanges_max = 2 * connections,
			.exchanges_per_connection_max = TL_PENDING_MAX,
			.message_bytes_max = 1u << 20,
			.carry_bytes_max = 1u << 20,
			.detect_bytes_max = 4096,
			.detect_packets_max = 64,
		},
		.defrag = {.datagrams_max = 64, .bytes_max = 1u << 18, .timeout_ns = 30 * second},
		.seed = 1,
	};
}
