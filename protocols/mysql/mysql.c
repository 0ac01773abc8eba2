// SPDX-License-Identifier: Apache-2.0
// MySQL and MariaDB: framing, detection, loss, and the tables. What is in the packets: login.c,
// command.c, answer.c.
#include "packed.h"

#include "base/check.h"

#include <stddef.h>

#define CHAIN_PACKETS_MAX 64u // heads followed to see whether bytes are packets
#define ERROR_CODE_MIN 1000u  // of servers

// ---- Framing ----------------------------------------------------------------------------------

// Where the login was not seen as a whole, the first packet of a command or an answer tells whether
// frames follow. Authentication is never packed.
static bool may_be_frame(const struct mysql *my, enum tl_lane lane, uint8_t sequence)
{
	if (my->has_login && !my->may_be_packed)
		return false;
	if (lane == TL_CLIENT)
		return sequence == 0 && !my->client_continues;
	if (my->has_login)
		return my->outstanding == 0;
	return sequence == 1 && !my->is_answering && !my->server_continues &&
	       my->phase == MYSQL_PHASE_FIRST;
}

// Gives how many bytes it takes to see, 0 when enough are seen.
static uint32_t look_for_frames(struct tl_ctx *ctx, struct mysql *my, enum tl_lane lane,
				struct tl_bytes view)
{
	if (!may_be_frame(my, lane, view.ptr[3]))
		return 0;
	uint32_t look = tl_mysql_frame_look(view);
	if (view.len < look)
		return look;
	my->may_be_packed = false;
	if (tl_mysql_is_frame(lane, view))
		tl_mysql_turn_packed(ctx, my);
	return 0;
}

// Reads the packet that begins the view.
static struct tl_step read_packet(struct tl_ctx *ctx, struct mysql *my, enum tl_lane lane,
				  const struct tl_view *view)
{
	uint32_t len = tl_load_le32(view->bytes.ptr) & MYSQL_PACKET_MAX;
	struct mysql_call call = {
		.ctx = ctx,
		.my = my,
		.lane = lane,
		.payload = tl_bytes_first(tl_bytes_from(view->bytes, MYSQL_HEAD_BYTES), len),
		.begin = view->offset,
		.end = view->offset + MYSQL_HEAD_BYTES + len,
		.len = len,
		.sequence = view->bytes.ptr[3],
	};
	struct tl_step step = lane == TL_CLIENT ? tl_mysql_client_step(&call)
						: tl_mysql_server_step(&call);

	if (step.kind == TL_STEP_NEED)
		return step;
	my->end[lane] = call.end;
	if (TL_UNLIKELY(my->turns_packed))
		tl_mysql_turn_packed(ctx, my);
	return step;
}

// Reads on as long as the answer that has begun goes on: a call less for each of its packets. At
// its end, which the core is to see, or where more must be in view, the next step takes over.
static struct tl_step read_answer(struct tl_ctx *ctx, struct mysql *my, const struct tl_view *view)
{
	struct tl_view rest = *view;
	uint64_t at = 0;

	for (uint32_t i = 0; i < MYSQL_PACKETS_AT_ONCE && rest.bytes.len >= MYSQL_HEAD_BYTES; i++) {
		uint64_t passed = my->is_answering && my->phase != MYSQL_PHASE_FIRST
					  ? tl_mysql_pass_rows(my, rest.bytes)
					  : 0;
		if (passed == 0) {
			struct tl_step step = read_packet(ctx, my, TL_SERVER, &rest);
			if (step.kind != TL_STEP_ATE && step.kind != TL_STEP_SKIP)
				return at == 0 ? step : tl_ate((uint32_t)at);
			passed = step.bytes;
		}
		at += passed;
		my->end[TL_SERVER] = view->offset + at;
		if (!my->is_answering || at >= view->bytes.len)
			break;
		rest.bytes = tl_bytes_from(view->bytes, (uint32_t)at);
		rest.offset = view->offset + at;
	}
	return at <= view->bytes.len ? tl_ate((uint32_t)at) : tl_skip(at);
}

static struct tl_step mysql_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
				 const struct tl_view *view)
{
	struct mysql *my = state;

	if (my->is_packed)
		return tl_mysql_packed_step(ctx, my, lane, view);
	if (view->bytes.len < MYSQL_HEAD_BYTES)
		return tl_need(MYSQL_HEAD_BYTES);
	if (TL_UNLIKELY(!my->is_greeted)) {
		uint32_t look = look_for_frames(ctx, my, lane, view->bytes);
		if (look != 0)
			return tl_need(look);
		if (my->is_packed)
			return tl_mysql_packed_step(ctx, my, lane, view);
	}
	return lane == TL_CLIENT ? read_packet(ctx, my, lane, view) : read_answer(ctx, my, view);
}

// ---- Detection --------------------------------------------------------------------------------

// True when `bytes` are packets whose numbers ascend, from first to last byte; the last one may
// be cut.
static bool is_chain(struct tl_bytes bytes, bool is_exact)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < CHAIN_PACKETS_MAX; i++) {
		if (bytes.len - at < MYSQL_HEAD_BYTES)
			return !is_exact || at == bytes.len;
		uint32_t len = tl_load_le32(bytes.ptr + at) & MYSQL_PACKET_MAX;
		uint8_t sequence = bytes.ptr[at + 3];
		uint32_t left = bytes.len - at - MYSQL_HEAD_BYTES;
		if (i != 0 && sequence != 0 && sequence != (uint8_t)(bytes.ptr[3] + i))
			return false;
		if (len >= left)
			return len == left || !is_exact;
		at += MYSQL_HEAD_BYTES + len;
	}
	return true;
}

// Texts begin with a word, an opening parenthesis or a comment.
static bool is_text(struct tl_bytes text)
{
	uint32_t i = 0;

	// Attributes of a query: none, one set.
	if (text.len > 2 && text.ptr[0] == 0 && text.ptr[1] == 1)
		i = 2;
	while (i < text.len && (text.ptr[i] == ' ' || (text.ptr[i] >= '\t' && text.ptr[i] <= '\r')))
		i++;
	if (i == text.len)
		return false;
	uint8_t c = tl_ascii_lower(text.ptr[i]);
	return (c >= 'a' && c <= 'z') || c == '(' || c == '/' || c == '-' || c == '#';
}

// Commands that tell nothing: internal ones, those that end a connection, those that clients have
// not sent for ages. Their numbers are what other things begin with.
#define RARE_COMMANDS \
	(1u << 0x00 | 1u << 0x01 | 1u << 0x04 | 1u << 0x05 | 1u << 0x06 | 1u << 0x07 | 1u << 0x08 | \
	 1u << 0x0b | 1u << 0x0d | 1u << 0x0f | 1u << 0x10 | 1u << 0x13 | 1u << 0x14 | 1u << 0x1d)

// A command with its packet's length, as far as it shows.
static enum tl_match match_command(struct tl_bytes first)
{
	uint32_t len = tl_load_le32(first.ptr) & MYSQL_PACKET_MAX;
	uint32_t seen = first.len - MYSQL_HEAD_BYTES;
	const uint8_t *payload = first.ptr + MYSQL_HEAD_BYTES;
	bool is_whole = seen >= len;

	if (first.ptr[3] != 0 || len == 0)
		return TL_MATCH_NO;
	if (payload[0] == MYSQL_PING && len == 1 && seen == 1)
		return TL_MATCH_CERTAIN;
	const struct mysql_word *word = tl_mysql_word(payload[0]);
	bool is_rare = payload[0] < 32 && (RARE_COMMANDS >> payload[0] & 1) != 0;
	if (is_rare || word->name == NULL || len < word->min || (word->max != 0 && len > word->max))
		return TL_MATCH_NO;
	if (payload[0] == MYSQL_QUERY || payload[0] == MYSQL_STMT_PREPARE) {
		if (seen >= 8 && !is_text(tl_bytes(payload + 1, seen - 1)))
			return TL_MATCH_NO;
		if (seen < 8 && !is_whole)
			return TL_MATCH_UNSURE;
		return seen == len && len >= 8 ? TL_MATCH_CERTAIN : TL_MATCH_LIKELY;
	}
	bool is_name = payload[0] == MYSQL_INIT_DB || (payload[0] >= 0x04 && payload[0] <= 0x06);
	if (is_name && seen > 1 && payload[1] < 0x20)
		return TL_MATCH_NO;
	// Numbers of statements begin at 1.
	bool has_id = payload[0] >= MYSQL_STMT_EXECUTE && payload[0] <= MYSQL_STMT_FETCH &&
		      payload[0] != 0x1b;
	if (has_id && seen >= 5 && tl_load_le32(payload + 1) == 0)
		return TL_MATCH_NO;
	return TL_MATCH_LIKELY;
}

static enum tl_match match_client(struct tl_bytes first)
{
	uint32_t len = tl_load_le32(first.ptr) & MYSQL_PACKET_MAX;
	struct tl_bytes payload = tl_bytes_first(tl_bytes_from(first, MYSQL_HEAD_BYTES), len);

	if (first.ptr[3] == 1 && len >= 32) {
		if (payload.len < 32)
			return TL_MATCH_UNSURE;
		return tl_mysql_is_login(payload) ? TL_MATCH_CERTAIN : TL_MATCH_NO;
	}
	if (!is_chain(first, false))
		return TL_MATCH_NO;
	enum tl_match match = match_command(first);
	// Without a text, a few small numbers are all there is: anything may look like that.
	uint8_t command = first.ptr[MYSQL_HEAD_BYTES];
	bool has_text = command == MYSQL_QUERY || command == MYSQL_STMT_PREPARE;
	return match == TL_MATCH_LIKELY && !has_text ? TL_MATCH_UNSURE : match;
}

// What may begin an answer. `len` is the packet's, `payload` what is seen of it.
static bool is_answer(struct tl_bytes payload, uint32_t len)
{
	struct tl_cursor c = tl_cursor(payload);
	uint32_t code;

	if (payload.len == 0)
		return false;
	switch (payload.ptr[0]) {
	case 0x00:
		return len >= 7;
	case 0xfb:
		return len >= 2;
	case 0xfe:
		return len == 5 || len == 1 || len >= 7;
	case 0xff:
		(void)tl_cursor_u8(&c);
		code = tl_cursor_le16(&c);
		return len > 9 && !c.failed && code >= ERROR_CODE_MIN &&
		       (code < 20000 || tl_cursor_u8(&c) == '#');
	case 'U': // Uptime: the answer to STATISTICS
		return tl_bytes_starts(payload, "Uptime");
	default:
		return len <= 4 && tl_mysql_lenenc(&c) <= MYSQL_COLUMNS_MAX && !c.failed &&
		       len - c.at <= 1;
	}
}

static enum tl_match match_server(struct tl_bytes first)
{
	uint32_t len = tl_load_le32(first.ptr) & MYSQL_PACKET_MAX;
	struct tl_bytes payload = tl_bytes_first(tl_bytes_from(first, MYSQL_HEAD_BYTES), len);

	if (len == 0 || first.ptr[3] > 1)
		return TL_MATCH_NO;
	if (first.ptr[3] == 1)
		return is_chain(first, false) && is_answer(payload, len) ? TL_MATCH_LIKELY
									 : TL_MATCH_NO;
	if (payload.ptr[0] == 10) {
		// A version, for those that know the port.
		if (payload.len < len && payload.len < 80)
			return payload.len < 4 ? TL_MATCH_UNSURE
			       : payload.ptr[1] >= '0' && payload.ptr[1] <= '9' && len < 512
				       ? TL_MATCH_LIKELY
				       : TL_MATCH_NO;
		return tl_mysql_is_greeting(payload) ? TL_MATCH_CERTAIN : TL_MATCH_NO;
	}
	if (payload.ptr[0] != 0xff || len < 10 || len > 600)
		return TL_MATCH_NO;
	if (payload.len < len)
		return TL_MATCH_UNSURE;
	// Refused: a code and words.
	uint32_t code = tl_load_le16(payload.ptr + 1);
	for (uint32_t i = 3; i < len; i++)
		if (payload.ptr[i] < 0x20)
			return TL_MATCH_NO;
	return code >= ERROR_CODE_MIN && code < 20000 && first.len == len + MYSQL_HEAD_BYTES
		       ? TL_MATCH_CERTAIN
		       : TL_MATCH_NO;
}

// Frames of a compressed connection, joined late.
static enum tl_match match_frames(enum tl_lane lane, struct tl_bytes first)
{
	struct tl_bytes inner = tl_bytes_from(first, MYSQL_FRAME_HEAD_BYTES);

	if (first.ptr[3] != (lane == TL_CLIENT ? 0 : 1) || inner.len < MYSQL_HEAD_BYTES + 1 ||
	    !tl_mysql_is_frames(lane, first, false))
		return TL_MATCH_NO;
	bool is_stored = tl_load_le32(first.ptr + 3) >> 8 == 0;
	if (!is_stored)
		return TL_MATCH_LIKELY;
	return lane == TL_CLIENT ? match_command(inner) : TL_MATCH_LIKELY;
}

static enum tl_match mysql_match(enum tl_lane lane, struct tl_bytes first)
{
	if (first.len < MYSQL_HEAD_BYTES + 1)
		return TL_MATCH_UNSURE;
	enum tl_match match = lane == TL_CLIENT ? match_client(first) : match_server(first);
	return match == TL_MATCH_NO ? match_frames(lane, first) : match;
}

// ---- Loss -------------------------------------------------------------------------------------

static bool mysql_gap(struct tl_ctx *ctx, void *state, enum tl_lane lane, uint64_t lost,
		      uint64_t offset)
{
	struct mysql *my = state;

	if (my->is_packed) {
		tl_mysql_packed_gap(ctx, my, lane, lost, offset);
		return true;
	}
	// A command that was sent while another one was open, unless that one's answer is lost, too.
	// Files and authentication are none.
	bool may_pipeline = lane == TL_CLIENT && my->outstanding != 0 && !my->is_doubtful &&
			 !my->any_sequence && !my->in_infile && my->next_key > 1;
	my->may_pipeline = my->may_pipeline || may_pipeline;
	my->is_stale = my->is_doubtful = true;
	if (lane == TL_CLIENT) {
		my->client_continues = false;
		my->has_lost_command = true;
		my->has_heard = false;
		if (my->pipelines || my->may_pipeline)
			tl_mysql_lose_track(ctx, my);
		return true;
	}
	// Nothing in a stream of events tells where one begins.
	if (my->phase == MYSQL_PHASE_STREAM)
		return false;
	tl_mysql_lose_track(ctx, my);
	my->has_heard = true;
	my->server_continues = false;
	my->sequence = 0;
	return true;
}

static bool starts_client(const struct mysql *my, struct tl_bytes view)
{
	uint32_t len = tl_load_le32(view.ptr) & MYSQL_PACKET_MAX;
	struct tl_bytes payload = tl_bytes_first(tl_bytes_from(view, MYSQL_HEAD_BYTES), len);

	if (view.ptr[3] == 1)
		return my->next_key == 0 && len >= 32 && tl_mysql_is_login(payload);
	return match_command(view) >= TL_MATCH_LIKELY;
}

// An answer only where a request waits for one: rows look like anything.
static bool starts_server(const struct mysql *my, struct tl_bytes view)
{
	uint32_t len = tl_load_le32(view.ptr) & MYSQL_PACKET_MAX;
	struct tl_bytes payload = tl_bytes_first(tl_bytes_from(view, MYSQL_HEAD_BYTES), len);

	if (view.ptr[3] == 0)
		return my->next_key == 0 && tl_mysql_is_greeting(payload);
	return (my->outstanding != 0 || my->is_mute) &&
	       view.ptr[3] == tl_mysql_first_number(my) && is_answer(payload, len);
}

// A small payload of a compressed connection is plain, behind a head of seven bytes.
static bool is_in_compressed(struct tl_bytes view, uint32_t at)
{
	if (at < 7)
		return false;
	const uint8_t *head = view.ptr + at - 7;
	uint32_t inner = tl_load_le32(view.ptr + at) & MYSQL_PACKET_MAX;
	return (tl_load_le32(head) & MYSQL_PACKET_MAX) == inner + MYSQL_HEAD_BYTES && head[4] == 0 &&
	       head[5] == 0 && head[6] == 0;
}

static uint32_t mysql_resync(const void *state, enum tl_lane lane, struct tl_bytes view)
{
	const struct mysql *my = state;
	bool may_be_packed = lane == TL_CLIENT && my->next_key == 0 && !my->is_greeted;

	if (my->is_packed)
		return tl_mysql_packed_resync(my, lane, view);
	for (uint32_t i = 0; i + MYSQL_HEAD_BYTES < view.len; i++) {
		struct tl_bytes here = tl_bytes_from(view, i);
		if (may_be_packed && here.ptr[3] == 0 && tl_mysql_is_frames(lane, here, i != 0))
			return i;
		if (lane == TL_CLIENT ? !starts_client(my, here) : !starts_server(my, here))
			continue;
		// Senders begin messages with packets: elsewhere more must fit.
		if (is_chain(here, i != 0) && !is_in_compressed(view, i))
			return i;
	}
	return view.len;
}

// ---- Tables -----------------------------------------------------------------------------------

#define ROW(id, name_, label_, attribute_, type_, cardinality_, flags_, max_, help_) \
	[MYSQL_FIELD_##id] = {.name = name_, .label = label_, .attribute = attribute_, \
			      .type = TL_FIELD_##type_, .cardinality = TL_CARDINALITY_##cardinality_, \
			      .flags = flags_, .parent = TL_FIELD_TOP, .max = max_, .help = help_}
#define REQUEST TL_FIELD_REQUEST
#define RESPONSE TL_FIELD_RESPONSE

static const struct tl_field fields[MYSQL_FIELD_COUNT] = {
	ROW(COMMAND, "command", "command", "db.operation.name", TEXT, LOW,
	    REQUEST | TL_FIELD_SUMMARY | TL_FIELD_DEFAULT_LABEL, MYSQL_COMMAND_NAME_MAX,
	    "Command without COM_: QUERY, STMT_EXECUTE; LOGIN for the connection phase."),
	ROW(SUMMARY, "query_summary", "query_summary", "db.query.summary", TEXT, MIDDLE,
	    REQUEST | TL_FIELD_SUMMARY, TL_SQL_SUMMARY_BYTES_MAX,
	    "Verbs and tables of the text: SELECT t1."),
	ROW(ERROR_CODE, "error_code", "error_code", "db.response.status_code", UINT, LOW,
	    RESPONSE | REQUEST | TL_FIELD_SUMMARY, 0,
	    "Error number; in the request where the server refused the connection."),
	ROW(TEXT, "query_text", NULL, "db.query.text", TEXT, HIGH, REQUEST | TL_FIELD_SENSITIVE,
	    MYSQL_QUERY_TEXT_MAX,
	    "Text of the statement, literals masked; of an executed statement that was prepared."),
	ROW(DIGEST, "query_digest", "query_digest", NULL, TEXT, HIGH, REQUEST, 16,
	    "Hash of the text without literals, layout and case."),
	ROW(STATEMENTS, "statements", NULL, NULL, UINT, LOW, REQUEST, 0,
	    "Statements in the text, where there are several."),
	ROW(SCHEMA, "schema", "schema", "db.namespace", TEXT, MIDDLE, REQUEST, MYSQL_NAME_BYTES_MAX,
	    "Default schema when the command was sent, or the one it asks for."),
	ROW(USER, "user", "user", "db.user", TEXT, MIDDLE, REQUEST, MYSQL_NAME_BYTES_MAX,
	    "User of the session."),
	ROW(STATEMENT_ID, "statement_id", NULL, NULL, UINT, HIGH, REQUEST | RESPONSE, 0,
	    "Number of a prepared statement."),
	ROW(ATTRIBUTES, "attributes", NULL, NULL, MAP, HIGH,
	    REQUEST | TL_FIELD_REPEATED | TL_FIELD_SENSITIVE, 256,
	    "Attributes that the client sent with its login or its query."),
	ROW(AUTH_PLUGIN, "auth_plugin", NULL, NULL, TEXT, LOW, REQUEST, 64,
	    "Authentication method that the client begins with."),
	ROW(AFFECTED_ROWS, "affected_rows", NULL, "db.response.affected_rows", UINT, HIGH,
	    RESPONSE | TL_FIELD_COUNTER, 0, "Rows changed, of all statements of the command."),
	ROW(LAST_INSERT_ID, "last_insert_id", NULL, "db.response.last_insert_id", UINT, HIGH,
	    RESPONSE | TL_FIELD_WIDE, 0, "First value generated by the last statement that did."),
	ROW(WARNINGS, "warnings", NULL, "db.response.warnings", UINT, LOW, RESPONSE, 0,
	    "Warnings, where there are any."),
	[MYSQL_FIELD_RETURNED_ROWS] = {
		.name = "returned_rows", .attribute = "db.response.returned_rows",
		.type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = RESPONSE | TL_FIELD_HISTOGRAM, .parent = TL_FIELD_TOP,
		.metric = "resultset_rows", .help = "Rows of all result sets of the command.",
	},
	ROW(COLUMNS, "columns", NULL, NULL, UINT, HIGH, RESPONSE, 0,
	    "Columns of the first result set, or of a prepared statement."),
	ROW(RESULT_SETS, "result_sets", NULL, NULL, UINT, LOW, RESPONSE, 0,
	    "Result sets, where there are several."),
	ROW(SQLSTATE, "sqlstate", "sqlstate", NULL, TEXT, LOW, RESPONSE | REQUEST, 5,
	    "SQLSTATE of an error."),
	ROW(ERROR_MESSAGE, "error_message", NULL, "error.message", TEXT, HIGH,
	    RESPONSE | REQUEST | TL_FIELD_SENSITIVE, 512, "Message of an error, values masked."),
	ROW(SERVER_VERSION, "server_version", "server_version", NULL, TEXT, LOW, RESPONSE, 64,
	    "Version of the server, at a login."),
	ROW(THREAD_ID, "thread_id", NULL, NULL, UINT, HIGH, RESPONSE, 0,
	    "Number of the connection in the server, at a login."),
};

static const char *const counters[MYSQL_COUNTER_COUNT] = {
	[MYSQL_COUNT_BAD_COMMAND] = "bad_command",
	[MYSQL_COUNT_STRAY_PACKETS] = "stray_packets",
	[MYSQL_COUNT_MISALIGNED] = "misaligned",
	[MYSQL_COUNT_STATEMENTS_EVICTED] = "statements_evicted",
	[MYSQL_COUNT_STATEMENTS_UNKNOWN] = "statements_unknown",
	[MYSQL_COUNT_LONG_TEXT] = "long_text",
	[MYSQL_COUNT_COMPRESSED] = "compressed_connections",
	[MYSQL_COUNT_BINLOG_EVENTS] = "binlog_events",
	[MYSQL_COUNT_SEMI_SYNC_ACKS] = "semi_sync_acks",
	[MYSQL_COUNT_INFILE_PACKETS] = "infile_packets",
	[MYSQL_COUNT_PROGRESS_REPORTS] = "progress_reports",
};

static const struct tl_option option_rows[] = {
	{
		.key = "mask_literals", .type = TL_OPTION_BOOL, .hot = true,
		.offset = offsetof(struct mysql_options, mask_literals), .value = "true",
		.help = "Show texts with their literals masked. Redaction masks them in any case.",
	},
	{
		.key = "query_text_max", .type = TL_OPTION_SIZE, .hot = true,
		.offset = offsetof(struct mysql_options, query_text_max), .value = "1024",
		.min = 0, .max = MYSQL_QUERY_TEXT_MAX,
		.help = "Bytes recorded of a statement's text; 0 records none.",
	},
	TL_OPTION_END,
};

static const uint16_t ports[] = {3306, 3307, 33306, 4000, 6033, 0};

extern const struct tl_decoder tl_decoder_mysql;

// OpenTelemetry, "MySQL": named by the summary of the query.
static const char *const span_names[] = {"{query_summary}", "{command} {schema}", "{command}", NULL};
static const struct tl_span_attribute span_attributes[] = {
	{.name = "db.system.name", .value = "mysql"},
	{.name = NULL},
};
static const struct tl_span_rules span_rules = {
	.kind = TL_SPAN_CLIENT, .names = span_names, .attributes = span_attributes,
	.error_type = "{error_code}",
};

const struct tl_decoder tl_decoder_mysql = {
	.name = "mysql",
	.title = "MySQL",
	.over = TL_OVER_TCP | TL_AS_CHILD,
	.state_size = sizeof(struct mysql),
	.room_size = sizeof(struct mysql_statements),
	.room_later = true,
	.need_max = MYSQL_NEED_MAX,
	.timeout_s = 60,
	.ports = ports,
	.fields = fields,
	.field_count = MYSQL_FIELD_COUNT,
	.counter_count = MYSQL_COUNTER_COUNT,
	.counters = counters,
	.options = option_rows,
	.options_size = sizeof(struct mysql_options),
	.span = &span_rules,
	.status_help = "OK and result sets: ok; error 1317: cancelled; 3024: timeout; 1040 1041 1053 "
		       "1129 1203 1205 1213 1290 1927 4031 and SQLSTATE classes 08 53 57 XA: "
		       "server_error; other errors: client_error",
	.match = mysql_match,
	.step = mysql_step,
	.gap = mysql_gap,
	.resync = mysql_resync,
};

TL_DECODER_CHECK(struct mysql, MYSQL_NEED_MAX);
_Static_assert(sizeof(fields) / sizeof(fields[0]) == MYSQL_FIELD_COUNT, "a field has no row");
