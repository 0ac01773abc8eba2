// SPDX-License-Identifier: Apache-2.0
// TCP as a tap sees it, through the whole engine, with a recorder in the decoders' place: what was
// handed on, byte for byte and in which order.
#include "base/check.h"
#include "tests/support/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define C CLIENT_SIDE
#define S SERVER_SIDE
#define ACK TL_TCP_ACK
#define PUSH (TL_TCP_ACK | TL_TCP_PSH)
#define FIN (TL_TCP_ACK | TL_TCP_FIN)

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

static void assert_bytes(uint32_t conn, uint8_t side, const char *want)
{
	const struct recording *r = recorder_at(conn);
	assert_int_equal(r->len[side], strlen(want));
	if (*want != '\0')
		assert_memory_equal(r->bytes[side], want, strlen(want));
}

static void assert_log(uint32_t conn, const char *want)
{
	assert_string_equal(recorder_at(conn)->log, want);
}

// Every test ends here: all bytes of the books are somewhere, nothing is left open.
static void finish(struct wire *w)
{
	tl_engine_finish(w->engine, TL_END_INPUT);
	uint64_t used = wire_count(w, TL_COUNT_STREAM_DECODED) +
			wire_count(w, TL_COUNT_STREAM_SKIPPED) +
			wire_count(w, TL_COUNT_STREAM_IGNORED);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_BYTES), used);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_ACTIVE), 0);
	uint64_t lost = 0;
	for (uint32_t i = 0; i < recorder_count(); i++) {
		assert_true(recorder_at(i)->is_closed);
		lost += recorder_at(i)->lost[0] + recorder_at(i)->lost[1];
	}
	if (wire_count(w, TL_COUNT_STREAM_IGNORED) == 0)
		assert_int_equal(wire_count(w, TL_COUNT_STREAM_LOST), lost);
}

static void plain_conversation(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "hello");
	wire_send(w, S, PUSH, 1, 6, "world!");
	wire_send(w, C, FIN, 6, 7, NULL);
	wire_send(w, S, FIN, 7, 7, NULL);
	wire_send(w, C, ACK, 7, 8, NULL);
	assert_log(0, "1:5 0:6 1. 0. ");
	assert_true(recorder_at(0)->is_closed);
	assert_int_equal(recorder_at(0)->end, TL_END_FIN);
	assert_true(recorder_at(0)->identity.client_is_sure);
	assert_int_equal(recorder_at(0)->identity.client_port, CLIENT_PORT);
	assert_int_equal(recorder_at(0)->identity.rtt_us, 20);
	assert_false(recorder_at(0)->identity.is_late_join);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_HANDSHAKES), 1);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_PACKETS), 8);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RETRANSMITTED), 0);
	finish(w);
	assert_int_equal(recorder_count(), 1);
	assert_int_equal(wire_count(w, TL_COUNT_FLOWS_TCP), 1);
}

static void swapped_segments(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "GET");
	wire_send(w, S, PUSH, 4, 4, "def");
	wire_send(w, S, PUSH, 1, 4, "abc");
	assert_bytes(0, S, "abcdef");
	assert_int_equal(wire_count(w, TL_COUNT_TCP_OUT_OF_ORDER), 1);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RETRANSMITTED), 0);
	assert_int_equal(recorder_at(0)->stall_ns[S], 0);
	// The second piece was not usable before the first came.
	assert_int_equal(recorder_at(0)->last_ns[S], w->now_ns - 10000);
	finish(w);
}

static void every_order_of_four(void **state)
{
	struct wire *w = *state;
	static const char *const piece[4] = {"ab", "cd", "ef", "gh"};

	for (uint32_t order = 0; order < 256; order++) {
		uint32_t at[4] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6 & 3};
		if ((1u << at[0] | 1u << at[1] | 1u << at[2] | 1u << at[3]) != 15)
			continue;
		wire_close(w);
		wire_open(w, NULL);
		wire_handshake(w);
		for (uint32_t i = 0; i < 4; i++)
			wire_send(w, C, i == 3 ? PUSH : ACK, 1 + at[i] * 2, 1, piece[at[i]]);
		assert_bytes(0, C, "abcdefgh");
		finish(w);
	}
}

static void wrap(void **state)
{
	struct wire *w = *state;
	// A segment that ends exactly at 2^32, one that crosses it, and a repeat from before it.
	w->isn[C] = UINT32_MAX - 5;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "abcde"); // up to 2^32 - 1
	wire_send(w, C, PUSH, 6, 1, "fghij"); // from 0
	wire_send(w, C, PUSH, 1, 1, "abcde"); // sent again across the wrap
	wire_send(w, C, PUSH, 4, 1, "dexghijKL"); // overlaps: first wins
	assert_bytes(0, C, "abcdefghijKL");
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RETRANSMITTED), 2);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_SKIPPED), 1);
	finish(w);
}

static void half_close(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, FIN | TL_TCP_PSH, 1, 1, "request");
	wire_send(w, S, ACK, 1, 9, NULL);
	wire_send(w, C, ACK, 9, 1, NULL);
	wire_send(w, S, PUSH, 1, 9, "response");
	wire_send(w, C, ACK, 9, 9, NULL);
	wire_send(w, S, FIN, 9, 9, NULL);
	assert_log(0, "1:7 1. 0:8 0. ");
	assert_int_equal(recorder_at(0)->end, TL_END_FIN);
	finish(w);
}

static void port_reuse_after_reset(void **state)
{
	struct wire *w = *state;
	for (uint32_t i = 0; i < 6; i++) {
		// Lower and lower numbers: nothing may be taken for old data.
		w->isn[C] = 4000000000u - i * 500000000u;
		w->isn[S] = 3000000000u - i * 400000000u;
		wire_handshake(w);
		wire_send(w, C, PUSH, 1, 1, "ping");
		wire_send(w, S, PUSH, 1, 5, "pong");
		wire_send(w, C, TL_TCP_RST, 5, 0, NULL);
		w->now_ns += SECOND;
	}
	assert_int_equal(recorder_count(), 6);
	for (uint32_t i = 0; i < 6; i++) {
		assert_log(i, "1:4 0:4 ");
		assert_int_equal(recorder_at(i)->end, TL_END_RESET);
	}
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RESETS_CLIENT), 6);
	assert_int_equal(wire_count(w, TL_COUNT_FLOWS_TCP), 6);
	finish(w);
}

static void port_reuse_on_a_live_flow(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "old");
	w->isn[C] += 77777;
	w->isn[S] -= 1234567;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "new");
	assert_int_equal(recorder_count(), 2);
	assert_true(recorder_at(0)->is_closed);
	assert_int_equal(recorder_at(0)->end, TL_END_FIN);
	assert_bytes(0, C, "old");
	assert_bytes(1, C, "new");
	assert_true(recorder_at(0)->identity.connection_id != 0);
	finish(w);
	assert_true(recorder_at(0)->identity.connection_id != recorder_at(1)->identity.connection_id);
}

// A stray SYN that nobody answers does not end a connection that goes on.
static void stray_syn_on_a_live_flow(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "one ");
	wire_send(w, C, TL_TCP_SYN, 999999, 0, NULL);
	wire_send(w, S, ACK, 1, 5, NULL);
	wire_send(w, C, PUSH, 5, 1, "two");
	assert_int_equal(recorder_count(), 1);
	assert_bytes(0, C, "one two");
	finish(w);
}

static void port_reuse_without_handshake(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "old");
	w->isn[C] += 0x50000000;
	w->isn[S] += 0x60000000;
	wire_send(w, C, PUSH, 1, 1, "new connection");
	wire_send(w, S, PUSH, 1, 15, "answer");
	assert_int_equal(recorder_count(), 2);
	assert_bytes(1, C, "new connection");
	assert_bytes(1, S, "answer");
	finish(w);
	assert_true(recorder_at(1)->identity.is_late_join);
}

static void mid_stream(void **state)
{
	struct wire *w = *state;
	wire_send(w, S, ACK, 999, 999, NULL); // carries nothing: no flow
	assert_int_equal(wire_count(w, TL_COUNT_FLOWS_TCP), 0);
	wire_send(w, S, PUSH, 1000, 5000, "tail of a response");
	wire_send(w, C, PUSH, 5000, 1018, "next request");
	assert_log(0, "0:18 1:12 ");
	finish(w);
	assert_true(recorder_at(0)->identity.is_late_join);
	assert_false(recorder_at(0)->identity.client_is_sure);
	assert_int_equal(recorder_at(0)->identity.server_port, SERVER_PORT);
	assert_false(recorder_at(0)->identity.is_one_sided);
}

// The first packet from the server has no SYN: its bytes must not shift by one.
static void lost_syn_ack(void **state)
{
	struct wire *w = *state;
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	wire_send(w, C, ACK, 1, 1, NULL);
	wire_send(w, C, PUSH, 1, 1, "question");
	wire_send(w, S, PUSH, 1, 9, "answer");
	wire_send(w, S, PUSH, 7, 9, " more");
	assert_bytes(0, C, "question");
	assert_bytes(0, S, "answer more");
	finish(w);
	assert_int_equal(recorder_at(0)->gaps[S], 0);
	assert_int_equal(recorder_at(0)->identity.rtt_us, 0);
	assert_false(recorder_at(0)->identity.is_late_join);
}

static void lost_syn(void **state)
{
	struct wire *w = *state;
	wire_send(w, S, TL_TCP_SYN | ACK, 0, 1, NULL);
	wire_send(w, C, ACK, 1, 1, NULL);
	wire_send(w, C, PUSH, 1, 1, "q");
	wire_send(w, S, PUSH, 1, 2, "a");
	assert_log(0, "1:1 0:1 ");
	finish(w);
	assert_true(recorder_at(0)->identity.client_is_sure);
	assert_int_equal(recorder_at(0)->identity.client_port, CLIENT_PORT);
}

static void syn_with_data(void **state)
{
	struct wire *w = *state;
	wire_send(w, C, TL_TCP_SYN, 0, 0, "early");
	wire_send(w, S, TL_TCP_SYN | ACK, 0, 6, NULL);
	wire_send(w, C, PUSH, 6, 1, " late");
	wire_send(w, S, PUSH, 1, 11, "answer");
	assert_bytes(0, C, "early late");
	assert_bytes(0, S, "answer");
	assert_int_equal(recorder_count(), 1);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_PACKETS), 4);
	finish(w);
	assert_true(recorder_at(0)->identity.client_is_sure);
}

static void syn_ack_with_data(void **state)
{
	struct wire *w = *state;
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	wire_send(w, S, TL_TCP_SYN | ACK, 0, 1, "banner");
	wire_send(w, C, PUSH, 1, 7, "login");
	assert_bytes(0, S, "banner");
	assert_bytes(0, C, "login");
	finish(w);
}

static void fin_with_data_sent_again(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, FIN | TL_TCP_PSH, 1, 1, "bye");
	w->now_ns += 300 * MS;
	wire_send(w, C, FIN | TL_TCP_PSH, 1, 1, "bye");
	wire_send(w, S, FIN | TL_TCP_PSH, 1, 5, "ciao");
	assert_log(0, "1:3 1. 0:4 0. ");
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RETRANSMITTED), 1);
	finish(w);
}

static void overlap_differs(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 4, 1, "DEF");
	wire_send(w, C, PUSH, 4, 1, "xxx"); // contradicts what is held
	wire_send(w, C, PUSH, 1, 1, "abcyyyghi"); // brackets it: held bytes win
	assert_bytes(0, C, "abcDEFghi");
	assert_int_equal(wire_count(w, TL_COUNT_OVERLAP_DIFFERENT), 2);
	finish(w);
}

static void keep_alive(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "one");
	wire_send(w, S, ACK, 1, 4, NULL);
	w->now_ns += 75 * SECOND;
	wire_send(w, C, ACK, 3, 1, NULL); // without a byte
	w->now_ns += 75 * SECOND;
	wire_send(w, C, ACK, 3, 1, "z");  // with one
	wire_send(w, C, PUSH, 4, 1, "two");
	assert_bytes(0, C, "onetwo");
	assert_int_equal(wire_count(w, TL_COUNT_TCP_KEEP_ALIVES), 2);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RETRANSMITTED), 0);
	finish(w);
}

static void keep_alive_begins_nothing(void **state)
{
	struct wire *w = *state;
	wire_send(w, C, ACK, 100, 1, "\x01");
	assert_int_equal(wire_count(w, TL_COUNT_FLOWS_TCP), 0);
	wire_send(w, C, PUSH, 101, 1, "GET");
	assert_bytes(0, C, "GET");
	finish(w);
}

static void zero_window(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	w->spec.has_window = true;
	w->spec.window = 0;
	wire_send(w, C, ACK, 1, 1, NULL);
	wire_send(w, C, ACK, 1, 1, NULL);
	w->spec.window = 10;
	wire_send(w, C, ACK, 1, 1, NULL);
	w->spec.window = 0;
	wire_send(w, C, ACK, 1, 1, NULL);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_ZERO_WINDOWS), 2);
	finish(w);
}

static void hole_filled_by_retransmission(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "ask");
	wire_send(w, S, ACK, 4, 4, "def");
	uint64_t noticed = w->now_ns - 10000;
	wire_send(w, C, ACK, 4, 1, NULL); // not acknowledged: the sender may still mend it
	w->now_ns = noticed + 150 * MS;
	wire_send(w, S, PUSH, 1, 4, "abc");
	assert_bytes(0, S, "abcdef");
	assert_int_equal(recorder_at(0)->stall_ns[S], 150 * MS);
	assert_int_equal(recorder_at(0)->last_ns[S], noticed + 150 * MS);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RETRANSMITTED), 1);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_OUT_OF_ORDER), 0);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_GAPS), 0);
	finish(w);
}

static void time_stamps_tell_overtaking(void **state)
{
	struct wire *w = *state;
	w->spec.has_timestamps = true;
	w->spec.timestamp = 500;
	wire_handshake(w);
	wire_send(w, S, ACK, 4, 1, "def");
	w->now_ns += 10 * MS; // longer than reordering usually takes
	w->spec.timestamp = 499;
	wire_send(w, S, PUSH, 1, 1, "abc");
	assert_bytes(0, S, "abcdef");
	assert_int_equal(wire_count(w, TL_COUNT_TCP_OUT_OF_ORDER), 1);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RETRANSMITTED), 0);
	finish(w);
}

// Acknowledged past, and data beyond it seen: lost 20 ms later, not before.
static void hole_lost_seen(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "ask");
	wire_send(w, S, ACK, 6, 4, "fgh");
	wire_send(w, C, ACK, 4, 9, NULL);
	uint64_t proven = w->now_ns - 10000;
	w->now_ns = proven + 20 * MS - 1;
	wire_send(w, S, ACK, 9, 4, "ijk");
	assert_log(0, "1:3 ");
	w->now_ns = proven + 20 * MS;
	wire_send(w, C, ACK, 4, 12, NULL);
	assert_log(0, "1:3 0-5 0:3 0:3 ");
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_LOST), 5);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_GAPS), 1);
	finish(w);
}

// Two answers lost in one hole, the request between them seen: it comes between its halves, so
// that the answer behind the hole meets the third request and not the second.
static void hole_around_a_request(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "ask1");
	wire_send(w, C, PUSH, 5, 4, "ask2-"); // acknowledges an answer that was missed
	wire_send(w, C, PUSH, 10, 9, "ask3--"); // and one more
	wire_send(w, S, PUSH, 9, 16, "answer3");
	assert_log(0, "1:4 ");
	wire_wait(w, 50 * MS);
	wire_send(w, C, ACK, 16, 16, NULL);
	assert_log(0, "1:4 0-3 1:5 0-5 1:6 0:7 ");
	finish(w);
}

// The same where a request in between was missed, too: it was acknowledged, it won't come again.
static void holes_on_both_sides(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "ask1");
	wire_send(w, C, PUSH, 10, 4, "ask3--"); // behind a hole of 5, acknowledges a lost answer
	wire_send(w, S, PUSH, 9, 16, "answer4");
	wire_send(w, C, ACK, 16, 16, NULL);
	wire_wait(w, 50 * MS);
	wire_send(w, C, ACK, 16, 16, NULL);
	assert_log(0, "1:4 0-3 1-5 1:6 0-5 0:7 ");
	finish(w);
}

// A hole of the client behind two of the server: it is given up last, though it is due before the
// second of them is.
static void hole_behind_holes(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "ask1");
	wire_send(w, S, ACK, 4, 5, "fgh");
	wire_send(w, S, PUSH, 9, 5, "jkl");
	wire_send(w, C, ACK, 5, 12, NULL);
	wire_send(w, C, PUSH, 8, 12, "xyz");
	wire_send(w, S, ACK, 12, 11, NULL);
	assert_log(0, "1:4 ");
	wire_wait(w, 50 * MS);
	wire_send(w, C, ACK, 11, 12, NULL);
	assert_log(0, "1:4 0-3 0:3 0-2 0:3 1-3 1:3 ");
	finish(w);
}

// The same as hole_lost_seen when nothing else comes on this flow: the wheel gives the same result.
static void hole_lost_by_the_wheel(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "ask");
	wire_send(w, S, ACK, 6, 4, "fgh");
	wire_send(w, C, ACK, 4, 9, NULL);
	wire_wait(w, 3 * SECOND);
	assert_log(0, "1:3 0-5 0:3 ");
	finish(w);
}

static void hole_never_acknowledged(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "ask");
	wire_send(w, S, ACK, 6, 4, "fgh");
	wire_wait(w, 30 * SECOND);
	assert_log(0, "1:3 ");
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_GAPS), 0);
	finish(w); // the end hands on what waits, after a gap
	assert_log(0, "1:3 0-5 0:3 ");
}

// The request was missed by the tap: the response waits for it, but not for ever.
static void response_before_request(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, S, PUSH, 1, 8, "response");
	assert_int_equal(recorder_count(), 0);
	wire_send(w, C, PUSH, 1, 1, "request");
	assert_log(0, "1:7 0:8 ");
	wire_send(w, S, PUSH, 9, 18, "2nd");
	uint64_t noticed = w->now_ns - 10000;
	w->now_ns = noticed + 200 * MS - 1;
	wire_send(w, S, PUSH, 12, 18, "rest");
	assert_log(0, "1:7 0:8 ");
	w->now_ns = noticed + 200 * MS;
	wire_send(w, S, PUSH, 16, 18, "end");
	assert_log(0, "1:7 0:8 1-10 0:3 0:4 0:3 ");
	finish(w);
}

static void lost_fin_is_no_lost_byte(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "ask");
	wire_send(w, S, FIN | TL_TCP_PSH, 1, 5, "answer"); // acknowledges a FIN the tap missed
	wire_wait(w, SECOND + 3 * SECOND);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_LOST), 0);
	assert_log(0, "1:3 1. 0:6 0. ");
	assert_int_equal(recorder_at(0)->end, TL_END_FIN);
	finish(w);
}

static void one_sided(void **state)
{
	struct wire *w = *state;
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	wire_send(w, C, ACK, 1, 1, NULL);
	wire_send(w, C, PUSH, 1, 1, "one");
	uint64_t waits = w->now_ns;
	wire_send(w, C, PUSH, 4, 500, "two"); // what it acknowledges is waited for once
	wire_send(w, C, PUSH, 12, 900, "four");
	assert_bytes(0, C, "one");
	w->now_ns = waits + 200 * MS;
	wire_send(w, C, PUSH, 16, 900, "five");
	assert_bytes(0, C, "onetwo");
	w->now_ns = waits + 400 * MS;
	wire_send(w, C, PUSH, 20, 1500, "six");
	assert_log(0, "1:3 1:3 1-5 1:4 1:4 1:3 ");
	wire_send(w, C, PUSH, 23, 2000, "seven");
	assert_log(0, "1:3 1:3 1-5 1:4 1:4 1:3 1:5 ");
	finish(w);
	assert_true(recorder_at(0)->identity.is_one_sided);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_LOST), 5);
}

// The same of the server's side, of which the handshake told.
static void one_sided_server(void **state)
{
	struct wire *w = *state;
	wire_send(w, S, TL_TCP_SYN | ACK, 0, 1, NULL);
	wire_send(w, S, PUSH, 1, 4, "first");
	assert_int_equal(recorder_count(), 0);
	wire_wait(w, 2 * SECOND); // no packet is needed for it
	assert_log(0, "0:5 ");
	wire_send(w, S, PUSH, 6, 8, "second");
	wire_send(w, S, PUSH, 12, 12, "third");
	assert_log(0, "0:5 0:6 0:5 ");
	finish(w);
	assert_true(recorder_at(0)->identity.is_one_sided);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_LOST), 0);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_LATE), 0);
}

// Each side comes on a queue of its own, and the reader of the client's was away: the response, even
// the SYN-ACK, comes before what it answers.
static void client_read_late(void **state)
{
	struct wire *w = *state;
	wire_send(w, S, TL_TCP_SYN | ACK, 0, 1, NULL);
	wire_send(w, S, PUSH, 1, 4, "answer");
	wire_send(w, S, PUSH, 7, 8, "answer2");
	w->now_ns += 100 * MS;
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	wire_send(w, C, ACK, 1, 1, NULL);
	wire_send(w, C, PUSH, 1, 1, "ask");
	assert_log(0, "1:3 0:6 ");
	wire_send(w, C, PUSH, 4, 7, "ask2");
	assert_log(0, "1:3 0:6 1:4 0:7 ");
	finish(w);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_LOST), 0);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_LATE), 0);
	assert_int_equal(wire_count(w, TL_COUNT_REORDER_FULL), 0);
}

// Too late: the response went on alone, so that its request must not meet the next one.
static void client_read_too_late(void **state)
{
	struct wire *w = *state;
	wire_send(w, S, TL_TCP_SYN | ACK, 0, 1, NULL);
	wire_send(w, S, PUSH, 1, 4, "answer");
	w->now_ns += 250 * MS;
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	wire_send(w, C, ACK, 1, 1, NULL);
	wire_send(w, C, PUSH, 1, 1, "ask");
	assert_log(0, "0:6 1-3 ");
	wire_send(w, S, PUSH, 7, 8, "answer2");
	wire_send(w, C, PUSH, 4, 7, "ask2");
	assert_log(0, "0:6 1-3 1:4 0:7 ");
	finish(w);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_LOST), 3);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_LATE), 1);
	assert_true(recorder_at(0)->identity.is_late_join);
}

// What waits for a side never seen is bounded.
static void client_behind_many_segments(void **state)
{
	struct wire *w = *state;
	wire_send(w, S, TL_TCP_SYN | ACK, 0, 1, NULL);
	for (uint32_t i = 0; i < 256; i++)
		wire_send(w, S, PUSH, 1 + i, 4, "x");
	assert_int_equal(recorder_count(), 0);
	wire_send(w, S, PUSH, 257, 4, "x");
	assert_int_equal(recorder_at(0)->len[S], 257);
	wire_send(w, C, PUSH, 1, 1, "ask+next"); // in one segment with a further request
	assert_bytes(0, C, "+next");
	finish(w);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_LATE), 1);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_LOST), 3);
}

// A tap that sees many connections from one side does not use up the pool: at 1025 of 2048 blocks each
// goes on at once.
static void clients_behind_a_full_pool(void **state)
{
	struct wire *w = *state;
	for (uint32_t flow = 0; flow < 6; flow++) {
		w->client_port++;
		wire_send(w, S, TL_TCP_SYN | ACK, 0, 1, NULL);
		for (uint32_t i = 0; i < 250; i++)
			wire_send(w, S, PUSH, 1 + i, 4, "x");
	}
	assert_int_equal(recorder_count(), 2);
	assert_int_equal(recorder_at(0)->len[S], 250); // its 25th found the pool half full
	assert_int_equal(recorder_at(1)->len[S], 250);
	assert_int_equal(wire_count(w, TL_COUNT_REORDER_FULL), 0);
	finish(w);
	assert_int_equal(recorder_count(), 6);
}

// Of a connection joined late nothing is waited for, as what was before can't be known.
static void late_join_in_the_wrong_order(void **state)
{
	struct wire *w = *state;
	wire_send(w, S, PUSH, 1000, 5004, "answer1");
	assert_log(0, "0:7 ");
	wire_send(w, C, PUSH, 5000, 1000, "ask1");
	assert_log(0, "0:7 1-4 ");
	wire_send(w, C, PUSH, 5004, 1007, "ask2");
	wire_send(w, S, PUSH, 1007, 5008, "answer2");
	assert_log(0, "0:7 1-4 1:4 0:7 ");
	wire_send(w, C, ACK, 5007, 1014, "!"); // a keep-alive probe
	finish(w);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_LATE), 1);
}

// A probe is the first that is seen of a side: its byte is none of the stream, and nothing is late.
static void late_join_by_a_probe(void **state)
{
	struct wire *w = *state;
	wire_send(w, S, PUSH, 1000, 5000, "news");
	wire_send(w, C, ACK, 4999, 1004, "!");
	wire_send(w, C, PUSH, 5000, 1004, "ask");
	assert_log(0, "0:4 1:3 ");
	finish(w);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_LATE), 0);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_KEEP_ALIVES), 1);
}

static void reset_out_of_window(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, C, PUSH, 1, 1, "one ");
	wire_send(w, S, ACK, 1, 5, NULL);
	wire_send(w, S, TL_TCP_RST, 100000000, 0, NULL);
	wire_send(w, C, TL_TCP_RST, (uint32_t)-5000, 0, NULL);
	assert_false(recorder_at(0)->is_closed);
	wire_send(w, C, PUSH, 5, 1, "two");
	assert_bytes(0, C, "one two");
	wire_send(w, S, TL_TCP_RST, 1, 0, NULL);
	assert_true(recorder_at(0)->is_closed);
	assert_int_equal(recorder_at(0)->end, TL_END_RESET);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RESETS_SERVER), 1);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RESETS_CLIENT), 0);
	finish(w);
}

static void copies_one_by_one(void **state)
{
	struct wire *w = *state;
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	wire_send(w, C, TL_TCP_SYN, 0, 0, NULL);
	wire_send(w, S, TL_TCP_SYN | ACK, 0, 1, NULL);
	wire_send(w, S, TL_TCP_SYN | ACK, 0, 1, NULL);
	for (uint32_t i = 0; i < 2; i++) {
		w->ip_id = 100;
		w->spec.ttl = (uint8_t)(64 - i);
		w->spec.vlan = (uint16_t)(i * 7);
		wire_send(w, C, ACK, 1, 1, NULL);
	}
	for (uint32_t i = 0; i < 2; i++) {
		w->ip_id = 101;
		w->spec.mac = (uint8_t)i;
		wire_send(w, C, PUSH, 1, 1, "data");
	}
	assert_bytes(0, C, "data");
	assert_int_equal(wire_count(w, TL_COUNT_DUPLICATES_TCP), 4);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_PACKETS), 4);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RETRANSMITTED), 0);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RETRANSMITTED_SYN), 0);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_BYTES), 4);
	finish(w);
	assert_int_equal(recorder_at(0)->identity.rtt_us, 40); // first SYN to first ACK
}

// A B A' B': a bridge that forwards in batches.
static void copies_in_batches(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	w->spec.vlan = 0;
	for (uint32_t i = 0; i < 3; i++) {
		w->ip_id = 200;
		w->spec.mac = (uint8_t)i;
		for (uint32_t n = 0; n < 5; n++)
			wire_send(w, C, PUSH, 1 + n * 2, 1, "xy");
	}
	assert_int_equal(recorder_at(0)->len[C], 10);
	assert_int_equal(wire_count(w, TL_COUNT_DUPLICATES_TCP), 10);
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RETRANSMITTED), 0);
	// The same bytes with a new IP id were sent again.
	wire_send(w, C, PUSH, 1, 1, "xy");
	assert_int_equal(wire_count(w, TL_COUNT_TCP_RETRANSMITTED), 1);
	finish(w);
}

static void stream_of_five_gibibytes(void **state)
{
	struct wire *w = *state;
	static uint8_t block[60000];
	struct packet_spec spec = {
		.source = "10.0.0.1", .destination = "10.0.0.2", .source_port = SERVER_PORT,
		.destination_port = CLIENT_PORT, .flags = ACK, .payload = {block, sizeof(block)},
	};
	uint64_t want = 0;

	wire_handshake(w);
	recorder_answers.skip[S] = UINT64_MAX;
	spec.ack = w->isn[C] + 1;
	// 1 in 64 segments is missing: holes inside what is skipped, and around the sequence space.
	for (uint64_t n = 0; n < (UINT64_C(5) << 30) / sizeof(block); n++) {
		spec.seq = (uint32_t)(w->isn[S] + 1 + n * sizeof(block));
		spec.time_ns = w->now_ns += 20000;
		spec.ip_id++;
		want += sizeof(block);
		if (n % 64 == 63)
			continue;
		wire_packet(w, &spec);
		if (n % 64 == 10)
			wire_send(w, C, ACK, 1, (uint32_t)(1 + n * sizeof(block)), NULL);
	}
	finish(w);
	const struct recording *r = recorder_at(0);
	assert_int_equal(r->len[S] + r->lost[S], want);
	assert_int_equal(r->lost[S], want / sizeof(block) / 64 * sizeof(block));
	assert_true(want > UINT64_C(5000000000));
}

static void unwanted_segments_keep_no_bytes(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	wire_send(w, S, ACK, 1, 1, "head");
	recorder_answers.skip[S] = 9;
	wire_send(w, S, ACK, 8, 1, "ghi");  // inside the skip
	wire_send(w, S, ACK, 11, 1, "jklmno"); // reaches beyond
	wire_send(w, S, PUSH, 5, 1, "def");
	assert_log(0, "0:4 0:3 0:3 0:6 ");
	assert_memory_equal(recorder_at(0)->bytes[S], "headdef\0\0\0jklmno", 16);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_GAPS), 0);
	finish(w);
}

static void snaplen_cuts_payload(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	w->spec.snaplen = 14 + 20 + 20 + 4;
	wire_send(w, C, PUSH, 1, 1, "abcdefgh");
	w->spec.snaplen = 0;
	wire_send(w, C, PUSH, 9, 1, "ij");
	assert_log(0, "1:4 1-4 1:2 ");
	assert_int_equal(wire_count(w, TL_COUNT_SNAPLEN_CUT), 1);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_LOST), 4);
	finish(w);
}

static void pressure(void **state)
{
	struct wire *w = *state;
	struct tl_engine_options options = wire_options();
	options.flow.reorder_flow_bytes_max = 10;
	wire_close(w);
	wire_open(w, &options);
	wire_handshake(w);
	wire_send(w, C, ACK, 4, 1, "defg");
	wire_send(w, C, ACK, 8, 1, "hijk");
	assert_int_equal(recorder_count(), 0);
	wire_send(w, C, ACK, 12, 1, "lmno"); // the share is full: the hole is lost at once
	assert_log(0, "1-3 1:4 1:4 1:4 ");
	assert_int_equal(wire_count(w, TL_COUNT_REORDER_FULL), 1);
	finish(w);
}

static void deaf_flows_keep_counting(void **state)
{
	struct wire *w = *state;
	wire_handshake(w);
	recorder_answers.is_deaf = true;
	recorder_answers.is_idle = true;
	wire_send(w, C, PUSH, 1, 1, "noise");
	assert_true(recorder_at(0)->is_closed); // gives its memory back
	wire_send(w, C, PUSH, 10, 1, "ahead");
	wire_send(w, C, PUSH, 6, 1, "fill");
	assert_int_equal(wire_count(w, TL_COUNT_TCP_OUT_OF_ORDER), 1);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_BYTES), 14);
	assert_int_equal(wire_count(w, TL_COUNT_STREAM_IGNORED), 9);
	assert_int_equal(recorder_count(), 1);
	finish(w);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(plain_conversation),
		ROW(swapped_segments),
		ROW(every_order_of_four),
		ROW(wrap),
		ROW(half_close),
		ROW(port_reuse_after_reset),
		ROW(port_reuse_on_a_live_flow),
		ROW(stray_syn_on_a_live_flow),
		ROW(port_reuse_without_handshake),
		ROW(mid_stream),
		ROW(lost_syn_ack),
		ROW(lost_syn),
		ROW(syn_with_data),
		ROW(syn_ack_with_data),
		ROW(fin_with_data_sent_again),
		ROW(overlap_differs),
		ROW(keep_alive),
		ROW(keep_alive_begins_nothing),
		ROW(zero_window),
		ROW(hole_filled_by_retransmission),
		ROW(time_stamps_tell_overtaking),
		ROW(hole_lost_seen),
		ROW(hole_around_a_request),
		ROW(holes_on_both_sides),
		ROW(hole_behind_holes),
		ROW(hole_lost_by_the_wheel),
		ROW(hole_never_acknowledged),
		ROW(response_before_request),
		ROW(lost_fin_is_no_lost_byte),
		ROW(one_sided),
		ROW(one_sided_server),
		ROW(client_read_late),
		ROW(client_read_too_late),
		ROW(client_behind_many_segments),
		ROW(clients_behind_a_full_pool),
		ROW(late_join_in_the_wrong_order),
		ROW(late_join_by_a_probe),
		ROW(reset_out_of_window),
		ROW(copies_one_by_one),
		ROW(copies_in_batches),
		ROW(stream_of_five_gibibytes),
		ROW(unwanted_segments_keep_no_bytes),
		ROW(snaplen_cuts_payload),
		ROW(pressure),
		ROW(deaf_flows_keep_counting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
