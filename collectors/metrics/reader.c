// SPDX-License-Identifier: Apache-2.0
#include "collectors/metrics/reader.h"

#include <errno.h>
#include <stdlib.h>

int tl_reader_new(const struct tl_collector_ops *ops, const void *fixed, struct tl_collector *ret)
{
	struct tl_reader *reader = calloc(1, sizeof(*reader));

	if (reader == NULL)
		return -ENOMEM;
	reader->fixed = fixed;
	*ret = (struct tl_collector) {.ops = ops, .self = reader, .flags = TL_METRIC};
	return 0;
}

int tl_reader_new_of(const struct tl_collector_setup *setup, const char *path,
		     const struct tl_collector_ops *ops, const void *fixed,
		     struct tl_collector *ret)
{
	if (!tl_host_exists(path)) {
		tl_collector_says(setup, "there is no %s", path);
		return -EOPNOTSUPP;
	}
	return tl_reader_new(ops, fixed, ret);
}

void tl_reader_close(void *arg)
{
	struct tl_reader *reader = arg;

	tl_key_filter_fini(&reader->keys);
	tl_key_filter_fini(&reader->devices);
	tl_text_free(&reader->text);
	free(reader);
}

static const char *or_empty(const char *text)
{
	return text == NULL ? "" : text;
}

int tl_reader_filter(struct tl_reader *reader, struct tl_emit *emit)
{
	struct tl_reader_options options;

	reader->emit = emit;
	if (reader->has_filters)
		return 0;
	reader->has_filters = true;
	tl_emit_options(emit, &options, sizeof(options));
	int rc = tl_key_filter_init(&reader->keys, or_empty(options.included),
				    or_empty(options.excluded));
	int other = tl_key_filter_init(&reader->devices, or_empty(options.devices),
				       or_empty(options.devices_excluded));
	return rc < 0 ? rc : other;
}
