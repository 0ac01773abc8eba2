// SPDX-License-Identifier: Apache-2.0
#include "frame.h"

#include "hpack.h"

#define CHAIN_FRAMES_MAX 8u // frames looked at in a row

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
_Static_assert(sizeof(preface) - 1 == PREFACE_BYTES, "RFC 9113 section 3.4");

bool tl_http2_frame_is_valid(enum tl_lane lane, const struct frame *frame)
{
	bool has_stream = frame->stream != 0;

	switch ((enum frame_type)frame->type) {
	case FRAME_DATA:
	case FRAME_HEADERS:
	case FRAME_CONTINUATION:
		return has_stream && (lane == TL_SERVER || (frame->stream & 1) != 0);
	case FRAME_PRIORITY:
		return has_stream && frame->length == 5;
	case FRAME_RST_STREAM:
		return has_stream && frame->length == 4;
	case FRAME_SETTINGS:
		return !has_stream && frame->length % 6 == 0 &&
		       ((frame->flags & FRAME_ACK) == 0 || frame->length == 0);
	case FRAME_PUSH_PROMISE:
		return has_stream && lane == TL_SERVER && frame->length >= 4;
	case FRAME_PING:
		return !has_stream && frame->length == 8;
	case FRAME_GOAWAY:
		return !has_stream && frame->length >= 8;
	case FRAME_WINDOW_UPDATE:
		return frame->length == 4;
	case FRAME_TYPES_KNOWN:
		break;
	}
	return true;
}

enum tl_match tl_http2_preface(struct tl_bytes bytes)
{
	uint32_t len = bytes.len < PREFACE_BYTES ? bytes.len : PREFACE_BYTES;

	if (memcmp(bytes.ptr, preface, len) != 0)
		return TL_MATCH_NO;
	return len == PREFACE_BYTES ? TL_MATCH_CERTAIN : TL_MATCH_UNSURE;
}

// Stricter than valid: what real peers send, with no bit set that means nothing.
static bool is_usual(enum tl_lane lane, struct tl_bytes bytes, struct frame *ret)
{
	static const uint8_t flags[FRAME_TYPES_KNOWN] = {
		[FRAME_DATA] = FRAME_END_STREAM | FRAME_PADDED,
		[FRAME_HEADERS] = FRAME_END_STREAM | FRAME_END_HEADERS | FRAME_PADDED |
				  FRAME_HAS_PRIORITY,
		[FRAME_SETTINGS] = FRAME_ACK,
		[FRAME_PUSH_PROMISE] = FRAME_END_HEADERS | FRAME_PADDED,
		[FRAME_PING] = FRAME_ACK,
		[FRAME_CONTINUATION] = FRAME_END_HEADERS,
	};

	*ret = tl_http2_frame(bytes.ptr);
	return ret->type < FRAME_TYPES_KNOWN && (bytes.ptr[5] & 0x80) == 0 &&
	       (ret->flags & ~flags[ret->type]) == 0 && ret->length <= FRAME_LENGTH_USUAL &&
	       tl_http2_frame_is_valid(lane, ret);
}

// Does a header block that a message could begin with follow the head?
static bool has_block(enum tl_lane lane, struct tl_bytes bytes, const struct frame *frame)
{
	if (frame->type != FRAME_HEADERS)
		return false;
	uint32_t at = FRAME_HEAD_BYTES + ((frame->flags & FRAME_PADDED) != 0 ? 1u : 0u) +
		      ((frame->flags & FRAME_HAS_PRIORITY) != 0 ? 5u : 0u);

	return tl_hpack_looks_like_begin(tl_bytes_from(bytes, at), lane == TL_CLIENT);
}

// Frames that hardly anything else looks like, by themselves.
static bool is_telling(enum tl_lane lane, struct tl_bytes bytes, const struct frame *frame)
{
	switch ((enum frame_type)frame->type) {
	case FRAME_SETTINGS:
	case FRAME_PING:
	case FRAME_WINDOW_UPDATE:
	case FRAME_RST_STREAM:
	case FRAME_PRIORITY:
		return true;
	case FRAME_HEADERS:
		return has_block(lane, bytes, frame);
	case FRAME_DATA:
	case FRAME_PUSH_PROMISE:
	case FRAME_GOAWAY:
	case FRAME_CONTINUATION:
	case FRAME_TYPES_KNOWN:
		break;
	}
	return false;
}

enum tl_match tl_http2_chain(enum tl_lane lane, struct tl_bytes bytes, bool *ret_says_lane)
{
	enum tl_lane other = lane == TL_CLIENT ? TL_SERVER : TL_CLIENT;
	bool says_lane = false;
	uint32_t telling = 0;
	uint32_t count = 0;

	while (bytes.len >= FRAME_HEAD_BYTES && count < CHAIN_FRAMES_MAX) {
		struct frame frame;
		if (ret_says_lane != NULL)
			*ret_says_lane = says_lane;
		if (!is_usual(lane, bytes, &frame) || has_block(other, bytes, &frame))
			return TL_MATCH_NO;
		telling += is_telling(lane, bytes, &frame);
		says_lane = says_lane || has_block(lane, bytes, &frame);
		count++;
		bytes = tl_bytes_from(bytes, FRAME_HEAD_BYTES + frame.length);
	}
	if (ret_says_lane != NULL)
		*ret_says_lane = says_lane;
	if (count == 0) {
		bool may = (bytes.len < 1 || bytes.ptr[0] == 0) &&
			   (bytes.len < 4 || bytes.ptr[3] < FRAME_TYPES_KNOWN);
		return may ? TL_MATCH_UNSURE : TL_MATCH_NO;
	}
	if (telling >= 2 && count >= 3)
		return TL_MATCH_CERTAIN;
	return telling != 0 ? TL_MATCH_LIKELY : TL_MATCH_UNSURE;
}

uint32_t tl_http2_find(enum tl_lane lane, struct tl_bytes bytes, bool want_lane)
{
	for (uint32_t i = 0; i + FRAME_HEAD_BYTES <= bytes.len; i++) {
		const uint8_t *at = bytes.ptr + i;
		if (lane == TL_CLIENT && at[0] == 'P' &&
		    tl_http2_preface(tl_bytes_from(bytes, i)) != TL_MATCH_NO)
			return i;
		if (at[0] != 0 || at[3] >= FRAME_TYPES_KNOWN || (at[5] & 0x80) != 0)
			continue;
		bool says_lane;
		if (tl_http2_chain(lane, tl_bytes_from(bytes, i), &says_lane) >= TL_MATCH_LIKELY &&
		    (says_lane || !want_lane))
			return i;
	}
	return bytes.len;
}
