// SPDX-License-Identifier: Apache-2.0
// The server lane: greeting, answers and their results. Rows are counted by their packets' heads.
#include "state.h"

#define EOF_BYTES 5u // an EOF packet: mark, warnings, status
#define OK_BYTES_MIN 7u
#define MARK_OK 0x00
#define MARK_INFILE 0xfb
#define MARK_EOF 0xfe
#define MARK_ERR 0xff
#define PROGRESS_CODE 0xffff

static struct tl_step skip_packet(const struct mysql_call *call)
{
	return tl_skip((uint64_t)MYSQL_HEAD_BYTES + call->len);
}

static void show(struct mysql_call *call, uint8_t field, uint64_t value)
{
	tl_message_uint(call->ctx, call->lane, field, value);
}

// ---- What ends an answer ----------------------------------------------------------------------

struct ending {
	uint64_t affected;
	uint64_t last_insert_id;
	uint32_t status; // enum mysql_server_status
	uint32_t warnings;
	bool is_eof;     // an EOF packet: it has no counts
};

// A change of the schema among the session's changes.
static void read_changes(struct mysql_call *call, struct tl_cursor *c)
{
	(void)tl_cursor_take(c, tl_mysql_lenenc(c)); // message for people
	uint64_t len = tl_mysql_lenenc(c);
	struct tl_cursor changes = tl_cursor(tl_cursor_take(c, len));

	for (uint32_t i = 0; i < MYSQL_CHANGES_MAX && tl_cursor_left(&changes) != 0; i++) {
		uint8_t type = tl_cursor_u8(&changes);
		struct tl_cursor change =
			tl_cursor(tl_cursor_take(&changes, tl_mysql_lenenc(&changes)));
		if (type != 1)
			continue;
		struct tl_bytes schema = tl_cursor_take(&change, tl_mysql_lenenc(&change));
		if (!change.failed)
			tl_mysql_name_set(&call->my->schema, schema);
	}
}

static void note_status(struct mysql *my, const struct ending *ending)
{
	my->has_no_escapes = (ending->status & MYSQL_STATUS_NO_BACKSLASH_ESCAPES) != 0;
}

static bool read_ending(struct mysql_call *call, struct ending *ret)
{
	struct tl_cursor c = tl_cursor(call->payload);

	memset(ret, 0, sizeof(*ret));
	uint8_t mark = tl_cursor_u8(&c);
	if (mark == MARK_EOF && call->len < OK_BYTES_MIN) {
		ret->is_eof = true;
		if (call->len < EOF_BYTES) // before 4.1
			return call->len == 1;
		ret->warnings = tl_cursor_le16(&c);
		ret->status = tl_cursor_le16(&c);
		note_status(call->my, ret);
		return !c.failed;
	}
	ret->affected = tl_mysql_lenenc(&c);
	ret->last_insert_id = tl_mysql_lenenc(&c);
	ret->status = tl_cursor_le16(&c);
	ret->warnings = tl_cursor_le16(&c);
	if (c.failed)
		return false;
	note_status(call->my, ret);
	bool has_changes = (call->my->capabilities & MYSQL_CAP_SESSION_TRACK) != 0 &&
			   call->my->has_login && (ret->status & MYSQL_STATUS_SESSION_CHANGED) != 0;
	if (has_changes)
		read_changes(call, &c);
	return true;
}

static void show_result(struct mysql_call *call)
{
	const struct mysql_result *r = &call->my->result;
	struct tl_values values;

	tl_values_open(&values, call->ctx, call->lane);
	if (r->has_ok)
		tl_values_uint(&values, MYSQL_FIELD_AFFECTED_ROWS, r->affected);
	if (r->last_insert_id != 0)
		tl_values_uint(&values, MYSQL_FIELD_LAST_INSERT_ID, r->last_insert_id);
	if (r->warnings != 0)
		tl_values_uint(&values, MYSQL_FIELD_WARNINGS, r->warnings);
	if (r->sets != 0)
		tl_values_uint(&values, MYSQL_FIELD_RETURNED_ROWS, r->rows);
	if (r->columns != 0)
		tl_values_uint(&values, MYSQL_FIELD_COLUMNS, r->columns);
	if (r->sets > 1)
		tl_values_uint(&values, MYSQL_FIELD_RESULT_SETS, r->sets);
	tl_values_close(&values);
}

static void reset_answer(struct mysql *my)
{
	memset(&my->result, 0, sizeof(my->result));
	my->phase = MYSQL_PHASE_FIRST;
	my->is_answering = false;
	my->any_sequence = false;
	my->in_infile = false;
}

// The open message answers the oldest request and is over.
static void close_answer(struct mysql_call *call, enum tl_status status)
{
	struct mysql *my = call->my;
	uint64_t key = 0;

	show_result(call);
	(void)tl_pending_oldest(call->ctx, TL_CLIENT, &key);
	if (tl_mysql_is_unsure(call))
		tl_message_flag(call->ctx, call->lane, TL_FLAG_GAP);
	tl_close(call->ctx, call->lane, key, status, TL_REASON_NONE);
	tl_message_end(call->ctx, call->lane, call->end);
	my->outstanding = (uint16_t)tl_pending_count(call->ctx, TL_CLIENT);
	my->has_answered = true;
	if (my->outstanding == 0)
		my->is_doubtful = false;
	reset_answer(my);
}

static void begin_answer(struct mysql_call *call)
{
	if (call->my->is_answering)
		return;
	tl_message_begin(call->ctx, call->lane, call->begin);
	call->my->is_answering = true;
}

// Quoted parts of a message, masked. Returns its length.
static uint32_t mask_quotes(struct tl_bytes message, char *ret, uint32_t size)
{
	uint32_t len = 0;
	bool in_quotes = false;

	for (uint32_t i = 0; i < message.len && len + 1 < size; i++) {
		uint8_t c = message.ptr[i];
		// A value may hold quotes: the last one before a blank ends it.
		bool ends = c == '\'' && in_quotes &&
			    (i + 1 == message.len || message.ptr[i + 1] == ' ');
		if (ends || (c == '\'' && !in_quotes)) {
			ret[len++] = '\'';
			in_quotes = !in_quotes;
			if (in_quotes)
				ret[len++] = '?';
		} else if (!in_quotes) {
			ret[len++] = (char)c;
		}
	}
	return len;
}

static enum tl_status show_error(struct mysql_call *call)
{
	struct tl_cursor c = tl_cursor(tl_bytes_from(call->payload, 1));
	uint32_t code = tl_cursor_le16(&c);
	struct tl_bytes message = tl_bytes_from(c.bytes, c.at);
	const uint8_t *sqlstate = NULL;
	char masked[512];

	show(call, MYSQL_FIELD_ERROR_CODE, code);
	if (message.len >= 6 && message.ptr[0] == '#') {
		sqlstate = message.ptr + 1;
		tl_message_text(call->ctx, call->lane, MYSQL_FIELD_SQLSTATE, tl_bytes(sqlstate, 5));
		message = tl_bytes_from(message, 6);
	}
	if (tl_mysql_error_quotes_values(code) &&
	    (tl_mysql_options(call)->mask_literals || tl_redact(call->ctx)))
		message = tl_bytes(masked, mask_quotes(message, masked, sizeof(masked)));
	tl_message_text(call->ctx, call->lane, MYSQL_FIELD_ERROR_MESSAGE, message);
	return tl_mysql_error_status(code, sqlstate);
}

static struct mysql_memo *pending(struct mysql_call *call)
{
	return tl_pending_oldest(call->ctx, TL_CLIENT, NULL);
}

// An ERR in the place of anything else.
static void read_error(struct mysql_call *call)
{
	struct mysql *my = call->my;
	const struct mysql_memo *memo = pending(call);

	if (memo != NULL && memo->command == MYSQL_STMT_PREPARE && my->has_statements)
		tl_mysql_statement_forget(tl_room(call->ctx), memo->key);
	if (memo != NULL && memo->command == MYSQL_LOGIN)
		show(call, MYSQL_FIELD_THREAD_ID, my->thread_id);
	close_answer(call, show_error(call));
}

// Nothing of the answer can be believed.
static void misaligned(struct mysql_call *call)
{
	tl_count(call->ctx, MYSQL_COUNT_MISALIGNED);
	tl_message_flag(call->ctx, call->lane, TL_FLAG_GAP);
	close_answer(call, TL_STATUS_UNANSWERED);
}

// A result is over: the answer too, unless more are announced.
static void end_result(struct mysql_call *call, const struct ending *ending)
{
	struct mysql *my = call->my;

	my->result.warnings += ending->warnings;
	if (ending->last_insert_id != 0)
		my->result.last_insert_id = ending->last_insert_id;
	if ((ending->status & MYSQL_STATUS_MORE_RESULTS) != 0) {
		my->phase = MYSQL_PHASE_FIRST;
		return;
	}
	close_answer(call, TL_STATUS_OK);
}

static void take_ok(struct mysql_call *call)
{
	struct mysql *my = call->my;
	struct ending ending;

	if (!read_ending(call, &ending)) {
		misaligned(call);
		return;
	}
	const struct mysql_memo *memo = pending(call);
	if (memo != NULL && memo->sets_schema != 0)
		my->schema = my->next_schema;
	if (memo != NULL && memo->command == MYSQL_RESET_CONNECTION)
		tl_mysql_forget_statements(call);
	if (!ending.is_eof) {
		my->result.has_ok = true;
		my->result.affected += ending.affected;
	}
	end_result(call, &ending);
}

// ---- Connection phase -------------------------------------------------------------------------

static void finish_login(struct mysql_call *call, bool is_login)
{
	struct mysql *my = call->my;
	struct ending ending;

	if (is_login) {
		show(call, MYSQL_FIELD_THREAD_ID, my->thread_id);
		if (my->version.len != 0)
			tl_message_text(call->ctx, call->lane, MYSQL_FIELD_SERVER_VERSION,
					tl_mysql_name_bytes(&my->version));
		my->version.len = 0;
	} else {
		my->schema = my->next_schema;
	}
	// All that is shown of the session is known again.
	my->is_stale = false;
	(void)read_ending(call, &ending);
	my->result.warnings = ending.warnings;
	close_answer(call, TL_STATUS_OK);
}

static void read_auth(struct mysql_call *call, bool is_login)
{
	begin_answer(call);
	if (call->payload.ptr[0] == MARK_OK) {
		finish_login(call, is_login);
		return;
	}
	// Switch of the method, more data, a further factor: one more round.
	tl_message_end(call->ctx, call->lane, call->end);
	tl_part(call->ctx, call->lane, call->my->next_key);
	call->my->is_answering = false;
	call->my->any_sequence = true;
}

// A server that refuses a client at once sends ERR instead of its greeting.
static void refuse(struct mysql_call *call)
{
	uint64_t key = call->my->next_key++;

	tl_message_begin(call->ctx, call->lane, call->begin);
	tl_message_text(call->ctx, call->lane, MYSQL_FIELD_COMMAND, tl_bytes_of("LOGIN"));
	tl_message_flag(call->ctx, call->lane, TL_FLAG_FROM_SERVER);
	(void)show_error(call);
	tl_open(call->ctx, call->lane, key, NULL);
	tl_message_end(call->ctx, call->lane, call->end);
	tl_cancel(call->ctx, call->lane, key, TL_STATUS_SERVER_ERROR, TL_REASON_NONE);
}

// A packet that no request asked for.
static void read_stray(struct mysql_call *call)
{
	uint8_t mark = call->payload.len == 0 ? MARK_OK : call->payload.ptr[0];
	bool is_error = mark == MARK_ERR && call->len >= 3;
	struct mysql *my = call->my;

	if (my->next_key == 0 && !my->is_greeted && call->sequence == 0 &&
	    tl_mysql_is_greeting(call->payload)) {
		tl_mysql_read_greeting(call);
	} else if (is_error && my->next_key == 0 && !my->is_greeted && !tl_is_late_join(call->ctx)) {
		refuse(call);
	} else if (is_error) {
		tl_message_begin(call->ctx, call->lane, call->begin);
		(void)show_error(call);
		if (tl_mysql_is_unsure(call))
			tl_message_flag(call->ctx, call->lane, TL_FLAG_GAP);
		tl_orphan(call->ctx, call->lane, TL_REASON_NONE);
		tl_message_end(call->ctx, call->lane, call->end);
	} else {
		tl_count(call->ctx, MYSQL_COUNT_STRAY_PACKETS);
	}
}

// ---- First packets of answers -----------------------------------------------------------------

static void read_prepared(struct mysql_call *call, uint32_t key)
{
	struct mysql *my = call->my;
	struct tl_cursor c = tl_cursor(call->payload);

	(void)tl_cursor_u8(&c);
	uint32_t id = tl_cursor_le32(&c);
	uint32_t columns = tl_cursor_le16(&c);
	uint32_t parameters = tl_cursor_le16(&c);
	(void)tl_cursor_u8(&c);
	my->result.warnings = tl_cursor_le16(&c);
	if (c.failed) {
		misaligned(call);
		return;
	}
	bool has_metadata = true;
	if ((my->capabilities & MYSQL_CAP_OPTIONAL_METADATA) != 0 && my->has_login && call->len > 12)
		has_metadata = tl_cursor_u8(&c) != 0;
	if (my->has_statements)
		tl_mysql_statement_name(tl_room(call->ctx), key, id);
	show(call, MYSQL_FIELD_STATEMENT_ID, id);
	my->result.columns = columns;
	my->prepared_columns = (uint16_t)(has_metadata ? columns : 0);
	if (has_metadata && parameters != 0) {
		my->left = parameters;
		my->phase = MYSQL_PHASE_PARAMETERS;
	} else if (has_metadata && columns != 0) {
		my->left = columns;
		my->phase = MYSQL_PHASE_PREPARED_COLUMNS;
	} else {
		close_answer(call, TL_STATUS_OK);
	}
}

static void read_column_count(struct mysql_call *call)
{
	struct mysql *my = call->my;
	struct tl_cursor c = tl_cursor(call->payload);
	bool has_metadata = true;

	// MySQL puts the flag before the count, MariaDB behind it.
	if ((my->capabilities & MYSQL_CAP_OPTIONAL_METADATA) != 0 && my->has_login &&
	    (my->capabilities & MYSQL_CAP_CLIENT_MYSQL) != 0)
		has_metadata = tl_cursor_u8(&c) != 0;
	uint64_t columns = tl_mysql_lenenc(&c);
	if (tl_cursor_left(&c) == 1)
		has_metadata = tl_cursor_u8(&c) != 0;
	if (c.failed || columns == 0 || columns > MYSQL_COLUMNS_MAX || tl_cursor_left(&c) != 0) {
		misaligned(call);
		return;
	}
	my->result.sets = (uint16_t)(my->result.sets + (my->result.sets < UINT16_MAX));
	if (my->result.columns == 0)
		my->result.columns = (uint32_t)columns;
	my->left = (uint32_t)columns;
	my->phase = has_metadata ? MYSQL_PHASE_COLUMNS : MYSQL_PHASE_AFTER_COLUMNS;
}

static void read_result(struct mysql_call *call)
{
	uint8_t mark = call->payload.ptr[0];

	if ((mark == MARK_OK && call->len >= OK_BYTES_MIN) ||
	    (mark == MARK_EOF && call->len < MYSQL_PACKET_MAX)) {
		take_ok(call);
	} else if (mark == MARK_INFILE) {
		// The client sends the file, then the answer goes on.
		call->my->in_infile = true;
		call->my->any_sequence = true;
	} else {
		read_column_count(call);
	}
}

static void read_row(struct mysql_call *call);

static void read_first(struct mysql_call *call, const struct mysql_memo *memo)
{
	struct mysql *my = call->my;
	uint8_t mark = call->payload.ptr[0];
	enum mysql_answer answer = (enum mysql_answer)tl_mysql_word(memo->command)->answer;

	if (answer == MYSQL_ANSWER_AUTH && mark != MARK_ERR) {
		read_auth(call, memo->command == MYSQL_LOGIN);
		return;
	}
	begin_answer(call);
	if (mark == MARK_ERR) {
		read_error(call);
	} else if (answer == MYSQL_ANSWER_RESULT) {
		read_result(call);
	} else if (answer == MYSQL_ANSWER_PREPARE) {
		read_prepared(call, memo->key);
	} else if (answer == MYSQL_ANSWER_FIELDS || answer == MYSQL_ANSWER_ROWS) {
		my->phase = answer == MYSQL_ANSWER_ROWS ? MYSQL_PHASE_ROWS : MYSQL_PHASE_FIELDS;
		my->result.sets = answer == MYSQL_ANSWER_ROWS;
		read_row(call);
	} else if (answer == MYSQL_ANSWER_TEXT) {
		close_answer(call, TL_STATUS_OK);
	} else if (answer == MYSQL_ANSWER_STREAM) {
		bool is_over = mark == MARK_EOF;
		tl_count(call->ctx, MYSQL_COUNT_BINLOG_EVENTS);
		close_answer(call, TL_STATUS_OK);
		my->phase = is_over ? MYSQL_PHASE_FIRST : MYSQL_PHASE_STREAM;
	} else if (mark == MARK_OK || mark == MARK_EOF) {
		take_ok(call);
	} else {
		misaligned(call);
	}
}

// ---- Further packets --------------------------------------------------------------------------

// A row, or the end of rows; also of a list of fields.
static void read_row(struct mysql_call *call)
{
	struct mysql *my = call->my;
	uint8_t mark = call->payload.len == 0 ? MARK_OK : call->payload.ptr[0];
	struct ending ending;

	if (mark == MARK_ERR) {
		read_error(call);
	} else if (mark == MARK_EOF && call->len < MYSQL_PACKET_MAX) {
		if (read_ending(call, &ending))
			end_result(call, &ending);
		else
			misaligned(call);
	} else if (my->phase == MYSQL_PHASE_FIELDS) {
		my->result.columns++;
	} else {
		my->result.rows++;
	}
}

static bool is_eof_packet(const struct mysql_call *call)
{
	return call->payload.len != 0 && call->payload.ptr[0] == MARK_EOF && call->len == EOF_BYTES;
}

// Behind the column definitions: whether EOF packets are sent shows here, as an OK in the place of
// EOF is never as short.
static void read_after_columns(struct mysql_call *call)
{
	struct mysql *my = call->my;
	struct ending ending;

	my->phase = MYSQL_PHASE_ROWS;
	if (!is_eof_packet(call)) {
		my->eof = MYSQL_EOF_LEFT_OUT;
		read_row(call);
		return;
	}
	my->eof = MYSQL_EOF_SENT;
	// With a cursor the rows are fetched later.
	if (read_ending(call, &ending) && (ending.status & MYSQL_STATUS_CURSOR_EXISTS) != 0)
		end_result(call, &ending);
}

static bool sends_eof(const struct mysql *my)
{
	if (my->has_login)
		return (my->capabilities & MYSQL_CAP_DEPRECATE_EOF) == 0;
	return my->eof != MYSQL_EOF_LEFT_OUT;
}

// The last of a prepared statement's definitions. Without the login and without evidence the
// answer ends here, and an EOF that follows is taken as its rest.
static void end_prepared(struct mysql_call *call)
{
	struct mysql *my = call->my;

	if (my->has_login ? sends_eof(my) : my->eof == MYSQL_EOF_SENT) {
		my->phase = MYSQL_PHASE_AFTER_PREPARED;
		return;
	}
	my->may_trail = !my->has_login && my->eof == MYSQL_EOF_UNKNOWN;
	close_answer(call, TL_STATUS_OK);
}

static void begin_prepared_columns(struct mysql_call *call)
{
	struct mysql *my = call->my;

	if (my->prepared_columns == 0) {
		close_answer(call, TL_STATUS_OK);
		return;
	}
	my->left = my->prepared_columns;
	my->phase = MYSQL_PHASE_PREPARED_COLUMNS;
}

static void read_definition(struct mysql_call *call)
{
	struct mysql *my = call->my;

	if (call->payload.len != 0 && call->payload.ptr[0] == MARK_ERR) {
		read_error(call);
		return;
	}
	if (--my->left != 0)
		return;
	if (my->phase == MYSQL_PHASE_COLUMNS)
		my->phase = MYSQL_PHASE_AFTER_COLUMNS;
	else if (my->phase == MYSQL_PHASE_PARAMETERS && my->prepared_columns == 0)
		end_prepared(call);
	else if (my->phase == MYSQL_PHASE_PARAMETERS)
		my->phase = MYSQL_PHASE_AFTER_PARAMETERS;
	else
		end_prepared(call);
}

static void read_after_parameters(struct mysql_call *call)
{
	struct mysql *my = call->my;

	my->eof = is_eof_packet(call) ? MYSQL_EOF_SENT : MYSQL_EOF_LEFT_OUT;
	begin_prepared_columns(call);
	if (my->eof == MYSQL_EOF_LEFT_OUT && my->is_answering)
		read_definition(call);
}

static void read_event(struct mysql_call *call)
{
	uint8_t mark = call->payload.len == 0 ? MARK_OK : call->payload.ptr[0];

	if (mark == MARK_ERR) {
		call->my->phase = MYSQL_PHASE_FIRST;
		read_stray(call);
	} else if (mark == MARK_EOF && call->len < OK_BYTES_MIN) {
		call->my->phase = MYSQL_PHASE_FIRST;
	} else {
		tl_count(call->ctx, MYSQL_COUNT_BINLOG_EVENTS);
	}
}

static bool is_progress(const struct mysql_call *call)
{
	return call->payload.len >= 3 && call->payload.ptr[0] == MARK_ERR &&
	       tl_load_le16(call->payload.ptr + 1) == PROGRESS_CODE;
}

static void read_answer_packet(struct mysql_call *call)
{
	switch ((enum mysql_phase)call->my->phase) {
	case MYSQL_PHASE_COLUMNS:
	case MYSQL_PHASE_PARAMETERS:
	case MYSQL_PHASE_PREPARED_COLUMNS:
		read_definition(call);
		break;
	case MYSQL_PHASE_AFTER_COLUMNS:
		read_after_columns(call);
		break;
	case MYSQL_PHASE_ROWS:
	case MYSQL_PHASE_FIELDS:
		read_row(call);
		break;
	case MYSQL_PHASE_AFTER_PARAMETERS:
		read_after_parameters(call);
		break;
	case MYSQL_PHASE_AFTER_PREPARED:
		if (is_eof_packet(call))
			close_answer(call, TL_STATUS_OK);
		else
			misaligned(call);
		break;
	case MYSQL_PHASE_FIRST:
	case MYSQL_PHASE_STREAM:
		break;
	}
}

// The EOF that a PREPARE answer ends with where nothing had told before.
static bool is_trailing_eof(struct mysql_call *call)
{
	struct mysql *my = call->my;

	if (!my->may_trail)
		return false;
	my->may_trail = false;
	if (!is_eof_packet(call) || call->sequence != my->sequence || call->sequence == 1)
		return false;
	my->eof = MYSQL_EOF_SENT;
	return true;
}

// After a loss: the answer began before what seems to be its command, so that this one was sent
// while another, which was lost, was open.
static bool is_of_another(struct mysql_call *call, const struct mysql_memo *memo)
{
	if (call->my->is_answering)
		return false;
	tl_message_begin(call->ctx, call->lane, call->begin);
	if (!tl_is_earlier(call->ctx, call->lane, memo->key))
		return false;
	call->my->pipelines = true;
	tl_mysql_lose_track(call->ctx, call->my);
	return true;
}

static void read_packet(struct mysql_call *call)
{
	struct mysql *my = call->my;

	if (my->is_mute) {
		tl_mysql_count_answer(call);
		return;
	}
	if (is_progress(call)) {
		tl_count(call->ctx, MYSQL_COUNT_PROGRESS_REPORTS);
		my->any_sequence = true;
		return;
	}
	if (my->phase == MYSQL_PHASE_STREAM) {
		read_event(call);
		return;
	}
	if (my->is_answering && !my->any_sequence && !my->is_inside &&
	    call->sequence != my->sequence)
		misaligned(call);
	if (is_trailing_eof(call))
		return;
	if (my->phase != MYSQL_PHASE_FIRST) {
		read_answer_packet(call);
		return;
	}
	const struct mysql_memo *memo = pending(call);
	// LOGIN is not the first packet of its exchange.
	bool starts = my->is_answering || my->any_sequence || (my->is_inside && !my->is_doubtful) ||
		      call->sequence == tl_mysql_first_number(my) ||
		      (memo != NULL && (memo->is_long != 0 || memo->command == MYSQL_LOGIN));
	if (memo == NULL || call->len == 0 || !starts)
		read_stray(call);
	else if (my->is_doubtful && is_of_another(call, memo))
		tl_mysql_count_answer(call);
	else
		read_first(call, memo);
}

// ---- Packets ----------------------------------------------------------------------------------

// The packet behind the definitions, which begins the view: an EOF that says nothing else, or a row.
static bool passes_after_columns(struct mysql *my, struct tl_bytes view, uint32_t len)
{
	if (view.ptr[MYSQL_HEAD_BYTES] != MARK_EOF) {
		my->eof = MYSQL_EOF_LEFT_OUT;
		my->result.rows++;
	} else {
		if (len != EOF_BYTES || view.len < MYSQL_HEAD_BYTES + EOF_BYTES ||
		    (tl_load_le16(view.ptr + MYSQL_HEAD_BYTES + 3) & MYSQL_STATUS_CURSOR_EXISTS) != 0)
			return false;
		my->eof = MYSQL_EOF_SENT;
	}
	my->phase = MYSQL_PHASE_ROWS;
	return true;
}

// The same for any packet of a result set.
static bool passes(struct mysql *my, struct tl_bytes view, uint32_t len)
{
	if (my->phase == MYSQL_PHASE_AFTER_COLUMNS)
		return passes_after_columns(my, view, len);
	if (my->phase == MYSQL_PHASE_COLUMNS) {
		if (--my->left == 0)
			my->phase = MYSQL_PHASE_AFTER_COLUMNS;
		return true;
	}
	if (view.ptr[MYSQL_HEAD_BYTES] == MARK_EOF)
		return false;
	my->result.rows++;
	return true;
}

uint64_t tl_mysql_pass_rows(struct mysql *my, struct tl_bytes view)
{
	uint64_t at = 0;

	if (my->server_continues || my->phase < MYSQL_PHASE_COLUMNS || my->phase > MYSQL_PHASE_ROWS)
		return 0;
	while (view.len - at > MYSQL_HEAD_BYTES) {
		struct tl_bytes rest = tl_bytes_from(view, (uint32_t)at);
		uint32_t head = tl_load_le32(rest.ptr);
		uint32_t len = head & MYSQL_PACKET_MAX;
		// Whatever isn't surely the next of them is looked at more closely.
		if (head >> 24 != my->sequence || len == 0 || len == MYSQL_PACKET_MAX ||
		    rest.ptr[MYSQL_HEAD_BYTES] == MARK_ERR || !passes(my, rest, len))
			break;
		my->sequence++;
		at += MYSQL_HEAD_BYTES + len;
		if (at >= view.len)
			break;
	}
	return at;
}

// Bytes of the payload that must be seen; of rows just the mark.
static uint32_t bytes_wanted(const struct mysql_call *call)
{
	uint32_t most = call->len < MYSQL_ANSWER_BYTES_MAX ? call->len : MYSQL_ANSWER_BYTES_MAX;
	bool is_plain = call->my->phase != MYSQL_PHASE_FIRST && call->payload.len != 0 &&
			call->payload.ptr[0] != MARK_ERR && call->payload.ptr[0] != MARK_EOF;

	if (call->my->phase == MYSQL_PHASE_FIRST || most == 0)
		return most;
	return call->payload.len == 0 || is_plain ? 1 : most;
}

struct tl_step tl_mysql_server_step(struct mysql_call *call)
{
	struct mysql *my = call->my;

	my->has_heard = true;
	if (my->server_continues) {
		my->server_continues = call->len == MYSQL_PACKET_MAX;
		my->sequence = (uint8_t)(call->sequence + 1);
		return skip_packet(call);
	}
	uint32_t want = bytes_wanted(call);
	if (call->payload.len < want)
		return tl_need(MYSQL_HEAD_BYTES + want);
	call->payload.len = want;
	bool was_login = my->next_key == 1 && my->outstanding != 0;
	read_packet(call);
	my->sequence = (uint8_t)(call->sequence + 1);
	my->server_continues = call->len == MYSQL_PACKET_MAX;
	if (was_login && my->outstanding == 0 && my->is_greeted &&
	    tl_mysql_asks_for_packing(my))
		my->turns_packed = true;
	// What was read whole is decoded, of others the rest is skipped.
	return want == call->len ? tl_ate(MYSQL_HEAD_BYTES + want) : skip_packet(call);
}
