// SPDX-License-Identifier: Apache-2.0
// The state of a collector that only reads files: a text to read into, and the present update for
// what visits the containers.
#pragma once

#include "collectors/collector.h"

struct tl_reader {
	struct tl_text text;
	struct tl_emit *emit;
	const void *fixed; // what tells two collectors of one file apart
};

// A collector of the metric role whose self is a tl_reader; `ops` has tl_reader_close. 0 or -ENOMEM.
int tl_reader_new(const struct tl_collector_ops *ops, const void *fixed, struct tl_collector *ret);
void tl_reader_close(void *self);
// The same, but -EOPNOTSUPP with a reason where the host has no file `path`.
int tl_reader_new_of(const struct tl_collector_setup *setup, const char *path,
		     const struct tl_collector_ops *ops, const void *fixed,
		     struct tl_collector *ret);
