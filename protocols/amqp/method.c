// SPDX-License-Identifier: Apache-2.0
// Sources: AMQP 0-9-1 specification and its XML description (amqp.org), RabbitMQ's "Protocol
// extensions" (rabbitmq.com/extensions.html) and its errata; class `access` is of AMQP 0-9, which
// RabbitMQ still takes.
#include "method.h"

#define NONE AMQP_USE_NONE
#define NO_WAIT {AMQP_BIT, AMQP_USE_NO_WAIT}
#define BIT {AMQP_BIT, NONE}
#define TABLE {AMQP_TABLE, NONE}
#define RESERVED_SHORT {AMQP_SHORT, NONE}
#define RESERVED_STRING {AMQP_SHORTSTR, NONE}
#define EXCHANGE {AMQP_SHORTSTR, AMQP_FIELD_EXCHANGE}
#define ROUTING_KEY {AMQP_SHORTSTR, AMQP_FIELD_ROUTING_KEY}
#define QUEUE {AMQP_SHORTSTR, AMQP_FIELD_QUEUE}
#define CONSUMER_TAG {AMQP_SHORTSTR, AMQP_FIELD_CONSUMER_TAG}
#define DELIVERY_TAG {AMQP_LONGLONG, AMQP_FIELD_DELIVERY_TAG}
#define MULTIPLE {AMQP_BIT, AMQP_FIELD_MULTIPLE}
#define REQUEUE {AMQP_BIT, AMQP_FIELD_REQUEUE}
#define REDELIVERED {AMQP_BIT, AMQP_FIELD_REDELIVERED}
#define MESSAGE_COUNT {AMQP_LONG, AMQP_FIELD_MESSAGE_COUNT}
#define REPLY {AMQP_SHORT, AMQP_FIELD_REPLY_CODE}, {AMQP_SHORTSTR, AMQP_FIELD_REPLY_TEXT}
#define FAILED {AMQP_SHORT, AMQP_USE_FAILED_CLASS}, {AMQP_SHORT, AMQP_USE_FAILED_METHOD}
#define LIMITS {AMQP_SHORT, AMQP_FIELD_CHANNEL_MAX}, {AMQP_LONG, AMQP_FIELD_FRAME_MAX}, \
	{AMQP_SHORT, AMQP_FIELD_HEARTBEAT}
#define CLIENT AMQP_FROM_CLIENT
#define SERVER AMQP_FROM_SERVER
#define BOTH AMQP_FROM_BOTH

static const struct amqp_method connection[] = {
	[10] = {"Start", AMQP_ASKS, SERVER, 0,
		{{AMQP_OCTET, NONE}, {AMQP_OCTET, NONE}, {AMQP_TABLE, AMQP_USE_PROPERTIES},
		 {AMQP_LONGSTR, AMQP_FIELD_MECHANISM}, {AMQP_LONGSTR, NONE}}},
	[11] = {"Start-Ok", AMQP_ANSWERS, CLIENT, 10,
		{{AMQP_TABLE, AMQP_USE_PROPERTIES}, {AMQP_SHORTSTR, AMQP_FIELD_MECHANISM},
		 {AMQP_LONGSTR, AMQP_USE_SASL}, {AMQP_SHORTSTR, NONE}}},
	[20] = {"Secure", AMQP_ASKS, SERVER, 0, {{AMQP_LONGSTR, NONE}}},
	[21] = {"Secure-Ok", AMQP_ANSWERS, CLIENT, 20, {{AMQP_LONGSTR, NONE}}},
	[30] = {"Tune", AMQP_ASKS, SERVER, 0, {LIMITS}},
	[31] = {"Tune-Ok", AMQP_ANSWERS, CLIENT, 30, {LIMITS}},
	[40] = {"Open", AMQP_ASKS, CLIENT, 0,
		{{AMQP_SHORTSTR, AMQP_FIELD_VHOST}, RESERVED_STRING, BIT}},
	[41] = {"Open-Ok", AMQP_ANSWERS, SERVER, 40, {RESERVED_STRING}},
	[50] = {"Close", AMQP_ASKS, BOTH, 0, {REPLY, FAILED}},
	[51] = {"Close-Ok", AMQP_ANSWERS, BOTH, 50, {{AMQP_END, NONE}}},
	[60] = {"Blocked", AMQP_TELLS, SERVER, 0, {{AMQP_SHORTSTR, AMQP_FIELD_REPLY_TEXT}}},
	[61] = {"Unblocked", AMQP_TELLS, SERVER, 0, {{AMQP_END, NONE}}},
	[70] = {"Update-Secret", AMQP_ASKS, CLIENT, 0,
		{{AMQP_LONGSTR, NONE}, {AMQP_SHORTSTR, AMQP_FIELD_REPLY_TEXT}}},
	[71] = {"Update-Secret-Ok", AMQP_ANSWERS, SERVER, 70, {{AMQP_END, NONE}}},
};

static const struct amqp_method channel[] = {
	[10] = {"Open", AMQP_ASKS, CLIENT, 0, {RESERVED_STRING}},
	[11] = {"Open-Ok", AMQP_ANSWERS, SERVER, 10, {{AMQP_LONGSTR, NONE}}},
	[20] = {"Flow", AMQP_ASKS, BOTH, 0, {BIT}},
	[21] = {"Flow-Ok", AMQP_ANSWERS, BOTH, 20, {BIT}},
	[40] = {"Close", AMQP_ASKS, BOTH, 0, {REPLY, FAILED}},
	[41] = {"Close-Ok", AMQP_ANSWERS, BOTH, 40, {{AMQP_END, NONE}}},
};

static const struct amqp_method access[] = {
	[10] = {"Request", AMQP_ASKS, CLIENT, 0, {RESERVED_STRING, BIT, BIT, BIT, BIT, BIT}},
	[11] = {"Request-Ok", AMQP_ANSWERS, SERVER, 10, {RESERVED_SHORT}},
};

static const struct amqp_method exchange[] = {
	[10] = {"Declare", AMQP_ASKS, CLIENT, 0,
		{RESERVED_SHORT, EXCHANGE, {AMQP_SHORTSTR, AMQP_FIELD_EXCHANGE_TYPE}, BIT, BIT, BIT,
		 BIT, NO_WAIT, TABLE}},
	[11] = {"Declare-Ok", AMQP_ANSWERS, SERVER, 10, {{AMQP_END, NONE}}},
	[20] = {"Delete", AMQP_ASKS, CLIENT, 0, {RESERVED_SHORT, EXCHANGE, BIT, NO_WAIT}},
	[21] = {"Delete-Ok", AMQP_ANSWERS, SERVER, 20, {{AMQP_END, NONE}}},
	[30] = {"Bind", AMQP_ASKS, CLIENT, 0,
		{RESERVED_SHORT, {AMQP_SHORTSTR, AMQP_FIELD_DESTINATION}, EXCHANGE, ROUTING_KEY,
		 NO_WAIT, TABLE}},
	[31] = {"Bind-Ok", AMQP_ANSWERS, SERVER, 30, {{AMQP_END, NONE}}},
	[40] = {"Unbind", AMQP_ASKS, CLIENT, 0,
		{RESERVED_SHORT, {AMQP_SHORTSTR, AMQP_FIELD_DESTINATION}, EXCHANGE, ROUTING_KEY,
		 NO_WAIT, TABLE}},
	[51] = {"Unbind-Ok", AMQP_ANSWERS, SERVER, 40, {{AMQP_END, NONE}}},
};

static const struct amqp_method queue[] = {
	[10] = {"Declare", AMQP_ASKS, CLIENT, 0,
		{RESERVED_SHORT, QUEUE, BIT, BIT, BIT, BIT, NO_WAIT, TABLE}},
	[11] = {"Declare-Ok", AMQP_ANSWERS, SERVER, 10,
		{QUEUE, MESSAGE_COUNT, {AMQP_LONG, AMQP_FIELD_CONSUMER_COUNT}}},
	[20] = {"Bind", AMQP_ASKS, CLIENT, 0,
		{RESERVED_SHORT, QUEUE, EXCHANGE, ROUTING_KEY, NO_WAIT, TABLE}},
	[21] = {"Bind-Ok", AMQP_ANSWERS, SERVER, 20, {{AMQP_END, NONE}}},
	[30] = {"Purge", AMQP_ASKS, CLIENT, 0, {RESERVED_SHORT, QUEUE, NO_WAIT}},
	[31] = {"Purge-Ok", AMQP_ANSWERS, SERVER, 30, {MESSAGE_COUNT}},
	[40] = {"Delete", AMQP_ASKS, CLIENT, 0, {RESERVED_SHORT, QUEUE, BIT, BIT, NO_WAIT}},
	[41] = {"Delete-Ok", AMQP_ANSWERS, SERVER, 40, {MESSAGE_COUNT}},
	[50] = {"Unbind", AMQP_ASKS, CLIENT, 0,
		{RESERVED_SHORT, QUEUE, EXCHANGE, ROUTING_KEY, TABLE}},
	[51] = {"Unbind-Ok", AMQP_ANSWERS, SERVER, 50, {{AMQP_END, NONE}}},
};

static const struct amqp_method basic[] = {
	[10] = {"Qos", AMQP_ASKS, CLIENT, 0,
		{{AMQP_LONG, NONE}, {AMQP_SHORT, AMQP_FIELD_PREFETCH}, BIT}},
	[11] = {"Qos-Ok", AMQP_ANSWERS, SERVER, 10, {{AMQP_END, NONE}}},
	[20] = {"Consume", AMQP_ASKS, CLIENT, 0,
		{RESERVED_SHORT, QUEUE, CONSUMER_TAG, BIT, {AMQP_BIT, AMQP_USE_NO_ACK}, BIT, NO_WAIT,
		 TABLE}},
	[21] = {"Consume-Ok", AMQP_ANSWERS, SERVER, 20, {CONSUMER_TAG}},
	[30] = {"Cancel", AMQP_ASKS, BOTH, 0, {CONSUMER_TAG, NO_WAIT}},
	[31] = {"Cancel-Ok", AMQP_ANSWERS, BOTH, 30, {CONSUMER_TAG}},
	[40] = {"Publish", AMQP_PUBLISH, CLIENT, 0,
		{RESERVED_SHORT, EXCHANGE, ROUTING_KEY, {AMQP_BIT, AMQP_FIELD_MANDATORY}, BIT}},
	[50] = {"Return", AMQP_RETURN, SERVER, 0, {REPLY, EXCHANGE, ROUTING_KEY}},
	[60] = {"Deliver", AMQP_DELIVER, SERVER, 0,
		{CONSUMER_TAG, DELIVERY_TAG, REDELIVERED, EXCHANGE, ROUTING_KEY}},
	[70] = {"Get", AMQP_ASKS, CLIENT, 0,
		{RESERVED_SHORT, QUEUE, {AMQP_BIT, AMQP_USE_NO_ACK}}},
	[71] = {"Get-Ok", AMQP_GET_OK, SERVER, 70,
		{DELIVERY_TAG, REDELIVERED, EXCHANGE, ROUTING_KEY, MESSAGE_COUNT}},
	[72] = {"Get-Empty", AMQP_ANSWERS, SERVER, 70, {RESERVED_STRING}},
	[80] = {"Ack", AMQP_ACK, BOTH, 0, {DELIVERY_TAG, MULTIPLE}},
	[90] = {"Reject", AMQP_REJECT, CLIENT, 0, {DELIVERY_TAG, REQUEUE}},
	[100] = {"Recover-Async", AMQP_TELLS, CLIENT, 0, {REQUEUE}},
	[110] = {"Recover", AMQP_ASKS, CLIENT, 0, {REQUEUE}},
	[111] = {"Recover-Ok", AMQP_ANSWERS, SERVER, 110, {{AMQP_END, NONE}}},
	[120] = {"Nack", AMQP_NACK, BOTH, 0, {DELIVERY_TAG, MULTIPLE, REQUEUE}},
};

static const struct amqp_method confirm[] = {
	[10] = {"Select", AMQP_ASKS, CLIENT, 0, {NO_WAIT}},
	[11] = {"Select-Ok", AMQP_ANSWERS, SERVER, 10, {{AMQP_END, NONE}}},
};

static const struct amqp_method tx[] = {
	[10] = {"Select", AMQP_ASKS, CLIENT, 0, {{AMQP_END, NONE}}},
	[11] = {"Select-Ok", AMQP_ANSWERS, SERVER, 10, {{AMQP_END, NONE}}},
	[20] = {"Commit", AMQP_ASKS, CLIENT, 0, {{AMQP_END, NONE}}},
	[21] = {"Commit-Ok", AMQP_ANSWERS, SERVER, 20, {{AMQP_END, NONE}}},
	[30] = {"Rollback", AMQP_ASKS, CLIENT, 0, {{AMQP_END, NONE}}},
	[31] = {"Rollback-Ok", AMQP_ANSWERS, SERVER, 30, {{AMQP_END, NONE}}},
};

struct class_row {
	const char *name;
	const struct amqp_method *methods;
	uint32_t count;
};

#define CLASS(name, methods) {name, methods, sizeof(methods) / sizeof((methods)[0])}

static const struct class_row *class_of(uint16_t id)
{
	static const struct class_row classes[] = {
		CLASS("Connection", connection), CLASS("Channel", channel), CLASS("Access", access),
		CLASS("Exchange", exchange),     CLASS("Queue", queue),     CLASS("Basic", basic),
		CLASS("Confirm", confirm),       CLASS("Tx", tx),
	};

	if (id == AMQP_CONFIRM)
		return &classes[6];
	if (id == AMQP_TX)
		return &classes[7];
	return id % 10 == 0 && id >= AMQP_CONNECTION && id <= AMQP_BASIC ? &classes[id / 10 - 1] : NULL;
}

const struct amqp_method *tl_amqp_method(uint16_t class_id, uint16_t method_id)
{
	const struct class_row *row = class_of(class_id);

	if (row == NULL || method_id >= row->count || row->methods[method_id].name == NULL)
		return NULL;
	return &row->methods[method_id];
}

const char *tl_amqp_class_name(uint16_t class_id)
{
	const struct class_row *row = class_of(class_id);

	return row == NULL ? NULL : row->name;
}

uint32_t tl_amqp_arguments(const struct amqp_method *method, struct tl_bytes bytes,
			   struct amqp_arguments *ret)
{
	struct tl_cursor c = tl_cursor(bytes);
	uint32_t bits = 0; // read of the octet `octet`
	uint8_t octet = 0;

	ret->method = method;
	ret->count = 0;
	for (uint32_t i = 0; i < AMQP_ARGUMENTS_MAX && method->arguments[i].type != AMQP_END; i++) {
		struct tl_bytes text = tl_bytes(NULL, 0);
		uint64_t number = 0;
		if (method->arguments[i].type != AMQP_BIT)
			bits = 0;
		switch ((enum amqp_type)method->arguments[i].type) {
		case AMQP_OCTET:
			number = tl_cursor_u8(&c);
			break;
		case AMQP_SHORT:
			number = tl_cursor_be16(&c);
			break;
		case AMQP_LONG:
			number = tl_cursor_be32(&c);
			break;
		case AMQP_LONGLONG:
			number = tl_cursor_be64(&c);
			break;
		case AMQP_SHORTSTR:
			text = tl_cursor_take(&c, tl_cursor_u8(&c));
			break;
		case AMQP_LONGSTR:
		case AMQP_TABLE:
			text = tl_cursor_take(&c, tl_cursor_be32(&c));
			break;
		case AMQP_BIT:
			octet = bits == 0 ? tl_cursor_u8(&c) : octet;
			number = octet >> bits++ & 1;
			break;
		case AMQP_END:
			break;
		}
		if (c.failed)
			return TL_BYTES_NONE;
		ret->values[i].text = text;
		ret->values[i].number = number;
		ret->count++;
	}
	return c.at;
}

uint64_t tl_amqp_number(const struct amqp_arguments *arguments, uint8_t use)
{
	for (uint32_t i = 0; i < arguments->count; i++)
		if (arguments->method->arguments[i].use == use)
			return arguments->values[i].number;
	return 0;
}

struct tl_bytes tl_amqp_text(const struct amqp_arguments *arguments, uint8_t use)
{
	for (uint32_t i = 0; i < arguments->count; i++)
		if (arguments->method->arguments[i].use == use)
			return arguments->values[i].text;
	return tl_bytes(NULL, 0);
}
