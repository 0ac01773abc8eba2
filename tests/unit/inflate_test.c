// SPDX-License-Identifier: Apache-2.0
// What packs is the library itself; what unpacks is ours, in any pieces.
#include "l7/inflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#if TL_HAVE_ZSTD
#include <zstd.h>
#endif
#include <snappy-c.h>

#include <cmocka.h>

#define PLAIN_BYTES 200000u

static struct tl_counters counters;
static uint8_t plain[PLAIN_BYTES], packed[PLAIN_BYTES * 7 / 6 + 4096], back[PLAIN_BYTES + 1];

static uint64_t count_of(enum tl_counter id)
{
	return counters.at[id];
}

static struct tl_inflaters *make(void)
{
	memset(&counters, 0, sizeof(counters));
	struct tl_inflaters *all = tl_inflaters_create(&counters);
	assert_non_null(all);
	return all;
}

// Rows of a table, half of it noise.
static void fill(uint32_t seed)
{
	for (uint32_t i = 0; i < PLAIN_BYTES; i++) {
		seed = seed * 1664525u + 1013904223u;
		plain[i] = (i / 64) % 2 == 0 ? (uint8_t)(seed >> 24) : (uint8_t)("a row"[i % 5]);
	}
}

static uint32_t pack(enum tl_codec codec, uint32_t len)
{
#if TL_HAVE_ZSTD
	if (codec == TL_CODEC_ZSTD)
		return (uint32_t)ZSTD_compress(packed, sizeof(packed), plain, len, 3);
#endif
	if (codec == TL_CODEC_SNAPPY) {
		size_t size = sizeof(packed);
		assert_int_equal(snappy_compress((char *)plain, len, (char *)packed, &size), 0);
		return (uint32_t)size;
	}
	uLongf size = sizeof(packed);
	assert_int_equal(codec, TL_CODEC_ZLIB);
	assert_int_equal(compress(packed, &size, plain, len), Z_OK);
	return (uint32_t)size;
}

// Feeds `len` packed bytes in pieces; gives the last result and what came out.
static enum tl_inflated unpack(struct tl_inflaters *all, uint16_t inflater, uint32_t len,
			       uint32_t piece, uint32_t *ret_len)
{
	enum tl_inflated result = TL_INFLATED_HUNGRY;

	*ret_len = 0;
	for (uint32_t at = 0; at < len && result == TL_INFLATED_HUNGRY; at += piece) {
		struct tl_bytes rest = tl_bytes(packed + at, len - at < piece ? len - at : piece);
		struct tl_bytes out;
		while ((result = tl_inflater_run(all, inflater, &rest, &out)) == TL_INFLATED_CHUNK) {
			assert_true(*ret_len + out.len <= sizeof(back));
			assert_true(out.len <= TL_INFLATE_CHUNK_BYTES);
			if (out.len != 0)
				memcpy(back + *ret_len, out.ptr, out.len);
			*ret_len += out.len;
		}
	}
	return result;
}

static void round_trip(enum tl_codec codec, uint32_t len, uint32_t piece)
{
	struct tl_inflaters *all = make();
	uint32_t got;

	// More often than there are contexts: each must come back as good as new.
	for (uint32_t round = 0; round < 70; round++) {
		fill(round);
		uint32_t size = pack(codec, len);
		uint16_t inflater = tl_inflater_rent(all, codec, size, len);
		assert_int_not_equal(inflater, 0);
		assert_int_equal(unpack(all, inflater, size, piece == 0 ? size : piece, &got),
				 TL_INFLATED_END);
		assert_int_equal(got, len);
		assert_memory_equal(back, plain, len);
		tl_inflater_return(all, inflater);
	}
	assert_int_equal(tl_inflaters_used(all), 0);
	assert_int_equal(count_of(TL_COUNT_INFLATED), 70ull * len);
	tl_inflaters_destroy(all);
}

static void zlib_in_any_pieces(void **state)
{
	(void)state;
	round_trip(TL_CODEC_ZLIB, PLAIN_BYTES, 0);
	round_trip(TL_CODEC_ZLIB, PLAIN_BYTES, 1460);
	round_trip(TL_CODEC_ZLIB, 300, 1);
	round_trip(TL_CODEC_ZLIB, 1, 1);
}

static void what_is_not_built_in_is_counted(void **state)
{
	(void)state;
	struct tl_inflaters *all = make();

	tl_inflater_return(all, tl_inflater_rent(all, TL_CODEC_ZSTD, 10, 10));
	assert_int_equal(count_of(TL_COUNT_INFLATE_NOT_BUILT), !TL_HAVE_ZSTD);
	assert_int_equal(tl_inflaters_used(all), 0);
	tl_inflaters_destroy(all);
}

static void contexts_run_out(void **state)
{
	(void)state;
	struct tl_inflaters *all = make();
	uint16_t held[TL_INFLATE_ZLIB_CONTEXTS];
	uint32_t got;

	fill(1);
	uint32_t size = pack(TL_CODEC_ZLIB, 1000);
	for (uint32_t i = 0; i < TL_INFLATE_ZLIB_CONTEXTS; i++) {
		held[i] = tl_inflater_rent(all, TL_CODEC_ZLIB, size, 1000);
		assert_int_not_equal(held[i], 0);
	}
	assert_int_equal(tl_inflater_rent(all, TL_CODEC_ZLIB, size, 1000), 0);
	assert_int_equal(count_of(TL_COUNT_INFLATE_NO_CONTEXT), 1);
	// All of them work side by side.
	for (uint32_t i = 0; i < TL_INFLATE_ZLIB_CONTEXTS; i++) {
		assert_int_equal(unpack(all, held[i], size, 100, &got), TL_INFLATED_END);
		assert_memory_equal(back, plain, 1000);
		tl_inflater_return(all, held[i]);
	}
	assert_int_not_equal(tl_inflater_rent(all, TL_CODEC_ZLIB, size, 1000), 0);
	tl_inflaters_destroy(all);
}

static void sizes_must_be_true(void **state)
{
	(void)state;
	struct tl_inflaters *all = make();
	uint32_t got;

	fill(2);
	uint32_t size = pack(TL_CODEC_ZLIB, 70000);
	for (uint32_t said = 69999; said <= 70001; said++) {
		uint16_t inflater = tl_inflater_rent(all, TL_CODEC_ZLIB, size, said);
		assert_int_equal(unpack(all, inflater, size, size, &got),
				 said == 70000 ? TL_INFLATED_END : TL_INFLATED_FAILED);
		assert_true(got <= said);
		tl_inflater_return(all, inflater);
	}
	assert_int_equal(count_of(TL_COUNT_INFLATE_BROKEN), 2);
	tl_inflaters_destroy(all);
}

static void what_is_broken_fails(void **state)
{
	(void)state;
	struct tl_inflaters *all = make();
	uint32_t got;

	fill(3);
	uint32_t size = pack(TL_CODEC_ZLIB, 5000);
	packed[size - 1] ^= 1; // of the check sum
	uint16_t inflater = tl_inflater_rent(all, TL_CODEC_ZLIB, size, 5000);
	assert_int_equal(unpack(all, inflater, size, 77, &got), TL_INFLATED_FAILED);
	tl_inflater_return(all, inflater);
	// The same context goes on with the next frame.
	size = pack(TL_CODEC_ZLIB, 5000);
	assert_int_equal(tl_inflater_rent(all, TL_CODEC_ZLIB, size, 5000), inflater);
	assert_int_equal(unpack(all, inflater, size, 77, &got), TL_INFLATED_END);
	assert_int_equal(count_of(TL_COUNT_INFLATE_BROKEN), 1);
	tl_inflaters_destroy(all);
}

static void bombs_are_refused(void **state)
{
	(void)state;
	struct tl_inflaters *all = make();

	assert_int_equal(tl_inflater_rent(all, TL_CODEC_ZLIB, 1000, 16u << 20), 0);
	assert_int_equal(count_of(TL_COUNT_INFLATE_RATIO), 1);
	// What zlib really reaches is none.
	assert_int_not_equal(tl_inflater_rent(all, TL_CODEC_ZLIB, 16300, 16u << 20), 0);
	assert_int_not_equal(tl_inflater_rent(all, TL_CODEC_ZLIB, 1, TL_INFLATE_FREE_BYTES), 0);
	tl_inflaters_destroy(all);
}

#if TL_HAVE_ZSTD
static void zstd_in_any_pieces(void **state)
{
	(void)state;
	round_trip(TL_CODEC_ZSTD, PLAIN_BYTES, 0);
	round_trip(TL_CODEC_ZSTD, PLAIN_BYTES, 1460);
	round_trip(TL_CODEC_ZSTD, 300, 1);
	round_trip(TL_CODEC_ZSTD, 1, 1);
}

static void zstd_windows_are_bounded(void **state)
{
	(void)state;
	struct tl_inflaters *all = make();
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	ZSTD_inBuffer in = {.src = plain, .size = 1000};
	ZSTD_outBuffer out = {.dst = packed, .size = sizeof(packed)};
	uint32_t got;

	// A frame that doesn't tell its length needs all of its window.
	for (int log = 21; log <= 23; log++) {
		fill(4);
		in.pos = out.pos = 0;
		assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, log)));
		assert_false(ZSTD_isError(ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_flush)));
		assert_false(ZSTD_isError(ZSTD_compressStream2(zstd, &out, &in, ZSTD_e_end)));
		uint16_t inflater = tl_inflater_rent(all, TL_CODEC_ZSTD, out.pos, 1000);
		assert_int_equal(unpack(all, inflater, (uint32_t)out.pos, 100, &got),
				 log <= 21 ? TL_INFLATED_END : TL_INFLATED_FAILED);
		tl_inflater_return(all, inflater);
	}
	assert_int_equal(count_of(TL_COUNT_INFLATE_WINDOW), 2);
	ZSTD_freeCCtx(zstd);
	tl_inflaters_destroy(all);
}
#endif

static void snappy_in_any_pieces(void **state)
{
	(void)state;
	round_trip(TL_CODEC_SNAPPY, PLAIN_BYTES, 0);
	round_trip(TL_CODEC_SNAPPY, PLAIN_BYTES, 1460);
	round_trip(TL_CODEC_SNAPPY, 3000, 1);
	round_trip(TL_CODEC_SNAPPY, 1, 1);
}

// Unpacks a block given by hand that says it holds `said` bytes.
static enum tl_inflated unsnap(const void *block, uint32_t size, uint32_t said, uint32_t *ret_len)
{
	struct tl_inflaters *all = make();
	uint16_t inflater = tl_inflater_rent(all, TL_CODEC_SNAPPY, size, said);

	memcpy(packed, block, size);
	assert_int_not_equal(inflater, 0);
	enum tl_inflated result = unpack(all, inflater, size, size, ret_len);
	tl_inflater_return(all, inflater);
	tl_inflaters_destroy(all);
	return result;
}

static void snappy_elements(void **state)
{
	(void)state;
	uint32_t got;

	// A run of two, copies of all three forms that reach into themselves.
	static const uint8_t good[] = {26, 1 << 2, 'a', 'b', 1 | 4 << 2, 2, 2 | 7 << 2, 2, 0,
				       3 | 7 << 2, 1, 0, 0, 0};
	assert_int_equal(unsnap(good, sizeof(good), 26, &got), TL_INFLATED_END);
	assert_int_equal(got, 26);
	assert_memory_equal(back, "abababababababababbbbbbbbb", 26);
	// The same said to be longer, shorter, or with a byte behind it.
	assert_int_equal(unsnap(good, sizeof(good), 27, &got), TL_INFLATED_FAILED);
	assert_int_equal(unsnap(good, sizeof(good) - 1, 26, &got), TL_INFLATED_FAILED);
	uint8_t bad[sizeof(good) + 1] = {0};
	memcpy(bad, good, sizeof(good));
	assert_int_equal(unsnap(bad, sizeof(bad), 26, &got), TL_INFLATED_FAILED);
	// A copy from before the beginning, and from nowhere.
	for (uint8_t distance = 0; distance <= 3; distance++) {
		bad[5] = distance;
		assert_int_equal(unsnap(bad, sizeof(good), 26, &got),
				 distance == 1 || distance == 2 ? TL_INFLATED_END
								: TL_INFLATED_FAILED);
	}
	// More than the block holds, in a run and in a copy.
	assert_int_equal(unsnap("\2\xf0\xff", 3, 2, &got), TL_INFLATED_FAILED);
	assert_int_equal(unsnap("\2\xfc\xff\xff\xff\xff", 6, 2, &got), TL_INFLATED_FAILED);
	assert_int_equal(unsnap("\3\0a\x05\1", 5, 3, &got), TL_INFLATED_FAILED);
	// A length that does not end; none at all.
	assert_int_equal(unsnap("\x80\x80\x80\x80\x80\x80", 6, 2, &got), TL_INFLATED_FAILED);
	assert_int_equal(unsnap("\0", 1, 0, &got), TL_INFLATED_END);
}

static void snappy_copies_reach_back_64_kib(void **state)
{
	(void)state;
	static const uint8_t head[] = {0xe4, 0x80, 4, 62 << 2, 0xff, 0xff, 0};
	const uint8_t near[] = {3 | 49 << 2, 0, 0, 1, 0, 3 | 49 << 2, 1, 0, 1, 0};
	struct tl_inflaters *all = make();
	uint32_t got;

	// 65,536 bytes as they are, then twice 50 from 65,536 and from 65,537 bytes before.
	fill(6);
	memcpy(packed, head, sizeof(head));
	memcpy(packed + sizeof(head), plain, 65536);
	memcpy(packed + sizeof(head) + 65536, near, sizeof(near));
	uint32_t size = sizeof(head) + 65536 + sizeof(near);
	uint16_t inflater = tl_inflater_rent(all, TL_CODEC_SNAPPY, size, 65636);
	assert_int_equal(unpack(all, inflater, size, 1000, &got), TL_INFLATED_FAILED);
	assert_true(got > 60000 && got <= 65586); // not the piece in which it fails
	assert_int_equal(count_of(TL_COUNT_INFLATE_WINDOW), 1);
	tl_inflater_return(all, inflater);
	packed[size - 4] = 0;
	inflater = tl_inflater_rent(all, TL_CODEC_SNAPPY, size, 65636);
	assert_int_equal(unpack(all, inflater, size, 1000, &got), TL_INFLATED_END);
	assert_memory_equal(back + 65536, plain, 50);
	assert_memory_equal(back + 65586, plain + 50, 50);
	tl_inflater_return(all, inflater);
	tl_inflaters_destroy(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zlib_in_any_pieces),
		cmocka_unit_test(what_is_not_built_in_is_counted),
		cmocka_unit_test(contexts_run_out),
		cmocka_unit_test(sizes_must_be_true),
		cmocka_unit_test(what_is_broken_fails),
		cmocka_unit_test(bombs_are_refused),
#if TL_HAVE_ZSTD
		cmocka_unit_test(zstd_in_any_pieces),
		cmocka_unit_test(zstd_windows_are_bounded),
#endif
		cmocka_unit_test(snappy_in_any_pieces),
		cmocka_unit_test(snappy_elements),
		cmocka_unit_test(snappy_copies_reach_back_64_kib),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
