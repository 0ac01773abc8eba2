// SPDX-License-Identifier: Apache-2.0
// The log of the control side: one line per event on standard error. Workers never log.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum tl_log_severity {
	TL_LOG_SEVERITY_DEBUG,
	TL_LOG_SEVERITY_INFO,
	TL_LOG_SEVERITY_WARNING,
	TL_LOG_SEVERITY_ERROR,
};

// May be called at any time, from any thread (POST /-/logger, reload).
void tl_log_set_level(enum tl_log_severity level);
void tl_log_set_json(bool json);
// "debug" "info" "warning" "warn" "error"; -1 for anything else.
int tl_log_level_by_name(const char *name);
enum tl_log_severity tl_log_level(void);

// Thread-safe: a line is one write(2).
__attribute__((format(printf, 2, 3))) void tl_log(enum tl_log_severity severity,
						   const char *format, ...);
