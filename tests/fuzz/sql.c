// SPDX-License-Identifier: Apache-2.0
// A text for the reader of SQL. Input: the dialect, how many bytes the masked text may have (two of
// them), then the text.
#include "fuzz.h"

#include "protocols/common/sql.h"

#include <string.h>

#define TEXT_BYTES_MAX 4096u

struct reading {
	struct tl_sql sql;
	char text[TEXT_BYTES_MAX];
};

static void read_text(uint8_t dialect, struct tl_bytes text, uint32_t room, struct reading *ret)
{
	// No more than it may have, so that a sanitizer sees a write beyond.
	char *masked = (char *)malloc(room + 1);

	FUZZ_CHECK(masked != NULL);
	tl_sql_read((enum tl_sql_dialect)(dialect % TL_SQL_DIALECT_COUNT), text, text.len, masked, room,
		    &ret->sql);
	FUZZ_CHECK(ret->sql.text_len <= room && ret->sql.text_len <= ret->sql.text_full);
	FUZZ_CHECK(ret->sql.text_len == room || ret->sql.text_len == ret->sql.text_full);
	memcpy(ret->text, masked, ret->sql.text_len);
	free(masked);
}

static void check(const struct tl_sql *sql, struct tl_bytes text)
{
	FUZZ_CHECK(sql->summary_len <= TL_SQL_SUMMARY_BYTES_MAX);
	FUZZ_CHECK(sql->verb_len <= TL_SQL_VERB_BYTES_MAX);
	FUZZ_CHECK(memchr(sql->verb, 0, sizeof(sql->verb)) != NULL);
	FUZZ_CHECK((sql->digest == 0) == (sql->text_full == 0));
	FUZZ_CHECK(sql->input_cut == (text.len > TL_SQL_READ_BYTES_MAX));
	if (sql->traceparent.len != 0)
		FUZZ_CHECK(sql->traceparent.ptr >= text.ptr &&
			   sql->traceparent.ptr + sql->traceparent.len <= text.ptr + text.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reading whole, cut;

	if (size < 3 || size > 2 * TL_SQL_READ_BYTES_MAX)
		return 0;
	struct tl_bytes text = tl_bytes(data + 3, (uint32_t)size - 3);
	read_text(data[0], text, TEXT_BYTES_MAX, &whole);
	check(&whole.sql, text);
	// What there is room for changes nothing else.
	read_text(data[0], text, tl_load_le16(data + 1) % TEXT_BYTES_MAX, &cut);
	FUZZ_CHECK(cut.sql.digest == whole.sql.digest);
	FUZZ_CHECK(cut.sql.text_full == whole.sql.text_full);
	FUZZ_CHECK(memcmp(cut.text, whole.text, cut.sql.text_len) == 0);
	FUZZ_CHECK(cut.sql.summary_len == whole.sql.summary_len);
	FUZZ_CHECK(memcmp(cut.sql.summary, whole.sql.summary, cut.sql.summary_len) == 0);
	return 0;
}
