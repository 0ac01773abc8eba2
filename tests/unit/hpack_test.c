// SPDX-License-Identifier: Apache-2.0
// The examples of RFC 7541 appendix C, limits, late joins, and, where libnghttp2 is there, its
// inflater on random blocks of its deflater, on broken ones, and on those of real peers as the judge.
#include "protocols/http2/hpack.h"
#include "protocols/http2/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#ifdef TL_HAVE_NGHTTP2
#include "hpack_recorded.h"

#include <nghttp2/nghttp2.h>
#endif

#define BLOCK_MAX 65536u
#define ROUNDS 400u

struct log {
	char text[4 * BLOCK_MAX];
	size_t len;
	uint32_t unknown;
	bool is_cut;
};

static struct log got;
static struct log want;
static struct log tagged; // of the fields in `got`, those with a tag
static struct log shown;  // by a table that shows only these
static struct hpack table;

static void put(struct log *l, const void *bytes, size_t len)
{
	assert_true(l->len + len < sizeof(l->text));
	memcpy(l->text + l->len, bytes, len);
	l->len += len;
	l->text[l->len] = '\0';
}

static void put_tagged(struct log *l, const struct hpack_field *field)
{
	char head[32];

	if (field->tag == HTTP2_NAME_OTHER && (field->flags & HPACK_ANY_UNKNOWN) == 0)
		return;
	put(l, head, (size_t)snprintf(head, sizeof(head), "%u %u: ", field->tag, field->flags));
	put(l, field->value.ptr == NULL ? (const void *)"" : field->value.ptr, field->value.len);
	put(l, "\n", 1);
}

// Of a table that shows nothing else.
static void take_tagged(void *arg, const struct hpack_field *field)
{
	assert_true(field->tag != HTTP2_NAME_OTHER || (field->flags & HPACK_ANY_UNKNOWN) != 0);
	put_tagged((struct log *)arg, field);
}

static void take(void *arg, const struct hpack_field *field)
{
	struct log *l = (struct log *)arg;
	bool name = (field->flags & HPACK_NAME_UNKNOWN) == 0;
	bool value = (field->flags & HPACK_VALUE_UNKNOWN) == 0;

	assert_int_equal(field->tag, name ? tl_http2_name(field->name) : HTTP2_NAME_OTHER);
	put_tagged(&tagged, field);
	assert_true(field->name.len <= field->name_len || !name);
	assert_int_equal(field->value.len < field->value_len, (field->flags & HPACK_VALUE_CUT) != 0);
	l->unknown += !name || !value;
	l->is_cut |= (field->flags & (HPACK_NAME_CUT | HPACK_VALUE_CUT)) != 0;
	put(l, name ? (const void *)field->name.ptr : "?", name ? field->name.len : 1);
	put(l, ": ", 2);
	put(l, value ? (const void *)field->value.ptr : "?", value ? field->value.len : 1);
	put(l, "\n", 1);
}

static void clear(struct log *l)
{
	l->len = 0;
	l->text[0] = '\0';
	l->unknown = 0;
	l->is_cut = false;
	if (l == &got)
		clear(&tagged);
}

static uint32_t from_hex(const char *hex, uint8_t *ret)
{
	uint32_t len = 0;

	for (; *hex != '\0'; hex += *hex == ' ' ? 1 : 2) {
		char pair[3] = {hex[0], hex[0] == ' ' ? '\0' : hex[1], '\0'};
		if (*hex != ' ')
			ret[len++] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return len;
}

// Decodes a block, whole and cut everywhere: the cuts must not show.
static bool decode(const char *hex, const char *text)
{
	static uint8_t bytes[BLOCK_MAX];
	static struct hpack before;
	uint32_t len = from_hex(hex, bytes);
	bool ok = true;

	before = table;
	for (uint32_t cut = 0; cut <= len; cut++) {
		table = before;
		clear(&got);
		ok = tl_hpack_read(&table, tl_bytes(bytes, cut), take, &got) &&
		     tl_hpack_read(&table, tl_bytes(bytes + cut, len - cut), take, &got) &&
		     tl_hpack_end(&table);
		if (ok)
			assert_string_equal(got.text, text);
	}
	return ok;
}

static void fields_of_appendix_c2(void **state)
{
	(void)state;
	tl_hpack_init(&table, false);
	assert_true(decode("400a637573746f6d2d6b65790d637573746f6d2d686561646572",
			   "custom-key: custom-header\n"));
	assert_int_equal(table.size, 55);
	assert_true(decode("040c2f73616d706c652f70617468", ":path: /sample/path\n"));
	assert_true(decode("100870617373776f726406736563726574", "password: secret\n"));
	assert_true(decode("82", ":method: GET\n"));
	assert_int_equal(table.count, 1);
}

static void requests_of_appendix_c3_and_c4(void **state)
{
	(void)state;
	static const char *const blocks[2][3] = {
		{"828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865",
		 "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565"},
		{"828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf",
		 "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"},
	};

	for (uint32_t i = 0; i < 2; i++) {
		tl_hpack_init(&table, false);
		assert_true(decode(blocks[i][0], ":method: GET\n:scheme: http\n:path: /\n"
						 ":authority: www.example.com\n"));
		assert_int_equal(table.size, 57);
		assert_true(decode(blocks[i][1], ":method: GET\n:scheme: http\n:path: /\n"
						 ":authority: www.example.com\n"
						 "cache-control: no-cache\n"));
		assert_int_equal(table.size, 110);
		assert_true(decode(blocks[i][2], ":method: GET\n:scheme: https\n:path: /index.html\n"
						 ":authority: www.example.com\n"
						 "custom-key: custom-value\n"));
		assert_int_equal(table.size, 164);
	}
}

#define DATE_21 "date: Mon, 21 Oct 2013 20:13:21 GMT\n"
#define DATE_22 "date: Mon, 21 Oct 2013 20:13:22 GMT\n"
#define PLACE "location: https://www.example.com\n"
#define COOKIE "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n"

static void responses_of_appendix_c5_and_c6(void **state)
{
	(void)state;
	static const char *const blocks[2][3] = {
		{"4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120"
		 "474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
		 "4803333037c1c0bf",
		 "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738"
		 "666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d33"
		 "3630303b2076657273696f6e3d31"},
		{"488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad1718"
		 "63c78f0b97c8e9ae82ae43d3",
		 "4883640effc1c0bf",
		 "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7"
		 "b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007"},
	};

	for (uint32_t i = 0; i < 2; i++) {
		tl_hpack_init(&table, false);
		assert_true(decode("3fe101", "")); // a table of 256 bytes
		assert_true(decode(blocks[i][0], ":status: 302\ncache-control: private\n" DATE_21 PLACE));
		assert_int_equal(table.size, 222);
		assert_true(decode(blocks[i][1], ":status: 307\ncache-control: private\n" DATE_21 PLACE));
		assert_true(decode(blocks[i][2], ":status: 200\ncache-control: private\n" DATE_22 PLACE
						 "content-encoding: gzip\n" COOKIE));
		assert_int_equal(table.size, 215);
		assert_int_equal(table.count, 3);
	}
}

static void names_are_told_by_what_they_are(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum http2_name name;
	} rows[] = {
		{":method", HTTP2_NAME_METHOD}, {":scheme", HTTP2_NAME_SCHEME},
		{":authority", HTTP2_NAME_AUTHORITY}, {":path", HTTP2_NAME_PATH},
		{":status", HTTP2_NAME_STATUS}, {":protocol", HTTP2_NAME_OTHER_PSEUDO},
		{":", HTTP2_NAME_OTHER_PSEUDO}, {":a-pseudo-header-longer-than-all", HTTP2_NAME_OTHER_PSEUDO},
		{"host", HTTP2_NAME_HOST}, {"server", HTTP2_NAME_SERVER},
		{"user-agent", HTTP2_NAME_USER_AGENT}, {"content-type", HTTP2_NAME_CONTENT_TYPE},
		{"content-encoding", HTTP2_NAME_CONTENT_ENCODING},
		{"x-request-id", HTTP2_NAME_REQUEST_ID}, {"traceparent", HTTP2_NAME_TRACEPARENT},
		{"grpc-trace-bin", HTTP2_NAME_TRACE_BIN},
		{"tracestate", HTTP2_NAME_TRACESTATE}, {"b3", HTTP2_NAME_B3},
		{"x-b3-traceid", HTTP2_NAME_B3_TRACE_ID}, {"x-b3-spanid", HTTP2_NAME_B3_SPAN_ID},
		{"x-b3-sampled", HTTP2_NAME_B3_SAMPLED}, {"grpc-timeout", HTTP2_NAME_GRPC_TIMEOUT},
		{"grpc-encoding", HTTP2_NAME_GRPC_ENCODING}, {"grpc-status", HTTP2_NAME_GRPC_STATUS},
		{"grpc-message", HTTP2_NAME_GRPC_MESSAGE}, {"Grpc-Status", HTTP2_NAME_GRPC_STATUS},
		{"", HTTP2_NAME_OTHER}, {"b4", HTTP2_NAME_OTHER}, {"grpc-statuses", HTTP2_NAME_OTHER},
		{"content-encodings", HTTP2_NAME_OTHER}, {"content-language", HTTP2_NAME_OTHER},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(tl_http2_name(tl_bytes_of(rows[i].text)), rows[i].name);
}

static void broken_blocks_are_refused(void **state)
{
	(void)state;
	static const char *const blocks[] = {
		"80",               // index 0
		"be",               // an entry that isn't there
		"ff8080808001",     // a number without end
		"ffffffffff0f",     // a number beyond all
		"8220",             // a size update behind a field
		"00",               // no name
		"400a6375",         // breaks off
		"007fffffff7f00",   // a string of 256 MiB
		"0083ffffff0161",   // more padding than a byte
		"0081000161",       // padding of zeros
		"0084fffffffc0161", // the end-of-string symbol
	};

	for (uint32_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		tl_hpack_init(&table, false);
		if (decode(blocks[i], ""))
			fail_msg("took %s", blocks[i]);
	}
}

static void late_join_names_what_it_saw_and_nothing_else(void **state)
{
	(void)state;
	tl_hpack_init(&table, true);
	assert_true(decode("828684be", ":method: GET\n:scheme: http\n:path: /\n?: ?\n"));
	assert_true(decode("410161", ":authority: a\n"));
	assert_true(decode("be", ":authority: a\n"));
	assert_true(decode("bf", "?: ?\n"));
	// A name from before the join, with a value from behind it.
	assert_true(decode("7f000178", "?: x\n"));
	assert_true(decode("be", "?: x\n"));
	assert_true(decode("bf", ":authority: a\n"));
	tl_hpack_rejoin(&table);
	assert_true(decode("be", "?: ?\n"));
}

static void long_strings_keep_beginning_and_length(void **state)
{
	(void)state;
	static uint8_t block[8192] = {0x40, 0x7f, 0x81, 0x01}; // a name of 256 bytes
	uint32_t len = 4;

	memset(block + len, 'n', 256);
	len += 256;
	block[len++] = 0x7f; // a value of 3000 bytes
	block[len++] = 0xb9;
	block[len++] = 0x16;
	memset(block + len, 'v', 3000);
	len += 3000;
	tl_hpack_init(&table, false);
	clear(&got);
	assert_true(tl_hpack_read(&table, tl_bytes(block, len), take, &got) && tl_hpack_end(&table));
	assert_int_equal(got.len, HPACK_NAME_MAX + 2 + HPACK_VALUE_MAX + 1);
	assert_int_equal(table.size, 256 + 3000 + 32);
	assert_int_equal(table.entries[0].name_len, 256);
	assert_int_equal(table.entries[0].value_len, 3000);
	// The entry pushes out others by its full length.
	assert_true(decode("410161", ":authority: a\n"));
	assert_int_equal(table.count, 2);
	clear(&got);
	assert_true(tl_hpack_read(&table, tl_bytes(block, len), take, &got) && tl_hpack_end(&table));
	assert_int_equal(table.count, 2);
}

// Entries that no own room is left for become unknown; the newest stay right.
static void own_room_is_bounded(void **state)
{
	(void)state;
	tl_hpack_init(&table, false);
	assert_true(decode("3fe1ff03", "")); // 65536 bytes
	for (uint32_t i = 0; i < 2000; i++) {
		uint8_t block[64] = {0x40, 4, (uint8_t)('a' + i % 26), 'b', 'c', 'd', 40};
		memset(block + 7, (int)('A' + i % 7), 40);
		clear(&got);
		assert_true(tl_hpack_read(&table, tl_bytes(block, 47), take, &got) &&
			    tl_hpack_end(&table));
		static struct log again;
		again = got;
		uint8_t newest = 0xbe;
		clear(&got);
		assert_true(tl_hpack_read(&table, tl_bytes(&newest, 1), take, &got));
		assert_string_equal(got.text, again.text);
	}
	assert_true(table.count < HPACK_ENTRIES_MAX);
	assert_true(decode("ffa006", "?: ?\n"));
}

#ifdef TL_HAVE_NGHTTP2

static uint64_t seed = 0x9e3779b97f4a7c15ull;

static uint32_t below(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16) % n;
}

static bool judge(nghttp2_hd_inflater *inflater, const uint8_t *bytes, size_t len)
{
	clear(&want);
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t taken = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, bytes, len, 1);
		if (taken < 0)
			return false;
		bytes += taken;
		len -= (size_t)taken;
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
			put(&want, nv.name, nv.namelen);
			put(&want, ": ", 2);
			put(&want, nv.value, nv.valuelen);
			put(&want, "\n", 1);
		}
		if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
			nghttp2_hd_inflate_end_headers(inflater);
			return true;
		}
		if (len == 0 && (flags & NGHTTP2_HD_INFLATE_EMIT) == 0)
			return false;
	}
}

static bool read_in_pieces(struct hpack *hpack, const uint8_t *bytes, uint32_t len)
{
	clear(&got);
	while (len != 0) {
		uint32_t n = 1 + below(len);
		if (!tl_hpack_read(hpack, tl_bytes(bytes, n), take, &got))
			return false;
		bytes += n;
		len -= n;
	}
	return tl_hpack_end(hpack);
}

// Each line must be the judge's, or have a "?" where the decoder says that it doesn't know.
static void assert_honest(void)
{
	const char *a = got.text;
	const char *b = want.text;

	while (*a != '\0') {
		size_t a_len = strcspn(a, "\n");
		size_t b_len = strcspn(b, "\n");
		size_t a_name = (size_t)(strstr(a, ": ") - a);
		size_t b_name = (size_t)(strstr(b, ": ") - b);
		if (strncmp(a, "?", a_name) != 0)
			assert_true(a_name == b_name && memcmp(a, b, a_name) == 0);
		if (a_len - a_name != 3 || a[a_len - 1] != '?')
			assert_true(a_len - a_name == b_len - b_name &&
				    memcmp(a + a_name, b + b_name, a_len - a_name) == 0);
		a += a_len + 1;
		b += b_len + 1;
	}
	assert_true(*b == '\0');
}

static uint32_t random_block(nghttp2_hd_deflater *deflater, uint8_t *ret, size_t size)
{
	static const char *const names[] = {":method", ":path", ":authority", "user-agent", "accept",
					    "x-one", "x-two", "cookie", "x-b3-traceid", "grpc-timeout"};
	static uint8_t text[64][1024];
	nghttp2_nv nv[64];
	uint32_t count = 1 + below(24);

	for (uint32_t i = 0; i < count; i++) {
		const char *name = names[below(sizeof(names) / sizeof(names[0]))];
		uint32_t len = below(8) == 0 ? below(1000) : below(24);
		for (uint32_t k = 0; k < len; k++)
			text[i][k] = below(3) != 0 ? (uint8_t)('a' + below(4))
						   : (uint8_t)(32 + below(223));
		if (below(2) != 0)
			len = (uint32_t)snprintf((char *)text[i], 64, "value-%u", below(6));
		for (uint32_t k = 0; k < len; k++)
			text[i][k] = text[i][k] == '?' || text[i][k] == '\n' ? '!' : text[i][k];
		nv[i] = (nghttp2_nv) {.name = (uint8_t *)(uintptr_t)name, .value = text[i],
				      .namelen = strlen(name), .valuelen = len,
				      .flags = below(10) == 0 ? NGHTTP2_NV_FLAG_NO_INDEX : 0};
	}
	ssize_t len = nghttp2_hd_deflate_hd(deflater, ret, size, nv, count);
	assert_true(len > 0);
	return (uint32_t)len;
}

static void same_as_nghttp2_on_its_blocks(void **state)
{
	(void)state;
	static uint8_t block[BLOCK_MAX];
	static struct hpack late, brief;
	uint32_t known = 0;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		nghttp2_hd_deflater *deflater;
		nghttp2_hd_inflater *inflater;
		uint32_t join = below(12);
		assert_int_equal(nghttp2_hd_deflate_new(&deflater, 4096), 0);
		assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
		tl_hpack_init(&table, false);
		tl_hpack_init(&late, true);
		tl_hpack_init(&brief, false);
		brief.only_tagged = true;
		for (uint32_t i = 0; i < 30; i++) {
			if (below(10) == 0) {
				size_t size = below(4097);
				nghttp2_hd_deflate_change_table_size(deflater, size);
				nghttp2_hd_inflate_change_table_size(inflater, size);
			}
			uint32_t len = random_block(deflater, block, sizeof(block));
			assert_true(judge(inflater, block, len));
			assert_true(read_in_pieces(&table, block, len));
			assert_string_equal(got.text, want.text);
			assert_int_equal(got.unknown, 0);
			clear(&shown);
			assert_true(tl_hpack_read(&brief, tl_bytes(block, len), take_tagged, &shown) &&
				    tl_hpack_end(&brief));
			assert_string_equal(shown.text, tagged.text);
			assert_int_equal(table.size, nghttp2_hd_inflate_get_dynamic_table_size(inflater));
			if (i < join)
				continue;
			assert_true(read_in_pieces(&late, block, len));
			assert_honest();
			known += got.unknown == 0;
		}
		nghttp2_hd_deflate_del(deflater);
		nghttp2_hd_inflate_del(inflater);
	}
	assert_true(known > ROUNDS * 5); // late joins learn
}

// What the judge takes of mutated blocks must come out the same; what it refuses may be either.
static void same_as_nghttp2_on_broken_blocks(void **state)
{
	(void)state;
	static uint8_t block[BLOCK_MAX];
	uint32_t taken = 0;

	for (uint32_t round = 0; round < 40 * ROUNDS; round++) {
		nghttp2_hd_deflater *deflater;
		nghttp2_hd_inflater *inflater;
		assert_int_equal(nghttp2_hd_deflate_new(&deflater, 4096), 0);
		assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
		tl_hpack_init(&table, false);
		for (uint32_t i = 0; i < 3; i++) {
			uint32_t len = random_block(deflater, block, sizeof(block));
			for (uint32_t n = below(3); n != 0; n--)
				block[below(len)] = (uint8_t)below(256);
			bool fine = judge(inflater, block, len);
			bool ours = read_in_pieces(&table, block, len);
			if (!fine)
				break;
			assert_true(ours);
			if (!got.is_cut) {
				assert_int_equal(got.len, want.len);
				assert_memory_equal(got.text, want.text, want.len);
			}
			taken++;
		}
		nghttp2_hd_deflate_del(deflater);
		nghttp2_hd_inflate_del(inflater);
	}
	assert_true(taken > ROUNDS);
}

// What real peers sent: whole connections are equal, late joins are honest.
struct judged {
	struct {
		nghttp2_hd_inflater *inflater;
		struct hpack whole;
		struct hpack late; // from the third block on
		uint32_t blocks;
	} lanes[RECORDED_LANES_MAX];
	uint32_t blocks;
	uint32_t told; // to who came late
	uint32_t untold;
};

static void judge_block(void *arg, uint32_t at, const uint8_t *block, uint32_t len)
{
	struct judged *judged = (struct judged *)arg;

	judged->blocks++;
	if (judged->lanes[at].inflater == NULL) {
		assert_int_equal(nghttp2_hd_inflate_new(&judged->lanes[at].inflater), 0);
		tl_hpack_init(&judged->lanes[at].whole, false);
		tl_hpack_init(&judged->lanes[at].late, true);
	}
	assert_true(judge(judged->lanes[at].inflater, block, len));
	assert_true(read_in_pieces(&judged->lanes[at].whole, block, len));
	if (!got.is_cut)
		assert_string_equal(got.text, want.text);
	assert_int_equal(got.unknown, 0);
	if (++judged->lanes[at].blocks < 3)
		return;
	assert_true(read_in_pieces(&judged->lanes[at].late, block, len));
	if (!got.is_cut)
		assert_honest();
	judged->told += got.unknown == 0;
	judged->untold += got.unknown != 0;
}

static void same_as_nghttp2_on_recorded_blocks(void **state)
{
	const char *const *paths = (const char *const *)*state;
	static struct judged judged;

	for (uint32_t i = 0; paths[i] != NULL; i++) {
		memset(&judged, 0, sizeof(judged));
		recorded_blocks(paths[i], judge_block, &judged);
		assert_true(judged.blocks > 10);
		print_message("%s: %u blocks; joined late %u wholly told, %u not\n", paths[i],
			      judged.blocks, judged.told, judged.untold);
		for (uint32_t k = 0; k < RECORDED_LANES_MAX; k++)
			if (judged.lanes[k].inflater != NULL)
				nghttp2_hd_inflate_del(judged.lanes[k].inflater);
	}
}

#endif

int main(int argc, char **argv)
{
	char **captures = argv + 1; // of HTTP/2

	(void)argc, (void)captures;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_of_appendix_c2),
		cmocka_unit_test(requests_of_appendix_c3_and_c4),
		cmocka_unit_test(responses_of_appendix_c5_and_c6),
		cmocka_unit_test(names_are_told_by_what_they_are),
		cmocka_unit_test(broken_blocks_are_refused),
		cmocka_unit_test(late_join_names_what_it_saw_and_nothing_else),
		cmocka_unit_test(long_strings_keep_beginning_and_length),
		cmocka_unit_test(own_room_is_bounded),
#ifdef TL_HAVE_NGHTTP2
		cmocka_unit_test(same_as_nghttp2_on_its_blocks),
		cmocka_unit_test(same_as_nghttp2_on_broken_blocks),
		cmocka_unit_test_prestate(same_as_nghttp2_on_recorded_blocks, captures),
#endif
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
