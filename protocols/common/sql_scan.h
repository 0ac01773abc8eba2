// SPDX-License-Identifier: Apache-2.0
// The bytes of SQL words, 16 at a time, and their case, 8 at a time; private to
// protocols/common/sql*.c.
#pragma once

#include "base/bytes.h"

#ifdef __SSSE3__
#include <tmmintrin.h>
#endif

#define SQL_CHUNK_BYTES 16u

enum { SQL_BLANK = 1, SQL_LETTER = 2, SQL_DIGIT = 4 };

// Every byte of UTF-8 beyond ASCII may be part of a name.
static const uint8_t sql_classes[256] = {
	[0] = SQL_BLANK, ['\t'] = SQL_BLANK, ['\n'] = SQL_BLANK, ['\v'] = SQL_BLANK,
	['\f'] = SQL_BLANK, ['\r'] = SQL_BLANK, [' '] = SQL_BLANK,
	['A' ... 'Z'] = SQL_LETTER, ['a' ... 'z'] = SQL_LETTER, ['_'] = SQL_LETTER,
	[0x80 ... 0xff] = SQL_LETTER, ['0' ... '9'] = SQL_DIGIT,
};

static inline bool sql_is(uint8_t c, uint8_t classes)
{
	return (sql_classes[c] & classes) != 0;
}

// Which bytes below 0x80 a word may have: those whose halves have a bit in common here. All others
// may be part of it.
struct sql_halves {
	uint8_t low[16];
	uint8_t high[16];
};

// Letters, digits, _ and $; `at` is the bit of @, 0 if it is none of them.
#define SQL_WORD_HALVES(at) { \
	.low = {[0x0] = 2 | 4 | (at), [0x1 ... 0x3] = 1 | 2 | 4, [0x4] = 1 | 2 | 4 | 16, \
		[0x5 ... 0x9] = 1 | 2 | 4, [0xa] = 1 | 2, [0xb ... 0xe] = 1, [0xf] = 1 | 8}, \
	.high = {[0x2] = 16, [0x3] = 4, [0x4] = 1 | (at), [0x5] = 2 | 8, [0x6] = 1, [0x7] = 2}, \
}

static inline bool sql_is_word_byte(const struct sql_halves *halves, uint8_t c)
{
	return c >= 0x80 || (halves->low[c & 15] & halves->high[c >> 4]) != 0;
}

// How many of the 16 bytes at `p` a word may have before the first that it may not. For processors
// without the instructions below, and their judge in tests.
static inline uint32_t sql_word_run_portable(const struct sql_halves *halves, const uint8_t *p)
{
	uint32_t n = 0;

	while (n < SQL_CHUNK_BYTES && sql_is_word_byte(halves, p[n]))
		n++;
	return n;
}

static inline uint32_t sql_word_run(const struct sql_halves *halves, const uint8_t *p)
{
#ifdef __SSSE3__
	__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i low = _mm_loadu_si128((const __m128i *)(const void *)halves->low);
	__m128i high = _mm_loadu_si128((const __m128i *)(const void *)halves->high);
	__m128i upper = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
	__m128i common = _mm_and_si128(_mm_shuffle_epi8(low, bytes), _mm_shuffle_epi8(high, upper));
	__m128i ends = _mm_cmpeq_epi8(common, _mm_setzero_si128());
	// Of bytes from 0x80 on the first look-up gives 0: their highest bit says otherwise.
	uint32_t bits = (uint32_t)_mm_movemask_epi8(_mm_andnot_si128(bytes, ends));
	return (uint32_t)__builtin_ctz(bits | 1u << SQL_CHUNK_BYTES);
#else
	return sql_word_run_portable(halves, p);
#endif
}

// The highest bit of each of 8 bytes that is a letter of ASCII in [first, last].
static inline uint64_t sql_letters8(uint64_t bytes, uint8_t first, uint8_t last)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t low = bytes & (0x7f * ones);
	uint64_t reach = low + (0x80u - first) * ones;
	uint64_t beyond = low + (0x7fu - last) * ones;

	return (reach ^ beyond) & ~bytes & (0x80 * ones);
}

static inline uint64_t sql_lower8(uint64_t bytes)
{
	return bytes | sql_letters8(bytes, 'A', 'Z') >> 2;
}

static inline uint64_t sql_upper8(uint64_t bytes)
{
	return bytes & ~(sql_letters8(bytes, 'a', 'z') >> 2);
}

// The first `count` of 8 bytes, then zeros.
static inline uint64_t sql_first_bytes(uint64_t bytes, uint32_t count)
{
	return count >= 8 ? bytes : bytes & ((UINT64_C(1) << (8 * count)) - 1);
}

// Writes 8 bytes, the lowest first.
static inline void sql_store8(void *to, uint64_t bytes)
{
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
	bytes = __builtin_bswap64(bytes);
#endif
	memcpy(to, &bytes, sizeof(bytes));
}
