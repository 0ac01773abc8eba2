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

// What a run holds in the kernel: given back when the run ends, whatever start() did.
struct tl_owned {
	struct tl_owned *next;
	void (*end)(struct tl_owned *owned);    // the run is over
	void (*detach)(struct tl_owned *owned); // it should be, but start() does not return
};

struct tl_ctx {
	struct tl_collector_options *options;
	int fd;               // eventfd, readable from the end on
	_Atomic bool is_done;
	pthread_mutex_t lock; // of what follows
	struct tl_owned *owned;
	char hook[TL_COLLECTOR_HOOK_BYTES];
};

void tl_ctx_init(struct tl_ctx *ctx);
void tl_ctx_own(struct tl_ctx *ctx, struct tl_owned *owned);
void tl_ctx_disown(struct tl_ctx *ctx, struct tl_owned *owned);
// On the run's thread, after start() returned.
void tl_ctx_end(struct tl_ctx *ctx);
// On another one, while it has not.
void tl_ctx_detach(struct tl_ctx *ctx);

struct tl_emit {
	const char *collector;
	struct tl_collector_options *options;
	struct tl_points *points;
	uint32_t refused; // points that found no room
};

