// SPDX-License-Identifier: Apache-2.0
#include "control/collection.h"

#include "base/check.h"
#include "base/jansson.h"
#include "collectors/host.h"
#include "config/value.h"
#include "control/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define EVENTS_DEFAULT 1000u // of GET /api/v1/events without a limit of its own
#define EVENTS_MAX 10000u    // held in memory for an answer
#define TRACERS_PATH "/api/v1/tracers"

struct tl_collection {
	struct tl_collectors *collectors;
	char store_path[4096];
	char store_error[256]; // as logged last
};

static void log_line(void *arg, bool is_error, const char *line)
{
	(void)arg;
	tl_log(is_error ? TL_LOG_SEVERITY_WARNING : TL_LOG_SEVERITY_INFO, "%s", line);
}

static struct tl_collectors_setup setup_of(const struct tl_config *config)
{
	return (struct tl_collectors_setup) {
		.config = &config->collectors,
		.options = config->collector_options,
		.log = log_line,
	};
}

int tl_collection_start(const struct tl_config *config, struct tl_collection **ret_collection,
			char *error, uint32_t error_size)
{
	const struct tl_collectors_setup setup = setup_of(config);
	struct tl_collection *collection = calloc(1, sizeof(*collection));
	int rc = collection == NULL ? -ENOMEM : 0;

	if (rc == 0)
		rc = tl_containers_open(&config->collectors.containers);
	if (rc == 0)
		rc = tl_store_open(&config->collectors.store, error, error_size);
	if (rc == 0)
		rc = tl_collectors_create(&setup, &collection->collectors, error, error_size);
	if (rc < 0) {
		tl_collection_stop(collection);
		return rc;
	}
	(void)snprintf(collection->store_path, sizeof(collection->store_path), "%s",
		       config->collectors.store.path);
	*ret_collection = collection;
	return 0;
}

void tl_collection_stop(struct tl_collection *collection)
{
	if (collection == NULL)
		return;
	tl_collectors_destroy(collection->collectors);
	tl_store_close();
	tl_containers_close();
	free(collection);
}

void tl_collection_reload(struct tl_collection *collection, const struct tl_config *config)
{
	const struct tl_collectors_setup setup = setup_of(config);

	tl_collectors_reload(collection->collectors, &setup);
}

// ---- Every second --------------------------------------------------------------------------------

struct listeners {
	struct tl_sinks *sinks;
	struct tl_bus *bus;
};

static void deliver(void *arg, const struct tl_stored *stored)
{
	const struct listeners *listeners = arg;
	const struct tl_event event = {
		.time_ns = stored->time_ns,
		.kind = stored->type,
		.source = stored->tracer,
		.json = stored->json,
	};

	tl_sinks_event(listeners->sinks, &event);
	if (listeners->bus != NULL)
		tl_bus_publish_event(listeners->bus, stored->tracer, stored->json);
}

static void set_store_metrics(struct tl_collection *collection, struct tl_metrics *metrics)
{
	struct tl_store_stats stats;

	tl_store_get_stats(&stats);
	tl_metrics_set(metrics, "tapline_events_saved_total", "", "counter",
		       "Events that collectors saved.", (double)stats.saved);
	const struct {
		const char *labels;
		uint64_t count;
	} lost[] = {{"cause=\"refused\"", stats.refused},
		    {"cause=\"file\"", stats.failed},
		    {"cause=\"queue\"", stats.unqueued}};
	for (size_t i = 0; i < TL_COUNT_OF(lost); i++)
		tl_metrics_set(metrics, "tapline_events_lost_total", lost[i].labels, "counter",
			       "Events that were lost: too large or malformed, not written to the"
			       " local file, or not handed to the exporters.",
			       (double)lost[i].count);
	if (strcmp(stats.last_error, collection->store_error) != 0) {
		strcpy(collection->store_error, stats.last_error);
		tl_log(TL_LOG_SEVERITY_ERROR, "collectors.store: %s; events go to the exporters only",
		       stats.last_error);
	}
}

void tl_collection_tick(struct tl_collection *collection, struct tl_metrics *metrics,
			struct tl_sinks *sinks, struct tl_bus *bus)
{
	struct listeners listeners = {sinks, bus};
	struct tl_points *lists[TL_COLLECTORS_MAX + 1];

	tl_collectors_tick(collection->collectors);
	uint32_t count = tl_collectors_points(collection->collectors, lists);
	tl_metrics_set_points(metrics, lists, count);
	for (uint32_t i = 0; i < count; i++)
		tl_points_put(lists[i]);
	tl_store_drain(deliver, &listeners);
	set_store_metrics(collection, metrics);
}

// ---- Pages ---------------------------------------------------------------------------------------

static unsigned put_json(json_t *object, struct tl_text *page)
{
	char *text = json_dumps(object, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

	json_decref(object);
	if (text == NULL)
		return 500;
	tl_text_puts(page, text);
	tl_text_puts(page, "\n");
	free(text);
	return 200;
}

static unsigned put_error(unsigned status, const char *message, struct tl_text *page)
{
	(void)put_json(json_pack("{s:{s:i, s:s}}", "error", "code", (int)status, "message", message),
		       page);
	return status;
}

static json_t *roles_json(uint32_t flags)
{
	json_t *roles = json_array();

	if ((flags & TL_METRIC) != 0)
		(void)json_array_append_new(roles, json_string("metric"));
	if ((flags & TL_TRACING) != 0)
		(void)json_array_append_new(roles, json_string(
			(flags & TL_AUTOTRACING) != 0 ? "autotracing" :
			(flags & TL_PROBE) != 0 ? "probe" : "event"));
	return roles;
}

static unsigned tracers_page(struct tl_collection *collection, struct tl_text *page)
{
	struct tl_collector_status *all = calloc(TL_COLLECTORS_MAX, sizeof(*all));
	json_t *data = json_object();

	if (all == NULL) {
		json_decref(data);
		return put_error(500, "out of memory", page);
	}
	uint32_t count = tl_collectors_status(collection->collectors, all, TL_COLLECTORS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		const struct tl_collector_status *s = &all[i];
		json_t *one = json_pack("{s:s, s:s, s:s, s:o, s:b, s:I, s:i}", "name", s->name, "help",
					s->help, "state", tl_collector_state_name(s->state), "roles",
					roles_json(s->flags), "running", s->is_running, "hit",
					(json_int_t)s->hits, "restart_interval", (int)s->interval_s);
		if ((s->flags & TL_METRIC) != 0) {
			(void)json_object_set_new(one, "updates", json_integer((json_int_t)s->updates));
			(void)json_object_set_new(one, "success", json_boolean(s->has_succeeded));
			(void)json_object_set_new(one, "update_seconds", json_real(s->update_seconds));
		}
		if (s->is_blocked)
			(void)json_object_set_new(one, "blocked", json_true());
		if (s->hook[0] != '\0')
			(void)json_object_set_new(one, "hook", json_string(s->hook));
		if (s->reason[0] != '\0')
			(void)json_object_set_new(one, "reason", tl_text_as_json(s->reason));
		(void)json_object_set_new(data, s->name, one);
	}
	free(all);
	return put_json(json_pack("{s:o}", "data", data), page);
}

static unsigned call_page(int rc, const char *name, struct tl_text *page)
{
	static const struct {
		int rc;
		unsigned status;
		const char *message;
	} answers[] = {
		{-ENOENT, 404, "no such collector"},
		{-EALREADY, 409, "already running"},
		{-ESRCH, 409, "not running"},
		{-EBUSY, 409, "told to stop; its last call has not returned"},
		{-EOPNOTSUPP, 409, "not active, or without a tracing role; see /api/v1/tracers"},
	};
	char message[256];

	for (size_t i = 0; i < TL_COUNT_OF(answers) && rc < 0; i++)
		if (answers[i].rc == rc) {
			(void)snprintf(message, sizeof(message), "%s: %s", name, answers[i].message);
			return put_error(answers[i].status, message, page);
		}
	return rc < 0 ? put_error(500, strerror(-rc), page) : 204;
}

// NAME/start or NAME/stop.
static unsigned tracer_call(struct tl_collection *collection, const char *rest,
			    struct tl_text *page)
{
	const char *slash = strchr(rest, '/');
	char name[64];

	if (slash == NULL || (size_t)(slash - rest) >= sizeof(name))
		return put_error(404, "no such page", page);
	(void)snprintf(name, sizeof(name), "%.*s", (int)(slash - rest), rest);
	if (strcmp(slash, "/start") == 0)
		return call_page(tl_collectors_start(collection->collectors, name), name, page);
	if (strcmp(slash, "/stop") == 0)
		return call_page(tl_collectors_stop(collection->collectors, name), name, page);
	return put_error(404, "no such page", page);
}

static bool add_container(void *arg, const struct tl_container *c)
{
	static const char *const parts[TL_CGROUP_PARTS] = {"cpu", "cpuacct", "memory", "blkio"};
	json_t *paths = json_object(), *labels = json_object();

	for (uint32_t i = 0; i < TL_CGROUP_PARTS; i++)
		if (c->cgroup[i][0] != '\0')
			(void)json_object_set_new(paths, parts[i], tl_text_as_json(c->cgroup[i]));
	for (uint32_t i = 0; i < c->label_count; i++)
		(void)json_object_set_new(labels, c->labels[i].name,
					  tl_text_as_json(c->labels[i].value));
	json_t *one = json_pack(
		"{s:s, s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:i, s:I, s:b, s:o, s:o}", "id", c->id,
		"name", tl_text_as_json(c->name), "hostname", tl_text_as_json(c->hostname), "namespace",
		tl_text_as_json(c->ns), "pod", tl_text_as_json(c->pod), "type", c->type, "qos", c->qos,
		"runtime", c->runtime, "init_pid", (int)c->init_pid, "cgroup_id",
		(json_int_t)c->cgroup_id, "cgroup_v2", c->is_v2, "cgroup_paths", paths, "labels",
		labels);
	(void)json_array_append_new(arg, one);
	return true;
}

static unsigned containers_page(const char *id, struct tl_text *page)
{
	struct tl_container *one = malloc(sizeof(*one));
	json_t *data = json_array();
	char error[256];

	if (one == NULL) {
		json_decref(data);
		return put_error(500, "out of memory", page);
	}
	if (id[0] == '\0')
		(void)tl_container_each(add_container, data);
	else if (tl_container_by_id(id, one))
		(void)add_container(data, one);
	free(one);
	if (id[0] != '\0' && json_array_size(data) == 0) {
		json_decref(data);
		return put_error(404, "no such container", page);
	}
	json_t *object = json_pack("{s:o}", "data", data);
	if (tl_containers_error(error, sizeof(error))[0] != '\0')
		(void)json_object_set_new(object, "kubelet_error", tl_text_as_json(error));
	return put_json(object, page);
}

static bool add_event(void *arg, const struct tl_stored *stored)
{
	tl_text_puts(arg, stored->json);
	tl_text_puts(arg, "\n");
	return true;
}

static unsigned events_page(struct tl_collection *collection, const char *tracer, const char *since,
			    const char *limit_text, struct tl_text *page)
{
	uint64_t now_ns = tl_host_time_ns(), age_ns = 0;
	uint64_t limit = EVENTS_DEFAULT;
	char *end = NULL;

	if (since[0] != '\0' && !tl_parse_duration(since, &age_ns))
		return put_error(400, "since: must be a duration such as 1h", page);
	if (limit_text[0] != '\0')
		limit = strtoull(limit_text, &end, 10);
	if (limit == 0 || limit > EVENTS_MAX || (end != NULL && *end != '\0'))
		return put_error(400, "limit: must be a number from 1 to 10000", page);
	uint64_t since_ns = age_ns == 0 || age_ns > now_ns ? 0 : now_ns - age_ns;
	int rc = tl_store_read(collection->store_path, tracer, since_ns, limit, add_event, page);
	if (rc == -EINVAL)
		return put_error(400, "tracer: no such name", page);
	if (rc == -ENOENT)
		return 200; // no event has come yet
	return rc < 0 ? put_error(500, strerror(-rc), page) : 200;
}

unsigned tl_collection_page(struct tl_collection *collection, const char *method, const char *path,
			    tl_collection_argument_fn *argument, void *arg,
			    struct tl_text *ret_page)
{
	bool is_get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
	bool is_call = strncmp(path, TRACERS_PATH "/", strlen(TRACERS_PATH "/")) == 0;
	bool is_page = strcmp(path, TRACERS_PATH) == 0 || strcmp(path, "/api/v1/containers") == 0 ||
		       strcmp(path, "/api/v1/events") == 0;

	if (!is_page && !is_call)
		return 0;
	if (is_page ? !is_get : strcmp(method, "PUT") != 0)
		return put_error(405, "wrong method; GET / lists them", ret_page);
	if (is_call)
		return tracer_call(collection, path + strlen(TRACERS_PATH "/"), ret_page);
	if (strcmp(path, TRACERS_PATH) == 0)
		return tracers_page(collection, ret_page);
	if (strcmp(path, "/api/v1/containers") == 0)
		return containers_page(argument(arg, "container_id"), ret_page);
	return events_page(collection, argument(arg, "tracer"), argument(arg, "since"),
			   argument(arg, "limit"), ret_page);
}
