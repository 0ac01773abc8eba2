// SPDX-License-Identifier: Apache-2.0
// What comes back to the OTLP sink: answers of receivers, its own payloads from a queue on disk
// (plain or by gzip), and the lists of the environment. Whatever it is: each item of a request is
// counted once, halves have all items of the whole and no more, a list comes to its end.
#include "tests/fuzz/fuzz.h"

#include "exporters/http_sink/lane.h"
#include "exporters/otlp/otlp.h"

#include <string.h>

#define ITEMS 100u

typedef bool split_fn(struct tl_bytes payload, struct tl_http_pieces *pieces);

static void check_split(split_fn *split, struct tl_bytes payload)
{
	struct tl_http_pieces pieces = {.last = &pieces.first}, quarters = {.last = &quarters.first};
	uint32_t count = 0;
	uint64_t items = 0;

	bool is_split = split(payload, &pieces);
	for (struct tl_http_piece *piece = pieces.first; piece != NULL; piece = piece->next) {
		count++;
		items += piece->items;
	}
	FUZZ_CHECK(count == (is_split ? 2 : 0) && items == pieces.items);
	if (is_split) { // what was made is read again
		bool again = split(tl_bytes(pieces.first->data, pieces.first->len), &quarters);
		FUZZ_CHECK(!again || quarters.items == pieces.first->items);
	}
	for (struct tl_http_piece *piece = pieces.first, *next; piece != NULL; piece = next) {
		next = piece->next;
		free(piece);
	}
	for (struct tl_http_piece *piece = quarters.first, *next; piece != NULL; piece = next) {
		next = piece->next;
		free(piece);
	}
}

static void check_list(const uint8_t *data, size_t size)
{
	char key[16], value[16], *list = malloc(size + 1);
	const char *rest = list;

	FUZZ_CHECK(list != NULL);
	memcpy(list, data, size);
	list[size] = '\0';
	while (tl_otlp_next_pair(&rest, key, sizeof(key), value, sizeof(value))) {
		FUZZ_CHECK(rest > list && rest <= list + size);
		FUZZ_CHECK(strlen(key) < sizeof(key) && strlen(value) < sizeof(value));
	}
	free(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tl_bytes input = tl_bytes(data, (uint32_t)size);
	struct tl_http_result result = {0};

	tl_otlp_judge(input, ITEMS, &result);
	FUZZ_CHECK(result.delivered + result.rejected == ITEMS);
	FUZZ_CHECK(memchr(result.message, '\0', sizeof(result.message)) != NULL);
	check_split(tl_otlp_split_spans, input);
	check_split(tl_otlp_split_metrics, input);
	check_list(data, size);
	return 0;
}
