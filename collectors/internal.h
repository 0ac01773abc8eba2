// SPDX-License-Identifier: Apache-2.0
// What the manager and the calls of a running collector share.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "collectors/collector.h"

// A collector's options: the values of the configuration in force.
struct tl_collector_options {
	pthread_mutex_t lock;
	void *values; // options_size bytes, NULL where it has none
	uint32_t size;
};

struct tl_ctx {
	struct tl_collector_options *options;
	int fd;               // eventfd, readable from the end on
	_Atomic bool is_done;
};

struct tl_emit {
	const char *collector;
	struct tl_collector_options *options;
	struct tl_points *points;
	uint32_t refused; // points that found no room
};

void tl_options_copy(struct tl_collector_options *options, void *ret_options, uint32_t size);
