// SPDX-License-Identifier: Apache-2.0
#include "exporters/elasticsearch/bulk.h"

#include "exporters/record/record.h"
#include "exporters/record/template.h"

#include <jansson.h>
#include <stdio.h>
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

static void set_end(json_t *document, const char *role, const char *twin, const uint8_t address[16],
		    uint8_t ip_version, uint16_t port, uint64_t bytes)
{
	const char *const roles[] = {role, twin};
	struct tl_text text = {0};
	char key[64];

	tl_text_address(&text, address, ip_version);
	for (int i = 0; i < 2; i++) {
		(void)snprintf(key, sizeof(key), "%s.address", roles[i]);
		set_text(document, key, text.data);
		(void)snprintf(key, sizeof(key), "%s.ip", roles[i]);
		set_text(document, key, text.data);
		(void)snprintf(key, sizeof(key), "%s.port", roles[i]);
		(void)json_object_set_new(document, key, json_integer(port));
		(void)snprintf(key, sizeof(key), "%s.bytes", roles[i]);
		(void)json_object_set_new(document, key, json_integer((json_int_t)bytes));
	}
	tl_text_free(&text);
}

static json_t *value_json(const struct tl_field *field, const struct tl_value *value)
{
	struct tl_text text = {0};
	json_t *json;

	switch (field->type) {
	case TL_FIELD_UINT:
	case TL_FIELD_INT:
		return json_integer((json_int_t)tl_value_uint(value));
	case TL_FIELD_BOOL:
		return json_boolean(tl_value_uint(value) != 0);
	case TL_FIELD_REAL:
		return json_real(tl_value_real(value));
	default:
		tl_record_value_text(&text, field, value);
		json = json_string(text.data == NULL ? "" : text.data);
		tl_text_free(&text);
		return json;
	}
}

static void set_fields(json_t *document, const struct tl_decoder *decoder, struct tl_bytes tail)
{
	struct tl_value value;
	uint32_t at = 0;

	while (tl_value_next(tail, &at, &value)) {
		const struct tl_field *field =
			value.field < decoder->field_count ? &decoder->fields[value.field] : NULL;
		if (field == NULL || field->attribute == NULL || field->parent != TL_FIELD_TOP ||
		    field->type == TL_FIELD_MAP || field->type == TL_FIELD_OBJECTS ||
		    field->type == TL_FIELD_BYTES)
			continue;
		const char *key = ecs_name(field->attribute);
		if (json_object_get(document, key) == NULL) // the first of several says the most
			(void)json_object_set_new(document, key, value_json(field, &value));
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

static void set_hex(json_t *document, const char *key, const uint8_t *bytes, size_t count)
{
	char text[33];

	for (size_t i = 0; i < count; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	set_text(document, key, text);
}

static void set_event(json_t *document, const struct tl_roundtrip_signal *signal,
		      const char *protocol)
{
	const struct tl_roundtrip *r = signal->record;
	uint64_t start_ns = tl_roundtrip_time(r);

	set_time(document, "@timestamp", start_ns);
	set_text(document, "ecs.version", ECS_VERSION);
	set_text(document, "event.kind", "event");
	set_text(document, "event.id", signal->names->id);
	set_text(document, "event.dataset", protocol);
	(void)json_object_set_new(document, "event.category", json_pack("[s]", "network"));
	(void)json_object_set_new(document, "event.type", json_pack("[s, s]", "connection",
								    "protocol"));
	set_time(document, "event.start", start_ns);
	set_time(document, "event.end", start_ns + r->duration_ns);
	(void)json_object_set_new(document, "event.duration",
				  json_integer((json_int_t)r->duration_ns));
	set_text(document, "event.outcome", outcome_of(r->status));
	set_text(document, "event.reason", tl_reason_name(r->reason));
}

static void set_orchestrator(json_t *document, const struct tl_workload *server)
{
	if (server == NULL)
		return;
	set_text(document, "orchestrator.type", "kubernetes");
	set_text(document, "orchestrator.namespace", server->ns);
	set_text(document, "orchestrator.resource.type", server->kind);
	set_text(document, "orchestrator.resource.name", server->name);
}

void tl_bulk_roundtrip(struct tl_text *text, const struct tl_roundtrip_signal *signal)
{
	const struct tl_roundtrip *r = signal->record;
	const struct tl_decoder *decoder = tl_decoder_at(r->protocol);
	json_t *document = json_object();

	set_event(document, signal, decoder->name);
	set_end(document, "source", "client", r->client_address, r->ip_version, r->client_port,
		r->request.bytes);
	set_end(document, "destination", "server", r->server_address, r->ip_version, r->server_port,
		r->response.bytes);
	set_text(document, "network.transport", r->l4 == 17 ? "udp" : "tcp");
	set_text(document, "network.type", r->ip_version == 6 ? "ipv6" : "ipv4");
	set_text(document, "network.protocol", decoder->name);
	(void)json_object_set_new(document, "network.bytes",
				  json_integer((json_int_t)(r->request.bytes + r->response.bytes)));
	set_text(document, "service.name", signal->names->server_name);
	set_orchestrator(document, signal->names->server);
	set_text(document, "observer.name", signal->names->probe);
	set_text(document, "observer.type", "probe");
	set_text(document, "observer.product", "tapline");
	if ((r->trace.flags & TL_TRACE_PRESENT) != 0)
		set_hex(document, "trace.id", r->trace.trace_id, sizeof(r->trace.trace_id));
	set_hex(document, "span.id", signal->names->span_id, sizeof(signal->names->span_id));
	set_fields(document, decoder, tl_roundtrip_request_tail(r));
	set_fields(document, decoder, tl_roundtrip_response_tail(r));
	(void)json_object_set_new(document, "tapline", tl_record_json(signal, true));
	char *line = json_dumps(document, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(document);
	tl_text_puts(text, line == NULL ? "{}" : line);
	tl_text_puts(text, "\n");
	free(line);
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
