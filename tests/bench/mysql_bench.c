// SPDX-License-Identifier: Apache-2.0
// What a point SELECT over MySQL costs: as sysbench's oltp_point_select sends it, as a text and
// prepared, and a result of a hundred rows, whose rows are only walked over.
#include "talk.h"

#include "base/check.h"

#include <string.h>

#define TEXT "SELECT c FROM sbtest1 WHERE id="
#define CELL "68487932199-96439406143-93774651418-41631865787-96406072701-20604855487-25459966574" \
	     "-28203206787-41238978918-19503783441"
#define ROWS 100u
#define LITERAL(text) text, sizeof(text) - 1

// A packet of the number behind the last one's; 0 begins anew.
static void add_packet(struct talk_text *text, uint8_t number, const void *body, size_t len)
{
	const uint8_t head[] = {(uint8_t)len, (uint8_t)(len >> 8), (uint8_t)(len >> 16), number};

	talk_add(text, head, sizeof(head));
	talk_add(text, body, len);
}

static uint8_t add_columns(struct talk_text *text)
{
	add_packet(text, 1, LITERAL("\1"));
	add_packet(text, 2, LITERAL("\3def\6sbtest\7sbtest1\7sbtest1\1c\1c\14\x21\0\x68\1\0\0\xfe\1\0\0\0"));
	add_packet(text, 3, LITERAL("\xfe\0\0\2\0"));
	return 4;
}

static void add_login(struct talk_text *hello, struct talk_text *login, struct talk_text *welcome)
{
	add_packet(hello, 0, LITERAL("\n8.0.36\0\7\0\0\0abcdefgh\0\xff\xf7\x21\2\0\xff\x80\25\0\0\0\0\0\0\0"
				     "\0\0\0ijklmnopqrst\0mysql_native_password\0"));
	add_packet(login, 1, LITERAL("\x0d\xa2\x0a\0\0\0\0\1\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
				     "\0sbtest\0\24ssssssssssssssssssss" "sbtest\0mysql_native_password\0"));
	add_packet(welcome, 2, LITERAL("\0\0\0\2\0\0\0"));
}

int main(int argc, char **argv)
{
	static struct talk_text hello, login, welcome, query, row, prepare, prepared, execute, executed;
	static struct talk_text rows;
	static const uint8_t cell[] = "\x77" CELL; // 119 bytes
	static const uint8_t binary[] = "\0\0\x77" CELL;

	add_login(&hello, &login, &welcome);
	add_packet(&query, 0, LITERAL("\3" TEXT "500234"));
	uint8_t number = add_columns(&row);
	add_packet(&row, number, cell, sizeof(cell) - 1);
	add_packet(&row, (uint8_t)(number + 1), LITERAL("\xfe\0\0\2\0"));
	add_packet(&prepare, 0, LITERAL("\x16" TEXT "?"));
	add_packet(&prepared, 1, LITERAL("\0\1\0\0\0\1\0\1\0\0\0\0"));
	add_packet(&prepared, 2, LITERAL("\3def\0\0\0\1?\0\14\x3f\0\0\0\0\0\xfd\x80\0\0\0\0"));
	add_packet(&prepared, 3, LITERAL("\xfe\0\0\2\0"));
	add_packet(&prepared, 4, LITERAL("\3def\6sbtest\7sbtest1\7sbtest1\1c\1c\14\x21\0\x68\1\0\0\xfe\1\0\0\0"));
	add_packet(&prepared, 5, LITERAL("\xfe\0\0\2\0"));
	add_packet(&execute, 0, LITERAL("\x17\1\0\0\0\0\1\0\0\0\0\1\3\0\xaa\xa1\7\0"));
	number = add_columns(&executed);
	add_packet(&executed, number, binary, sizeof(binary) - 1);
	add_packet(&executed, (uint8_t)(number + 1), LITERAL("\xfe\0\0\2\0"));
	number = add_columns(&rows);
	for (uint32_t i = 0; i < ROWS; i++)
		add_packet(&rows, number++, LITERAL("\6" "500234"));
	add_packet(&rows, number, LITERAL("\xfe\0\0\2\0"));
	const struct talk_packet at_login[] = {talk_packet(&hello, TALK_SERVER),
					       talk_packet(&login, TALK_CLIENT),
					       talk_packet(&welcome, TALK_SERVER)};
	struct talk talks[] = {
		{
			.id = "mysql_text",
			.of = "engine and metrics per point SELECT, COM_QUERY, 50 connections",
			.repeat = {talk_packet(&query, TALK_CLIENT), talk_packet(&row, TALK_SERVER)},
		},
		{
			.id = "mysql_prepared",
			.of = "engine and metrics per point SELECT, COM_STMT_EXECUTE, 50 connections",
			.repeat = {talk_packet(&execute, TALK_CLIENT),
				   talk_packet(&executed, TALK_SERVER)},
		},
		{
			.id = "mysql_rows",
			.of = "engine and metrics per SELECT of 100 rows, 50 connections",
			.repeat = {talk_packet(&query, TALK_CLIENT), talk_packet(&rows, TALK_SERVER)},
		},
	};
	for (uint32_t i = 0; i < TL_COUNT_OF(talks); i++) {
		talks[i].port = 3306;
		talks[i].connections = 50;
		talks[i].roundtrips = 1;
		memcpy(talks[i].open, at_login, sizeof(at_login));
	}
	talks[1].open[3] = talk_packet(&prepare, TALK_CLIENT);
	talks[1].open[4] = talk_packet(&prepared, TALK_SERVER);
	return talk_main(talks, TL_COUNT_OF(talks), argc, argv);
}
