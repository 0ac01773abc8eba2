// SPDX-License-Identifier: Apache-2.0
// What network devices received and sent, of the host and of each container's namespace.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "collectors/metrics/netns.h"

// The columns of /proc/net/dev.
static const char *const columns[] = {
	"receive_bytes",     "receive_packets",   "receive_errors",     "receive_dropped",
	"receive_fifo",      "receive_frame",     "receive_compressed", "receive_multicast",
	"transmit_bytes",    "transmit_packets",  "transmit_errors",    "transmit_dropped",
	"transmit_fifo",     "transmit_colls",    "transmit_carrier",   "transmit_compressed",
};

static int take_table(struct tl_reader *reader, const struct tl_container *container)
{
	char *rest = reader->text.data, *line, name[64];

	while ((line = tl_host_line(&rest)) != NULL) {
		char *colon = strrchr(line, ':'); // aliases have colons in their names
		if (colon == NULL)
			continue;
		*colon = '\0';
		char *numbers = colon + 1;
		const struct tl_label *labels = TL_LABELS({"device", line + strspn(line, " ")});
		for (uint32_t i = 0; i < TL_COUNT_OF(columns); i++) {
			const char *word = tl_host_word(&numbers);
			if (word == NULL)
				break;
			(void)snprintf(name, sizeof(name), "%s_total", columns[i]);
			tl_netns_emit(reader, container, TL_METRIC_COUNTER, name,
				      strtod(word, NULL), "A column of /proc/net/dev.", labels);
		}
	}
	return 0;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct tl_reader *reader = arg;

	reader->emit = emit;
	return tl_netns_each(reader, "dev", take_table);
}

static const struct tl_collector_ops ops = {.update = update, .close = tl_reader_close};

static int new_netdev(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	return tl_reader_new_of(setup, "/proc/net/dev", &ops, NULL, ret);
}

TL_COLLECTOR(netdev, new_netdev, .help = "Bytes, packets and errors of network devices.");
