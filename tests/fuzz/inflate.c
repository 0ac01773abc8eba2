// SPDX-License-Identifier: Apache-2.0
// Input: a codec, how the bytes are cut, what the frame says of its length, then its bytes. What
// comes out is bounded by what was said and doesn't depend on the cuts.
#include "fuzz.h"

#include "base/hash.h"
#include "l7/inflate.h"

#define HEAD_BYTES 5u

struct outcome {
	uint64_t len;
	uint64_t hash;
	enum tl_inflated result;
};

static struct outcome run(struct tl_inflaters *all, const uint8_t *data, uint32_t size,
			  uint32_t piece)
{
	enum tl_codec codec = (enum tl_codec)(data[0] % (TL_CODEC_SNAPPY + 1));
	uint32_t said = tl_load_le32(data + 1) & 0xffffff;
	struct outcome got = {.result = TL_INFLATED_HUNGRY};

	data += HEAD_BYTES;
	size -= HEAD_BYTES;
	uint16_t inflater = tl_inflater_rent(all, codec, size, said);
	if (inflater == 0)
		return got;
	for (uint32_t at = 0; at < size && got.result == TL_INFLATED_HUNGRY; at += piece) {
		struct tl_bytes rest = tl_bytes(data + at, size - at < piece ? size - at : piece);
		struct tl_bytes out;
		while ((got.result = tl_inflater_run(all, inflater, &rest, &out)) ==
		       TL_INFLATED_CHUNK) {
			for (uint32_t i = 0; i < out.len; i++)
				got.hash = tl_hash_mix(got.hash + 1, out.ptr[i]);
			got.len += out.len;
			FUZZ_CHECK(got.len <= said);
		}
		FUZZ_CHECK(got.result != TL_INFLATED_HUNGRY || rest.len == 0);
		FUZZ_CHECK(got.result != TL_INFLATED_END || got.len == said);
	}
	tl_inflater_return(all, inflater);
	FUZZ_CHECK(tl_inflaters_used(all) == 0);
	return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tl_counters counters;
	static struct tl_inflaters *all;

	if (size <= HEAD_BYTES || size > 1u << 20)
		return 0;
	if (all == NULL)
		all = tl_inflaters_create(&counters);
	FUZZ_CHECK(all != NULL);
	struct outcome whole = run(all, data, (uint32_t)size, (uint32_t)size);
	struct outcome cut = run(all, data, (uint32_t)size, 1u + data[0] / 4);
	FUZZ_CHECK(whole.result == cut.result);
	// What is found broken may be so after more or fewer bytes have come out.
	if (whole.result != TL_INFLATED_FAILED)
		FUZZ_CHECK(whole.len == cut.len && whole.hash == cut.hash);
	return 0;
}
