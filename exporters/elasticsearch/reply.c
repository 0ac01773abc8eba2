// SPDX-License-Identifier: Apache-2.0
// The answer of _bulk is 200 even when documents were refused: each has a status of its own, in the
// order of the request.
#include "exporters/elasticsearch/bulk.h"

#include "base/json_parts.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

// Values in it: those about 10,000 documents are 40,000, unfiltered 140,000.
#define ANSWER_PARTS_MAX (1u << 18)

// Bytes of the next item: its action line and its document. 0 at the end.
static size_t item_length(struct tl_bytes payload, size_t at)
{
	size_t len = 0;

	for (int line = 0; line < 2; line++) {
		const uint8_t *from = payload.ptr + at + len;
		const uint8_t *end = memchr(from, '\n', payload.len - at - len);
		if (end == NULL)
			return 0;
		len += (size_t)(end - from) + 1;
	}
	return len;
}

static bool is_delivered(json_int_t status)
{
	return (status >= 200 && status < 300) || status == 409;
}

// Full for now, overloaded, or closed for writing by its operator (a full disk does that too).
static bool is_passing(const json_t *result, json_int_t status)
{
	const char *type = json_string_value(json_object_get(json_object_get(result, "error"), "type"));

	return status == 429 || status >= 500 ||
	       (type != NULL && strcmp(type, "cluster_block_exception") == 0);
}

// The first thing that went wrong is shown to the user. `result` is NULL where the answer has none
// for a document.
static void note_failure(const json_t *result, json_int_t status, struct tl_bulk_outcome *outcome)
{
	const json_t *error = json_object_get(result, "error");
	const char *type = json_string_value(json_object_get(error, "type"));
	const char *reason = json_string_value(json_object_get(error, "reason"));

	if (outcome->message[0] != '\0')
		return;
	if (result == NULL)
		(void)snprintf(outcome->message, sizeof(outcome->message),
			       "the answer has no result for a document");
	else
		(void)snprintf(outcome->message, sizeof(outcome->message), "%d %s: %s", (int)status,
			       type == NULL ? "" : type, reason == NULL ? "" : reason);
}

void tl_bulk_judge(struct tl_bytes payload, uint32_t items, struct tl_bytes reply,
		   struct tl_text *ret_again, struct tl_bulk_outcome *ret_outcome)
{
	const char *text = (const char *)reply.ptr;
	bool is_within = tl_json_is_within(text, reply.len, ANSWER_PARTS_MAX);
	json_t *root = is_within ? json_loadb(text, reply.len, 0, NULL) : NULL;
	const json_t *answers = json_object_get(root, "items");
	size_t at = 0;

	tl_text_clear(ret_again);
	*ret_outcome = (struct tl_bulk_outcome) {.is_too_large = !is_within};
	if (json_is_false(json_object_get(root, "errors"))) { // nothing was refused
		ret_outcome->delivered = items;
		json_decref(root);
		return;
	}
	for (uint32_t i = 0; i < items; i++) {
		size_t len = item_length(payload, at);
		const json_t *answer = json_array_get(answers, i);
		// {"create": {"status": 201}}: the only member is the action's.
		void *member = json_object_iter((json_t *)(uintptr_t)answer);
		const json_t *result = member == NULL ? NULL : json_object_iter_value(member);
		json_int_t status = json_integer_value(json_object_get(result, "status"));
		if (is_delivered(status)) {
			ret_outcome->delivered++;
		} else if (result == NULL || is_passing(result, status)) {
			tl_text_add(ret_again, payload.ptr + at, len);
			ret_outcome->again_items++;
			note_failure(result, status, ret_outcome);
		} else {
			ret_outcome->rejected++;
			note_failure(result, status, ret_outcome);
		}
		at += len;
	}
	json_decref(root);
}

uint32_t tl_bulk_half(struct tl_bytes payload, uint32_t items)
{
	size_t at = 0;

	for (uint32_t i = 0; i < items / 2; i++)
		at += item_length(payload, at);
	return (uint32_t)at;
}
