// SPDX-License-Identifier: Apache-2.0
// Any decoder behind the whole engine. Input: port (index) and whether it is UDP, then pieces:
// lane and kind (bytes, or a hole in the capture), length, bytes. Whatever comes, the books close,
// the decoder keeps its contract and records are whole.
#include "fuzz.h"

#include "engine/engine.h"
#include "l7/rules.h"
#include "tests/support/options.h"
#include "tests/support/packets.h"

#define PIECE_BYTES_MAX 8192u
#define PIECES_MAX 256u
#define SECOND_NS 1000000000ull

enum { PIECE_SERVER = 1, PIECE_HOLE = 2, PIECE_REPEAT = 4 };

static const uint16_t ports[] = {80, 53, 5353, 9999};

struct run {
	struct tl_engine *engine;
	uint64_t now_ns;
	uint32_t sent[TL_LANE_COUNT];
	uint64_t opened;
	uint64_t records;
	uint16_t port;
	bool is_udp;
};

static void take_record(void *arg, const struct tl_roundtrip *r)
{
	struct run *run = (struct run *)arg;
	const struct tl_decoder *decoder = tl_decoder_at(r->protocol);
	struct tl_value value;
	uint32_t at = 0;

	FUZZ_CHECK(decoder != NULL);
	FUZZ_CHECK(r->duration_ns == r->request_ns + r->server_ns + r->response_ns);
	FUZZ_CHECK(r->size % 8 == 0 &&
		   r->size >= sizeof(*r) + r->request.tail_len + r->response.tail_len);
	while (tl_value_next(tl_roundtrip_request_tail(r), &at, &value))
		FUZZ_CHECK(value.field < decoder->field_count);
	at = 0;
	while (tl_value_next(tl_roundtrip_response_tail(r), &at, &value))
		FUZZ_CHECK(value.field < decoder->field_count);
	run->opened += r->request.seen != 0 && r->status != TL_STATUS_ONE_WAY;
	run->records++;
}

static void send_packet(struct run *run, uint8_t lane, uint8_t flags, struct tl_bytes payload)
{
	static uint8_t bytes[PIECE_BYTES_MAX + PACKETS_HEADERS_MAX];
	bool is_client = lane == TL_CLIENT;
	const struct packet_spec spec = {
		.time_ns = run->now_ns,
		.source = is_client ? "10.1.0.1" : "10.1.0.2",
		.destination = is_client ? "10.1.0.2" : "10.1.0.1",
		.source_port = is_client ? 40001 : run->port,
		.destination_port = is_client ? run->port : 40001,
		.seq = run->sent[lane],
		.ack = run->sent[!lane],
		.flags = flags,
		.is_udp = run->is_udp,
		.payload = payload,
	};
	const struct tl_chunk chunk = {.data = bytes, .len = packet_write(&spec, bytes)};
	const struct tl_packet packet = {
		.chunks = &chunk,
		.chunk_count = 1,
		.link_type = TL_LINK_ETHERNET,
		.len = chunk.len,
		.original_len = chunk.len,
		.time_ns = run->now_ns,
	};
	tl_engine_burst(run->engine, &packet, 1);
	run->now_ns += 1000000;
}

static void handshake(struct run *run)
{
	const struct tl_bytes none = tl_bytes(NULL, 0);

	send_packet(run, TL_CLIENT, TL_TCP_SYN, none);
	run->sent[TL_CLIENT]++;
	send_packet(run, TL_SERVER, TL_TCP_SYN | TL_TCP_ACK, none);
	run->sent[TL_SERVER]++;
	send_packet(run, TL_CLIENT, TL_TCP_ACK, none);
}

static void pieces(struct run *run, struct tl_cursor *c)
{
	for (uint32_t i = 0; i < PIECES_MAX && tl_cursor_left(c) > 3; i++) {
		uint8_t kind = tl_cursor_u8(c);
		uint32_t len = tl_cursor_be16(c) % (PIECE_BYTES_MAX + 1);
		uint8_t lane = kind & PIECE_SERVER;
		if (len > tl_cursor_left(c))
			len = tl_cursor_left(c);
		struct tl_bytes payload = tl_cursor_take(c, len);
		if ((kind & PIECE_HOLE) == 0)
			send_packet(run, lane, TL_TCP_ACK | TL_TCP_PSH, payload);
		if ((kind & PIECE_REPEAT) != 0)
			send_packet(run, lane, TL_TCP_ACK | TL_TCP_PSH, payload);
		run->sent[lane] += len;
	}
}

static void check_books(const struct run *run)
{
	const uint64_t *at = tl_engine_counters(run->engine)->at;

	FUZZ_CHECK(at[TL_COUNT_DECODE_CONTRACT] == 0);
	FUZZ_CHECK(at[TL_COUNT_STREAM_BYTES] ==
		   at[TL_COUNT_STREAM_DECODED] + at[TL_COUNT_STREAM_SKIPPED] +
			   at[TL_COUNT_STREAM_IGNORED] + at[TL_COUNT_STREAM_BUFFERED]);
	FUZZ_CHECK(at[TL_COUNT_STREAM_BUFFERED] == 0);
	FUZZ_CHECK(at[TL_COUNT_REQUESTS_OPEN] == 0);
	FUZZ_CHECK(at[TL_COUNT_REQUESTS_OPENED] == run->opened);
	FUZZ_CHECK(at[TL_COUNT_RECORDS] == run->records);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tl_engine_options options = test_engine_options(16);

	options.flow.duplicate_ns = 100; // pieces that follow closely are none
	options.l7.exchanges_max = 2048;
	static struct tl_rules *rules;
	struct run run = {.now_ns = 1700000000 * SECOND_NS, .sent = {0xffffff00u, 0x7fffff00u}};
	struct tl_cursor c = tl_cursor(tl_bytes(data, size < UINT16_MAX ? (uint32_t)size : 0));
	char error[100];

	if (size < 2 || size > UINT16_MAX)
		return 0;
	const struct tl_rules_spec spec = {.detect = true};
	if (rules == NULL)
		FUZZ_CHECK(tl_rules_create(&spec, &rules, error, sizeof(error)) == 0);
	run.port = ports[tl_cursor_u8(&c) % (sizeof(ports) / sizeof(ports[0]))];
	run.is_udp = (tl_cursor_u8(&c) & 1) != 0;
	run.engine = tl_engine_create(&options, rules, take_record, &run);
	FUZZ_CHECK(run.engine != NULL);
	if (!run.is_udp)
		handshake(&run);
	pieces(&run, &c);
	tl_engine_finish(run.engine, TL_END_INPUT);
	check_books(&run);
	tl_engine_destroy(run.engine);
	return 0;
}
