// SPDX-License-Identifier: Apache-2.0
// A tracer that is also a metric: saves an event when the load average is above its option, and
// counts these events.
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "collectors/collector.h"

struct options {
	uint64_t load;
};

static const struct tl_option rows[] = {
	{.key = "load", .type = TL_OPTION_UINT, .hot = true, .offset = offsetof(struct options, load),
	 .value = "500", .max = 100000, .help = "Load, in percent of one CPU, to tell of."},
	TL_OPTION_END,
};

static int start(void *self, struct tl_ctx *ctx)
{
	_Atomic uint64_t *hits = self; // update() runs on another thread
	struct tl_text text = {0};
	char json[64] = "";

	while (json[0] == '\0' && tl_ctx_sleep(ctx, 100000000)) { // until told to end
		struct options options;
		tl_ctx_options(ctx, &options, sizeof(options));
		if (tl_host_read("/proc/loadavg", &text) == 0 &&
		    strtod(text.data, NULL) * 100 > (double)options.load)
			(void)snprintf(json, sizeof(json), "{\"load\": %f}", strtod(text.data, NULL));
	}
	tl_text_free(&text);
	if (json[0] == '\0')
		return 0;
	atomic_fetch_add(hits, 1);
	return tl_store_save("example_tracing", "", tl_host_time_ns(), json);
}

static int update(void *self, struct tl_emit *emit)
{
	tl_emit_counter(emit, "hits_total", (double)*(_Atomic uint64_t *)self, "High loads.", NULL);
	return 0;
}

static const struct tl_collector_ops ops = {.start = start, .update = update, .close = free};

static int new_example(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)setup; // takes the reason where a host can't do it
	*ret = (struct tl_collector) {.ops = &ops, .self = calloc(1, sizeof(uint64_t)),
				      .interval_s = 1, .flags = TL_TRACING | TL_METRIC};
	return ret->self == NULL ? -ENOMEM : 0;
}

TL_COLLECTOR(example_tracing, new_example, .help = "Events of a high load.", .options = rows,
	     .options_size = sizeof(struct options));
