// SPDX-License-Identifier: Apache-2.0
#include "collectors/store/store.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/jansson.h"
#include "collectors/container/container.h"
#include "collectors/host.h"
#include "collectors/store/internal.h"
#include "exporters/record/rotate.h"

struct tracer {
	char name[TL_TRACER_NAME_BYTES];
	bool is_autotracing;
	char path[PATH_MAX];
	struct tl_rotating_file *file; // opened by its first record
};

struct queued {
	struct queued *next;
	uint64_t time_ns;
	char tracer[TL_TRACER_NAME_BYTES];
	const char *type;
	char json[];
};

static struct {
	pthread_mutex_t lock; // of all below
	bool is_open;
	struct tl_store_options options;
	char path[PATH_MAX - TL_TRACER_NAME_BYTES - 16];
	char region[64];
	char hostname[256];
	struct tracer tracers[TL_TRACERS_MAX];
	uint32_t tracer_count;
	struct queued *first, **last;
	uint32_t queued;
	size_t queued_bytes;
	struct tl_store_stats stats;
} store = {.lock = PTHREAD_MUTEX_INITIALIZER};

int tl_store_open(const struct tl_store_options *options, char *error, uint32_t error_size)
{
	int rc = 0;

	if (strlen(options->path) >= sizeof(store.path)) {
		(void)snprintf(error, error_size, "collectors.store.path: too long");
		return -ENAMETOOLONG;
	}
	// What isn't there is made for the first event: an agent without any needs no right to.
	if (options->path[0] != '\0' && access(options->path, W_OK | X_OK) < 0 && errno != ENOENT)
		rc = -errno;
	if (rc < 0) {
		(void)snprintf(error, error_size, "collectors.store.path: %s: %s", options->path,
			       strerror(-rc));
		return rc;
	}
	(void)pthread_mutex_lock(&store.lock);
	store.options = *options;
	(void)snprintf(store.path, sizeof(store.path), "%s", options->path);
	(void)snprintf(store.region, sizeof(store.region), "%s", options->region);
	if (gethostname(store.hostname, sizeof(store.hostname)) < 0)
		store.hostname[0] = '\0';
	store.hostname[sizeof(store.hostname) - 1] = '\0';
	store.first = NULL;
	store.last = &store.first;
	store.queued = 0;
	store.queued_bytes = 0;
	store.tracer_count = 0;
	store.stats = (struct tl_store_stats) {0};
	store.is_open = true;
	(void)pthread_mutex_unlock(&store.lock);
	return 0;
}

void tl_store_close(void)
{
	(void)pthread_mutex_lock(&store.lock);
	store.is_open = false;
	for (uint32_t i = 0; i < store.tracer_count; i++) {
		tl_rotating_close(store.tracers[i].file);
		store.tracers[i].file = NULL;
	}
	while (store.first != NULL) {
		struct queued *queued = store.first;
		store.first = queued->next;
		free(queued);
	}
	store.last = &store.first;
	store.queued = 0;
	store.queued_bytes = 0;
	(void)pthread_mutex_unlock(&store.lock);
}

// NULL when there are too many.
static struct tracer *tracer_of(const char *name)
{
	for (uint32_t i = 0; i < store.tracer_count; i++)
		if (strcmp(store.tracers[i].name, name) == 0)
			return &store.tracers[i];
	if (store.tracer_count == TL_TRACERS_MAX || !tl_store_is_name(name))
		return NULL;
	struct tracer *tracer = &store.tracers[store.tracer_count++];
	*tracer = (struct tracer) {0};
	(void)snprintf(tracer->name, sizeof(tracer->name), "%s", name);
	(void)snprintf(tracer->path, sizeof(tracer->path), "%s/%s" TL_STORE_SUFFIX, store.path, name);
	return tracer;
}

void tl_store_set_autotracing(const char *name)
{
	(void)pthread_mutex_lock(&store.lock);
	struct tracer *tracer = store.is_open ? tracer_of(name) : NULL;
	if (tracer != NULL)
		tracer->is_autotracing = true;
	(void)pthread_mutex_unlock(&store.lock);
}

// ---- The envelope --------------------------------------------------------------------------------

static void set_text(json_t *record, const char *key, const char *value)
{
	if (value[0] != '\0')
		(void)json_object_set_new(record, key, tl_text_as_json(value));
}

// "2026-11-22 10:15:30.123 +0000".
static void local_time(uint64_t ns, char *buffer, size_t size)
{
	time_t seconds = (time_t)(ns / 1000000000);
	struct tm tm;
	char date[32], zone[8];

	(void)localtime_r(&seconds, &tm);
	(void)strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	(void)strftime(zone, sizeof(zone), "%z", &tm);
	(void)snprintf(buffer, size, "%s.%03u %s", date, (unsigned)(ns / 1000000 % 1000), zone);
}

static void new_id(char id[33])
{
	uint8_t bytes[16];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		memset(bytes, 0, sizeof(bytes));
	for (uint32_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

static void set_container(json_t *record, const char *id)
{
	struct tl_container *container = malloc(sizeof(*container));

	if (id[0] == '\0' || container == NULL) {
		free(container);
		return;
	}
	bool is_known = tl_container_by_id(id, container);
	set_text(record, "container_id", is_known ? container->id : id);
	if (is_known) {
		set_text(record, "container_hostname", container->hostname);
		set_text(record, "container_host_namespace", container->ns);
		set_text(record, "container_type", container->type);
		set_text(record, "container_qos", container->qos);
	} else {
		(void)json_object_set_new(record, "container_known", json_false());
	}
	free(container);
}

// The record as one line, to be freed; NULL on no memory. Takes over `data`.
static char *envelope(const char *tracer, const char *type, const char *container_id,
		      uint64_t time_ns, json_t *data)
{
	json_t *record = json_object();
	struct tl_text written = {0};
	char when[64], id[33];

	local_time(time_ns, when, sizeof(when));
	new_id(id);
	tl_text_time_utc(&written, tl_host_time_ns());
	set_text(record, "hostname", store.hostname);
	set_text(record, "region", store.region);
	set_text(record, "uploaded_time", written.data);
	set_text(record, "time", when);
	set_container(record, container_id);
	set_text(record, "tracer_name", tracer);
	set_text(record, "tracer_id", id);
	set_text(record, "tracer_time", when);
	set_text(record, "tracer_type", type);
	(void)json_object_set_new(record, "tracer_data", data);
	char *line = json_dumps(record, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(record);
	tl_text_free(&written);
	return line;
}

// ---- Saving --------------------------------------------------------------------------------------

// The store's folder, and those it lies in.
static int make_folder(void)
{
	char path[sizeof(store.path)];

	memcpy(path, store.path, sizeof(path));
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0755);
		*slash = '/';
	}
	return mkdir(path, 0750) < 0 && errno != EEXIST ? -errno : 0;
}

static int write_line(struct tracer *tracer, const char *line, size_t len)
{
	int rc = 0;

	if (store.path[0] == '\0')
		return 0;
	if (tracer->file == NULL)
		rc = make_folder();
	if (rc == 0 && tracer->file == NULL)
		rc = tl_rotating_open(
			&(struct tl_rotating_options) {
				.path = tracer->path,
				.bytes_max = store.options.bytes_max,
				.age_ns_max = store.options.age_ns_max,
				.count_max = store.options.count_max,
				.fsync = store.options.fsync,
			},
			&tracer->file);
	if (rc == 0)
		rc = tl_rotating_write(tracer->file, line, len);
	if (rc == 0)
		rc = tl_rotating_flush(tracer->file); // events are rare and wanted at once
	return rc;
}

static void queue(const char *tracer, const char *type, uint64_t time_ns, const char *json,
		  size_t len)
{
	bool has_room = store.queued < TL_STORE_QUEUE_MAX &&
			store.queued_bytes + len <= TL_STORE_QUEUE_BYTES_MAX;
	struct queued *queued = has_room ? malloc(sizeof(*queued) + len + 1) : NULL;

	if (queued == NULL) {
		store.stats.unqueued++;
		return;
	}
	*queued = (struct queued) {.time_ns = time_ns, .type = type};
	(void)snprintf(queued->tracer, sizeof(queued->tracer), "%s", tracer);
	memcpy(queued->json, json, len);
	queued->json[len] = '\0';
	*store.last = queued;
	store.last = &queued->next;
	store.queued++;
	store.queued_bytes += len;
}

// With the lock held. `line` ends with a newline.
static int keep(struct tracer *tracer, const char *type, uint64_t time_ns, const char *line,
		size_t len)
{
	int rc = write_line(tracer, line, len);

	if (rc < 0) {
		store.stats.failed++;
		(void)snprintf(store.stats.last_error, sizeof(store.stats.last_error), "%.180s: %s",
			       tracer->path, strerror(-rc));
	}
	queue(tracer->name, type, time_ns, line, len - 1);
	store.stats.saved++;
	return rc;
}

static int refuse(int rc)
{
	(void)pthread_mutex_lock(&store.lock);
	store.stats.refused++;
	(void)pthread_mutex_unlock(&store.lock);
	return rc;
}

int tl_store_save(const char *name, const char *container_id, uint64_t time_ns, const char *json)
{
	json_t *data = json_loads(json, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_object(data)) {
		json_decref(data);
		return refuse(-EINVAL);
	}
	(void)pthread_mutex_lock(&store.lock);
	struct tracer *tracer = store.is_open ? tracer_of(name) : NULL;
	const char *type = tracer != NULL && tracer->is_autotracing ? "autotracing" : "event";
	int rc = !store.is_open ? -ENOTCONN : tracer == NULL ? -EINVAL : 0;
	(void)pthread_mutex_unlock(&store.lock);
	if (rc < 0) {
		json_decref(data);
		return refuse(rc);
	}
	// Looking up the container may read files: not under the lock.
	char *record = envelope(name, type, container_id, time_ns, data);
	size_t len = record == NULL ? 0 : strlen(record);
	if (record == NULL || len >= TL_STORE_RECORD_BYTES_MAX) {
		free(record);
		return refuse(record == NULL ? -ENOMEM : -EMSGSIZE);
	}
	record[len] = '\n'; // in the place of its NUL: from here on it is a line of len + 1 bytes
	(void)pthread_mutex_lock(&store.lock);
	rc = store.is_open ? keep(tracer, type, time_ns, record, len + 1) : -ENOTCONN;
	(void)pthread_mutex_unlock(&store.lock);
	free(record);
	return rc;
}

void tl_store_drain(tl_store_deliver_fn *deliver, void *arg)
{
	(void)pthread_mutex_lock(&store.lock);
	struct queued *first = store.first;
	store.first = NULL;
	store.last = &store.first;
	store.queued = 0;
	store.queued_bytes = 0;
	(void)pthread_mutex_unlock(&store.lock);
	while (first != NULL) {
		struct queued *queued = first;
		const struct tl_stored stored = {
			.time_ns = queued->time_ns,
			.tracer = queued->tracer,
			.type = queued->type,
			.json = queued->json,
		};
		deliver(arg, &stored);
		first = queued->next;
		free(queued);
	}
}

void tl_store_get_stats(struct tl_store_stats *ret_stats)
{
	(void)pthread_mutex_lock(&store.lock);
	*ret_stats = store.stats;
	(void)pthread_mutex_unlock(&store.lock);
}
