// SPDX-License-Identifier: Apache-2.0
// At most so many records a second from one event.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct tl_event_gate {
	uint64_t since_ns;
	uint64_t passed; // in the second that began then
};

static inline bool tl_event_gate_pass(struct tl_event_gate *gate, uint64_t rate, uint64_t now_ns)
{
	if (gate->since_ns == 0 || now_ns - gate->since_ns >= UINT64_C(1000000000))
		*gate = (struct tl_event_gate) {.since_ns = now_ns};
	return gate->passed++ < rate;
}

// The row of the option, the same in each of them.
#define TL_EVENT_RATE_ROW(owner, member, default_value) \
	{.key = "rate", .type = TL_OPTION_UINT, .hot = true, .offset = offsetof(owner, member), \
	 .value = default_value, .min = 1, .max = 10000, \
	 .help = "Records a second at most; further events are only counted."}
