// SPDX-License-Identifier: Apache-2.0
// What the decoding side keeps: connections, the units that decoders live in, messages being
// read, open requests. Private to src/l7 and src/stream; decoders see only l7/decoder.h.
//
// A *unit* is one running decoder with its two lanes and its queue of open requests: a connection
// has one, each stream inside it (a child) another. Everything lies in per-worker pools and
// is named by 32-bit indices; nothing is allocated after tl_l7_create().
#pragma once

#include "base/check.h"
#include "base/counters.h"
#include "base/pool.h"
#include "base/slab.h"
#include "flow/flow.h"
#include "l7/decoder.h"
#include "l7/names.h"
#include "l7/inflate.h"
#include "l7/rules.h"

#define TL_NONE UINT32_MAX              // no pool index
#define TL_FOREVER UINT64_MAX
#define TL_TAIL_BYTES_FIRST 256u        // a message's first block of field values
#define TL_CONN_TAIL_BYTES_MAX (1u << 20) // field values of one connection; more are left out
#define TL_CARRY_MARKS 8u               // packet times remembered for carried bytes

// The part of a lane that waits for more: bytes and their packet times.
struct tl_carry {
	uint32_t block; // of the carry slab
	uint32_t room;
	uint32_t start; // first byte not consumed yet
	uint32_t len;   // bytes from `start` on
	uint32_t mark_count;
	uint32_t reserved;
	struct {
		uint64_t offset; // from here on the bytes came ...
		uint64_t ns;     // ... at this time
	} marks[TL_CARRY_MARKS];
};

enum tl_lane_bit {
	TL_LANE_HUNTING = 1u << 0,  // looking for a message start with resync()
	TL_LANE_ENDED = 1u << 1,    // no more bytes; end() was called
	TL_LANE_COPYING = 1u << 2,  // the skip under way keeps its first bytes
	TL_LANE_TO_END = 1u << 3,   // the skip under way has no end
	TL_LANE_JOINED = 1u << 5,   // hunting since the join: the decoder doesn't know of a loss yet
	TL_LANE_SWITCHED = 1u << 4, // its bytes go to the unit that takes over
};

struct tl_lane_state {
	uint64_t offset;  // of the next byte to consume; carried bytes begin here
	uint64_t skip;    // bytes to come that nobody looks at
	uint64_t last_ns; // time of the newest byte
	uint32_t message; // the current one
	uint32_t carry;   // index, TL_NONE mostly
	uint32_t need;    // bytes the decoder asked to see at once
	uint32_t seen;    // bytes of them it was shown
	union {
		uint32_t keep;   // COPYING: bytes of the skip still to be kept
		uint32_t hunted; // HUNTING: bytes looked at in vain
	};
	uint8_t field;    // where they are kept
	uint8_t bits;
	uint16_t inflater; // rented for the frame under way; 0: none
};

enum tl_role {
	TL_ROLE_NONE,
	TL_ROLE_REQUEST,
	TL_ROLE_RESPONSE,
	TL_ROLE_ONE_WAY,
	TL_ROLE_ORPHAN,
	TL_ROLE_ANSWER, // the beginning of a response whose request is still open
};

// A message being read, or kept with its open request.
struct tl_message {
	uint64_t begin_offset;
	uint64_t end_offset; // aside: where it was left
	uint64_t first_ns;
	uint64_t end_ns;     // aside: of its last byte so far
	uint64_t body_bytes;
	uint32_t stall_us;
	uint32_t tail;     // block of field values
	uint32_t trace;    // block with a struct tl_trace
	uint32_t exchange; // with role request, answer or response; the reason with role orphan
	uint16_t tail_len;
	uint16_t flags;    // enum tl_roundtrip_flag
	uint16_t protocol; // whose fields the values are
	uint8_t role;
	bool from_server : 1; // the lane
	bool ended : 1;     // end_ns is known
	bool end_ahead : 1; // end_offset is stated and lies ahead
	bool aside : 1;     // others are read, this one goes on later
};

enum tl_exchange_bit {
	TL_EXCHANGE_LATE = 1u << 0,   // timed out and recorded: only its place in the queue is left
	TL_EXCHANGE_HASHED = 1u << 1,
	TL_EXCHANGE_ANSWERED = 1u << 2, // its response is being read; not in the queue any more
	TL_EXCHANGE_UNSEEN = 1u << 3,   // the request was not seen: its answer is an orphan
	TL_EXCHANGE_PROMISED = 1u << 4, // the opener's own lane answers
	TL_EXCHANGE_ALLOWED = 1u << 5,  // wait_ns is no wait that the request asked for
	TL_EXCHANGE_ONE_WAY = 1u << 6,  // no request: a message that is queued to be found again
};

// An open request.
struct tl_exchange {
	uint64_t key;
	_Alignas(8) uint8_t memo[TL_MEMO_BYTES];
	uint64_t active_ns; // end of the request, or of its latest repetition
	uint32_t next, prev; // queue of the unit, in order of opening
	uint32_t hash_next, hash_prev;
	uint32_t request;
	uint32_t response;
	uint32_t order;      // of opening, within the unit
	uint32_t owner;      // the unit, for the hash table
	uint32_t inner;      // state of the protocol that the request carries, TL_SLAB_NONE mostly
	uint32_t wait_ms;    // the request said it may take so long; UINT32_MAX: as long as it likes
	uint16_t retries;
	uint8_t status, reason;
	uint8_t opener;
	uint8_t bits;
};

struct tl_queue {
	uint32_t head, tail;
	uint16_t count[TL_LANE_COUNT]; // by opener, late ones included
	uint16_t late;
	uint16_t reserved;
};

#define TL_HASH_FROM 16u // open requests of a unit from which on they are found by hash
#define TL_LATE_MAX 64u  // late requests remembered where pairing isn't by order

enum tl_unit_mode {
	TL_UNIT_DETECT, // bytes are kept until the protocol is known
	TL_UNIT_DECODE,
	TL_UNIT_DEAF,   // bytes are counted only
};

enum tl_unit_bit {
	TL_UNIT_CHILD = 1u << 0,
	TL_UNIT_ORDERED = 1u << 1,  // pairs by order: places of late requests are kept
	TL_UNIT_HASHED = 1u << 2,   // its open requests are in the hash table
	TL_UNIT_SPOKE = 1u << 3,    // it made sense of at least one message
	TL_UNIT_DROPPED = 1u << 4,  // a request is not in its queue: pairing by order can't go on
	TL_UNIT_STOPPED = 1u << 5,  // the decoder gave up; handled when the call returns
	TL_UNIT_KEYED = 1u << 6,    // pairs by key, even if it asks for the oldest now and then
};

struct tl_unit {
	struct tl_lane_state lanes[TL_LANE_COUNT];
	struct tl_queue queue;
	uint32_t state; // slab block of the decoder's state
	uint16_t protocol;
	uint8_t mode;
	uint8_t bits;
	uint32_t order; // of the next open request
};

// A unit outside a connection struct: a child, or the one that takes over at a switch.
struct tl_guest {
	struct tl_unit unit;
	uint64_t id;
	uint32_t next;
};

// What few connections need.
struct tl_extra {
	uint8_t proxied_address[16];
	uint64_t switch_offset[TL_LANE_COUNT];
	uint64_t candidates;  // protocols still possible
	uint64_t excluded;    // tried and failed
	uint64_t likely[TL_LANE_COUNT]; // UDP: protocols that one lane's datagram fitted
	uint16_t proxied_port;
	uint16_t switch_protocol;
	uint32_t successor;   // guest that takes over
	uint32_t children;    // list of guests
	uint16_t child_count;
	uint16_t detect_packets;
	uint32_t detect_bytes;
	uint8_t retries;      // detections after a failure
	bool spoke;           // a decoder had made sense of it: its verdict stays
	bool switching;
};

struct tl_conn {
	struct tl_unit unit;
	const struct tl_l7 *l7;
	struct tl_flow *flow;
	uint64_t byte_ns;     // time of the newest byte of either side
	// UDP: no open request times out before this time. TCP, where any byte starts the clock
	// anew: the shortest time that an open request waits after the newest byte.
	uint64_t patience_ns;
	uint32_t extra;
	uint32_t tail_bytes;  // of field values held
	uint16_t silent_offset; // low bits: this byte of the lane came after a silence ...
	uint8_t silent_lane;  // ... 1 + enum tl_lane; 0: the other one spoke since
	bool has_hole;        // something was lost since the newest byte
	uint8_t client_side;
	bool is_udp;
	bool is_late_join;
	bool proxy_checked;
};

struct tl_l7 {
	const struct tl_rules *rules;
	const struct tl_flow_table *flows; // NULL: records have no paths
	struct tl_counters *counters;
	void (*complete)(void *arg, const struct tl_roundtrip *record);
	void *arg;
	uint64_t serial;
	uint64_t pending_max;
	uint64_t detect_bytes_max;
	uint64_t detect_packets_max;
	uint8_t worker;
	struct tl_pool conns;
	struct tl_pool guests;
	struct tl_pool extras;
	struct tl_pool exchanges;
	struct tl_pool messages;
	struct tl_pool carries;
	struct tl_slab states;
	struct tl_slab values;
	struct tl_slab carried;
	uint32_t *buckets; // open requests of units with many of them, by unit and key
	uint32_t bucket_mask;
	uint64_t *decoder_counters;
	uint32_t *decoder_counter_at; // first counter of each protocol
	uint8_t *scratch;  // one record
	struct tl_names *names;
	tl_asked_fn *asked; // NULL: nobody wants to know
	void *asked_arg;
	struct tl_inflaters *inflaters;
};

#define TL_RECORD_BYTES_MAX \
	(sizeof(struct tl_roundtrip) + 2 * TL_MESSAGE_TAIL_BYTES_MAX + sizeof(struct tl_path) + 8)

// The call a decoder is in. `piece` is the run of bytes in hand, of `lane`.
struct tl_ctx {
	struct tl_l7 *l7;
	struct tl_conn *conn;
	struct tl_unit *unit;
	uint64_t piece_offset;
	uint64_t piece_end;
	uint64_t piece_ns;
	const uint8_t *piece_tail; // behind its last byte
	uint32_t stall_us;
	uint8_t lane;
	bool before_end; // inside end(): the piece is empty
};

static inline void tl_l7_count(const struct tl_l7 *l7, enum tl_counter id, uint64_t n)
{
	tl_counter_add(l7->counters, id, n);
}

static inline bool tl_exchange_is_unseen(const struct tl_exchange *exchange)
{
	return (exchange->bits & TL_EXCHANGE_UNSEEN) != 0;
}

static inline enum tl_lane tl_message_lane(const struct tl_message *message)
{
	return message->from_server ? TL_SERVER : TL_CLIENT;
}

static inline struct tl_message *tl_l7_message(const struct tl_l7 *l7, uint32_t index)
{
	return index == TL_NONE ? NULL : (struct tl_message *)tl_pool_at(&l7->messages, index);
}

static inline struct tl_exchange *tl_l7_exchange(const struct tl_l7 *l7, uint32_t index)
{
	return index == TL_NONE ? NULL : (struct tl_exchange *)tl_pool_at(&l7->exchanges, index);
}

static inline struct tl_carry *tl_l7_carry(const struct tl_l7 *l7, uint32_t index)
{
	return index == TL_NONE ? NULL : (struct tl_carry *)tl_pool_at(&l7->carries, index);
}

static inline struct tl_extra *tl_conn_extra(const struct tl_l7 *l7, const struct tl_conn *conn)
{
	return conn->extra == TL_NONE ? NULL
				      : (struct tl_extra *)tl_pool_at(&l7->extras, conn->extra);
}

static inline struct tl_guest *tl_l7_guest(const struct tl_l7 *l7, uint32_t index)
{
	return index == TL_NONE ? NULL : (struct tl_guest *)tl_pool_at(&l7->guests, index);
}

static inline enum tl_lane tl_lane_other(enum tl_lane lane)
{
	return lane == TL_CLIENT ? TL_SERVER : TL_CLIENT;
}

// Something may be due for a message: it has ended, or its end lies where the lane may be now.
static inline bool tl_message_may_settle(const struct tl_l7 *l7, uint32_t index)
{
	if (index == TL_NONE)
		return false;
	const struct tl_message *message = tl_l7_message(l7, index);
	return message->ended || message->end_ahead;
}

// -- l7/message.c

// Time at which the byte at `offset` of `lane` came, as exactly as it is still known.
uint64_t tl_time_of(const struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset);
// Does what is due for the lane's current message: an end that has been reached, a completion.
void tl_message_settle(struct tl_ctx *ctx, enum tl_lane lane);
// The lane breaks off (gap, end): its current message ends at the last byte seen, or is dropped
// when nobody claimed it. Gives whether a message was claimed.
bool tl_message_break(struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset);
// A message that is still being read, or set aside, ends with what was seen of it.
void tl_message_cut(const struct tl_ctx *ctx, struct tl_message *message);
void tl_message_free(struct tl_l7 *l7, struct tl_conn *conn, uint32_t index);
// Appends `bytes`, what is kept of the next `wire_len` bytes of a copied body, to `field`.
void tl_message_keep(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field, struct tl_bytes bytes,
		     uint64_t wire_len);

// -- l7/inflating.c

// Gives back what the lane has rented.
void tl_lane_stop_inflating(struct tl_l7 *l7, struct tl_lane_state *lane);

// -- Pairing, whose own parts know more of each other: l7/pair.h

void tl_queue_init(struct tl_queue *queue);
static inline uint32_t tl_queue_count(const struct tl_queue *queue)
{
	return (uint32_t)queue->count[TL_CLIENT] + queue->count[TL_SERVER];
}
// Takes the unit's open requests out of the hash table: before the unit changes its address.
void tl_pair_unhash(struct tl_l7 *l7, struct tl_unit *unit);
// The open request `key` of `opener`, NULL if there is none.
struct tl_exchange *tl_pair_find(const struct tl_ctx *ctx, enum tl_lane opener, uint64_t key);
// Nothing is open in the unit, no request and no response being read.
bool tl_pair_is_idle(const struct tl_l7 *l7, const struct tl_unit *unit);
// The claimed message has ended: acts by its role.
void tl_pair_message_ended(struct tl_ctx *ctx, uint32_t message);
// Completes what is open in the unit that `answerer` (or either lane: TL_LANE_COUNT) was to answer.
void tl_pair_end(struct tl_ctx *ctx, uint32_t answerer, enum tl_status status, enum tl_reason reason,
		 uint64_t end_ns);
// Hands the open request `key` of the client to `unit`, where it is one of the unit's protocol
// with the key `new_key`. The memo is zeroed.
void tl_pair_hand_over(struct tl_ctx *ctx, uint64_t key, struct tl_unit *unit, uint64_t new_key);
// Emits what has timed out in the unit.
void tl_pair_expire(struct tl_ctx *ctx, uint64_t now_ns);
// Recomputes what the unit adds to conn->patience_ns.
void tl_pair_deadlines(const struct tl_ctx *ctx);

// -- l7/inner.c

// The protocol of the exchange's record: the inner one, where it carries one.
static inline uint16_t tl_pair_protocol(const struct tl_ctx *ctx, const struct tl_exchange *exchange)
{
	const struct tl_message *message = tl_l7_message(
		ctx->l7, tl_exchange_is_unseen(exchange) ? exchange->response : exchange->request);

	return message == NULL ? ctx->unit->protocol : message->protocol;
}
// The inner decoder adds what is known only now to the messages that were seen.
void tl_inner_end(struct tl_ctx *ctx, const struct tl_exchange *exchange,
		      const struct tl_message *response);

// -- l7/roundtrip.c

struct tl_completion {
	const struct tl_message *request;  // NULL: not seen
	const struct tl_message *response; // NULL: not seen
	uint64_t end_ns;       // without a response: when it ended
	uint64_t wait_ns;
	uint16_t retries;
	uint16_t protocol;
	uint8_t status;
	uint8_t reason;
	uint8_t opener;
	bool bare_response;    // the response's fields and bytes belong to another record
};
void tl_roundtrip_emit(struct tl_ctx *ctx, const struct tl_completion *done);
