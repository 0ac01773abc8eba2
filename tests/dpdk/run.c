// SPDX-License-Identifier: Apache-2.0
#include "run.h"

#include "base/check.h"
#include "base/hash.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUN_SECONDS_MAX 60u

static uint64_t now_ns(void)
{
	struct timespec now;

	TL_ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t cpu_ns(void)
{
	struct timespec used;

	TL_ASSERT(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

static void restrict_process(const struct run_options *options)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (const char *at = options->cpus; at != NULL && *at != '\0'; at++) {
		if (*at >= '0' && *at <= '9')
			CPU_SET((size_t)(*at - '0'), &set);
	}
	if (CPU_COUNT(&set) > 0)
		TL_ASSERT(sched_setaffinity(0, sizeof(set), &set) == 0);
	if (options->memory_max > 0) {
		struct rlimit limit = {options->memory_max, options->memory_max};
		TL_ASSERT(setrlimit(RLIMIT_AS, &limit) == 0);
	}
	if (options->is_in_namespace) {
		TL_ASSERT(unshare(CLONE_NEWNET) == 0);
		TL_ASSERT(system("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6;"
				 "ip link set lo up; ip link add tl0 type veth peer name tl1 &&"
				 "ip link set tl0 up && ip link set tl1 up") == 0);
	}
	if (options->is_link_down)
		TL_ASSERT(system("ip link set tl0 down") == 0);
	if (options->uid != 0) {
		TL_ASSERT(setgroups(0, NULL) == 0);
		TL_ASSERT(setgid(options->uid) == 0 && setuid(options->uid) == 0);
		TL_ASSERT(unsetenv("HOME") == 0);
	}
}

struct traffic_thread {
	const struct run_options *options;
	bool is_over;
};

static void *send_traffic(void *arg)
{
	struct traffic_thread *traffic = arg;

	traffic->options->traffic(traffic->options->arg);
	__atomic_store_n(&traffic->is_over, true, __ATOMIC_RELEASE);
	return NULL;
}

// Of everything but what names the worker.
static uint64_t digest(const struct tl_roundtrip *record, uint32_t len)
{
	static _Alignas(8) uint8_t copy[1 << 20];
	struct tl_roundtrip *head = (struct tl_roundtrip *)(void *)copy;

	TL_ASSERT(len <= sizeof(copy) && len == record->size);
	memcpy(copy, record, len);
	head->worker = 0;
	head->serial = 0;
	return tl_hash64(copy, len, 0);
}

static uint64_t take_records(struct tl_pipeline *pipeline, struct run_result *result,
			     bool is_double)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < tl_pipeline_worker_count(pipeline); i++) {
		const struct tl_roundtrip *record;
		uint32_t len;
		while ((record = tl_ring_peek(tl_pipeline_records(pipeline, i), &len)) != NULL) {
			TL_ASSERT(len >= sizeof(*record) && record->worker == i);
			result->digests += is_double ? record->connection_id : digest(record, len);
			result->digests_timeless += record->serial;
			count++;
			tl_ring_release(tl_pipeline_records(pipeline, i));
		}
	}
	return count;
}

static void follow(struct tl_pipeline *pipeline, const struct run_options *options,
		   struct run_result *result, uint64_t start_ns)
{
	struct traffic_thread traffic = {.options = options};
	const struct timespec pause = {.tv_nsec = options->is_relaxed_reader ? 100000000
						  : options->is_slow_reader  ? 20000000
									     : 200000};
	const char *error = "";
	uint64_t stop_ns = options->stop_after_ns > 0 ? now_ns() + options->stop_after_ns : UINT64_MAX;
	pthread_t thread;

	if (options->traffic != NULL)
		TL_ASSERT(pthread_create(&thread, NULL, send_traffic, &traffic) == 0);
	for (bool is_last = false; !is_last;) {
		// Before the last look at the rings, not after it.
		is_last = tl_pipeline_is_finished(pipeline, &error);
		uint64_t count = take_records(pipeline, result, options->engine == NULL);
		if (count > 0 && result->records == 0)
			result->first_ns = now_ns() - start_ns;
		result->records += count;
		if ((options->stop_after > 0 && result->records >= options->stop_after) ||
		    now_ns() >= stop_ns || __atomic_load_n(&traffic.is_over, __ATOMIC_ACQUIRE))
			tl_pipeline_stop(pipeline);
		if (count == 0 || options->is_slow_reader)
			(void)nanosleep(&pause, NULL);
	}
	result->is_finished = true;
	(void)snprintf(result->error, sizeof(result->error), "%s", error);
	if (options->traffic != NULL)
		TL_ASSERT(pthread_join(thread, NULL) == 0);
}

static void report(struct tl_pipeline *pipeline, struct run_result *result, uint64_t start_ns)
{
	struct tl_lcore_status lcores[TL_LCORES_MAX];
	struct rusage usage;

	result->total_ns = now_ns() - start_ns;
	result->workers = tl_pipeline_worker_count(pipeline);
	for (uint32_t i = 0; i < result->workers; i++) {
		struct tl_counters *c = tl_engine_counters(tl_pipeline_engine(pipeline, i));
		result->offered += c->at[TL_COUNT_PACKETS_OFFERED];
		result->bytes_offered += c->at[TL_COUNT_BYTES_OFFERED];
		result->processed += c->at[TL_COUNT_PACKETS_PROCESSED];
		result->records_dropped += c->at[TL_COUNT_RECORDS_DROPPED];
	}
	TL_ASSERT(tl_pipeline_ports(pipeline, &result->port, 1) == 1);
	(void)snprintf(result->port_text, sizeof(result->port_text), "%s|%s|%s",
		       result->port.kind, result->port.link, result->port.name);
	uint32_t count = tl_pipeline_lcores(pipeline, lcores, TL_LCORES_MAX);
	uint64_t packets = 0;
	for (uint32_t i = 0; i < count; i++) {
		TL_ASSERT(lcores[i].busy >= 0 && lcores[i].busy <= 1);
		packets += strcmp(lcores[i].role, "worker") == 0 ? lcores[i].packets : 0;
	}
	TL_ASSERT(packets <= result->offered);
	TL_ASSERT(getrusage(RUSAGE_SELF, &usage) == 0);
	result->rss_max_bytes = (uint64_t)usage.ru_maxrss << 10;
}

static void child(const struct run_options *options, struct run_result *result)
{
	struct tl_pipeline_options pipeline_options = {
		.ports = &options->port,
		.port_count = 1,
		.workers = options->workers,
		.filter = options->filter,
		.snaplen = 262144,
		.buffer_bytes = 16 << 20,
		.promiscuous = true,
		.record_ring_bytes = options->ring_bytes,
		.packets_max = options->packets_max,
		.engine.defrag = {.datagrams_max = 64,
				  .bytes_max = 4 << 20,
				  .timeout_ns = UINT64_C(30000000000)},
		.want_records = true,
	};
	struct tl_pipeline *pipeline;

	if (options->engine != NULL)
		pipeline_options.engine = *options->engine;
	(void)alarm(RUN_SECONDS_MAX);
	restrict_process(options);
	uint64_t start_ns = now_ns();
	result->rc = tl_pipeline_create(&pipeline_options, options->rules, &pipeline, result->error,
					sizeof(result->error));
	if (result->rc == 0)
		result->rc = tl_pipeline_start(pipeline);
	if (result->rc != 0)
		return;
	uint64_t run_ns = now_ns();
	uint64_t used_ns = cpu_ns();
	follow(pipeline, options, result, start_ns);
	result->cpu_share = (double)(cpu_ns() - used_ns) / (double)(now_ns() - run_ns);
	report(pipeline, result, start_ns);
	tl_pipeline_destroy(pipeline);
}

void run_pipeline(const struct run_options *options, struct run_result *ret_result)
{
	struct run_result *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	TL_ASSERT(shared != MAP_FAILED);
	(void)fflush(NULL);
	pid_t pid = fork();
	TL_ASSERT(pid >= 0);
	if (pid == 0) {
		child(options, shared);
		_exit(0);
	}
	TL_ASSERT(waitpid(pid, &status, 0) == pid);
	*ret_result = *shared;
	(void)munmap(shared, sizeof(*shared));
	if (status != 0) {
		(void)fprintf(stderr, "the run died, wait status 0x%x\n", (unsigned int)status);
		abort();
	}
}
