// SPDX-License-Identifier: Apache-2.0
// gRPC and gRPC-Web: the tables. A call is an HTTP request that goes on in this protocol's name;
// what is read of it stands in protocols/common/grpc.c.
#include "protocols/common/grpc.h"

#include "base/check.h"

static const struct tl_field grpc_fields[GRPC_FIELD_COUNT] = {
	[HTTP_FIELD_METHOD] = {
		.name = "http_method", .attribute = "http.request.method",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = TL_HTTP_METHOD_BYTES_MAX,
		.help = "Method of the HTTP request: POST.",
	},
	[HTTP_FIELD_STATUS_CODE] = {
		.name = "status_code", .label = "status_code",
		.attribute = "http.response.status_code", .type = TL_FIELD_UINT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP, .help = "Status code of the HTTP response.",
	},
	TL_HTTP_FIELDS("HTTP version: 2, for gRPC-Web also 1.1."),
	[GRPC_FIELD_SCHEME] = {
		.name = "scheme", .attribute = "url.scheme", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_REQUEST,
		.parent = TL_FIELD_TOP, .max = 32, .help = "The :scheme pseudo-header.",
	},
	[GRPC_FIELD_STREAM_ID] = {
		.name = "stream_id", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Stream within the HTTP/2 connection.",
	},
	[GRPC_FIELD_ERROR_CODE] = {
		.name = "error_code", .label = "error_code", .attribute = "http2.error_code",
		.type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Code of the RST_STREAM or GOAWAY that ended the stream.",
	},
	[GRPC_FIELD_SERVICE] = {
		.name = "service", .label = "service", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST | TL_FIELD_DEFAULT_LABEL, .parent = TL_FIELD_TOP,
		.help = "Service with its package; <unknown> where only earlier bytes could tell.",
	},
	[GRPC_FIELD_METHOD] = {
		.name = "method", .label = "method", .attribute = "rpc.method",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST | TL_FIELD_DEFAULT_LABEL, .parent = TL_FIELD_TOP,
		.help = "Method of the service; <unknown> where only earlier bytes could tell.",
	},
	[GRPC_FIELD_CALL_TYPE] = {
		.name = "call_type", .label = "call_type", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "unary, client_stream, server_stream or bidi_stream, by the messages seen: a "
			"stream of one message looks like none.",
	},
	[GRPC_FIELD_STATUS] = {
		.name = "grpc_status", .label = "grpc_status", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_RESPONSE | TL_FIELD_DEFAULT_LABEL | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP, .help = "Status code of the call, as sent.",
	},
	[GRPC_FIELD_MESSAGE] = {
		.name = "grpc_message", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = TL_GRPC_MESSAGE_BYTES_MAX,
		.help = "What the server says about the status.",
	},
	[GRPC_FIELD_TIMEOUT] = {
		.name = "timeout_ns", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_WIDE, .parent = TL_FIELD_TOP,
		.help = "Deadline that the client gave, in ns.",
	},
	[GRPC_FIELD_ENCODING] = {
		.name = "encoding", .label = "encoding", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP, .max = TL_GRPC_ENCODING_BYTES_MAX,
		.help = "How messages are compressed (grpc-encoding).",
	},
	[GRPC_FIELD_MESSAGES] = {
		.name = "messages", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Messages sent.",
	},
	[GRPC_FIELD_MESSAGE_BYTES] = {
		.name = "message_bytes", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Bytes of these messages as sent, without their heads.",
	},
	[GRPC_FIELD_FIRST_MESSAGE] = {
		.name = "first_message_ns", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "From the record's time to the first byte of the first message, in ns.",
	},
	[GRPC_FIELD_LAST_MESSAGE] = {
		.name = "last_message_ns", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "From the record's time to the first byte of the last message, in ns.",
	},
};

extern const struct tl_decoder tl_decoder_grpc;

// OpenTelemetry, "RPC" (the names since 1.39): the method with its service, the status by its name.
static const char *const status_names[] = {
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
	"ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
	"ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	"UNAUTHENTICATED",
};
static const char *const span_names[] = {"{service}/{method}", "{method}", NULL};
static const struct tl_span_attribute span_attributes[] = {
	{.name = "rpc.system.name", .value = "grpc"},
	{.name = "rpc.method", .value = "{service}/{method}"},
	{.name = "rpc.response.status_code", .value = "{grpc_status}", .words = status_names,
	 .word_count = TL_COUNT_OF(status_names)},
	{.name = NULL},
};
static const struct tl_span_rules span_rules = {
	.kind = TL_SPAN_SERVER, .names = span_names, .attributes = span_attributes,
	.error_attribute = "rpc.response.status_code",
};

const struct tl_decoder tl_decoder_grpc = {
	.name = "grpc",
	.title = "gRPC",
	.over = TL_AS_INNER,
	.carrier = "http2",
	.state_size = sizeof(struct tl_grpc),
	.timeout_s = 60,
	.fields = grpc_fields,
	.field_count = GRPC_FIELD_COUNT,
	.span = &span_rules,
	.status_help = "0 ok; 1 cancelled; 4, and a cancellation at the deadline, timeout; 2 12 13 14 15 "
		       "server_error; others client_error; none: by the HTTP status, estimated",
	.end = tl_grpc_end,
};

TL_DECODER_CHECK(struct tl_grpc, 0);
