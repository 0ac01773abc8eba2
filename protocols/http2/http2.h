// SPDX-License-Identifier: Apache-2.0
// What the HTTP/2 decoder remembers, shared by its own files only. Streams are open requests in
// the core's queue, their id the key; what is known of one lies in its memo.
#pragma once

#include "frame.h"
#include "hpack.h"
#include "protocols/common/grpc.h"

#define HTTP2_BLOCK_BYTES_MAX (256u * 1024u) // of a header block with its continuations
#define HTTP2_FIELDS_MAX 256u                // header fields of a block that are looked at

// Values up to these lengths are written at once; the fields' own limits are no less.
#define HTTP2_VERSION_BYTES_MAX 8u
#define HTTP2_SCHEME_BYTES_MAX 32u
#define HTTP2_WORD_BYTES_MAX 128u
#define HTTP2_TRACESTATE_BYTES_MAX 512u

// Behind the fields of protocols/common/http.h, as gRPC has them.
enum http2_field {
	HTTP2_FIELD_SCHEME = GRPC_FIELD_SCHEME,
	HTTP2_FIELD_STREAM_ID = GRPC_FIELD_STREAM_ID,
	HTTP2_FIELD_ERROR_CODE = GRPC_FIELD_ERROR_CODE,
	HTTP2_FIELD_COUNT
};

enum http2_counter {
	HTTP2_COUNT_BAD_FRAME,
	HTTP2_COUNT_BAD_BLOCK,
	HTTP2_COUNT_LONG_BLOCK,
	HTTP2_COUNT_MANY_FIELDS,
	HTTP2_COUNT_UNKNOWN_FIELDS,
	HTTP2_COUNT_UNKNOWN_FRAMES,
	HTTP2_COUNT_BAD_MESSAGE, // of gRPC
	HTTP2_COUNTER_COUNT
};

enum http2_error {
	HTTP2_NO_ERROR = 0,
	HTTP2_CANCEL = 8,
};

// What a header block turns out to be.
enum http2_block {
	HTTP2_BLOCK_NONE,     // of nobody's interest: only the table learns
	HTTP2_BLOCK_REQUEST,
	HTTP2_BLOCK_RESPONSE,
	HTTP2_BLOCK_TRAILERS,
	HTTP2_BLOCK_ORPHAN,   // a response whose request was not seen, if it begins with a status
	HTTP2_BLOCK_PROMISE,
};

enum http2_seen {
	HTTP2_SEEN_METHOD = 1u << 0,
	HTTP2_SEEN_PATH = 1u << 1,
	HTTP2_SEEN_OTHER = 1u << 2, // scheme or authority
	HTTP2_SEEN_HOST = 1u << 3,
	HTTP2_SEEN_CONNECT = 1u << 4,
	HTTP2_SEEN_UNKNOWN = 1u << 5,
	HTTP2_SEEN_CUT = 1u << 6,
	HTTP2_SEEN_TYPE = 1u << 7, // content type
};

// Of one message of a stream.
enum http2_content {
	HTTP2_IS_TEXT = 1u << 0,
	HTTP2_IS_ENCODED = 1u << 1,
	HTTP2_IS_EVENTS = 1u << 2, // a stream that goes on as long as it likes
};

struct http2_lane {
	uint64_t frame_end;   // offset behind the frame whose fragment or DATA is being read
	struct tl_grpc_request grpc; // what the block says of a call
	uint32_t stream;      // of the block or DATA being read
	uint32_t left;        // bytes of the fragment or DATA to come
	uint32_t padding;     // behind it
	uint32_t block_bytes; // of the block so far
	uint16_t field_count; // of the block so far
	uint16_t code;        // status
	uint8_t block;        // enum http2_block
	uint8_t seen;         // enum http2_seen
	uint8_t content;      // enum http2_content
	uint8_t trace_source;
	uint16_t epoch;       // losses of this lane so far
	bool in_fragment;     // `left` bytes of a fragment begin here
	bool ends_data;       // with in_data: the stream ends with it
	bool in_data;         // `left` bytes of DATA that must be looked at or kept begin here
	bool in_block;        // a CONTINUATION must come
	bool ends_stream;
	bool ends_block;      // the fragment is the block's last one
	bool had_frame;
};

struct http2 {
	struct http2_lane lane[TL_LANE_COUNT];
	uint32_t first_stream; // of the client's requests seen: the lowest, the highest
	uint32_t last_stream;
	uint32_t hole_low;     // streams between these may have been opened in a hole
	uint32_t hole_high;
	uint32_t goaway;       // the server processes none above, with is_going
	uint16_t grpc_id;      // registry id of gRPC
	bool is_going;
	bool roles_are_sure;   // a preface, a request or a response was seen on its lane
	bool is_ready;         // the tables are
	bool server_gap;
	bool client_gap;
};

// Of an open request.
struct http2_memo {
	uint16_t code;
	uint16_t kept[TL_LANE_COUNT];   // of the bodies
	uint8_t content[TL_LANE_COUNT]; // enum http2_content
	bool answered;   // its response has begun
	bool is_connect;
	bool is_grpc;
	bool may_be_grpc; // its content type was not told
	bool hides;      // some of its response's header fields were not told
	uint8_t reserved[3];
};
_Static_assert(sizeof(struct http2_memo) == TL_MEMO_BYTES, "a memo");

struct http2_room {
	struct hpack table[TL_LANE_COUNT];
};
_Static_assert(sizeof(struct http2_room) <= TL_ROOM_BYTES_MAX, "the tables fit");

// The call in progress.
struct http2_call {
	struct tl_ctx *ctx;
	const struct tl_http_options *options;
	struct http2 *http;
	struct http2_lane *me; // http->lane[lane]
	struct hpack *table;   // of this lane
	const struct tl_view *view;
	struct http2_memo *memo; // of the open request of the stream that is read, NULL: none
	struct tl_values values; // of the current message, while a block is read
	enum tl_lane lane;
	bool of_request;         // the block that is read
	bool captures;           // some of its headers are to be recorded
};

void tl_http2_begin_call(struct http2_call *ret, struct tl_ctx *ctx, void *state, enum tl_lane lane,
			 const struct tl_view *view);
struct tl_step tl_http2_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
			     const struct tl_view *view);

// -- block.c

// A header block of `stream`, which was looked up, begins at the frame in view; `promised`: by
// PUSH_PROMISE.
void tl_http2_block_begin(struct http2_call *call, uint32_t stream, bool promised);
// What takes in its fields; the call is the argument.
tl_hpack_fn *tl_http2_block_fn(const struct http2_call *call);
// All its fields are in.
void tl_http2_block_end(struct http2_call *call);

// -- stream.c

// Who opened the stream: the server promises those with even ids.
static inline enum tl_lane tl_http2_opener(uint32_t stream)
{
	return (stream & 1) != 0 ? TL_CLIENT : TL_SERVER;
}
// Finds the open request of the stream that is read now.
static inline void tl_http2_look_up(struct http2_call *call, uint32_t stream)
{
	call->memo = (struct http2_memo *)tl_pending(call->ctx, tl_http2_opener(stream), stream);
}
// The call that it carries, NULL if it carries none.
static inline struct tl_grpc *tl_http2_grpc(const struct http2_call *call)
{
	return call->memo == NULL ? NULL : (struct tl_grpc *)tl_inner_of(call->ctx, call->memo);
}
// The stream's block of this kind is complete.
void tl_http2_request(struct http2_call *call);
void tl_http2_promise(struct http2_call *call);
void tl_http2_response(struct http2_call *call);
void tl_http2_orphan(struct http2_call *call);
// The stream's response ends with the frame that ends at me->frame_end.
void tl_http2_close(struct http2_call *call);
// It turns out to be a call, its request being of `kind`.
struct tl_grpc *tl_http2_becomes_grpc(struct http2_call *call, enum tl_grpc_kind kind);
// RST_STREAM, GOAWAY by the server.
void tl_http2_reset(struct http2_call *call, uint32_t stream, uint32_t error);
void tl_http2_goaway(struct http2_call *call, uint32_t last, uint32_t error);

// -- data.c

struct tl_step tl_http2_data_frame(struct http2_call *call, const struct frame *frame);
// DATA goes on that is looked at or kept.
struct tl_step tl_http2_data(struct http2_call *call);
// The rest of it was lost: the stream's end, which its head told, is not.
void tl_http2_data_lost(struct http2_call *call);
