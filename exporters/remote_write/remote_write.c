// SPDX-License-Identifier: Apache-2.0
// The exporter `remote_write`: Prometheus remote write 1.0. The control lcore hands over pictures
// of the metrics; comparing, encoding and sending is the helper thread's.
#include "exporters/remote_write/request.h"
#include "exporters/remote_write/series.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS_MAX 8u
#define SHARD_BYTES_MIN (1u << 20) // of its queue
#define INBOX_JOBS 4u
#define METADATA_NS UINT64_C(60000000000) // names, types and help are told this often
#define EXTERNAL_LABELS_MAX 24u
#define LANE_NAME_BYTES 32u

struct remote_write_options {
	struct tl_http_options http;
	uint32_t histogram; // choice: vmrange, le
	uint64_t interval_ns;
	struct tl_text_map external_labels;
	bool self_metrics;
	bool metadata;
	uint64_t shards;
	uint64_t samples_max;
	uint64_t bytes_max;
};

static const char *const histogram_words[] = {"vmrange", "le", NULL};

#define ROW(name, member_type, default_value, ...) \
	{.key = #name, .type = member_type, \
	 .offset = offsetof(struct remote_write_options, name), .value = default_value, __VA_ARGS__}

static const struct tl_option rows[] = {
	TL_HTTP_ROWS(struct remote_write_options, http),
	ROW(histogram, TL_OPTION_CHOICE, "vmrange", .choices = histogram_words, .required = true,
	    .help = "How histograms are sent: vmrange for VictoriaMetrics, le for Prometheus, Mimir "
		    "and Thanos, which have no use for vmrange."),
	{.key = "interval", .type = TL_OPTION_DURATION,
	 .offset = offsetof(struct remote_write_options, interval_ns), .value = "15s",
	 .min = UINT64_C(1000000000), .max = UINT64_C(3600000000000),
	 .help = "Time between two samples of a series."},
	ROW(external_labels, TL_OPTION_TEXT_MAP, "{}",
	    .help = "Labels added to every series that does not have them. `probe`, the probe's name, "
		    "is always among them: two probes must never write the same series."),
	ROW(self_metrics, TL_OPTION_BOOL, "true",
	    .help = "Send the probe's own metrics (tapline_...) too."),
	ROW(metadata, TL_OPTION_BOOL, "true",
	    .help = "Send type and help of each family once a minute."),
	ROW(shards, TL_OPTION_UINT, "1", .min = 1, .max = SHARDS_MAX,
	    .help = "Connections used at a time; a series always takes the same one."),
	{.key = "max_samples", .type = TL_OPTION_UINT,
	 .offset = offsetof(struct remote_write_options, samples_max), .value = "5000", .min = 1,
	 .max = 1000000, .help = "Samples of one request."},
	{.key = "max_bytes", .type = TL_OPTION_SIZE,
	 .offset = offsetof(struct remote_write_options, bytes_max), .value = "1MiB", .min = 1024,
	 .max = 32 << 20, .help = "Size of one request before compression."},
	TL_OPTION_END,
};

struct job {
	struct tl_snapshot *snapshot; // NULL: the end of all series
	uint64_t wall_ns;
};

struct remote_write {
	const struct remote_write_options *options;
	struct tl_exporter_env env;
	struct tl_http_sink *sink;
	struct tl_write_label external[EXTERNAL_LABELS_MAX];
	uint32_t external_count;
	uint32_t shard_count;
	uint32_t lane_count; // with those of an earlier number of shards
	// Control lcore.
	struct tl_snapshot *latest; // the last picture seen, to be sent at the end
	bool is_latest_sent;
	bool is_ended;
	uint64_t due_ns;            // CLOCK_MONOTONIC
	// Helper thread.
	struct tl_series_options series;
	struct tl_snapshot *before;
	struct tl_series_times times;
	struct tl_write_request requests[SHARDS_MAX];
	struct tl_text name, payload;
	uint64_t metadata_ns;
	_Atomic uint64_t clock_steps;
};

// ---- Encoding: helper thread -------------------------------------------------------------------

static void send_request(struct remote_write *self, uint32_t shard)
{
	struct tl_write_request *request = &self->requests[shard];
	uint32_t samples = request->samples;
	uint64_t time_ns = (uint64_t)request->last_ms * 1000000;

	if (request->body.len == 0)
		return;
	tl_write_request_finish(request, &self->payload);
	(void)tl_http_sink_push(self->sink, shard,
				tl_bytes(self->payload.data, (uint32_t)self->payload.len), samples,
				time_ns);
}

// The series behind `len` would make the request too large: it begins the next one.
static void move_to_next(struct remote_write *self, uint32_t shard, size_t len, uint32_t samples)
{
	struct tl_write_request *request = &self->requests[shard];
	int64_t last_ms = request->last_ms;

	tl_text_clear(&self->name); // not needed any more
	tl_text_add(&self->name, request->body.data + len, request->body.len - len);
	request->body.len = len;
	request->samples -= samples;
	send_request(self, shard);
	tl_text_add(&request->body, self->name.data, self->name.len);
	request->samples = samples;
	request->last_ms = last_ms;
}

static uint32_t shard_of(const struct remote_write *self, const struct tl_write_label *labels,
			 uint32_t count)
{
	uint64_t hash = 0; // the same in every run: a series keeps its lane

	for (uint32_t i = 0; self->shard_count > 1 && i < count; i++) {
		hash = tl_hash64(labels[i].name, strlen(labels[i].name), hash);
		hash = tl_hash64(labels[i].value, strlen(labels[i].value), hash);
	}
	return (uint32_t)(hash % self->shard_count);
}

static uint32_t labels_of(struct remote_write *self, const struct tl_series_point *point,
			  struct tl_write_label labels[TL_WRITE_LABELS_MAX])
{
	const struct tl_sample *sample = point->sample;
	uint32_t count = 0;

	tl_text_clear(&self->name);
	tl_text_puts(&self->name, sample->family);
	tl_text_puts(&self->name, point->suffix);
	labels[count++] = (struct tl_write_label) {"__name__", self->name.data};
	if (point->extra_name != NULL)
		labels[count++] = (struct tl_write_label) {point->extra_name, point->extra_value};
	// A series' own labels win over external ones of that name: they come first.
	for (uint32_t i = 0; i < sample->label_count &&
			     count + self->external_count < TL_WRITE_LABELS_MAX; i++)
		labels[count++] = (struct tl_write_label) {sample->labels[i].name,
							   sample->labels[i].value};
	memcpy(labels + count, self->external, self->external_count * sizeof(*labels));
	return count + self->external_count;
}

static void on_series(void *arg, const struct tl_series_point *point)
{
	struct remote_write *self = arg;
	struct tl_write_label labels[TL_WRITE_LABELS_MAX];
	struct tl_write_sample samples[2];
	uint32_t label_count = labels_of(self, point, labels), count = 0;
	uint32_t shard = shard_of(self, labels, label_count);
	struct tl_write_request *request = &self->requests[shard];

	// Without a 0 before it, rate() and increase() would never see what a series begins with.
	if (point->state == TL_SERIES_NEW && point->is_counter)
		samples[count++] = (struct tl_write_sample) {0, self->times.before_ms};
	// One ms before this round, so that the series may begin again with a 0 at its time.
	if (point->state == TL_SERIES_ENDED)
		samples[count++] = (struct tl_write_sample) {tl_write_stale_marker(),
							     self->times.now_ms - 1};
	else
		samples[count++] = (struct tl_write_sample) {point->value, self->times.now_ms};
	if (request->samples + count > self->options->samples_max)
		send_request(self, shard);
	size_t len = request->body.len;
	tl_write_request_series(request, labels, label_count, samples, count);
	if (request->body.len > self->options->bytes_max && len != 0)
		move_to_next(self, shard, len, count);
}

static void add_metadata(struct remote_write *self, const struct tl_snapshot *snapshot)
{
	static const int types[] = {
		[TL_METRIC_COUNTER] = 1, [TL_METRIC_GAUGE] = 2, [TL_METRIC_HISTOGRAM] = 3};
	uint64_t now = tl_clock_ns(CLOCK_MONOTONIC);
	const char *family = "";

	if (!self->options->metadata ||
	    (self->metadata_ns != 0 && now - self->metadata_ns < METADATA_NS))
		return;
	self->metadata_ns = now;
	for (uint32_t i = 0; i < tl_snapshot_count(snapshot); i++) {
		const struct tl_sample *sample = tl_snapshot_at(snapshot, i);
		if (strcmp(sample->family, family) == 0 ||
		    (sample->is_self && !self->series.with_self))
			continue;
		family = sample->family;
		// A histogram without `le` is none to strict readers: its type stays unknown.
		bool is_unknown = sample->type == TL_METRIC_HISTOGRAM &&
				  self->series.histogram == TL_HISTOGRAM_VMRANGE;
		tl_write_request_metadata(&self->requests[0], family,
					  is_unknown ? 0 : types[sample->type], sample->help,
					  sample->unit);
	}
}

static void set_time(struct remote_write *self, uint64_t wall_ns)
{
	int64_t last_ms = 0;

	for (uint32_t i = 0; i < self->lane_count; i++) {
		int64_t last = (int64_t)(tl_http_sink_last_time(self->sink, i) / 1000000);
		if (last > last_ms)
			last_ms = last;
	}
	if (!tl_series_next_round(&self->times, (int64_t)(wall_ns / 1000000),
				  (int64_t)(self->options->interval_ns / 1000000), last_ms))
		atomic_fetch_add_explicit(&self->clock_steps, 1, memory_order_relaxed);
}

static void remote_write_encode(void *arg, struct tl_http_sink *sink, void *opaque)
{
	struct remote_write *self = arg;
	struct job *job = opaque;

	(void)sink; // self->sink: known before the first job
	set_time(self, job->wall_ns);
	tl_series_compare(self->before, job->snapshot, &self->series, on_series, self);
	if (job->snapshot != NULL)
		add_metadata(self, job->snapshot);
	for (uint32_t i = 0; i < self->shard_count; i++)
		send_request(self, i);
	tl_snapshot_put(self->before);
	self->before = job->snapshot;
	free(job);
}

static void remote_write_discard(void *arg, void *opaque)
{
	struct job *job = opaque;

	(void)arg;
	tl_snapshot_put(job->snapshot);
	free(job);
}

static bool remote_write_split(void *arg, uint32_t lane, struct tl_bytes payload, uint32_t items,
			       struct tl_http_pieces *pieces)
{
	(void)arg;
	(void)lane;
	(void)items;
	return tl_write_request_split(payload, pieces);
}

// ---- Control lcore -----------------------------------------------------------------------------

static int submit(struct remote_write *self, struct tl_snapshot *snapshot, uint32_t items)
{
	struct job *job = malloc(sizeof(*job));

	if (job == NULL) {
		tl_snapshot_put(snapshot);
		return -ENOMEM;
	}
	*job = (struct job) {.snapshot = snapshot, .wall_ns = tl_clock_ns(CLOCK_REALTIME)};
	return tl_http_sink_submit(self->sink, job, items, 0);
}

static int remote_write_metrics(void *arg, struct tl_snapshot *snapshot)
{
	struct remote_write *self = arg;
	uint64_t now = tl_clock_ns(CLOCK_MONOTONIC), interval = self->options->interval_ns;

	tl_snapshot_put(self->latest);
	self->latest = tl_snapshot_get(snapshot);
	self->is_latest_sent = now >= self->due_ns;
	if (!self->is_latest_sent)
		return 0;
	// On a grid of its own; what was missed is not made up for.
	self->due_ns += interval;
	if (self->due_ns <= now)
		self->due_ns = now + interval;
	(void)submit(self, tl_snapshot_get(snapshot), tl_snapshot_count(snapshot));
	return 0; // a full inbox is counted there
}

// The last values go out, then every series is told to have ended.
static void remote_write_end(void *arg)
{
	struct remote_write *self = arg;

	if (self->is_ended)
		return;
	if (self->latest != NULL && !self->is_latest_sent)
		(void)submit(self, tl_snapshot_get(self->latest), tl_snapshot_count(self->latest));
	if (self->latest != NULL)
		(void)submit(self, NULL, tl_snapshot_count(self->latest));
	self->is_ended = true;
	tl_http_sink_begin_flush(self->sink);
}

static int remote_write_flush(void *arg, uint64_t deadline_ns)
{
	struct remote_write *self = arg;

	(void)tl_http_sink_flush(self->sink, deadline_ns);
	return 0;
}

static void remote_write_stats(void *arg, struct tl_exporter_stats *ret_stats)
{
	struct remote_write *self = arg;

	tl_http_sink_stats(self->sink, ret_stats);
	ret_stats->clock_steps = atomic_load_explicit(&self->clock_steps, memory_order_relaxed);
}

static void remote_write_close(void *arg)
{
	struct remote_write *self = arg;

	if (self == NULL)
		return;
	tl_http_sink_destroy(self->sink);
	tl_snapshot_put(self->latest);
	tl_snapshot_put(self->before);
	for (uint32_t i = 0; i < SHARDS_MAX; i++)
		tl_write_request_fini(&self->requests[i]);
	tl_text_free(&self->name);
	tl_text_free(&self->payload);
	free(self);
}

// ---- Opening -----------------------------------------------------------------------------------

static bool is_label_name(const char *name)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	return *name != '\0' && strspn(name, letters) == strlen(name) &&
	       (*name < '0' || *name > '9') && strncmp(name, "__", 2) != 0;
}

static int remote_write_check(const void *options, char *error, uint32_t error_size)
{
	const struct remote_write_options *o = options;

	for (uint32_t i = 0; i < o->external_labels.count; i++)
		if (!is_label_name(o->external_labels.items[i].key)) {
			(void)snprintf(error, error_size, "external_labels: %.60s is no label name",
				       o->external_labels.items[i].key);
			return -EINVAL;
		}
	// Shards share the room evenly: one with too little would drop every request as too large.
	const struct tl_queue_options *queue = &o->http.queue;
	bool is_disk = queue->storage == TL_QUEUE_DISK;
	uint64_t room = is_disk ? queue->bytes_max : queue->memory_bytes_max;
	if (room / o->shards < SHARD_BYTES_MIN) {
		(void)snprintf(error, error_size, "queue.%s: must be at least 1MiB for each shard",
			       is_disk ? "max_size" : "memory");
		return -EINVAL;
	}
	if (o->external_labels.count >= EXTERNAL_LABELS_MAX) {
		(void)snprintf(error, error_size, "external_labels: at most %u are possible",
			       EXTERNAL_LABELS_MAX - 1);
		return -EINVAL;
	}
	return tl_http_check(&o->http, true, error, error_size);
}

static void set_external_labels(struct remote_write *self)
{
	const struct tl_text_map *map = &self->options->external_labels;

	for (uint32_t i = 0; i < map->count; i++)
		self->external[self->external_count++] =
			(struct tl_write_label) {map->items[i].key, map->items[i].value};
	// Last: a `probe` among the user's labels stays.
	self->external[self->external_count++] =
		(struct tl_write_label) {"probe", self->env.probe != NULL ? self->env.probe : ""};
}

// Queues of a run with another number of shards, behind the present ones; the count of both.
static uint32_t find_earlier_lanes(const struct remote_write *self,
				   struct tl_http_lane lanes[TL_HTTP_LANES_MAX],
				   char names[TL_HTTP_LANES_MAX][LANE_NAME_BYTES])
{
	const struct tl_http_options *http = &self->options->http;
	uint32_t count = self->shard_count;
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/remote_write-%s", http->queue.directory, http->name);
	DIR *dir = http->queue.storage == TL_QUEUE_DISK ? opendir(path) : NULL;
	if (dir == NULL)
		return count;
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		unsigned shard, shards;
		char end;
		if (sscanf(entry->d_name, "%u-of-%u%c", &shard, &shards, &end) != 2 ||
		    shards == self->shard_count || count == TL_HTTP_LANES_MAX)
			continue;
		(void)snprintf(names[count], LANE_NAME_BYTES, "%u-of-%u", shard, shards);
		lanes[count] = (struct tl_http_lane) {.name = names[count], .url = http->url,
						      .goes_first = true};
		count++;
	}
	(void)closedir(dir);
	return count;
}

static const struct tl_http_sink_ops ops = {
	.content_type = "application/x-protobuf",
	.content_encoding = "snappy",
	.header_lines = (const char *const[]) {"X-Prometheus-Remote-Write-Version: 0.1.0", NULL},
	.rules = (const struct tl_http_rule[]) {
		{300, 399, TL_HTTP_HOLD}, // redirects are not followed: a wrong address
		{400, 400, TL_HTTP_SPLIT_ONCE},
		{401, 401, TL_HTTP_HOLD}, // tokens rotate, proxies are set up late
		{403, 404, TL_HTTP_HOLD},
		{407, 407, TL_HTTP_HOLD},
		{413, 413, TL_HTTP_SPLIT},
		{429, 429, TL_HTTP_RETRY},
		{500, 599, TL_HTTP_RETRY},
		{0},
	},
	.encode = remote_write_encode,
	.discard = remote_write_discard,
	.split = remote_write_split,
};

static int remote_write_open(const void *options, const struct tl_exporter_env *env,
			     void **ret_self, char *error, uint32_t error_size)
{
	struct tl_http_lane lanes[TL_HTTP_LANES_MAX];
	char names[TL_HTTP_LANES_MAX][LANE_NAME_BYTES];

	int rc = remote_write_check(options, error, error_size);
	if (rc < 0)
		return rc;
	struct remote_write *self = calloc(1, sizeof(*self));
	if (self == NULL)
		return -ENOMEM;
	self->options = options;
	self->env = *env;
	self->shard_count = (uint32_t)self->options->shards;
	self->series = (struct tl_series_options) {
		.histogram = self->options->histogram,
		.with_self = self->options->self_metrics,
		.le_seconds = env->le_seconds,
		.le_bytes = env->le_bytes,
	};
	set_external_labels(self);
	for (uint32_t i = 0; i < self->shard_count; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%u-of-%u", i + 1, self->shard_count);
		lanes[i] = (struct tl_http_lane) {.name = names[i], .url = self->options->http.url};
	}
	self->lane_count = find_earlier_lanes(self, lanes, names);
	rc = tl_http_sink_create(
		&(struct tl_http_sink_spec) {
			.exporter = "remote_write",
			.options = &self->options->http,
			.env = env,
			.ops = &ops,
			.arg = self,
			.lanes = lanes,
			.lane_count = self->lane_count,
			.inbox_jobs_max = INBOX_JOBS,
			.inbox_bytes_max = UINT64_MAX,
		},
		&self->sink, error, error_size);
	if (rc < 0) {
		remote_write_close(self);
		return rc;
	}
	*ret_self = self;
	return 0;
}

extern const struct tl_exporter tl_exporter_remote_write;
const struct tl_exporter tl_exporter_remote_write = {
	.name = "remote_write",
	.help = "Metrics to VictoriaMetrics, Prometheus, Mimir or Thanos by remote write 1.0.",
	.options = rows,
	.options_size = sizeof(struct remote_write_options),
	.is_list = true,
	.check = remote_write_check,
	.open = remote_write_open,
	.metrics = remote_write_metrics,
	.end = remote_write_end,
	.flush = remote_write_flush,
	.stats = remote_write_stats,
	.close = remote_write_close,
};
