// SPDX-License-Identifier: Apache-2.0
// What messages over AMQP 0-9-1 cost: a publish of 100 bytes with its confirm, one without, and a
// delivery with its acknowledgement.
#include "talk.h"

#include "base/check.h"

#define BODY 100u

static void add_frame(struct talk_text *text, uint8_t type, const void *payload, size_t len)
{
	const uint8_t head[] = {type, 0, 1, 0, 0, (uint8_t)(len >> 8), (uint8_t)len};

	talk_add(text, head, sizeof(head));
	talk_add(text, payload, len);
	talk_add(text, "\xce", 1);
}

#define METHOD(text, literal) add_frame(text, 1, literal, sizeof(literal) - 1)

static void add_content(struct talk_text *text)
{
	static const uint8_t body[BODY];
	static const uint8_t header[] = "\0\x3c\0\0\0\0\0\0\0\0\0\x64\x90\0\x0atext/plain\2";

	add_frame(text, 2, header, sizeof(header) - 1);
	add_frame(text, 3, body, sizeof(body));
}

int main(int argc, char **argv)
{
	static struct talk_text hello, select, selected, consume, consumed, publish, delivery, ack;

	talk_add(&hello, "AMQP\0\0\x09\x01", 8);
	METHOD(&select, "\0\x55\0\x0a\0");
	METHOD(&selected, "\0\x55\0\x0b");
	METHOD(&consume, "\0\x3c\0\x14\0\0\4work\3tag\0\0\0\0\0");
	METHOD(&consumed, "\0\x3c\0\x15\3tag");
	METHOD(&publish, "\0\x3c\0\x28\0\0\6orders\7created\0");
	add_content(&publish);
	METHOD(&delivery, "\0\x3c\0\x3c\3tag\0\0\0\0\0\0\0\1\0\6orders\7created");
	add_content(&delivery);
	METHOD(&ack, "\0\x3c\0\x50\0\0\0\0\0\0\0\0\1"); // all so far
	const struct talk talks[] = {
		{
			.id = "amqp_confirmed",
			.of = "engine and metrics per publish of 100 bytes with its confirm, 50 connections",
			.port = 5672, .connections = 50, .roundtrips = 1,
			.open = {talk_packet(&hello, TALK_CLIENT), talk_packet(&select, TALK_CLIENT),
				 talk_packet(&selected, TALK_SERVER)},
			.repeat = {talk_packet(&publish, TALK_CLIENT), talk_packet(&ack, TALK_SERVER)},
		},
		{
			.id = "amqp_publish",
			.of = "engine and metrics per publish of 100 bytes without confirm, 50 connections",
			.port = 5672, .connections = 50, .roundtrips = 1,
			.open = {talk_packet(&hello, TALK_CLIENT)},
			.repeat = {talk_packet(&publish, TALK_CLIENT)},
		},
		{
			.id = "amqp_delivery",
			.of = "engine and metrics per delivery of 100 bytes with its Ack, 50 connections",
			.port = 5672, .connections = 50, .roundtrips = 1,
			.open = {talk_packet(&hello, TALK_CLIENT), talk_packet(&consume, TALK_CLIENT),
				 talk_packet(&consumed, TALK_SERVER)},
			.repeat = {talk_packet(&delivery, TALK_SERVER), talk_packet(&ack, TALK_CLIENT)},
		},
	};

	return talk_main(talks, TL_COUNT_OF(talks), argc, argv);
}
