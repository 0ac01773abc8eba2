// SPDX-License-Identifier: Apache-2.0
// What the client sends: several messages make one request.
#include "protocols/postgresql/state.h"

#include "l7/trace.h"
#include "protocols/common/sql.h"

// ---- Groups and requests ----------------------------------------------------------------------

static uint32_t clean_groups_needed(const struct pg *pg)
{
	if (pg->calm < PG_CALM_GROUPS_FEW)
		return PG_CLEAN_STRANGER;
	return pg->calm < PG_CALM_GROUPS ? PG_CLEAN_NEW : 1;
}

// After a loss a group, which begins at `offset`, may be paired again once the server is ready and
// owes nothing. Answers to a client that sends groups without waiting may lag behind forever: then
// only a silence tells. For others it takes some groups in good order, the fewer the more of them
// were seen before the loss.
static bool sees_again(struct pg_call *call, uint64_t offset)
{
	struct pg *pg = call->pg;
	bool is_silent = tl_after_silence(call->ctx, TL_CLIENT, offset);

	if (!pg->is_ready || (pg->pipelines && !is_silent))
		return false;
	if (pg->owed != 0 && !is_silent)
		return false;
	if (!is_silent && ++pg->clean < clean_groups_needed(pg))
		return false;
	pg->is_blind = false;
	pg->owed = 0;
	pg->clean = 0;
	pg->server.group = pg->client.group;
	return true;
}

// A group is sent while another waits. Right behind a loss this shows that answers may lag behind.
static void note_pipelining(struct pg_call *call)
{
	call->pg->pipelines = true;
	if (call->pg->doubt == 0)
		return;
	tl_pg_lose_track(call);
	call->pg->client.is_muted = true;
}

// A message of a group, which is at `offset`; false: the group is not looked at.
static bool enter_group(struct pg_call *call, uint64_t offset)
{
	struct pg *pg = call->pg;

	if (pg->client.in_group)
		return !pg->client.is_muted;
	pg->client.in_group = true;
	pg->client.is_muted = pg->is_blind && !sees_again(call, offset);
	if (!pg->client.is_muted && tl_pending_count(call->ctx, TL_CLIENT) != 0) {
		note_pipelining(call);
		pg->client.in_group = true;
	} else if (!pg->client.is_muted && pg->calm < PG_CALM_GROUPS) {
		pg->calm++;
	}
	if (pg->client.is_muted)
		tl_count(call->ctx, PG_COUNT_UNSURE_DROPPED);
	pg->is_ready = false;
	return !pg->client.is_muted;
}

// What ends a group: the server will say ReadyForQuery.
static void leave_group(struct pg *pg)
{
	if (pg->client.is_muted)
		pg->owed = (uint16_t)(pg->owed + (pg->owed != UINT16_MAX));
	pg->client.in_group = false;
	pg->client.is_muted = false;
	pg->client.group++;
	pg->is_settled = true;
}

static void put_session(const struct pg *pg, struct tl_values *values)
{
	if (pg->database_len != 0)
		tl_values_text(values, PG_FIELD_DATABASE, PG_NAME_BYTES_MAX,
			       tl_bytes(pg->database, pg->database_len));
	if (pg->user_len != 0)
		tl_values_text(values, PG_FIELD_USER, PG_NAME_BYTES_MAX,
			       tl_bytes(pg->user, pg->user_len));
	if (pg->application_len != 0)
		tl_values_text(values, PG_FIELD_APPLICATION, PG_NAME_BYTES_MAX,
			       tl_bytes(pg->application, pg->application_len));
}

void tl_pg_client_session(struct pg_call *call)
{
	struct tl_values values;

	tl_values_open(&values, call->ctx, TL_CLIENT);
	put_session(call->pg, &values);
	tl_values_close(&values);
}

static void begin_request(struct pg_call *call, uint64_t offset)
{
	const struct pg *pg = call->pg;

	tl_message_begin(call->ctx, TL_CLIENT, offset);
	// Where the start-up was lost nobody knows whose connection it is; where what the server says
	// is not seen, nor what was set since.
	if (pg->doubt != 0 || (pg->has_lost && !pg->client.started) ||
	    (pg->client.started && !pg->was_read[TL_SERVER]))
		tl_message_flag(call->ctx, TL_CLIENT, TL_FLAG_GAP);
}

// The same for a request of parts.
static void begin_parts(struct pg_call *call)
{
	const struct pg *pg = call->pg;

	begin_request(call, pg->client.begin);
	// Joined late, or behind a loss: parts of the group may have been before.
	if (!pg->is_settled && (pg->has_lost || tl_is_late_join(call->ctx)))
		tl_message_flag(call->ctx, TL_CLIENT, TL_FLAG_GAP);
}

void tl_pg_client_queue(struct pg_call *call, enum pg_kind kind, bool is_last)
{
	struct pg_client *me = &call->pg->client;
	struct pg_memo memo = {.group = me->group, .kind = (uint8_t)kind, .is_last = is_last};

	me->key++;
	me->syncs = 0;
	me->copied = 0;
	tl_open(call->ctx, TL_CLIENT, me->key, &memo);
}

void tl_pg_client_name_parts(struct pg_call *call)
{
	uint8_t parts = call->pg->client.parts;
	uint8_t command = PG_COMMAND_CLOSE;

	if ((parts & PG_PART_PARSE) != 0)
		command = PG_COMMAND_PREPARE;
	else if ((parts & PG_PART_DESCRIBE) != 0)
		command = PG_COMMAND_DESCRIBE;
	else if ((parts & PG_PART_BIND) != 0)
		command = PG_COMMAND_BIND;
	tl_message_text(call->ctx, TL_CLIENT, PG_FIELD_COMMAND, tl_pg_command(command));
}

// The newest request's memo while its answer is being read: then it is the oldest one.
static struct pg_memo *memo_of_newest(struct pg_call *call)
{
	uint64_t key = 0;
	struct pg_memo *memo = tl_pending_oldest(call->ctx, TL_CLIENT, &key);

	return memo != NULL && key == call->pg->client.key ? memo : NULL;
}

void tl_pg_client_open(struct pg_call *call, bool is_last)
{
	struct pg_client *me = &call->pg->client;

	if (me->making == PG_MAKING_NONE)
		return;
	enum pg_kind kind = me->making == PG_MAKING_DONE ? PG_KIND_EXECUTE : PG_KIND_REST;
	if (me->opened_early) {
		struct pg_memo *memo = memo_of_newest(call);
		if (memo != NULL) {
			memo->kind = (uint8_t)kind;
			memo->is_last = is_last;
		}
		if (memo != NULL && call->pg->server.is_answering) {
			call->pg->server.kind = (uint8_t)kind;
			call->pg->server.is_last = is_last;
		}
	} else {
		tl_pg_client_queue(call, kind, is_last);
	}
	me->making = PG_MAKING_NONE;
	me->opened_early = false;
}

// A Sync, or something else that is no part of it, comes behind parts without Execute.
static void finish_parts(struct pg_call *call, uint64_t end)
{
	struct pg_client *me = &call->pg->client;

	if (me->making != PG_MAKING_PARTS)
		return;
	tl_pg_client_name_parts(call);
	tl_pg_client_session(call);
	tl_message_end(call->ctx, TL_CLIENT, end);
}

// The request that a part belongs to. False: the group is not looked at.
static bool enter_request(struct pg_call *call, const struct pg_message *m)
{
	struct pg_client *me = &call->pg->client;

	if (me->making == PG_MAKING_DONE)
		tl_pg_client_open(call, false);
	if (!enter_group(call, m->offset))
		return false;
	if (me->making == PG_MAKING_PARTS)
		return true;
	me->making = PG_MAKING_PARTS;
	me->begin = m->offset;
	me->parts = 0;
	me->opened_early = false;
	me->has_text = false;
	me->bound = me->portal = PG_UNNAMED;
	begin_parts(call);
	return true;
}

// ---- Texts ------------------------------------------------------------------------------------

// Text, summary and digest; without a token in the text there is none of the last two.
static void put_text(struct pg_call *call, struct tl_values *values, const struct pg_statement *s)
{
	uint32_t most = (uint32_t)call->options->query_text_max;
	char digest[TL_SQL_DIGEST_TEXT_BYTES];

	if (s->summary.len != 0)
		tl_values_text(values, PG_FIELD_SUMMARY, TL_SQL_SUMMARY_BYTES_MAX, s->summary);
	if (s->text.len != 0 && most != 0)
		tl_values_part(values, PG_FIELD_TEXT, most, s->text, s->text_full);
	if (s->digest == 0)
		return;
	tl_sql_digest_text(s->digest, digest);
	tl_values_text(values, PG_FIELD_DIGEST, TL_SQL_DIGEST_TEXT_BYTES - 1,
		       tl_bytes(digest, TL_SQL_DIGEST_TEXT_BYTES - 1));
}

// All that is said of a request that runs a statement; `has_text`: its text is shown already.
static void show_statement(struct pg_call *call, const struct pg_statement *s, bool has_text,
			   uint32_t statements)
{
	struct tl_values values;

	tl_values_open(&values, call->ctx, TL_CLIENT);
	tl_values_text(&values, PG_FIELD_COMMAND, PG_COMMAND_BYTES_MAX, tl_pg_command(s->command));
	if (!has_text)
		put_text(call, &values, s);
	if (statements > 1)
		tl_values_uint(&values, PG_FIELD_STATEMENTS, statements);
	put_session(call->pg, &values);
	tl_values_close(&values);
}

// A text as it is shown; `sql` and `masked` hold what `ret` borrows from.
static void read_text(struct pg_call *call, struct tl_bytes text, uint32_t full,
		      struct tl_sql *sql, char masked[PG_SHOWN_BYTES_MAX], struct pg_statement *ret)
{
	bool redact = call->options->mask_literals || tl_redact(call->ctx);
	struct tl_trace trace = {.flags = 0};

	tl_sql_read(call->pg->has_escapes ? TL_SQL_POSTGRESQL_ESCAPES : TL_SQL_POSTGRESQL, text, full,
		    redact ? masked : NULL, redact ? PG_SHOWN_BYTES_MAX : 0, sql);
	*ret = (struct pg_statement) {
		.digest = sql->digest,
		.text = redact ? tl_bytes(masked, sql->text_len) : text,
		.text_full = redact ? sql->text_full : full,
		.summary = tl_sql_summary(sql),
		.command = tl_pg_command_of(tl_sql_verb(sql)),
	};
	if (sql->traceparent.len != 0 && tl_trace_from_traceparent(sql->traceparent, &trace))
		tl_message_trace(call->ctx, TL_CLIENT, &trace);
	if (full <= text.len)
		return;
	tl_count(call->ctx, PG_COUNT_LONG_QUERY);
	tl_message_flag(call->ctx, TL_CLIENT, TL_FLAG_TRUNCATED);
}

// The C string in a body that may be cut.
static struct tl_bytes text_at(const struct pg_message *m, uint32_t at, uint32_t *ret_full)
{
	struct tl_bytes text = tl_bytes_from(m->body, at);
	uint32_t end = tl_bytes_find(text, 0, 0);

	*ret_full = m->full - at;
	if (end == TL_BYTES_NONE)
		return text;
	*ret_full = end;
	return tl_bytes_first(text, end);
}

static void read_query(struct pg_call *call, const struct pg_message *m)
{
	char masked[PG_SHOWN_BYTES_MAX];
	struct pg_statement s;
	struct tl_sql sql;
	uint32_t full;
	struct tl_bytes text = text_at(m, 0, &full);

	finish_parts(call, m->offset);
	tl_pg_client_open(call, false);
	if (enter_group(call, m->offset)) {
		begin_request(call, m->offset);
		read_text(call, text, full, &sql, masked, &s);
		show_statement(call, &s, false, sql.statements);
		tl_message_end(call->ctx, TL_CLIENT, m->end);
		tl_pg_client_queue(call, PG_KIND_QUERY, true);
	}
	leave_group(call->pg);
}

static void read_function(struct pg_call *call, const struct pg_message *m)
{
	finish_parts(call, m->offset);
	tl_pg_client_open(call, false);
	if (enter_group(call, m->offset)) {
		begin_request(call, m->offset);
		tl_message_text(call->ctx, TL_CLIENT, PG_FIELD_COMMAND,
				tl_pg_command(PG_COMMAND_FUNCTION));
		tl_pg_client_session(call);
		tl_message_end(call->ctx, TL_CLIENT, m->end);
		tl_pg_client_queue(call, PG_KIND_FUNCTION, true);
	}
	leave_group(call->pg);
}

// ---- Parts of the extended protocol -----------------------------------------------------------

static void show_name(struct pg_call *call, enum pg_field field, struct tl_bytes name)
{
	if (name.len != 0)
		tl_message_text(call->ctx, TL_CLIENT, (uint8_t)field, name);
}

static void read_parse(struct pg_call *call, const struct pg_message *m)
{
	struct pg_client *me = &call->pg->client;
	struct tl_cursor c = tl_cursor(m->body);
	struct tl_bytes name = pg_string(&c);
	char masked[PG_SHOWN_BYTES_MAX];
	struct pg_statement s;
	struct tl_sql sql;
	uint32_t full;

	if (!enter_request(call, m) || c.failed)
		return;
	struct tl_bytes text = text_at(m, c.at, &full);
	uint32_t id = tl_pg_name_id(name);
	read_text(call, text, full, &sql, masked, &s);
	if ((me->parts & PG_PART_PARSE) == 0) {
		// The command waits: without an Execute it is PREPARE.
		struct tl_values values;
		show_name(call, PG_FIELD_STATEMENT, name);
		tl_values_open(&values, call->ctx, TL_CLIENT);
		put_text(call, &values, &s);
		tl_values_close(&values);
		me->parsed = id;
		me->has_text = true;
	}
	me->parts |= PG_PART_PARSE;
	for (uint32_t n = tl_pg_statement_put(call->statements, id, &s); n != 0; n--)
		tl_count(call->ctx, PG_COUNT_STATEMENTS_EVICTED);
}

static void read_bind(struct pg_call *call, const struct pg_message *m)
{
	struct pg_client *me = &call->pg->client;
	struct tl_cursor c = tl_cursor(m->body);
	struct tl_bytes portal = pg_string(&c);
	struct tl_bytes statement = pg_string(&c);

	if (!enter_request(call, m) || c.failed)
		return;
	if ((me->parts & (PG_PART_BIND | PG_PART_PARSE)) == 0)
		show_name(call, PG_FIELD_STATEMENT, statement);
	if ((me->parts & PG_PART_BIND) == 0)
		show_name(call, PG_FIELD_PORTAL, portal);
	me->parts |= PG_PART_BIND;
	me->bound = tl_pg_name_id(statement);
	me->portal = tl_pg_name_id(portal);
	if (!tl_pg_portal_put(call->statements, me->portal, me->bound))
		tl_count(call->ctx, PG_COUNT_PORTALS_EVICTED);
}

static void read_describe(struct pg_call *call, const struct pg_message *m)
{
	struct pg_client *me = &call->pg->client;
	struct tl_cursor c = tl_cursor(m->body);
	uint8_t what = tl_cursor_u8(&c);
	struct tl_bytes name = pg_string(&c);

	if (!enter_request(call, m) || c.failed)
		return;
	if ((me->parts & (PG_PART_BIND | PG_PART_PARSE | PG_PART_DESCRIBE)) == 0)
		show_name(call, what == 'S' ? PG_FIELD_STATEMENT : PG_FIELD_PORTAL, name);
	me->parts |= PG_PART_DESCRIBE;
}

static void read_close(struct pg_call *call, const struct pg_message *m)
{
	struct pg_client *me = &call->pg->client;
	struct tl_cursor c = tl_cursor(m->body);
	uint8_t what = tl_cursor_u8(&c);
	struct tl_bytes name = pg_string(&c);

	if (!enter_request(call, m) || c.failed)
		return;
	me->parts |= PG_PART_CLOSE;
	if (what == 'S')
		tl_pg_statement_drop(call->statements, tl_pg_name_id(name));
	else
		tl_pg_portal_drop(call->statements, tl_pg_name_id(name));
}

// Shows what an Execute runs, unless the record shows the right text already.
static void show_executed(struct pg_call *call, bool is_known, uint32_t statement)
{
	struct pg_client *me = &call->pg->client;
	struct pg_statement s;

	is_known = is_known && tl_pg_statement_get(call->statements, statement, &s);
	if (me->has_text && !(is_known && me->parsed == statement) && !me->opened_early) {
		// One was parsed and another one is run: forget the text shown so far.
		begin_parts(call);
		me->has_text = false;
	}
	if (!is_known) {
		tl_count(call->ctx, PG_COUNT_STATEMENTS_UNKNOWN);
		tl_message_text(call->ctx, TL_CLIENT, PG_FIELD_COMMAND,
				tl_pg_command(PG_COMMAND_EXECUTE));
		// Its Parse was not seen, or had to go for others.
		bool was_lost = tl_is_late_join(call->ctx) || call->pg->has_lost;
		tl_message_flag(call->ctx, TL_CLIENT, was_lost ? TL_FLAG_GAP : TL_FLAG_TRUNCATED);
		tl_pg_client_session(call);
		return;
	}
	show_statement(call, &s, me->has_text, 1);
}

static void read_execute(struct pg_call *call, const struct pg_message *m)
{
	struct pg_client *me = &call->pg->client;
	struct tl_cursor c = tl_cursor(m->body);
	struct tl_bytes name = pg_string(&c);
	uint32_t statement = PG_UNNAMED;

	if (!enter_request(call, m))
		return;
	uint32_t portal = tl_pg_name_id(name);
	if (me->parts == 0)
		show_name(call, PG_FIELD_PORTAL, name);
	bool is_known = !c.failed &&
			tl_pg_portal_get(call->statements, portal, &statement);
	show_executed(call, is_known, statement);
	tl_message_end(call->ctx, TL_CLIENT, m->end);
	me->making = PG_MAKING_DONE;
}

static void read_sync(struct pg_call *call, const struct pg_message *m)
{
	struct pg *pg = call->pg;

	finish_parts(call, m->offset);
	tl_pg_client_open(call, true);
	(void)enter_group(call, m->offset);
	leave_group(pg);
	pg->client.syncs = (uint8_t)(pg->client.syncs + (pg->client.syncs != UINT8_MAX));
}

// A COPY from the client in the extended protocol swallows the Syncs in front of its data.
static void end_copy(struct pg *pg)
{
	if (pg->client.syncs == 0 || pg->client.in_group)
		return;
	pg->client.group -= pg->client.syncs;
	pg->client.syncs = 0;
	pg->client.in_group = true;
	pg->client.is_muted = pg->is_blind;
}

void tl_pg_client_message(struct pg_call *call, const struct pg_message *m)
{
	switch (m->type) {
	case 'Q':
		read_query(call, m);
		break;
	case 'P':
		read_parse(call, m);
		break;
	case 'B':
		read_bind(call, m);
		break;
	case 'D':
		read_describe(call, m);
		break;
	case 'C':
		read_close(call, m);
		break;
	case 'E':
		read_execute(call, m);
		break;
	case 'S':
		read_sync(call, m);
		break;
	case 'F':
		read_function(call, m);
		break;
	case 'H':
		// The server answers what is complete; more of the group may follow.
		if (call->pg->client.making == PG_MAKING_DONE)
			tl_pg_client_open(call, false);
		break;
	case 'd':
		call->pg->client.copied += m->full;
		break;
	case 'c':
	case 'f':
		end_copy(call->pg);
		break;
	default: // passwords and tokens are not looked at, Terminate says nothing
		break;
	}
}

void tl_pg_client_end(struct pg_call *call, uint64_t offset)
{
	finish_parts(call, offset);
	tl_pg_client_open(call, false);
}
