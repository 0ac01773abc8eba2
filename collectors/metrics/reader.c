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

	tl_text_free(&reader->text);
	free(reader);
}
