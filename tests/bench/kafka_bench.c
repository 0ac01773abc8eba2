// SPDX-License-Identifier: Apache-2.0
// What small Produce requests of version 9 cost, eight in a segment and one at a time, and what a
// Fetch response of 1 MB does, whose records are skipped.
#include "talk.h"

#include "base/check.h"

#include <string.h>

#define DEPTH 8u
#define FETCHED_PACKETS 719u // 1 MB
#define FETCHED_BYTES (FETCHED_PACKETS * TALK_BYTES_MAX)
#define BATCHES 64u // 16 KB each, as producers make them at most by default
#define BATCH_HEAD 61u

static void put(uint8_t *to, uint64_t number, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		to[i] = (uint8_t)(number >> (8 * (size - 1 - i)));
}

static void be(struct talk_text *text, uint64_t number, uint32_t size)
{
	uint8_t bytes[8];

	put(bytes, number, size);
	talk_add(text, bytes, size);
}

// The head of a batch with one record and `size` bytes in all.
static void batch_head(uint8_t head[static BATCH_HEAD], uint32_t size)
{
	memset(head, 0, BATCH_HEAD);
	put(head + 8, size - 12, 4);
	head[16] = 2;
	put(head + 57, 1, 4);
}

// One record of 20 bytes, without headers.
static void produce(struct talk_text *text, uint32_t key)
{
	static const uint8_t record[] = {52, 0, 0, 0, 1, 40};
	uint8_t head[BATCH_HEAD];
	uint32_t begin = text->len;

	be(text, 0, 4);
	be(text, 0x00000009, 4); // Produce, version 9
	be(text, key, 4);
	be(text, 10, 2);
	talk_add(text, "producer-1", 10);
	be(text, 0, 2);           // no tagged fields, no transaction
	be(text, 1, 2);           // acks
	be(text, 30000, 4);
	be(text, 0x02, 1);        // a topic
	talk_add(text, "\7orders", 7);
	be(text, 0x02, 1);        // a partition
	be(text, 3, 4);
	be(text, BATCH_HEAD + 27 + 1, 1);
	batch_head(head, BATCH_HEAD + 27);
	talk_add(text, head, sizeof(head));
	talk_add(text, record, sizeof(record));
	talk_add(text, "01234567890123456789", 21); // with the number of headers, 0
	be(text, 0, 3);
	put(text->bytes + begin, text->len - begin - 4, 4);
}

static void produced(struct talk_text *text, uint32_t key)
{
	uint32_t begin = text->len;

	be(text, 0, 4);
	be(text, key, 4);
	be(text, 0, 1);
	be(text, 0x02, 1);
	talk_add(text, "\7orders", 7);
	be(text, 0x02, 1);
	be(text, 3, 4);
	be(text, 0, 2);
	be(text, 41, 8);
	be(text, UINT64_MAX, 8);
	be(text, 0, 8);
	be(text, 0x0100, 2); // no record errors, no message
	be(text, 0, 2);
	be(text, 0, 4);
	be(text, 0, 1);
	put(text->bytes + begin, text->len - begin - 4, 4);
}

static void fetch(struct talk_text *text)
{
	be(text, 0, 4);
	be(text, 0x00010004, 4);
	be(text, 1, 4);
	be(text, 10, 2);
	talk_add(text, "consumer-1", 10);
	be(text, UINT32_MAX, 4);
	be(text, 500, 4);
	be(text, 1, 4);
	be(text, 1 << 20, 4);
	be(text, 0, 1);
	be(text, 1, 4);
	be(text, 6, 2);
	talk_add(text, "orders", 6);
	be(text, 1, 4);
	be(text, 0, 4);
	be(text, 0, 8);
	be(text, 1 << 20, 4);
	put(text->bytes, text->len - 4, 4);
}

// A response that fills all its packets with batches.
static void fetched(uint8_t bytes[static FETCHED_BYTES])
{
	static struct talk_text head;

	be(&head, FETCHED_BYTES - 4, 4);
	be(&head, 1, 4);
	be(&head, 0, 4);
	be(&head, 1, 4);
	be(&head, 6, 2);
	talk_add(&head, "orders", 6);
	be(&head, 1, 4);
	be(&head, 0, 6);
	be(&head, 9, 8);
	be(&head, 9, 8);
	be(&head, 0, 4);
	uint32_t left = FETCHED_BYTES - head.len - 4;
	be(&head, left, 4);
	memset(bytes, 'r', FETCHED_BYTES);
	memcpy(bytes, head.bytes, head.len);
	for (uint32_t i = BATCHES; i != 0; i--) {
		batch_head(bytes + FETCHED_BYTES - left, left / i);
		left -= left / i;
	}
}

int main(int argc, char **argv)
{
	static struct talk_text many, answers, one, answer, ask;
	static uint8_t records[FETCHED_BYTES];

	for (uint32_t i = 0; i < DEPTH; i++) {
		produce(&many, i);
		produced(&answers, i);
	}
	produce(&one, 1);
	produced(&answer, 1);
	fetch(&ask);
	fetched(records);
	static struct talk talks[] = {
		{
			.id = "kafka_produce_8",
			.of = "engine and metrics per Produce request, 8 in a segment, 50 connections",
			.port = 9092, .connections = 50, .roundtrips = DEPTH,
		},
		{
			.id = "kafka_produce_1",
			.of = "engine and metrics per Produce request, one at a time, 50 connections",
			.port = 9092, .connections = 50, .roundtrips = 1,
		},
		{
			.id = "kafka_fetch_1mb",
			.of = "engine and metrics per Fetch whose response fills 719 segments",
			.port = 9092, .connections = 50, .roundtrips = 1,
		},
	};
	talks[0].repeat[0] = talk_packet(&many, TALK_CLIENT);
	talks[0].repeat[1] = talk_packet(&answers, TALK_SERVER);
	talks[1].repeat[0] = talk_packet(&one, TALK_CLIENT);
	talks[1].repeat[1] = talk_packet(&answer, TALK_SERVER);
	talks[2].repeat[0] = talk_packet(&ask, TALK_CLIENT);
	for (uint32_t i = 0; i < FETCHED_PACKETS; i++)
		talks[2].repeat[1 + i] = (struct talk_packet) {
			records + (size_t)i * TALK_BYTES_MAX, TALK_BYTES_MAX, TALK_SERVER};

	return talk_main(talks, TL_COUNT_OF(talks), argc, argv);
}
