// SPDX-License-Identifier: Apache-2.0
// What HTTP/1, HTTP/2 and what they carry have in common: fields, options, header values.
//
// The ids of the common fields are the same in each of these protocols' tables, so that a request
// may go from one to another as it is: an upgrade to HTTP/2, a call of gRPC.
#pragma once

#include "base/bytes.h"
#include "base/option.h"
#include "l7/decoder.h"
#include "l7/trace.h"

#define TL_HTTP_METHOD_BYTES_MAX 32u
#define TL_HTTP_TARGET_BYTES_MAX 2048u
#define TL_HTTP_PATH_BYTES_MAX 1024u
#define TL_HTTP_QUERY_BYTES_MAX 1024u
#define TL_HTTP_MASKED_BYTES_MAX 4096u  // of a target with masked values
#define TL_HTTP_CAPTURE_BYTES_MAX 12288u // of a body; leaves room for a message's other fields
#define TL_HTTP_ROUTES_MAX 256u         // patterns tried per request
#define TL_HTTP_ALLOW_MAX 64u           // header names compared per line

enum tl_http_field {
	HTTP_FIELD_METHOD,
	HTTP_FIELD_PATH,
	HTTP_FIELD_STATUS_CODE,
	HTTP_FIELD_TARGET,
	HTTP_FIELD_QUERY,
	HTTP_FIELD_ROUTE,
	HTTP_FIELD_HOST,
	HTTP_FIELD_VERSION,
	HTTP_FIELD_USER_AGENT,
	HTTP_FIELD_REQUEST_ID,
	HTTP_FIELD_TRACESTATE,
	HTTP_FIELD_SERVER,
	HTTP_FIELD_CONTENT_TYPE,
	HTTP_FIELD_REQUEST_HEADERS,
	HTTP_FIELD_RESPONSE_HEADERS,
	HTTP_FIELD_BODY,
	TL_HTTP_FIELD_COUNT
};

// The rows of these, all but the method's and the status code's, which gRPC shows differently.
#define TL_HTTP_FIELDS(version_help) \
	[HTTP_FIELD_PATH] = { \
		.name = "path", .label = "path", .attribute = "url.path", \
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH, \
		.flags = TL_FIELD_REQUEST | TL_FIELD_SUMMARY, .parent = TL_FIELD_TOP, \
		.max = TL_HTTP_PATH_BYTES_MAX, .help = "Target without scheme, host and query.", \
	}, \
	[HTTP_FIELD_TARGET] = { \
		.name = "target", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH, \
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, \
		.max = TL_HTTP_TARGET_BYTES_MAX, .help = "Request target as sent, secrets masked.", \
	}, \
	[HTTP_FIELD_QUERY] = { \
		.name = "query", .attribute = "url.query", .type = TL_FIELD_TEXT, \
		.cardinality = TL_CARDINALITY_HIGH, .flags = TL_FIELD_REQUEST, \
		.parent = TL_FIELD_TOP, .max = TL_HTTP_QUERY_BYTES_MAX, \
		.help = "Query of the target, without the question mark, secrets masked.", \
	}, \
	[HTTP_FIELD_ROUTE] = { \
		.name = "route", .label = "route", .attribute = "http.route", \
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW, \
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, \
		.help = "First configured route pattern that the path matches.", \
	}, \
	[HTTP_FIELD_HOST] = { \
		.name = "host", .label = "remote_host", .attribute = "server.address", \
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_MIDDLE, \
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, \
		.help = "Host that the target or the authority names, else the Host header.", \
	}, \
	[HTTP_FIELD_VERSION] = { \
		.name = "version", .label = "version", .attribute = "network.protocol.version", \
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW, \
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 8, \
		.help = version_help, \
	}, \
	[HTTP_FIELD_USER_AGENT] = { \
		.name = "user_agent", .label = "user_agent", .attribute = "user_agent.original", \
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH, \
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .help = "User-Agent header.", \
	}, \
	[HTTP_FIELD_REQUEST_ID] = { \
		.name = "x_request_id", .attribute = "http.request.header.x-request-id", \
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH, \
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 128, \
		.help = "X-Request-Id header.", \
	}, \
	[HTTP_FIELD_TRACESTATE] = { \
		.name = "tracestate", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH, \
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 512, \
		.help = "Vendor part of the W3C trace context.", \
	}, \
	[HTTP_FIELD_SERVER] = { \
		.name = "server", .label = "server_software", \
		.attribute = "http.response.header.server", .type = TL_FIELD_TEXT, \
		.cardinality = TL_CARDINALITY_MIDDLE, .flags = TL_FIELD_RESPONSE, \
		.parent = TL_FIELD_TOP, .max = 128, .help = "Server header.", \
	}, \
	[HTTP_FIELD_CONTENT_TYPE] = { \
		.name = "content_type", .label = "content_type", .type = TL_FIELD_TEXT, \
		.cardinality = TL_CARDINALITY_MIDDLE, \
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 128, \
		.help = "Content-Type header.", \
	}, \
	[HTTP_FIELD_REQUEST_HEADERS] = { \
		.name = "headers", .attribute = "http.request.header", .type = TL_FIELD_MAP, \
		.cardinality = TL_CARDINALITY_HIGH, \
		.flags = TL_FIELD_REQUEST | TL_FIELD_REPEATED | TL_FIELD_SENSITIVE, \
		.parent = TL_FIELD_TOP, .max = 1024, \
		.help = "Headers named by the option request_headers, names in lower case.", \
	}, \
	[HTTP_FIELD_RESPONSE_HEADERS] = { \
		.name = "headers", .attribute = "http.response.header", .type = TL_FIELD_MAP, \
		.cardinality = TL_CARDINALITY_HIGH, \
		.flags = TL_FIELD_RESPONSE | TL_FIELD_REPEATED | TL_FIELD_SENSITIVE, \
		.parent = TL_FIELD_TOP, .max = 1024, \
		.help = "Headers named by the option response_headers, names in lower case.", \
	}, \
	[HTTP_FIELD_BODY] = { \
		.name = "body", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH, \
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_SENSITIVE, \
		.parent = TL_FIELD_TOP, .max = TL_HTTP_CAPTURE_BYTES_MAX, \
		.help = "First bytes of a JSON or text body, with the option capture_body.", \
	}

#define TL_HTTP_METHOD_FIELD \
	[HTTP_FIELD_METHOD] = { \
		.name = "method", .label = "method", .attribute = "http.request.method", \
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW, \
		.flags = TL_FIELD_REQUEST | TL_FIELD_DEFAULT_LABEL | TL_FIELD_SUMMARY, \
		.parent = TL_FIELD_TOP, .max = TL_HTTP_METHOD_BYTES_MAX, \
		.help = "Method token as sent.", \
	}

#define TL_HTTP_STATUS_FIELD \
	[HTTP_FIELD_STATUS_CODE] = { \
		.name = "status_code", .label = "status_code", \
		.attribute = "http.response.status_code", .type = TL_FIELD_UINT, \
		.cardinality = TL_CARDINALITY_LOW, \
		.flags = TL_FIELD_RESPONSE | TL_FIELD_DEFAULT_LABEL | TL_FIELD_SUMMARY, \
		.parent = TL_FIELD_TOP, .help = "Status code.", \
	}

// Behind `protocols.http` and `protocols.http2` of the configuration.
struct tl_http_options {
	struct tl_text_list request_headers;  // names to record; "*": all but secrets
	struct tl_text_list response_headers;
	struct tl_text_list routes;           // patterns, first match wins
	struct tl_text_list redact_keys;      // query keys to mask besides the built-in ones
	uint64_t capture_body_max;            // bytes kept of a body
	bool capture_body;
};

extern const struct tl_option tl_http_option_rows[];

// ---- Targets ---------------------------------------------------------------------------------

// Absolute form to its parts: host (empty for other forms, without userinfo) and what follows.
void tl_http_split_target(struct tl_bytes target, struct tl_bytes *ret_host, struct tl_bytes *ret_rest);
// Copies `target` with userinfo and the values of secret query keys masked, at most `size` bytes;
// gives the bytes written, or 0 when there was nothing to mask and `target` can be used as it is.
uint32_t tl_http_mask(struct tl_bytes target, const struct tl_text_list *more_keys, uint8_t *ret,
		   uint32_t size);
// The same with the options, where secrets are to be masked; `room` has TL_HTTP_MASKED_BYTES_MAX.
struct tl_bytes tl_http_masked(const struct tl_ctx *ctx, const struct tl_http_options *options,
			       struct tl_bytes target, uint8_t *room);
// A route pattern: ":name" stands for one segment, a last "*" for the rest.
bool tl_http_route_matches(const char *pattern, struct tl_bytes path);
// Sets path, query and route by `rest`, a target without scheme and host.
void tl_http_path_values(struct tl_values *values, const struct tl_http_options *options,
			 struct tl_bytes rest);

// ---- Headers ---------------------------------------------------------------------------------

// JSON or text: content that may be captured as such.
bool tl_http_is_text_type(struct tl_bytes content_type);
// A header that is never captured unless it is asked for by name.
bool tl_http_is_secret_header(struct tl_bytes name);
// Records the header in `field` if `allow` names it.
void tl_http_capture_allowed(struct tl_ctx *ctx, enum tl_lane lane, uint8_t field,
			     const struct tl_text_list *allow, struct tl_bytes name,
			     struct tl_bytes value);
// The headers that carry trace context; `*source` is 0 at the beginning of each message.
void tl_http_traceparent(struct tl_ctx *ctx, enum tl_lane lane, uint8_t *source,
			 struct tl_bytes value);
void tl_http_b3(struct tl_ctx *ctx, enum tl_lane lane, uint8_t *source, struct tl_bytes value);
void tl_http_trace_bin(struct tl_ctx *ctx, enum tl_lane lane, uint8_t *source, struct tl_bytes value);
void tl_http_b3_part(struct tl_ctx *ctx, enum tl_lane lane, uint8_t *source, struct tl_bytes value,
		     bool (*add)(struct tl_bytes, struct tl_trace *));

static inline void tl_http_capture_header(struct tl_ctx *ctx, enum tl_lane lane, bool of_request,
					  const struct tl_http_options *options,
					  struct tl_bytes name, struct tl_bytes value)
{
	const struct tl_text_list *allow =
		of_request ? &options->request_headers : &options->response_headers;

	if (allow->count != 0)
		tl_http_capture_allowed(ctx, lane,
					of_request ? HTTP_FIELD_REQUEST_HEADERS
						   : HTTP_FIELD_RESPONSE_HEADERS,
					allow, name, value);
}
