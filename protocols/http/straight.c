// SPDX-License-Identifier: Apache-2.0
// The straight way through most messages: a whole head in view at the start of a message, with
// nothing in it that needs a second look. It is read to its end before anything is done, so that
// everything else can still take the general way of message.c, which comes to the same: the sweep
// cuts each conversation at every byte, and most cuts lead there.
#include "state.h"

#include "base/check.h"

#define STRAIGHT_BYTES_MAX 8192u // of a head; no line of it is too long
#define STRAIGHT_LINES_MAX 64u
#define STRAIGHT_VALUES_MAX 24u

// Values that are no text fields: trace contexts.
enum { IS_TRACEPARENT = 0x80, IS_B3, IS_B3_TRACE_ID, IS_B3_SPAN_ID, IS_B3_SAMPLED };

struct value {
	const uint8_t *ptr;
	uint32_t len;
	uint8_t field;
};

struct head {
	struct tl_ctx *ctx;
	struct http *http;
	struct tl_bytes bytes;
	uint64_t offset;      // of the head in the lane
	const struct tl_http_options *options;
	struct http_scan scan;
	uint64_t length;      // of the body, with has_length
	uint32_t at;          // the line that comes next, at last the empty one
	uint32_t end;         // behind the head
	uint32_t count;
	bool is_request;
	bool has_host;
	bool has_length;
	bool is_chunked;
	bool has_trace;
	struct value values[STRAIGHT_VALUES_MAX];
};

static inline bool add(struct head *head, uint8_t field, const uint8_t *ptr, uint32_t len)
{
	if (TL_UNLIKELY(head->count == STRAIGHT_VALUES_MAX))
		return false;
	head->values[head->count++] = (struct value) {.ptr = ptr, .len = len, .field = field};
	return true;
}

// A value that a header line has behind its colon.
static inline bool add_word(struct head *head, uint8_t field, uint32_t max, struct tl_bytes raw)
{
	struct tl_bytes value = tl_bytes_trim(raw);

	return value.len <= max && add(head, field, value.ptr, value.len);
}

static bool add_trace(struct head *head, uint8_t kind, struct tl_bytes raw)
{
	struct tl_bytes value = tl_bytes_trim(raw);

	head->has_trace = true;
	if (head->count == STRAIGHT_VALUES_MAX)
		return false;
	head->values[head->count++] =
		(struct value) {.ptr = value.ptr, .len = value.len, .field = kind};
	return true;
}

static inline bool take_length(struct head *head, struct tl_bytes raw)
{
	struct tl_bytes value = tl_bytes_trim(raw);
	uint64_t length = 0;

	if (head->has_length || value.len == 0 || value.len > 18)
		return false;
	for (uint32_t i = 0; i < value.len; i++) {
		if (value.ptr[i] < '0' || value.ptr[i] > '9')
			return false;
		length = length * 10 + (uint64_t)(value.ptr[i] - '0');
	}
	head->has_length = true;
	head->length = length;
	return true;
}

static bool take_encoding(struct head *head, struct tl_bytes raw)
{
	if (head->is_chunked || !tl_http_ends_chunked(tl_bytes_trim(raw)))
		return false;
	head->is_chunked = true;
	return true;
}

static bool take_rare_header(struct head *head, struct tl_bytes name, struct tl_bytes raw)
{
	if (tl_bytes_is_nocase(name, "upgrade"))
		return false;
	if (tl_bytes_is_nocase(name, "transfer-encoding"))
		return take_encoding(head, raw);
	if (!head->is_request)
		return true;
	if (tl_bytes_is_nocase(name, "tracestate"))
		return add_word(head, HTTP_FIELD_TRACESTATE, HTTP_WORD_BYTES_MAX, raw);
	if (tl_bytes_is_nocase(name, "x-request-id"))
		return add_word(head, HTTP_FIELD_REQUEST_ID, HTTP_WORD_BYTES_MAX, raw);
	if (tl_bytes_is_nocase(name, "traceparent"))
		return add_trace(head, IS_TRACEPARENT, raw);
	if (tl_bytes_is_nocase(name, "b3"))
		return add_trace(head, IS_B3, raw);
	if (tl_bytes_is_nocase(name, "x-b3-traceid"))
		return add_trace(head, IS_B3_TRACE_ID, raw);
	if (tl_bytes_is_nocase(name, "x-b3-spanid"))
		return add_trace(head, IS_B3_SPAN_ID, raw);
	if (tl_bytes_is_nocase(name, "x-b3-sampled"))
		return add_trace(head, IS_B3_SAMPLED, raw);
	return true;
}

// Names are told apart by their length first. False: the general way is to take this head.
static inline bool take_header(struct head *head, struct tl_bytes name, struct tl_bytes raw)
{
	switch (name.len) {
	case 4:
		if (!head->is_request || head->has_host || !tl_bytes_is_word(name, "host"))
			return true;
		head->has_host = true;
		return add_word(head, HTTP_FIELD_HOST, TL_FIELD_BYTES_DEFAULT, raw);
	case 6:
		if (head->is_request || !tl_bytes_is_word(name, "server"))
			return true;
		return add_word(head, HTTP_FIELD_SERVER, HTTP_WORD_BYTES_MAX, raw);
	case 12:
		if (tl_bytes_is_word(name, "content-type"))
			return !(head->is_request && tl_grpc_is_type(tl_bytes_trim(raw))) &&
			       add_word(head, HTTP_FIELD_CONTENT_TYPE, HTTP_WORD_BYTES_MAX, raw);
		return take_rare_header(head, name, raw);
	case 14:
		return !tl_bytes_is_word(name, "content-length") || take_length(head, raw);
	case 10:
		if (head->is_request && tl_bytes_is_word(name, "user-agent"))
			return add_word(head, HTTP_FIELD_USER_AGENT, TL_FIELD_BYTES_DEFAULT, raw);
		return take_rare_header(head, name, raw);
	case 2:
	case 7:
	case 11:
	case 17:
		return take_rare_header(head, name, raw);
	default:
		return true;
	}
}

static inline bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t';
}

// Header lines up to the empty one. False: they don't end in view, or need a second look.
static inline bool read_lines(struct head *head)
{
	struct http_scan scan = head->scan;
	struct tl_bytes bytes = head->bytes;
	uint32_t at = head->at;
	uint32_t end;
	uint32_t colon;

	for (uint32_t i = 0; i < STRAIGHT_LINES_MAX; i++) {
		if (!http_scan_line(&scan, bytes, &end, &colon))
			return false;
		const uint8_t *line = bytes.ptr + at;
		uint32_t len = end - at;
		len -= len != 0 && line[len - 1] == '\r';
		if (len == 0) {
			head->at = at;
			head->end = end + 1;
			return true;
		}
		if (end + 1 == bytes.len || is_space(bytes.ptr[end + 1]))
			return false;
		uint32_t name_len = colon - at; // without a colon it is huge
		if (TL_LIKELY(name_len - 1 < len)) {
			if (TL_UNLIKELY(is_space(line[name_len - 1])) ||
			    !take_header(head, tl_bytes(line, name_len),
					 tl_bytes(line + name_len + 1, len - name_len - 1)))
				return false;
		}
		at = end + 1;
	}
	return false;
}

// ---- Start lines -----------------------------------------------------------------------------

// The length of the start line without its end, 0 if there is none.
static inline uint32_t start_line(struct head *head)
{
	uint32_t end;
	uint32_t colon;

	http_scan_block(&head->scan, head->bytes, 0);
	if (!http_scan_line(&head->scan, head->bytes, &end, &colon) || end == 0)
		return 0;
	head->at = end + 1;
	return end - (head->bytes.ptr[end - 1] == '\r');
}

struct target {
	struct tl_bytes all;
	struct tl_bytes path;
	struct tl_bytes query;
};

static inline bool split_target(struct tl_bytes all, struct target *ret)
{
	uint32_t question = tl_bytes_find(all, '?', 0);

	*ret = (struct target) {.all = all, .path = tl_bytes_first(all, question)};
	if (question != TL_BYTES_NONE)
		ret->query = tl_bytes_from(all, question + 1);
	return ret->path.len <= TL_HTTP_PATH_BYTES_MAX && ret->query.len <= TL_HTTP_QUERY_BYTES_MAX;
}

// "GET /path?query HTTP/1.1" and the like; `line` is long enough for the shortest.
static inline bool read_request_line(const uint8_t *line, uint32_t len, enum http_method *ret_kind,
				     uint32_t *ret_method_len)
{
	uint32_t method_len = memcmp(line, "GET ", 4) == 0    ? 3
			      : memcmp(line, "POST ", 5) == 0 ? 4
							      : tl_http_token_len(tl_bytes(line, len));

	if (method_len == 0 || method_len > TL_HTTP_METHOD_BYTES_MAX || method_len + 11 > len ||
	    line[method_len] != ' ' || line[method_len + 1] != '/' || memcmp(line + len - 9, " HTTP/1.", 8) != 0 ||
	    line[len - 1] < '0' || line[len - 1] > '9' || line[len - 10] <= ' ')
		return false;
	*ret_method_len = method_len;
	*ret_kind = tl_http_method_kind(tl_bytes(line, method_len));
	return *ret_kind != HTTP_CONNECT &&
	       !tl_http_has_control(tl_bytes(line + method_len + 1, len - 10 - method_len));
}

static inline bool read_request(struct head *head,
				enum http_method *ret_kind, uint8_t *masked)
{
	const uint8_t *line = head->bytes.ptr;
	uint32_t len = start_line(head);
	struct target target;
	uint32_t method_len;

	if (len < 14 || !read_request_line(line, len, ret_kind, &method_len))
		return false;
	struct tl_bytes all = tl_bytes(line + method_len + 1, len - 10 - method_len);
	if (TL_UNLIKELY(tl_redact(head->ctx)))
		all = tl_http_masked(head->ctx, head->options, all, masked);
	if (!split_target(all, &target))
		return false;
	(void)add(head, HTTP_FIELD_METHOD, line, method_len);
	(void)add(head, HTTP_FIELD_VERSION, line + len - 3, 3);
	(void)add(head, HTTP_FIELD_TARGET, all.ptr, all.len);
	(void)add(head, HTTP_FIELD_PATH, target.path.ptr, target.path.len);
	if (target.query.len != 0)
		(void)add(head, HTTP_FIELD_QUERY, target.query.ptr, target.query.len);
	return head->options->routes.count == 0 && read_lines(head);
}

static inline bool read_response(struct head *head, uint64_t *ret_code)
{
	const uint8_t *line = head->bytes.ptr;
	uint32_t len = start_line(head);

	if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' ||
	    (len > 12 && line[12] != ' '))
		return false;
	uint32_t version = (uint32_t)line[7] - '0';
	uint32_t hundreds = (uint32_t)line[9] - '0';
	uint32_t tens = (uint32_t)line[10] - '0';
	uint32_t ones = (uint32_t)line[11] - '0';
	if (version > 9 || hundreds - 2 > 7 || tens > 9 || ones > 9)
		return false;
	*ret_code = hundreds * 100 + tens * 10 + ones;
	(void)add(head, HTTP_FIELD_STATUS_CODE, (const uint8_t *)ret_code, sizeof(*ret_code));
	(void)add(head, HTTP_FIELD_VERSION, line + 5, 3);
	if (len > 13) {
		struct tl_bytes reason = tl_bytes_trim(tl_bytes(line + 13, len - 13));
		if (reason.len > HTTP_WORD_BYTES_MAX ||
		    (reason.len != 0 && !add(head, HTTP_FIELD_REASON, reason.ptr, reason.len)))
			return false;
	}
	return read_lines(head);
}

// ---- What is done with it --------------------------------------------------------------------

static void set_traces(const struct head *head)
{
	uint8_t *source = &head->http->trace_source;
	const enum tl_lane lane = TL_CLIENT; // responses have none

	for (uint32_t i = 0; i < head->count; i++) {
		struct tl_bytes value = tl_bytes(head->values[i].ptr, head->values[i].len);
		switch (head->values[i].field) {
		case IS_TRACEPARENT:
			tl_http_traceparent(head->ctx, lane, source, value);
			break;
		case IS_B3:
			tl_http_b3(head->ctx, lane, source, value);
			break;
		case IS_B3_TRACE_ID:
			tl_http_b3_part(head->ctx, lane, source, value,
					tl_trace_add_b3_trace_id);
			break;
		case IS_B3_SPAN_ID:
			tl_http_b3_part(head->ctx, lane, source, value,
					tl_trace_add_b3_span_id);
			break;
		case IS_B3_SAMPLED:
			tl_http_b3_part(head->ctx, lane, source, value,
					tl_trace_add_b3_sampled);
			break;
		default:
			break;
		}
	}
	*source = 0;
}

static inline void set_values(const struct head *head, enum tl_lane lane)
{
	struct tl_values values;

	tl_values_open(&values, head->ctx, lane);
	uint8_t *at = values.at;
	for (uint32_t i = 0; i < head->count; i++) {
		uint8_t field = head->values[i].field;
		struct tl_bytes value = tl_bytes(head->values[i].ptr, head->values[i].len);
		if (TL_UNLIKELY(field >= HTTP_FIELD_COUNT)) // a trace
			continue;
		if (TL_LIKELY((size_t)(values.end - at) >= tl_value_size(value.len))) {
			at = tl_value_put(at, field, value);
			continue;
		}
		values.at = at;
		tl_values_add_slowly(&values, field, value);
		at = values.at;
	}
	values.at = at;
	tl_values_close(&values);
}

// The head ends here; a body of known length is skipped with it.
static inline struct tl_step finish(const struct head *head, enum tl_lane lane, bool no_body)
{
	struct http_lane *me = &head->http->lane[lane];
	uint64_t end = head->offset + head->end;

	if (!no_body && head->is_chunked) {
		me->phase = HTTP_CHUNK;
		me->flags = HTTP_ENCODED | HTTP_CHUNKED;
		return tl_ate(head->end);
	}
	if (no_body || head->length == 0) {
		tl_message_end(head->ctx, lane, end);
		return tl_ate(head->end);
	}
	tl_message_body(head->ctx, lane, head->length);
	tl_message_end(head->ctx, lane, end + head->length);
	return tl_ate_and_skip(head->at, head->end + head->length);
}

static bool straight_request(struct head *head, struct tl_step *ret_step)
{
	uint8_t masked[TL_HTTP_MASKED_BYTES_MAX];
	enum http_method kind;

	if (tl_is_late_join(head->ctx) || !read_request(head, &kind, masked) ||
	    (head->is_chunked && head->has_length))
		return false;
	const struct http_memo memo = {.method = (uint8_t)kind};
	if (tl_pending_count(head->ctx, TL_CLIENT) != 0)
		head->http->pipelines = true;
	tl_message_begin(head->ctx, TL_CLIENT, head->offset);
	head->http->trace_source = 0;
	tl_open(head->ctx, TL_CLIENT, head->offset, &memo);
	if (TL_UNLIKELY(head->has_trace))
		set_traces(head);
	set_values(head, TL_CLIENT);
	*ret_step = finish(head, TL_CLIENT, false);
	return true;
}

static bool straight_response(struct head *head, struct tl_step *ret_step)
{
	uint64_t code;
	uint64_t key;

	if (!read_response(head, &code) || (head->is_chunked && head->has_length))
		return false;
	const struct http_memo *memo =
		(const struct http_memo *)tl_pending_oldest(head->ctx, TL_CLIENT, &key);
	if (memo == NULL || memo->is_simple || memo->is_fresh || memo->is_doubtful ||
	    memo->method == HTTP_CONNECT ||
	    (head->http->has_room && tl_inner_state(head->ctx, TL_CLIENT, key) != NULL))
		return false;
	bool no_body = code == 204 || code == 304 || memo->method == HTTP_HEAD;
	if (!no_body && !head->is_chunked && !head->has_length)
		return false; // as long as the connection
	tl_message_begin(head->ctx, TL_SERVER, head->offset);
	head->http->switch_protocol = 0;
	tl_close(head->ctx, TL_SERVER, key, tl_http_status_of((uint16_t)code), TL_REASON_NONE);
	set_values(head, TL_SERVER);
	*ret_step = finish(head, TL_SERVER, no_body);
	if (head->http->lane[TL_SERVER].phase == HTTP_IDLE)
		head->http->switch_offset = 0;
	return true;
}

bool tl_http_straight(struct tl_ctx *ctx, struct http *http, const struct tl_http_options *options,
		      enum tl_lane lane, const struct tl_view *view, struct tl_step *ret_step)
{
	const struct http_lane *me = &http->lane[lane];
	bool is_request = lane == TL_CLIENT;
	struct head head;

	if (me->phase != HTTP_IDLE || me->flags != 0 || view->seen != 0 || http->doubt != 0 ||
	    http->is_fresh || options->capture_body ||
	    (is_request ? options->request_headers.count : options->response_headers.count) != 0)
		return false;
	head.ctx = ctx;
	head.http = http;
	head.bytes = tl_bytes_first(view->bytes, STRAIGHT_BYTES_MAX);
	head.offset = view->offset;
	head.options = options;
	head.length = 0;
	head.count = 0;
	head.is_request = is_request;
	head.has_host = head.has_length = head.is_chunked = head.has_trace = false;
	return is_request ? straight_request(&head, ret_step) : straight_response(&head, ret_step);
}
