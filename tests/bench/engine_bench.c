// SPDX-License-Identifier: Apache-2.0
// What a packet costs from decode to reassembly, without decoders: in-order segments of one hot
// flow, of many flows in turn and at random, and what a million idle connections cost in memory.
#include "engine/engine.h"
#include "base/check.h"
#include "figure.h"
#include "flow/table.h"
#include "tests/support/options.h"
#include "tests/support/packets.h"
#include "tests/support/recorder.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)
#define START (UINT64_C(1700000000) * SECOND)
#define PAYLOAD 64u
#define FRAME_MAX 192u

// CPU time, so that a busy machine does not count.
static uint64_t clock_ns(void)
{
	return figure_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static double resident_mb(void)
{
	long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	TL_ASSERT(file != NULL && fscanf(file, "%*d %ld", &pages) == 1);
	(void)fclose(file);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static struct tl_engine *make_engine(uint64_t flows)
{
	struct tl_engine_options options = test_engine_options(flows);

	options.flow.syn_max = 65536;
	options.flow.tcp_idle_ns = 3600 * SECOND;
	options.flow.tcp_closed_ns = 10 * SECOND;
	options.flow.reorder_bytes_max = 64u << 20;
	options.flow.reorder_flow_bytes_max = 4u << 20;
	options.flow.duplicate_ns = 3000000;
	struct tl_engine *engine = tl_engine_create(&options, NULL, NULL, NULL);
	TL_ASSERT(engine != NULL);
	return engine;
}

// A burst of frames that are patched in place: what a NIC's small pool in cache looks like.
struct burst {
	uint8_t bytes[TL_BURST_MAX][FRAME_MAX];
	struct tl_chunk chunks[TL_BURST_MAX];
	struct tl_packet packets[TL_BURST_MAX];
};

static void put32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 24);
	at[1] = (uint8_t)(value >> 16);
	at[2] = (uint8_t)(value >> 8);
	at[3] = (uint8_t)value;
}

static void make_burst(struct burst *burst, uint8_t flags, uint32_t payload)
{
	static uint8_t body[PAYLOAD];
	const struct packet_spec spec = {
		.source = "10.0.0.2", .destination = "192.168.0.1", .source_port = 40000,
		.destination_port = 80, .flags = flags, .payload = {body, payload},
	};
	for (uint32_t i = 0; i < TL_BURST_MAX; i++) {
		uint32_t len = packet_write(&spec, burst->bytes[i]);
		burst->chunks[i] = (struct tl_chunk) {burst->bytes[i], len};
		burst->packets[i] = (struct tl_packet) {
			.chunks = &burst->chunks[i], .chunk_count = 1, .link_type = TL_LINK_ETHERNET,
			.len = len, .original_len = len,
		};
	}
}

static void patch(struct burst *burst, uint32_t i, uint32_t flow, uint32_t seq, uint64_t time_ns)
{
	uint8_t *ip = burst->bytes[i] + 14;
	ip[4] = (uint8_t)(seq >> 8); // IP id
	ip[5] = (uint8_t)seq;
	put32(ip + 12, 0x0a000000u + flow);
	put32(ip + 24, seq);
	burst->packets[i].time_ns = time_ns;
}

static double run(uint32_t flows, uint64_t packets, bool is_random)
{
	static struct burst burst;
	struct tl_engine *engine = make_engine(flows < 1024 ? 1024 : flows);
	uint32_t *seqs = calloc(flows, sizeof(*seqs));
	uint64_t spent = 0;
	uint64_t now = START;
	uint32_t seed = 7;
	uint32_t next = 0;

	TL_ASSERT(seqs != NULL);
	recorder_reset();
	recorder_answers.refuses = true; // the recorder is no measure of a decoder
	make_burst(&burst, TL_TCP_ACK | TL_TCP_PSH, PAYLOAD);
	uint64_t warm = (uint64_t)flows + 1000000 / flows;
	for (uint64_t n = 0; n < warm + packets; n += TL_BURST_MAX) {
		for (uint32_t i = 0; i < TL_BURST_MAX; i++) {
			seed = seed * 1664525u + 1013904223u;
			uint32_t flow = next;
			if (n >= warm && is_random)
				flow = (uint32_t)((uint64_t)seed * flows >> 32);
			next = next + 1 < flows ? next + 1 : 0;
			patch(&burst, i, flow, seqs[flow], now += 200);
			seqs[flow] += PAYLOAD;
		}
		uint64_t begin = clock_ns();
		tl_engine_burst(engine, burst.packets, TL_BURST_MAX);
		if (n >= warm)
			spent += clock_ns() - begin;
	}
	TL_ASSERT(tl_engine_counters(engine)->at[TL_COUNT_TCP_RETRANSMITTED] == 0);
	TL_ASSERT(tl_engine_counters(engine)->at[TL_COUNT_FLOWS_TCP] <= flows);
	tl_engine_destroy(engine);
	free(seqs);
	return (double)spent / (double)packets;
}

static void idle_connections(uint32_t flows)
{
	static struct burst burst;
	static const uint8_t flags[3] = {TL_TCP_SYN, TL_TCP_ACK, TL_TCP_ACK};
	double before = resident_mb();
	struct tl_engine *engine = make_engine(flows);
	uint64_t now = START;

	recorder_reset();
	for (uint32_t n = 0; n < flows; n += TL_BURST_MAX) {
		for (uint32_t step = 0; step < 2; step++) {
			make_burst(&burst, flags[step], 0);
			for (uint32_t i = 0; i < TL_BURST_MAX; i++)
				patch(&burst, i, n + i, 100 + step, now += 1000);
			tl_engine_burst(engine, burst.packets, TL_BURST_MAX);
		}
	}
	uint64_t active = tl_engine_counters(engine)->at[TL_COUNT_TCP_ACTIVE];
	double used = resident_mb() - before;
	TL_ASSERT(active == flows);
	figure("idle_flows_memory", used, "MB", "resident memory of 1048576 idle TCP connections in the engine");
	figure("idle_flow_bytes", used * 1e6 / (double)active, "bytes", "the same per connection");
	tl_engine_destroy(engine);
}

int main(void)
{
	idle_connections(1u << 20);
	figure("packet_hot", run(1, 8000000, false), "ns", "decode, flow and TCP per packet: one hot flow");
	figure("packet_1k_flows", run(1000, 8000000, true), "ns", "the same: 1000 flows at random");
	figure("packet_1m_flows", run(1u << 20, 8000000, true), "ns", "the same: 1 M flows at random");
	recorder_reset();
	return 0;
}
