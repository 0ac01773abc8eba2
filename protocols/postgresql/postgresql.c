// SPDX-License-Identifier: Apache-2.0
// PostgreSQL, protocol 3: framing, losses, and the tables.
// Sources: PostgreSQL 15 and 18 documentation, chapter "Frontend/Backend Protocol"; src/backend
// behaviour as seen on the wire (docs/protocols/postgresql.md).
#include "protocols/postgresql/state.h"

#include "base/check.h"
#include "l7/decoder.h"

static struct pg_call call_of(struct tl_ctx *ctx, void *state)
{
	return (struct pg_call) {
		.ctx = ctx,
		.pg = (struct pg *)state,
		.statements = (struct pg_statements *)tl_room(ctx),
		.options = (const struct pg_options *)tl_options(ctx),
	};
}

void tl_pg_lose_track(struct pg_call *call)
{
	struct pg *pg = call->pg;

	tl_cancel_all(call->ctx, TL_STATUS_UNANSWERED, TL_REASON_GAP);
	pg->server.is_answering = pg->server.has_failed = pg->server.in_replication = false;
	pg->client.making = PG_MAKING_NONE;
	pg->client.opened_early = false;
	pg->client.in_group = false;
	pg->client.syncs = 0;
	pg->server.notices = 0;
	pg->asks_encryption = 0;
	pg->is_blind = true;
	pg->is_ready = false;
	pg->is_settled = false;
	pg->has_lost = true;
	pg->owed = 0;
	pg->clean = 0;
	pg->doubt = PG_SETTLE_GROUPS;
}

// ---- Framing ----------------------------------------------------------------------------------

enum outcome { GO_ON, NEED, BROKEN, SKIP, ENCRYPTED };

// What became of the bytes at the start of `view`.
struct reading {
	enum outcome outcome;
	uint64_t bytes; // taken, or needed
};

static struct reading read_startup(struct pg_call *call, const struct tl_view *view)
{
	uint32_t len;

	if (view->bytes.len < 8)
		return (struct reading) {NEED, 8};
	if (call->pg->client.started || !tl_pg_is_startup(view->bytes, &len))
		return (struct reading) {BROKEN, 0};
	if (view->bytes.len < len)
		return (struct reading) {NEED, len};
	call->pg->was_read[TL_CLIENT] = true;
	tl_pg_startup(call, tl_bytes_first(view->bytes, len), view->offset);
	return (struct reading) {GO_ON, len};
}

static struct reading read_typed(struct pg_call *call, enum tl_lane lane,
				 const struct tl_view *view)
{
	struct tl_bytes bytes = view->bytes;
	uint32_t wanted;

	if (bytes.len < PG_HEAD_BYTES)
		return (struct reading) {NEED, PG_HEAD_BYTES};
	if (!tl_pg_head_is_plausible(lane, bytes, &wanted))
		return (struct reading) {BROKEN, 0};
	uint32_t full = tl_load_be32(bytes.ptr + 1) - 4;
	uint32_t seen = full < wanted ? full : wanted;
	if (bytes.len - PG_HEAD_BYTES < seen)
		return (struct reading) {NEED, PG_HEAD_BYTES + seen};
	struct pg_message m = {
		.offset = view->offset,
		.end = view->offset + PG_HEAD_BYTES + full,
		.body = tl_bytes(bytes.ptr + PG_HEAD_BYTES, seen),
		.full = full,
		.type = bytes.ptr[0],
	};
	call->pg->was_read[lane] = true;
	if (lane == TL_CLIENT)
		tl_pg_client_message(call, &m);
	else
		tl_pg_server_message(call, &m);
	bool is_here = bytes.len - PG_HEAD_BYTES >= full;
	return (struct reading) {is_here ? GO_ON : SKIP, (uint64_t)PG_HEAD_BYTES + full};
}

static struct reading read_one(struct pg_call *call, enum tl_lane lane, const struct tl_view *view)
{
	uint8_t first = view->bytes.ptr[0];

	if (lane == TL_CLIENT && first == 0)
		return read_startup(call, view);
	if (lane == TL_SERVER && call->pg->asks_encryption != 0) {
		if (first != 'N' && first != 'E' && first != call->pg->asks_encryption)
			return (struct reading) {BROKEN, 0};
		bool on = tl_pg_encryption_answer(call, first, view->offset);
		if (first != 'E') // in place of the byte a server that can't may send an error
			return (struct reading) {on ? ENCRYPTED : GO_ON, 1};
	}
	return read_typed(call, lane, view);
}

// What follows is TLS (recognised by what it says) or GSSAPI's own framing (opaque).
static void hand_over(struct tl_ctx *ctx, const struct pg *pg, uint8_t answer, uint64_t server_end)
{
	uint64_t offset[TL_LANE_COUNT] = {[TL_CLIENT] = pg->client.begin, [TL_SERVER] = server_end};

	tl_switch(ctx, answer == 'S' ? TL_PROTOCOL_DETECT : TL_PROTOCOL_OPAQUE, offset);
}

static struct tl_step pg_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
			      const struct tl_view *view)
{
	struct pg_call call = call_of(ctx, state);
	struct tl_view left = *view;
	uint32_t at = 0;

	while (at < view->bytes.len) {
		left.bytes = tl_bytes_from(view->bytes, at);
		left.offset = view->offset + at;
		struct reading r = read_one(&call, lane, &left);
		switch (r.outcome) {
		case GO_ON:
			at += (uint32_t)r.bytes;
			break;
		case NEED:
			return at != 0 ? tl_ate(at) : tl_need((uint32_t)r.bytes);
		case SKIP:
			return tl_skip(at + r.bytes);
		case ENCRYPTED:
			hand_over(ctx, call.pg, left.bytes.ptr[0], left.offset + 1);
			return tl_ate(at + 1);
		case BROKEN:
			tl_count(ctx, PG_COUNT_BAD_MESSAGE);
			return tl_stop();
		}
	}
	return tl_ate(at);
}

// ---- Losses -----------------------------------------------------------------------------------

static bool pg_gap(struct tl_ctx *ctx, void *state, enum tl_lane lane, uint64_t lost,
		   uint64_t offset)
{
	struct pg_call call = call_of(ctx, state);

	(void)lost;
	(void)offset;
	// Joined late: nothing of this lane was counted on so far.
	bool is_join = tl_is_late_join(ctx) && !call.pg->was_read[lane] &&
		       call.pg->client.making == PG_MAKING_NONE &&
		       tl_pending_count(ctx, TL_CLIENT) == 0;
	if (!is_join)
		tl_pg_lose_track(&call);
	return true;
}

static uint32_t pg_resync(const void *state, enum tl_lane lane, struct tl_bytes view)
{
	(void)state;
	return tl_pg_find_start(lane, view);
}

static void pg_end(struct tl_ctx *ctx, void *state, enum tl_lane lane, enum tl_end end,
		   uint64_t offset)
{
	struct pg_call call = call_of(ctx, state);

	if (lane == TL_CLIENT && end != TL_END_SWITCHED)
		tl_pg_client_end(&call, offset);
	else if (lane == TL_SERVER && end != TL_END_SWITCHED)
		tl_pg_server_end(&call, offset);
}

// ---- Tables -----------------------------------------------------------------------------------

static const struct tl_field fields[PG_FIELD_COUNT] = {
	[PG_FIELD_COMMAND] = {
		.name = "command", .label = "command", .attribute = "db.operation.name",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_DEFAULT_LABEL | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP, .max = PG_COMMAND_BYTES_MAX,
		.help = "First verb of the query, or what the messages ask for.",
	},
	[PG_FIELD_SUMMARY] = {
		.name = "query_summary", .label = "query_summary", .attribute = "db.query.summary",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST | TL_FIELD_SUMMARY, .parent = TL_FIELD_TOP, .max = 128,
		.help = "Verbs and tables of the query.",
	},
	[PG_FIELD_TEXT] = {
		.name = "query_text", .attribute = "db.query.text", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_HIGH, .flags = TL_FIELD_REQUEST,
		.parent = TL_FIELD_TOP, .max = 2048,
		.help = "Text of the query, literals masked.",
	},
	[PG_FIELD_DIGEST] = {
		.name = "query_digest", .label = "query_digest", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_HIGH, .flags = TL_FIELD_REQUEST,
		.parent = TL_FIELD_TOP, .max = 16,
		.help = "Hash of the query without its literals and layout.",
	},
	[PG_FIELD_STATEMENTS] = {
		.name = "statements", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Statements in one query, and how many of them were completed, if several.",
	},
	[PG_FIELD_STATEMENT] = {
		.name = "statement", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 64,
		.help = "Name of the prepared statement.",
	},
	[PG_FIELD_PORTAL] = {
		.name = "portal", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 64,
		.help = "Name of the portal.",
	},
	[PG_FIELD_DATABASE] = {
		.name = "database", .label = "database", .attribute = "db.namespace",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 64,
		.help = "Database by the start-up message.",
	},
	[PG_FIELD_USER] = {
		.name = "user", .label = "user", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_MIDDLE, .flags = TL_FIELD_REQUEST,
		.parent = TL_FIELD_TOP, .max = 64, .help = "User by the start-up message.",
	},
	[PG_FIELD_APPLICATION] = {
		.name = "application_name", .label = "application_name", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_MIDDLE, .flags = TL_FIELD_REQUEST,
		.parent = TL_FIELD_TOP, .max = 64,
		.help = "Name of the client's program, as the server knows it.",
	},
	[PG_FIELD_VERSION] = {
		.name = "version", .attribute = "network.protocol.version", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP,
		.max = 8, .help = "Protocol version that the client asks for.",
	},
	[PG_FIELD_REPLICATION] = {
		.name = "replication", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 16,
		.help = "The start-up parameter of a replication connection.",
	},
	[PG_FIELD_CHANNEL] = {
		.name = "channel", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 64,
		.help = "Channel of a notification.",
	},
	[PG_FIELD_PAYLOAD] = {
		.name = "payload", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_SENSITIVE, .parent = TL_FIELD_TOP, .max = 256,
		.help = "Payload of a notification, left out where redaction is on.",
	},
	[PG_FIELD_BACKEND_PID] = {
		.name = "backend_pid", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Process id of the server: told at start-up, to be cancelled, notifying.",
	},
	[PG_FIELD_SQLSTATE] = {
		.name = "sqlstate", .label = "sqlstate", .attribute = "db.response.status_code",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_RESPONSE | TL_FIELD_SUMMARY, .parent = TL_FIELD_TOP, .max = 8,
		.help = "Code of the error.",
	},
	[PG_FIELD_SEVERITY] = {
		.name = "severity", .label = "severity", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP, .max = 16, .help = "ERROR, FATAL or PANIC.",
	},
	[PG_FIELD_MESSAGE] = {
		.name = "message", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE | TL_FIELD_SUMMARY, .parent = TL_FIELD_TOP, .max = 512,
		.help = "Message of the error.",
	},
	[PG_FIELD_ERROR] = {
		.name = "error", .type = TL_FIELD_MAP, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE | TL_FIELD_REPEATED, .parent = TL_FIELD_TOP, .max = 512,
		.help = "Its other fields: detail, hint, position, where, schema, table, column, "
			"data_type, constraint, file, line, routine and the like. Those that may hold "
			"values are left out where redaction is on.",
	},
	[PG_FIELD_TAG] = {
		.name = "tag", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 64,
		.help = "Words of the first command tag: CREATE TABLE.",
	},
	[PG_FIELD_AFFECTED_ROWS] = {
		.name = "affected_rows", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE | TL_FIELD_COUNTER | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP, .help = "Rows by the command tags, also of SELECT, summed up.",
	},
	[PG_FIELD_RETURNED_ROWS] = {
		.name = "returned_rows", .attribute = "db.response.returned_rows",
		.type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Rows that were sent.",
	},
	[PG_FIELD_COPY_BYTES] = {
		.name = "copy_bytes", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE | TL_FIELD_WIDE, .parent = TL_FIELD_TOP,
		.help = "Bytes of data of a COPY, in either direction.",
	},
	[PG_FIELD_SUSPENDED] = {
		.name = "suspended", .type = TL_FIELD_BOOL, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "The portal has more rows.",
	},
	[PG_FIELD_NOTICES] = {
		.name = "notices", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Notices between the request and the end of its answer.",
	},
	[PG_FIELD_STATE] = {
		.name = "transaction_state", .label = "transaction_state", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP, .max = PG_STATE_BYTES_MAX,
		.help = "idle, transaction or failed, after the group that the request was last in.",
	},
	[PG_FIELD_AUTH] = {
		.name = "auth_method", .label = "auth_method", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP, .max = 24,
		.help = "How the server wants the client to authenticate itself.",
	},
	[PG_FIELD_SERVER_VERSION] = {
		.name = "server_version", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP, .max = 64,
		.help = "Version of the server.",
	},
};

static const char *const counters[PG_COUNTER_COUNT] = {
	[PG_COUNT_BAD_MESSAGE] = "bad_message",
	[PG_COUNT_UNSURE_DROPPED] = "unsure_dropped",
	[PG_COUNT_MISALIGNED] = "misaligned",
	[PG_COUNT_STRAY_ANSWERS] = "stray_answers",
	[PG_COUNT_STATEMENTS_EVICTED] = "statements_evicted",
	[PG_COUNT_STATEMENTS_UNKNOWN] = "statements_unknown",
	[PG_COUNT_PORTALS_EVICTED] = "portals_evicted",
	[PG_COUNT_LONG_QUERY] = "long_query",
	[PG_COUNT_REPLICATION_MESSAGES] = "replication_messages",
	[PG_COUNT_HIDDEN_NOTIFICATIONS] = "hidden_notifications",
};

static const struct tl_option option_rows[] = {
	{
		.key = "mask_literals", .type = TL_OPTION_BOOL, .hot = true,
		.offset = offsetof(struct pg_options, mask_literals), .value = "true",
		.help = "Show texts with their literals masked. Redaction masks them in any case.",
	},
	{
		.key = "query_text_max", .type = TL_OPTION_SIZE, .hot = true,
		.offset = offsetof(struct pg_options, query_text_max), .value = "1024",
		.min = 0, .max = PG_SHOWN_BYTES_MAX,
		.help = "Bytes recorded of a query's text; 0 records none.",
	},
	TL_OPTION_END,
};

static const uint16_t ports[] = {5432, 5433, 6432, 0};

extern const struct tl_decoder tl_decoder_postgresql;

// OpenTelemetry, "PostgreSQL": named by the summary of the query.
static const char *const span_names[] = {"{query_summary}", "{command} {database}", "{command}", NULL};
static const struct tl_span_attribute span_attributes[] = {
	{.name = "db.system.name", .value = "postgresql"},
	{.name = NULL},
};
static const struct tl_span_rules span_rules = {
	.kind = TL_SPAN_CLIENT, .names = span_names, .attributes = span_attributes,
	.error_type = "{sqlstate}",
};

const struct tl_decoder tl_decoder_postgresql = {
	.name = "postgresql",
	.title = "PostgreSQL",
	.over = TL_OVER_TCP,
	.state_size = sizeof(struct pg),
	.need_max = PG_NEED_MAX,
	.room_size = sizeof(struct pg_statements),
	.timeout_s = 60,
	.ports = ports,
	.fields = fields,
	.field_count = PG_FIELD_COUNT,
	.counter_count = PG_COUNTER_COUNT,
	.counters = counters,
	.options = option_rows,
	.options_size = sizeof(struct pg_options),
	.span = &span_rules,
	.status_help = "SQLSTATE 57014 cancelled; classes 08, 40, 53, 55, 57, 58, F0, XX "
		       "server_error; others client_error",
	.match = tl_pg_match,
	.step = pg_step,
	.gap = pg_gap,
	.resync = pg_resync,
	.end = pg_end,
};

TL_DECODER_CHECK(struct pg, PG_NEED_MAX);
_Static_assert(sizeof(struct pg_statements) <= TL_ROOM_BYTES_MAX, "the store is the room");
