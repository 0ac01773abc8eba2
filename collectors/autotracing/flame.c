// SPDX-License-Identifier: Apache-2.0
#include "collectors/autotracing/flame.h"

#include <stdlib.h>
#include <string.h>

// A tree by indices; 0 is the root, and as child or sibling it means that there is none.
struct node {
	char *label;
	uint32_t child, sibling, parent;
	uint64_t value, self;
};

struct tl_flame {
	uint32_t count, capacity;
	struct node *nodes;
};

struct tl_flame *tl_flame_create(void)
{
	struct tl_flame *flame = calloc(1, sizeof(*flame));

	if (flame == NULL)
		return NULL;
	flame->capacity = 256;
	flame->nodes = calloc(flame->capacity, sizeof(*flame->nodes));
	if (flame->nodes == NULL) {
		free(flame);
		return NULL;
	}
	flame->count = 1;
	return flame;
}

void tl_flame_destroy(struct tl_flame *flame)
{
	if (flame == NULL)
		return;
	for (uint32_t i = 0; i < flame->count; i++)
		free(flame->nodes[i].label);
	free(flame->nodes);
	free(flame);
}

// A child of `parent` with this label, 0 when there is no room for it.
static uint32_t child_of(struct tl_flame *flame, uint32_t parent, const char *label)
{
	uint32_t at = flame->nodes[parent].child;

	while (at != 0 && strcmp(flame->nodes[at].label, label) != 0)
		at = flame->nodes[at].sibling;
	if (at != 0 || flame->count == TL_FLAME_NODES_MAX)
		return at;
	if (flame->count == flame->capacity) {
		struct node *nodes = realloc(flame->nodes, 2 * flame->capacity * sizeof(*nodes));
		if (nodes == NULL)
			return 0;
		flame->nodes = nodes;
		flame->capacity *= 2;
	}
	char *copy = strdup(label);
	if (copy == NULL)
		return 0;
	at = flame->count++;
	flame->nodes[at] = (struct node) {
		.label = copy, .parent = parent, .sibling = flame->nodes[parent].child};
	flame->nodes[parent].child = at;
	return at;
}

void tl_flame_add(struct tl_flame *flame, const char *const *frames, uint32_t frame_count,
		  uint64_t count)
{
	uint32_t first = frame_count > TL_FLAME_DEPTH_MAX ? frame_count - TL_FLAME_DEPTH_MAX : 0;
	uint32_t at = 0;

	flame->nodes[0].value += count;
	for (uint32_t i = first; i < frame_count; i++) {
		uint32_t next = child_of(flame, at, frames[i]);
		if (next == 0)
			break;
		at = next;
		flame->nodes[at].value += count;
	}
	flame->nodes[at].self += count;
}

json_t *tl_flame_json(const struct tl_flame *flame)
{
	json_t *list = json_array();
	uint32_t at = 0, level = 0;

	while (list != NULL) {
		const struct node *node = &flame->nodes[at];
		(void)json_array_append_new(
			list, json_pack("{s:i, s:I, s:I, s:s}", "level", (int)level, "value",
					(json_int_t)node->value, "self", (json_int_t)node->self,
					"label", at == 0 ? "all" : node->label));
		if (node->child != 0) {
			at = node->child;
			level++;
			continue;
		}
		while (at != 0 && flame->nodes[at].sibling == 0) {
			at = flame->nodes[at].parent;
			level--;
		}
		if (at == 0)
			break;
		at = flame->nodes[at].sibling;
	}
	return list;
}
