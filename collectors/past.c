// SPDX-License-Identifier: Apache-2.0
#include "collectors/past.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/container/container.h"

struct head {
	char id[TL_CONTAINER_ID_BYTES];
	uint64_t round; // that asked for it last
};

struct tl_past {
	size_t item_size;
	uint64_t round;
	uint32_t count, capacity;
	struct head *heads;
	char *items;
};

struct tl_past *tl_past_create(size_t item_size)
{
	struct tl_past *past = calloc(1, sizeof(*past));

	if (past != NULL)
		past->item_size = item_size;
	return past;
}

void tl_past_destroy(struct tl_past *past)
{
	if (past == NULL)
		return;
	free(past->heads);
	free(past->items);
	free(past);
}

void tl_past_begin(struct tl_past *past)
{
	past->round++;
}

static bool grow(struct tl_past *past)
{
	uint32_t capacity = past->capacity == 0 ? 16 : 2 * past->capacity;

	if (capacity > TL_CONTAINERS_MAX)
		return false;
	struct head *heads = realloc(past->heads, capacity * sizeof(*heads));
	if (heads != NULL)
		past->heads = heads;
	char *items = realloc(past->items, capacity * past->item_size);
	if (items != NULL)
		past->items = items;
	if (heads == NULL || items == NULL)
		return false;
	past->capacity = capacity;
	return true;
}

void *tl_past_of(struct tl_past *past, const char *id, bool *ret_is_new)
{
	uint32_t at = past->count;

	*ret_is_new = false;
	for (uint32_t i = 0; i < past->count; i++) {
		if (strcmp(past->heads[i].id, id) == 0) {
			past->heads[i].round = past->round;
			return past->items + i * past->item_size;
		}
		if (past->heads[i].round + 1 < past->round)
			at = i;
	}
	if (at == past->capacity && !grow(past))
		return NULL;
	past->count += at == past->count;
	(void)snprintf(past->heads[at].id, sizeof(past->heads[at].id), "%s", id);
	past->heads[at].round = past->round;
	*ret_is_new = true;
	return memset(past->items + at * past->item_size, 0, past->item_size);
}
