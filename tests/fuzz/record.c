// SPDX-License-Identifier: Apache-2.0
// Field values of a half, any bytes: a byte that chooses the protocol, one for the side, the
// values. What is written straight is what the library's objects make of them, and the library can
// read it. The values as one text likewise.
#include "tests/fuzz/fuzz.h"

#include "base/json.h"
#include "exporters/record/half.h"

#include <jansson.h>
#include <string.h>

static void check_half(const struct tl_decoder *decoder, struct tl_bytes tail,
		       enum tl_field_flag side)
{
	const struct tl_half half = {.seen = 1, .first_ns = tail.len, .bytes = tail.len};
	struct tl_text line = {0}, want = {0};

	FUZZ_CHECK(tl_record_half(&line, decoder, &half, tail, side));
	FUZZ_CHECK(tl_record_half_by_tree(&want, decoder, &half, tail));
	FUZZ_CHECK(line.len == want.len && memcmp(line.data, want.data, line.len) == 0);
	json_t *read = json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	FUZZ_CHECK(json_is_object(read));
	json_decref(read);
	tl_text_free(&line);
	tl_text_free(&want);
}

static void check_text(struct tl_bytes bytes, bool is_cut)
{
	struct tl_text line = {0}, utf8 = {0};

	tl_json_string(&line, bytes, is_cut);
	tl_text_utf8(&utf8, bytes, is_cut);
	json_t *read = json_loadb(line.data, line.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	FUZZ_CHECK(json_is_string(read));
	FUZZ_CHECK(json_string_length(read) == utf8.len);
	FUZZ_CHECK(utf8.len == 0 || memcmp(json_string_value(read), utf8.data, utf8.len) == 0);
	char *again = json_dumps(read, JSON_ENCODE_ANY);
	FUZZ_CHECK(again != NULL && strcmp(again, line.data) == 0);
	free(again);
	json_decref(read);
	tl_text_free(&line);
	tl_text_free(&utf8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > UINT16_MAX)
		return 0;
	uint16_t id = (uint16_t)(1 + data[0] % (tl_decoder_count - 1));
	enum tl_field_flag side = data[1] % 2 == 0 ? TL_FIELD_REQUEST : TL_FIELD_RESPONSE;
	struct tl_bytes tail = tl_bytes(data + 2, (uint32_t)(size - 2));

	check_half(tl_decoder_at(id), tail, side);
	check_text(tail, data[1] >= 0x80);
	return 0;
}
