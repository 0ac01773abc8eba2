// SPDX-License-Identifier: Apache-2.0
// Names of elements, error codes, opcodes.
// Source: MongoDB manual, "Error codes" and "Wire protocol".
#include "state.h"

#include "base/check.h"

// Without a call: most names are short, and few are looked at.
static inline bool is_same(const uint8_t *name, const char *word, uint32_t len)
{
	uint64_t a, b, c, d;

	if (len < sizeof(a)) {
		for (uint32_t i = 0; i < len; i++)
			if (name[i] != (uint8_t)word[i])
				return false;
		return true;
	}
	if (len > 2 * sizeof(a))
		return memcmp(name, word, len) == 0;
	memcpy(&a, name, sizeof(a));
	memcpy(&b, word, sizeof(b));
	memcpy(&c, name + len - sizeof(c), sizeof(c));
	memcpy(&d, word + len - sizeof(d), sizeof(d));
	return a == b && c == d;
}

// By length; `from` has where each length begins. The unit test looks up all of them.
enum mongo_word tl_mongo_word(struct tl_bytes name)
{
	static const struct {
		const char *name;
		uint8_t word;
	} words[] = {
		{"n", MONGO_WORD_N},
		{"w", MONGO_WORD_W},
		{"id", MONGO_WORD_ID},
		{"ok", MONGO_WORD_OK},
		{"$db", MONGO_WORD_DB},
		{"err", MONGO_WORD_ERR},
		{"$err", MONGO_WORD_ERR},
		{"code", MONGO_WORD_CODE},
		{"mode", MONGO_WORD_MODE},
		{"name", MONGO_WORD_NAME},
		{"level", MONGO_WORD_LEVEL},
		{"client", MONGO_WORD_CLIENT},
		{"cursor", MONGO_WORD_CURSOR},
		{"driver", MONGO_WORD_DRIVER},
		{"errmsg", MONGO_WORD_ERRMSG},
		{"deletes", MONGO_WORD_DELETES},
		{"updates", MONGO_WORD_UPDATES},
		{"version", MONGO_WORD_VERSION},
		{"codeName", MONGO_WORD_CODE_NAME},
		{"documents", MONGO_WORD_DOCUMENTS},
		{"maxTimeMS", MONGO_WORD_MAX_TIME},
		{"nModified", MONGO_WORD_N_MODIFIED},
		{"nextBatch", MONGO_WORD_NEXT_BATCH},
		{"collection", MONGO_WORD_COLLECTION},
		{"firstBatch", MONGO_WORD_FIRST_BATCH},
		{"application", MONGO_WORD_APPLICATION},
		{"readConcern", MONGO_WORD_READ_CONCERN},
		{"writeErrors", MONGO_WORD_WRITE_ERRORS},
		{"writeConcern", MONGO_WORD_WRITE_CONCERN},
		{"maxAwaitTimeMS", MONGO_WORD_MAX_AWAIT_TIME},
		{"$readPreference", MONGO_WORD_READ_PREFERENCE},
		{"writeConcernError", MONGO_WORD_WRITE_CONCERN_ERROR},
	};
	static const uint8_t from[] = {
		0, 0, 2, 4, 6, 10, 11, 15, 18, 19, 23, 25, 28, 29, 29, 30, 31, 31, 32,
	};

	if (name.len == 0 || name.len >= TL_COUNT_OF(from) - 1)
		return MONGO_WORD_NONE;
	for (uint32_t i = from[name.len]; i < from[name.len + 1]; i++)
		if (words[i].name[0] == (char)name.ptr[0] &&
		    is_same(name.ptr, words[i].name, name.len))
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
	case MONGO_OP_COMMAND:
		return "command";
	case MONGO_OP_COMMAND_REPLY:
		return "command_reply";
	case MONGO_OP_MSG:
		return "msg";
	case MONGO_OP_COMPRESSED:
		return "compressed";
	default:
		return NULL;
	}
}
