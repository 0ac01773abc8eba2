// SPDX-License-Identifier: Apache-2.0
#include "flow/copies.h"

#include "base/check.h"

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

// Selective acknowledgements differ between otherwise equal ACKs; routers rewrite the MSS of SYNs.
uint64_t tl_print_options(const struct tl_packet *packet, const struct tl_headers *h)
{
	uint32_t len = h->tcp_options_len;

	if (len == 0 || (h->tcp_flags & TL_TCP_SYN) != 0)
		return 0;
	return tl_hash64(packet->chunks[0].data + h->payload_offset - len, len, 0);
}

uint64_t tl_print_datagram(const struct tl_packet *packet, const struct tl_headers *h)
{
	uint8_t head[PRINT_PAYLOAD];
	uint32_t len = h->payload_len < PRINT_PAYLOAD ? h->payload_len : PRINT_PAYLOAD;

	len = tl_packet_copy(packet, h->payload_offset, len, head);
	return tl_hash64(head, len, 0);
}

uint64_t tl_print_bytes(const struct tl_packet *packet, const struct tl_headers *h)
{
	uint64_t word = 0;
	uint32_t len = h->payload_len < sizeof(word) ? h->payload_len : sizeof(word);

	(void)tl_packet_copy(packet, h->payload_offset, len, &word);
	return word;
}
