// SPDX-License-Identifier: Apache-2.0
// Messages: head, what is inside, as it came or inflated, and what comes of it.
#include "state.h"

#include "base/check.h"

#define COMPRESSED_HEAD_BYTES 9u // opcode, length, compressor
#define STEPS_MAX 65536u         // units of one inflated piece

enum compressor { COMPRESSOR_NOOP, COMPRESSOR_SNAPPY, COMPRESSOR_ZLIB, COMPRESSOR_ZSTD };

// ---- What comes of a message ----------------------------------------------------------------

void tl_mongo_open(struct mongo_call *call)
{
	struct mongo_message *m = call->m;
	const struct mongo_memo memo = {
		.is_command = (m->flags & MONGO_IS_COMMAND) != 0,
		.exhausts = (m->flags & MONGO_EXHAUSTS) != 0,
		.command_len = (m->flags & MONGO_IS_COMMAND) != 0 ? 0 : 4, // it names itself later
		.command = "find",
	};

	if (call->lane != TL_CLIENT || (m->flags & MONGO_IS_OPEN) != 0)
		return;
	m->flags |= MONGO_IS_OPEN;
	if ((m->flags & MONGO_ONE_WAY) != 0)
		tl_one_way(call->ctx, TL_CLIENT);
	else
		tl_open(call->ctx, TL_CLIENT, m->id, &memo);
}

static enum tl_status reply_status(const struct mongo_message *m)
{
	if ((m->flags & MONGO_IS_ERROR) != 0)
		return tl_mongo_status(m->code);
	return m->write_errors != 0 ? TL_STATUS_CLIENT_ERROR : TL_STATUS_OK;
}

// The next of several replies to one request names the one before it.
static void remember_exhaust(struct mongo *mongo, const struct mongo_message *m,
			     struct tl_bytes command)
{
	mongo->exhaust_id = m->id;
	command = tl_bytes_first(command, MONGO_COMMAND_BYTES_MAX);
	if (command.len != 0)
		memmove(mongo->exhaust_command, command.ptr, command.len);
	mongo->exhaust_len = (uint8_t)command.len;
}

static void finish_reply(struct mongo_call *call)
{
	struct mongo *mongo = call->mongo;
	const struct mongo_message *m = call->m;
	const struct mongo_memo *memo =
		(const struct mongo_memo *)tl_pending(call->ctx, TL_CLIENT, m->answers);
	bool more = (m->flags & MONGO_MORE) != 0;

	if ((m->flags & MONGO_UNREAD) != 0)
		tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_ESTIMATED);
	if (memo == NULL && mongo->exhaust_id != 0 && mongo->exhaust_id == m->answers) {
		struct tl_bytes command = tl_bytes(mongo->exhaust_command, mongo->exhaust_len);
		tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_EXHAUST);
		if (command.len != 0)
			tl_message_text(call->ctx, TL_SERVER, MONGO_FIELD_COMMAND, command);
		else // lost
			tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_GAP);
		tl_one_way(call->ctx, TL_SERVER);
		remember_exhaust(mongo, m, command);
		mongo->exhaust_id = more ? m->id : 0;
		return;
	}
	if (more && memo != NULL)
		remember_exhaust(mongo, m, tl_bytes(memo->command, memo->command_len));
	tl_close(call->ctx, TL_SERVER, m->answers, reply_status(m), TL_REASON_NONE);
}

static void finish(struct mongo_call *call)
{
	struct mongo_message *m = call->m;

	if (call->lane == TL_SERVER)
		finish_reply(call);
	else
		tl_mongo_open(call); // what it asks couldn't be read
	tl_message_end(call->ctx, call->lane, m->end);
	tl_mongo_forget(m);
}

// ---- Compressed -----------------------------------------------------------------------------

static void take_inside(struct mongo_call *call, struct tl_bytes plain);

// What a unit was wanted whole for begins with what the piece before left over.
static bool take_carried(struct mongo_call *call, struct tl_bytes *plain)
{
	struct mongo_message *m = call->m;

	while (m->carried != 0) {
		uint32_t room = MONGO_UNIT_BYTES_MAX - m->carried;
		uint32_t add = plain->len < room ? plain->len : room;
		memcpy(m->carry + m->carried, plain->ptr, add);
		struct tl_bytes view = tl_bytes(m->carry, m->carried + add);
		view = tl_bytes_first(view, m->size - m->at);
		struct mongo_walked walked = tl_mongo_walk(call, view);
		if (walked.kind == MONGO_WANT) {
			if (walked.bytes > MONGO_UNIT_BYTES_MAX || view.len >= MONGO_UNIT_BYTES_MAX)
				tl_mongo_give_up(call);
			m->carried = (uint16_t)(m->carried + add);
			*plain = tl_bytes_from(*plain, add);
			return false;
		}
		m->at += walked.bytes;
		if (walked.bytes >= m->carried) {
			uint32_t used = walked.bytes - m->carried;
			m->carried = 0;
			m->skip = used > plain->len ? used - plain->len : 0;
			*plain = tl_bytes_from(*plain, used);
		} else {
			m->carried = (uint16_t)(m->carried - walked.bytes);
			memmove(m->carry, m->carry + walked.bytes, m->carried);
		}
	}
	return true;
}

// Bytes of the inside, as they come out of a decompressor.
static void take_inside(struct mongo_call *call, struct tl_bytes plain)
{
	struct mongo_message *m = call->m;

	if (!take_carried(call, &plain))
		return;
	for (uint32_t n = 0; n < STEPS_MAX && plain.len != 0; n++) {
		if (m->skip != 0) {
			uint32_t len = m->skip < plain.len ? m->skip : plain.len;
			m->skip -= len;
			plain = tl_bytes_from(plain, len);
			continue;
		}
		if (m->at >= m->size || m->phase == MONGO_REST)
			return;
		struct tl_bytes view = tl_bytes_first(plain, m->size - m->at);
		struct mongo_walked walked = tl_mongo_walk(call, view);
		if (walked.kind == MONGO_WANT) {
			if (view.len > MONGO_UNIT_BYTES_MAX || walked.bytes > MONGO_UNIT_BYTES_MAX) {
				tl_mongo_give_up(call);
				return;
			}
			memcpy(m->carry, view.ptr, view.len);
			m->carried = (uint16_t)view.len;
			return;
		}
		m->at += walked.bytes;
		m->skip = walked.bytes > plain.len ? walked.bytes - plain.len : 0;
		plain = tl_bytes_from(plain, walked.bytes);
	}
}

static struct tl_step unread(struct mongo_call *call, uint64_t offset, bool is_failure)
{
	struct mongo_message *m = call->m;
	uint64_t left = m->end - offset;

	if (is_failure) {
		tl_count(call->ctx, MONGO_COUNT_NOT_INFLATED);
		m->flags |= MONGO_UNREAD;
	}
	tl_inflate_end(call->ctx, call->lane);
	finish(call);
	return tl_skip(left);
}

static struct tl_step packed(struct mongo_call *call, const struct tl_view *view)
{
	struct mongo_message *m = call->m;
	uint64_t left = m->end - view->offset;
	struct tl_bytes bytes = tl_bytes_first(view->bytes, left < UINT32_MAX ? (uint32_t)left
									     : UINT32_MAX);
	struct tl_bytes rest = bytes, plain;

	for (uint32_t n = 0; n < STEPS_MAX; n++) {
		enum tl_inflated result = tl_inflate(call->ctx, call->lane, &rest, &plain);
		if (plain.len != 0)
			take_inside(call, plain);
		if (result == TL_INFLATED_FAILED)
			return unread(call, view->offset, true);
		if (result == TL_INFLATED_END || m->phase == MONGO_REST)
			return unread(call, view->offset, false);
		if (result == TL_INFLATED_HUNGRY)
			break;
	}
	if (bytes.len == left) // it should have ended
		return unread(call, view->offset, true);
	return tl_ate(bytes.len);
}

static struct tl_step compressed_head(struct mongo_call *call, const struct tl_view *view)
{
	static const struct {
		const char *name;
		uint8_t codec;
	} compressors[] = {
		[COMPRESSOR_NOOP] = {"noop", 0},
		[COMPRESSOR_SNAPPY] = {"snappy", TL_CODEC_SNAPPY},
		[COMPRESSOR_ZLIB] = {"zlib", TL_CODEC_ZLIB},
		[COMPRESSOR_ZSTD] = {"zstd", TL_CODEC_ZSTD},
	};
	struct mongo_message *m = call->m;

	if (view->bytes.len < COMPRESSED_HEAD_BYTES)
		return tl_need(COMPRESSED_HEAD_BYTES);
	uint32_t opcode = tl_load_le32(view->bytes.ptr);
	uint32_t size = tl_load_le32(view->bytes.ptr + 4);
	uint8_t compressor = view->bytes.ptr[8];
	uint64_t left = m->end - view->offset - COMPRESSED_HEAD_BYTES;
	if (compressor >= TL_COUNT_OF(compressors) || size > MONGO_MESSAGE_BYTES_MAX ||
	    opcode > UINT16_MAX || opcode == MONGO_OP_COMPRESSED ||
	    tl_mongo_opcode((uint16_t)opcode) == NULL)
		return unread(call, view->offset, true);
	m->opcode = (uint16_t)opcode;
	m->size = size;
	m->phase = MONGO_BODY;
	tl_message_text(call->ctx, call->lane, MONGO_FIELD_OPCODE,
			tl_bytes_of(tl_mongo_opcode(m->opcode)));
	tl_message_text(call->ctx, call->lane, MONGO_FIELD_COMPRESSOR,
			tl_bytes_of(compressors[compressor].name));
	if (compressor == COMPRESSOR_NOOP) {
		m->size = (uint32_t)left;
		m->packed = 0;
		return tl_ate(COMPRESSED_HEAD_BYTES);
	}
	m->packed = MONGO_PACKED;
	if (left == 0 ||
	    !tl_inflate_begin(call->ctx, call->lane, (enum tl_codec)compressors[compressor].codec,
			      left, size))
		return unread(call, view->offset, true);
	return tl_ate(COMPRESSED_HEAD_BYTES);
}

// ---- Heads ----------------------------------------------------------------------------------

static struct tl_step head(struct mongo_call *call, const struct tl_view *view)
{
	struct mongo_message *m = call->m;
	const uint8_t *p = view->bytes.ptr;

	if (view->bytes.len < MONGO_HEAD_BYTES)
		return tl_need(MONGO_HEAD_BYTES);
	uint32_t length = tl_load_le32(p);
	uint32_t opcode = tl_load_le32(p + 12);
	if (length < MONGO_HEAD_BYTES || length > MONGO_MESSAGE_BYTES_MAX) {
		tl_count(call->ctx, MONGO_COUNT_BAD_HEADER);
		return tl_stop();
	}
	bool is_reply = opcode == MONGO_OP_REPLY || opcode == MONGO_OP_COMMAND_REPLY;
	bool is_either = opcode == MONGO_OP_MSG || opcode == MONGO_OP_COMPRESSED;
	if (opcode > UINT16_MAX || tl_mongo_opcode((uint16_t)opcode) == NULL ||
	    (!is_either && is_reply != (call->lane == TL_SERVER))) {
		tl_count(call->ctx, MONGO_COUNT_UNKNOWN_OPCODE);
		return tl_ate_and_skip(MONGO_HEAD_BYTES, length);
	}
	tl_mongo_forget(m);
	m->end = view->offset + length;
	m->id = tl_load_le32(p + 4);
	m->answers = tl_load_le32(p + 8);
	m->opcode = (uint16_t)opcode;
	m->size = length - MONGO_HEAD_BYTES;
	m->phase = MONGO_BODY;
	tl_message_begin(call->ctx, call->lane, view->offset);
	tl_message_body(call->ctx, call->lane, length - MONGO_HEAD_BYTES);
	if (opcode == MONGO_OP_COMPRESSED)
		m->packed = MONGO_HEAD; // until its own head is read
	else
		tl_message_text(call->ctx, call->lane, MONGO_FIELD_OPCODE,
				tl_bytes_of(tl_mongo_opcode(m->opcode)));
	if (length == MONGO_HEAD_BYTES || (opcode == MONGO_OP_COMPRESSED &&
					   length < MONGO_HEAD_BYTES + COMPRESSED_HEAD_BYTES)) {
		tl_count(call->ctx, MONGO_COUNT_BAD_MESSAGE);
		finish(call);
		return tl_ate_and_skip(MONGO_HEAD_BYTES, length);
	}
	return tl_ate(MONGO_HEAD_BYTES);
}

// To the message's end, a checksum's too; `read` bytes were looked at.
static struct tl_step to_the_end(struct mongo_call *call, const struct tl_view *view, uint32_t read)
{
	uint64_t left = call->m->end - view->offset;

	finish(call);
	return tl_ate_and_skip(read < left ? read : (uint32_t)left, left);
}

// Unit after unit, as far as the view goes.
static struct tl_step plain(struct mongo_call *call, const struct tl_view *view)
{
	struct mongo_message *m = call->m;
	uint32_t used = 0;
	uint32_t read = 0; // of what was used; the rest was passed over

	for (uint32_t n = 0; n < STEPS_MAX && m->at < m->size; n++) {
		struct tl_bytes bytes =
			tl_bytes_first(tl_bytes_from(view->bytes, used), m->size - m->at);
		if (bytes.len == 0)
			return tl_ate_and_skip(read, used);
		struct mongo_walked walked = tl_mongo_walk(call, bytes);
		if (walked.kind == MONGO_WANT) {
			if (walked.bytes > MONGO_UNIT_BYTES_MAX || walked.bytes > m->size - m->at) {
				tl_count(call->ctx, MONGO_COUNT_BAD_MESSAGE);
				return to_the_end(call, view, read);
			}
			return used != 0 ? tl_ate_and_skip(read, used) : tl_need(walked.bytes);
		}
		m->at += walked.bytes;
		read += walked.read;
		if (m->phase == MONGO_REST)
			break;
		if (walked.bytes >= bytes.len && m->at < m->size)
			return tl_ate_and_skip(read, (uint64_t)used + walked.bytes);
		used += walked.bytes;
	}
	if (m->at < m->size && m->phase != MONGO_REST)
		return tl_ate_and_skip(read, used);
	return to_the_end(call, view, read);
}

// With what follows it in view, where that is not compressed.
static struct tl_step head_and_more(struct mongo_call *call, const struct tl_view *view)
{
	struct tl_step step = head(call, view);
	const struct tl_view rest = {.bytes = tl_bytes_from(view->bytes, MONGO_HEAD_BYTES),
				     .offset = view->offset + MONGO_HEAD_BYTES};

	if (step.kind != TL_STEP_ATE || call->m->opcode == MONGO_OP_COMPRESSED || rest.bytes.len == 0)
		return step;
	struct tl_step more = plain(call, &rest);
	if (more.kind == TL_STEP_NEED)
		return step;
	return tl_ate_and_skip(MONGO_HEAD_BYTES + more.keep, MONGO_HEAD_BYTES + more.bytes);
}

struct tl_step tl_mongo_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
			     const struct tl_view *view)
{
	struct mongo *mongo = (struct mongo *)state;
	struct mongo_call call = {
		.ctx = ctx, .mongo = mongo, .m = &mongo->message[lane], .lane = lane};
	struct mongo_message *m = call.m;

	if (m->end == 0)
		return head_and_more(&call, view);
	if (m->opcode == MONGO_OP_COMPRESSED)
		return compressed_head(&call, view);
	if (m->packed != 0)
		return packed(&call, view);
	return plain(&call, view);
}
