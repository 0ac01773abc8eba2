// SPDX-License-Identifier: Apache-2.0
// Input: packets of raw IP, each after two bytes of length (little-endian, below 2048) whose top
// bits let time pass. Runs with little memory, so that eviction happens, too.
#include "fuzz.h"

#include "packet/defrag.h"

#define SECOND UINT64_C(1000000000)
#define ROUNDS_MAX 4 // datagrams inside datagrams

static void check_stats(const struct tl_defrag *d)
{
	struct tl_defrag_stats s;

	tl_defrag_stats(d, &s);
	FUZZ_CHECK(s.fragments ==
		   s.used + s.timeouts + s.evicted + s.malformed + s.duplicates + s.held);
}

static void offer(struct tl_defrag *d, const struct tl_packet *packet)
{
	struct tl_headers h;

	for (int i = 0; i < ROUNDS_MAX && packet != NULL; i++) {
		if (tl_packet_decode(packet, &h) != TL_DECODED_FRAGMENT)
			return;
		packet = tl_defrag_add(d, packet, &h);
		check_stats(d);
		if (packet == NULL)
			return;
		FUZZ_CHECK(packet->len <= packet->original_len && packet->len <= 65575);
		FUZZ_CHECK(packet->len == packet->chunks[0].len && packet->is_reassembled);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct tl_defrag_options options = {
		.datagrams_max = 3, .bytes_max = 0, .timeout_ns = 8 * SECOND};
	struct tl_defrag *d = tl_defrag_create(&options);
	uint64_t now = SECOND;

	FUZZ_CHECK(d != NULL);
	while (size >= 2) {
		uint32_t head = tl_load_le16(data);
		uint32_t len = head & 0x7ff;
		data += 2;
		size -= 2;
		if (len > size)
			len = (uint32_t)size;
		now += (head >> 11) * SECOND / 2;
		uint8_t *copy = malloc(len != 0 ? len : 1);
		FUZZ_CHECK(copy != NULL);
		memcpy(copy, data, len);
		struct tl_chunk chunk = {.data = copy, .len = len};
		struct tl_packet packet = {.chunks = &chunk, .chunk_count = 1,
					   .link_type = TL_LINK_RAW, .len = len,
					   .original_len = len, .time_ns = now};
		offer(d, &packet);
		free(copy);
		data += len;
		size -= len;
		if ((head >> 11) == 31)
			tl_defrag_advance(d, now);
	}
	tl_defrag_advance(d, UINT64_MAX);
	struct tl_defrag_stats s;
	tl_defrag_stats(d, &s);
	FUZZ_CHECK(s.held == 0);
	tl_defrag_destroy(d);
	return 0;
}
