// SPDX-License-Identifier: Apache-2.0
// Neighbours known: of a network namespace by its table, of the whole kernel by its cache.
#include <errno.h>
#include <stdlib.h>

#include "collectors/metrics/netns.h"

static int take_table(struct tl_reader *reader, const struct tl_container *container)
{
	uint32_t lines = 0;

	for (char *rest = reader->text.data; tl_host_line(&rest) != NULL;)
		lines++;
	tl_netns_emit(reader, container, TL_METRIC_GAUGE, "entries", lines == 0 ? 0 : lines - 1,
		      "Entries of the ARP table.", TL_NO_LABELS);
	return 0;
}

// The first column of each CPU's line shows the same number, in hexadecimal.
static void emit_total(struct tl_reader *reader)
{
	char *rest, *line;

	if (tl_host_read("/proc/net/stat/arp_cache", &reader->text) < 0)
		return;
	rest = reader->text.data;
	(void)tl_host_line(&rest);
	line = tl_host_line(&rest);
	if (line != NULL)
		tl_emit_gauge(reader->emit, "cache_entries", (double)strtoull(line, NULL, 16),
			      "Entries of all ARP tables together.", TL_NO_LABELS);
}

static int update(void *arg, struct tl_emit *emit)
{
	struct tl_reader *reader = arg;

	reader->emit = emit;
	int rc = tl_netns_each(reader, "arp", take_table);
	emit_total(reader);
	return rc;
}

static const struct tl_collector_ops ops = {.update = update, .close = tl_reader_close};

static int new_arp(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	return tl_reader_new_of(setup, "/proc/net/arp", &ops, NULL, ret);
}

TL_COLLECTOR(arp, new_arp, .help = "Sizes of the ARP tables.");
