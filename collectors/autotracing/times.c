// SPDX-License-Identifier: Apache-2.0
#include "collectors/autotracing/times.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	uint32_t tid; // 0: free
	uint64_t run_ns, wait_ns;
};

// A hash table of open addressing, at most half full.
struct table {
	uint32_t count, capacity;
	struct entry *entries;
};

struct tl_times {
	struct table before, now;
};

struct tl_times *tl_times_create(void)
{
	return calloc(1, sizeof(struct tl_times));
}

void tl_times_destroy(struct tl_times *times)
{
	if (times == NULL)
		return;
	free(times->before.entries);
	free(times->now.entries);
	free(times);
}

void tl_times_begin(struct tl_times *times)
{
	struct table spare = times->before;

	times->before = times->now;
	spare.count = 0;
	if (spare.capacity != 0)
		memset(spare.entries, 0, spare.capacity * sizeof(*spare.entries));
	times->now = spare;
}

static struct entry *place_of(const struct table *table, uint32_t tid)
{
	uint32_t at = (tid * 2654435761u) & (table->capacity - 1);

	while (table->entries[at].tid != 0 && table->entries[at].tid != tid)
		at = (at + 1) & (table->capacity - 1);
	return &table->entries[at];
}

static bool grow(struct table *table)
{
	struct table larger = {.capacity = table->capacity == 0 ? 1024 : 2 * table->capacity};

	larger.entries = calloc(larger.capacity, sizeof(*larger.entries));
	if (larger.entries == NULL)
		return false;
	for (uint32_t i = 0; i < table->capacity; i++)
		if (table->entries[i].tid != 0)
			*place_of(&larger, table->entries[i].tid) = table->entries[i];
	larger.count = table->count;
	free(table->entries);
	*table = larger;
	return true;
}

bool tl_times_note(struct tl_times *times, uint32_t tid, uint64_t run_ns, uint64_t wait_ns,
		   uint64_t span_ns, uint64_t *ret_run_ns, uint64_t *ret_wait_ns)
{
	const struct entry *old = times->before.count == 0 ? NULL : place_of(&times->before, tid);

	*ret_run_ns = *ret_wait_ns = 0;
	if (2 * (times->now.count + 1) > times->now.capacity && !grow(&times->now))
		return false;
	struct entry *entry = place_of(&times->now, tid);
	times->now.count += entry->tid == 0;
	*entry = (struct entry) {tid, run_ns, wait_ns};
	// Times that went back are those of another thread with the number of an old one.
	if (old == NULL || old->tid != tid || old->run_ns > run_ns || old->wait_ns > wait_ns) {
		*ret_run_ns = run_ns < span_ns ? run_ns : span_ns;
		*ret_wait_ns = wait_ns < span_ns ? wait_ns : span_ns;
	} else {
		*ret_run_ns = run_ns - old->run_ns;
		*ret_wait_ns = wait_ns - old->wait_ns;
	}
	return true;
}
