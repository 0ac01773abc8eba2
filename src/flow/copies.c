// SPDX-License-Identifier: Apache-2.0
#include "flow/copies.h"

#include "base/check.h"
#include "base/hash.h"

#include <errno.h>

#define STAMP_UNITS 256u    // per window: resolution of the ages kept
#define STEAL_TRIES 8u      // slots looked at for one that is no longer needed
#define PRINT_PAYLOAD 32u   // payload bytes that enter a fingerprint: four words
#define PRINT_OPTIONS 40u   // the most TCP options there are

int tl_copies_init(struct tl_copies *copies, const struct tl_flow_options *options)
{
	uint64_t count =
		options->flows_max < TL_COPIES_SLOTS_MAX ? options->flows_max : TL_COPIES_SLOTS_MAX;

	*copies = (struct tl_copies) {.window_ns = options->duplicate_ns};
	while (copies->window_ns >> copies->unit_shift > STAMP_UNITS)
		copies->unit_shift++;
	return tl_pool_init(&copies->pool, sizeof(struct tl_copies_slot), (uint32_t)count);
}

void tl_copies_fini(struct tl_copies *copies)
{
	tl_pool_fini(&copies->pool);
}

// A slot for a flow that has none: fresh memory first, then the next one whose owner has been
// silent for longer than copies are looked for, so that stealing changes no decision.
static struct tl_copies_slot *take_slot(struct tl_copies *copies, struct tl_flow *flow, uint64_t now_ns)
{
	struct tl_copies_slot *slot = NULL;

	if (copies->pool.touched < copies->pool.count) {
		slot = tl_pool_take(&copies->pool);
	} else {
		for (uint32_t i = 0; i < STEAL_TRIES; i++) {
			copies->hand = copies->hand + 1 < copies->pool.count ? copies->hand + 1 : 0;
			slot = tl_pool_at(&copies->pool, copies->hand);
			if (slot->last_ns + copies->window_ns < now_ns)
				break;
		}
	}
	flow->copies = tl_pool_index(&copies->pool, slot);
	slot->owner = flow->serial;
	slot->last_ns = 0;
	return slot;
}

// The places with this fingerprint, as bits.
static inline uint32_t match(const struct tl_copies_slot *slot, uint32_t print)
{
#ifdef __SSE2__
	const __m128i *four = (const __m128i *)(const void *)slot->print;
	__m128i want = _mm_set1_epi32((int)print);
	__m128i low = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_loadu_si128(four), want),
				      _mm_cmpeq_epi32(_mm_loadu_si128(four + 1), want));
	__m128i high = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_loadu_si128(four + 2), want),
				       _mm_cmpeq_epi32(_mm_loadu_si128(four + 3), want));
	return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high));
#else
	uint32_t hits = 0;
	for (uint32_t i = 0; i < TL_COPIES_KEPT; i++)
		hits |= (uint32_t)(slot->print[i] == print) << i;
	return hits;
#endif
}

bool tl_copies_is_copy(struct tl_copies *copies, struct tl_flow *flow, uint32_t print, uint64_t now_ns)
{
	struct tl_copies_slot *slot = NULL;

	if (copies->window_ns == 0)
		return false;
	if (flow->copies != TL_POOL_NONE)
		slot = tl_pool_at(&copies->pool, flow->copies);
	if (slot == NULL || slot->owner != flow->serial)
		slot = take_slot(copies, flow, now_ns);
	// Nothing in the slot is young enough; this also keeps the short stamps from wrapping.
	if (now_ns > slot->last_ns + copies->window_ns) {
		memset(slot->print, 0, sizeof(slot->print));
		slot->next = 0;
	}
	uint16_t stamp = (uint16_t)(now_ns >> copies->unit_shift);
	int32_t window = (int32_t)(copies->window_ns >> copies->unit_shift) + 1;
	uint32_t hits = match(slot, print);
	if (slot->last_ns < now_ns)
		slot->last_ns = now_ns;
	for (; hits != 0; hits &= hits - 1) {
		// A packet stamped a little before its copy is one, too.
		int32_t age = (int16_t)(uint16_t)(stamp - slot->stamp[__builtin_ctz(hits)]);
		if (age <= window && age >= -window)
			return true;
	}
	slot->print[slot->next] = print;
	slot->stamp[slot->next] = stamp;
	slot->next = (slot->next + 1) % TL_COPIES_KEPT;
	return false;
}

// TCP options end where the payload begins; where they begin follows from the IP header for IPv4
// and plain IPv6. Selective acknowledgements differ between otherwise equal ACKs.
static uint32_t options_of(const struct tl_packet *packet, const struct tl_headers *h,
			   const uint8_t **ret_options)
{
	const struct tl_chunk *first = &packet->chunks[0];
	uint32_t l4 = h->l3_offset + 40;

	if ((h->tcp_flags & TL_TCP_SYN) != 0 || h->l3_offset >= first->len ||
	    h->payload_offset > first->len)
		return 0; // routers rewrite the MSS of SYNs
	if (h->tuple.ip_version == 4)
		l4 = h->l3_offset + (first->data[h->l3_offset] & 0x0fu) * 4u;
	if (l4 + 20 > h->payload_offset || h->payload_offset - l4 - 20 > PRINT_OPTIONS)
		return 0;
	*ret_options = first->data + l4 + 20;
	return h->payload_offset - l4 - 20;
}

uint32_t tl_packet_fingerprint(const struct tl_packet *packet, const struct tl_headers *h)
{
	const uint64_t word[4] = {
		(uint64_t)h->tcp_seq << 32 | h->tcp_ack,
		(uint64_t)h->payload_wire_len << 32 | (uint64_t)h->ip_id << 16 | h->tcp_window,
		(uint64_t)h->tcp_timestamp << 32 | (uint64_t)h->tcp_flags << 8 | h->tuple.protocol,
		(uint64_t)h->tuple.source_port << 16 | h->tuple.source[15],
	};
	uint64_t print = tl_hash_mix(word[0] ^ UINT64_C(0xa0761d6478bd642f),
				     word[1] ^ UINT64_C(0xe7037ed1a0b428db));
	print ^= tl_hash_mix(word[2] ^ UINT64_C(0x8ebc6af09c88c6e3),
			     word[3] ^ UINT64_C(0x589965cc75374cc3));
	const uint8_t *options = NULL;
	uint32_t options_len = h->tuple.protocol == 6 ? options_of(packet, h, &options) : 0;
	if (options_len == 12) // time stamps only, on nearly every segment
		print = tl_hash_mix(print ^ tl_hash_word(options, 8), tl_hash_word(options + 4, 8) | 1);
	else if (options_len != 0)
		print = tl_hash64(options, options_len, print);
	if (h->payload_len != 0) {
		uint8_t head[PRINT_PAYLOAD];
		const struct tl_chunk *first = &packet->chunks[0];
		const uint8_t *bytes = head;
		uint32_t len = h->payload_len < PRINT_PAYLOAD ? h->payload_len : PRINT_PAYLOAD;
		if (h->payload_offset + len <= first->len)
			bytes = first->data + h->payload_offset;
		else
			len = tl_packet_copy(packet, h->payload_offset, len, head);
		if (len == PRINT_PAYLOAD) // fixed loads: half the time of the general hash
			print = tl_hash_mix(print ^ tl_hash_word(bytes, 8),
					    tl_hash_word(bytes + 8, 8) | 1) ^
				tl_hash_mix(print ^ tl_hash_word(bytes + 16, 8),
					    tl_hash_word(bytes + 24, 8) ^
						    UINT64_C(0xe7037ed1a0b428db));
		else
			print = tl_hash64(bytes, len, print);
	}
	uint32_t folded = (uint32_t)(print >> 32) ^ (uint32_t)print;
	return folded != 0 ? folded : 1; // 0 marks a free place
}
