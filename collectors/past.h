// SPDX-License-Identifier: Apache-2.0
// What a collector remembers of each container from one sample to the next. One thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tl_past;

// Items of `item_size` bytes. NULL on no memory.
struct tl_past *tl_past_create(size_t item_size);
void tl_past_destroy(struct tl_past *past); // accepts NULL
// A new sample begins: items that the previous one did not ask for may make room for others.
void tl_past_begin(struct tl_past *past);
// The item of container `id`, all zero when it is new. NULL: there are TL_CONTAINERS_MAX others.
void *tl_past_of(struct tl_past *past, const char *id, bool *ret_is_new);
