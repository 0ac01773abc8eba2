// SPDX-License-Identifier: Apache-2.0
#include "control/sinks.h"

#include "base/clock.h"
#include "control/log.h"
#include "control/span.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CLOSE_NS UINT64_C(5000000000) // for all sinks together to get rid of what waits

struct sink {
	const struct tl_exporter *exporter;
	void *self;
	char name[48];            // "roundtrips", with several "roundtrips[1]"
	uint64_t dropped_logged;  // drops told so far
	bool is_failing;
};

struct tl_sinks {
	struct tl_text span_name;
	uint32_t count;
	struct sink sinks[];
};

static int open_one(struct tl_sinks *sinks, const struct tl_exporter_config *config,
		    const struct tl_exporter_env *env, char *error, uint32_t error_size)
{
	struct sink *sink = &sinks->sinks[sinks->count];
	uint32_t same = 0;

	for (uint32_t i = 0; i < sinks->count; i++)
		same += sinks->sinks[i].exporter == config->exporter;
	*sink = (struct sink) {.exporter = config->exporter};
	(void)snprintf(sink->name, sizeof(sink->name), same == 0 ? "%s" : "%s[%u]",
		       config->exporter->name, same);
	int used = snprintf(error, error_size, "exporters.%s: ", sink->name);
	uint32_t prefix = used < 0 || (uint32_t)used >= error_size ? 0 : (uint32_t)used;
	int rc = config->exporter->open(config->options, env, &sink->self, error + prefix,
					error_size - prefix);
	if (rc == 0)
		sinks->count++;
	return rc;
}

int tl_sinks_open(const struct tl_config *config, const struct tl_exporter_env *env,
		  struct tl_sinks **ret_sinks, char *error, uint32_t error_size)
{
	struct tl_sinks *sinks =
		calloc(1, sizeof(*sinks) + config->exporter_count * sizeof(sinks->sinks[0]));
	if (sinks == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < config->exporter_count; i++) {
		const struct tl_exporter_config *one = &config->exporters[i];
		if (!one->is_enabled || one->exporter->open == NULL)
			continue;
		int rc = open_one(sinks, one, env, error, error_size);
		if (rc < 0) {
			tl_sinks_close(sinks);
			return rc;
		}
	}
	*ret_sinks = sinks;
	return 0;
}

void tl_sinks_close(struct tl_sinks *sinks)
{
	if (sinks == NULL)
		return;
	uint64_t deadline_ns = tl_clock_ns(CLOCK_MONOTONIC) + CLOSE_NS;
	// All begin before the first is waited for: one that hangs takes no time from the others.
	for (uint32_t i = 0; i < sinks->count; i++)
		if (sinks->sinks[i].exporter->end != NULL)
			sinks->sinks[i].exporter->end(sinks->sinks[i].self);
	for (uint32_t i = 0; i < sinks->count; i++) {
		struct sink *sink = &sinks->sinks[i];
		if (sink->exporter->flush != NULL)
			(void)sink->exporter->flush(sink->self, deadline_ns);
		sink->exporter->close(sink->self);
	}
	tl_text_free(&sinks->span_name);
	free(sinks);
}

bool tl_sinks_want_roundtrips(const struct tl_sinks *sinks)
{
	for (uint32_t i = 0; i < sinks->count; i++)
		if (sinks->sinks[i].exporter->roundtrip != NULL ||
		    sinks->sinks[i].exporter->span != NULL)
			return true;
	return false;
}

// A failure is told once when it begins, and once when it is over.
static void note_result(struct sink *sink, int rc)
{
	struct tl_exporter_stats stats = {0};

	if (rc < 0 && !sink->is_failing) {
		if (sink->exporter->stats != NULL)
			sink->exporter->stats(sink->self, &stats);
		tl_log(TL_LOG_SEVERITY_ERROR, "exporters.%s: %s; counting what is lost",
		       sink->name, stats.last_error[0] != '\0' ? stats.last_error : strerror(-rc));
		sink->is_failing = true;
	}
}

void tl_sinks_roundtrip(struct tl_sinks *sinks, const struct tl_roundtrip_signal *signal)
{
	bool is_made = false, has_span = false;
	struct tl_span span;

	for (uint32_t i = 0; i < sinks->count; i++) {
		struct sink *sink = &sinks->sinks[i];
		if (sink->exporter->roundtrip != NULL)
			note_result(sink, sink->exporter->roundtrip(sink->self, signal));
		if (sink->exporter->span == NULL)
			continue;
		if (!is_made)
			has_span = tl_span_make(signal, &sinks->span_name, &span);
		is_made = true;
		if (has_span)
			note_result(sink, sink->exporter->span(sink->self, &span));
	}
}

void tl_sinks_event(struct tl_sinks *sinks, const struct tl_event *event)
{
	for (uint32_t i = 0; i < sinks->count; i++) {
		struct sink *sink = &sinks->sinks[i];
		if (sink->exporter->event != NULL)
			note_result(sink, sink->exporter->event(sink->self, event));
	}
}

void tl_sinks_metrics(struct tl_sinks *sinks, struct tl_snapshot *snapshot)
{
	for (uint32_t i = 0; i < sinks->count; i++) {
		struct sink *sink = &sinks->sinks[i];
		if (sink->exporter->metrics != NULL)
			note_result(sink, sink->exporter->metrics(sink->self, snapshot));
	}
}

void tl_sinks_flush(struct tl_sinks *sinks)
{
	for (uint32_t i = 0; i < sinks->count; i++) {
		struct sink *sink = &sinks->sinks[i];
		struct tl_exporter_stats stats = {0};
		uint64_t now_ns = tl_clock_ns(CLOCK_MONOTONIC);

		if (sink->exporter->flush != NULL)
			note_result(sink, sink->exporter->flush(sink->self, now_ns));
		if (sink->exporter->stats == NULL)
			continue;
		sink->exporter->stats(sink->self, &stats);
		if (sink->is_failing && stats.dropped == sink->dropped_logged) {
			tl_log(TL_LOG_SEVERITY_INFO, "exporters.%s: works again; %llu items were lost",
			       sink->name, (unsigned long long)stats.dropped);
			sink->is_failing = false;
		}
		sink->dropped_logged = stats.dropped;
	}
}

uint32_t tl_sinks_count(const struct tl_sinks *sinks)
{
	return sinks->count;
}

const char *tl_sinks_stats(struct tl_sinks *sinks, uint32_t index,
			   struct tl_exporter_stats *ret_stats)
{
	struct sink *sink = &sinks->sinks[index];

	*ret_stats = (struct tl_exporter_stats) {0};
	if (sink->exporter->stats != NULL)
		sink->exporter->stats(sink->self, ret_stats);
	return sink->name;
}
