// SPDX-License-Identifier: Apache-2.0
// One worker on made-up HTTP traffic, metrics on: roundtrips and packets per second, including
// the making of each packet on the same lcore. Each load has a process: EAL starts once.
//   bench_pipeline [--quick] [LOAD]   all loads, or the one of that name
#include "base/check.h"
#include "figure.h"
#include "l7/rules.h"
#include "pmd/eal.h"
#include "pmd/port.h"
#include "pmd/synthetic/synthetic.h"
#include "tests/support/options.h"
#include "worker/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_ethdev.h>

#define CONNECTIONS_MAX 65536u // of a load

static const struct tl_metrics_options metrics = {
	.series_max = 1 << 16,
	.series_per_family_max = 1 << 14,
	.label_values_max = 1024,
	.label_bytes_max = 128,
	.idle_ns = UINT64_C(600000000000),
	.l4_enabled = true,
};

struct load {
	const char *id;
	const char *of;
	struct tl_synthetic made;
};

static void fail(const char *error)
{
	(void)fprintf(stderr, "%s\n", error);
	exit(1);
}

// Wall time and the CPU time of all the process's threads, of which only one works.
static void report(const struct load *load, const struct tl_counters *c, uint64_t wall_ns,
		   uint64_t cpu_ns)
{
	double packets = (double)c->at[TL_COUNT_PACKETS_OFFERED];
	double records = (double)c->at[TL_COUNT_RECORDS];
	char id[64];

	(void)snprintf(id, sizeof(id), "%s_mpps", load->id);
	figure(id, packets / (double)wall_ns * 1e3, "Mpps", load->of);
	(void)snprintf(id, sizeof(id), "%s_cpu_per_packet", load->id);
	figure(id, (double)cpu_ns / packets, "ns", load->of);
	if (load->made.load != TL_SYNTHETIC_KEEP_ALIVE)
		return;
	(void)snprintf(id, sizeof(id), "%s_roundtrips", load->id);
	figure(id, records / (double)wall_ns * 1e3, "M/s", load->of);
	(void)snprintf(id, sizeof(id), "%s_cpu_per_roundtrip", load->id);
	figure(id, (double)cpu_ns / records, "ns", load->of);
}

static void measure(const struct load *load)
{
	const struct tl_port_spec port = {.synthetic = &load->made};
	struct tl_pipeline_options options = {
		.ports = &port,
		.port_count = 1,
		.workers = 1,
		.engine = test_engine_options(CONNECTIONS_MAX),
		.metrics = &metrics,
	};
	const struct tl_rules_spec spec = {0};
	const struct timespec pause = {.tv_nsec = 1000000};
	struct tl_pipeline *pipeline;
	struct tl_rules *rules;
	const char *failure;
	char error[256];

	options.engine.flow.tcp_idle_ns = UINT64_C(3600000000000);
	options.engine.flow.reorder_bytes_max = 16 << 20;
	options.engine.l7.message_bytes_max = options.engine.l7.carry_bytes_max = 64 << 20;
	if (tl_rules_create(&spec, &rules, error, sizeof(error)) < 0 ||
	    tl_pipeline_create(&options, rules, &pipeline, error, sizeof(error)) < 0)
		fail(error);
	uint64_t wall_ns = figure_clock_ns(CLOCK_MONOTONIC);
	uint64_t cpu_ns = figure_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	TL_ASSERT(tl_pipeline_start(pipeline) == 0);
	while (!tl_pipeline_is_finished(pipeline, &failure))
		(void)nanosleep(&pause, NULL);
	wall_ns = figure_clock_ns(CLOCK_MONOTONIC) - wall_ns;
	cpu_ns = figure_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
	const struct tl_counters *c = tl_engine_counters(tl_pipeline_engine(pipeline, 0));
	TL_ASSERT(c->at[TL_COUNT_PACKETS_OFFERED] == load->made.packets);
	report(load, c, wall_ns, cpu_ns);
	tl_pipeline_destroy(pipeline);
	tl_rules_destroy(rules);
}

// The source alone: packets made, received and freed, nothing else. It shares the worker's lcore
// in the figures above, which therefore contain it.
static void measure_source(const struct load *load)
{
	const struct tl_port_options options = {.name = "", .packets_max = 4096};
	const struct tl_eal_options eal = {
		.workers = 1, .floats = true,
		.memory_bytes = (4u << 20) + tl_port_memory(1, 4096, true),
	};
	struct tl_eal started;
	struct tl_port *port;
	struct rte_mbuf *mbufs[64];
	char error[256];

	if (tl_port_open_synthetic(&options, &load->made, &port, error, sizeof(error)) < 0 ||
	    tl_eal_start(&eal, &started, error, sizeof(error)) < 0)
		fail(error);
	if (port->ops->start(port, 1) < 0)
		fail(port->error);
	uint64_t cpu_ns = figure_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	while (!port->ops->is_done(port))
		rte_pktmbuf_free_bulk(mbufs, rte_eth_rx_burst(port->ethdev[0], 0, mbufs, 64));
	cpu_ns = figure_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
	char id[64];
	(void)snprintf(id, sizeof(id), "%s_source_per_packet", load->id);
	figure(id, (double)cpu_ns / (double)load->made.packets, "ns", load->of);
	port->ops->close(port);
}

// A process for each, as EAL starts once.
static void in_child(void (*run)(const struct load *load), const struct load *load)
{
	int status;

	(void)fflush(NULL);
	pid_t pid = fork();
	TL_ASSERT(pid >= 0);
	if (pid == 0) {
		run(load);
		(void)fflush(NULL);
		_exit(0);
	}
	TL_ASSERT(waitpid(pid, &status, 0) == pid);
	if (status != 0)
		exit(1);
}

int main(int argc, char **argv)
{
	static struct load loads[] = {
		{"http_1k", "keep-alive HTTP, small bodies, 1000 connections, metrics on",
		 {.load = TL_SYNTHETIC_KEEP_ALIVE, .flows = 1000, .packets = 8000000}},
		{"http_50k", "keep-alive HTTP, small bodies, 50000 connections, metrics on",
		 {.load = TL_SYNTHETIC_KEEP_ALIVE, .flows = 50000, .packets = 8000000}},
		{"bodies_1k", "1460-byte segments of long bodies, 1000 connections, metrics on",
		 {.load = TL_SYNTHETIC_BODIES, .flows = 1000, .packets = 16000000}},
	};
	bool is_quick = argc > 1 && strcmp(argv[1], "--quick") == 0;

	const char *only = argc > 1 + is_quick ? argv[1 + is_quick] : NULL;
	for (size_t i = 0; i < TL_COUNT_OF(loads); i++) {
		if (only != NULL && strcmp(only, loads[i].id) != 0)
			continue;
		if (is_quick)
			loads[i].made.packets /= 8;
		in_child(measure, &loads[i]);
		in_child(measure_source, &loads[i]);
	}
	return 0;
}
