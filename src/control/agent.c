// SPDX-License-Identifier: Apache-2.0
#include "control/agent.h"

#include "base/check.h"
#include "base/clock.h"
#include "control/collection.h"
#include "control/http.h"
#include "control/kube.h"
#include "control/log.h"
#include "control/probe.h"
#include "control/self_metrics.h"
#include "control/setup.h"
#include "control/sinks.h"
#include "control/status.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MERGE_NS UINT64_C(1000000000) // between two merges of the workers' metrics
#define QUIET_SLEEP_NS 50000000l  // between two looks at what is wanted, without a probe
#define CHANGES_LOGGED_MAX 20u        // differences of a reload that are told one by one
#define ERROR_BYTES 512u

struct agent {
	const char *path;
	struct tl_config *first;  // the one it started with: sinks, ports and HTTP point into it
	struct tl_config *config; // the one in force
	struct tl_rules *rules;
	struct tl_sinks *sinks;
	struct tl_bus *bus;
	struct tl_http *http;
	struct tl_collection *collection;
	struct tl_kube *kube;       // NULL: nobody asks Kubernetes
	struct tl_probe *probe;     // NULL: nothing is captured, only the host is watched
	struct tl_metrics *metrics; // the probe's, or without one our own
	struct tl_status_page page;
	char host[256];
	char reload_note[ERROR_BYTES];
	uint64_t next_tick_ns; // also without a merge: a worker may be stuck, sinks must not be
	uint64_t merges;       // of the probe, when the last tick was
	// What lcores did not take in time: the next change asks for it again.
	bool metrics_behind, filter_behind;
	uint32_t ports_down; // a bit for each that was logged to be
	uint64_t tags_told; // VLAN tags overlooked by the filter in force that were logged
};

static volatile sig_atomic_t stop_wanted;
static volatile sig_atomic_t reload_wanted;

static void on_signal(int number)
{
	if (number == SIGHUP)
		reload_wanted = 1;
	else
		stop_wanted = 1;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGHUP, &action, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

static void log_errors(const struct tl_config_errors *errors)
{
	for (uint32_t i = 0; i < errors->count; i++)
		tl_log(TL_LOG_SEVERITY_ERROR, "%s", errors->lines[i]);
	if (errors->more != 0)
		tl_log(TL_LOG_SEVERITY_ERROR, "and %u more", errors->more);
}

static void apply_log(const struct tl_config *config)
{
	tl_log_set_level((enum tl_log_severity)config->log.level);
	tl_log_set_json(config->log.format == TL_LOG_JSON);
}

// ---- Reload ------------------------------------------------------------------------------------

struct changes {
	struct tl_text text; // for the answer
	uint32_t hot, cold;
	bool in_metrics, in_log;
};

static void tell_change(struct changes *changes, const char *key, const char *before,
			const char *after, const char *remark)
{
	if (changes->hot + changes->cold <= CHANGES_LOGGED_MAX)
		tl_text_printf(&changes->text, "%s: %s -> %s%s\n", key, before, after, remark);
}

// Of what was in force before the reload.
static void note_hot(void *arg, const char *key, const char *before, const char *after, bool is_hot)
{
	struct changes *changes = arg;

	if (!is_hot)
		return;
	changes->hot++;
	changes->in_metrics |= strncmp(key, "metrics.", strlen("metrics.")) == 0;
	changes->in_log |= strncmp(key, "log.", strlen("log.")) == 0;
	tell_change(changes, key, before, after, "");
}

// Of what the agent started with: a restart that an earlier reload asked for is still due.
static void note_cold(void *arg, const char *key, const char *before, const char *after, bool is_hot)
{
	struct changes *changes = arg;

	if (is_hot)
		return;
	changes->cold++;
	tell_change(changes, key, before, after, " (needs a restart)");
}

static void log_changes(const struct changes *changes)
{
	const char *line = changes->text.data == NULL ? "" : changes->text.data;

	for (; *line != '\0'; line += strcspn(line, "\n") + 1)
		tl_log(TL_LOG_SEVERITY_INFO, "reload: %.*s", (int)strcspn(line, "\n"), line);
}

static void log_warnings(const struct tl_config *config)
{
	struct tl_config_errors *warnings = calloc(1, sizeof(*warnings));

	if (warnings == NULL)
		return;
	tl_config_warnings(config, warnings);
	for (uint32_t i = 0; i < warnings->count; i++)
		tl_log(TL_LOG_SEVERITY_WARNING, "%s", warnings->lines[i]);
	if (warnings->more != 0)
		tl_log(TL_LOG_SEVERITY_WARNING, "and %u more", warnings->more);
	free(warnings);
}

// NULL and -errno after at least one line in `errors`.
static int load_config(const char *path, struct tl_config **ret_config,
		       struct tl_config_errors *errors)
{
	int rc = tl_config_load(path, ret_config, errors);

	if (rc == 0)
		rc = tl_setup_check(*ret_config, errors);
	if (rc == 0) {
		log_warnings(*ret_config);
		return 0;
	}
	tl_config_free(*ret_config);
	*ret_config = NULL;
	return rc;
}

static int on_record(void *arg, const struct tl_roundtrip_signal *signal);

// What the old rules and names point into (the old configuration) is freed only after every lcore
// has left it.
static int swap_config(struct agent *agent, struct tl_config *config, bool metrics_differ,
		       char *error)
{
	struct tl_rules *rules;
	const char *filter = config->capture.filter;
	bool filter_differs = strcmp(filter, agent->config->capture.filter) != 0;
	int rc = tl_setup_rules(config, &rules, error, ERROR_BYTES);
	if (rc < 0)
		return rc;
	const struct tl_probe_change change = {
		.rules = rules,
		.metrics = metrics_differ || agent->metrics_behind ? &config->metrics : NULL,
		.filter = filter_differs || agent->filter_behind ? filter : NULL,
		.names = &config->names,
		.names_file = config->names_file,
	};
	if (agent->probe != NULL)
		rc = tl_probe_change(agent->probe, &change, on_record, agent, error, ERROR_BYTES);
	if (rc < 0 && rc != -ETIMEDOUT) {
		tl_rules_destroy(rules);
		return rc;
	}
	// After a time-out both sets stay: some lcores may use either.
	agent->metrics_behind = rc < 0 && change.metrics != NULL;
	agent->filter_behind = rc < 0 && change.filter != NULL;
	if (rc == 0) {
		tl_rules_destroy(agent->rules);
		if (agent->config != agent->first)
			tl_config_free(agent->config);
	}
	tl_collection_reload(agent->collection, config);
	agent->rules = rules;
	agent->config = config;
	agent->page.filter = config->capture.filter;
	if (change.filter != NULL)
		agent->tags_told = 0;
	return rc;
}

static int reload(struct agent *agent, struct tl_text *answer)
{
	struct tl_config_errors *errors = calloc(1, sizeof(*errors));
	struct changes changes = {0};
	struct tl_config *config = NULL;
	char error[ERROR_BYTES] = "";
	int rc = -ENOMEM;

	if (errors == NULL)
		return rc;
	rc = agent->path == NULL ? -ENOENT : load_config(agent->path, &config, errors);
	if (agent->path == NULL)
		tl_text_puts(answer, "the agent runs without a configuration file\n");
	for (uint32_t i = 0; rc < 0 && i < errors->count; i++)
		tl_text_printf(answer, "%s\n", errors->lines[i]);
	log_errors(errors);
	if (rc < 0)
		goto out_free;
	if (tl_config_diff(agent->config, config, note_hot, &changes) < 0 ||
	    tl_config_diff(agent->first, config, note_cold, &changes) < 0)
		tl_log(TL_LOG_SEVERITY_WARNING, "reload: out of memory while comparing");
	if (changes.hot + changes.cold > CHANGES_LOGGED_MAX)
		tl_text_printf(&changes.text, "and %u more\n",
			       changes.hot + changes.cold - CHANGES_LOGGED_MAX);
	// What needs a restart keeps its present value: sinks, ports and the HTTP server still point
	// into the first configuration, which therefore stays until the end.
	rc = swap_config(agent, config, changes.in_metrics, error);
	if (rc < 0) {
		tl_text_printf(answer, "%s\n", error);
		if (agent->config != config)
			tl_config_free(config);
		goto out_free;
	}
	if (changes.in_log) // else what POST /-/logger set stays
		apply_log(config);
	log_changes(&changes);
	tl_text_printf(answer, "reloaded: %u changed, %u need a restart\n", changes.hot,
		       changes.cold);
	if (changes.text.len != 0)
		tl_text_add(answer, changes.text.data, changes.text.len);
out_free:
	tl_text_free(&changes.text);
	free(errors);
	(void)snprintf(agent->reload_note, sizeof(agent->reload_note), "%.*s",
		       (int)strcspn(answer->data == NULL ? "" : answer->data, "\n"),
		       answer->data == NULL ? "" : answer->data);
	tl_log(rc < 0 ? TL_LOG_SEVERITY_ERROR : TL_LOG_SEVERITY_INFO, "reload %s: %s",
	       rc < 0 ? "refused" : "done", agent->reload_note);
	return rc;
}

static unsigned set_logger(const char *level, struct tl_text *answer)
{
	int found = tl_log_level_by_name(level);
	if (found < 0) {
		tl_text_puts(answer, "level: must be debug, info, warning or error\n");
		return MHD_HTTP_BAD_REQUEST;
	}
	tl_log_set_level((enum tl_log_severity)found);
	tl_text_puts(answer, "{\"status\": \"success\"}\n");
	return MHD_HTTP_OK;
}

static unsigned on_call(void *arg, enum tl_http_call call, const char *argument,
			struct tl_text *answer)
{
	struct agent *agent = arg;

	switch (call) {
	case TL_HTTP_RELOAD:
		return reload(agent, answer) < 0 ? MHD_HTTP_BAD_REQUEST : MHD_HTTP_OK;
	case TL_HTTP_LOGGER:
		return set_logger(argument, answer);
	default:
		tl_status_render(&agent->page, agent->probe, agent->sinks, answer);
		return MHD_HTTP_OK;
	}
}

// ---- Running -----------------------------------------------------------------------------------

static int on_record(void *arg, const struct tl_roundtrip_signal *signal)
{
	struct agent *agent = arg;

	tl_sinks_roundtrip(agent->sinks, signal);
	if (agent->bus != NULL)
		tl_bus_publish(agent->bus, signal);
	return 0;
}

// A port that loses its link, has it again, or fails while others go on (the last is told at the end).
static void tell_port(struct agent *agent, uint32_t index, const struct tl_port_status *port,
		      bool is_last)
{
	uint32_t bit = 1u << index;

	if (port->is_up == ((agent->ports_down & bit) == 0) || (is_last && port->error[0] != '\0'))
		return;
	agent->ports_down ^= bit;
	if (port->is_up)
		tl_log(TL_LOG_SEVERITY_INFO, "%s: has a link again", port->name);
	else if (port->error[0] != '\0')
		tl_log(TL_LOG_SEVERITY_ERROR, "%s: %s", port->name, port->error);
	else
		tl_log(TL_LOG_SEVERITY_WARNING, "%s: no link", port->name);
}

static void look_at_ports(struct agent *agent, struct tl_pipeline *pipeline)
{
	struct tl_port_status ports[TL_TOTALS_PORTS_MAX];
	uint32_t count = tl_pipeline_ports(pipeline, ports, TL_TOTALS_PORTS_MAX);
	char advice[TL_HINT_BYTES];
	uint32_t failed = 0;

	static_assert(TL_TOTALS_PORTS_MAX <= 32, "a bit for each");
	for (uint32_t i = 0; i < count; i++)
		failed += ports[i].error[0] != '\0';
	for (uint32_t i = 0; i < count; i++) {
		tell_port(agent, i, &ports[i], failed == count);
		if (ports[i].overlooked_tags <= agent->tags_told)
			continue;
		agent->tags_told = ports[i].overlooked_tags;
		tl_totals_filter_advice(agent->tags_told, agent->page.filter, advice);
		tl_log(TL_LOG_SEVERITY_WARNING, "%s: %s", ports[i].name, advice);
	}
}

// About once a second: ports, gauges, a snapshot for scrapes and sinks, flushes. False: there is no
// snapshot yet.
static bool tick(struct agent *agent)
{
	struct tl_metrics *metrics = agent->metrics;

	if (agent->probe != NULL)
		look_at_ports(agent, tl_probe_pipeline(agent->probe));
	else
		tl_metrics_set_time(metrics, tl_clock_ns(CLOCK_REALTIME));
	tl_self_metrics_set(metrics, &(struct tl_self_sources) {.probe = agent->probe,
								.sinks = agent->sinks,
								.bus = agent->bus,
								.kube = agent->kube});
	if (agent->kube != NULL && tl_kube_has_changed(agent->kube))
		tl_metrics_rename(metrics);
	tl_collection_tick(agent->collection, metrics, agent->sinks, agent->bus);
	struct tl_snapshot *snapshot = tl_metrics_snapshot(metrics);
	if (snapshot != NULL) {
		tl_sinks_metrics(agent->sinks, snapshot);
		if (agent->http != NULL)
			tl_http_publish(agent->http, snapshot);
		else
			tl_snapshot_put(snapshot);
	}
	tl_sinks_flush(agent->sinks);
	return snapshot != NULL;
}

// Records, merges; without a probe only time passes. True when nothing more will come.
static bool turn(struct agent *agent)
{
	bool is_finished = false;

	if (agent->probe != NULL)
		(void)tl_probe_turn(agent->probe, on_record, agent, &is_finished);
	else if (!stop_wanted)
		(void)nanosleep(&(struct timespec) {.tv_nsec = QUIET_SLEEP_NS}, NULL);
	return agent->probe != NULL ? is_finished : stop_wanted != 0;
}

static bool is_tick_due(struct agent *agent, uint64_t now_ns)
{
	// Right behind a merge, so that a scrape is a second old at the most.
	uint64_t merges = agent->probe == NULL ? 0 : tl_probe_merges(agent->probe);
	bool is_due = merges != agent->merges || now_ns >= agent->next_tick_ns;

	if (is_due)
		agent->next_tick_ns = now_ns + (agent->probe == NULL ? MERGE_NS : 2 * MERGE_NS);
	agent->merges = merges;
	return is_due;
}

static void begin_stop(struct agent *agent)
{
	tl_log(TL_LOG_SEVERITY_INFO, "stopping");
	if (agent->http != NULL)
		tl_http_set_ready(agent->http, false);
	if (agent->probe != NULL)
		tl_probe_stop(agent->probe);
}

// Said when there is a first snapshot: who reads this line may ask for every page.
static void tell_ready(struct agent *agent)
{
	tl_log(TL_LOG_SEVERITY_INFO, "%s; HTTP on %s",
	       agent->probe == NULL ? "watching this host, capturing nothing" : "capturing",
	       agent->first->server.enabled ? agent->first->server.address : "(off)");
	if (agent->http != NULL)
		tl_http_set_ready(agent->http, true);
}

static int run(struct agent *agent)
{
	bool is_finished = false, is_stopping = false, is_ready = false;

	while (!is_finished) {
		is_finished = turn(agent);
		if (agent->http != NULL)
			tl_http_turn(agent->http);
		if ((is_tick_due(agent, tl_clock_ns(CLOCK_MONOTONIC)) || is_finished) && tick(agent) &&
		    !is_ready && !is_stopping) {
			tell_ready(agent);
			is_ready = true;
		}
		if (reload_wanted) {
			struct tl_text answer = {0};
			reload_wanted = 0;
			(void)reload(agent, &answer);
			tl_text_free(&answer);
		}
		if (stop_wanted && !is_stopping) {
			is_stopping = true;
			begin_stop(agent);
		}
	}
	if (agent->probe != NULL && tl_probe_error(agent->probe)[0] != '\0') {
		tl_log(TL_LOG_SEVERITY_ERROR, "%s", tl_probe_error(agent->probe));
		return -EIO;
	}
	return 0;
}

static int start_http(struct agent *agent, char *error)
{
	const struct tl_server_config *server = &agent->config->server;

	if (!server->enabled)
		return 0;
	agent->bus = tl_bus_create((uint32_t)server->watchers_max);
	if (agent->bus == NULL)
		return -ENOMEM;
	return tl_http_start(
		&(struct tl_http_options) {
			.address = server->address,
			.timeout_ns = server->timeout_ns,
			.connections_max = server->connections_max,
			.histogram = agent->config->metrics.histogram,
			.le_seconds = agent->config->metrics.le_seconds,
			.le_bytes = agent->config->metrics.le_bytes,
			.collection = agent->collection,
		},
		agent->bus, on_call, agent, &agent->http, error, ERROR_BYTES);
}

static void log_of_sink(enum tl_exporter_severity severity, const char *line)
{
	static const enum tl_log_severity severities[] = {
		[TL_EXPORTER_INFO] = TL_LOG_SEVERITY_INFO,
		[TL_EXPORTER_WARNING] = TL_LOG_SEVERITY_WARNING,
		[TL_EXPORTER_ERROR] = TL_LOG_SEVERITY_ERROR,
	};
	tl_log(severities[severity], "%s", line);
}

// Without ports there is no DPDK, no worker and no probe.
static int start_capture(struct agent *agent, char *error)
{
	static struct tl_port_spec ports[TL_SETUP_PORTS_MAX];
	struct tl_probe_options options = {.merge_ns = MERGE_NS};
	const struct tl_config *config = agent->config;

	if (config->capture.ports.count == 0) {
		agent->metrics = tl_metrics_create(&config->metrics, NULL, 0);
		return 0;
	}
	int rc = tl_setup_pipeline(config, ports, &options.pipeline, error, ERROR_BYTES);
	if (rc < 0)
		return rc;
	options.metrics = &config->metrics;
	options.name = agent->page.probe;
	options.names = &config->names;
	options.names_file = config->names_file;
	options.kube = agent->kube;
	options.pipeline.want_records = agent->bus != NULL || tl_sinks_want_roundtrips(agent->sinks);
	rc = tl_probe_start(&options, agent->rules, &agent->probe, error, ERROR_BYTES);
	if (rc == 0)
		agent->metrics = tl_probe_metrics(agent->probe);
	return rc;
}

static int start(struct agent *agent, const char *version, char *error)
{
	const struct tl_config *config = agent->config;

	agent->page = (struct tl_status_page) {
		.version = version,
		.probe = tl_setup_probe_name(config, agent->host, sizeof(agent->host)),
		.config_file = config->file,
		.last_reload = agent->reload_note,
		.started_ns = tl_clock_ns(CLOCK_REALTIME),
		.filter = config->capture.filter,
	};
	int rc = tl_setup_rules(config, &agent->rules, error, ERROR_BYTES);
	if (rc == 0 && config->kubernetes.enabled)
		rc = tl_kube_start(&config->kubernetes, &agent->kube, error, ERROR_BYTES);
	agent->page.kube = agent->kube;
	if (rc == 0)
		rc = tl_collection_start(config, &agent->collection, error, ERROR_BYTES);
	struct tl_exporter_env env = {
		.probe = agent->page.probe,
		.version = agent->page.version,
		.is_lossless = tl_setup_reads_files(config),
		.le_seconds = &config->metrics.le_seconds,
		.le_bytes = &config->metrics.le_bytes,
		.log = log_of_sink,
	};
	if (rc == 0)
		rc = tl_sinks_open(config, &env, &agent->sinks, error, ERROR_BYTES);
	if (rc == 0)
		rc = start_http(agent, error);
	return rc < 0 ? rc : start_capture(agent, error);
}

static void finish(struct agent *agent)
{
	tl_http_stop(agent->http);
	if (agent->probe == NULL)
		tl_metrics_destroy(agent->metrics);
	tl_probe_destroy(agent->probe);
	tl_kube_stop(agent->kube);
	tl_collection_stop(agent->collection);
	tl_sinks_close(agent->sinks);
	tl_bus_destroy(agent->bus);
	tl_rules_destroy(agent->rules);
	if (agent->config != agent->first)
		tl_config_free(agent->config);
	tl_config_free(agent->first);
}

// 0, or -errno after the errors have been logged.
static int load(struct agent *agent)
{
	struct tl_config_errors *errors = calloc(1, sizeof(*errors));
	int rc = 0;

	if (errors == NULL)
		return -ENOMEM;
	if (agent->path != NULL)
		rc = load_config(agent->path, &agent->first, errors);
	else
		agent->first = tl_config_default();
	log_errors(errors);
	free(errors);
	if (rc == 0 && agent->first == NULL)
		rc = -ENOMEM;
	agent->config = agent->first;
	return rc < 0 ? -EINVAL : 0;
}

int tl_agent_run(const char *path, const char *version)
{
	struct agent agent = {.path = path};
	char error[ERROR_BYTES] = "out of memory";

	catch_signals();
	int rc = load(&agent);
	if (rc < 0)
		return rc;
	apply_log(agent.config);
	rc = start(&agent, version, error);
	if (rc < 0 && stop_wanted) {
		rc = 0; // told to stop while a pipe had no writer yet
	} else if (rc < 0) {
		tl_log(TL_LOG_SEVERITY_ERROR, "%s", error);
	} else {
		rc = run(&agent);
	}
	finish(&agent);
	return rc;
}
