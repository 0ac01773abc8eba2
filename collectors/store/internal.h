// SPDX-License-Identifier: Apache-2.0
// What writing and reading the store share.
#pragma once

#include <stdbool.h>

#define TL_TRACERS_MAX 64u
#define TL_TRACER_NAME_BYTES 64u
#define TL_STORE_SUFFIX ".jsonl"

// Letters, digits, '_' and '-': it becomes a file's name.
bool tl_store_is_name(const char *name);
// Records of this tracer are of the type autotracing. After tl_store_open().
void tl_store_set_autotracing(const char *name);
