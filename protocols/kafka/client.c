// SPDX-License-Identifier: Apache-2.0
// The client lane: requests, and authentication tokens without a header.
#include "state.h"

#include <stddef.h>

#define API_TEXT_BYTES 8u // "Api65535"

static void show_number(struct kafka_call *call, uint8_t field, uint64_t value)
{
	tl_message_uint(call->ctx, call->lane, field, value);
}

static void show_api(struct kafka_call *call, uint32_t key)
{
	const struct kafka_api *api = tl_kafka_api(key);
	char text[API_TEXT_BYTES] = "Api";
	uint32_t at = 3;

	if (api != NULL) {
		tl_message_text(call->ctx, call->lane, KAFKA_FIELD_API, tl_bytes_of(api->name));
		return;
	}
	for (uint32_t unit = 10000; unit != 0; unit /= 10)
		if (key >= unit || unit == 1)
			text[at++] = (char)('0' + key / unit % 10);
	tl_message_text(call->ctx, call->lane, KAFKA_FIELD_API, tl_bytes(text, at));
}

// ---- Requests ---------------------------------------------------------------------------------

void tl_kafka_open(struct kafka_call *call)
{
	struct kafka_lane *me = call->me;
	struct kafka_memo memo = {.api = me->api, .version = me->version};

	if (me->is_opened)
		return;
	me->is_opened = true;
	if (me->api == KAFKA_PRODUCE && !me->body.has_acks)
		tl_one_way(call->ctx, TL_CLIENT);
	else
		tl_open(call->ctx, TL_CLIENT, me->key, &memo);
	tl_message_end(call->ctx, TL_CLIENT, me->end);
	if (me->api == KAFKA_SYNC_GROUP)
		tl_kafka_may_wait(call, call->kf->rebalance_ms != 0 ? call->kf->rebalance_ms
								    : KAFKA_REBALANCE_DEFAULT_MS);
}

static void begin_request(struct kafka_call *call, const struct kafka_head *head)
{
	struct kafka_lane *me = call->me;

	me->key = head->key;
	me->api = head->api;
	me->version = head->version;
	me->end = call->offset + KAFKA_SIZE_BYTES + head->size;
	me->is_opened = false;
	memset(&me->body, 0, offsetof(struct kafka_body, topic));
	tl_message_begin(call->ctx, TL_CLIENT, call->offset);
	show_api(call, head->api);
	show_number(call, KAFKA_FIELD_API_VERSION, head->version);
	show_number(call, KAFKA_FIELD_CORRELATION_ID, head->key);
	if (head->has_client)
		tl_message_text(call->ctx, TL_CLIENT, KAFKA_FIELD_CLIENT_ID, head->client);
	tl_message_body(call->ctx, TL_CLIENT, head->size);
}

static void remember(struct kafka *kf, const struct kafka_head *head)
{
	if (head->key < KAFKA_KEY_RESERVED) {
		kf->last_key = head->key;
		kf->has_key = true;
	}
	if (head->has_client) {
		kf->client_hash = tl_kafka_hash(head->client);
		kf->has_client = true;
	}
}

static void request_ends(struct kafka_call *call)
{
	if (!call->me->is_opened) { // it didn't get to say that no answer is due
		call->me->body.has_acks = true;
		tl_kafka_open(call);
	}
	tl_kafka_body_show(call);
	call->me->in_body = false;
}

static struct tl_step walk_on(struct kafka_call *call)
{
	bool is_done = false;
	struct tl_step step = tl_kafka_body_step(call, &is_done);

	if (is_done)
		request_ends(call);
	return step;
}

static struct tl_step read_request(struct kafka_call *call, const struct kafka_head *head)
{
	struct kafka_lane *me = call->me;
	const struct kafka_api *api = tl_kafka_api(head->api);
	const struct kafka_variant *variant =
		api == NULL ? NULL : tl_kafka_variant(api->request, head->version);

	me->is_unsure = false;
	me->hunted = 0;
	remember(call->kf, head);
	begin_request(call, head);
	if (head->api != KAFKA_PRODUCE)
		tl_kafka_open(call);
	if (variant == NULL) {
		tl_count(call->ctx, KAFKA_COUNT_UNKNOWN_VERSION);
		request_ends(call);
		return tl_ate_and_skip(head->len < call->view.len ? head->len : call->view.len,
				       (uint64_t)head->size + KAFKA_SIZE_BYTES);
	}
	me->in_body = true;
	tl_kafka_walk_begin(&me->walk, variant, head->version, head->version >= variant->flexible,
			    (uint64_t)head->size + KAFKA_SIZE_BYTES - head->len);
	me->walk.wants_trace = head->api == KAFKA_PRODUCE;
	return walk_on(call);
}

// ---- Tokens -----------------------------------------------------------------------------------

// The tokens of an authentication are over.
static void sasl_ends(struct kafka_call *call)
{
	struct kafka *kf = call->kf;

	if (kf->sasl == KAFKA_SASL_ANSWERED &&
	    tl_message_resume(call->ctx, TL_SERVER, TL_CLIENT, KAFKA_SASL_KEY)) {
		tl_close(call->ctx, TL_SERVER, KAFKA_SASL_KEY, TL_STATUS_OK, TL_REASON_NONE);
		tl_message_end(call->ctx, TL_SERVER, kf->lane[TL_SERVER].end);
	}
	kf->sasl = KAFKA_SASL_NONE;
}

static struct tl_step read_token(struct kafka_call *call, uint32_t size)
{
	struct kafka_memo memo = {.is_sasl = 1};
	struct kafka *kf = call->kf;

	call->me->end = call->offset + KAFKA_SIZE_BYTES + size;
	tl_count(call->ctx, KAFKA_COUNT_SASL_TOKENS);
	if (kf->sasl == KAFKA_SASL_TOKENS) {
		kf->sasl = KAFKA_SASL_ASKED;
		tl_message_begin(call->ctx, TL_CLIENT, call->offset);
		tl_message_text(call->ctx, TL_CLIENT, KAFKA_FIELD_API,
				tl_bytes_of("SaslAuthenticate"));
		if (kf->mechanism_len != 0)
			tl_message_text(call->ctx, TL_CLIENT, KAFKA_FIELD_MECHANISM,
					tl_bytes(kf->mechanism, kf->mechanism_len));
		else
			tl_message_flag(call->ctx, TL_CLIENT, TL_FLAG_GAP); // in the handshake
		tl_message_body(call->ctx, TL_CLIENT, size);
		tl_open(call->ctx, TL_CLIENT, KAFKA_SASL_KEY, &memo);
		tl_message_end(call->ctx, TL_CLIENT, call->me->end);
	}
	return tl_skip((uint64_t)KAFKA_SIZE_BYTES + size);
}

// After a handshake of version 0 tokens come bare. What is no request is one.
static bool is_token(struct kafka_call *call, uint32_t size, struct tl_step *ret_step)
{
	struct kafka_head head;
	enum kafka_fit fit = tl_kafka_head(call->view, true, &head);

	if (size >= KAFKA_REQUEST_HEAD - KAFKA_SIZE_BYTES && fit == KAFKA_FIT_SHORT) {
		*ret_step = tl_need(head.len);
		return true;
	}
	if (fit == KAFKA_FIT_YES && tl_kafka_try_request(call->view, &head) != KAFKA_WALK_BAD) {
		sasl_ends(call);
		return false;
	}
	if (size > KAFKA_TOKEN_MAX)
		*ret_step = tl_kafka_hunt(call);
	else
		*ret_step = read_token(call, size);
	return true;
}

struct tl_step tl_kafka_client_step(struct kafka_call *call)
{
	struct kafka_lane *me = call->me;
	struct kafka_head head;
	struct tl_step step;

	if (me->in_body) {
		if (call->offset < me->end)
			return walk_on(call);
		request_ends(call);
	}
	if (call->view.len < KAFKA_SIZE_BYTES)
		return tl_need(KAFKA_SIZE_BYTES);
	if (call->kf->sasl != KAFKA_SASL_NONE && !me->is_unsure &&
	    is_token(call, tl_load_be32(call->view.ptr), &step))
		return step;
	enum kafka_fit fit = tl_kafka_head(call->view, me->is_unsure, &head);
	if (fit == KAFKA_FIT_SHORT)
		return tl_need(head.len);
	if (fit == KAFKA_FIT_NO ||
	    (me->is_unsure && tl_kafka_find(call->kf, TL_CLIENT, call->view, 0) != 0))
		return tl_kafka_hunt(call);
	return read_request(call, &head);
}
