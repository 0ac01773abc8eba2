// SPDX-License-Identifier: Apache-2.0
// The engine's own decisions: time, limits, attempts, verdicts, UDP. Decoders are the recorder.
#include "base/check.h"
#include "tests/support/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define C CLIENT_SIDE
#define S SERVER_SIDE
#define ACK TL_TCP_ACK
#define PUSH (TL_TCP_ACK | TL_TCP_PSH)

static int setup(void **state)
{
	struct wire *w = malloc(sizeof(*w));
	wire_open(w, NULL);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	wire_close(*state);
	free(*state);
	return 0;
}

static void send_udp(struct wire *w, uint8_t side, uint16_t ip_id, const char *payload)
{
	struct packet_spec spec = {
		.time_ns = w->now_ns,
		.is_udp = true,
		.source = side == C ? "fd00::2" : "fd00::1",
		.destination = side == C ? "fd00::1" : "fd00::2",
		.source_port = side == C ? 50000 : 53,
		.destination_port = side == C ? 53 : 50000,
		.ip_id = ip_id,
		.payload = tl_bytes_of(payload),
	};
	wire_packet(w, &spec);
	w->now_ns += 10000;
}

static void udp_conversation(void **state)
{
	struct wire *w = *state;
	send_udp(w, C, 0, "query");
	send_udp(w, C, 0, "query"); // a copy
	send_udp(w, S, 0, "answer");
	w->now_ns += 5 * SECOND;
	send_udp(w, C, 0, "query"); // sent again
	assert_int_equal(recorder_at(0)->datagrams, 3);
	assert_int_equal(wire_count(w, TL_COUNT_DUPLICATES_UDP), 1);
	assert_int_equal(wire_count(w, TL_COUNT_UDP_PACKETS), 3);
	assert_int_equal(wire_count(w, TL_COUNT_UDP_ACTIVE), 1);
	wire_wait(w, 100 * SECOND);
	assert_int_equal(wire_count(w, TL_COUNT_UDP_ACTIVE), 0);
	assert_int_equal(wire_count(w, TL_COUNT_UDP_EXPIRED), 1);
	assert_int_equal(recorder_at(0)->end, TL_END_TIMEOUT);
	assert_int_equal(recorder_at(0)->end_ns, START + 5 * SECOND + 30000 + 60 * SECOND);
	assert_int_equal(recorder_at(0)->identity.server_port, 53);
	assert_int_equal(recorder_at(0)->identity.ip_version, 6);
}

// Whether the wheel or the next packet notices it: silence ends a connection at its deadline.
static void silence_ends_a_flow_at_its_deadline(void **state)
{
	struct wire *w = *state;
	for (uint32_t by_wheel = 0; by_wheel < 2; by_wheel++) {
		wire_close(w);
		wire_open(w, NULL);
		wire_handshake(w);
		recorder_answers.timeout_ns = 10 * SECOND;
		wire_send(w, C, PUSH, 1, 1, "one");
		uint64_t last = w->now_ns - 10000;
		if (by_wheel != 0)
			wire_wait(w, 400 * SECOND);
		w->now_ns = last + 7200 * SECOND; // two hours of silence are no error
		wire_send(w, C, PUSH, 4, 1, "two");
		assert_int_equal(recorder_count(), 2);
		assert_true(recorder_at(0)->is_closed);
		assert_int_equal(recorder_at(0)->end, TL_END_TIMEOUT);
		assert_int_equal(recorder_at(0)->end_ns, last + 300 * SECOND);
		assert_int_equal(recorder_at(0)->expired, 1);
		assert_int_equal(recorder_at(0)->expired_ns, last + 10 * SECOND);
		assert_int_equal(wire_count(w, TL_COUNT_TCP_EXPIRED), 1);
		assert_int_equal(recorder_at(1)->len[C], 3);
		tl_engine_finish(w->engine, TL_END_INPUT);
		assert_true(recorder_at(1)->identity.is_late_join);
	}
}

static void send_other(struct wire *w, uint16_t port)
{
	w->client_port = port;
	wire_send(w, C, PUSH, 1, 1, "x");
	w->client_port = CLIENT_PORT;
}

static void a_wrong_stamp_expires_nothing(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "one");
	uint64_t before = w->now_ns;
	w->now_ns += UINT64_C(500000) * SECOND;
	send_other(w, 1234);
	assert_int_equal(wire_count(w, TL_COUNT_CLOCK_JUMPS), 1);
	w->now_ns = before;
	wire_send(w, C, PUSH, 4, 1, "two");
	assert_int_equal(tl_engine_clock(w->engine), before);
	assert_int_equal(recorder_at(0)->len[C], 6);
	// A row of them is believed.
	w->now_ns += 100000 * SECOND;
	for (uint16_t i = 0; i < 40; i++)
		send_other(w, (uint16_t)(2000 + i));
	assert_int_equal(wire_count(w, TL_COUNT_CLOCK_JUMPS), 2);
	assert_true(recorder_at(0)->is_closed);
	w->now_ns = before;
	send_other(w, 3000);
	assert_true(wire_count(w, TL_COUNT_CLOCK_BACKWARD) >= 1);
	assert_true(tl_engine_clock(w->engine) > before);
}

static void attempts_fail_by_cause(void **state)
{
	struct wire *w = *state;
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	wire_send(w, S, TL_TCP_RST | ACK, 0, 1, NULL);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_FAIL_REFUSED), 1);
	w->client_port = 41000; // nobody answers, with two tries more
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	w->now_ns += SECOND;
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	w->now_ns += 2 * SECOND;
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RETRANSMITTED_SYN), 2);
	w->client_port = 42000; // the client resets what was answered
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	wire_send(w, S, TL_TCP_SYN | ACK, 0, 1, NULL);
	wire_send(w, C, TL_TCP_RST, 1, 0, NULL);
	w->client_port = 43000; // or never completes it
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	wire_send(w, S, TL_TCP_SYN | ACK, 0, 1, NULL);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_FAIL_CLIENT), 1);
	wire_wait(w, 100 * SECOND);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_FAIL_NO_ANSWER), 1);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_FAIL_CLIENT), 2);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_FAIL_REFUSED), 1);
	assert_int_equal(wire_count(w, TL_COUNT_FLOWS_TCP), 0);
	assert_int_equal(wire_count(w, TL_COUNT_SYN_ONLY), 4);
}

struct rtt {
	uint32_t calls;
	uint64_t client_ns, server_ns;
};

static void take_rtt(void *arg, const struct tl_flow_identity *flow, uint64_t client_ns,
		     uint64_t server_ns)
{
	struct rtt *rtt = arg;
	assert_int_equal(flow->server_port, SERVER_PORT);
	rtt->calls++;
	rtt->client_ns = client_ns;
	rtt->server_ns = server_ns;
}

static void round_trip_time_is_split_at_the_tap(void **state)
{
	struct wire *w = *state;
	struct rtt rtt = {0};
	tl_engine_on_rtt(w->engine, take_rtt, &rtt);
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	w->now_ns = START + 30 * MS;
	wire_send(w, S, TL_TCP_SYN | ACK, 0, 1, NULL);
	w->now_ns = START + 31 * MS;
	wire_send(w, C, ACK, 1, 1, NULL);
	assert_int_equal(rtt.calls, 1);
	assert_int_equal(rtt.server_ns, 30 * MS);
	assert_int_equal(rtt.client_ns, 1 * MS);
	w->client_port = 41000; // a handshake with a repeat measures nothing
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	w->now_ns += SECOND;
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	wire_send(w, S, TL_TCP_SYN | ACK, 0, 1, NULL);
	wire_send(w, C, ACK, 1, 1, NULL);
	assert_int_equal(rtt.calls, 1);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_HANDSHAKES), 2);
}

static void a_flood_of_syns_harms_no_flow(void **state)
{
	struct wire *w = *state;
	char address[32];
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "before ");
	for (uint32_t i = 0; i < 20000; i++) {
		(void)snprintf(address, sizeof(address), "172.16.%u.%u", i >> 8 & 0xff, i & 0xff);
		struct packet_spec spec = {
			.time_ns = w->now_ns += 1000,
			.source = address,
			.destination = "10.0.0.1",
			.source_port = (uint16_t)(1024 + i % 60000),
			.destination_port = SERVER_PORT,
			.seq = i * 7919,
			.flags = TL_TCP_SYN,
			.ip_id = (uint16_t)i,
		};
		wire_packet(w, &spec);
	}
	wire_send(w, C, PUSH, 8, 1, "after");
	assert_int_equal(recorder_at(0)->len[C], 12);
	assert_int_equal(wire_count(w, TL_COUNT_FLOWS_EVICTED), 0);
	assert_int_equal(wire_count(w, TL_COUNT_FLOWS_TCP), 1);
	assert_int_equal(wire_count(w, TL_COUNT_SYN_ONLY_EVICTED), 20000 - 1024);
	// A connection can be made during the flood.
	w->client_port = 44444;
	wire_handshake(w);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_HANDSHAKES), 2);
}

static void a_full_table_gives_up_silent_flows_only(void **state)
{
	struct wire *w = *state;
	struct tl_engine_options options = wire_options();
	options.flow.flows_max = 16;
	wire_close(w);
	wire_open(w, &options);
	for (uint16_t i = 0; i < 20; i++)
		send_other(w, (uint16_t)(1000 + i));
	assert_int_equal(wire_count(w, TL_COUNT_DROP_FLOW_TABLE), 4);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_ACTIVE), 16);
	w->now_ns += 2 * SECOND;
	for (uint16_t i = 0; i < 15; i++) // all but one go on
		send_other(w, (uint16_t)(1001 + i));
	send_other(w, 2000);
	assert_int_equal(wire_count(w, TL_COUNT_FLOWS_EVICTED), 1);
	assert_int_equal(recorder_at(0)->end, TL_END_EVICTED);
	assert_true(recorder_at(0)->is_closed);
	tl_engine_finish(w->engine, TL_END_INPUT);
	assert_int_equal(wire_count(w, TL_COUNT_PACKETS_OFFERED),
			 wire_count(w, TL_COUNT_PACKETS_PROCESSED) +
				 wire_count(w, TL_COUNT_DROP_FLOW_TABLE));
}

static uint64_t flows_of(struct wire *w, uint16_t verdict, uint64_t *ret_bytes)
{
	uint32_t count;
	const struct tl_verdict_count *counts = tl_engine_verdicts(w->engine, &count);
	uint32_t index = verdict >= TL_VERDICT_BASE
				 ? count - TL_VERDICT_COUNT + verdict - TL_VERDICT_BASE
				 : verdict;
	*ret_bytes = counts[index].bytes;
	return counts[index].flows;
}

static void bytes_are_booked_to_the_final_verdict(void **state)
{
	struct wire *w = *state;
	uint64_t bytes;
	wire_handshake(w);
	assert_int_equal(flows_of(w, TL_VERDICT_NO_PAYLOAD, &bytes), 1);
	wire_send(w, C, PUSH, 1, 1, "12345");
	assert_int_equal(flows_of(w, TL_VERDICT_NO_PAYLOAD, &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(flows_of(w, TL_VERDICT_UNDECIDED, &bytes), 1);
	assert_int_equal(bytes, 5);
	recorder_answers.verdict = 2;
	wire_send(w, C, PUSH, 6, 1, "678");
	assert_int_equal(flows_of(w, 2, &bytes), 1);
	assert_int_equal(bytes, 8);
	assert_int_equal(flows_of(w, TL_VERDICT_UNDECIDED, &bytes), 0);
	assert_int_equal(bytes, 0);
	recorder_answers.refuses = true;
	send_other(w, 1000);
	assert_int_equal(flows_of(w, TL_VERDICT_IGNORED, &bytes), 1);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_IGNORED), 1);
}

static void idle_decoding_state_is_released(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "one");
	recorder_answers.is_idle = true;
	wire_wait(w, 3 * SECOND);
	assert_false(recorder_at(0)->is_closed);
	wire_wait(w, 5 * SECOND);
	assert_true(recorder_at(0)->is_closed);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_ACTIVE), 1);
	wire_send(w, C, PUSH, 4, 1, "two");
	assert_int_equal(recorder_count(), 2);
	assert_int_equal(recorder_at(1)->len[C], 3);
}

static void the_end_flushes_in_order_of_creation(void **state)
{
	struct wire *w = *state;
	for (uint16_t i = 0; i < 200; i++)
		send_other(w, (uint16_t)(10000 + i * 37 % 200));
	recorder_answers.timeout_ns = 0;
	tl_engine_finish(w->engine, TL_END_INPUT);
	assert_int_equal(recorder_count(), 200);
	for (uint16_t i = 0; i < 200; i++) {
		assert_int_equal(recorder_at(i)->identity.client_port, 10000 + i * 37 % 200);
		assert_int_equal(recorder_at(i)->end, TL_END_INPUT);
	}
}

static void closed_flows_swallow_stray_packets(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "q");
	wire_send(w, S, TL_TCP_RST, 1, 0, NULL);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_ACTIVE), 0);
	wire_send(w, C, PUSH, 1, 1, "q");
	wire_send(w, C, ACK, 2, 1, NULL);
	assert_int_equal(recorder_count(), 1);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_ACTIVE), 0);
	assert_int_equal(wire_count(w, TL_COUNT_FLOWS_TCP), 1);
}

// Whatever a peer sends: no assertion fails, the books close, everything is given back.
static void random_segments_keep_the_books(void **state)
{
	struct wire *w = *state;
	static const uint8_t flags[8] = {ACK, PUSH, PUSH, PUSH, ACK, ACK | TL_TCP_FIN, TL_TCP_SYN,
					 TL_TCP_SYN | ACK};
	static char body[3000];
	struct tl_engine_options options = wire_options();
	uint32_t r = 2463534242u;

	memset(body, 'x', sizeof(body) - 1);
	options.flow.flows_max = 8;
	options.flow.reorder_flow_bytes_max = 20000;
	options.flow.reorder_bytes_max = 40000;
	for (uint32_t round = 0; round < 300; round++) {
		wire_close(w);
		wire_open(w, &options);
		w->isn[C] = round * 0x9e3779b1u;
		for (uint32_t n = 0; n < 300; n++) {
			r ^= r << 13, r ^= r >> 17, r ^= r << 5;
			uint32_t seq = r >> 3 & 0x1fff;
			uint8_t bits = (r & 0x1f0000) == 0 ? TL_TCP_RST : flags[r >> 24 & 7];
			uint32_t len = (r & 3) == 0 ? 0 : r >> 5 & 0x7ff;
			w->client_port = (uint16_t)(CLIENT_PORT + (r >> 13 & 15));
			if ((r & 0xff00000) == 0)
				seq += r;
			wire_send(w, r >> 12 & 1, bits, seq, r >> 9 & 0x1fff,
				  len == 0 ? NULL : body + sizeof(body) - 1 - len);
			recorder_answers.skip[0] = r & 0x3000;
			w->now_ns += (r & 0x7c00) == 0 ? 100 * SECOND : r >> 10 & 0x1ffffff;
		}
		tl_engine_finish(w->engine, TL_END_INPUT);
		assert_int_equal(wire_count(w, TL_COUNT_TCP_ACTIVE), 0);
		assert_int_equal(wire_count(w, TL_COUNT_STREAM_BYTES),
				 wire_count(w, TL_COUNT_STREAM_DECODED) +
					 wire_count(w, TL_COUNT_STREAM_SKIPPED) +
					 wire_count(w, TL_COUNT_STREAM_IGNORED));
		uint64_t lost = 0;
		for (uint32_t i = 0; i < recorder_count(); i++) {
			assert_true(recorder_at(i)->is_closed);
			lost += recorder_at(i)->lost[0] + recorder_at(i)->lost[1];
		}
		assert_int_equal(wire_count(w, TL_COUNT_STREAM_LOST), lost);
	}
}

// One packet of a tenant, whose label is put between the headers; all tenants use the same addresses.
static void send_of_tenant(struct wire *w, uint32_t label, uint8_t side, uint8_t flags, uint32_t seq,
			   uint32_t ack, const char *payload)
{
	struct packet_spec spec = {
		.time_ns = w->now_ns,
		.source = side == C ? "10.0.0.2" : "10.0.0.1",
		.destination = side == C ? "10.0.0.1" : "10.0.0.2",
		.source_port = side == C ? CLIENT_PORT : SERVER_PORT,
		.destination_port = side == C ? SERVER_PORT : CLIENT_PORT,
		.seq = label * 1000 + seq,
		.ack = (flags & ACK) != 0 ? label * 1000 + ack : 0,
		.flags = flags,
		.ip_id = w->ip_id++,
		.payload = payload != NULL ? tl_bytes_of(payload) : tl_bytes(NULL, 0),
	};
	uint8_t bytes[PACKETS_HEADERS_MAX + 64];
	uint32_t len = packet_write(&spec, bytes) + 4;
	const struct tl_chunk chunk = {.data = bytes, .len = len};
	const struct tl_packet packet = {.chunks = &chunk, .chunk_count = 1,
					 .link_type = TL_LINK_ETHERNET, .len = len,
					 .original_len = len, .time_ns = w->now_ns};

	memmove(bytes + 18, bytes + 14, len - 18);
	bytes[12] = 0x88;
	bytes[13] = 0x47;
	bytes[14] = (uint8_t)(label >> 12);
	bytes[15] = (uint8_t)(label >> 4);
	bytes[16] = (uint8_t)(label << 4 | 1);
	bytes[17] = 64;
	tl_engine_burst(w->engine, &packet, 1);
	w->now_ns += 10000;
}

static void tenants_are_told_apart_on_request(void **state)
{
	struct wire *w = *state;
	struct tl_engine_options options = wire_options();
	static const uint32_t labels[] = {100, 200};

	options.flow.tunnel_in_key = true;
	wire_close(w);
	wire_open(w, &options);
	for (uint32_t i = 0; i < 2; i++)
		send_of_tenant(w, labels[i], C, TL_TCP_SYN, 0, 0, NULL);
	for (uint32_t i = 0; i < 2; i++)
		send_of_tenant(w, labels[i], S, TL_TCP_SYN | ACK, 0, 1, NULL);
	for (uint32_t i = 0; i < 2; i++)
		send_of_tenant(w, labels[i], C, PUSH, 1, 1, i == 0 ? "one" : "other");
	for (uint32_t i = 0; i < 2; i++)
		send_of_tenant(w, labels[i], S, PUSH, 1, i == 0 ? 4 : 6, i == 0 ? "answer" : "reply");
	assert_int_equal(wire_count(w, TL_COUNT_TCP_HANDSHAKES), 2);
	assert_int_equal(recorder_count(), 2);
	assert_int_equal(recorder_at(0)->len[C], 3);
	assert_int_equal(recorder_at(0)->len[S], 6);
	assert_int_equal(recorder_at(1)->len[C], 5);
	assert_int_equal(recorder_at(1)->len[S], 5);
	assert_memory_equal(recorder_at(1)->bytes[C], "other", 5);
	tl_engine_finish(w->engine, TL_END_INPUT);
	assert_int_equal(recorder_at(0)->identity.outer.tunnel_id, 100);
	assert_int_equal(recorder_at(1)->identity.outer.tunnel_id, 200);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_ACTIVE), 0);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(udp_conversation),
		ROW(silence_ends_a_flow_at_its_deadline),
		ROW(a_wrong_stamp_expires_nothing),
		ROW(attempts_fail_by_cause),
		ROW(round_trip_time_is_split_at_the_tap),
		ROW(a_flood_of_syns_harms_no_flow),
		ROW(a_full_table_gives_up_silent_flows_only),
		ROW(bytes_are_booked_to_the_final_verdict),
		ROW(idle_decoding_state_is_released),
		ROW(the_end_flushes_in_order_of_creation),
		ROW(closed_flows_swallow_stray_packets),
		ROW(tenants_are_told_apart_on_request),
		ROW(random_segments_keep_the_books),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
