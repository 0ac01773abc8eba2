// SPDX-License-Identifier: Apache-2.0
// Which bytes look like the beginning of a message.
#include "state.h"

enum looks { LOOKS_NO, LOOKS_MORE, LOOKS_YES };

#define LOOK_BYTES 26u // head, flags, kind of section, length of a document

// "database.collection", as far as it is in view.
static enum looks namespace_looks(struct tl_bytes name)
{
	bool has_dot = false;

	for (uint32_t i = 0; i < name.len && i < MONGO_COLLECTION_BYTES_MAX; i++) {
		uint8_t c = name.ptr[i];
		if (c == 0)
			return has_dot && i > 2 ? LOOKS_YES : LOOKS_NO;
		if (c < 0x20 || c == 0x7f)
			return LOOKS_NO;
		has_dot = has_dot || (c == '.' && i != 0);
	}
	return name.len < MONGO_COLLECTION_BYTES_MAX ? LOOKS_MORE : LOOKS_NO;
}

static enum looks msg_looks(struct tl_bytes bytes, uint32_t length)
{
	if (length < LOOK_BYTES)
		return LOOKS_NO;
	if (bytes.len < 20)
		return LOOKS_MORE;
	uint32_t flags = tl_load_le32(bytes.ptr + 16);
	if ((flags & ~(uint32_t)(MONGO_CHECKSUM | MONGO_MORE_TO_COME | MONGO_EXHAUST_ALLOWED)) != 0)
		return LOOKS_NO;
	if (bytes.len < 25)
		return LOOKS_MORE;
	uint32_t size = tl_load_le32(bytes.ptr + 21);
	if (bytes.ptr[20] > 1 || size < 5 || size > length - 21)
		return LOOKS_NO;
	return LOOKS_YES;
}

static enum looks reply_looks(struct tl_bytes bytes, uint32_t length)
{
	if (length < 36)
		return LOOKS_NO;
	if (bytes.len < 36)
		return LOOKS_MORE;
	uint32_t count = tl_load_le32(bytes.ptr + 32);
	return tl_load_le32(bytes.ptr + 16) <= 0xf && (uint64_t)count * 5 <= length - 36 &&
			       (count == 0) == (length == 36)
		       ? LOOKS_YES
		       : LOOKS_NO;
}

static enum looks compressed_looks(struct tl_bytes bytes, uint32_t length)
{
	if (length < 26)
		return LOOKS_NO;
	if (bytes.len < 25)
		return LOOKS_MORE;
	uint32_t opcode = tl_load_le32(bytes.ptr + 16);
	return opcode <= UINT16_MAX && tl_mongo_opcode((uint16_t)opcode) != NULL &&
			       tl_load_le32(bytes.ptr + 20) <= MONGO_MESSAGE_BYTES_MAX &&
			       bytes.ptr[24] <= 3
		       ? LOOKS_YES
		       : LOOKS_NO;
}

static enum looks legacy_looks(struct tl_bytes bytes, uint16_t opcode, uint32_t length)
{
	if (length < 16 + 4 + 4)
		return LOOKS_NO;
	if (bytes.len < 20)
		return LOOKS_MORE;
	uint32_t flags = tl_load_le32(bytes.ptr + 16);
	if (flags > 0xff)
		return LOOKS_NO;
	if (opcode == MONGO_OP_KILL_CURSORS)
		return flags == 0 ? LOOKS_YES : LOOKS_NO;
	return namespace_looks(tl_bytes_from(bytes, 20));
}

// Bytes of a printable cstring with its NUL; 0: it isn't over in what is in view.
static enum looks name_looks(struct tl_bytes bytes, uint32_t *ret_len)
{
	for (uint32_t i = 0; i < bytes.len && i < MONGO_NAME_BYTES_MAX; i++) {
		*ret_len = i + 1;
		if (bytes.ptr[i] == 0)
			return i != 0 ? LOOKS_YES : LOOKS_NO;
		if (bytes.ptr[i] <= 0x20 || bytes.ptr[i] >= 0x7f)
			return LOOKS_NO;
	}
	return bytes.len < MONGO_NAME_BYTES_MAX ? LOOKS_MORE : LOOKS_NO;
}

// Database, command, a document.
static enum looks command_looks(struct tl_bytes bytes, uint32_t length)
{
	uint32_t at = MONGO_HEAD_BYTES;
	uint32_t len = 0;

	for (uint32_t i = 0; i < 2; i++, at += len) {
		enum looks result = name_looks(tl_bytes_from(bytes, at), &len);
		if (result != LOOKS_YES)
			return result;
	}
	if (bytes.len < at + 4)
		return LOOKS_MORE;
	uint32_t size = tl_load_le32(bytes.ptr + at);
	return size >= 5 && at < length && size <= length - at ? LOOKS_YES : LOOKS_NO;
}

static enum looks command_reply_looks(struct tl_bytes bytes, uint32_t length)
{
	if (length < MONGO_HEAD_BYTES + 10)
		return LOOKS_NO;
	if (bytes.len < MONGO_HEAD_BYTES + 4)
		return LOOKS_MORE;
	uint32_t size = tl_load_le32(bytes.ptr + MONGO_HEAD_BYTES);
	return size >= 5 && size <= length - MONGO_HEAD_BYTES - 5 ? LOOKS_YES : LOOKS_NO;
}

static enum looks looks(enum tl_lane lane, struct tl_bytes bytes)
{
	if (bytes.len < MONGO_HEAD_BYTES) // not longer than 16 MB, or 48 MB
		return bytes.len >= 4 && (tl_load_le32(bytes.ptr) > MONGO_MESSAGE_BYTES_MAX ||
					  tl_load_le32(bytes.ptr) < MONGO_HEAD_BYTES)
			       ? LOOKS_NO
			       : LOOKS_MORE;
	uint32_t length = tl_load_le32(bytes.ptr);
	uint32_t answers = tl_load_le32(bytes.ptr + 8);
	uint32_t opcode = tl_load_le32(bytes.ptr + 12);
	if (length > MONGO_MESSAGE_BYTES_MAX || length <= MONGO_HEAD_BYTES)
		return LOOKS_NO;
	// Some old drivers put -1 where nothing is answered.
	if ((answers == 0 || answers == UINT32_MAX) != (lane == TL_CLIENT))
		return LOOKS_NO;
	switch (opcode) {
	case MONGO_OP_MSG:
		return msg_looks(bytes, length);
	case MONGO_OP_COMPRESSED:
		return compressed_looks(bytes, length);
	case MONGO_OP_COMMAND:
		return lane == TL_CLIENT ? command_looks(bytes, length) : LOOKS_NO;
	case MONGO_OP_COMMAND_REPLY:
		return lane == TL_SERVER ? command_reply_looks(bytes, length) : LOOKS_NO;
	case MONGO_OP_REPLY:
		return lane == TL_SERVER ? reply_looks(bytes, length) : LOOKS_NO;
	case MONGO_OP_QUERY:
	case MONGO_OP_INSERT:
	case MONGO_OP_UPDATE:
	case MONGO_OP_DELETE:
	case MONGO_OP_GET_MORE:
	case MONGO_OP_KILL_CURSORS:
		return lane == TL_CLIENT ? legacy_looks(bytes, (uint16_t)opcode, length) : LOOKS_NO;
	default:
		return LOOKS_NO;
	}
}

enum tl_match tl_mongo_match(enum tl_lane lane, struct tl_bytes first)
{
	switch (looks(lane, first)) {
	case LOOKS_NO:
		return TL_MATCH_NO;
	case LOOKS_MORE:
		return TL_MATCH_UNSURE;
	case LOOKS_YES:
		break;
	}
	// The opcode, the lengths and the name fit together; a head alone would not do.
	return TL_MATCH_CERTAIN;
}

uint32_t tl_mongo_resync(const void *state, enum tl_lane lane, struct tl_bytes view)
{
	(void)state;
	for (uint32_t i = 0; i < view.len; i++)
		if (looks(lane, tl_bytes_from(view, i)) == LOOKS_YES)
			return i;
	return view.len;
}
