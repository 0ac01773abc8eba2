// SPDX-License-Identifier: Apache-2.0
// The exporter `kafka`: every record as a JSON message of a topic. The control lcore copies records
// into a bounded inbox; a helper thread makes lines of them, keeps these in the queue and has them
// produced. Delivery is at least once: a record that is sent twice has the same id.
#include "exporters/kafka/producer.h"
#include "exporters/record/copy.h"
#include "exporters/record/record.h"

#include "base/clock.h"
#include "base/hash.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INBOX_BYTES (64u << 20)
#define FRAME_BYTES (4u << 20) // of lines; one longer record makes a frame of its own
#define TURN_NS UINT64_C(100000000) // what comes meanwhile is gathered into one frame
#define POLL_MS 50
#define MAINTAIN_NS UINT64_C(250000000)
#define LOG_DROPS_NS (60 * TL_SECOND_NS) // between two lines about drops

#define ROW(name, member_type, default_value, ...) \
	{.key = #name, .type = member_type, .offset = offsetof(struct tl_kafka_options, name), \
	 .value = default_value, __VA_ARGS__}

static const struct tl_option rows[] = {
	ROW(name, TL_OPTION_TEXT, "default",
	    .help = "Tells sinks of one kind apart; also the folder of its queue."),
	ROW(brokers, TL_OPTION_TEXT, "\"\"", .required = true,
	    .help = "Where to begin: HOST:PORT, several with commas between them."),
	ROW(topic, TL_OPTION_TEXT, "tapline-roundtrips", .help = "Topic of all records."),
	ROW(compression, TL_OPTION_CHOICE, "lz4", .choices = tl_kafka_compression_words,
	    .help = "Of batches."),
	{.key = "timeout", .type = TL_OPTION_DURATION,
	 .offset = offsetof(struct tl_kafka_options, timeout_ns), .value = "30s",
	 .min = UINT64_C(1000000000), .max = UINT64_C(3600000000000),
	 .help = "Limit for a message to be acknowledged by all replicas in sync; then it waits for "
		 "the next attempt."},
	ROW(properties, TL_OPTION_SECRET_MAP, "{}",
	    .help = "Further properties as librdkafka names them: security.protocol, ssl.ca.location, "
		    "sasl.username and so on. What this exporter sets itself can't be changed."),
	{.key = "batch", .type = TL_OPTION_UINT,
	 .offset = offsetof(struct tl_kafka_options, batch_max), .value = "1000", .min = 1,
	 .max = 10000, .help = "Records that are under way at a time."},
	ROW(backoff, TL_OPTION_SECTION, NULL, .rows = tl_http_backoff_rows,
	    .help = "Pause before a retry: random between 0 and a limit that doubles."),
	ROW(queue, TL_OPTION_SECTION, NULL, .rows = tl_queue_rows,
	    .help = "What waits for the brokers."),
	TL_OPTION_END,
};

struct entry {
	struct entry *next;
	struct tl_record_copy *copy;
};

struct kafka {
	const struct tl_kafka_options *options;
	struct tl_exporter_env env;
	char label[64]; // "kafka (default)"
	pthread_t thread;
	bool has_thread;
	// The helper thread's own.
	struct tl_kafka_producer *producer;
	struct tl_queue *queue;
	struct tl_text lines;
	uint64_t seq;     // of the frame under way, 0: none
	struct tl_kafka_outcome frame; // what became of it so far; booked when it is done
	bool is_waiting;  // for answers; false: for next_ns
	uint64_t next_ns; // of the frame's next attempt, CLOCK_MONOTONIC
	uint32_t failures; // in a row
	bool has_failed;   // since the flush began
	bool is_failing;   // and the user knows
	bool is_disk_failing; // the same
	bool is_flush_begun;
	uint64_t random;
	uint64_t maintained_ns;
	uint64_t told_drops, told_drops_ns;
	struct tl_exporter_stats sum; // but for what the queue counts

	pthread_mutex_t lock; // of all below
	pthread_cond_t changed;
	struct entry *first, **last;
	uint64_t inbox_bytes; // of what is not in the queue yet
	uint64_t refused;     // records that found no room
	bool is_stopping, is_flushing, is_flushed;
	struct tl_exporter_stats stats;
};

__attribute__((format(printf, 3, 4))) static void
say(const struct kafka *self, enum tl_exporter_severity severity, const char *format, ...)
{
	char line[512];
	va_list arguments;

	if (self->env.log == NULL)
		return;
	int len = snprintf(line, sizeof(line), "exporters.%s: ", self->label);
	va_start(arguments, format);
	(void)vsnprintf(line + len, sizeof(line) - (size_t)len, format, arguments);
	va_end(arguments);
	self->env.log(severity, line);
}

// ---- From records to the queue: helper thread ----------------------------------------------------

static void push_lines(struct kafka *self, uint32_t items)
{
	self->sum.accepted += items;
	if (items != 0)
		(void)tl_queue_push(self->queue,
				    tl_bytes((const uint8_t *)self->lines.data,
					     (uint32_t)self->lines.len),
				    items, tl_clock_ns(CLOCK_REALTIME)); // what it drops it counts
	tl_text_clear(&self->lines);
}

// A connection's records have one key: they keep their order, in one partition.
static bool add_line(struct kafka *self, const struct tl_roundtrip_signal *signal)
{
	size_t before = self->lines.len;

	tl_text_printf(&self->lines, "%016" PRIx64 "\t", signal->record->connection_id);
	if (tl_record_json_line(&self->lines, signal, false))
		return true;
	self->lines.len = before;
	self->sum.accepted++;
	self->sum.dropped_by[TL_DROP_OTHER]++;
	return false;
}

static void take_inbox(struct kafka *self)
{
	uint32_t items = 0;
	uint64_t bytes = 0;

	(void)pthread_mutex_lock(&self->lock);
	struct entry *entry = self->first;
	self->first = NULL;
	self->last = &self->first;
	(void)pthread_mutex_unlock(&self->lock);
	while (entry != NULL) {
		struct entry *next = entry->next;
		items += add_line(self, &entry->copy->signal);
		bytes += entry->copy->size;
		free(entry->copy);
		free(entry);
		entry = next;
		if (entry != NULL && items < self->options->batch_max && self->lines.len < FRAME_BYTES)
			continue;
		push_lines(self, items);
		items = 0;
		// Room is given back only now: what is being made into lines still takes memory.
		(void)pthread_mutex_lock(&self->lock);
		self->inbox_bytes -= bytes;
		(void)pthread_cond_broadcast(&self->changed);
		(void)pthread_mutex_unlock(&self->lock);
		bytes = 0;
	}
}

// ---- From the queue to the brokers: helper thread ------------------------------------------------

static void begin_frame(struct kafka *self)
{
	struct tl_queue_frame frame;

	if (self->seq != 0) {
		tl_kafka_producer_again(self->producer);
		self->sum.retries++;
	} else if (tl_queue_peek(self->queue, &frame)) {
		self->seq = frame.seq;
		self->frame = (struct tl_kafka_outcome) {0};
		tl_kafka_producer_begin(self->producer, frame.payload);
	} else {
		return;
	}
	self->is_waiting = true;
	self->sum.requests++;
}

static void back_off(struct kafka *self)
{
	const struct tl_http_backoff *backoff = &self->options->backoff;
	uint32_t doublings = self->failures < 40 ? self->failures : 40;
	uint64_t limit = backoff->max_ns;

	if (backoff->min_ns <= backoff->max_ns >> doublings)
		limit = backoff->min_ns << doublings;
	self->failures++;
	self->has_failed = true;
	self->random = tl_hash_mix(self->random + UINT64_C(0x9e3779b97f4a7c15),
				   UINT64_C(0xe7037ed1a0b428db));
	self->next_ns =
		tl_clock_ns(CLOCK_MONOTONIC) + backoff->min_ns / 8 + self->random % limit;
}

// Every message of the frame has its answer.
static void end_frame(struct kafka *self)
{
	struct tl_kafka_outcome outcome;

	tl_kafka_producer_outcome(self->producer, &outcome);
	self->is_waiting = false;
	self->frame.delivered += outcome.delivered;
	self->frame.rejected += outcome.rejected;
	self->frame.too_large += outcome.too_large;
	if (outcome.delivered != 0)
		self->sum.last_success_ns = tl_clock_ns(CLOCK_REALTIME);
	if (outcome.again != 0) {
		back_off(self);
		return;
	}
	self->failures = 0;
	// What the queue dropped meanwhile was booked there.
	if (tl_queue_pop(self->queue, self->seq)) {
		self->sum.delivered += self->frame.delivered;
		self->sum.dropped_by[TL_DROP_REJECTED] += self->frame.rejected;
		self->sum.dropped_by[TL_DROP_TOO_LARGE] += self->frame.too_large;
	}
	self->seq = 0;
}

// ---- State for others ----------------------------------------------------------------------------

// Messages have their answers only after some time; connections fail at once.
static bool is_failing(const struct kafka *self)
{
	return self->failures != 0 ||
	       (self->is_waiting && tl_kafka_producer_is_down(self->producer));
}

static void tell_drops(struct kafka *self, uint64_t dropped)
{
	uint64_t now = tl_clock_ns(CLOCK_MONOTONIC);

	if (dropped == self->told_drops ||
	    (self->told_drops_ns != 0 && now - self->told_drops_ns < LOG_DROPS_NS))
		return;
	say(self, TL_EXPORTER_WARNING, "%s: %" PRIu64 " records lost since the start%s%s",
	    self->options->brokers, dropped, *self->sum.last_error != '\0' ? "; " : "",
	    self->sum.last_error);
	self->told_drops = dropped;
	self->told_drops_ns = now;
}

static void tell_changes(struct kafka *self, uint64_t queued)
{
	bool failing = is_failing(self);

	// In a flush all begins anew, which says nothing about brokers that failed before.
	if (!failing && self->is_flush_begun)
		return;
	if (failing && !self->is_failing)
		say(self, TL_EXPORTER_WARNING, "%s: %s; what comes is kept and sent later",
		    self->options->brokers, self->sum.last_error);
	if (!failing && self->is_failing)
		say(self, TL_EXPORTER_INFO, "%s: works again, %" PRIu64 " records wait",
		    self->options->brokers, queued);
	self->is_failing = failing;
}

static void tell_disk(struct kafka *self, bool is_failing)
{
	if (is_failing != self->is_disk_failing)
		say(self, is_failing ? TL_EXPORTER_ERROR : TL_EXPORTER_INFO,
		    is_failing ? "the queue in %s can't be written (is the disk full?); using memory "
				 "meanwhile" : "the queue in %s can be written again",
		    self->options->queue.directory);
	self->is_disk_failing = is_failing;
}

static void publish(struct kafka *self)
{
	const char *error = tl_kafka_producer_error(self->producer);
	uint64_t now = tl_clock_ns(CLOCK_REALTIME);
	struct tl_exporter_stats sum;
	struct tl_queue_stats queue;

	if (*error != '\0')
		(void)snprintf(self->sum.last_error, sizeof(self->sum.last_error), "%s", error);
	tl_queue_stats(self->queue, &queue);
	sum = self->sum;
	sum.queued = queue.items;
	sum.queued_bytes = queue.bytes;
	sum.queued_age_ns = queue.oldest_ns != 0 && queue.oldest_ns < now ? now - queue.oldest_ns : 0;
	sum.damaged_bytes += queue.damaged_bytes;
	for (uint32_t d = 0; d < TL_DROP_COUNT; d++) {
		sum.dropped_by[d] += queue.dropped[d];
		sum.dropped += sum.dropped_by[d];
	}
	tell_changes(self, queue.items);
	tell_disk(self, queue.is_disk_failing);
	tell_drops(self, sum.dropped);
	(void)pthread_mutex_lock(&self->lock);
	self->stats = sum;
	(void)pthread_mutex_unlock(&self->lock);
}

// ---- The helper thread ---------------------------------------------------------------------------

// Nothing is left to do before an end: all is delivered, or is safe on disk while brokers fail.
static bool is_flushed(struct kafka *self)
{
	struct tl_queue_frame frame;
	struct tl_queue_stats queue;

	tl_queue_stats(self->queue, &queue);
	bool is_safe = self->options->queue.storage == TL_QUEUE_DISK && !queue.is_disk_failing;
	if (self->seq == 0 && !tl_queue_peek(self->queue, &frame))
		return true;
	return is_safe && (self->has_failed || (self->is_waiting && is_failing(self)));
}

static void begin_flush(struct kafka *self)
{
	self->next_ns = 0;
	self->failures = 0;
	self->has_failed = false;
}

// Until there is something to do.
static void rest(struct kafka *self)
{
	uint64_t until_ns = tl_clock_ns(CLOCK_MONOTONIC) + TURN_NS;
	const struct timespec until = {.tv_sec = (time_t)(until_ns / TL_SECOND_NS),
				       .tv_nsec = (long)(until_ns % TL_SECOND_NS)};
	int rc = 0;

	(void)pthread_mutex_lock(&self->lock);
	while (rc == 0 && !self->is_stopping && !self->is_flushing)
		rc = pthread_cond_timedwait(&self->changed, &self->lock, &until);
	(void)pthread_mutex_unlock(&self->lock);
}

// One turn; false when the thread is to end.
static bool turn(struct kafka *self)
{
	take_inbox(self);
	(void)pthread_mutex_lock(&self->lock);
	bool is_stopping = self->is_stopping, is_flushing = self->is_flushing;
	(void)pthread_mutex_unlock(&self->lock);
	if (is_stopping)
		return false;
	if (is_flushing && !self->is_flush_begun)
		begin_flush(self);
	self->is_flush_begun = is_flushing;
	uint64_t now = tl_clock_ns(CLOCK_MONOTONIC);
	if (!self->is_waiting && now >= self->next_ns)
		begin_frame(self);
	bool is_idle = !self->is_waiting;
	// Also without a frame: connections report here.
	if (tl_kafka_producer_poll(self->producer, is_idle && !is_flushing ? 0 : POLL_MS) && !is_idle)
		end_frame(self);
	if (now - self->maintained_ns >= MAINTAIN_NS || is_flushing) {
		tl_queue_maintain(self->queue, tl_clock_ns(CLOCK_REALTIME));
		self->maintained_ns = now;
		publish(self);
	}
	if (is_flushing && is_flushed(self)) {
		(void)pthread_mutex_lock(&self->lock);
		self->is_flushed = self->first == NULL;
		(void)pthread_cond_broadcast(&self->changed);
		(void)pthread_mutex_unlock(&self->lock);
	}
	if (is_idle && !is_flushing)
		rest(self);
	return true;
}

static void *run(void *arg)
{
	struct kafka *self = arg;
	sigset_t all;

	(void)sigfillset(&all); // signals are the main thread's
	(void)pthread_sigmask(SIG_BLOCK, &all, NULL);
	(void)pthread_setname_np(pthread_self(), "tl-kafka");
	while (turn(self))
		;
	return NULL;
}

// ---- Control lcore -------------------------------------------------------------------------------

static int kafka_roundtrip(void *arg, const struct tl_roundtrip_signal *signal)
{
	struct kafka *self = arg;
	struct entry *entry = malloc(sizeof(*entry));
	struct tl_record_copy *copy = tl_record_copy(signal->record, signal->names, "");
	bool has_memory = entry != NULL && copy != NULL;

	(void)pthread_mutex_lock(&self->lock);
	// The helper thread makes lines whatever brokers do: room comes as fast as it works.
	while (has_memory && self->env.is_lossless && self->inbox_bytes > INBOX_BYTES)
		(void)pthread_cond_wait(&self->changed, &self->lock);
	bool has_room = has_memory && self->inbox_bytes <= INBOX_BYTES;
	if (has_room) {
		*entry = (struct entry) {.copy = copy};
		*self->last = entry;
		self->last = &entry->next;
		self->inbox_bytes += copy->size;
		self->is_flushed = false;
	} else {
		self->refused++;
	}
	(void)pthread_mutex_unlock(&self->lock);
	if (has_room)
		return 0;
	free(entry);
	free(copy);
	return 0; // counted
}

static void kafka_end(void *arg)
{
	struct kafka *self = arg;

	(void)pthread_mutex_lock(&self->lock);
	self->is_flushing = true;
	self->is_flushed = false;
	(void)pthread_cond_broadcast(&self->changed);
	(void)pthread_mutex_unlock(&self->lock);
}

static int kafka_flush(void *arg, uint64_t deadline_ns)
{
	struct kafka *self = arg;
	const struct timespec until = {.tv_sec = (time_t)(deadline_ns / TL_SECOND_NS),
				       .tv_nsec = (long)(deadline_ns % TL_SECOND_NS)};
	int rc = 0;

	if (deadline_ns <= tl_clock_ns(CLOCK_MONOTONIC))
		return 0; // the thread does what it can anyway
	kafka_end(self);
	(void)pthread_mutex_lock(&self->lock);
	while (!self->is_flushed && rc == 0)
		rc = pthread_cond_timedwait(&self->changed, &self->lock, &until);
	self->is_flushing = false;
	(void)pthread_mutex_unlock(&self->lock);
	return 0;
}

static void kafka_stats(void *arg, struct tl_exporter_stats *ret_stats)
{
	struct kafka *self = arg;

	(void)pthread_mutex_lock(&self->lock);
	*ret_stats = self->stats;
	ret_stats->accepted += self->refused;
	ret_stats->dropped += self->refused;
	ret_stats->dropped_by[TL_DROP_INBOX_FULL] += self->refused;
	(void)pthread_mutex_unlock(&self->lock);
}

// ---- Life ----------------------------------------------------------------------------------------

static int kafka_check(const void *options, char *error, uint32_t error_size)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	static const char topic_letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
	const struct tl_kafka_options *o = options;
	const char *wrong = NULL;

	if (*o->brokers == '\0' || strpbrk(o->brokers, " \t\r\n@") != NULL)
		wrong = "brokers: must be HOST:PORT, several with commas between them";
	else if (*o->topic == '\0' || strlen(o->topic) > 249 ||
		 strspn(o->topic, topic_letters) != strlen(o->topic))
		wrong = "topic: must be up to 249 letters, digits, . _ and -";
	else if (*o->name == '\0' || strspn(o->name, letters) != strlen(o->name))
		wrong = "name: must be letters, digits, - and _";
	else if (o->backoff.max_ns < o->backoff.min_ns)
		wrong = "backoff: max must not be below min";
	if (wrong != NULL)
		(void)snprintf(error, error_size, "%s", wrong);
	return wrong != NULL ? -EINVAL : tl_kafka_producer_check(o, error, error_size);
}

static void kafka_close(void *arg)
{
	struct kafka *self = arg;
	struct tl_queue_stats queue = {0};

	if (self == NULL)
		return;
	if (self->has_thread) {
		(void)pthread_mutex_lock(&self->lock);
		self->is_stopping = true;
		(void)pthread_cond_broadcast(&self->changed);
		(void)pthread_mutex_unlock(&self->lock);
		(void)pthread_join(self->thread, NULL);
	}
	tl_kafka_producer_destroy(self->producer);
	if (self->queue != NULL)
		tl_queue_stats(self->queue, &queue);
	uint64_t lost = tl_queue_close(self->queue);
	if (queue.items > lost)
		say(self, TL_EXPORTER_INFO, "%" PRIu64 " items stay in the queue for the next start",
		    queue.items - lost);
	if (lost != 0)
		say(self, TL_EXPORTER_WARNING, "%" PRIu64 " items in memory were lost at the end",
		    lost);
	(void)pthread_cond_destroy(&self->changed);
	(void)pthread_mutex_destroy(&self->lock);
	tl_text_free(&self->lines);
	free(self);
}

// What the run before left, in words.
static void tell_recovery(struct kafka *self, const struct tl_queue_recovery *r)
{
	if (r->frames != 0)
		say(self, TL_EXPORTER_INFO, "%" PRIu64 " items of an earlier run wait in the queue",
		    r->items);
	if (r->is_unclean)
		say(self, TL_EXPORTER_WARNING, "the run before ended without an orderly stop: %" PRIu64
		    " payloads before that are missing", r->frames_lost);
	if (r->cut_bytes != 0 || r->damaged_bytes != 0 || r->foreign_files != 0)
		say(self, TL_EXPORTER_WARNING, "the queue's files had a damaged end of %" PRIu64
		    " bytes (cut off), %" PRIu64 " damaged bytes elsewhere (left out) and %" PRIu64
		    " files of another version (left alone)", r->cut_bytes, r->damaged_bytes,
		    r->foreign_files);
	self->sum.unclean_starts = r->is_unclean;
	self->sum.damaged_bytes = r->cut_bytes + r->damaged_bytes;
	self->sum.accepted = r->items;
}

static int kafka_open(const void *options, const struct tl_exporter_env *env, void **ret_self,
		      char *error, uint32_t error_size)
{
	const struct tl_kafka_options *o = options;
	struct tl_queue_recovery recovery;
	pthread_condattr_t attributes;
	char folder[160];
	int rc = kafka_check(options, error, error_size);

	if (rc < 0)
		return rc;
	struct kafka *self = calloc(1, sizeof(*self));
	if (self == NULL)
		return -ENOMEM;
	self->options = o;
	self->env = *env;
	self->last = &self->first;
	self->random = tl_clock_ns(CLOCK_REALTIME);
	(void)snprintf(self->label, sizeof(self->label), "kafka (%s)", o->name);
	(void)pthread_mutex_init(&self->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&self->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	(void)snprintf(folder, sizeof(folder), "kafka-%s/records", o->name);
	rc = tl_queue_open(&o->queue, folder, &self->queue, &recovery, error, error_size);
	if (rc == 0) {
		tell_recovery(self, &recovery);
		rc = tl_kafka_producer_create(o, &self->producer, error, error_size);
	}
	if (rc == 0) {
		publish(self);
		rc = -pthread_create(&self->thread, NULL, run, self);
	}
	self->has_thread = rc == 0;
	if (rc < 0) {
		kafka_close(self);
		return rc;
	}
	*ret_self = self;
	return 0;
}

extern const struct tl_exporter tl_exporter_kafka;
const struct tl_exporter tl_exporter_kafka = {
	.name = "kafka",
	.help = "Records as JSON messages to a topic of Kafka.",
	.options = rows,
	.options_size = sizeof(struct tl_kafka_options),
	.is_list = true,
	.check = kafka_check,
	.open = kafka_open,
	.roundtrip = kafka_roundtrip,
	.end = kafka_end,
	.flush = kafka_flush,
	.stats = kafka_stats,
	.close = kafka_close,
};
