// SPDX-License-Identifier: Apache-2.0
// What the HTTP/1 decoder remembers of a connection, shared by its own files only. All zero
// between messages, so that an idle connection needs no state.
#pragma once

#include "line.h"
#include "protocols/common/grpc.h"
#include "scan.h"

// Header lines beyond these are read for the message's length only; counted.
#define HTTP_HEADERS_MAX 256u
#define HTTP_HEAD_BYTES_MAX (256u * 1024u)
#define HTTP_HUNT_BYTES_MAX (256u * 1024u) // read in search of a start line before giving up
// Roundtrips in good order, one at a time, after which pairing is trusted again after a loss.
#define HTTP_SETTLE_ROUNDTRIPS 4u

// Behind the fields of protocols/common/http.h.
enum { HTTP_FIELD_REASON = TL_HTTP_FIELD_COUNT, HTTP_FIELD_COUNT };

// Values up to these lengths are written at once; the fields' own limits are no less.
#define HTTP_VERSION_BYTES_MAX 8u
#define HTTP_WORD_BYTES_MAX 128u

enum http_counter {
	HTTP_COUNT_LONG_LINE,
	HTTP_COUNT_MANY_HEADERS,
	HTTP_COUNT_BAD_START_LINE,
	HTTP_COUNT_BAD_LENGTH,
	HTTP_COUNT_BAD_CHUNK,
	HTTP_COUNT_BOTH_LENGTHS,
	HTTP_COUNT_UNSURE_DROPPED,
	HTTP_COUNT_HUNT_GIVEN_UP,
	HTTP_COUNTER_COUNT
};

enum http_phase {
	HTTP_IDLE,       // between messages
	HTTP_HEADERS,    // behind the start line
	HTTP_BODY,       // `left` bytes of body begin here
	HTTP_CHUNK,      // a chunk line begins here, behind the line end of the chunk before
	HTTP_CHUNK_DATA, // `left` bytes of a chunk begin here
	HTTP_TRAILERS,
	HTTP_TO_END,     // the body, begun at `left`, goes on until the lane ends
	HTTP_HUNT,       // what was found was no message: looks for a start line
};

enum http_lane_flag {
	HTTP_DROP_LINE = 1u << 0,   // the rest of a line that was too long comes first
	HTTP_CHUNKED = 1u << 1,     // the last transfer coding is chunked
	HTTP_ENCODED = 1u << 2,     // there is a Transfer-Encoding
	HTTP_HAS_LENGTH = 1u << 3,
	HTTP_BAD_LENGTH = 1u << 4,
	HTTP_HAS_UPGRADE = 1u << 5,
	HTTP_HAS_HOST = 1u << 6,    // by an absolute target, which outranks the header
	HTTP_NO_BODY = 1u << 7,     // whatever its headers say
	HTTP_INTERIM = 1u << 8,
	HTTP_TUNNEL = 1u << 9,      // another protocol begins behind this head
	HTTP_TEXT = 1u << 10,       // of a content type that may be captured
	HTTP_COMPRESSED = 1u << 11, // has a Content-Encoding: not to be captured
	HTTP_CHUNK_BEFORE = 1u << 12, // a chunk's line end comes before the chunk line
	HTTP_AFTER_GAP = 1u << 13,  // the next message is the first one found after a loss
	HTTP_CUT = 1u << 14,        // a limit was hit in this head
	HTTP_UNSURE_BODY = 1u << 15, // may be the answer to a HEAD that was not seen
};

struct http_lane {
	uint64_t left;
	union {
		uint32_t head_bytes; // read of this head, or while hunting
		uint32_t body_kept;  // captured of this body
	};
	uint16_t flags;
	uint16_t header_count : 12;
	uint16_t phase : 3;          // enum http_phase
	uint16_t is_call : 1;        // of gRPC-Web: see call.c
};
_Static_assert(HTTP_HEADERS_MAX + 1 < 1u << 12, "header lines are counted to one more");

struct http {
	struct http_lane lane[TL_LANE_COUNT];
	uint64_t switch_offset;   // end of a request that may switch protocols, 0: none
	uint32_t request_begin;   // low bits of the offset of the request being read
	uint16_t switch_protocol; // by the Upgrade header of the response being read
	uint16_t code;            // status of the response being read
	uint8_t trace_source;     // rank of the header that the message's trace is from
	uint8_t doubt;            // roundtrips until pairing is trusted again, 0: it is
	bool is_fresh;            // no response that could belong to a lost request came since
	bool pipelines;           // requests were sent while others waited: see pair_response()
	bool has_room;            // there were headers of gRPC
};

// Behind it the core puts the handle of the room.
_Static_assert(sizeof(struct http) <= 60, "one block of the smallest size per connection");

// What connections with calls of gRPC-Web need besides.
struct http_room {
	struct tl_grpc_request request; // what the head being read says of a call
	uint64_t key[TL_LANE_COUNT];    // of the call that the lane is reading
	uint16_t grpc_id;               // registry id of gRPC
};

// Kept with an open request.
struct http_memo {
	uint8_t method;    // enum http_method
	bool is_simple;    // HTTP/0.9: the response is nothing but a body
	bool is_fresh;     // opened behind a loss: the next response may be another request's
	bool is_doubtful;  // opened before pairing settled
	uint8_t reserved[TL_MEMO_BYTES - 4];
};

_Static_assert(sizeof(struct http_memo) == TL_MEMO_BYTES, "the core copies a whole memo");

// The call in progress.
struct http_call {
	struct tl_ctx *ctx;
	struct http *http;
	struct http_lane *me; // http->lane[lane]
	const struct tl_http_options *options;
	const struct tl_view *view;
	struct tl_values values; // of the current message; open from its start line on
	enum tl_lane lane;
	struct http_scan scan;
	uint32_t scanned; // index in the view from which the scan goes on
};

// Takes in one header line (without line end) of the current message. `is_folded`: there may be
// line ends in it.
void tl_http_header(struct http_call *call, struct tl_bytes line, bool is_folded);
// Takes in header lines from `at` on as long as they are what nearly all are: seen for the first
// time, whole, not folded, within all limits. Gives the index of the first line that is left, and
// in `ret_end` the length of an empty one that ends the head there, else 0.
uint32_t tl_http_plain_headers(struct http_call *call, uint32_t at, uint32_t *ret_end);
// Sets what a request line says.
void tl_http_request_fields(struct http_call *call, const struct http_request_line *line);

struct http_call tl_http_begin_call(struct tl_ctx *ctx, void *state, enum tl_lane lane,
				 const struct tl_view *view);
struct tl_step tl_http_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
			 const struct tl_view *view);
// Takes a whole head that needs no second look, with all that follows from it. False: nothing was
// done, the general way is to take it.
bool tl_http_straight(struct tl_ctx *ctx, struct http *http, const struct tl_http_options *options,
		      enum tl_lane lane, const struct tl_view *view, struct tl_step *ret_step);
// After a loss on the client lane: requests may be missing from the queue.
void tl_http_distrust(struct http *http);
// The lane's current message ends at `end`; a call is closed with it.
void tl_http_end_message(struct http_call *call, uint64_t end);

// -- call.c: requests that are calls of gRPC, and their responses

// A header that says something of a call: of a request the content type, grpc-timeout and
// grpc-encoding, of a response to a call any.
void tl_http_call_header(struct http_call *call, struct tl_bytes name, struct tl_bytes value);
// The head of a request has ended at `end`: it may be a call.
void tl_http_call_begin(struct http_call *call, uint64_t end);
// The response that begins answers the open request `key`. False: that is no call.
bool tl_http_call_answer(struct http_call *call, uint64_t key);
// A line of the trailers.
void tl_http_call_trailer(struct http_call *call, struct tl_bytes line);
// Reads the body, or the chunk, of which `left` bytes begin with the view; counts down.
struct tl_step tl_http_call_body(struct http_call *call);
// The response has ended.
void tl_http_call_close(struct http_call *call);
// Bytes of the message were lost, the last one before came at `offset`: what follows says nothing.
void tl_http_call_lost(struct http_call *call, uint64_t offset);
