// SPDX-License-Identifier: Apache-2.0
#include "config/arena.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_CHUNK_BYTES 16384u // most configurations fit into two of them

struct tl_arena_chunk {
	struct tl_arena_chunk *next;
	size_t size;
	_Alignas(16) unsigned char bytes[];
};

void *tl_arena_take(struct tl_arena *arena, size_t size)
{
	size_t rounded = (size + 15u) & ~(size_t)15u;
	struct tl_arena_chunk *chunk = arena->chunks;

	if (rounded < size)
		return NULL;
	if (chunk == NULL || rounded > chunk->size - arena->used) {
		size_t room = rounded > ARENA_CHUNK_BYTES ? rounded : ARENA_CHUNK_BYTES;

		chunk = (struct tl_arena_chunk *)calloc(1, sizeof(*chunk) + room);
		if (chunk == NULL)
			return NULL;
		chunk->size = room;
		chunk->next = arena->chunks;
		arena->chunks = chunk;
		arena->used = 0;
	}
	void *piece = chunk->bytes + arena->used;
	arena->used += rounded;
	return piece;
}

char *tl_arena_text(struct tl_arena *arena, const char *text, size_t len)
{
	char *copy = (char *)tl_arena_take(arena, len + 1);

	if (copy != NULL && len > 0)
		memcpy(copy, text, len);
	return copy;
}

void tl_arena_fini(struct tl_arena *arena)
{
	while (arena->chunks != NULL) {
		struct tl_arena_chunk *chunk = arena->chunks;

		arena->chunks = chunk->next;
		free(chunk);
	}
	arena->used = 0;
}
