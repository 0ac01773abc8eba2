// SPDX-License-Identifier: Apache-2.0
// AMQP 0-9-1 as RabbitMQ speaks it: what happens around frames, and the tables.
// Sources: AMQP 0-9-1 specification (amqp.org), RabbitMQ's protocol extensions and errata
// (rabbitmq.com/extensions.html, amqp-0-9-1-errata.html).
#include "state.h"

// Answers of the other lane to what this one asked can still be told; those that were in the hole
// can't, nor what it changed.
static bool amqp_gap(struct tl_ctx *ctx, void *state, enum tl_lane lane, uint64_t lost,
		     uint64_t offset)
{
	struct amqp_call call = {
		.ctx = ctx,
		.amqp = (struct amqp *)state,
		.room = (struct amqp_room *)tl_room(ctx),
		.lane = lane,
	};

	(void)lost;
	(void)offset;
	call.amqp->is_ready = 1;
	call.amqp->is_unsure = 1;
	call.amqp->had_gap = 1;
	tl_amqp_contents_lost(&call);
	tl_cancel_between(ctx, lane == TL_CLIENT ? TL_SERVER : TL_CLIENT, 0, UINT64_MAX,
			  TL_STATUS_UNANSWERED, TL_REASON_GAP);
	// What is open over the hole may have been closed in it.
	tl_flag_open(ctx, TL_FLAG_GAP);
	if (lane == TL_CLIENT) {
		tl_amqp_forget_numbers(&call);
		call.amqp->doubt = AMQP_DOUBT_GAP;
	}
	return true;
}

static const struct tl_field amqp_fields[AMQP_FIELD_COUNT] = {
	[AMQP_FIELD_CLASS] = {
		.name = "class", .label = "class", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_DEFAULT_LABEL |
			 TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP,
		.help = "AMQP class: Connection, Channel, Exchange, Queue, Basic, Confirm, Tx.",
	},
	[AMQP_FIELD_METHOD] = {
		.name = "method", .label = "method", .attribute = "messaging.operation.name",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_DEFAULT_LABEL |
			 TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP,
		.help = "Method of the class, as the specification names it: Publish, Declare-Ok.",
	},
	[AMQP_FIELD_VHOST] = {
		.name = "vhost", .label = "vhost", .attribute = "messaging.rabbitmq.vhost",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 255,
		.help = "Virtual host by Connection.Open.",
	},
	[AMQP_FIELD_USER] = {
		.name = "user", .label = "user", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 64,
		.help = "User by the SASL response, PLAIN's or AMQPLAIN's.",
	},
	[AMQP_FIELD_CHANNEL] = {
		.name = "channel", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP,
		.help = "Number of the channel; absent on the connection's own.",
	},
	[AMQP_FIELD_EXCHANGE] = {
		.name = "exchange", .label = "exchange",
		.attribute = "messaging.destination.name", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP, .max = 255,
		.help = "Exchange; empty: the default one. With Exchange.Bind the source.",
	},
	[AMQP_FIELD_ROUTING_KEY] = {
		.name = "routing_key", .label = "routing_key",
		.attribute = "messaging.rabbitmq.destination.routing_key", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP, .max = 255,
		.help = "Routing key.",
	},
	[AMQP_FIELD_QUEUE] = {
		.name = "queue", .label = "queue_name",
		.attribute = "messaging.rabbitmq.queue.name", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP, .max = 255,
		.help = "Queue.",
	},
	[AMQP_FIELD_CONSUMER_TAG] = {
		.name = "consumer_tag", .attribute = "messaging.rabbitmq.consumer.tag",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 255,
		.help = "Consumer that a message is delivered to, or that is begun or cancelled.",
	},
	[AMQP_FIELD_DELIVERY_TAG] = {
		.name = "delivery_tag", .attribute = "messaging.rabbitmq.message.delivery_tag",
		.type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_WIDE,
		.parent = TL_FIELD_TOP,
		.help = "Number of a delivery on its channel, or, in a confirm, of a publish.",
	},
	[AMQP_FIELD_MULTIPLE] = {
		.name = "multiple", .type = TL_FIELD_BOOL, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "All up to the delivery tag are meant.",
	},
	[AMQP_FIELD_REQUEUE] = {
		.name = "requeue", .type = TL_FIELD_BOOL, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "What isn't accepted goes back to its queue.",
	},
	[AMQP_FIELD_REDELIVERED] = {
		.name = "redelivered", .label = "redelivered", .type = TL_FIELD_BOOL,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP,
		.help = "The message was delivered before.",
	},
	[AMQP_FIELD_MANDATORY] = {
		.name = "mandatory", .type = TL_FIELD_BOOL, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP,
		.help = "The message is to be returned when no queue takes it.",
	},
	[AMQP_FIELD_MESSAGE_BYTES] = {
		.name = "message_bytes", .attribute = "messaging.message.body.size",
		.type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_WIDE |
			 TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP,
		.help = "Length of the message's body by its header.",
	},
	[AMQP_FIELD_REPLY_CODE] = {
		.name = "reply_code", .label = "reply_code", .attribute = "error.type",
		.type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP,
		.help = "Code of a Close or a Return: 200, 312, 404.",
	},
	[AMQP_FIELD_REPLY_TEXT] = {
		.name = "reply_text", .attribute = "error.message", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_HIGH, .flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP, .max = 255,
		.help = "Text beside the code, or the reason of Blocked and Update-Secret.",
	},
	[AMQP_FIELD_FAILED_METHOD] = {
		.name = "failed_method", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 48,
		.help = "Method that a Close blames.",
	},
	[AMQP_FIELD_MESSAGE_COUNT] = {
		.name = "message_count", .type = TL_FIELD_UINT,
		.cardinality = TL_CARDINALITY_HIGH, .flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP,
		.help = "Messages in the queue, or removed from it.",
	},
	[AMQP_FIELD_CONSUMER_COUNT] = {
		.name = "consumer_count", .type = TL_FIELD_UINT,
		.cardinality = TL_CARDINALITY_HIGH, .flags = TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP,
		.help = "Consumers of the queue.",
	},
	[AMQP_FIELD_PREFETCH] = {
		.name = "prefetch", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP,
		.help = "Deliveries that Qos allows to be outstanding.",
	},
	[AMQP_FIELD_EXCHANGE_TYPE] = {
		.name = "exchange_type", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 64,
		.help = "Type of the exchange declared: direct, topic, fanout, headers.",
	},
	[AMQP_FIELD_DESTINATION] = {
		.name = "destination", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_MIDDLE, .flags = TL_FIELD_REQUEST,
		.parent = TL_FIELD_TOP, .max = 255,
		.help = "Exchange that is bound to another.",
	},
	[AMQP_FIELD_CONTENT_TYPE] = {
		.name = "content_type", .label = "content_type", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 255,
		.help = "Property content-type.",
	},
	[AMQP_FIELD_CONTENT_ENCODING] = {
		.name = "content_encoding", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP, .max = 64,
		.help = "Property content-encoding.",
	},
	[AMQP_FIELD_HEADERS] = {
		.name = "headers", .type = TL_FIELD_MAP, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_SENSITIVE,
		.parent = TL_FIELD_TOP, .max = 256,
		.help = "Headers of the message, up to 32; numbers as text, tables and lists "
			"left out.",
	},
	[AMQP_FIELD_DELIVERY_MODE] = {
		.name = "delivery_mode", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "1: transient, 2: persistent.",
	},
	[AMQP_FIELD_PRIORITY] = {
		.name = "priority", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Property priority.",
	},
	[AMQP_FIELD_CORRELATION_ID] = {
		.name = "correlation_id", .attribute = "messaging.message.conversation_id",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 255,
		.help = "Property correlation-id.",
	},
	[AMQP_FIELD_REPLY_TO] = {
		.name = "reply_to", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 255,
		.help = "Property reply-to.",
	},
	[AMQP_FIELD_EXPIRATION] = {
		.name = "expiration", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 32,
		.help = "Property expiration, in milliseconds.",
	},
	[AMQP_FIELD_MESSAGE_ID] = {
		.name = "message_id", .attribute = "messaging.message.id", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_HIGH, .flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP, .max = 255,
		.help = "Property message-id.",
	},
	[AMQP_FIELD_TIMESTAMP] = {
		.name = "timestamp", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_WIDE,
		.parent = TL_FIELD_TOP,
		.help = "Property timestamp, in seconds since 1970.",
	},
	[AMQP_FIELD_TYPE] = {
		.name = "type", .label = "type", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 255,
		.help = "Property type.",
	},
	[AMQP_FIELD_USER_ID] = {
		.name = "user_id", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 255,
		.help = "Property user-id.",
	},
	[AMQP_FIELD_APP_ID] = {
		.name = "app_id", .label = "app_id", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 255,
		.help = "Property app-id.",
	},
	[AMQP_FIELD_MECHANISM] = {
		.name = "mechanism", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 128,
		.help = "SASL mechanisms offered, or the one chosen.",
	},
	[AMQP_FIELD_PRODUCT] = {
		.name = "product", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 128,
		.help = "Product by the properties of the server or the client.",
	},
	[AMQP_FIELD_PRODUCT_VERSION] = {
		.name = "product_version", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP, .max = 64,
		.help = "Its version.",
	},
	[AMQP_FIELD_CONNECTION_NAME] = {
		.name = "connection_name", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_HIGH, .flags = TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP, .max = 128,
		.help = "Name that the client gave its connection.",
	},
	[AMQP_FIELD_CHANNEL_MAX] = {
		.name = "channel_max", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Channels that Tune allows, 0: no limit.",
	},
	[AMQP_FIELD_FRAME_MAX] = {
		.name = "frame_max", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Bytes of a frame that Tune allows, 0: no limit.",
	},
	[AMQP_FIELD_HEARTBEAT] = {
		.name = "heartbeat", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Seconds between heartbeats that Tune asks for, 0: none.",
	},
};

static const char *const amqp_counters[AMQP_COUNTER_COUNT] = {
	[AMQP_COUNT_BAD_FRAME] = "bad_frame",
	[AMQP_COUNT_BAD_METHOD] = "bad_method",
	[AMQP_COUNT_UNKNOWN_METHOD] = "unknown_method",
	[AMQP_COUNT_LONG_METHOD] = "long_method",
	[AMQP_COUNT_BAD_CONTENT] = "bad_content",
	[AMQP_COUNT_STRAY_CONTENT] = "stray_content",
	[AMQP_COUNT_TOO_MANY_CONTENTS] = "too_many_contents",
	[AMQP_COUNT_CHANNELS_EVICTED] = "channels_evicted",
	[AMQP_COUNT_CONSUMERS_EVICTED] = "consumers_evicted",
	[AMQP_COUNT_UNMATCHED_CONFIRMS] = "unmatched_confirms",
	[AMQP_COUNT_UNMATCHED_RETURNS] = "unmatched_returns",
	[AMQP_COUNT_VERSION_REFUSED] = "version_refused",
};

static const uint16_t amqp_ports[] = {5672, 5673, 5674, 0};

extern const struct tl_decoder tl_decoder_amqp;

// OpenTelemetry, "RabbitMQ".
static const char *const span_names[] = {"{method} {exchange}", "{method} {queue}",
					 "{method} {routing_key}", "{method}", NULL};
static const struct tl_span_word operation_types[] = {
	{"Publish", "send"}, {"Get", "receive"}, {"Deliver", "process"}, {NULL, NULL},
};
static const struct tl_span_attribute span_attributes[] = {
	{.name = "messaging.system", .value = "rabbitmq"},
	{.name = "messaging.operation.type", .value = "{method}", .map = operation_types},
	{.name = "network.protocol.name", .value = "amqp"},
	// The later ones, where they say something, take the place of those before.
	{.name = "messaging.destination.name", .value = "{queue}"},
	{.name = "messaging.destination.name", .value = "{routing_key}"},
	{.name = "messaging.destination.name", .value = "{exchange}"},
	{.name = "messaging.destination.name", .value = "{exchange}:{routing_key}"},
	{.name = NULL},
};
static const struct tl_span_rules span_rules = {
	.kind = TL_SPAN_CLIENT, .consumer_if = "{method}", .consumer_is = "Deliver",
	.names = span_names, .attributes = span_attributes,
	.error_type = "{reply_code}",
};

const struct tl_decoder tl_decoder_amqp = {
	.name = "amqp",
	.title = "AMQP 0-9-1",
	.over = TL_OVER_TCP,
	.state_size = sizeof(struct amqp),
	.need_max = AMQP_NEED_BYTES_MAX,
	.room_size = sizeof(struct amqp_room),
	.timeout_s = 60,
	.ports = amqp_ports,
	.fields = amqp_fields,
	.field_count = AMQP_FIELD_COUNT,
	.counter_count = AMQP_COUNTER_COUNT,
	.counters = amqp_counters,
	.span = &span_rules,
	.status_help = "answers, confirms and acknowledgements ok, also Reject and Nack of a consumer and "
		       "Get-Empty; Close by its code: 200 ok, 320, 506, 541 server_error, others "
		       "client_error; a returned publish client_error; a Nack of the server "
		       "server_error",
	.match = tl_amqp_match,
	.step = tl_amqp_step,
	.gap = amqp_gap,
	.resync = tl_amqp_resync,
};

TL_DECODER_CHECK(struct amqp, AMQP_NEED_BYTES_MAX);
