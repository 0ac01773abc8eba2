// SPDX-License-Identifier: Apache-2.0
#include "talk.h"

#include "base/check.h"
#include "engine/engine.h"
#include "figure.h"
#include "l7/rules.h"
#include "metrics/metrics.h"
#include "tests/support/options.h"
#include "tests/support/packets.h"

#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)
#define START (UINT64_C(1700000000) * SECOND)
#define FRAME_MAX (PACKETS_HEADERS_MAX + TALK_BYTES_MAX)
#define BATCHES 21u
#define BATCH_ROUNDTRIPS 20000u // about, in each batch
#define LONG_PACKETS 128u
#define QUICK_ROUNDTRIPS 4000u  // the same with --quick, in one batch

// Where a frame of IPv4 and TCP has what differs between connections.
#define AT_SOURCE 26u
#define AT_DESTINATION 30u
#define AT_SEQ 38u
#define AT_ACK 42u

struct frame {
	uint8_t bytes[FRAME_MAX];
	uint32_t len;
	uint32_t takes; // sequence numbers
	uint8_t side;
};

struct frames {
	struct frame list[TALK_PACKETS_MAX + 3];
	uint32_t count;
};

struct bench {
	struct tl_engine *engine;
	struct tl_worker_metrics *metrics;
	uint32_t (*seqs)[2]; // by connection
	uint32_t connections;
	uint64_t now_ns;
	uint64_t spent_ns;
	uint64_t records;
	uint32_t filled; // packets of the burst
	struct frames open;
	struct frames repeat;
	uint8_t bytes[TL_BURST_MAX][FRAME_MAX];
	struct tl_chunk chunks[TL_BURST_MAX];
	struct tl_packet burst[TL_BURST_MAX];
};

void talk_add(struct talk_text *text, const void *bytes, size_t len)
{
	TL_ASSERT(len <= sizeof(text->bytes) - text->len);
	memcpy(text->bytes + text->len, bytes, len);
	text->len += (uint32_t)len;
}

static void take_record(void *arg, const struct tl_roundtrip *record)
{
	struct bench *b = arg;

	b->records++;
	tl_worker_metrics_roundtrip(b->metrics, record);
}

static void add_frame(struct frames *frames, uint16_t port, uint8_t flags,
		      const struct talk_packet *packet)
{
	static const char *const hosts[] = {"10.0.0.1", "10.255.0.1"};
	const uint16_t ports[] = {40000, port};
	struct frame *frame = &frames->list[frames->count++];
	const struct packet_spec spec = {
		.source = hosts[packet->side], .destination = hosts[!packet->side],
		.source_port = ports[packet->side], .destination_port = ports[!packet->side],
		.flags = flags, .payload = tl_bytes(packet->bytes, packet->len),
	};

	TL_ASSERT(packet->len <= TALK_BYTES_MAX);
	frame->side = packet->side;
	frame->takes = packet->len + ((flags & TL_TCP_SYN) != 0);
	frame->len = packet_write(&spec, frame->bytes);
}

static void make_frames(struct bench *b, const struct talk *talk)
{
	static const struct talk_packet nothing[] = {{.side = TALK_CLIENT}, {.side = TALK_SERVER}};

	add_frame(&b->open, talk->port, TL_TCP_SYN, &nothing[TALK_CLIENT]);
	add_frame(&b->open, talk->port, TL_TCP_SYN | TL_TCP_ACK, &nothing[TALK_SERVER]);
	add_frame(&b->open, talk->port, TL_TCP_ACK, &nothing[TALK_CLIENT]);
	for (uint32_t i = 0; i < TALK_PACKETS_MAX && talk->open[i].len != 0; i++)
		add_frame(&b->open, talk->port, TL_TCP_ACK | TL_TCP_PSH, &talk->open[i]);
	for (uint32_t i = 0; i < TALK_PACKETS_MAX && talk->repeat[i].len != 0; i++)
		add_frame(&b->repeat, talk->port, TL_TCP_ACK | TL_TCP_PSH, &talk->repeat[i]);
}

static void put32(uint8_t *at, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(at, &value, sizeof(value));
}

static void write_packet(struct bench *b, const struct frame *frame, uint32_t connection)
{
	uint32_t slot = b->filled++;
	uint8_t *bytes = b->bytes[slot];
	uint32_t *seq = b->seqs[connection];

	memcpy(bytes, frame->bytes, frame->len);
	put32(bytes + (frame->side == TALK_CLIENT ? AT_SOURCE : AT_DESTINATION),
	      0x0a000000u + connection);
	put32(bytes + AT_SEQ, seq[frame->side]);
	put32(bytes + AT_ACK, seq[!frame->side]);
	seq[frame->side] += frame->takes;
	b->chunks[slot] = (struct tl_chunk) {bytes, frame->len};
	b->burst[slot] = (struct tl_packet) {
		.chunks = &b->chunks[slot], .chunk_count = 1, .link_type = TL_LINK_ETHERNET,
		.len = frame->len, .original_len = frame->len, .time_ns = b->now_ns += 1000,
	};
}

// What is measured, and a name for tools that count instructions.
__attribute__((noipa)) static void work(struct bench *b)
{
	tl_engine_burst(b->engine, b->burst, b->filled);
	tl_worker_metrics_poll(b->metrics, b->engine);
}

// The same for what is not: connections that begin, and recognition.
__attribute__((noipa)) static void warm_up(struct bench *b)
{
	tl_engine_burst(b->engine, b->burst, b->filled);
	tl_worker_metrics_poll(b->metrics, b->engine);
}

static void flush(struct bench *b, bool is_measured)
{
	if (b->filled == 0)
		return;
	uint64_t begin = figure_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	if (is_measured)
		work(b);
	else
		warm_up(b);
	b->spent_ns += figure_clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
	b->filled = 0;
}

// Each connection in turn sends the frames.
static void pass(struct bench *b, const struct frames *frames, bool is_measured)
{
	for (uint32_t connection = 0; connection < b->connections; connection++) {
		for (uint32_t i = 0; i < frames->count; i++) {
			write_packet(b, &frames->list[i], connection);
			if (b->filled == TL_BURST_MAX)
				flush(b, is_measured);
		}
	}
	flush(b, is_measured);
}

static struct tl_engine *make_engine(struct bench *b, const struct tl_rules *rules)
{
	uint32_t most = b->connections < 1024 ? 1024 : b->connections;
	struct tl_engine_options options = test_engine_options(most);

	options.flow.syn_max = 1 << 16;
	options.flow.tcp_idle_ns = 3600 * SECOND;
	options.flow.reorder_bytes_max = 16 << 20;
	options.l7.exchanges_max = most * 32;
	options.l7.message_bytes_max = options.l7.carry_bytes_max = 64 << 20;
	return tl_engine_create(&options, rules, take_record, b);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

// Gives the number of roundtrips; the median of ns per roundtrip in `ret_ns`.
static uint64_t run_batches(struct bench *b, const struct talk *talk, bool is_quick, double *ret_ns)
{
	// Long ones are repeated less often.
	uint32_t wanted = (is_quick ? QUICK_ROUNDTRIPS : BATCH_ROUNDTRIPS) /
			  (1 + b->repeat.count / LONG_PACKETS);
	uint32_t passes = wanted / (talk->connections * talk->roundtrips) + 1;
	uint32_t batch_count = is_quick ? 1 : BATCHES;
	uint64_t each = (uint64_t)passes * talk->connections * talk->roundtrips;
	double batches[BATCHES];

	for (uint32_t i = 0; i < batch_count; i++) {
		uint64_t before = b->records;
		b->spent_ns = 0;
		for (uint32_t k = 0; k < passes; k++)
			pass(b, &b->repeat, true);
		TL_ASSERT(b->records == before + each);
		batches[i] = (double)b->spent_ns / (double)each;
	}
	qsort(batches, batch_count, sizeof(*batches), by_value);
	*ret_ns = batches[batch_count / 2];
	return batch_count * each;
}

static void measure(const struct talk *talk, bool is_quick)
{
	static const struct tl_metrics_options metrics = {
		.series_max = 1 << 16, .series_per_family_max = 1 << 14, .label_values_max = 1024,
		.label_bytes_max = 128, .idle_ns = 600 * SECOND, .l4_enabled = true,
	};
	const struct tl_rules_spec spec = {0};
	struct bench *b = calloc(1, sizeof(*b));
	struct tl_rules *rules;
	char error[256];
	char text[256];
	double ns;

	TL_ASSERT(b != NULL && tl_rules_create(&spec, &rules, error, sizeof(error)) == 0);
	b->connections = talk->connections;
	b->now_ns = START;
	b->seqs = calloc(talk->connections, sizeof(*b->seqs));
	b->engine = make_engine(b, rules);
	b->metrics = tl_worker_metrics_create(&metrics, 0);
	TL_ASSERT(b->seqs != NULL && b->engine != NULL && b->metrics != NULL);
	make_frames(b, talk);
	pass(b, &b->open, false);
	pass(b, &b->repeat, false);
	uint64_t roundtrips = run_batches(b, talk, is_quick, &ns);
	if (is_quick) {
		(void)snprintf(text, sizeof(text), "%s_roundtrips", talk->id);
		figure(text, (double)roundtrips, "1", "roundtrips inside of work(), for tools");
	} else {
		figure(talk->id, ns, "ns", talk->of);
		(void)snprintf(text, sizeof(text), "%s_rate", talk->id);
		figure(text, 1000 / ns, "M/s", talk->of);
	}
	tl_engine_destroy(b->engine);
	tl_worker_metrics_destroy(b->metrics);
	tl_rules_destroy(rules);
	free(b->seqs);
	free(b);
}

int talk_main(const struct talk *talks, uint32_t count, int argc, char **argv)
{
	const char *only = NULL;
	bool is_quick = false;
	bool is_found = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0) {
			is_quick = true;
		} else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
			only = argv[++i];
		} else {
			(void)fprintf(stderr, "usage: %s [--quick] [--only ID]\n", argv[0]);
			return 2;
		}
	}
	for (uint32_t i = 0; i < count; i++) {
		if (only != NULL && strcmp(only, talks[i].id) != 0)
			continue;
		is_found = true;
		measure(&talks[i], is_quick);
	}
	if (!is_found)
		(void)fprintf(stderr, "%s: no talk %s\n", argv[0], only);
	return is_found ? 0 : 2;
}
