// SPDX-License-Identifier: Apache-2.0
// What a Redis GET costs from packet to metrics, without DPDK: 16 in a segment and their 16 replies
// in another, and one at a time. By thread CPU time, the median of short batches.
#include "base/check.h"
#include "engine/engine.h"
#include "figure.h"
#include "l7/rules.h"
#include "metrics/metrics.h"
#include "tests/support/packets.h"

#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define FRAME_MAX 1024u
#define FLOWS 50u
#define PASSES 20u // of all flows in a batch
#define BATCHES 21u
#define PORT 6379

struct bench {
	struct tl_engine *engine;
	struct tl_worker_metrics *metrics;
	uint32_t seqs[FLOWS][2];
	uint64_t now_ns;
	uint64_t spent_ns;
	uint64_t records;
};

static void take_record(void *arg, const struct tl_roundtrip *record)
{
	struct bench *b = arg;

	b->records++;
	tl_worker_metrics_roundtrip(b->metrics, record);
}

static void send_packet(struct bench *b, uint32_t flow, int side, uint8_t flags,
			struct tl_bytes payload)
{
	uint8_t bytes[FRAME_MAX];
	const char *const hosts[] = {"10.0.0.1", "10.0.0.2"};
	uint16_t port = (uint16_t)(40000 + flow);
	const struct packet_spec spec = {
		.time_ns = b->now_ns += 1000, .source = hosts[side], .destination = hosts[!side],
		.source_port = side == 0 ? port : PORT, .destination_port = side == 0 ? PORT : port,
		.seq = b->seqs[flow][side], .ack = b->seqs[flow][!side], .flags = flags,
		.payload = payload,
	};
	uint32_t len = packet_write(&spec, bytes);
	const struct tl_chunk chunk = {bytes, len};
	const struct tl_packet packet = {.chunks = &chunk, .chunk_count = 1,
					 .link_type = TL_LINK_ETHERNET, .len = len,
					 .original_len = len, .time_ns = b->now_ns};

	b->seqs[flow][side] += payload.len + ((flags & TL_TCP_SYN) != 0);
	uint64_t begin = figure_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	tl_engine_burst(b->engine, &packet, 1);
	tl_worker_metrics_poll(b->metrics, b->engine);
	b->spent_ns += figure_clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
}

static struct tl_engine *make_engine(struct bench *b, const struct tl_rules *rules)
{
	const struct tl_engine_options options = {
		.defrag = {.datagrams_max = 64, .bytes_max = 1 << 20, .timeout_ns = 30 * SECOND},
		.flow = {.flows_max = 1024, .syn_max = 1024, .tcp_idle_ns = 3600 * SECOND,
			 .tcp_closed_ns = 2 * SECOND, .udp_idle_ns = 60 * SECOND,
			 .syn_idle_ns = 30 * SECOND, .reorder_bytes_max = 16 << 20,
			 .reorder_flow_bytes_max = 1 << 20, .gap_seen_ns = 20000000,
			 .gap_silent_ns = 200000000, .gap_one_sided_ns = 200000000,
			 .duplicate_ns = 1000},
		.l7 = {.connections_max = 1024, .exchanges_max = 4096,
		       .exchanges_per_connection_max = 256, .message_bytes_max = 64 << 20,
		       .carry_bytes_max = 64 << 20, .detect_bytes_max = 4096,
		       .detect_packets_max = 16},
	};
	return tl_engine_create(&options, rules, take_record, b);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const char *id, const char *of, uint32_t depth)
{
	static const char get[] = "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n";
	static const char value[] = "$16\r\n0123456789abcdef\r\n";
	static const struct tl_metrics_options metrics = {
		.series_max = 1 << 16, .series_per_family_max = 1 << 14, .label_values_max = 1024,
		.label_bytes_max = 128, .idle_ns = 600 * SECOND, .l4_enabled = true,
	};
	const struct tl_rules_spec spec = {0};
	const struct tl_bytes none = tl_bytes(NULL, 0);
	char text[2][FRAME_MAX] = {"", ""};
	struct bench b = {.now_ns = UINT64_C(1700000000) * SECOND};
	double batches[BATCHES];
	struct tl_rules *rules;
	char error[256];

	for (uint32_t i = 0; i < depth; i++) {
		memcpy(text[0] + i * (sizeof(get) - 1), get, sizeof(get));
		memcpy(text[1] + i * (sizeof(value) - 1), value, sizeof(value));
	}
	TL_ASSERT(tl_rules_create(&spec, &rules, error, sizeof(error)) == 0);
	b.engine = make_engine(&b, rules);
	b.metrics = tl_worker_metrics_create(&metrics, 0);
	TL_ASSERT(b.engine != NULL && b.metrics != NULL);
	for (uint32_t flow = 0; flow < FLOWS; flow++) {
		send_packet(&b, flow, 0, TL_TCP_SYN, none);
		send_packet(&b, flow, 1, TL_TCP_SYN | TL_TCP_ACK, none);
		send_packet(&b, flow, 0, TL_TCP_ACK, none);
	}
	for (uint32_t i = 0; i < BATCHES; i++) {
		uint64_t before = b.records;
		b.spent_ns = 0;
		for (uint32_t k = 0; k < PASSES * FLOWS; k++)
			for (int side = 0; side < 2; side++)
				send_packet(&b, k % FLOWS, side, TL_TCP_ACK | TL_TCP_PSH,
					    tl_bytes_of(text[side]));
		batches[i] = (double)b.spent_ns / (double)(b.records - before);
	}
	TL_ASSERT(b.records == (uint64_t)BATCHES * PASSES * FLOWS * depth);
	qsort(batches, BATCHES, sizeof(*batches), by_value);
	figure(id, batches[BATCHES / 2], "ns", of);
	tl_engine_destroy(b.engine);
	tl_worker_metrics_destroy(b.metrics);
	tl_rules_destroy(rules);
}

int main(void)
{
	measure("redis_get_16", "engine and metrics per GET, 16 in a segment, 50 connections", 16);
	measure("redis_get_1", "engine and metrics per GET, one at a time, 50 connections", 1);
	return 0;
}
