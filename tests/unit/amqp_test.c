// SPDX-License-Identifier: Apache-2.0
// The pure half of the AMQP decoder. Whole conversations: tests/sweep/conversations/amqp.txt.
#include "base/check.h"
#include "protocols/amqp/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void methods(void **state)
{
	(void)state;
	uint32_t count = 0;

	for (uint16_t class_id = 0; class_id < 200; class_id++) {
		for (uint16_t id = 0; id < 200; id++) {
			const struct amqp_method *method = tl_amqp_method(class_id, id);
			if (method == NULL)
				continue;
			count++;
			assert_non_null(tl_amqp_class_name(class_id));
			assert_int_not_equal(method->from, 0);
			assert_int_not_equal(method->kind, AMQP_NO_METHOD);
			if (method->kind != AMQP_ANSWERS && method->kind != AMQP_GET_OK)
				continue;
			// What is answered is asked, and by the other side.
			const struct amqp_method *asked = tl_amqp_method(class_id, method->asked);
			assert_non_null(asked);
			assert_int_equal(asked->kind, AMQP_ASKS);
			assert_int_equal(asked->from ^ method->from,
					 asked->from == AMQP_FROM_BOTH ? 0 : AMQP_FROM_BOTH);
		}
	}
	assert_int_equal(count, 66); // pika has all but Update-Secret and its answer
	assert_string_equal(tl_amqp_method(40, 51)->name, "Unbind-Ok"); // not 41
	assert_null(tl_amqp_method(60, 41));
	assert_null(tl_amqp_method(61, 40));
}

static void arguments(void **state)
{
	(void)state;
	static const char consume[] = "\0\0\1q\3tag\12\0\0\0\0";
	struct amqp_arguments ret;
	const struct amqp_method *method = tl_amqp_method(60, 20);
	struct tl_bytes bytes = tl_bytes(consume, sizeof(consume) - 1);

	assert_int_equal(tl_amqp_arguments(method, bytes, &ret), bytes.len);
	assert_true(tl_bytes_is(tl_amqp_text(&ret, AMQP_FIELD_QUEUE), "q"));
	assert_true(tl_bytes_is(tl_amqp_text(&ret, AMQP_FIELD_CONSUMER_TAG), "tag"));
	assert_int_equal(tl_amqp_number(&ret, AMQP_USE_NO_ACK), 1);
	assert_int_equal(tl_amqp_number(&ret, AMQP_USE_NO_WAIT), 1);
	assert_int_equal(tl_amqp_number(&ret, AMQP_FIELD_DELIVERY_TAG), 0);
	for (uint32_t len = 0; len < bytes.len; len++)
		assert_int_equal(tl_amqp_arguments(method, tl_bytes_first(bytes, len), &ret),
				 TL_BYTES_NONE);
}

static void users(void **state)
{
	(void)state;
	struct tl_bytes plain = tl_bytes_of("PLAIN");
	struct tl_bytes table = tl_bytes_of("AMQPLAIN");
	static const char login[] = "\5LOGINS\0\0\0\3bob\10PASSWORDS\0\0\0\1x";

	assert_true(tl_bytes_is(tl_amqp_user(plain, tl_bytes("\0me\0secret", 10)), "me"));
	assert_int_equal(tl_amqp_user(plain, tl_bytes("me", 2)).len, 0);
	assert_int_equal(tl_amqp_user(plain, tl_bytes("\0me", 3)).len, 0);
	assert_true(tl_bytes_is(tl_amqp_user(table, tl_bytes(login, sizeof(login) - 1)), "bob"));
	assert_int_equal(tl_amqp_user(tl_bytes_of("EXTERNAL"), tl_bytes("\0a\0b", 4)).len, 0);
}

static void statuses(void **state)
{
	(void)state;
	assert_int_equal(tl_amqp_status(200), TL_STATUS_OK);
	assert_int_equal(tl_amqp_status(0), TL_STATUS_OK);
	assert_int_equal(tl_amqp_status(404), TL_STATUS_CLIENT_ERROR);
	assert_int_equal(tl_amqp_status(540), TL_STATUS_CLIENT_ERROR);
	assert_int_equal(tl_amqp_status(320), TL_STATUS_SERVER_ERROR);
	assert_int_equal(tl_amqp_status(506), TL_STATUS_SERVER_ERROR);
	assert_int_equal(tl_amqp_status(541), TL_STATUS_SERVER_ERROR);
}

static void looks(void **state)
{
	(void)state;
	struct tl_bytes ours = tl_bytes("AMQP\0\0\x09\x01", 8);
	struct tl_bytes later = tl_bytes("AMQP\0\x01\0\0", 8);
	struct tl_bytes open_ok = tl_bytes("\1\0\0\0\0\0\5\0\x0a\0\x29\0\xce", 13);

	assert_int_equal(tl_amqp_match(TL_CLIENT, ours), TL_MATCH_CERTAIN);
	assert_int_equal(tl_amqp_match(TL_CLIENT, tl_bytes_first(ours, 6)), TL_MATCH_UNSURE);
	assert_int_equal(tl_amqp_match(TL_CLIENT, later), TL_MATCH_NO);
	assert_int_equal(tl_amqp_match(TL_SERVER, open_ok), TL_MATCH_LIKELY);
	assert_int_equal(tl_amqp_match(TL_CLIENT, open_ok), TL_MATCH_NO); // the server says that
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(methods), cmocka_unit_test(arguments), cmocka_unit_test(users),
		cmocka_unit_test(statuses), cmocka_unit_test(looks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
