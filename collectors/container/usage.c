// SPDX-License-Identifier: Apache-2.0
#include "collectors/container/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "collectors/host.h"

static bool read_number(const char *cgroup, const char *file, uint64_t *ret)
{
	char path[TL_CONTAINER_PATH_BYTES + 64];

	(void)snprintf(path, sizeof(path), "%s/%s", cgroup, file);
	return tl_host_number(path, ret) == 0;
}

static bool read_v2(const char *cgroup, struct tl_text *text, struct tl_cpu_used *ret)
{
	if (tl_host_readf(text, "%s/cpu.stat", cgroup) < 0 ||
	    !tl_host_value(text->data, "usage_usec", &ret->total_ns))
		return false;
	(void)tl_host_value(text->data, "user_usec", &ret->user_ns);
	(void)tl_host_value(text->data, "system_usec", &ret->system_ns);
	ret->total_ns *= 1000;
	ret->user_ns *= 1000;
	ret->system_ns *= 1000;
	return true;
}

static bool read_v1(const char *cgroup, struct tl_text *text, struct tl_cpu_used *ret)
{
	uint64_t tick_ns = 1000000000 / (uint64_t)sysconf(_SC_CLK_TCK);

	if (!read_number(cgroup, "cpuacct.usage", &ret->total_ns))
		return false;
	if (read_number(cgroup, "cpuacct.usage_user", &ret->user_ns) &&
	    read_number(cgroup, "cpuacct.usage_sys", &ret->system_ns))
		return true;
	if (tl_host_readf(text, "%s/cpuacct.stat", cgroup) < 0)
		return true;
	(void)tl_host_value(text->data, "user", &ret->user_ns);
	(void)tl_host_value(text->data, "system", &ret->system_ns);
	ret->user_ns *= tick_ns;
	ret->system_ns *= tick_ns;
	return true;
}

bool tl_container_used(const struct tl_container *container, struct tl_text *text,
		       struct tl_cpu_used *ret_used)
{
	*ret_used = (struct tl_cpu_used) {0};
	return container->is_v2 ? read_v2(container->cgroup[TL_CGROUP_CPU], text, ret_used) :
				  read_v1(container->cgroup[TL_CGROUP_CPUACCT], text, ret_used);
}

bool tl_cpu_list_parse(const char *list, cpu_set_t *ret_cpus)
{
	CPU_ZERO(ret_cpus);
	for (const char *at = list; *at >= '0' && *at <= '9'; at += *at == ',') {
		char *end;
		unsigned long first = strtoul(at, &end, 10);
		unsigned long last = *end == '-' ? strtoul(end + 1, &end, 10) : first;
		for (unsigned long cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++)
			CPU_SET(cpu, ret_cpus);
		at = end;
	}
	return CPU_COUNT(ret_cpus) != 0;
}

void tl_container_cpus(const struct tl_container *container, struct tl_text *text,
		       cpu_set_t *ret_cpus)
{
	const char *file = container->is_v2 ? "cpuset.cpus.effective" : "cpuset.effective_cpus";
	const char *cgroup = container->cgroup[TL_CGROUP_CPUSET];

	if (cgroup[0] != '\0' && tl_host_readf(text, "%s/%s", cgroup, file) == 0 &&
	    tl_cpu_list_parse(text->data, ret_cpus))
		return;
	if (tl_host_read("/sys/devices/system/cpu/online", text) == 0 &&
	    tl_cpu_list_parse(text->data, ret_cpus))
		return;
	CPU_ZERO(ret_cpus);
	for (long cpu = 0; cpu < sysconf(_SC_NPROCESSORS_ONLN) && cpu < CPU_SETSIZE; cpu++)
		CPU_SET((size_t)cpu, ret_cpus);
}

double tl_container_cores(const struct tl_container *container, struct tl_text *text)
{
	const char *cgroup = container->cgroup[TL_CGROUP_CPU];
	uint64_t quota = 0, period = 0;
	unsigned long long length = 0;
	char word[32];
	cpu_set_t cpus;

	tl_container_cpus(container, text, &cpus);
	double most = (double)CPU_COUNT(&cpus);
	if (container->is_v2) {
		if (tl_host_readf(text, "%s/cpu.max", cgroup) == 0 &&
		    sscanf(text->data, "%31s %llu", word, &length) == 2)
			quota = strtoull(word, NULL, 10); // 0 for "max"
		period = length;
	} else if (!read_number(cgroup, "cpu.cfs_quota_us", &quota) ||
		   !read_number(cgroup, "cpu.cfs_period_us", &period)) {
		quota = 0;
	}
	if (quota == 0 || quota > INT64_MAX || period == 0) // v1: -1 is no quota
		return most;
	double cores = (double)quota / (double)period;
	return cores < most ? cores : most;
}
