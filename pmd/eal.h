// SPDX-License-Identifier: Apache-2.0
// The one start of DPDK's environment layer (EAL). All its arguments are decided here, from the
// affinity mask of the process and the memory there is; a user never types or sees them.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TL_RX_MAX 8u       // lcores that read ports for the workers
#define TL_LCORES_MAX 128u // RTE_MAX_LCORE of the distribution's build

struct tl_eal_options {
	uint32_t rx_lcores;       // up to TL_RX_MAX that distribute
	uint32_t workers;
	bool floats;              // leave the lcores to the scheduler: they may all wait
	uint64_t memory_bytes;    // for mbufs and rings
	const char *const *pci;   // addresses of the devices to probe
	uint32_t pci_count;
};

// Where an lcore runs.
struct tl_eal_lcore {
	uint32_t id;
	int cpu; // -1: floats over the whole affinity mask
};

struct tl_eal {
	struct tl_eal_lcore control;
	struct tl_eal_lcore rx[TL_RX_MAX];
	struct tl_eal_lcore worker[TL_LCORES_MAX];
	bool is_crowded; // more busy lcores than CPUs: idle loops must give way
	bool has_hugepages;
};

// CPUs the process may run on, at least 1.
uint32_t tl_eal_cpu_count(void);
// Bytes of memory the process may still use: the least of MemAvailable, cgroup and RLIMIT_AS.
uint64_t tl_eal_memory_available(void);
// Bytes of huge pages of 2 MiB that nobody has taken.
uint64_t tl_eal_hugepages_free(void);

// Starts EAL. Only once in a process. 0 or -errno with one line in `error`.
int tl_eal_start(const struct tl_eal_options *options, struct tl_eal *ret_eal, char *error,
		 uint32_t error_size);

// DPDK's own messages are never shown; the first error line since the last clear is kept to
// explain a failure. "" if there was none. Main thread.
void tl_eal_log_clear(void);
const char *tl_eal_log_text(void);
