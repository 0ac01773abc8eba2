// SPDX-License-Identifier: Apache-2.0
#include "base/wheel.h"

#include "base/check.h"
#include "base/pool.h"

#include <errno.h>
#include <string.h>

// `prev` of the first id of a slot names the slot; bit 31 tells it from an id. Ids are stored plus
// one, so that the zeroed mapping means "not armed".
#define HEAD 0x80000000u
#define SLOT_MASK (TL_WHEEL_SLOTS - 1)
#define EMPTY_SLOTS_PER_ID 16u // empty slots are read 16 to a cache line: cheaper than an id

static uint64_t tick_of(uint64_t time_ns)
{
	return time_ns >> TL_WHEEL_TICK_SHIFT;
}

int tl_wheel_init(struct tl_wheel *wheel, uint32_t id_count)
{
	if (id_count == 0 || id_count >= HEAD)
		return -EINVAL;
	struct tl_wheel_link *links = tl_map((size_t)id_count * sizeof(*links));
	if (links == NULL)
		return -ENOMEM;
	*wheel = (struct tl_wheel) {.links = links, .id_count = id_count};
	memset(wheel->heads, 0xff, sizeof(wheel->heads));
	return 0;
}

void tl_wheel_fini(struct tl_wheel *wheel)
{
	tl_unmap(wheel->links, (size_t)wheel->id_count * sizeof(*wheel->links));
	*wheel = (struct tl_wheel) {0};
}

void tl_wheel_start(struct tl_wheel *wheel, uint64_t now_ns)
{
	TL_CHECK(wheel->armed == 0);
	wheel->tick = tick_of(now_ns);
}

bool tl_wheel_is_armed(const struct tl_wheel *wheel, uint32_t id)
{
	TL_CHECK(id < wheel->id_count);
	return wheel->links[id].prev != 0;
}

void tl_wheel_disarm(struct tl_wheel *wheel, uint32_t id)
{
	if (!tl_wheel_is_armed(wheel, id))
		return;
	struct tl_wheel_link *link = &wheel->links[id];
	if ((link->prev & HEAD) != 0)
		wheel->heads[link->prev & ~HEAD] = link->next;
	else
		wheel->links[link->prev - 1].next = link->next;
	if (link->next != TL_WHEEL_NONE)
		wheel->links[link->next].prev = link->prev;
	link->prev = 0;
	wheel->armed--;
}

void tl_wheel_arm(struct tl_wheel *wheel, uint32_t id, uint64_t deadline_ns)
{
	tl_wheel_disarm(wheel, id);
	uint64_t tick = tick_of(deadline_ns);
	if (tick < wheel->tick)
		tick = wheel->tick;
	if (tick > wheel->tick + SLOT_MASK)
		tick = wheel->tick + SLOT_MASK;
	uint32_t slot = (uint32_t)tick & SLOT_MASK;
	uint32_t first = wheel->heads[slot];
	wheel->links[id] = (struct tl_wheel_link) {.next = first, .prev = HEAD | slot};
	if (first != TL_WHEEL_NONE)
		wheel->links[first].prev = id + 1;
	wheel->heads[slot] = id;
	wheel->armed++;
}

bool tl_wheel_advance(struct tl_wheel *wheel, uint64_t now_ns, uint32_t budget, tl_wheel_fn *look,
		      void *arg)
{
	uint64_t now = tick_of(now_ns);

	if (wheel->armed == 0) {
		if (now > wheel->tick)
			wheel->tick = now;
		return false;
	}
	// All ids lie within one turn: after a longer jump each slot is looked at once.
	if (now > wheel->tick + TL_WHEEL_SLOTS)
		wheel->tick =
			wheel->tick + ((now - wheel->tick - TL_WHEEL_SLOTS) & ~(uint64_t)SLOT_MASK);
	uint64_t left = (uint64_t)budget * EMPTY_SLOTS_PER_ID;
	// The slot of `now` itself is not over yet.
	while (wheel->tick < now) {
		uint32_t id = wheel->heads[wheel->tick & SLOT_MASK];
		uint32_t cost = id == TL_WHEEL_NONE ? 1 : EMPTY_SLOTS_PER_ID;
		if (left < cost)
			return true;
		left -= cost;
		if (id == TL_WHEEL_NONE) {
			wheel->tick++;
			continue;
		}
		tl_wheel_disarm(wheel, id);
		uint64_t again_ns = look(arg, id, now_ns);
		if (again_ns == UINT64_MAX)
			continue;
		// Not into the slot in hand, or one look could be repeated without end.
		uint64_t floor_ns = (wheel->tick + 1) << TL_WHEEL_TICK_SHIFT;
		tl_wheel_arm(wheel, id, again_ns > floor_ns ? again_ns : floor_ns);
	}
	return false;
}

uint32_t tl_wheel_first(const struct tl_wheel *wheel)
{
	if (wheel->armed == 0)
		return TL_WHEEL_NONE;
	for (uint32_t i = 0; i < TL_WHEEL_SLOTS; i++) {
		uint32_t id = wheel->heads[(wheel->tick + i) & SLOT_MASK];
		if (id != TL_WHEEL_NONE)
			return id;
	}
	return TL_WHEEL_NONE;
}
