// SPDX-License-Identifier: Apache-2.0
// TL_COLLECTOR() puts a pointer into the section tl_collectors; the linker names its ends.
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "collectors/internal.h"
#include "collectors/manager.h"

// Weak: a program without any collector (a test) has no such section.
extern const struct tl_collector_entry *const __start_tl_collectors[] __attribute__((weak));
extern const struct tl_collector_entry *const __stop_tl_collectors[] __attribute__((weak));

static const struct tl_collector_entry *sorted[TL_COLLECTORS_MAX];
static uint32_t sorted_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int compare(const void *left, const void *right)
{
	const struct tl_collector_entry *const *a = left, *const *b = right;

	return strcmp((*a)->name, (*b)->name);
}

static void sort(void)
{
	for (const struct tl_collector_entry *const *at = __start_tl_collectors;
	     at < __stop_tl_collectors; at++) {
		TL_ASSERT(sorted_count < TL_COLLECTORS_MAX);
		sorted[sorted_count++] = *at;
	}
	qsort(sorted, sorted_count, sizeof(struct tl_collector_entry *), compare);
}

uint32_t tl_collector_count(void)
{
	(void)pthread_once(&once, sort);
	return sorted_count;
}

const struct tl_collector_entry *tl_collector_at(uint32_t index)
{
	return index < tl_collector_count() ? sorted[index] : NULL;
}
