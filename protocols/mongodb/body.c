// SPDX-License-Identifier: Apache-2.0
// What stands in front of the documents of a message, by opcode.
// Source: MongoDB manual, "MongoDB wire protocol" and "Legacy opcodes".
#include "state.h"

#define REPLY_CURSOR_NOT_FOUND (1u << 0)
#define REPLY_QUERY_FAILURE (1u << 1)
#define QUERY_EXHAUST (1u << 6)
#define REPLY_HEAD_BYTES 20u
#define CURSOR_NOT_FOUND 43u
#define KNOWN_FLAGS ((uint32_t)(MONGO_CHECKSUM | MONGO_MORE_TO_COME | MONGO_EXHAUST_ALLOWED))
#define REQUIRED_FLAGS 0xffffu // unknown ones of these make a message invalid

static struct mongo_walked took(uint32_t bytes)
{
	return (struct mongo_walked) {.kind = MONGO_TAKE, .bytes = bytes, .read = bytes};
}

static struct mongo_walked want(uint32_t bytes)
{
	return (struct mongo_walked) {.kind = MONGO_WANT, .bytes = bytes};
}

static struct mongo_walked broken(struct mongo_call *call)
{
	tl_count(call->ctx, MONGO_COUNT_BAD_MESSAGE);
	tl_mongo_give_up(call);
	return (struct mongo_walked) {.kind = MONGO_PASS, .bytes = call->m->size - call->m->at};
}

// Bytes of a cstring with its NUL; 0: it doesn't end within `max`.
static uint32_t cstring(struct tl_bytes view, uint32_t from, uint32_t max)
{
	uint32_t end = tl_bytes_find(tl_bytes_first(view, from + max), 0, from);

	return end == TL_BYTES_NONE ? 0 : end + 1 - from;
}

static void set_documents(struct mongo_call *call, uint32_t end, bool is_named)
{
	struct mongo_message *m = call->m;

	m->section_end = end;
	m->documents = 0;
	m->is_named = is_named ? 1 : 0;
	if (m->section_end > m->size)
		m->section_end = m->size;
	m->phase = MONGO_DOCUMENTS;
}

// "database.collection" of the legacy opcodes.
static void record_namespace(struct mongo_call *call, struct tl_bytes name)
{
	uint32_t dot = tl_bytes_find(name, '.', 0);
	struct tl_bytes collection = tl_bytes_from(name, dot == TL_BYTES_NONE ? name.len : dot + 1);

	tl_message_text(call->ctx, call->lane, MONGO_FIELD_DATABASE, tl_bytes_first(name, dot));
	if (tl_bytes_is(collection, "$cmd"))
		call->m->flags |= MONGO_IS_COMMAND;
	else if (collection.len != 0)
		tl_message_text(call->ctx, call->lane, MONGO_FIELD_COLLECTION, collection);
}

static void record_legacy_command(struct mongo_call *call, const char *name)
{
	if ((call->m->flags & MONGO_IS_COMMAND) == 0)
		tl_message_text(call->ctx, call->lane, MONGO_FIELD_COMMAND, tl_bytes_of(name));
}

static struct mongo_walked msg(struct mongo_call *call, struct tl_bytes view)
{
	struct mongo_message *m = call->m;

	if (view.len < 4)
		return m->size - m->at < 4 ? broken(call) : want(4);
	uint32_t flags = tl_load_le32(view.ptr);
	if ((flags & REQUIRED_FLAGS & ~KNOWN_FLAGS) != 0)
		return broken(call);
	if ((flags & MONGO_CHECKSUM) != 0) {
		if (m->size - m->at < 4 + MONGO_CHECKSUM_BYTES)
			return broken(call);
		m->size -= MONGO_CHECKSUM_BYTES;
	}
	m->flags |= MONGO_IS_COMMAND;
	m->flags |= (flags & MONGO_MORE_TO_COME) != 0 ? MONGO_MORE : 0;
	if (call->lane == TL_CLIENT) {
		m->flags |= (flags & MONGO_MORE_TO_COME) != 0 ? MONGO_ONE_WAY : 0;
		tl_mongo_open(call);
	}
	m->phase = MONGO_SECTION;
	return took(4);
}

static struct mongo_walked section(struct mongo_call *call, struct tl_bytes view)
{
	struct mongo_message *m = call->m;

	if (view.ptr[0] > 1)
		return broken(call);
	m->phase = view.ptr[0] == 0 ? MONGO_DOCUMENT : MONGO_SEQUENCE;
	return took(1);
}

// Section 1: its size with these bytes, a name, documents.
static struct mongo_walked sequence(struct mongo_call *call, struct tl_bytes view)
{
	struct mongo_message *m = call->m;
	const uint32_t most = 4 + MONGO_NAME_BYTES_MAX;

	if (m->size - m->at < 6)
		return broken(call);
	if (view.len < 6)
		return want(6);
	uint32_t size = tl_load_le32(view.ptr);
	uint32_t name = cstring(view, 4, MONGO_NAME_BYTES_MAX);
	if (size < 6 || size > m->size - m->at)
		return broken(call);
	if (name == 0)
		return view.len < most && view.len < m->size - m->at ? want(view.len + 1)
								     : broken(call);
	if (4 + name > size)
		return broken(call);
	if (4 + name == size)
		m->phase = MONGO_SECTION;
	else
		set_documents(call, m->at + size, true);
	return took(4 + name);
}

// The name behind `before` bytes, then `behind` bytes. False: more is wanted, or it is broken.
static bool read_namespace(struct mongo_call *call, struct tl_bytes view, uint32_t before,
			   uint32_t behind, struct tl_bytes *ret_name, struct mongo_walked *ret)
{
	struct mongo_message *m = call->m;
	uint32_t left = m->size - m->at;
	uint32_t most = before + MONGO_COLLECTION_BYTES_MAX;

	uint32_t name = view.len <= before
				? 0
				: cstring(view, before, MONGO_COLLECTION_BYTES_MAX);
	if (name == 0) {
		*ret = view.len < most && view.len < left ? want(view.len + 1) : broken(call);
		return false;
	}
	if (left < before + name + behind) {
		*ret = broken(call);
		return false;
	}
	if (view.len < before + name + behind) {
		*ret = want(before + name + behind);
		return false;
	}
	*ret_name = tl_bytes(view.ptr + before, name - 1);
	return true;
}

static struct mongo_walked query(struct mongo_call *call, struct tl_bytes view)
{
	struct tl_bytes name;
	struct mongo_walked walked;

	if (!read_namespace(call, view, 4, 8, &name, &walked))
		return walked;
	record_namespace(call, name);
	record_legacy_command(call, "find");
	call->m->flags |= (tl_load_le32(view.ptr) & QUERY_EXHAUST) != 0 ? MONGO_EXHAUSTS : 0;
	tl_mongo_open(call);
	call->m->phase = (call->m->flags & MONGO_IS_COMMAND) != 0 ? MONGO_DOCUMENT : MONGO_REST;
	return took(4 + name.len + 1 + 8);
}

static struct mongo_walked write_message(struct mongo_call *call, struct tl_bytes view)
{
	const char *command = tl_mongo_opcode(call->m->opcode);
	bool inserts = call->m->opcode == MONGO_OP_INSERT;
	struct tl_bytes name;
	struct mongo_walked walked;

	if (!read_namespace(call, view, 4, inserts ? 0 : 4, &name, &walked))
		return walked;
	record_namespace(call, name);
	record_legacy_command(call, command);
	call->m->flags |= MONGO_ONE_WAY;
	tl_mongo_open(call);
	if (inserts)
		set_documents(call, call->m->size, true);
	else
		call->m->phase = MONGO_REST;
	return took(4 + name.len + 1 + (inserts ? 0 : 4));
}

static struct mongo_walked get_more(struct mongo_call *call, struct tl_bytes view)
{
	struct tl_bytes name;
	struct mongo_walked walked;

	if (!read_namespace(call, view, 4, 12, &name, &walked))
		return walked;
	record_namespace(call, name);
	record_legacy_command(call, "getMore");
	tl_message_int(call->ctx, call->lane, MONGO_FIELD_CURSOR_ID,
		       (int64_t)tl_load_le64(name.ptr + name.len + 1 + 4));
	tl_mongo_open(call);
	call->m->phase = MONGO_REST;
	return took(4 + name.len + 1 + 12);
}

static struct mongo_walked kill_cursors(struct mongo_call *call)
{
	record_legacy_command(call, "killCursors");
	call->m->flags |= MONGO_ONE_WAY;
	tl_mongo_open(call);
	call->m->phase = MONGO_REST;
	return (struct mongo_walked) {.kind = MONGO_PASS, .bytes = call->m->size - call->m->at};
}

static struct mongo_walked reply(struct mongo_call *call, struct tl_bytes view)
{
	struct mongo_message *m = call->m;

	if (m->size - m->at < REPLY_HEAD_BYTES)
		return broken(call);
	if (view.len < REPLY_HEAD_BYTES)
		return want(REPLY_HEAD_BYTES);
	uint32_t flags = tl_load_le32(view.ptr);
	int64_t cursor = (int64_t)tl_load_le64(view.ptr + 4);
	uint32_t count = tl_load_le32(view.ptr + 16);
	const struct mongo_memo *memo =
		(const struct mongo_memo *)tl_pending(call->ctx, TL_CLIENT, m->answers);
	bool is_command = memo != NULL && memo->is_command != 0;
	if ((flags & REPLY_CURSOR_NOT_FOUND) != 0) {
		m->flags |= MONGO_IS_ERROR | MONGO_HAS_CODE;
		m->code = CURSOR_NOT_FOUND;
	}
	if ((flags & REPLY_QUERY_FAILURE) != 0)
		m->flags |= MONGO_IS_ERROR;
	bool exhausts = memo != NULL ? memo->exhausts != 0
				     : call->mongo->exhaust_id != 0 &&
					       call->mongo->exhaust_id == m->answers;
	m->flags |= exhausts && cursor != 0 ? MONGO_MORE : 0;
	if (memo == NULL && !exhausts) // whether it answers a command was lost
		tl_message_flag(call->ctx, call->lane, TL_FLAG_GAP);
	if (!is_command && (memo != NULL || exhausts)) {
		tl_message_uint(call->ctx, call->lane, MONGO_FIELD_RETURNED, count);
		if (cursor != 0)
			tl_message_int(call->ctx, call->lane, MONGO_FIELD_CURSOR_ID, cursor);
	}
	// Documents that were asked for are not looked at: `ok` in them is somebody's own.
	bool walks = count != 0 && (is_command || (flags & REPLY_QUERY_FAILURE) != 0);
	m->flags |= walks ? MONGO_IS_COMMAND : 0;
	m->phase = walks ? MONGO_DOCUMENT : MONGO_REST;
	return took(REPLY_HEAD_BYTES);
}

// Database and command, then what it is asked and what belongs to the transport, whose order changed
// from one release to the next.
static struct mongo_walked command(struct mongo_call *call, struct tl_bytes view)
{
	struct mongo_message *m = call->m;
	const uint32_t most = 2 * MONGO_NAME_BYTES_MAX;

	uint32_t database = cstring(view, 0, MONGO_NAME_BYTES_MAX);
	uint32_t name = database == 0 ? 0 : cstring(view, database, MONGO_NAME_BYTES_MAX);
	if (name == 0)
		return view.len < most && view.len < m->size - m->at ? want(view.len + 1)
								     : broken(call);
	struct tl_bytes word = tl_bytes(view.ptr + database, name - 1);
	tl_message_text(call->ctx, call->lane, MONGO_FIELD_DATABASE, tl_bytes(view.ptr, database - 1));
	tl_message_text(call->ctx, call->lane, MONGO_FIELD_COMMAND, word);
	m->flags |= MONGO_IS_COMMAND;
	tl_mongo_open(call);
	tl_mongo_remember_command(call, word);
	m->phase = MONGO_DOCUMENT;
	m->documents_left = 1;
	return took(database + name);
}

static struct mongo_walked command_reply(struct mongo_call *call, struct tl_bytes view)
{
	call->m->flags |= MONGO_IS_COMMAND;
	call->m->phase = MONGO_DOCUMENT;
	call->m->documents_left = 1;
	return tl_mongo_walk(call, view);
}

struct mongo_walked tl_mongo_body(struct mongo_call *call, struct tl_bytes view)
{
	if (call->m->phase == MONGO_SECTION)
		return section(call, view);
	if (call->m->phase == MONGO_SEQUENCE)
		return sequence(call, view);
	switch ((enum mongo_opcode)call->m->opcode) {
	case MONGO_OP_MSG:
		return msg(call, view);
	case MONGO_OP_QUERY:
		return query(call, view);
	case MONGO_OP_INSERT:
	case MONGO_OP_UPDATE:
	case MONGO_OP_DELETE:
		return write_message(call, view);
	case MONGO_OP_GET_MORE:
		return get_more(call, view);
	case MONGO_OP_KILL_CURSORS:
		return kill_cursors(call);
	case MONGO_OP_REPLY:
		return reply(call, view);
	case MONGO_OP_COMMAND:
		return command(call, view);
	case MONGO_OP_COMMAND_REPLY:
		return command_reply(call, view);
	case MONGO_OP_OLD_MSG:
	case MONGO_OP_COMPRESSED:
		break;
	}
	// OP_MSG of old was a text that nobody sent.
	call->m->flags |= MONGO_ONE_WAY;
	tl_mongo_open(call);
	call->m->phase = MONGO_REST;
	return (struct mongo_walked) {.kind = MONGO_PASS, .bytes = call->m->size - call->m->at};
}
