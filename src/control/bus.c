// SPDX-License-Identifier: Apache-2.0
#include "control/bus.h"

#include "base/clock.h"
#include "exporters/record/record.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_AGAIN_NS UINT64_C(1000000000)

struct tl_subscriber {
	bool is_used;
	struct tl_bus_filter filter;
	struct tl_text queue;
	size_t read;         // bytes of the queue given away
	uint64_t messages;   // put into the queue so far
	uint64_t active_ns;  // when something was last put or the stream began
	bool is_waiting;     // the reader found nothing and wants to be woken
	bool is_being_woken; // `wake` is being called, and `arg` must not go away
	uint64_t waits_ns;   // since when
	tl_bus_wake_fn *wake;
	void *arg;
};

struct tl_bus {
	pthread_mutex_t lock;
	pthread_cond_t woken;
	uint32_t max;
	_Atomic uint32_t used; // looked at without the lock: mostly nobody watches
	uint64_t dropped;
	struct tl_text line; // of the record being published
	struct tl_subscriber subscribers[];
};

bool tl_bus_filter_set_status(struct tl_bus_filter *filter, const char *word)
{
	filter->only_errors = strcmp(word, "error") == 0;
	filter->status = -1;
	for (int s = 0; s < TL_STATUS_COUNT; s++)
		if (strcmp(word, tl_status_name((enum tl_status)s)) == 0)
			filter->status = s;
	return filter->only_errors || filter->status >= 0;
}

bool tl_bus_filter_matches(const struct tl_bus_filter *f, const struct tl_roundtrip *r)
{
	const struct tl_decoder *decoder = tl_decoder_at(r->protocol);

	if (f->status >= 0 && r->status != f->status)
		return false;
	if (f->only_errors && (r->status == TL_STATUS_OK || r->status == TL_STATUS_ONE_WAY))
		return false;
	if (r->duration_ns < f->slow_ns)
		return false;
	return f->protocol[0] == '\0' ||
	       (decoder != NULL && strcmp(decoder->name, f->protocol) == 0);
}

struct tl_bus *tl_bus_create(uint32_t subscribers_max)
{
	struct tl_bus *bus = calloc(1, sizeof(*bus) + subscribers_max * sizeof(bus->subscribers[0]));
	if (bus == NULL)
		return NULL;
	bus->max = subscribers_max;
	(void)pthread_mutex_init(&bus->lock, NULL);
	(void)pthread_cond_init(&bus->woken, NULL);
	return bus;
}

void tl_bus_destroy(struct tl_bus *bus)
{
	if (bus == NULL)
		return;
	for (uint32_t i = 0; i < bus->max; i++)
		tl_text_free(&bus->subscribers[i].queue);
	tl_text_free(&bus->line);
	(void)pthread_cond_destroy(&bus->woken);
	(void)pthread_mutex_destroy(&bus->lock);
	free(bus);
}

static bool is_over(const struct tl_subscriber *s, uint64_t now)
{
	return (s->filter.message_max != 0 && s->messages >= s->filter.message_max) ||
	       (s->filter.timeout_ns != 0 && now > s->active_ns + s->filter.timeout_ns);
}

// Its stream is over, or it has waited for long enough to see whether its reader is still there.
static bool is_due(const struct tl_subscriber *s, uint64_t now)
{
	return is_over(s, now) || (s->is_waiting && now > s->waits_ns + LOOK_AGAIN_NS);
}

// The line being published.
static void put_line(struct tl_bus *bus, struct tl_subscriber *s, uint64_t now)
{
	if (s->queue.len - s->read + bus->line.len > TL_BUS_QUEUE_BYTES_MAX) {
		bus->dropped++;
		return;
	}
	if (s->read == s->queue.len) {
		tl_text_clear(&s->queue);
		s->read = 0;
	}
	tl_text_add(&s->queue, bus->line.data, bus->line.len);
	s->messages++;
	s->active_ns = now;
}

static void offer(struct tl_bus *bus, struct tl_subscriber *s,
		  const struct tl_roundtrip_signal *signal, uint64_t now)
{
	if (s->filter.wants_events || is_over(s, now) ||
	    !tl_bus_filter_matches(&s->filter, signal->record))
		return;
	if (bus->line.len == 0)
		(void)tl_record_json_line(&bus->line, signal, false);
	put_line(bus, s, now);
}

static bool is_watched(struct tl_bus *bus)
{
	return atomic_load_explicit(&bus->used, memory_order_relaxed) != 0;
}

void tl_bus_publish(struct tl_bus *bus, const struct tl_roundtrip_signal *signal)
{
	if (!is_watched(bus))
		return;
	(void)pthread_mutex_lock(&bus->lock);
	uint64_t now = tl_clock_ns(CLOCK_MONOTONIC);
	tl_text_clear(&bus->line);
	for (uint32_t i = 0; i < bus->max; i++)
		if (bus->subscribers[i].is_used)
			offer(bus, &bus->subscribers[i], signal, now);
	(void)pthread_mutex_unlock(&bus->lock);
}

void tl_bus_publish_event(struct tl_bus *bus, const char *tracer, const char *json)
{
	if (!is_watched(bus))
		return;
	(void)pthread_mutex_lock(&bus->lock);
	uint64_t now = tl_clock_ns(CLOCK_MONOTONIC);
	tl_text_clear(&bus->line);
	tl_text_puts(&bus->line, json);
	tl_text_puts(&bus->line, "\n");
	for (uint32_t i = 0; i < bus->max; i++) {
		struct tl_subscriber *s = &bus->subscribers[i];
		if (s->is_used && s->filter.wants_events && !is_over(s, now) &&
		    (s->filter.tracer[0] == '\0' || strcmp(s->filter.tracer, tracer) == 0))
			put_line(bus, s, now);
	}
	(void)pthread_mutex_unlock(&bus->lock);
}

// Called with the lock, which it gives away meanwhile: waking under it would tie the HTTP server's
// lock to ours.
static void call_wake(struct tl_bus *bus, struct tl_subscriber *s)
{
	s->is_waiting = false;
	s->is_being_woken = true;
	(void)pthread_mutex_unlock(&bus->lock);
	s->wake(s->arg);
	(void)pthread_mutex_lock(&bus->lock);
	s->is_being_woken = false;
	(void)pthread_cond_broadcast(&bus->woken);
}

static void wake_some(struct tl_bus *bus, bool all)
{
	(void)pthread_mutex_lock(&bus->lock);
	for (uint32_t i = 0; i < bus->max; i++) {
		struct tl_subscriber *s = &bus->subscribers[i];
		if (s->is_used && s->is_waiting &&
		    (all || s->read < s->queue.len || is_due(s, tl_clock_ns(CLOCK_MONOTONIC))))
			call_wake(bus, s);
	}
	(void)pthread_mutex_unlock(&bus->lock);
}

void tl_bus_tick(struct tl_bus *bus)
{
	if (is_watched(bus))
		wake_some(bus, false);
}

void tl_bus_wake_all(struct tl_bus *bus)
{
	wake_some(bus, true);
}

struct tl_subscriber *tl_bus_subscribe(struct tl_bus *bus, const struct tl_bus_filter *filter,
				       tl_bus_wake_fn *wake, void *arg)
{
	struct tl_subscriber *found = NULL;

	(void)pthread_mutex_lock(&bus->lock);
	for (uint32_t i = 0; found == NULL && i < bus->max; i++)
		if (!bus->subscribers[i].is_used)
			found = &bus->subscribers[i];
	if (found != NULL) {
		*found = (struct tl_subscriber) {
			.is_used = true,
			.filter = *filter,
			.active_ns = tl_clock_ns(CLOCK_MONOTONIC),
			.wake = wake,
			.arg = arg,
		};
		bus->used++;
	}
	(void)pthread_mutex_unlock(&bus->lock);
	return found;
}

void tl_bus_unsubscribe(struct tl_bus *bus, struct tl_subscriber *subscriber)
{
	(void)pthread_mutex_lock(&bus->lock);
	while (subscriber->is_being_woken)
		(void)pthread_cond_wait(&bus->woken, &bus->lock);
	tl_text_free(&subscriber->queue);
	subscriber->is_used = false;
	bus->used--;
	(void)pthread_mutex_unlock(&bus->lock);
}

long tl_bus_read(struct tl_bus *bus, struct tl_subscriber *s, char *ret, size_t size)
{
	long result = 0;

	(void)pthread_mutex_lock(&bus->lock);
	size_t waiting = s->queue.len - s->read;
	if (waiting != 0) {
		size_t len = waiting < size ? waiting : size;
		memcpy(ret, s->queue.data + s->read, len);
		s->read += len;
		result = (long)len;
	} else if (is_over(s, tl_clock_ns(CLOCK_MONOTONIC))) {
		result = -1;
	} else {
		s->is_waiting = true;
		s->waits_ns = tl_clock_ns(CLOCK_MONOTONIC);
	}
	(void)pthread_mutex_unlock(&bus->lock);
	return result;
}

uint32_t tl_bus_watchers(struct tl_bus *bus)
{
	return bus->used;
}

uint64_t tl_bus_dropped(struct tl_bus *bus)
{
	(void)pthread_mutex_lock(&bus->lock);
	uint64_t dropped = bus->dropped;
	(void)pthread_mutex_unlock(&bus->lock);
	return dropped;
}
