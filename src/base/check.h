// SPDX-License-Identifier: Apache-2.0
// Assertions for our own bugs. What a peer sends is never asserted on: it is counted.
#pragma once

#include <stddef.h>

// Our own bug, outside per-packet code: aborts in every build, after one line that names it.
#define TL_ASSERT(condition) \
	((condition) ? (void)0 : tl_assert_failed(#condition, __FILE__, __LINE__))

// Our own bug on the hot path: aborts in debug, test and fuzz builds, costs nothing in release.
#ifdef TL_DEBUG
#define TL_CHECK(condition) TL_ASSERT(condition)
#else
#define TL_CHECK(condition) ((void)sizeof(condition))
#endif

#define TL_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define TL_LIKELY(x) __builtin_expect(!!(x), 1)
#define TL_UNLIKELY(x) __builtin_expect(!!(x), 0)

_Noreturn void tl_assert_failed(const char *condition, const char *file, int line);
