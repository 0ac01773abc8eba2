// SPDX-License-Identifier: Apache-2.0
// Finds the line ends and colons of a head in one pass, a block of 64 bytes at a time: a bit per
// byte, so that the next of them is a count of zeros away.
#pragma once

#include "base/bytes.h"
#include "base/check.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

#define HTTP_BLOCK_BYTES 64u
#define HTTP_NO_COLON UINT32_MAX

// What is still to come of a block.
struct http_scan {
	uint64_t ends; // line feeds
	uint64_t colons;
	uint32_t base; // where the block begins
};

// A bit for each of 8 bytes that is `byte`.
static inline uint64_t http_equal8(const uint8_t *p, uint8_t byte)
{
	const uint64_t low = UINT64_C(0x7f7f7f7f7f7f7f7f);
	uint64_t differs = 0;

	for (uint32_t i = 0; i < 8; i++) // by shifts, whatever the byte order
		differs |= (uint64_t)(p[i] ^ byte) << (8 * i);
	uint64_t zeros = ~(((differs & low) + low) | differs | low) >> 7;
	return (zeros * UINT64_C(0x0102040810204080)) >> 56;
}

// For processors without the instructions below, and the judge of these in tests.
static inline uint64_t http_equal64_portable(const uint8_t *p, uint8_t byte)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < HTTP_BLOCK_BYTES; i += 8)
		bits |= http_equal8(p + i, byte) << i;
	return bits;
}

// A bit for each of 64 bytes that is `byte`.
static inline uint64_t http_equal64(const uint8_t *p, uint8_t byte)
{
#if defined(__AVX2__)
	const __m256i want = _mm256_set1_epi8((char)byte);
	__m256i a = _mm256_loadu_si256((const __m256i *)(const void *)p);
	__m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
	uint32_t low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, want));
	uint32_t high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b, want));
	return (uint64_t)high << 32 | low;
#elif defined(__SSE2__)
	const __m128i want = _mm_set1_epi8((char)byte);
	uint64_t bits = 0;
	for (uint32_t i = 0; i < HTTP_BLOCK_BYTES; i += 16) {
		__m128i a = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
		bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(a, want)) << i;
	}
	return bits;
#else
	return http_equal64_portable(p, byte);
#endif
}

// Reads the block at `base`, which lies within `bytes`, and nothing outside of them.
static inline void http_scan_block(struct http_scan *scan, struct tl_bytes bytes, uint32_t base)
{
	uint8_t copy[HTTP_BLOCK_BYTES];
	const uint8_t *p = bytes.ptr + base;
	uint32_t left = bytes.len - base;
	uint32_t before = 0; // bytes of the block that lie in front of `base`

	if (left < HTTP_BLOCK_BYTES && bytes.len >= HTTP_BLOCK_BYTES) {
		before = HTTP_BLOCK_BYTES - left;
		p -= before;
	} else if (TL_UNLIKELY(left < HTTP_BLOCK_BYTES)) {
		memset(copy, 0, sizeof(copy));
		memcpy(copy, p, left);
		p = copy;
	}
	scan->ends = http_equal64(p, '\n') >> before;
	scan->colons = http_equal64(p, ':') >> before;
	scan->base = base;
}

// Gives the indices of the next line feed and of the first colon before it, HTTP_NO_COLON if there is
// none. False when there is no line feed.
static inline bool http_scan_line(struct http_scan *scan, struct tl_bytes bytes, uint32_t *ret_end,
				  uint32_t *ret_colon)
{
	uint32_t colon = HTTP_NO_COLON;

	while (TL_UNLIKELY(scan->ends == 0)) {
		if (colon == HTTP_NO_COLON && scan->colons != 0)
			colon = scan->base + (uint32_t)__builtin_ctzll(scan->colons);
		if (bytes.len - scan->base <= HTTP_BLOCK_BYTES)
			return false;
		http_scan_block(scan, bytes, scan->base + HTTP_BLOCK_BYTES);
	}
	uint64_t line = scan->ends ^ (scan->ends - 1); // all bits up to the line feed's
	uint64_t colons = scan->colons & line;
	if (colon == HTTP_NO_COLON && colons != 0)
		colon = scan->base + (uint32_t)__builtin_ctzll(colons);
	*ret_end = scan->base + (uint32_t)__builtin_ctzll(scan->ends);
	*ret_colon = colon;
	scan->colons &= ~line;
	scan->ends &= scan->ends - 1;
	return true;
}
