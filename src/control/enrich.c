// SPDX-License-Identifier: Apache-2.0
#include "control/enrich.h"

#include "base/hash.h"
#include "base/text.h"
#include "control/heard.h"
#include "control/naming.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define PORTS_MAX 256u       // capture ports a record can name
#define PORT_NAME_BYTES 64u
#define NAME_BYTES_MAX 256u  // of a server name

struct tl_enricher {
	char probe[256];
	char ports[PORTS_MAX][PORT_NAME_BYTES];
	struct tl_services *services;
	struct tl_heard *heard;
	struct tl_namer *namer;
	struct tl_kube *kube;
	struct tl_kube_place client, server;
	struct tl_kube_place asked; // for a label
	uint64_t boot; // random, makes ids of two runs differ
	char name[NAME_BYTES_MAX];
	struct tl_enrichment names;
};

void tl_enricher_set_services(struct tl_enricher *enricher, struct tl_services *services)
{
	tl_services_destroy(enricher->services);
	enricher->services = services;
}

void tl_enricher_set_kube(struct tl_enricher *enricher, struct tl_kube *kube)
{
	enricher->kube = kube;
}

struct tl_enricher *tl_enricher_create(const char *probe)
{
	struct tl_enricher *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->heard = tl_heard_create();
	e->namer = tl_namer_create();
	if (e->heard == NULL || e->namer == NULL) {
		tl_enricher_destroy(e);
		return NULL;
	}
	(void)snprintf(e->probe, sizeof(e->probe), "%s", probe);
	if (getrandom(&e->boot, sizeof(e->boot), 0) != (ssize_t)sizeof(e->boot))
		e->boot = (uint64_t)(uintptr_t)e;
	return e;
}

void tl_enricher_destroy(struct tl_enricher *enricher)
{
	if (enricher == NULL)
		return;
	tl_services_destroy(enricher->services);
	tl_heard_destroy(enricher->heard);
	tl_namer_destroy(enricher->namer);
	free(enricher);
}

void tl_enricher_set_port(struct tl_enricher *enricher, uint8_t port, const char *name)
{
	(void)snprintf(enricher->ports[port], PORT_NAME_BYTES, "%s", name);
}

static const char *configured_name(const struct tl_enricher *e, const uint8_t address[16],
				   uint16_t port)
{
	return e->services == NULL ? NULL : tl_services_name(e->services, address, port);
}

// The host the client asked for: the request field that OpenTelemetry knows as server.address,
// without its port.
static bool requested_host(struct tl_enricher *e, const struct tl_roundtrip *r)
{
	const struct tl_decoder *decoder = tl_decoder_at(r->protocol);
	struct tl_value value;

	for (uint32_t at = 0; tl_value_next(tl_roundtrip_request_tail(r), &at, &value);) {
		if (value.field >= decoder->field_count)
			continue;
		const struct tl_field *field = &decoder->fields[value.field];
		if (field->attribute == NULL || field->type != TL_FIELD_TEXT ||
		    strcmp(field->attribute, "server.address") != 0)
			continue;
		struct tl_bytes host = value.bytes;
		if (host.len != 0 && host.ptr[0] == '[') // an IPv6 literal
			return false;
		uint32_t colon = tl_bytes_find(host, ':', 0);
		if (colon != TL_BYTES_NONE)
			host = tl_bytes_first(host, colon);
		if (host.len == 0 || host.len >= sizeof(e->name))
			return false;
		memcpy(e->name, host.ptr, host.len);
		e->name[host.len] = '\0';
		struct in_addr literal; // says no more than the address itself
		return inet_pton(AF_INET, e->name, &literal) != 1;
	}
	return false;
}

// 48 bits of time, 24 of the run, 8 of the worker, 48 of its serial, in Crockford's base 32: ids
// of one probe sort by time.
static void make_id(const struct tl_enricher *e, const struct tl_roundtrip *r, char ret_id[27])
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint64_t ms = tl_roundtrip_time(r) / 1000000 & ((UINT64_C(1) << 48) - 1);
	uint64_t low = (r->serial & ((UINT64_C(1) << 48) - 1)) | (uint64_t)r->worker << 48 |
		       (e->boot & 0xff) << 56;
	unsigned __int128 id = (unsigned __int128)ms << 80 |
			       (unsigned __int128)(e->boot >> 8 & 0xffff) << 64 | low;

	for (int i = 25; i >= 0; i--, id >>= 5)
		ret_id[i] = digits[(unsigned)id & 31];
	ret_id[26] = '\0';
}

const struct tl_roundtrip *tl_enrich_values(struct tl_enricher *enricher,
					    const struct tl_roundtrip *record)
{
	return tl_namer_name(enricher->namer, record);
}

// A client's port is drawn at random and says nothing.
static void place(struct tl_enricher *e, const struct tl_roundtrip *r)
{
	if (e->kube == NULL)
		return;
	if (tl_kube_find(e->kube, r->client_address, 0, &e->client))
		e->names.client = &e->client.workload;
	if (tl_kube_find(e->kube, r->server_address, r->server_port, &e->server))
		e->names.server = &e->server.workload;
}

void tl_enricher_asked(struct tl_enricher *e, const struct tl_asked *asked)
{
	tl_heard_ask(e->heard, TL_HEARD_SNI, asked->server_address, asked->server_port, asked->name,
		     asked->time_ns);
}

// The name of the server that others asked for, or that DNS told, in e->names.
static void name_by_others(struct tl_enricher *e, const struct tl_roundtrip *r)
{
	uint64_t now_ns = tl_roundtrip_time(r);
	enum tl_heard_asked asked;
	const char *name =
		tl_heard_asked_name(e->heard, r->server_address, r->server_port, now_ns, &asked);

	if (name != NULL) {
		e->names.server_name = name;
		e->names.name_source = asked == TL_HEARD_SNI ? "sni" : "host_seen";
		return;
	}
	name = tl_heard_name(e->heard, r->client_address, r->server_address, now_ns);
	if (name == NULL)
		return;
	e->names.server_name = name;
	e->names.name_source = "dns";
}

const struct tl_enrichment *tl_enrich(struct tl_enricher *e, const struct tl_roundtrip *r)
{
	struct tl_enrichment *names = &e->names;
	uint64_t key[2] = {(uint64_t)r->worker, r->serial};
	uint64_t span = tl_hash64(key, sizeof(key), e->boot) | 1; // all zero is no span id

	*names = (struct tl_enrichment) {
		.probe = e->probe,
		.port_name = e->ports[r->port],
		.server_name = "",
		.name_source = "",
	};
	memcpy(names->span_id, &span, sizeof(names->span_id));
	make_id(e, r, names->id);
	tl_heard_record(e->heard, r);
	place(e, r);
	const char *configured = configured_name(e, r->server_address, r->server_port);
	if (configured != NULL) {
		names->server_name = configured;
		names->name_source = "configured";
	} else if (names->server != NULL) {
		names->server_name = names->server->name;
		names->name_source = "kubernetes";
	} else if (requested_host(e, r)) {
		names->server_name = e->name;
		names->name_source = "host";
		// What a server doesn't answer well may be no name of its.
		if (r->status == TL_STATUS_OK)
			tl_heard_ask(e->heard, TL_HEARD_HOST, r->server_address, r->server_port,
				     e->name, tl_roundtrip_time(r));
	} else {
		name_by_others(e, r);
	}
	return names;
}

static const char *service_name(struct tl_enricher *e, const uint8_t address[16], uint16_t port)
{
	static const uint8_t anyone[16];
	enum tl_heard_asked asked;
	const char *name = configured_name(e, address, port);

	if (name == NULL && e->kube != NULL && tl_kube_find(e->kube, address, port, &e->asked))
		name = e->asked.workload.name;
	// Series live longer than packets tell: whatever was heard last counts.
	if (name == NULL)
		name = tl_heard_asked_name(e->heard, address, port, 0, &asked);
	return name != NULL ? name : tl_heard_name(e->heard, anyone, address, 0);
}

const char *tl_enricher_name(void *arg, enum tl_name_of what, const uint8_t address[16],
			     uint16_t port)
{
	struct tl_enricher *e = arg;
	const struct tl_workload *found = &e->asked.workload;

	if (what == TL_NAME_OF_SERVICE)
		return service_name(e, address, port);
	if (e->kube == NULL || !tl_kube_find(e->kube, address, port, &e->asked))
		return NULL;
	if (what == TL_NAME_OF_NAMESPACE)
		return found->ns;
	return what == TL_NAME_OF_POD ? found->pod : found->name;
}

struct tl_bytes tl_enricher_id_name(void *arg, uint16_t protocol, struct tl_bytes id)
{
	const struct tl_enricher *e = arg;

	return tl_namer_find(e->namer, protocol, id);
}

bool tl_enricher_has_news(struct tl_enricher *e)
{
	return tl_namer_has_news(e->namer);
}
