// SPDX-License-Identifier: Apache-2.0
#include "control/probe.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RECORDS_PER_TURN 256u   // per worker: bounds the time between two looks at the metrics
#define IDLE_SLEEP_NS 1000000l
#define IDLE_DEEP_TURNS 100u    // turns without a record until it sleeps longer
#define IDLE_DEEP_SLEEP_NS 5000000l
#define CHANGE_WAIT_NS UINT64_C(5000000000) // for the lcores to take a change
#define CHANGE_POLL_NS 200000l

struct tl_probe {
	struct tl_pipeline *pipeline;
	struct tl_metrics *metrics;
	struct tl_enricher *enricher;
	uint64_t merge_ns;
	uint64_t next_merge_ns;
	uint64_t merges;  // completed
	uint32_t idle_turns;
	bool is_flipping; // a flip was asked for and not merged yet
	bool is_finished;
	bool is_silenced; // the consumer wants no more records
	const char *error;
};

static void name_ports(struct tl_probe *probe)
{
	struct tl_port_status ports[TL_TOTALS_PORTS_MAX];
	uint32_t count = tl_pipeline_ports(probe->pipeline, ports, TL_TOTALS_PORTS_MAX);

	for (uint32_t i = 0; i < count; i++)
		tl_enricher_set_port(probe->enricher, (uint8_t)i, ports[i].name);
}

int tl_probe_start(const struct tl_probe_options *options, const struct tl_rules *rules,
		   struct tl_probe **ret_probe, char *error, uint32_t error_size)
{
	struct tl_pipeline_options pipeline = options->pipeline;
	struct tl_probe *probe = calloc(1, sizeof(*probe));
	if (probe == NULL)
		return -ENOMEM;

	probe->error = "";
	probe->merge_ns = options->merge_ns;
	pipeline.metrics = options->metrics;
	struct tl_services *services;
	int rc = tl_services_create(options->names, options->names_file, &services, error, error_size);
	if (rc < 0)
		goto out_destroy;
	probe->enricher = tl_enricher_create(options->name);
	if (probe->enricher == NULL) {
		tl_services_destroy(services);
		rc = -ENOMEM;
		goto out_destroy;
	}
	tl_enricher_set_services(probe->enricher, services);
	tl_enricher_set_kube(probe->enricher, options->kube);
	rc = tl_pipeline_create(&pipeline, rules, &probe->pipeline, error, error_size);
	if (rc < 0)
		goto out_destroy;
	name_ports(probe);
	if (options->metrics != NULL) {
		probe->metrics = tl_metrics_create(options->metrics,
						   tl_pipeline_worker_metrics(probe->pipeline),
						   tl_pipeline_worker_count(probe->pipeline));
		rc = -ENOMEM;
		if (probe->metrics == NULL)
			goto out_destroy;
		tl_metrics_on_name(probe->metrics, tl_enricher_name, probe->enricher);
		tl_metrics_on_id(probe->metrics, tl_enricher_id_name, probe->enricher);
	}
	rc = tl_pipeline_start(probe->pipeline);
	if (rc < 0) {
		(void)snprintf(error, error_size, "can't start the lcores: %s", strerror(-rc));
		goto out_destroy;
	}
	*ret_probe = probe;
	return 0;
out_destroy:
	tl_probe_destroy(probe);
	return rc;
}

void tl_probe_stop(struct tl_probe *probe)
{
	tl_pipeline_stop(probe->pipeline);
}

void tl_probe_destroy(struct tl_probe *probe)
{
	if (probe == NULL)
		return;
	tl_metrics_destroy(probe->metrics);
	tl_pipeline_destroy(probe->pipeline);
	tl_enricher_destroy(probe->enricher);
	free(probe);
}

// What records have told since the last merge names series that had none.
static void take_names(struct tl_probe *probe)
{
	if (tl_enricher_has_news(probe->enricher))
		tl_metrics_rename(probe->metrics);
}

// Asks the workers to flip when it is time, merges once they did. Never waits.
static void turn_metrics(struct tl_probe *probe)
{
	uint64_t now = tl_clock_ns(CLOCK_MONOTONIC);

	if (probe->metrics == NULL)
		return;
	if (probe->is_flipping)
		take_names(probe);
	if (probe->is_flipping && tl_metrics_merge(probe->metrics, tl_clock_ns(CLOCK_REALTIME))) {
		probe->is_flipping = false;
		probe->merges++;
	}
	if (!probe->is_flipping && now >= probe->next_merge_ns) {
		probe->next_merge_ns = now + probe->merge_ns;
		tl_metrics_flip(probe->metrics);
		probe->is_flipping = true;
	}
}

_Static_assert(offsetof(struct tl_asked, protocol) == offsetof(struct tl_roundtrip, protocol),
	       "what is in the ring can be told apart");

// What a worker had to tell: a roundtrip, or a name that was asked for.
static void take_message(struct tl_probe *probe, const void *message, tl_probe_record_fn *fn,
			 void *arg)
{
	const struct tl_roundtrip *record = message;

	if (probe->is_silenced)
		return;
	if (record->protocol == 0) {
		tl_enricher_asked(probe->enricher, message);
		return;
	}
	struct tl_roundtrip_signal signal = {
		.record = tl_enrich_values(probe->enricher, record),
		.names = tl_enrich(probe->enricher, record),
	};
	if (fn(arg, &signal) < 0) {
		probe->is_silenced = true;
		tl_pipeline_stop(probe->pipeline);
	}
}

// Drained also after the consumer has had enough: a lossless worker must never wait for ever.
static uint32_t turn_records(struct tl_probe *probe, tl_probe_record_fn *fn, void *arg)
{
	uint32_t handled = 0;

	for (uint32_t w = 0; w < tl_pipeline_worker_count(probe->pipeline); w++) {
		struct tl_ring *ring = tl_pipeline_records(probe->pipeline, w);
		for (uint32_t i = 0; ring != NULL && i < RECORDS_PER_TURN; i++) {
			uint32_t len;
			const void *message = tl_ring_peek(ring, &len);
			if (message == NULL)
				break;
			handled++;
			take_message(probe, message, fn, arg);
			tl_ring_release(ring);
		}
	}
	return handled;
}

static void sleep_idle(const struct tl_probe *probe)
{
	bool is_deep = probe->idle_turns > IDLE_DEEP_TURNS;
	struct timespec pause = {.tv_nsec = is_deep ? IDLE_DEEP_SLEEP_NS : IDLE_SLEEP_NS};

	(void)nanosleep(&pause, NULL);
}

uint32_t tl_probe_turn(struct tl_probe *probe, tl_probe_record_fn *fn, void *arg,
		       bool *ret_finished)
{
	*ret_finished = false;
	// Asked before the rings are read: what was written before the end is then seen after it.
	bool was_finished = tl_pipeline_is_finished(probe->pipeline, &probe->error);
	uint32_t handled = turn_records(probe, fn, arg);

	if (!was_finished) {
		turn_metrics(probe);
		probe->idle_turns = handled == 0 ? probe->idle_turns + 1 : 0;
		if (handled == 0)
			sleep_idle(probe);
		return handled;
	}
	if (handled == 0) {
		if (probe->metrics != NULL && !probe->is_finished) {
			take_names(probe);
			tl_metrics_merge_stopped(probe->metrics, tl_clock_ns(CLOCK_REALTIME));
		}
		probe->is_finished = true;
		*ret_finished = true;
	}
	return handled;
}

// ---- Changes -------------------------------------------------------------------------------------

// Waits for the filter (`for_filter`) or for all else. 1, 0 after CHANGE_WAIT_NS, or -errno.
static int wait_taken(struct tl_probe *probe, bool for_filter, tl_probe_record_fn *fn, void *arg,
		      char *error, uint32_t error_size)
{
	uint64_t end_ns = tl_clock_ns(CLOCK_MONOTONIC) + CHANGE_WAIT_NS;
	int rc = 0;

	while (rc == 0 && tl_clock_ns(CLOCK_MONOTONIC) < end_ns) {
		rc = for_filter ? tl_pipeline_filter_taken(probe->pipeline, error, error_size)
				: tl_pipeline_has_taken(probe->pipeline);
		if (rc == 0 && turn_records(probe, fn, arg) == 0)
			(void)nanosleep(&(struct timespec) {.tv_nsec = CHANGE_POLL_NS}, NULL);
	}
	return rc;
}

static int change_filter(struct tl_probe *probe, const char *filter, tl_probe_record_fn *fn,
			 void *arg, char *error, uint32_t error_size)
{
	int rc = tl_pipeline_ask_filter(probe->pipeline, filter, error, error_size);

	if (rc == 0)
		rc = wait_taken(probe, true, fn, arg, error, error_size);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	(void)snprintf(error, error_size, "the capture did not take the new filter in time");
	return -ETIMEDOUT;
}

static void destroy_metrics(struct tl_worker_metrics **metrics, uint32_t count)
{
	for (uint32_t i = 0; metrics != NULL && i < count; i++)
		tl_worker_metrics_destroy(metrics[i]);
	free(metrics);
}

// One for each worker, NULL on no memory.
static struct tl_worker_metrics **make_metrics(const struct tl_metrics_options *options,
					       uint32_t count)
{
	struct tl_worker_metrics **metrics = calloc(count, sizeof(*metrics));

	for (uint32_t i = 0; metrics != NULL && i < count; i++) {
		metrics[i] = tl_worker_metrics_create(options, (uint8_t)i);
		if (metrics[i] == NULL) {
			destroy_metrics(metrics, i);
			return NULL;
		}
	}
	return metrics;
}

// Rules and metrics, in one step. Takes over `fresh`, which may be NULL.
static int change_workers(struct tl_probe *probe, const struct tl_probe_change *change,
			  struct tl_worker_metrics **fresh, tl_probe_record_fn *fn, void *arg,
			  char *error, uint32_t error_size)
{
	uint32_t count = tl_pipeline_worker_count(probe->pipeline);
	struct tl_worker_metrics *const *present = tl_pipeline_worker_metrics(probe->pipeline);
	struct tl_worker_metrics **old = calloc(count, sizeof(struct tl_worker_metrics *));

	if (old == NULL) {
		destroy_metrics(fresh, count);
		(void)snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	for (uint32_t i = 0; fresh != NULL && i < count; i++)
		old[i] = present[i];
	tl_pipeline_ask(probe->pipeline, change->rules, fresh);
	if (wait_taken(probe, false, fn, arg, error, error_size) == 0) {
		free(old); // not what it points to: some workers may use it
		free(fresh);
		(void)snprintf(error, error_size, "a worker did not take the changes in time");
		return -ETIMEDOUT;
	}
	if (fresh != NULL) {
		tl_metrics_replace(probe->metrics, change->metrics, fresh,
				   tl_clock_ns(CLOCK_REALTIME));
		probe->is_flipping = false;
		destroy_metrics(old, count);
		free(fresh); // the workers keep what it points to
	} else {
		free(old);
	}
	return 0;
}

int tl_probe_change(struct tl_probe *probe, const struct tl_probe_change *change,
		    tl_probe_record_fn *fn, void *arg, char *error, uint32_t error_size)
{
	uint32_t count = tl_pipeline_worker_count(probe->pipeline);
	struct tl_worker_metrics **fresh = NULL;
	struct tl_services *services;

	// What can fail comes first; from the filter on, everything that is asked for is taken.
	int rc = tl_services_create(change->names, change->names_file, &services, error, error_size);
	if (rc < 0)
		return rc;
	if (change->metrics != NULL && probe->metrics != NULL) {
		rc = tl_metrics_check(change->metrics, error, error_size);
		if (rc == 0)
			fresh = make_metrics(change->metrics, count);
		if (rc == 0 && fresh == NULL) {
			(void)snprintf(error, error_size, "out of memory");
			rc = -ENOMEM;
		}
	}
	if (rc == 0 && change->filter != NULL)
		rc = change_filter(probe, change->filter, fn, arg, error, error_size);
	if (rc < 0) {
		tl_services_destroy(services);
		destroy_metrics(fresh, count);
		return rc;
	}
	rc = change_workers(probe, change, fresh, fn, arg, error, error_size);
	if (rc < 0) {
		tl_services_destroy(services);
		return rc;
	}
	tl_enricher_set_services(probe->enricher, services);
	if (probe->metrics != NULL)
		tl_metrics_rename(probe->metrics);
	return 0;
}

const char *tl_probe_error(const struct tl_probe *probe)
{
	return probe->error == NULL ? "" : probe->error;
}

struct tl_pipeline *tl_probe_pipeline(struct tl_probe *probe)
{
	return probe->pipeline;
}

struct tl_metrics *tl_probe_metrics(struct tl_probe *probe)
{
	return probe->metrics;
}

uint64_t tl_probe_merges(const struct tl_probe *probe)
{
	return probe->merges;
}
