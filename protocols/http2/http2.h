// SPDX-License-Identifier: Apache-2.0
// What the HTTP/2 decoder remembers, shared by its own files only. Streams are open requests in
// the core's queue, their id the key; what is known of one lies in its memo.
#pragma once

#include "frame.h"
#include "hpack.h"
#include "l7/decoder.h"

#define HTTP2_BLOCK_BYTES_MAX (256u * 1024u) // of a header block with its continuations
#define HTTP2_FIELDS_MAX 256u                // header fields of a block that are looked at
#define HTTP2_FRAGMENT_HEAD_MAX 15u          // frame head, padding length, priority

enum http2_field {
	HTTP2_FIELD_METHOD,
	HTTP2_FIELD_PATH,
	HTTP2_FIELD_STATUS_CODE,
	HTTP2_FIELD_TARGET,
	HTTP2_FIELD_QUERY,
	HTTP2_FIELD_HOST,
	HTTP2_FIELD_SCHEME,
	HTTP2_FIELD_VERSION,
	HTTP2_FIELD_USER_AGENT,
	HTTP2_FIELD_REQUEST_ID,
	HTTP2_FIELD_TRACESTATE,
	HTTP2_FIELD_SERVER,
	HTTP2_FIELD_CONTENT_TYPE,
	HTTP2_FIELD_STREAM_ID,
	HTTP2_FIELD_ERROR_CODE,
	HTTP2_FIELD_COUNT
};

enum http2_counter {
	HTTP2_COUNT_BAD_FRAME,
	HTTP2_COUNT_BAD_BLOCK,
	HTTP2_COUNT_LONG_BLOCK,
	HTTP2_COUNT_MANY_FIELDS,
	HTTP2_COUNT_UNKNOWN_FIELDS,
	HTTP2_COUNT_UNKNOWN_FRAMES,
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
	HTTP2_BLOCK_ORPHAN,   // a response, if it begins with a status
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
};

struct http2_lane {
	uint64_t frame_end;   // offset behind the frame whose fragment is being read
	struct tl_trace trace;
	uint32_t stream;      // of the block being read
	uint32_t left;        // bytes of the fragment to come
	uint32_t padding;     // behind it
	uint32_t block_bytes; // of the block so far
	uint16_t field_count; // of the block so far
	uint16_t code;        // status
	uint8_t block;        // enum http2_block
	uint8_t seen;         // enum http2_seen
	uint8_t trace_source;
	bool in_fragment;     // `left` bytes of a fragment begin here
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
	bool is_going;
	bool roles_are_sure;   // a preface, a request or a response was seen on its lane
	bool is_ready;         // the tables are
	bool server_gap;
	bool client_gap;
};

// Of an open request.
struct http2_memo {
	uint16_t code;
	bool answered;   // its response has begun
	bool is_connect;
	uint8_t reserved[TL_MEMO_BYTES - 4];
};
_Static_assert(sizeof(struct http2_memo) == TL_MEMO_BYTES, "a memo");

struct http2_room {
	struct hpack table[TL_LANE_COUNT];
};
_Static_assert(sizeof(struct http2_room) <= TL_ROOM_BYTES_MAX, "the tables fit");

// The call in progress.
struct http2_call {
	struct tl_ctx *ctx;
	struct http2 *http;
	struct http2_lane *me; // http->lane[lane]
	struct hpack *table;   // of this lane
	const struct tl_view *view;
	enum tl_lane lane;
};

struct http2_call tl_http2_begin_call(struct tl_ctx *ctx, void *state, enum tl_lane lane,
				      const struct tl_view *view);
struct tl_step tl_http2_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
			     const struct tl_view *view);

// A header block of `stream` begins at the frame in view; `promised`: by PUSH_PROMISE.
void tl_http2_block_begin(struct http2_call *call, uint32_t stream, bool promised);
// Takes in one field of it.
void tl_http2_block_field(void *arg, const struct hpack_field *field);
// All its fields are in.
void tl_http2_block_end(struct http2_call *call);
// The stream's response ends with the frame that ends at `end`.
void tl_http2_close(struct http2_call *call, uint32_t stream, uint64_t end);
