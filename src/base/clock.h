// SPDX-License-Identifier: Apache-2.0
// The time as one number. Not for workers: their time is that of packets.
#pragma once

#include <stdint.h>
#include <time.h>

#define TL_SECOND_NS UINT64_C(1000000000)

static inline uint64_t tl_clock_ns(clockid_t clock)
{
	struct timespec ts;
	(void)clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * TL_SECOND_NS + (uint64_t)ts.tv_nsec;
}
