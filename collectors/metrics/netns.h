// SPDX-License-Identifier: Apache-2.0
// The files of /proc/PID/net, which show a process' network namespace: the host's own, then that
// of each container which has one of its own.
#pragma once

#include "collectors/metrics/reader.h"

// Called with /proc/PID/net/<file> read into `reader->text`, `container` NULL for the host.
typedef int tl_netns_fn(struct tl_reader *reader, const struct tl_container *container);

// 0, or the host's -errno (containers come and go: their failures are passed over).
int tl_netns_each(struct tl_reader *reader, const char *file, tl_netns_fn *fn);
// A gauge or counter of the host or of `container`, whichever it is.
void tl_netns_emit(struct tl_reader *reader, const struct tl_container *container, uint8_t type,
		   const char *name, double value, const char *help,
		   const struct tl_label *labels);
