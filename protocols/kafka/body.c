// SPDX-License-Identifier: Apache-2.0
// What a walk through a body finds, as values of the message and as what the decoder needs.
#include "l7/trace.h"
#include "state.h"

#define UUID_TEXT_BYTES 22u
#define PARTITION_TEXT_BYTES (KAFKA_TOPIC_MAX + 12u)
#define NS_PER_MS UINT64_C(1000000)

static void show_text(struct kafka_call *call, uint8_t field, struct tl_bytes text)
{
	tl_message_text(call->ctx, call->lane, field, text);
}

static void show_number(struct kafka_call *call, uint8_t field, uint64_t value)
{
	tl_message_uint(call->ctx, call->lane, field, value);
}

// ---- Topics and partitions --------------------------------------------------------------------

static void keep_topic(struct kafka_body *body, const void *text, uint32_t len)
{
	body->topic_len = (uint8_t)(len < KAFKA_TOPIC_MAX ? len : KAFKA_TOPIC_MAX);
	tl_copy_short((uint8_t *)body->topic, text, body->topic_len);
}

// "orders-3", as Kafka's own tools write it.
static struct tl_bytes partition_text(const struct kafka_body *body,
				      char text[static PARTITION_TEXT_BYTES])
{
	uint32_t number = (uint32_t)body->partition;
	char digits[10];
	uint32_t count = 0;
	uint32_t at = body->topic_len;

	tl_copy_short((uint8_t *)text, (const uint8_t *)body->topic, at);
	text[at++] = '-';
	do {
		digits[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	while (count != 0)
		text[at++] = digits[--count];
	return tl_bytes(text, at);
}

static void found_partition(struct kafka_call *call, int64_t value)
{
	struct kafka_body *body = &call->me->body;
	char text[PARTITION_TEXT_BYTES];

	body->partition = (int32_t)value;
	body->has_partition = value >= 0;
	body->partitions++;
	if (call->lane == TL_CLIENT && body->partitions <= KAFKA_LIST_MAX && value >= 0)
		show_text(call, KAFKA_FIELD_PARTITIONS, partition_text(body, text));
}

// In an answer they only serve to say in which partition an error was.
static void found_topic(struct kafka_call *call, struct tl_bytes name, uint8_t field)
{
	struct kafka_body *body = &call->me->body;

	// Old requests between servers repeat the topic with each partition.
	if (body->topics != 0 && tl_bytes_equal(tl_bytes(body->topic, body->topic_len), name))
		return;
	keep_topic(body, name.ptr, name.len);
	body->topics++;
	if (call->lane == TL_CLIENT && body->topics <= KAFKA_LIST_MAX)
		show_text(call, field, name);
}

// Metadata and the answers like it tell which name belongs to an id.
static void found_named(struct kafka_call *call, struct tl_bytes id)
{
	struct kafka_body *body = &call->me->body;
	uint32_t bytes = body->topic_len + KAFKA_NAMED_BYTES;

	if (body->named_bytes + bytes > KAFKA_NAMED_BYTES_MAX)
		return;
	body->named_bytes += bytes;
	tl_message_object(call->ctx, TL_SERVER, KAFKA_FIELD_NAMED);
	show_text(call, KAFKA_FIELD_NAMED_ID, id);
	show_text(call, KAFKA_FIELD_NAMED_TOPIC, tl_bytes(body->topic, body->topic_len));
}

// Topic ids as Kafka shows them: base64 for URLs, without padding.
static void on_id(void *self, const uint8_t id[16])
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	static const uint8_t none[16];
	struct kafka_call *call = self;
	struct kafka_body *body = &call->me->body;
	char text[UUID_TEXT_BYTES];

	if (memcmp(id, none, sizeof(none)) == 0) // named instead
		return;
	for (uint32_t i = 0; i < UUID_TEXT_BYTES; i++) {
		uint32_t bit = 6 * i;
		uint32_t pair = (uint32_t)id[bit / 8] << 8 | (bit / 8 < 15 ? id[bit / 8 + 1] : 0u);
		text[i] = letters[pair >> (10 - bit % 8) & 63];
	}
	if (call->lane == TL_SERVER && body->has_name)
		found_named(call, tl_bytes(text, sizeof(text)));
	else
		found_topic(call, tl_bytes(text, sizeof(text)), KAFKA_FIELD_TOPIC_ID);
}

static void on_element(void *self, uint32_t depth)
{
	struct kafka_body *body = &((struct kafka_call *)self)->me->body;

	body->has_partition = false;
	if (depth == 1)
		body->has_name = false;
}

// ---- Errors -----------------------------------------------------------------------------------

// Ranked by whose error it is: the server's is worse.
static bool is_worse(int64_t code, int64_t than)
{
	return than == 0 || (tl_kafka_status(code) == TL_STATUS_SERVER_ERROR &&
			     tl_kafka_status(than) == TL_STATUS_CLIENT_ERROR);
}

static void found_error(struct kafka_call *call, uint32_t depth, int64_t code)
{
	struct kafka_body *body = &call->me->body;
	char text[PARTITION_TEXT_BYTES];

	if (code == 0)
		return;
	if (depth == 0) {
		body->top_error = (int16_t)code;
		return;
	}
	body->errors++;
	if (is_worse(code, body->worst_error))
		body->worst_error = (int16_t)code;
	if (body->has_partition && !body->has_error_partition) {
		body->has_error_partition = true;
		show_text(call, KAFKA_FIELD_ERROR_PARTITION, partition_text(body, text));
	}
}

// ---- Waiting ----------------------------------------------------------------------------------

void tl_kafka_may_wait(struct kafka_call *call, int64_t ms)
{
	if (ms > 0)
		tl_wait(call->ctx, TL_CLIENT, call->me->key, (uint64_t)ms * NS_PER_MS);
}

// A member waits until all have come, at most for what the slowest asked for; its own wish is the
// best guess. SyncGroup doesn't repeat it.
static void found_rebalance(struct kafka_call *call, int64_t ms)
{
	if (ms <= 0)
		return;
	call->kf->rebalance_ms = (uint32_t)ms;
	tl_kafka_may_wait(call, ms);
}

// ---- The sink ---------------------------------------------------------------------------------

static void on_number(void *self, uint8_t use, uint32_t depth, int64_t value)
{
	struct kafka_call *call = self;
	struct kafka_body *body = &call->me->body;

	switch ((enum kafka_use)use) {
	case KAFKA_USE_ACKS:
		body->has_acks = value != 0;
		tl_kafka_open(call);
		tl_message_int(call->ctx, call->lane, KAFKA_FIELD_ACKS, value);
		break;
	case KAFKA_USE_PARTITION:
		found_partition(call, value);
		break;
	case KAFKA_USE_ERROR:
		found_error(call, depth, value);
		break;
	case KAFKA_USE_THROTTLE:
		if (value > 0)
			show_number(call, KAFKA_FIELD_THROTTLE, (uint64_t)value);
		break;
	case KAFKA_USE_WAIT:
		show_number(call, KAFKA_FIELD_WAIT, value < 0 ? 0 : (uint64_t)value);
		tl_kafka_may_wait(call, value);
		break;
	case KAFKA_USE_REBALANCE:
		found_rebalance(call, value);
		break;
	case KAFKA_USE_BASE_OFFSET:
		if (value >= 0 && !body->has_offset)
			tl_message_int(call->ctx, call->lane, KAFKA_FIELD_BASE_OFFSET, value);
		body->has_offset = body->has_offset || value >= 0;
		break;
	default:
		break;
	}
}

static void keep_mechanism(struct kafka *kf, struct tl_bytes text)
{
	kf->mechanism_len =
		(uint8_t)(text.len < sizeof(kf->mechanism) ? text.len : sizeof(kf->mechanism));
	memcpy(kf->mechanism, text.ptr, kf->mechanism_len);
}

static void found_listed(struct kafka_call *call, uint8_t field, struct tl_bytes text)
{
	if (call->lane == TL_CLIENT && call->me->body.groups++ < KAFKA_LIST_MAX)
		show_text(call, field, text);
}

static void on_text(void *self, uint8_t use, struct tl_bytes text)
{
	struct kafka_call *call = self;
	struct kafka_body *body = &call->me->body;

	switch ((enum kafka_use)use) {
	case KAFKA_USE_TOPIC:
		found_topic(call, text, KAFKA_FIELD_TOPIC);
		body->has_name = true;
		break;
	case KAFKA_USE_GROUP:
		found_listed(call, KAFKA_FIELD_GROUP, text);
		break;
	case KAFKA_USE_TRANSACTION:
		found_listed(call, KAFKA_FIELD_TRANSACTION, text);
		break;
	case KAFKA_USE_COORDINATOR_KEY:
		found_listed(call, KAFKA_FIELD_COORDINATOR_KEY, text);
		break;
	case KAFKA_USE_RESOURCE:
		found_listed(call, KAFKA_FIELD_RESOURCE, text);
		break;
	case KAFKA_USE_MECHANISM:
		if (call->lane == TL_CLIENT && call->me->api == KAFKA_SASL_HANDSHAKE)
			keep_mechanism(call->kf, text);
		if (call->lane == TL_CLIENT)
			show_text(call, KAFKA_FIELD_MECHANISM, text);
		break;
	case KAFKA_USE_SOFTWARE_NAME:
		show_text(call, KAFKA_FIELD_SOFTWARE_NAME, text);
		break;
	case KAFKA_USE_SOFTWARE_VERSION:
		show_text(call, KAFKA_FIELD_SOFTWARE_VERSION, text);
		break;
	case KAFKA_USE_ERROR_MESSAGE:
		if (!body->has_message && call->lane == TL_SERVER)
			show_text(call, KAFKA_FIELD_ERROR_MESSAGE, text);
		body->has_message = true;
		break;
	default:
		break;
	}
}

static void on_records(void *self, uint32_t bytes)
{
	((struct kafka_call *)self)->me->body.record_bytes += bytes;
}

static void on_batch(void *self, const struct kafka_batch *batch)
{
	struct kafka_body *body = &((struct kafka_call *)self)->me->body;

	if (batch->is_control)
		return;
	if (body->compression == 0)
		body->compression = batch->compression;
	body->batches++;
	body->records += batch->records;
	body->is_uncounted = body->is_uncounted || !batch->is_counted;
}

static void on_header(void *self, struct tl_bytes name, struct tl_bytes value)
{
	struct kafka_call *call = self;
	const struct tl_trace *known = tl_message_trace_of(call->ctx, call->lane);
	struct tl_trace trace = {0};
	bool is_good = false;

	if (tl_bytes_is_nocase(name, "traceparent"))
		is_good = tl_trace_from_traceparent(value, &trace);
	else if (known == NULL && tl_bytes_is_nocase(name, "b3"))
		is_good = tl_trace_from_b3(value, &trace);
	if (is_good)
		tl_message_trace(call->ctx, call->lane, &trace);
}

// ---- Steps ------------------------------------------------------------------------------------

void tl_kafka_body_show(struct kafka_call *call)
{
	const struct kafka_body *body = &call->me->body;

	if (call->lane == TL_CLIENT && body->topics > 1)
		show_number(call, KAFKA_FIELD_TOPIC_COUNT, body->topics);
	if (call->lane == TL_CLIENT && body->partitions > 1)
		show_number(call, KAFKA_FIELD_PARTITION_COUNT, body->partitions);
	if (body->batches == 0)
		return;
	if (body->batches > 1)
		show_number(call, KAFKA_FIELD_BATCHES, body->batches);
	if (!body->is_uncounted)
		show_number(call, KAFKA_FIELD_RECORDS, body->records);
	show_number(call, KAFKA_FIELD_RECORD_BYTES, body->record_bytes);
	show_text(call, KAFKA_FIELD_COMPRESSION, tl_bytes_of(tl_kafka_codec(body->compression)));
}

// Nothing else of the message is read: over to its end.
static struct tl_step to_the_end(struct kafka_call *call, uint32_t ate, bool *ret_done)
{
	*ret_done = true;
	return tl_ate_and_skip(ate, call->me->end - call->offset);
}

struct tl_step tl_kafka_body_step(struct kafka_call *call, bool *ret_done)
{
	const struct kafka_sink sink = {
		.self = call,
		.number = on_number,
		.text = on_text,
		.id = on_id,
		.element = on_element,
		.records = on_records,
		.batch = on_batch,
		.header = on_header,
	};
	struct kafka_walk *walk = &call->me->walk;
	uint64_t begin = call->me->end - walk->left; // offset of what is walked
	uint32_t ate = begin > call->offset ? (uint32_t)(begin - call->offset) : 0;
	struct tl_bytes view = tl_bytes_from(call->view, ate);

	if (ate > call->view.len) { // a client id that is longer than what is shown of it
		if (walk->left != 0)
			return tl_ate_and_skip(call->view.len, ate);
		ate = call->view.len;
	}
	if (view.len > walk->left)
		view = tl_bytes_first(view, (uint32_t)walk->left);
	struct kafka_result result = tl_kafka_walk(walk, &sink, view);
	uint64_t skip = result.skip;
	ate += result.ate;
	// What follows the last byte needs none.
	if (result.kind == KAFKA_WALK_SKIP && walk->left == 0)
		result = tl_kafka_walk(walk, &sink, tl_bytes(NULL, 0));
	switch (result.kind) {
	case KAFKA_WALK_MORE:
		return ate != 0 ? tl_ate(ate) : tl_need(result.need);
	case KAFKA_WALK_PAUSE:
		return tl_ate(ate);
	case KAFKA_WALK_SKIP:
		return tl_ate_and_skip(ate, ate + skip);
	case KAFKA_WALK_BAD:
		tl_count(call->ctx, KAFKA_COUNT_BAD_BODY);
		tl_message_flag(call->ctx, call->lane, TL_FLAG_ESTIMATED);
		break;
	case KAFKA_WALK_STOP:
	case KAFKA_WALK_DONE:
		break;
	}
	return to_the_end(call, ate, ret_done);
}
