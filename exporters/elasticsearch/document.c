// SPDX-License-Identifier: Apache-2.0
#include "exporters/elasticsearch/bulk.h"

#include "base/json.h"
#include "exporters/record/record.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define ECS_VERSION "8.11.0"

// Attributes of OpenTelemetry that ECS has under another name.
static const struct {
	const char *attribute, *ecs;
} renamed[] = {
	{"network.protocol.version", "http.version"},
	{"server.address", "url.domain"}, // of Host: the server's own address is another field
	{"dns.question.class", "dns.question.class"},
	{"dns.response_code", "dns.response_code"},
	{"dns.id", "dns.id"},
	{"db.user", "user.name"},
	{"db.response.status_code", "error.code"},
};

static const char *ecs_name(const char *attribute)
{
	for (size_t i = 0; i < sizeof(renamed) / sizeof(renamed[0]); i++)
		if (strcmp(renamed[i].attribute, attribute) == 0)
			return renamed[i].ecs;
	return attribute;
}

// `key` with the comma before and the colon behind it; nothing without a value.
static void put_text(struct tl_text *text, const char *key, const char *value)
{
	if (value[0] == '\0')
		return;
	tl_json_raw(text, key);
	tl_json_string(text, tl_bytes_of(value), false);
}

static void put_number(struct tl_text *text, const char *key, uint64_t value)
{
	tl_json_raw(text, key);
	tl_text_int(text, (int64_t)value);
}

static void put_time(struct tl_text *text, const char *key, uint64_t ns)
{
	tl_json_raw(text, key);
	tl_json_raw(text, "\"");
	tl_text_time_utc(text, ns);
	tl_json_raw(text, "\"");
}

static void put_hex(struct tl_text *text, const char *key, const uint8_t *bytes, uint32_t count)
{
	tl_json_raw(text, key);
	tl_json_raw(text, "\"");
	tl_text_hex(text, bytes, count);
	tl_json_raw(text, "\"");
}

// One end of a connection, under both of its names.
struct end {
	const char *roles[2];
	const uint8_t *address;
	uint8_t ip_version;
	uint16_t port;
	uint64_t bytes;
};

static void put_role_key(struct tl_text *text, const char *role, const char *rest)
{
	tl_json_raw(text, ",\"");
	tl_text_puts(text, role);
	tl_json_raw(text, rest);
}

static void put_end(struct tl_text *text, const struct end *end)
{
	static const char *const addresses[] = {".address\":\"", ".ip\":\""};

	for (int i = 0; i < 2; i++) {
		const char *role = end->roles[i];
		for (int a = 0; a < 2; a++) {
			put_role_key(text, role, addresses[a]);
			tl_text_address(text, end->address, end->ip_version);
			tl_json_raw(text, "\"");
		}
		put_role_key(text, role, ".port\":");
		tl_text_uint(text, end->port);
		put_role_key(text, role, ".bytes\":");
		tl_text_int(text, (int64_t)end->bytes);
	}
}

// A text as far as it is one: up to a NUL.
static void put_value_text(struct tl_text *text, const struct tl_value *value)
{
	uint32_t nul = tl_bytes_find(value->bytes, 0, 0);

	tl_json_string(text, tl_bytes_first(value->bytes, nul),
		       nul == TL_BYTES_NONE && value->full_len > value->bytes.len);
}

static void put_value(struct tl_text *text, const struct tl_field *field,
		      const struct tl_value *value)
{
	switch (field->type) {
	case TL_FIELD_UINT:
	case TL_FIELD_INT:
		tl_text_int(text, (int64_t)tl_value_uint(value));
		return;
	case TL_FIELD_BOOL:
		tl_json_raw(text, tl_value_uint(value) != 0 ? "true" : "false");
		return;
	default:
		put_value_text(text, value);
	}
}

// Attributes in a document so far. Two fields may have the same one: the first says the most.
struct written {
	const char *keys[TL_FIELDS_MAX];
	uint32_t count;
};

static bool is_new_key(struct written *written, const char *key)
{
	for (uint32_t i = 0; i < written->count; i++)
		if (strcmp(written->keys[i], key) == 0)
			return false;
	if (written->count == TL_FIELDS_MAX)
		return false;
	written->keys[written->count++] = key;
	return true;
}

static bool has_attribute(const struct tl_field *field)
{
	return field->attribute != NULL && field->parent == TL_FIELD_TOP &&
	       field->type != TL_FIELD_MAP && field->type != TL_FIELD_OBJECTS &&
	       field->type != TL_FIELD_BYTES && field->type != TL_FIELD_REAL;
}

static void put_fields(struct tl_text *text, struct written *written,
		       const struct tl_decoder *decoder, struct tl_bytes tail)
{
	struct tl_value value;
	uint32_t at = 0;

	while (tl_value_next(tail, &at, &value)) {
		const struct tl_field *field =
			value.field < decoder->field_count ? &decoder->fields[value.field] : NULL;
		if (field == NULL || !has_attribute(field))
			continue;
		const char *key = ecs_name(field->attribute);
		if (!is_new_key(written, key))
			continue;
		tl_json_raw(text, ",");
		tl_json_key(text, key);
		put_value(text, field, &value);
	}
}

static const char *outcome_of(uint8_t status)
{
	switch (status) {
	case TL_STATUS_OK:
		return "success";
	case TL_STATUS_ONE_WAY:
	case TL_STATUS_ORPHAN:
		return "unknown";
	default:
		return "failure";
	}
}

static void put_event(struct tl_text *text, const struct tl_roundtrip_signal *signal,
		      const char *protocol)
{
	const struct tl_roundtrip *r = signal->record;
	uint64_t start_ns = tl_roundtrip_time(r);

	put_time(text, "\"@timestamp\":", start_ns);
	tl_json_raw(text, ",\"ecs.version\":\"" ECS_VERSION "\",\"event.kind\":\"event\"");
	put_text(text, ",\"event.id\":", signal->names->id);
	put_text(text, ",\"event.dataset\":", protocol);
	tl_json_raw(text, ",\"event.category\":[\"network\"]"
			  ",\"event.type\":[\"connection\",\"protocol\"]");
	put_time(text, ",\"event.start\":", start_ns);
	put_time(text, ",\"event.end\":", start_ns + r->duration_ns);
	put_number(text, ",\"event.duration\":", r->duration_ns);
	put_text(text, ",\"event.outcome\":", outcome_of(r->status));
	put_text(text, ",\"event.reason\":", tl_reason_name(r->reason));
}

static void put_network(struct tl_text *text, const struct tl_roundtrip *r, const char *protocol)
{
	const struct end client = {
		{"source", "client"}, r->client_address, r->ip_version, r->client_port,
		r->request.bytes,
	};
	const struct end server = {
		{"destination", "server"}, r->server_address, r->ip_version, r->server_port,
		r->response.bytes,
	};

	put_end(text, &client);
	put_end(text, &server);
	put_text(text, ",\"network.transport\":", r->l4 == 17 ? "udp" : "tcp");
	put_text(text, ",\"network.type\":", r->ip_version == 6 ? "ipv6" : "ipv4");
	put_text(text, ",\"network.protocol\":", protocol);
	put_number(text, ",\"network.bytes\":", r->request.bytes + r->response.bytes);
}

static void put_names(struct tl_text *text, const struct tl_roundtrip_signal *signal)
{
	const struct tl_roundtrip *r = signal->record;
	const struct tl_workload *server = signal->names->server;

	put_text(text, ",\"service.name\":", signal->names->server_name);
	if (server != NULL) {
		tl_json_raw(text, ",\"orchestrator.type\":\"kubernetes\"");
		put_text(text, ",\"orchestrator.namespace\":", server->ns);
		put_text(text, ",\"orchestrator.resource.type\":", server->kind);
		put_text(text, ",\"orchestrator.resource.name\":", server->name);
	}
	put_text(text, ",\"observer.name\":", signal->names->probe);
	tl_json_raw(text, ",\"observer.type\":\"probe\",\"observer.product\":\"tapline\"");
	if ((r->trace.flags & TL_TRACE_PRESENT) != 0)
		put_hex(text, ",\"trace.id\":", r->trace.trace_id, sizeof(r->trace.trace_id));
	put_hex(text, ",\"span.id\":", signal->names->span_id, sizeof(signal->names->span_id));
}

void tl_bulk_roundtrip(struct tl_text *text, const struct tl_roundtrip_signal *signal)
{
	const struct tl_roundtrip *r = signal->record;
	const struct tl_decoder *decoder = tl_decoder_at(r->protocol);
	struct written written = {.count = 0};
	size_t before = text->len;

	tl_json_raw(text, "{");
	put_event(text, signal, decoder->name);
	put_network(text, r, decoder->name);
	put_names(text, signal);
	put_fields(text, &written, decoder, tl_roundtrip_request_tail(r));
	put_fields(text, &written, decoder, tl_roundtrip_response_tail(r));
	tl_json_raw(text, ",\"tapline\":");
	if (!tl_record_json(text, signal, true)) {
		text->len = before;
		tl_json_raw(text, "{"); // its action has been written: a document has to follow
	}
	tl_json_raw(text, "}\n");
}

// ---- Events, of which there are few: by the library ----------------------------------------------

static void set_text(json_t *document, const char *key, const char *value)
{
	if (value[0] != '\0')
		(void)json_object_set_new(document, key, json_string(value));
}

static void set_time(json_t *document, const char *key, uint64_t ns)
{
	struct tl_text text = {0};

	tl_text_time_utc(&text, ns);
	set_text(document, key, text.data);
	tl_text_free(&text);
}

void tl_bulk_event(struct tl_text *text, const struct tl_event *event, const char *probe)
{
	json_t *document = json_object();
	json_t *stored = json_loads(event->json, 0, NULL);

	set_time(document, "@timestamp", event->time_ns);
	set_text(document, "ecs.version", ECS_VERSION);
	set_text(document, "event.kind", "event");
	set_text(document, "event.dataset", event->source);
	(void)json_object_set_new(document, "event.category", json_pack("[s]", "host"));
	(void)json_object_set_new(document, "event.type", json_pack("[s]", "info"));
	set_text(document, "observer.name", probe);
	set_text(document, "observer.type", "probe");
	set_text(document, "observer.product", "tapline");
	if (json_is_object(stored)) // the keys that readers of stored events know
		(void)json_object_update_missing(document, stored);
	json_decref(stored);
	char *line = json_dumps(document, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(document);
	tl_text_puts(text, line == NULL ? "{}" : line);
	tl_text_puts(text, "\n");
	free(line);
}
