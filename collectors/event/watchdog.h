// SPDX-License-Identifier: Apache-2.0
// What the kernel's own watchdogs have in common: a line in the log with a call trace behind it, and
// saves that are spaced by a backoff, as one fault is told again and again. The counter always counts.
#pragma once

#include <jansson.h>
#include <stdatomic.h>

#include "collectors/collector.h"

struct tl_watchdog_options {
	uint64_t pause_ns;     // after a record
	uint64_t pause_max_ns; // it doubles up to this
	uint64_t decay_ns;     // quiet for so long after a pause: the first pause again
};

#define TL_WATCHDOG_ROW(member, row_key, default_value, row_help) \
	{.key = row_key, .type = TL_OPTION_DURATION, .hot = true, \
	 .offset = offsetof(struct tl_watchdog_options, member), .value = default_value, \
	 .help = row_help}
#define TL_WATCHDOG_ROWS \
	TL_WATCHDOG_ROW(pause_ns, "pause", "10m", \
			"Time after a record in which events are only counted; it doubles."), \
	TL_WATCHDOG_ROW(pause_max_ns, "pause_max", "3h", "What the pause doubles up to."), \
	TL_WATCHDOG_ROW(decay_ns, "decay", "1h", \
			"Quiet time behind a pause after which the next pause is the first one again.")

struct tl_watchdog {
	_Atomic uint64_t count;
	uint64_t saved_ns, pause_ns; // of the backoff
	struct tl_container owner;   // of what is being saved
};

// May an event of now be saved? If so, the pause begins.
bool tl_watchdog_may_save(struct tl_watchdog *watchdog, const struct tl_watchdog_options *options,
			  uint64_t now_ns);

// Makes tracer_data of a line of the log; NULL when it is not the watchdog's. Sets the task.
typedef json_t *tl_watchdog_parse_fn(const char *line, uint32_t *ret_pid);
// Reads the log until the run ends; the call trace becomes the member `stack_key`. 0 or -errno.
int tl_watchdog_follow(struct tl_watchdog *watchdog, struct tl_ctx *ctx, const char *name,
		       tl_watchdog_parse_fn *parse, const char *stack_key);
// The counter tapline_<name>_total.
int tl_watchdog_update(void *watchdog, struct tl_emit *emit);
