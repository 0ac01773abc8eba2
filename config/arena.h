// SPDX-License-Identifier: Apache-2.0
// The memory of one configuration: given piece by piece, freed as a whole. Not thread-safe.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct tl_arena_chunk;

struct tl_arena {
	struct tl_arena_chunk *chunks; // newest first
	size_t used;                   // of the newest
};

// Gives `size` zeroed bytes, aligned to 16; NULL on no memory.
void *tl_arena_take(struct tl_arena *arena, size_t size);
// Copies `len` bytes and adds a NUL. NULL on no memory.
char *tl_arena_text(struct tl_arena *arena, const char *text, size_t len);
// Frees everything. Accepts a zeroed arena.
void tl_arena_fini(struct tl_arena *arena);
