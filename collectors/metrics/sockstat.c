// SPDX-License-Identifier: Apache-2.0
// Sockets in use, of the host and of each container's namespace, and the memory of TCP buffers,
// which the kernel counts and limits for all namespaces together.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collectors/metrics/netns.h"

// "TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 1"; memory is in pages, and the host's only.
static void take_line(struct tl_reader *reader, const struct tl_container *container, char *line)
{
	const char *table = tl_host_word(&line), *key, *value;
	char name[96];

	while (table != NULL && (key = tl_host_word(&line)) != NULL &&
	       (value = tl_host_word(&line)) != NULL) {
		bool is_memory = strcmp(key, "mem") == 0;
		if (is_memory && container != NULL)
			continue;
		(void)snprintf(name, sizeof(name), "%.*s_%s", (int)strcspn(table, ":"), table, key);
		if (tl_key_filter_wants(&reader->keys, name))
			tl_netns_emit(reader, container, TL_METRIC_GAUGE, name,
				      strtod(value, NULL), "A value of /proc/net/sockstat.",
				      TL_NO_LABELS);
		if (!is_memory)
			continue;
		(void)snprintf(name, sizeof(name), "%.*s_mem_bytes", (int)strcspn(table, ":"),
			       table);
		if (tl_key_filter_wants(&reader->keys, name))
			tl_netns_emit(reader, container, TL_METRIC_GAUGE, name,
				      strtod(value, NULL) * (double)sysconf(_SC_PAGESIZE),
				      "Memory of socket buffers.", TL_NO_LABELS);
	}
}

static int take_table(struct tl_reader *reader, const struct tl_container *container)
{
	char *rest = reader->text.data, *line;

	while ((line = tl_host_line(&rest)) != NULL)
		take_line(reader, container, line);
	return 0;
}

static int update_sockstat(void *arg, struct tl_emit *emit)
{
	struct tl_reader *reader = arg;

	int wrong = tl_reader_filter(reader, emit);
	int rc = tl_netns_each(reader, "sockstat", take_table);
	(void)tl_netns_each(reader, "sockstat6", take_table); // without IPv6 there is none
	return rc < 0 ? rc : wrong;
}

static int update_tcp_memory(void *arg, struct tl_emit *emit)
{
	struct tl_reader *reader = arg;
	unsigned long long low, pressure, high;
	int rc = tl_host_read("/proc/sys/net/ipv4/tcp_mem", &reader->text);

	if (rc < 0)
		return rc;
	if (sscanf(reader->text.data, "%llu %llu %llu", &low, &pressure, &high) != 3 || high == 0)
		return -EBADMSG;
	rc = tl_host_read("/proc/net/sockstat", &reader->text);
	const char *line = rc < 0 ? NULL : strstr(reader->text.data, "TCP:");
	const char *memory = line == NULL ? NULL : strstr(line, " mem ");
	if (memory == NULL)
		return rc < 0 ? rc : -EBADMSG;
	double pages = strtod(memory + strlen(" mem "), NULL);
	tl_emit_gauge(emit, "usage_pages", pages, "Pages in TCP buffers.", TL_NO_LABELS);
	tl_emit_gauge(emit, "usage_bytes", pages * (double)sysconf(_SC_PAGESIZE),
		      "Bytes in TCP buffers.", TL_NO_LABELS);
	tl_emit_gauge(emit, "limit_pages", (double)high, "Pages that TCP buffers may take.",
		      TL_NO_LABELS);
	tl_emit_gauge(emit, "usage_percent", pages / (double)high,
		      "Share of the limit that is used, 0 to 1.", TL_NO_LABELS);
	return 0;
}

static const struct tl_option rows[] = {TL_READER_KEYS, TL_OPTION_END};
static const struct tl_collector_ops sockstat_ops = {
	.update = update_sockstat, .close = tl_reader_close};
static const struct tl_collector_ops tcp_memory_ops = {
	.update = update_tcp_memory, .close = tl_reader_close};

static int new_sockstat(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	return tl_reader_new_of(setup, "/proc/net/sockstat", &sockstat_ops, NULL, ret);
}

static int new_tcp_memory(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	return tl_reader_new_of(setup, "/proc/sys/net/ipv4/tcp_mem", &tcp_memory_ops, NULL, ret);
}

TL_COLLECTOR(sockstat, new_sockstat, .help = "Sockets in use.", .options = rows,
	     .options_size = sizeof(struct tl_reader_options));
TL_COLLECTOR(tcp_memory, new_tcp_memory, .help = "Memory of TCP buffers and its limit.");
