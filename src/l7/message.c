// SPDX-License-Identifier: Apache-2.0
// The message that a lane is reading: its extent in the stream, the packet times of its ends, its
// field values.
#include "l7/core.h"

#include <string.h>

static struct tl_message *current(const struct tl_ctx *ctx, enum tl_lane lane)
{
	return tl_l7_message(ctx->l7, ctx->unit->lanes[lane].message);
}

uint64_t tl_time_of(const struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset)
{
	const struct tl_lane_state *state = &ctx->unit->lanes[lane];
	const struct tl_carry *carry = tl_l7_carry(ctx->l7, state->carry);

	if (lane == ctx->lane && offset >= ctx->piece_offset && !ctx->before_end)
		return ctx->piece_ns;
	if (carry == NULL || carry->mark_count == 0)
		return state->last_ns;
	// Marks ascend; the first one is never dropped, so that first bytes keep their time.
	uint64_t ns = carry->marks[0].ns;
	for (uint32_t i = 1; i < carry->mark_count && carry->marks[i].offset <= offset; i++)
		ns = carry->marks[i].ns;
	return ns;
}

// Bytes of the lane up to here have arrived.
static uint64_t arrived(const struct tl_ctx *ctx, enum tl_lane lane)
{
	const struct tl_lane_state *state = &ctx->unit->lanes[lane];
	const struct tl_carry *carry = tl_l7_carry(ctx->l7, state->carry);

	if (lane == ctx->lane && ctx->piece_end > state->offset)
		return ctx->piece_end;
	return state->offset + (carry == NULL ? 0 : carry->len);
}

void tl_message_free(struct tl_l7 *l7, struct tl_conn *conn, uint32_t index)
{
	struct tl_message *message = tl_l7_message(l7, index);

	if (message == NULL)
		return;
	if (message->tail != TL_SLAB_NONE) {
		conn->tail_bytes -= tl_slab_room(&l7->values, message->tail);
		tl_slab_put(&l7->values, message->tail);
	}
	if (TL_UNLIKELY(message->trace != TL_SLAB_NONE))
		tl_slab_put(&l7->values, message->trace);
	tl_pool_put_index(&l7->messages, index);
}

static void forget(struct tl_ctx *ctx, enum tl_lane lane)
{
	tl_message_free(ctx->l7, ctx->conn, ctx->unit->lanes[lane].message);
	ctx->unit->lanes[lane].message = TL_NONE;
}

static void end_at(struct tl_message *message, uint64_t offset, uint64_t ns)
{
	message->end_offset = offset > message->begin_offset ? offset : message->begin_offset;
	message->end_ns = ns > message->first_ns ? ns : message->first_ns;
	message->ended = true;
	message->end_ahead = false;
}

void tl_message_settle(struct tl_ctx *ctx, enum tl_lane lane)
{
	struct tl_lane_state *state = &ctx->unit->lanes[lane];
	struct tl_message *message = current(ctx, lane);

	if (message == NULL)
		return;
	if (message->end_ahead && state->offset >= message->end_offset)
		end_at(message, message->end_offset, tl_time_of(ctx, lane, message->end_offset - 1));
	if (!message->ended || message->role == TL_ROLE_NONE || message->role == TL_ROLE_ANSWER)
		return;
	uint32_t index = state->message;
	state->message = TL_NONE;
	tl_pair_message_ended(ctx, index);
}

// Leaves a message that goes on later, at `offset`.
static void leave(struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset)
{
	struct tl_message *message = current(ctx, lane);

	if (message->end_ahead)
		end_at(message, message->end_offset, ctx->unit->lanes[lane].last_ns);
	if (!message->ended) {
		uint64_t ns = tl_time_of(ctx, lane, offset == 0 ? 0 : offset - 1);
		message->end_offset = offset > message->begin_offset ? offset : message->begin_offset;
		message->end_ns = ns > message->first_ns ? ns : message->first_ns;
		message->aside = true;
	}
	ctx->unit->lanes[lane].message = TL_NONE;
}

bool tl_message_break(struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset)
{
	struct tl_lane_state *state = &ctx->unit->lanes[lane];
	struct tl_message *message = current(ctx, lane);

	if (message == NULL)
		return false;
	if (message->role == TL_ROLE_NONE) {
		forget(ctx, lane);
		return false;
	}
	if (!message->ended) {
		// A body was announced in full; what of it never came was not seen.
		uint64_t missing = (state->bits & TL_LANE_TO_END) != 0 ? 0 : state->skip;
		message->body_bytes -= missing < message->body_bytes ? missing : message->body_bytes;
		if (message->role != TL_ROLE_ANSWER)
			end_at(message, offset, state->last_ns);
	}
	if (message->role == TL_ROLE_ANSWER) // its stream may go on behind the break
		leave(ctx, lane, offset);
	return true;
}

void tl_message_cut(const struct tl_ctx *ctx, struct tl_message *message)
{
	const struct tl_lane_state *lane = &ctx->unit->lanes[tl_message_lane(message)];

	if (message->ended)
		return;
	message->ended = true;
	if (message->aside)
		return;
	message->end_offset = lane->offset > message->begin_offset ? lane->offset
								   : message->begin_offset;
	message->end_ns = lane->last_ns > message->first_ns ? lane->last_ns : message->first_ns;
	uint64_t missing = (lane->bits & TL_LANE_TO_END) != 0 ? 0 : lane->skip;
	message->body_bytes -= missing < message->body_bytes ? missing : message->body_bytes;
}

// The bytes before `offset` that are in hand came with the piece: nothing older is to be asked.
static inline bool is_in_piece(const struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset)
{
	return lane == (enum tl_lane)ctx->lane && offset >= ctx->piece_offset && !ctx->before_end;
}

__attribute__((noinline)) static void replace(struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset)
{
	struct tl_message *message = current(ctx, lane);

	if (message->role == TL_ROLE_ANSWER) {
		leave(ctx, lane, offset);
	} else if (message->role != TL_ROLE_NONE) {
		if (!message->ended)
			end_at(message, offset, tl_time_of(ctx, lane, offset == 0 ? 0 : offset - 1));
		tl_message_settle(ctx, lane);
	} else {
		forget(ctx, lane);
	}
}

void tl_message_begin(struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset)
{
	bool in_piece = is_in_piece(ctx, lane, offset);

	if (ctx->unit->lanes[lane].message != TL_NONE)
		replace(ctx, lane, offset);
	uint32_t index = tl_pool_take_index(&ctx->l7->messages);
	if (TL_UNLIKELY(index == TL_POOL_NONE)) {
		tl_l7_count(ctx->l7, TL_COUNT_REQUESTS_REFUSED, 1);
		return;
	}
	*tl_l7_message(ctx->l7, index) = (struct tl_message) {
		.begin_offset = offset,
		.first_ns = in_piece ? ctx->piece_ns : tl_time_of(ctx, lane, offset),
		.exchange = TL_NONE,
		.from_server = lane == TL_SERVER,
		.protocol = ctx->unit->protocol,
		.stall_us = lane == (enum tl_lane)ctx->lane && offset >= ctx->piece_offset
				    ? ctx->stall_us
				    : 0,
	};
	ctx->unit->lanes[lane].message = index;
}

void tl_message_end(struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset)
{
	struct tl_message *message = current(ctx, lane);

	if (message == NULL || message->ended)
		return;
	// Completion waits until step() returns: it may still copy a body into a field.
	if (offset <= ctx->piece_end && offset != 0 && is_in_piece(ctx, lane, offset - 1)) {
		end_at(message, offset, ctx->piece_ns);
	} else if (offset <= arrived(ctx, lane)) {
		end_at(message, offset, tl_time_of(ctx, lane, offset == 0 ? 0 : offset - 1));
	} else {
		message->end_offset = offset;
		message->end_ahead = true;
	}
}

void tl_message_set_aside(struct tl_ctx *ctx, enum tl_lane lane)
{
	const struct tl_message *message = current(ctx, lane);

	if (message == NULL)
		return;
	if (message->role == TL_ROLE_NONE)
		forget(ctx, lane);
	else if (message->role == TL_ROLE_ANSWER ||
		 (message->role == TL_ROLE_REQUEST && !message->ended))
		leave(ctx, lane, ctx->unit->lanes[lane].offset);
	else
		(void)tl_message_break(ctx, lane, ctx->unit->lanes[lane].offset);
	tl_message_settle(ctx, lane);
}

bool tl_message_is_open(const struct tl_ctx *ctx, enum tl_lane lane)
{
	const struct tl_message *message = current(ctx, lane);

	return message != NULL && !message->ended && !message->end_ahead;
}

void tl_message_body(struct tl_ctx *ctx, enum tl_lane lane, uint64_t bytes)
{
	struct tl_message *message = current(ctx, lane);

	if (message != NULL && message->body_bytes + bytes >= bytes)
		message->body_bytes += bytes;
}

void tl_message_flag(struct tl_ctx *ctx, enum tl_lane lane, enum tl_roundtrip_flag flag)
{
	struct tl_message *message = current(ctx, lane);

	if (message != NULL)
		message->flags |= (uint16_t)flag;
}

void tl_message_trace(struct tl_ctx *ctx, enum tl_lane lane, const struct tl_trace *trace)
{
	struct tl_message *message = current(ctx, lane);

	if (message == NULL)
		return;
	if (message->trace == TL_SLAB_NONE)
		message->trace = tl_slab_take(&ctx->l7->values, sizeof(*trace));
	if (message->trace == TL_SLAB_NONE) {
		tl_l7_count(ctx->l7, TL_COUNT_MESSAGE_CUT, 1);
		return;
	}
	memcpy(tl_slab_at(&ctx->l7->values, message->trace), trace, sizeof(*trace));
}

const struct tl_trace *tl_message_trace_of(const struct tl_ctx *ctx, enum tl_lane lane)
{
	const struct tl_message *message = current(ctx, lane);

	if (message == NULL || message->trace == TL_SLAB_NONE)
		return NULL;
	return (const struct tl_trace *)tl_slab_at(&ctx->l7->values, message->trace);
}

// ---- Field values ---------------------------------------------------------------------------

// The first block of a message's values.
static inline bool tail_begin(struct tl_ctx *ctx, struct tl_message *message, uint32_t size)
{
	struct tl_conn *conn = ctx->conn;

	if (conn->tail_bytes + size > TL_CONN_TAIL_BYTES_MAX)
		return false;
	message->tail = tl_slab_take_fixed(&ctx->l7->values, size);
	if (message->tail == TL_SLAB_NONE)
		return false;
	conn->tail_bytes += size;
	return true;
}

static bool tail_grow(struct tl_ctx *ctx, struct tl_message *message, uint32_t need)
{
	struct tl_slab *slab = &ctx->l7->values;
	uint32_t size = TL_TAIL_BYTES_FIRST;

	while (size < need)
		size *= 2;
	uint32_t old_room = message->tail == TL_SLAB_NONE ? 0 : tl_slab_room(slab, message->tail);
	if (ctx->conn->tail_bytes - old_room + size > TL_CONN_TAIL_BYTES_MAX)
		return false;
	uint32_t block = tl_slab_take(slab, size);
	if (block == TL_SLAB_NONE)
		return false;
	if (message->tail != TL_SLAB_NONE) {
		memcpy(tl_slab_at(slab, block), tl_slab_at(slab, message->tail), message->tail_len);
		tl_slab_put(slab, message->tail);
	}
	message->tail = block;
	ctx->conn->tail_bytes = ctx->conn->tail_bytes - old_room + tl_slab_room(slab, block);
	return true;
}

// The message's tail has no room for `need` bytes: more, or false when a limit is in the way
// (counted).
__attribute__((noinline)) static bool
tail_make_room(struct tl_ctx *ctx, struct tl_message *message, uint32_t need)
{
	if (message->tail == TL_SLAB_NONE && need <= TL_TAIL_BYTES_FIRST &&
	    tail_begin(ctx, message, TL_TAIL_BYTES_FIRST))
		return true;
	if (need <= TL_MESSAGE_TAIL_BYTES_MAX && tail_grow(ctx, message, need))
		return true;
	tl_l7_count(ctx->l7, TL_COUNT_MESSAGE_CUT, 1);
	message->flags |= TL_FLAG_TRUNCATED;
	return false;
}

// Room for a value of `len` bytes behind its head; NULL when a limit is in the way (counted).
static inline uint8_t *tail_add(struct tl_ctx *ctx, struct tl_message *message, uint8_t field,
				uint32_t len, uint32_t full_len)
{
	struct tl_value_head head = {.field = field, .len = (uint16_t)len, .full_len = full_len};
	struct tl_slab *slab = &ctx->l7->values;
	uint32_t padded = (len + 3u) & ~3u;
	uint32_t need = message->tail_len + (uint32_t)sizeof(head) + padded;

	if (message->tail == TL_SLAB_NONE || need > tl_slab_room(slab, message->tail) ||
	    need > TL_MESSAGE_TAIL_BYTES_MAX) {
		if (!tail_make_room(ctx, message, need))
			return NULL;
	}
	uint8_t *at = (uint8_t *)tl_slab_at(slab, message->tail) + message->tail_len;
	memcpy(at, &head, sizeof(head));
	if (padded != len)
		memset(at + sizeof(head) + padded - 4, 0, 4);
	message->tail_len = (uint16_t)need;
	return at + sizeof(head);
}

static const struct tl_field *field_of(const struct tl_message *message, uint8_t field)
{
	const struct tl_decoder *decoder = tl_decoder_at(message->protocol);

	TL_CHECK(decoder != NULL && field < decoder->field_count);
	return decoder != NULL && field < decoder->field_count ? &decoder->fields[field] : NULL;
}

// Bytes of the value that are kept: the field's limit, and of UTF-8 whole characters only.
static uint32_t kept_len(const struct tl_field *field, struct tl_bytes value)
{
	uint32_t max = field->max != 0 ? field->max : TL_FIELD_BYTES_DEFAULT;

	if (value.len <= max)
		return value.len;
	bool is_text = field->type == TL_FIELD_TEXT || field->type == TL_FIELD_MAP;
	return is_text ? tl_utf8_whole(value.ptr, max) : max;
}

void tl_message_text(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field, struct tl_bytes value)
{
	struct tl_message *message = current(ctx, lane);
	const struct tl_field *row = message == NULL ? NULL : field_of(message, field);

	if (row == NULL)
		return;
	uint32_t len = kept_len(row, value);
	uint8_t *at = tail_add(ctx, message, field, len, value.len);
	if (TL_UNLIKELY(at == NULL))
		return;
	tl_copy_short(at, value.ptr, len);
	if (TL_UNLIKELY(len < value.len))
		tl_l7_count(ctx->l7, TL_COUNT_MESSAGE_CUT, 1);
}

// From the message's tail as it is now.
static void values_go_on(struct tl_values *values)
{
	const struct tl_ctx *ctx = values->ctx;
	struct tl_message *message = current(ctx, values->lane);
	const struct tl_slab *slab = &ctx->l7->values;

	if (message == NULL || message->tail == TL_SLAB_NONE)
		return;
	uint32_t room = tl_slab_room(slab, message->tail);
	values->message = message;
	values->tail = tl_slab_at(slab, message->tail);
	values->at = values->tail + message->tail_len;
	values->end = values->tail +
		      (room < TL_MESSAGE_TAIL_BYTES_MAX ? room : TL_MESSAGE_TAIL_BYTES_MAX);
}

void tl_values_open(struct tl_values *values, struct tl_ctx *ctx, enum tl_lane lane)
{
	struct tl_message *message = current(ctx, lane);

	*values = (struct tl_values) {.ctx = ctx, .lane = lane};
	if (message == NULL)
		return;
	if (message->tail != TL_SLAB_NONE) {
		values_go_on(values);
		return;
	}
	uint32_t size = TL_TAIL_BYTES_FIRST;
	if (lane == TL_CLIENT && tl_decoders[ctx->unit->protocol]->request_bytes > size)
		size = 2 * TL_TAIL_BYTES_FIRST;
	if (!tail_begin(ctx, message, size))
		return; // counted with the first value
	values->message = message;
	values->tail = values->at = tl_slab_at(&ctx->l7->values, message->tail);
	values->end = values->at + size;
}

void tl_values_close(struct tl_values *values)
{
	if (values->message == NULL)
		return;
	TL_CHECK(values->message == current(values->ctx, values->lane));
	values->message->tail_len = (uint16_t)(values->at - values->tail);
	values->message = NULL;
	values->at = NULL;
	values->end = NULL;
}

void tl_values_add_slowly(struct tl_values *values, uint8_t field, struct tl_bytes value)
{
	tl_values_close(values);
	tl_message_text(values->ctx, values->lane, field, value);
	values_go_on(values);
}

void tl_values_add_part(struct tl_values *values, uint8_t field, uint32_t max,
			struct tl_bytes value, uint32_t full_len)
{
	struct tl_message *message = current(values->ctx, values->lane);
	uint32_t len = value.len < max ? value.len : max;

	if (message == NULL)
		return;
	if (len < full_len)
		len = tl_utf8_whole(value.ptr, len);
	tl_values_close(values);
	uint8_t *at = tail_add(values->ctx, message, field, len, full_len);
	if (at != NULL)
		tl_copy_short(at, value.ptr, len);
	values_go_on(values);
}

static void add_number(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field, const void *number)
{
	struct tl_message *message = current(ctx, lane);

	if (message == NULL || field_of(message, field) == NULL)
		return;
	uint8_t *at = tail_add(ctx, message, field, 8, 8);
	if (at != NULL)
		memcpy(at, number, 8);
}

void tl_message_uint(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field, uint64_t value)
{
	add_number(ctx, lane, field, &value);
}

void tl_message_int(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field, int64_t value)
{
	add_number(ctx, lane, field, &value);
}

void tl_message_real(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field, double value)
{
	add_number(ctx, lane, field, &value);
}

void tl_message_pair(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field, struct tl_bytes name,
		     struct tl_bytes value)
{
	struct tl_message *message = current(ctx, lane);
	const struct tl_field *row = message == NULL ? NULL : field_of(message, field);

	if (row == NULL)
		return;
	// The name is cut like a text, so that a hostile one can't crowd out its value's limit.
	uint32_t name_len = kept_len(row, name);
	uint32_t len = kept_len(row, value);
	uint8_t *at = tail_add(ctx, message, field, name_len + 1 + len, name.len + 1 + value.len);
	if (at == NULL)
		return;
	if (name_len != 0)
		memcpy(at, name.ptr, name_len);
	at[name_len] = 0;
	if (len != 0)
		memcpy(at + name_len + 1, value.ptr, len);
	if (name_len + len < name.len + value.len)
		tl_l7_count(ctx->l7, TL_COUNT_MESSAGE_CUT, 1);
}

void tl_message_object(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field)
{
	struct tl_message *message = current(ctx, lane);

	if (message != NULL && field_of(message, field) != NULL)
		(void)tail_add(ctx, message, field, 0, 0);
}

struct tl_bytes tl_message_value(const struct tl_ctx *ctx, enum tl_lane lane, uint8_t field)
{
	const struct tl_message *message = current(ctx, lane);
	struct tl_value value;
	uint32_t at = 0;

	if (message == NULL || message->tail == TL_SLAB_NONE)
		return tl_bytes(NULL, 0);
	struct tl_bytes tail =
		tl_bytes(tl_slab_at(&ctx->l7->values, message->tail), message->tail_len);
	while (tl_value_next(tail, &at, &value))
		if (value.field == field)
			return value.bytes;
	return tl_bytes(NULL, 0);
}

void tl_message_as(struct tl_ctx *ctx, enum tl_lane lane, uint16_t protocol)
{
	struct tl_message *message = current(ctx, lane);

	if (message != NULL && tl_decoder_at(protocol) != NULL)
		message->protocol = protocol;
}

// Where the last value of `field` lies in the tail, TL_NONE if there is none.
static uint32_t tail_find(const struct tl_ctx *ctx, const struct tl_message *message, uint8_t field)
{
	struct tl_value value;
	uint32_t at = 0;
	uint32_t found = TL_NONE;

	if (message->tail == TL_SLAB_NONE)
		return TL_NONE;
	struct tl_bytes tail =
		tl_bytes(tl_slab_at(&ctx->l7->values, message->tail), message->tail_len);
	for (uint32_t begin = 0; tl_value_next(tail, &at, &value); begin = at)
		if (value.field == field)
			found = begin;
	return found;
}

// Makes the value at `at` longer by up to `more` bytes; gives by how many.
static uint32_t tail_extend(struct tl_ctx *ctx, struct tl_message *message, uint32_t at,
			    uint32_t more)
{
	struct tl_value_head head;
	uint8_t *base = tl_slab_at(&ctx->l7->values, message->tail);
	memcpy(&head, base + at, sizeof(head));
	uint32_t slack = ((head.len + 3u) & ~3u) - head.len;
	uint32_t room = TL_MESSAGE_TAIL_BYTES_MAX - message->tail_len + slack;

	if (more > room)
		more = room;
	uint32_t padded = (head.len + more + 3u) & ~3u;
	uint32_t growth = padded - ((head.len + 3u) & ~3u);
	if (message->tail_len + growth > tl_slab_room(&ctx->l7->values, message->tail) &&
	    !tail_grow(ctx, message, message->tail_len + growth))
		return 0;
	base = tl_slab_at(&ctx->l7->values, message->tail);
	uint32_t behind = at + (uint32_t)sizeof(head) + ((head.len + 3u) & ~3u);
	memmove(base + behind + growth, base + behind, message->tail_len - behind);
	memset(base + at + sizeof(head) + head.len, 0, padded - head.len);
	message->tail_len = (uint16_t)(message->tail_len + growth);
	return more;
}

// One value however many pieces the body came in: records must not depend on the cuts.
void tl_message_keep(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field, struct tl_bytes bytes,
		     uint64_t wire_len)
{
	struct tl_message *message = current(ctx, lane);
	struct tl_value_head head;

	if (message == NULL)
		return;
	uint32_t at = tail_find(ctx, message, field);
	if (at == TL_NONE) {
		at = message->tail_len;
		if (tail_add(ctx, message, field, 0, 0) == NULL)
			return;
	}
	uint32_t len = tail_extend(ctx, message, at, bytes.len);
	if (len < bytes.len) {
		tl_l7_count(ctx->l7, TL_COUNT_MESSAGE_CUT, 1);
		message->flags |= TL_FLAG_TRUNCATED;
	}
	uint8_t *value = (uint8_t *)tl_slab_at(&ctx->l7->values, message->tail) + at;
	memcpy(&head, value, sizeof(head));
	if (len != 0)
		memcpy(value + sizeof(head) + head.len, bytes.ptr, len);
	head.len = (uint16_t)(head.len + len);
	uint64_t full = head.full_len + wire_len;
	head.full_len = full < UINT32_MAX ? (uint32_t)full : UINT32_MAX;
	memcpy(value, &head, sizeof(head));
}
