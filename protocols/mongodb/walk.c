// SPDX-License-Identifier: Apache-2.0
// Walks documents: the top level, and the few embedded ones that say something about the request.
// Source: bsonspec.org, version 1.1.
#include "state.h"

#include "base/check.h"

enum bson {
	BSON_END = 0x00,
	BSON_DOUBLE = 0x01,
	BSON_STRING = 0x02,
	BSON_DOCUMENT = 0x03,
	BSON_ARRAY = 0x04,
	BSON_BINARY = 0x05,
	BSON_UNDEFINED = 0x06,
	BSON_OBJECT_ID = 0x07,
	BSON_BOOL = 0x08,
	BSON_DATE = 0x09,
	BSON_NULL = 0x0a,
	BSON_REGEX = 0x0b,
	BSON_DB_POINTER = 0x0c,
	BSON_CODE = 0x0d,
	BSON_SYMBOL = 0x0e,
	BSON_CODE_WITH_SCOPE = 0x0f,
	BSON_INT32 = 0x10,
	BSON_TIMESTAMP = 0x11,
	BSON_INT64 = 0x12,
	BSON_DECIMAL = 0x13,
	BSON_MAX_KEY = 0x7f,
	BSON_MIN_KEY = 0xff,
};

#define BSON_DOCUMENT_BYTES_MIN 5u

static struct mongo_walked took(uint32_t bytes)
{
	return (struct mongo_walked) {.kind = MONGO_TAKE, .bytes = bytes, .read = bytes};
}

static struct mongo_walked want(uint32_t bytes)
{
	return (struct mongo_walked) {.kind = MONGO_WANT, .bytes = bytes};
}

// Of `bytes` the first `read` were looked at.
static struct mongo_walked pass(uint32_t read, uint32_t bytes)
{
	return (struct mongo_walked) {.kind = MONGO_PASS, .bytes = bytes, .read = read};
}

void tl_mongo_give_up(struct mongo_call *call)
{
	call->m->phase = MONGO_REST;
	call->m->depth = 0;
}

static struct mongo_walked broken(struct mongo_call *call)
{
	tl_count(call->ctx, MONGO_COUNT_BAD_MESSAGE);
	tl_mongo_give_up(call);
	return pass(0, call->m->size - call->m->at);
}

static bool is_reply(const struct mongo_call *call)
{
	return call->lane == TL_SERVER;
}

static uint8_t level_of(const struct mongo_call *call)
{
	return call->m->levels[call->m->depth - 1];
}

// ---- Documents ------------------------------------------------------------------------------

// A document or array of `len` bytes begins at `at`.
static void enter(struct mongo_call *call, enum mongo_level level, uint32_t len)
{
	struct mongo_message *m = call->m;

	m->levels[m->depth] = (uint8_t)level;
	m->ends[m->depth++] = m->at + len;
	m->phase = MONGO_ELEMENT;
}

static void leave(struct mongo_call *call)
{
	struct mongo_message *m = call->m;

	switch ((enum mongo_level)level_of(call)) {
	case MONGO_BATCH:
		tl_message_uint(call->ctx, call->lane, MONGO_FIELD_RETURNED, m->documents);
		break;
	case MONGO_OPERATIONS:
		tl_message_uint(call->ctx, call->lane, MONGO_FIELD_DOCUMENTS, m->documents);
		break;
	case MONGO_WRITE_ERRORS:
		if (m->write_errors != 0)
			tl_message_uint(call->ctx, call->lane, MONGO_FIELD_WRITE_ERRORS,
					m->write_errors);
		break;
	default:
		break;
	}
	if (--m->depth != 0) {
		m->phase = MONGO_ELEMENT;
		return;
	}
	if (m->documents_left != 0) {
		m->documents_left--;
		m->phase = MONGO_DOCUMENT;
		return;
	}
	m->phase = m->opcode == MONGO_OP_MSG ? MONGO_SECTION : MONGO_REST;
}

static struct mongo_walked documents(struct mongo_call *call, struct tl_bytes view)
{
	struct mongo_message *m = call->m;

	if (m->section_end - m->at < BSON_DOCUMENT_BYTES_MIN)
		return broken(call);
	if (view.len < 4)
		return want(4);
	uint32_t len = tl_load_le32(view.ptr);
	if (len < BSON_DOCUMENT_BYTES_MIN || len > m->section_end - m->at)
		return broken(call);
	m->documents++;
	if (len == m->section_end - m->at) {
		if (m->is_named != 0)
			tl_message_uint(call->ctx, call->lane, MONGO_FIELD_DOCUMENTS, m->documents);
		m->phase = m->opcode == MONGO_OP_MSG ? MONGO_SECTION : MONGO_REST;
	}
	return pass(4, len);
}

static struct mongo_walked document(struct mongo_call *call, struct tl_bytes view)
{
	struct mongo_message *m = call->m;

	if (m->size - m->at < BSON_DOCUMENT_BYTES_MIN)
		return broken(call);
	if (view.len < 4)
		return want(4);
	uint32_t len = tl_load_le32(view.ptr);
	if (len < BSON_DOCUMENT_BYTES_MIN || len > m->size - m->at)
		return broken(call);
	enter(call, MONGO_TOP, len);
	return took(4);
}

// ---- Elements -------------------------------------------------------------------------------

// Of some commands the value of their first element is no collection.
static bool names_collection(struct tl_bytes command)
{
	if (tl_bytes_is(command, "getLog"))
		return false;
	for (uint32_t i = 0; i + 4 <= command.len; i++)
		if (memcmp(command.ptr + i, "User", 4) == 0 ||
		    memcmp(command.ptr + i, "Role", 4) == 0)
			return false;
	return true;
}

// In an OP_COMMAND the name came before: the element of that name holds the collection.
static bool is_named_command(const struct mongo_call *call, struct tl_bytes name)
{
	return call->m->opcode == MONGO_OP_COMMAND &&
	       tl_bytes_equal(name, tl_request_value(call->ctx, TL_CLIENT, call->m->id,
						     MONGO_FIELD_COMMAND)) &&
	       names_collection(name);
}

static void first_element(struct mongo_call *call, struct tl_bytes name)
{
	struct mongo_message *m = call->m;
	bool wraps = m->opcode == MONGO_OP_QUERY &&
		     (tl_bytes_is(name, "$query") || tl_bytes_is(name, "query"));

	if (wraps && m->type == BSON_DOCUMENT) {
		m->word = MONGO_WORD_COMMAND; // its value is the command
		return;
	}
	tl_message_text(call->ctx, call->lane, MONGO_FIELD_COMMAND, name);
	tl_mongo_remember_command(call, name);
	m->word = names_collection(name) ? MONGO_WORD_COMMAND : MONGO_WORD_NONE;
}

void tl_mongo_remember_command(struct mongo_call *call, struct tl_bytes name)
{
	struct mongo_message *m = call->m;

	m->flags |= MONGO_HAS_COMMAND;
	if (tl_bytes_is(name, "getMore"))
		m->flags |= MONGO_IS_GET_MORE;
	struct mongo_memo *memo =
		(m->flags & MONGO_ONE_WAY) != 0
			? NULL
			: (struct mongo_memo *)tl_pending(call->ctx, TL_CLIENT, m->id);
	if (memo == NULL)
		return;
	memo->command_len = (uint8_t)(name.len < sizeof(memo->command) ? name.len
								      : sizeof(memo->command));
	memcpy(memo->command, name.ptr, memo->command_len);
}

static bool has_value(uint8_t type)
{
	return type != BSON_NULL && type != BSON_UNDEFINED && type != BSON_MAX_KEY &&
	       type != BSON_MIN_KEY;
}

static struct mongo_walked element(struct mongo_call *call, struct tl_bytes view)
{
	struct mongo_message *m = call->m;
	uint32_t left = m->ends[m->depth - 1] - m->at;

	if (view.ptr[0] == BSON_END) {
		if (left != 1)
			return broken(call);
		leave(call);
		return took(1);
	}
	uint32_t end = tl_bytes_find(tl_bytes_first(view, 2 + MONGO_NAME_BYTES_MAX), 0, 1);
	if (end == TL_BYTES_NONE && view.len < 2 + MONGO_NAME_BYTES_MAX)
		return left > view.len ? want(view.len + 1) : broken(call);
	m->type = view.ptr[0];
	m->word = MONGO_WORD_NONE;
	if (end == TL_BYTES_NONE) {
		m->phase = MONGO_LONG_NAME;
		return left > 1 ? took(1) : broken(call);
	}
	if (end + 1 >= left)
		return broken(call);
	struct tl_bytes name = tl_bytes(view.ptr + 1, end - 1);
	uint8_t level = level_of(call);
	bool is_first = level == MONGO_TOP && !is_reply(call) &&
			(m->flags & (MONGO_IS_COMMAND | MONGO_HAS_COMMAND)) == MONGO_IS_COMMAND;
	if (is_first)
		first_element(call, name);
	else if (level == MONGO_TOP && is_named_command(call, name))
		m->word = MONGO_WORD_COMMAND;
	else if (level != MONGO_BATCH && level != MONGO_OPERATIONS && level != MONGO_WRITE_ERRORS)
		m->word = (uint8_t)tl_mongo_word(name);
	m->phase = has_value(m->type) ? MONGO_VALUE : MONGO_ELEMENT;
	return took(end + 1);
}

static struct mongo_walked long_name(struct mongo_call *call, struct tl_bytes view)
{
	struct mongo_message *m = call->m;
	uint32_t left = m->ends[m->depth - 1] - m->at;
	uint32_t end = tl_bytes_find(view, 0, 0);
	uint32_t bytes = end == TL_BYTES_NONE ? view.len : end + 1;

	if (bytes >= left)
		return broken(call);
	if (end != TL_BYTES_NONE)
		m->phase = has_value(m->type) ? MONGO_VALUE : MONGO_ELEMENT;
	return took(bytes);
}

// ---- Values ---------------------------------------------------------------------------------

static void text(struct mongo_call *call, uint8_t field, struct tl_bytes value)
{
	tl_message_text(call->ctx, call->lane, field, value);
}

static void request_text(struct mongo_call *call, struct tl_bytes value)
{
	switch ((enum mongo_word)call->m->word) {
	case MONGO_WORD_COMMAND:
	case MONGO_WORD_COLLECTION:
		text(call, MONGO_FIELD_COLLECTION, value);
		break;
	case MONGO_WORD_DB:
		text(call, MONGO_FIELD_DATABASE, value);
		break;
	default:
		break;
	}
}

static void reply_text(struct mongo_call *call, struct tl_bytes value)
{
	switch ((enum mongo_word)call->m->word) {
	case MONGO_WORD_CODE_NAME:
		text(call, MONGO_FIELD_CODE_NAME, value);
		break;
	case MONGO_WORD_ERR: // of a getLastError, or of a query that failed
		call->m->flags |= MONGO_IS_ERROR;
		text(call, MONGO_FIELD_ERROR_MESSAGE, value);
		break;
	case MONGO_WORD_ERRMSG:
		text(call, MONGO_FIELD_ERROR_MESSAGE, value);
		break;
	default:
		break;
	}
}

static void value_text(struct mongo_call *call, struct tl_bytes value)
{
	uint8_t word = call->m->word;

	switch ((enum mongo_level)level_of(call)) {
	case MONGO_TOP:
		if (is_reply(call))
			reply_text(call, value);
		else
			request_text(call, value);
		break;
	case MONGO_FIRST_ERROR:
		if (word == MONGO_WORD_ERRMSG)
			text(call, MONGO_FIELD_ERROR_MESSAGE, value);
		break;
	case MONGO_READ_CONCERN_DOC:
		if (word == MONGO_WORD_LEVEL)
			text(call, MONGO_FIELD_READ_CONCERN, value);
		break;
	case MONGO_WRITE_CONCERN_DOC:
		if (word == MONGO_WORD_W)
			text(call, MONGO_FIELD_WRITE_CONCERN, value);
		break;
	case MONGO_READ_PREFERENCE_DOC:
		if (word == MONGO_WORD_MODE)
			text(call, MONGO_FIELD_READ_PREFERENCE, value);
		break;
	case MONGO_APPLICATION:
		if (word == MONGO_WORD_NAME)
			text(call, MONGO_FIELD_APP_NAME, value);
		break;
	case MONGO_DRIVER_DOC:
		if (word == MONGO_WORD_NAME)
			text(call, MONGO_FIELD_DRIVER, value);
		else if (word == MONGO_WORD_VERSION)
			text(call, MONGO_FIELD_DRIVER_VERSION, value);
		break;
	default:
		break;
	}
}

static void note_code(struct mongo_call *call, int64_t number)
{
	struct mongo_message *m = call->m;

	if ((m->flags & MONGO_HAS_CODE) != 0 || number < 0 || number > INT32_MAX)
		return;
	m->flags |= MONGO_HAS_CODE;
	m->code = (uint32_t)number;
	tl_message_uint(call->ctx, call->lane, MONGO_FIELD_CODE, m->code);
}

// How long a request may wait: the server sends nothing before that unless there is something.
static void note_wait(struct mongo_call *call, int64_t ms)
{
	const int64_t ms_max = INT32_MAX;

	if (ms > 0 && (call->m->flags & MONGO_ONE_WAY) == 0)
		tl_wait(call->ctx, TL_CLIENT, call->m->id,
			(uint64_t)(ms < ms_max ? ms : ms_max) * UINT64_C(1000000));
}

static void request_number(struct mongo_call *call, int64_t number)
{
	if (call->m->word == MONGO_WORD_MAX_TIME) {
		tl_message_int(call->ctx, call->lane, MONGO_FIELD_MAX_TIME, number);
		if ((call->m->flags & MONGO_IS_GET_MORE) != 0)
			note_wait(call, number);
	} else if (call->m->word == MONGO_WORD_MAX_AWAIT_TIME) {
		note_wait(call, number);
	} else if (call->m->word == MONGO_WORD_COMMAND &&
		   (call->m->flags & MONGO_IS_GET_MORE) != 0) {
		tl_message_int(call->ctx, call->lane, MONGO_FIELD_CURSOR_ID, number);
	}
}

static void reply_number(struct mongo_call *call, int64_t number)
{
	switch ((enum mongo_word)call->m->word) {
	case MONGO_WORD_OK:
		call->m->flags |= MONGO_HAS_OK;
		call->m->flags |= number == 0 ? MONGO_IS_ERROR : 0;
		tl_message_uint(call->ctx, call->lane, MONGO_FIELD_OK, number != 0);
		break;
	case MONGO_WORD_CODE:
		note_code(call, number);
		break;
	case MONGO_WORD_N:
		tl_message_int(call->ctx, call->lane, MONGO_FIELD_N, number);
		break;
	case MONGO_WORD_N_MODIFIED:
		tl_message_int(call->ctx, call->lane, MONGO_FIELD_N_MODIFIED, number);
		break;
	default:
		break;
	}
}

static void value_number(struct mongo_call *call, int64_t number)
{
	uint8_t word = call->m->word;
	char digit;

	switch ((enum mongo_level)level_of(call)) {
	case MONGO_TOP:
		if (is_reply(call))
			reply_number(call, number);
		else
			request_number(call, number);
		break;
	case MONGO_CURSOR:
		if (word == MONGO_WORD_ID)
			tl_message_int(call->ctx, call->lane, MONGO_FIELD_CURSOR_ID, number);
		break;
	case MONGO_FIRST_ERROR:
		if (word == MONGO_WORD_CODE)
			note_code(call, number);
		break;
	case MONGO_CONCERN_ERROR:
		if (word == MONGO_WORD_CODE && number > 0 && number <= INT32_MAX) {
			tl_message_int(call->ctx, call->lane, MONGO_FIELD_WRITE_CONCERN_ERROR, number);
			if ((call->m->flags & MONGO_HAS_CODE) == 0)
				call->m->code = (uint32_t)number;
			call->m->flags |= MONGO_IS_ERROR;
		}
		break;
	case MONGO_WRITE_CONCERN_DOC:
		digit = (char)('0' + number % 10);
		if (word == MONGO_WORD_W && number >= 0 && number <= 9)
			text(call, MONGO_FIELD_WRITE_CONCERN, tl_bytes(&digit, 1));
		break;
	default:
		break;
	}
}

// Which embedded document is worth a look; false: none.
static bool value_document(struct mongo_call *call, uint32_t len)
{
	static const struct {
		uint8_t level, word, type, into;
		uint8_t in_reply;
	} rows[] = {
		{MONGO_TOP, MONGO_WORD_CURSOR, BSON_DOCUMENT, MONGO_CURSOR, 1},
		{MONGO_TOP, MONGO_WORD_WRITE_ERRORS, BSON_ARRAY, MONGO_WRITE_ERRORS, 1},
		{MONGO_TOP, MONGO_WORD_WRITE_CONCERN_ERROR, BSON_DOCUMENT, MONGO_CONCERN_ERROR, 1},
		{MONGO_CURSOR, MONGO_WORD_FIRST_BATCH, BSON_ARRAY, MONGO_BATCH, 1},
		{MONGO_CURSOR, MONGO_WORD_NEXT_BATCH, BSON_ARRAY, MONGO_BATCH, 1},
		{MONGO_TOP, MONGO_WORD_COMMAND, BSON_DOCUMENT, MONGO_TOP, 0}, // $query
		{MONGO_TOP, MONGO_WORD_READ_CONCERN, BSON_DOCUMENT, MONGO_READ_CONCERN_DOC, 0},
		{MONGO_TOP, MONGO_WORD_WRITE_CONCERN, BSON_DOCUMENT, MONGO_WRITE_CONCERN_DOC, 0},
		{MONGO_TOP, MONGO_WORD_READ_PREFERENCE, BSON_DOCUMENT, MONGO_READ_PREFERENCE_DOC, 0},
		{MONGO_TOP, MONGO_WORD_CLIENT, BSON_DOCUMENT, MONGO_CLIENT, 0},
		{MONGO_TOP, MONGO_WORD_DOCUMENTS, BSON_ARRAY, MONGO_OPERATIONS, 0},
		{MONGO_TOP, MONGO_WORD_UPDATES, BSON_ARRAY, MONGO_OPERATIONS, 0},
		{MONGO_TOP, MONGO_WORD_DELETES, BSON_ARRAY, MONGO_OPERATIONS, 0},
		{MONGO_CLIENT, MONGO_WORD_APPLICATION, BSON_DOCUMENT, MONGO_APPLICATION, 0},
		{MONGO_CLIENT, MONGO_WORD_DRIVER, BSON_DOCUMENT, MONGO_DRIVER_DOC, 0},
	};
	struct mongo_message *m = call->m;

	if (m->depth == MONGO_DEPTH_MAX || m->word == MONGO_WORD_NONE)
		return false;
	for (uint32_t i = 0; i < TL_COUNT_OF(rows); i++) {
		if (rows[i].level != level_of(call) || rows[i].word != m->word ||
		    rows[i].type != m->type || rows[i].in_reply != is_reply(call))
			continue;
		// A command whose own value is a document: only $query wraps another.
		if (rows[i].word == MONGO_WORD_COMMAND && (m->flags & MONGO_HAS_COMMAND) != 0)
			return false;
		if (rows[i].into == MONGO_OPERATIONS || rows[i].into == MONGO_BATCH)
			m->documents = 0;
		enter(call, (enum mongo_level)rows[i].into, len);
		return true;
	}
	return false;
}

// An element of an array that is counted.
static bool value_item(struct mongo_call *call, uint32_t len)
{
	struct mongo_message *m = call->m;
	uint8_t level = level_of(call);

	if (level == MONGO_BATCH || level == MONGO_OPERATIONS)
		m->documents++;
	if (level == MONGO_WRITE_ERRORS && ++m->write_errors == 1 && m->type == BSON_DOCUMENT &&
	    m->depth < MONGO_DEPTH_MAX) {
		enter(call, MONGO_FIRST_ERROR, len);
		return true;
	}
	return false;
}

// Bytes of a value: `head` of them must be in view to tell; 0: the type isn't known.
static uint32_t value_head(uint8_t type)
{
	switch (type) {
	case BSON_BOOL:
		return 1;
	case BSON_INT32:
	case BSON_STRING:
	case BSON_CODE:
	case BSON_SYMBOL:
	case BSON_DOCUMENT:
	case BSON_ARRAY:
	case BSON_BINARY:
	case BSON_DB_POINTER:
	case BSON_CODE_WITH_SCOPE:
		return 4;
	case BSON_DOUBLE:
	case BSON_DATE:
	case BSON_TIMESTAMP:
	case BSON_INT64:
		return 8;
	case BSON_OBJECT_ID:
		return 12;
	case BSON_DECIMAL:
		return 16;
	default:
		return 0;
	}
}

static uint64_t value_len(uint8_t type, const uint8_t *p)
{
	switch (type) {
	case BSON_STRING:
	case BSON_CODE:
	case BSON_SYMBOL:
		return 4 + (uint64_t)tl_load_le32(p);
	case BSON_BINARY:
		return 5 + (uint64_t)tl_load_le32(p);
	case BSON_DB_POINTER:
		return 16 + (uint64_t)tl_load_le32(p);
	case BSON_DOCUMENT:
	case BSON_ARRAY:
	case BSON_CODE_WITH_SCOPE:
		return tl_load_le32(p);
	default:
		return value_head(type);
	}
}

static bool number_of(uint8_t type, const uint8_t *p, int64_t *ret)
{
	uint64_t bits;
	double real;

	switch (type) {
	case BSON_BOOL:
		*ret = p[0];
		return true;
	case BSON_INT32:
		*ret = (int32_t)tl_load_le32(p);
		return true;
	case BSON_INT64:
		*ret = (int64_t)tl_load_le64(p);
		return true;
	case BSON_DOUBLE:
		bits = tl_load_le64(p);
		memcpy(&real, &bits, sizeof(real));
		if (!(real > -9e15 && real < 9e15)) // also what is no number
			return false;
		*ret = (int64_t)real;
		return true;
	default:
		return false;
	}
}

static struct mongo_walked value(struct mongo_call *call, struct tl_bytes view)
{
	struct mongo_message *m = call->m;
	uint32_t head = value_head(m->type);
	uint32_t left = m->ends[m->depth - 1] - m->at;
	uint32_t shown = head;
	int64_t number;

	if (head == 0 || head >= left)
		return broken(call);
	if (view.len < head)
		return want(head);
	uint64_t len = value_len(m->type, view.ptr);
	if (len >= left || len < head)
		return broken(call);
	bool is_document = m->type == BSON_DOCUMENT || m->type == BSON_ARRAY;
	if (is_document && len < BSON_DOCUMENT_BYTES_MIN)
		return broken(call);
	if (m->type == BSON_STRING && m->word != MONGO_WORD_NONE) {
		shown = len < 4 + MONGO_VALUE_BYTES_MAX ? (uint32_t)len : 4 + MONGO_VALUE_BYTES_MAX;
		if (view.len < shown)
			return want(shown);
		if (len > 4)
			value_text(call, tl_bytes(view.ptr + 4, len == shown ? shown - 5 : shown - 4));
	} else if (m->word != MONGO_WORD_NONE && number_of(m->type, view.ptr, &number)) {
		value_number(call, number);
	} else if (is_document && (value_document(call, (uint32_t)len) ||
				   value_item(call, (uint32_t)len))) {
		return took(4);
	}
	m->phase = MONGO_ELEMENT;
	return pass(shown, (uint32_t)len);
}

// With its value, which mostly follows in view.
static struct mongo_walked whole_element(struct mongo_call *call, struct tl_bytes view)
{
	struct mongo_message *m = call->m;
	struct mongo_walked head = element(call, view);

	if (head.kind != MONGO_TAKE || m->phase != MONGO_VALUE || head.bytes >= view.len)
		return head;
	m->at += head.bytes;
	struct mongo_walked rest = value(call, tl_bytes_from(view, head.bytes));
	m->at -= head.bytes;
	if (rest.kind == MONGO_WANT)
		return head;
	rest.bytes += head.bytes;
	rest.read += head.read;
	return rest;
}

struct mongo_walked tl_mongo_walk(struct mongo_call *call, struct tl_bytes view)
{
	switch ((enum mongo_phase)call->m->phase) {
	case MONGO_DOCUMENTS:
		return documents(call, view);
	case MONGO_DOCUMENT:
		return document(call, view);
	case MONGO_ELEMENT:
		return whole_element(call, view);
	case MONGO_LONG_NAME:
		return long_name(call, view);
	case MONGO_VALUE:
		return value(call, view);
	case MONGO_BODY:
	case MONGO_SECTION:
	case MONGO_SEQUENCE:
		return tl_mongo_body(call, view);
	case MONGO_HEAD:
	case MONGO_PACKED:
	case MONGO_REST:
		break;
	}
	return pass(0, call->m->size - call->m->at);
}
