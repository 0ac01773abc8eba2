// SPDX-License-Identifier: Apache-2.0
// The exporters of a configuration, opened and fed. Control lcore.
#pragma once

#include "config/config.h"
#include "exporters/exporter.h"

struct tl_sinks;

// Opens every enabled exporter. -errno and a line in `error` when one can't be opened; then none
// stays open. `config` must outlive the sinks.
int tl_sinks_open(const struct tl_config *config, const struct tl_exporter_env *env,
		  struct tl_sinks **ret_sinks, char *error, uint32_t error_size);
void tl_sinks_close(struct tl_sinks *sinks); // flushes first; accepts NULL

bool tl_sinks_want_roundtrips(const struct tl_sinks *sinks);
void tl_sinks_roundtrip(struct tl_sinks *sinks, const struct tl_roundtrip_signal *signal);
void tl_sinks_event(struct tl_sinks *sinks, const struct tl_event *event);
void tl_sinks_metrics(struct tl_sinks *sinks, struct tl_snapshot *snapshot);
void tl_sinks_flush(struct tl_sinks *sinks); // about once a second; logs new failures

uint32_t tl_sinks_count(const struct tl_sinks *sinks);
// Name and state of sink `index`.
const char *tl_sinks_stats(struct tl_sinks *sinks, uint32_t index,
			   struct tl_exporter_stats *ret_stats);
