// SPDX-License-Identifier: Apache-2.0
// What the MySQL decoder remembers of a connection, and what its files tell each other.
//
// The client's commands are answered in order, so pairing is by order; `key` counts requests. A
// command has sequence number 0 and its answer begins with the number after it: what does not is
// no command and no answer, whatever its bytes look like. Inside compressed frames servers take
// over the number of the frame whenever they flush: there only an answer's first packet has a number
// that can be foretold, and it is needed after a loss alone.
#pragma once

#include "l7/decoder.h"
#include "statement.h"
#include "words.h"

#define MYSQL_HEAD_BYTES 4u           // length and sequence number
#define MYSQL_FRAME_HEAD_BYTES 7u     // of a compressed frame: length, number, plain length
#define MYSQL_PACKET_MAX 0xffffffu    // a packet of this length goes on in the next one
#define MYSQL_TEXT_BYTES_MAX (TL_SQL_READ_BYTES_MAX + 1u) // of a command with a text
#define MYSQL_LOGIN_BYTES_MAX 4096u   // of a login or CHANGE_USER
#define MYSQL_COMMAND_BYTES_MAX 260u  // of any other command
#define MYSQL_ANSWER_BYTES_MAX 1024u  // of OK, ERR, greeting
#define MYSQL_NEED_MAX (MYSQL_HEAD_BYTES + MYSQL_TEXT_BYTES_MAX)
#define MYSQL_NAME_BYTES_MAX 64u      // kept of user and schema
#define MYSQL_QUERY_TEXT_MAX 4096u    // shown of a text, at most
#define MYSQL_ATTRIBUTES_MAX 32u      // of a login or a query that are read
#define MYSQL_CHANGES_MAX 16u         // session state changes in an OK that are read
#define MYSQL_COLUMNS_MAX 4096u       // columns of a table, by the servers
#define MYSQL_BAD_COMMANDS_MAX 4u     // in a row, until the connection is given up
#define MYSQL_PACKETS_AT_ONCE 64u     // of an answer that are read in one step, rows aside

enum mysql_field {
	MYSQL_FIELD_COMMAND,
	MYSQL_FIELD_SUMMARY,
	MYSQL_FIELD_ERROR_CODE,
	MYSQL_FIELD_TEXT,
	MYSQL_FIELD_DIGEST,
	MYSQL_FIELD_STATEMENTS,
	MYSQL_FIELD_SCHEMA,
	MYSQL_FIELD_USER,
	MYSQL_FIELD_STATEMENT_ID,
	MYSQL_FIELD_ATTRIBUTES,
	MYSQL_FIELD_AUTH_PLUGIN,
	MYSQL_FIELD_AFFECTED_ROWS,
	MYSQL_FIELD_LAST_INSERT_ID,
	MYSQL_FIELD_WARNINGS,
	MYSQL_FIELD_RETURNED_ROWS,
	MYSQL_FIELD_COLUMNS,
	MYSQL_FIELD_RESULT_SETS,
	MYSQL_FIELD_SQLSTATE,
	MYSQL_FIELD_ERROR_MESSAGE,
	MYSQL_FIELD_SERVER_VERSION,
	MYSQL_FIELD_THREAD_ID,
	MYSQL_FIELD_COUNT
};

enum mysql_counter {
	MYSQL_COUNT_BAD_COMMAND,
	MYSQL_COUNT_STRAY_PACKETS,
	MYSQL_COUNT_MISALIGNED,
	MYSQL_COUNT_STATEMENTS_EVICTED,
	MYSQL_COUNT_STATEMENTS_UNKNOWN,
	MYSQL_COUNT_LONG_TEXT,
	MYSQL_COUNT_COMPRESSED,
	MYSQL_COUNT_BINLOG_EVENTS,
	MYSQL_COUNT_SEMI_SYNC_ACKS,
	MYSQL_COUNT_INFILE_PACKETS,
	MYSQL_COUNT_PROGRESS_REPORTS,
	MYSQL_COUNTER_COUNT
};

struct mysql_options {
	bool mask_literals;
	uint64_t query_text_max;
};

// Where the server lane is.
enum mysql_phase {
	MYSQL_PHASE_FIRST,      // an answer, or a further result of one, begins
	MYSQL_PHASE_COLUMNS,    // `left` column definitions follow
	MYSQL_PHASE_AFTER_COLUMNS, // EOF, or the first row where there is none
	MYSQL_PHASE_ROWS,
	MYSQL_PHASE_FIELDS,     // column definitions up to EOF
	MYSQL_PHASE_PARAMETERS, // of a prepared statement, `left` of them
	MYSQL_PHASE_AFTER_PARAMETERS,
	MYSQL_PHASE_PREPARED_COLUMNS,
	MYSQL_PHASE_AFTER_PREPARED,
	MYSQL_PHASE_STREAM,     // of events
};

// Who knows whether EOF packets follow column definitions.
enum mysql_eof { MYSQL_EOF_UNKNOWN, MYSQL_EOF_SENT, MYSQL_EOF_LEFT_OUT };

// Kept with an open request.
struct mysql_memo {
	uint16_t command;
	uint8_t is_long;    // of several packets: its last sequence number is not known
	uint8_t sets_schema; // next_schema is its name
	uint32_t key;
	uint64_t reserved;
};
_Static_assert(sizeof(struct mysql_memo) == TL_MEMO_BYTES, "memo");

// What the answer being read has said so far.
struct mysql_result {
	uint64_t rows;
	uint64_t affected;
	uint64_t last_insert_id;
	uint32_t warnings;
	uint32_t columns;
	uint16_t sets;
	bool has_ok;
};

// The frame of a compressed connection that a lane is in.
struct mysql_frame {
	uint64_t end;  // offset in the lane
	uint32_t left; // plain bytes that it still gives
	uint8_t how;
	bool is_lost;  // where the next one begins isn't known
};

struct mysql_name {
	uint8_t len;
	char text[MYSQL_NAME_BYTES_MAX];
};

struct mysql {
	struct mysql_result result;
	uint64_t greeting_end;  // offset in the server lane
	uint64_t end[TL_LANE_COUNT]; // of the last packet read
	uint32_t next_key;
	uint32_t capabilities;  // of both sides
	uint32_t thread_id;
	uint32_t left;          // column definitions
	uint16_t prepared_columns;
	uint16_t outstanding;   // open requests: resync() has no other way to know
	uint8_t phase;          // enum mysql_phase
	uint8_t eof;            // enum mysql_eof
	uint8_t sequence;       // of the server's next packet
	int32_t drift;          // mute: answers beyond commands since the loss, and its highest value
	int32_t drift_max;
	uint8_t drift_hits;     // commands sent while it was the highest
	uint8_t bad_commands;
	bool client_continues;  // the next packet is a part of the one before
	bool server_continues;
	bool is_greeted;
	bool has_login;         // capabilities are known
	bool is_answering;      // the answer has begun
	bool any_sequence;      // the next packet's number can't be foretold
	bool in_infile;         // the client sends a file
	bool is_stale;          // user, schema, statements may have changed in a hole
	bool pipelines;         // it had several requests open at once
	bool may_pipeline;      // it may have: answers may be lost as well
	bool waits;             // it had the answer before it sent the next
	bool is_doubtful;       // pairing is not trusted until an answer has left nothing open
	bool has_answered;      // an answer was paired
	bool has_heard;         // the server said something since the newest command
	bool has_lost_command;  // that was in a hole
	bool is_mute;           // no pairs are made, see loss.c
	bool turns_packed;      // the login is over, compressed frames follow
	bool may_be_packed;     // the client asked for it, the server's answer was not seen
	bool is_packed;         // frames follow, see packed.c
	bool is_inside;         // this is what was inside frames
	uint8_t client_frame;   // inside: number of the client's newest frame
	bool may_trail;         // an EOF may follow a PREPARE answer that was closed without
	bool has_statements;    // some are kept in the room
	bool has_no_escapes;    // backslashes in strings are nothing special
	struct mysql_frame frames[TL_LANE_COUNT];
	struct mysql_name user;
	struct mysql_name schema;
	union {
		struct mysql_name next_schema;
		struct mysql_name version; // of the server, until the login is over
	};
};

// A call of step().
struct mysql_call {
	struct tl_ctx *ctx;
	struct mysql *my;
	enum tl_lane lane;
	struct tl_bytes payload; // as much of the packet as the view has
	uint64_t begin;          // offset of the packet
	uint64_t end;            // of what follows it
	uint32_t len;            // of the payload
	uint8_t sequence;
	bool is_unpaired;        // a command whose answer can't be told
};

static inline const struct mysql_options *tl_mysql_options(const struct mysql_call *call)
{
	return (const struct mysql_options *)tl_options(call->ctx);
}

// A number in the protocol's length-encoded form; sets `failed` for what is none (NULL, ERR).
uint64_t tl_mysql_lenenc(struct tl_cursor *c);
// Bytes up to a NUL or the end.
struct tl_bytes tl_mysql_nul_text(struct tl_cursor *c);
void tl_mysql_name_set(struct mysql_name *name, struct tl_bytes text);
static inline struct tl_bytes tl_mysql_name_bytes(const struct mysql_name *name)
{
	return tl_bytes(name->text, name->len);
}

// The prepared statements that are kept, NULL if none are.
static inline struct mysql_statements *tl_mysql_statements(const struct mysql_call *call)
{
	return call->my->has_statements ? tl_room(call->ctx) : NULL;
}

static inline void tl_mysql_forget_statements(const struct mysql_call *call)
{
	struct mysql_statements *statements = tl_mysql_statements(call);

	if (statements != NULL)
		tl_mysql_statement_clear(statements);
}

// The number of an answer's first packet.
static inline uint8_t tl_mysql_first_number(const struct mysql *my)
{
	return my->is_inside ? (uint8_t)(my->client_frame + 1) : 1;
}

// What is known of the session or of pairing is not sure, after a loss.
static inline bool tl_mysql_is_unsure(const struct mysql_call *call)
{
	const struct mysql *my = call->my;
	return my->is_doubtful || my->is_stale ||
	       (!my->has_login && !tl_is_late_join(call->ctx));
}

static inline bool tl_mysql_asks_for_packing(const struct mysql *my)
{
	return my->has_login && (my->capabilities & (MYSQL_CAP_COMPRESS | MYSQL_CAP_ZSTD)) != 0;
}

// The client's packet is a command: its message begins.
void tl_mysql_begin(struct mysql_call *call);
// Opens it as a request, or as one way.
void tl_mysql_open(struct mysql_call *call, uint32_t command, bool sets_schema);
// Sets the command on the client's message.
void tl_mysql_show_command(struct mysql_call *call, uint32_t command);
// The same with schema and user of the connection.
void tl_mysql_show_session(struct mysql_call *call, uint32_t command);

// login.c. The first packet of a server.
bool tl_mysql_is_greeting(struct tl_bytes payload);
bool tl_mysql_is_login(struct tl_bytes payload);
void tl_mysql_read_greeting(struct mysql_call *call);
void tl_mysql_read_login(struct mysql_call *call);
void tl_mysql_read_change_user(struct mysql_call *call);

// loss.c. Nothing that is open can be told to be answered or not.
void tl_mysql_lose_track(struct tl_ctx *ctx, struct mysql *my);
// Mute, a command begins, after a silence or not: true when it may be paired again.
bool tl_mysql_finds_track(struct mysql *my, bool is_silent);
// Mute, a packet of an answer.
void tl_mysql_count_answer(const struct mysql_call *call);

struct tl_step tl_mysql_client_step(struct mysql_call *call);
struct tl_step tl_mysql_server_step(struct mysql_call *call);
// Passes definitions, the EOF behind them and rows, of which nothing but that they are there is of
// interest. Gives how many bytes they have, the last one may reach beyond the view.
uint64_t tl_mysql_pass_rows(struct mysql *my, struct tl_bytes view);
