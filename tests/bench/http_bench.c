// SPDX-License-Identifier: Apache-2.0
// What a keep-alive HTTP roundtrip costs from packet to metrics, without DPDK: frames are patched
// in place, outside of what is measured. By thread CPU time, the median of short batches; run it
// under `valgrind --tool=callgrind --toggle-collect=work` for instructions.
#include "base/check.h"
#include "engine/engine.h"
#include "figure.h"
#include "l7/rules.h"
#include "metrics/metrics.h"
#include "tests/support/options.h"
#include "tests/support/packets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define START (UINT64_C(1700000000) * SECOND)
#define FRAME_MAX 512u
#define BATCHES 21u

#define REQUEST \
	"GET /item?id=4711 HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench/1.0\r\n" \
	"Accept: */*\r\n\r\n"
#define RESPONSE \
	"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: application/json\r\n" \
	"Content-Length: 16\r\n\r\n{\"answer\": 4711}"

enum kind { SYN, SYN_ACK, ACK, ASK, ANSWER, ASK_ACK, KIND_COUNT };

struct frame {
	uint8_t bytes[FRAME_MAX];
	uint32_t len;
	uint32_t takes; // sequence numbers
	uint8_t side;   // sender: 0 client, 1 server
};

struct bench {
	struct tl_engine *engine;
	struct tl_worker_metrics *metrics;
	uint32_t (*seqs)[2];
	uint32_t flows;
	uint64_t now_ns;
	uint64_t spent_ns;
	uint64_t packets;
	uint64_t records;
	struct frame frames[KIND_COUNT];
	uint8_t bytes[TL_BURST_MAX][FRAME_MAX];
	struct tl_chunk chunks[TL_BURST_MAX];
	struct tl_packet burst[TL_BURST_MAX];
};

static uint64_t all_records;

static void take_record(void *arg, const struct tl_roundtrip *record)
{
	struct bench *b = arg;

	b->records++;
	tl_worker_metrics_roundtrip(b->metrics, record);
}

static void make_frame(struct frame *frame, uint8_t side, uint8_t flags, const char *text)
{
	struct packet_spec spec = {
		.source = "10.0.0.1", .destination = "10.255.0.1", .source_port = 40000,
		.destination_port = 80, .flags = flags,
		.payload = tl_bytes(text, (uint32_t)strlen(text)),
	};

	if (side == 1) {
		spec = (struct packet_spec) {
			.source = "10.255.0.1", .destination = "10.0.0.1", .source_port = 80,
			.destination_port = 40000, .flags = flags, .payload = spec.payload,
		};
	}
	frame->side = side;
	frame->takes = (uint32_t)strlen(text) + ((flags & TL_TCP_SYN) != 0);
	frame->len = packet_write(&spec, frame->bytes);
	TL_ASSERT(frame->len <= FRAME_MAX);
}

static void make_frames(struct bench *b)
{
	make_frame(&b->frames[SYN], 0, TL_TCP_SYN, "");
	make_frame(&b->frames[SYN_ACK], 1, TL_TCP_SYN | TL_TCP_ACK, "");
	make_frame(&b->frames[ACK], 0, TL_TCP_ACK, "");
	make_frame(&b->frames[ASK], 0, TL_TCP_ACK | TL_TCP_PSH, REQUEST);
	make_frame(&b->frames[ANSWER], 1, TL_TCP_ACK | TL_TCP_PSH, RESPONSE);
	make_frame(&b->frames[ASK_ACK], 0, TL_TCP_ACK, "");
}

static void put32(uint8_t *at, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(at, &value, sizeof(value));
}

static void write_packet(struct bench *b, uint32_t slot, uint32_t kind, uint32_t flow)
{
	const struct frame *frame = &b->frames[kind];
	uint8_t *bytes = b->bytes[slot];
	uint32_t *seq = b->seqs[flow];

	memcpy(bytes, frame->bytes, frame->len);
	put32(bytes + (frame->side == 0 ? 26 : 30), 0x0a000000u + flow);
	put32(bytes + 38, seq[frame->side]);
	put32(bytes + 42, seq[!frame->side]);
	seq[frame->side] += frame->takes;
	b->chunks[slot] = (struct tl_chunk) {bytes, frame->len};
	b->burst[slot] = (struct tl_packet) {
		.chunks = &b->chunks[slot], .chunk_count = 1, .link_type = TL_LINK_ETHERNET,
		.len = frame->len, .original_len = frame->len, .time_ns = b->now_ns += 1000,
	};
}

// What is measured, and a name for tools that count instructions.
__attribute__((noipa)) static void work(struct bench *b, uint32_t count)
{
	tl_engine_burst(b->engine, b->burst, count);
	tl_worker_metrics_poll(b->metrics, b->engine);
}

static void flush(struct bench *b, uint32_t count)
{
	uint64_t begin = figure_clock_ns(CLOCK_THREAD_CPUTIME_ID);

	work(b, count);
	b->spent_ns += figure_clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
	b->packets += count;
}

// Each flow in turn sends the kinds.
static void pass(struct bench *b, const uint8_t *kinds, uint32_t kind_count)
{
	uint32_t filled = 0;

	for (uint32_t flow = 0; flow < b->flows; flow++) {
		for (uint32_t i = 0; i < kind_count; i++) {
			write_packet(b, filled++, kinds[i], flow);
			if (filled == TL_BURST_MAX) {
				flush(b, filled);
				filled = 0;
			}
		}
	}
	if (filled != 0)
		flush(b, filled);
}

static struct tl_engine *make_engine(struct bench *b, const struct tl_rules *rules)
{
	struct tl_engine_options options = test_engine_options(b->flows < 1024 ? 1024 : b->flows);

	options.flow.syn_max = 1 << 16;
	options.flow.tcp_idle_ns = 3600 * SECOND;
	options.flow.reorder_bytes_max = 16 << 20;
	options.l7.message_bytes_max = options.l7.carry_bytes_max = 64 << 20;
	return tl_engine_create(&options, rules, take_record, b);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const char *id, const char *of, uint32_t flows, const uint8_t *kinds,
		    uint32_t kind_count, uint32_t passes)
{
	static const uint8_t open[] = {SYN, SYN_ACK, ACK};
	static const struct tl_metrics_options metrics = {
		.series_max = 1 << 16, .series_per_family_max = 1 << 14, .label_values_max = 1024,
		.label_bytes_max = 128, .idle_ns = 600 * SECOND, .l4_enabled = true,
	};
	const struct tl_rules_spec spec = {0};
	struct bench *b = calloc(1, sizeof(*b));
	double batches[BATCHES];
	struct tl_rules *rules;
	char error[256];

	TL_ASSERT(b != NULL && tl_rules_create(&spec, &rules, error, sizeof(error)) == 0);
	b->flows = flows;
	b->now_ns = START;
	b->seqs = calloc(flows, sizeof(*b->seqs));
	b->engine = make_engine(b, rules);
	b->metrics = tl_worker_metrics_create(&metrics, 0);
	TL_ASSERT(b->seqs != NULL && b->engine != NULL && b->metrics != NULL);
	make_frames(b);
	pass(b, open, sizeof(open));
	pass(b, kinds, kind_count); // recognition
	uint64_t records = b->records;
	uint64_t packets = b->packets;
	for (uint32_t i = 0; i < BATCHES; i++) {
		uint64_t before = b->records;
		b->spent_ns = 0;
		for (uint32_t k = 0; k < passes; k++)
			pass(b, kinds, kind_count);
		batches[i] = (double)b->spent_ns / (double)(b->records - before);
	}
	qsort(batches, BATCHES, sizeof(*batches), by_value);
	records = b->records - records;
	packets = b->packets - packets;
	TL_ASSERT(records == (uint64_t)BATCHES * passes * flows);
	TL_ASSERT(packets == records * kind_count);
	figure(id, batches[BATCHES / 2], "ns", of);
	all_records += b->records;
	tl_engine_destroy(b->engine);
	tl_worker_metrics_destroy(b->metrics);
	tl_rules_destroy(rules);
	free(b->seqs);
	free(b);
}

int main(int argc, char **argv)
{
	static const uint8_t talk[] = {ASK, ANSWER};
	static const uint8_t talk_acked[] = {ASK, ANSWER, ASK_ACK};
	// An argument: few roundtrips, for a tool that counts instructions.
	bool is_quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
	uint32_t passes = is_quick ? 5 : argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 20;

	measure("engine_roundtrip_100",
		"engine and metrics per keep-alive HTTP roundtrip of 2 packets, 100 connections", 100,
		talk, sizeof(talk), passes * 10);
	if (argc > 1 && !is_quick) {
		figure("engine_roundtrips", (double)all_records, "1", "roundtrips in all, for tools");
		return 0;
	}
	measure("engine_roundtrip_acked", "the same with an ACK behind the response: 3 packets", 100,
		talk_acked, sizeof(talk_acked), passes * 10);
	measure("engine_roundtrip_10k", "2 packets, 10000 connections in turn", 10000, talk,
		sizeof(talk), 1);
	measure("engine_roundtrip_100k", "2 packets, 100000 connections in turn", 100000, talk,
		sizeof(talk), 1);
	return 0;
}
