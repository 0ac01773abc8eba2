// SPDX-License-Identifier: Apache-2.0
#include "collectors/metrics/netns.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

static uint64_t netns_of(uint32_t pid)
{
	char path[64], full[PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	return stat(tl_host_path(path, full, sizeof(full)), &st) < 0 ? 0 : (uint64_t)st.st_ino;
}

struct visit {
	struct tl_reader *reader;
	const char *file;
	tl_netns_fn *fn;
	uint64_t host; // its namespace
};

static bool visit_container(void *arg, const struct tl_container *container)
{
	const struct visit *visit = arg;
	uint64_t own = container->init_pid == 0 ? 0 : netns_of(container->init_pid);

	if (own != 0 && own != visit->host &&
	    tl_host_readf(&visit->reader->text, "/proc/%u/net/%s", container->init_pid,
			  visit->file) == 0)
		(void)visit->fn(visit->reader, container);
	return true;
}

int tl_netns_each(struct tl_reader *reader, const char *file, tl_netns_fn *fn)
{
	struct visit visit = {reader, file, fn, netns_of(1)};
	int rc = tl_host_readf(&reader->text, "/proc/1/net/%s", file);

	if (rc == 0)
		rc = fn(reader, NULL);
	(void)tl_container_each(visit_container, &visit);
	return rc;
}

void tl_netns_emit(struct tl_reader *reader, const struct tl_container *container, uint8_t type,
		   const char *name, double value, const char *help,
		   const struct tl_label *labels)
{
	if (type == TL_METRIC_COUNTER)
		tl_emit_container_counter(reader->emit, container, name, value, help, labels);
	else
		tl_emit_container_gauge(reader->emit, container, name, value, help, labels);
}
