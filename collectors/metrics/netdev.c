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
		const char *device = line + strspn(line, " ");
		const struct tl_label *labels = TL_LABELS({"device", device});
		if (!tl_key_filter_wants(&reader->devices, device))
			continue;
		for (uint32_t i = 0; i < TL_COUNT_OF(columns); i++) {
			const char *word = tl_host_word(&numbers);
			if (word == NULL)
				break;
			if (!tl_key_filter_wants(&reader->keys, columns[i]))
				continue;
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

	int wrong = tl_reader_filter(reader, emit);
	int rc = tl_netns_each(reader, "dev", take_table);
	return rc < 0 ? rc : wrong;
}

static const struct tl_option rows[] = {
	TL_READER_KEYS,
	TL_READER_FILTER(devices, "Devices to show, an extended regular expression. Empty shows all."),
	TL_READER_FILTER(devices_excluded, "Devices to leave out, an extended regular expression."),
	TL_OPTION_END,
};
static const struct tl_collector_ops ops = {.update = update, .close = tl_reader_close};

static int new_netdev(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	return tl_reader_new_of(setup, "/proc/net/dev", &ops, NULL, ret);
}

TL_COLLECTOR(netdev, new_netdev, .help = "Bytes, packets and errors of network devices.",
	     .options = rows, .options_size = sizeof(struct tl_reader_options));
