// SPDX-License-Identifier: Apache-2.0
#include "tests/support/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct rig rig;

static void the_answer_sticks_to_the_flow(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	assert_int_equal(rig.flow.verdict, TL_VERDICT_UNDECIDED);
	rig_say(&rig, TL_CLIENT, "Q 1 0\n");
	assert_int_equal(rig.flow.verdict, LINE_PROTOCOL);
	rig_say(&rig, TL_SERVER, "A 1 0\n");
	assert_true(tl_conn_is_idle(rig.conn));
	rig_close(&rig, TL_END_FIN);
	rig_open(&rig);
	rig_say(&rig, TL_SERVER, "A 9 0\n"); // no detection any more
	assert_int_equal(rig.last.status, TL_STATUS_ORPHAN);
	rig_fini(&rig);
}

static void unsure_roles_are_exchanged_by_content(void **state)
{
	(void)state;
	rig_init(&rig);
	rig.flow.identity.client_is_sure = false;
	rig_open(&rig);
	rig_say(&rig, TL_SERVER, "Q 1"); // side 1 is the client after all
	rig_say(&rig, TL_SERVER, " 0\n");
	assert_int_equal(rig.flow.client_side, 1);
	rig_say(&rig, TL_CLIENT, "A 1 0\n");
	assert_string_equal(rig.log, "ok 0 | Q 1 0 6/0 | A 1 0 6/0\n");
	rig_fini(&rig);
}

static void a_hint_decides_where_content_does_not(void **state)
{
	(void)state;
	rig_init(&rig);
	rig.flow.identity.server_port = 9;
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "?");
	assert_int_equal(rig.flow.verdict, VAGUE_PROTOCOL);
	rig_fini(&rig);

	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "?a");
	assert_int_equal(rig.flow.verdict, TL_VERDICT_UNDECIDED);
	rig_say(&rig, TL_SERVER, "?b"); // both lanes agree and nobody else is left
	assert_int_equal(rig.flow.verdict, VAGUE_PROTOCOL);
	assert_int_equal(rig.records, 2);
	rig_fini(&rig);
}

// What was kept of both lanes is shown packet by packet as it came, not one lane after the other.
static void kept_packets_are_shown_in_turns(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "!1");
	rig_say(&rig, TL_SERVER, "!22");
	rig_say(&rig, TL_CLIENT, "!333");
	rig_say(&rig, TL_CLIENT, "!4444");
	assert_int_equal(rig.flow.verdict, TL_VERDICT_UNDECIDED);
	assert_int_equal(rig.records, 0);
	rig_say(&rig, TL_SERVER, "!5555?");
	assert_int_equal(rig.flow.verdict, VAGUE_PROTOCOL);
	assert_int_equal(rig.records, 5); // one per view; two when lanes are shown whole
	assert_int_equal(rig_count(&rig, TL_COUNT_STREAM_DECODED), 2 + 3 + 4 + 5 + 6);
	rig_say(&rig, TL_CLIENT, "!6");
	assert_int_equal(rig.records, 6);
	rig_fini(&rig);
}

static void what_nobody_knows_is_unknown_and_deaf(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "\x01\x02\x03");
	assert_int_equal(rig.flow.verdict, TL_VERDICT_UNKNOWN);
	assert_true(tl_conn_is_deaf(rig.conn));
	assert_true(tl_conn_skip(rig.conn, 0) == UINT64_MAX);
	rig_fini(&rig);
}

static void looking_has_a_budget(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	for (uint32_t i = 0; i < 7; i++)
		rig_say(&rig, TL_CLIENT, "Q");
	assert_int_equal(rig.flow.verdict, TL_VERDICT_UNDECIDED);
	rig_say(&rig, TL_CLIENT, "Q");
	assert_int_equal(rig.flow.verdict, TL_VERDICT_UNKNOWN);
	assert_int_equal(rig_count(&rig, TL_COUNT_STREAM_BUFFERED), 0);
	rig_fini(&rig);
}

static void tls_is_counted_not_decoded(void **state)
{
	(void)state;
	const uint8_t hello[] = {0x16, 3, 1, 0, 46, 1, 0, 0, 42, 3, 3};
	uint8_t record[51] = {0};

	memcpy(record, hello, sizeof(hello));
	record[44] = 2; // one cipher suite
	record[46] = 0x2f;
	record[47] = 1; // one compression method
	rig_init(&rig);
	rig_open(&rig);
	rig_feed(&rig, TL_CLIENT, (const char *)record, sizeof(record));
	assert_int_equal(rig.flow.verdict, TL_VERDICT_TLS);
	assert_true(tl_conn_is_deaf(rig.conn));
	// What the hello says in the clear is counted, once.
	rig_feed(&rig, TL_CLIENT, (const char *)record, sizeof(record));
	assert_int_equal(rig_count(&rig, TL_COUNT_TLS_1_2), 1);
	assert_int_equal(rig_count(&rig, TL_COUNT_TLS_SNI_ABSENT), 1);
	assert_int_equal(rig_count(&rig, TL_COUNT_TLS_ALPN_NONE), 1);
	rig_fini(&rig);
}

struct asked {
	uint32_t count;
	uint16_t server_port;
	char name[TL_NAME_TEXT_MAX];
};

static void take_asked(void *arg, const struct tl_flow_identity *flow, const char *name)
{
	struct asked *asked = arg;

	asked->count++;
	asked->server_port = flow->server_port;
	(void)snprintf(asked->name, sizeof(asked->name), "%s", name);
}

// The name that a client asks for is counted and told once, wherever its hello was cut.
static void names_of_tls_are_counted(void **state)
{
	(void)state;
	static const uint8_t head[] = {0x16, 3, 1, 0, 62, 1, 0, 0, 58, 3, 3};
	static const uint8_t tail[] = {0, 0, 2, 0x13, 1, 1, 0, // session id, suites, compression
				       0, 15, 0, 0, 0, 11, 0, 9, 0, 0, 6, 'A', '.', 't', 'e', 's', 't'};
	uint8_t record[67] = {0};
	const struct tl_name *top[1];
	struct asked asked;

	memcpy(record, head, sizeof(head));
	memcpy(record + sizeof(record) - sizeof(tail), tail, sizeof(tail));
	for (uint32_t cut = 1; cut < sizeof(record); cut++) {
		rig_init(&rig);
		asked = (struct asked) {0};
		tl_l7_on_asked(rig.l7, take_asked, &asked);
		rig_open(&rig);
		rig_feed(&rig, TL_CLIENT, (const char *)record, cut);
		rig_feed(&rig, TL_CLIENT, (const char *)record + cut, sizeof(record) - cut);
		assert_int_equal(rig.flow.verdict, TL_VERDICT_TLS);
		assert_int_equal(asked.count, 1);
		assert_string_equal(asked.name, "A.test");
		assert_int_equal(asked.server_port, 7000);
		assert_int_equal(rig_count(&rig, TL_COUNT_TLS_SNI_PRESENT), 1);
		assert_int_equal(tl_names_top(tl_l7_names(rig.l7), top, 1), 1);
		assert_string_equal(top[0]->text, "a.test");
		assert_int_equal(top[0]->count, 1);
		rig_fini(&rig);
	}
}

static void a_proxy_head_is_taken_off_at_every_cut(void **state)
{
	(void)state;
	const char client[] = "PROXY TCP4 192.0.2.7 192.0.2.9 1234 80\r\nQ 1 0\n";

	for (uint32_t cut = 0; cut < sizeof(client); cut++) {
		rig_init(&rig);
		rig_open(&rig);
		rig_feed(&rig, TL_CLIENT, client, cut);
		rig_feed(&rig, TL_CLIENT, client + cut, (uint32_t)sizeof(client) - 1 - cut);
		rig_say(&rig, TL_SERVER, "A 1 0\n");
		assert_string_equal(rig.log, "ok 0 | Q 1 0 6/0 | A 1 0 6/0\n");
		assert_int_equal(rig.last.proxied_port, 1234);
		assert_int_equal(rig.last.proxied_address[15], 7);
		rig_fini(&rig);
	}
}

static void a_late_join_hunts_where_the_port_names_the_protocol(void **state)
{
	(void)state;
	rig_init(&rig);
	rig.flow.identity.is_late_join = true;
	rig.flow.identity.server_port = 7;
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "the rest of a body\nQ 1 0\n");
	rig_say(&rig, TL_SERVER, "rest\nA 1 0\n");
	assert_string_equal(rig.log, "ok 1 | Q 1 0 6/0 | A 1 0 6/0\n");
	rig_fini(&rig);

	// Without a hint the next piece may be a beginning.
	rig_init(&rig);
	rig.flow.identity.is_late_join = true;
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "the rest of a body\n");
	rig_say(&rig, TL_CLIENT, "Q 1 0\n");
	rig_say(&rig, TL_SERVER, "A 1 0\n");
	assert_string_equal(rig.log, "ok 1 | Q 1 0 6/0 | A 1 0 6/0\n");
	rig_fini(&rig);
}

static void a_wrong_guess_is_corrected(void **state)
{
	(void)state;
	rig_init(&rig);
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "Z 0 0\n"); // its decoder stops at once
	assert_int_equal(rig.flow.verdict, TL_VERDICT_UNDECIDED);
	rig_say(&rig, TL_CLIENT, "?a");
	rig_say(&rig, TL_SERVER, "?b");
	assert_int_equal(rig.flow.verdict, VAGUE_PROTOCOL);
	rig_fini(&rig);
}

static void datagrams_wait_for_a_second_opinion(void **state)
{
	(void)state;
	rig_init(&rig);
	rig.flow.identity.l4 = 17;
	rig_open(&rig);
	rig_say(&rig, TL_CLIENT, "?question");
	assert_int_equal(rig.records, 0);
	rig_say(&rig, TL_SERVER, "?answer");
	assert_int_equal(rig.flow.verdict, VAGUE_PROTOCOL);
	assert_string_equal(rig.log, "one_way 0 | 9/0 | 0/0\none_way 200 | 7/0 | 0/0\n");
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_answer_sticks_to_the_flow),
		cmocka_unit_test(unsure_roles_are_exchanged_by_content),
		cmocka_unit_test(a_hint_decides_where_content_does_not),
		cmocka_unit_test(kept_packets_are_shown_in_turns),
		cmocka_unit_test(what_nobody_knows_is_unknown_and_deaf),
		cmocka_unit_test(looking_has_a_budget),
		cmocka_unit_test(tls_is_counted_not_decoded),
		cmocka_unit_test(names_of_tls_are_counted),
		cmocka_unit_test(a_proxy_head_is_taken_off_at_every_cut),
		cmocka_unit_test(a_late_join_hunts_where_the_port_names_the_protocol),
		cmocka_unit_test(a_wrong_guess_is_corrected),
		cmocka_unit_test(datagrams_wait_for_a_second_opinion),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
