// SPDX-License-Identifier: Apache-2.0
// Redis, Valkey, KeyDB: what happens around messages, and the tables.
// Sources: redis.io/docs "Redis serialization protocol specification" (RESP2 and RESP3), "Pub/sub",
// "Transactions", "Replication"; github.com/redis/redis-specifications, RESP3.
#include "state.h"

#include "base/check.h"

static struct tl_step redis_step(struct tl_ctx *ctx, void *state, enum tl_lane lane,
				 const struct tl_view *view)
{
	struct redis_call call = {
		.ctx = ctx, .redis = (struct redis *)state, .view = view, .lane = lane};

	return lane == TL_CLIENT ? tl_redis_request(&call) : tl_redis_reply(&call);
}

// Requests before the hole keep their replies; what was asked in it is not known.
static void lose_requests(struct redis_call *call)
{
	struct redis *redis = call->redis;

	memset(&redis->request, 0, sizeof(redis->request));
	redis->flags &= (uint16_t)~(REDIS_MUTED | REDIS_SKIPS_ONE | REDIS_IN_MULTI | REDIS_SELECTS);
	redis->flags |= REDIS_UNSURE | REDIS_CLIENT_SPOKE;
	redis->db = redis->multi_db = 0;
}

// Which of the open requests were answered in the hole can't be told.
static void lose_replies(struct redis_call *call, uint64_t offset)
{
	struct redis *redis = call->redis;
	const struct redis_memo *memo =
		(const struct redis_memo *)tl_pending_oldest(call->ctx, TL_CLIENT, NULL);
	bool may_replicate = memo != NULL &&
			     (memo->role == REDIS_ROLE_PSYNC || memo->role == REDIS_ROLE_SYNC);
	const uint64_t offsets[TL_LANE_COUNT] = {may_replicate ? memo->end : 0, offset};

	tl_redis_give_up(call, TL_REASON_GAP);
	memset(&redis->reply, 0, sizeof(redis->reply));
	redis->reply.phase = REDIS_DISCARD;
	redis->flags &= (uint16_t)~REDIS_CLIENT_SPOKE;
	if (may_replicate)
		tl_switch(call->ctx, TL_PROTOCOL_OPAQUE, offsets);
}

static bool redis_gap(struct tl_ctx *ctx, void *state, enum tl_lane lane, uint64_t lost,
		      uint64_t offset)
{
	struct redis_call call = {.ctx = ctx, .redis = (struct redis *)state, .lane = lane};

	(void)lost;
	if (lane == TL_CLIENT)
		lose_requests(&call);
	else
		lose_replies(&call, offset);
	tl_redis_lose_order(&call);
	return true;
}

static uint32_t redis_resync(const void *state, enum tl_lane lane, struct tl_bytes view)
{
	(void)state;
	// What can't be placed among the replies is dropped by step(), which knows when that is over.
	return lane == TL_CLIENT ? tl_redis_find_request(view) : 0;
}

static enum tl_match redis_match(enum tl_lane lane, struct tl_bytes first)
{
	return lane == TL_CLIENT ? tl_redis_match_request(first) : tl_redis_match_reply(first);
}

static const struct tl_field redis_fields[REDIS_FIELD_COUNT] = {
	[REDIS_FIELD_COMMAND] = {
		.name = "command", .label = "command", .attribute = "db.operation.name",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_DEFAULT_LABEL | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP, .max = 2 * REDIS_NAME_BYTES_MAX + 1,
		.help = "Command in capitals, with its sub-command where it has one.",
	},
	[REDIS_FIELD_KEY] = {
		.name = "key", .label = "key", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_SUMMARY | TL_FIELD_SENSITIVE,
		.parent = TL_FIELD_TOP, .max = REDIS_KEY_BYTES_MAX,
		.help = "First key, or the pattern of key_patterns it fits; with the option "
			"record_key.",
	},
	[REDIS_FIELD_KEY_COUNT] = {
		.name = "key_count", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP,
		.help = "Number of keys among the arguments of a known command.",
	},
	[REDIS_FIELD_DB] = {
		.name = "db", .label = "db", .attribute = "db.namespace", .type = TL_FIELD_UINT,
		.cardinality = TL_CARDINALITY_MIDDLE, .flags = TL_FIELD_REQUEST,
		.parent = TL_FIELD_TOP,
		.help = "Database that SELECT chose; absent: the default one, or not known.",
	},
	[REDIS_FIELD_ARGUMENT_BYTES] = {
		.name = "argument_bytes", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_COUNTER, .parent = TL_FIELD_TOP,
		.help = "Bytes of the arguments behind the command's name.",
	},
	[REDIS_FIELD_REPLY_TYPE] = {
		.name = "reply_type", .label = "reply_type", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Type of the reply: simple_string, error, integer, bulk_string, array, null, "
			"and those of RESP3.",
	},
	[REDIS_FIELD_PUSH] = {
		.name = "push", .label = "push", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP, .max = 32,
		.help = "First word of a push or a confirmation: message, pmessage, invalidate, "
			"subscribe.",
	},
	[REDIS_FIELD_ERROR] = {
		.name = "error", .label = "error", .attribute = "db.response.status_code",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_RESPONSE | TL_FIELD_DEFAULT_LABEL | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP, .max = 32,
		.help = "Error prefix: ERR, WRONGTYPE, MOVED; `other` where the text has none.",
	},
	[REDIS_FIELD_ERROR_TEXT] = {
		.name = "error_text", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE | TL_FIELD_SENSITIVE, .parent = TL_FIELD_TOP, .max = 256,
		.help = "Error as the server put it, prefix included. It may repeat arguments.",
	},
	[REDIS_FIELD_ERRORS] = {
		.name = "errors", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Commands of a transaction that failed.",
	},
	[REDIS_FIELD_REDIRECT] = {
		.name = "redirect", .label = "redirect", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_MIDDLE, .flags = TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP, .help = "Node that MOVED or ASK points to.",
	},
};

static const char *const redis_counters[REDIS_COUNTER_COUNT] = {
	[REDIS_COUNT_BAD_REQUEST] = "bad_request",
	[REDIS_COUNT_BAD_REPLY] = "bad_reply",
	[REDIS_COUNT_LONG_LINE] = "long_line",
	[REDIS_COUNT_ORDER_LOST] = "order_lost",
	[REDIS_COUNT_UNPAIRED_REPLIES] = "unpaired_replies",
	[REDIS_COUNT_STRAY_CONFIRMATIONS] = "stray_confirmations",
	[REDIS_COUNT_MONITOR_LINES] = "monitor_lines",
};

#define MEMBER(name) offsetof(struct tl_redis_options, name)

static const struct tl_option redis_options[] = {
	{
		.key = "record_key", .type = TL_OPTION_BOOL, .hot = true,
		.offset = MEMBER(record_key), .value = "false",
		.help = "Record the first key of each command.",
	},
	{
		.key = "key_patterns", .type = TL_OPTION_TEXT_LIST, .hot = true,
		.offset = MEMBER(key_patterns), .value = "[]",
		.help = "Patterns (* and ?) of keys: a key is recorded as the first one that it "
			"fits.",
	},
	TL_OPTION_END,
};

static const uint16_t redis_ports[] = {6379, 6380, 6381, 6382, 7000, 7001, 26379, 0};

extern const struct tl_decoder tl_decoder_redis;

// OpenTelemetry, "Redis": the database index is no part of the name.
static const char *const span_names[] = {"{command}", NULL};
static const struct tl_span_attribute span_attributes[] = {
	{.name = "db.system.name", .value = "redis"},
	{.name = NULL},
};
static const struct tl_span_rules span_rules = {
	.kind = TL_SPAN_CLIENT, .names = span_names, .attributes = span_attributes,
	.error_type = "{error}",
};

const struct tl_decoder tl_decoder_redis = {
	.name = "redis",
	.title = "Redis",
	.over = TL_OVER_TCP,
	.state_size = sizeof(struct redis),
	.need_max = REDIS_NEED_BYTES_MAX,
	.timeout_s = 60,
	.ports = redis_ports,
	.fields = redis_fields,
	.field_count = REDIS_FIELD_COUNT,
	.counter_count = REDIS_COUNTER_COUNT,
	.counters = redis_counters,
	.options = redis_options,
	.options_size = sizeof(struct tl_redis_options),
	.span = &span_rules,
	.status_help = "replies ok, also MOVED and ASK; LOADING, BUSY, OOM, READONLY, MISCONF, "
		       "MASTERDOWN, CLUSTERDOWN, TRYAGAIN, NOREPLICAS server_error; other errors "
		       "client_error",
	.match = redis_match,
	.step = redis_step,
	.gap = redis_gap,
	.resync = redis_resync,
};

TL_DECODER_CHECK(struct redis, REDIS_NEED_BYTES_MAX);
