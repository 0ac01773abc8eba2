// SPDX-License-Identifier: Apache-2.0
// Programs in the kernel (BPF), for what no file tells. A program NAME.bpf.c is compiled when
// tapline is built (meson option bpf), lies in the binary as tl_bpf_code_NAME, and is fitted to the
// running kernel when it is loaded (CO-RE; collectors/bpf/kernel.h).
//
// What a kernel can do is found by trying, never by its version: a collector states its hooks, best
// first; tl_bpf_start() takes the first that loads and attaches, and the status of the tracer says
// which, and why a better one was refused. When none is taken the collector goes on without BPF
// (collectors/bpf/perf.h, files, the kernel's log) or returns the error, which is told.
//
// A loaded object belongs to the run of start() that loaded it: it is unloaded when that returns,
// if not before, and detached when the run is to end but start() does not return in time. One
// thread, if nothing else is said.
//
//	const struct tl_bpf_hook hooks[] = {
//		{.name = "tp_btf", .code = &tl_bpf_code_disk, .constants = constants},
//		{.name = "tracepoint", .code = &tl_bpf_code_disk_tp, .constants = constants,
//		 .fields = fields},
//		{.name = NULL},
//	};
//	struct tl_bpf *bpf;
//	int rc = tl_bpf_start(ctx, hooks, &bpf);
//	if (rc == 0)
//		rc = tl_bpf_listen(bpf, "events", on_event, self);
//	while (rc == 0 && tl_bpf_wait(bpf, ctx, 0))
//		;
//	return rc; // the object goes with the run
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "collectors/collector.h"

// An object file in the binary; without bytes where tapline was built without BPF.
struct tl_bpf_code {
	const char *name;
	const unsigned char *bytes;
	size_t size;
};
// TL_BPF_CODE(disk) declares what disk.bpf.c was compiled into (a row in collectors/meson.build).
#define TL_BPF_CODE(program) extern const struct tl_bpf_code tl_bpf_code_##program

// A `const volatile` variable of the programs, set before they are loaded.
struct tl_bpf_constant {
	const char *name;
	const void *value;
	uint32_t size; // of the variable, exactly
};

// A uint32_t constant that is set to the offset of a tracepoint's field, as the kernel's own
// description of the tracepoint says (format, below tracefs).
struct tl_bpf_field {
	const char *constant;
	const char *tracepoint; // "block/block_rq_issue"
	const char *field;
};

struct tl_bpf_map_size {
	const char *map;
	uint32_t entries;
};

// What to load. Lists are ended by a row whose first member is NULL, and may be NULL. An object
// without CO-RE relocations also loads on kernels that don't describe their types (BTF): keep
// programs for classic tracepoints in a file of their own. These return TL_PASS, never 0: that would
// hide the tracepoint's records from everybody else.
struct tl_bpf_hook {
	const char *name; // for the user: "tp_btf", "tracepoint"
	const struct tl_bpf_code *code;
	const char *const *programs; // the object's others are not loaded; NULL: all are
	const struct tl_bpf_constant *constants;
	const struct tl_bpf_field *fields;   // they must exist
	const struct tl_bpf_map_size *sizes; // in the place of a map's own max_entries
};

struct tl_bpf;

// ---- Loading -------------------------------------------------------------------------------------

// Loads and attaches the programs of the first hook that the kernel takes (a row without a name
// ends the list), and states it by tl_ctx_hook(). 0; -EOPNOTSUPP: built without BPF, or forbidden
// by collectors.bpf; other -errno: of the last hook. What was refused is in the status either way.
// TAPLINE_BPF_REFUSE in the environment names hooks that are passed over (for tests),
// TAPLINE_BPF_LOG lets libbpf and the verifier write to stderr.
int tl_bpf_start(struct tl_ctx *ctx, const struct tl_bpf_hook *hooks, struct tl_bpf **ret_bpf);
bool tl_bpf_hook_is(const struct tl_bpf *bpf, const char *name); // that it was loaded by
// Only loads. 0 or -errno.
int tl_bpf_load(struct tl_ctx *ctx, const struct tl_bpf_hook *hook, struct tl_bpf **ret_bpf);
// Attaches what was loaded by the names of its sections: SEC("tp_btf/..."), SEC("raw_tp/..."),
// SEC("tracepoint/category/name"), SEC("iter/..."); what other sections need is said by
// tl_bpf_attach_one(). All or nothing.
int tl_bpf_attach(struct tl_bpf *bpf);

struct tl_bpf_place {
	const char *tracepoint; // "sched/sched_switch", for SEC("tracepoint")
	uint32_t hz;            // CPU clock samples per second and CPU, for SEC("perf_event")
};

// `place` NULL: by its section.
int tl_bpf_attach_one(struct tl_bpf *bpf, const char *program, const struct tl_bpf_place *place);
// Nothing more is counted or sent; maps can still be read. Any thread.
void tl_bpf_detach(struct tl_bpf *bpf);
void tl_bpf_unload(struct tl_bpf *bpf); // accepts NULL

// ---- Maps ----------------------------------------------------------------------------------------

// Values of a per-CPU map are those of all possible CPUs one behind the other, each rounded up to 8
// bytes. Any thread that holds the object. 0 or -errno (-ENOENT: no such map, or no such key).
uint32_t tl_bpf_cpus(void);
int tl_bpf_read(struct tl_bpf *bpf, const char *map, const void *key, void *ret_value);
int tl_bpf_write(struct tl_bpf *bpf, const char *map, const void *key, const void *value);
int tl_bpf_delete(struct tl_bpf *bpf, const char *map, const void *key);
// Each entry of a hash or array. False from `visit`: enough.
typedef bool tl_bpf_visit_fn(void *arg, const void *key, const void *value);
int tl_bpf_each(struct tl_bpf *bpf, const char *map, tl_bpf_visit_fn *visit, void *arg);
// The same, deleting each entry of a hash that was visited.
int tl_bpf_drain(struct tl_bpf *bpf, const char *map, tl_bpf_visit_fn *visit, void *arg);
// Adds up `count` uint64_t values of all CPUs as tl_bpf_read() and _each() give them.
void tl_bpf_sum(const void *values, uint32_t count, uint64_t *ret_sums);

// ---- What programs send --------------------------------------------------------------------------

// `fn` is called by tl_bpf_wait() for each record of the ring buffer or perf event array `map`.
typedef void tl_bpf_event_fn(void *arg, const void *data, uint32_t size);
int tl_bpf_listen(struct tl_bpf *bpf, const char *map, tl_bpf_event_fn *fn, void *arg);
// Waits for records and hands them over; returns after `ns` (0: no limit) or when some were
// handed over. False when the run is to end.
bool tl_bpf_wait(struct tl_bpf *bpf, struct tl_ctx *ctx, uint64_t ns);
uint64_t tl_bpf_lost(const struct tl_bpf *bpf); // records that perf buffers had no room for

// What an attached iterator (SEC("iter/task")) writes, all of it.
int tl_bpf_iterate(struct tl_bpf *bpf, const char *program, struct tl_text *ret_text);

// ---- For update(), on its own thread -------------------------------------------------------------

// Where start() puts the object for update() to read. Zero-initialised but for its lock.
struct tl_bpf_ref {
	pthread_mutex_t lock;
	struct tl_bpf *bpf;
};

// From now until it is unloaded `bpf` can be had from `ref`.
void tl_bpf_publish(struct tl_bpf *bpf, struct tl_bpf_ref *ref);
// NULL: nothing is loaded now. Its maps stay until it is released; then it must not be used.
struct tl_bpf *tl_bpf_acquire(struct tl_bpf_ref *ref);
void tl_bpf_release(struct tl_bpf *bpf); // accepts NULL
// All that start() does where only update() looks at what the programs count: tl_bpf_start(), then
// the object is to be had from `ref` until the run ends. 0 or -errno.
int tl_bpf_serve(struct tl_ctx *ctx, const struct tl_bpf_hook *hooks, struct tl_bpf_ref *ref);

// Calls `visit` with each value of an enumeration of the running kernel; with none where the kernel
// does not describe its types. Reads megabytes: ask once. Any thread.
typedef void tl_bpf_enum_fn(void *arg, const char *name, uint32_t value);
void tl_bpf_enum(const char *type, tl_bpf_enum_fn *visit, void *arg);

// A per-CPU variable of the running kernel, or a member of it. On a CPU two of them are as far apart
// as their offsets.
struct tl_bpf_percpu {
	const char *variable;
	const char *member; // in structs without names, too; NULL: the variable itself
	int64_t offset;     // set by tl_bpf_find_percpu(), in bytes; -1: it has none
};
// Reads megabytes: ask once. 0; -EOPNOTSUPP: the kernel does not describe its types, or built
// without BPF. Any thread.
int tl_bpf_find_percpu(struct tl_bpf_percpu *rows, uint32_t count);

// collectors.bpf: what is loaded already stays.
void tl_bpf_allow(bool is_allowed);
