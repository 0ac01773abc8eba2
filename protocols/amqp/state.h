// SPDX-License-Identifier: Apache-2.0
// What the AMQP decoder remembers of a connection, shared by its own files only.
//
// Keys of open requests: the channel, a kind, a number of that kind. The queue of open requests
// thus knows everything about channels, and only what it can't know is kept here: which channels
// count confirms (and how far), which consumers need no acknowledgement, whose content is under
// way. Of a connection seen from its begin only what differs from the default has an entry; so
// there is no limit to channels, but one to those in confirm mode and to consumers without
// acknowledgement. What doesn't fit (counted), and what may have changed in lost bytes, isn't known.
#pragma once

#include "method.h"

#include "l7/decoder.h"

#define AMQP_METHOD_BYTES_MAX 16384u  // of a method or a content header that are looked at
#define AMQP_FRAME_BYTES_MAX INT32_MAX // payload; brokers agree on 128 KiB by default
#define AMQP_FRAME_HEAD_BYTES 7u
#define AMQP_FRAME_END 0xceu
#define AMQP_NEED_BYTES_MAX (AMQP_FRAME_HEAD_BYTES + AMQP_METHOD_BYTES_MAX + 1)
#define AMQP_HEADERS_MAX 32u          // of a message that are recorded
#define AMQP_TABLE_ITEMS_MAX 256u     // of a field table that are looked at
#define AMQP_NAME_BYTES_MAX 64u       // of the virtual host and the user that are remembered
#define AMQP_RETURN_SCAN_MAX 1024u    // publishes looked at for the one that was returned
#define AMQP_HUNT_FRAMES_MAX 8u       // frames looked at to believe in a late join
#define AMQP_SETS 32u                 // of channels and of consumers, by hash
#define AMQP_CHANNEL_WAYS 4u
#define AMQP_CONSUMER_WAYS 8u
#define AMQP_CONTENTS_MAX 16u         // under way at a time, of a lane

enum amqp_counter {
	AMQP_COUNT_BAD_FRAME,
	AMQP_COUNT_BAD_METHOD,
	AMQP_COUNT_UNKNOWN_METHOD,
	AMQP_COUNT_LONG_METHOD,
	AMQP_COUNT_BAD_CONTENT,
	AMQP_COUNT_STRAY_CONTENT,
	AMQP_COUNT_TOO_MANY_CONTENTS,
	AMQP_COUNT_CHANNELS_EVICTED,
	AMQP_COUNT_CONSUMERS_EVICTED,
	AMQP_COUNT_UNMATCHED_CONFIRMS,
	AMQP_COUNT_UNMATCHED_RETURNS,
	AMQP_COUNT_VERSION_REFUSED,
	AMQP_COUNTER_COUNT
};

enum amqp_channel_bit {
	AMQP_CHANNEL_KNOWN = 1u << 0,    // its opening was seen, or all of the connection
	AMQP_CHANNEL_CONFIRMS = 1u << 1, // publishes are confirmed
	AMQP_CHANNEL_NUMBERED = 1u << 2, // and we know their numbers
	AMQP_CHANNEL_ACKS = 1u << 3,     // the client acknowledges deliveries
	AMQP_CHANNEL_CLOSING = 1u << 4,
	AMQP_CHANNEL_FAILED = 1u << 5,   // closing for an error
};

struct amqp_channel {
	uint64_t published; // in confirm mode: number of the last one
	uint64_t settled;   // returns are of later ones
	uint32_t used;      // when it was last looked up, for eviction
	uint16_t id;
	uint16_t bits;      // enum amqp_channel_bit; 0: free entry
};

struct amqp_consumer {
	uint32_t tag;  // hash
	uint16_t channel;
	uint16_t state; // enum amqp_consumer_state
};

enum amqp_consumer_state { AMQP_CONSUMER_UNKNOWN, AMQP_CONSUMER_ACKS, AMQP_CONSUMER_NO_ACK };

enum amqp_content_phase { AMQP_CONTENT_NONE, AMQP_CONTENT_HEADER, AMQP_CONTENT_BODY };

// How the message of a content becomes a record.
enum amqp_content_role {
	AMQP_CONTENT_DEAD,     // it doesn't
	AMQP_CONTENT_PLAIN,    // one_way, not claimed yet
	AMQP_CONTENT_QUEUED,   // an open request, or one_way and found by key: ends by itself
	AMQP_CONTENT_ANSWER,   // it is the answer to `key` of the client
	AMQP_CONTENT_ORPHAN,
};

struct amqp_content {
	uint64_t key;  // QUEUED, ANSWER: of the open request
	uint64_t left; // of the body
	uint16_t channel;
	uint8_t phase; // enum amqp_content_phase
	uint8_t role;  // enum amqp_content_role
	uint8_t status; // ANSWER
	uint8_t reason;
	uint8_t opener; // of `key`
	uint8_t reserved;
};

struct amqp_room {
	struct amqp_channel channels[AMQP_SETS][AMQP_CHANNEL_WAYS];
	struct amqp_consumer consumers[AMQP_SETS][AMQP_CONSUMER_WAYS];
	struct amqp_content contents[TL_LANE_COUNT][AMQP_CONTENTS_MAX];
};

_Static_assert(sizeof(struct amqp_room) <= 8192, "connections are many");

// A client may have asked something in bytes that were not seen; what it asks in the same breath
// can't be told from that by its answer. Once the server has spoken and the client goes on, it can.
enum amqp_doubt { AMQP_NO_DOUBT, AMQP_DOUBT_JOIN, AMQP_DOUBT_GAP };

struct amqp {
	uint8_t is_ready;
	uint8_t is_unsure;  // a channel or consumer without an entry isn't known
	uint8_t had_gap;
	uint8_t is_closing; // Connection.Close was sent
	uint8_t user_len;
	uint8_t vhost_len;
	uint8_t doubt;      // enum amqp_doubt
	uint8_t server_spoke; // since the doubt began
	uint8_t current[TL_LANE_COUNT]; // index of the content whose message the lane reads + 1
	uint32_t clock;
	char user[AMQP_NAME_BYTES_MAX];
	char vhost[AMQP_NAME_BYTES_MAX];
};

// Kept with an open request.
struct amqp_memo {
	uint32_t route;  // Publish: hash of exchange and routing key
	uint16_t code;   // Close
	uint8_t no_ack;  // Get, Consume
	uint8_t mandatory; // Publish
	uint64_t reserved;
};

_Static_assert(sizeof(struct amqp_memo) == TL_MEMO_BYTES, "the core copies a whole memo");

// The call in progress.
struct amqp_call {
	struct tl_ctx *ctx;
	struct amqp *amqp;
	struct amqp_room *room;
	enum tl_lane lane;
	uint16_t channel;
	uint16_t class_id;
	uint16_t method_id;
	uint64_t offset; // of the frame
	uint64_t end;    // behind it
};

// -- Keys

enum amqp_key_kind {
	AMQP_KEY_CLOSE,   // Channel.Close, Connection.Close: outlives what it closes
	AMQP_KEY_ASK,     // class and method
	AMQP_KEY_PUBLISH, // number for confirms; 0: not confirmed
	AMQP_KEY_DELIVER, // delivery tag; 0: needs no acknowledgement
};

#define AMQP_KEY_SHIFT 46u
#define AMQP_TAG_MAX ((UINT64_C(1) << AMQP_KEY_SHIFT) - 1) // larger ones aren't followed

static inline uint64_t amqp_key(uint16_t channel, enum amqp_key_kind kind, uint64_t number)
{
	return (uint64_t)channel << 48 | (uint64_t)kind << AMQP_KEY_SHIFT | number;
}

// -- channel.c

// NULL: nothing is remembered of it.
struct amqp_channel *tl_amqp_channel(struct amqp_call *call);
// Makes an entry where there is none.
struct amqp_channel *tl_amqp_channel_make(struct amqp_call *call);
void tl_amqp_channel_drop(struct amqp_call *call);
// What holds of all of them isn't known any more; the server may have been told otherwise.
void tl_amqp_forget_numbers(struct amqp_call *call);
void tl_amqp_consumer_set(struct amqp_call *call, struct tl_bytes tag, enum amqp_consumer_state state);
enum amqp_consumer_state tl_amqp_consumer(struct amqp_call *call, struct tl_bytes tag);

// -- content.c

// The message of `role` that has begun has a content.
void tl_amqp_content_begin(struct amqp_call *call, const struct amqp_content *content);
// Before another message of the lane begins: what is under way is set aside.
void tl_amqp_content_park(struct amqp_call *call);
// The channel's content breaks off, if there is one.
void tl_amqp_content_break(struct amqp_call *call);
// All of the lane's contents lost bytes.
void tl_amqp_contents_lost(struct amqp_call *call);
void tl_amqp_content_header(struct amqp_call *call, struct tl_bytes payload);
void tl_amqp_content_body(struct amqp_call *call, uint32_t bytes);

// -- table.c

void tl_amqp_record_properties(struct amqp_call *call, struct tl_bytes payload);
void tl_amqp_record_peer(struct amqp_call *call, struct tl_bytes table);
// User of a SASL response, PLAIN's or AMQPLAIN's; empty: none.
struct tl_bytes tl_amqp_user(struct tl_bytes mechanism, struct tl_bytes response);

// -- pairing.c

void tl_amqp_method_frame(struct amqp_call *call, const struct amqp_arguments *arguments);
enum tl_status tl_amqp_status(uint64_t code);

// -- frame.c

struct tl_step tl_amqp_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
			    const struct tl_view *view);
enum tl_match tl_amqp_match(enum tl_lane lane, struct tl_bytes first);
uint32_t tl_amqp_resync(const void *state, enum tl_lane lane, struct tl_bytes view);
