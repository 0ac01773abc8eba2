// SPDX-License-Identifier: Apache-2.0
// The order of requests and replies: how it is lost and found again. What is done and why stands at
// the head of state.h.
#include "state.h"

void tl_redis_lose_order(struct redis_call *call)
{
	struct redis *redis = call->redis;

	if (redis->order != REDIS_LOST)
		tl_count(call->ctx, REDIS_COUNT_ORDER_LOST);
	redis->order = REDIS_LOST;
	redis->clean_turns = 0;
}

void tl_redis_give_up(struct redis_call *call, enum tl_reason reason)
{
	struct redis *redis = call->redis;

	tl_cancel_all(call->ctx, TL_STATUS_UNANSWERED, reason);
	tl_redis_forget_select(redis);
}

void tl_redis_forget_select(struct redis *redis)
{
	if ((redis->flags & REDIS_SELECTS) == 0)
		return;
	redis->flags = (uint16_t)((redis->flags & ~REDIS_SELECTS) | REDIS_UNSURE);
	redis->db = 0;
}

// Clean turns that end a probation, 0: counting turns proves nothing.
static uint32_t clean_turns_needed(const struct redis *redis)
{
	if ((redis->flags & REDIS_OVERLAPS) != 0)
		return 0;
	if (redis->calm_turns < REDIS_CALM_TURNS_FEW)
		return REDIS_CLEAN_STRANGER;
	if (redis->calm_turns < REDIS_CALM_TURNS)
		return REDIS_CLEAN_NEW;
	return (redis->flags & REDIS_BATCHES) != 0 ? REDIS_CLEAN_BATCHES : 1;
}

static void note_habit(struct redis_call *call, bool is_calm)
{
	struct redis *redis = call->redis;

	if (!is_calm) {
		redis->flags |= REDIS_OVERLAPS;
		// Joined late, the replies may have been another one's from the beginning.
		if (tl_is_late_join(call->ctx) && redis->calm_turns < REDIS_CALM_TURNS_FEW) {
			tl_redis_give_up(call, TL_REASON_GAP);
			tl_redis_lose_order(call);
		}
		return;
	}
	if ((redis->flags & REDIS_LONG_TURN) != 0)
		redis->flags |= REDIS_BATCHES;
	if (redis->calm_turns < REDIS_CALM_TURNS)
		redis->calm_turns++;
}

// A turn of the client begins while the order is not known.
static void try_again(struct redis_call *call, uint64_t offset, uint32_t pending)
{
	struct redis *redis = call->redis;
	// Several requests in a turn of who sent one at a time: the habit is another one now.
	if ((redis->flags & (REDIS_LONG_TURN | REDIS_BATCHES)) == REDIS_LONG_TURN)
		redis->flags |= REDIS_OVERLAPS;
	uint32_t needed = clean_turns_needed(redis);

	if (tl_after_silence(call->ctx, TL_CLIENT, offset)) {
		tl_redis_give_up(call, TL_REASON_GAP);
		memset(&redis->reply, 0, sizeof(redis->reply));
		redis->order = REDIS_ALIGNED;
	} else if (redis->order == REDIS_LOST) {
		tl_redis_give_up(call, TL_REASON_GAP);
		if (needed == 0)
			return;
		memset(&redis->reply, 0, sizeof(redis->reply));
		redis->order = REDIS_PROBATION;
	} else if (pending != 0 || redis->reply.phase != REDIS_REPLY_START) {
		// Not as it was before the loss: neither is what follows from that.
		redis->flags |= REDIS_OVERLAPS;
		tl_redis_give_up(call, TL_REASON_GAP);
		tl_redis_lose_order(call);
	} else if (++redis->clean_turns >= needed) {
		redis->order = REDIS_ALIGNED;
	}
	redis->clean_turns = redis->order == REDIS_PROBATION ? redis->clean_turns : 0;
}

// The request at `offset` is the first of a turn of the client.
static void begin_turn(struct redis_call *call, uint64_t offset)
{
	struct redis *redis = call->redis;
	uint32_t pending = tl_pending_count(call->ctx, TL_CLIENT);

	if (redis->order != REDIS_ALIGNED)
		try_again(call, offset, pending);
	else if (offset != 0)
		note_habit(call, pending == 0);
	redis->flags &= (uint16_t)~(REDIS_DOUBT | REDIS_LONG_TURN);
}

void tl_redis_note_turn(struct redis_call *call, uint64_t offset)
{
	struct redis *redis = call->redis;

	bool is_first = tl_is_late_join(call->ctx) && (redis->flags & REDIS_SETTLED) == 0;

	if ((redis->flags & REDIS_CLIENT_SPOKE) == 0)
		begin_turn(call, offset);
	else
		redis->flags |= REDIS_LONG_TURN;
	if (is_first)
		redis->flags |= REDIS_SETTLED | REDIS_DOUBT;
	// Not the first byte after the join: commands in front of it were not seen.
	if (is_first && offset != 0)
		tl_redis_lose_order(call);
	redis->flags |= REDIS_CLIENT_SPOKE;
}
