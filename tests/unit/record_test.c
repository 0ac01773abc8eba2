// SPDX-License-Identifier: Apache-2.0
// Lines of records against the library that wrote them once and reads them still: a line read by it
// and written again is the same, and a half is what its objects make of the same values.
#include "base/check.h"
#include "base/json.h"
#include "exporters/record/half.h"
#include "exporters/record/record.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TAIL_BYTES 8192u
#define LAYOUT (JSON_COMPACT | JSON_PRESERVE_ORDER)

static uint64_t seed = 4711;

static uint32_t draw(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(seed >> 33) % below;
}

// ---- Texts ---------------------------------------------------------------------------------------

static void is_as_the_library_writes(const uint8_t *bytes, uint32_t len, bool is_cut)
{
	struct tl_text line = {0}, utf8 = {0};

	// Of exactly this size: a sanitizer sees a read beyond it.
	uint8_t *copy = malloc(len == 0 ? 1 : len);
	assert_non_null(copy);
	if (len != 0)
		memcpy(copy, bytes, len);
	tl_json_string(&line, tl_bytes(copy, len), is_cut);
	tl_text_utf8(&utf8, tl_bytes(copy, len), is_cut);
	json_t *value = json_stringn(utf8.data == NULL ? "" : utf8.data, utf8.len);
	char *want = json_dumps(value, JSON_ENCODE_ANY);
	assert_non_null(want);
	assert_string_equal(line.data, want);
	assert_int_equal(line.len, strlen(want));
	free(want);
	json_decref(value);
	free(copy);
	tl_text_free(&line);
	tl_text_free(&utf8);
}

static void every_byte_at_every_place(void **state)
{
	uint8_t bytes[20] = {0};

	(void)state;
	is_as_the_library_writes(bytes, 0, false);
	for (uint32_t len = 1; len <= sizeof(bytes); len++)
		for (uint32_t at = 0; at < len; at++)
			for (uint32_t byte = 0; byte < 256; byte++) {
				memset(bytes, 'a', sizeof(bytes));
				bytes[at] = (uint8_t)byte;
				is_as_the_library_writes(bytes, len, byte % 2 == 0);
			}
}

// Every beginning of a longer character, and of what only looks like one, at the end of a text and
// in its middle.
static void characters_are_cut_and_broken(void **state)
{
	static const char *const pieces[] = {
		"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\xa0\x80", "\xc0\xaf",
		"\xe0\x80\xaf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\x80", "\xef\xbf\xbd",
		"\"", "\\", "\n", "\x01", "\x7f", "/", "plain text",
	};
	uint8_t text[200];

	(void)state;
	for (uint32_t round = 0; round < 20000; round++) {
		uint32_t len = draw(12);
		memset(text, 'x', len);
		for (uint32_t count = draw(8); count != 0; count--) {
			const char *piece = pieces[draw(TL_COUNT_OF(pieces))];
			uint32_t part = 1 + draw((uint32_t)strlen(piece));
			memcpy(text + len, piece, part);
			len += part;
		}
		is_as_the_library_writes(text, len, draw(2) == 0);
	}
}

static void long_texts(void **state)
{
	enum { LEN = 65535 };
	uint8_t *text = malloc(LEN);

	(void)state;
	assert_non_null(text);
	memset(text, 'a', LEN);
	is_as_the_library_writes(text, LEN, true);
	memset(text, 1, LEN); // the most that escapes can take
	is_as_the_library_writes(text, LEN, true);
	memset(text, 0xff, LEN);
	is_as_the_library_writes(text, LEN, false);
	for (uint32_t i = 0; i < LEN; i++)
		text[i] = (uint8_t)draw(256);
	is_as_the_library_writes(text, LEN, true);
	free(text);
}

// ---- Halves --------------------------------------------------------------------------------------

// What half.c takes for granted of every table.
static void tables_fit(const struct tl_decoder *decoder, enum tl_field_flag side)
{
	static const char *const own[] = {"time", "bytes", "body_bytes"};

	for (uint32_t a = 0; a < decoder->field_count; a++) {
		const struct tl_field *field = &decoder->fields[a];
		size_t len = strlen(field->name);
		assert_true(strcspn(field->name, "\"\\") == len && len < 50);
		assert_true(field->attribute == NULL || field->type != TL_FIELD_REAL);
		if ((field->flags & side) == 0)
			continue;
		for (size_t i = 0; i < TL_COUNT_OF(own); i++)
			assert_true(field->parent != TL_FIELD_TOP || strcmp(field->name, own[i]) != 0);
		for (uint32_t b = 0; b < decoder->field_count; b++) {
			const struct tl_field *other = &decoder->fields[b];
			if (a == b || (other->flags & side) == 0 || other->parent != field->parent)
				continue;
			if (strncmp(other->name, field->name, len) == 0 &&
			    (other->name[len] == '\0' || strcmp(other->name + len, "_length") == 0))
				fail_msg("%s: %s and %s", decoder->name, field->name, other->name);
		}
	}
}

static void tables_have_one_field_per_name(void **state)
{
	(void)state;
	for (uint16_t id = 1; tl_decoder_at(id) != NULL; id++) {
		tables_fit(tl_decoder_at(id), TL_FIELD_REQUEST);
		tables_fit(tl_decoder_at(id), TL_FIELD_RESPONSE);
	}
}

static uint8_t *put_drawn(uint8_t *at, const struct tl_field *field, uint8_t id)
{
	static const char *const texts[] = {
		"", "a", "GET", "caf\xc3\xa9", "tab\there", "cut \xe2\x82", "\xff\xfe", "x-name",
		"a longer text that takes more than two words", "\"quoted\"\\",
	};
	static const uint64_t numbers[] = {
		0, 1, 9, 10, 99, 4711, INT64_MAX, UINT64_MAX, UINT64_MAX - 9};
	uint64_t number = numbers[draw(TL_COUNT_OF(numbers))];
	uint8_t *head = at;
	char value[128];
	struct tl_value_head filled;

	switch (field->type) {
	case TL_FIELD_OBJECTS:
		return tl_value_put(at, id, tl_bytes(NULL, 0));
	case TL_FIELD_MAP: {
		// Few names, so that some come twice; one in eight values has none.
		int letters = draw(8) == 0 ? 5 : 0;
		int len = snprintf(value, sizeof(value), "%.*s%u%c%s", letters, "caf\xc3\xa9",
				   draw(20), draw(8) == 0 ? ' ' : '\0',
				   texts[draw(TL_COUNT_OF(texts))]);
		at = tl_value_put(at, id, tl_bytes(value, (uint32_t)len));
		break;
	}
	case TL_FIELD_TEXT:
	case TL_FIELD_BYTES:
		at = tl_value_put(at, id, tl_bytes_of(texts[draw(TL_COUNT_OF(texts))]));
		break;
	default:
		at = tl_value_put(at, id, tl_bytes(&number, sizeof(number)));
	}
	if (draw(6) == 0) { // it was longer on the wire
		memcpy(&filled, head, sizeof(filled));
		filled.full_len += 1 + draw(100000);
		memcpy(head, &filled, sizeof(filled));
	}
	return at;
}

// Values as a decoder sets them: of this half, in the order of the table, objects with members.
static uint8_t *put_orderly(const struct tl_decoder *decoder, enum tl_field_flag side, uint8_t *at)
{
	for (uint8_t id = 0; id < decoder->field_count; id++) {
		const struct tl_field *field = &decoder->fields[id];
		if ((field->flags & side) == 0 || field->parent != TL_FIELD_TOP || draw(3) == 0)
			continue;
		bool is_list = field->type == TL_FIELD_MAP || field->type == TL_FIELD_OBJECTS ||
			       (field->flags & TL_FIELD_REPEATED) != 0;
		for (uint32_t count = is_list ? draw(4) : 1; count != 0; count--) {
			at = put_drawn(at, field, id);
			if (field->type != TL_FIELD_OBJECTS)
				continue;
			for (uint8_t m = 0; m < decoder->field_count; m++)
				if (decoder->fields[m].parent == id && draw(3) != 0)
					at = put_drawn(at, &decoder->fields[m], m);
		}
	}
	return at;
}

// Any values in any order, of no field too.
static uint8_t *put_disorderly(const struct tl_decoder *decoder, uint8_t *at)
{
	static const struct tl_field none = {.type = TL_FIELD_TEXT};

	for (uint32_t count = draw(12); count != 0; count--) {
		uint8_t id = (uint8_t)draw(decoder->field_count + 2u);
		at = put_drawn(at, id < decoder->field_count ? &decoder->fields[id] : &none, id);
	}
	return at;
}

static void halves_are_as_the_library_writes(void **state)
{
	static uint8_t tail[TAIL_BYTES];
	struct tl_text line = {0}, want = {0};

	(void)state;
	for (uint32_t round = 0; round < 3000; round++)
		for (uint16_t id = 1; tl_decoder_at(id) != NULL; id++) {
			const struct tl_decoder *decoder = tl_decoder_at(id);
			enum tl_field_flag side = draw(2) == 0 ? TL_FIELD_REQUEST : TL_FIELD_RESPONSE;
			uint8_t *end = draw(3) != 0 ? put_orderly(decoder, side, tail)
						    : put_disorderly(decoder, tail);
			struct tl_bytes values = tl_bytes(tail, (uint32_t)(end - tail));
			const struct tl_half half = {
				.seen = 1, .first_ns = seed, .bytes = seed,
				.body_bytes = seed >> draw(64)};
			assert_in_range(values.len, 0, sizeof(tail));
			tl_text_clear(&line);
			tl_text_clear(&want);
			assert_true(tl_record_half(&line, decoder, &half, values, side));
			assert_true(tl_record_half_by_tree(&want, decoder, &half, values));
			assert_string_equal(line.data, want.data);
		}
	tl_text_free(&line);
	tl_text_free(&want);
}

// ---- Records -------------------------------------------------------------------------------------

static void fill_drawn(void *to, size_t len)
{
	uint8_t *bytes = to;

	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)draw(256);
}

// All that a record can say, and what is left out where it is zero.
static void draw_record(struct tl_roundtrip *r, uint16_t protocols)
{
	fill_drawn(r, sizeof(*r));
	r->protocol = (uint16_t)(1 + draw(protocols));
	r->status = (uint8_t)draw(TL_STATUS_COUNT);
	r->reason = (uint8_t)draw(TL_REASON_COUNT);
	r->flags = draw(2) == 0 ? 0 : r->flags & 0x3ff;
	r->ip_version = draw(2) == 0 ? 4 : 6;
	memset(r->server_address, 0, draw(17));
	r->rtt_us = draw(2) == 0 ? 0 : r->rtt_us;
	r->wait_ns = draw(2) == 0 ? 0 : r->wait_ns;
	r->retries = draw(2) == 0 ? 0 : r->retries;
	r->proxied_port = draw(2) == 0 ? 0 : r->proxied_port;
	r->outer.vlan_count = (uint8_t)draw(TL_VLANS_KEPT_MAX + 2);
	r->outer.tunnel = (uint8_t)draw(TL_TUNNEL_COUNT);
	r->outer.tunnel_id = draw(2) == 0 ? 0 : r->outer.tunnel_id;
	r->trace.flags = draw(8);
	if (draw(2) == 0)
		memset(r->trace.parent_span_id, 0, sizeof(r->trace.parent_span_id));
	r->request.seen = draw(4) != 0;
	r->response.seen = draw(4) != 0;
	r->request.tail_len = r->response.tail_len = r->path_len = 0;
}

static void lines_stay_as_they_are_when_read_and_written(void **state)
{
	static const struct tl_workload workloads[] = {
		{"shop", "Deployment", "web", "web-1", "node-7"}, {"", "", "", "", ""},
		{"", "Service", "\"web\"", "", ""}};
	struct {
		struct tl_roundtrip head;
		struct tl_path path;
	} record;
	struct tl_text line = {0};
	uint16_t protocols = 0;

	(void)state;
	while (tl_decoder_at((uint16_t)(protocols + 1)) != NULL)
		protocols++;
	for (uint32_t round = 0; round < 20000; round++) {
		struct tl_enrichment names = {
			.probe = draw(2) == 0 ? "" : "probe \xff", .port_name = draw(2) == 0 ? "" : "eth1",
			.server_name = draw(2) == 0 ? "" : "caf\xc3\xa9", .name_source = "host",
			.client = draw(2) == 0 ? NULL : &workloads[draw(3)],
			.server = draw(2) == 0 ? NULL : &workloads[draw(3)], .id = "01KAQZ6V3M4T8N2P00"};
		const struct tl_roundtrip_signal signal = {.record = &record.head, .names = &names};
		draw_record(&record.head, protocols);
		if (draw(2) == 0) {
			record.head.path_len = sizeof(record.path);
			fill_drawn(&record.path, sizeof(record.path));
			record.path.count = (uint8_t)draw(TL_LAYERS_KEPT_MAX + 2);
			for (uint32_t i = 0; i < TL_LAYERS_KEPT_MAX; i++)
				record.path.kinds[i] = (uint8_t)draw(TL_TUNNEL_COUNT);
		}
		tl_text_clear(&line);
		assert_true(tl_record_json_line(&line, &signal, draw(2) == 0));
		json_error_t error;
		json_t *read = json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES, &error);
		if (read == NULL)
			fail_msg("%s: %s", error.text, line.data);
		char *written = json_dumps(read, LAYOUT);
		assert_int_equal(line.data[line.len - 1], '\n');
		line.data[line.len - 1] = '\0';
		assert_string_equal(written, line.data);
		free(written);
		json_decref(read);
	}
	tl_text_free(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_at_every_place),
		cmocka_unit_test(characters_are_cut_and_broken),
		cmocka_unit_test(long_texts),
		cmocka_unit_test(tables_have_one_field_per_name),
		cmocka_unit_test(halves_are_as_the_library_writes),
		cmocka_unit_test(lines_stay_as_they_are_when_read_and_written),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
