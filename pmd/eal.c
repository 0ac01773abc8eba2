// SPDX-License-Identifier: Apache-2.0
#include "pmd/eal.h"

#include "base/check.h"
#include "pmd/port.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#ifndef MAP_HUGE_2MB
#include <linux/mman.h>
#endif

#define EAL_ARGS_MAX (24 + 2 * TL_PORTS_MAX)
#define EAL_LCORES_TEXT_MAX 65536u
#define EAL_CPUS_TEXT_MAX 4096u
#define EAL_HUGEPAGE_BYTES (UINT64_C(2) << 20)

int tl_mbuf_meta_offset = -1;

int tl_mbuf_meta_register(void)
{
	static const struct rte_mbuf_dynfield field = {
		.name = "tapline_meta",
		.size = sizeof(struct tl_mbuf_meta),
		.align = 4,
	};
	// At the very start of the area: wherever else it were put, the aligned eight bytes of a
	// driver's time stamp might not fit any more.
	int offset = rte_mbuf_dynfield_register_offset(
		&field, offsetof(struct rte_mbuf, dynfield1));
	if (offset < 0)
		offset = rte_mbuf_dynfield_register(&field);
	if (offset < 0)
		return -rte_errno;
	tl_mbuf_meta_offset = offset;
	return 0;
}

// ---- What there is -------------------------------------------------------------------------

static uint32_t cpus_allowed(cpu_set_t *ret_set)
{
	CPU_ZERO(ret_set);
	if (sched_getaffinity(0, sizeof(*ret_set), ret_set) != 0 || CPU_COUNT(ret_set) == 0)
		CPU_SET(0, ret_set);
	return (uint32_t)CPU_COUNT(ret_set);
}

uint32_t tl_eal_cpu_count(void)
{
	cpu_set_t set;
	return cpus_allowed(&set);
}

// The first number in a one-line file; `missing` when there is none ("max" included).
static uint64_t number_in_file(const char *path, uint64_t missing)
{
	FILE *file = fopen(path, "re");
	uint64_t value;

	if (file == NULL)
		return missing;
	if (fscanf(file, "%" SCNu64, &value) != 1)
		value = missing;
	(void)fclose(file);
	return value;
}

static uint64_t memory_of_system(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kib = UINT64_MAX >> 10;

	if (file == NULL)
		return UINT64_MAX;
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			break;
	}
	(void)fclose(file);
	return kib << 10;
}

// What the process's cgroup (version 2) leaves; ancestors may be tighter, hence the walk up.
static uint64_t memory_of_cgroup(void)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_MAX];
	char path[PATH_MAX + 64];
	uint64_t least = UINT64_MAX;

	if (file == NULL)
		return UINT64_MAX;
	bool found = false;
	while (!found && fgets(line, sizeof(line), file) != NULL)
		found = strncmp(line, "0::/", 4) == 0;
	(void)fclose(file);
	if (!found)
		return UINT64_MAX;
	line[strcspn(line, "\n")] = '\0';
	char *group = line + 3;
	for (char *end = group + strlen(group); end >= group; end--) {
		if (*end != '/' && *end != '\0')
			continue;
		*end = '\0';
		(void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", group);
		uint64_t max = number_in_file(path, UINT64_MAX);
		(void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.current", group);
		uint64_t used = number_in_file(path, 0);
		if (max != UINT64_MAX) {
			uint64_t left = max > used ? max - used : 0;
			least = left < least ? left : least;
		}
	}
	return least;
}

uint64_t tl_eal_memory_available(void)
{
	struct rlimit limit;
	uint64_t least = memory_of_system();
	uint64_t other = memory_of_cgroup();

	least = other < least ? other : least;
	if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		least = limit.rlim_cur < least ? limit.rlim_cur : least;
	return least;
}

uint64_t tl_eal_hugepages_free(void)
{
	return EAL_HUGEPAGE_BYTES *
	       number_in_file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", 0);
}

// ---- DPDK's messages -----------------------------------------------------------------------

static struct {
	FILE *stream;
	char first[192]; // the first line since the last clear
	uint32_t len;
	bool is_complete;
} eal_log;

static ssize_t log_write(void *cookie, const char *text, size_t size)
{
	(void)cookie;
	for (size_t i = 0; i < size && !eal_log.is_complete; i++) {
		if (text[i] == '\n')
			eal_log.is_complete = eal_log.len > 0;
		else if (eal_log.len < sizeof(eal_log.first) - 1)
			eal_log.first[eal_log.len++] = text[i];
	}
	return (ssize_t)size;
}

static void log_open(void)
{
	if (eal_log.stream != NULL)
		return;
	eal_log.stream = fopencookie(NULL, "w", (cookie_io_functions_t) {.write = log_write});
	if (eal_log.stream == NULL)
		return;
	(void)setvbuf(eal_log.stream, NULL, _IONBF, 0);
	(void)rte_openlog_stream(eal_log.stream);
}

void tl_eal_log_clear(void)
{
	if (eal_log.stream == NULL)
		return;
	flockfile(eal_log.stream);
	memset(eal_log.first, 0, sizeof(eal_log.first));
	eal_log.len = 0;
	eal_log.is_complete = false;
	funlockfile(eal_log.stream);
}

const char *tl_eal_log_text(void)
{
	return eal_log.first;
}

// ---- Arguments -----------------------------------------------------------------------------

struct eal_args {
	char *argv[EAL_ARGS_MAX + 1];
	int argc;
	char lcores[EAL_LCORES_TEXT_MAX];
	char memory[24];
};

static void args_add(struct eal_args *args, const char *arg)
{
	TL_ASSERT(args->argc < (int)EAL_ARGS_MAX);
	// EAL's getopt only permutes the pointers; it never writes to the strings.
	args->argv[args->argc++] = (char *)(uintptr_t)arg;
}

// "(0-3,8)": the CPUs of the mask the way EAL reads them.
static void cpus_text(const cpu_set_t *set, char *ret, size_t size)
{
	size_t at = (size_t)snprintf(ret, size, "(");

	for (size_t cpu = 0; cpu < CPU_SETSIZE && at + 32 < size; cpu++) {
		if (!CPU_ISSET(cpu, set))
			continue;
		size_t last = cpu;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		const char *comma = at > 1 ? "," : "";
		if (last == cpu)
			at += (size_t)snprintf(ret + at, size - at, "%s%zu", comma, cpu);
		else
			at += (size_t)snprintf(ret + at, size - at, "%s%zu-%zu", comma, cpu, last);
		cpu = last;
	}
	(void)snprintf(ret + at, size - at, ")");
}

static int cpu_at(const cpu_set_t *set, uint32_t index)
{
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, set) && index-- == 0)
			return (int)cpu;
	}
	return -1;
}

// Every busy lcore gets a CPU of its own if there are enough of them; a spare one is left to the
// control lcore, the first, since interrupts tend to live there. Otherwise, and where nothing is
// lost by being late, the kernel places them: pinned beside somebody else's work they would wait.
static void plan_lcores(const struct tl_eal_options *options, struct tl_eal *eal,
			struct eal_args *args)
{
	char all[EAL_CPUS_TEXT_MAX];
	cpu_set_t set;
	uint32_t cpus = cpus_allowed(&set);
	uint32_t busy = options->rx_lcores + options->workers;
	uint32_t next_cpu = cpus > busy ? 1 : 0;

	cpus_text(&set, all, sizeof(all));
	eal->is_crowded = cpus < busy;
	eal->control = (struct tl_eal_lcore) {.id = 0, .cpu = cpus == 1 ? cpu_at(&set, 0) : -1};
	size_t at = (size_t)snprintf(args->lcores, sizeof(args->lcores), "0@%s", all);
	for (uint32_t i = 0; i < busy; i++) {
		struct tl_eal_lcore *lcore =
			i < options->rx_lcores ? &eal->rx[i] : &eal->worker[i - options->rx_lcores];
		*lcore = (struct tl_eal_lcore) {.id = i + 1, .cpu = -1};
		if ((!eal->is_crowded && !options->floats) || cpus == 1)
			lcore->cpu = cpu_at(&set, cpus == 1 ? 0 : next_cpu++);
		if (lcore->cpu >= 0)
			at += (size_t)snprintf(args->lcores + at, sizeof(args->lcores) - at,
					       ",%u@%d", lcore->id, lcore->cpu);
		else
			at += (size_t)snprintf(args->lcores + at, sizeof(args->lcores) - at,
					       ",%u@%s", lcore->id, all);
		TL_ASSERT(at < sizeof(args->lcores));
	}
}

// Whether the kernel would give so much of its huge pages now: those that are free may be promised
// to others, or be more than this process's cgroup allows. Nothing is touched or kept.
static bool can_map_hugepages(uint64_t bytes)
{
	size_t size = (bytes + EAL_HUGEPAGE_BYTES - 1) & ~(EAL_HUGEPAGE_BYTES - 1);
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);

	if (map == MAP_FAILED)
		return false;
	(void)munmap(map, size);
	return true;
}

// A fifth more and a few pages: hugepages hold whole memory zones only.
static uint64_t with_reserve(uint64_t bytes)
{
	return bytes + bytes / 5 + (16u << 20);
}

static bool are_hugepages_enough(uint64_t need)
{
	need = with_reserve(need);
	return tl_eal_hugepages_free() > need && can_map_hugepages(need);
}

// A card writes into memory that must stay where it is: huge pages.
static int refuse_without_hugepages(const struct tl_eal_options *options, char *error,
				    uint32_t error_size)
{
	uint64_t free_pages = tl_eal_hugepages_free() / EAL_HUGEPAGE_BYTES;
	uint64_t need = with_reserve(options->memory_bytes) / EAL_HUGEPAGE_BYTES + 1;

	(void)snprintf(error, error_size,
		       "a network card needs huge pages: %" PRIu64 " MiB for the packets of %u worker%s "
		       "and a reserve make %" PRIu64 " pages of 2 MiB, %" PRIu64 " are free: "
		       "scripts/nic hugepages %" PRIu64 " (tapline-nic where it is installed)",
		       options->memory_bytes >> 20, options->workers, options->workers == 1 ? "" : "s",
		       need, free_pages, need);
	return -EBUSY;
}

static void plan_memory(const struct tl_eal_options *options, struct eal_args *args, bool is_huge)
{
	uint64_t need = options->memory_bytes;

	if (is_huge) {
		args_add(args, "--in-memory");
		return;
	}
	args_add(args, "--no-huge");
	args_add(args, "--no-shconf");
	args_add(args, "-m");
	(void)snprintf(args->memory, sizeof(args->memory), "%" PRIu64,
		       ((need + need / 16) >> 20) + 24);
	args_add(args, args->memory);
}

static int init(const struct tl_eal_options *options, struct tl_eal *eal, struct eal_args *args)
{
	TL_ASSERT(args->argc == 0);
	args_add(args, "tapline");
	plan_lcores(options, eal, args);
	args_add(args, "--lcores");
	args_add(args, args->lcores);
	args_add(args, "--main-lcore");
	args_add(args, "0");
	plan_memory(options, args, eal->has_hugepages);
	args_add(args, "--no-telemetry");
	args_add(args, "--log-level=*:4");
	// Without an allow list EAL would take over every unused network card it knows.
	if (options->pci_count == 0)
		args_add(args, "--no-pci");
	for (uint32_t i = 0; i < options->pci_count; i++) {
		args_add(args, "-a");
		args_add(args, options->pci[i]);
	}
	if (rte_eal_init(args->argc, args->argv) < 0)
		return rte_errno > 0 ? -rte_errno : -EIO;
	return 0;
}

int tl_eal_start(const struct tl_eal_options *options, struct tl_eal *ret_eal, char *error,
		 uint32_t error_size)
{
	static struct eal_args args[2]; // 64 KiB each; EAL keeps pointers to its arguments

	TL_ASSERT(options->rx_lcores <= TL_RX_MAX);
	if (options->rx_lcores + options->workers + 1 > TL_LCORES_MAX) {
		(void)snprintf(error, error_size, "%u workers are too many: at most %u",
			       options->workers, TL_LCORES_MAX - 1 - options->rx_lcores);
		return -EINVAL;
	}
	memset(ret_eal, 0, sizeof(*ret_eal));
	// Without it EAL finds no CPU and prints pages of its own options.
	if (access("/sys/devices/system/cpu", F_OK) < 0) {
		(void)snprintf(error, error_size, "DPDK reads the machine's CPUs from /sys, which is not "
			       "mounted here: mount -t sysfs sysfs /sys");
		return -ENOENT;
	}
	log_open();
	ret_eal->has_hugepages = are_hugepages_enough(options->memory_bytes);
	if (options->pci_count > 0 && !ret_eal->has_hugepages)
		return refuse_without_hugepages(options, error, error_size);
	int rc = init(options, ret_eal, &args[0]);
	// Somebody may have taken the huge pages since. Where EAL noticed before it began anything, it
	// can be started again without them; else it says that it was started already.
	if (rc < 0 && ret_eal->has_hugepages) {
		ret_eal->has_hugepages = false;
		int again = init(options, ret_eal, &args[1]);
		if (again == -EALREADY) {
			(void)snprintf(error, error_size, "huge pages were free a moment ago, but DPDK "
				       "did not get them (%s): start again", tl_eal_log_text());
			return rc;
		}
		rc = again;
	}
	if (rc < 0) {
		const char *text = tl_eal_log_text();
		(void)snprintf(error, error_size, "DPDK did not start (MiB of memory: %s): %s",
			       args[0].memory[0] != '\0' ? args[0].memory : args[1].memory,
			       *text != '\0' ? text : strerror(-rc));
		return rc;
	}
	rc = tl_mbuf_meta_register();
	if (rc < 0)
		(void)snprintf(error, error_size, "DPDK has no room for packet data: %s",
			       strerror(-rc));
	return rc;
}
