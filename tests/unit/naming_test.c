// SPDX-License-Identifier: Apache-2.0
// Names for ids, by Kafka's table.
#include "control/naming.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct made {
	struct tl_roundtrip head;
	uint8_t tails[4096];
	uint32_t used;
};

static const struct tl_decoder *kafka(void)
{
	const struct tl_decoder *decoder = tl_decoder_by_name("kafka");

	assert_non_null(decoder);
	assert_non_null(decoder->naming);
	return decoder;
}

static void begin(struct made *made)
{
	memset(made, 0, sizeof(*made));
	for (uint16_t i = 0; i < tl_decoder_count; i++)
		if (tl_decoder_at(i) == kafka())
			made->head.protocol = i;
}

static void add(struct made *made, bool is_answer, uint8_t field, const char *text)
{
	uint32_t size = tl_value_size((uint32_t)strlen(text));

	assert_true(size <= sizeof(made->tails) - made->used);
	(void)tl_value_put(made->tails + made->used, field, tl_bytes_of(text));
	made->used += size;
	*(is_answer ? &made->head.response.tail_len : &made->head.request.tail_len) += size;
	made->head.size = (uint32_t)(sizeof(made->head) + made->used + 7u) & ~7u;
}

static const struct tl_roundtrip *put(struct tl_namer *namer, const struct made *made)
{
	return tl_namer_name(namer, &made->head);
}

static void tell(struct tl_namer *namer, const char *id, const char *name)
{
	struct made made;

	begin(&made);
	add(&made, true, kafka()->naming->list, "");
	if (id != NULL)
		add(&made, true, kafka()->naming->list_id, id);
	add(&made, true, kafka()->naming->list_name, name);
	assert_ptr_equal(put(namer, &made), &made.head);
}

// The names in the request that follow ids, joined by commas.
static void ask(struct tl_namer *namer, const struct made *made, char names[static 256])
{
	const struct tl_roundtrip *record = put(namer, made);
	struct tl_value value;
	uint32_t used = 0;

	names[0] = '\0';
	for (uint32_t at = 0; tl_value_next(tl_roundtrip_request_tail(record), &at, &value);)
		if (value.field == kafka()->naming->name)
			used += (uint32_t)snprintf(names + used, 256 - used, "%s%.*s",
						   used == 0 ? "" : ",", (int)value.bytes.len,
						   (const char *)value.bytes.ptr);
	// Nothing else changes.
	assert_int_equal(record->response.tail_len, made->head.response.tail_len);
	assert_memory_equal(tl_roundtrip_response_tail(record).ptr,
			    tl_roundtrip_response_tail(&made->head).ptr,
			    record->response.tail_len);
	assert_true(record->size >= sizeof(*record) + record->request.tail_len +
					    record->response.tail_len && record->size % 8 == 0);
}

static void ids_get_the_names_that_answers_told(void **state)
{
	struct tl_namer *namer = tl_namer_create();
	const struct tl_naming *naming = kafka()->naming;
	struct made made;
	char names[256];

	(void)state;
	begin(&made);
	add(&made, false, naming->id, "one");
	add(&made, false, naming->id, "two");
	add(&made, true, naming->list, "");
	ask(namer, &made, names);
	assert_string_equal(names, "");
	tell(namer, "one", "orders");
	ask(namer, &made, names);
	assert_string_equal(names, "orders");
	tell(namer, "two", "billing");
	tell(namer, NULL, "nameless"); // the id of the one before isn't its own
	ask(namer, &made, names);
	assert_string_equal(names, "orders,billing");
	tell(namer, "one", "renamed");
	ask(namer, &made, names);
	assert_string_equal(names, "renamed,billing");
	tl_namer_destroy(namer);
}

static void as_many_as_there_is_room_for(void **state)
{
	struct tl_namer *namer = tl_namer_create();
	struct made made;
	char text[32], names[256];
	uint32_t known = 0;

	(void)state;
	for (uint32_t i = 0; i < 4 * TL_NAMING_IDS_MAX; i++) {
		(void)snprintf(text, sizeof(text), "id-%u", i);
		tell(namer, text, text + 3);
		if (i % 8 != 0)
			continue;
		begin(&made); // one that is used again and again stays
		add(&made, false, kafka()->naming->id, "id-0");
		ask(namer, &made, names);
		assert_string_equal(names, "0");
	}
	for (uint32_t i = 0; i < 4 * TL_NAMING_IDS_MAX; i++) {
		(void)snprintf(text, sizeof(text), "id-%u", i);
		begin(&made);
		add(&made, false, kafka()->naming->id, text);
		ask(namer, &made, names);
		assert_true(names[0] == '\0' || strcmp(names, text + 3) == 0);
		known += names[0] != '\0';
	}
	assert_true(known > TL_NAMING_IDS_MAX * 9 / 10 && known <= TL_NAMING_IDS_MAX);
	tl_namer_destroy(namer);
}

static void what_is_too_long_is_left_alone(void **state)
{
	struct tl_namer *namer = tl_namer_create();
	struct made made;
	char names[256], text[TL_NAMING_NAME_BYTES + 2];

	(void)state;
	memset(text, 'n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	tell(namer, "one", text);
	tell(namer, text, "one");
	begin(&made);
	add(&made, false, kafka()->naming->id, "one");
	ask(namer, &made, names);
	assert_string_equal(names, "");
	tl_namer_destroy(namer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_get_the_names_that_answers_told),
		cmocka_unit_test(as_many_as_there_is_room_for),
		cmocka_unit_test(what_is_too_long_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
