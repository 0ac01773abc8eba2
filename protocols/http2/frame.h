// SPDX-License-Identifier: Apache-2.0
// The pure half of HTTP/2: frame heads, and whether bytes look like frames.
// Source: RFC 9113, sections 4 and 6.
#pragma once

#include "base/bytes.h"
#include "l7/decoder.h"

#define FRAME_HEAD_BYTES 9u
#define FRAME_LENGTH_USUAL 16384u // SETTINGS_MAX_FRAME_SIZE unless raised
#define PREFACE_BYTES 24u

enum frame_type {
	FRAME_DATA,
	FRAME_HEADERS,
	FRAME_PRIORITY,
	FRAME_RST_STREAM,
	FRAME_SETTINGS,
	FRAME_PUSH_PROMISE,
	FRAME_PING,
	FRAME_GOAWAY,
	FRAME_WINDOW_UPDATE,
	FRAME_CONTINUATION,
	FRAME_TYPES_KNOWN
};

enum frame_flag {
	FRAME_END_STREAM = 0x01, // DATA, HEADERS
	FRAME_ACK = 0x01,        // SETTINGS, PING
	FRAME_END_HEADERS = 0x04,
	FRAME_PADDED = 0x08,
	FRAME_HAS_PRIORITY = 0x20,
};

struct frame {
	uint32_t length; // of the payload
	uint32_t stream;
	uint8_t type;
	uint8_t flags;
};

// `head` has FRAME_HEAD_BYTES.
static inline struct frame tl_http2_frame(const uint8_t *head)
{
	return (struct frame) {
		.length = tl_load_be32(head) >> 8,
		.type = head[3],
		.flags = head[4],
		.stream = tl_load_be32(head + 5) & 0x7fffffff,
	};
}
// A frame that RFC 9113 allows on this lane; types of extensions are allowed.
bool tl_http2_frame_is_valid(enum tl_lane lane, const struct frame *frame);

// Does `bytes` begin with the connection preface? UNSURE: as far as there is of it.
enum tl_match tl_http2_preface(struct tl_bytes bytes);

// How much speaks for frames beginning at the start of `bytes`. `ret_says_lane` (may be NULL): one
// of them is of the kind that only this lane sends.
enum tl_match tl_http2_chain(enum tl_lane lane, struct tl_bytes bytes, bool *ret_says_lane);
// The first place where tl_http2_chain() is at least likely, or a preface begins; bytes.len: none.
// `want_lane`: only what says which lane this is.
uint32_t tl_http2_find(enum tl_lane lane, struct tl_bytes bytes, bool want_lane);
