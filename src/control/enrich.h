// SPDX-License-Identifier: Apache-2.0
// What only the control lcore adds to a record: its id, its span id, the names of the capture
// port and of the server. Main thread.
#pragma once

#include "exporters/exporter.h"

struct tl_enricher;

// `names` maps "address", "address:port" or ":port" to a service name; it may be NULL and must
// outlive the enricher. 0, or -EINVAL with a line in `error` that names the bad key; -ENOMEM.
int tl_enricher_create(const char *probe, const struct tl_text_map *names,
		       struct tl_enricher **ret_enricher, char *error, uint32_t error_size);
// Other names, which must outlive it as the old ones did until now. As above on failure, then the
// old ones stay. Between two records.
int tl_enricher_set_names(struct tl_enricher *enricher, const struct tl_text_map *names,
			  char *error, uint32_t error_size);
void tl_enricher_destroy(struct tl_enricher *enricher);
void tl_enricher_set_port(struct tl_enricher *enricher, uint8_t port, const char *name);

// The names stay valid until the next call.
const struct tl_enrichment *tl_enrich(struct tl_enricher *enricher,
				      const struct tl_roundtrip *record);
