// SPDX-License-Identifier: Apache-2.0
// The user side of an event that a BPF program watches: settings go into the kernel, records come out
// of it and are saved, what happened is counted.
#pragma once

#include <jansson.h>
#include <stdatomic.h>

#include "collectors/bpf/bpf.h"
#include "collectors/bpf/perf.h"
#include "collectors/bpf/tracefs.h"
#include "collectors/collector.h"
#include "collectors/event/event_record.h"
#include "collectors/event/gate.h"

#define TL_EVENT_NETS_MAX 64u

struct tl_event;

// The same event without BPF, where the records of tracepoints are enough: they are paired and
// weighed on this side, and make the record that the program would have sent.
struct tl_event_perf {
	struct tl_perf_options options;
	int (*open)(struct tl_event *event); // finds the fields; 0 or -errno
	void (*take)(struct tl_event *event, const struct tl_perf_sample *sample);
};

// What one event is; static.
struct tl_event_kind {
	const char *name;                // of the collector
	const struct tl_bpf_hook *hooks; // best first, ended by one without a name
	const struct tl_event_perf *perf; // what comes after them, or NULL
	bool has_net;                    // the program has a constant host_net
	// Fills what the program is to know, from the options; called at the start, and about every
	// second.
	void (*set)(struct tl_event *event, struct tl_ctx *ctx, struct tl_event_setting *ret);
	// Saves a record of the ring.
	void (*tell)(struct tl_event *event, const void *record, uint32_t size);
};

// Whose a network namespace was when it was last asked for.
struct tl_event_net {
	uint32_t inum;
	uint64_t until_ns;
	char id[TL_CONTAINER_ID_BYTES];
};

// The first member of a collector's own struct.
struct tl_event {
	const struct tl_event_kind *kind;
	struct tl_bpf *bpf;                      // of the present run, or NULL
	struct tl_event_setting setting;         // as it was told last
	struct tl_event_gate gate;               // of a run without BPF
	struct tl_perf *perf;                    // of such a run
	uint64_t perf_lost;                      // samples, before the present one
	struct tl_event_counts past;             // of earlier runs
	_Atomic uint64_t seen, suppressed, lost; // of all runs
	_Atomic uint64_t saved, known;
	int error;                               // of the last save
	uint32_t host_net;                       // inode of the host's network namespace
	struct tl_container owner;
	struct tl_event_net nets[TL_EVENT_NETS_MAX];
	uint32_t next_net;
};

// What start() is: loads, and saves until the run ends. 0 or -errno.
int tl_event_run(void *event, struct tl_ctx *ctx);
// What update() is: the counters tapline_<name>_..._total.
int tl_event_update(void *event, struct tl_emit *emit);
void tl_event_destroy(void *event);
// These three, for a collector that adds nothing to them.
extern const struct tl_collector_ops tl_event_ops;
// What the collector's new_fn does. `size` is that of the collector's own struct, 0 for none of its
// own; start() is called again `interval_s` seconds after it returned. 0 or -ENOMEM.
int tl_event_new(const struct tl_event_kind *kind, const struct tl_collector_ops *ops, size_t size,
		 uint32_t interval_s, struct tl_collector *ret_collector);

// ---- For tell() ----------------------------------------------------------------------------------

// The container of a task, or of a network namespace, into event->owner; without one its id is "".
void tl_event_find_task(struct tl_event *event, const struct tl_event_task *task);
void tl_event_find_net(struct tl_event *event, uint32_t inum);
// Saves `data` (and frees it) as a record of event->owner.
void tl_event_save(struct tl_event *event, uint64_t time_ns, json_t *data);
// A line for each frame, "function+0x1f"; to be freed.
void tl_event_stack(const struct tl_event_stack *stack, struct tl_text *ret_text);
// Adds pid, tid and comm.
void tl_event_add_task(json_t *data, const struct tl_event_task *task);
// Adds type, device, namespace, length and the decoded headers of a packet; or its type only.
void tl_event_add_packet(json_t *data, const struct tl_event_packet *packet);
void tl_event_add_type(json_t *data, const struct tl_event_packet *packet);
const char *tl_event_tcp_state(uint32_t state);

// ---- For take(): event_perf.c --------------------------------------------------------------------

// A run without BPF: what tl_event_run() turns to. `refusal` is why there is none.
int tl_event_run_perf(struct tl_event *event, struct tl_ctx *ctx, int refusal);
// Counts an event, and says whether it is within the rate.
bool tl_event_may_tell(struct tl_event *event, uint64_t now_ns);
// Who ran when the sample was taken, and the kernel's part of its stack.
void tl_event_task_of(const struct tl_perf_sample *sample, struct tl_event_task *ret_task);
void tl_event_stack_of(const struct tl_perf_sample *sample, struct tl_event_stack *ret_stack);
// A number of the tracepoint's record; 0 where the field doesn't lie in it.
uint64_t tl_event_field(const struct tl_perf_sample *sample,
			const struct tl_tracepoint_field *field);
