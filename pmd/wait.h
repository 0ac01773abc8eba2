// SPDX-License-Identifier: Apache-2.0
// How a busy lcore waits for another one: a short spin, because the other side usually needs a
// few hundred nanoseconds, then the CPU is given away, because the other side may need this very
// CPU (two spinning lcores on one CPU were measured a thousand times slower than yielding ones),
// then it sleeps: a ring that is full holds more work than the sleep is long.
#pragma once

#include <sched.h>
#include <stdint.h>
#include <time.h>

#include <rte_pause.h>

#define TL_WAIT_SPINS 32u
#define TL_WAIT_YIELDS 32u
#define TL_WAIT_SLEEP_NS 20000

// `turns` counts the calls of one wait; start with 0.
static inline void tl_wait_turn(uint32_t *turns)
{
	const struct timespec pause = {.tv_nsec = TL_WAIT_SLEEP_NS};

	if (*turns < TL_WAIT_SPINS)
		rte_pause();
	else if (*turns < TL_WAIT_SPINS + TL_WAIT_YIELDS)
		(void)sched_yield();
	else
		(void)nanosleep(&pause, NULL);
	(*turns)++;
}
