// SPDX-License-Identifier: Apache-2.0
#include "collectors/autotracing/levels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tl_level {
	char id[TL_CONTAINER_ID_BYTES];
	bool is_fresh;
	double values[TL_LEVELS_VALUES_MAX];
};

int tl_levels_init(struct tl_levels *levels, const struct tl_level_name *names)
{
	*levels = (struct tl_levels) {.names = names};
	return -pthread_mutex_init(&levels->lock, NULL);
}

void tl_levels_fini(struct tl_levels *levels)
{
	free(levels->items);
	(void)pthread_mutex_destroy(&levels->lock);
}

void tl_levels_begin(struct tl_levels *levels)
{
	uint32_t kept = 0;

	(void)pthread_mutex_lock(&levels->lock);
	for (uint32_t i = 0; i < levels->count; i++) {
		if (!levels->items[i].is_fresh)
			continue;
		levels->items[kept] = levels->items[i];
		levels->items[kept++].is_fresh = false;
	}
	levels->count = kept;
	(void)pthread_mutex_unlock(&levels->lock);
}

static struct tl_level *level_of(struct tl_levels *levels, const char *id)
{
	for (uint32_t i = 0; i < levels->count; i++)
		if (strcmp(levels->items[i].id, id) == 0)
			return &levels->items[i];
	if (levels->count == levels->capacity) {
		uint32_t capacity = levels->capacity == 0 ? 16 : 2 * levels->capacity;
		struct tl_level *items = realloc(levels->items, capacity * sizeof(*items));
		if (capacity > TL_CONTAINERS_MAX || items == NULL) {
			levels->items = items == NULL ? levels->items : items;
			return NULL;
		}
		levels->items = items;
		levels->capacity = capacity;
	}
	struct tl_level *level = &levels->items[levels->count++];
	(void)snprintf(level->id, sizeof(level->id), "%s", id);
	return level;
}

void tl_levels_set(struct tl_levels *levels, const char *id, const double *values)
{
	(void)pthread_mutex_lock(&levels->lock);
	struct tl_level *level = level_of(levels, id);
	for (uint32_t i = 0; level != NULL && i < TL_LEVELS_VALUES_MAX; i++) {
		if (levels->names[i].name == NULL)
			break;
		level->values[i] = values[i];
	}
	if (level != NULL)
		level->is_fresh = true;
	(void)pthread_mutex_unlock(&levels->lock);
}

void tl_levels_emit(struct tl_levels *levels, struct tl_emit *emit)
{
	struct tl_container *container = malloc(sizeof(*container));

	(void)pthread_mutex_lock(&levels->lock);
	for (uint32_t i = 0; container != NULL && i < levels->count; i++) {
		if (!tl_container_by_id(levels->items[i].id, container))
			continue;
		for (uint32_t k = 0; k < TL_LEVELS_VALUES_MAX && levels->names[k].name != NULL; k++)
			tl_emit_container_gauge(emit, container, levels->names[k].name,
						levels->items[i].values[k], levels->names[k].help,
						TL_NO_LABELS);
	}
	(void)pthread_mutex_unlock(&levels->lock);
	free(container);
}
