// SPDX-License-Identifier: Apache-2.0
// Stacks and how often each was seen, merged into the list that a flame graph is drawn from. One
// thread.
#pragma once

#include <jansson.h>
#include <stdint.h>

#define TL_FLAME_DEPTH_MAX 128u   // frames of a stack; the innermost are kept
#define TL_FLAME_NODES_MAX 20000u // further frames are left out, their counts stay with the caller

struct tl_flame;

struct tl_flame *tl_flame_create(void);          // NULL on no memory
void tl_flame_destroy(struct tl_flame *flame);   // accepts NULL
// A stack, its outermost frame first, that was seen `count` times.
void tl_flame_add(struct tl_flame *flame, const char *const *frames, uint32_t frame_count,
		  uint64_t count);
// The nodes depth first, a new array of {level, value, self, label}: value is what was seen at and
// below the node, self at the node alone. Level 0 is "all". NULL on no memory.
json_t *tl_flame_json(const struct tl_flame *flame);
