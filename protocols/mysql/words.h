// SPDX-License-Identifier: Apache-2.0
// Numbers of the MySQL protocol. Sources: MySQL 8.0 source documentation, "Client/Server Protocol";
// MariaDB knowledge base, "Client/Server Protocol".
#pragma once

#include "l7/roundtrip.h"

enum mysql_command {
	MYSQL_QUIT = 0x01,
	MYSQL_INIT_DB = 0x02,
	MYSQL_QUERY = 0x03,
	MYSQL_PING = 0x0e,
	MYSQL_CHANGE_USER = 0x11,
	MYSQL_STMT_PREPARE = 0x16,
	MYSQL_STMT_EXECUTE = 0x17,
	MYSQL_STMT_SEND_LONG_DATA = 0x18,
	MYSQL_STMT_CLOSE = 0x19,
	MYSQL_STMT_RESET = 0x1a,
	MYSQL_STMT_FETCH = 0x1c,
	MYSQL_RESET_CONNECTION = 0x1f,
	MYSQL_BULK_EXECUTE = 0xfa,
	MYSQL_LOGIN = 0x100, // not on the wire: the connection phase
};

#define MYSQL_COMMAND_NAME_MAX 40u

// What answers a command.
enum mysql_answer {
	MYSQL_ANSWER_NO,      // no such command
	MYSQL_ANSWER_NONE,    // one way
	MYSQL_ANSWER_OK,      // OK, EOF or ERR
	MYSQL_ANSWER_RESULT,  // OK, ERR, result sets, LOCAL INFILE
	MYSQL_ANSWER_PREPARE,
	MYSQL_ANSWER_FIELDS,  // column definitions up to EOF
	MYSQL_ANSWER_ROWS,    // rows up to EOF
	MYSQL_ANSWER_TEXT,    // one packet of text
	MYSQL_ANSWER_STREAM,  // events without end
	MYSQL_ANSWER_AUTH,    // rounds of authentication, then OK or ERR
};

struct mysql_word {
	const char *name;
	uint8_t answer; // enum mysql_answer
	uint8_t min;    // bytes of such a packet, to tell it from others; max 0: any number
	uint8_t max;
};

// Name and answer of a command; name NULL when there is no such command.
const struct mysql_word *tl_mysql_word(uint32_t command);

// What an error is to the client: by its code, else by its SQLSTATE's class.
enum tl_status tl_mysql_error_status(uint32_t code, const uint8_t *sqlstate);

// True for errors whose messages quote values or parts of the statement.
bool tl_mysql_error_quotes_values(uint32_t code);

enum mysql_capability {
	MYSQL_CAP_CLIENT_MYSQL = 1u << 0, // MariaDB leaves it unset and has capabilities of its own
	MYSQL_CAP_CONNECT_WITH_DB = 1u << 3,
	MYSQL_CAP_COMPRESS = 1u << 5,
	MYSQL_CAP_PROTOCOL_41 = 1u << 9,
	MYSQL_CAP_SSL = 1u << 11,
	MYSQL_CAP_SECURE_CONNECTION = 1u << 15,
	MYSQL_CAP_PLUGIN_AUTH = 1u << 19,
	MYSQL_CAP_CONNECT_ATTRS = 1u << 20,
	MYSQL_CAP_LENENC_AUTH = 1u << 21,
	MYSQL_CAP_SESSION_TRACK = 1u << 23,
	MYSQL_CAP_DEPRECATE_EOF = 1u << 24,
	MYSQL_CAP_OPTIONAL_METADATA = 1u << 25,
	MYSQL_CAP_ZSTD = 1u << 26,
	MYSQL_CAP_QUERY_ATTRIBUTES = 1u << 27,
};

enum mysql_server_status {
	MYSQL_STATUS_MORE_RESULTS = 0x0008,
	MYSQL_STATUS_CURSOR_EXISTS = 0x0040,
	MYSQL_STATUS_NO_BACKSLASH_ESCAPES = 0x0200,
	MYSQL_STATUS_SESSION_CHANGED = 0x4000,
};
