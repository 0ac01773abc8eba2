// SPDX-License-Identifier: Apache-2.0
// One worker lcore: rx burst -> engine -> records and metrics, to completion, sharing nothing.
#pragma once

#include "base/ring.h"
#include "engine/engine.h"
#include "metrics/metrics.h"
#include "pmd/port.h"
#include "worker/idle.h"
#include "worker/merge.h"
#include "worker/steer.h"

#include <stdatomic.h>

// What the control lcore says to all lcores.
struct tl_signals {
	atomic_bool stop;    // sources end; what is queued is still worked off
	atomic_bool abandon; // nobody reads records any more: drop instead of waiting
	// Changes: what is wanted from this generation on. Written before the generation.
	_Atomic uint32_t generation;
	const struct tl_rules *rules;
};

struct tl_worker {
	// Set before launch, constant afterwards.
	struct tl_engine *engine;
	struct tl_worker_metrics *metrics; // NULL: none wanted; changed by the worker itself
	struct tl_ring *records;           // NULL: none wanted
	struct tl_port *const *ports;
	uint32_t port_count;
	uint32_t index;
	bool is_lossless;
	struct tl_merge *merge; // NULL: each port by itself
	struct tl_steer *steer; // NULL: every queue has whole conversations
	struct tl_signals *signals;
	struct tl_idle idle;
	struct tl_worker_scratch *scratch;
	// Written by control before it raises the generation.
	struct tl_worker_metrics *metrics_wanted;
	// Written by the worker, read by control.
	_Alignas(64) _Atomic uint64_t packets;
	struct tl_busy busy;
	_Atomic uint32_t taken; // generation of the changes that it works by
	atomic_bool is_running;
};

// Makes the engine, ring and scratch. 0 or -ENOMEM. `worker` is zeroed by the caller and has its
// constant members set, except those made here.
struct tl_worker_options {
	struct tl_engine_options engine;
	const struct tl_metrics_options *metrics;
	const struct tl_rules *rules;
	uint64_t record_ring_bytes; // 0: no records
	bool merges;                // ports with distributors, by stamp
	bool is_crowded;
};

int tl_worker_init(struct tl_worker *worker, const struct tl_worker_options *options);
void tl_worker_fini(struct tl_worker *worker);

// Leaves its metrics for those that are wanted. On its lcore, or on the main lcore when it has
// returned without doing so.
void tl_worker_take_metrics(struct tl_worker *worker);

// The lcore function; `arg` is the struct tl_worker. Returns when all ports are done.
int tl_worker_run(void *arg);
