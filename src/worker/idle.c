// SPDX-License-Identifier: Apache-2.0
#include "worker/idle.h"

#include <sched.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_pause.h>

static uint32_t turns_awake(const struct tl_idle *idle)
{
	return idle->policy == TL_IDLE_SLEEP ? 0 : TL_IDLE_SPINS + TL_IDLE_YIELDS;
}

bool tl_idle_is_deep(const struct tl_idle *idle)
{
	return idle->policy != TL_IDLE_POLL && idle->turns >= turns_awake(idle);
}

void tl_idle_turn(struct tl_idle *idle)
{
	uint32_t turn = idle->turns;

	if (idle->turns < UINT32_MAX)
		idle->turns++;
	if (idle->policy == TL_IDLE_POLL || turn < turns_awake(idle)) {
		bool spins = idle->policy == TL_IDLE_POLL || turn < TL_IDLE_SPINS;
		if (spins && !idle->is_crowded)
			rte_pause();
		else
			(void)sched_yield();
		return;
	}
	uint32_t max = idle->sleep_us_max > 0 ? idle->sleep_us_max : TL_IDLE_SLEEP_US_MAX;
	uint32_t sleeps = turn - turns_awake(idle);
	uint32_t us = sleeps < 8 ? TL_IDLE_SLEEP_US_MIN << sleeps : max;
	if (us > max || idle->policy == TL_IDLE_SLEEP)
		us = max;
	const struct timespec pause = {.tv_nsec = (long)us * 1000};
	(void)nanosleep(&pause, NULL);
}

void tl_busy_turn(struct tl_busy *busy, bool worked)
{
	uint64_t now = rte_rdtsc();

	if (worked && busy->last != 0) {
		uint64_t cycles = atomic_load_explicit(&busy->cycles, memory_order_relaxed);
		atomic_store_explicit(&busy->cycles, cycles + (now - busy->last),
				      memory_order_relaxed);
	}
	busy->last = now;
}
