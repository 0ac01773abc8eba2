// SPDX-License-Identifier: Apache-2.0
#include "loss.h"

#include "base/check.h"
#include "l7/decoder.h"
#include "l7/field.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void loss_add(struct loss_text *text, const void *bytes, size_t len)
{
	TL_ASSERT(len <= sizeof(text->bytes) - text->len);
	memcpy(text->bytes + text->len, bytes, len);
	text->len += (uint32_t)len;
}

void loss_print(struct loss_text *text, const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	int len = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	TL_ASSERT(len >= 0 && (size_t)len < sizeof(line));
	loss_add(text, line, (size_t)len);
}

void loss_fill(struct loss_text *text, char byte, uint32_t count)
{
	TL_ASSERT(count <= sizeof(text->bytes) - text->len);
	memset(text->bytes + text->len, byte, count);
	text->len += count;
}

// ---- Numbers in records ------------------------------------------------------------------------

// The number behind the first "nonce" (in either case) of a half's texts.
static uint64_t nonce_of(struct tl_bytes tail)
{
	struct tl_value value;
	uint32_t at = 0;
	char text[16];

	while (tl_value_next(tail, &at, &value)) {
		for (uint32_t i = 0; i + 11 <= value.bytes.len; i++) {
			if (!tl_bytes_is_nocase(tl_bytes(value.bytes.ptr + i, 5), "nonce"))
				continue;
			memcpy(text, value.bytes.ptr + i + 5, 6);
			text[6] = '\0';
			return strtoull(text, NULL, 10);
		}
	}
	return LOSS_NO_NUMBER;
}

static uint64_t uint_of(struct tl_bytes tail, const struct tl_roundtrip *record, const char *name)
{
	const struct tl_decoder *decoder = tl_decoder_at(record->protocol);
	struct tl_value value;
	uint32_t at = 0;

	while (tl_value_next(tail, &at, &value))
		if (strcmp(decoder->fields[value.field].name, name) == 0)
			return tl_value_uint(&value);
	return LOSS_NO_NUMBER;
}

static bool is_command(const struct tl_roundtrip *record, const char *command)
{
	const struct tl_decoder *decoder = tl_decoder_at(record->protocol);
	struct tl_bytes tail = tl_roundtrip_request_tail(record);
	struct tl_value value;
	uint32_t at = 0;

	while (tl_value_next(tail, &at, &value))
		if (strcmp(decoder->fields[value.field].name, "command") == 0)
			return tl_bytes_is(value.bytes, command);
	return false;
}

static bool text_numbers(const struct tl_roundtrip *record, uint64_t *ret_asked,
			 uint64_t *ret_answered)
{
	*ret_asked = nonce_of(tl_roundtrip_request_tail(record));
	*ret_answered = nonce_of(tl_roundtrip_response_tail(record));
	return true;
}

// SQL: a statement's number is in its text; rows that were changed, or an error, repeat it.
static bool sql_numbers(const struct tl_roundtrip *record, uint64_t *ret_asked,
			uint64_t *ret_answered)
{
	if (is_command(record, "STARTUP") || is_command(record, "LOGIN"))
		return false;
	text_numbers(record, ret_asked, ret_answered);
	if (*ret_answered == LOSS_NO_NUMBER)
		*ret_answered =
			uint_of(tl_roundtrip_response_tail(record), record, "affected_rows");
	return true;
}

// ---- HTTP/1 ------------------------------------------------------------------------------------

static uint32_t http_unit(struct loss_random *r, uint32_t nonce, struct loss_text *ask,
			  struct loss_text *answer)
{
	static const uint32_t sizes[] = {0, 17, 700, 3000, 9000};
	uint32_t size = sizes[loss_random(r, TL_COUNT_OF(sizes))] * (loss_random(r, 4) == 0);
	uint32_t body = loss_random(r, 6) == 0 ? 1 + loss_random(r, 2500) : 0;

	loss_print(ask, "%s /nonce%06u HTTP/1.1\r\nHost: loss\r\n", body != 0 ? "POST" : "GET", nonce);
	if (body != 0)
		loss_print(ask, "Content-Length: %u\r\n", body);
	loss_print(ask, "\r\n");
	loss_fill(ask, 'b', body);
	loss_print(answer, "HTTP/1.1 200 OK\r\nX-Number: nonce%06u\r\n", nonce);
	if (loss_random(r, 3) != 0) {
		loss_print(answer, "Content-Length: %u\r\n\r\n", size);
		loss_fill(answer, 'a', size);
	} else {
		loss_print(answer, "Transfer-Encoding: chunked\r\n\r\n");
		if (size != 0)
			loss_print(answer, "%x\r\n", size);
		loss_fill(answer, 'c', size);
		loss_print(answer, "%s0\r\n\r\n", size != 0 ? "\r\n" : "");
	}
	return 1;
}

// ---- Redis -------------------------------------------------------------------------------------

// A GET whose value is as long as its key, or an unknown command whose error is its name.
static uint32_t redis_unit(struct loss_random *r, uint32_t nonce, struct loss_text *ask,
			   struct loss_text *answer)
{
	uint32_t len = 1 + loss_random(r, 600);

	if (loss_random(r, 3) == 0) {
		loss_print(ask, "*2\r\n$11\r\nnonce%06u\r\n$1\r\nx\r\n", nonce);
		loss_print(answer, "-NONCE%06u is unknown\r\n", nonce);
		return 1;
	}
	loss_print(ask, "*2\r\n$3\r\nGET\r\n$%u\r\n", len);
	loss_fill(ask, 'k', len);
	loss_print(ask, "\r\n");
	loss_print(answer, "$%u\r\n", len);
	loss_fill(answer, 'v', len);
	loss_print(answer, "\r\n");
	return 1;
}

static bool redis_numbers(const struct tl_roundtrip *record, uint64_t *ret_asked,
			  uint64_t *ret_answered)
{
	text_numbers(record, ret_asked, ret_answered);
	if (*ret_asked == LOSS_NO_NUMBER)
		*ret_asked = 1000000 + uint_of(tl_roundtrip_request_tail(record), record,
					       "argument_bytes");
	if (*ret_answered == LOSS_NO_NUMBER)
		*ret_answered = 1000000 + record->response.body_bytes;
	// What a hole cut short has no number.
	if (uint_of(tl_roundtrip_request_tail(record), record, "argument_bytes") == LOSS_NO_NUMBER)
		*ret_asked = LOSS_NO_NUMBER;
	return true;
}

// ---- PostgreSQL ----------------------------------------------------------------------------------

static void pg_message(struct loss_text *text, char type, const void *body, size_t len)
{
	uint32_t total = (uint32_t)len + 4;
	const uint8_t head[] = {(uint8_t)type, (uint8_t)(total >> 24), (uint8_t)(total >> 16),
				(uint8_t)(total >> 8), (uint8_t)total};

	loss_add(text, head + (type == 0), sizeof(head) - (type == 0));
	loss_add(text, body, len);
}

#define PG(text, type, literal) pg_message(text, type, literal, sizeof(literal) - 1)

static uint32_t pg_hello(uint32_t turn, struct loss_text *text)
{
	if (turn == 0) {
		PG(text, 0, "\0\3\0\0user\0loss\0\0");
		return 0;
	}
	PG(text, 'R', "\0\0\0\0");
	PG(text, 'K', "\0\0\x12\x34\1\2\3\4");
	PG(text, 'Z', "I");
	return 1;
}

// What one statement gets: rows and a tag that counts `nonce` of them, or an error. True: an error.
static bool pg_answer(struct loss_random *r, uint32_t nonce, struct loss_text *answer)
{
	uint8_t row[6 + 1400] = {0, 1};
	char text[80];

	if (loss_random(r, 5) == 0) {
		int len = snprintf(text, sizeof(text),
				   "SERROR%cVERROR%cC42P01%cMno relation nonce%06u%c", 0, 0, 0,
				   nonce, 0);
		pg_message(answer, 'E', text, (size_t)len + 1);
		return true;
	}
	uint32_t rows = loss_random(r, 3);
	if (rows != 0)
		PG(answer, 'T', "\0\1a\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\0");
	for (uint32_t i = 0; i < rows; i++) {
		uint32_t len = 1 + loss_random(r, loss_random(r, 8) == 0 ? 1400 : 40);
		row[4] = (uint8_t)(len >> 8);
		row[5] = (uint8_t)len;
		pg_message(answer, 'D', row, 6 + len);
	}
	int len = snprintf(text, sizeof(text), "UPDATE %u", nonce);
	pg_message(answer, 'C', text, (size_t)len + 1);
	return false;
}

static uint32_t pg_simple(struct loss_random *r, uint32_t nonce, struct loss_text *ask,
			  struct loss_text *answer)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "UPDATE nonce%06u SET a = 1", nonce);

	pg_message(ask, 'Q', text, (size_t)len + 1);
	(void)pg_answer(r, nonce, answer);
	PG(answer, 'Z', "I");
	return 1;
}

// Up to four statements, each parsed, bound and executed, and a Sync.
static uint32_t pg_extended(struct loss_random *r, uint32_t nonce, struct loss_text *ask,
			    struct loss_text *answer)
{
	uint32_t count = 1 + loss_random(r, 4) * loss_random(r, 2);
	bool has_failed = false;
	char text[64];

	for (uint32_t i = 0; i < count; i++) {
		int len = snprintf(text, sizeof(text), "%cUPDATE nonce%06u SET a = 1%c%c", 0, nonce + i,
				   0, 0);
		pg_message(ask, 'P', text, (size_t)len + 1);
		PG(ask, 'B', "\0\0\0\0\0\0\0\0");
		PG(ask, 'E', "\0\0\0\0\0");
		if (has_failed)
			continue;
		PG(answer, '1', "");
		PG(answer, '2', "");
		has_failed = pg_answer(r, nonce + i, answer);
	}
	PG(ask, 'S', "");
	PG(answer, 'Z', "I");
	return count;
}

static uint32_t pg_unit(struct loss_random *r, uint32_t nonce, struct loss_text *ask,
			struct loss_text *answer)
{
	return loss_random(r, 2) == 0 ? pg_simple(r, nonce, ask, answer)
				      : pg_extended(r, nonce, ask, answer);
}

// ---- MySQL ---------------------------------------------------------------------------------------

static void mysql_packet(struct loss_text *text, uint8_t sequence, const void *body, size_t len)
{
	const uint8_t head[] = {(uint8_t)len, (uint8_t)(len >> 8), 0, sequence};

	loss_add(text, head, sizeof(head));
	loss_add(text, body, len);
}

#define MYSQL(text, sequence, literal) mysql_packet(text, sequence, literal, sizeof(literal) - 1)

static uint32_t mysql_hello(uint32_t turn, struct loss_text *text)
{
	switch (turn) {
	case 0:
		MYSQL(text, 0,
		      "\x0a" "8.0.30\0\7\0\0\0abcdefgh\0\x09\xa2!\2\0(\0\x15\0\0\0\0\0\0\0\0\0\0"
		      "ijklmnopqrst\0mysql_native_password\0");
		return 0;
	case 1:
		MYSQL(text, 1,
		      "\x09\xa2(\0\0\0\0\1!\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0app\0"
		      "\x14ssssssssssssssssssss\0mysql_native_password\0");
		return 0;
	default:
		MYSQL(text, 2, "\0\0\0\2\0\0\0");
		return 1;
	}
}

static uint32_t mysql_unit(struct loss_random *r, uint32_t nonce, struct loss_text *ask,
			   struct loss_text *answer)
{
	char text[96];

	int len = snprintf(text, sizeof(text), "\3UPDATE nonce%06u SET a = 1", nonce);
	mysql_packet(ask, 0, text, (size_t)len);
	if (loss_random(r, 4) == 0) {
		len = snprintf(text, sizeof(text), "\xff\x7a\x04#42S02No table nonce%06u", nonce);
		mysql_packet(answer, 1, text, (size_t)len);
		return 1;
	}
	// OK: affected rows as a length-encoded number of three bytes, no insert id, no warnings.
	const uint8_t ok[] = {0, 0xfd, (uint8_t)nonce, (uint8_t)(nonce >> 8), (uint8_t)(nonce >> 16),
			      0, 2, 0, 0, 0};
	mysql_packet(answer, 1, ok, sizeof(ok));
	return 1;
}

// ---- Kafka ---------------------------------------------------------------------------------------

static void be(struct loss_text *text, uint64_t number, uint32_t size)
{
	for (uint32_t i = size; i != 0; i--) {
		uint8_t byte = 0; // before the number itself

		if (i <= sizeof(number))
			byte = (uint8_t)(number >> (8 * (i - 1)));
		loss_add(text, &byte, 1);
	}
}

// The length in front is written when what follows is there: gives where.
static uint32_t kafka_request(struct loss_text *text, uint32_t api, uint32_t version, uint32_t key)
{
	uint32_t at = text->len;

	be(text, 0, 4);
	be(text, api, 2);
	be(text, version, 2);
	be(text, key, 4);
	be(text, 4, 2);
	loss_add(text, "loss", 4);
	return at;
}

static uint32_t kafka_response(struct loss_text *text, uint32_t key)
{
	uint32_t at = text->len;

	be(text, 0, 4);
	be(text, key, 4);
	return at;
}

static void kafka_ends(struct loss_text *text, uint32_t at)
{
	uint32_t end = text->len;
	uint32_t size = end - at - 4;

	text->len = at;
	be(text, size, 4);
	text->len = end;
}

static uint32_t kafka_hello(uint32_t turn, struct loss_text *text)
{
	uint32_t at = turn == 0 ? kafka_request(text, 18, 0, 0) : kafka_response(text, 0);

	if (turn == 1)
		be(text, 0, 6);
	kafka_ends(text, at);
	return turn;
}

// An array with one topic and in it one partition.
static void kafka_topic(struct loss_text *text, uint32_t nonce)
{
	be(text, 1, 4);
	be(text, 11, 2);
	loss_print(text, "nonce%06u", nonce);
	be(text, 1, 4);
	be(text, 0, 4);
}

// Records of a batch with `size` bytes, whatever is in them.
static void kafka_records(struct loss_text *text, uint32_t size)
{
	be(text, 61 + size, 4);
	be(text, 0, 8);
	be(text, 49 + size, 4);
	be(text, 0, 4);
	be(text, 2, 1);
	be(text, 0, 4);
	be(text, 1, 2); // compressed
	be(text, 0, 34);
	be(text, 1, 4);
	loss_fill(text, 0, size);
}

// The topic of a request is its number, the time that its answer throttles for as well.
static uint32_t kafka_unit(struct loss_random *r, uint32_t nonce, struct loss_text *ask,
			   struct loss_text *answer)
{
	static const uint32_t sizes[] = {1, 40, 400, 1500, 5000};
	uint32_t size = sizes[loss_random(r, TL_COUNT_OF(sizes))];
	bool fetches = loss_random(r, 2) == 0;
	uint32_t request = kafka_request(ask, fetches, fetches ? 4 : 7, nonce);
	uint32_t response = kafka_response(answer, nonce);

	if (fetches) {
		be(ask, UINT32_MAX, 4);
		be(ask, 500, 4);
		be(ask, 0, 9);
		kafka_topic(ask, nonce);
		be(ask, 0, 12);
		be(answer, nonce, 4);
		kafka_topic(answer, nonce);
		be(answer, loss_random(r, 4) == 0, 2);
		be(answer, 0, 20);
		kafka_records(answer, size);
	} else {
		be(ask, UINT16_MAX, 2);
		be(ask, 1, 2);
		be(ask, 30000, 4);
		kafka_topic(ask, nonce);
		kafka_records(ask, size);
		kafka_topic(answer, nonce);
		be(answer, loss_random(r, 4) == 0 ? 6 : 0, 2);
		be(answer, 0, 24);
		be(answer, nonce, 4);
	}
	kafka_ends(ask, request);
	kafka_ends(answer, response);
	return 1;
}

static bool kafka_numbers(const struct tl_roundtrip *record, uint64_t *ret_asked,
			  uint64_t *ret_answered)
{
	struct tl_bytes tail = tl_roundtrip_response_tail(record);

	// Number 0 is the beginning.
	if (uint_of(tl_roundtrip_request_tail(record), record, "correlation_id") == 0)
		return false;
	*ret_asked = nonce_of(tl_roundtrip_request_tail(record));
	*ret_answered = uint_of(tail, record, "throttle_ms");
	if (*ret_answered == LOSS_NO_NUMBER)
		*ret_answered = nonce_of(tail);
	return true;
}

// ---- All -----------------------------------------------------------------------------------------

// ---- MongoDB -----------------------------------------------------------------------------------

static void le32(struct loss_text *text, uint32_t number)
{
	const uint8_t bytes[] = {(uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16),
				 (uint8_t)(number >> 24)};

	loss_add(text, bytes, sizeof(bytes));
}

// An OP_MSG of one document, whose elements are `len` bytes.
static void mongo_head(struct loss_text *text, uint32_t id, uint32_t answers, uint32_t len)
{
	le32(text, 16 + 4 + 1 + 4 + len + 1);
	le32(text, id);
	le32(text, answers);
	le32(text, 2013);
	le32(text, 0);
	loss_add(text, "", 1);
	le32(text, 4 + len + 1);
}

// A find in a collection named by the number, whose answer has the number as `n`.
static uint32_t mongodb_unit(struct loss_random *r, uint32_t nonce, struct loss_text *ask,
			     struct loss_text *answer)
{
	uint32_t fill = loss_random(r, 5) == 0 ? loss_random(r, 6000) : 0;

	mongo_head(ask, nonce + 1, 0, 10 + 11 + 12);
	loss_add(ask, "\2find\0\x0c\0\0\0", 10);
	loss_print(ask, "nonce%06u", nonce);
	loss_add(ask, "\0\2$db\0\2\0\0\0d\0\0", 13);
	mongo_head(answer, 0x40000000u + nonce, nonce + 1, 7 + 8 + fill + 12);
	loss_add(answer, "\x10n\0", 3);
	le32(answer, nonce);
	loss_add(answer, "\5x\0", 3);
	le32(answer, fill);
	loss_add(answer, "", 1);
	loss_fill(answer, 'f', fill);
	loss_add(answer, "\1ok\0\0\0\0\0\0\0\xf0\x3f\0", 13);
	return 1;
}

static bool mongodb_numbers(const struct tl_roundtrip *record, uint64_t *ret_asked,
			    uint64_t *ret_answered)
{
	*ret_asked = nonce_of(tl_roundtrip_request_tail(record));
	*ret_answered = uint_of(tl_roundtrip_response_tail(record), record, "n");
	return true;
}

// ---- AMQP --------------------------------------------------------------------------------------

// A queue named by the number is declared.
static uint32_t amqp_unit(struct loss_random *r, uint32_t nonce, struct loss_text *ask,
			  struct loss_text *answer)
{
	(void)r;
	loss_add(ask, "\1\0\1\0\0\0\x17\0\x32\0\x0a\0\0\x0b", 14);
	loss_print(ask, "nonce%06u", nonce);
	loss_add(ask, "\0\0\0\0\0\xce", 6);
	loss_add(answer, "\1\0\1\0\0\0\x18\0\x32\0\x0b\x0b", 12);
	loss_print(answer, "nonce%06u", nonce);
	loss_add(answer, "\0\0\0\0\0\0\0\0\xce", 9);
	return 1;
}

// A channel, confirms on it, a consumer that acknowledges.
static uint32_t amqp_hello(uint32_t turn, struct loss_text *text)
{
	if (turn == 0) {
		loss_add(text, "\1\0\1\0\0\0\5\0\x14\0\x0a\0\xce", 13);
		loss_add(text, "\1\0\1\0\0\0\5\0\x55\0\x0a\0\xce", 13);
		loss_add(text, "\1\0\1\0\0\0\x0f\0\x3c\0\x14\0\0\1q\1c\0\0\0\0\0\xce", 23);
		return 3;
	}
	loss_add(text, "\1\0\1\0\0\0\x08\0\x14\0\x0b\0\0\0\0\xce", 16);
	loss_add(text, "\1\0\1\0\0\0\4\0\x55\0\x0b\xce", 12);
	loss_add(text, "\1\0\1\0\0\0\6\0\x3c\0\x15\1c\xce", 14);
	return 0;
}

static void amqp_tag(struct loss_text *text, uint32_t tag)
{
	const uint8_t bytes[] = {0, 0, 0, 0, (uint8_t)(tag >> 24), (uint8_t)(tag >> 16),
				 (uint8_t)(tag >> 8), (uint8_t)tag};

	loss_add(text, bytes, sizeof(bytes));
}

// The header of a message, and its body in one frame.
static void amqp_content(struct loss_random *r, struct loss_text *text)
{
	static const uint32_t sizes[] = {0, 20, 700, 3000};
	uint32_t size = sizes[loss_random(r, TL_COUNT_OF(sizes))];
	const uint8_t body[] = {3, 0, 1, 0, 0, (uint8_t)(size >> 8), (uint8_t)size};

	loss_add(text, "\2\0\1\0\0\0\x0e\0\x3c\0\0", 11);
	amqp_tag(text, size);
	loss_add(text, "\0\0\xce", 3);
	if (size == 0)
		return;
	loss_add(text, body, sizeof(body));
	loss_fill(text, 'b', size);
	loss_add(text, "\xce", 1);
}

// An Ack, now and then a Nack.
static void amqp_settle(struct loss_random *r, struct loss_text *text, uint32_t tag)
{
	loss_add(text, "\1\0\1\0\0\0\x0d\0\x3c\0", 10);
	loss_add(text, loss_random(r, 5) == 0 ? "\x78" : "\x50", 1);
	amqp_tag(text, tag);
	loss_add(text, "\0\xce", 2);
}

// A publish with its number as routing key; its confirm counts the publishes of the channel.
static uint32_t amqp_publish(struct loss_random *r, uint32_t nonce, struct loss_text *ask,
			     struct loss_text *answer)
{
	loss_add(ask, "\1\0\1\0\0\0\x14\0\x3c\0\x28\0\0\0\x0b", 15);
	loss_print(ask, "nonce%06u", nonce);
	loss_add(ask, "\0\xce", 2);
	amqp_content(r, ask);
	amqp_settle(r, answer, nonce);
	return 1;
}

// A delivery; the client's Ack repeats its tag.
static uint32_t amqp_deliver(struct loss_random *r, uint32_t nonce, struct loss_text *ask,
			     struct loss_text *answer)
{
	loss_add(ask, "\1\0\1\0\0\0\x1c\0\x3c\0\x3c\1c", 13);
	amqp_tag(ask, nonce);
	loss_add(ask, "\0\0\x0b", 3);
	loss_print(ask, "nonce%06u", nonce);
	loss_add(ask, "\xce", 1);
	amqp_content(r, ask);
	amqp_settle(r, answer, nonce);
	return 1;
}

static bool amqp_numbers(const struct tl_roundtrip *record, uint64_t *ret_asked,
			 uint64_t *ret_answered)
{
	*ret_asked = nonce_of(tl_roundtrip_request_tail(record));
	*ret_answered = uint_of(tl_roundtrip_response_tail(record), record, "delivery_tag");
	return *ret_asked != LOSS_NO_NUMBER || *ret_answered != LOSS_NO_NUMBER; // no hello
}

const struct loss_dialect loss_dialects[] = {
	{.name = "mongodb", .port = 27017, .pipelines = true, .unit = mongodb_unit,
	 .numbers = mongodb_numbers},
	{.name = "amqp", .port = 5672, .unit = amqp_unit, .numbers = text_numbers},
	{.name = "amqp-confirms", .protocol = "amqp", .port = 5672, .pipelines = true, .counts = true,
	 .hello = amqp_hello, .hello_turns = 2, .hello_first = 0, .unit = amqp_publish,
	 .numbers = amqp_numbers},
	{.name = "amqp-deliveries", .protocol = "amqp", .port = 5672, .pipelines = true,
	 .asker = TL_SERVER, .hello = amqp_hello, .hello_turns = 2, .hello_first = 0,
	 .unit = amqp_deliver, .numbers = amqp_numbers},
	{.name = "http", .port = 80, .pipelines = true, .unit = http_unit, .numbers = text_numbers},
	{.name = "redis", .port = 6379, .pipelines = true, .unit = redis_unit,
	 .numbers = redis_numbers},
	{.name = "postgresql", .port = 5432, .pipelines = true, .hello = pg_hello, .hello_turns = 2,
	 .hello_first = 0, .unit = pg_unit, .numbers = sql_numbers},
	{.name = "mysql", .port = 3306, .pipelines = true, .hello = mysql_hello, .hello_turns = 3,
	 .hello_first = 1, .unit = mysql_unit, .numbers = sql_numbers},
	{.name = "kafka", .port = 9092, .pipelines = true, .hello = kafka_hello, .hello_turns = 2,
	 .hello_first = 0, .unit = kafka_unit, .numbers = kafka_numbers},
};

const uint32_t loss_dialect_count = TL_COUNT_OF(loss_dialects);
