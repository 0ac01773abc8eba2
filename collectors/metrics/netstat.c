// SPDX-License-Identifier: Apache-2.0
// The kernel's counts of TCP: tables Tcp of /proc/net/snmp and TcpExt of /proc/net/netstat, of the
// host and of each container's namespace.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectors/metrics/netns.h"

// Two lines each: "Tcp: RtoAlgorithm RtoMin ..." and "Tcp: 1 200 ...".
static int take_tables(struct tl_reader *reader, const struct tl_container *container)
{
	char *rest = reader->text.data, *names, *values, name[96];

	while ((names = tl_host_line(&rest)) != NULL && (values = tl_host_line(&rest)) != NULL) {
		const char *table = tl_host_word(&names);
		(void)tl_host_word(&values);
		if (table == NULL || (strcmp(table, "Tcp:") != 0 && strcmp(table, "TcpExt:") != 0))
			continue;
		const char *key, *value;
		while ((key = tl_host_word(&names)) != NULL &&
		       (value = tl_host_word(&values)) != NULL) {
			(void)snprintf(name, sizeof(name), "%.*s_%s", (int)strcspn(table, ":"),
				       table, key);
			if (!tl_key_filter_wants(&reader->keys, name))
				continue;
			tl_netns_emit(reader, container, TL_METRIC_GAUGE, name,
				      strtod(value, NULL), "A count of the kernel's TCP.",
				      TL_NO_LABELS);
		}
	}
	return 0;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct tl_reader *reader = arg;

	int wrong = tl_reader_filter(reader, emit);
	int rc = tl_netns_each(reader, "snmp", take_tables);
	int other = tl_netns_each(reader, "netstat", take_tables);
	return rc < 0 ? rc : other < 0 ? other : wrong;
}

static const struct tl_option rows[] = {TL_READER_KEYS, TL_OPTION_END};
static const struct tl_collector_ops ops = {.update = update, .close = tl_reader_close};

static int new_netstat(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	return tl_reader_new_of(setup, "/proc/net/netstat", &ops, NULL, ret);
}

TL_COLLECTOR(netstat, new_netstat, .help = "The kernel's counts of TCP.", .options = rows,
	     .options_size = sizeof(struct tl_reader_options));
