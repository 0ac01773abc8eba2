// SPDX-License-Identifier: Apache-2.0
// Spans from the record to the bytes that are sent: what the tables of a protocol say about it, and
// that nothing of the work stays in memory.
#include "exporters/otlp/otlp.h"

#include "base/check.h"
#include "l7/decoder.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trace_service.pb-c.h"

#define TAIL_BYTES 512u
#define ROUNDS 1000u

struct record {
	struct tl_roundtrip head;
	uint8_t tail[TAIL_BYTES];
};

struct text_value {
	const char *field, *text;
	uint32_t len; // 0: up to its NUL
};

static void make_record(const char *protocol, const struct text_value *values, struct record *r)
{
	const struct tl_decoder *decoder = tl_decoder_by_name(protocol);
	uint8_t *at = r->tail;
	uint16_t id = 0;

	assert_non_null(decoder);
	while (tl_decoder_at(id) != decoder)
		id++;
	memset(r, 0, sizeof(*r));
	for (; values->field != NULL; values++)
		for (uint8_t i = 0; i < decoder->field_count; i++)
			if (strcmp(decoder->fields[i].name, values->field) == 0)
				at = tl_value_put(at, i, values->len == 0 ? tl_bytes_of(values->text) :
						  tl_bytes(values->text, values->len));
	r->head = (struct tl_roundtrip) {
		.protocol = id, .status = TL_STATUS_OK, .ip_version = 4, .l4 = 6, .server_port = 5672,
		.duration_ns = 1500000, .size = sizeof(*r),
		.request = {.seen = 1, .first_ns = UINT64_C(1700000000000000000),
			    .tail_len = (uint32_t)(at - r->tail)},
		.response = {.seen = 1, .first_ns = UINT64_C(1700000000001000000)},
	};
}

static void encode(const struct record *r, struct tl_text *payload)
{
	static const struct tl_enrichment names = {
		.probe = "probe-a", .port_name = "eth1", .server_name = "shop", .name_source = "host"};
	static const struct otlp_settings settings = {.service_name = "", .resource_attributes = ""};
	static const struct tl_text_map resource;
	const struct otlp_identity identity = {.probe = "probe-a", .version = "0", .host = "here",
					       .settings = &settings, .resource = &resource};
	const struct tl_span span = {.record = &r->head, .names = &names, .kind = TL_SPAN_CLIENT,
				     .name = "name", .start_ns = 1, .end_ns = 2};
	struct otlp_item *item = tl_otlp_span_copy(&span);

	assert_non_null(item);
	tl_otlp_encode_spans(&identity, item, 1, payload);
	free(item->copy);
	free(item);
}

// The value of an attribute of the only span, NULL without it. `ret_request` owns it.
static const Otlp__AnyValue *attribute(const struct tl_text *payload, const char *key,
				       Otlp__ExportTraceServiceRequest **ret_request)
{
	*ret_request = otlp__export_trace_service_request__unpack(
		NULL, payload->len, (const uint8_t *)payload->data);
	assert_non_null(*ret_request);
	const Otlp__Span *span = (*ret_request)->resource_spans[0]->scope_spans[0]->spans[0];
	for (size_t i = 0; i < span->n_attributes; i++)
		if (strcmp(span->attributes[i]->key, key) == 0)
			return span->attributes[i]->value;
	return NULL;
}

static void operations_have_types(void **state)
{
	static const struct {
		const char *protocol, *field, *operation, *type;
	} vectors[] = {
		{"amqp", "method", "Publish", "send"},      {"amqp", "method", "Get", "receive"},
		{"amqp", "method", "Deliver", "process"},   {"amqp", "method", "Declare", NULL},
		{"kafka", "api", "Produce", "send"},        {"kafka", "api", "Fetch", "receive"},
		{"kafka", "api", "ShareFetch", "receive"},  {"kafka", "api", "OffsetCommit", "settle"},
		{"kafka", "api", "TxnOffsetCommit", "settle"},
		{"kafka", "api", "ShareAcknowledge", "settle"},
		{"kafka", "api", "Metadata", NULL},         {"kafka", "api", "Produ", NULL},
	};
	struct tl_text payload = {0};

	(void)state;
	for (size_t i = 0; i < TL_COUNT_OF(vectors); i++) {
		const struct text_value values[] = {
			{vectors[i].field, vectors[i].operation, 0}, {NULL, NULL, 0}};
		Otlp__ExportTraceServiceRequest *request;
		struct record r;
		make_record(vectors[i].protocol, values, &r);
		encode(&r, &payload);
		const Otlp__AnyValue *type = attribute(&payload, "messaging.operation.type", &request);
		if (vectors[i].type == NULL ? type != NULL :
		    type == NULL || strcmp(type->string_value, vectors[i].type) != 0)
			fail_msg("%s %s", vectors[i].protocol, vectors[i].operation);
		otlp__export_trace_service_request__free_unpacked(request, NULL);
	}
	tl_text_free(&payload);
}

// A header has a field of its own and is captured, too: one list, as the conventions have it, in
// whatever order the two come.
static void headers_are_lists(void **state)
{
#define AGENT "a server whose name is longer than what stands for a list in memory"
	static const char captured[] = "server\0" AGENT "\0server\0other";
	const struct text_value field = {"server", AGENT, 0},
				map = {"headers", captured, sizeof("server\0" AGENT) - 1},
				other = {"headers", captured + sizeof("server\0" AGENT),
					 sizeof("server\0other") - 1},
				end = {NULL, NULL, 0};
	const struct {
		struct text_value values[4];
		size_t count;
	} vectors[] = {
		{{field, end}, 1}, {{map, end}, 1}, {{field, map, end}, 1}, {{map, field, end}, 1},
		{{field, map, other, end}, 2}, {{other, map, field, end}, 2},
	};
	struct tl_text payload = {0};

	(void)state;
	for (size_t i = 0; i < TL_COUNT_OF(vectors); i++) {
		Otlp__ExportTraceServiceRequest *request;
		struct record r;
		make_record("http", vectors[i].values, &r);
		encode(&r, &payload);
		const Otlp__AnyValue *value =
			attribute(&payload, "http.response.header.server", &request);
		assert_non_null(value);
		assert_int_equal(value->value_case, OTLP__ANY_VALUE__VALUE_ARRAY_VALUE);
		assert_int_equal(value->array_value->n_values, vectors[i].count);
		bool has_agent = false;
		for (size_t v = 0; v < vectors[i].count; v++)
			has_agent |= strcmp(value->array_value->values[v]->string_value, AGENT) == 0;
		assert_true(has_agent);
		otlp__export_trace_service_request__free_unpacked(request, NULL);
	}
	tl_text_free(&payload);
}

// An exchange without a routing key: templates that begin with a value and then have none.
static void nothing_stays_in_memory(void **state)
{
	static const struct text_value values[] = {
		{"method", "Declare", 0}, {"exchange", "orders", 0}, {NULL, NULL, 0}};
	struct tl_text payload = {0};
	struct record r;

	(void)state;
	make_record("amqp", values, &r);
	encode(&r, &payload);
	size_t before = mallinfo2().uordblks; // 0 where a sanitizer keeps the memory, and looks itself
	for (uint32_t i = 0; i < ROUNDS; i++)
		encode(&r, &payload);
	assert_int_equal(mallinfo2().uordblks, before);
	tl_text_free(&payload);
}

// What a peer repeats costs memory by its number, not by its square.
static void long_lists_take_little_memory(void **state)
{
	(void)state;
	struct otlp_arena arena = {0};
	struct otlp_attributes list = {0};
	char text[16];
	struct mallinfo2 before = mallinfo2();

	for (uint32_t i = 0; i < 2000; i++) {
		int len = snprintf(text, sizeof(text), "value %u", i);
		tl_otlp_add_element(&arena, &list, "http.request.header.x", text, (size_t)len);
	}
	struct mallinfo2 after = mallinfo2();
	assert_int_equal(list.count, 1);
	const Otlp__ArrayValue *array = list.items[0]->value->array_value;
	assert_int_equal(array->n_values, 2000);
	for (uint32_t i = 0; i < 2000; i++) {
		(void)snprintf(text, sizeof(text), "value %u", i);
		assert_string_equal(array->values[i]->string_value, text);
	}
	size_t taken = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
	assert_in_range(taken, 0, 2u << 20);
	tl_otlp_empty(&arena);
}

// An answer of fields that nobody knows is not unpacked: each would take memory.
static void long_answers_are_not_read(void **state)
{
	(void)state;
	uint8_t *answer = malloc((4u << 20) + 4);
	struct tl_http_result result = {0};

	assert_non_null(answer);
	for (uint32_t i = 0; i < 4u << 20; i += 2) {
		answer[i] = 0x78; // field 15, a varint
		answer[i + 1] = 1;
	}
	memcpy(answer + (4u << 20), "\x0a\x02\x08\x03", 4); // partial_success {rejected_spans: 3}
	tl_otlp_judge(tl_bytes(answer, (4u << 20) + 4), 10, &result);
	assert_int_equal(result.delivered, 10);
	assert_string_equal(result.message, "an answer of 4194308 bytes was not read");
	result = (struct tl_http_result) {0};
	tl_otlp_judge(tl_bytes(answer + (4u << 20) - 1000, 1004), 10, &result);
	assert_int_equal(result.delivered, 7);
	assert_int_equal(result.rejected, 3);
	free(answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations_have_types),
		cmocka_unit_test(headers_are_lists),
		cmocka_unit_test(nothing_stays_in_memory),
		cmocka_unit_test(long_lists_take_little_memory),
		cmocka_unit_test(long_answers_are_not_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
