// SPDX-License-Identifier: Apache-2.0
// HTTP/2: what happens around frames, and the tables. Sources: RFC 9113, RFC 7541.
#include "http2.h"

#include "base/check.h"

static bool http2_gap(struct tl_ctx *ctx, void *state, enum tl_lane lane, uint64_t lost,
		      uint64_t offset)
{
	struct http2_call call = tl_http2_begin_call(ctx, state, lane, NULL);
	struct http2 *http = call.http;
	bool had_frame = call.me->had_frame;

	(void)lost, (void)offset;
	tl_hpack_rejoin(call.table);
	tl_message_set_aside(ctx, lane);
	tl_flag_open(ctx, TL_FLAG_GAP); // parts of any stream may have been in the hole
	memset(call.me, 0, sizeof(*call.me));
	call.me->had_frame = had_frame;
	if (lane == TL_SERVER) {
		http->server_gap = true;
	} else {
		// Streams above those seen may have been opened in the hole.
		if (!http->client_gap || http->last_stream < http->hole_low)
			http->hole_low = http->last_stream;
		http->client_gap = true;
		http->hole_high = 0;
	}
	return true;
}

static uint32_t http2_resync(const void *state, enum tl_lane lane, struct tl_bytes view)
{
	const struct http2 *http = (const struct http2 *)state;

	// Joined in the middle, a port may have named the protocol, but not who is who.
	return tl_http2_find(lane, view, !http->roles_are_sure);
}

static enum tl_match http2_match(enum tl_lane lane, struct tl_bytes first)
{
	enum tl_match match = lane == TL_CLIENT ? tl_http2_preface(first) : TL_MATCH_NO;

	if (match != TL_MATCH_NO)
		return match;
	// SETTINGS and the like come from both sides: they would settle who is who by accident.
	bool says_lane = false;
	match = tl_http2_chain(lane, first, &says_lane);
	return match >= TL_MATCH_LIKELY && !says_lane ? TL_MATCH_UNSURE : match;
}

static const struct tl_field http2_fields[HTTP2_FIELD_COUNT] = {
	[HTTP2_FIELD_METHOD] = {
		.name = "method", .label = "method", .attribute = "http.request.method",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_DEFAULT_LABEL | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP, .max = 32,
		.help = "Method; <unknown> where only earlier bytes could tell.",
	},
	[HTTP2_FIELD_PATH] = {
		.name = "path", .label = "path", .attribute = "url.path",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_SUMMARY, .parent = TL_FIELD_TOP, .max = 1024,
		.help = "Target without the query; <unknown> where only earlier bytes could tell.",
	},
	[HTTP2_FIELD_STATUS_CODE] = {
		.name = "status_code", .label = "status_code",
		.attribute = "http.response.status_code", .type = TL_FIELD_UINT,
		.cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_RESPONSE | TL_FIELD_DEFAULT_LABEL | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP, .help = "Status code.",
	},
	[HTTP2_FIELD_TARGET] = {
		.name = "target", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = HPACK_VALUE_MAX,
		.help = "The :path pseudo-header; without its query where secrets are masked.",
	},
	[HTTP2_FIELD_QUERY] = {
		.name = "query", .attribute = "url.query", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_HIGH, .flags = TL_FIELD_REQUEST,
		.parent = TL_FIELD_TOP, .max = 1024,
		.help = "Query of the target; left out where secrets are masked.",
	},
	[HTTP2_FIELD_HOST] = {
		.name = "host", .label = "remote_host", .attribute = "server.address",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP,
		.help = "The :authority pseudo-header without userinfo, else the host header.",
	},
	[HTTP2_FIELD_SCHEME] = {
		.name = "scheme", .attribute = "url.scheme", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_REQUEST,
		.parent = TL_FIELD_TOP, .max = 32, .help = "The :scheme pseudo-header.",
	},
	[HTTP2_FIELD_VERSION] = {
		.name = "version", .label = "version", .attribute = "network.protocol.version",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 8,
		.help = "Protocol version: 2.",
	},
	[HTTP2_FIELD_USER_AGENT] = {
		.name = "user_agent", .label = "user_agent", .attribute = "user_agent.original",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .help = "User-Agent header.",
	},
	[HTTP2_FIELD_REQUEST_ID] = {
		.name = "x_request_id", .attribute = "http.request.header.x-request-id",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 128,
		.help = "X-Request-Id header.",
	},
	[HTTP2_FIELD_TRACESTATE] = {
		.name = "tracestate", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 512,
		.help = "Vendor part of the W3C trace context.",
	},
	[HTTP2_FIELD_SERVER] = {
		.name = "server", .label = "server_software", .attribute = "http.response.header.server",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 128,
		.help = "Server header.",
	},
	[HTTP2_FIELD_CONTENT_TYPE] = {
		.name = "content_type", .label = "content_type", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 128,
		.help = "Content-Type header.",
	},
	[HTTP2_FIELD_STREAM_ID] = {
		.name = "stream_id", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Stream within the connection.",
	},
	[HTTP2_FIELD_ERROR_CODE] = {
		.name = "error_code", .label = "error_code", .attribute = "http2.error_code",
		.type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Code of the RST_STREAM that ended the stream, on its sender's side.",
	},
};

static const char *const http2_counters[HTTP2_COUNTER_COUNT] = {
	[HTTP2_COUNT_BAD_FRAME] = "bad_frame",
	[HTTP2_COUNT_BAD_BLOCK] = "bad_block",
	[HTTP2_COUNT_LONG_BLOCK] = "long_block",
	[HTTP2_COUNT_MANY_FIELDS] = "many_fields",
	[HTTP2_COUNT_UNKNOWN_FIELDS] = "unknown_fields",
	[HTTP2_COUNT_UNKNOWN_FRAMES] = "unknown_frames",
};

static const uint16_t http2_ports[] = {50051, 50052, 7070, 0};

extern const struct tl_decoder tl_decoder_http2;

const struct tl_decoder tl_decoder_http2 = {
	.name = "http2",
	.title = "HTTP/2",
	.over = TL_OVER_TCP,
	.state_size = sizeof(struct http2),
	.need_max = PREFACE_BYTES,
	.room_size = sizeof(struct http2_room),
	.timeout_s = 60,
	.ports = http2_ports,
	.fields = http2_fields,
	.field_count = HTTP2_FIELD_COUNT,
	.counter_count = HTTP2_COUNTER_COUNT,
	.counters = http2_counters,
	.status_help = "below 400 ok, 4xx client_error, 5xx and above server_error; RST_STREAM "
		       "CANCEL or NO_ERROR cancelled, others server_error; above GOAWAY cancelled",
	.match = http2_match,
	.step = tl_http2_step,
	.gap = http2_gap,
	.resync = http2_resync,
};

TL_DECODER_CHECK(struct http2, PREFACE_BYTES);
