// SPDX-License-Identifier: Apache-2.0
// A bounded queue of variable-length messages from one producer thread to one consumer thread,
// without locks: finished records on their way from a worker to the control lcore.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tl_ring;

// Reserves a ring of `bytes` (rounded up to a power of two, at least 4096). NULL on no memory.
struct tl_ring *tl_ring_create(size_t bytes);
void tl_ring_destroy(struct tl_ring *ring);

// Producer: room for a message of `len` bytes (8-aligned), or NULL when the ring is too full for
// it now. Nothing is visible to the consumer before tl_ring_commit. One reservation at a time.
void *tl_ring_reserve(struct tl_ring *ring, uint32_t len);

// Producer: publishes the reserved message, of which `len` bytes (at most those reserved) count.
void tl_ring_commit(struct tl_ring *ring, uint32_t len);

// The longest message this ring can ever hold.
uint32_t tl_ring_message_max(const struct tl_ring *ring);

// Consumer: the oldest message, or NULL when there is none. Stays valid until tl_ring_release.
const void *tl_ring_peek(struct tl_ring *ring, uint32_t *ret_len);
void tl_ring_release(struct tl_ring *ring);

// Either side, approximate: bytes waiting.
size_t tl_ring_used(const struct tl_ring *ring);
