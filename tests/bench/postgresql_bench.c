// SPDX-License-Identifier: Apache-2.0
// What a point SELECT over PostgreSQL costs, with the messages of pgbench's modes: simple, prepared
// (Bind, Describe, Execute, Sync), and eight of these in one segment.
#include "talk.h"

#include "base/check.h"

#define SELECT "SELECT abalance FROM pgbench_accounts WHERE aid = "
#define DEPTH 8u

// A message: its type (0: none, as at start-up), its length, its bytes.
static void add_message(struct talk_text *text, char type, const void *body, size_t len)
{
	uint32_t total = (uint32_t)len + 4;
	const uint8_t head[] = {(uint8_t)type, (uint8_t)(total >> 24), (uint8_t)(total >> 16),
				(uint8_t)(total >> 8), (uint8_t)total};

	talk_add(text, head + (type == 0), sizeof(head) - (type == 0));
	talk_add(text, body, len);
}

#define ADD(text, type, literal) add_message(text, type, literal, sizeof(literal) - 1)

static void add_row(struct talk_text *text)
{
	ADD(text, 'T', "\0\1abalance\0\0\0\x40\x0a\0\3\0\0\0\x17\0\4\xff\xff\xff\xff\0\0");
	ADD(text, 'D', "\0\1\0\0\0\5-4711");
	ADD(text, 'C', "SELECT 1\0");
}

int main(int argc, char **argv)
{
	static struct talk_text hello, welcome, parse, parsed, query, row;
	static struct talk_text execute, executed, many, answers;

	ADD(&hello, 0, "\0\3\0\0user\0bench\0database\0bench\0application_name\0pgbench\0\0");
	ADD(&welcome, 'R', "\0\0\0\0");
	ADD(&welcome, 'S', "server_version\00015.14\0");
	ADD(&welcome, 'K', "\0\0\x12\x34\1\2\3\4");
	ADD(&welcome, 'Z', "I");
	ADD(&parse, 'P', "P_0\0" SELECT "$1;\0\0\0");
	ADD(&parse, 'S', "");
	ADD(&parsed, '1', "");
	ADD(&parsed, 'Z', "I");
	ADD(&query, 'Q', SELECT "4242;\0");
	add_row(&row);
	ADD(&row, 'Z', "I");
	for (uint32_t i = 0; i < DEPTH; i++) {
		struct talk_text *to[] = {&execute, &many};
		struct talk_text *from[] = {&executed, &answers};
		for (uint32_t k = i == 0 ? 0 : 1; k < TL_COUNT_OF(to); k++) {
			ADD(to[k], 'B', "\0P_0\0\0\0\0\1\0\0\0\0044242\0\0");
			ADD(to[k], 'D', "P\0");
			ADD(to[k], 'E', "\0\0\0\0\0");
			ADD(from[k], '2', "");
			add_row(from[k]);
		}
	}
	ADD(&execute, 'S', "");
	ADD(&executed, 'Z', "I");
	ADD(&many, 'S', "");
	ADD(&answers, 'Z', "I");
	const struct talk talks[] = {
		{
			.id = "postgresql_simple",
			.of = "engine and metrics per point SELECT, simple query, 50 connections",
			.port = 5432, .connections = 50, .roundtrips = 1,
			.open = {talk_packet(&hello, TALK_CLIENT),
				 talk_packet(&welcome, TALK_SERVER)},
			.repeat = {talk_packet(&query, TALK_CLIENT),
				   talk_packet(&row, TALK_SERVER)},
		},
		{
			.id = "postgresql_prepared",
			.of = "engine and metrics per point SELECT, prepared, 50 connections",
			.port = 5432, .connections = 50, .roundtrips = 1,
			.open = {talk_packet(&hello, TALK_CLIENT),
				 talk_packet(&welcome, TALK_SERVER),
				 talk_packet(&parse, TALK_CLIENT),
				 talk_packet(&parsed, TALK_SERVER)},
			.repeat = {talk_packet(&execute, TALK_CLIENT),
				   talk_packet(&executed, TALK_SERVER)},
		},
		{
			.id = "postgresql_pipeline",
			.of = "engine and metrics per point SELECT, 8 prepared ones in a segment",
			.port = 5432, .connections = 50, .roundtrips = DEPTH,
			.open = {talk_packet(&hello, TALK_CLIENT),
				 talk_packet(&welcome, TALK_SERVER),
				 talk_packet(&parse, TALK_CLIENT),
				 talk_packet(&parsed, TALK_SERVER)},
			.repeat = {talk_packet(&many, TALK_CLIENT),
				   talk_packet(&answers, TALK_SERVER)},
		},
	};

	return talk_main(talks, TL_COUNT_OF(talks), argc, argv);
}
