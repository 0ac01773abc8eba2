// SPDX-License-Identifier: Apache-2.0
// What the MongoDB decoder remembers of a connection, shared by its own files only.
//
// A message is read by a small machine that takes bytes in order: from the lane as they are, or as
// they come out of an OP_COMPRESSED. Of documents it walks the top level, and a few embedded ones
// by name; everything else is skipped by its length. Between elements nothing is kept but where in
// which document we are.
#pragma once

#include "l7/decoder.h"

#include <stddef.h>

#define MONGO_MESSAGE_BYTES_MAX (48u * 1000 * 1000 + 16384u) // as servers take at most
#define MONGO_HEAD_BYTES 16u
#define MONGO_NAME_BYTES_MAX 64u     // looked at of an element's name
#define MONGO_VALUE_BYTES_MAX 192u   // looked at of a string
#define MONGO_COLLECTION_BYTES_MAX 256u // of "database.collection"; servers allow 255
#define MONGO_UNIT_BYTES_MAX (MONGO_COLLECTION_BYTES_MAX + 4u) // seen at once
#define MONGO_NEED_BYTES_MAX MONGO_UNIT_BYTES_MAX
#define MONGO_DEPTH_MAX 4u
#define MONGO_COMMAND_BYTES_MAX 32u  // kept for replies that follow an exhaust reply
#define MONGO_CHECKSUM_BYTES 4u

enum mongo_field {
	MONGO_FIELD_COMMAND,
	MONGO_FIELD_DATABASE,
	MONGO_FIELD_COLLECTION,
	MONGO_FIELD_OPCODE,
	MONGO_FIELD_COMPRESSOR,
	MONGO_FIELD_DOCUMENTS,
	MONGO_FIELD_READ_CONCERN,
	MONGO_FIELD_WRITE_CONCERN,
	MONGO_FIELD_READ_PREFERENCE,
	MONGO_FIELD_MAX_TIME,
	MONGO_FIELD_APP_NAME,
	MONGO_FIELD_DRIVER,
	MONGO_FIELD_DRIVER_VERSION,
	MONGO_FIELD_OK,
	MONGO_FIELD_CODE,
	MONGO_FIELD_CODE_NAME,
	MONGO_FIELD_ERROR_MESSAGE,
	MONGO_FIELD_WRITE_ERRORS,
	MONGO_FIELD_WRITE_CONCERN_ERROR,
	MONGO_FIELD_N,
	MONGO_FIELD_N_MODIFIED,
	MONGO_FIELD_RETURNED,
	MONGO_FIELD_CURSOR_ID,
	MONGO_FIELD_COUNT
};

enum mongo_counter {
	MONGO_COUNT_BAD_HEADER,
	MONGO_COUNT_UNKNOWN_OPCODE,
	MONGO_COUNT_BAD_MESSAGE,
	MONGO_COUNT_NOT_INFLATED,
	MONGO_COUNTER_COUNT
};

enum mongo_opcode {
	MONGO_OP_REPLY = 1,
	MONGO_OP_OLD_MSG = 1000,
	MONGO_OP_UPDATE = 2001,
	MONGO_OP_INSERT = 2002,
	MONGO_OP_QUERY = 2004,
	MONGO_OP_GET_MORE = 2005,
	MONGO_OP_DELETE = 2006,
	MONGO_OP_KILL_CURSORS = 2007,
	MONGO_OP_COMMAND = 2010, // of 3.2 and 3.4, between servers and from their shell
	MONGO_OP_COMMAND_REPLY = 2011,
	MONGO_OP_COMPRESSED = 2012,
	MONGO_OP_MSG = 2013,
};

enum mongo_msg_flag {
	MONGO_CHECKSUM = 1u << 0,
	MONGO_MORE_TO_COME = 1u << 1,
	MONGO_EXHAUST_ALLOWED = 1u << 16,
};

enum mongo_phase {
	MONGO_HEAD,         // a message begins
	MONGO_PACKED,       // what an OP_COMPRESSED holds comes
	MONGO_BODY,         // what stands in front of the documents, by opcode
	MONGO_SECTION,      // OP_MSG: the next section
	MONGO_SEQUENCE,     // OP_MSG: what stands in front of the documents of a section 1
	MONGO_DOCUMENTS,    // the next document of several that are counted
	MONGO_DOCUMENT,     // the one that is walked
	MONGO_ELEMENT,      // type and name
	MONGO_LONG_NAME,    // the rest of a name that nobody knows
	MONGO_VALUE,
	MONGO_REST,         // nothing more is of interest
};

// Documents that are walked, as far as they say something.
enum mongo_level {
	MONGO_TOP,
	MONGO_CURSOR,
	MONGO_BATCH,        // array, its elements are counted
	MONGO_WRITE_ERRORS, // likewise
	MONGO_FIRST_ERROR,  // the first of them
	MONGO_CONCERN_ERROR,
	MONGO_READ_CONCERN_DOC,
	MONGO_WRITE_CONCERN_DOC,
	MONGO_READ_PREFERENCE_DOC,
	MONGO_CLIENT,
	MONGO_APPLICATION,
	MONGO_DRIVER_DOC,
	MONGO_OPERATIONS,   // array of the operations of a write command
};

enum mongo_lane_flag {
	MONGO_IS_OPEN = 1u << 0,     // the message was claimed
	MONGO_IS_COMMAND = 1u << 1,  // its document is a command or the reply to one
	MONGO_HAS_COMMAND = 1u << 2, // the first element was seen
	MONGO_ONE_WAY = 1u << 3,
	MONGO_MORE = 1u << 4,        // more replies follow
	MONGO_IS_ERROR = 1u << 5,    // ok: 0, or a flag of an OP_REPLY
	MONGO_HAS_CODE = 1u << 6,
	MONGO_UNREAD = 1u << 7,      // its inside was not read
	MONGO_EXHAUSTS = 1u << 9,    // OP_QUERY asks for all replies in a row
	MONGO_IS_GET_MORE = 1u << 11,
	MONGO_HAS_OK = 1u << 12,
};

struct mongo_message {
	uint64_t end;    // offset in the lane; 0: no message is being read
	uint32_t id;
	uint32_t answers;
	uint32_t at;       // bytes of its inside that were read or skipped
	uint32_t size;     // of its inside, without the checksum
	uint32_t skip;     // of it, to be skipped: compressed messages only
	uint32_t documents;
	uint32_t write_errors;
	uint32_t code;
	uint32_t section_end;
	uint32_t ends[MONGO_DEPTH_MAX]; // of the documents that are walked
	uint16_t opcode;
	uint16_t flags;    // enum mongo_lane_flag
	uint8_t levels[MONGO_DEPTH_MAX];
	uint8_t depth;     // documents open
	uint8_t phase;     // enum mongo_phase, of the inside
	uint8_t packed;    // enum mongo_phase, of a compressed message's outside; 0: it isn't
	uint8_t type;      // VALUE: of the element
	uint8_t word;      // VALUE: enum mongo_word, its name
	uint8_t is_named;  // DOCUMENTS: their count is a field
	uint8_t documents_left; // to be walked behind the one being walked
	uint16_t carried;  // bytes in `carry`
	uint8_t carry[MONGO_UNIT_BYTES_MAX]; // a unit's beginning, at the end of an inflated piece
};

static inline void tl_mongo_forget(struct mongo_message *m)
{
	memset(m, 0, offsetof(struct mongo_message, carry));
}

struct mongo {
	struct mongo_message message[TL_LANE_COUNT];
	uint32_t exhaust_id; // of the reply that more are to follow, 0: none
	uint8_t exhaust_len;
	char exhaust_command[MONGO_COMMAND_BYTES_MAX];
};

// Kept with an open request.
struct mongo_memo {
	uint8_t is_command;
	uint8_t exhausts; // OP_QUERY asked for all replies in a row
	uint8_t command_len;
	char command[13]; // for exhaust replies
};

_Static_assert(sizeof(struct mongo_memo) == TL_MEMO_BYTES, "the core copies a whole memo");

// The call in progress.
struct mongo_call {
	struct tl_ctx *ctx;
	struct mongo *mongo;
	struct mongo_message *m;
	enum tl_lane lane;
};

// -- words.c

enum mongo_word {
	MONGO_WORD_NONE,
	MONGO_WORD_APPLICATION,
	MONGO_WORD_CLIENT,
	MONGO_WORD_CODE,
	MONGO_WORD_CODE_NAME,
	MONGO_WORD_COLLECTION,
	MONGO_WORD_CURSOR,
	MONGO_WORD_DB,
	MONGO_WORD_DELETES,
	MONGO_WORD_DOCUMENTS,
	MONGO_WORD_DRIVER,
	MONGO_WORD_ERR,
	MONGO_WORD_ERRMSG,
	MONGO_WORD_FIRST_BATCH,
	MONGO_WORD_ID,
	MONGO_WORD_LEVEL,
	MONGO_WORD_MAX_AWAIT_TIME,
	MONGO_WORD_MAX_TIME,
	MONGO_WORD_MODE,
	MONGO_WORD_N,
	MONGO_WORD_N_MODIFIED,
	MONGO_WORD_NAME,
	MONGO_WORD_NEXT_BATCH,
	MONGO_WORD_OK,
	MONGO_WORD_READ_CONCERN,
	MONGO_WORD_READ_PREFERENCE,
	MONGO_WORD_UPDATES,
	MONGO_WORD_VERSION,
	MONGO_WORD_W,
	MONGO_WORD_WRITE_CONCERN,
	MONGO_WORD_WRITE_CONCERN_ERROR,
	MONGO_WORD_WRITE_ERRORS,
	MONGO_WORD_COMMAND, // the first element of a command, whatever its name
};

enum mongo_word tl_mongo_word(struct tl_bytes name);
enum tl_status tl_mongo_status(uint32_t code);
const char *tl_mongo_opcode(uint16_t opcode); // NULL: unknown

// -- walk.c

enum mongo_walk_kind { MONGO_TAKE, MONGO_WANT, MONGO_PASS };

// What becomes of the bytes in hand: `bytes` of them were read, or are wanted at least, or are to be
// skipped (they may reach beyond those in hand).
struct mongo_walked {
	uint8_t kind; // enum mongo_walk_kind
	uint32_t bytes;
	uint32_t read; // TAKE, PASS: of them, that were looked at
};

// Reads one unit of the message's inside at the start of `view`.
struct mongo_walked tl_mongo_walk(struct mongo_call *call, struct tl_bytes view);
// The command's name is known: for the replies, of which exhaust ones have a record of their own.
void tl_mongo_remember_command(struct mongo_call *call, struct tl_bytes name);
// The rest of the message says nothing, or can't be read.
void tl_mongo_give_up(struct mongo_call *call);

// -- body.c

// What stands in front of documents: phases BODY, SECTION, SEQUENCE.
struct mongo_walked tl_mongo_body(struct mongo_call *call, struct tl_bytes view);

// -- message.c

struct tl_step tl_mongo_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
			     const struct tl_view *view);
// The message is a request, or needs no answer.
void tl_mongo_open(struct mongo_call *call);

// -- looks.c

enum tl_match tl_mongo_match(enum tl_lane lane, struct tl_bytes first);
uint32_t tl_mongo_resync(const void *state, enum tl_lane lane, struct tl_bytes view);
