// SPDX-License-Identifier: Apache-2.0
// Where tracers put what they find: one JSON record per event, in one file per tracer, and on
// their way to whoever listens (the exporters' event signal, the live stream). A store is opened
// once per process; saving works from any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define TL_STORE_RECORD_BYTES_MAX (1u << 20) // of one record; a larger one is refused, counted
// Records and their bytes that wait for the control thread; more are only in the file, counted.
#define TL_STORE_QUEUE_MAX 4096u
#define TL_STORE_QUEUE_BYTES_MAX (16u << 20)

struct tl_store_options {
	const char *path;     // directory, "" keeps no files
	uint64_t bytes_max;   // of a tracer's current file
	uint64_t count_max;   // of a tracer's old files
	uint64_t age_ns_max;  // of an old file, 0: no limit
	uint32_t fsync;       // enum tl_fsync_policy
	const char *region;   // of the host, may be ""
};

// One record as it was stored.
struct tl_stored {
	uint64_t time_ns;   // of the event
	const char *tracer; // its name
	const char *type;   // "event", "autotracing"
	const char *json;   // the whole envelope, one line without its end
};

struct tl_store_stats {
	uint64_t saved;
	uint64_t refused;   // too large, or not a JSON object
	uint64_t unqueued;  // kept in the file, but nobody who listens got it
	uint64_t failed;    // could not be written
	char last_error[256];
};

// 0, or -errno and a line in `error`. Control thread.
int tl_store_open(const struct tl_store_options *options, char *error, uint32_t error_size);
void tl_store_close(void); // without an open store nothing happens

// Saves one event of `tracer`: `json` is the object tracer_data. `container_id` is "" for the
// host; one that is not known is stored with "container_known": false. `time_ns` is wall time.
// 0, or -errno (-ENOTCONN: no store is open, -EMSGSIZE, -EINVAL: no JSON object).
int tl_store_save(const char *tracer, const char *container_id, uint64_t time_ns, const char *json);

// Hands what was saved since to `deliver`, oldest first. Control thread.
typedef void tl_store_deliver_fn(void *arg, const struct tl_stored *stored);
void tl_store_drain(tl_store_deliver_fn *deliver, void *arg);
void tl_store_get_stats(struct tl_store_stats *ret_stats);

// ---- Reading -------------------------------------------------------------------------------------

// Calls `visit` with each stored record of `tracer` ("": of all) that is not older than
// `since_ns`, of these with the newest `limit` (0: with all, which are held in memory meanwhile), in
// the order of time. Any thread; works on a directory of another process too. 0 or -errno.
typedef bool tl_store_visit_fn(void *arg, const struct tl_stored *stored); // false: enough
int tl_store_read(const char *path, const char *tracer, uint64_t since_ns, size_t limit,
		  tl_store_visit_fn *visit, void *arg);

// What is appended from the first look on, by this or another process; `stored` then has neither
// time nor type. NULL on no memory.
struct tl_store_follower;
struct tl_store_follower *tl_store_follow(const char *path, const char *tracer);
// Visits what has come since the last look. False when `visit` had enough.
bool tl_store_look(struct tl_store_follower *follower, tl_store_visit_fn *visit, void *arg);
void tl_store_unfollow(struct tl_store_follower *follower); // accepts NULL
