// SPDX-License-Identifier: Apache-2.0
// How a busy lcore waits for another one: a short spin, because the other side usually needs a
// few hundred nanoseconds, then the CPU is given away, because the other side may need this very
// CPU. Two spinning lcores on one CPU were measured a thousand times slower than yielding ones.
#pragma once

#include <sched.h>
#include <stdint.h>

#include <rte_pause.h>

#define TL_WAIT_SPINS 32u

// `turns` counts the calls of one wait; start with 0.
static inline void tl_wait_turn(uint32_t *turns)
{
	if ((*turns)++ < TL_WAIT_SPINS)
		rte_pause();
	else
		(void)sched_yield();
}
