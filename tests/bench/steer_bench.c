// SPDX-License-Identifier: Apache-2.0
// What it costs that a device parts conversations (src/worker/steer.h): one worker reads everything
// and hands half of it, every other conversation, to a second one. Both are played by one thread, so
// that the figure is the work of all lcores for a packet, without what passes from cache to cache.
// The packets are made between the batches that are measured.
//   bench_steer [--quick] [off|on]   both, or one of them without a process of its own (for callgrind)
#include "base/check.h"
#include "figure.h"
#include "l7/rules.h"
#include "pmd/eal.h"
#include "pmd/synthetic/synthetic.h"
#include "tests/support/options.h"
#include "worker/steer.h"
#include "worker/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_ethdev.h>

#define WORKERS 2u
#define PACKETS_MAX 4096u
#define FLOWS 1000u
#define BATCH 2048u
#define BATCHES_MAX 2000u
#define BATCHES_QUICK 50u

struct bench {
	struct tl_port *port;
	struct tl_steer *steer; // NULL: off
	struct tl_rules *rules;
	struct tl_engine *engines[WORKERS];
	struct rte_mbuf *mbufs[BATCH]; // made, not worked off
	struct tl_packet packets[TL_BURST_MAX];
	struct tl_chunk chunks[TL_BURST_MAX * TL_CHUNKS_MAX];
	uint8_t headers[TL_BURST_MAX][TL_HEADERS_BYTES_MAX];
};

static void fail(const char *error)
{
	(void)fprintf(stderr, "%s\n", error);
	exit(1);
}

static void no_record(void *arg, const struct tl_roundtrip *record)
{
	(void)arg;
	(void)record;
}

static void process(struct bench *b, uint32_t worker, struct rte_mbuf **mbufs, uint32_t count)
{
	struct tl_chunk *chunk = b->chunks;

	for (uint32_t i = 0; i < count; i++) {
		tl_view(mbufs[i], 0, chunk, b->headers[i], &b->packets[i]);
		chunk += b->packets[i].chunk_count;
	}
	tl_engine_burst(b->engines[worker], b->packets, count);
	rte_pktmbuf_free_bulk(mbufs, count);
}

static void burst(struct bench *b, struct rte_mbuf **mbufs, uint32_t count)
{
	struct rte_mbuf *taken[TL_BURST_MAX];

	if (b->steer == NULL) {
		process(b, 0, mbufs, count);
		return;
	}
	tl_steer_sort(b->steer, 0, 0, mbufs, count);
	for (uint32_t worker = 0; worker < WORKERS; worker++)
		while ((count = tl_steer_take(b->steer, worker, taken, TL_BURST_MAX)) > 0)
			process(b, worker, taken, count);
}

// What is measured, and a name for tools that count instructions.
__attribute__((noipa)) static void work(struct bench *b, uint32_t count)
{
	for (uint32_t at = 0; at < count; at += TL_BURST_MAX)
		burst(b, &b->mbufs[at], count - at < TL_BURST_MAX ? count - at : TL_BURST_MAX);
}

static void set_up(struct bench *b, const struct tl_synthetic *made, bool steers)
{
	const struct tl_port_options options = {.name = "", .packets_max = PACKETS_MAX};
	const struct tl_eal_options eal = {
		.workers = 1, .floats = true,
		.memory_bytes = (4u << 20) + tl_port_memory(1, PACKETS_MAX, true),
	};
	const struct tl_rules_spec spec = {0};
	struct tl_engine_options engine = test_engine_options(FLOWS * 2);
	struct tl_eal started;
	char error[256];

	if (tl_port_open_synthetic(&options, made, &b->port, error, sizeof(error)) < 0 ||
	    tl_eal_start(&eal, &started, error, sizeof(error)) < 0 ||
	    tl_rules_create(&spec, &b->rules, error, sizeof(error)) < 0)
		fail(error);
	if (b->port->ops->start(b->port, 1) < 0)
		fail(b->port->error);
	engine.l7.message_bytes_max = engine.l7.carry_bytes_max = 16 << 20;
	for (uint32_t i = 0; i < WORKERS; i++) {
		b->engines[i] = tl_engine_create(&engine, b->rules, no_record, NULL);
		TL_ASSERT(b->engines[i] != NULL);
	}
	if (!steers)
		return;
	b->port->queue[1] = 1;
	b->steer = tl_steer_create(&(struct tl_steer_options) {
		.ports = &b->port, .port_count = 1, .workers = WORKERS, .packets_max = PACKETS_MAX,
		.seed = 1, .is_lossless = true, .defrag = engine.defrag});
	TL_ASSERT(b->steer != NULL);
	tl_steer_clock(b->steer, 1, 0, UINT64_MAX); // nothing comes on its own queue
}

static void tear_down(struct bench *b)
{
	tl_steer_destroy(b->steer);
	for (uint32_t i = 0; i < WORKERS; i++)
		tl_engine_destroy(b->engines[i]);
	tl_rules_destroy(b->rules);
	b->port->ops->close(b->port);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void make(struct bench *b)
{
	for (uint32_t made = 0; made < BATCH;)
		made += rte_eth_rx_burst(b->port->ethdev[0], 0, &b->mbufs[made], TL_BURST_MAX);
}

static void check(const struct bench *b, uint64_t packets)
{
	uint64_t processed = 0, records = 0;

	for (uint32_t i = 0; i < WORKERS; i++) {
		const struct tl_counters *c = tl_engine_counters(b->engines[i]);
		processed += c->at[TL_COUNT_PACKETS_PROCESSED];
		records += c->at[TL_COUNT_RECORDS];
	}
	TL_ASSERT(processed == packets && records > packets / 3);
}

static void measure(bool steers, uint32_t batches)
{
	static struct bench b;
	static uint64_t spent_ns[BATCHES_MAX];
	const uint64_t packets = (uint64_t)batches * BATCH;
	const struct tl_synthetic made = {
		.load = TL_SYNTHETIC_KEEP_ALIVE, .flows = FLOWS, .packets = packets};
	char id[64], of[128];

	set_up(&b, &made, steers);
	for (uint32_t i = 0; i < batches; i++) {
		make(&b);
		uint64_t began_ns = figure_clock_ns(CLOCK_THREAD_CPUTIME_ID);
		work(&b, BATCH);
		spent_ns[i] = figure_clock_ns(CLOCK_THREAD_CPUTIME_ID) - began_ns;
	}
	check(&b, packets);
	qsort(spent_ns, batches, sizeof(spent_ns[0]), by_size);
	(void)snprintf(id, sizeof(id), "steer_%s_mpps", steers ? "on" : "off");
	(void)snprintf(of, sizeof(of), "keep-alive HTTP, %u connections, engine without metrics, %s",
		       FLOWS, steers ? "half of the packets handed over" : "one worker alone");
	figure(id, (double)BATCH / (double)spent_ns[batches / 2] * 1e3, "Mpps", of);
	(void)snprintf(id, sizeof(id), "steer_%s_packets", steers ? "on" : "off");
	figure(id, (double)packets, "1", "packets in all, for tools");
	tear_down(&b);
}

// A process for each, as EAL starts once.
static void in_child(bool steers, uint32_t batches)
{
	int status;

	(void)fflush(NULL);
	pid_t pid = fork();
	TL_ASSERT(pid >= 0);
	if (pid == 0) {
		measure(steers, batches);
		(void)fflush(NULL);
		_exit(0);
	}
	TL_ASSERT(waitpid(pid, &status, 0) == pid);
	if (status != 0)
		exit(1);
}

int main(int argc, char **argv)
{
	bool is_quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
	const char *only = argc > 1 + is_quick ? argv[1 + is_quick] : NULL;
	uint32_t batches = is_quick ? BATCHES_QUICK : BATCHES_MAX;

	if (only != NULL) {
		measure(strcmp(only, "on") == 0, batches);
		return 0;
	}
	in_child(false, batches);
	in_child(true, batches);
	return 0;
}
