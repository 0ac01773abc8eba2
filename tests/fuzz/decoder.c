// SPDX-License-Identifier: Apache-2.0
// Input: a registry id, then pieces of one connection: a byte of what happens (below), two bytes
// of length (little-endian), the bytes. All of it goes through a real engine as packets, with the
// protocol forced by a rule, and the counters must add up at the end.
#include "fuzz.h"

#include "engine/engine.h"
#include "l7/rules.h"
#include "tests/support/options.h"
#include "tests/support/packets.h"

#include <stdlib.h>

enum {
	PIECE_SERVER = 1u << 0, // sent by the server
	PIECE_LOST = 1u << 1,   // never seen
	PIECE_TWICE = 1u << 2,  // sent again later
	PIECE_PAUSE = 1u << 3,  // 300 ms pass first: holes are given up
	PIECE_FIN = 1u << 4,
	PIECE_RESET = 1u << 5,
	PIECE_LATE = 1u << 6,   // 70 s pass first: requests time out
};

#define PIECE_BYTES_MAX 16384u
#define PORT 7777u
#define SECOND UINT64_C(1000000000)

struct books {
	uint64_t records;
	uint64_t opened;
};

static void take(void *arg, const struct tl_roundtrip *record)
{
	struct books *books = (struct books *)arg;
	const struct tl_decoder *decoder = tl_decoder_at(record->protocol);
	const struct tl_bytes tails[] = {tl_roundtrip_request_tail(record),
					 tl_roundtrip_response_tail(record)};
	struct tl_value value;

	books->records++;
	if (record->request.seen != 0 && record->status != TL_STATUS_ONE_WAY)
		books->opened++;
	FUZZ_CHECK(decoder != NULL && record->status < TL_STATUS_COUNT);
	FUZZ_CHECK(record->duration_ns ==
		   record->request_ns + record->server_ns + record->response_ns);
	for (int i = 0; i < 2; i++) {
		uint32_t at = 0;
		while (tl_value_next(tails[i], &at, &value))
			FUZZ_CHECK(value.field < decoder->field_count);
		FUZZ_CHECK(at == tails[i].len);
	}
}

static struct tl_rules *rules_for(const struct tl_decoder *decoder)
{
	uint64_t port = PORT;
	const struct tl_rule_spec rule = {
		.name = "fuzz",
		.protocol = decoder->name,
		.ports = {.items = &port, .count = 1},
	};
	const struct tl_rules_spec spec = {.rules = &rule, .rule_count = 1, .redact = true};
	struct tl_rules *rules;
	char error[128];

	FUZZ_CHECK(tl_rules_create(&spec, &rules, error, sizeof(error)) == 0);
	return rules;
}

static struct tl_engine *engine_for(const struct tl_rules *rules, struct books *books)
{
	struct tl_engine_options options = test_engine_options(64);

	options.l7.exchanges_per_connection_max = 32;
	options.l7.message_bytes_max = options.l7.carry_bytes_max = 1u << 18;
	struct tl_engine *engine = tl_engine_create(&options, rules, take, books);
	FUZZ_CHECK(engine != NULL);
	return engine;
}

struct player {
	struct tl_engine *engine;
	bool is_udp;
	uint64_t now_ns;
	uint32_t sent[2];
	uint16_t ip_id;
};

static void send_packet(struct player *p, int lane, uint32_t back, uint8_t flags,
			struct tl_bytes payload)
{
	const char *const address[] = {"10.0.0.1", "10.0.0.2"};
	const struct packet_spec spec = {
		.time_ns = p->now_ns,
		.source = address[lane],
		.destination = address[!lane],
		.source_port = lane == 0 ? 40000 : PORT,
		.destination_port = lane == 0 ? PORT : 40000,
		.seq = p->sent[lane] - back,
		.ack = p->sent[!lane],
		.flags = flags,
		.is_udp = p->is_udp,
		.ip_id = ++p->ip_id,
		.payload = payload,
	};
	// An exact-size copy, so that a read beyond the packet is seen.
	uint8_t *bytes = (uint8_t *)malloc(PACKETS_HEADERS_MAX + payload.len);
	FUZZ_CHECK(bytes != NULL);
	uint32_t len = packet_write(&spec, bytes);
	bytes = (uint8_t *)realloc(bytes, len);
	FUZZ_CHECK(bytes != NULL);
	const struct tl_chunk chunk = {.data = bytes, .len = len};
	const struct tl_packet packet = {.chunks = &chunk, .chunk_count = 1,
					 .link_type = TL_LINK_ETHERNET, .len = len,
					 .original_len = len, .time_ns = p->now_ns};
	tl_engine_burst(p->engine, &packet, 1);
	free(bytes);
	p->now_ns += SECOND / 1000;
}

static void handshake(struct player *p)
{
	const struct tl_bytes none = tl_bytes(NULL, 0);

	p->sent[0] = 0xffffff00;
	p->sent[1] = 0x7fffff00;
	if (p->is_udp)
		return;
	send_packet(p, 0, 0, TL_TCP_SYN, none);
	p->sent[0]++;
	send_packet(p, 1, 0, TL_TCP_SYN | TL_TCP_ACK, none);
	p->sent[1]++;
	send_packet(p, 0, 0, TL_TCP_ACK, none);
}

static void play(struct player *p, uint8_t what, struct tl_bytes piece)
{
	int lane = (what & PIECE_SERVER) != 0;
	uint8_t flags = TL_TCP_ACK;

	if ((what & PIECE_PAUSE) != 0)
		p->now_ns += 3 * SECOND / 10;
	if ((what & PIECE_LATE) != 0)
		p->now_ns += 70 * SECOND;
	if ((what & PIECE_FIN) != 0)
		flags |= TL_TCP_FIN;
	if ((what & PIECE_RESET) != 0)
		flags |= TL_TCP_RST;
	if ((what & PIECE_LOST) == 0)
		send_packet(p, lane, 0, flags, piece);
	p->sent[lane] += piece.len + ((what & PIECE_FIN) != 0);
	if ((what & PIECE_TWICE) != 0)
		send_packet(p, lane, piece.len, TL_TCP_ACK, piece);
}

static void check_books(const struct tl_counters *c, const struct books *books)
{
	const uint64_t *at = c->at;

	FUZZ_CHECK(at[TL_COUNT_STREAM_BYTES] ==
		   at[TL_COUNT_STREAM_DECODED] + at[TL_COUNT_STREAM_SKIPPED] +
			   at[TL_COUNT_STREAM_IGNORED] + at[TL_COUNT_STREAM_BUFFERED]);
	FUZZ_CHECK(at[TL_COUNT_STREAM_BUFFERED] == 0);
	FUZZ_CHECK(at[TL_COUNT_REQUESTS_OPEN] == 0);
	FUZZ_CHECK(at[TL_COUNT_REQUESTS_OPENED] == books->opened);
	FUZZ_CHECK(at[TL_COUNT_RECORDS] == books->records);
	FUZZ_CHECK(at[TL_COUNT_DECODE_CONTRACT] == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct books books = {0};

	if (size < 1)
		return 0;
	const struct tl_decoder *decoder = tl_decoder_at(data[0] & 0x7f);
	if (decoder == NULL)
		return 0;
	bool udp = (decoder->over & TL_OVER_TCP) == 0 ||
		   ((decoder->over & TL_OVER_UDP) != 0 && (data[0] & 0x80) != 0);
	struct tl_rules *rules = rules_for(decoder);
	struct player p = {.engine = engine_for(rules, &books), .is_udp = udp,
			   .now_ns = 1000 * SECOND};
	handshake(&p);
	for (size_t at = 1; size - at >= 3;) {
		uint8_t what = data[at];
		uint32_t len = tl_load_le16(data + at + 1);
		at += 3;
		if (len > size - at)
			len = (uint32_t)(size - at);
		if (len > PIECE_BYTES_MAX)
			len = PIECE_BYTES_MAX;
		play(&p, what, tl_bytes(data + at, len));
		at += len;
	}
	tl_engine_finish(p.engine, TL_END_INPUT);
	check_books(tl_engine_counters(p.engine), &books);
	tl_engine_destroy(p.engine);
	tl_rules_destroy(rules);
	return 0;
}
