// SPDX-License-Identifier: Apache-2.0
// What a receiver answers to _bulk. First byte: number of documents sent; the rest is the answer.
// Whatever it is: each document is counted once, and what is to be sent again is some of what was
// sent, whole and in order.
#include "tests/fuzz/fuzz.h"

#include "exporters/elasticsearch/bulk.h"

#include <stdio.h>
#include <string.h>

#define ITEMS_MAX 40u

// Both lines of each document end in its number.
static uint32_t number_at(struct tl_bytes text, uint32_t at, uint32_t *ret_len)
{
	char copy[64];
	unsigned action, document;
	int len = 0;
	uint32_t left = text.len - at < sizeof(copy) - 1 ? text.len - at : sizeof(copy) - 1;

	memcpy(copy, text.ptr + at, left);
	copy[left] = '\0';
	FUZZ_CHECK(sscanf(copy, "{\"create\":%u}\n{\"n\":%u}\n%n", &action, &document, &len) == 2);
	FUZZ_CHECK(len > 0 && action == document);
	*ret_len = (uint32_t)len;
	return action;
}

// Ascending and whole: the items of `text`.
static uint32_t count_items(struct tl_bytes text)
{
	uint32_t count = 0, next = 0, len;

	for (uint32_t at = 0; at < text.len; at += len) {
		uint32_t number = number_at(text, at, &len);
		FUZZ_CHECK(number >= next);
		next = number + 1;
		count++;
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tl_text sent = {0}, again = {0};
	struct tl_bulk_outcome outcome;

	if (size < 1)
		return 0;
	uint32_t items = data[0] % ITEMS_MAX + 1;
	for (uint32_t i = 0; i < items; i++)
		tl_text_printf(&sent, "{\"create\":%u}\n{\"n\":%u}\n", i, i);
	struct tl_bytes payload = tl_bytes((const uint8_t *)sent.data, (uint32_t)sent.len);
	tl_bulk_judge(payload, items, tl_bytes(data + 1, (uint32_t)size - 1), &again, &outcome);
	FUZZ_CHECK(outcome.delivered + outcome.rejected + outcome.again_items == items);
	FUZZ_CHECK((outcome.delivered != items) == (outcome.message[0] != '\0'));
	FUZZ_CHECK(count_items(tl_bytes((const uint8_t *)again.data, (uint32_t)again.len)) ==
		   outcome.again_items);
	uint32_t half = tl_bulk_half(payload, items);
	FUZZ_CHECK(count_items(tl_bytes_first(payload, half)) == items / 2);
	FUZZ_CHECK(count_items(tl_bytes_from(payload, half)) == items - items / 2);
	tl_text_free(&sent);
	tl_text_free(&again);
	return 0;
}
