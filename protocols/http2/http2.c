// SPDX-License-Identifier: Apache-2.0
// HTTP/2: what happens around frames, and the tables. Sources: RFC 9113, RFC 7541.
#include "http2.h"

#include "base/check.h"
#include "protocols/common/http_span.h"

static bool http2_gap(struct tl_ctx *ctx, void *state, enum tl_lane lane, uint64_t lost,
		      uint64_t offset)
{
	struct http2 *http = (struct http2 *)state;
	struct http2_call call;

	(void)lost, (void)offset;
	tl_http2_begin_call(&call, ctx, state, lane, NULL);
	bool had_frame = call.me->had_frame;
	tl_hpack_rejoin(call.table);
	if (call.me->in_data) {
		tl_http2_look_up(&call, call.me->stream);
		tl_http2_data_lost(&call);
	}
	tl_message_set_aside(ctx, lane);
	tl_flag_open(ctx, TL_FLAG_GAP); // parts of any stream may have been in the hole
	uint16_t epoch = (uint16_t)(call.me->epoch + 1u); // calls see that messages were lost
	memset(call.me, 0, sizeof(*call.me));
	call.me->had_frame = had_frame;
	call.me->epoch = epoch;
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
	TL_HTTP_METHOD_FIELD,
	TL_HTTP_STATUS_FIELD,
	TL_HTTP_FIELDS("Protocol version: 2, or 1.1 of a request that came with an upgrade."),
	[HTTP2_FIELD_SCHEME] = {
		.name = "scheme", .attribute = "url.scheme", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_REQUEST,
		.parent = TL_FIELD_TOP, .max = 32, .help = "The :scheme pseudo-header.",
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
		.help = "Code of the RST_STREAM that ended the stream, on its sender's side, or of the "
			"GOAWAY that refused it.",
	},
};

static const char *const http2_counters[HTTP2_COUNTER_COUNT] = {
	[HTTP2_COUNT_BAD_FRAME] = "bad_frame",
	[HTTP2_COUNT_BAD_BLOCK] = "bad_block",
	[HTTP2_COUNT_LONG_BLOCK] = "long_block",
	[HTTP2_COUNT_MANY_FIELDS] = "many_fields",
	[HTTP2_COUNT_UNKNOWN_FIELDS] = "unknown_fields",
	[HTTP2_COUNT_UNKNOWN_FRAMES] = "unknown_frames",
	[HTTP2_COUNT_BAD_MESSAGE] = "bad_message",
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
	.request_bytes = 512, // those of a call of gRPC
	.timeout_s = 60,
	.ports = http2_ports,
	.fields = http2_fields,
	.field_count = HTTP2_FIELD_COUNT,
	.counter_count = HTTP2_COUNTER_COUNT,
	.counters = http2_counters,
	.options = tl_http_option_rows,
	.options_size = sizeof(struct tl_http_options),
	.span = &tl_http_span_rules,
	.status_help = "below 400 ok, 4xx client_error, 5xx and above server_error; RST_STREAM "
		       "CANCEL or NO_ERROR cancelled, others server_error; above GOAWAY cancelled",
	.match = http2_match,
	.step = tl_http2_step,
	.gap = http2_gap,
	.resync = http2_resync,
};

TL_DECODER_CHECK(struct http2, PREFACE_BYTES);
