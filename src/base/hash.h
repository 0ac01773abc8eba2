// SPDX-License-Identifier: Apache-2.0
// Seeded, non-cryptographic hashing. The seed is drawn at start, so that a peer can't aim at a
// bucket; nothing that leaves the process depends on it except connection ids (seed 0 there).
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t tl_hash_mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t tl_hash_word(const uint8_t *p, size_t len)
{
	uint64_t word = 0;
	memcpy(&word, p, len < sizeof(word) ? len : sizeof(word));
	return word;
}

// Multiply-and-fold over 8-byte words (the construction of wyhash), for keys of any length.
static inline uint64_t tl_hash64(const void *key, size_t len, uint64_t seed)
{
	const uint8_t *p = (const uint8_t *)key;
	uint64_t h = seed ^ UINT64_C(0x9e3779b97f4a7c15) ^ len;

	for (; len > 16; p += 16, len -= 16)
		h = tl_hash_mix(tl_hash_word(p, 8) ^ UINT64_C(0xa0761d6478bd642f),
				tl_hash_word(p + 8, 8) ^ h);
	uint64_t low = tl_hash_word(p, len);
	uint64_t high = len > 8 ? tl_hash_word(p + 8, len - 8) : 0;
	h = tl_hash_mix(low ^ UINT64_C(0xe7037ed1a0b428db), high ^ h);
	return tl_hash_mix(h ^ UINT64_C(0x8ebc6af09c88c6e3), UINT64_C(0x589965cc75374cc3));
}
