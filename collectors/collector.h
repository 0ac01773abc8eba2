// SPDX-License-Identifier: Apache-2.0
// What whoever writes a collector includes. A collector has one of two roles, or both:
//  - metric: update() is called on every tick and states gauges and counters;
//  - tracing: start() blocks, watches, and saves what it finds by tl_store_save(). An *event*
//    tracer is always on; an *autotracing* one captures expensive context for a bounded time when
//    a cheap signal is abnormal.
// Each collector has threads of its own: one that blocks or fails stops neither the others nor
// the probe. docs/collectors/CUSTOM.md is the guide, with two collectors that a test runs.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/option.h"
#include "collectors/container/container.h"
#include "collectors/host.h"
#include "collectors/store/store.h"
#include "metrics/points.h"

enum tl_collector_flag {
	TL_METRIC = 1u << 0,
	TL_TRACING = 1u << 1,
	TL_AUTOTRACING = 1u << 2, // with TL_TRACING: of the mode autotracing, else event
	TL_PROBE = 1u << 3,       // with both roles: start() measures in the kernel what update()
				  // shows; its switch is collectors.probes
};

struct tl_ctx;  // a run of start()
struct tl_emit; // a call of update()

struct tl_collector_ops {
	// Blocks until it is done or tl_ctx_done(); called again `interval_s` seconds after it
	// returned. 0, or -errno (told once; -EOPNOTSUPP ends the role for good).
	int (*start)(void *self, struct tl_ctx *ctx);
	// Emits the present values; never runs concurrently with itself. It may emit and still
	// return -errno: what was emitted counts, the collector's success is 0.
	int (*update)(void *self, struct tl_emit *emit);
	void (*close)(void *self); // may be NULL
};

struct tl_collector {
	const struct tl_collector_ops *ops;
	void *self;
	uint32_t interval_s; // tracing: pause between a return of start() and the next call
	uint32_t flags;      // of enum tl_collector_flag
};

// What new_fn is given; `reason` is for the user when the result is less than 0.
struct tl_collector_setup {
	char *reason;
	uint32_t reason_size;
};

// Called once, on the control thread, unless the configuration disables the collector. Must not
// block. 0; -EOPNOTSUPP: this host can't do it (no such file, no such hook), with the reason by
// tl_collector_says(); other -errno: an initialisation error.
typedef int tl_collector_new_fn(const struct tl_collector_setup *setup,
				struct tl_collector *ret_collector);

__attribute__((format(printf, 2, 3))) void
tl_collector_says(const struct tl_collector_setup *setup, const char *format, ...);

// ---- Registration --------------------------------------------------------------------------------

struct tl_collector_entry {
	const char *name;
	tl_collector_new_fn *new_fn;
	const char *help;                // one sentence
	const struct tl_option *options; // rows of its options struct; text rows can't be hot
	uint32_t options_size;
};

// TL_COLLECTOR(oom, oom_new) registers the collector "oom"; more members of the entry may follow,
// as in TL_COLLECTOR(oom, oom_new, .help = "..."). Two of a name don't link.
#define TL_COLLECTOR(collector, new_function, ...) \
	extern const struct tl_collector_entry tl_collector_##collector; \
	const struct tl_collector_entry tl_collector_##collector = { \
		.name = #collector, .new_fn = new_function, ##__VA_ARGS__}; \
	static const struct tl_collector_entry *const tl_collector_row_##collector \
		__attribute__((section("tl_collectors"), used)) = &tl_collector_##collector

// ---- In start() ----------------------------------------------------------------------------------

bool tl_ctx_done(const struct tl_ctx *ctx);
// Sleeps. False as soon as the run is to end.
bool tl_ctx_sleep(struct tl_ctx *ctx, uint64_t ns);
// A file descriptor that becomes readable when the run is to end, for poll(). Never read it.
int tl_ctx_fd(const struct tl_ctx *ctx);
// Says by what the run sees what it watches ("tp_btf", "/dev/kmsg"), for its status; at most
// TL_COLLECTOR_HOOK_BYTES.
#define TL_COLLECTOR_HOOK_BYTES 256u
__attribute__((format(printf, 2, 3))) void tl_ctx_hook(struct tl_ctx *ctx, const char *format, ...);
// Copies the collector's options of the present configuration: `size` bytes, its options_size.
void tl_ctx_options(const struct tl_ctx *ctx, void *ret_options, uint32_t size);

// ---- In update() ---------------------------------------------------------------------------------

// Labels of a point, ended by a row without a name: TL_LABELS({"device", "eth0"}).
#define TL_LABELS(...) ((const struct tl_label[]) {__VA_ARGS__, {NULL, NULL}})
#define TL_NO_LABELS NULL

// The series tapline_<collector>_<name>; everything is copied.
void tl_emit_gauge(struct tl_emit *emit, const char *name, double value, const char *help,
		   const struct tl_label *labels);
void tl_emit_counter(struct tl_emit *emit, const char *name, double value, const char *help,
		     const struct tl_label *labels);
// The series tapline_<collector>_container_<name>, with the container's labels before `labels`; with
// `container` NULL that of the host, as above.
void tl_emit_container_gauge(struct tl_emit *emit, const struct tl_container *container,
			     const char *name, double value, const char *help,
			     const struct tl_label *labels);
void tl_emit_container_counter(struct tl_emit *emit, const struct tl_container *container,
			       const char *name, double value, const char *help,
			       const struct tl_label *labels);
void tl_emit_options(const struct tl_emit *emit, void *ret_options, uint32_t size);
