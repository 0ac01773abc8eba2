// SPDX-License-Identifier: Apache-2.0
// A byte goes back and forth between two processes on one CPU, through two pipes: two switches of
// tasks and four system calls a round, and nothing else. tests/live/events_cost.py asks it what
// hooks in the kernel cost, again and again the same two processes: others would lie elsewhere in
// the caches.
//
// The host of a virtual machine gives it half or all of its speed from one moment to the next. A
// system call that no hook sees is timed beside each batch: a round in such calls is what stays.
//
// usage: bench_pipe [ROUNDS [--ask]]    figures, or some for each byte of the standard input
//        bench_pipe --calls             the call alone for each byte, half a second long
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/figure.h"

#define BATCHES 1001
#define CALLS 1000u           // beside a batch
#define CALL_BATCHES 201      // of calls alone
#define CALL_PAUSE_US 2000u   // between them, so that they take no CPU from a load

// Reads from one pipe and writes to the other; 0 when one of them ended.
static int pass_on(int from, int to)
{
	char byte;

	return read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1;
}

static int by_value(const void *a, const void *b)
{
	const double *left = a, *right = b;

	return *left < *right ? -1 : *left > *right;
}

// CPU time of a call.
static double call_ns(void)
{
	uint64_t began_ns = figure_clock_ns(CLOCK_THREAD_CPUTIME_ID);

	for (uint32_t i = 0; i < CALLS; i++)
		(void)syscall(SYS_getppid);
	return (double)(figure_clock_ns(CLOCK_THREAD_CPUTIME_ID) - began_ns) / CALLS;
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(values[0]), by_value);
	return values[count / 2];
}

static void measure_calls(void)
{
	static double took_ns[CALL_BATCHES];

	for (int i = 0; i < CALL_BATCHES; i++) {
		(void)usleep(CALL_PAUSE_US);
		took_ns[i] = call_ns();
	}
	figure("call", median(took_ns, CALL_BATCHES) * 1000, "ps", "getppid()");
}

// The median of batches, each of `rounds`: as long as they are shorter than a turn of the scheduler,
// what else the CPU did meanwhile is in few of them.
// 0: the other process ended.
static int measure(int there, int back, long rounds)
{
	static double took_ns[BATCHES], in_calls[BATCHES];
	char byte;

	for (int i = 0; i < BATCHES; i++) {
		uint64_t began_ns = figure_clock_ns(CLOCK_MONOTONIC);
		long done = write(there, "x", 1) == 1 ? 1 : rounds + 1;
		while (done < rounds && pass_on(back, there))
			done++;
		if (done != rounds || read(back, &byte, 1) != 1)
			return 0;
		took_ns[i] = (double)(figure_clock_ns(CLOCK_MONOTONIC) - began_ns) / (double)rounds;
		in_calls[i] = took_ns[i] / call_ns();
	}
	figure("pipe_round", median(took_ns, BATCHES), "ns", "a byte there and back");
	figure("pipe_round_permille", median(in_calls, BATCHES) * 1000, "1",
	       "the same in thousandths of a getppid()");
	return 1;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 200;
	int there[2], back[2], status = 0, is_good;
	cpu_set_t cpus;

	if (argc > 1 && strcmp(argv[1], "--calls") == 0) {
		while (getchar() != EOF)
			measure_calls();
		return 0;
	}
	CPU_ZERO(&cpus);
	CPU_SET((size_t)sched_getcpu(), &cpus);
	if (rounds < 1 || sched_setaffinity(0, sizeof(cpus), &cpus) != 0 || pipe(there) != 0 ||
	    pipe(back) != 0)
		return 1;
	pid_t child = fork();
	if (child < 0)
		return 1;
	if (child == 0) {
		(void)close(there[1]);
		while (pass_on(there[0], back[1]))
			;
		_exit(0);
	}
	(void)close(there[0]);
	if (argc > 2)
		for (is_good = 1; is_good && getchar() != EOF;)
			is_good = measure(there[1], back[0], rounds);
	else
		is_good = measure(there[1], back[0], rounds);
	(void)close(there[1]);
	(void)waitpid(child, &status, 0);
	return is_good ? 0 : 1;
}
