// SPDX-License-Identifier: Apache-2.0
#include "tests/support/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define LINE_MAX 64u
#define CHILD_ROOM 5000u

struct line_state {
	bool rest_is_body[TL_LANE_COUNT];
};

static const struct tl_field line_fields[] = {
	[LINE_FIELD_KEY] = {.name = "key", .type = TL_FIELD_TEXT, .parent = TL_FIELD_TOP, .max = 16000},
	[LINE_FIELD_BODY] = {.name = "body", .type = TL_FIELD_BYTES, .parent = TL_FIELD_TOP, .max = 64},
};

struct line {
	char verb;
	uint64_t key, len;
	uint32_t size;
	struct tl_bytes text;
};

static bool number(struct tl_bytes text, uint32_t *at, uint64_t *ret)
{
	uint32_t begin = *at;

	*ret = 0;
	while (*at < text.len && text.ptr[*at] >= '0' && text.ptr[*at] <= '9' && *at - begin < 10)
		*ret = *ret * 10 + (uint64_t)(text.ptr[(*at)++] - '0');
	return *at != begin;
}

static bool parse(struct tl_bytes text, struct line *ret)
{
	uint32_t at = 2;

	if (text.len < 5 || text.ptr[1] != ' ' || !number(text, &at, &ret->key) ||
	    at >= text.len || text.ptr[at++] != ' ' || !number(text, &at, &ret->len) ||
	    at != text.len)
		return false;
	ret->verb = (char)text.ptr[0];
	ret->size = text.len + 1;
	ret->text = text;
	return strchr("QKABOTFIWRCLSHDEVZGNMP", ret->verb) != NULL;
}

static enum tl_match line_match(enum tl_lane lane, struct tl_bytes first)
{
	uint32_t end = tl_bytes_find(first, '\n', 0);
	struct line line;

	if (end == TL_BYTES_NONE)
		return first.len < LINE_MAX && strchr("QKABOTFIWRCLSHDEVZGNMP", first.ptr[0]) != NULL
			       ? TL_MATCH_UNSURE
			       : TL_MATCH_NO;
	if (!parse(tl_bytes_first(first, end), &line))
		return TL_MATCH_NO;
	bool is_answer = strchr("ABOTFIMP", line.verb) != NULL;
	if (is_answer != (lane == TL_SERVER))
		return TL_MATCH_NO;
	return TL_MATCH_CERTAIN;
}

static void claim(struct tl_ctx *ctx, enum tl_lane lane, const struct line *line)
{
	uint64_t key = line->key;
	uint8_t memo[TL_MEMO_BYTES] = {(uint8_t)key};
	const uint8_t *kept;

	switch (line->verb) {
	case 'Q':
	case 'K':
	case 'V':
		tl_open(ctx, lane, key, memo);
		break;
	case 'O':
		kept = tl_pending_oldest(ctx, tl_lane_other(lane), &key);
		if (kept != NULL)
			assert_int_equal(kept[0], (uint8_t)key);
		// fall through
	case 'A':
	case 'B':
	case 'F':
		tl_close(ctx, lane, key, TL_STATUS_OK, TL_REASON_NONE);
		break;
	case 'T':
		tl_close_through(ctx, lane, key, TL_STATUS_OK, TL_REASON_NONE);
		break;
	case 'I':
		tl_part(ctx, lane, key);
		break;
	case 'W':
		tl_one_way(ctx, lane);
		break;
	case 'R':
		tl_retry(ctx, lane, key);
		break;
	default:
		break;
	}
}

// Lines that carry no message.
static bool control(struct tl_ctx *ctx, enum tl_lane lane, const struct line *line,
		    const struct tl_view *view)
{
	uint64_t after[TL_LANE_COUNT];

	switch (line->verb) {
	case 'C':
		tl_cancel(ctx, lane, line->key, TL_STATUS_CANCELLED, TL_REASON_NONE);
		return true;
	case 'L':
		tl_wait(ctx, lane, line->key, line->len * UINT64_C(1000000));
		return true;
	case 'S':
		// The key says how many bytes more of the other lane are still the old protocol's.
		after[lane] = view->offset + line->size;
		after[tl_lane_other(lane)] = line->key;
		tl_switch(ctx,
			  line->len == 0   ? TL_PROTOCOL_OPAQUE
			  : line->len == 9 ? TL_PROTOCOL_DETECT
					   : (uint16_t)line->len,
			  after);
		return true;
	case 'H':
		(void)tl_child_open(ctx, line->key, LINE_CHILD);
		return true;
	case 'E':
		tl_child_end(ctx, line->key, TL_END_FIN);
		return true;
	default:
		return false;
	}
}

// Pieces of messages that lie between those of others.
static struct tl_step piece(struct tl_ctx *ctx, enum tl_lane lane, const struct line *line,
			    uint64_t offset)
{
	uint8_t memo[TL_MEMO_BYTES] = {(uint8_t)line->key};
	bool is_answer = line->verb == 'M' || line->verb == 'P';
	bool is_last = line->verb == 'N' || line->verb == 'P';

	tl_message_set_aside(ctx, lane);
	if (!tl_message_resume(ctx, lane, TL_CLIENT, line->key)) {
		tl_message_begin(ctx, lane, offset);
		tl_message_text(ctx, lane, LINE_FIELD_KEY, line->text);
		if (!is_answer)
			tl_open(ctx, lane, line->key, memo);
		else if (!is_last && !tl_answer(ctx, lane, line->key))
			tl_orphan(ctx, lane, TL_REASON_NONE);
	}
	tl_message_body(ctx, lane, line->len);
	if (is_last)
		tl_message_end(ctx, lane, offset + line->size + line->len);
	if (is_last && is_answer)
		tl_close(ctx, lane, line->key, TL_STATUS_OK, TL_REASON_NONE);
	return line->len == 0 ? tl_ate(line->size) : tl_skip(line->size + line->len);
}

static struct tl_step line_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
				const struct tl_view *view)
{
	struct line_state *mine = state;
	struct line line = {0};
	uint32_t end = tl_bytes_find(view->bytes, '\n', view->seen);

	if (end == TL_BYTES_NONE)
		return view->bytes.len < LINE_MAX ? tl_need(view->bytes.len + 1) : tl_stop();
	if (!parse(tl_bytes_first(view->bytes, end), &line) || line.verb == 'Z')
		return tl_stop();
	if (control(ctx, lane, &line, view))
		return tl_ate(line.size);
	if (line.verb == 'D') {
		if (view->bytes.len < line.size + line.len)
			return tl_need((uint32_t)(line.size + line.len));
		tl_child_feed(ctx, line.key, lane,
			      tl_bytes(view->bytes.ptr + line.size, (uint32_t)line.len));
		return tl_ate((uint32_t)(line.size + line.len));
	}
	if (strchr("GNMP", line.verb) != NULL)
		return piece(ctx, lane, &line, view->offset);
	tl_message_begin(ctx, lane, view->offset);
	tl_message_text(ctx, lane, LINE_FIELD_KEY, line.text);
	if (line.verb == 'V') {
		static const uint8_t long_text[16384];
		tl_message_text(ctx, lane, LINE_FIELD_KEY, tl_bytes(long_text, (uint32_t)line.len));
		line.len = 0;
	}
	claim(ctx, lane, &line);
	if (line.verb == 'F') {
		mine->rest_is_body[lane] = true;
		return tl_skip(TL_TO_THE_END);
	}
	tl_message_body(ctx, lane, line.len);
	tl_message_end(ctx, lane, view->offset + line.size + line.len);
	if (line.len == 0)
		return tl_ate(line.size);
	if (line.verb == 'K' || line.verb == 'B') {
		// Two steps, so that a copy begins where a piece may be cut.
		return tl_copy(line.size + line.len, LINE_FIELD_BODY, line.size + 8);
	}
	return tl_skip(line.size + line.len);
}

static bool line_gap(struct tl_ctx *ctx, void *state, enum tl_lane lane, uint64_t lost,
		     uint64_t offset)
{
	(void)ctx, (void)state, (void)lost, (void)offset, (void)lane;
	return true;
}

static uint32_t line_resync(const void *state, enum tl_lane lane, struct tl_bytes view)
{
	(void)state;
	for (uint32_t at = 0; at < view.len;) {
		uint32_t end = tl_bytes_find(view, '\n', at);
		struct line line;
		if (end == TL_BYTES_NONE)
			break;
		if (parse(tl_bytes(view.ptr + at, end - at), &line) &&
		    (strchr("ABOTFIMP", line.verb) != NULL) == (lane == TL_SERVER))
			return at;
		at = end + 1;
	}
	return view.len;
}

static void line_end(struct tl_ctx *ctx, void *state, enum tl_lane lane, enum tl_end end,
		     uint64_t offset)
{
	struct line_state *mine = state;

	if (mine->rest_is_body[lane] && end == TL_END_FIN)
		tl_message_end(ctx, lane, offset);
}

TL_DECODER_CHECK(struct line_state, LINE_MAX);

static const struct tl_decoder line_decoder = {
	.name = "line",
	.title = "lines",
	.over = TL_OVER_TCP | TL_OVER_UDP,
	.state_size = sizeof(struct line_state),
	.need_max = 4096,
	.timeout_s = 60,
	.ports = (const uint16_t[]) {7, 0},
	.fields = line_fields,
	.field_count = 2,
	.match = line_match,
	.step = line_step,
	.gap = line_gap,
	.resync = line_resync,
	.end = line_end,
};

// The child has a room, which must be its own and zero at first.
static struct tl_step child_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
				 const struct tl_view *view)
{
	uint8_t *room = tl_room(ctx);

	for (uint32_t i = 0; i < CHILD_ROOM; i++)
		assert_int_equal(room[i], room[0]);
	assert_true(room[0] == 0 || room[0] == 0xa5);
	memset(room, 0xa5, CHILD_ROOM);
	return line_step(ctx, state, lane, view);
}

static const struct tl_decoder child_decoder = {
	.name = "child",
	.title = "lines in lines",
	.over = TL_AS_CHILD,
	.state_size = sizeof(struct line_state),
	.room_size = CHILD_ROOM,
	.need_max = 4096,
	.timeout_s = 60,
	.fields = line_fields,
	.field_count = 2,
	.match = line_match,
	.step = child_step,
	.gap = line_gap,
	.resync = line_resync,
	.end = line_end,
};

// Fits anything that begins with '?', without ever being sure; what begins with '!' may be it until
// a '?' comes, and then is.
static enum tl_match vague_match(enum tl_lane lane, struct tl_bytes first)
{
	(void)lane;
	if (first.ptr[0] == '!')
		return tl_bytes_find(first, '?', 0) == TL_BYTES_NONE ? TL_MATCH_UNSURE
								     : TL_MATCH_CERTAIN;
	return first.ptr[0] == '?' ? TL_MATCH_LIKELY : TL_MATCH_NO;
}

static struct tl_step vague_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
				 const struct tl_view *view)
{
	(void)state;
	tl_message_begin(ctx, lane, view->offset);
	tl_message_end(ctx, lane, view->offset + view->bytes.len);
	tl_one_way(ctx, lane);
	return tl_ate(view->bytes.len);
}

static const struct tl_decoder vague_decoder = {
	.name = "vague",
	.title = "vague",
	.over = TL_OVER_TCP | TL_OVER_UDP,
	.need_max = 1,
	.timeout_s = 60,
	.ports = (const uint16_t[]) {9, 0},
	.fields = line_fields,
	.field_count = 2,
	.match = vague_match,
	.step = vague_step,
};

const struct tl_decoder *const tl_decoders[] = {NULL, &line_decoder, &child_decoder,
						&vague_decoder};
const uint16_t tl_decoder_count = TL_COUNT_OF(tl_decoders);

const struct tl_decoder *tl_decoder_by_name(const char *name)
{
	for (uint16_t id = 1; id < tl_decoder_count; id++)
		if (strcmp(tl_decoders[id]->name, name) == 0)
			return tl_decoders[id];
	return NULL;
}

// ---- The flow, as far as the decoding side knows it ----------------------------------------

void tl_flow_identity(const struct tl_flow *flow, struct tl_flow_identity *ret_identity)
{
	*ret_identity = flow->identity;
}

const struct tl_path *tl_flow_path(const struct tl_flow_table *table, const struct tl_flow *flow)
{
	(void)table, (void)flow;
	return NULL;
}

uint8_t tl_flow_client_side(const struct tl_flow *flow)
{
	return flow->client_side;
}

void tl_flow_set_client_side(struct tl_flow *flow, uint8_t side)
{
	if (!flow->identity.client_is_sure)
		flow->client_side = side;
}

uint16_t tl_flow_verdict(const struct tl_flow *flow)
{
	return flow->verdict;
}

void tl_flow_set_verdict(struct tl_flow *flow, uint16_t verdict)
{
	flow->verdict = verdict;
}

// ---- The rig --------------------------------------------------------------------------------

static void append(struct rig *rig, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void append(struct rig *rig, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int len = vsnprintf(rig->log + rig->log_len, sizeof(rig->log) - rig->log_len, format, args);
	va_end(args);
	assert_true(len >= 0 && rig->log_len + (uint32_t)len < sizeof(rig->log));
	rig->log_len += (uint32_t)len;
}

static void append_tail(struct rig *rig, struct tl_bytes tail)
{
	struct tl_value value;
	uint32_t at = 0;

	while (tl_value_next(tail, &at, &value)) {
		append(rig, " %.*s", value.bytes.len < 40 ? (int)value.bytes.len : 40,
		       (const char *)value.bytes.ptr);
		if (value.full_len != value.bytes.len)
			append(rig, "/%u", value.full_len);
	}
	assert_int_equal(at, tail.len);
}

static void on_record(void *arg, const struct tl_roundtrip *record)
{
	struct rig *rig = arg;

	rig->records++;
	rig->last = *record;
	if (record->status < TL_STATUS_ORPHAN)
		rig->answered_opened++;
	assert_int_equal(record->size % 8, 0);
	assert_int_equal(record->duration_ns,
			 record->request_ns + record->server_ns + record->response_ns);
	append(rig, "%s%s%s %x |", tl_status_name(record->status),
	       record->reason != 0 ? ":" : "", tl_reason_name(record->reason),
	       record->flags & ~(uint32_t)TL_FLAG_EARLY_RESPONSE);
	append_tail(rig, tl_roundtrip_request_tail(record));
	append(rig, " %lu/%lu |", (unsigned long)record->request.bytes,
	       (unsigned long)record->request.body_bytes);
	append_tail(rig, tl_roundtrip_response_tail(record));
	append(rig, " %lu/%lu\n", (unsigned long)record->response.bytes,
	       (unsigned long)record->response.body_bytes);
}

static const struct tl_l7_options roomy = {
	.connections_max = 16,
	.exchanges_max = 4096,
	.exchanges_per_connection_max = 1024,
	.message_bytes_max = 8u << 20,
	.carry_bytes_max = 1u << 20,
	.detect_bytes_max = 4096,
	.detect_packets_max = 8,
};

void rig_init_with(struct rig *rig, const struct tl_l7_options *options)
{
	char error[200];
	const struct tl_rules_spec everything = {.detect = true};

	memset(rig, 0, sizeof(*rig));
	rig->options = *options;
	assert_int_equal(tl_rules_create(&everything, &rig->rules, error, sizeof(error)), 0);
	rig->l7 = tl_l7_create(&rig->options, rig->rules, 0, &rig->counters, on_record, rig);
	assert_non_null(rig->l7);
	rig->ns = 1000000000;
	rig->flow = (struct tl_flow) {
		.identity = {.l4 = 6, .ip_version = 4, .client_port = 40000, .server_port = 7000,
			     .client_is_sure = true},
		.verdict = TL_VERDICT_NO_PAYLOAD,
	};
}

void rig_init(struct rig *rig)
{
	rig_init_with(rig, &roomy);
}

void rig_open(struct rig *rig)
{
	rig->conn = tl_conn_open(rig->l7, &rig->flow, rig->ns);
}

uint64_t rig_count(const struct rig *rig, enum tl_counter id)
{
	return rig->counters.at[id];
}

void rig_check_books(const struct rig *rig)
{
	assert_int_equal(rig->given, rig_count(rig, TL_COUNT_STREAM_DECODED) +
					     rig_count(rig, TL_COUNT_STREAM_SKIPPED) +
					     rig_count(rig, TL_COUNT_STREAM_IGNORED) +
					     rig_count(rig, TL_COUNT_STREAM_BUFFERED));
	assert_int_equal(rig_count(rig, TL_COUNT_REQUESTS_OPENED),
			 rig->answered_opened + rig_count(rig, TL_COUNT_REQUESTS_OPEN));
	assert_int_equal(rig_count(rig, TL_COUNT_RECORDS), rig->records);
	assert_int_equal(rig_count(rig, TL_COUNT_DECODE_CONTRACT), 0);
}

// Exactly as many bytes as there are, so that the sanitizer sees every step beyond.
void rig_feed(struct rig *rig, enum tl_lane lane, const char *bytes, uint32_t len)
{
	uint8_t *copy = malloc(len != 0 ? len : 1);

	memcpy(copy, bytes, len);
	rig->ns += 1000000;
	rig->given += len;
	rig->flow.identity.last_ns = rig->ns;
	uint8_t side = lane == TL_CLIENT ? 0 : 1;
	if (rig->flow.identity.l4 == 17)
		tl_conn_datagram(rig->l7, rig->conn, side, tl_bytes(copy, len), len, rig->ns);
	else
		tl_conn_data(rig->l7, rig->conn, side, tl_bytes(copy, len), rig->ns, 0);
	free(copy);
	rig_check_books(rig);
}

void rig_say(struct rig *rig, enum tl_lane lane, const char *text)
{
	rig_feed(rig, lane, text, (uint32_t)strlen(text));
}

void rig_gap(struct rig *rig, enum tl_lane lane, uint64_t lost)
{
	rig->ns += 1000000;
	tl_conn_gap(rig->l7, rig->conn, lane == TL_CLIENT ? 0 : 1, lost, rig->ns);
	rig_check_books(rig);
}

void rig_close(struct rig *rig, enum tl_end end)
{
	rig->ns += 1000000;
	if (rig->conn != NULL)
		tl_conn_close(rig->l7, rig->conn, end, rig->ns);
	rig->conn = NULL;
	rig_check_books(rig);
	assert_int_equal(rig_count(rig, TL_COUNT_REQUESTS_OPEN), 0);
	assert_int_equal(rig_count(rig, TL_COUNT_STREAM_BUFFERED), 0);
	assert_true(tl_l7_is_empty(rig->l7));
}

void rig_fini(struct rig *rig)
{
	rig_close(rig, TL_END_INPUT);
	tl_l7_destroy(rig->l7);
	tl_rules_destroy(rig->rules);
}
