// SPDX-License-Identifier: Apache-2.0
// One run of a pipeline in a process of its own: EAL starts once in a process.
#pragma once

#include "worker/pipeline.h"

#include <sys/types.h>

struct run_options {
	struct tl_port_spec port;
	uint32_t workers;
	const struct tl_engine_options *engine; // NULL: what the counting double needs
	const struct tl_rules *rules;
	const char *filter;
	const char *cpus;          // CPU numbers to stay on, "" for all
	uid_t uid;                 // run as, 0: whoever starts the tests
	uint64_t memory_max;       // RLIMIT_AS, 0: none
	uint64_t ring_bytes;       // record ring, 0: 1 MiB
	uint64_t packets_max;      // mbufs per worker, 0: chosen
	uint64_t stop_after;       // records after which the pipeline is stopped, 0: never
	uint64_t stop_after_ns;    // or time
	bool is_slow_reader;       // takes records with pauses
	bool is_relaxed_reader;    // looks for records ten times a second
	bool is_link_down;         // with a namespace: leaves tl0 down
	bool is_in_namespace;      // a network namespace of its own with the link tl0 - tl1
	void (*traffic)(void *arg); // started in a thread when the lcores run; afterwards: stop
	void *arg;
};

struct run_result {
	int rc;              // of create or start
	char error[512];     // its line, or that of the end
	bool is_finished;
	uint32_t workers;
	uint64_t records;
	uint64_t digests;    // sums over the records: of the double's own, else of all bytes
	uint64_t digests_timeless;
	uint64_t offered;    // counters, added up over the workers
	uint64_t bytes_offered;
	uint64_t processed;
	uint64_t records_dropped;
	uint64_t first_ns;   // from the begin of create to the first record
	uint64_t total_ns;
	uint64_t rss_max_bytes;
	double cpu_share;    // CPU time of the process per second, without its start
	struct tl_port_status port;
	char port_text[128]; // its kind, link and name
};

// Runs to the end of input or to the stop. Aborts the test when the child dies.
void run_pipeline(const struct run_options *options, struct run_result *ret_result);
