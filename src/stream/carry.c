// SPDX-License-Identifier: Apache-2.0
// Bytes of a lane that wait for more. Only a lane that is caught in the middle of something owns
// such a buffer.
#include "stream/driver.h"

struct tl_bytes tl_carry_bytes(const struct tl_l7 *l7, const struct tl_lane_state *lane)
{
	const struct tl_carry *carry = tl_l7_carry(l7, lane->carry);

	if (carry == NULL || carry->len == 0)
		return tl_bytes(NULL, 0);
	return tl_bytes((const uint8_t *)tl_slab_at(&l7->carried, carry->block) + carry->start,
			carry->len);
}

static struct tl_carry *carry_open(struct tl_l7 *l7, struct tl_lane_state *lane)
{
	struct tl_carry *carry = tl_l7_carry(l7, lane->carry);

	if (carry != NULL)
		return carry;
	carry = tl_pool_take(&l7->carries);
	if (carry != NULL)
		lane->carry = tl_pool_index(&l7->carries, carry);
	return carry;
}

static void carry_close(struct tl_l7 *l7, struct tl_lane_state *lane)
{
	struct tl_carry *carry = tl_l7_carry(l7, lane->carry);

	tl_slab_put(&l7->carried, carry->block);
	tl_pool_put(&l7->carries, carry);
	lane->carry = TL_NONE;
}

static bool make_room(struct tl_l7 *l7, struct tl_carry *carry, uint32_t more)
{
	uint8_t *old = carry->block == TL_SLAB_NONE ? NULL : tl_slab_at(&l7->carried, carry->block);

	if (carry->start + carry->len + more <= carry->room)
		return true;
	if (carry->len + more <= carry->room) {
		memmove(old, old + carry->start, carry->len);
		carry->start = 0;
		return true;
	}
	if (carry->len + more > TL_SLAB_PAGE_BYTES)
		return false;
	uint32_t block = tl_slab_take(&l7->carried, carry->len + more);
	if (block == TL_SLAB_NONE)
		return false;
	if (old != NULL)
		memcpy(tl_slab_at(&l7->carried, block), old + carry->start, carry->len);
	tl_slab_put(&l7->carried, carry->block);
	carry->block = block;
	carry->room = tl_slab_room(&l7->carried, block);
	carry->start = 0;
	return true;
}

// The first and the latest marks are kept: messages begin at the front and end at the back.
static void add_mark(struct tl_carry *carry, uint64_t offset, uint64_t ns)
{
	if (carry->mark_count != 0 && carry->marks[carry->mark_count - 1].ns == ns)
		return;
	if (carry->mark_count == TL_CARRY_MARKS) {
		memmove(&carry->marks[1], &carry->marks[2],
			(TL_CARRY_MARKS - 2) * sizeof(carry->marks[0]));
		carry->mark_count--;
	}
	carry->marks[carry->mark_count].offset = offset;
	carry->marks[carry->mark_count].ns = ns;
	carry->mark_count++;
}

bool tl_carry_add(struct tl_ctx *ctx, enum tl_lane lane, struct tl_bytes bytes, uint64_t ns)
{
	struct tl_lane_state *state = &ctx->unit->lanes[lane];

	if (bytes.len == 0)
		return true;
	struct tl_carry *carry = carry_open(ctx->l7, state);
	if (carry == NULL || !make_room(ctx->l7, carry, bytes.len)) {
		tl_l7_count(ctx->l7, TL_COUNT_CARRY_FULL, 1);
		if (carry != NULL && carry->len == 0)
			carry_close(ctx->l7, state);
		return false;
	}
	add_mark(carry, state->offset + carry->len, ns);
	memcpy((uint8_t *)tl_slab_at(&ctx->l7->carried, carry->block) + carry->start + carry->len,
	       bytes.ptr, bytes.len);
	carry->len += bytes.len;
	tl_ctx_count(ctx, TL_COUNT_STREAM_BUFFERED, bytes.len);
	return true;
}

void tl_carry_consume(struct tl_ctx *ctx, enum tl_lane lane, uint32_t len)
{
	struct tl_lane_state *state = &ctx->unit->lanes[lane];
	struct tl_carry *carry = tl_l7_carry(ctx->l7, state->carry);

	TL_CHECK(carry != NULL && len <= carry->len);
	carry->start += len;
	carry->len -= len;
	tl_ctx_count(ctx, TL_COUNT_STREAM_BUFFERED, (uint64_t)0 - len);
	if (carry->len == 0)
		carry_close(ctx->l7, state);
}

void tl_lane_forget(struct tl_ctx *ctx, enum tl_lane lane)
{
	struct tl_lane_state *state = &ctx->unit->lanes[lane];
	const struct tl_carry *carry = tl_l7_carry(ctx->l7, state->carry);

	tl_lane_stop_inflating(ctx->l7, state);
	if (carry == NULL)
		return;
	uint32_t len = carry->len;
	state->offset += len;
	tl_ctx_count(ctx, TL_COUNT_STREAM_IGNORED, len);
	tl_carry_consume(ctx, lane, len);
}
