// SPDX-License-Identifier: Apache-2.0
// The state of a collector that only reads files: a text to read into, and the present update for
// what visits the containers.
#pragma once

#include "collectors/collector.h"
#include "collectors/filter.h"

struct tl_reader {
	struct tl_text text;
	struct tl_emit *emit;
	const void *fixed; // what tells two collectors of one file apart
	bool has_filters;
	struct tl_key_filter keys, devices; // everything passes before tl_reader_filter()
};

// Options of collectors with many series; NULL where a collector has no such row.
struct tl_reader_options {
	const char *included, *excluded;
	const char *devices, *devices_excluded;
};

#define TL_READER_FILTER(member, help_text) \
	{.key = #member, .type = TL_OPTION_TEXT, \
	 .offset = offsetof(struct tl_reader_options, member), .value = "", .help = help_text}
#define TL_READER_KEYS \
	TL_READER_FILTER(included, "Names of values to show, an extended regular expression. Empty " \
				   "shows all."), \
	TL_READER_FILTER(excluded, "Names of values to leave out, an extended regular expression.")

// A collector of the metric role whose self is a tl_reader; `ops` has tl_reader_close. 0 or -ENOMEM.
int tl_reader_new(const struct tl_collector_ops *ops, const void *fixed, struct tl_collector *ret);
void tl_reader_close(void *self);
// The beginning of an update: sets `reader->emit` and, the first time, the filters as the options
// say. -EINVAL: an expression is none, and lets everything pass.
int tl_reader_filter(struct tl_reader *reader, struct tl_emit *emit);
// The same, but -EOPNOTSUPP with a reason where the host has no file `path`.
int tl_reader_new_of(const struct tl_collector_setup *setup, const char *path,
		     const struct tl_collector_ops *ops, const void *fixed,
		     struct tl_collector *ret);
