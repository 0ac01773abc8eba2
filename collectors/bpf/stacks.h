// SPDX-License-Identifier: Apache-2.0
// Many sampled stacks, added up to a flame graph. One thread.
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "collectors/bpf/perf.h"
#include "collectors/bpf/symbols.h"

#define TL_STACKS_MAX 8192u       // different ones; more are counted as left out
#define TL_FLAME_FRAMES_MAX 20000u // of a graph

struct tl_stacks;

struct tl_stacks *tl_stacks_create(void); // NULL on no memory
void tl_stacks_destroy(struct tl_stacks *stacks); // accepts NULL
void tl_stacks_add(struct tl_stacks *stacks, const struct tl_perf_sample *sample);
uint64_t tl_stacks_count(const struct tl_stacks *stacks);    // samples added
uint64_t tl_stacks_left_out(const struct tl_stacks *stacks); // and those that found no room

// [{"level", "value", "self", "label"}, ...], each frame before those it called: level 0 is "all",
// 1 the process' command, then functions from the outermost in, those of the kernel last. A new
// reference; NULL on no memory.
json_t *tl_stacks_flame(struct tl_stacks *stacks);
