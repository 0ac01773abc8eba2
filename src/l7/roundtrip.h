// SPDX-License-Identifier: Apache-2.0
// The roundtrip: one request with its response, or whichever half was seen. Made by the pairing
// engine (l7/pair.h), the one source of metrics, traces and records, so these can't disagree.
// What one record is per protocol: docs/protocols/.
#pragma once

#include "base/bytes.h"
#include "packet/packet.h"

enum tl_status {
	TL_STATUS_OK,
	TL_STATUS_CLIENT_ERROR,
	TL_STATUS_SERVER_ERROR,
	TL_STATUS_TIMEOUT,    // no answer in time, or the protocol's own deadline passed
	TL_STATUS_RESET,      // the connection was reset first
	TL_STATUS_CANCELLED,
	TL_STATUS_UNANSWERED, // the connection ended or was evicted first
	TL_STATUS_ORPHAN,     // a response whose request was not seen
	TL_STATUS_ONE_WAY,    // no response is ever due
	TL_STATUS_COUNT
};

// Stable words for `reason`. Appended to, never renumbered or renamed.
#define TL_REASONS(X) \
	X(NONE, "") \
	X(END_OF_INPUT, "end_of_input") \
	X(CONNECTION_CLOSED, "connection_closed") \
	X(RESET, "reset") \
	X(EVICTED, "evicted") \
	X(TIMEOUT, "timeout") \
	X(GAP, "gap") \
	X(DECODE_ERROR, "decode_error") \
	X(REPLACED, "replaced") \
	X(LIMIT, "limit") \
	X(DEADLINE, "deadline") \
	X(TLS, "tls") \
	X(REDIRECT, "redirect") \
	X(ABORTED, "aborted") \
	X(SKIPPED, "skipped") \
	X(REJECTED, "rejected") \
	X(REQUEUED, "requeued") \
	X(RETURNED, "returned") \
	X(CHANNEL_CLOSED, "channel_closed") \
	X(GOAWAY_UNPROCESSED, "goaway_unprocessed") \
	X(TRUNCATED, "truncated")

#define TL_REASON_ID(id, word) TL_REASON_##id,
enum tl_reason { TL_REASONS(TL_REASON_ID) TL_REASON_COUNT };

// X(bit, word): what makes a record less than perfect, or explains it.
#define TL_ROUNDTRIP_FLAGS(X) \
	X(LATE_JOIN, 0, "late_join")           /* the connection began before the capture */ \
	X(GAP, 1, "gap")                       /* bytes of this roundtrip were lost */ \
	X(ONE_SIDED, 2, "one_sided")           /* only one direction was ever seen */ \
	X(TRUNCATED, 3, "truncated")           /* the snaplen or a limit cut a message */ \
	X(RETRANSMITTED, 4, "retransmitted")   /* TCP or the client sent part of it again */ \
	X(EARLY_RESPONSE, 5, "early_response") /* the response began before the request ended */ \
	X(ESTIMATED, 6, "estimated")           /* a time or a status was inferred */ \
	X(UPGRADED, 7, "upgraded")             /* HTTP/1 Upgrade to HTTP/2 */ \
	X(EXHAUST, 8, "exhaust")               /* one of many replies to one command */ \
	X(FROM_SERVER, 9, "from_server")       /* the request was sent by the server side */

#define TL_FLAG_ID(id, bit, word) TL_FLAG_##id = 1u << (bit),
enum tl_roundtrip_flag { TL_ROUNDTRIP_FLAGS(TL_FLAG_ID) };

const char *tl_status_name(enum tl_status status); // "ok", "client_error", ...
const char *tl_reason_name(enum tl_reason reason); // "" for TL_REASON_NONE

enum { TL_TRACE_PRESENT = 1u << 0, TL_TRACE_SAMPLED = 1u << 1, TL_TRACE_HAS_SAMPLED = 1u << 2 };

// Trace context found in the traffic (W3C trace context, b3, x-request-id is a field instead).
struct tl_trace {
	uint8_t trace_id[16];
	uint8_t parent_span_id[8];
	uint32_t flags;
	uint32_t reserved;
};

// One half of a roundtrip.
struct tl_half {
	uint64_t first_ns;   // time of its first byte, 0: this half was not seen
	uint64_t end_ns;     // time of its last byte seen
	uint64_t bytes;      // on the wire, framing included, retransmissions not
	uint64_t body_bytes; // payload without framing (chunk heads, trailers)
	uint32_t tail_len;   // bytes of field values in the record
	uint32_t seen;       // 1: this half was seen
};

// As it leaves a worker: this head, then the request's field values, then the response's, then the
// connection's path if it has one, all in `size` bytes. Plain bytes, no pointers. Readers on the
// control lcore borrow it.
struct tl_roundtrip {
	uint32_t size;          // whole record, a multiple of 8
	uint16_t protocol;      // registry id, index for tl_decoder_at()
	uint8_t status;         // enum tl_status
	uint8_t reason;         // enum tl_reason
	uint32_t flags;         // enum tl_roundtrip_flag
	uint8_t ip_version;     // 4 or 6
	uint8_t l4;             // IP protocol number
	uint8_t port;           // index of the capture port
	uint8_t worker;
	uint64_t connection_id; // hash of tuple and first packet time
	uint64_t serial;        // of this worker, from 1: with `worker` it names the record
	uint8_t client_address[16]; // IPv4 as ::ffff:a.b.c.d
	uint8_t server_address[16];
	uint16_t client_port;
	uint16_t server_port;
	uint32_t rtt_us;        // handshake round trip, 0: not measured
	struct tl_outer outer;
	struct tl_trace trace;
	uint64_t duration_ns;   // = request_ns + server_ns + response_ns
	uint64_t request_ns;    // first to last request byte
	uint64_t server_ns;     // last request byte to first response byte
	uint64_t response_ns;   // first to last response byte
	uint64_t stall_ns;      // part of the above lost to retransmission
	uint64_t wait_ns;       // part of server_ns that the request asked for (long polls)
	struct tl_half request;
	struct tl_half response;
	uint8_t proxied_address[16]; // PROXY protocol's client, with proxied_port != 0
	uint16_t proxied_port;
	uint16_t retries;       // times the request was sent again by the client
	uint32_t path_len;      // bytes of the path, 0: `outer` says all of it
};

static inline struct tl_bytes tl_roundtrip_request_tail(const struct tl_roundtrip *r)
{
	return tl_bytes((const uint8_t *)r + sizeof(*r), r->request.tail_len);
}

static inline struct tl_bytes tl_roundtrip_response_tail(const struct tl_roundtrip *r)
{
	return tl_bytes((const uint8_t *)r + sizeof(*r) + r->request.tail_len, r->response.tail_len);
}

// False when there is none.
static inline bool tl_roundtrip_path(const struct tl_roundtrip *r, struct tl_path *ret_path)
{
	if (r->path_len != sizeof(*ret_path))
		return false;
	memcpy(ret_path, (const uint8_t *)(r + 1) + r->request.tail_len + r->response.tail_len,
	       sizeof(*ret_path));
	return true;
}

// Time the record is known by: first byte of the request, of the response for an orphan.
static inline uint64_t tl_roundtrip_time(const struct tl_roundtrip *r)
{
	return r->request.seen != 0 ? r->request.first_ns : r->response.first_ns;
}

// True for the statuses that enter the duration histogram: an answer was seen.
static inline bool tl_roundtrip_is_answered(const struct tl_roundtrip *r)
{
	return r->request.seen != 0 && r->response.seen != 0 && r->status <= TL_STATUS_CANCELLED;
}
