// SPDX-License-Identifier: Apache-2.0
// The pure half of the Kafka decoder: the schema, the walk, heads, words. Whole conversations:
// tests/sweep/conversations/kafka.txt.
#include "base/check.h"
#include "protocols/kafka/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define ROWS_MAX 4096u

static void words(void **state)
{
	(void)state;
	assert_string_equal(tl_kafka_error(-1)->name, "UNKNOWN_SERVER_ERROR");
	assert_string_equal(tl_kafka_error(0)->name, "NONE");
	assert_string_equal(tl_kafka_error(133)->name, "SHARE_SESSION_LIMIT_REACHED");
	assert_null(tl_kafka_error(-2));
	assert_null(tl_kafka_error(134));
	for (int64_t code = -1; code <= 133; code++)
		assert_non_null(tl_kafka_error(code)->name);
	assert_int_equal(tl_kafka_status(0), TL_STATUS_OK);
	assert_int_equal(tl_kafka_status(3), TL_STATUS_CLIENT_ERROR);
	assert_int_equal(tl_kafka_status(6), TL_STATUS_SERVER_ERROR);
	assert_int_equal(tl_kafka_status(58), TL_STATUS_CLIENT_ERROR);
	assert_int_equal(tl_kafka_status(30000), TL_STATUS_SERVER_ERROR);
	assert_string_equal(tl_kafka_codec(4), "zstd");
	assert_string_equal(tl_kafka_codec(7), "unknown");
}

static void apis(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		uint16_t key;
		uint8_t newest, flexible;
	} known[] = {
		{"Produce", 0, 13, 9}, {"Fetch", 1, 18, 12}, {"ListOffsets", 2, 10, 6},
		{"Metadata", 3, 13, 9}, {"LeaderAndIsr", 4, 7, 4}, {"ControlledShutdown", 7, 3, 3},
		{"OffsetCommit", 8, 10, 8}, {"OffsetFetch", 9, 10, 6}, {"JoinGroup", 11, 9, 6},
		{"SaslHandshake", 17, 1, 255}, {"ApiVersions", 18, 4, 3}, {"EndTxn", 26, 5, 3},
		{"SaslAuthenticate", 36, 2, 2}, {"DescribeTopicPartitions", 75, 0, 0},
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(known); i++) {
		const struct kafka_api *api = tl_kafka_api(known[i].key);
		assert_non_null(api);
		assert_string_equal(api->name, known[i].name);
		// Every version from the first to the newest has rows in both directions.
		for (uint32_t v = 0; v <= known[i].newest; v++) {
			assert_non_null(tl_kafka_variant(api->request, v));
			assert_non_null(tl_kafka_variant(api->response, v));
		}
		assert_int_equal(tl_kafka_variant(api->request, known[i].newest)->flexible,
				 known[i].flexible);
	}
	assert_null(tl_kafka_api(tl_kafka_api_count));
	assert_null(tl_kafka_api(65535));
	assert_null(tl_kafka_variant(tl_kafka_api(0)->request, 200));
}

// Follows the rows of a message as a walk would: structures are closed, nothing is deeper than a
// walk's stack, and no element of an array is without a byte, or counts could make a walk endless.
static void check_rows(const struct kafka_variant *variant)
{
	for (uint32_t version = variant->from; version <= variant->to; version++) {
		uint32_t depth = 0;
		bool has_bytes[KAFKA_DEPTH_MAX + 1] = {false};
		for (uint32_t row = variant->first;; row++) {
			assert_true(row < variant->first + ROWS_MAX);
			const struct kafka_op *op = &tl_kafka_ops[row];
			if (op->kind == KAFKA_END) {
				assert_true(has_bytes[depth] || version >= variant->flexible ||
					    depth == 0);
				if (depth-- == 0)
					break;
				continue;
			}
			if (op->kind == KAFKA_STOP)
				continue;
			bool is_in = version >= op->from && version <= op->to;
			if (!is_in && op->next != 0) {
				row = op->next - 1u;
				continue;
			}
			has_bytes[depth] = has_bytes[depth] || is_in;
			if (op->kind == KAFKA_ARRAY || op->kind == KAFKA_STRUCT) {
				assert_true(op->next > row);
				assert_int_equal(tl_kafka_ops[op->next - 1].kind, KAFKA_END);
				assert_true(++depth <= KAFKA_DEPTH_MAX);
				has_bytes[depth] = false;
			} else if (op->kind == KAFKA_FIXED || op->kind == KAFKA_NUMBERS) {
				assert_true(op->size != 0);
			}
		}
	}
}

static void rows(void **state)
{
	(void)state;
	uint32_t messages = 0;

	for (uint32_t key = 0; key < tl_kafka_api_count; key++) {
		const struct kafka_api *api = tl_kafka_api(key);
		for (uint32_t i = 0; api != NULL && i < KAFKA_VARIANTS; i++) {
			const struct kafka_variant *pair[] = {&api->request[i], &api->response[i]};
			for (uint32_t j = 0; j < 2; j++) {
				if (pair[j]->first == 0)
					continue;
				check_rows(pair[j]);
				messages++;
			}
		}
	}
	assert_true(messages > 180);
}

// A Metadata request of version 1 for the topic t.
static const uint8_t metadata[] = {0, 0, 0, 20, 0, 3, 0, 1, 0, 0, 0, 9, 0, 3, 'a', 'p', 'p',
				   0, 0, 0, 1, 0, 1, 't'};

static void heads(void **state)
{
	(void)state;
	struct kafka_head head;
	uint8_t bytes[sizeof(metadata)];

	for (uint32_t len = 0; len < 17; len++)
		assert_int_equal(tl_kafka_head(tl_bytes(metadata, len), true, &head),
				 KAFKA_FIT_SHORT);
	assert_int_equal(tl_kafka_head(tl_bytes(metadata, 17), true, &head), KAFKA_FIT_YES);
	assert_int_equal(head.api, 3);
	assert_int_equal(head.version, 1);
	assert_int_equal(head.key, 9);
	assert_int_equal(head.len, 17);
	assert_true(tl_bytes_is(head.client, "app"));
	static const struct {
		uint32_t at;
		uint8_t byte;
		enum kafka_fit strict, loose;
	} changes[] = {
		{0, 0x7f, KAFKA_FIT_NO, KAFKA_FIT_YES},  // very long
		{0, 0x80, KAFKA_FIT_NO, KAFKA_FIT_NO},   // negative
		{3, 7, KAFKA_FIT_NO, KAFKA_FIT_NO},      // shorter than a head
		{3, 12, KAFKA_FIT_NO, KAFKA_FIT_NO},     // shorter than the client id
		{4, 9, KAFKA_FIT_NO, KAFKA_FIT_YES},     // no such api
		{7, 99, KAFKA_FIT_NO, KAFKA_FIT_YES},    // no such version
		{12, 0x80, KAFKA_FIT_NO, KAFKA_FIT_NO},  // a negative length
		{14, 0x01, KAFKA_FIT_NO, KAFKA_FIT_YES}, // a control character
	};
	for (uint32_t i = 0; i < TL_COUNT_OF(changes); i++) {
		memcpy(bytes, metadata, sizeof(bytes));
		bytes[changes[i].at] = changes[i].byte;
		struct tl_bytes view = tl_bytes(bytes, sizeof(bytes));
		assert_int_equal(tl_kafka_head(view, true, &head), changes[i].strict);
		assert_int_equal(tl_kafka_head(view, false, &head), changes[i].loose);
	}
}

static void walks(void **state)
{
	(void)state;
	struct kafka_head head;
	uint8_t bytes[sizeof(metadata) + 4];

	// Every beginning of a message fits, all of it ends it, one byte more or less does not. The
	// last byte is part of a text and need not be seen.
	for (uint32_t len = 17; len < sizeof(metadata) - 1; len++) {
		(void)tl_kafka_head(tl_bytes(metadata, len), true, &head);
		assert_int_equal(tl_kafka_try_request(tl_bytes(metadata, len), &head),
				 KAFKA_WALK_MORE);
	}
	assert_int_equal(tl_kafka_try_request(tl_bytes(metadata, sizeof(metadata)), &head),
			 KAFKA_WALK_DONE);
	memcpy(bytes, metadata, sizeof(metadata));
	memset(bytes + sizeof(metadata), 0, 4);
	for (int change = -1; change <= 1; change += 2) {
		bytes[3] = (uint8_t)(metadata[3] + change);
		(void)tl_kafka_head(tl_bytes(bytes, sizeof(bytes)), true, &head);
		assert_int_equal(tl_kafka_try_request(tl_bytes(bytes, sizeof(bytes)), &head),
				 KAFKA_WALK_BAD);
	}
	// More elements than bytes.
	bytes[3] = metadata[3];
	bytes[17] = 0x7f;
	(void)tl_kafka_head(tl_bytes(bytes, sizeof(metadata)), true, &head);
	assert_int_equal(tl_kafka_try_request(tl_bytes(bytes, sizeof(metadata)), &head),
			 KAFKA_WALK_BAD);
}

static void matches(void **state)
{
	(void)state;
	static const uint8_t response[] = {0, 0, 0, 6, 0, 0, 0, 9, 0, 0};
	static const uint8_t zookeeper[] = {0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
					    0, 0, 0x75, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16,
					    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

	assert_int_equal(tl_kafka_match(TL_CLIENT, tl_bytes(metadata, 8)), TL_MATCH_UNSURE);
	assert_int_equal(tl_kafka_match(TL_CLIENT, tl_bytes(metadata, sizeof(metadata))),
			 TL_MATCH_CERTAIN);
	assert_int_equal(tl_kafka_match(TL_CLIENT, tl_bytes_of("GET / HTTP/1.1\r\n")), TL_MATCH_NO);
	assert_int_equal(tl_kafka_match(TL_CLIENT, tl_bytes(zookeeper, sizeof(zookeeper))),
			 TL_MATCH_NO);
	assert_int_equal(tl_kafka_match(TL_SERVER, tl_bytes(response, sizeof(response))),
			 TL_MATCH_LIKELY);
	assert_int_equal(tl_kafka_match(TL_SERVER, tl_bytes_of("HTTP/1.1 200 OK\r\n")),
			 TL_MATCH_NO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words), cmocka_unit_test(apis),  cmocka_unit_test(rows),
		cmocka_unit_test(heads), cmocka_unit_test(walks), cmocka_unit_test(matches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
