// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "l7/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ID128 "4bf92f3577b34da6a3ce929d0e0e4736"
#define ID64 "00f067aa0ba902b7"

static const uint8_t id128[16] = {0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6,
				  0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36};
static const uint8_t id64[8] = {0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7};

struct vector {
	const char *value;
	bool valid;
	uint32_t flags;
	const char *why;
};

#define SAMPLED (TL_TRACE_PRESENT | TL_TRACE_HAS_SAMPLED | TL_TRACE_SAMPLED)
#define NOT_SAMPLED (TL_TRACE_PRESENT | TL_TRACE_HAS_SAMPLED)

static void check(const struct vector *v, bool (*read)(struct tl_bytes, struct tl_trace *))
{
	struct tl_trace trace;

	memset(&trace, 0x5a, sizeof(trace));
	bool valid = read(tl_bytes_of(v->value), &trace);
	if (valid != v->valid)
		fail_msg("%s: %s", v->why, v->value);
	if (!valid) {
		assert_int_equal(trace.flags, 0x5a5a5a5a); // untouched
		return;
	}
	if (trace.flags != v->flags)
		fail_msg("%s: flags %x", v->why, trace.flags);
	assert_memory_equal(trace.trace_id, id128, 16);
	assert_memory_equal(trace.parent_span_id, id64, 8);
}

static void traceparent_follows_the_version_rules(void **state)
{
	(void)state;
	static const struct vector vectors[] = {
		{"00-" ID128 "-" ID64 "-01", true, SAMPLED, "version 00"},
		{" 00-" ID128 "-" ID64 "-00\t", true, NOT_SAMPLED, "not sampled, blanks around"},
		{"00-" ID128 "-" ID64 "-03", true, SAMPLED, "other flag bits"},
		{"00-" ID128 "-" ID64 "-01-", false, 0, "version 00 has nothing behind"},
		{"01-" ID128 "-" ID64 "-01-what-ever", true, SAMPLED, "a later version may go on"},
		{"cc-" ID128 "-" ID64 "-01", true, SAMPLED, "or not"},
		{"01-" ID128 "-" ID64 "-01.x", false, 0, "but only behind a dash"},
		{"ff-" ID128 "-" ID64 "-01", false, 0, "ff is forbidden"},
		{"00-00000000000000000000000000000000-" ID64 "-01", false, 0, "no trace id"},
		{"00-" ID128 "-0000000000000000-01", false, 0, "no parent id"},
		{"00-4BF92F3577B34DA6A3CE929D0E0E4736-" ID64 "-01", false, 0, "upper case"},
		{"00-" ID128 "-" ID64 "-0", false, 0, "too short"},
		{"00-" ID128 "-" ID64 "-0x", false, 0, "no hex"},
		{"00_" ID128 "-" ID64 "-01", false, 0, "no dash"},
		{"", false, 0, "empty"},
	};
	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++)
		check(&vectors[i], tl_trace_from_traceparent);
}

static void b3_single_header(void **state)
{
	(void)state;
	static const struct vector vectors[] = {
		{ID128 "-" ID64, true, TL_TRACE_PRESENT, "no decision"},
		{ID128 "-" ID64 "-1", true, SAMPLED, "sampled"},
		{ID128 "-" ID64 "-0", true, NOT_SAMPLED, "not sampled"},
		{ID128 "-" ID64 "-d-05e3ac9a4f6e3b90", true, SAMPLED, "debug, with parent"},
		{ID128 "-" ID64 "-1-05e3ac9a4f6e3b90-", false, 0, "five parts"},
		{ID128 "-" ID64 "-1-05e3", false, 0, "short parent"},
		{ID128 "-" ID64 "-x", false, 0, "bad decision"},
		{ID128, false, 0, "no span"},
		{"0", false, 0, "a decision only"},
		{"", false, 0, "empty"},
	};
	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++)
		check(&vectors[i], tl_trace_from_b3);
}

static void b3_of_64_bits_fills_the_right_half(void **state)
{
	(void)state;
	struct tl_trace trace = {0};
	const uint8_t left[8] = {0};

	assert_true(tl_trace_from_b3(tl_bytes_of(ID64 "-" ID64 "-1"), &trace));
	assert_memory_equal(trace.trace_id, left, 8);
	assert_memory_equal(trace.trace_id + 8, id64, 8);
}

static void b3_headers_come_in_any_order(void **state)
{
	(void)state;
	struct tl_trace trace = {0};

	assert_true(tl_trace_add_b3_sampled(tl_bytes_of("1"), &trace));
	assert_int_equal(trace.flags & TL_TRACE_PRESENT, 0);
	assert_true(tl_trace_add_b3_span_id(tl_bytes_of(ID64), &trace));
	assert_int_equal(trace.flags & TL_TRACE_PRESENT, 0);
	assert_false(tl_trace_add_b3_trace_id(tl_bytes_of("xyz"), &trace));
	assert_true(tl_trace_add_b3_trace_id(tl_bytes_of(ID128), &trace));
	assert_int_equal(trace.flags, SAMPLED);
	assert_memory_equal(trace.trace_id, id128, 16);
	assert_memory_equal(trace.parent_span_id, id64, 8);
	assert_true(tl_trace_add_b3_sampled(tl_bytes_of("0"), &trace));
	assert_int_equal(trace.flags, NOT_SAMPLED);
}

static void grpc_trace_bin(void **state)
{
	(void)state;
	static const struct vector vectors[] = {
		{"AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE=", true, SAMPLED, "padded"},
		{"AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE", true, SAMPLED, "not padded, as gRPC sends it"},
		{"AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgA", true, NOT_SAMPLED, "not sampled"},
		{"AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3", true, TL_TRACE_PRESENT, "without options"},
		{"AQBL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgE", false, 0, "a later version"},
		{"AAAAAAAAAAAAAAAAAAAAAAAAAQDwZ6oLqQK3AgE", false, 0, "no trace id"},
		{"AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQI", false, 0, "too short"},
		{"AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3A!A=", false, 0, "no base64"},
		{"AABL+S81d7NNpqPOkp0ODkc2AQDwZ6oLqQK3AgEAAEv5LzV3s02mo86SnQ4ORzYBAPBnqgupArcCAQAAS/kvNXezTaajzpKdDg5HNgEA8GeqC6kCtwIB", false, 0, "too long"},
		{"", false, 0, "empty"},
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++)
		check(&vectors[i], tl_trace_from_grpc_bin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traceparent_follows_the_version_rules),
		cmocka_unit_test(b3_single_header),
		cmocka_unit_test(b3_of_64_bits_fills_the_right_half),
		cmocka_unit_test(b3_headers_come_in_any_order),
		cmocka_unit_test(grpc_trace_bin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
