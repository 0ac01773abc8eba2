// SPDX-License-Identifier: Apache-2.0
// perf_event_open(2).
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collectors/bpf/internal.h"
#include "collectors/host.h"

static int open_event(struct perf_event_attr *attr, uint32_t cpu)
{
	attr->size = sizeof(*attr);
	long fd = syscall(SYS_perf_event_open, attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : (int)fd;
}

int tl_perf_open_tracepoint(int64_t id, uint32_t cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.config = (uint64_t)id,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_RAW,
		.wakeup_events = 1,
	};

	return open_event(&attr, cpu);
}

int tl_perf_open_clock(uint32_t hz, uint32_t cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.freq = 1,
		.sample_freq = hz,
	};

	return open_event(&attr, cpu);
}

// "0-3,8".
uint32_t tl_perf_cpus(uint32_t *ret_cpus, uint32_t max)
{
	struct tl_text text = {0};
	uint32_t count = 0;

	if (tl_host_read("/sys/devices/system/cpu/online", &text) < 0) {
		ret_cpus[0] = 0;
		return 1;
	}
	for (const char *at = text.data; *at >= '0' && *at <= '9';) {
		char *end;
		unsigned long first = strtoul(at, &end, 10), last = first;
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (; first <= last && count < max; first++)
			ret_cpus[count++] = (uint32_t)first;
		at = end + (*end == ',');
	}
	tl_text_free(&text);
	return count;
}
