// SPDX-License-Identifier: Apache-2.0
// The server lane: responses. What one is made of, only its request tells.
#include "state.h"

#include <stddef.h>

static void show_error(struct kafka_call *call, int64_t code)
{
	const struct kafka_error *error = tl_kafka_error(code);

	if (code == 0)
		return;
	if (error != NULL)
		tl_message_text(call->ctx, TL_SERVER, KAFKA_FIELD_ERROR, tl_bytes_of(error->name));
	tl_message_int(call->ctx, TL_SERVER, KAFKA_FIELD_ERROR_CODE, code);
	if (call->me->body.errors != 0)
		tl_message_uint(call->ctx, TL_SERVER, KAFKA_FIELD_PARTITIONS_IN_ERROR,
				call->me->body.errors);
}

void tl_kafka_response_ends(struct kafka_call *call)
{
	struct kafka_lane *me = call->me;
	int64_t code = me->body.top_error != 0 ? me->body.top_error : me->body.worst_error;

	me->in_body = false;
	tl_kafka_body_show(call);
	show_error(call, code);
	if (me->api == KAFKA_SASL_HANDSHAKE && me->version == 0 && code == 0)
		call->kf->sasl = KAFKA_SASL_TOKENS;
	tl_close(call->ctx, TL_SERVER, me->key, tl_kafka_status(code), TL_REASON_NONE);
	tl_message_end(call->ctx, TL_SERVER, me->end);
}

static struct tl_step walk_on(struct kafka_call *call)
{
	bool is_done = false;
	struct tl_step step = tl_kafka_body_step(call, &is_done);

	if (is_done)
		tl_kafka_response_ends(call);
	return step;
}

// Servers answer in order: what is older than the request just answered was answered in the hole.
static void cancel_older(struct kafka_call *call)
{
	uint64_t key;

	for (uint32_t i = 0; i < TL_PENDING_MAX; i++) {
		if (tl_pending_oldest(call->ctx, TL_CLIENT, &key) == NULL || key == call->me->key)
			break;
		tl_cancel(call->ctx, TL_CLIENT, key, TL_STATUS_UNANSWERED, TL_REASON_GAP);
	}
	call->me->was_lost = false;
}

// To nothing that is open: its request was not seen, or has timed out.
static struct tl_step read_stray(struct kafka_call *call, uint32_t size)
{
	tl_message_begin(call->ctx, TL_SERVER, call->offset);
	if (call->kf->lane[TL_CLIENT].was_lost)
		tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_GAP);
	tl_message_body(call->ctx, TL_SERVER, size);
	tl_close(call->ctx, TL_SERVER, call->me->key, TL_STATUS_OK, TL_REASON_NONE);
	tl_message_end(call->ctx, TL_SERVER, call->me->end);
	return tl_skip((uint64_t)KAFKA_SIZE_BYTES + size);
}

static struct tl_step read_response(struct kafka_call *call, uint32_t size,
				    const struct kafka_memo *memo)
{
	struct kafka_lane *me = call->me;
	const struct kafka_api *api = tl_kafka_api(memo->api);
	uint32_t version = tl_kafka_response_version(memo, call->view);
	const struct kafka_variant *variant =
		api == NULL ? NULL : tl_kafka_variant(api->response, version);

	me->api = memo->api;
	me->version = memo->version;
	memset(&me->body, 0, offsetof(struct kafka_body, topic));
	if (me->was_lost)
		cancel_older(call);
	tl_message_begin(call->ctx, TL_SERVER, call->offset);
	tl_message_body(call->ctx, TL_SERVER, size);
	(void)tl_answer(call->ctx, TL_SERVER, me->key);
	if (variant == NULL) {
		tl_count(call->ctx, KAFKA_COUNT_UNKNOWN_VERSION);
		tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_ESTIMATED);
		tl_kafka_response_ends(call);
		return tl_skip((uint64_t)KAFKA_SIZE_BYTES + size);
	}
	me->in_body = true;
	bool has_tags = version >= variant->flexible && me->api != KAFKA_API_VERSIONS;
	tl_kafka_walk_begin(&me->walk, variant, version, has_tags,
			    (uint64_t)size + KAFKA_SIZE_BYTES - KAFKA_RESPONSE_HEAD);
	return walk_on(call);
}

static struct tl_step read_token(struct kafka_call *call, uint32_t size)
{
	call->me->end = call->offset + KAFKA_SIZE_BYTES + size;
	if (call->kf->sasl == KAFKA_SASL_ASKED) {
		call->kf->sasl = KAFKA_SASL_ANSWERED;
		tl_message_begin(call->ctx, TL_SERVER, call->offset);
		(void)tl_answer(call->ctx, TL_SERVER, KAFKA_SASL_KEY);
	}
	tl_message_body(call->ctx, TL_SERVER, size);
	return tl_skip((uint64_t)KAFKA_SIZE_BYTES + size);
}

// Bytes that are wanted before the next response is begun.
static uint32_t wanted(const struct kafka_call *call, uint32_t size, const struct kafka_memo *memo)
{
	uint32_t want = KAFKA_RESPONSE_HEAD;

	if (call->me->is_unsure)
		want = KAFKA_PROOF_BYTES;
	else if (memo != NULL && memo->api == KAFKA_API_VERSIONS)
		want += 2;
	return want < size + KAFKA_SIZE_BYTES ? want : size + KAFKA_SIZE_BYTES;
}

struct tl_step tl_kafka_server_step(struct kafka_call *call)
{
	struct kafka_lane *me = call->me;

	if (me->in_body) {
		if (call->offset < me->end)
			return walk_on(call);
		tl_kafka_response_ends(call);
	}
	if (call->view.len < KAFKA_SIZE_BYTES)
		return tl_need(KAFKA_SIZE_BYTES);
	uint32_t size = tl_load_be32(call->view.ptr);
	bool has_token = call->kf->sasl >= KAFKA_SASL_ASKED && !me->is_unsure;
	if (has_token && size <= KAFKA_TOKEN_MAX)
		return read_token(call, size);
	if (size < KAFKA_SIZE_BYTES || size > (me->is_unsure ? KAFKA_SIZE_LIKELY : KAFKA_SIZE_MAX))
		return tl_kafka_hunt(call);
	if (call->view.len < KAFKA_RESPONSE_HEAD)
		return tl_need(KAFKA_RESPONSE_HEAD);
	uint32_t key = tl_load_be32(call->view.ptr + KAFKA_SIZE_BYTES);
	const struct kafka_memo *memo = tl_pending(call->ctx, TL_CLIENT, key);
	if (call->view.len < wanted(call, size, memo))
		return tl_need(wanted(call, size, memo));
	// A few small numbers prove nothing; that they belong to an open request does.
	if (me->is_unsure &&
	    (memo == NULL || tl_kafka_try_response(call->view, memo) == KAFKA_WALK_BAD))
		return tl_kafka_hunt(call);
	me->is_unsure = false;
	me->hunted = 0;
	me->key = key;
	me->end = call->offset + KAFKA_SIZE_BYTES + size;
	if (memo == NULL)
		return read_stray(call, size);
	// The memo goes with the request.
	struct kafka_memo copy = *memo;
	return read_response(call, size, &copy);
}
