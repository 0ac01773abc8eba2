// SPDX-License-Identifier: Apache-2.0
// What the server sends: answers in the order of the requests, a ReadyForQuery behind each group,
// and notices, parameters and notifications anywhere between.
#include "protocols/postgresql/state.h"

#define MECHANISMS_MAX 16u

enum { AUTH_OK, AUTH_KERBEROS = 2, AUTH_PASSWORD, AUTH_MD5 = 5, AUTH_SCM, AUTH_GSS, AUTH_GSS_NEXT,
       AUTH_SSPI, AUTH_SASL };

// ---- Answers ----------------------------------------------------------------------------------

// The oldest request, if it belongs to the group that the server is at.
static struct pg_memo *memo_in_group(struct pg_call *call, uint64_t *ret_key)
{
	struct pg_memo *memo = tl_pending_oldest(call->ctx, TL_CLIENT, ret_key);

	return memo != NULL && memo->group == call->pg->server.group ? memo : NULL;
}

// The request that is answered while the client is still making it, queued for that.
static struct pg_memo *open_early(struct pg_call *call, uint64_t *ret_key)
{
	struct pg_client *client = &call->pg->client;

	if (client->making == PG_MAKING_NONE || client->group != call->pg->server.group ||
	    client->opened_early || call->pg->is_blind)
		return NULL;
	if (client->making == PG_MAKING_DONE) {
		tl_pg_client_open(call, false);
	} else {
		tl_pg_client_queue(call, PG_KIND_EXECUTE, false);
		client->opened_early = true;
	}
	return memo_in_group(call, ret_key);
}

// Messages of the extended protocol can't answer a query: then the answer is another one's.
static bool is_misaligned(uint8_t kind, uint8_t type)
{
	bool is_extended = strchr("123nst", type) != NULL;

	if (kind == PG_KIND_STARTUP)
		return type != 'R' && type != 'K' && type != 'E' && type != 'Z';
	if (kind == PG_KIND_FUNCTION)
		return type != 'V' && type != 'E';
	return type == 'R' || type == 'K' || type == 'V' || (kind == PG_KIND_QUERY && is_extended);
}

// Begins the answer that `m` is the first message of. False: it is nobody's.
static bool answer(struct pg_call *call, const struct pg_message *m)
{
	struct pg_server *me = &call->pg->server;
	uint64_t key = 0;

	if (me->is_answering || call->pg->is_blind)
		return me->is_answering;
	struct pg_memo *memo = memo_in_group(call, &key);
	if (memo == NULL)
		memo = open_early(call, &key);
	if (memo == NULL) {
		// Behind CopyBothResponse the end of the stream is told once more.
		if (!me->in_replication)
			tl_count(call->ctx, PG_COUNT_STRAY_ANSWERS);
		return false;
	}
	if (is_misaligned(memo->kind, m->type)) {
		tl_count(call->ctx, PG_COUNT_MISALIGNED);
		tl_pg_lose_track(call);
		return false;
	}
	me->rows = me->returned = me->copied = 0;
	me->statements = 0;
	me->status = TL_STATUS_OK;
	me->kind = memo->kind;
	me->is_last = memo->is_last != 0;
	me->is_suspended = me->is_copy_in = me->has_auth = false;
	me->is_answering = true;
	tl_message_begin(call->ctx, TL_SERVER, m->offset);
	return true;
}

// `state`: what ReadyForQuery says, NULL if it doesn't end the answer.
static void show_result(struct pg_call *call, const char *state)
{
	struct pg_server *me = &call->pg->server;
	uint64_t copied = me->is_copy_in ? call->pg->client.copied : me->copied;
	struct tl_values values;

	tl_values_open(&values, call->ctx, TL_SERVER);
	if (state != NULL)
		tl_values_text(&values, PG_FIELD_STATE, PG_STATE_BYTES_MAX, tl_bytes_of(state));
	if (me->statements > 1)
		tl_values_uint(&values, PG_FIELD_STATEMENTS, me->statements);
	if (me->statements != 0)
		tl_values_uint(&values, PG_FIELD_AFFECTED_ROWS, me->rows);
	if (me->returned != 0)
		tl_values_uint(&values, PG_FIELD_RETURNED_ROWS, me->returned);
	// How much of a refused COPY was under way depends on when the refusal was seen.
	if (copied != 0 && me->status == TL_STATUS_OK)
		tl_values_uint(&values, PG_FIELD_COPY_BYTES, copied);
	if (me->is_suspended)
		tl_values_uint(&values, PG_FIELD_SUSPENDED, 1);
	if (me->notices != 0)
		tl_values_uint(&values, PG_FIELD_NOTICES, me->notices);
	tl_values_close(&values);
}

// The answer is complete at `end`.
static void finish(struct pg_call *call, uint64_t end, const char *state)
{
	struct pg_server *me = &call->pg->server;
	struct pg_client *client = &call->pg->client;
	struct tl_ctx *ctx = call->ctx;
	uint64_t key = 0;

	me->is_answering = false;
	if (tl_pending_oldest(ctx, TL_CLIENT, &key) == NULL)
		return;
	show_result(call, state);
	me->notices = 0;
	if (client->opened_early && key == client->key) {
		// Refused before the request was complete: the rest of it will be skipped.
		tl_pg_client_name_parts(call);
		client->making = PG_MAKING_NONE;
		client->opened_early = false;
	}
	tl_message_end(ctx, TL_SERVER, end);
	tl_close(ctx, TL_SERVER, key, (enum tl_status)me->status, TL_REASON_NONE);
}

// A statement is complete: so is the answer, if it is not the group's last.
static void finish_statement(struct pg_call *call, const struct pg_message *m)
{
	const struct pg_server *me = &call->pg->server;

	if (me->kind == PG_KIND_EXECUTE && !me->is_last)
		finish(call, m->end, NULL);
}

// ---- Messages ---------------------------------------------------------------------------------

static void read_complete(struct pg_call *call, const struct pg_message *m)
{
	struct pg_server *me = &call->pg->server;
	struct tl_cursor c = tl_cursor(m->body);
	struct tl_bytes tag = pg_string(&c);

	if (!answer(call, m))
		return;
	if (m->type == 'C') {
		if (me->statements == 0)
			tl_message_text(call->ctx, TL_SERVER, PG_FIELD_TAG, tl_pg_tag_words(tag));
		me->statements++;
		me->rows += tl_pg_tag_rows(tag);
	}
	me->is_suspended = m->type == 's';
	finish_statement(call, m);
}

struct error {
	struct tl_bytes severity, sqlstate;
	bool is_fatal;
};

static struct error read_fields(struct pg_call *call, struct tl_bytes body)
{
	struct tl_cursor c = tl_cursor(body);
	struct tl_ctx *ctx = call->ctx;
	struct error error = {.is_fatal = false};
	bool is_plain = false;

	for (uint32_t i = 0; i < 64 && tl_cursor_left(&c) != 0; i++) {
		uint8_t code = tl_cursor_u8(&c);
		struct tl_bytes text = pg_string(&c);
		if (code == 0 || c.failed)
			break;
		const char *word = tl_pg_error_word(code);
		if (code == 'V' || (code == 'S' && !is_plain)) {
			// 'S' may be translated, 'V' (since 9.6) is not.
			is_plain = is_plain || code == 'V';
			error.severity = text;
		} else if (code == 'C') {
			error.sqlstate = text;
		} else if (code == 'M') {
			tl_message_text(ctx, TL_SERVER, PG_FIELD_MESSAGE, text);
		} else if (word != NULL && !(tl_redact(ctx) && tl_pg_error_is_sensitive(code))) {
			tl_message_pair(ctx, TL_SERVER, PG_FIELD_ERROR, tl_bytes_of(word), text);
		}
	}
	tl_message_text(ctx, TL_SERVER, PG_FIELD_SEVERITY, error.severity);
	tl_message_text(ctx, TL_SERVER, PG_FIELD_SQLSTATE, error.sqlstate);
	error.is_fatal = tl_bytes_is(error.severity, "FATAL") || tl_bytes_is(error.severity, "PANIC");
	return error;
}

static void read_error(struct pg_call *call, const struct pg_message *m)
{
	struct pg_server *me = &call->pg->server;

	if (call->pg->is_blind)
		return;
	if (!answer(call, m)) {
		if (call->pg->is_blind)
			return;
		// The server gives up a connection on which nothing was asked, ends a replication, or
		// fails at a Sync.
		tl_message_begin(call->ctx, TL_SERVER, m->offset);
		struct error error = read_fields(call, m->body);
		// Only on an idle connection it is sure to answer nothing that was not seen.
		if (!me->in_replication && (!call->pg->is_ready || !error.is_fatal))
			tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_GAP);
		tl_message_end(call->ctx, TL_SERVER, m->end);
		tl_orphan(call->ctx, TL_SERVER, TL_REASON_NONE);
		return;
	}
	struct error error = read_fields(call, m->body);
	me->status = (uint8_t)tl_pg_status(error.sqlstate);
	me->has_failed = true;
	if (error.is_fatal)
		finish(call, m->end, NULL);
	else
		finish_statement(call, m);
}

static const char *auth_word(uint32_t code)
{
	switch (code) {
	case AUTH_OK:
		return "trust";
	case AUTH_KERBEROS:
		return "kerberos";
	case AUTH_PASSWORD:
		return "password";
	case AUTH_MD5:
		return "md5";
	case AUTH_SCM:
		return "scm";
	case AUTH_GSS:
		return "gss";
	case AUTH_SSPI:
		return "sspi";
	default:
		return "sasl";
	}
}

static void read_authentication(struct pg_call *call, const struct pg_message *m)
{
	struct pg_server *me = &call->pg->server;

	if (!answer(call, m) || m->body.len < 4 || me->has_auth)
		return;
	uint32_t code = tl_load_be32(m->body.ptr);
	me->has_auth = true;
	struct tl_bytes word = tl_bytes_of(auth_word(code));
	struct tl_cursor c = tl_cursor(tl_bytes_from(m->body, 4));
	for (uint32_t i = 0; code == AUTH_SASL && i < MECHANISMS_MAX; i++) {
		struct tl_bytes name = pg_string(&c);
		if (c.failed || name.len == 0)
			break;
		// With channel binding or without is the client's choice and not told here.
		if (tl_bytes_starts(name, "SCRAM-SHA-256"))
			word = tl_bytes_of("scram-sha-256");
		else if (tl_bytes_is(name, "OAUTHBEARER"))
			word = tl_bytes_of("oauthbearer");
	}
	tl_message_text(call->ctx, TL_SERVER, PG_FIELD_AUTH, word);
}

// The server tells some settings at start-up, and again whenever they change.
static void read_parameter(struct pg_call *call, const struct pg_message *m)
{
	const struct pg_server *me = &call->pg->server;
	struct tl_cursor c = tl_cursor(m->body);
	struct tl_bytes name = pg_string(&c);
	struct tl_bytes value = pg_string(&c);

	if (c.failed)
		return;
	if (tl_bytes_is(name, "application_name"))
		tl_pg_set_application(call->pg, value);
	else if (tl_bytes_is(name, "standard_conforming_strings"))
		call->pg->has_escapes = tl_bytes_is(value, "off");
	else if (me->is_answering && me->kind == PG_KIND_STARTUP &&
		 tl_bytes_is(name, "server_version"))
		tl_message_text(call->ctx, TL_SERVER, PG_FIELD_SERVER_VERSION, value);
}

// Notices come at any time; what they say belongs to whatever is being answered then.
static void read_notice(struct pg_call *call)
{
	struct pg_server *me = &call->pg->server;
	bool is_asked = call->pg->client.making != PG_MAKING_NONE ||
			tl_pending_count(call->ctx, TL_CLIENT) != 0;

	if (is_asked && !call->pg->is_blind)
		me->notices = (uint16_t)(me->notices + (me->notices != UINT16_MAX));
}

static void read_notification(struct pg_call *call, const struct pg_message *m)
{
	struct pg_server *me = &call->pg->server;
	struct tl_cursor c = tl_cursor(m->body);
	struct tl_ctx *ctx = call->ctx;

	uint32_t pid = tl_cursor_be32(&c);
	struct tl_bytes channel = pg_string(&c);
	struct tl_bytes payload = pg_string(&c);
	if (me->is_answering) {
		// The server sends these when it has done with the query, in front of ReadyForQuery.
		if (me->statements == 0 && me->status == TL_STATUS_OK) {
			tl_count(ctx, PG_COUNT_HIDDEN_NOTIFICATIONS);
			return;
		}
		finish(call, m->offset, NULL);
	}
	tl_message_begin(ctx, TL_SERVER, m->offset);
	tl_message_text(ctx, TL_SERVER, PG_FIELD_COMMAND, tl_pg_command(PG_COMMAND_NOTIFY));
	tl_message_uint(ctx, TL_SERVER, PG_FIELD_BACKEND_PID, pid);
	tl_message_text(ctx, TL_SERVER, PG_FIELD_CHANNEL, channel);
	if (payload.len != 0 && !tl_redact(ctx))
		tl_message_text(ctx, TL_SERVER, PG_FIELD_PAYLOAD, payload);
	tl_message_end(ctx, TL_SERVER, m->end);
	tl_one_way(ctx, TL_SERVER);
}

// What is left of the group was skipped by the server behind an error.
static void skip_rest(struct pg_call *call, const struct pg_message *m)
{
	uint64_t key = 0;

	// The record of the error comes first, wherever the bytes were cut.
	if (call->pg->server.has_failed && memo_in_group(call, &key) != NULL)
		tl_message_begin(call->ctx, TL_SERVER, m->offset);

	for (uint32_t i = 0; i < TL_PENDING_MAX && memo_in_group(call, &key) != NULL; i++) {
		if (!call->pg->server.has_failed) {
			tl_count(call->ctx, PG_COUNT_MISALIGNED);
			tl_pg_lose_track(call);
			return;
		}
		tl_cancel(call->ctx, TL_CLIENT, key, TL_STATUS_CANCELLED, TL_REASON_SKIPPED);
	}
}

static void settle_doubt(struct pg_call *call)
{
	struct pg *pg = call->pg;

	// Who pipelines may look in step while it is not.
	if (pg->doubt != 0 && !pg->pipelines && tl_pending_count(call->ctx, TL_CLIENT) == 0)
		pg->doubt--;
}

static void read_ready(struct pg_call *call, const struct pg_message *m)
{
	struct pg_server *me = &call->pg->server;
	struct pg *pg = call->pg;
	const char *state = tl_pg_state_word(m->body.len != 0 ? m->body.ptr[0] : 0);

	if (pg->is_blind) {
		pg->owed = (uint16_t)(pg->owed - (pg->owed != 0));
		pg->is_ready = true;
		return;
	}
	if (me->is_answering && (me->kind != PG_KIND_EXECUTE || me->is_last)) {
		finish(call, m->end, state);
	} else if (me->is_answering) {
		tl_count(call->ctx, PG_COUNT_MISALIGNED);
		tl_pg_lose_track(call);
		return;
	}
	skip_rest(call, m);
	if (pg->is_blind)
		return;
	if (me->group != pg->client.group)
		me->group++;
	settle_doubt(call);
	me->has_failed = me->in_replication = false;
	pg->is_ready = tl_pending_count(call->ctx, TL_CLIENT) == 0;
	pg->is_settled = true;
}

static void read_copy_start(struct pg_call *call, const struct pg_message *m)
{
	struct pg_server *me = &call->pg->server;

	if (!answer(call, m))
		return;
	me->is_copy_in = m->type == 'G';
	if (m->type == 'W') {
		me->in_replication = true;
		finish(call, m->end, NULL);
	}
}

static void read_data(struct pg_call *call, const struct pg_message *m)
{
	struct pg_server *me = &call->pg->server;

	if (m->type == 'd' && me->in_replication) {
		tl_count(call->ctx, PG_COUNT_REPLICATION_MESSAGES);
		return;
	}
	if (!answer(call, m))
		return;
	tl_message_body(call->ctx, TL_SERVER, m->full);
	if (m->type == 'D')
		me->returned++;
	else
		me->copied += m->full;
}

void tl_pg_server_message(struct pg_call *call, const struct pg_message *m)
{
	switch (m->type) {
	case 'D':
	case 'd':
		read_data(call, m);
		break;
	case 'C':
	case 'I':
	case 's':
		read_complete(call, m);
		break;
	case 'Z':
		read_ready(call, m);
		break;
	case 'E':
		read_error(call, m);
		break;
	case 'N':
		read_notice(call);
		break;
	case 'A':
		read_notification(call, m);
		break;
	case 'S':
		read_parameter(call, m);
		break;
	case 'R':
		read_authentication(call, m);
		break;
	case 'K':
		if (answer(call, m) && m->body.len >= 4)
			tl_message_uint(call->ctx, TL_SERVER, PG_FIELD_BACKEND_PID,
					tl_load_be32(m->body.ptr));
		break;
	case 'G':
	case 'H':
	case 'W':
		read_copy_start(call, m);
		break;
	case 'v': // another minor version is offered
	case 'c': // the data of a COPY end: CommandComplete follows
		break;
	default: // '1' '2' '3' 'n' 't' 'T' 'V'
		(void)answer(call, m);
		break;
	}
}

void tl_pg_server_end(struct pg_call *call, uint64_t offset)
{
	const struct pg_server *me = &call->pg->server;

	if (!me->is_answering || (me->statements == 0 && me->status == TL_STATUS_OK))
		return;
	// What came says how it went, only the ReadyForQuery is missing.
	tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_TRUNCATED);
	finish(call, offset, NULL);
}
