// SPDX-License-Identifier: Apache-2.0
// Compressed connections. From the login on both lanes are frames: a head of seven bytes (length,
// number, length of what is inside or 0 where it is plain) and a payload by itself, zlib or zstd.
// Frames don't align with packets, so what is inside is a stream of its own: a child, which is this
// decoder again with the state of the login. A frame that the child will not look at is not
// inflated, and a hole inside a frame costs the child no more than that frame.
#include "packed.h"

#define CHILD 0u               // its id; there is only one
#define LOOK_BYTES 4u          // of a payload that tell how it is packed
#define CHAIN_FRAMES_MAX 64u   // heads followed to see whether bytes are frames
#define LOST_UNKNOWN (UINT64_C(1) << 40) // longer than anything the child may be skipping
#define ZEROS_BYTES 4096u

#define ZSTD_MAGIC 0xfd2fb528u

// What the child is given for bytes that it skips.
static const uint8_t zeros[ZEROS_BYTES];

enum {
	FRAME_NOTHING,  // nothing of it is wanted any more
	FRAME_UNWANTED, // the child skips it; its last byte tells that it has come
	FRAME_STORED,
	FRAME_INFLATED,
};

struct frame_head {
	uint32_t len;     // of the payload
	uint32_t plain;   // of what is inside
	bool is_stored;
	struct tl_bytes payload; // as much as is seen
};

static bool read_head(struct tl_bytes view, struct frame_head *ret)
{
	if (view.len < MYSQL_FRAME_HEAD_BYTES)
		return false;
	uint32_t plain = tl_load_le32(view.ptr + 3) >> 8;
	ret->len = tl_load_le32(view.ptr) & MYSQL_PACKET_MAX;
	ret->is_stored = plain == 0;
	ret->plain = plain == 0 ? ret->len : plain;
	ret->payload = tl_bytes_first(tl_bytes_from(view, MYSQL_FRAME_HEAD_BYTES), ret->len);
	return true;
}

// Windows of 32 KiB and one of four levels: what every zlib writes unless it is told otherwise.
static bool is_zlib(struct tl_bytes payload)
{
	return payload.len >= 2 && payload.ptr[0] == 0x78 &&
	       (payload.ptr[1] == 0x01 || payload.ptr[1] == 0x5e || payload.ptr[1] == 0x9c ||
		payload.ptr[1] == 0xda);
}

static bool is_zstd(struct tl_bytes payload)
{
	return payload.len >= LOOK_BYTES && tl_load_le32(payload.ptr) == ZSTD_MAGIC;
}

// What frames that are where they must be are packed with.
static bool find_codec(struct tl_bytes payload, enum tl_codec *ret)
{
	*ret = is_zstd(payload) ? TL_CODEC_ZSTD : TL_CODEC_ZLIB;
	return *ret == TL_CODEC_ZSTD ||
	       (payload.len >= 2 && (payload.ptr[0] & 0x0f) == 8 &&
		(payload.ptr[0] << 8 | payload.ptr[1]) % 31 == 0);
}

// ---- What looks like a frame ------------------------------------------------------------------

// A plain packet at the start of a stored payload, as far as it is seen.
static bool is_inner_start(enum tl_lane lane, const struct frame_head *head)
{
	struct tl_bytes payload = head->payload;

	if (head->len <= MYSQL_HEAD_BYTES)
		return false;
	if (payload.len < MYSQL_HEAD_BYTES)
		return true;
	uint32_t inner = tl_load_le32(payload.ptr) & MYSQL_PACKET_MAX;
	uint32_t end = inner + MYSQL_HEAD_BYTES;
	if (lane == TL_SERVER)
		return payload.ptr[3] == 1 && inner != 0 &&
		       (end == head->len || end + MYSQL_HEAD_BYTES <= head->len);
	return payload.ptr[3] == 0 && end >= head->len &&
	       (payload.len == MYSQL_HEAD_BYTES ||
		tl_mysql_word(payload.ptr[MYSQL_HEAD_BYTES])->answer != MYSQL_ANSWER_NO);
}

static bool is_start(enum tl_lane lane, const struct frame_head *head)
{
	if (head->is_stored)
		return is_inner_start(lane, head);
	return head->plain > head->len && (is_zlib(head->payload) || is_zstd(head->payload));
}

uint32_t tl_mysql_frame_look(struct tl_bytes view)
{
	uint32_t most = MYSQL_FRAME_HEAD_BYTES + LOOK_BYTES;
	uint32_t len = tl_load_le32(view.ptr) & MYSQL_PACKET_MAX;
	struct frame_head head;

	// No packet as short as this begins with zeros.
	if (read_head(view, &head) && head.is_stored && len > MYSQL_HEAD_BYTES)
		return most;
	return len + MYSQL_HEAD_BYTES < most ? len + MYSQL_HEAD_BYTES : most;
}

bool tl_mysql_is_frame(enum tl_lane lane, struct tl_bytes view)
{
	struct frame_head head;

	return read_head(view, &head) && is_start(lane, &head);
}

bool tl_mysql_is_frames(enum tl_lane lane, struct tl_bytes view, bool is_exact)
{
	struct frame_head head;
	enum tl_codec codec;

	if (!tl_mysql_is_frame(lane, view))
		return false;
	for (uint32_t i = 0; i < CHAIN_FRAMES_MAX && read_head(view, &head); i++) {
		if (head.len == 0 || (!head.is_stored && head.payload.len >= LOOK_BYTES &&
				      !find_codec(head.payload, &codec)))
			return false;
		if (head.payload.len < head.len)
			return !is_exact;
		view = tl_bytes_from(view, MYSQL_FRAME_HEAD_BYTES + head.len);
	}
	return view.len == 0 || !is_exact;
}

// ---- The switch -------------------------------------------------------------------------------

// No child to be had: what follows is only counted.
static void give_up_connection(struct tl_ctx *ctx, const struct mysql *my)
{
	const uint64_t offset[TL_LANE_COUNT] = {my->end[TL_CLIENT], my->end[TL_SERVER]};

	tl_switch(ctx, TL_PROTOCOL_OPAQUE, offset);
}

void tl_mysql_turn_packed(struct tl_ctx *ctx, struct mysql *my)
{
	tl_count(ctx, MYSQL_COUNT_COMPRESSED);
	my->may_be_packed = my->turns_packed = false;
	// Where the join was in the middle of a frame, its rest may have passed for packets.
	tl_cancel_all(ctx, TL_STATUS_UNANSWERED, TL_REASON_GAP);
	if (!tl_child_open(ctx, CHILD, tl_protocol_id("mysql"))) {
		give_up_connection(ctx, my);
		return;
	}
	bool is_joined = !my->has_login;
	if (is_joined) {
		tl_child_gap(ctx, CHILD, TL_CLIENT, 1);
		tl_child_gap(ctx, CHILD, TL_SERVER, 1);
	}
	// After the gaps that make it look for a start: nothing it knows has gone stale by them.
	struct mysql *child = tl_child_state(ctx, CHILD);
	if (child == NULL)
		return;
	*child = *my;
	child->end[TL_CLIENT] = child->end[TL_SERVER] = 0;
	child->outstanding = 0;
	child->has_statements = false;
	child->is_inside = true;
	my->is_packed = true;
}

// ---- Frames -----------------------------------------------------------------------------------

// What the frame should still give never comes.
static void lose_rest(struct tl_ctx *ctx, struct mysql_frame *frame, enum tl_lane lane)
{
	tl_inflate_end(ctx, lane);
	if (frame->left != 0)
		tl_child_gap(ctx, CHILD, lane, frame->left);
	frame->left = 0;
	frame->how = FRAME_NOTHING;
}

static void feed_zeros(struct tl_ctx *ctx, struct mysql_frame *frame, enum tl_lane lane)
{
	while (frame->left != 0) {
		uint32_t len = frame->left < ZEROS_BYTES ? frame->left : ZEROS_BYTES;
		tl_child_feed(ctx, CHILD, lane, tl_bytes(zeros, len));
		frame->left -= len;
	}
}

static struct tl_step begin_frame(struct tl_ctx *ctx, struct mysql_frame *frame, enum tl_lane lane,
				  const struct tl_view *view)
{
	enum tl_codec codec;
	struct frame_head head;

	if (!read_head(view->bytes, &head))
		return tl_need(MYSQL_FRAME_HEAD_BYTES);
	uint32_t look = MYSQL_FRAME_HEAD_BYTES + (head.len < LOOK_BYTES ? head.len : LOOK_BYTES);
	if (!head.is_stored && view->bytes.len < look)
		return tl_need(look);
	if (!head.is_stored && !find_codec(head.payload, &codec)) {
		tl_count(ctx, MYSQL_COUNT_MISALIGNED);
		return tl_stop();
	}
	frame->end = view->offset + MYSQL_FRAME_HEAD_BYTES + head.len;
	frame->left = head.plain;
	frame->is_lost = false;
	struct mysql *child = tl_child_state(ctx, CHILD);
	if (lane == TL_CLIENT && child != NULL)
		child->client_frame = view->bytes.ptr[3];
	if (head.len == 0)
		return tl_ate(MYSQL_FRAME_HEAD_BYTES);
	if (tl_child_skip(ctx, CHILD, lane) >= frame->left) {
		frame->how = FRAME_UNWANTED;
		return tl_ate_and_skip(MYSQL_FRAME_HEAD_BYTES, MYSQL_FRAME_HEAD_BYTES + head.len - 1);
	}
	if (head.is_stored)
		frame->how = FRAME_STORED;
	else if (tl_inflate_begin(ctx, lane, codec, head.len, head.plain))
		frame->how = FRAME_INFLATED;
	else
		lose_rest(ctx, frame, lane);
	return tl_ate(MYSQL_FRAME_HEAD_BYTES);
}

static void inflate_piece(struct tl_ctx *ctx, struct mysql_frame *frame, enum tl_lane lane,
			  struct tl_bytes piece, bool is_last)
{
	enum tl_inflated result;
	struct tl_bytes plain;

	while ((result = tl_inflate(ctx, lane, &piece, &plain)) == TL_INFLATED_CHUNK) {
		frame->left -= plain.len;
		tl_child_feed(ctx, CHILD, lane, plain);
	}
	if (result != TL_INFLATED_HUNGRY || is_last)
		lose_rest(ctx, frame, lane);
}

struct tl_step tl_mysql_packed_step(struct tl_ctx *ctx, struct mysql *my, enum tl_lane lane,
				    const struct tl_view *view)
{
	struct mysql_frame *frame = &my->frames[lane];

	if (view->offset >= frame->end)
		return begin_frame(ctx, frame, lane, view);
	uint64_t left = frame->end - view->offset;
	struct tl_bytes piece = tl_bytes_first(view->bytes, left < UINT32_MAX ? (uint32_t)left : 0);
	switch (frame->how) {
	case FRAME_UNWANTED:
		feed_zeros(ctx, frame, lane);
		break;
	case FRAME_STORED:
		frame->left -= piece.len;
		tl_child_feed(ctx, CHILD, lane, piece);
		break;
	case FRAME_INFLATED:
		inflate_piece(ctx, frame, lane, piece, piece.len == left);
		break;
	default:
		return tl_skip(left);
	}
	return tl_ate(piece.len);
}

// ---- Loss -------------------------------------------------------------------------------------

void tl_mysql_packed_gap(struct tl_ctx *ctx, struct mysql *my, enum tl_lane lane, uint64_t lost,
			 uint64_t offset)
{
	struct mysql_frame *frame = &my->frames[lane];

	// Inside one frame: where the next begins is known, and what the child lost.
	if (offset - lost < frame->end && offset <= frame->end) {
		lose_rest(ctx, frame, lane);
		return;
	}
	tl_inflate_end(ctx, lane);
	tl_child_gap(ctx, CHILD, lane, LOST_UNKNOWN);
	frame->left = 0;
	frame->is_lost = true;
}

uint32_t tl_mysql_packed_resync(const struct mysql *my, enum tl_lane lane, struct tl_bytes view)
{
	const struct mysql_frame *frame = &my->frames[lane];

	if (frame->end != 0 && !frame->is_lost)
		return 0;
	for (uint32_t i = 0; i + MYSQL_FRAME_HEAD_BYTES + LOOK_BYTES <= view.len; i++)
		// Senders begin frames with packets: elsewhere more must fit.
		if (tl_mysql_is_frames(lane, tl_bytes_from(view, i), i != 0))
			return i;
	return view.len;
}
