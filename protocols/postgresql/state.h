// SPDX-License-Identifier: Apache-2.0
// What the PostgreSQL decoder remembers of a connection, and what its parts tell each other.
//
// Client messages make records: a simple query or a function call is one; of the extended protocol
// everything up to an Execute is one, and what is left at a Sync is one. The server answers in
// order, and each ReadyForQuery ends one group: a start-up, a query, or all up to a Sync. Groups
// are counted in both lanes; a request carries the number of its group in its memo.
#pragma once

#include "base/bytes.h"
#include "l7/decoder.h"
#include "protocols/postgresql/statement.h"
#include "protocols/postgresql/words.h"

#define PG_HEAD_BYTES 5u              // type and length
#define PG_STARTUP_BYTES_MAX 10000u   // MAX_STARTUP_PACKET_LENGTH of the server
#define PG_SHOWN_BYTES_MAX 2048u      // of a query, by option
#define PG_TEXT_BYTES_MAX 16384u      // of a query: more is not looked at
#define PG_NAMES_BYTES_MAX 1024u      // read of Bind, Describe, Close, Execute for their names
#define PG_ERROR_BYTES_MAX 8192u      // read of an ErrorResponse
#define PG_NAME_BYTES_MAX 63u         // NAMEDATALEN of the server without the NUL
#define PG_COMMAND_BYTES_MAX 32u      // of a command's name
#define PG_STATE_BYTES_MAX 16u        // of the word for a transaction's state
#define PG_NEED_MAX (PG_TEXT_BYTES_MAX + PG_HEAD_BYTES)
#define PG_SETTLE_GROUPS 4u           // flagged after a loss, until pairing is trusted again
// Groups in good order that it takes to pair again behind a loss, by the calm ones before it, which
// were sent while no other one waited: 1 of PG_CALM_GROUPS, ...
#define PG_CALM_GROUPS 64u
#define PG_CLEAN_NEW 4u               // ... this many of less, ...
#define PG_CALM_GROUPS_FEW 8u
#define PG_CLEAN_STRANGER 64u         // ... and this of even less

enum pg_field {
	PG_FIELD_COMMAND,
	PG_FIELD_SUMMARY,
	PG_FIELD_TEXT,
	PG_FIELD_DIGEST,
	PG_FIELD_STATEMENTS,
	PG_FIELD_STATEMENT,
	PG_FIELD_PORTAL,
	PG_FIELD_DATABASE,
	PG_FIELD_USER,
	PG_FIELD_APPLICATION,
	PG_FIELD_VERSION,
	PG_FIELD_REPLICATION,
	PG_FIELD_CHANNEL,
	PG_FIELD_PAYLOAD,
	PG_FIELD_BACKEND_PID,
	PG_FIELD_SQLSTATE,
	PG_FIELD_SEVERITY,
	PG_FIELD_MESSAGE,
	PG_FIELD_ERROR,
	PG_FIELD_TAG,
	PG_FIELD_AFFECTED_ROWS,
	PG_FIELD_RETURNED_ROWS,
	PG_FIELD_COPY_BYTES,
	PG_FIELD_SUSPENDED,
	PG_FIELD_NOTICES,
	PG_FIELD_STATE,
	PG_FIELD_AUTH,
	PG_FIELD_SERVER_VERSION,
	PG_FIELD_COUNT
};

enum pg_counter {
	PG_COUNT_BAD_MESSAGE,
	PG_COUNT_UNSURE_DROPPED,
	PG_COUNT_MISALIGNED,
	PG_COUNT_STRAY_ANSWERS,
	PG_COUNT_STATEMENTS_EVICTED,
	PG_COUNT_STATEMENTS_UNKNOWN,
	PG_COUNT_PORTALS_EVICTED,
	PG_COUNT_LONG_QUERY,
	PG_COUNT_REPLICATION_MESSAGES,
	PG_COUNT_HIDDEN_NOTIFICATIONS,
	PG_COUNTER_COUNT
};

enum pg_kind {
	PG_KIND_STARTUP,
	PG_KIND_QUERY,
	PG_KIND_FUNCTION,
	PG_KIND_EXECUTE, // ends with its CommandComplete, or with ReadyForQuery when last in its group
	PG_KIND_REST,    // of a group, without Execute
};

// Kept with an open request.
struct pg_memo {
	uint32_t group;
	uint8_t kind;    // enum pg_kind
	uint8_t is_last; // a Sync came right behind: it gets what ReadyForQuery says
	uint8_t reserved[10];
};

_Static_assert(sizeof(struct pg_memo) == TL_MEMO_BYTES, "memo");

// The request that the client lane is making of several messages.
enum pg_making {
	PG_MAKING_NONE,
	PG_MAKING_PARTS, // of Parse, Bind, Describe, Close: no Execute so far
	PG_MAKING_DONE,  // complete; opened with the next message, which says whether it is the last
};

enum pg_part { PG_PART_PARSE = 1, PG_PART_DESCRIBE = 2, PG_PART_BIND = 4, PG_PART_CLOSE = 8 };

struct pg_client {
	uint64_t begin;       // offset of the request being made
	uint64_t key;         // of the newest request
	uint64_t copied;      // payload of CopyData since the newest request
	uint32_t group;       // number of the group being sent
	uint32_t parsed;      // id of the statement parsed in this request
	uint32_t bound;       // id of the statement bound in it
	uint32_t portal;      // id of the portal bound in it
	uint8_t making;       // enum pg_making
	uint8_t parts;        // enum pg_part bits of this request
	bool opened_early;    // the answer began before the request was complete
	bool has_text;        // of the statement `parsed`
	bool in_group;        // a message of the group came
	bool is_muted;        // this group is not to be paired
	uint8_t syncs;        // since the newest request: a COPY swallows these
	bool started;         // the StartupMessage was read: only typed messages follow
};

struct pg_server {
	uint64_t rows;        // by command tags of the answer being read
	uint64_t returned;    // DataRows in it
	uint64_t copied;      // payload of CopyData in it
	uint32_t group;       // number of the group being answered
	uint32_t statements;  // completed in it
	uint16_t notices;     // since the answer before
	uint8_t status;       // enum tl_status
	uint8_t kind;         // enum pg_kind of the request it answers
	bool is_answering;    // the lane's current message is an answer
	bool is_last;
	bool has_failed;      // an error came in this group: the rest of it is skipped
	bool is_suspended;
	bool is_copy_in;
	bool has_auth;        // the way of authentication was shown
	bool in_replication;  // behind CopyBothResponse
};

struct pg {
	struct pg_client client;
	struct pg_server server;
	uint8_t doubt;        // groups until pairing is trusted again
	uint8_t calm;         // groups, saturating
	uint8_t clean;        // groups in good order since the loss
	uint16_t owed;        // answers to muted groups that have not come
	bool is_blind;        // nothing is paired until the server is ready and nothing is owed
	bool is_ready;        // ReadyForQuery came, and no request since
	bool is_settled;      // where a group begins is known
	bool pipelines;       // the client sends groups before earlier ones are answered
	uint8_t asks_encryption; // the byte that would grant it: 'S' TLS, 'G' GSSAPI; 0: not asked
	bool has_lost;        // bytes of this connection never came
	uint8_t database_len;
	uint8_t user_len;
	uint8_t application_len;
	bool was_read[TL_LANE_COUNT]; // a message of the lane
	bool has_escapes;     // a backslash escapes in plain strings, too
	char database[PG_NAME_BYTES_MAX + 1];
	char user[PG_NAME_BYTES_MAX + 1];
	char application[PG_NAME_BYTES_MAX + 1];
};

// What the configuration may say of PostgreSQL.
struct pg_options {
	bool mask_literals;
	uint64_t query_text_max;
};

// One message, or as much of it as is looked at.
struct pg_message {
	uint64_t offset;       // of its first byte
	uint64_t end;          // of the byte behind it
	struct tl_bytes body;  // behind the head, cut at what the type takes
	uint32_t full;         // bytes the body has on the wire
	uint8_t type;
};

// The call in progress.
struct pg_call {
	struct tl_ctx *ctx;
	struct pg *pg;
	struct pg_statements *statements;
	const struct pg_options *options;
};

// ---- looks.c: what a message may look like, without state --------------------------------------

#define PG_STARTUP_HEAD_BYTES 8u
#define PG_CODE_MAJOR 1234u // of packets that are no StartupMessage

enum { PG_CODE_CANCEL = 5678, PG_CODE_SSL = 5679, PG_CODE_GSS = 5680 };

// Is `first` (at least 8 bytes) the head of a packet of the start-up phase? Gives its length.
bool tl_pg_is_startup(struct tl_bytes first, uint32_t *ret_len);
// Could a message of `lane` begin with these bytes (at least a head)? Gives how many bytes of its
// body are looked at.
bool tl_pg_head_is_plausible(enum tl_lane lane, struct tl_bytes first, uint32_t *ret_wanted);
enum tl_match tl_pg_match(enum tl_lane lane, struct tl_bytes first);
uint32_t tl_pg_find_start(enum tl_lane lane, struct tl_bytes view);

// ---- startup.c: packets without a type ---------------------------------------------------------

// Reads a whole packet, which begins at `offset`.
void tl_pg_startup(struct pg_call *call, struct tl_bytes packet, uint64_t offset);
// Reads the server's single byte that answers a request for encryption, 'E' when an error begins
// there. True: from `offset` + 1 on the connection is encrypted.
bool tl_pg_encryption_answer(struct pg_call *call, uint8_t answer, uint64_t offset);
// What later requests say of the client's program.
void tl_pg_set_application(struct pg *pg, struct tl_bytes name);

// ---- client.c ----------------------------------------------------------------------------------

void tl_pg_client_message(struct pg_call *call, const struct pg_message *m);
// The request that is complete but not queued yet, queued now; also the unfinished one.
void tl_pg_client_open(struct pg_call *call, bool is_last);
void tl_pg_client_end(struct pg_call *call, uint64_t offset);
// Names the command of a request without Execute. For one whose answer ends it too early.
void tl_pg_client_name_parts(struct pg_call *call);
// Sets what every request says of its connection.
void tl_pg_client_session(struct pg_call *call);
// Queues the client lane's current message.
void tl_pg_client_queue(struct pg_call *call, enum pg_kind kind, bool is_last);

// ---- server.c ----------------------------------------------------------------------------------

void tl_pg_server_message(struct pg_call *call, const struct pg_message *m);
// The lane ends at `offset`: an answer that lacks nothing but its end is one.
void tl_pg_server_end(struct pg_call *call, uint64_t offset);

// ---- postgresql.c ------------------------------------------------------------------------------

// What is answered by what is not known any more: pairing starts again at a quiet moment.
void tl_pg_lose_track(struct pg_call *call);

// A C string at the cursor; cut (without NUL) ones end with the view.
static inline struct tl_bytes pg_string(struct tl_cursor *c)
{
	uint32_t end = tl_bytes_find(c->bytes, 0, c->at);

	if (c->failed || end == TL_BYTES_NONE) {
		c->failed = true;
		return tl_bytes(c->bytes.ptr, 0);
	}
	struct tl_bytes text = tl_bytes(c->bytes.ptr + c->at, end - c->at);
	c->at = end + 1;
	return text;
}
