// SPDX-License-Identifier: Apache-2.0
#include "base/ring.h"

#include "base/check.h"
#include "base/pool.h"

#include <string.h>

#define RING_BYTES_MIN 4096u
#define RING_HEAD_BYTES 8u      // length word before each message; keeps messages 8-aligned
#define RING_WRAP UINT32_MAX    // length word that says: continue at the start of the buffer

struct tl_ring {
	_Alignas(64) _Atomic uint64_t head; // consumer's position, ever growing
	uint64_t tail_seen;                 // consumer's copy of tail
	_Alignas(64) _Atomic uint64_t tail; // producer's position, ever growing
	uint64_t head_seen;                 // producer's copy of head
	uint64_t reserved;                  // where the open reservation's length word lies
	uint32_t reserved_len;
	_Alignas(64) size_t size;
	uint8_t *data;
};

static uint64_t message_bytes(uint32_t len)
{
	return RING_HEAD_BYTES + (((uint64_t)len + 7) & ~(uint64_t)7);
}

struct tl_ring *tl_ring_create(size_t bytes)
{
	size_t size = RING_BYTES_MIN;
	while (size < bytes)
		size *= 2;
	struct tl_ring *ring = tl_map(sizeof(*ring));
	if (ring == NULL)
		return NULL;
	ring->data = tl_map(size);
	if (ring->data == NULL) {
		tl_unmap(ring, sizeof(*ring));
		return NULL;
	}
	ring->size = size;
	return ring;
}

void tl_ring_destroy(struct tl_ring *ring)
{
	if (ring == NULL)
		return;
	tl_unmap(ring->data, ring->size);
	tl_unmap(ring, sizeof(*ring));
}

uint32_t tl_ring_message_max(const struct tl_ring *ring)
{
	// A message may have to leave up to its own length unused before the wrap.
	size_t max = ring->size / 2 - RING_HEAD_BYTES;
	return max < UINT32_MAX - 1 ? (uint32_t)max : UINT32_MAX - 1;
}

void *tl_ring_reserve(struct tl_ring *ring, uint32_t len)
{
	uint64_t need = message_bytes(len);
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	uint64_t at = tail & (ring->size - 1);
	uint64_t pad = at + need > ring->size ? ring->size - at : 0;

	if (len > tl_ring_message_max(ring))
		return NULL;
	if (tail + pad + need - ring->head_seen > ring->size) {
		ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
		if (tail + pad + need - ring->head_seen > ring->size)
			return NULL;
	}
	if (pad != 0) {
		uint32_t wrap = RING_WRAP;
		memcpy(ring->data + at, &wrap, sizeof(wrap));
	}
	ring->reserved = tail + pad;
	ring->reserved_len = len;
	return ring->data + (ring->reserved & (ring->size - 1)) + RING_HEAD_BYTES;
}

void tl_ring_commit(struct tl_ring *ring, uint32_t len)
{
	TL_ASSERT(len <= ring->reserved_len);
	memcpy(ring->data + (ring->reserved & (ring->size - 1)), &len, sizeof(len));
	atomic_store_explicit(&ring->tail, ring->reserved + message_bytes(len),
			      memory_order_release);
}

const void *tl_ring_peek(struct tl_ring *ring, uint32_t *ret_len)
{
	for (;;) {
		uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
		if (head == ring->tail_seen) {
			ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
			if (head == ring->tail_seen)
				return NULL;
		}
		uint64_t at = head & (ring->size - 1);
		uint32_t len;
		memcpy(&len, ring->data + at, sizeof(len));
		if (len != RING_WRAP) {
			*ret_len = len;
			return ring->data + at + RING_HEAD_BYTES;
		}
		atomic_store_explicit(&ring->head, head + ring->size - at, memory_order_release);
	}
}

void tl_ring_release(struct tl_ring *ring)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint32_t len;

	memcpy(&len, ring->data + (head & (ring->size - 1)), sizeof(len));
	atomic_store_explicit(&ring->head, head + message_bytes(len), memory_order_release);
}

size_t tl_ring_used(const struct tl_ring *ring)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	return tail > head ? (size_t)(tail - head) : 0;
}
