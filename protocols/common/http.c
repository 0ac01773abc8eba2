// SPDX-License-Identifier: Apache-2.0
#include "http.h"

#define NAME_BYTES_MAX 64u // of a captured header's name

struct tl_bytes tl_http_masked(const struct tl_ctx *ctx, const struct tl_http_options *options,
			       struct tl_bytes target, uint8_t *room)
{
	if (!tl_redact(ctx))
		return target;
	uint32_t len = tl_http_mask(target, &options->redact_keys, room, TL_HTTP_MASKED_BYTES_MAX);
	return len != 0 ? tl_bytes(room, len) : target;
}

static void route_field(struct tl_values *values, const struct tl_text_list *routes,
			struct tl_bytes path)
{
	for (uint32_t i = 0; i < routes->count && i < TL_HTTP_ROUTES_MAX; i++) {
		if (!tl_http_route_matches(routes->items[i], path))
			continue;
		tl_values_text(values, HTTP_FIELD_ROUTE, TL_FIELD_BYTES_DEFAULT,
			       tl_bytes_of(routes->items[i]));
		return;
	}
}

void tl_http_path_values(struct tl_values *values, const struct tl_http_options *options,
			 struct tl_bytes rest)
{
	uint32_t question = tl_bytes_find(rest, '?', 0);
	struct tl_bytes path = tl_bytes_first(rest, question);

	if (question == 0)
		path = tl_bytes_of("/"); // "http://host?query"
	tl_values_text(values, HTTP_FIELD_PATH, TL_HTTP_PATH_BYTES_MAX, path);
	if (question != TL_BYTES_NONE && question + 1 < rest.len)
		tl_values_text(values, HTTP_FIELD_QUERY, TL_HTTP_QUERY_BYTES_MAX,
			       tl_bytes_from(rest, question + 1));
	if (options->routes.count != 0)
		route_field(values, &options->routes, path);
}

void tl_http_capture_allowed(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field,
			     const struct tl_text_list *allow, struct tl_bytes name,
			     struct tl_bytes value)
{
	uint8_t lower[NAME_BYTES_MAX];
	uint32_t i = 0;

	for (; i < allow->count && i < TL_HTTP_ALLOW_MAX; i++) {
		if (tl_bytes_is_nocase(name, allow->items[i]))
			break;
		if (strcmp(allow->items[i], "*") == 0 && !tl_http_is_secret_header(name))
			break;
	}
	if (i == allow->count || i == TL_HTTP_ALLOW_MAX)
		return;
	name = tl_bytes_first(name, sizeof(lower));
	for (i = 0; i < name.len; i++)
		lower[i] = tl_ascii_lower(name.ptr[i]);
	tl_message_pair(ctx, lane, field, tl_bytes(lower, name.len), value);
}

// ---- Trace context ---------------------------------------------------------------------------

// Which header a trace was read from; a better one replaces it.
enum trace_source { TRACE_NONE, TRACE_B3_MULTI, TRACE_B3, TRACE_BIN, TRACE_W3C };

static void take_trace(struct tl_ctx *ctx, enum tl_lane lane, uint8_t *source, uint8_t from,
		       const struct tl_trace *trace)
{
	if (from < *source)
		return;
	*source = from;
	// What is gathered from several headers is kept with the message from the first one on.
	if ((trace->flags & TL_TRACE_PRESENT) != 0 || from == TRACE_B3_MULTI)
		tl_message_trace(ctx, lane, trace);
}

void tl_http_traceparent(struct tl_ctx *ctx, enum tl_lane lane, uint8_t *source,
			 struct tl_bytes value)
{
	struct tl_trace trace = {0};

	if (tl_trace_from_traceparent(value, &trace))
		take_trace(ctx, lane, source, TRACE_W3C, &trace);
}

void tl_http_b3(struct tl_ctx *ctx, enum tl_lane lane, uint8_t *source, struct tl_bytes value)
{
	struct tl_trace trace = {0};

	if (tl_trace_from_b3(value, &trace))
		take_trace(ctx, lane, source, TRACE_B3, &trace);
}

void tl_http_trace_bin(struct tl_ctx *ctx, enum tl_lane lane, uint8_t *source, struct tl_bytes value)
{
	struct tl_trace trace = {0};

	if (tl_trace_from_grpc_bin(value, &trace))
		take_trace(ctx, lane, source, TRACE_BIN, &trace);
}

void tl_http_b3_part(struct tl_ctx *ctx, enum tl_lane lane, uint8_t *source, struct tl_bytes value,
		     bool (*add)(struct tl_bytes, struct tl_trace *))
{
	const struct tl_trace *before = tl_message_trace_of(ctx, lane);
	struct tl_trace trace = {0};

	if (*source > TRACE_B3_MULTI)
		return;
	if (*source == TRACE_B3_MULTI && before != NULL)
		trace = *before;
	if (add(value, &trace))
		take_trace(ctx, lane, source, TRACE_B3_MULTI, &trace);
}

// ---- Options ---------------------------------------------------------------------------------

#define MEMBER(name) offsetof(struct tl_http_options, name)

const struct tl_option tl_http_option_rows[] = {
	{
		.key = "routes", .type = TL_OPTION_TEXT_LIST, .hot = true, .offset = MEMBER(routes),
		.value = "[]",
		.help = "Path patterns that become the field and label route, first match wins: "
			":name stands for one segment, * at the end for the rest.",
	},
	{
		.key = "request_headers", .type = TL_OPTION_TEXT_LIST, .hot = true,
		.offset = MEMBER(request_headers), .value = "[]",
		.help = "Request headers to record, by name. * stands for all but those that carry "
			"secrets, which must be named.",
	},
	{
		.key = "response_headers", .type = TL_OPTION_TEXT_LIST, .hot = true,
		.offset = MEMBER(response_headers), .value = "[]",
		.help = "The same for response headers.",
	},
	{
		.key = "capture_body", .type = TL_OPTION_BOOL, .hot = true,
		.offset = MEMBER(capture_body), .value = "false",
		.help = "Record the first bytes of JSON and text bodies that are not compressed.",
	},
	{
		.key = "capture_body_max", .type = TL_OPTION_SIZE, .hot = true,
		.offset = MEMBER(capture_body_max), .value = "4096", .min = 1,
		.max = TL_HTTP_CAPTURE_BYTES_MAX, .help = "Bytes recorded of a body.",
	},
	{
		.key = "redact_keys", .type = TL_OPTION_TEXT_LIST, .hot = true,
		.offset = MEMBER(redact_keys), .value = "[]",
		.help = "Query keys whose values are masked besides the built-in ones (token, "
			"password, secret, key, code, signature and the like).",
	},
	TL_OPTION_END,
};
