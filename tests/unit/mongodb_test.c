// SPDX-License-Identifier: Apache-2.0
// The pure half of the MongoDB decoder: names, codes, what looks like a message. Whole conversations:
// tests/sweep/conversations/mongodb.txt.
#include "base/check.h"
#include "protocols/mongodb/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MESSAGE_BYTES_MAX 128u

static void each_name_is_found(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		enum mongo_word word;
	} words[] = {
		{"application", MONGO_WORD_APPLICATION}, {"client", MONGO_WORD_CLIENT},
		{"code", MONGO_WORD_CODE}, {"codeName", MONGO_WORD_CODE_NAME},
		{"collection", MONGO_WORD_COLLECTION}, {"cursor", MONGO_WORD_CURSOR},
		{"$db", MONGO_WORD_DB}, {"deletes", MONGO_WORD_DELETES},
		{"documents", MONGO_WORD_DOCUMENTS}, {"driver", MONGO_WORD_DRIVER},
		{"err", MONGO_WORD_ERR}, {"$err", MONGO_WORD_ERR}, {"errmsg", MONGO_WORD_ERRMSG},
		{"firstBatch", MONGO_WORD_FIRST_BATCH}, {"id", MONGO_WORD_ID},
		{"level", MONGO_WORD_LEVEL}, {"maxAwaitTimeMS", MONGO_WORD_MAX_AWAIT_TIME},
		{"maxTimeMS", MONGO_WORD_MAX_TIME}, {"mode", MONGO_WORD_MODE}, {"n", MONGO_WORD_N},
		{"nModified", MONGO_WORD_N_MODIFIED}, {"name", MONGO_WORD_NAME},
		{"nextBatch", MONGO_WORD_NEXT_BATCH}, {"ok", MONGO_WORD_OK},
		{"readConcern", MONGO_WORD_READ_CONCERN},
		{"$readPreference", MONGO_WORD_READ_PREFERENCE}, {"updates", MONGO_WORD_UPDATES},
		{"version", MONGO_WORD_VERSION}, {"w", MONGO_WORD_W},
		{"writeConcern", MONGO_WORD_WRITE_CONCERN},
		{"writeConcernError", MONGO_WORD_WRITE_CONCERN_ERROR},
		{"writeErrors", MONGO_WORD_WRITE_ERRORS},
	};
	bool is_seen[MONGO_WORD_COMMAND] = {[MONGO_WORD_NONE] = true};
	static const char *const others[] = {"", "x", "ok!", "OK", "o", "codename", "writeConcernErrors",
					     "readPreference", "firstBatches"};

	for (uint32_t i = 0; i < TL_COUNT_OF(words); i++) {
		assert_int_equal(tl_mongo_word(tl_bytes_of(words[i].name)), words[i].word);
		is_seen[words[i].word] = true;
	}
	for (uint32_t i = 0; i < TL_COUNT_OF(is_seen); i++)
		assert_true(is_seen[i]);
	for (uint32_t i = 0; i < TL_COUNT_OF(others); i++)
		assert_int_equal(tl_mongo_word(tl_bytes_of(others[i])), MONGO_WORD_NONE);
}

static void codes(void **state)
{
	(void)state;
	static const uint32_t server[] = {6, 7, 89, 91, 189, 10107, 11600, 13435, 13436};

	for (uint32_t i = 0; i < TL_COUNT_OF(server); i++)
		assert_int_equal(tl_mongo_status(server[i]), TL_STATUS_SERVER_ERROR);
	assert_int_equal(tl_mongo_status(50), TL_STATUS_TIMEOUT);
	assert_int_equal(tl_mongo_status(262), TL_STATUS_TIMEOUT);
	assert_int_equal(tl_mongo_status(11601), TL_STATUS_CANCELLED);
	assert_int_equal(tl_mongo_status(11000), TL_STATUS_CLIENT_ERROR);
	assert_int_equal(tl_mongo_status(0), TL_STATUS_CLIENT_ERROR); // an error without a code
	for (uint16_t opcode = 0; opcode < 3000; opcode++)
		assert_int_equal(tl_mongo_opcode(opcode) != NULL,
				 opcode == 1 || opcode == 1000 || opcode == 2001 || opcode == 2002 ||
					 (opcode >= 2004 && opcode <= 2007) ||
					 (opcode >= 2010 && opcode <= 2013));
}

static void put32(uint8_t *at, uint32_t value)
{
	for (uint32_t i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t message(uint8_t to[static MESSAGE_BYTES_MAX], uint32_t answers, uint32_t opcode,
			const void *body, uint32_t len)
{
	put32(to, MONGO_HEAD_BYTES + len);
	put32(to + 4, 7);
	put32(to + 8, answers);
	put32(to + 12, opcode);
	memcpy(to + MONGO_HEAD_BYTES, body, len);
	return MONGO_HEAD_BYTES + len;
}

#define BODY(literal) literal, sizeof(literal) - 1
#define EMPTY "\5\0\0\0\0"

// Each is a message of its lane and of no other, is unsure while it is short, and is found behind
// bytes that are none.
static void messages_look_like_it(void **state)
{
	(void)state;
	static const struct {
		enum tl_lane lane;
		uint32_t opcode;
		const char *body;
		uint32_t len;
	} rows[] = {
		{TL_CLIENT, MONGO_OP_MSG, BODY("\0\0\0\0\0" EMPTY)},
		{TL_SERVER, MONGO_OP_MSG, BODY("\0\0\0\0\0" EMPTY)},
		{TL_CLIENT, MONGO_OP_QUERY, BODY("\0\0\0\0db.c\0\0\0\0\0\0\0\0\0" EMPTY)},
		{TL_SERVER, MONGO_OP_REPLY, BODY("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0" EMPTY)},
		{TL_CLIENT, MONGO_OP_COMMAND, BODY("db\0find\0" EMPTY EMPTY)},
		{TL_SERVER, MONGO_OP_COMMAND_REPLY, BODY(EMPTY EMPTY)},
		{TL_CLIENT, MONGO_OP_COMPRESSED, BODY("\xdd\7\0\0\x0a\0\0\0\1\x0a\0")},
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(rows); i++) {
		uint8_t bytes[MESSAGE_BYTES_MAX + 5] = "nope!";
		uint8_t *at = bytes + 5;
		uint32_t len = message(at, rows[i].lane == TL_SERVER ? 7 : 0, rows[i].opcode,
				       rows[i].body, rows[i].len);
		enum tl_lane other = rows[i].lane == TL_CLIENT ? TL_SERVER : TL_CLIENT;
		assert_int_equal(tl_mongo_match(rows[i].lane, tl_bytes(at, len)), TL_MATCH_CERTAIN);
		assert_int_equal(tl_mongo_match(other, tl_bytes(at, len)), TL_MATCH_NO);
		assert_int_equal(tl_mongo_match(rows[i].lane, tl_bytes(at, 15)), TL_MATCH_UNSURE);
		for (uint32_t cut = 1; cut < len; cut++)
			assert_int_not_equal(tl_mongo_match(rows[i].lane, tl_bytes(at, cut)),
					     TL_MATCH_NO);
		assert_int_equal(tl_mongo_resync(NULL, rows[i].lane, tl_bytes(bytes, len + 5)), 5);
		put32(at, MONGO_MESSAGE_BYTES_MAX + 1);
		assert_int_equal(tl_mongo_match(rows[i].lane, tl_bytes(at, len)), TL_MATCH_NO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_name_is_found),
		cmocka_unit_test(codes),
		cmocka_unit_test(messages_look_like_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
