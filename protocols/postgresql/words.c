// SPDX-License-Identifier: Apache-2.0
// Sources: PostgreSQL 15 documentation, SQL Commands; sections 55.4 (replication commands), 55.8
// (error and notice message fields), 55.7 (message formats), appendix A (error codes).
#include "protocols/postgresql/words.h"

static const char *const commands[] = {
	[PG_COMMAND_OTHER] = "OTHER",
	[PG_COMMAND_EMPTY] = "EMPTY",
	[PG_COMMAND_STARTUP] = "STARTUP",
	[PG_COMMAND_CANCEL] = "CANCEL",
	[PG_COMMAND_FUNCTION] = "FUNCTION CALL",
	[PG_COMMAND_PREPARE] = "PREPARE",
	[PG_COMMAND_DESCRIBE] = "DESCRIBE",
	[PG_COMMAND_BIND] = "BIND",
	[PG_COMMAND_CLOSE] = "CLOSE",
	[PG_COMMAND_EXECUTE] = "EXECUTE",
	[PG_COMMAND_NOTIFY] = "NOTIFY",
	// Verbs, the most frequent ones first.
	"SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT", "ROLLBACK", "SET", "WITH", "COPY",
	"FETCH", "SHOW", "END", "SAVEPOINT", "RELEASE", "MERGE", "VALUES", "TABLE", "START", "ABORT",
	"DEALLOCATE", "DECLARE", "MOVE", "RESET", "DISCARD", "LISTEN", "UNLISTEN", "CREATE", "ALTER",
	"DROP", "TRUNCATE", "GRANT", "REVOKE", "REASSIGN", "COMMENT", "SECURITY", "ANALYZE", "VACUUM",
	"CLUSTER", "REINDEX", "REFRESH", "EXPLAIN", "CALL", "DO", "LOAD", "LOCK", "CHECKPOINT",
	"IMPORT", "IDENTIFY_SYSTEM", "START_REPLICATION", "BASE_BACKUP", "CREATE_REPLICATION_SLOT",
	"DROP_REPLICATION_SLOT", "READ_REPLICATION_SLOT", "ALTER_REPLICATION_SLOT",
	"TIMELINE_HISTORY", "UPLOAD_MANIFEST",
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

struct tl_bytes tl_pg_command(uint8_t command)
{
	return tl_bytes_of(commands[command < COMMANDS ? command : PG_COMMAND_OTHER]);
}

uint8_t tl_pg_command_of(struct tl_bytes verb)
{
	if (verb.len == 0)
		return PG_COMMAND_EMPTY;
	for (uint32_t i = PG_COMMAND_FIRST_VERB; i < COMMANDS; i++)
		if (tl_bytes_is(verb, commands[i]))
			return (uint8_t)i;
	// SQL has these as well.
	for (uint32_t i = PG_COMMAND_PREPARE; i < PG_COMMAND_FIRST_VERB; i++)
		if (tl_bytes_is(verb, commands[i]))
			return (uint8_t)i;
	return PG_COMMAND_OTHER;
}

enum tl_status tl_pg_status(struct tl_bytes sqlstate)
{
	// Connection, rollback, resources, object not in state, operator, system, configuration, bug.
	static const char classes[][3] = {"08", "40", "53", "55", "57", "58", "F0", "XX"};

	if (tl_bytes_is(sqlstate, "57014"))
		return TL_STATUS_CANCELLED;
	for (uint32_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (tl_bytes_starts(sqlstate, classes[i]))
			return TL_STATUS_SERVER_ERROR;
	return TL_STATUS_CLIENT_ERROR;
}

const char *tl_pg_error_word(uint8_t code)
{
	switch (code) {
	case 'D':
		return "detail";
	case 'H':
		return "hint";
	case 'P':
		return "position";
	case 'p':
		return "internal_position";
	case 'q':
		return "internal_query";
	case 'W':
		return "where";
	case 's':
		return "schema";
	case 't':
		return "table";
	case 'c':
		return "column";
	case 'd':
		return "data_type";
	case 'n':
		return "constraint";
	case 'F':
		return "file";
	case 'L':
		return "line";
	case 'R':
		return "routine";
	default:
		return NULL;
	}
}

bool tl_pg_error_is_sensitive(uint8_t code)
{
	return code == 'D' || code == 'q' || code == 'W';
}

const char *tl_pg_state_word(uint8_t state)
{
	switch (state) {
	case 'I':
		return "idle";
	case 'T':
		return "transaction";
	case 'E':
		return "failed";
	default:
		return NULL;
	}
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

uint64_t tl_pg_tag_rows(struct tl_bytes tag)
{
	uint32_t begin = tag.len;
	uint64_t rows = 0;

	while (begin > 0 && is_digit(tag.ptr[begin - 1]))
		begin--;
	if (begin == tag.len || begin == 0 || tag.ptr[begin - 1] != ' ' || tag.len - begin > 18)
		return 0;
	for (uint32_t i = begin; i < tag.len; i++)
		rows = rows * 10 + (uint64_t)(tag.ptr[i] - '0');
	return rows;
}

struct tl_bytes tl_pg_tag_words(struct tl_bytes tag)
{
	uint32_t len = tag.len;

	while (len > 0 && (is_digit(tag.ptr[len - 1]) || tag.ptr[len - 1] == ' '))
		len--;
	return tl_bytes_first(tag, len);
}
