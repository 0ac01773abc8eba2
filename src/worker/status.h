// SPDX-License-Identifier: Apache-2.0
// The pipeline's own data, for pipeline.c and status.c.
#pragma once

#include "pmd/eal.h"
#include "pmd/port.h"
#include "worker/pipeline.h"
#include "worker/worker.h"

// An lcore that reads ports for the workers.
struct tl_rx {
	struct tl_pipeline *pipeline;
	uint32_t index;
	struct tl_idle idle;
	struct tl_busy busy;
	atomic_bool is_running;
	_Atomic uint32_t waits_for; // the change of the filter that it lets happen
};

struct tl_pipeline {
	struct tl_port *ports[TL_PORTS_MAX];
	uint32_t port_count;
	uint32_t worker_count;
	uint32_t workers_ready; // those that were initialised
	bool is_lossless;
	bool is_started;
	struct tl_eal eal;
	struct tl_steer *steer; // NULL: workers need not hand packets to each other
	struct tl_signals signals;
	// the rx lcores
	bool has_rx;
	uint32_t rx_count;
	struct tl_rx rx[TL_RX_MAX];
	// the filter: control writes what it wants, then asks; rx writes the outcome, then answers
	_Atomic uint32_t filter_asked;
	_Atomic uint32_t filter_answered;
	char *filter_wanted;
	char *filter; // of all ports
	int filter_rc;
	char filter_error[256];
	// status: the busy shares of the last span that was long enough, and where the next one began
	uint64_t status_tsc;
	struct {
		uint64_t cycles;
		double share;
	} status_busy[TL_WORKERS_MAX + TL_RX_MAX]; // the last are the rx lcores'
	char port_names[256];
	struct tl_worker_metrics *metrics[TL_WORKERS_MAX];
	struct tl_worker *workers; // worker_count
};
