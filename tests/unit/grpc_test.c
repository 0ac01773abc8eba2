// SPDX-License-Identifier: Apache-2.0
// What a gRPC call's headers and status come to. Whole conversations are played by tests/sweep.
#include "protocols/common/grpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)

static void content_types_tell_the_kind(void **state)
{
	static const struct {
		const char *type;
		enum tl_grpc_kind kind;
	} rows[] = {
		{"application/grpc", TL_GRPC_NATIVE},
		{"application/grpc+proto", TL_GRPC_NATIVE},
		{"Application/gRPC; x=1", TL_GRPC_NATIVE},
		{"application/grpc-web", TL_GRPC_WEB},
		{"application/grpc-web+json", TL_GRPC_WEB},
		{"application/grpc-web-text+proto", TL_GRPC_WEB_TEXT},
		{"application/grpcurl", TL_GRPC_NONE},
		{"application/grpc-website", TL_GRPC_NONE},
		{"application/json", TL_GRPC_NONE},
		{"", TL_GRPC_NONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(tl_grpc_kind_of(tl_bytes_of(rows[i].type)), rows[i].kind);
}

static uint64_t timeout_of(const char *value)
{
	struct tl_grpc_request request = {0};

	tl_grpc_request_timeout(&request, tl_bytes_of(value));
	return request.timeout_ns;
}

static void timeouts_have_six_units(void **state)
{
	(void)state;
	assert_int_equal(timeout_of("2H"), 7200 * SECOND);
	assert_int_equal(timeout_of("3M"), 180 * SECOND);
	assert_int_equal(timeout_of("5S"), 5 * SECOND);
	assert_int_equal(timeout_of("401m"), 401 * SECOND / 1000);
	assert_int_equal(timeout_of("7u"), 7000);
	assert_int_equal(timeout_of("99999999n"), 99999999);
	assert_int_equal(timeout_of("123456789S"), 0);
	assert_int_equal(timeout_of("S"), 0);
	assert_int_equal(timeout_of("5"), 0);
	assert_int_equal(timeout_of("-1S"), 0);
}

static enum tl_status status_of(uint8_t code)
{
	const struct tl_grpc grpc = {.has_status = true, .status = code};

	return tl_grpc_outcome(&grpc, 200, false).status;
}

static void codes_become_statuses(void **state)
{
	static const uint8_t server[] = {2, 12, 13, 14, 15};
	static const uint8_t client[] = {3, 5, 6, 7, 8, 9, 10, 11, 16, 17, 99};

	(void)state;
	assert_int_equal(status_of(0), TL_STATUS_OK);
	assert_int_equal(status_of(1), TL_STATUS_CANCELLED);
	assert_int_equal(status_of(4), TL_STATUS_TIMEOUT);
	for (size_t i = 0; i < sizeof(server); i++)
		assert_int_equal(status_of(server[i]), TL_STATUS_SERVER_ERROR);
	for (size_t i = 0; i < sizeof(client); i++)
		assert_int_equal(status_of(client[i]), TL_STATUS_CLIENT_ERROR);
}

static void without_a_status_http_tells(void **state)
{
	const struct tl_grpc grpc = {0};

	(void)state;
	assert_int_equal(tl_grpc_outcome(&grpc, 200, false).status, TL_STATUS_SERVER_ERROR);
	assert_int_equal(tl_grpc_outcome(&grpc, 403, false).status, TL_STATUS_CLIENT_ERROR);
	assert_int_equal(tl_grpc_outcome(&grpc, 503, false).status, TL_STATUS_SERVER_ERROR);
	assert_true(tl_grpc_outcome(&grpc, 503, false).is_estimated);
	// Joined late, it may have been among what was not told; an error of HTTP is one all the same.
	assert_int_equal(tl_grpc_outcome(&grpc, 200, true).status, TL_STATUS_OK);
	assert_int_equal(tl_grpc_outcome(&grpc, 0, true).status, TL_STATUS_OK);
	assert_int_equal(tl_grpc_outcome(&grpc, 502, true).status, TL_STATUS_SERVER_ERROR);
	// So it may be where the end of a gRPC-Web body was lost, or can't be read.
	const struct tl_grpc cut = {.lane[TL_SERVER] = {.kind = TL_GRPC_WEB, .has_missed = true}};
	const struct tl_grpc packed = {.hides_status = true};
	assert_int_equal(tl_grpc_outcome(&cut, 200, false).status, TL_STATUS_OK);
	assert_int_equal(tl_grpc_outcome(&packed, 200, false).status, TL_STATUS_OK);
	assert_true(tl_grpc_outcome(&packed, 200, false).is_estimated);
}

static void a_cancellation_at_the_deadline_is_one(void **state)
{
	const struct tl_grpc none = {0};
	const struct tl_grpc grpc = {.timeout_ns = SECOND};
	const struct tl_grpc brief = {.timeout_ns = SECOND / 100};

	(void)state;
	assert_int_equal(tl_grpc_cancelled(&none, 100 * SECOND).status, TL_STATUS_CANCELLED);
	assert_int_equal(tl_grpc_cancelled(&grpc, SECOND * 89 / 100).status, TL_STATUS_CANCELLED);
	assert_int_equal(tl_grpc_cancelled(&grpc, SECOND * 90 / 100).status, TL_STATUS_TIMEOUT);
	assert_int_equal(tl_grpc_cancelled(&grpc, SECOND * 90 / 100).reason, TL_REASON_DEADLINE);
	assert_int_equal(tl_grpc_cancelled(&brief, 0).status, TL_STATUS_TIMEOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_types_tell_the_kind),
		cmocka_unit_test(timeouts_have_six_units),
		cmocka_unit_test(codes_become_statuses),
		cmocka_unit_test(without_a_status_http_tells),
		cmocka_unit_test(a_cancellation_at_the_deadline_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
