// SPDX-License-Identifier: Apache-2.0
// Registries made up for tests of the configuration: one decoder (id 2) and two exporters, so that
// no protocol's options can change what these tests see.
#pragma once

#include "exporters/exporter.h"

struct sample_options {
	uint64_t body_bytes_max;
	struct tl_text_list headers;
	bool is_strict;
};

struct sink_options {
	const char *url;
	const char *password;
	struct tl_text_map headers;
	uint32_t style;
};
