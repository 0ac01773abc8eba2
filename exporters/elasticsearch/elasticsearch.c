// SPDX-License-Identifier: Apache-2.0
// The exporter `elasticsearch`: roundtrips and events as documents to Elasticsearch, OpenSearch or
// whatever else takes its bulk API. The control lcore copies; documents, sending and judging each
// document's answer are the helper thread's.
#include "exporters/elasticsearch/bulk.h"

#include "base/clock.h"
#include "exporters/http_sink/batch.h"
#include "exporters/http_sink/gzip.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BULK_PATH "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"

enum { COMPRESSION_GZIP, COMPRESSION_NONE };
enum { ID_RECORD, ID_AUTO };

struct es_options {
	struct tl_http_options http;
	bool roundtrips, events;
	const char *ns;    // of the data streams
	const char *index; // instead of data streams
	uint32_t id;
	uint32_t compression;
	uint64_t batch_max;
	uint64_t bytes_max;
};

static const char *const id_words[] = {"record", "auto", NULL};
static const char *const compression_words[] = {"gzip", "none", NULL};

static const struct tl_option rows[] = {
	TL_HTTP_ROWS(struct es_options, http),
	{.key = "roundtrips", .type = TL_OPTION_BOOL,
	 .offset = offsetof(struct es_options, roundtrips), .value = "true",
	 .help = "Send a document for each roundtrip."},
	{.key = "events", .type = TL_OPTION_BOOL, .offset = offsetof(struct es_options, events),
	 .value = "true", .help = "Send a document for each event of the host's collectors."},
	{.key = "namespace", .type = TL_OPTION_TEXT, .offset = offsetof(struct es_options, ns),
	 .value = "default",
	 .help = "Last part of the data streams: logs-tapline.http-NAMESPACE and so on, "
		 "logs-tapline.event-NAMESPACE for events."},
	{.key = "index", .type = TL_OPTION_TEXT, .offset = offsetof(struct es_options, index),
	 .value = "\"\"", .help = "One index or data stream for all documents instead."},
	{.key = "id", .type = TL_OPTION_CHOICE, .offset = offsetof(struct es_options, id),
	 .value = "record", .choices = id_words,
	 .help = "record takes the record's own id, so that what is sent twice is stored once; auto "
		 "leaves it to the receiver, which is faster."},
	{.key = "compression", .type = TL_OPTION_CHOICE,
	 .offset = offsetof(struct es_options, compression), .value = "gzip",
	 .choices = compression_words, .help = "Of requests."},
	{.key = "batch", .type = TL_OPTION_UINT, .offset = offsetof(struct es_options, batch_max),
	 .value = "1000", .min = 1, .max = TL_BULK_ITEMS_MAX, .help = "Documents of one request."},
	{.key = "max_bytes", .type = TL_OPTION_SIZE,
	 .offset = offsetof(struct es_options, bytes_max), .value = "5MiB", .min = 4096,
	 .max = 32 << 20, .help = "Size of one request before compression."},
	TL_OPTION_END,
};

// A document to be made: of a roundtrip or of an event.
struct item {
	struct tl_http_item head;
	struct tl_record_copy *roundtrip;
	uint64_t time_ns;
	char *kind, *source, *json; // of an event, in one piece that `kind` begins
};

struct es {
	const struct es_options *options;
	char probe[256];
	struct tl_http_sink *sink;
	struct tl_http_batch batch; // control lcore
	// Helper thread.
	struct tl_text plain, again;
};

static void free_items(struct tl_http_item *first)
{
	while (first != NULL) {
		struct item *item = (struct item *)first;
		first = first->next;
		free(item->roundtrip);
		free(item->kind);
		free(item);
	}
}

// ---- Helper thread -------------------------------------------------------------------------------

static struct tl_bytes bytes_of(const struct tl_text *text)
{
	return tl_bytes((const uint8_t *)text->data, (uint32_t)text->len);
}

static void put_action(struct es *self, const char *dataset, const char *id)
{
	tl_text_puts(&self->plain, "{\"create\":{\"_index\":\"");
	if (self->options->index[0] != '\0')
		tl_text_puts(&self->plain, self->options->index);
	else
		tl_text_printf(&self->plain, "logs-tapline.%s-%s", dataset, self->options->ns);
	if (id[0] != '\0')
		tl_text_printf(&self->plain, "\",\"_id\":\"%s", id);
	tl_text_puts(&self->plain, "\"}}\n");
}

// The id that the store gave an event, "" without one.
static const char *event_id(const struct item *item, char id[40])
{
	static const char key[] = "\"tracer_id\":\"";
	const char *at = strstr(item->json, key);

	id[0] = '\0';
	if (at != NULL)
		(void)snprintf(id, 40, "%.*s", (int)strspn(at + sizeof(key) - 1, "0123456789abcdef"),
			       at + sizeof(key) - 1);
	return id;
}

static void put_item(struct es *self, const struct item *item)
{
	char id[40];

	if (item->roundtrip != NULL) {
		const struct tl_roundtrip_signal *signal = &item->roundtrip->signal;
		put_action(self, tl_decoder_at(signal->record->protocol)->name,
			   self->options->id == ID_RECORD ? signal->names->id : "");
		tl_bulk_roundtrip(&self->plain, signal);
		return;
	}
	const struct tl_event event = {.time_ns = item->time_ns, .kind = item->kind,
				       .source = item->source, .json = item->json};
	put_action(self, "event",
		   self->options->id == ID_RECORD ? event_id(item, id) : "");
	tl_bulk_event(&self->plain, &event, self->probe);
}

static void push(struct es *self, uint32_t items)
{
	if (items != 0)
		(void)tl_http_sink_push(self->sink, 0, bytes_of(&self->plain), items,
					tl_clock_ns(CLOCK_REALTIME));
	tl_text_clear(&self->plain);
}

static void es_encode(void *arg, struct tl_http_sink *sink, void *job)
{
	struct es *self = arg;
	uint32_t items = 0;

	self->sink = sink;
	for (struct tl_http_item *item = job; item != NULL; item = item->next) {
		put_item(self, (const struct item *)item);
		items++;
		if (self->plain.len >= self->options->bytes_max) {
			push(self, items);
			items = 0;
		}
	}
	push(self, items);
	free_items(job);
}

static void es_discard(void *arg, void *job)
{
	(void)arg;
	free_items(job);
}

static void add_halves(struct tl_bytes lines, uint32_t items, struct tl_http_pieces *pieces)
{
	uint32_t half = tl_bulk_half(lines, items);

	tl_http_pieces_add(pieces, tl_bytes_first(lines, half), items / 2);
	tl_http_pieces_add(pieces, tl_bytes_from(lines, half), items - items / 2);
}

static void es_accepted(void *arg, struct tl_bytes payload, uint32_t items,
			const struct tl_http_reply *reply, struct tl_http_result *ret_result,
			struct tl_http_pieces *again)
{
	struct es *self = arg;
	struct tl_bulk_outcome outcome;
	struct tl_bytes lines;

	if (!tl_gzip_plain(payload, &self->plain, &lines)) { // nothing is known of the documents
		ret_result->rejected = items;
		(void)snprintf(ret_result->message, sizeof(ret_result->message),
			       "what was sent can't be read");
		return;
	}
	tl_bulk_judge(lines, items, reply->body, &self->again, &outcome);
	ret_result->delivered = outcome.delivered;
	ret_result->rejected = outcome.rejected;
	(void)snprintf(ret_result->message, sizeof(ret_result->message), "%s", outcome.message);
	if ((reply->is_cut || outcome.is_too_large) && outcome.again_items == items && items > 1)
		add_halves(lines, items, again); // half as many documents have half as long an answer
	else if (outcome.again_items != 0)
		tl_http_pieces_add(again, bytes_of(&self->again), outcome.again_items);
	tl_text_clear(&self->plain);
}

static bool es_split(void *arg, uint32_t lane, struct tl_bytes payload, uint32_t items,
		     struct tl_http_pieces *pieces)
{
	struct es *self = arg;
	struct tl_bytes lines;

	(void)lane;
	if (items < 2 || !tl_gzip_plain(payload, &self->plain, &lines))
		return false;
	add_halves(lines, items, pieces);
	tl_text_clear(&self->plain);
	return true;
}

// ---- Control lcore -------------------------------------------------------------------------------

static int es_roundtrip(void *arg, const struct tl_roundtrip_signal *signal)
{
	struct es *self = arg;

	if (!self->options->roundtrips)
		return 0;
	struct item *item = calloc(1, sizeof(*item));
	if (item == NULL)
		return -ENOMEM;
	item->roundtrip = tl_record_copy(signal->record, signal->names, "");
	if (item->roundtrip == NULL) {
		free(item);
		return -ENOMEM;
	}
	tl_http_batch_add(&self->batch, &item->head, item->roundtrip->size + sizeof(*item));
	return 0;
}

static int es_event(void *arg, const struct tl_event *event)
{
	struct es *self = arg;
	size_t kind = strlen(event->kind) + 1, source = strlen(event->source) + 1,
	       json = strlen(event->json) + 1;

	if (!self->options->events)
		return 0;
	struct item *item = calloc(1, sizeof(*item));
	char *texts = malloc(kind + source + json);
	if (item == NULL || texts == NULL) {
		free(item);
		free(texts);
		return -ENOMEM;
	}
	item->time_ns = event->time_ns;
	item->kind = memcpy(texts, event->kind, kind);
	item->source = memcpy(texts + kind, event->source, source);
	item->json = memcpy(texts + kind + source, event->json, json);
	tl_http_batch_add(&self->batch, &item->head, sizeof(*item) + kind + source + json);
	return 0;
}

static void es_end(void *arg)
{
	struct es *self = arg;

	tl_http_batch_submit(&self->batch);
	tl_http_sink_begin_flush(self->sink);
}

static int es_flush(void *arg, uint64_t deadline_ns)
{
	struct es *self = arg;

	tl_http_batch_flush(&self->batch, deadline_ns);
	return 0;
}

static void es_stats(void *arg, struct tl_exporter_stats *ret_stats)
{
	struct es *self = arg;

	tl_http_sink_stats(self->sink, ret_stats);
}

static void es_close(void *arg)
{
	struct es *self = arg;

	if (self == NULL)
		return;
	tl_http_sink_destroy(self->sink);
	free_items(self->batch.first);
	tl_text_free(&self->plain);
	tl_text_free(&self->again);
	free(self);
}

// ---- Opening -------------------------------------------------------------------------------------

// What Elasticsearch takes in the name of an index.
static bool is_index(const char *name)
{
	return name[0] != '-' && name[0] != '_' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(name);
}

static int es_check(const void *options, char *error, uint32_t error_size)
{
	const struct es_options *o = options;

	if (!is_index(o->index) || !is_index(o->ns) || o->ns[0] == '\0') {
		(void)snprintf(error, error_size, "%s: must be lower-case letters, digits, . _ and -",
			       is_index(o->index) ? "namespace" : "index");
		return -EINVAL;
	}
	if (!o->roundtrips && !o->events) {
		(void)snprintf(error, error_size, "roundtrips and events are both false");
		return -EINVAL;
	}
	return tl_http_check(&o->http, true, error, error_size);
}

static const struct tl_http_rule rules[] = {
	{300, 399, TL_HTTP_HOLD}, {401, 401, TL_HTTP_HOLD},  {403, 404, TL_HTTP_HOLD},
	{407, 407, TL_HTTP_HOLD}, {413, 413, TL_HTTP_SPLIT}, {429, 429, TL_HTTP_RETRY},
	{400, 400, TL_HTTP_SPLIT_ONCE}, {0, 0, 0},
};

static const struct tl_http_sink_ops ops = {
	.content_type = "application/x-ndjson", .rules = rules, .encode = es_encode,
	.discard = es_discard, .accepted = es_accepted, .split = es_split,
};

static int es_open(const void *options, const struct tl_exporter_env *env, void **ret_self,
		   char *error, uint32_t error_size)
{
	const struct es_options *o = options;
	char url[1024];
	int rc = es_check(options, error, error_size);

	if (rc < 0)
		return rc;
	struct es *self = calloc(1, sizeof(*self));
	if (self == NULL)
		return -ENOMEM;
	self->options = o;
	(void)snprintf(self->probe, sizeof(self->probe), "%s", env->probe == NULL ? "" : env->probe);
	size_t len = strlen(o->http.url);
	while (len != 0 && o->http.url[len - 1] == '/')
		len--;
	(void)snprintf(url, sizeof(url), "%.*s" BULK_PATH, (int)len, o->http.url);
	const struct tl_http_lane lane = {
		.name = "bulk", .url = url, .is_gzip = o->compression == COMPRESSION_GZIP};
	rc = tl_http_sink_create(
		&(struct tl_http_sink_spec) {
			.exporter = "elasticsearch", .options = &o->http, .env = env,
			.ops = &ops, .arg = self, .lanes = &lane, .lane_count = 1,
			.inbox_jobs_max = TL_HTTP_BATCH_JOBS,
			.inbox_bytes_max = TL_HTTP_BATCH_JOBS_BYTES},
		&self->sink, error, error_size);
	if (rc < 0) {
		es_close(self);
		return rc;
	}
	tl_http_batch_init(&self->batch, self->sink, o->batch_max);
	*ret_self = self;
	return 0;
}

extern const struct tl_exporter tl_exporter_elasticsearch;
const struct tl_exporter tl_exporter_elasticsearch = {
	.name = "elasticsearch",
	.help = "Roundtrips and events to Elasticsearch or OpenSearch by the bulk API.",
	.options = rows,
	.options_size = sizeof(struct es_options),
	.is_list = true,
	.check = es_check,
	.open = es_open,
	.roundtrip = es_roundtrip,
	.event = es_event,
	.end = es_end,
	.flush = es_flush,
	.stats = es_stats,
	.close = es_close,
};
