// SPDX-License-Identifier: Apache-2.0
// When is a signal abnormal? The one rule set that all autotracing collectors share: a level, a
// rate of rise, a ratio to the past, mean + k sigma of a window, held for a minimum time, with a
// hold-off per subject (container, disk, host). One thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TL_TRIGGER_WINDOW_MAX 720u   // samples remembered per subject
#define TL_TRIGGER_SUBJECTS_MAX 1024u // the least recently seen makes room for a new one

// A condition with 0 is not asked. All that are given must hold at once.
struct tl_trigger_rule {
	double level;           // the sample is above this
	double rise;            // it is more than this above the previous sample
	double ratio;           // it is at least this many times the oldest sample of the window
	double sigmas;          // it is above mean + sigmas * standard deviation of the window
	double floor;           // with ratio or sigmas: and above this
	uint32_t window;        // samples of the past that ratio and sigmas need, all of them
	uint64_t duration_ns;   // it has held this long without a break
	uint64_t hold_off_ns;   // nothing fires again for the same subject
};

struct tl_trigger;

struct tl_trigger *tl_trigger_create(uint32_t window); // 1..TL_TRIGGER_WINDOW_MAX; NULL on no memory
void tl_trigger_destroy(struct tl_trigger *trigger);   // accepts NULL

// Takes one sample of `subject` ("" is one too) and says whether it fires now. The first sample
// of a subject only primes. `rule->window` is at most that of the trigger.
bool tl_trigger_sample(struct tl_trigger *trigger, const struct tl_trigger_rule *rule,
		       const char *subject, double value, uint64_t now_ns);
// The sample before the last one, and mean and deviation of the window at the last sample, for
// the record. False: no such subject.
bool tl_trigger_past(const struct tl_trigger *trigger, const char *subject, double *ret_previous,
		     double *ret_mean, double *ret_deviation);
