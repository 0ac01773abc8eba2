// SPDX-License-Identifier: Apache-2.0
// What the Redis decoder remembers of a connection, shared by its own files only. All zero between
// commands of a plain connection, so that an idle one needs no state.
//
// Replies pair with requests by order alone, so after a loss the order must be found again before
// anything is paired. The decoder does it by turns: a client's turn begins with the first request
// that it sends after bytes of the server. Clients that wait for all their replies begin each turn
// with nothing outstanding.
//  - A loss makes the order LOST: what is open ends as `unanswered`, reason `gap`; further requests
//    end like that too, replies are dropped.
//  - The next turn begins a PROBATION: requests are counted against replies. A reply too many
//    shows that an older request was outstanding, and the order is LOST again.
//  - A connection joined late is trusted at once, but the first turn seen may lack its first
//    requests: where it has several, none of them is paired, and one alone carries the flag `gap`.
//  - A turn that begins with as many replies as requests is a clean one. Some of them end the
//    probation, the fewer the more calm turns, which began with nothing outstanding, were seen
//    before the loss; pairing goes on with the request at hand.
// For a client of which a turn was seen to begin with requests outstanding counting proves
// nothing, as replies may lag behind forever. For it, as for the others, the order is known again
// when a turn begins after a silence (tl_after_silence()).
#pragma once

#include "redis.h"
#include "words.h"

#include "l7/decoder.h"

#define REDIS_HEAD_BYTES_MAX 24u             // of a type byte with a number and the line end
#define REDIS_LINE_BYTES_MAX 1024u           // looked at of an inline command, an error, a string
#define REDIS_KEY_BYTES_MAX 256u             // looked at of an argument
#define REDIS_NEED_BYTES_MAX 1100u           // the most ever asked for
#define REDIS_ARGUMENTS_MAX INT32_MAX        // of a command, as in the server
#define REDIS_BULK_BYTES_MAX (INT64_C(1) << 40) // of a string; servers refuse over 512 MB by default
#define REDIS_ELEMENTS_MAX (UINT64_C(1) << 40) // outstanding elements of a reply
#define REDIS_DEPTH_MAX 8u                   // aggregates around a streamed one
#define REDIS_PATTERNS_MAX 64u               // key patterns tried
// Clean turns that end a probation, by the calm turns before the loss: see above.
#define REDIS_CALM_TURNS 64u      // 1, but
#define REDIS_CLEAN_BATCHES 2u    // for clients that send batches
#define REDIS_CLEAN_NEW 4u        // for less than REDIS_CALM_TURNS
#define REDIS_CALM_TURNS_FEW 8u
#define REDIS_CLEAN_STRANGER 64u  // for even less than REDIS_CALM_TURNS_FEW
#define REDIS_HUNT_BYTES_MAX (256u * 1024u)  // read in search of a command before giving up
#define REDIS_CHAIN_MAX 32u                  // arguments looked at to believe in a command

enum redis_field {
	REDIS_FIELD_COMMAND,
	REDIS_FIELD_KEY,
	REDIS_FIELD_KEY_COUNT,
	REDIS_FIELD_DB,
	REDIS_FIELD_ARGUMENT_BYTES,
	REDIS_FIELD_REPLY_TYPE,
	REDIS_FIELD_PUSH,
	REDIS_FIELD_ERROR,
	REDIS_FIELD_ERROR_TEXT,
	REDIS_FIELD_ERRORS,
	REDIS_FIELD_REDIRECT,
	REDIS_FIELD_COUNT
};

enum redis_counter {
	REDIS_COUNT_BAD_REQUEST,
	REDIS_COUNT_BAD_REPLY,
	REDIS_COUNT_LONG_LINE,
	REDIS_COUNT_ORDER_LOST,
	REDIS_COUNT_UNPAIRED_REPLIES,
	REDIS_COUNT_STRAY_CONFIRMATIONS,
	REDIS_COUNT_MONITOR_LINES,
	REDIS_COUNTER_COUNT
};

enum redis_order { REDIS_ALIGNED, REDIS_LOST, REDIS_PROBATION };

enum redis_flag {
	REDIS_CLIENT_SPOKE = 1u << 0, // the client sent since the server did
	REDIS_SETTLED = 1u << 1,      // of a late join: its first request was seen
	REDIS_UNSURE = 1u << 2,       // lost bytes may have changed the state of the connection
	REDIS_MUTED = 1u << 3,        // CLIENT REPLY OFF
	REDIS_SKIPS_ONE = 1u << 4,    // CLIENT REPLY SKIP: the next command has no reply
	REDIS_IN_MULTI = 1u << 5,
	REDIS_SUBSCRIBER = 1u << 6,   // arrays may be pub/sub messages
	REDIS_MONITORS = 1u << 7,     // lines that begin with a time are no replies
	REDIS_SELECTS = 1u << 9,      // a SELECT was not answered yet
	REDIS_OVERLAPS = 1u << 10,    // a turn began with requests outstanding
	REDIS_LONG_TURN = 1u << 11,   // this turn has several requests
	REDIS_BATCHES = 1u << 12,     // such a turn ended with all its replies
	REDIS_DOUBT = 1u << 8,        // joined late, in this turn of the client: see begin_turn()
};

enum redis_request_phase {
	REDIS_REQUEST_START,
	REDIS_ARGUMENTS,     // the head of an argument begins here
	REDIS_ARGUMENT_TAIL, // the line end behind an argument begins here
	REDIS_INLINE_REST,   // the rest of an inline command that was too long
	REDIS_HUNT,          // what came was no command: looks for one
};

struct redis_request {
	uint64_t key;            // offset of its first byte, by which it pairs
	uint64_t argument_bytes; // behind the name, so far
	uint32_t count;          // of arguments, with the name
	uint32_t at;             // index of the next argument
	uint32_t keys;           // counted so far
	uint32_t streams_at;     // index of the word STREAMS, 0: not seen
	const struct redis_command *command; // its row, NULL: not listed
	uint8_t phase;           // enum redis_request_phase
	uint8_t blocks_next;     // the next argument is what BLOCK waits
	uint8_t reserved[6];
};

enum redis_reply_phase {
	REDIS_REPLY_START,
	REDIS_VALUES,     // the next value of an aggregate begins here
	REDIS_VALUE_TAIL, // the line end behind a string begins here
	REDIS_VALUE_LINE, // the rest of a line that was too long
	REDIS_CHUNKS,     // the next part of a streamed string begins here
	REDIS_CHUNK_TAIL, // the line end behind such a part
	REDIS_DISCARD,    // nothing is read here until the order is known again
};

enum redis_reply_flag {
	REDIS_BEGUN = 1u << 0,     // attributes in front of it were read, the message has begun
	REDIS_ATTRIBUTE = 1u << 1, // the values being read belong to an attribute
	REDIS_DROPPED = 1u << 2,   // no record comes of it
	REDIS_EXEC = 1u << 3,      // its errors count; it pairs when it is over
	REDIS_AGGREGATE = 1u << 5, // errors among its elements are counted
	REDIS_CONFIRMS = 1u << 4,  // it confirms a subscription; it pairs when it is over
};

#define REDIS_STREAM UINT64_MAX // `left` of an aggregate that ends by its own mark

struct redis_reply {
	uint64_t left;                    // values to come in the innermost level
	uint64_t outer[REDIS_DEPTH_MAX];
	uint64_t number;                  // last integer read
	uint32_t errors;
	uint8_t depth;
	uint8_t phase;  // enum redis_reply_phase
	uint8_t flags;  // enum redis_reply_flag
	uint8_t role;   // of the confirmation: enum redis_role
};

struct redis {
	struct redis_request request;
	struct redis_reply reply;
	uint32_t subscriptions[3]; // channels, patterns, shard channels
	uint32_t db;               // selected database + 1, 0: none was selected
	uint32_t multi_db;         // the same before MULTI
	uint16_t clean_turns;      // of the probation
	uint16_t flags;            // enum redis_flag
	uint8_t order;             // enum redis_order
	uint8_t calm_turns;        // see above, saturating
	uint8_t reserved[2];
};

_Static_assert(sizeof(struct redis) <= 256, "connections are many");

// Kept with an open request.
struct redis_memo {
	union {
		uint64_t end;     // PSYNC, SYNC: offset behind it
		uint64_t replies; // (P|S)(UN)SUBSCRIBE: confirmations to come, 0: not known
	};
	uint32_t db;      // SELECT, EXEC: what the database is if it fails
	uint16_t role;    // enum redis_role
	uint16_t is_fresh; // opened while the order was unknown: never to be paired
};

_Static_assert(sizeof(struct redis_memo) == TL_MEMO_BYTES, "the core copies a whole memo");

// The call in progress.
struct redis_call {
	struct tl_ctx *ctx;
	struct redis *redis;
	const struct tl_view *view;
	enum tl_lane lane;
};

// The number in a line such as "*3\r\n" or "$-1\r\n" that begins at `at`.
enum redis_line_kind {
	REDIS_LINE_OK,
	REDIS_LINE_STREAMED, // "$?", "*?"
	REDIS_LINE_MORE,     // its end is not in view
	REDIS_LINE_BAD,
};

struct redis_number {
	int64_t value;
	uint32_t next; // behind the line end
};

enum redis_line_kind tl_redis_number(struct tl_bytes bytes, uint32_t at, struct redis_number *ret);

// What a reply begins with.
struct redis_head {
	uint8_t type;         // first byte
	bool is_null;
	bool is_empty;        // an aggregate of nothing
	struct tl_bytes text; // of a line, or of an error that is a string, cut
};

// Reads as much of the value at `at` as is told of it.
enum redis_line_kind tl_redis_read_head(struct tl_bytes bytes, uint32_t at, struct redis_head *ret);
const char *tl_redis_type_name(const struct redis_head *head);
// Sets the fields of the server's current message; gives its status.
enum tl_status tl_redis_record_head(struct redis_call *call, const struct redis_head *head,
				    enum tl_reason *ret_reason);

struct tl_step tl_redis_request(struct redis_call *call);
struct tl_step tl_redis_reply(struct redis_call *call);
// Called with each command, whose first byte is at `offset`.
void tl_redis_note_turn(struct redis_call *call, uint64_t offset);
// Requests and replies can't be told to belong together any more.
void tl_redis_lose_order(struct redis_call *call);
// All open requests end without an answer.
void tl_redis_give_up(struct redis_call *call, enum tl_reason reason);
// Whether a SELECT was obeyed won't be known.
void tl_redis_forget_select(struct redis *redis);

// How far `bytes` look like a whole or begun command of RESP from their first byte on.
enum tl_match tl_redis_match_request(struct tl_bytes bytes);
enum tl_match tl_redis_match_reply(struct tl_bytes bytes);
// The first place where a command begins and everything behind it is RESP too.
uint32_t tl_redis_find_request(struct tl_bytes bytes);
