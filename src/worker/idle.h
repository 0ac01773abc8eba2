// SPDX-License-Identifier: Apache-2.0
// What a lcore does when there is nothing to do, and how busy it was.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum tl_idle_policy { TL_IDLE_ADAPTIVE, TL_IDLE_POLL, TL_IDLE_SLEEP };

#define TL_IDLE_SPINS 128u    // empty turns before the CPU is given away
#define TL_IDLE_YIELDS 128u   // ... before sleeping
#define TL_IDLE_SLEEP_US_MIN 20u
#define TL_IDLE_SLEEP_US_MAX 1000u

struct tl_idle {
	enum tl_idle_policy policy;
	bool is_crowded;       // shares its CPU with another busy lcore: never spin
	uint32_t sleep_us_max; // 0: TL_IDLE_SLEEP_US_MAX
	uint32_t turns;        // empty ones in a row
};

static inline void tl_idle_reset(struct tl_idle *idle)
{
	idle->turns = 0;
}

// One empty turn: spins, yields or sleeps, up to a millisecond.
void tl_idle_turn(struct tl_idle *idle);
// True when the next tl_idle_turn would sleep: a caller that can wait for an event does it then.
bool tl_idle_is_deep(const struct tl_idle *idle);

// Cycles spent on work, and when accounting began; single writer.
struct tl_busy {
	_Atomic uint64_t cycles;
	uint64_t last; // cycle counter at the end of the turn before
};

// At the end of each turn: books the time since the last one.
void tl_busy_turn(struct tl_busy *busy, bool worked);
