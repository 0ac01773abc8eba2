// SPDX-License-Identifier: Apache-2.0
// MongoDB's wire protocol: what happens around messages, and the tables.
// Sources: MongoDB manual "Wire protocol", specifications of its drivers (OP_MSG, OP_COMPRESSED,
// handshake) at github.com/mongodb/specifications; bsonspec.org.
#include "state.h"

static bool mongo_gap(struct tl_ctx *ctx, void *state, enum tl_lane lane, uint64_t lost,
		      uint64_t offset)
{
	struct mongo *mongo = (struct mongo *)state;

	(void)lost;
	(void)offset;
	tl_mongo_forget(&mongo->message[lane]);
	if (lane == TL_CLIENT)
		return true; // replies name what they answer
	// Answers may have been in the hole.
	tl_cancel_all(ctx, TL_STATUS_UNANSWERED, TL_REASON_GAP);
	mongo->exhaust_id = 0;
	return true;
}

static const struct tl_field mongo_fields[MONGO_FIELD_COUNT] = {
	[MONGO_FIELD_COMMAND] = {
		.name = "command", .label = "command", .also = "service",
		.attribute = "db.operation.name",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_DEFAULT_LABEL | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP, .max = 64,
		.help = "Command, or what a legacy opcode does: find, insert, getMore.",
	},
	[MONGO_FIELD_DATABASE] = {
		.name = "database", .label = "source", .attribute = "db.namespace",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST | TL_FIELD_SUMMARY, .parent = TL_FIELD_TOP, .max = 64,
		.help = "Database: $db, or what stands before the dot of a legacy name.",
	},
	[MONGO_FIELD_COLLECTION] = {
		.name = "collection", .label = "collection", .attribute = "db.collection.name",
		.type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_MIDDLE,
		.flags = TL_FIELD_REQUEST | TL_FIELD_SUMMARY, .parent = TL_FIELD_TOP, .max = 255,
		.help = "Collection that the command is for.",
	},
	[MONGO_FIELD_OPCODE] = {
		.name = "opcode", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Form of the message: msg, query, reply; of a compressed one what "
			"is inside.",
	},
	[MONGO_FIELD_COMPRESSOR] = {
		.name = "compressor", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "snappy, zlib, zstd or noop, where the message is compressed.",
	},
	[MONGO_FIELD_DOCUMENTS] = {
		.name = "documents", .attribute = "db.operation.batch.size",
		.type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP,
		.help = "Documents inserted, or operations of an update or delete.",
	},
	[MONGO_FIELD_READ_CONCERN] = {
		.name = "read_concern", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 32,
		.help = "Level of the read concern.",
	},
	[MONGO_FIELD_WRITE_CONCERN] = {
		.name = "write_concern", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 32,
		.help = "w of the write concern, a number below ten or a word.",
	},
	[MONGO_FIELD_READ_PREFERENCE] = {
		.name = "read_preference", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_REQUEST,
		.parent = TL_FIELD_TOP, .max = 32,
		.help = "Mode of the read preference.",
	},
	[MONGO_FIELD_MAX_TIME] = {
		.name = "max_time_ms", .type = TL_FIELD_INT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP,
		.help = "maxTimeMS: how long the server may take.",
	},
	[MONGO_FIELD_APP_NAME] = {
		.name = "app_name", .label = "app_name", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_MIDDLE, .flags = TL_FIELD_REQUEST,
		.parent = TL_FIELD_TOP, .max = 128,
		.help = "Name of the application, in a hello.",
	},
	[MONGO_FIELD_DRIVER] = {
		.name = "driver", .type = TL_FIELD_TEXT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_REQUEST, .parent = TL_FIELD_TOP, .max = 64,
		.help = "Driver, in a hello.",
	},
	[MONGO_FIELD_DRIVER_VERSION] = {
		.name = "driver_version", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_REQUEST,
		.parent = TL_FIELD_TOP, .max = 32,
		.help = "Version of the driver.",
	},
	[MONGO_FIELD_OK] = {
		.name = "ok", .label = "ok", .attribute = "db.response.ok", .type = TL_FIELD_BOOL,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP,
		.help = "Whether the command was carried out; writeErrors may say more.",
	},
	[MONGO_FIELD_CODE] = {
		.name = "code", .label = "code", .attribute = "db.response.status_code",
		.type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_LOW,
		.flags = TL_FIELD_RESPONSE | TL_FIELD_DEFAULT_LABEL | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP,
		.help = "Error code, of the command or of the first write error.",
	},
	[MONGO_FIELD_CODE_NAME] = {
		.name = "code_name", .attribute = "error.type", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_RESPONSE | TL_FIELD_SUMMARY,
		.parent = TL_FIELD_TOP, .max = 64,
		.help = "Name of the code, where the server gives it.",
	},
	[MONGO_FIELD_ERROR_MESSAGE] = {
		.name = "error_message", .attribute = "error.message", .type = TL_FIELD_TEXT,
		.cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE | TL_FIELD_SENSITIVE, .parent = TL_FIELD_TOP,
		.max = 192,
		.help = "Message of the error, or of the first write error. It may repeat values.",
	},
	[MONGO_FIELD_WRITE_ERRORS] = {
		.name = "write_errors", .type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Operations of a write command that failed.",
	},
	[MONGO_FIELD_WRITE_CONCERN_ERROR] = {
		.name = "write_concern_error", .type = TL_FIELD_UINT,
		.cardinality = TL_CARDINALITY_LOW, .flags = TL_FIELD_RESPONSE,
		.parent = TL_FIELD_TOP,
		.help = "Code of an unmet write concern.",
	},
	[MONGO_FIELD_N] = {
		.name = "n", .type = TL_FIELD_INT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Documents that a write matched, inserted or removed, or that were "
			"counted.",
	},
	[MONGO_FIELD_N_MODIFIED] = {
		.name = "n_modified", .type = TL_FIELD_INT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Documents that an update changed.",
	},
	[MONGO_FIELD_RETURNED] = {
		.name = "returned", .attribute = "db.response.returned_rows",
		.type = TL_FIELD_UINT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_RESPONSE, .parent = TL_FIELD_TOP,
		.help = "Documents in the reply: of the batch, or of an OP_REPLY.",
	},
	[MONGO_FIELD_CURSOR_ID] = {
		.name = "cursor_id", .type = TL_FIELD_INT, .cardinality = TL_CARDINALITY_HIGH,
		.flags = TL_FIELD_REQUEST | TL_FIELD_RESPONSE | TL_FIELD_WIDE,
		.parent = TL_FIELD_TOP,
		.help = "Cursor: what is left of the answer, 0: nothing; or the one that "
			"getMore reads.",
	},
};

static const char *const mongo_counters[MONGO_COUNTER_COUNT] = {
	[MONGO_COUNT_BAD_HEADER] = "bad_header",
	[MONGO_COUNT_UNKNOWN_OPCODE] = "unknown_opcode",
	[MONGO_COUNT_BAD_MESSAGE] = "bad_message",
	[MONGO_COUNT_NOT_INFLATED] = "not_inflated",
};

static const uint16_t mongo_ports[] = {27017, 27018, 27019, 0};

// OpenTelemetry, "MongoDB": the text of a query is never an attribute.
static const char *const span_names[] = {"{command} {collection}", "{command} {database}", "{command}",
					 NULL};
static const struct tl_span_attribute span_attributes[] = {
	{.name = "db.system.name", .value = "mongodb"},
	{.name = NULL},
};
static const struct tl_span_rules span_rules = {
	.kind = TL_SPAN_CLIENT, .names = span_names, .attributes = span_attributes,
	.error_type = "{code}",
};

extern const struct tl_decoder tl_decoder_mongodb;

const struct tl_decoder tl_decoder_mongodb = {
	.name = "mongodb",
	.title = "MongoDB",
	.over = TL_OVER_TCP,
	.state_size = sizeof(struct mongo),
	.need_max = MONGO_NEED_BYTES_MAX,
	.timeout_s = 60,
	.ports = mongo_ports,
	.fields = mongo_fields,
	.field_count = MONGO_FIELD_COUNT,
	.counter_count = MONGO_COUNTER_COUNT,
	.counters = mongo_counters,
	.span = &span_rules,
	.status_help = "ok: 1 without write errors ok; by code 50 262 timeout, 11601 cancelled, 6 7 89 91 "
		       "189 10107 11600 13435 13436 server_error; others, and write errors, "
		       "client_error",
	.match = tl_mongo_match,
	.step = tl_mongo_step,
	.gap = mongo_gap,
	.resync = tl_mongo_resync,
};

TL_DECODER_CHECK(struct mongo, MONGO_NEED_BYTES_MAX);
