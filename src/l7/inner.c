// SPDX-License-Identifier: Apache-2.0
// Requests that carry a protocol of their own: its state lies with the open request.
#include "l7/core.h"

#include <stddef.h>
#include <string.h>

uint64_t tl_elapsed_ns(const struct tl_ctx *ctx, enum tl_lane lane, uint64_t offset,
		       enum tl_lane opener, uint64_t key)
{
	const struct tl_exchange *exchange = tl_pair_find(ctx, opener, key);
	const struct tl_message *first =
		exchange == NULL
			? NULL
			: tl_l7_message(ctx->l7, tl_exchange_is_unseen(exchange) ? exchange->response
								     : exchange->request);
	uint64_t ns = tl_time_of(ctx, lane, offset);

	return first == NULL || ns < first->first_ns ? 0 : ns - first->first_ns;
}

void *tl_inner_begin(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, uint16_t protocol)
{
	struct tl_exchange *exchange = tl_pair_find(ctx, opener, key);
	const struct tl_decoder *decoder = tl_decoder_at(protocol);

	if (exchange == NULL || decoder == NULL || (decoder->over & TL_AS_INNER) == 0 ||
	    exchange->inner != TL_SLAB_NONE)
		return NULL;
	exchange->inner = tl_slab_take(&ctx->l7->states, decoder->state_size);
	if (exchange->inner == TL_SLAB_NONE) {
		tl_l7_count(ctx->l7, TL_COUNT_STATE_FULL, 1);
		return NULL;
	}
	struct tl_message *halves[] = {tl_l7_message(ctx->l7, exchange->request),
				       tl_l7_message(ctx->l7, exchange->response)};
	for (uint32_t i = 0; i < TL_COUNT_OF(halves); i++)
		if (halves[i] != NULL)
			halves[i]->protocol = protocol;
	void *state = tl_slab_at(&ctx->l7->states, exchange->inner);
	memset(state, 0, decoder->state_size);
	return state;
}

void *tl_inner_state(const struct tl_ctx *ctx, enum tl_lane opener, uint64_t key)
{
	const struct tl_exchange *exchange = tl_pair_find(ctx, opener, key);

	return exchange == NULL || exchange->inner == TL_SLAB_NONE
		       ? NULL
		       : tl_slab_at(&ctx->l7->states, exchange->inner);
}

void *tl_inner_of(const struct tl_ctx *ctx, const void *memo)
{
	const struct tl_exchange *exchange =
		(const void *)((const uint8_t *)memo - offsetof(struct tl_exchange, memo));

	return exchange->inner == TL_SLAB_NONE ? NULL
					       : tl_slab_at(&ctx->l7->states, exchange->inner);
}

// The inner decoder adds what is known only now to the messages that were seen.
void tl_inner_end(struct tl_ctx *ctx, const struct tl_exchange *exchange,
		      const struct tl_message *response)
{
	const struct tl_decoder *decoder = tl_decoder_at(tl_pair_protocol(ctx, exchange));
	void *state = tl_slab_at(&ctx->l7->states, exchange->inner);
	const uint32_t halves[] = {
		exchange->request,
		response == NULL ? TL_NONE : tl_pool_index(&ctx->l7->messages, response),
	};

	for (uint32_t i = 0; i < TL_COUNT_OF(halves) && decoder->end != NULL; i++) {
		const struct tl_message *message = tl_l7_message(ctx->l7, halves[i]);
		if (message == NULL)
			continue;
		uint32_t *now = &ctx->unit->lanes[tl_message_lane(message)].message;
		uint32_t before = *now;
		*now = halves[i];
		decoder->end(ctx, state, tl_message_lane(message), TL_END_FIN, message->end_offset);
		*now = before;
	}
}

// ---- Fields of a request that is not being read ----------------------------------------------

// Makes the request the current message of its lane for a moment; gives that lane, NULL if the
// request was not seen.
static struct tl_lane_state *borrow(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key,
				    uint32_t *ret_before)
{
	const struct tl_exchange *exchange = tl_pair_find(ctx, opener, key);

	if (exchange == NULL || exchange->request == TL_NONE)
		return NULL;
	struct tl_lane_state *lane = &ctx->unit->lanes[opener];
	*ret_before = lane->message;
	lane->message = exchange->request;
	return lane;
}

void tl_request_uint(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, uint8_t field,
		     uint64_t value)
{
	uint32_t before;
	struct tl_lane_state *lane = borrow(ctx, opener, key, &before);

	if (lane == NULL)
		return;
	tl_message_uint(ctx, opener, field, value);
	lane->message = before;
}

void tl_request_text(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key, uint8_t field,
		     struct tl_bytes value)
{
	uint32_t before;
	struct tl_lane_state *lane = borrow(ctx, opener, key, &before);

	if (lane == NULL)
		return;
	tl_message_text(ctx, opener, field, value);
	lane->message = before;
}

struct tl_bytes tl_request_value(struct tl_ctx *ctx, enum tl_lane opener, uint64_t key,
				 uint8_t field)
{
	uint32_t before;
	struct tl_lane_state *lane = borrow(ctx, opener, key, &before);

	if (lane == NULL)
		return tl_bytes(NULL, 0);
	struct tl_bytes value = tl_message_value(ctx, opener, field);
	lane->message = before;
	return value;
}
