// SPDX-License-Identifier: Apache-2.0
// A byte goes back and forth between two processes on one CPU, through two pipes: two switches of
// tasks and four system calls a round, and nothing else. tests/live/events_cost.py asks it what
// hooks in the kernel cost, again and again the same two processes: others would lie elsewhere in
// the caches.
//
// usage: bench_pipe [ROUNDS [--ask]]    a figure, or one for each byte of the standard input
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/figure.h"

#define BATCHES 61

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

// The median of batches, each of `rounds`: as long as they are shorter than a turn of the scheduler,
// what else the CPU did meanwhile is in few of them.
// 0: the other process ended.
static int measure(int there, int back, long rounds)
{
	static double took_ns[BATCHES];
	char byte;

	for (int i = 0; i < BATCHES; i++) {
		uint64_t began_ns = figure_clock_ns(CLOCK_MONOTONIC);
		long done = write(there, "x", 1) == 1 ? 1 : rounds + 1;
		while (done < rounds && pass_on(back, there))
			done++;
		if (done != rounds || read(back, &byte, 1) != 1)
			return 0;
		took_ns[i] = (double)(figure_clock_ns(CLOCK_MONOTONIC) - began_ns) / (double)rounds;
	}
	qsort(took_ns, BATCHES, sizeof(took_ns[0]), by_value);
	figure("pipe_round", took_ns[BATCHES / 2], "ns", "a byte there and back");
	return 1;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 200;
	int there[2], back[2], status = 0, is_good;
	cpu_set_t cpus;

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
