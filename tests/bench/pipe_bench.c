// SPDX-License-Identifier: Apache-2.0
// A byte goes back and forth between two processes on one CPU, through two pipes: two switches of
// tasks and four system calls a round, and nothing else. tests/live/events_cost.py asks it what
// hooks in the kernel cost.
//
// usage: bench_pipe [ROUNDS]
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/figure.h"

// Reads from one pipe and writes to the other; 0 when one of them ended.
static int pass_on(int from, int to)
{
	char byte;

	return read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 50000;
	int there[2], back[2], status = 0;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)sched_getcpu(), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0 || pipe(there) != 0 || pipe(back) != 0)
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
	uint64_t began_ns = figure_clock_ns(CLOCK_MONOTONIC);
	long done = write(there[1], "x", 1) == 1 ? 0 : rounds + 1;
	while (done < rounds && pass_on(back[0], there[1]))
		done++;
	uint64_t took_ns = figure_clock_ns(CLOCK_MONOTONIC) - began_ns;
	(void)close(there[1]);
	(void)waitpid(child, &status, 0);
	if (done != rounds)
		return 1;
	figure("pipe_round", (double)took_ns / (double)rounds, "ns", "a byte there and back");
	return 0;
}
