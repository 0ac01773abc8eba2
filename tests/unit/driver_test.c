// SPDX-License-Identifier: Apache-2.0
#include "tests/support/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct rig rig;

static const char requests[] = "Q 1 0\nK 2 12\nabcdefghijklQ 3 5\nxxxxxW 9 3\nyyy";
static const char answers[] = "A 1 4\nbodyI 2 0\nB 2 10\n0123456789O 3 0\n";

static void converse(const char *client, uint32_t client_cut[2], const char *server,
		     uint32_t server_cut[2])
{
	uint32_t client_len = (uint32_t)strlen(client), server_len = (uint32_t)strlen(server);
	const uint32_t at[] = {0, client_cut[0], client_cut[1], client_len};
	const uint32_t to[] = {0, server_cut[0], server_cut[1], server_len};

	rig_open(&rig);
	for (uint32_t i = 0; i < 3; i++)
		rig_feed(&rig, TL_CLIENT, client + at[i], at[i + 1] - at[i]);
	for (uint32_t i = 0; i < 3; i++)
		rig_feed(&rig, TL_SERVER, server + to[i], to[i + 1] - to[i]);
	rig_close(&rig, TL_END_FIN);
}

static void records_do_not_depend_on_cuts(void **state)
{
	(void)state;
	static char want[sizeof(rig.log)];
	uint32_t none[2] = {0, 0};
	uint32_t len = (uint32_t)strlen(requests);

	rig_init(&rig);
	converse(requests, none, answers, none);
	memcpy(want, rig.log, sizeof(want));
	assert_string_equal(want, "one_way 0 | W 9 3 9/3 | 0/0\n"
				  "ok 0 | Q 1 0 6/0 | A 1 4 10/4\n"
				  "ok 0 | K 2 12 K 2 12\nabcdefgh/19 19/12 | B 2 10 B 2 10\n01234567/17 17/10\n"
				  "ok 0 | Q 3 5 11/5 | O 3 0 6/0\n");
	for (uint32_t i = 0; i <= len; i++) {
		for (uint32_t j = i; j <= len; j++) {
			uint32_t cut[2] = {i, j};
			rig.log_len = 0;
			rig.flow.verdict = TL_VERDICT_NO_PAYLOAD;
			converse(requests, cut, answers, none);
			assert_string_equal(rig.log, want);
		}
	}
	len = (uint32_t)strlen(answers);
	for (uint32_t i = 0; i <= len; i++) {
		for (uint32_t j = i; j <= len; j++) {
			uint32_t cut[2] = {i, j};
			rig.log_len = 0;
			rig.flow.verdict = TL_VERDICT_NO_PAYLOAD;
			converse(requests, none, answers, cut);
			assert_string_equal(rig.log, want);
		}
	}
	rig_fini(&rig);
}

static void byte_by_byte_is_the_same(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	for (uint32_t i = 0; i < sizeof(requests) - 1; i++)
		rig_feed(&rig, TL_CLIENT, requests + i, 1);
	for (uint32_t i = 0; i < sizeof(answers) - 1; i++)
		rig_feed(&rig, TL_SERVER, answers + i, 1);
	assert_string_equal(rig.log,
			    "one_way 0 | W 9 3 9/3 | 0/0\n"
			    "ok 0 | Q 1 0 6/0 | A 1 4 10/4\n"
			    "ok 0 | K 2 12 K 2 12\nabcdefgh/19 19/12 | B 2 10 B 2 10\n01234567/17 17/10\n"
			    "ok 0 | Q 3 5 11/5 | O 3 0 6/0\n");
	assert_true(tl_conn_is_idle(rig.conn));
	rig_fini(&rig);
}

static void times_are_those_of_the_packets(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "Q 1"); // +1 ms each
	rig_say(&rig, TL_CLIENT, " 6\nabc");
	rig_say(&rig, TL_CLIENT, "def");
	uint64_t request_end = rig.ns;
	rig.ns += 5000000;
	rig_say(&rig, TL_SERVER, "A 1 4\nb");
	uint64_t first = rig.ns;
	rig_say(&rig, TL_SERVER, "od");
	rig_say(&rig, TL_SERVER, "yA ");
	assert_int_equal(rig.records, 1);
	assert_int_equal(rig.last.request.first_ns, 1001000000);
	assert_int_equal(rig.last.request.end_ns, request_end);
	assert_int_equal(rig.last.response.first_ns, first);
	assert_int_equal(rig.last.response.end_ns, rig.ns);
	assert_int_equal(rig.last.request_ns, 2000000);
	assert_int_equal(rig.last.server_ns, 6000000);
	assert_int_equal(rig.last.response_ns, 2000000);
	rig_fini(&rig);
}

static void an_early_response_is_flagged(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "Q 1 100\nabc");
	rig_say(&rig, TL_SERVER, "A 1 0\n");
	assert_int_equal(rig.records, 1);
	assert_true((rig.last.flags & TL_FLAG_EARLY_RESPONSE) != 0);
	assert_int_equal(rig.last.server_ns, 0);
	assert_int_equal(rig.last.request.body_bytes, 3);
	assert_int_equal(rig.last.request_ns, 1000000);
	rig_fini(&rig);
}

static void a_hole_in_a_skip_costs_only_a_flag(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "Q 1 10\nab");
	assert_int_equal(tl_conn_skip(rig.conn, 0), 8);
	rig_gap(&rig, TL_CLIENT, 8);
	rig_say(&rig, TL_CLIENT, "Q 2 0\n");
	rig_say(&rig, TL_SERVER, "A 1 0\nA 2 0\n");
	assert_string_equal(rig.log, "ok 2 | Q 1 10 17/10 | A 1 0 6/0\n"
				     "ok 0 | Q 2 0 6/0 | A 2 0 6/0\n");
	rig_fini(&rig);
}

static void a_hole_in_a_copy_keeps_a_beginning(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "K 1 10\nab");
	assert_int_equal(tl_conn_skip(rig.conn, 0), 0);
	rig_gap(&rig, TL_CLIENT, 3);
	rig_say(&rig, TL_CLIENT, "fghij");
	rig_say(&rig, TL_SERVER, "A 1 0\n");
	assert_string_equal(rig.log, "ok a | K 1 10 K 1 10\nab/17 17/10 | A 1 0 6/0\n");
	rig_fini(&rig);
}

static void after_a_gap_the_next_message_is_found(void **state)
{
	(void)state;
	const char more[] = "garbage\nmore garbage\nQ 7 0\n";

	// At every cut of what follows the gap.
	for (uint32_t cut = 0; cut < sizeof(more); cut++) {
		rig_init(&rig);
		rig_open(&rig);
		rig_say(&rig, TL_CLIENT, "Q 1 0\nQ 2");
		rig_gap(&rig, TL_CLIENT, 100);
		rig_feed(&rig, TL_CLIENT, more, cut);
		rig_feed(&rig, TL_CLIENT, more + cut, (uint32_t)sizeof(more) - 1 - cut);
		rig_say(&rig, TL_SERVER, "A 1 0\nA 7 0\n");
		assert_string_equal(rig.log, "ok 0 | Q 1 0 6/0 | A 1 0 6/0\n"
					     "ok 0 | Q 7 0 6/0 | A 7 0 6/0\n");
		rig_fini(&rig);
	}
}

static void a_gap_at_every_place_invents_nothing(void **state)
{
	(void)state;
	uint32_t len = (uint32_t)sizeof(answers) - 1;

	for (uint32_t from = 0; from < len; from++) {
		for (uint32_t to = from + 1; to <= len; to++) {
			rig_init(&rig);
			rig_open(&rig);
			rig_say(&rig, TL_CLIENT, requests);
			rig_feed(&rig, TL_SERVER, answers, from);
			rig_gap(&rig, TL_SERVER, to - from);
			rig_feed(&rig, TL_SERVER, answers + to, len - to);
			rig_close(&rig, TL_END_FIN);
			assert_int_equal(rig_count(&rig, TL_COUNT_REQUESTS_OPENED), 3);
			rig_fini(&rig);
		}
	}
}

static void an_end_completes_what_is_open(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "Q 1 0\nQ 2 0\nQ 3 50\nabc");
	rig_say(&rig, TL_SERVER, "A 1 10\nabc");
	tl_conn_end_side(rig.l7, rig.conn, 1, rig.ns + 1000);
	assert_string_equal(rig.log,
			    "unanswered:connection_closed 0 | Q 1 0 6/0 | A 1 10 10/3\n"
			    "unanswered:connection_closed 0 | Q 2 0 6/0 | 0/0\n"
			    "unanswered:connection_closed 0 | Q 3 50 10/3 | 0/0\n");
	rig_fini(&rig);

	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "Q 1 0\n");
	rig_close(&rig, TL_END_RESET);
	assert_string_equal(rig.log, "reset:reset 0 | Q 1 0 6/0 | 0/0\n");
	rig_fini(&rig);
}

static void a_body_to_the_end_ends_with_the_lane(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "Q 1 0\n");
	rig_say(&rig, TL_SERVER, "F 1 0\nwhatever");
	assert_true(tl_conn_skip(rig.conn, 1) > UINT32_MAX);
	rig_say(&rig, TL_SERVER, "comes");
	assert_int_equal(rig.records, 0);
	tl_conn_end_side(rig.l7, rig.conn, 1, rig.ns);
	assert_string_equal(rig.log, "ok 0 | Q 1 0 6/0 | F 1 0 19/0\n");
	rig_fini(&rig);
}

static void a_decoder_that_stops_is_not_called_again(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "Q 1 0\nZ 0 0\nnonsense");
	assert_string_equal(rig.log, "unanswered:decode_error 0 | Q 1 0 6/0 | 0/0\n");
	for (uint32_t i = 0; i < 20; i++)
		rig_say(&rig, TL_SERVER, "nonsense");
	assert_true(tl_conn_is_deaf(rig.conn));
	assert_int_equal(rig.flow.verdict, LINE_PROTOCOL); // it had spoken
	assert_true(rig_count(&rig, TL_COUNT_DECODE_STOPPED) >= 1);
	rig_fini(&rig);
}

static void a_switch_at_every_cut(void **state)
{
	(void)state;
	const char client[] = "Q 1 0\nS 6 1\nQ 2 0\n";
	const char server[] = "A 1 0\nA 2 0\n";

	for (uint32_t cut = 0; cut < sizeof(client); cut++) {
		rig_init(&rig);
		rig_open(&rig);
		rig_feed(&rig, TL_CLIENT, client, cut);
		rig_feed(&rig, TL_CLIENT, client + cut, (uint32_t)sizeof(client) - 1 - cut);
		rig_feed(&rig, TL_SERVER, server, 7);
		rig_feed(&rig, TL_SERVER, server + 7, (uint32_t)sizeof(server) - 1 - 7);
		assert_string_equal(rig.log, "ok 0 | Q 1 0 6/0 | A 1 0 6/0\n"
					     "ok 0 | Q 2 0 6/0 | A 2 0 6/0\n");
		assert_int_equal(rig.l7->guests.used, 0);
		rig_fini(&rig);
	}
}

static void an_opaque_switch_is_counted_only(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "Q 1 0\nS 6 0\n\x81\x02hi");
	rig_say(&rig, TL_SERVER, "A 1 0\n\x81\x02ho");
	assert_int_equal(rig.flow.verdict, TL_VERDICT_UPGRADED);
	assert_int_equal(rig.records, 1);
	assert_true(tl_conn_is_deaf(rig.conn));
	rig_fini(&rig);
}

static void a_switch_may_detect(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "Q 1 0\nS 6 9\nQ 5");
	rig_say(&rig, TL_SERVER, "A 1 0\n");
	rig_say(&rig, TL_CLIENT, " 0\n");
	rig_say(&rig, TL_SERVER, "A 5 0\n");
	assert_string_equal(rig.log, "ok 0 | Q 1 0 6/0 | A 1 0 6/0\n"
				     "ok 0 | Q 5 0 6/0 | A 5 0 6/0\n");
	rig_fini(&rig);
}

static void children_pair_on_their_own(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "H 1 0\nH 2 0\nD 1 6\nQ 1 0\nD 2 3\nQ 1D 2 3\n 0\nQ 1 0\n");
	// The server's lane has no D of its own in match(), but the decoder takes it.
	rig_say(&rig, TL_SERVER, "D 2 6\nA 1 2\nD 2 2\nokA 1 0\n");
	assert_string_equal(rig.log, "ok 0 | Q 1 0 6/0 | A 1 2 8/2\n"
				     "ok 0 | Q 1 0 6/0 | A 1 0 6/0\n");
	assert_int_equal(rig.last.protocol, LINE_PROTOCOL);
	rig_say(&rig, TL_CLIENT, "E 1 0\n");
	assert_int_equal(rig.last.protocol, LINE_CHILD);
	assert_int_equal(rig.last.status, TL_STATUS_UNANSWERED);
	rig_say(&rig, TL_CLIENT, "D 2 6\nQ 4 0\n");
	rig_close(&rig, TL_END_RESET);
	assert_int_equal(rig.last.status, TL_STATUS_RESET);
	rig_fini(&rig);
}

static void too_many_children_are_refused(void **state)
{
	(void)state;
	char line[32];

	rig_init(&rig);
	rig_open(&rig);
	for (uint32_t i = 0; i < TL_CHILDREN_MAX + 5; i++) {
		(void)snprintf(line, sizeof(line), "H %u 0\n", i);
		rig_say(&rig, TL_CLIENT, line);
	}
	// The pool of guests is smaller here than the limit.
	assert_true(rig_count(&rig, TL_COUNT_CHILDREN_REFUSED) >= 5);
	rig_fini(&rig);
}

static void a_pool_of_one_costs_only_what_it_must(void **state)
{
	(void)state;
	struct tl_l7_options one = {
		.connections_max = 1,
		.exchanges_max = 1,
		.exchanges_per_connection_max = 1024,
		.message_bytes_max = 1,
		.carry_bytes_max = 1,
		.detect_bytes_max = 4096,
		.detect_packets_max = 8,
	};

	rig_init_with(&rig, &one);
	rig_open(&rig);
	struct tl_flow other = rig.flow;
	other.verdict = TL_VERDICT_NO_PAYLOAD;
	assert_null(tl_conn_open(rig.l7, &other, rig.ns));
	assert_int_equal(rig_count(&rig, TL_COUNT_CONN_FULL), 1);
	rig_say(&rig, TL_CLIENT, "Q 1 0\nQ 2 0\n");
	assert_int_equal(rig_count(&rig, TL_COUNT_REQUESTS_REFUSED), 1);
	// By key the first answer is right; by order nobody can tell any more.
	rig_say(&rig, TL_SERVER, "A 1 0\n");
	rig_say(&rig, TL_CLIENT, "Q 3 0\n");
	rig_say(&rig, TL_SERVER, "O 2 0\n");
	assert_string_equal(rig.log, "ok 0 | Q 1 0 6/0 | A 1 0 6/0\n"
				     "unanswered:limit 0 | Q 3 0 6/0 | 0/0\n");
	rig_fini(&rig);
}

static void values_are_cut_at_their_limits(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "V 1 15000\n");
	rig_say(&rig, TL_CLIENT, "V 2 16000\n");
	rig_say(&rig, TL_CLIENT, "V 3 16384\n");
	for (uint32_t i = 4; i < 200; i++)
		rig_say(&rig, TL_CLIENT, "V 4 15000\n");
	assert_true(rig_count(&rig, TL_COUNT_MESSAGE_CUT) > 100); // the connection's share is used up
	rig_fini(&rig);
}

// Streams: each message has its own bytes and times, however they lie between one another.
static void interleaved_messages_keep_apart(void **state)
{
	(void)state;
	static const char asked[] = "G 1 4\nabcdG 3 2\nabN 1 3\nabcQ 5 0\nG 3 1\naN 3 0\n";
	static const char told[] = "M 3 5\nabcdeM 1 0\nA 5 0\nM 3 3\nabcP 1 1\naP 3 2\nab";
	static const char want[] = "ok 0 | Q 5 0 6/0 | A 5 0 6/0\n"
				   "ok 0 | G 1 4 19/7 | M 1 0 13/1\n"
				   "ok 0 | G 3 2 21/3 | M 3 5 28/10\n";

	rig_init(&rig);
	for (uint32_t i = 0; i < sizeof(asked) - 1; i++) {
		for (uint32_t j = 0; j < sizeof(told) - 1; j++) {
			rig.log_len = 0;
			rig.flow.verdict = TL_VERDICT_NO_PAYLOAD;
			rig_open(&rig);
			rig_feed(&rig, TL_CLIENT, asked, i);
			rig_feed(&rig, TL_CLIENT, asked + i, (uint32_t)sizeof(asked) - 1 - i);
			rig_feed(&rig, TL_SERVER, told, j);
			rig_feed(&rig, TL_SERVER, told + j, (uint32_t)sizeof(told) - 1 - j);
			rig_close(&rig, TL_END_FIN);
			assert_string_equal(rig.log, want);
		}
	}
	rig_fini(&rig);
}

// What was set aside is in the record when its request ends otherwise, or its answer comes first.
static void messages_set_aside_end_with_their_request(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "G 1 2\nabQ 2 0\nQ 3 0\nQ 4 0\n");
	rig_say(&rig, TL_SERVER, "M 1 1\naM 2 2\nabM 4 9\nabc");
	rig_say(&rig, TL_CLIENT, "C 2 0\nC 4 0\n");
	rig_say(&rig, TL_SERVER, "defghiP 1 0\n");
	rig_gap(&rig, TL_SERVER, 3);
	rig_say(&rig, TL_SERVER, "M 3 1\na");
	rig_close(&rig, TL_END_RESET);
	assert_string_equal(rig.log,
			    "cancelled 0 | Q 2 0 6/0 | M 2 2 8/2\n"
			    "cancelled 0 | Q 4 0 6/0 | M 4 9 9/3\n"
			    "ok 0 | G 1 2 8/2 | M 1 1 13/1\n"
			    "reset:reset 0 | Q 3 0 6/0 | M 3 1 7/1\n");
	rig_fini(&rig);
}

// Pieces of conversations in any order, with holes, ends and time: the books must close and every
// block come back, whatever the decoder makes of it.
static void any_sequence_is_survived(void **state)
{
	(void)state;
	static const char *const words[] = {
		"Q 1 0\n", "Q 2 9\n", "K 3 20\n", "A 1 0\n", "B 2 7\n", "O 0 3\n", "F 1 0\n",
		"T 3 0\n", "I 1 5\n", "W 9 3\n", "R 1 0\n", "C 2 0\n", "L 1 0\n", "L 2 9\n",
		"S 9 0\n", "S 40 1\n", "S 90 9\n", "H 1 0\n", "D 1 6\nQ 1 0\n", "D 1 4\nA 1 ",
		"G 1 4\nabcd", "N 1 3\nabc", "M 1 5\nabcde", "P 1 0\n", "M 2 0\n", "G 2 0\n",
		"E 1 0\n", "V 4 9000\n", "xyz", "\n", "?", "Z 0 0\n", "D 1 9\nK 1 4\nabc",
	};
	uint32_t seed = 99;

	for (uint32_t round = 0; round < 6000; round++) {
		rig_init(&rig);
		rig.flow.identity.is_late_join = (round & 1) != 0;
		rig.flow.identity.client_is_sure = (round & 2) != 0;
		rig.flow.identity.server_port = (round & 4) != 0 ? 7 : 7000;
		rig_open(&rig);
		for (uint32_t turn = 0; turn < 30; turn++) {
			seed = seed * 1664525u + 1013904223u;
			const char *word = words[(seed >> 8) % TL_COUNT_OF(words)];
			uint32_t len = (uint32_t)strlen(word);
			enum tl_lane lane = (seed >> 16 & 1) != 0 ? TL_CLIENT : TL_SERVER;
			uint32_t what = (seed >> 24) % 24;
			if (what == 0)
				rig_gap(&rig, lane, 1 + (seed >> 12) % 30);
			else if (what == 1)
				tl_conn_expire(rig.l7, rig.conn, rig.ns + (seed >> 10) * 100000ull);
			else if (what == 2 && turn > 20)
				tl_conn_end_side(rig.l7, rig.conn, (uint8_t)lane, rig.ns);
			else
				rig_feed(&rig, lane, word, what < 8 ? 1 + (seed >> 20) % len : len);
		}
		rig_close(&rig, (enum tl_end)(seed % TL_END_SWITCHED));
		rig_fini(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_do_not_depend_on_cuts),
		cmocka_unit_test(byte_by_byte_is_the_same),
		cmocka_unit_test(times_are_those_of_the_packets),
		cmocka_unit_test(an_early_response_is_flagged),
		cmocka_unit_test(a_hole_in_a_skip_costs_only_a_flag),
		cmocka_unit_test(a_hole_in_a_copy_keeps_a_beginning),
		cmocka_unit_test(after_a_gap_the_next_message_is_found),
		cmocka_unit_test(a_gap_at_every_place_invents_nothing),
		cmocka_unit_test(an_end_completes_what_is_open),
		cmocka_unit_test(a_body_to_the_end_ends_with_the_lane),
		cmocka_unit_test(a_decoder_that_stops_is_not_called_again),
		cmocka_unit_test(a_switch_at_every_cut),
		cmocka_unit_test(an_opaque_switch_is_counted_only),
		cmocka_unit_test(a_switch_may_detect),
		cmocka_unit_test(children_pair_on_their_own),
		cmocka_unit_test(too_many_children_are_refused),
		cmocka_unit_test(a_pool_of_one_costs_only_what_it_must),
		cmocka_unit_test(values_are_cut_at_their_limits),
		cmocka_unit_test(interleaved_messages_keep_apart),
		cmocka_unit_test(messages_set_aside_end_with_their_request),
		cmocka_unit_test(any_sequence_is_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
