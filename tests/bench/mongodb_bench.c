// SPDX-License-Identifier: Apache-2.0
// What a find of one document by OP_MSG costs.
#include "talk.h"

#include "base/check.h"

// Messages end by their own length: the first four bytes are set here.
static void add_message(struct talk_text *text, const void *bytes, size_t len)
{
	uint32_t total = (uint32_t)len + 4;
	const uint8_t length[] = {(uint8_t)total, (uint8_t)(total >> 8), 0, 0};

	talk_add(text, length, sizeof(length));
	talk_add(text, bytes, len);
}

#define MESSAGE(text, literal) add_message(text, literal, sizeof(literal) - 1)

int main(int argc, char **argv)
{
	static struct talk_text find, found;

	// {find: "items", filter: {_id: 7}, limit: 1, $db: "shop"}
	MESSAGE(&find, "\1\0\0\0" "\0\0\0\0" "\xdd\7\0\0" "\0\0\0\0" "\0"
		       "\x44\0\0\0" "\2find\0\6\0\0\0items\0"
		       "\3filter\0\x0e\0\0\0\x10_id\0\7\0\0\0\0"
		       "\x10limit\0\1\0\0\0" "\2$db\0\5\0\0\0shop\0\0");
	// {cursor: {firstBatch: [{_id: 7}], id: 0, ns: "shop.items"}, ok: 1.0}
	MESSAGE(&found, "\2\0\0\0" "\1\0\0\0" "\xdd\7\0\0" "\0\0\0\0" "\0"
			"\x5f\0\0\0" "\3cursor\0\x46\0\0\0"
			"\4firstBatch\0\x16\0\0\0\3\x30\0\x0e\0\0\0\x10_id\0\7\0\0\0\0\0"
			"\x12id\0\0\0\0\0\0\0\0\0"
			"\2ns\0\x0b\0\0\0shop.items\0\0"
			"\1ok\0\0\0\0\0\0\0\xf0\x3f\0");
	const struct talk talks[] = {
		{
			.id = "mongodb_find",
			.of = "engine and metrics per find of one document, 50 connections",
			.port = 27017, .connections = 50, .roundtrips = 1,
			.repeat = {talk_packet(&find, TALK_CLIENT), talk_packet(&found, TALK_SERVER)},
		},
	};

	return talk_main(talks, TL_COUNT_OF(talks), argc, argv);
}
