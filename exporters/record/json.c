// SPDX-License-Identifier: Apache-2.0
// Written straight into the text, member by member: an agent that keeps all records makes nothing
// else as often (docs/adr/0004).
#include "exporters/record/record.h"

#include "base/json.h"
#include "exporters/record/half.h"

// A text that is no literal.
static void put_text(struct tl_text *text, const char *value)
{
	tl_json_string(text, tl_bytes_of(value), false);
}

static void put_hex(struct tl_text *text, const uint8_t *bytes, uint32_t len)
{
	tl_json_raw(text, "\"");
	tl_text_hex(text, bytes, len);
	tl_json_raw(text, "\"");
}

// The caller closes the object.
static void put_endpoint(struct tl_text *text, const uint8_t address[16], uint8_t ip_version,
			 uint16_t port)
{
	tl_json_raw(text, "{\"address\":\"");
	tl_text_address(text, address, ip_version);
	tl_json_raw(text, "\",\"port\":");
	tl_text_uint(text, port);
}

static void put_workload(struct tl_text *text, const struct tl_workload *workload)
{
	if (workload == NULL)
		return;
	const struct {
		const char *key, *value;
	} rows[] = {
		{"\"namespace\":", workload->ns}, {"\"kind\":", workload->kind},
		{"\"name\":", workload->name},    {"\"pod\":", workload->pod},
		{"\"node\":", workload->node},
	};
	bool any = false;

	tl_json_raw(text, ",\"kubernetes\":{");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].value[0] == '\0')
			continue;
		if (any)
			tl_json_raw(text, ",");
		any = true;
		tl_json_raw(text, rows[i].key);
		put_text(text, rows[i].value);
	}
	tl_json_raw(text, "}");
}

static void put_server(struct tl_text *text, const struct tl_roundtrip *r,
		       const struct tl_enrichment *names, bool verbose)
{
	put_endpoint(text, r->server_address, r->ip_version, r->server_port);
	if (names->server_name[0] != '\0') {
		tl_json_raw(text, ",\"name\":");
		put_text(text, names->server_name);
		if (verbose) {
			tl_json_raw(text, ",\"name_source\":");
			put_text(text, names->name_source);
		}
	}
	put_workload(text, names->server);
	tl_json_raw(text, "}");
}

// "vxlan:42", without the number where there is none.
static void put_layer(struct tl_text *text, enum tl_tunnel kind, uint32_t id)
{
	tl_json_raw(text, "\"");
	tl_text_puts(text, kind == TL_TUNNEL_NONE ? "vlan" : tl_tunnel_name(kind));
	if (id != 0) {
		tl_json_raw(text, ":");
		tl_text_uint(text, id);
	}
	tl_json_raw(text, "\"");
}

// Outermost first. What was cut off is not lost: the innermost one is `tunnel`.
static void put_path(struct tl_text *text, const struct tl_roundtrip *r)
{
	struct tl_path path;

	if (!tl_roundtrip_path(r, &path))
		return;
	tl_json_raw(text, ",\"encapsulation\":[");
	for (uint32_t i = 0; i < path.count && i < TL_LAYERS_KEPT_MAX; i++) {
		if (i != 0)
			tl_json_raw(text, ",");
		put_layer(text, (enum tl_tunnel)path.kinds[i], path.ids[i]);
	}
	tl_json_raw(text, "]");
	if (path.count > TL_LAYERS_KEPT_MAX) {
		tl_json_raw(text, ",\"encapsulation_length\":");
		tl_text_uint(text, path.count);
	}
}

static void put_outer(struct tl_text *text, const struct tl_roundtrip *r)
{
	if (r->outer.vlan_count != 0) {
		tl_json_raw(text, ",\"vlan\":[");
		for (uint32_t i = 0; i < r->outer.vlan_count && i < TL_VLANS_KEPT_MAX; i++) {
			if (i != 0)
				tl_json_raw(text, ",");
			tl_text_uint(text, r->outer.vlans[i]);
		}
		tl_json_raw(text, "]");
	}
	if (r->outer.tunnel != TL_TUNNEL_NONE) {
		tl_json_raw(text, ",\"tunnel\":");
		put_layer(text, (enum tl_tunnel)r->outer.tunnel, r->outer.tunnel_id);
	}
	put_path(text, r);
}

static void put_connection(struct tl_text *text, const struct tl_roundtrip *r,
			   const struct tl_enrichment *names)
{
	uint8_t id[sizeof(r->connection_id)];

	for (uint32_t i = 0; i < sizeof(id); i++)
		id[i] = (uint8_t)(r->connection_id >> 8 * (sizeof(id) - 1 - i));
	tl_json_raw(text, ",\"connection\":{\"id\":");
	put_hex(text, id, sizeof(id));
	if (names->port_name[0] != '\0') {
		tl_json_raw(text, ",\"port\":");
		put_text(text, names->port_name);
	}
	if (r->rtt_us != 0) {
		tl_json_raw(text, ",\"rtt_ns\":");
		tl_text_uint(text, (uint64_t)r->rtt_us * 1000);
	}
	put_outer(text, r);
	if (r->proxied_port != 0) {
		static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
		uint8_t version = memcmp(r->proxied_address, mapped, sizeof(mapped)) == 0 ? 4 : 6;
		tl_json_raw(text, ",\"proxied_client\":");
		put_endpoint(text, r->proxied_address, version, r->proxied_port);
		tl_json_raw(text, "}");
	}
	tl_json_raw(text, "}");
}

static void put_timing(struct tl_text *text, const struct tl_roundtrip *r)
{
	tl_json_raw(text, ",\"duration_ns\":");
	tl_text_int(text, (int64_t)r->duration_ns);
	tl_json_raw(text, ",\"timing\":{\"request_ns\":");
	tl_text_int(text, (int64_t)r->request_ns);
	tl_json_raw(text, ",\"server_ns\":");
	tl_text_int(text, (int64_t)r->server_ns);
	tl_json_raw(text, ",\"response_ns\":");
	tl_text_int(text, (int64_t)r->response_ns);
	tl_json_raw(text, ",\"stall_ns\":");
	tl_text_int(text, (int64_t)r->stall_ns);
	if (r->wait_ns != 0) {
		tl_json_raw(text, ",\"wait_ns\":");
		tl_text_int(text, (int64_t)r->wait_ns);
	}
	tl_json_raw(text, "}");
}

static void put_trace(struct tl_text *text, const struct tl_roundtrip *r,
		      const struct tl_enrichment *names)
{
	static const uint8_t none[8];

	tl_json_raw(text, ",\"trace\":{\"trace_id\":");
	put_hex(text, r->trace.trace_id, sizeof(r->trace.trace_id));
	if (memcmp(r->trace.parent_span_id, none, sizeof(none)) != 0) {
		tl_json_raw(text, ",\"parent_span_id\":");
		put_hex(text, r->trace.parent_span_id, sizeof(r->trace.parent_span_id));
	}
	tl_json_raw(text, ",\"span_id\":");
	put_hex(text, names->span_id, sizeof(names->span_id));
	if ((r->trace.flags & TL_TRACE_HAS_SAMPLED) != 0)
		tl_json_raw(text, (r->trace.flags & TL_TRACE_SAMPLED) != 0 ?
				  ",\"sampled\":true" : ",\"sampled\":false");
	tl_json_raw(text, "}");
}

static void put_flags(struct tl_text *text, uint32_t flags)
{
#define FLAG_ROW(id, bit, word) {TL_FLAG_##id, "\"" word "\""},
	static const struct {
		uint32_t flag;
		const char *quoted;
	} rows[] = {TL_ROUNDTRIP_FLAGS(FLAG_ROW)};
	bool any = false;

	tl_json_raw(text, ",\"flags\":[");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if ((flags & rows[i].flag) == 0)
			continue;
		if (any)
			tl_json_raw(text, ",");
		any = true;
		tl_json_raw(text, rows[i].quoted);
	}
	tl_json_raw(text, "]");
}

static void put_head(struct tl_text *text, const struct tl_roundtrip *r,
		     const struct tl_enrichment *names, const char *protocol)
{
	tl_json_raw(text, "\"schema\":" TL_RECORD_SCHEMA ",\"id\":");
	put_text(text, names->id);
	if (names->probe[0] != '\0') {
		tl_json_raw(text, ",\"probe\":");
		put_text(text, names->probe);
	}
	tl_json_raw(text, ",\"time\":\"");
	tl_text_time_utc(text, tl_roundtrip_time(r));
	tl_json_raw(text, "\",\"protocol\":");
	put_text(text, protocol);
	tl_json_raw(text, ",\"status\":");
	put_text(text, tl_status_name((enum tl_status)r->status));
	if (r->reason != TL_REASON_NONE) {
		tl_json_raw(text, ",\"reason\":");
		put_text(text, tl_reason_name((enum tl_reason)r->reason));
	}
}

static bool put_halves(struct tl_text *text, const struct tl_roundtrip *r,
		       const struct tl_decoder *decoder)
{
	tl_json_raw(text, ",\"request\":");
	if (!tl_record_half(text, decoder, &r->request, tl_roundtrip_request_tail(r),
			    TL_FIELD_REQUEST))
		return false;
	tl_json_raw(text, ",\"response\":");
	return tl_record_half(text, decoder, &r->response, tl_roundtrip_response_tail(r),
			      TL_FIELD_RESPONSE);
}

bool tl_record_json(struct tl_text *text, const struct tl_roundtrip_signal *signal, bool verbose)
{
	const struct tl_roundtrip *r = signal->record;
	const struct tl_enrichment *names = signal->names;
	const struct tl_decoder *decoder = tl_decoder_at(r->protocol);
	size_t before = text->len;

	tl_json_raw(text, "{");
	if (decoder == NULL) {
		tl_json_raw(text, "}");
		return true;
	}
	put_head(text, r, names, decoder->name);
	put_timing(text, r);
	tl_json_raw(text, ",\"client\":");
	put_endpoint(text, r->client_address, r->ip_version, r->client_port);
	put_workload(text, names->client);
	tl_json_raw(text, "},\"server\":");
	put_server(text, r, names, verbose);
	put_connection(text, r, names);
	if ((r->trace.flags & TL_TRACE_PRESENT) != 0)
		put_trace(text, r, names);
	if (r->flags != 0)
		put_flags(text, r->flags);
	if (r->retries != 0) {
		tl_json_raw(text, ",\"retries\":");
		tl_text_uint(text, r->retries);
	}
	if (!put_halves(text, r, decoder)) {
		text->len = before;
		return false;
	}
	tl_json_raw(text, "}");
	return true;
}

bool tl_record_json_line(struct tl_text *text, const struct tl_roundtrip_signal *signal,
			 bool verbose)
{
	bool is_written = tl_record_json(text, signal, verbose);

	if (is_written)
		tl_json_raw(text, "\n");
	return is_written;
}
