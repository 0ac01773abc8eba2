// SPDX-License-Identifier: Apache-2.0
// The running probe below the control lcore: EAL, ports, rx and worker lcores, record rings.
// One per process (EAL can be started once). Everything here runs on the main thread unless it
// says otherwise.
#pragma once

#include "base/option.h"
#include "base/ring.h"
#include "engine/engine.h"
#include "metrics/metrics.h"
#include "pmd/loss.h"
#include "worker/idle.h"

struct tl_synthetic;

// Where packets come from: exactly one of the members is set.
struct tl_port_spec {
	const char *name;      // for people, "" takes it from below
	const char *file;      // capture file, "-" for standard input
	const char *const *files; // ... or several, read as one in the order of their stamps
	uint32_t file_count;
	const char *interface; // Linux interface or "any"
	const char *devargs;   // DPDK vdev: "net_af_packet0,iface=eth1"
	const char *pci;       // PCI address: "0000:03:00.0"
	const struct tl_synthetic *synthetic; // benchmarks: traffic made in memory
};

struct tl_pipeline_options {
	const struct tl_port_spec *ports;
	uint32_t port_count;
	uint32_t readers;        // of each interface; 0 and 1: one
	uint32_t workers;        // 0: the default (1 live, min(4, CPUs - 1) for files)
	const char *filter;      // pcap-filter expression, "" for none
	uint32_t snaplen;
	uint64_t buffer_bytes;   // kernel capture buffer per interface
	bool promiscuous;
	uint32_t idle;           // enum tl_idle_policy
	uint64_t record_ring_bytes; // per worker
	uint64_t packets_max;    // mbufs per worker, 0: sized to the memory there is
	struct tl_engine_options engine;
	const struct tl_metrics_options *metrics; // NULL: no metrics
	bool want_records;       // fill the record rings
	uint64_t duration_ns;    // files end this much packet time after their first packet, 0: never
};

struct tl_pipeline;

// Opens the ports and starts EAL, but no lcore yet. On failure -errno and one line in `error`
// that says what is wrong and how to mend it: -EPERM, -ENODEV and -EBUSY mean that
// nothing could be captured (exit status 3), -EBADMSG a capture file that can't be read (also a
// missing one), -EINVAL an unusable option.
int tl_pipeline_create(const struct tl_pipeline_options *options, const struct tl_rules *rules,
		       struct tl_pipeline **ret_pipeline, char *error, uint32_t error_size);
// Launches the lcores.
int tl_pipeline_start(struct tl_pipeline *pipeline);
// Asks for an orderly end: sources stop, workers finish what is queued and flush their flows.
void tl_pipeline_stop(struct tl_pipeline *pipeline);
// All lcores have returned (end of input, failure or stop). `ret_error` gets the failed port's
// line, "" if all went well.
bool tl_pipeline_is_finished(struct tl_pipeline *pipeline, const char **ret_error);
// Joins the lcores if they still run, frees everything. EAL stays (it can't be started again).
void tl_pipeline_destroy(struct tl_pipeline *pipeline);

uint32_t tl_pipeline_worker_count(const struct tl_pipeline *pipeline);
struct tl_ring *tl_pipeline_records(struct tl_pipeline *pipeline, uint32_t worker);
struct tl_worker_metrics *const *tl_pipeline_worker_metrics(struct tl_pipeline *pipeline);
// Only after the pipeline has finished, or for values that may be torn.
struct tl_engine *tl_pipeline_engine(struct tl_pipeline *pipeline, uint32_t worker);

// Whether an expression is one, before anything is done with it: 0, or -EINVAL and a line in `error`.
int tl_pipeline_check_filter(const char *filter, char *error, uint32_t error_size);

// Whether each of the ports can be one, and none is there twice: its packets would be counted twice. 0,
// or -EINVAL and a line in `error`. What is missing or not allowed shows when they are opened.
int tl_pipeline_check_ports(const struct tl_port_spec *ports, uint32_t count, char *error,
			    uint32_t error_size);

// ---- Changes while it runs: asked for here, taken by the lcores between two bursts -----------
// Whoever waits for that goes on reading records: a lossless worker may be waiting for room.

// Other rules, and other metrics (one per worker; NULL: the present ones stay).
void tl_pipeline_ask(struct tl_pipeline *pipeline, const struct tl_rules *rules,
		     struct tl_worker_metrics *const *metrics);
// Every worker works by what was asked for last: what was there before may be freed.
bool tl_pipeline_has_taken(struct tl_pipeline *pipeline);

// Another filter for all ports, "" for none. -ENOTSUP when a port can't, -EBUSY while the last one has
// not been taken, -ENOMEM; each with a line in `error`.
int tl_pipeline_ask_filter(struct tl_pipeline *pipeline, const char *filter, char *error,
			   uint32_t error_size);
// 1: every port has taken it; 0: not yet; -errno and a line in `error` when a port refused it, then
// all ports have the one before.
int tl_pipeline_filter_taken(struct tl_pipeline *pipeline, char *error, uint32_t error_size);

struct tl_lcore_status {
	const char *role;  // "control", "rx", "worker"
	int cpu;           // -1: floating
	uint32_t lcore;
	const char *port;  // names, comma-separated; "" for control
	uint32_t queue;
	uint64_t packets;
	double busy;       // share of the last span of half a second or more that was not idle, 0..1
};

#define TL_LCORES_MAX 128u // the control lcore, all that read, all workers

#define TL_PORT_LOSSES_MAX 16u

struct tl_port_status {
	const char *name;
	const char *kind;
	// The meaning of these is in pmd/port.h, and how they add up.
	uint64_t received, bytes, kernel_dropped, filtered, ring_dropped, pool_dropped, cut, queued;
	uint64_t file_read, file_size;
	uint64_t overlooked_tags;
	struct tl_defrag_stats fragments;
	const char *link;  // link type or state in words
	const char *error;
	bool is_up;        // it has a link, and did not fail
	const char *stamps; // where time stamps come from, in words
	// Ports whose queues are polled by several workers: whether both directions of a conversation
	// come on one queue, in a word ("symmetric", "asymmetric", "unknown") and in a sentence, and
	// the packets that a worker read and handed to another. NULL for other ports.
	const char *spread;
	char spread_text[320];
	uint64_t steered;
	struct tl_port_loss losses[TL_PORT_LOSSES_MAX]; // the driver's own counters
	uint32_t loss_count;
};

uint32_t tl_pipeline_lcores(struct tl_pipeline *pipeline, struct tl_lcore_status *ret, uint32_t max);
uint32_t tl_pipeline_ports(struct tl_pipeline *pipeline, struct tl_port_status *ret, uint32_t max);
