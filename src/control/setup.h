// SPDX-License-Identifier: Apache-2.0
// From a configuration to what the pipeline takes.
#pragma once

#include "config/config.h"
#include "worker/pipeline.h"

// What config/ can't judge by itself: the filter, which only a library knows, and the file of names. 0,
// or -EINVAL and lines in `errors`.
int tl_setup_check(const struct tl_config *config, struct tl_config_errors *errors);

// Borrows from `config`; `ret_ports` has room for TL_SETUP_PORTS_MAX and must live as long as
// `ret_options` is used. Returns 0, or -EINVAL with a line in `error` (too many ports).
#define TL_SETUP_PORTS_MAX 16u
int tl_setup_pipeline(const struct tl_config *config, struct tl_port_spec *ret_ports,
		      struct tl_pipeline_options *ret_options, char *error, uint32_t error_size);

// Nothing but files is read: whoever is behind may be waited for.
bool tl_setup_reads_files(const struct tl_config *config);

// The rules of a configuration. 0 or -errno with a line in `error`.
int tl_setup_rules(const struct tl_config *config, struct tl_rules **ret_rules, char *error,
		   uint32_t error_size);

// The probe's name: the configured one, else the host's.
const char *tl_setup_probe_name(const struct tl_config *config, char *buffer, uint32_t size);
