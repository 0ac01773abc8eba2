// SPDX-License-Identifier: Apache-2.0
// Cache flushes of disks: fields 19 and 20 of /proc/diskstats (kernel 5.5 and later). And what no
// file or tracepoint tells: how long queues stood frozen.
#include <errno.h>
#include <stdlib.h>

#include "collectors/metrics/reader.h"

#define DEVICE_WORD 2u
#define FLUSHES_WORD 18u
#define FLUSH_MS_WORD 19u
#define WORDS 20u

static bool split(char *line, char *words[WORDS])
{
	for (uint32_t i = 0; i < WORDS; i++) {
		words[i] = tl_host_word(&line);
		if (words[i] == NULL)
			return false;
	}
	return true;
}

static int update(void *arg, struct tl_emit *emit)
{
	struct tl_reader *self = arg;
	char *words[WORDS];
	int rc = tl_host_read("/proc/diskstats", &self->text);

	if (rc < 0)
		return rc;
	char *rest = self->text.data, *line;
	while ((line = tl_host_line(&rest)) != NULL) {
		if (!split(line, words))
			continue;
		const struct tl_label *labels = TL_LABELS({"device", words[DEVICE_WORD]});
		tl_emit_counter(emit, "requests_total", strtod(words[FLUSHES_WORD], NULL),
				"Flushes of a disk's cache that were completed.", labels);
		tl_emit_counter(emit, "seconds_total", strtod(words[FLUSH_MS_WORD], NULL) / 1000,
				"Time that flushes of a disk's cache took.", labels);
	}
	return 0;
}

static const struct tl_collector_ops ops = {.update = update, .close = tl_reader_close};

static int new_io_flush(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	struct tl_text text = {0};
	char *words[WORDS];
	int rc = tl_host_read("/proc/diskstats", &text);
	char *rest = text.data, *line = rc == 0 ? tl_host_line(&rest) : NULL;
	bool has_fields = line != NULL && split(line, words);

	tl_text_free(&text);
	if (!has_fields) {
		tl_collector_says(setup, "/proc/diskstats has no disk with counts of flushes");
		return -EOPNOTSUPP;
	}
	return tl_reader_new(&ops, NULL, ret);
}

static int new_io_freeze(const struct tl_collector_setup *setup, struct tl_collector *ret)
{
	(void)ret;
	tl_collector_says(setup, "the kernel has neither a tracepoint nor a counter for frozen"
				 " queues; only kprobes would see them");
	return -EOPNOTSUPP;
}

TL_COLLECTOR(io_flush, new_io_flush, .help = "Flushes of disk caches.");
TL_COLLECTOR(io_freeze, new_io_freeze, .help = "Time that block queues stood frozen.");
