// SPDX-License-Identifier: Apache-2.0
// The contract between the core and a protocol decoder: all that protocols/ may include besides
// base/bytes.h, l7/field.h and protocols/common.
//
// A decoder is a const table of functions over a plain, zero-initialised state. It is shown one
// contiguous run of a lane's bytes at a time and answers what it did with them. The core owns
// buffering, order, loss, time, pairing and records. The laws a decoder lives by:
//  1. Records must not depend on where TCP cut the bytes: step() looks at view and state only.
//  2. Nothing a peer sends may crash it, make it loop, or make memory grow: lengths from the wire
//     are compared with a named *_MAX before any arithmetic, loops have named bounds.
//  3. After loss it never pairs wrongly: it drops or flags.
//  4. A connection may be joined late: resync() finds the next safe boundary.
//  5. The core feeds a lane only after the peer lane has been fed, or declared lost, up to what
//     those bytes acknowledged: a response is never shown before its request.
#pragma once

#include "base/bytes.h"
#include "base/option.h"
#include "l7/field.h"
#include "l7/roundtrip.h"

#define TL_STATE_BYTES_MAX 1024u     // decoder state per connection or child
#define TL_ROOM_BYTES_MAX 16384u    // besides the state, for decoders with tables of their own
#define TL_NEED_BYTES_MAX 65536u     // the most a decoder may ask to see at once (need_max)
#define TL_STEPS_PER_CALL_MAX 65536u // step() calls for one chunk; more ends the decoding, counted
#define TL_MEMO_BYTES 16u            // what a decoder may keep with an open request
#define TL_MESSAGE_TAIL_BYTES_MAX 16384u // field values of one message; more are cut, flagged
#define TL_PENDING_MAX 1024u         // open requests per connection (option limits.pending)
#define TL_SILENCE_NS UINT64_C(500000000) // see tl_after_silence(); TCP has sent again by then

// Which side sent the bytes.
enum tl_lane { TL_CLIENT, TL_SERVER, TL_LANE_COUNT };

struct tl_ctx; // the connection (or child) a decoder is called for; opaque, dead after the call

struct tl_view {
	struct tl_bytes bytes; // never empty in step()
	uint32_t seen;         // this many leading bytes were shown before: no need to scan again
	uint64_t offset;       // stream offset of bytes.ptr[0] in its lane, counting skipped and lost
};

enum tl_step_kind {
	TL_STEP_ATE,  // consumed `bytes` of the view
	TL_STEP_NEED, // consumed nothing; call again with at least `bytes` in view
	TL_STEP_SKIP, // consumed `bytes`, which may reach beyond the view; nobody looks at them
		      // but at the first `keep`, which were in view and have been read
	TL_STEP_COPY, // the same, but the first `keep` bytes are appended to `field` of the message
	TL_STEP_STOP, // not this protocol, or broken beyond repair: no further calls
};

struct tl_step {
	uint8_t kind;
	uint8_t field;
	uint32_t keep;
	uint64_t bytes;
};

#define TL_TO_THE_END UINT64_MAX // skip or copy until the lane ends

static inline struct tl_step tl_ate(uint32_t bytes)
{
	return (struct tl_step) {.kind = TL_STEP_ATE, .bytes = bytes};
}

static inline struct tl_step tl_need(uint32_t bytes)
{
	return (struct tl_step) {.kind = TL_STEP_NEED, .bytes = bytes};
}

static inline struct tl_step tl_skip(uint64_t bytes)
{
	return (struct tl_step) {.kind = TL_STEP_SKIP, .bytes = bytes};
}

// Skips what follows the first `ate` bytes, in all `bytes` of them. What is read may as well be
// spread over the view, as long as nobody needs the rest: the numbers are what counts.
static inline struct tl_step tl_ate_and_skip(uint32_t ate, uint64_t bytes)
{
	return (struct tl_step) {.kind = TL_STEP_SKIP, .keep = ate, .bytes = bytes};
}

static inline struct tl_step tl_copy(uint64_t bytes, uint8_t field, uint32_t keep)
{
	return (struct tl_step) {
		.kind = TL_STEP_COPY, .field = field, .keep = keep, .bytes = bytes};
}

static inline struct tl_step tl_stop(void)
{
	return (struct tl_step) {.kind = TL_STEP_STOP};
}

enum tl_match {
	TL_MATCH_NO,      // can't be this protocol
	TL_MATCH_UNSURE,  // too few bytes to tell
	TL_MATCH_LIKELY,  // fits, but so would others: decides only on a port hint or a second lane
	TL_MATCH_CERTAIN, // nothing else looks like this
};

// How a lane or a connection ended.
enum tl_end {
	TL_END_FIN,      // this lane was closed in order
	TL_END_RESET,
	TL_END_TIMEOUT,  // idle
	TL_END_EVICTED,  // a table was full
	TL_END_INPUT,    // end of the capture, or stop
	TL_END_SWITCHED, // another protocol owns the lane from here
};

// ---- What a decoder may call -------------------------------------------------------------

// -- The message being read. Each lane has at most one current message. Offsets are stream
//    offsets of that lane; those of an end may lie in the future (past a skip), the core then
//    waits for them. Setting a field on a lane without a current message does nothing.

// A message begins at `offset`. A current message that was neither opened, closed nor ended is
// forgotten: a decoder begins a message when it is sure of its first bytes.
void tl_message_begin(struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset);
// Its last byte is the one before `offset`.
void tl_message_end(struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset);
// True from begin to end.
bool tl_message_is_open(const struct tl_ctx *ctx, enum tl_lane lane);
// Adds to body_bytes. With a skip that is not over yet, the core takes back what never came.
void tl_message_body(struct tl_ctx *ctx, enum tl_lane lane, uint64_t bytes);

void tl_message_text(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field, struct tl_bytes value);
void tl_message_uint(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field, uint64_t value);
void tl_message_int(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field, int64_t value);
void tl_message_real(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field, double value);
void tl_message_pair(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field, struct tl_bytes name,
		     struct tl_bytes value);
// The same as tl_message_text() and tl_message_uint() for decoders that find many values in one run
// of bytes: written in place, without a call each. From tl_values_open() to tl_values_close() the
// lane's current message takes values by these alone, and nothing may complete or replace it.
struct tl_message;
struct tl_values {
	struct tl_ctx *ctx;
	struct tl_message *message; // NULL while it is not open
	uint8_t *tail;
	uint8_t *at; // where the next value goes
	const uint8_t *end;
	enum tl_lane lane;
};
void tl_values_open(struct tl_values *values, struct tl_ctx *ctx, enum tl_lane lane);
void tl_values_close(struct tl_values *values);
// A value that is to be cut, or that there is no room for yet.
void tl_values_add_slowly(struct tl_values *values, uint8_t field, struct tl_bytes value);
void tl_values_add_part(struct tl_values *values, uint8_t field, uint32_t max,
			struct tl_bytes value, uint32_t full_len);

static inline uint32_t tl_value_size(uint32_t len)
{
	return (uint32_t)sizeof(struct tl_value_head) + ((len + 3u) & ~3u);
}

// Writes a value with its head to `at`, where tl_value_size() bytes of room are; gives what follows.
static inline uint8_t *tl_value_put(uint8_t *at, uint8_t field, struct tl_bytes value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	uint64_t head = field + value.len * UINT64_C(0x100010000); // as the struct has it
#else
	struct tl_value_head head = {
		.field = field, .len = (uint16_t)value.len, .full_len = value.len};
#endif
	uint8_t *next = at + tl_value_size(value.len);

	_Static_assert(sizeof(head) == sizeof(struct tl_value_head), "the head is one word");
	memset(next - 4, 0, 4); // the padding; of an empty value its head, which follows
	memcpy(at, &head, sizeof(head));
	tl_copy_short(at + sizeof(head), value.ptr, value.len);
	return next;
}

// `max` is at most the field's limit.
static inline void tl_values_text(struct tl_values *values, uint8_t field, uint32_t max,
				  struct tl_bytes value)
{
	if (__builtin_expect(value.len > max || (size_t)(values->end - values->at) <
							tl_value_size(value.len), 0))
		tl_values_add_slowly(values, field, value);
	else
		values->at = tl_value_put(values->at, field, value);
}

// A text that is cut at `max` bytes, a limit of the decoder's own: at most the field's. Of the
// `full_len` bytes that it had `value` may be just the beginning.
static inline void tl_values_part(struct tl_values *values, uint8_t field, uint32_t max,
				  struct tl_bytes value, uint32_t full_len)
{
	if (__builtin_expect(value.len > max || value.len != full_len, 0))
		tl_values_add_part(values, field, max, value, full_len);
	else
		tl_values_text(values, field, max, value);
}

static inline void tl_values_uint(struct tl_values *values, uint8_t field, uint64_t value)
{
	tl_values_text(values, field, sizeof(value), tl_bytes(&value, sizeof(value)));
}

// Opens the next object of an OBJECTS field: values of its members that follow belong to it.
void tl_message_object(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field);
void tl_message_flag(struct tl_ctx *ctx, enum tl_lane lane, enum tl_roundtrip_flag flag);
// The first value of a field of bytes that was set, empty if none was. Good until the next is set.
struct tl_bytes tl_message_value(const struct tl_ctx *ctx, enum tl_lane lane, uint8_t field);
// Fields set from now on are those of `protocol`, which agrees on the ids of those set before: the
// message belongs to a request that carries it.
void tl_message_as(struct tl_ctx *ctx, enum tl_lane lane, uint16_t protocol);
// Sets the trace context; what is not TL_TRACE_PRESENT yet is kept for tl_message_trace_of() only.
void tl_message_trace(struct tl_ctx *ctx, enum tl_lane lane, const struct tl_trace *trace);
// What was set, NULL if nothing was.
const struct tl_trace *tl_message_trace_of(const struct tl_ctx *ctx, enum tl_lane lane);

// -- Pairing. The core's queue of open requests is the only one. `key` is the protocol's own
//    correlation id, or any number the decoder likes where order alone pairs (HTTP/1).

// The lane's current message is a request: queues it with `memo` (TL_MEMO_BYTES, may be NULL).
// A full queue evicts its oldest (status unanswered, reason limit), counted.
void tl_open(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, const void *memo);
// The same for a request that its own lane answers (HTTP/2 server push).
void tl_promise(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, const void *memo);
// `opener` sent a request `key` that was not seen (late join, a hole): what answers it is read like
// any answer and becomes an orphan; without an answer there is no record.
void tl_open_unseen(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, const void *memo);
// The memo of the open request with `key`, or of the oldest one; NULL if there is none (never
// opened, timed out, evicted). The pointer is good until the next call that opens or closes.
// A decoder that only ever asks for the oldest pairs by order: it is given the memos of requests
// that timed out too, so that a late answer is read as what it is. In any case it calls tl_close():
// the core knows a late answer (counted) from an orphan (a record).
void *tl_pending(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key);
void *tl_pending_oldest(struct tl_ctx *ctx, enum tl_lane opener, uint64_t *ret_key);
uint32_t tl_pending_count(const struct tl_ctx *ctx, enum tl_lane opener);
// The lane's current message is a part of the answer that does not complete it (1xx, one of many
// replies): counted, its fields are forgotten, the time of the first part is not the response's.
void tl_part(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key);
// The lane's current message answers the open request `key` of the other lane. The roundtrip is
// complete when both messages have ended. Without such a request it becomes an orphan.
void tl_close(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, enum tl_status status,
	      enum tl_reason reason);
// The same for every request of the other lane up to and including `key`, in order of opening;
// the message is kept with the last.
void tl_close_through(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key, enum tl_status status,
		      enum tl_reason reason);
// The same for every request of the other lane whose key lies in [first, last] (acknowledgements of
// all up to a number); the message is kept with the newest. Gives how many there were, late ones
// included; with none the message stays as it is.
uint32_t tl_close_between(struct tl_ctx *ctx, enum tl_lane lane, uint64_t first, uint64_t last,
			  enum tl_status status, enum tl_reason reason);
// The lane's current message began before the open request `key` of the other lane did, by the times
// of their packets: it can't be the answer. For decoders that pair by order, after a loss.
bool tl_is_earlier(const struct tl_ctx *ctx, enum tl_lane lane, uint64_t key);
// The open request `key` ends without an answer.
void tl_cancel(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, enum tl_status status,
	       enum tl_reason reason);
// The same for each open request with a key in [first, last].
void tl_cancel_between(struct tl_ctx *ctx, enum tl_lane opener, uint64_t first, uint64_t last,
		       enum tl_status status, enum tl_reason reason);
void tl_cancel_all(struct tl_ctx *ctx, enum tl_status status, enum tl_reason reason);
// The records of all open requests get the flag.
void tl_flag_open(struct tl_ctx *ctx, enum tl_roundtrip_flag flag);
// The lane's current message is a record of its own.
void tl_one_way(struct tl_ctx *ctx, enum tl_lane lane);
void tl_orphan(struct tl_ctx *ctx, enum tl_lane lane, enum tl_reason reason);
// The lane's current message repeats the open request `key`: the retry is counted there and the
// message is forgotten.
void tl_retry(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key);
// The open request `key` may wait up to `ns` (0: as long as it likes) without timing out.
void tl_wait(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, uint64_t ns);
// The same where the time is a limit that the request has (a deadline) or a stream without one, no
// wait that it asks for: the record's wait_ns stays 0.
void tl_allow(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, uint64_t ns);
// Packet time from the first byte of the open request `key` (of its answer, where it was not seen)
// to the byte at `offset` of `lane`. For what a protocol says about times: deadlines, and when
// the messages of a stream came. 0 without such a request.
uint64_t tl_elapsed_ns(const struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset,
		       enum tl_lane opener, uint64_t key);

// -- Interleaved messages, where streams share a lane. A message that belongs to an open request
//    may be set aside and taken up again; bytes in between aren't counted to it.

// The lane's current message is a record of its own, like with tl_one_way(), and may be set aside
// and resumed by `key` until it ends.
void tl_one_way_aside(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key);
// The lane's current message is the beginning of the answer to the open request `key` of the other
// lane and is kept with it until tl_close(), or until the request ends otherwise. False: there is
// no such request; the message stays as it is.
bool tl_answer(struct tl_ctx *ctx, enum tl_lane lane, uint64_t key);
// Sets the current message aside: a request or the beginning of an answer, to be taken up again;
// any other as tl_message_begin() would.
void tl_message_set_aside(struct tl_ctx *ctx, enum tl_lane lane);
// Takes up what `lane` is still sending of the open request `key` of `opener`: that request, or
// the beginning of its answer. The current message is set aside. False: nothing of it. A request
// that has ended is taken up too, for fields that are known only later.
bool tl_message_resume(struct tl_ctx *ctx, enum tl_lane lane, enum tl_lane opener, uint64_t key);
// Nothing has to be taken up: the lane's current message is that of the request whose memo this is, or
// its answer, and goes on.
bool tl_message_is_of(const struct tl_ctx *ctx, enum tl_lane lane, const void *memo);

// -- The connection

// From `offset[lane]` on the bytes of each lane belong to `protocol` (a registry id, or one of
// the two below). Bytes before are still shown to this decoder. The new decoder starts with a
// zeroed state; open requests stay queued and complete as they are.
#define TL_PROTOCOL_DETECT UINT16_MAX        // find out by content (CONNECT)
#define TL_PROTOCOL_OPAQUE (UINT16_MAX - 1u) // count only (websocket); verdict `upgraded`
void tl_switch(struct tl_ctx *ctx, uint16_t protocol, const uint64_t offset[TL_LANE_COUNT]);
// Registry id by name, TL_PROTOCOL_OPAQUE if that protocol is not built in.
uint16_t tl_protocol_id(const char *name);
// The same, and the open request `key` of the client, which has ended, goes over as the request
// `new_key` of `protocol` (HTTP/1 Upgrade to HTTP/2), with a zeroed memo: the field tables of both
// agree on the ids of what was set.
void tl_switch_with(struct tl_ctx *ctx, uint16_t protocol, const uint64_t offset[TL_LANE_COUNT],
		    uint64_t key, uint64_t new_key);

// A field of the open request `key`, whatever its lane is reading now.
void tl_request_uint(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, uint8_t field,
		     uint64_t value);
void tl_request_text(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, uint8_t field,
		     struct tl_bytes value);
struct tl_bytes tl_request_value(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key,
				 uint8_t field);

// -- Requests that carry another protocol (gRPC in an HTTP stream). The open request goes on in the
//    inner protocol's name, with a state of that protocol beside its memo. The field tables of
//    both agree on the ids of what the outer one sets. The inner decoder is called once for each
//    message that was seen, before the record is made: its end() may add fields. All else is the
//    outer one's: which bytes they are, pairing, ends.

// The open request `key` goes on as one of `protocol`, a decoder with TL_AS_INNER. Gives its state,
// zeroed; NULL when none is free (counted) or there is no such request: it stays what it is.
void *tl_inner_begin(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, uint16_t protocol);
// The state, good until the next call that opens or closes. NULL: no such request, or it carries
// nothing.
void *tl_inner_state(const struct tl_ctx *ctx, enum tl_lane opener, uint64_t key);
// The same of the request that tl_pending() gave this memo of.
void *tl_inner_of(const struct tl_ctx *ctx, const void *memo);

// -- Children: streams inside this connection, each with its own decoder state and pairing.
//    `id` is the protocol's stream id. Offsets of a child count the bytes fed to it.
#define TL_CHILDREN_MAX 256u // per connection; more are refused and counted
bool tl_child_open(struct tl_ctx *ctx, uint64_t id, uint16_t protocol);
void tl_child_feed(struct tl_ctx *ctx, uint64_t id, enum tl_lane lane, struct tl_bytes bytes);
void tl_child_gap(struct tl_ctx *ctx, uint64_t id, enum tl_lane lane, uint64_t lost);
uint64_t tl_child_skip(struct tl_ctx *ctx, uint64_t id, enum tl_lane lane); // bytes it won't look at
void tl_child_end(struct tl_ctx *ctx, uint64_t id, enum tl_end end);
// The child's state, NULL where there is none: what the parent knows already is put there after
// tl_child_open(), by a decoder that is its own child.
void *tl_child_state(struct tl_ctx *ctx, uint64_t id);

// -- Compressed payloads. A lane inflates one frame at a time with a context of the worker, which
//    it holds from tl_inflate_begin() until the frame is over; there are few, so that a decoder
//    doesn't inflate what nobody will look at. What comes out is usually a child's to read.
enum tl_codec {
	TL_CODEC_ZLIB,   // RFC 1950
	TL_CODEC_ZSTD,   // RFC 8878, windows up to 2 MiB
	TL_CODEC_SNAPPY, // a raw block whose copies reach back 64 KiB at most
};

enum tl_inflated {
	TL_INFLATED_CHUNK,  // some bytes came out; call again
	TL_INFLATED_HUNGRY, // all of `packed` was taken and the frame goes on
	TL_INFLATED_END,    // the frame is over; `packed` is what lies behind it
	TL_INFLATED_FAILED, // what it says is wrong, or beyond a limit (counted)
};

// A frame of `packed_len` bytes begins that is said to hold `plain_len`. False: the codec isn't
// built in, no context is free, the frame is beyond a limit (each counted): its bytes are lost.
bool tl_inflate_begin(struct tl_ctx *ctx, enum tl_lane lane, enum tl_codec codec,
		      uint64_t packed_len, uint64_t plain_len);
// Takes bytes of the frame off `packed`, gives what comes of them: good until the next call of any
// lane. More than `plain_len` never comes out, less is an error. After END and FAILED the context
// is given back; so it is when the lane loses bytes or ends.
enum tl_inflated tl_inflate(struct tl_ctx *ctx, enum tl_lane lane, struct tl_bytes *packed,
			    struct tl_bytes *ret_plain);
// Gives the context back before the frame is over.
void tl_inflate_end(struct tl_ctx *ctx, enum tl_lane lane);

// -- Surroundings

// The decoder's room_size bytes, zeroed before the first call. Good during the call. With
// `room_later` the first call takes them, and gives NULL where there are none (counted).
void *tl_room(const struct tl_ctx *ctx);
// The protocol's options struct of the current configuration, never NULL where the decoder has
// `options`. Good during the call.
const void *tl_options(const struct tl_ctx *ctx);
// Secrets are to be masked before they are stored (rules: `redact`).
bool tl_redact(const struct tl_ctx *ctx);
bool tl_is_late_join(const struct tl_ctx *ctx); // the connection's begin was not seen
// The byte at `offset` of `lane` came after TL_SILENCE_NS in which neither side said anything and
// nothing was lost. When it is the client's, and the server spoke last, then no answer is owed: what
// a decoder that pairs by order needs to know after a loss where clients don't wait for answers.
bool tl_after_silence(const struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset);
bool tl_is_udp(const struct tl_ctx *ctx);
uint16_t tl_server_port(const struct tl_ctx *ctx);
bool tl_is_multicast(const struct tl_ctx *ctx); // the server's address is a multicast group
void tl_count(struct tl_ctx *ctx, uint8_t counter); // bumps counters[counter] of this decoder

// ---- How a roundtrip becomes a span of OpenTelemetry ------------------------------------------

// Texts with fields in braces: "{method} {route}". A field is one of the protocol's, looked for in
// the request, then in the response; server.address, server.port and protocol are known too. A
// template whose fields don't all have values says nothing.
struct tl_span_attribute {
	const char *name;     // "db.system.name"
	const char *value;    // template
	const char *const *words; // the value is a number: an index into these
	uint32_t word_count;
	// The words are all the values there may be: any other is `other`, and goes as it is into the
	// attribute `original`.
	const char *other, *original;
	// The word for the value is told instead of it, and nothing where there is none; ended by NULL.
	const struct tl_span_word {
		const char *value, *word;
	} *map;
};

enum tl_span_kind {
	TL_SPAN_SERVER = 2,
	TL_SPAN_CLIENT = 3,
	TL_SPAN_PRODUCER = 4,
	TL_SPAN_CONSUMER = 5,
};

struct tl_span_rules {
	uint8_t kind;              // enum tl_span_kind
	// Kind consumer instead where the template `consumer_if` gives `consumer_is`. NULL: never.
	const char *consumer_if, *consumer_is;
	const char *const *names;  // templates, the first that says something; ended by NULL
	const struct tl_span_attribute *attributes; // besides those of fields; ended by name NULL
	const char *error_type;    // template, where the status is an error
	const char *error_attribute; // or the text of this attribute, which comes first; may be NULL
};

// ---- Names for ids ---------------------------------------------------------------------------

// Answers that tell the names of ids which requests of other connections repeat without the names
// (Kafka's topics). The control lcore keeps what it has seen, and adds the names to records: a
// worker knows its own connections only. All are text fields.
struct tl_naming {
	uint8_t list;      // OBJECTS of the response: an id and its name each,
	uint8_t list_id;   // these members of it, the id first
	uint8_t list_name;
	uint8_t id;        // of the request
	uint8_t name;      // of the request: follows each id that is known
};

// ---- What a decoder is -------------------------------------------------------------------

enum { TL_OVER_TCP = 1u << 0, TL_OVER_UDP = 1u << 1, TL_AS_CHILD = 1u << 2, TL_AS_INNER = 1u << 3 };

struct tl_decoder {
	const char *name;     // of the protocol in records, metrics, configuration: "http"
	const char *title;    // for people: "HTTP/1"
	uint8_t over;         // TL_OVER_TCP | TL_OVER_UDP | TL_AS_CHILD
	uint16_t state_size;  // <= TL_STATE_BYTES_MAX, zeroed before the first call
	uint32_t need_max;    // the most it asks for by tl_need, <= TL_NEED_BYTES_MAX
	uint32_t room_size;   // <= TL_ROOM_BYTES_MAX, see tl_room(); 0: none. Charged to the worker's
			      // budget of field values; without it the connection isn't decoded.
	bool room_later;      // only some connections need the room: see tl_room()
	uint16_t request_bytes; // of values that a usual request takes, where these are more than 256
	uint32_t timeout_s;   // default time to wait for an answer
	const char *carrier;  // TL_AS_INNER: the protocol whose connections rules for it mean
	const uint16_t *ports; // usual server ports, a hint; ended by 0
	const struct tl_field *fields;
	uint8_t field_count;
	uint8_t counter_count;
	const char *const *counters; // names: "bad_chunk"
	const struct tl_option *options; // rows of its options struct, NULL if it has none
	uint32_t options_size;
	const struct tl_span_rules *span; // NULL: kind server, named as the protocol
	const struct tl_naming *naming; // NULL: ids need no names
	const char *status_help; // one line: how its codes become a status

	// Pure: might `first`, the first bytes that `lane` sent (or a UDP datagram), be this protocol?
	enum tl_match (*match)(enum tl_lane lane, struct tl_bytes first);
	// Reads one message, or one piece of one, at the start of the view. Over UDP each datagram
	// is one view and tl_need() means that it was cut short.
	struct tl_step (*step)(struct tl_ctx *ctx, void *state, enum tl_lane lane,
			       const struct tl_view *view);
	// `lost` bytes of `lane` never came and no skip covered them; the lane goes on at `offset`.
	// Drops the half-read message; true: hunt for the next one with resync(), false: stop.
	bool (*gap)(struct tl_ctx *ctx, void *state, enum tl_lane lane, uint64_t lost,
		    uint64_t offset);
	// Index of the next plausible message start in `view`, or its length if there is none.
	// NULL: the decoder can't join late. Pure.
	uint32_t (*resync)(const void *state, enum tl_lane lane, struct tl_bytes view);
	// `lane` has ended at `offset`; called once per lane. May end a message (read-to-close).
	// Requests still open are completed by the core afterwards. May be NULL.
	void (*end)(struct tl_ctx *ctx, void *state, enum tl_lane lane, enum tl_end end,
		    uint64_t offset);
};

// Put after a decoder's table: what the core relies on, at compile time.
#define TL_DECODER_CHECK(state_type, need) \
	_Static_assert(sizeof(state_type) <= TL_STATE_BYTES_MAX, "decoder state too large"); \
	_Static_assert((need) <= TL_NEED_BYTES_MAX, "decoder asks for too much")

// ---- The registry, generated from protocols/meson.build ------------------------------------

extern const struct tl_decoder *const tl_decoders[]; // by id; holes are NULL
extern const uint16_t tl_decoder_count;              // ids are below this

static inline const struct tl_decoder *tl_decoder_at(uint16_t id)
{
	return id < tl_decoder_count ? tl_decoders[id] : NULL;
}

const struct tl_decoder *tl_decoder_by_name(const char *name); // NULL if not built in
