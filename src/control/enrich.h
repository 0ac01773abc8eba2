// SPDX-License-Identifier: Apache-2.0
// What only the control lcore adds to a record: its id, its span id, the names of the capture
// port, of the server, and for ids in it. Main thread.
#pragma once

#include "control/kube.h"
#include "control/services.h"
#include "exporters/exporter.h"

struct tl_enricher;

// NULL on no memory. Without services until it is given some.
struct tl_enricher *tl_enricher_create(const char *probe);
// Other service names, which it owns from now on. Between two records.
void tl_enricher_set_services(struct tl_enricher *enricher, struct tl_services *services);
// Who knows what Kubernetes runs where, NULL for nobody: borrowed, must outlive the enricher.
void tl_enricher_set_kube(struct tl_enricher *enricher, struct tl_kube *kube);
void tl_enricher_destroy(struct tl_enricher *enricher);
void tl_enricher_set_port(struct tl_enricher *enricher, uint8_t port, const char *name);

// The record, or a copy of it in which ids have the names that other records told, see naming.h;
// valid until the next call.
const struct tl_roundtrip *tl_enrich_values(struct tl_enricher *enricher,
					    const struct tl_roundtrip *record);
// The names stay valid until the next call.
const struct tl_enrichment *tl_enrich(struct tl_enricher *enricher,
				      const struct tl_roundtrip *record);
// A name that a server was asked for by TLS.
void tl_enricher_asked(struct tl_enricher *enricher, const struct tl_asked *asked);
// What labels want to know of an address and port, whoever asks. NULL if it isn't known; valid until
// the next call. `arg` is the enricher.
const char *tl_enricher_name(void *arg, enum tl_name_of what, const uint8_t address[16],
			     uint16_t port);
// The name of an id in records of `protocol`, likewise; empty if there is none. And whether any were
// learned since the last call.
struct tl_bytes tl_enricher_id_name(void *arg, uint16_t protocol, struct tl_bytes id);
bool tl_enricher_has_news(struct tl_enricher *enricher);
