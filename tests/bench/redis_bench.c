// SPDX-License-Identifier: Apache-2.0
// What a Redis GET of 16 bytes costs: 16 in a segment and their 16 replies in another, and one at a
// time.
#include "talk.h"

#include "base/check.h"

#define GET "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n"
#define VALUE "$16\r\n0123456789abcdef\r\n"
#define DEPTH 16u

int main(int argc, char **argv)
{
	static struct talk_text gets, values;

	for (uint32_t i = 0; i < DEPTH; i++) {
		talk_add(&gets, GET, sizeof(GET) - 1);
		talk_add(&values, VALUE, sizeof(VALUE) - 1);
	}
	const struct talk talks[] = {
		{
			.id = "redis_get_16",
			.of = "engine and metrics per GET, 16 in a segment, 50 connections",
			.port = 6379, .connections = 50, .roundtrips = DEPTH,
			.repeat = {talk_packet(&gets, TALK_CLIENT),
				   talk_packet(&values, TALK_SERVER)},
		},
		{
			.id = "redis_get_1",
			.of = "engine and metrics per GET, one at a time, 50 connections",
			.port = 6379, .connections = 50, .roundtrips = 1,
			.repeat = {{GET, sizeof(GET) - 1, TALK_CLIENT},
				   {VALUE, sizeof(VALUE) - 1, TALK_SERVER}},
		},
	};

	return talk_main(talks, TL_COUNT_OF(talks), argc, argv);
}
