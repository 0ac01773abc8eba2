// SPDX-License-Identifier: Apache-2.0
// Spans: attributes from the record's field values by the protocol's table, status and error type
// by the semantic conventions. One ResourceSpans per observed service.
#include "exporters/otlp/otlp.h"

#include "exporters/record/template.h"

#include <stdlib.h>
#include <string.h>

#include "common.pb-c.h"
#include "resource.pb-c.h"
#include "trace.pb-c.h"
#include "trace_service.pb-c.h"

#define SPAN_FLAGS_REMOTE 0x300u // is_remote is known, and true: the parent was in the traffic

// ---- From the control lcore --------------------------------------------------------------------

struct otlp_item *tl_otlp_span_copy(const struct tl_span *span)
{
	struct otlp_item *item = calloc(1, sizeof(*item));

	if (item == NULL)
		return NULL;
	item->copy = tl_record_copy(span->record, span->names, span->name);
	if (item->copy == NULL) {
		free(item);
		return NULL;
	}
	item->span = *span;
	item->span.record = item->copy->signal.record;
	item->span.names = item->copy->signal.names;
	item->span.name = item->copy->text;
	return item;
}

// ---- Attributes --------------------------------------------------------------------------------

// Codes that the conventions want as text although they are numbers.
static bool is_text_code(const char *attribute)
{
	return strcmp(attribute, "db.response.status_code") == 0 ||
	       strcmp(attribute, "db.namespace") == 0 || // Redis: a number
	       strcmp(attribute, "error.type") == 0 ||
	       strcmp(attribute, "messaging.destination.partition.id") == 0;
}

// The conventions have few lists: of other values that a record has several of, the first is told.
// Headers are lists also where a field holds the only one: that header may be captured besides.
static bool is_list(const char *attribute)
{
	return strcmp(attribute, "dns.answers") == 0 ||
	       strncmp(attribute, "http.request.header.", strlen("http.request.header.")) == 0 ||
	       strncmp(attribute, "http.response.header.", strlen("http.response.header.")) == 0;
}

static void add_value(struct otlp_arena *arena, struct otlp_attributes *list,
		      const struct tl_field *field, const struct tl_value *value)
{
	struct tl_text text = {0};

	if (field->type == TL_FIELD_BOOL) {
		tl_otlp_add_bool(arena, list, field->attribute, tl_value_uint(value) != 0);
	} else if (field->type == TL_FIELD_REAL) {
		tl_otlp_add_double(arena, list, field->attribute, tl_value_real(value));
	} else if ((field->type == TL_FIELD_UINT || field->type == TL_FIELD_INT) &&
		   !is_text_code(field->attribute)) {
		tl_otlp_add_int(arena, list, field->attribute, (int64_t)tl_value_uint(value));
	} else {
		tl_record_value_text(&text, field, value);
		if (text.len != 0 && is_list(field->attribute))
			tl_otlp_add_element(arena, list, field->attribute, text.data, text.len);
		else if (text.len != 0)
			tl_otlp_add_text(arena, list, field->attribute, text.data, text.len);
		tl_text_free(&text);
	}
}

static bool is_set(const struct otlp_attributes *list, const char *key)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i]->key, key) == 0)
			return true;
	return false;
}

// "http.request.header." + the header's name, an array as the conventions have it.
static void add_map_value(struct otlp_arena *arena, struct otlp_attributes *list,
			  const struct tl_field *field, const struct tl_value *value)
{
	const char *name = (const char *)value->bytes.ptr;
	size_t name_len = strnlen(name, value->bytes.len);
	struct tl_text key = {0};

	if (name_len == value->bytes.len)
		return;
	tl_text_printf(&key, "%s.%.*s", field->attribute, (int)name_len, name);
	tl_otlp_add_element(arena, list, key.data, name + name_len + 1,
			 value->bytes.len - name_len - 1);
	tl_text_free(&key);
}

static void add_fields(struct otlp_arena *arena, struct otlp_attributes *list,
		       const struct tl_decoder *decoder, struct tl_bytes tail)
{
	struct tl_value value;
	uint32_t at = 0;

	while (tl_value_next(tail, &at, &value)) {
		const struct tl_field *field =
			value.field < decoder->field_count ? &decoder->fields[value.field] : NULL;
		if (field == NULL || field->attribute == NULL || field->parent != TL_FIELD_TOP ||
		    field->type == TL_FIELD_BYTES || field->type == TL_FIELD_OBJECTS)
			continue;
		if (field->type == TL_FIELD_MAP)
			add_map_value(arena, list, field, &value);
		else if (is_list(field->attribute) || !is_set(list, field->attribute))
			add_value(arena, list, field, &value);
	}
}

static void remove_attribute(struct otlp_attributes *list, const char *key)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i]->key, key) == 0)
			list->items[i--] = list->items[--list->count];
}

// The word that stands for a value, NULL: none does.
static const char *mapped(const struct tl_span_word *map, const char *value)
{
	while (map->value != NULL && strcmp(map->value, value) != 0)
		map++;
	return map->word;
}

static void add_ruled(struct otlp_arena *arena, struct otlp_attributes *list,
		      const struct tl_span_attribute *rule, const char *value)
{
	bool is_known = rule->words == NULL;

	for (uint32_t i = 0; rule->other != NULL && i < rule->word_count; i++)
		is_known |= strcmp(rule->words[i], value) == 0;
	remove_attribute(list, rule->name);
	if (rule->map != NULL) {
		if (mapped(rule->map, value) != NULL)
			tl_otlp_add_string(arena, list, rule->name, mapped(rule->map, value));
	} else if (rule->other != NULL) {
		tl_otlp_add_string(arena, list, rule->name, is_known ? value : rule->other);
		if (!is_known)
			tl_otlp_add_string(arena, list, rule->original, value);
	} else if (rule->words != NULL) {
		unsigned long index = strtoul(value, NULL, 10);
		tl_otlp_add_string(arena, list, rule->name,
				index < rule->word_count ? rule->words[index] : value);
	} else {
		tl_otlp_add_string(arena, list, rule->name, value);
	}
}

// What the protocol adds or says in another way than its fields do.
static void add_rule(struct otlp_arena *arena, struct otlp_attributes *list,
		     const struct tl_span_attribute *rule, const struct tl_roundtrip *record)
{
	struct tl_text text = {0};

	if (tl_record_template(&text, rule->value, record))
		add_ruled(arena, list, rule, text.data);
	tl_text_free(&text); // also where it says nothing: it may have begun to
}

static void add_peers(struct otlp_arena *arena, struct otlp_attributes *list,
		      const struct tl_roundtrip *r, const struct tl_span *span)
{
	struct tl_text address = {0};

	tl_text_address(&address, r->server_address, r->ip_version);
	if (!is_set(list, "server.address")) // by Host it is what the client asked for
		tl_otlp_add_string(arena, list, "server.address", address.data);
	tl_otlp_add_int(arena, list, "server.port", r->server_port);
	bool is_server = span->kind == TL_SPAN_SERVER;
	if (is_server) { // the peer of what is observed at the server is the client
		tl_text_clear(&address);
		tl_text_address(&address, r->client_address, r->ip_version);
		tl_otlp_add_string(arena, list, "client.address", address.data);
		tl_otlp_add_int(arena, list, "client.port", r->client_port);
	}
	tl_otlp_add_string(arena, list, "network.peer.address", address.data);
	tl_otlp_add_int(arena, list, "network.peer.port", is_server ? r->client_port : r->server_port);
	tl_otlp_add_string(arena, list, "network.type", r->ip_version == 6 ? "ipv6" : "ipv4");
	tl_otlp_add_string(arena, list, "network.transport", r->l4 == 17 ? "udp" : "tcp");
	tl_text_free(&address);
}

static void add_error(struct otlp_arena *arena, struct otlp_attributes *list,
		      const struct tl_span_rules *rules, const struct tl_roundtrip *record)
{
	struct tl_text text = {0};

	remove_attribute(list, "error.type");
	const char *code = NULL;
	for (size_t i = 0; rules != NULL && rules->error_attribute != NULL && i < list->count; i++)
		if (strcmp(list->items[i]->key, rules->error_attribute) == 0 &&
		    list->items[i]->value->value_case == OTLP__ANY_VALUE__VALUE_STRING_VALUE)
			code = list->items[i]->value->string_value;
	if (code != NULL)
		tl_otlp_add_string(arena, list, "error.type", code);
	else if (record->status <= TL_STATUS_SERVER_ERROR && rules != NULL &&
		 rules->error_type != NULL &&
		 tl_record_template(&text, rules->error_type, record))
		tl_otlp_add_string(arena, list, "error.type", text.data);
	else if (record->reason != TL_REASON_NONE)
		tl_otlp_add_string(arena, list, "error.type", tl_reason_name(record->reason));
	else
		tl_otlp_add_string(arena, list, "error.type", tl_status_name(record->status));
	tl_text_free(&text);
}

// ---- The span ----------------------------------------------------------------------------------

static ProtobufCBinaryData bytes_of(struct otlp_arena *arena, const uint8_t *data, size_t len)
{
	return (ProtobufCBinaryData) {
		.len = len, .data = (uint8_t *)tl_otlp_text(arena, (const char *)data, len)};
}

static void set_attributes(struct otlp_arena *arena, const struct tl_span *span,
			   Otlp__Span *message)
{
	const struct tl_roundtrip *record = span->record;
	const struct tl_decoder *decoder = tl_decoder_at(record->protocol);
	const struct tl_span_rules *rules = decoder->span;
	struct otlp_attributes list = {0};

	add_fields(arena, &list, decoder, tl_roundtrip_request_tail(record));
	add_fields(arena, &list, decoder, tl_roundtrip_response_tail(record));
	add_peers(arena, &list, record, span);
	for (uint32_t i = 0; rules != NULL && rules->attributes != NULL &&
			     rules->attributes[i].name != NULL; i++)
		add_rule(arena, &list, &rules->attributes[i], record);
	if (span->is_error)
		add_error(arena, &list, rules, record);
	else // the conventions: none on success
		remove_attribute(&list, "error.type");
	if (span->names->client != NULL)
		tl_otlp_add_workload(arena, &list, "client.", span->names->client);
	tl_otlp_add_string(arena, &list, "tapline.status", tl_status_name(record->status));
	tl_otlp_add_string(arena, &list, "tapline.record.id", span->names->id);
	message->attributes = list.items;
	message->n_attributes = list.count;
}

static Otlp__Span *make_span(struct otlp_arena *arena, const struct tl_span *span)
{
	static const uint8_t root[8];
	Otlp__Span *message = tl_otlp_take(arena, sizeof(*message));

	otlp__span__init(message);
	message->trace_id = bytes_of(arena, span->trace_id, sizeof(span->trace_id));
	message->span_id = bytes_of(arena, span->span_id, sizeof(span->span_id));
	message->flags = span->is_sampled ? 1 : 0;
	if (memcmp(span->parent_span_id, root, sizeof(root)) != 0) {
		message->parent_span_id =
			bytes_of(arena, span->parent_span_id, sizeof(span->parent_span_id));
		message->flags |= SPAN_FLAGS_REMOTE;
	}
	struct otlp_attributes name = {0}; // by the way of an attribute: a valid string
	tl_otlp_add_text(arena, &name, "", span->name, strlen(span->name));
	message->name = name.items[0]->value->string_value;
	message->kind = (Otlp__Span__SpanKind)span->kind;
	message->start_time_unix_nano = span->start_ns;
	message->end_time_unix_nano = span->end_ns;
	message->status = tl_otlp_take(arena, sizeof(*message->status));
	otlp__status__init(message->status);
	if (span->is_error)
		message->status->code = OTLP__STATUS__STATUS_CODE__STATUS_CODE_ERROR;
	set_attributes(arena, span, message);
	return message;
}

// ---- The batch ---------------------------------------------------------------------------------

static const char *service_of(struct otlp_arena *arena, const struct tl_span *span)
{
	struct tl_text name = {0};

	if (span->names->server_name[0] != '\0')
		return span->names->server_name;
	tl_text_address(&name, span->record->server_address, span->record->ip_version);
	tl_text_printf(&name, ":%u", span->record->server_port);
	const char *copy = tl_otlp_text(arena, name.data, name.len);
	tl_text_free(&name);
	return copy;
}

struct placed {
	const char *service;
	const char *ns, *pod; // where it runs, "" if that isn't known
	uint32_t order;       // of arrival
	const struct tl_span *span;
};

static int compare_resources(const struct placed *a, const struct placed *b)
{
	int order = strcmp(a->service, b->service);

	if (order == 0)
		order = strcmp(a->ns, b->ns);
	return order != 0 ? order : strcmp(a->pod, b->pod);
}

static int by_service(const void *left, const void *right)
{
	const struct placed *a = left, *b = right;
	int order = compare_resources(a, b);

	return order != 0 ? order : (a->order > b->order) - (a->order < b->order);
}

static struct placed place(struct otlp_arena *arena, const struct tl_span *span, uint32_t order)
{
	const struct tl_workload *server = span->names->server;

	return (struct placed) {.service = service_of(arena, span),
				.ns = server == NULL ? "" : server->ns,
				.pod = server == NULL ? "" : server->pod,
				.order = order,
				.span = span};
}

// `count` spans of one service in one place.
static Otlp__ResourceSpans *make_resource(struct otlp_arena *arena,
					  const struct otlp_identity *identity,
					  const struct placed *placed, uint32_t count)
{
	Otlp__ResourceSpans *one = tl_otlp_take(arena, sizeof(*one));
	Otlp__ScopeSpans *scope = tl_otlp_take(arena, sizeof(*scope));

	otlp__resource_spans__init(one);
	otlp__scope_spans__init(scope);
	one->resource = tl_otlp_resource(arena, identity, placed[0].service,
					  placed[0].span->names->server);
	one->schema_url = tl_otlp_text(arena, OTLP_SCHEMA_URL, strlen(OTLP_SCHEMA_URL));
	one->n_scope_spans = 1;
	one->scope_spans = tl_otlp_take(arena, sizeof(Otlp__ScopeSpans *));
	one->scope_spans[0] = scope;
	scope->scope = tl_otlp_scope(arena, identity->version);
	scope->schema_url = one->schema_url;
	scope->spans = tl_otlp_take(arena, count * sizeof(Otlp__Span *));
	for (uint32_t i = 0; i < count; i++)
		scope->spans[scope->n_spans++] = make_span(arena, placed[i].span);
	return one;
}

void tl_otlp_encode_spans(const struct otlp_identity *identity, const struct otlp_item *first,
			  uint32_t count, struct tl_text *ret_payload)
{
	struct otlp_arena arena = {0};
	Otlp__ExportTraceServiceRequest request = OTLP__EXPORT_TRACE_SERVICE_REQUEST__INIT;
	struct placed *placed = tl_otlp_take(&arena, count * sizeof(*placed));

	for (uint32_t i = 0; i < count; i++) {
		placed[i] = place(&arena, &first->span, i);
		first = (const struct otlp_item *)first->head.next;
	}
	qsort(placed, count, sizeof(*placed), by_service);
	request.resource_spans = tl_otlp_take(&arena, count * sizeof(Otlp__ResourceSpans *));
	for (uint32_t from = 0, to = 0; from < count; from = to) {
		while (to < count && compare_resources(&placed[to], &placed[from]) == 0)
			to++;
		request.resource_spans[request.n_resource_spans++] =
			make_resource(&arena, identity, placed + from, to - from);
	}
	tl_otlp_pack(&request.base, ret_payload);
	tl_otlp_empty(&arena);
}
