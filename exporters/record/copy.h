// SPDX-License-Identifier: Apache-2.0
// A roundtrip that outlives the call it was shown in: the record and its names in one piece of
// memory, for a helper thread.
#pragma once

#include "exporters/exporter.h"

struct tl_record_copy {
	struct tl_roundtrip_signal signal; // points into this very piece
	struct tl_enrichment names;
	struct tl_workload workloads[2];   // client, server
	const char *text;                  // the text given with it
	size_t size;                       // bytes of all
	char data[];
};

// NULL on no memory; free() it.
struct tl_record_copy *tl_record_copy(const struct tl_roundtrip *record,
				      const struct tl_enrichment *names, const char *text);
