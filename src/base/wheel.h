// SPDX-License-Identifier: Apache-2.0
// A lazy timing wheel over 32-bit ids: when to look again at what may have become silent. It is
// driven by packet time and never decides anything: an id whose slot is reached is handed to
// the owner, who compares the exact deadline and says when to look again. So refreshing a
// deadline costs nothing, and a deadline beyond the horizon is simply looked at early.
// 8 bytes per id, on one reserved mapping that is touched as far as ids are used.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TL_WHEEL_SLOTS 4096u   // a power of two
#define TL_WHEEL_TICK_SHIFT 27 // a slot covers 2^27 ns = 134 ms, the wheel nine minutes
#define TL_WHEEL_NONE UINT32_MAX

struct tl_wheel_link {
	uint32_t next; // id, or TL_WHEEL_NONE at the end
	uint32_t prev; // id + 1, or the slot with bit 31 set; 0 when the id is not armed
};

struct tl_wheel {
	struct tl_wheel_link *links; // [id]
	uint32_t id_count;
	uint32_t armed;     // ids in the wheel
	uint64_t tick;      // the slot to be looked at next; all before are done
	uint32_t heads[TL_WHEEL_SLOTS]; // first id of each slot
};

// What the owner answers for an id that is due for a look: the time of the next look, or
// UINT64_MAX to take the id out. It may arm and disarm other ids, not this one.
typedef uint64_t tl_wheel_fn(void *arg, uint32_t id, uint64_t now_ns);

// Ids are below `id_count`, at most 2^31. 0, -EINVAL or -ENOMEM.
int tl_wheel_init(struct tl_wheel *wheel, uint32_t id_count);
void tl_wheel_fini(struct tl_wheel *wheel);

// Says where time begins, before the first id is armed.
void tl_wheel_start(struct tl_wheel *wheel, uint64_t now_ns);

// Looks at `id` soon after `deadline_ns`, or earlier. Moves an id that is armed already.
void tl_wheel_arm(struct tl_wheel *wheel, uint32_t id, uint64_t deadline_ns);
// Takes the id out; nothing happens when it is not armed.
void tl_wheel_disarm(struct tl_wheel *wheel, uint32_t id);
bool tl_wheel_is_armed(const struct tl_wheel *wheel, uint32_t id);

// Looks at what is due at `now_ns`, at most `budget` ids or empty slots; true if more is due. A jump
// of the clock costs one turn of the wheel at most. A clock that goes back does nothing.
bool tl_wheel_advance(struct tl_wheel *wheel, uint64_t now_ns, uint32_t budget, tl_wheel_fn *look,
		      void *arg);

// An id of the earliest slot that has one, TL_WHEEL_NONE if no id is armed.
uint32_t tl_wheel_first(const struct tl_wheel *wheel);
