// SPDX-License-Identifier: Apache-2.0
// The client lane: commands, and what is none.
#include "l7/trace.h"
#include "state.h"

#define SEMI_SYNC_MAGIC 0xefu
#define MYSQL_DIGEST_MAX (TL_SQL_DIGEST_TEXT_BYTES - 1u)

void tl_mysql_show_command(struct mysql_call *call, uint32_t command)
{
	tl_message_text(call->ctx, call->lane, MYSQL_FIELD_COMMAND,
			tl_bytes_of(tl_mysql_word(command)->name));
}

// Values that every command has, written in place.
static void put_session(struct tl_values *values, const struct mysql *my, uint32_t command)
{
	tl_values_text(values, MYSQL_FIELD_COMMAND, MYSQL_COMMAND_NAME_MAX,
		       tl_bytes_of(tl_mysql_word(command)->name));
	if (my->schema.len != 0)
		tl_values_text(values, MYSQL_FIELD_SCHEMA, MYSQL_NAME_BYTES_MAX,
			       tl_mysql_name_bytes(&my->schema));
	if (my->user.len != 0)
		tl_values_text(values, MYSQL_FIELD_USER, MYSQL_NAME_BYTES_MAX,
			       tl_mysql_name_bytes(&my->user));
}

void tl_mysql_show_session(struct mysql_call *call, uint32_t command)
{
	struct tl_values values;

	tl_values_open(&values, call->ctx, call->lane);
	put_session(&values, call->my, command);
	tl_values_close(&values);
}

void tl_mysql_begin(struct mysql_call *call)
{
	tl_message_begin(call->ctx, call->lane, call->begin);
	tl_message_body(call->ctx, call->lane, call->len);
}

// Nothing proves yet that answers and commands are those of each other.
static bool is_doubtful(const struct mysql *my)
{
	return my->is_doubtful || (!my->is_greeted && !my->has_answered);
}

static void expect_answer(struct mysql_call *call, const struct mysql_memo *memo)
{
	struct mysql *my = call->my;

	// A command while another one is open, or was lost: pipelined, or the other one's answer was
	// not seen.
	if (my->outstanding != 0 || my->has_lost_command) {
		my->pipelines = my->pipelines || !my->has_heard ||
				(my->outstanding != 0 && !is_doubtful(my));
		if (is_doubtful(my))
			tl_mysql_lose_track(call->ctx, my);
	}
	my->waits = my->waits ||
		    (my->next_key > 1 && my->outstanding == 0 && !is_doubtful(my));
	if (my->is_mute) {
		bool is_silent = my->has_heard &&
				 tl_after_silence(call->ctx, call->lane, call->begin);
		my->pipelines = my->pipelines || !my->has_heard;
		call->is_unpaired = !tl_mysql_finds_track(my, is_silent);
	}
	my->has_heard = my->has_lost_command = false;
	tl_open(call->ctx, call->lane, my->next_key++, memo);
	my->outstanding = (uint16_t)tl_pending_count(call->ctx, TL_CLIENT);
}

void tl_mysql_open(struct mysql_call *call, uint32_t command, bool sets_schema)
{
	struct mysql *my = call->my;
	struct mysql_memo memo = {
		.command = (uint16_t)command,
		.is_long = call->len == MYSQL_PACKET_MAX,
		.sets_schema = sets_schema,
		.key = my->next_key,
	};

	if (tl_mysql_word(command)->answer == MYSQL_ANSWER_NONE) {
		tl_one_way(call->ctx, call->lane);
	} else {
		expect_answer(call, &memo);
	}
	if (tl_mysql_is_unsure(call))
		tl_message_flag(call->ctx, call->lane, TL_FLAG_GAP);
	if (call->len != MYSQL_PACKET_MAX)
		tl_message_end(call->ctx, call->lane, call->end);
}

// ---- Texts ------------------------------------------------------------------------------------

static void show_trace(struct mysql_call *call, struct tl_bytes value)
{
	struct tl_trace trace = {0};

	if (tl_trace_from_traceparent(value, &trace))
		tl_message_trace(call->ctx, call->lane, &trace);
}

static void put_digest(struct tl_values *values, uint64_t digest)
{
	char text[TL_SQL_DIGEST_TEXT_BYTES];

	if (digest == 0)
		return;
	tl_sql_digest_text(digest, text);
	tl_values_text(values, MYSQL_FIELD_DIGEST, MYSQL_DIGEST_MAX,
		       tl_bytes(text, MYSQL_DIGEST_MAX));
}

// USE changes the schema like INIT_DB does.
static bool is_use(struct mysql_call *call, const struct tl_sql *sql)
{
	struct tl_bytes summary = tl_sql_summary(sql);

	if (sql->statements != 1 || !tl_bytes_starts(summary, "USE ") || summary.len < 5)
		return false;
	tl_mysql_name_set(&call->my->next_schema, tl_bytes_from(summary, 4));
	return true;
}

// `raw` is what there is to see of a text of `full` bytes.
static void show_text(struct mysql_call *call, uint32_t command, struct tl_bytes raw, uint32_t full,
		      struct tl_bytes masked, const struct tl_sql *sql)
{
	const struct mysql_options *options = tl_mysql_options(call);
	uint32_t max = (uint32_t)options->query_text_max;
	bool mask = options->mask_literals || tl_redact(call->ctx);
	struct tl_bytes text = mask ? masked : raw;
	struct tl_values values;

	tl_values_open(&values, call->ctx, call->lane);
	put_session(&values, call->my, command);
	if (sql->summary_len != 0)
		tl_values_text(&values, MYSQL_FIELD_SUMMARY, TL_SQL_SUMMARY_BYTES_MAX,
			       tl_sql_summary(sql));
	if (text.len != 0 && max != 0)
		tl_values_part(&values, MYSQL_FIELD_TEXT, max, text, mask ? sql->text_full : full);
	put_digest(&values, sql->digest);
	if (sql->statements > 1)
		tl_values_uint(&values, MYSQL_FIELD_STATEMENTS, sql->statements);
	tl_values_close(&values);
	if (sql->traceparent.len != 0)
		show_trace(call, sql->traceparent);
	if (sql->input_cut) {
		tl_message_flag(call->ctx, call->lane, TL_FLAG_TRUNCATED);
		tl_count(call->ctx, MYSQL_COUNT_LONG_TEXT);
	}
}

// Bytes that a query attribute of this type has on the wire; 0: length-encoded.
static uint32_t fixed_size(uint8_t type)
{
	switch (type) {
	case 1: // TINY
		return 1;
	case 2: // SHORT, YEAR
	case 13:
		return 2;
	case 3: // LONG, INT24, FLOAT
	case 9:
	case 4:
		return 4;
	case 5: // DOUBLE, LONGLONG
	case 8:
		return 8;
	default:
		return 0;
	}
}

struct attribute {
	struct tl_bytes name;
	uint8_t type;
	bool is_null;
};

static uint32_t read_attribute_names(struct tl_cursor *c, struct attribute *ret, uint64_t count)
{
	struct tl_bytes nulls = tl_cursor_take(c, (count + 7) / 8);

	if (tl_cursor_u8(c) != 1 || c->failed || count > MYSQL_ATTRIBUTES_MAX) {
		c->failed = true;
		return 0;
	}
	for (uint32_t i = 0; i < (uint32_t)count; i++) {
		ret[i].type = (uint8_t)tl_cursor_le16(c);
		ret[i].name = tl_cursor_take(c, tl_mysql_lenenc(c));
		// Type 6 is NULL itself.
		ret[i].is_null = (nulls.ptr[i / 8] >> (i % 8) & 1) != 0 || ret[i].type == 6;
	}
	return c->failed ? 0 : (uint32_t)count;
}

// Query attributes stand between the command and its text. Those that are texts are shown.
static void read_query_attributes(struct mysql_call *call, struct tl_cursor *c)
{
	struct attribute attributes[MYSQL_ATTRIBUTES_MAX];
	uint64_t count = tl_mysql_lenenc(c);

	(void)tl_mysql_lenenc(c); // sets of values: always one
	if (count == 0 || c->failed)
		return;
	uint32_t n = read_attribute_names(c, attributes, count);
	for (uint32_t i = 0; i < n; i++) {
		const struct attribute *a = &attributes[i];
		if (a->is_null)
			continue;
		uint32_t size = fixed_size(a->type);
		if (size != 0) {
			(void)tl_cursor_take(c, size);
			continue;
		}
		struct tl_bytes value = tl_cursor_take(c, tl_mysql_lenenc(c));
		bool is_time = a->type == 7 || (a->type >= 10 && a->type <= 12);
		if (c->failed || is_time)
			continue;
		if (tl_bytes_is(a->name, "traceparent"))
			show_trace(call, value);
		else
			tl_message_pair(call->ctx, call->lane, MYSQL_FIELD_ATTRIBUTES, a->name, value);
	}
}

// Without the login the bytes tell: no text begins with a control character and 0x01.
static bool has_query_attributes(const struct mysql_call *call, struct tl_bytes text)
{
	if (call->my->has_login)
		return (call->my->capabilities & MYSQL_CAP_QUERY_ATTRIBUTES) != 0;
	return text.len >= 2 && text.ptr[0] <= MYSQL_ATTRIBUTES_MAX && text.ptr[1] == 1;
}

static enum tl_sql_dialect dialect_of(const struct mysql *my)
{
	return my->has_no_escapes ? TL_SQL_MYSQL_PLAIN : TL_SQL_MYSQL;
}

static void read_query(struct mysql_call *call)
{
	char buffer[MYSQL_QUERY_TEXT_MAX];
	struct tl_cursor c = tl_cursor(tl_bytes_from(call->payload, 1));
	struct tl_sql sql;

	struct tl_bytes text = c.bytes;
	tl_mysql_begin(call);
	if (has_query_attributes(call, text)) {
		read_query_attributes(call, &c);
		text = c.failed ? tl_bytes(NULL, 0) : tl_bytes_from(c.bytes, c.at);
	}
	uint32_t full = call->len - 1u - (c.failed ? 0 : c.at);
	uint32_t room = (uint32_t)tl_mysql_options(call)->query_text_max;
	tl_sql_read(dialect_of(call->my), text, full, buffer, room, &sql);
	tl_mysql_open(call, MYSQL_QUERY, is_use(call, &sql));
	show_text(call, MYSQL_QUERY, text, full, tl_bytes(buffer, sql.text_len), &sql);
}

static void read_prepare(struct mysql_call *call)
{
	char buffer[MYSQL_QUERY_TEXT_MAX];
	struct tl_bytes text = tl_bytes_from(call->payload, 1);
	uint32_t full = call->len - 1u;
	uint32_t key = call->my->next_key;
	struct tl_sql sql;

	tl_sql_read(dialect_of(call->my), text, full, buffer, sizeof(buffer), &sql);
	struct tl_bytes masked = tl_bytes(buffer, sql.text_len);
	tl_mysql_begin(call);
	tl_mysql_open(call, MYSQL_STMT_PREPARE, false);
	show_text(call, MYSQL_STMT_PREPARE, text, full, masked, &sql);
	struct mysql_statements *statements = tl_room(call->ctx);
	call->my->has_statements = statements != NULL;
	// Without a room the statement itself gives way.
	uint32_t evicted =
		statements == NULL ? 1 : tl_mysql_statement_add(statements, key, &sql, masked);
	for (uint32_t i = 0; i < evicted; i++)
		tl_count(call->ctx, MYSQL_COUNT_STATEMENTS_EVICTED);
}

static void put_statement(struct tl_values *values, uint32_t max,
			  const struct mysql_statement *statement)
{
	if (statement->summary.len != 0)
		tl_values_text(values, MYSQL_FIELD_SUMMARY, TL_SQL_SUMMARY_BYTES_MAX,
			       statement->summary);
	if (statement->text.len != 0 && max != 0)
		tl_values_part(values, MYSQL_FIELD_TEXT, max, statement->text, statement->text_full);
	put_digest(values, statement->digest);
}

// A command about a prepared statement.
static void read_statement(struct mysql_call *call, uint32_t command)
{
	struct tl_cursor c = tl_cursor(tl_bytes_from(call->payload, 1));
	struct mysql_statements *statements = tl_mysql_statements(call);
	struct mysql_statement statement;
	struct tl_values values;
	uint32_t id = tl_cursor_le32(&c);

	tl_mysql_begin(call);
	tl_mysql_open(call, command, false);
	bool is_known = !c.failed && statements != NULL &&
			tl_mysql_statement_find(statements, id, &statement);
	tl_values_open(&values, call->ctx, call->lane);
	put_session(&values, call->my, command);
	if (!c.failed)
		tl_values_uint(&values, MYSQL_FIELD_STATEMENT_ID, id);
	if (is_known)
		put_statement(&values, (uint32_t)tl_mysql_options(call)->query_text_max, &statement);
	tl_values_close(&values);
	if (!c.failed && !is_known)
		tl_count(call->ctx, MYSQL_COUNT_STATEMENTS_UNKNOWN);
	if (command == MYSQL_STMT_CLOSE && is_known)
		tl_mysql_statement_close(statements, id);
}

static void read_init_db(struct mysql_call *call)
{
	struct tl_bytes schema = tl_bytes_from(call->payload, 1);

	tl_mysql_begin(call);
	tl_mysql_open(call, MYSQL_INIT_DB, true);
	tl_mysql_show_command(call, MYSQL_INIT_DB);
	tl_mysql_name_set(&call->my->next_schema, schema);
	tl_message_text(call->ctx, call->lane, MYSQL_FIELD_SCHEMA,
			tl_mysql_name_bytes(&call->my->next_schema));
	if (call->my->user.len != 0)
		tl_message_text(call->ctx, call->lane, MYSQL_FIELD_USER,
				tl_mysql_name_bytes(&call->my->user));
}

static void read_command(struct mysql_call *call, uint32_t command)
{
	switch (command) {
	case MYSQL_QUERY:
		read_query(call);
		break;
	case MYSQL_STMT_PREPARE:
		read_prepare(call);
		break;
	case MYSQL_STMT_EXECUTE:
	case MYSQL_BULK_EXECUTE:
	case MYSQL_STMT_SEND_LONG_DATA:
	case MYSQL_STMT_CLOSE:
	case MYSQL_STMT_RESET:
	case MYSQL_STMT_FETCH:
		read_statement(call, command);
		break;
	case MYSQL_INIT_DB:
		read_init_db(call);
		break;
	case MYSQL_CHANGE_USER:
		tl_mysql_read_change_user(call);
		break;
	default:
		tl_mysql_begin(call);
		tl_mysql_open(call, command, false);
		tl_mysql_show_session(call, command);
		break;
	}
}

// ---- Packets ----------------------------------------------------------------------------------

static uint32_t bytes_wanted(uint32_t command)
{
	switch (command) {
	case MYSQL_QUERY:
	case MYSQL_STMT_PREPARE:
		return MYSQL_TEXT_BYTES_MAX;
	case MYSQL_CHANGE_USER:
		return MYSQL_LOGIN_BYTES_MAX;
	default:
		return MYSQL_COMMAND_BYTES_MAX;
	}
}

// A packet that is no command: part of a login, of a file, or of what was lost.
static void read_other(struct mysql_call *call)
{
	struct mysql *my = call->my;

	if (my->in_infile) {
		tl_count(call->ctx, MYSQL_COUNT_INFILE_PACKETS);
		my->in_infile = call->len != 0;
	} else if (my->outstanding == 0) {
		tl_count(call->ctx, MYSQL_COUNT_STRAY_PACKETS);
	}
}

static struct tl_step skip_packet(const struct mysql_call *call)
{
	return tl_skip((uint64_t)MYSQL_HEAD_BYTES + call->len);
}

// A packet that was read whole is decoded, of others the rest is skipped.
static struct tl_step finish_packet(const struct mysql_call *call)
{
	return call->payload.len == call->len ? tl_ate(MYSQL_HEAD_BYTES + call->len)
					      : skip_packet(call);
}

static struct tl_step bad_command(struct mysql_call *call)
{
	tl_count(call->ctx, MYSQL_COUNT_BAD_COMMAND);
	return ++call->my->bad_commands >= MYSQL_BAD_COMMANDS_MAX ? tl_stop() : skip_packet(call);
}

struct tl_step tl_mysql_client_step(struct mysql_call *call)
{
	struct mysql *my = call->my;

	if (my->client_continues) {
		my->client_continues = call->len == MYSQL_PACKET_MAX;
		tl_message_body(call->ctx, call->lane, call->len);
		if (!my->client_continues)
			tl_message_end(call->ctx, call->lane, call->end);
		return skip_packet(call);
	}
	if (my->phase == MYSQL_PHASE_STREAM && call->len != 0 && call->sequence == 0) {
		if (call->payload.len == 0)
			return tl_need(MYSQL_HEAD_BYTES + 1);
		if (call->payload.ptr[0] == SEMI_SYNC_MAGIC) {
			tl_count(call->ctx, MYSQL_COUNT_SEMI_SYNC_ACKS);
			return skip_packet(call);
		}
	}
	bool may_be_login = call->sequence == 1 && my->next_key == 0 && call->len >= 32;
	if ((call->sequence != 0 && !may_be_login) || call->len == 0) {
		read_other(call);
		my->client_continues = call->len == MYSQL_PACKET_MAX && !my->in_infile;
		return skip_packet(call);
	}
	if (call->payload.len == 0)
		return tl_need(MYSQL_HEAD_BYTES + 1);
	uint32_t command = may_be_login ? (uint32_t)MYSQL_LOGIN : call->payload.ptr[0];
	if (!may_be_login && tl_mysql_word(command)->answer == MYSQL_ANSWER_NO)
		return bad_command(call);
	uint32_t want = may_be_login ? MYSQL_LOGIN_BYTES_MAX : bytes_wanted(command);
	want = call->len < want ? call->len : want;
	if (call->payload.len < want)
		return tl_need(MYSQL_HEAD_BYTES + want);
	call->payload.len = want;
	if (!may_be_login)
		read_command(call, command);
	else if (tl_mysql_is_login(call->payload))
		tl_mysql_read_login(call);
	else
		return bad_command(call);
	my->bad_commands = 0;
	if (call->is_unpaired) {
		tl_cancel_all(call->ctx, TL_STATUS_UNANSWERED, TL_REASON_GAP);
		my->outstanding = 0;
	}
	// Whether the server agreed shows in its greeting, or in what follows.
	if (may_be_login && !my->is_greeted && tl_mysql_asks_for_packing(my))
		my->may_be_packed = true;
	my->client_continues = call->len == MYSQL_PACKET_MAX;
	return finish_packet(call);
}
