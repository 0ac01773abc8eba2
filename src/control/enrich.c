// SPDX-License-Identifier: Apache-2.0
#include "control/enrich.h"

#include "base/hash.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define PORTS_MAX 256u       // capture ports a record can name
#define PORT_NAME_BYTES 64u
#define NAME_BYTES_MAX 256u  // of a server name

// One configured name. An all-zero address stands for any.
struct name_row {
	uint8_t address[16];
	uint16_t port; // 0: any
	const char *name;
};

struct tl_enricher {
	char probe[256];
	char ports[PORTS_MAX][PORT_NAME_BYTES];
	struct name_row *rows; // sorted by address, port
	uint32_t row_count;
	uint64_t boot; // random, makes ids of two runs differ
	char name[NAME_BYTES_MAX];
	struct tl_enrichment names;
};

static int compare_rows(const void *a, const void *b)
{
	const struct name_row *left = a, *right = b;
	int order = memcmp(left->address, right->address, sizeof(left->address));
	return order != 0 ? order : (int)left->port - (int)right->port;
}

// "10.0.0.1", "10.0.0.1:80", "[2001:db8::1]:80", "2001:db8::1", ":80".
static bool parse_key(const char *key, struct name_row *ret_row)
{
	char host[INET6_ADDRSTRLEN + 2] = "";
	const char *colon = strrchr(key, ':');
	const char *bracket = strchr(key, ']');
	bool is_plain_v6 = colon != NULL && strchr(key, ':') != colon && bracket == NULL;
	unsigned long port = 0;

	if (colon != NULL && !is_plain_v6 && (bracket == NULL || colon > bracket)) {
		char *end;
		port = strtoul(colon + 1, &end, 10);
		if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port == 0 || port > 65535)
			return false;
	} else {
		colon = key + strlen(key);
	}
	size_t len = (size_t)(colon - key);
	if (len >= 2 && key[0] == '[' && key[len - 1] == ']') {
		key++;
		len -= 2;
	}
	if (len >= sizeof(host))
		return false;
	memcpy(host, key, len);
	*ret_row = (struct name_row) {.port = (uint16_t)port};
	if (len == 0)
		return port != 0;
	if (inet_pton(AF_INET, host, ret_row->address + 12) == 1) {
		ret_row->address[10] = 0xff;
		ret_row->address[11] = 0xff;
		return true;
	}
	return inet_pton(AF_INET6, host, ret_row->address) == 1;
}

int tl_enricher_set_names(struct tl_enricher *e, const struct tl_text_map *names, char *error,
			  uint32_t error_size)
{
	uint32_t count = names == NULL ? 0 : names->count;
	struct name_row *rows = calloc(count + 1, sizeof(*rows));

	if (rows == NULL) {
		(void)snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (!parse_key(names->items[i].key, &rows[i])) {
			(void)snprintf(error, error_size,
				       "names: \"%s\": not an address, address:port or :port",
				       names->items[i].key);
			free(rows);
			return -EINVAL;
		}
		rows[i].name = names->items[i].value;
	}
	qsort(rows, count, sizeof(*rows), compare_rows);
	free(e->rows);
	e->rows = rows;
	e->row_count = count;
	return 0;
}

int tl_enricher_create(const char *probe, const struct tl_text_map *names,
		       struct tl_enricher **ret_enricher, char *error, uint32_t error_size)
{
	struct tl_enricher *e = calloc(1, sizeof(*e));

	if (e == NULL)
		return -ENOMEM;
	int rc = tl_enricher_set_names(e, names, error, error_size);
	if (rc < 0) {
		tl_enricher_destroy(e);
		return rc;
	}
	(void)snprintf(e->probe, sizeof(e->probe), "%s", probe);
	if (getrandom(&e->boot, sizeof(e->boot), 0) != (ssize_t)sizeof(e->boot))
		e->boot = (uint64_t)(uintptr_t)e;
	*ret_enricher = e;
	return 0;
}

void tl_enricher_destroy(struct tl_enricher *enricher)
{
	if (enricher == NULL)
		return;
	free(enricher->rows);
	free(enricher);
}

void tl_enricher_set_port(struct tl_enricher *enricher, uint8_t port, const char *name)
{
	(void)snprintf(enricher->ports[port], PORT_NAME_BYTES, "%s", name);
}

static const char *configured_name(const struct tl_enricher *e, const struct tl_roundtrip *r)
{
	struct name_row wanted[3] = {{.port = r->server_port}, {.port = 0}, {.port = r->server_port}};

	memcpy(wanted[0].address, r->server_address, 16);
	memcpy(wanted[1].address, r->server_address, 16);
	for (uint32_t i = 0; i < 3 && e->row_count != 0; i++) {
		const struct name_row *row = bsearch(&wanted[i], e->rows, e->row_count,
						     sizeof(*e->rows), compare_rows);
		if (row != NULL)
			return row->name;
	}
	return NULL;
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
	const char *configured = configured_name(e, r);
	if (configured != NULL) {
		names->server_name = configured;
		names->name_source = "configured";
	} else if (requested_host(e, r)) {
		names->server_name = e->name;
		names->name_source = "host";
	}
	return names;
}
