// SPDX-License-Identifier: Apache-2.0
// From a network card's time stamps to wall time. A card counts ticks of a clock of its own: it is
// read beside the wall clock about once a second, and the line through the last two readings
// turns ticks into nanoseconds. One lcore takes the readings, all use them.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TL_DEVICE_CLOCK_PERIOD_NS UINT64_C(1000000000)

struct tl_device_clock {
	_Atomic uint32_t version; // odd while the reader changes the line
	_Atomic uint64_t base_ticks;
	_Atomic uint64_t base_ns;
	_Atomic uint64_t ns_per_tick; // fixed point, 32 bits of fraction; 0: not known yet
	uint64_t first_ticks, first_ns; // of the first reading
};

// A reading of both clocks. The rate comes from the first reading on, so that it gets better; the line
// goes through the last. Single writer.
void tl_device_clock_read(struct tl_device_clock *clock, uint64_t ticks, uint64_t wall_ns);

// When the next reading is due.
static inline bool tl_device_clock_is_due(const struct tl_device_clock *clock, uint64_t wall_ns)
{
	uint64_t base_ns = atomic_load_explicit(&clock->base_ns, memory_order_relaxed);
	bool is_rough = atomic_load_explicit(&clock->ns_per_tick, memory_order_relaxed) == 0;

	return wall_ns - base_ns >= (is_rough ? TL_DEVICE_CLOCK_PERIOD_NS / 100
					      : TL_DEVICE_CLOCK_PERIOD_NS);
}

// Wall time of a stamp, 0 as long as the rate is not known. Any lcore.
uint64_t tl_device_clock_ns(const struct tl_device_clock *clock, uint64_t ticks);

// Wall time of what a driver says of a packet that was read at `now_ns`: nanoseconds since the epoch
// (in UTC or, as PTP counts, in TAI), or ticks of `clock` (NULL: there is none). What is neither, or
// can't be (a counter that began anew, a clock that nobody set), gives `now_ns`.
uint64_t tl_device_clock_stamp(const struct tl_device_clock *clock, uint64_t raw, uint64_t now_ns);
