// SPDX-License-Identifier: Apache-2.0
// Both pictures are sorted alike, so one walk over the two finds what is new and what has ended:
// no table of series has to be kept.
#include "exporters/remote_write/series.h"

#include "metrics/vmrange.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool tl_series_next_round(struct tl_series_times *times, int64_t wall_ms, int64_t interval_ms,
			  int64_t last_ms)
{
	if (times->now_ms != 0)
		times->before_ms = times->now_ms;
	else
		times->before_ms = wall_ms - interval_ms > last_ms ? wall_ms - interval_ms :
				   last_ms + 1;
	// Two, since the end of a series lies one ms before a round.
	bool is_late_enough = wall_ms >= times->before_ms + 2;
	times->now_ms = is_late_enough ? wall_ms : times->before_ms + 2;
	return is_late_enough;
}

struct walk {
	const struct tl_series_options *options;
	tl_series_fn *fn;
	void *arg;
};

static int compare(const struct tl_sample *a, const struct tl_sample *b)
{
	int order = strcmp(a->family, b->family);

	for (uint32_t i = 0; order == 0 && i < a->label_count && i < b->label_count; i++) {
		order = strcmp(a->labels[i].name, b->labels[i].name);
		if (order == 0)
			order = strcmp(a->labels[i].value, b->labels[i].value);
	}
	return order != 0 ? order : (int)a->label_count - (int)b->label_count;
}

static void tell(const struct walk *w, const struct tl_sample *sample, const char *suffix,
		 const char *extra_name, const char *extra_value, double value, uint8_t state)
{
	const struct tl_series_point point = {
		.sample = sample, .suffix = suffix, .extra_name = extra_name,
		.extra_value = extra_value, .value = value, .state = state,
		.is_counter = sample->type != TL_METRIC_GAUGE,
	};
	w->fn(w->arg, &point);
}

// ---- Histograms --------------------------------------------------------------------------------

static void tell_vmrange(const struct walk *w, const struct tl_sample *before,
			 const struct tl_sample *now)
{
	static const struct tl_histogram_value none;
	const struct tl_histogram_value *old = before != NULL ? before->histogram : &none;
	const struct tl_histogram_value *new = now != NULL ? now->histogram : &none;

	for (uint32_t i = 0, j = 0; i < old->bucket_count || j < new->bucket_count;) {
		uint32_t was = i < old->bucket_count ? old->buckets[i].index : TL_VMRANGE_COUNT;
		uint32_t is = j < new->bucket_count ? new->buckets[j].index : TL_VMRANGE_COUNT;
		uint32_t index = was < is ? was : is;
		uint8_t state = was < is ? TL_SERIES_ENDED :
				is < was ? TL_SERIES_NEW : TL_SERIES_PRESENT;
		tell(w, state == TL_SERIES_ENDED ? before : now, "_bucket", "vmrange",
		     tl_vmrange_label(index),
		     state == TL_SERIES_ENDED ? 0 : (double)new->buckets[j].count, state);
		i += was == index;
		j += is == index;
	}
}

// As the text exposition has it: a vmrange bucket counts under the first boundary that is not
// below its upper end.
static void tell_le(const struct walk *w, const struct tl_sample *sample, uint8_t state)
{
	const struct tl_histogram_value *h = sample->histogram;
	const struct tl_real_list *list = strcmp(sample->unit, "seconds") == 0 ?
		w->options->le_seconds : w->options->le_bytes;
	uint32_t count = list != NULL ? list->count : 0;
	uint64_t below = 0;
	uint32_t k = 0;
	char text[40];

	for (uint32_t i = 0; i <= count; i++) {
		bool is_last = i == count;
		while (k < h->bucket_count &&
		       (is_last || tl_vmrange_end(h->buckets[k].index) <= list->items[i]))
			below += h->buckets[k++].count;
		// Boundaries come from a configuration: 15 digits bring each back as it was written.
		(void)snprintf(text, sizeof(text), "%.15g", is_last ? (double)INFINITY : list->items[i]);
		tell(w, sample, "_bucket", "le", is_last ? "+Inf" : text, (double)below, state);
	}
}

static void tell_histogram(const struct walk *w, const struct tl_sample *before,
			   const struct tl_sample *now)
{
	const struct tl_sample *sample = now != NULL ? now : before;
	uint8_t state = now == NULL ? TL_SERIES_ENDED :
			before == NULL ? TL_SERIES_NEW : TL_SERIES_PRESENT;

	if (w->options->histogram == TL_HISTOGRAM_LE)
		tell_le(w, sample, state);
	else
		tell_vmrange(w, before, now);
	tell(w, sample, "_sum", NULL, NULL, sample->histogram->sum, state);
	tell(w, sample, "_count", NULL, NULL, (double)sample->histogram->count, state);
}

// ---- The walk ----------------------------------------------------------------------------------

// One of the two may be NULL.
static void tell_sample(const struct walk *w, const struct tl_sample *before,
			const struct tl_sample *now)
{
	const struct tl_sample *sample = now != NULL ? now : before;

	if (sample->is_self && !w->options->with_self)
		return;
	if (sample->type == TL_METRIC_HISTOGRAM)
		tell_histogram(w, before, now);
	else
		tell(w, sample, "", NULL, NULL, sample->value,
		     now == NULL ? TL_SERIES_ENDED :
		     before == NULL ? TL_SERIES_NEW : TL_SERIES_PRESENT);
}

void tl_series_compare(const struct tl_snapshot *before, const struct tl_snapshot *now,
		       const struct tl_series_options *options, tl_series_fn *fn, void *arg)
{
	const struct walk w = {.options = options, .fn = fn, .arg = arg};
	uint32_t old_count = before != NULL ? tl_snapshot_count(before) : 0;
	uint32_t new_count = now != NULL ? tl_snapshot_count(now) : 0;

	for (uint32_t i = 0, j = 0; i < old_count || j < new_count;) {
		const struct tl_sample *was = i < old_count ? tl_snapshot_at(before, i) : NULL;
		const struct tl_sample *is = j < new_count ? tl_snapshot_at(now, j) : NULL;
		int order = was == NULL ? 1 : is == NULL ? -1 : compare(was, is);
		tell_sample(&w, order <= 0 ? was : NULL, order >= 0 ? is : NULL);
		i += order <= 0;
		j += order >= 0;
	}
}
