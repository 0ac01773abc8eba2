// SPDX-License-Identifier: Apache-2.0
#include "words.h"

#include <stddef.h>

static const struct mysql_word login = {"LOGIN", MYSQL_ANSWER_AUTH, 0, 0};
static const struct mysql_word bulk = {"STMT_BULK_EXECUTE", MYSQL_ANSWER_RESULT, 7, 0};
static const struct mysql_word none = {NULL, MYSQL_ANSWER_NO, 0, 0};

static const struct mysql_word words[] = {
	[0x00] = {"SLEEP", MYSQL_ANSWER_OK, 1, 1},
	[0x01] = {"QUIT", MYSQL_ANSWER_NONE, 1, 1},
	[0x02] = {"INIT_DB", MYSQL_ANSWER_OK, 2, 0},
	[0x03] = {"QUERY", MYSQL_ANSWER_RESULT, 3, 0},
	[0x04] = {"FIELD_LIST", MYSQL_ANSWER_FIELDS, 3, 0},
	[0x05] = {"CREATE_DB", MYSQL_ANSWER_OK, 2, 0},
	[0x06] = {"DROP_DB", MYSQL_ANSWER_OK, 2, 0},
	[0x07] = {"REFRESH", MYSQL_ANSWER_OK, 2, 2},
	[0x08] = {"SHUTDOWN", MYSQL_ANSWER_OK, 1, 2},
	[0x09] = {"STATISTICS", MYSQL_ANSWER_TEXT, 1, 1},
	[0x0a] = {"PROCESS_INFO", MYSQL_ANSWER_RESULT, 1, 1},
	[0x0b] = {"CONNECT", MYSQL_ANSWER_OK, 1, 1},
	[0x0c] = {"PROCESS_KILL", MYSQL_ANSWER_OK, 5, 5},
	[0x0d] = {"DEBUG", MYSQL_ANSWER_OK, 1, 1},
	[0x0e] = {"PING", MYSQL_ANSWER_OK, 1, 1},
	[0x0f] = {"TIME", MYSQL_ANSWER_OK, 1, 1},
	[0x10] = {"DELAYED_INSERT", MYSQL_ANSWER_OK, 1, 1},
	[0x11] = {"CHANGE_USER", MYSQL_ANSWER_AUTH, 4, 0},
	[0x12] = {"BINLOG_DUMP", MYSQL_ANSWER_STREAM, 11, 0},
	[0x13] = {"TABLE_DUMP", MYSQL_ANSWER_STREAM, 4, 0},
	[0x14] = {"CONNECT_OUT", MYSQL_ANSWER_OK, 1, 1},
	[0x15] = {"REGISTER_SLAVE", MYSQL_ANSWER_OK, 18, 255},
	[0x16] = {"STMT_PREPARE", MYSQL_ANSWER_PREPARE, 3, 0},
	[0x17] = {"STMT_EXECUTE", MYSQL_ANSWER_RESULT, 10, 0},
	[0x18] = {"STMT_SEND_LONG_DATA", MYSQL_ANSWER_NONE, 7, 0},
	[0x19] = {"STMT_CLOSE", MYSQL_ANSWER_NONE, 5, 5},
	[0x1a] = {"STMT_RESET", MYSQL_ANSWER_OK, 5, 5},
	[0x1b] = {"SET_OPTION", MYSQL_ANSWER_OK, 3, 3},
	[0x1c] = {"STMT_FETCH", MYSQL_ANSWER_ROWS, 9, 9},
	[0x1d] = {"DAEMON", MYSQL_ANSWER_OK, 1, 1},
	[0x1e] = {"BINLOG_DUMP_GTID", MYSQL_ANSWER_STREAM, 19, 0},
	[0x1f] = {"RESET_CONNECTION", MYSQL_ANSWER_OK, 1, 1},
	[0x20] = {"CLONE", MYSQL_ANSWER_STREAM, 1, 1},
	[0x21] = {"SUBSCRIBE_GROUP_REPLICATION_STREAM", MYSQL_ANSWER_STREAM, 1, 1},
};

const struct mysql_word *tl_mysql_word(uint32_t command)
{
	if (command < sizeof(words) / sizeof(words[0]))
		return &words[command];
	if (command == MYSQL_BULK_EXECUTE)
		return &bulk;
	return command == MYSQL_LOGIN ? &login : &none;
}

enum tl_status tl_mysql_error_status(uint32_t code, const uint8_t *sqlstate)
{
	switch (code) {
	case 1317: // ER_QUERY_INTERRUPTED
		return TL_STATUS_CANCELLED;
	case 3024: // ER_QUERY_TIMEOUT
		return TL_STATUS_TIMEOUT;
	case 1040: // ER_CON_COUNT_ERROR
	case 1041: // ER_OUT_OF_RESOURCES
	case 1053: // ER_SERVER_SHUTDOWN
	case 1129: // ER_HOST_IS_BLOCKED
	case 1203: // ER_TOO_MANY_USER_CONNECTIONS
	case 1205: // ER_LOCK_WAIT_TIMEOUT
	case 1213: // ER_LOCK_DEADLOCK
	case 1290: // ER_OPTION_PREVENTS_STATEMENT: read only
	case 1927: // ER_CONNECTION_KILLED
	case 4031: // ER_CLIENT_INTERACTION_TIMEOUT
		return TL_STATUS_SERVER_ERROR;
	default:
		break;
	}
	if (sqlstate == NULL)
		return TL_STATUS_CLIENT_ERROR;
	uint32_t class = (uint32_t)sqlstate[0] << 8 | sqlstate[1];
	bool is_server = class == ('0' << 8 | '8') || class == ('5' << 8 | '3') ||
			 class == ('5' << 8 | '7') || class == ('X' << 8 | 'A');
	return is_server ? TL_STATUS_SERVER_ERROR : TL_STATUS_CLIENT_ERROR;
}

bool tl_mysql_error_quotes_values(uint32_t code)
{
	switch (code) {
	case 1062: // ER_DUP_ENTRY
	case 1064: // ER_PARSE_ERROR
	case 1149: // ER_SYNTAX_ERROR
	case 1264: // ER_WARN_DATA_OUT_OF_RANGE
	case 1292: // ER_TRUNCATED_WRONG_VALUE
	case 1366: // ER_TRUNCATED_WRONG_VALUE_FOR_FIELD
	case 1367: // ER_ILLEGAL_VALUE_FOR_TYPE
	case 1411: // ER_WRONG_VALUE_FOR_TYPE
	case 1525: // ER_WRONG_VALUE
	case 1586: // ER_DUP_ENTRY_WITH_KEY_NAME
		return true;
	default:
		return false;
	}
}
