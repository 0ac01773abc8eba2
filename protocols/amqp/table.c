// SPDX-License-Identifier: Apache-2.0
// Properties of messages, and the field tables in which headers and the peers' own words come.
// Types of values: the 0-9-1 specification with RabbitMQ's errata ("AMQP 0-9-1 Errata", section 3).
#include "state.h"

#include "l7/trace.h"

#define NUMBER_BYTES_MAX 21u // of 64 bits in decimal, with a sign

struct item {
	struct tl_bytes name;
	uint8_t type;
	struct tl_bytes value; // without the length of strings and tables
};

// Bytes of a value of fixed length; 0: it says its length itself, or the type isn't known.
static uint32_t fixed_len(uint8_t type)
{
	switch (type) {
	case 't':
	case 'b':
	case 'B':
		return 1;
	case 's':
	case 'u':
	case 'U':
		return 2;
	case 'I':
	case 'i':
	case 'f':
		return 4;
	case 'D':
		return 5;
	case 'l':
	case 'L':
	case 'd':
	case 'T':
		return 8;
	default:
		return 0;
	}
}

static bool next_item(struct tl_cursor *c, struct item *ret)
{
	if (tl_cursor_left(c) == 0)
		return false;
	ret->name = tl_cursor_take(c, tl_cursor_u8(c));
	ret->type = tl_cursor_u8(c);
	uint32_t len = fixed_len(ret->type);
	if (len != 0)
		ret->value = tl_cursor_take(c, len);
	else if (ret->type == 'S' || ret->type == 'x' || ret->type == 'A' || ret->type == 'F')
		ret->value = tl_cursor_take(c, tl_cursor_be32(c));
	else if (ret->type == 'V')
		ret->value = tl_bytes(NULL, 0);
	else
		c->failed = true; // how long it is can't be told
	return !c->failed;
}

// In decimal, at the end of `room`.
static struct tl_bytes number_text(uint64_t number, bool is_negative, char room[NUMBER_BYTES_MAX])
{
	uint32_t at = NUMBER_BYTES_MAX;

	number = is_negative ? 0 - number : number;
	do {
		room[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	if (is_negative)
		room[--at] = '-';
	return tl_bytes(room + at, NUMBER_BYTES_MAX - at);
}

static struct tl_bytes signed_text(int64_t number, char room[NUMBER_BYTES_MAX])
{
	return number_text((uint64_t)number, number < 0, room);
}

// The value as text, in `room` or where it lies. False: it is no plain value.
static bool item_text(const struct item *item, char room[NUMBER_BYTES_MAX], struct tl_bytes *ret)
{
	const uint8_t *p = item->value.ptr;

	switch (item->type) {
	case 'S':
		*ret = item->value;
		return true;
	case 't':
		*ret = tl_bytes_of(p[0] != 0 ? "true" : "false");
		return true;
	case 'b':
		*ret = signed_text((int8_t)p[0], room);
		return true;
	case 'B':
		*ret = number_text(p[0], false, room);
		return true;
	case 's':
	case 'U':
		*ret = signed_text((int16_t)tl_load_be16(p), room);
		return true;
	case 'u':
		*ret = number_text(tl_load_be16(p), false, room);
		return true;
	case 'I':
		*ret = signed_text((int32_t)tl_load_be32(p), room);
		return true;
	case 'i':
		*ret = number_text(tl_load_be32(p), false, room);
		return true;
	case 'l':
	case 'L':
		*ret = signed_text((int64_t)tl_load_be64(p), room);
		return true;
	case 'T':
		*ret = number_text(tl_load_be64(p), false, room);
		return true;
	default:
		return false;
	}
}

static void note_trace(struct amqp_call *call, const struct item *item)
{
	struct tl_trace trace = {0};

	if (item->type != 'S')
		return;
	if ((tl_bytes_is_nocase(item->name, "traceparent") &&
	     tl_trace_from_traceparent(item->value, &trace)) ||
	    (tl_bytes_is_nocase(item->name, "b3") && tl_trace_from_b3(item->value, &trace)))
		tl_message_trace(call->ctx, call->lane, &trace);
}

static void record_headers(struct amqp_call *call, struct tl_bytes table)
{
	struct tl_cursor c = tl_cursor(table);
	struct tl_bytes text;
	struct item item;
	char room[NUMBER_BYTES_MAX];

	for (uint32_t i = 0; i < AMQP_HEADERS_MAX && next_item(&c, &item); i++) {
		note_trace(call, &item);
		if (item_text(&item, room, &text))
			tl_message_pair(call->ctx, call->lane, AMQP_FIELD_HEADERS, item.name, text);
	}
}

void tl_amqp_record_peer(struct amqp_call *call, struct tl_bytes table)
{
	static const struct {
		const char *name;
		uint8_t field;
	} wanted[] = {
		{"product", AMQP_FIELD_PRODUCT},
		{"version", AMQP_FIELD_PRODUCT_VERSION},
		{"connection_name", AMQP_FIELD_CONNECTION_NAME},
	};
	struct tl_cursor c = tl_cursor(table);
	struct item item;

	for (uint32_t i = 0; i < AMQP_TABLE_ITEMS_MAX && next_item(&c, &item); i++)
		for (uint32_t k = 0; item.type == 'S' && k < sizeof(wanted) / sizeof(wanted[0]); k++)
			if (tl_bytes_is(item.name, wanted[k].name))
				tl_message_text(call->ctx, call->lane, wanted[k].field, item.value);
}

struct tl_bytes tl_amqp_user(struct tl_bytes mechanism, struct tl_bytes response)
{
	const struct tl_bytes none = tl_bytes(NULL, 0);

	if (tl_bytes_is(mechanism, "PLAIN")) {
		uint32_t begin = tl_bytes_find(response, 0, 0);
		uint32_t end = begin == TL_BYTES_NONE ? begin : tl_bytes_find(response, 0, begin + 1);
		return end == TL_BYTES_NONE
			       ? none
			       : tl_bytes(response.ptr + begin + 1, end - begin - 1);
	}
	if (tl_bytes_is(mechanism, "AMQPLAIN")) {
		struct tl_cursor c = tl_cursor(response);
		struct item item;
		for (uint32_t i = 0; i < AMQP_TABLE_ITEMS_MAX && next_item(&c, &item); i++)
			if (item.type == 'S' && tl_bytes_is(item.name, "LOGIN"))
				return item.value;
	}
	return none;
}

// ---- Properties -----------------------------------------------------------------------------

// In the order of their bits, from the highest down; what isn't kept is read over.
static const struct {
	uint8_t type; // enum amqp_type
	uint8_t field;
} properties[] = {
	{AMQP_SHORTSTR, AMQP_FIELD_CONTENT_TYPE},
	{AMQP_SHORTSTR, AMQP_FIELD_CONTENT_ENCODING},
	{AMQP_TABLE, AMQP_FIELD_HEADERS},
	{AMQP_OCTET, AMQP_FIELD_DELIVERY_MODE},
	{AMQP_OCTET, AMQP_FIELD_PRIORITY},
	{AMQP_SHORTSTR, AMQP_FIELD_CORRELATION_ID},
	{AMQP_SHORTSTR, AMQP_FIELD_REPLY_TO},
	{AMQP_SHORTSTR, AMQP_FIELD_EXPIRATION},
	{AMQP_SHORTSTR, AMQP_FIELD_MESSAGE_ID},
	{AMQP_LONGLONG, AMQP_FIELD_TIMESTAMP},
	{AMQP_SHORTSTR, AMQP_FIELD_TYPE},
	{AMQP_SHORTSTR, AMQP_FIELD_USER_ID},
	{AMQP_SHORTSTR, AMQP_FIELD_APP_ID},
	{AMQP_SHORTSTR, AMQP_USE_NONE}, // was cluster-id
};

static void record_property(struct amqp_call *call, struct tl_cursor *c, uint8_t type, uint8_t field)
{
	struct tl_bytes text = tl_bytes(NULL, 0);
	uint64_t number = 0;

	if (type == AMQP_OCTET)
		number = tl_cursor_u8(c);
	else if (type == AMQP_LONGLONG)
		number = tl_cursor_be64(c);
	else if (type == AMQP_SHORTSTR)
		text = tl_cursor_take(c, tl_cursor_u8(c));
	else
		text = tl_cursor_take(c, tl_cursor_be32(c));
	if (c->failed || field == AMQP_USE_NONE)
		return;
	if (type == AMQP_TABLE)
		record_headers(call, text);
	else if (type == AMQP_SHORTSTR)
		tl_message_text(call->ctx, call->lane, field, text);
	else
		tl_message_uint(call->ctx, call->lane, field, number);
}

void tl_amqp_record_properties(struct amqp_call *call, struct tl_bytes payload)
{
	struct tl_cursor c = tl_cursor(payload);
	uint16_t flags = tl_cursor_be16(&c);

	// The lowest bit announces more flags; no property is defined behind the first fourteen.
	for (uint16_t more = flags; (more & 1) != 0 && !c.failed;)
		more = tl_cursor_be16(&c);
	for (uint32_t i = 0; i < sizeof(properties) / sizeof(properties[0]) && !c.failed; i++)
		if ((flags >> (15 - i) & 1) != 0)
			record_property(call, &c, properties[i].type, properties[i].field);
}
