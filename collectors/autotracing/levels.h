// SPDX-License-Identifier: Apache-2.0
// The signals that a tracer watches, as gauges of the containers: the tracer's thread sets them,
// update() emits them.
#pragma once

#include <pthread.h>

#include "collectors/collector.h"

#define TL_LEVELS_VALUES_MAX 3u

struct tl_level_name {
	const char *name, *help;
};

struct tl_levels {
	const struct tl_level_name *names; // of the values, ended by a row without a name
	pthread_mutex_t lock;              // of all below
	uint32_t count, capacity;
	struct tl_level *items;
};

int tl_levels_init(struct tl_levels *levels, const struct tl_level_name *names);
void tl_levels_fini(struct tl_levels *levels);
// A new sample begins: containers without tl_levels_set() since the previous begin are forgotten.
void tl_levels_begin(struct tl_levels *levels);
void tl_levels_set(struct tl_levels *levels, const char *id, const double *values);
void tl_levels_emit(struct tl_levels *levels, struct tl_emit *emit);
