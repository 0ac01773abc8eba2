// SPDX-License-Identifier: Apache-2.0
// HTTP/1.0 and 1.1, and 0.9 as far as it can be told: what happens around messages, and the tables.
// Sources: RFC 9110, RFC 9112 (message length: section 6.3), RFC 1945 for 0.9.
#include "state.h"

#include "base/check.h"
#include "protocols/common/http_span.h"
#include "l7/decoder.h"

// A body that was about to be captured goes on behind the hole; its message keeps what it has.
static bool hole_is_in_body(struct http_call *call, uint64_t lost)
{
	struct http_lane *me = call->me;

	if (me->phase != HTTP_BODY && me->phase != HTTP_CHUNK_DATA)
		return false;
	// An orphan may have no body, being the answer to a HEAD: then the hole holds answers.
	if ((me->flags & HTTP_UNSURE_BODY) != 0)
		return false;
	if (me->left == TL_TO_THE_END)
		return true;
	if (lost >= me->left)
		return false;
	me->left -= lost;
	tl_message_body(call->ctx, call->lane, lost);
	return true;
}

static bool http_gap(struct tl_ctx *ctx, void *state, enum tl_lane lane, uint64_t lost,
		     uint64_t offset)
{
	struct http_call call = tl_http_begin_call(ctx, state, lane, NULL);
	uint32_t waiting = tl_pending_count(ctx, TL_CLIENT);
	struct http *http = call.http;

	tl_message_flag(ctx, lane, TL_FLAG_GAP);
	bool in_body = hole_is_in_body(&call, lost);
	if (call.me->is_call)
		tl_http_call_lost(&call, offset - lost);
	if (in_body)
		return true;
	// The request or response that was being read is known by its start line and keeps its
	// place in the order; where it ends is lost.
	if (call.me->phase != HTTP_IDLE && call.me->phase != HTTP_HUNT &&
	    (call.me->flags & HTTP_INTERIM) == 0)
		tl_message_end(ctx, lane, offset - lost);
	memset(call.me, 0, sizeof(*call.me));
	call.me->flags = HTTP_AFTER_GAP;
	if (lane == TL_SERVER) {
		// Which of them were answered in the hole can't be told.
		tl_cancel_all(ctx, TL_STATUS_UNANSWERED, TL_REASON_GAP);
		http->switch_offset = 0;
		http->doubt = HTTP_SETTLE_ROUNDTRIPS;
		// With one at a time, no answer of theirs can come behind the next request.
		http->is_fresh = http->is_fresh || waiting > 1 || http->pipelines;
	} else {
		tl_http_distrust(http);
	}
	return true;
}

static uint32_t http_resync(const void *state, enum tl_lane lane, struct tl_bytes view)
{
	const struct http_lane *me = &((const struct http *)state)->lane[lane];

	if (me->phase == HTTP_BODY || me->phase == HTTP_CHUNK_DATA)
		return 0; // the hole was in a body, of which the rest is here
	return tl_http_find_start(lane, view);
}

static void http_end(struct tl_ctx *ctx, void *state, enum tl_lane lane, enum tl_end end,
		     uint64_t offset)
{
	struct http_call call = tl_http_begin_call(ctx, state, lane, NULL);
	struct http_lane *me = call.me;
	bool is_endless = me->phase == HTTP_TO_END ||
			  (me->phase == HTTP_BODY && me->left == TL_TO_THE_END);

	if (me->phase == HTTP_TO_END && offset > me->left)
		tl_message_body(ctx, lane, offset - me->left);
	if (is_endless && end == TL_END_FIN)
		tl_http_end_message(&call, offset);
	else if (me->phase == HTTP_BODY && (me->flags & HTTP_UNSURE_BODY) != 0)
		tl_message_end(ctx, lane, offset); // nothing came: as if to HEAD
	memset(me, 0, sizeof(*me));
}

static enum tl_match http_match(enum tl_lane lane, struct tl_bytes first)
{
	return lane == TL_CLIENT ? tl_http_match_request(first) : tl_http_match_response(first);
}

static const struct tl_field http_fields[HTTP_FIELD_COUNT] = {
	TL_HTTP_METHOD_FIELD,
	TL_HTTP_STATUS_FIELD,
	TL_HTTP_FIELDS("Protocol version: 0.9, 1.0 or 1.1."),
	[HTTP_FIELD_REASON] = {
		.name = "reason", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 128,
		.help = "Words behind the status code.",
	},
};

static const char *const http_counters[HTTP_COUNTER_COUNT] = {
	[HTTP_COUNT_LONG_LINE] = "long_line",
	[HTTP_COUNT_MANY_HEADERS] = "many_headers",
	[HTTP_COUNT_BAD_START_LINE] = "bad_start_line",
	[HTTP_COUNT_BAD_LENGTH] = "bad_length",
	[HTTP_COUNT_BAD_CHUNK] = "bad_chunk",
	[HTTP_COUNT_BOTH_LENGTHS] = "both_lengths",
	[HTTP_COUNT_UNSURE_DROPPED] = "unsure_dropped",
	[HTTP_COUNT_HUNT_GIVEN_UP] = "hunt_given_up",
};

static const uint16_t http_ports[] = {80, 8080, 8000, 8008, 8081, 8088, 8888, 3000, 3128, 5000, 9090, 0};

extern const struct tl_decoder tl_decoder_http;

const struct tl_decoder tl_decoder_http = {
	.name = "http",
	.title = "HTTP/1",
	.over = TL_OVER_TCP | TL_AS_CHILD,
	.state_size = sizeof(struct http),
	.need_max = HTTP_LINE_BYTES_MAX + 2,
	.room_size = sizeof(struct http_room),
	.room_later = true,
	.timeout_s = 60,
	.ports = http_ports,
	.fields = http_fields,
	.field_count = HTTP_FIELD_COUNT,
	.counter_count = HTTP_COUNTER_COUNT,
	.counters = http_counters,
	.options = tl_http_option_rows,
	.options_size = sizeof(struct tl_http_options),
	.span = &tl_http_span_rules,
	.status_help = "below 400 ok, 4xx client_error, 5xx and above server_error",
	.match = http_match,
	.step = tl_http_step,
	.gap = http_gap,
	.resync = http_resync,
	.end = http_end,
};

TL_DECODER_CHECK(struct http, HTTP_LINE_BYTES_MAX + 2);
