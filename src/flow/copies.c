// SPDX-License-Identifier: Apache-2.0
#include "flow/copies.h"

#include "base/check.h"
#include "base/hash.h"

#include <errno.h>

#define STAMP_UNITS 256u    // per window: resolution of the ages kept
#define STEAL_TRIES 8u      // slots looked at for one that is no longer needed
#define PRINT_PAYLOAD 32u   // bytes of a datagram that enter its fingerprint

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

static inline uint64_t word_at(const uint8_t *p)
{
	uint64_t word;
	memcpy(&word, p, sizeof(word));
	return word;
}

// The rare cases of the following two, out of the way of the others.
static __attribute__((noinline)) uint64_t hash_options(const uint8_t *options, uint32_t len)
{
	return len == 0 ? 0 : tl_hash64(options, len, 0);
}

static __attribute__((noinline)) uint64_t first_bytes(const struct tl_packet *packet,
						      const struct tl_headers *h)
{
	uint64_t word = 0;
	uint32_t len = h->payload_len < sizeof(word) ? h->payload_len : sizeof(word);

	(void)tl_packet_copy(packet, h->payload_offset, len, &word);
	return word;
}

// Selective acknowledgements differ between otherwise equal ACKs; routers rewrite the MSS of SYNs.
static inline uint64_t options_word(const struct tl_packet *packet, const struct tl_headers *h)
{
	const uint8_t *options =
		packet->chunks[0].data + h->payload_offset - h->tcp_options_len;

	if (h->tcp_options_len == 0 || (h->tcp_flags & TL_TCP_SYN) != 0)
		return 0;
	if (TL_LIKELY(h->tcp_options_len == 12)) // the time stamps behind two fillers
		return word_at(options + 4);
	return hash_options(options, h->tcp_options_len);
}

// A word of the payload will do: at an equal sequence number it hardly ever differs.
static inline uint64_t payload_word(const struct tl_packet *packet, const struct tl_headers *h)
{
	const struct tl_chunk *first = &packet->chunks[0];

	if (TL_LIKELY(h->payload_len >= sizeof(uint64_t) &&
		      h->payload_offset + sizeof(uint64_t) <= first->len))
		return word_at(first->data + h->payload_offset);
	return h->payload_len == 0 ? 0 : first_bytes(packet, h);
}

// The beginning of a datagram: nothing else tells two queries of one socket apart for sure.
static __attribute__((noinline)) uint64_t datagram_word(const struct tl_packet *packet,
							const struct tl_headers *h)
{
	uint8_t head[PRINT_PAYLOAD];
	uint32_t len = h->payload_len < PRINT_PAYLOAD ? h->payload_len : PRINT_PAYLOAD;

	len = tl_packet_copy(packet, h->payload_offset, len, head);
	return tl_hash64(head, len, 0);
}

uint32_t tl_packet_fingerprint(const struct tl_packet *packet, const struct tl_headers *h)
{
	bool is_tcp = h->tuple.protocol == 6;
	uint64_t first = is_tcp ? options_word(packet, h) : datagram_word(packet, h);
	uint64_t second = is_tcp ? payload_word(packet, h) : 0;
	uint64_t print = tl_hash_mix(((uint64_t)h->tcp_seq << 32 | h->tcp_ack) ^
					     UINT64_C(0xa0761d6478bd642f),
				     ((uint64_t)h->payload_wire_len << 32 |
				      (uint64_t)h->ip_id << 16 | h->tcp_window) ^
					     UINT64_C(0xe7037ed1a0b428db));

	print ^= tl_hash_mix(first ^ UINT64_C(0x8ebc6af09c88c6e3),
			     ((uint64_t)h->tuple.source_port << 16 |
			      (uint64_t)h->tuple.source[15] << 8 | h->tcp_flags) ^
				     UINT64_C(0x589965cc75374cc3));
	print ^= second * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t folded = (uint32_t)(print >> 32) ^ (uint32_t)print;
	return folded != 0 ? folded : 1; // 0 marks a free place
}
