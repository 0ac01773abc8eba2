// SPDX-License-Identifier: Apache-2.0
// How benchmarks say what they measured: one line per figure, `figure=ID value=N unit=U` and, in
// quotes, what it is of. scripts/bench collects these lines.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <time.h>

static inline void figure(const char *id, double value, const char *unit, const char *of)
{
	(void)printf("figure=%s value=%.*f unit=%s of=\"%s\"\n", id, value < 10 ? 2 : value < 1000 ? 1 : 0,
		     value, unit, of);
	(void)fflush(stdout);
}

static inline uint64_t figure_clock_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
