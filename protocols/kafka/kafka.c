// SPDX-License-Identifier: Apache-2.0
// Apache Kafka: losses and the tables. Requests: client.c; responses: server.c; bodies: walk.c
// and body.c by schema.c; what looks like Kafka: detect.c.
#include "state.h"

static struct tl_step kafka_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
				 const struct tl_view *view)
{
	struct kafka *kf = state;
	struct kafka_lane *me = &kf->lane[lane];
	struct kafka_call call = {
		.ctx = ctx,
		.kf = kf,
		.me = me,
		.view = view->bytes,
		.offset = view->offset,
		.lane = lane,
	};

	if (!me->is_begun) {
		me->is_begun = true;
		me->is_unsure = tl_is_late_join(ctx);
	}
	// Behind a hole in a message that is known to go on to here.
	if (!me->in_body && !me->is_unsure && view->offset < me->end)
		return tl_skip(me->end - view->offset);
	return lane == TL_CLIENT ? tl_kafka_client_step(&call) : tl_kafka_server_step(&call);
}

struct tl_step tl_kafka_hunt(struct kafka_call *call)
{
	struct kafka_lane *me = call->me;

	if (!me->is_unsure)
		tl_count(call->ctx, KAFKA_COUNT_MISALIGNED);
	me->is_unsure = true;
	me->was_lost = true;
	uint32_t next = tl_kafka_find(call->kf, call->lane, call->view, 1);
	me->hunted += next;
	return me->hunted > KAFKA_HUNT_BYTES_MAX ? tl_stop() : tl_ate(next);
}

// ---- Loss -------------------------------------------------------------------------------------

// A message that the hole is in ends where it said; what was read of it stands.
static bool kafka_gap(struct tl_ctx *ctx, void *state, enum tl_lane lane, uint64_t lost,
		      uint64_t offset)
{
	struct kafka *kf = state;
	struct kafka_lane *me = &kf->lane[lane];
	struct kafka_call call = {.ctx = ctx, .kf = kf, .me = me, .offset = offset, .lane = lane};

	(void)lost;
	me->is_unsure = !me->is_begun || offset > me->end;
	me->was_lost = me->was_lost || me->is_unsure || (me->in_body && !me->is_opened);
	me->is_begun = true;
	if (me->in_body && lane == TL_SERVER &&
	    tl_message_resume(ctx, TL_SERVER, TL_CLIENT, me->key)) {
		tl_message_flag(ctx, TL_SERVER, TL_FLAG_GAP);
		tl_message_flag(ctx, TL_SERVER, TL_FLAG_ESTIMATED);
		tl_kafka_response_ends(&call);
	}
	me->in_body = false;
	if (kf->sasl != KAFKA_SASL_NONE) {
		kf->sasl = KAFKA_SASL_NONE;
		if (tl_pending(ctx, TL_CLIENT, KAFKA_SASL_KEY) != NULL)
			tl_cancel(ctx, TL_CLIENT, KAFKA_SASL_KEY, TL_STATUS_UNANSWERED,
				  TL_REASON_GAP);
	}
	return true;
}

// ---- Tables -----------------------------------------------------------------------------------

#define ROW(id, name_, label_, attribute_, type_, cardinality_, flags_, max_, help_) \
	[KAFKA_FIELD_##id] = {.name = name_, .label = label_, .attribute = attribute_, \
			      .type = TL_FIELD_##type_, .cardinality = TL_CARDINALITY_##cardinality_, \
			      .flags = flags_, .parent = TL_FIELD_TOP, .max = max_, .help = help_}
#define MEMBER(of, id, name_, help_) \
	[KAFKA_FIELD_##id] = {.name = name_, .type = TL_FIELD_TEXT, \
			      .cardinality = TL_CARDINALITY_HIGH, .flags = TL_FIELD_RESPONSE, \
			      .parent = KAFKA_FIELD_##of, .max = KAFKA_TOPIC_MAX, .help = help_}
#define REQUEST TL_FIELD_REQUEST
#define RESPONSE TL_FIELD_RESPONSE
#define LIST TL_FIELD_REPEATED

static const struct tl_field fields[KAFKA_FIELD_COUNT] = {
	ROW(API, "api", "api", "messaging.operation.name", TEXT, LOW,
	    REQUEST | TL_FIELD_SUMMARY | TL_FIELD_DEFAULT_LABEL, 40,
	    "Name of the API: Produce, Fetch; Api<key> for a key of a later Kafka."),
	ROW(API_VERSION, "api_version", "version", "messaging.operation.version", UINT, LOW,
	    REQUEST | TL_FIELD_SUMMARY, 0, "Version of the API."),
	ROW(TOPIC, "topic", "topic", "messaging.destination.name", TEXT, MIDDLE,
	    REQUEST | LIST | TL_FIELD_SUMMARY, KAFKA_TOPIC_MAX,
	    "Topics of the request, the first 16; of those named by ids what answers seen told."),
	ROW(ERROR, "error", "error", "error.type", TEXT, LOW, RESPONSE | TL_FIELD_SUMMARY, 48,
	    "Name of the error: of the whole request, else the worst of its partitions, topics, groups."),
	ROW(CORRELATION_ID, "correlation_id", NULL, NULL, UINT, HIGH, REQUEST, 0,
	    "Number that the response repeats."),
	ROW(CLIENT_ID, "client_id", "client_id", "messaging.client.id", TEXT, MIDDLE, REQUEST, 256,
	    "Name that the client gives itself."),
	ROW(SOFTWARE_NAME, "client_software", "client_software", NULL, TEXT, LOW, REQUEST, 64,
	    "Library of the client, in ApiVersions."),
	ROW(SOFTWARE_VERSION, "client_software_version", "client_software_version", NULL, TEXT, LOW,
	    REQUEST, 64, "Version of that library."),
	ROW(GROUP, "group_id", "group_id", "messaging.consumer.group.name", TEXT, MIDDLE,
	    REQUEST | LIST, 256, "Consumer groups of the request, the first 16."),
	ROW(TRANSACTION, "transactional_id", "transactional_id", NULL, TEXT, MIDDLE, REQUEST | LIST,
	    256, "Transactional ids of the request, the first 16."),
	ROW(TOPIC_ID, "topic_id", "topic_id", NULL, TEXT, MIDDLE, REQUEST | LIST, 22,
	    "Topics of the request that it names by their ids, as Kafka's tools write them; the first 16."),
	ROW(TOPIC_COUNT, "topic_count", NULL, NULL, UINT, HIGH, REQUEST, 0,
	    "Topics of the request, where there are several."),
	ROW(PARTITIONS, "partitions", NULL, NULL, TEXT, HIGH, REQUEST | LIST, KAFKA_TOPIC_MAX + 11,
	    "Partitions of the request as topic-number, or id-number; the first 16."),
	ROW(PARTITION_COUNT, "partition_count", NULL, NULL, UINT, HIGH, REQUEST, 0,
	    "Partitions of the request, where there are several."),
	ROW(ACKS, "acks", "acks", NULL, INT, LOW, REQUEST, 0,
	    "Replicas that must have the records before Produce is answered; 0: no answer; -1: all."),
	ROW(WAIT, "max_wait_ms", NULL, NULL, UINT, LOW, REQUEST, 0,
	    "Time that a Fetch may wait for records."),
	ROW(COORDINATOR_KEY, "coordinator_key", NULL, NULL, TEXT, MIDDLE, REQUEST | LIST, 256,
	    "Groups or transactions whose coordinator is asked for, the first 16."),
	ROW(RESOURCE, "resource", NULL, NULL, TEXT, MIDDLE, REQUEST | LIST, 256,
	    "Topics, brokers, groups whose configuration is meant, the first 16."),
	ROW(MECHANISM, "sasl_mechanism", "sasl_mechanism", NULL, TEXT, LOW, REQUEST, 32,
	    "Authentication method that the client asks for."),
	ROW(BATCHES, "batches", NULL, "messaging.kafka.batches", UINT, HIGH, REQUEST | RESPONSE, 0,
	    "Record batches, before format 2 messages, where there are several; no markers of transactions."),
	ROW(RECORDS, "records", NULL, "messaging.batch.message_count", UINT, HIGH,
	    REQUEST | RESPONSE | TL_FIELD_COUNTER, 0,
	    "Records in them; not said where old compressed messages are among them."),
	ROW(RECORD_BYTES, "record_bytes", NULL, NULL, UINT, HIGH,
	    REQUEST | RESPONSE | TL_FIELD_COUNTER, 0, "Bytes of the record batches as they are sent."),
	ROW(COMPRESSION, "compression", "compression", NULL, TEXT, LOW, REQUEST | RESPONSE, 8,
	    "Codec of the first batch that has one: none, gzip, snappy, lz4, zstd."),
	ROW(ERROR_CODE, "error_code", "error_code", NULL, INT, LOW, RESPONSE, 0,
	    "Number of that error."),
	ROW(ERROR_MESSAGE, "error_message", NULL, "error.message", TEXT, HIGH, RESPONSE, 256,
	    "First message that stands with an error."),
	ROW(PARTITIONS_IN_ERROR, "partitions_in_error", NULL, NULL, UINT, HIGH, RESPONSE, 0,
	    "Partitions, topics, groups of the response that have an error."),
	ROW(ERROR_PARTITION, "error_partition", NULL, NULL, TEXT, HIGH, RESPONSE,
	    KAFKA_TOPIC_MAX + 11, "The first partition with an error."),
	ROW(BASE_OFFSET, "base_offset", NULL, "messaging.kafka.offset", INT, HIGH,
	    RESPONSE | TL_FIELD_WIDE, 0, "Offset that the first record produced was given."),
	ROW(THROTTLE, "throttle_ms", NULL, NULL, UINT, HIGH, RESPONSE, 0,
	    "Time that the client is slowed down for, where it is."),
	ROW(NAMED, "topics", NULL, NULL, OBJECTS, HIGH, RESPONSE | LIST, 0,
	    "Topics that the answer names with their ids (Metadata, CreateTopics), up to 12 KiB of them."),
	MEMBER(NAMED, NAMED_ID, "topic_id", "Id of the topic."),
	MEMBER(NAMED, NAMED_TOPIC, "topic", "Its name."),
};

static const char *const counters[KAFKA_COUNTER_COUNT] = {
	[KAFKA_COUNT_BAD_BODY] = "bad_body",
	[KAFKA_COUNT_UNKNOWN_VERSION] = "unknown_version",
	[KAFKA_COUNT_MISALIGNED] = "misaligned",
	[KAFKA_COUNT_SASL_TOKENS] = "sasl_tokens",
};

static const uint16_t ports[] = {9092, 9093, 9094, 19092, 29092, 0};

extern const struct tl_decoder tl_decoder_kafka;

// OpenTelemetry, "Kafka". Requests carry batches: their span is the client's, not a message's.
static const char *const span_names[] = {"{api} {topic}", "{api}", NULL};
static const struct tl_span_word operation_types[] = {
	{"Produce", "send"},           {"Fetch", "receive"},
	{"ShareFetch", "receive"},     {"OffsetCommit", "settle"},
	{"TxnOffsetCommit", "settle"}, {"ShareAcknowledge", "settle"},
	{NULL, NULL},
};
static const struct tl_span_attribute span_attributes[] = {
	{.name = "messaging.system", .value = "kafka"},
	{.name = "messaging.operation.type", .value = "{api}", .map = operation_types},
	{.name = NULL},
};
static const struct tl_span_rules span_rules = {
	.kind = TL_SPAN_CLIENT, .names = span_names, .attributes = span_attributes,
	.error_type = "{error}",
};

static const struct tl_naming naming = {
	.list = KAFKA_FIELD_NAMED,
	.list_id = KAFKA_FIELD_NAMED_ID,
	.list_name = KAFKA_FIELD_NAMED_TOPIC,
	.id = KAFKA_FIELD_TOPIC_ID,
	.name = KAFKA_FIELD_TOPIC,
};

const struct tl_decoder tl_decoder_kafka = {
	.name = "kafka",
	.title = "Kafka",
	.over = TL_OVER_TCP,
	.state_size = sizeof(struct kafka),
	.need_max = KAFKA_NEED_MAX,
	.timeout_s = 60,
	.ports = ports,
	.fields = fields,
	.field_count = KAFKA_FIELD_COUNT,
	.counter_count = KAFKA_COUNTER_COUNT,
	.counters = counters,
	.span = &span_rules,
	.naming = &naming,
	.status_help = "error code 0: ok; others by the table of codes: what the client may not have, "
		       "what there is not, what is not in order: client_error; what the server can't do "
		       "now, or another one must: server_error",
	.match = tl_kafka_match,
	.step = kafka_step,
	.gap = kafka_gap,
	.resync = tl_kafka_resync,
};

TL_DECODER_CHECK(struct kafka, KAFKA_NEED_MAX);
_Static_assert(sizeof(fields) / sizeof(fields[0]) == KAFKA_FIELD_COUNT, "a field has no row");
