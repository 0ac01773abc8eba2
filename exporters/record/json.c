// SPDX-License-Identifier: Apache-2.0
#include "exporters/record/record.h"

#include <inttypes.h>
#include <stdio.h>

static void set(json_t *object, const char *key, json_t *value)
{
	// Takes `value`, also a NULL one after a failed allocation: a record without one
	// member is better than none.
	(void)json_object_set_new_nocheck(object, key, value);
}

static json_t *utf8_string(struct tl_bytes bytes, bool is_cut)
{
	struct tl_text text = {0};
	tl_text_utf8(&text, bytes, is_cut);
	json_t *value = json_stringn_nocheck(text.data == NULL ? "" : text.data, text.len);
	tl_text_free(&text);
	return value;
}

static json_t *time_string(uint64_t ns)
{
	struct tl_text text = {0};
	tl_text_time_utc(&text, ns);
	json_t *value = json_stringn_nocheck(text.data, text.len);
	tl_text_free(&text);
	return value;
}

static json_t *hex_string(const uint8_t *bytes, uint32_t len)
{
	char hex[33];
	for (uint32_t i = 0; i < len; i++)
		(void)snprintf(hex + (size_t)2 * i, 3, "%02x", bytes[i]);
	return json_stringn_nocheck(hex, (size_t)2 * len);
}

static json_t *base64_object(struct tl_bytes bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct tl_text text = {0};

	for (uint32_t i = 0; i < bytes.len; i += 3) {
		uint32_t left = bytes.len - i;
		uint32_t word = (uint32_t)bytes.ptr[i] << 16;
		if (left > 1)
			word |= (uint32_t)bytes.ptr[i + 1] << 8;
		if (left > 2)
			word |= bytes.ptr[i + 2];
		char quad[4] = {digits[word >> 18], digits[word >> 12 & 63],
				left > 1 ? digits[word >> 6 & 63] : '=',
				left > 2 ? digits[word & 63] : '='};
		tl_text_add(&text, quad, sizeof(quad));
	}
	json_t *object = json_object();
	set(object, "base64", json_stringn_nocheck(text.data == NULL ? "" : text.data, text.len));
	tl_text_free(&text);
	return object;
}

static json_t *scalar(const struct tl_field *field, const struct tl_value *value)
{
	char digits[24];

	switch (field->type) {
	case TL_FIELD_UINT:
		if ((field->flags & TL_FIELD_WIDE) == 0)
			return json_integer((json_int_t)tl_value_uint(value));
		(void)snprintf(digits, sizeof(digits), "%" PRIu64, tl_value_uint(value));
		return json_string_nocheck(digits);
	case TL_FIELD_INT:
		if ((field->flags & TL_FIELD_WIDE) == 0)
			return json_integer((json_int_t)tl_value_uint(value));
		(void)snprintf(digits, sizeof(digits), "%" PRId64, (int64_t)tl_value_uint(value));
		return json_string_nocheck(digits);
	case TL_FIELD_BOOL:
		return json_boolean(tl_value_uint(value) != 0);
	case TL_FIELD_REAL:
		return json_real(tl_value_real(value));
	case TL_FIELD_BYTES:
		return base64_object(value->bytes);
	default:
		return utf8_string(value->bytes, value->full_len > value->bytes.len);
	}
}

// Adds `value` under `key`; a second one turns the member into a list.
static void add_repeatable(json_t *object, const char *key, json_t *value)
{
	json_t *present = json_object_get(object, key);

	if (present == NULL) {
		set(object, key, value);
	} else if (json_is_array(present)) {
		(void)json_array_append_new(present, value);
	} else {
		json_t *list = json_array();
		(void)json_array_append(list, present);
		(void)json_array_append_new(list, value);
		set(object, key, list);
	}
}

// "headers": {"name": "text"}: the value is the name, a NUL, the text.
static void add_map_entry(json_t *object, const struct tl_field *field,
			  const struct tl_value *value)
{
	uint32_t nul = tl_bytes_find(value->bytes, 0, 0);
	if (nul == TL_BYTES_NONE)
		return;
	json_t *map = json_object_get(object, field->name);
	if (map == NULL) {
		map = json_object();
		set(object, field->name, map);
	}
	struct tl_text name = {0};
	tl_text_utf8(&name, tl_bytes_first(value->bytes, nul), false);
	if (name.data != NULL)
		add_repeatable(map, name.data,
			       utf8_string(tl_bytes_from(value->bytes, nul + 1),
					   value->full_len > value->bytes.len));
	tl_text_free(&name);
}

static json_t *list_of(json_t *object, const char *key)
{
	json_t *list = json_object_get(object, key);
	if (list == NULL) {
		list = json_array();
		set(object, key, list);
	}
	return list;
}

// The newest object of the OBJECTS field `parent`, where a member value belongs.
static json_t *newest_object(json_t *half, const struct tl_field *parent)
{
	json_t *list = list_of(half, parent->name);
	size_t count = json_array_size(list);
	if (count == 0) {
		(void)json_array_append_new(list, json_object());
		count = 1;
	}
	return json_array_get(list, count - 1);
}

static void add_value(json_t *half, const struct tl_decoder *decoder, const struct tl_value *value)
{
	char length_key[64];

	if (value->field >= decoder->field_count)
		return;
	const struct tl_field *field = &decoder->fields[value->field];
	json_t *object = half;
	if (field->parent != TL_FIELD_TOP && field->parent < decoder->field_count)
		object = newest_object(half, &decoder->fields[field->parent]);
	if (field->type == TL_FIELD_OBJECTS) {
		(void)json_array_append_new(list_of(object, field->name), json_object());
	} else if (field->type == TL_FIELD_MAP) {
		add_map_entry(object, field, value);
	} else if ((field->flags & TL_FIELD_REPEATED) != 0) {
		(void)json_array_append_new(list_of(object, field->name), scalar(field, value));
	} else {
		set(object, field->name, scalar(field, value));
		if (value->full_len > value->bytes.len) {
			(void)snprintf(length_key, sizeof(length_key), "%s_length", field->name);
			set(object, length_key, json_integer(value->full_len));
		}
	}
}

static json_t *half_json(const struct tl_decoder *decoder, const struct tl_half *half,
			 struct tl_bytes tail)
{
	struct tl_value value;

	if (half->seen == 0)
		return json_null();
	json_t *object = json_object();
	set(object, "time", time_string(half->first_ns));
	set(object, "bytes", json_integer((json_int_t)half->bytes));
	set(object, "body_bytes", json_integer((json_int_t)half->body_bytes));
	for (uint32_t at = 0; tl_value_next(tail, &at, &value);)
		add_value(object, decoder, &value);
	return object;
}

static json_t *endpoint_json(const uint8_t address[16], uint8_t ip_version, uint16_t port)
{
	struct tl_text text = {0};
	json_t *object = json_object();

	tl_text_address(&text, address, ip_version);
	set(object, "address", json_stringn_nocheck(text.data, text.len));
	set(object, "port", json_integer(port));
	tl_text_free(&text);
	return object;
}

static void set_text(json_t *object, const char *key, const char *text)
{
	if (text[0] != '\0')
		set(object, key, utf8_string(tl_bytes_of(text), false));
}

static void set_workload(json_t *endpoint, const struct tl_workload *workload)
{
	if (workload == NULL)
		return;
	json_t *object = json_object();
	set_text(object, "namespace", workload->ns);
	set_text(object, "kind", workload->kind);
	set_text(object, "name", workload->name);
	set_text(object, "pod", workload->pod);
	set_text(object, "node", workload->node);
	set(endpoint, "kubernetes", object);
}

// "vxlan:42", without the number where there is none.
static json_t *layer_json(enum tl_tunnel kind, uint32_t id)
{
	char text[32];
	const char *name = kind == TL_TUNNEL_NONE ? "vlan" : tl_tunnel_name(kind);

	if (id != 0)
		(void)snprintf(text, sizeof(text), "%s:%" PRIu32, name, id);
	else
		(void)snprintf(text, sizeof(text), "%s", name);
	return json_string_nocheck(text);
}

// Outermost first. What was cut off is not lost: the innermost one is `tunnel`.
static void set_path(json_t *object, const struct tl_roundtrip *r)
{
	struct tl_path path;

	if (!tl_roundtrip_path(r, &path))
		return;
	json_t *list = json_array();
	for (uint32_t i = 0; i < path.count && i < TL_LAYERS_KEPT_MAX; i++)
		(void)json_array_append_new(list,
					    layer_json((enum tl_tunnel)path.kinds[i], path.ids[i]));
	set(object, "encapsulation", list);
	if (path.count > TL_LAYERS_KEPT_MAX)
		set(object, "encapsulation_length", json_integer(path.count));
}

static json_t *connection_json(const struct tl_roundtrip *r, const struct tl_enrichment *names)
{
	json_t *object = json_object();
	char text[32];

	(void)snprintf(text, sizeof(text), "%016" PRIx64, r->connection_id);
	set(object, "id", json_string_nocheck(text));
	if (names->port_name[0] != '\0')
		set(object, "port", utf8_string(tl_bytes_of(names->port_name), false));
	if (r->rtt_us != 0)
		set(object, "rtt_ns", json_integer((json_int_t)r->rtt_us * 1000));
	if (r->outer.vlan_count != 0) {
		json_t *list = json_array();
		for (uint32_t i = 0; i < r->outer.vlan_count && i < TL_VLANS_KEPT_MAX; i++)
			(void)json_array_append_new(list, json_integer(r->outer.vlans[i]));
		set(object, "vlan", list);
	}
	if (r->outer.tunnel != TL_TUNNEL_NONE)
		set(object, "tunnel",
		    layer_json((enum tl_tunnel)r->outer.tunnel, r->outer.tunnel_id));
	set_path(object, r);
	if (r->proxied_port != 0) {
		static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
		uint8_t version = memcmp(r->proxied_address, mapped, sizeof(mapped)) == 0 ? 4 : 6;
		set(object, "proxied_client",
		    endpoint_json(r->proxied_address, version, r->proxied_port));
	}
	return object;
}

static json_t *timing_json(const struct tl_roundtrip *r)
{
	json_t *object = json_object();
	set(object, "request_ns", json_integer((json_int_t)r->request_ns));
	set(object, "server_ns", json_integer((json_int_t)r->server_ns));
	set(object, "response_ns", json_integer((json_int_t)r->response_ns));
	set(object, "stall_ns", json_integer((json_int_t)r->stall_ns));
	if (r->wait_ns != 0)
		set(object, "wait_ns", json_integer((json_int_t)r->wait_ns));
	return object;
}

static json_t *trace_json(const struct tl_roundtrip *r, const struct tl_enrichment *names)
{
	static const uint8_t none[8];
	json_t *object = json_object();

	set(object, "trace_id", hex_string(r->trace.trace_id, 16));
	if (memcmp(r->trace.parent_span_id, none, sizeof(none)) != 0)
		set(object, "parent_span_id", hex_string(r->trace.parent_span_id, 8));
	set(object, "span_id", hex_string(names->span_id, 8));
	if ((r->trace.flags & TL_TRACE_HAS_SAMPLED) != 0)
		set(object, "sampled", json_boolean((r->trace.flags & TL_TRACE_SAMPLED) != 0));
	return object;
}

static json_t *flags_json(uint32_t flags)
{
#define FLAG_ROW(id, bit, word) {TL_FLAG_##id, word},
	static const struct {
		uint32_t flag;
		const char *word;
	} rows[] = {TL_ROUNDTRIP_FLAGS(FLAG_ROW)};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if ((flags & rows[i].flag) != 0)
			(void)json_array_append_new(list, json_string_nocheck(rows[i].word));
	return list;
}

json_t *tl_record_json(const struct tl_roundtrip_signal *signal, bool verbose)
{
	const struct tl_roundtrip *r = signal->record;
	const struct tl_enrichment *names = signal->names;
	const struct tl_decoder *decoder = tl_decoder_at(r->protocol);
	json_t *object = json_object();

	if (object == NULL || decoder == NULL)
		return object;
	set(object, "schema", json_integer(TL_RECORD_SCHEMA));
	set(object, "id", json_string_nocheck(names->id));
	if (names->probe[0] != '\0')
		set(object, "probe", utf8_string(tl_bytes_of(names->probe), false));
	set(object, "time", time_string(tl_roundtrip_time(r)));
	set(object, "protocol", json_string_nocheck(decoder->name));
	set(object, "status", json_string_nocheck(tl_status_name((enum tl_status)r->status)));
	if (r->reason != TL_REASON_NONE)
		set(object, "reason",
		    json_string_nocheck(tl_reason_name((enum tl_reason)r->reason)));
	set(object, "duration_ns", json_integer((json_int_t)r->duration_ns));
	set(object, "timing", timing_json(r));
	json_t *client = endpoint_json(r->client_address, r->ip_version, r->client_port);
	set_workload(client, names->client);
	set(object, "client", client);
	json_t *server = endpoint_json(r->server_address, r->ip_version, r->server_port);
	if (names->server_name[0] != '\0') {
		set(server, "name", utf8_string(tl_bytes_of(names->server_name), false));
		if (verbose)
			set(server, "name_source", json_string_nocheck(names->name_source));
	}
	set_workload(server, names->server);
	set(object, "server", server);
	set(object, "connection", connection_json(r, names));
	if ((r->trace.flags & TL_TRACE_PRESENT) != 0)
		set(object, "trace", trace_json(r, names));
	if (r->flags != 0)
		set(object, "flags", flags_json(r->flags));
	if (r->retries != 0)
		set(object, "retries", json_integer(r->retries));
	set(object, "request", half_json(decoder, &r->request, tl_roundtrip_request_tail(r)));
	set(object, "response", half_json(decoder, &r->response, tl_roundtrip_response_tail(r)));
	return object;
}

static int append(const char *data, size_t len, void *text)
{
	tl_text_add(text, data, len);
	return 0;
}

bool tl_record_json_line(struct tl_text *text, const struct tl_roundtrip_signal *signal,
			 bool verbose)
{
	size_t before = text->len;
	json_t *object = tl_record_json(signal, verbose);
	int rc = json_dump_callback(object, append, text, JSON_COMPACT | JSON_PRESERVE_ORDER);

	json_decref(object);
	if (rc != 0) {
		text->len = before;
		return false;
	}
	tl_text_add(text, "\n", 1);
	return true;
}
