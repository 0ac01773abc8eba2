// SPDX-License-Identifier: Apache-2.0
#include "pmd/device/clock.h"

#include <stddef.h>

// No clock runs away so far between two readings: the wall clock was set.
#define STEP_NS UINT64_C(100000000)
// A packet that waited longer until it was read has waited in no ring; and clocks differ a little.
#define WAIT_NS UINT64_C(5000000000)
#define AHEAD_NS UINT64_C(100000000)
#define TAI_AHEAD_NS UINT64_C(37000000000) // of UTC, since 2017

static uint64_t difference(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

void tl_device_clock_read(struct tl_device_clock *clock, uint64_t ticks, uint64_t wall_ns)
{
	uint64_t rate = atomic_load_explicit(&clock->ns_per_tick, memory_order_relaxed);
	bool is_first = clock->first_ns == 0 || ticks <= clock->first_ticks;
	bool is_step = rate != 0 && difference(tl_device_clock_ns(clock, ticks), wall_ns) > STEP_NS;

	if (is_first || is_step || wall_ns <= clock->first_ns) {
		// Begin anew; the rate stays where only the wall clock was set.
		clock->first_ticks = ticks;
		clock->first_ns = wall_ns;
		rate = is_first ? 0 : rate;
	} else {
		rate = (uint64_t)(((__uint128_t)(wall_ns - clock->first_ns) << 32) /
				  (ticks - clock->first_ticks));
	}
	uint32_t version = atomic_load_explicit(&clock->version, memory_order_relaxed);
	atomic_store_explicit(&clock->version, version + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&clock->base_ticks, ticks, memory_order_relaxed);
	atomic_store_explicit(&clock->base_ns, wall_ns, memory_order_relaxed);
	atomic_store_explicit(&clock->ns_per_tick, rate, memory_order_relaxed);
	atomic_store_explicit(&clock->version, version + 2, memory_order_release);
}

uint64_t tl_device_clock_ns(const struct tl_device_clock *clock, uint64_t ticks)
{
	uint64_t base_ticks, base_ns, rate;
	uint32_t version;

	do {
		version = atomic_load_explicit(&clock->version, memory_order_acquire);
		base_ticks = atomic_load_explicit(&clock->base_ticks, memory_order_relaxed);
		base_ns = atomic_load_explicit(&clock->base_ns, memory_order_relaxed);
		rate = atomic_load_explicit(&clock->ns_per_tick, memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
	} while (version % 2 != 0 ||
		 version != atomic_load_explicit(&clock->version, memory_order_relaxed));
	if (rate == 0)
		return 0;
	// A stamp may be older than the last reading.
	if (ticks >= base_ticks)
		return base_ns + (uint64_t)(((__uint128_t)(ticks - base_ticks) * rate) >> 32);
	uint64_t before = (uint64_t)(((__uint128_t)(base_ticks - ticks) * rate) >> 32);
	return before < base_ns ? base_ns - before : 0;
}

static bool can_be(uint64_t time_ns, uint64_t now_ns)
{
	return time_ns + WAIT_NS > now_ns && time_ns < now_ns + AHEAD_NS;
}

uint64_t tl_device_clock_stamp(const struct tl_device_clock *clock, uint64_t raw, uint64_t now_ns)
{
	// First: some cards that count in nanoseconds have a clock of ticks beside it.
	if (can_be(raw, now_ns))
		return raw;
	if (can_be(raw - TAI_AHEAD_NS, now_ns))
		return raw - TAI_AHEAD_NS;
	uint64_t time_ns = clock != NULL ? tl_device_clock_ns(clock, raw) : 0;
	return can_be(time_ns, now_ns) ? time_ns : now_ns;
}
