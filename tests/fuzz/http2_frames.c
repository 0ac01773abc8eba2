// SPDX-License-Identifier: Apache-2.0
// HTTP/2 by frames whose heads are right. Input: frames, each a byte of lane and stream (below), type,
// flags, two bytes of length (little-endian), the payload. The connection begins with the preface. The
// same frames are played twice, in packets that are cut elsewhere: unless the decoder gave up, the
// records must be the same. Their bytes are searched for frames too, as after a late join.
#include "fuzz.h"

#include "base/hash.h"
#include "engine/engine.h"
#include "l7/rules.h"
#include "protocols/http2/frame.h"
#include "tests/support/options.h"
#include "tests/support/packets.h"

#define PORT 7777u
#define SECOND UINT64_C(1000000000)
#define PAYLOAD_BYTES_MAX 2048u
#define FRAMES_MAX 64u

enum { OF_SERVER = 1u << 0, ON_CONNECTION = 1u << 1, IS_PUSHED = 1u << 2 }; // the rest: the stream

struct books {
	uint64_t records;
	uint64_t opened;
	uint64_t hash; // of all records, in any order
	uint64_t stopped;
};

struct player {
	struct tl_engine *engine;
	struct books books;
	uint64_t now_ns;
	uint32_t sent[TL_LANE_COUNT];
};

static void take(void *arg, const struct tl_roundtrip *record)
{
	struct player *p = (struct player *)arg;
	const struct tl_bytes tails[] = {tl_roundtrip_request_tail(record),
					 tl_roundtrip_response_tail(record)};
	uint64_t hash = tl_hash_mix(record->protocol, record->status * 256u + record->reason);

	hash = tl_hash_mix(hash, record->flags);
	hash = tl_hash_mix(hash + record->request.bytes, record->response.bytes);
	hash = tl_hash_mix(hash + record->request.body_bytes, record->response.body_bytes);
	for (int i = 0; i < 2; i++)
		for (uint32_t at = 0; at < tails[i].len; at++)
			hash = tl_hash_mix(hash + 1, tails[i].ptr[at]);
	p->books.hash += hash;
	p->books.records++;
	p->books.opened += record->request.seen != 0 && record->status != TL_STATUS_ONE_WAY;
}

static void send_packet(struct player *p, int lane, uint8_t flags, struct tl_bytes payload)
{
	static const char *const address[] = {"10.0.0.1", "10.0.0.2"};
	static uint8_t bytes[PACKETS_HEADERS_MAX + PAYLOAD_BYTES_MAX + 64];
	const struct packet_spec spec = {
		.time_ns = p->now_ns,
		.source = address[lane],
		.destination = address[!lane],
		.source_port = lane == 0 ? 40000 : PORT,
		.destination_port = lane == 0 ? PORT : 40000,
		.seq = p->sent[lane],
		.ack = p->sent[!lane],
		.flags = flags,
		.payload = payload,
	};
	const struct tl_chunk chunk = {.data = bytes, .len = packet_write(&spec, bytes)};
	const struct tl_packet packet = {.chunks = &chunk, .chunk_count = 1,
					 .link_type = TL_LINK_ETHERNET, .len = chunk.len,
					 .original_len = chunk.len, .time_ns = p->now_ns};

	tl_engine_burst(p->engine, &packet, 1);
	p->sent[lane] += payload.len + ((flags & TL_TCP_SYN) != 0);
}

// In two packets of one time, the first of `cut` bytes.
static void say(struct player *p, int lane, struct tl_bytes bytes, uint32_t cut)
{
	if (cut != 0 && cut < bytes.len) {
		send_packet(p, lane, TL_TCP_ACK, tl_bytes_first(bytes, cut));
		bytes = tl_bytes_from(bytes, cut);
	}
	if (bytes.len != 0)
		send_packet(p, lane, TL_TCP_ACK, bytes);
	p->now_ns += SECOND / 100;
}

static void say_frame(struct player *p, const uint8_t *in, struct tl_bytes payload, uint32_t cut)
{
	static uint8_t frame[FRAME_HEAD_BYTES + PAYLOAD_BYTES_MAX];
	uint32_t stream = (in[0] & ON_CONNECTION) != 0 ? 0 : (in[0] >> 3) * 2u + 1;

	if (stream != 0 && (in[0] & IS_PUSHED) != 0)
		stream++;
	frame[0] = 0;
	frame[1] = (uint8_t)(payload.len >> 8);
	frame[2] = (uint8_t)payload.len;
	frame[3] = in[1];
	frame[4] = in[2];
	frame[5] = frame[6] = frame[7] = 0;
	frame[8] = (uint8_t)stream;
	if (payload.len != 0)
		memcpy(frame + FRAME_HEAD_BYTES, payload.ptr, payload.len);
	say(p, in[0] & OF_SERVER, tl_bytes(frame, FRAME_HEAD_BYTES + payload.len), cut);
}

static void check_books(const struct player *p)
{
	const uint64_t *at = tl_engine_counters(p->engine)->at;

	FUZZ_CHECK(at[TL_COUNT_STREAM_BYTES] ==
		   at[TL_COUNT_STREAM_DECODED] + at[TL_COUNT_STREAM_SKIPPED] +
			   at[TL_COUNT_STREAM_IGNORED] + at[TL_COUNT_STREAM_BUFFERED]);
	FUZZ_CHECK(at[TL_COUNT_STREAM_BUFFERED] == 0 && at[TL_COUNT_REQUESTS_OPEN] == 0);
	FUZZ_CHECK(at[TL_COUNT_REQUESTS_OPENED] == p->books.opened);
	FUZZ_CHECK(at[TL_COUNT_RECORDS] == p->books.records);
	FUZZ_CHECK(at[TL_COUNT_DECODE_CONTRACT] == 0);
}

static struct tl_rules *make_rules(void)
{
	uint64_t port = PORT;
	const struct tl_rule_spec rule = {
		.name = "fuzz", .protocol = "http2", .ports = {.items = &port, .count = 1}};
	const struct tl_rules_spec spec = {.rules = &rule, .rule_count = 1};
	struct tl_rules *rules;
	char error[128];

	FUZZ_CHECK(tl_rules_create(&spec, &rules, error, sizeof(error)) == 0);
	return rules;
}

static struct books play(const struct tl_rules *rules, const uint8_t *data, size_t size, uint32_t step)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	struct tl_engine_options options = test_engine_options(64);
	struct player p = {.now_ns = 1000 * SECOND, .sent = {0xffffff00u, 0x7fffff00u}};
	const struct tl_bytes none = tl_bytes(NULL, 0);
	uint32_t cut = step;

	p.engine = tl_engine_create(&options, rules, take, &p);
	FUZZ_CHECK(p.engine != NULL);
	send_packet(&p, TL_CLIENT, TL_TCP_SYN, none);
	send_packet(&p, TL_SERVER, TL_TCP_SYN | TL_TCP_ACK, none);
	send_packet(&p, TL_CLIENT, TL_TCP_ACK, none);
	say(&p, TL_CLIENT, tl_bytes(preface, PREFACE_BYTES), step);
	for (uint32_t n = 0; n < FRAMES_MAX && size >= 5; n++) {
		uint32_t len = tl_load_le16(data + 3) % (PAYLOAD_BYTES_MAX + 1);
		if (len > size - 5)
			len = (uint32_t)size - 5;
		say_frame(&p, data, tl_bytes(data + 5, len), cut % (len + FRAME_HEAD_BYTES));
		cut += step;
		data += 5 + len;
		size -= 5 + len;
	}
	tl_engine_finish(p.engine, TL_END_INPUT);
	check_books(&p);
	p.books.stopped = tl_engine_counters(p.engine)->at[TL_COUNT_DECODE_STOPPED];
	tl_engine_destroy(p.engine);
	return p.books;
}

static void search(enum tl_lane lane, struct tl_bytes bytes)
{
	bool says_lane;
	uint32_t at = tl_http2_find(lane, bytes, false);
	uint32_t sure = tl_http2_find(lane, bytes, true);

	FUZZ_CHECK(at <= bytes.len && sure <= bytes.len && at <= sure);
	if (at < bytes.len && bytes.ptr[at] != 'P')
		FUZZ_CHECK(tl_http2_chain(lane, tl_bytes_from(bytes, at), &says_lane) >= TL_MATCH_LIKELY);
	if (sure < bytes.len && bytes.ptr[sure] != 'P')
		FUZZ_CHECK(tl_http2_chain(lane, tl_bytes_from(bytes, sure), &says_lane) >=
				   TL_MATCH_LIKELY && says_lane);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 5 || size > UINT16_MAX)
		return 0;
	struct tl_bytes bytes = tl_bytes(data, (uint32_t)size);
	search(TL_CLIENT, bytes);
	search(TL_SERVER, bytes);
	struct tl_rules *rules = make_rules();
	struct books whole = play(rules, data, size, 0);
	struct books cut = play(rules, data, size, 3 + data[0]);
	// Behind a frame that cannot be, detection looks for a new beginning: where a packet begins.
	FUZZ_CHECK((whole.stopped != 0) == (cut.stopped != 0));
	if (whole.stopped == 0)
		FUZZ_CHECK(whole.records == cut.records && whole.hash == cut.hash);
	tl_rules_destroy(rules);
	return 0;
}
