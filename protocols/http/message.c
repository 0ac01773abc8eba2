// SPDX-License-Identifier: Apache-2.0
// Reads messages: heads line by line, so that little is ever carried from one segment to the next,
// bodies by length or chunk without a look at them.
//
// Responses pair with requests by order, which a loss puts in doubt: see open_request() and
// pair_response() for what is done about it.
#include "state.h"

#include "base/check.h"
#include "l7/decoder.h"

struct http_call tl_http_begin_call(struct tl_ctx *ctx, void *state, enum tl_lane lane,
				 const struct tl_view *view)
{
	struct http *http = (struct http *)state;

	return (struct http_call) {
		.ctx = ctx,
		.http = http,
		.me = &http->lane[lane],
		.options = (const struct tl_http_options *)tl_options(ctx),
		.view = view,
		.lane = lane,
		.values = {.ctx = ctx, .lane = lane},
		.scanned = UINT32_MAX,
	};
}

void tl_http_end_message(struct http_call *call, uint64_t end)
{
	tl_message_end(call->ctx, call->lane, end);
	if (TL_UNLIKELY(call->me->is_call) && call->lane == TL_SERVER)
		tl_http_call_close(call);
}

static void finish_message(struct http_call *call, uint64_t end)
{
	struct http *http = call->http;

	tl_http_end_message(call, end);
	memset(call->me, 0, sizeof(*call->me));
	if (call->lane == TL_SERVER) {
		http->switch_offset = 0;
		http->switch_protocol = 0;
		http->code = 0;
	} else {
		http->request_begin = 0;
	}
}

static void mark_cut(struct http_call *call, uint8_t counter)
{
	call->me->flags |= HTTP_CUT;
	tl_message_flag(call->ctx, call->lane, TL_FLAG_TRUNCATED);
	tl_count(call->ctx, counter);
}

// ---- Lines ---------------------------------------------------------------------------------

enum line_kind {
	LINE_WHOLE, // with its line end
	LINE_LONG,  // its first HTTP_LINE_BYTES_MAX bytes; the rest is to be dropped
	LINE_MORE,  // its end is not in view yet
};

// The line at `at`. With `folds`, lines that begin with a blank belong to the one before: that
// takes a look at the byte behind the line end.
static enum line_kind find_line(const struct tl_view *view, uint32_t at, bool folds,
				struct tl_bytes *ret_line)
{
	struct tl_bytes left = tl_bytes_from(view->bytes, at);
	struct tl_bytes shown = tl_bytes_first(left, HTTP_LINE_BYTES_MAX);
	// What was seen has no line end but maybe its last byte, when the look behind it failed.
	uint32_t from = view->seen > at + 1 ? view->seen - 1 - at : 0;

	while (true) {
		uint32_t end = tl_bytes_find(shown, '\n', from);
		if (end == TL_BYTES_NONE) {
			*ret_line = shown;
			return shown.len == HTTP_LINE_BYTES_MAX ? LINE_LONG : LINE_MORE;
		}
		*ret_line = tl_bytes_first(shown, end + 1);
		bool is_empty = end == 0 || (end == 1 && shown.ptr[0] == '\r');
		if (!folds || is_empty || end + 1 == HTTP_LINE_BYTES_MAX)
			return LINE_WHOLE;
		if (end + 1 == shown.len)
			return LINE_MORE;
		if (shown.ptr[end + 1] != ' ' && shown.ptr[end + 1] != '\t')
			return LINE_WHOLE;
		from = end + 1;
	}
}

// The start line at `at`; the scan goes on behind it.
static enum line_kind find_start_line(struct http_call *call, uint32_t at, struct tl_bytes *ret_line)
{
	const struct tl_view *view = call->view;
	struct tl_bytes bytes = tl_bytes_first(view->bytes, at + HTTP_LINE_BYTES_MAX);
	struct http_scan scan;
	uint32_t end;
	uint32_t colon;

	http_scan_block(&scan, bytes, at);
	if (view->seen > at || !http_scan_line(&scan, bytes, &end, &colon))
		return find_line(view, at, false, ret_line);
	*ret_line = tl_bytes(bytes.ptr + at, end + 1 - at);
	call->scan = scan;
	call->scanned = end + 1;
	return LINE_WHOLE;
}

// Either what was read so far, or a wait for one byte more.
static struct tl_step ate_or_need(const struct http_call *call, uint32_t at)
{
	return at != 0 ? tl_ate(at) : tl_need(call->view->bytes.len + 1);
}

static struct tl_step drop_line(struct http_call *call)
{
	uint32_t end = tl_bytes_find(call->view->bytes, '\n', 0);

	if (end == TL_BYTES_NONE)
		return tl_ate(call->view->bytes.len);
	call->me->flags &= (uint16_t)~HTTP_DROP_LINE;
	return tl_ate(end + 1);
}

// ---- Hunting: what came was no message -------------------------------------------------------

static struct tl_step hunt(struct http_call *call)
{
	struct tl_bytes bytes = call->view->bytes;
	uint32_t at = 0;
	struct tl_bytes line;

	while (at < bytes.len) {
		enum line_kind kind = find_line(call->view, at, false, &line);
		uint32_t start = tl_http_find_start(call->lane, line);
		if (start < line.len && kind == LINE_WHOLE) {
			memset(call->me, 0, sizeof(*call->me));
			call->me->flags = HTTP_AFTER_GAP;
			return tl_ate(at + start);
		}
		if (start < line.len && kind == LINE_MORE)
			return ate_or_need(call, at + start);
		if (kind == LINE_LONG)
			call->me->flags |= HTTP_DROP_LINE;
		at += line.len;
		call->me->head_bytes += line.len;
		if (call->me->head_bytes > HTTP_HUNT_BYTES_MAX) {
			tl_count(call->ctx, HTTP_COUNT_HUNT_GIVEN_UP);
			return tl_stop();
		}
	}
	return tl_ate(at);
}

void tl_http_distrust(struct http *http)
{
	http->doubt = HTTP_SETTLE_ROUNDTRIPS;
	http->is_fresh = true;
}

// The lane's framing is lost: every request that waits is answered by something unreadable.
static void lose_framing(struct http_call *call, uint8_t counter, enum tl_reason reason)
{
	tl_values_close(&call->values);
	tl_count(call->ctx, counter);
	if (call->lane == TL_SERVER)
		tl_cancel_all(call->ctx, TL_STATUS_UNANSWERED, reason);
	tl_http_distrust(call->http);
	memset(call->me, 0, sizeof(*call->me));
	call->me->phase = HTTP_HUNT;
}

// ---- Requests --------------------------------------------------------------------------------

// A request is sent while others wait. Right behind a loss this shows that responses may lag behind.
static void note_pipelining(struct http_call *call)
{
	struct http *http = call->http;

	http->pipelines = true;
	if (http->doubt == 0)
		return;
	tl_cancel_all(call->ctx, TL_STATUS_UNANSWERED, TL_REASON_GAP);
	http->is_fresh = true;
}

static void open_request(struct http_call *call, const struct http_request_line *line,
			 uint64_t key)
{
	struct http *http = call->http;

	if (http->is_fresh && tl_after_silence(call->ctx, TL_CLIENT, key)) {
		tl_cancel_all(call->ctx, TL_STATUS_UNANSWERED, TL_REASON_GAP);
		http->is_fresh = false;
	}
	if (tl_pending_count(call->ctx, TL_CLIENT) != 0)
		note_pipelining(call);
	struct http_memo memo = {
		.method = (uint8_t)line->kind,
		.is_simple = line->version.len == 0,
		.is_fresh = http->is_fresh,
		.is_doubtful = http->doubt != 0,
	};

	// A request that is pushed out of a full queue leaves its place there, and where one could
	// not be queued at all the core stops: order holds.
	tl_open(call->ctx, TL_CLIENT, key, &memo);
}

static void begin_message(struct http_call *call, uint64_t offset)
{
	bool is_after_gap = (call->me->flags & HTTP_AFTER_GAP) != 0;

	memset(call->me, 0, sizeof(*call->me));
	call->me->phase = HTTP_HEADERS;
	if (TL_UNLIKELY(call->http->has_room) && call->lane == TL_CLIENT)
		memset(&((struct http_room *)tl_room(call->ctx))->request, 0, sizeof(struct tl_grpc_request));
	tl_message_begin(call->ctx, call->lane, offset);
	if (is_after_gap)
		tl_message_flag(call->ctx, call->lane, TL_FLAG_GAP);
}

static struct tl_step request_line(struct http_call *call, uint32_t at)
{
	struct http_request_line parsed;
	struct tl_bytes line;
	struct tl_bytes first = tl_bytes_from(call->view->bytes, at);
	enum line_kind kind = find_start_line(call, at, &line);

	if (kind == LINE_MORE && tl_http_match_request(first) != TL_MATCH_NO)
		return ate_or_need(call, at);
	if (kind == LINE_MORE || !tl_http_request_line(tl_http_chomp(line), kind == LINE_LONG, &parsed) ||
	    (tl_is_late_join(call->ctx) && tl_http_is_torn_method(parsed.method))) {
		lose_framing(call, HTTP_COUNT_BAD_START_LINE, TL_REASON_DECODE_ERROR);
		return at != 0 ? tl_ate(at) : hunt(call);
	}
	uint64_t offset = call->view->offset + at;
	at += line.len;
	begin_message(call, offset);
	call->http->request_begin = (uint32_t)offset;
	call->http->trace_source = 0;
	if (kind == LINE_LONG)
		mark_cut(call, HTTP_COUNT_LONG_LINE);
	open_request(call, &parsed, offset);
	if (call->http->doubt != 0)
		tl_message_flag(call->ctx, TL_CLIENT, TL_FLAG_GAP);
	tl_values_open(&call->values, call->ctx, TL_CLIENT);
	tl_http_request_fields(call, &parsed);
	if (parsed.version.len == 0) {
		finish_message(call, offset + line.len);
		return tl_ate(at);
	}
	if (kind == LINE_LONG)
		call->me->flags |= HTTP_DROP_LINE;
	// Marks a request behind which another protocol may begin; its offset is known at its end.
	if (parsed.kind == HTTP_CONNECT)
		call->me->flags |= HTTP_TUNNEL;
	return tl_ate(at);
}

// ---- Responses -------------------------------------------------------------------------------

// The current message of the server lane is a final response without a request of its own.
static void orphan(struct http_call *call, enum tl_reason reason)
{
	tl_orphan(call->ctx, TL_SERVER, reason);
	call->me->flags |= HTTP_UNSURE_BODY;
	// An answer too many means that the order was off: it is not trusted for longer.
	if (call->http->doubt != 0)
		call->http->doubt = HTTP_SETTLE_ROUNDTRIPS;
}

// A response belongs to the oldest open request, unless bytes were lost since: requests in the
// hole have answers too. So a request opened behind a hole is paired only after the connection
// was seen to owe no response, which is all it takes where clients do not pipeline; and until a few
// roundtrips went well, records carry the flag `gap`. Responses to a client that pipelines may lag
// behind forever: what it asks is paired again when it asks after a silence.
static void pair_response(struct http_call *call, enum tl_status status)
{
	struct http *http = call->http;
	uint64_t key;
	const struct http_memo *memo =
		(const struct http_memo *)tl_pending_oldest(call->ctx, TL_CLIENT, &key);

	if (memo == NULL) {
		orphan(call, TL_REASON_NONE);
	} else if (memo->is_fresh) {
		tl_count(call->ctx, HTTP_COUNT_UNSURE_DROPPED);
		tl_cancel(call->ctx, TL_CLIENT, key, TL_STATUS_UNANSWERED, TL_REASON_GAP);
		orphan(call, TL_REASON_GAP);
	} else {
		if (memo->is_doubtful)
			tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_GAP);
		if (memo->method == HTTP_HEAD)
			call->me->flags |= HTTP_NO_BODY;
		if (memo->method == HTTP_CONNECT && status == TL_STATUS_OK && call->http->code >= 200 &&
		    call->http->code < 300)
			call->me->flags |= HTTP_TUNNEL;
		if (!tl_http_call_answer(call, key))
			tl_close(call->ctx, TL_SERVER, key, status, TL_REASON_NONE);
		if (http->doubt != 0)
			http->doubt--;
	}
	if (tl_pending_count(call->ctx, TL_CLIENT) == 0 && !http->pipelines)
		http->is_fresh = false;
}

// HTTP/0.9: whatever comes is the answer, and ends with the connection.
static struct tl_step simple_response(struct http_call *call)
{
	uint64_t offset = call->view->offset;

	begin_message(call, offset);
	tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_ESTIMATED);
	pair_response(call, TL_STATUS_OK);
	call->me->phase = HTTP_TO_END;
	call->me->left = offset;
	return tl_skip(TL_TO_THE_END);
}

static bool awaits_simple_response(struct http_call *call)
{
	uint64_t key;
	const struct http_memo *memo =
		(const struct http_memo *)tl_pending_oldest(call->ctx, TL_CLIENT, &key);

	return memo != NULL && memo->is_simple;
}

static struct tl_step status_line(struct http_call *call, uint32_t at)
{
	struct http_status_line parsed;
	struct tl_bytes line;
	enum line_kind kind = find_start_line(call, at, &line);

	if (kind == LINE_MORE && tl_http_match_response(line) != TL_MATCH_NO)
		return ate_or_need(call, at);
	if (kind == LINE_MORE || !tl_http_status_line(tl_http_chomp(line), &parsed)) {
		lose_framing(call, HTTP_COUNT_BAD_START_LINE, TL_REASON_DECODE_ERROR);
		return at != 0 ? tl_ate(at) : hunt(call);
	}
	begin_message(call, call->view->offset + at);
	call->http->switch_protocol = 0;
	call->http->code = parsed.code;
	if (kind == LINE_LONG)
		mark_cut(call, HTTP_COUNT_LONG_LINE);
	if (parsed.code < 200 || parsed.code == 204 || parsed.code == 304)
		call->me->flags |= HTTP_NO_BODY;
	if (parsed.code < 200 && parsed.code != 101) {
		call->me->flags |= HTTP_INTERIM;
	} else {
		// Where a 101 belongs is known when it is known to what it switches.
		if (parsed.code != 101)
			pair_response(call, tl_http_status_of(parsed.code));
		tl_values_open(&call->values, call->ctx, TL_SERVER);
		tl_values_uint(&call->values, HTTP_FIELD_STATUS_CODE, parsed.code);
		tl_values_text(&call->values, HTTP_FIELD_VERSION, HTTP_VERSION_BYTES_MAX,
			       parsed.version);
		if (parsed.reason.len != 0 && !call->me->is_call)
			tl_values_text(&call->values, HTTP_FIELD_REASON, HTTP_WORD_BYTES_MAX,
				       parsed.reason);
		if (parsed.code == 101)
			call->me->flags |= HTTP_TUNNEL;
	}
	if (kind == LINE_LONG)
		call->me->flags |= HTTP_DROP_LINE;
	return tl_ate(at + line.len);
}

// ---- The end of a head -----------------------------------------------------------------------

enum framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_TO_END, FRAMING_BAD };

// RFC 9112 section 6.3, in its order.
static enum framing framing_of(const struct http_call *call)
{
	uint16_t flags = call->me->flags;
	bool is_response = call->lane == TL_SERVER;

	if ((flags & HTTP_NO_BODY) != 0 || (is_response && (flags & HTTP_TUNNEL) != 0))
		return FRAMING_NONE;
	if ((flags & HTTP_CHUNKED) != 0)
		return FRAMING_CHUNKED;
	if ((flags & HTTP_ENCODED) != 0)
		return is_response ? FRAMING_TO_END : FRAMING_BAD;
	if ((flags & HTTP_BAD_LENGTH) != 0)
		return FRAMING_BAD;
	if ((flags & HTTP_HAS_LENGTH) != 0)
		return call->me->left != 0 ? FRAMING_LENGTH : FRAMING_NONE;
	return is_response ? FRAMING_TO_END : FRAMING_NONE;
}

static bool captures(const struct http_call *call)
{
	return call->options->capture_body && (call->me->flags & HTTP_TEXT) != 0 &&
	       (call->me->flags & HTTP_COMPRESSED) == 0;
}

// A response behind which, at `end`, another protocol begins. The answer to an upgrade to HTTP/2
// comes there, on stream 1: the request goes over, and its 101 was an interim response.
static void switch_protocols(struct http_call *call, uint64_t end)
{
	struct http *http = call->http;
	uint64_t offset[TL_LANE_COUNT] = {http->switch_offset, end};
	bool is_101 = call->http->code == 101;
	uint16_t protocol = (call->me->flags & HTTP_HAS_UPGRADE) != 0 ? http->switch_protocol
								      : TL_PROTOCOL_DETECT;
	uint64_t key = 0;
	const struct http_memo *memo = NULL;

	if (is_101 && protocol < TL_PROTOCOL_OPAQUE)
		memo = (const struct http_memo *)tl_pending_oldest(call->ctx, TL_CLIENT, &key);
	bool goes_over = memo != NULL && !memo->is_fresh && http->switch_offset != 0;
	if (is_101 && (goes_over || (memo == NULL && protocol < TL_PROTOCOL_OPAQUE)))
		tl_part(call->ctx, TL_SERVER, key);
	else if (is_101)
		pair_response(call, TL_STATUS_OK);
	finish_message(call, end);
	if (goes_over)
		tl_switch_with(call->ctx, protocol, offset, key, 1);
	else
		tl_switch(call->ctx, protocol, offset);
}

// A head that ends at `end` and is the whole message.
static struct tl_step end_without_body(struct http_call *call, uint32_t at, uint64_t end)
{
	uint16_t flags = call->me->flags;
	uint64_t key;

	if ((flags & HTTP_INTERIM) != 0) {
		// Parts are told apart by nothing: whoever waits longest gets it.
		if (tl_pending_oldest(call->ctx, TL_CLIENT, &key) != NULL)
			tl_part(call->ctx, TL_SERVER, key);
		memset(call->me, 0, sizeof(*call->me));
		call->http->code = 0;
		return tl_ate(at);
	}
	if (call->lane == TL_SERVER && (flags & HTTP_TUNNEL) != 0) {
		switch_protocols(call, end);
		return tl_ate(at);
	}
	if (call->lane == TL_CLIENT && (flags & (HTTP_TUNNEL | HTTP_HAS_UPGRADE)) != 0)
		call->http->switch_offset = end;
	finish_message(call, end);
	return tl_ate(at);
}

// A body of known length begins at `at`; with nothing to look at, it is skipped at once, together
// with the empty line behind the `head` bytes that were read.
static struct tl_step begin_body(struct http_call *call, uint32_t head, uint32_t at)
{
	struct http_lane *me = call->me;
	uint64_t start = call->view->offset + at;
	uint64_t length = me->left;

	if (call->lane == TL_CLIENT && (me->flags & HTTP_HAS_UPGRADE) != 0)
		call->http->switch_offset = start + length;
	if ((me->flags & HTTP_UNSURE_BODY) != 0 || captures(call) || me->is_call) {
		me->phase = HTTP_BODY;
		return tl_ate(at);
	}
	tl_message_body(call->ctx, call->lane, length);
	finish_message(call, start + length);
	return tl_ate_and_skip(head, at + length);
}

static struct tl_step begin_endless_body(struct http_call *call, uint32_t head, uint32_t at)
{
	struct http_lane *me = call->me;

	if (captures(call) || me->is_call) {
		me->phase = HTTP_BODY;
		me->left = TL_TO_THE_END;
		return tl_ate(at);
	}
	me->phase = HTTP_TO_END;
	me->left = call->view->offset + at;
	return tl_ate_and_skip(head, TL_TO_THE_END);
}

// The empty line at `at` ends the head.
static struct tl_step end_of_head(struct http_call *call, uint32_t at, uint32_t len)
{
	struct http_lane *me = call->me;
	uint64_t end = call->view->offset + at + len;
	enum framing framing = framing_of(call);

	tl_values_close(&call->values);
	me->head_bytes = 0;
	if (call->lane == TL_CLIENT)
		call->http->trace_source = 0;
	if (TL_UNLIKELY(call->http->has_room) && call->lane == TL_CLIENT)
		tl_http_call_begin(call, end);
	if ((me->flags & (HTTP_ENCODED | HTTP_HAS_LENGTH)) == (HTTP_ENCODED | HTTP_HAS_LENGTH))
		tl_count(call->ctx, HTTP_COUNT_BOTH_LENGTHS);
	switch (framing) {
	case FRAMING_LENGTH:
		return begin_body(call, at, at + len);
	case FRAMING_TO_END:
		return begin_endless_body(call, at, at + len);
	case FRAMING_CHUNKED:
		me->phase = HTTP_CHUNK;
		return tl_ate(at + len);
	case FRAMING_BAD:
		tl_message_flag(call->ctx, call->lane, TL_FLAG_TRUNCATED);
		tl_http_end_message(call, end);
		lose_framing(call, HTTP_COUNT_BAD_LENGTH, TL_REASON_DECODE_ERROR);
		return tl_ate(at + len);
	case FRAMING_NONE:
		break;
	}
	return end_without_body(call, at + len, end);
}

static struct tl_step read_headers(struct http_call *call, uint32_t at)
{
	struct http_lane *me = call->me;
	struct tl_bytes line;
	uint32_t end;

	at = tl_http_plain_headers(call, at, &end);
	if (end != 0)
		return end_of_head(call, at, end);
	while (at < call->view->bytes.len) {
		enum line_kind kind = find_line(call->view, at, true, &line);
		if (kind == LINE_MORE)
			return ate_or_need(call, at);
		struct tl_bytes text = tl_http_chomp(line);
		if (kind == LINE_WHOLE && text.len == 0)
			return end_of_head(call, at, line.len);
		if (me->header_count <= HTTP_HEADERS_MAX)
			me->header_count++;
		if (me->head_bytes <= HTTP_HEAD_BYTES_MAX)
			me->head_bytes += line.len;
		bool is_full = me->header_count > HTTP_HEADERS_MAX ||
			       me->head_bytes > HTTP_HEAD_BYTES_MAX;
		if (is_full && (me->flags & HTTP_CUT) == 0)
			mark_cut(call, HTTP_COUNT_MANY_HEADERS);
		tl_http_header(call, text, true);
		at += line.len;
		if (kind == LINE_LONG) {
			mark_cut(call, HTTP_COUNT_LONG_LINE);
			me->flags |= HTTP_DROP_LINE;
			break;
		}
	}
	return tl_ate(at);
}

// ---- Bodies ----------------------------------------------------------------------------------

// An answer whose request was not seen may be one to HEAD, which has no body whatever it says:
// then the next answer stands here.
static struct tl_step unsure_body(struct http_call *call)
{
	static const char start[] = "HTTP/1.";
	struct tl_bytes bytes = call->view->bytes;
	uint32_t len = (uint32_t)sizeof(start) - 1;

	if (call->me->left >= len) {
		uint32_t shown = bytes.len < len ? bytes.len : len;
		if (memcmp(bytes.ptr, start, shown) == 0) {
			if (shown < len)
				return tl_need(len);
			finish_message(call, call->view->offset);
			return tl_ate(0);
		}
	}
	call->me->flags &= (uint16_t)~HTTP_UNSURE_BODY;
	return tl_ate(0);
}

// Skips `bytes` of body, or copies the part of it that is still to be captured.
static struct tl_step take_body(struct http_call *call, uint64_t bytes)
{
	uint32_t max = TL_HTTP_CAPTURE_BYTES_MAX;

	if (call->options->capture_body_max < max)
		max = (uint32_t)call->options->capture_body_max;
	if (!captures(call) || call->me->body_kept >= max)
		return tl_skip(bytes);
	uint32_t keep = max - call->me->body_kept;
	if (bytes < keep)
		keep = (uint32_t)bytes;
	call->me->body_kept += keep;
	return tl_copy(bytes, HTTP_FIELD_BODY, keep);
}

static struct tl_step read_body(struct http_call *call)
{
	struct http_lane *me = call->me;
	uint64_t start = call->view->offset;
	uint64_t length = me->left;

	if ((me->flags & HTTP_UNSURE_BODY) != 0) {
		struct tl_step step = unsure_body(call);
		if (step.kind == TL_STEP_NEED || me->phase != HTTP_BODY)
			return step;
	}
	if (TL_UNLIKELY(me->is_call)) {
		struct tl_step step = tl_http_call_body(call);
		if (me->left == 0)
			finish_message(call, start + step.bytes);
		return step;
	}
	struct tl_step step = take_body(call, length);
	if (length == TL_TO_THE_END) {
		me->phase = HTTP_TO_END;
		me->left = start;
		return step;
	}
	tl_message_body(call->ctx, call->lane, length);
	finish_message(call, start + length);
	return step;
}

static struct tl_step bad_chunk(struct http_call *call)
{
	tl_message_flag(call->ctx, call->lane, TL_FLAG_TRUNCATED);
	tl_http_end_message(call, call->view->offset);
	lose_framing(call, HTTP_COUNT_BAD_CHUNK, TL_REASON_DECODE_ERROR);
	return hunt(call);
}

static struct tl_step read_chunk(struct http_call *call)
{
	struct http_lane *me = call->me;
	struct tl_bytes bytes = call->view->bytes;
	struct tl_bytes line;
	uint32_t at = 0;
	uint64_t size;

	if ((me->flags & HTTP_CHUNK_BEFORE) != 0) {
		at = bytes.ptr[0] == '\r' ? 2 : 1;
		if (bytes.len < at)
			return tl_need(at);
		if (bytes.ptr[at - 1] != '\n')
			return bad_chunk(call);
	}
	if (at == bytes.len)
		return tl_need(at + 1);
	enum line_kind kind = find_line(call->view, at, false, &line);
	if (kind == LINE_MORE)
		return tl_need(bytes.len + 1);
	if (!tl_http_chunk_size(tl_http_chomp(line), &size))
		return bad_chunk(call);
	at += line.len;
	me->flags |= HTTP_CHUNK_BEFORE;
	if (kind == LINE_LONG) {
		tl_count(call->ctx, HTTP_COUNT_LONG_LINE);
		me->flags |= HTTP_DROP_LINE;
	}
	if (size == 0) {
		me->phase = HTTP_TRAILERS;
		return tl_ate(at);
	}
	if (kind == LINE_LONG || captures(call) || me->is_call) {
		me->phase = HTTP_CHUNK_DATA;
		me->left = size;
		return tl_ate(at);
	}
	tl_message_body(call->ctx, call->lane, size);
	return tl_skip(at + size);
}

static struct tl_step read_chunk_data(struct http_call *call)
{
	uint64_t size = call->me->left;

	if (TL_UNLIKELY(call->me->is_call)) {
		struct tl_step step = tl_http_call_body(call);
		if (call->me->left == 0)
			call->me->phase = HTTP_CHUNK;
		return step;
	}
	call->me->phase = HTTP_CHUNK;
	call->me->left = 0;
	tl_message_body(call->ctx, call->lane, size);
	return take_body(call, size);
}

// Trailers are read past: they say nothing that a record shows, but those of a call.
static struct tl_step read_trailers(struct http_call *call)
{
	struct tl_bytes line;
	uint32_t at = 0;

	while (at < call->view->bytes.len) {
		enum line_kind kind = find_line(call->view, at, false, &line);
		if (kind == LINE_MORE)
			return ate_or_need(call, at);
		at += line.len;
		if (kind == LINE_LONG) {
			call->me->flags |= HTTP_DROP_LINE;
			break;
		}
		if (tl_http_chomp(line).len == 0) {
			uint64_t end = call->view->offset + at;
			if (call->lane == TL_CLIENT && (call->me->flags & HTTP_HAS_UPGRADE) != 0)
				call->http->switch_offset = end;
			finish_message(call, end);
			break;
		}
		if (TL_UNLIKELY(call->me->is_call))
			tl_http_call_trailer(call, tl_http_chomp(line));
	}
	return tl_ate(at);
}

static struct tl_step read_start(struct http_call *call)
{
	struct tl_bytes bytes = call->view->bytes;
	uint32_t at = 0;

	if (call->lane == TL_SERVER && awaits_simple_response(call)) {
		enum tl_match match = tl_http_match_response(bytes);
		if (match == TL_MATCH_NO)
			return simple_response(call);
		if (match == TL_MATCH_UNSURE)
			return tl_need(bytes.len + 1);
	}
	// RFC 9112 section 2.2 lets clients send an empty line too many; some servers do so too.
	while (at < bytes.len && (bytes.ptr[at] == '\r' || bytes.ptr[at] == '\n'))
		at++;
	if (at == bytes.len)
		return tl_ate(at);
	struct tl_step step = call->lane == TL_CLIENT ? request_line(call, at)
						      : status_line(call, at);
	// Most heads come whole: the headers are read in the same call.
	if (step.kind != TL_STEP_ATE || call->me->phase != HTTP_HEADERS ||
	    (call->me->flags & HTTP_DROP_LINE) != 0)
		return step;
	return read_headers(call, (uint32_t)step.bytes);
}

static struct tl_step step_once(struct http_call *call)
{
	if ((call->me->flags & HTTP_DROP_LINE) != 0)
		return drop_line(call);
	switch ((enum http_phase)call->me->phase) {
	case HTTP_IDLE:
		return read_start(call);
	case HTTP_HEADERS:
		return read_headers(call, 0);
	case HTTP_BODY:
		return read_body(call);
	case HTTP_CHUNK:
		return read_chunk(call);
	case HTTP_CHUNK_DATA:
		return read_chunk_data(call);
	case HTTP_TRAILERS:
		return read_trailers(call);
	case HTTP_HUNT:
		return hunt(call);
	case HTTP_TO_END:
		break; // covered by a skip: the core has nothing to show
	}
	return tl_skip(TL_TO_THE_END);
}

__attribute__((noinline)) static struct tl_step
step_by_step(struct tl_ctx *ctx, void *state, enum tl_lane lane, const struct tl_view *view)
{
	struct http_call call = tl_http_begin_call(ctx, state, lane, view);
	struct tl_step step = step_once(&call);

	// Some phases end by what they see, without eating it: at most a body that is none, then
	// a start line that is none, then the hunt for one.
	for (int i = 0; i < 4 && step.kind == TL_STEP_ATE && step.bytes == 0; i++)
		step = step_once(&call);
	if (step.kind == TL_STEP_ATE && step.bytes == 0) {
		// A start that the hunt believes in and the reader does not: past it.
		lose_framing(&call, HTTP_COUNT_BAD_START_LINE, TL_REASON_DECODE_ERROR);
		return tl_ate(1);
	}
	tl_values_close(&call.values);
	return step;
}

struct tl_step tl_http_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
			 const struct tl_view *view)
{
	struct http *http = (struct http *)state;
	const struct tl_http_options *options = (const struct tl_http_options *)tl_options(ctx);
	struct tl_step step;

	if (TL_LIKELY(tl_http_straight(ctx, http, options, lane, view, &step)))
		return step;
	return step_by_step(ctx, state, lane, view);
}
