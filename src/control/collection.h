// SPDX-License-Identifier: Apache-2.0
// The host's side of the agent: collectors, their stored events and the containers, under one
// handle, and the pages of the HTTP API about them.
#pragma once

#include "base/text.h"
#include "config/config.h"
#include "control/bus.h"
#include "control/sinks.h"

struct tl_collection;

// 0 or -errno and a line in `error`. Text options stay in `config`, which must outlive this.
int tl_collection_start(const struct tl_config *config, struct tl_collection **ret_collection,
			char *error, uint32_t error_size);
void tl_collection_stop(struct tl_collection *collection); // accepts NULL
void tl_collection_reload(struct tl_collection *collection, const struct tl_config *config);

// About once a second, on the control thread: asks for new measurements, hands over the last ones
// and what was stored since. `bus` may be NULL.
void tl_collection_tick(struct tl_collection *collection, struct tl_metrics *metrics,
			struct tl_sinks *sinks, struct tl_bus *bus);

// Answers what begins with /api/v1/ and is about the host; any thread. The HTTP status with its
// page in `ret_page`, 0 for a path that is none of these. `argument` is a query parameter by
// name, "" if it was not given.
typedef const char *tl_collection_argument_fn(void *arg, const char *name);
unsigned tl_collection_page(struct tl_collection *collection, const char *method, const char *path,
			    tl_collection_argument_fn *argument, void *arg,
			    struct tl_text *ret_page);
