// SPDX-License-Identifier: Apache-2.0
// The answer of _bulk, sorted into what was stored, refused and is to be sent again.
#include "exporters/elasticsearch/bulk.h"

#include "base/check.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char sent[] = "{\"create\":{}}\n{\"n\":1}\n"
			   "{\"create\":{}}\n{\"n\":2}\n"
			   "{\"create\":{}}\n{\"n\":3}\n";

static void judge(const struct tl_text *reply, struct tl_text *again, struct tl_bulk_outcome *outcome)
{
	tl_bulk_judge(tl_bytes_of(sent), 3, tl_bytes(reply->data, (uint32_t)reply->len), again,
		      outcome);
}

static void each_has_its_fate(void **state)
{
	struct tl_text reply = {0}, again = {0};
	struct tl_bulk_outcome outcome;

	(void)state;
	tl_text_puts(&reply, "{\"errors\":true,\"items\":[{\"create\":{\"status\":201}},"
		     "{\"create\":{\"status\":429}},{\"create\":{\"status\":400,\"error\":{\"type\":\"x\","
		     "\"reason\":\"y, z\"}}}]}");
	judge(&reply, &again, &outcome);
	assert_int_equal(outcome.delivered, 1);
	assert_int_equal(outcome.rejected, 1);
	assert_int_equal(outcome.again_items, 1);
	assert_false(outcome.is_too_large);
	assert_int_equal(again.len, strlen("{\"create\":{}}\n{\"n\":2}\n"));
	assert_memory_equal(again.data, "{\"create\":{}}\n{\"n\":2}\n", again.len);
	tl_text_free(&reply);
	tl_text_free(&again);
}

static size_t json_bytes; // that jansson asked for

static void *count_json(size_t size)
{
	json_bytes += size;
	return json_bytes > 64u << 20 ? NULL : malloc(size);
}

// 4 MiB of tiny values would take 400 MB as a tree.
static void long_answers_are_not_read(void **state)
{
	struct tl_text reply = {0}, again = {0};
	struct tl_bulk_outcome outcome;

	(void)state;
	tl_text_puts(&reply, "{\"errors\":true,\"items\":[");
	while (reply.len < 4u << 20)
		tl_text_puts(&reply, "{},");
	tl_text_puts(&reply, "1]}");
	json_set_alloc_funcs(count_json, free);
	judge(&reply, &again, &outcome);
	json_set_alloc_funcs(malloc, free);
	assert_int_equal(json_bytes, 0);
	assert_true(outcome.is_too_large);
	assert_int_equal(outcome.again_items, 3);
	assert_int_equal(again.len, strlen(sent));
	tl_text_free(&reply);
	tl_text_free(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_its_fate),
		cmocka_unit_test(long_answers_are_not_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
