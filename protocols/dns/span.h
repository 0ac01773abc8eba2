// SPDX-License-Identifier: Apache-2.0
// DNS as spans of OpenTelemetry.
#pragma once

#include "l7/decoder.h"

extern const struct tl_span_rules dns_span_rules;
