// SPDX-License-Identifier: Apache-2.0
#include "exporters/http_sink/lane.h"

#include "base/check.h"
#include "base/clock.h"
#include "exporters/http_sink/gzip.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAINTAIN_NS UINT64_C(250000000)
#define LOG_DROPS_NS (60 * TL_SECOND_NS) // between two lines about drops

struct job {
	struct job *next;
	void *job;
	uint32_t items;
	uint64_t bytes;
};

struct tl_http_sink {
	const struct tl_http_options *options;
	const struct tl_http_sink_ops *ops;
	void *arg;
	struct tl_exporter_env env;
	char label[64];       // "remote_write (default)"
	char public_url[200]; // of the first lane
	uint64_t jobs_max, bytes_max;
	pthread_t thread;
	bool has_thread;
	CURLM *multi;
	uint32_t lane_count;
	struct tl_http_lane_state lanes[TL_HTTP_LANES_MAX];
	// The helper thread's own.
	uint64_t accepted;
	uint64_t logged_drops, logged_ns;
	uint64_t maintained_ns;
	uint64_t last_success_ns;
	uint64_t unclean_starts, damaged_bytes;
	bool is_failing, is_disk_failing;
	bool is_flush_begun;
	struct tl_text packed;

	pthread_mutex_t lock; // of all below
	pthread_cond_t changed;
	struct job *first, **last;
	uint64_t job_count, job_bytes;
	uint64_t refused; // items of jobs that found no room
	bool is_stopping, is_flushing, is_flushed;
	struct tl_exporter_stats stats;
};

__attribute__((format(printf, 3, 4))) static void
say(const struct tl_http_sink *sink, enum tl_exporter_severity severity, const char *format, ...)
{
	char line[512];
	va_list arguments;

	if (sink->env.log == NULL)
		return;
	int len = snprintf(line, sizeof(line), "exporters.%s: ", sink->label);
	va_start(arguments, format);
	(void)vsnprintf(line + len, sizeof(line) - (size_t)len, format, arguments);
	va_end(arguments);
	sink->env.log(severity, line);
}

// ---- The inbox ---------------------------------------------------------------------------------

static bool is_full(const struct tl_http_sink *sink, uint64_t bytes)
{
	return sink->job_count >= sink->jobs_max ||
	       (sink->job_count != 0 && sink->job_bytes + bytes > sink->bytes_max);
}

int tl_http_sink_submit(struct tl_http_sink *sink, void *job, uint32_t items, uint64_t bytes)
{
	struct job *entry = malloc(sizeof(*entry));

	(void)pthread_mutex_lock(&sink->lock);
	// The helper thread encodes whatever receivers do: room comes as fast as it works.
	while (entry != NULL && sink->env.is_lossless && is_full(sink, bytes))
		(void)pthread_cond_wait(&sink->changed, &sink->lock);
	bool has_room = entry != NULL && !is_full(sink, bytes);
	if (has_room) {
		*entry = (struct job) {.job = job, .items = items, .bytes = bytes};
		*sink->last = entry;
		sink->last = &entry->next;
		sink->job_count++;
		sink->job_bytes += bytes;
		sink->is_flushed = false;
	} else {
		sink->refused += items;
	}
	(void)pthread_mutex_unlock(&sink->lock);
	if (!has_room) {
		free(entry);
		sink->ops->discard(sink->arg, job);
		return -ENOBUFS;
	}
	(void)curl_multi_wakeup(sink->multi);
	return 0;
}

int tl_http_sink_push(struct tl_http_sink *sink, uint32_t lane, struct tl_bytes payload,
		      uint32_t items, uint64_t time_ns)
{
	TL_ASSERT(lane < sink->lane_count);
	if (sink->lanes[lane].is_gzip) {
		tl_gzip(payload, &sink->packed);
		payload = tl_bytes((const uint8_t *)sink->packed.data, (uint32_t)sink->packed.len);
	}
	sink->accepted += items;
	if (time_ns > sink->lanes[lane].last_time_ns)
		sink->lanes[lane].last_time_ns = time_ns;
	return tl_queue_push(sink->lanes[lane].queue, payload, items, time_ns);
}

uint64_t tl_http_sink_last_time(const struct tl_http_sink *sink, uint32_t lane)
{
	return sink->lanes[lane].last_time_ns;
}

static void encode_jobs(struct tl_http_sink *sink)
{
	(void)pthread_mutex_lock(&sink->lock);
	struct job *jobs = sink->first;
	sink->first = NULL;
	sink->last = &sink->first;
	(void)pthread_mutex_unlock(&sink->lock);
	while (jobs != NULL) {
		struct job *next = jobs->next;
		sink->ops->encode(sink->arg, sink, jobs->job);
		// Room is given back only now: what is being encoded still takes memory.
		(void)pthread_mutex_lock(&sink->lock);
		sink->job_count--;
		sink->job_bytes -= jobs->bytes;
		(void)pthread_cond_broadcast(&sink->changed);
		(void)pthread_mutex_unlock(&sink->lock);
		free(jobs);
		jobs = next;
	}
}

// ---- State for others --------------------------------------------------------------------------

static void sum_up(struct tl_http_sink *sink, struct tl_exporter_stats *sum)
{
	uint64_t now = tl_clock_ns(CLOCK_REALTIME), oldest = UINT64_MAX;

	*sum = (struct tl_exporter_stats) {.accepted = sink->accepted,
					   .last_success_ns = sink->last_success_ns,
					   .unclean_starts = sink->unclean_starts,
					   .damaged_bytes = sink->damaged_bytes};
	for (uint32_t i = 0; i < sink->lane_count; i++) {
		const struct tl_http_lane_state *lane = &sink->lanes[i];
		struct tl_queue_stats queue;
		tl_queue_stats(lane->queue, &queue);
		sum->delivered += lane->total.delivered;
		sum->queued += queue.items;
		sum->queued_bytes += queue.bytes;
		sum->requests += lane->attempts;
		sum->retries += lane->retries;
		sum->damaged_bytes += queue.damaged_bytes;
		if (queue.oldest_ns != 0 && queue.oldest_ns < oldest)
			oldest = queue.oldest_ns;
		for (uint32_t d = 0; d < TL_DROP_COUNT; d++)
			sum->dropped_by[d] += lane->total.dropped[d] + queue.dropped[d];
		if (lane->error[0] != '\0' && (lane->failures != 0 || sum->last_error[0] == '\0'))
			(void)snprintf(sum->last_error, sizeof(sum->last_error), "%s", lane->error);
	}
	sum->queued_age_ns = oldest < now ? now - oldest : 0;
	for (uint32_t d = 0; d < TL_DROP_COUNT; d++)
		sum->dropped += sum->dropped_by[d];
}

static void tell_drops(struct tl_http_sink *sink, const struct tl_exporter_stats *sum)
{
	char reasons[200] = "";
	size_t len = 0;
	uint64_t now = tl_clock_ns(CLOCK_MONOTONIC);

	if (sum->dropped == sink->logged_drops ||
	    (sink->logged_ns != 0 && now - sink->logged_ns < LOG_DROPS_NS))
		return;
	for (uint32_t d = 0; d < TL_DROP_COUNT && len < sizeof(reasons); d++)
		if (sum->dropped_by[d] != 0)
			len += (size_t)snprintf(reasons + len, sizeof(reasons) - len,
						"%s%s %" PRIu64, len != 0 ? ", " : "",
						tl_exporter_drop_name((enum tl_exporter_drop)d),
						sum->dropped_by[d]);
	say(sink, TL_EXPORTER_WARNING, "%s: %" PRIu64 " items lost since the start (%s)%s%s",
	    sink->public_url, sum->dropped, reasons, sum->last_error[0] != '\0' ? "; " : "",
	    sum->last_error);
	sink->logged_drops = sum->dropped;
	sink->logged_ns = now;
}

// A failure is told once when it begins, and once when it is over. In a flush all begin anew, which
// says nothing about a receiver that failed before.
static void tell_changes(struct tl_http_sink *sink, const struct tl_exporter_stats *sum)
{
	const struct tl_http_lane_state *failing = NULL;
	bool is_disk_failing = false;

	for (uint32_t i = 0; i < sink->lane_count; i++) {
		struct tl_queue_stats queue;
		tl_queue_stats(sink->lanes[i].queue, &queue);
		is_disk_failing |= queue.is_disk_failing;
		if (failing == NULL && sink->lanes[i].failures != 0)
			failing = &sink->lanes[i];
	}
	if (failing != NULL && !sink->is_failing)
		say(sink, TL_EXPORTER_WARNING, "%s: %s; what comes is kept and sent later",
		    sink->public_url, failing->error);
	bool is_known = failing != NULL || !sink->is_flush_begun;
	if (is_known && failing == NULL && sink->is_failing)
		say(sink, TL_EXPORTER_INFO, "%s: works again, %" PRIu64 " items wait",
		    sink->public_url, sum->queued);
	if (is_disk_failing != sink->is_disk_failing)
		say(sink, is_disk_failing ? TL_EXPORTER_ERROR : TL_EXPORTER_INFO,
		    is_disk_failing ? "the queue in %s can't be written (is the disk full?); using "
				      "memory meanwhile" : "the queue in %s can be written again",
		    sink->options->queue.directory);
	if (is_known)
		sink->is_failing = failing != NULL;
	sink->is_disk_failing = is_disk_failing;
	tell_drops(sink, sum);
}

static void publish(struct tl_http_sink *sink)
{
	struct tl_exporter_stats sum;

	sum_up(sink, &sum);
	tell_changes(sink, &sum);
	(void)pthread_mutex_lock(&sink->lock);
	sink->stats = sum;
	(void)pthread_mutex_unlock(&sink->lock);
}

void tl_http_sink_stats(struct tl_http_sink *sink, struct tl_exporter_stats *ret_stats)
{
	(void)pthread_mutex_lock(&sink->lock);
	*ret_stats = sink->stats;
	ret_stats->accepted += sink->refused;
	ret_stats->dropped += sink->refused;
	ret_stats->dropped_by[TL_DROP_INBOX_FULL] += sink->refused;
	(void)pthread_mutex_unlock(&sink->lock);
}

// ---- The helper thread -------------------------------------------------------------------------

static void read_messages(struct tl_http_sink *sink)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(sink->multi, &left)) != NULL) {
		struct tl_http_lane_state *lane;
		CURLcode code = message->data.result;
		CURL *easy = message->easy_handle;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &lane);
		(void)curl_multi_remove_handle(sink->multi, easy);
		tl_http_lane_done(lane, code, tl_clock_ns(CLOCK_MONOTONIC));
		if (lane->has_delivered)
			sink->last_success_ns = tl_clock_ns(CLOCK_REALTIME);
	}
}

// What an earlier division into lanes left must go out before anything newer of the same series.
static bool is_held(struct tl_http_sink *sink, uint32_t index)
{
	for (uint32_t i = 0; !sink->lanes[index].goes_first && i < sink->lane_count; i++)
		if (sink->lanes[i].goes_first && !tl_http_lane_is_empty(&sink->lanes[i]))
			return true;
	return false;
}

// Nothing is left to do before an end: all is delivered, or what is not is safe on disk behind a
// receiver that has just failed.
static bool is_flushed(struct tl_http_sink *sink)
{
	bool is_safe = sink->options->queue.storage == TL_QUEUE_DISK && !sink->is_disk_failing;

	for (uint32_t i = 0; i < sink->lane_count; i++) {
		struct tl_http_lane_state *lane = &sink->lanes[i];
		if (!tl_http_lane_is_empty(lane) && !(is_safe && is_held(sink, i)) &&
		    (lane->is_busy || lane->failures == 0 || !is_safe))
			return false;
	}
	return true;
}

// Whoever waits only because of an earlier failure tries again at once, but for the receiver's own
// wish.
static void begin_flush(struct tl_http_sink *sink)
{
	for (uint32_t i = 0; i < sink->lane_count; i++) {
		struct tl_http_lane_state *lane = &sink->lanes[i];
		if (lane->is_told_to_wait)
			continue;
		lane->next_ns = 0;
		lane->failures = 0;
	}
}

static int wait_ms(struct tl_http_sink *sink)
{
	uint64_t now = tl_clock_ns(CLOCK_MONOTONIC), next = now + MAINTAIN_NS;

	for (uint32_t i = 0; i < sink->lane_count; i++)
		if (!sink->lanes[i].is_busy && sink->lanes[i].next_ns > now &&
		    sink->lanes[i].next_ns < next)
			next = sink->lanes[i].next_ns;
	return (int)((next - now + 999999) / 1000000);
}

// One turn; false when the thread is to end.
static bool turn(struct tl_http_sink *sink)
{
	int running;

	encode_jobs(sink);
	(void)pthread_mutex_lock(&sink->lock);
	bool is_stopping = sink->is_stopping, is_flushing = sink->is_flushing;
	(void)pthread_mutex_unlock(&sink->lock);
	if (is_stopping)
		return false;
	if (is_flushing && !sink->is_flush_begun)
		begin_flush(sink);
	sink->is_flush_begun = is_flushing;
	uint64_t now = tl_clock_ns(CLOCK_MONOTONIC);
	for (uint32_t i = 0; i < sink->lane_count; i++)
		if (!is_held(sink, i))
			tl_http_lane_start(&sink->lanes[i], sink->multi, now);
	(void)curl_multi_perform(sink->multi, &running);
	read_messages(sink);
	if (now - sink->maintained_ns >= MAINTAIN_NS || is_flushing) {
		for (uint32_t i = 0; i < sink->lane_count; i++)
			tl_queue_maintain(sink->lanes[i].queue, tl_clock_ns(CLOCK_REALTIME));
		sink->maintained_ns = now;
		publish(sink);
	}
	if (is_flushing && is_flushed(sink)) {
		(void)pthread_mutex_lock(&sink->lock);
		sink->is_flushed = sink->first == NULL;
		(void)pthread_cond_broadcast(&sink->changed);
		(void)pthread_mutex_unlock(&sink->lock);
	}
	return true;
}

static void *run(void *arg)
{
	struct tl_http_sink *sink = arg;
	sigset_t all;

	// Signals are the main thread's, and a closed connection must not raise SIGPIPE here.
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, NULL);
	(void)pthread_setname_np(pthread_self(), "tl-http-sink");
	while (turn(sink)) {
		bool is_ready = false;
		// A lane that has just finished goes on with its next frame at once.
		for (uint32_t i = 0; i < sink->lane_count; i++)
			is_ready |= !sink->lanes[i].is_busy && !is_held(sink, i) &&
				    !tl_http_lane_is_empty(&sink->lanes[i]) &&
				    sink->lanes[i].next_ns <= tl_clock_ns(CLOCK_MONOTONIC);
		if (!is_ready)
			(void)curl_multi_poll(sink->multi, NULL, 0, wait_ms(sink), NULL);
	}
	return NULL;
}

void tl_http_sink_begin_flush(struct tl_http_sink *sink)
{
	(void)pthread_mutex_lock(&sink->lock);
	sink->is_flushing = true;
	sink->is_flushed = false;
	(void)pthread_mutex_unlock(&sink->lock);
	(void)curl_multi_wakeup(sink->multi);
}

bool tl_http_sink_flush(struct tl_http_sink *sink, uint64_t deadline_ns)
{
	struct timespec until = {.tv_sec = (time_t)(deadline_ns / TL_SECOND_NS),
				 .tv_nsec = (long)(deadline_ns % TL_SECOND_NS)};
	int rc = 0;

	if (deadline_ns <= tl_clock_ns(CLOCK_MONOTONIC)) {
		(void)pthread_mutex_lock(&sink->lock);
		bool is_done = sink->job_count == 0 && sink->stats.queued == 0;
		(void)pthread_mutex_unlock(&sink->lock);
		return is_done;
	}
	tl_http_sink_begin_flush(sink);
	(void)pthread_mutex_lock(&sink->lock);
	while (!sink->is_flushed && rc == 0)
		rc = pthread_cond_timedwait(&sink->changed, &sink->lock, &until);
	sink->is_flushing = false;
	bool is_done = sink->is_flushed && sink->stats.queued == 0;
	(void)pthread_mutex_unlock(&sink->lock);
	return is_done;
}

// ---- Life --------------------------------------------------------------------------------------

static void init_curl(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

// What the run before left, in words.
static void tell_recovery(struct tl_http_sink *sink, const struct tl_http_lane_state *lane,
			  const struct tl_queue_recovery *r)
{
	if (r->frames != 0)
		say(sink, TL_EXPORTER_INFO, "lane %s: %" PRIu64 " items of an earlier run wait in the "
		    "queue", lane->name, r->items);
	if (r->is_unclean) {
		struct tl_text since = {0};
		tl_text_time_utc(&since, r->last_time_ns);
		say(sink, TL_EXPORTER_WARNING, "lane %s: the run before ended without an orderly "
		    "stop: nothing was queued between %s and now, %" PRIu64 " payloads before that "
		    "are missing", lane->name, r->last_time_ns != 0 ? since.data : "its start",
		    r->frames_lost);
		tl_text_free(&since);
		sink->unclean_starts++;
	}
	if (r->cut_bytes != 0 || r->damaged_bytes != 0 || r->foreign_files != 0)
		say(sink, TL_EXPORTER_WARNING, "lane %s: the queue's files had a damaged end of %" PRIu64
		    " bytes (cut off), %" PRIu64 " damaged bytes elsewhere (left out) and %" PRIu64
		    " files of another version (left alone)", lane->name, r->cut_bytes,
		    r->damaged_bytes, r->foreign_files);
	sink->damaged_bytes += r->cut_bytes + r->damaged_bytes;
	sink->accepted += r->items;
}

static int open_lanes(struct tl_http_sink *sink, const struct tl_http_sink_spec *spec, char *error,
		      uint32_t error_size)
{
	for (uint32_t i = 0; i < spec->lane_count; i++) {
		struct tl_queue_recovery recovery;
		int rc = tl_http_lane_init(&sink->lanes[i], spec, i, &recovery, error, error_size);
		if (rc < 0)
			return rc;
		sink->lane_count++;
		tell_recovery(sink, &sink->lanes[i], &recovery);
	}
	return 0;
}

int tl_http_sink_create(const struct tl_http_sink_spec *spec, struct tl_http_sink **ret_sink,
			char *error, uint32_t error_size)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_condattr_t attributes;

	TL_ASSERT(spec->lane_count > 0 && spec->lane_count <= TL_HTTP_LANES_MAX);
	(void)pthread_once(&once, init_curl);
	(void)snprintf(error, error_size, "out of memory");
	struct tl_http_sink *sink = calloc(1, sizeof(*sink));
	if (sink == NULL)
		return -ENOMEM;
	sink->options = spec->options;
	sink->ops = spec->ops;
	sink->arg = spec->arg;
	sink->env = *spec->env;
	sink->jobs_max = spec->inbox_jobs_max;
	sink->bytes_max = spec->inbox_bytes_max;
	sink->last = &sink->first;
	(void)snprintf(sink->label, sizeof(sink->label), "%s (%s)", spec->exporter,
		       spec->options->name);
	tl_http_public_url(spec->lanes[0].url, sink->public_url, sizeof(sink->public_url));
	(void)pthread_mutex_init(&sink->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&sink->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	sink->multi = curl_multi_init();
	int rc = sink->multi == NULL ? -ENOMEM : open_lanes(sink, spec, error, error_size);
	if (rc == 0) {
		publish(sink);
		rc = -pthread_create(&sink->thread, NULL, run, sink);
	}
	sink->has_thread = rc == 0;
	if (rc < 0) {
		tl_http_sink_destroy(sink);
		return rc;
	}
	*ret_sink = sink;
	return 0;
}

void tl_http_sink_destroy(struct tl_http_sink *sink)
{
	uint64_t waiting = 0, lost = 0;

	if (sink == NULL)
		return;
	(void)pthread_mutex_lock(&sink->lock);
	sink->is_stopping = true;
	(void)pthread_mutex_unlock(&sink->lock);
	if (sink->has_thread) {
		(void)curl_multi_wakeup(sink->multi);
		(void)pthread_join(sink->thread, NULL);
	}
	for (uint32_t i = 0; i < sink->lane_count; i++) {
		struct tl_queue_stats queue;
		if (sink->lanes[i].is_busy)
			(void)curl_multi_remove_handle(sink->multi, sink->lanes[i].easy);
		tl_queue_stats(sink->lanes[i].queue, &queue);
		waiting += queue.items;
		lost += tl_http_lane_fini(&sink->lanes[i]);
	}
	if (waiting > lost)
		say(sink, TL_EXPORTER_INFO, "%" PRIu64 " items stay in the queue for the next start",
		    waiting - lost);
	if (lost != 0)
		say(sink, TL_EXPORTER_WARNING, "%" PRIu64 " items in memory were lost at the end",
		    lost);
	if (sink->multi != NULL)
		(void)curl_multi_cleanup(sink->multi);
	(void)pthread_cond_destroy(&sink->changed);
	(void)pthread_mutex_destroy(&sink->lock);
	tl_text_free(&sink->packed);
	free(sink);
}
