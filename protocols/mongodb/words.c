// SPDX-License-Identifier: Apache-2.0
// Names of elements, error codes, opcodes.
// Source: MongoDB manual, "Error codes" and "Wire protocol".
#include "state.h"

#include "base/check.h"

enum mongo_word tl_mongo_word(struct tl_bytes name)
{
	static const struct {
		const char *name;
		uint8_t len;
		uint8_t word;
	} words[] = {
#define WORD(text, id) {text, sizeof(text) - 1, MONGO_WORD_##id}
		WORD("$db", DB),
		WORD("ok", OK),
		WORD("cursor", CURSOR),
		WORD("n", N),
		WORD("nModified", N_MODIFIED),
		WORD("code", CODE),
		WORD("codeName", CODE_NAME),
		WORD("errmsg", ERRMSG),
		WORD("$err", ERR),
		WORD("err", ERR),
		WORD("id", ID),
		WORD("firstBatch", FIRST_BATCH),
		WORD("nextBatch", NEXT_BATCH),
		WORD("collection", COLLECTION),
		WORD("writeErrors", WRITE_ERRORS),
		WORD("writeConcernError", WRITE_CONCERN_ERROR),
		WORD("documents", DOCUMENTS),
		WORD("updates", UPDATES),
		WORD("deletes", DELETES),
		WORD("readConcern", READ_CONCERN),
		WORD("writeConcern", WRITE_CONCERN),
		WORD("$readPreference", READ_PREFERENCE),
		WORD("maxTimeMS", MAX_TIME),
		WORD("maxAwaitTimeMS", MAX_AWAIT_TIME),
		WORD("level", LEVEL),
		WORD("w", W),
		WORD("mode", MODE),
		WORD("client", CLIENT),
		WORD("application", APPLICATION),
		WORD("driver", DRIVER),
		WORD("name", NAME),
		WORD("version", VERSION),
#undef WORD
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(words); i++)
		if (words[i].len == name.len && memcmp(words[i].name, name.ptr, name.len) == 0)
			return (enum mongo_word)words[i].word;
	return MONGO_WORD_NONE;
}

enum tl_status tl_mongo_status(uint32_t code)
{
	static const struct {
		uint16_t code;
		uint8_t status;
	} rows[] = {
		{6, TL_STATUS_SERVER_ERROR},     // HostUnreachable
		{7, TL_STATUS_SERVER_ERROR},     // HostNotFound
		{50, TL_STATUS_TIMEOUT},         // MaxTimeMSExpired
		{89, TL_STATUS_SERVER_ERROR},    // NetworkTimeout
		{91, TL_STATUS_SERVER_ERROR},    // ShutdownInProgress
		{189, TL_STATUS_SERVER_ERROR},   // PrimarySteppedDown
		{262, TL_STATUS_TIMEOUT},        // ExceededTimeLimit
		{10107, TL_STATUS_SERVER_ERROR}, // NotWritablePrimary
		{11600, TL_STATUS_SERVER_ERROR}, // InterruptedAtShutdown
		{11601, TL_STATUS_CANCELLED},    // Interrupted
		{13435, TL_STATUS_SERVER_ERROR}, // NotPrimaryNoSecondaryOk
		{13436, TL_STATUS_SERVER_ERROR}, // NotPrimaryOrSecondary
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(rows); i++)
		if (rows[i].code == code)
			return (enum tl_status)rows[i].status;
	return TL_STATUS_CLIENT_ERROR;
}

const char *tl_mongo_opcode(uint16_t opcode)
{
	switch (opcode) {
	case MONGO_OP_REPLY:
		return "reply";
	case MONGO_OP_OLD_MSG:
		return "old_msg";
	case MONGO_OP_UPDATE:
		return "update";
	case MONGO_OP_INSERT:
		return "insert";
	case MONGO_OP_QUERY:
		return "query";
	case MONGO_OP_GET_MORE:
		return "get_more";
	case MONGO_OP_DELETE:
		return "delete";
	case MONGO_OP_KILL_CURSORS:
		return "kill_cursors";
	case MONGO_OP_MSG:
		return "msg";
	case MONGO_OP_COMPRESSED:
		return "compressed";
	default:
		return NULL;
	}
}
