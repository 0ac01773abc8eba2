// SPDX-License-Identifier: Apache-2.0
// HTTP as spans of OpenTelemetry (semantic conventions v1.44, "HTTP server span").
#pragma once

#include "l7/decoder.h"

extern const struct tl_span_rules tl_http_span_rules;
