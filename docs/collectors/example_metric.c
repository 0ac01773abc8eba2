// SPDX-License-Identifier: Apache-2.0
// A metric with two gauges: tapline_example_metric_entropy_bits and ..._uptime_seconds.
#include <errno.h>
#include <stdlib.h>

#include "collectors/collector.h"

static int update(void *self, struct tl_emit *emit)
{
	struct tl_text text = {0};
	uint64_t bits;
	int rc = tl_host_number("/proc/sys/kernel/random/entropy_avail", &bits);

	(void)self;
	if (rc == 0)
		tl_emit_gauge(emit, "entropy_bits", (double)bits, "Entropy the kernel holds.",
			      TL_NO_LABELS);
	if (rc == 0)
		rc = tl_host_read("/proc/uptime", &text);
	if (rc == 0)
		tl_emit_gauge(emit, "uptime_seconds", strtod(text.data, NULL),
			      "Time since the host was started.", TL_LABELS({"source", "proc"}));
	tl_text_free(&text);
	return rc; // what was emitted counts even if this is an error
}

static const struct tl_collector_ops ops = {.update = update};

static int example_new(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	if (!tl_host_exists("/proc/sys/kernel/random/entropy_avail")) {
		tl_collector_says(setup, "the kernel shows no entropy");
		return -EOPNOTSUPP;
	}
	*ret = (struct tl_collector) {.ops = &ops, .flags = TL_METRIC};
	return 0;
}

TL_COLLECTOR(example_metric, example_new, .help = "Entropy and uptime.");
