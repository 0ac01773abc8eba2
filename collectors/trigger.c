// SPDX-License-Identifier: Apache-2.0
#include "collectors/trigger.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct subject {
	char name[72];
	uint64_t seen_ns;
	uint64_t since_ns;  // the conditions hold since, 0: they don't
	uint64_t quiet_ns;  // nothing fires before
	double previous, last, mean, deviation;
	uint32_t count;     // samples in `past`
	uint32_t at;        // place of the next one, the oldest when the window is full
	double *past;
};

struct tl_trigger {
	uint32_t window;
	uint32_t count;
	struct subject subjects[TL_TRIGGER_SUBJECTS_MAX];
};

struct tl_trigger *tl_trigger_create(uint32_t window)
{
	TL_ASSERT(window != 0 && window <= TL_TRIGGER_WINDOW_MAX);
	struct tl_trigger *trigger = calloc(1, sizeof(*trigger));

	if (trigger != NULL)
		trigger->window = window;
	return trigger;
}

void tl_trigger_destroy(struct tl_trigger *trigger)
{
	if (trigger == NULL)
		return;
	for (uint32_t i = 0; i < trigger->count; i++)
		free(trigger->subjects[i].past);
	free(trigger);
}

static const struct subject *find(const struct tl_trigger *trigger, const char *name)
{
	for (uint32_t i = 0; i < trigger->count; i++)
		if (strncmp(trigger->subjects[i].name, name,
			    sizeof(trigger->subjects[i].name) - 1) == 0)
			return &trigger->subjects[i];
	return NULL;
}

// NULL on no memory.
static struct subject *add(struct tl_trigger *trigger, const char *name)
{
	struct subject *subject = &trigger->subjects[0];
	double *past;

	if (trigger->count < TL_TRIGGER_SUBJECTS_MAX) {
		past = calloc(trigger->window, sizeof(*past));
		if (past == NULL)
			return NULL;
		subject = &trigger->subjects[trigger->count++];
	} else {
		for (uint32_t i = 1; i < trigger->count; i++)
			if (trigger->subjects[i].seen_ns < subject->seen_ns)
				subject = &trigger->subjects[i];
		past = subject->past;
	}
	*subject = (struct subject) {.past = past};
	(void)snprintf(subject->name, sizeof(subject->name), "%s", name);
	return subject;
}

// Of the `window` samples before this one.
static void measure(struct subject *s, uint32_t window, uint32_t size)
{
	double sum = 0, squares = 0;

	for (uint32_t i = 0; i < window; i++)
		sum += s->past[(s->at + size - 1 - i) % size];
	s->mean = sum / window;
	for (uint32_t i = 0; i < window; i++) {
		double distance = s->past[(s->at + size - 1 - i) % size] - s->mean;
		squares += distance * distance;
	}
	s->deviation = sqrt(squares / window);
}

static bool holds(const struct tl_trigger *trigger, const struct tl_trigger_rule *rule,
		  struct subject *s, double value)
{
	bool needs_past = rule->ratio > 0 || rule->sigmas > 0;

	if (needs_past && (rule->window == 0 || s->count < rule->window))
		return false;
	if (needs_past)
		measure(s, rule->window, trigger->window);
	if (rule->level > 0 && value <= rule->level)
		return false;
	if (rule->rise > 0 && value - s->last <= rule->rise)
		return false;
	if (needs_past && value <= rule->floor)
		return false;
	double oldest = needs_past ? s->past[(s->at + trigger->window - rule->window) %
					     trigger->window] : 0;
	if (rule->ratio > 0 && value < rule->ratio * oldest)
		return false;
	return rule->sigmas <= 0 || value > s->mean + rule->sigmas * s->deviation;
}

bool tl_trigger_sample(struct tl_trigger *trigger, const struct tl_trigger_rule *rule,
		       const char *name, double value, uint64_t now_ns)
{
	TL_ASSERT(rule->window <= trigger->window);
	struct subject *s = (struct subject *)(uintptr_t)find(trigger, name);
	bool is_first = s == NULL;

	if (is_first)
		s = add(trigger, name);
	if (s == NULL)
		return false;
	bool is_abnormal = !is_first && holds(trigger, rule, s, value);
	s->seen_ns = now_ns;
	s->previous = s->last;
	s->last = value;
	s->past[s->at] = value;
	s->at = (s->at + 1) % trigger->window;
	if (s->count < trigger->window)
		s->count++;
	if (!is_abnormal)
		s->since_ns = 0;
	else if (s->since_ns == 0)
		s->since_ns = now_ns;
	if (!is_abnormal || now_ns - s->since_ns < rule->duration_ns || now_ns < s->quiet_ns)
		return false;
	s->quiet_ns = now_ns + rule->hold_off_ns;
	s->since_ns = 0;
	return true;
}

bool tl_trigger_past(const struct tl_trigger *trigger, const char *name, double *ret_previous,
		     double *ret_mean, double *ret_deviation)
{
	const struct subject *s = find(trigger, name);

	if (s == NULL)
		return false;
	*ret_previous = s->previous;
	*ret_mean = s->mean;
	*ret_deviation = s->deviation;
	return true;
}
