// SPDX-License-Identifier: Apache-2.0
// Records on their way to the subscribers of GET /watch: one bounded queue of JSON lines each. The
// control lcore publishes, never waiting; a subscriber that is too slow loses lines, counted.
#pragma once

#include "exporters/exporter.h"

#define TL_BUS_QUEUE_BYTES_MAX (1u << 20) // per subscriber

struct tl_bus;
struct tl_subscriber;

// What a subscriber wants to see. Strings "" and numbers 0 mean: all.
struct tl_bus_filter {
	bool wants_events;    // of collectors, instead of records
	char tracer[64];      // with wants_events: only its
	char protocol[32];
	int status;           // enum tl_status, -1: all
	bool only_errors;     // every status but ok and one_way
	uint64_t slow_ns;     // at least this long
	uint64_t message_max; // lines before the stream ends
	uint64_t timeout_ns;  // silence after which it ends
};

// True when `record` passes.
bool tl_bus_filter_matches(const struct tl_bus_filter *filter, const struct tl_roundtrip *record);
// "error", or one of the status words. False for anything else.
bool tl_bus_filter_set_status(struct tl_bus_filter *filter, const char *word);

// `wake` is called on the publishing thread, without a lock held, when a subscriber that had
// nothing to read may have something now (or has been waiting for long enough to look again).
typedef void tl_bus_wake_fn(void *arg);

struct tl_bus *tl_bus_create(uint32_t subscribers_max); // NULL on no memory
void tl_bus_destroy(struct tl_bus *bus);

// Control thread.
void tl_bus_publish(struct tl_bus *bus, const struct tl_roundtrip_signal *signal);
// An event of a collector, `json` without a line end.
void tl_bus_publish_event(struct tl_bus *bus, const char *tracer, const char *json);
void tl_bus_tick(struct tl_bus *bus); // wakes those whose silence has lasted too long
void tl_bus_wake_all(struct tl_bus *bus); // at the end

// Any thread. NULL when there are too many.
struct tl_subscriber *tl_bus_subscribe(struct tl_bus *bus, const struct tl_bus_filter *filter,
				       tl_bus_wake_fn *wake, void *arg);
// Its `wake` is not called any more when this returns; not to be called by it.
void tl_bus_unsubscribe(struct tl_bus *bus, struct tl_subscriber *subscriber);
// Up to `size` bytes of lines; 0: nothing yet (wake will be called), -1: the stream is over.
long tl_bus_read(struct tl_bus *bus, struct tl_subscriber *subscriber, char *ret, size_t size);
uint32_t tl_bus_watchers(struct tl_bus *bus); // now
uint64_t tl_bus_dropped(struct tl_bus *bus);  // lines, of all subscribers so far
