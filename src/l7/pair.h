// SPDX-License-Identifier: Apache-2.0
// Pairing, between the files that do it: queue.c holds the open requests, pair.c opens and answers
// them, pair_range.c does so with several at once, pair_end.c ends those that get no answer,
// complete.c makes records. What the rest of src/l7 and src/stream may call is in l7/core.h.
#pragma once

#include "l7/core.h"

#define TL_NS_PER_MS UINT64_C(1000000)

static inline struct tl_message *tl_lane_message(const struct tl_ctx *ctx, enum tl_lane lane)
{
	return tl_l7_message(ctx->l7, ctx->unit->lanes[lane].message);
}

static inline bool tl_unit_is_ordered(const struct tl_unit *unit)
{
	return (unit->bits & (TL_UNIT_ORDERED | TL_UNIT_KEYED)) == TL_UNIT_ORDERED;
}

static inline bool tl_exchange_is_late(const struct tl_exchange *exchange)
{
	return (exchange->bits & TL_EXCHANGE_LATE) != 0;
}

// The lane that the answer comes on.
static inline enum tl_lane tl_exchange_answerer(const struct tl_exchange *exchange)
{
	enum tl_lane opener = (enum tl_lane)exchange->opener;

	return (exchange->bits & TL_EXCHANGE_PROMISED) != 0 ? opener : tl_lane_other(opener);
}

// -- l7/queue.c

struct tl_wanted {
	uint64_t key;
	enum tl_lane opener;
	bool late; // want a late one, else an open one
	bool any;  // want whichever is older
};

// Index of the oldest that is wanted, or TL_NONE.
uint32_t tl_pair_queue_find(const struct tl_ctx *ctx, const struct tl_wanted *want);
// The oldest of the late ones, or of the others.
uint32_t tl_pair_queue_oldest(const struct tl_ctx *ctx, bool late);
void tl_pair_queue_add(struct tl_ctx *ctx, uint32_t index);
void tl_pair_queue_remove(struct tl_ctx *ctx, uint32_t index);
// What an answer to `key` belongs to: by order the oldest, otherwise an open one before a late one.
uint32_t tl_pair_find_answered(const struct tl_ctx *ctx, enum tl_lane opener, uint64_t key);
// The same for an answer on `lane`: promised ones are answered by the lane that opened them.
uint32_t tl_pair_find_answered_by(const struct tl_ctx *ctx, enum tl_lane lane, uint64_t key);

// -- l7/pair.c

// The open request `index` is one of several that the lane's message answers, not the last.
void tl_pair_close_along(struct tl_ctx *ctx, enum tl_lane lane, uint32_t index,
			 enum tl_status status, enum tl_reason reason);

// -- l7/pair_end.c

// The request ends without an answer; the place of a late one is given up.
void tl_pair_drop(struct tl_ctx *ctx, uint32_t index, enum tl_status status, enum tl_reason reason,
		  uint64_t end_ns);
// The request has been sent: from now on the connection knows how long it may wait.
void tl_exchange_set_deadline(const struct tl_ctx *ctx, const struct tl_exchange *exchange);

// -- l7/complete.c

// Gives back a message that may still be its lane's current one. TL_NONE does nothing.
void tl_message_forget(struct tl_ctx *ctx, uint32_t index);
// Takes an exchange that has been recorded out of the queue and gives it back.
void tl_exchange_forget(struct tl_ctx *ctx, uint32_t index);
// Takes an exchange out of the queue, records it and gives it back.
void tl_exchange_end(struct tl_ctx *ctx, uint32_t index, enum tl_status status,
		     enum tl_reason reason, uint64_t end_ns);
// Records an open request but leaves its place in the queue, so that its late answer is known.
void tl_exchange_make_late(struct tl_ctx *ctx, uint32_t index, enum tl_status status,
			   enum tl_reason reason, uint64_t end_ns);
// Records an exchange that is not in the queue with one message that answers several: it gets the
// message's times without its content, which belongs to the last. Gives the exchange back.
void tl_exchange_finish_along(struct tl_ctx *ctx, uint32_t index, const struct tl_message *message);
