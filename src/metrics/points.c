// SPDX-License-Identifier: Apache-2.0
#include "metrics/points.h"

#include "base/text.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 16384u

// Texts live in blocks that don't move, so that points may refer to them while the list grows.
struct block {
	struct block *next;
	size_t used, size;
	_Alignas(16) char data[];
};

struct tl_points {
	_Atomic uint32_t users;
	uint32_t count, capacity;
	struct tl_point *items;
	struct block *blocks;
	struct tl_text value; // of the label being added
};

struct tl_points *tl_points_create(void)
{
	struct tl_points *points = calloc(1, sizeof(*points));

	if (points != NULL)
		points->users = 1;
	return points;
}

static void *take(struct tl_points *points, size_t size)
{
	size = (size + 15) & ~(size_t)15;
	if (points->blocks == NULL || points->blocks->size - points->blocks->used < size) {
		size_t want = size > BLOCK_BYTES ? size : BLOCK_BYTES;
		struct block *block = malloc(sizeof(*block) + want);
		if (block == NULL)
			return NULL;
		*block = (struct block) {.next = points->blocks, .size = want};
		points->blocks = block;
	}
	void *memory = points->blocks->data + points->blocks->used;
	points->blocks->used += size;
	return memory;
}

static const char *copy_text(struct tl_points *points, const char *text)
{
	size_t size = strlen(text) + 1;
	void *copy = take(points, size);

	return copy == NULL ? NULL : memcpy(copy, text, size);
}

// Names of files, tasks and containers may be any bytes: one that is no UTF-8 would spoil the page for
// whoever reads it.
static const char *copy_value(struct tl_points *points, const char *value)
{
	tl_text_clear(&points->value);
	tl_text_puts(&points->value, "");
	tl_text_utf8(&points->value, tl_bytes_of(value), false);
	return copy_text(points, points->value.data);
}

// Neighbours mostly are of one family: its texts are then shared.
static bool set_names(struct tl_points *points, struct tl_point *to, const struct tl_point *from)
{
	const struct tl_point *last = points->count == 0 ? NULL : &points->items[points->count - 1];

	if (last != NULL && strcmp(last->family, from->family) == 0) {
		to->family = last->family;
		to->help = last->help;
	} else {
		to->family = copy_text(points, from->family);
		to->help = copy_text(points, from->help);
	}
	return to->family != NULL && to->help != NULL;
}

static bool set_labels(struct tl_points *points, struct tl_point *to, const struct tl_point *from)
{
	struct tl_label *labels = take(points, (from->label_count + 1) * sizeof(*labels));

	if (labels == NULL)
		return false;
	for (uint32_t i = 0; i < from->label_count; i++) {
		labels[i].name = copy_text(points, from->labels[i].name);
		labels[i].value = copy_value(points, from->labels[i].value);
		if (labels[i].name == NULL || labels[i].value == NULL)
			return false;
	}
	to->labels = labels;
	to->label_count = from->label_count;
	return true;
}

bool tl_points_add(struct tl_points *points, const struct tl_point *point)
{
	if (points->count == TL_POINTS_MAX || point->label_count > TL_POINT_LABELS_MAX)
		return false;
	if (points->count == points->capacity) {
		uint32_t capacity = points->capacity == 0 ? 64 : points->capacity * 2;
		struct tl_point *items = realloc(points->items, capacity * sizeof(*items));
		if (items == NULL)
			return false;
		points->items = items;
		points->capacity = capacity;
	}
	struct tl_point *to = &points->items[points->count];
	*to = *point;
	if (!set_names(points, to, point) || !set_labels(points, to, point))
		return false;
	points->count++;
	return true;
}

struct tl_points *tl_points_get(struct tl_points *points)
{
	atomic_fetch_add_explicit(&points->users, 1, memory_order_relaxed);
	return points;
}

void tl_points_put(struct tl_points *points)
{
	if (points == NULL ||
	    atomic_fetch_sub_explicit(&points->users, 1, memory_order_acq_rel) != 1)
		return;
	while (points->blocks != NULL) {
		struct block *block = points->blocks;
		points->blocks = block->next;
		free(block);
	}
	tl_text_free(&points->value);
	free(points->items);
	free(points);
}

uint32_t tl_points_count(const struct tl_points *points)
{
	return points->count;
}

const struct tl_point *tl_points_at(const struct tl_points *points, uint32_t index)
{
	return &points->items[index];
}
