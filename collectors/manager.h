// SPDX-License-Identifier: Apache-2.0
// The life of all collectors: which run, when, and what they last said. Every function may be
// called from any thread; none waits for a collector, but stop, which waits a second at most.
#pragma once

#include "collectors/collector.h"

#define TL_COLLECTORS_MAX 128u
#define TL_COLLECTOR_REASON_BYTES 160u

struct tl_collectors;

enum tl_collector_state {
	TL_COLLECTOR_ACTIVE,
	TL_COLLECTOR_DISABLED,      // by the configuration
	TL_COLLECTOR_NOT_SUPPORTED, // this host can't do it
	TL_COLLECTOR_INIT_ERROR,
};

struct tl_collectors_config {
	bool metrics;                  // the mode's switch
	bool event;
	bool autotracing;
	bool probes;                   // of the metrics mode, what needs programs in the kernel
	bool bpf;                      // whether any collector may load such programs
	struct tl_text_list disabled;  // names that are never made
	uint64_t interval_ns;          // between two calls of update()
	const char *root;              // of the host's files, "" for /
	struct tl_store_options store;
	struct tl_containers_options containers;
};

// The values of one collector's options, in the order of tl_collector_count(); NULL where it has
// none.
struct tl_collectors_setup {
	const struct tl_collectors_config *config;
	const void *const *options;
	void (*log)(void *arg, bool is_error, const char *line); // any thread
	void *log_arg;
};

// The registry, in order of names.
uint32_t tl_collector_count(void);
const struct tl_collector_entry *tl_collector_at(uint32_t index);

// Makes every collector that is not disabled and starts those whose mode is on. -EINVAL for a
// collector with impossible attributes (our own fault, but told), other -errno; a line in
// `error`. Keeps nothing of `setup` but the log function.
int tl_collectors_create(const struct tl_collectors_setup *setup,
			 struct tl_collectors **ret_collectors, char *error, uint32_t error_size);
// Stops everything; waits up to a second for all, then leaves blocked ones behind. Accepts NULL.
void tl_collectors_destroy(struct tl_collectors *collectors);

// New option values and switches; what needs a restart stays as it is.
void tl_collectors_reload(struct tl_collectors *collectors,
			  const struct tl_collectors_setup *setup);

// 0, -ENOENT: no such tracer, -EALREADY: it runs, -EOPNOTSUPP: it is not active, -EBUSY: its
// last run is still blocked.
int tl_collectors_start(struct tl_collectors *collectors, const char *name);
// 0, -ENOENT, -ESRCH: it does not run, -EBUSY: it was told to stop, but is blocked still.
int tl_collectors_stop(struct tl_collectors *collectors, const char *name);

// Asks for the next update() of each metric collector whose time has come.
void tl_collectors_tick(struct tl_collectors *collectors);
// What they said last, and the manager's own series about them; each list is a new reference.
uint32_t tl_collectors_points(struct tl_collectors *collectors,
			      struct tl_points *ret_lists[TL_COLLECTORS_MAX + 1]);

struct tl_collector_status {
	const char *name;
	const char *help;
	uint8_t state;       // enum tl_collector_state
	uint32_t flags;      // of enum tl_collector_flag
	uint32_t interval_s;
	bool is_running;     // its tracing role
	bool is_blocked;     // told to stop, and has not returned
	uint64_t hits;       // returns of start()
	uint64_t updates;    // returns of update()
	bool has_succeeded;  // the last update()
	double update_seconds;
	char reason[TL_COLLECTOR_REASON_BYTES]; // why not active, or the last failure
	char hook[TL_COLLECTOR_HOOK_BYTES];     // by what a running tracer sees, "" if it didn't say
};

uint32_t tl_collectors_status(struct tl_collectors *collectors,
			      struct tl_collector_status *ret_status, uint32_t max);
const char *tl_collector_state_name(enum tl_collector_state state);
