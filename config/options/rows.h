// SPDX-License-Identifier: Apache-2.0
// Internal to config/: the rows of every section that is not a decoder's, an exporter's or a
// collector's own, a file for each top section. Section rows have offset 0: their children's offsets
// count from struct tl_config, so that a section of the file need not be a struct of the program.
#pragma once

#include <stddef.h>

#include "config/config.h"

#define AT(member) .offset = offsetof(struct tl_config, member)

extern const struct tl_option tl_root_rows[];
extern const struct tl_option tl_capture_rows[];
extern const struct tl_option tl_protocols_rows[];
extern const struct tl_option tl_metrics_rows[];
extern const struct tl_option tl_server_rows[];
extern const struct tl_option tl_kubernetes_rows[];
extern const struct tl_option tl_log_rows[];
extern const struct tl_option tl_limits_rows[];
extern const struct tl_option tl_collectors_rows[];
