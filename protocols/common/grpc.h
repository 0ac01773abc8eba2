// SPDX-License-Identifier: Apache-2.0
// A gRPC call inside an HTTP message: what its headers and trailers say, and the heads of its
// messages. HTTP/2 and HTTP/1 (gRPC-Web) own the bytes, the pairing and the ends; this is the
// inner protocol of their requests (tl_inner_begin).
// Sources: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md, doc/PROTOCOL-WEB.md,
// doc/statuscodes.md, doc/http-grpc-status-mapping.md.
#pragma once

#include "http.h"

#define TL_GRPC_HEAD_BYTES 5u
#define TL_GRPC_ENCODING_BYTES_MAX 16u
#define TL_GRPC_LINE_BYTES_MAX 256u // of a line of gRPC-Web's trailers; more of it is cut
#define TL_GRPC_MESSAGE_BYTES_MAX 512u // of a grpc-message, decoded

// Behind the fields of http.h and those that HTTP/2 adds to them, which gRPC has with the same ids.
enum tl_grpc_field {
	GRPC_FIELD_SCHEME = TL_HTTP_FIELD_COUNT,
	GRPC_FIELD_STREAM_ID,
	GRPC_FIELD_ERROR_CODE,
	GRPC_FIELD_SERVICE,
	GRPC_FIELD_METHOD,
	GRPC_FIELD_CALL_TYPE,
	GRPC_FIELD_STATUS,
	GRPC_FIELD_MESSAGE,
	GRPC_FIELD_TIMEOUT,
	GRPC_FIELD_ENCODING,
	GRPC_FIELD_MESSAGES,
	GRPC_FIELD_MESSAGE_BYTES,
	GRPC_FIELD_FIRST_MESSAGE,
	GRPC_FIELD_LAST_MESSAGE,
	GRPC_FIELD_COUNT
};

enum tl_grpc_kind {
	TL_GRPC_NONE,
	TL_GRPC_NATIVE,
	TL_GRPC_WEB,      // trailers are the last frame of the body
	TL_GRPC_WEB_TEXT, // the same in base64
};

// What a request's headers say, gathered before it is known that they are a call's.
struct tl_grpc_request {
	uint64_t timeout_ns; // 0: none
	uint8_t kind;        // enum tl_grpc_kind
	uint8_t encoding_len;
	uint8_t encoding[TL_GRPC_ENCODING_BYTES_MAX];
};

struct tl_grpc_lane {
	uint64_t bytes;    // of messages, as sent
	uint64_t first_ns; // since the request's first byte
	uint64_t last_ns;
	uint32_t count;
	uint8_t kind;      // enum tl_grpc_kind: the response may be of another one than the request
	uint32_t left;     // bytes to come of the message or trailers
	uint8_t head[TL_GRPC_HEAD_BYTES];
	uint8_t head_len;
	uint8_t quad[4];   // base64
	uint8_t quad_len;
	bool in_trailers;
	bool is_lost;      // where messages begin isn't known any more
	bool has_missed;   // there may have been more than were counted
	uint16_t epoch;    // for the owner: losses of the lane when the call began
};

// State of the inner decoder `grpc`, all zero but for what tl_grpc_begin() sets.
struct tl_grpc {
	struct tl_grpc_lane lane[TL_LANE_COUNT];
	uint64_t timeout_ns;
	uint64_t key;     // of the request
	uint8_t status;   // with has_status
	bool has_status;
	bool has_message;
	bool hides_status; // trailers came that can't be read
	uint16_t line_len;
	uint8_t line[TL_GRPC_LINE_BYTES_MAX];
};
_Static_assert(sizeof(struct tl_grpc) <= 512, "a block of 512 bytes per call");

// Does the content type begin like that of a call?
static inline bool tl_grpc_is_type(struct tl_bytes content_type)
{
	return content_type.len >= 16 && tl_is_word(content_type.ptr, "application/grpc", 16);
}
// By the content type of a request or response.
enum tl_grpc_kind tl_grpc_kind_of(struct tl_bytes content_type);
// Headers of a request: grpc-timeout, grpc-encoding.
void tl_grpc_request_timeout(struct tl_grpc_request *request, struct tl_bytes value);
void tl_grpc_request_encoding(struct tl_grpc_request *request, struct tl_bytes value);
// The open request `key` of the client is a call: makes it one of `protocol`, the registry id of
// grpc. `is_current`: the request is the lane's current message. NULL: no state is free, it stays
// what it is.
struct tl_grpc *tl_grpc_begin(struct tl_ctx *ctx, uint64_t key, uint16_t protocol,
			      const struct tl_grpc_request *request, bool is_current);
// Headers and trailers of the response, the current message of the server lane. The content type says
// how its messages are encoded: without one, as those of the request.
void tl_grpc_response_status(struct tl_grpc *grpc, struct tl_bytes value);
void tl_grpc_response_message(struct tl_grpc *grpc, struct tl_ctx *ctx, struct tl_bytes value);
void tl_grpc_response_type(struct tl_grpc *grpc, struct tl_bytes value);
void tl_grpc_response_encoding(struct tl_ctx *ctx, struct tl_bytes value);
// The same by name, if it is one of these.
void tl_grpc_response_line(struct tl_grpc *grpc, struct tl_ctx *ctx, struct tl_bytes name,
			   struct tl_bytes value);

// How many bytes of the body nobody needs to look at.
static inline uint64_t tl_grpc_skip(const struct tl_grpc *grpc, enum tl_lane lane)
{
	const struct tl_grpc_lane *me = &grpc->lane[lane];

	if (me->is_lost)
		return UINT64_MAX;
	return me->kind == TL_GRPC_WEB_TEXT || me->in_trailers ? 0 : me->left;
}
// Up to so many were passed over.
static inline void tl_grpc_skipped(struct tl_grpc *grpc, enum tl_lane lane, uint64_t bytes)
{
	struct tl_grpc_lane *me = &grpc->lane[lane];

	me->left -= bytes < me->left ? (uint32_t)bytes : me->left;
}
// Reads body bytes that begin at the stream offset `offset`. Gives how many it took, at least
// one: it stops where a message's content begins.
uint32_t tl_grpc_read(struct tl_grpc *grpc, struct tl_ctx *ctx, enum tl_lane lane,
		      struct tl_bytes bytes, uint64_t offset);

struct tl_grpc_outcome {
	enum tl_status status;
	enum tl_reason reason;
	bool is_estimated;
};

// Of a call whose response has ended. `code`: its HTTP status, 0 if it wasn't told;
// `may_be_hidden`: headers that could not be read may have said it.
struct tl_grpc_outcome tl_grpc_outcome(const struct tl_grpc *grpc, uint32_t code,
				       bool may_be_hidden);
// Of a call that was cancelled, `elapsed_ns` after its first byte.
struct tl_grpc_outcome tl_grpc_cancelled(const struct tl_grpc *grpc, uint64_t elapsed_ns);
// What the inner decoder's end() does.
void tl_grpc_end(struct tl_ctx *ctx, void *state, enum tl_lane lane, enum tl_end end,
		 uint64_t offset);
