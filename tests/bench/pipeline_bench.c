// SPDX-License-Identifier: Apache-2.0
// One worker on made-up HTTP traffic, metrics on: roundtrips and packets per second, including
// the making of each packet on the same lcore. Each load has a process: EAL starts once.
#include "base/check.h"
#include "l7/rules.h"
#include "pmd/synthetic/synthetic.h"
#include "worker/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(void)
{
	struct timespec now;

	TL_ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static const struct tl_engine_options engine = {
	.defrag = {.datagrams_max = 64, .bytes_max = 1 << 20, .timeout_ns = UINT64_C(30000000000)},
	.flow = {
		.flows_max = 1 << 17,
		.syn_max = 1 << 16,
		.tcp_idle_ns = UINT64_C(3600000000000),
		.tcp_closed_ns = UINT64_C(2000000000),
		.udp_idle_ns = UINT64_C(60000000000),
		.syn_idle_ns = UINT64_C(30000000000),
		.reorder_bytes_max = 16 << 20,
		.reorder_flow_bytes_max = 1 << 20,
		.gap_seen_ns = UINT64_C(20000000),
		.gap_silent_ns = UINT64_C(200000000),
		.gap_one_sided_ns = UINT64_C(200000000),
		.duplicate_ns = UINT64_C(1000000),
	},
	.l7 = {
		.connections_max = 1 << 16,
		.exchanges_max = 1 << 16,
		.exchanges_per_connection_max = 256,
		.message_bytes_max = 64 << 20,
		.carry_bytes_max = 64 << 20,
		.detect_bytes_max = 4096,
		.detect_packets_max = 16,
	},
};

static const struct tl_metrics_options metrics = {
	.series_max = 1 << 16,
	.series_per_family_max = 1 << 14,
	.label_values_max = 1024,
	.label_bytes_max = 128,
	.idle_ns = UINT64_C(600000000000),
	.l4_enabled = true,
};

static void measure(const char *what, const struct tl_synthetic *load)
{
	const struct tl_port_spec port = {.synthetic = load};
	const struct tl_pipeline_options options = {
		.ports = &port,
		.port_count = 1,
		.workers = 1,
		.engine = engine,
		.metrics = &metrics,
	};
	const struct tl_rules_spec spec = {0};
	const struct timespec pause = {.tv_nsec = 1000000};
	struct tl_pipeline *pipeline;
	struct tl_rules *rules;
	const char *failure;
	char error[256];

	if (tl_rules_create(&spec, &rules, error, sizeof(error)) < 0 ||
	    tl_pipeline_create(&options, rules, &pipeline, error, sizeof(error)) < 0) {
		(void)fprintf(stderr, "%s\n", error);
		exit(1);
	}
	double begin = seconds();
	TL_ASSERT(tl_pipeline_start(pipeline) == 0);
	while (!tl_pipeline_is_finished(pipeline, &failure))
		(void)nanosleep(&pause, NULL);
	double took = seconds() - begin;
	const struct tl_counters *c = tl_engine_counters(tl_pipeline_engine(pipeline, 0));
	printf("%s, %u connections: %.2f Mpps, %.2f M roundtrips/s, %.2f GB/s (%.0f ns a packet)\n",
	       what, load->flows, (double)c->at[TL_COUNT_PACKETS_OFFERED] / took / 1e6,
	       (double)c->at[TL_COUNT_RECORDS] / took / 1e6,
	       (double)c->at[TL_COUNT_BYTES_OFFERED] / took / 1e9,
	       took * 1e9 / (double)c->at[TL_COUNT_PACKETS_OFFERED]);
	tl_pipeline_destroy(pipeline);
	tl_rules_destroy(rules);
}

int main(void)
{
	static const struct {
		const char *what;
		struct tl_synthetic load;
	} loads[] = {
		{"keep-alive, small bodies",
		 {.load = TL_SYNTHETIC_KEEP_ALIVE, .flows = 1000, .packets = 4000000}},
		{"keep-alive, small bodies",
		 {.load = TL_SYNTHETIC_KEEP_ALIVE, .flows = 50000, .packets = 4000000}},
		{"1460-byte segments of long bodies",
		 {.load = TL_SYNTHETIC_BODIES, .flows = 1000, .packets = 10000000}},
	};

	for (size_t i = 0; i < TL_COUNT_OF(loads); i++) {
		int status;
		(void)fflush(NULL);
		pid_t pid = fork();
		TL_ASSERT(pid >= 0);
		if (pid == 0) {
			measure(loads[i].what, &loads[i].load);
			(void)fflush(NULL);
			_exit(0);
		}
		TL_ASSERT(waitpid(pid, &status, 0) == pid);
		if (status != 0)
			return 1;
	}
	return 0;
}
