// SPDX-License-Identifier: Apache-2.0
// The connection phase: greeting, login, the user's change. What proves who the user is (scrambles,
// passwords, tokens) is never looked at.
#include "state.h"

#define GREETING_BYTES_MIN 30u // of version 10, with an empty version
#define LOGIN_BYTES_MIN 32u    // up to the user's name; a TLS request is just this

static bool is_printable(struct tl_bytes text)
{
	for (uint32_t i = 0; i < text.len; i++)
		if (text.ptr[i] < 0x20 || text.ptr[i] > 0x7e)
			return false;
	return true;
}

uint64_t tl_mysql_lenenc(struct tl_cursor *c)
{
	uint8_t first = tl_cursor_u8(c);
	uint64_t low;

	switch (first) {
	case 0xfb:
	case 0xff:
		c->failed = true;
		return 0;
	case 0xfc:
		return tl_cursor_le16(c);
	case 0xfd:
		low = tl_cursor_le16(c);
		return low | (uint64_t)tl_cursor_u8(c) << 16;
	case 0xfe:
		return tl_cursor_le64(c);
	default:
		return first;
	}
}

struct tl_bytes tl_mysql_nul_text(struct tl_cursor *c)
{
	struct tl_bytes rest = tl_bytes_from(c->bytes, c->at);
	uint32_t end = tl_bytes_find(rest, 0, 0);

	if (end == TL_BYTES_NONE)
		return tl_cursor_take(c, tl_cursor_left(c));
	struct tl_bytes text = tl_cursor_take(c, end);
	(void)tl_cursor_u8(c);
	return text;
}

// Cut at a character's end: names are UTF-8.
void tl_mysql_name_set(struct mysql_name *name, struct tl_bytes text)
{
	struct tl_bytes kept = tl_bytes_cut(text, MYSQL_NAME_BYTES_MAX);

	name->len = (uint8_t)kept.len;
	if (kept.len != 0)
		memcpy(name->text, kept.ptr, kept.len);
}

bool tl_mysql_is_greeting(struct tl_bytes payload)
{
	uint32_t end = tl_bytes_find(payload, 0, 1);

	return payload.len >= GREETING_BYTES_MIN && payload.ptr[0] == 10 && end != TL_BYTES_NONE &&
	       end > 1 && end <= MYSQL_NAME_BYTES_MAX + 1 && payload.len >= end + 14 &&
	       payload.ptr[end + 13] == 0 && // behind the first part of the scramble
	       is_printable(tl_bytes(payload.ptr + 1, end - 1));
}

bool tl_mysql_is_login(struct tl_bytes payload)
{
	if (payload.len < LOGIN_BYTES_MIN ||
	    (tl_load_le32(payload.ptr) & MYSQL_CAP_PROTOCOL_41) == 0)
		return false;
	// The last four of these bytes are MariaDB's own capabilities.
	for (uint32_t i = 9; i < 28; i++)
		if (payload.ptr[i] != 0)
			return false;
	return true;
}

void tl_mysql_read_greeting(struct mysql_call *call)
{
	struct mysql *my = call->my;
	struct tl_cursor c = tl_cursor(call->payload);

	(void)tl_cursor_u8(&c);
	struct tl_bytes version = tl_mysql_nul_text(&c);
	my->thread_id = tl_cursor_le32(&c);
	(void)tl_cursor_take(&c, 9); // scramble
	uint32_t low = tl_cursor_le16(&c);
	(void)tl_cursor_take(&c, 3); // charset, status
	uint32_t high = tl_cursor_le16(&c);
	// MariaDB passes for a 5.5 where old replicas look.
	if (tl_bytes_starts(version, "5.5.5-"))
		version = tl_bytes_from(version, 6);
	tl_mysql_name_set(&my->version, version);
	my->capabilities = c.failed ? UINT32_MAX : low | high << 16;
	my->greeting_end = call->end;
	my->is_greeted = true;
}

// Attributes (pairs of length-encoded strings) of a login, as a map.
static void read_attributes(struct mysql_call *call, struct tl_cursor *c)
{
	uint64_t len = tl_mysql_lenenc(c);
	uint32_t left = tl_cursor_left(c);
	struct tl_cursor pairs = tl_cursor(tl_cursor_take(c, len < left ? len : left));

	for (uint32_t i = 0; i < MYSQL_ATTRIBUTES_MAX && tl_cursor_left(&pairs) != 0; i++) {
		struct tl_bytes name = tl_cursor_take(&pairs, tl_mysql_lenenc(&pairs));
		struct tl_bytes value = tl_cursor_take(&pairs, tl_mysql_lenenc(&pairs));
		if (!pairs.failed)
			tl_message_pair(call->ctx, call->lane, MYSQL_FIELD_ATTRIBUTES, name, value);
	}
}

static void show_plugin(struct mysql_call *call, struct tl_bytes plugin)
{
	if (plugin.len != 0 && is_printable(plugin))
		tl_message_text(call->ctx, call->lane, MYSQL_FIELD_AUTH_PLUGIN, plugin);
}

// From here on both directions are TLS.
static void switch_to_tls(struct mysql_call *call)
{
	uint64_t offset[TL_LANE_COUNT] = {
		[TL_CLIENT] = call->end,
		[TL_SERVER] = call->my->greeting_end,
	};
	uint64_t key = call->my->next_key - 1;

	tl_message_end(call->ctx, call->lane, call->end);
	tl_cancel(call->ctx, TL_CLIENT, key, TL_STATUS_OK, TL_REASON_TLS);
	tl_switch(call->ctx, TL_PROTOCOL_DETECT, offset);
}

static void skip_secret(struct tl_cursor *c, uint32_t capabilities)
{
	if ((capabilities & MYSQL_CAP_LENENC_AUTH) != 0)
		(void)tl_cursor_take(c, tl_mysql_lenenc(c));
	else if ((capabilities & MYSQL_CAP_SECURE_CONNECTION) != 0)
		(void)tl_cursor_take(c, tl_cursor_u8(c));
	else
		(void)tl_mysql_nul_text(c);
}

void tl_mysql_read_login(struct mysql_call *call)
{
	struct mysql *my = call->my;
	struct tl_cursor c = tl_cursor(call->payload);
	uint32_t capabilities = tl_cursor_le32(&c);

	my->capabilities = (my->is_greeted ? my->capabilities : UINT32_MAX) & capabilities;
	my->has_login = true;
	my->user.len = my->schema.len = 0;
	(void)tl_cursor_take(&c, LOGIN_BYTES_MIN - 4);
	if (call->len == LOGIN_BYTES_MIN && (capabilities & MYSQL_CAP_SSL) != 0) {
		tl_mysql_begin(call);
		tl_mysql_open(call, MYSQL_LOGIN, false);
		tl_mysql_show_command(call, MYSQL_LOGIN);
		switch_to_tls(call);
		return;
	}
	struct tl_bytes user = tl_mysql_nul_text(&c);
	skip_secret(&c, capabilities);
	struct tl_bytes schema = tl_bytes(NULL, 0);
	if ((capabilities & MYSQL_CAP_CONNECT_WITH_DB) != 0)
		schema = tl_mysql_nul_text(&c);
	struct tl_bytes plugin = tl_bytes(NULL, 0);
	if ((capabilities & MYSQL_CAP_PLUGIN_AUTH) != 0)
		plugin = tl_mysql_nul_text(&c);
	tl_mysql_name_set(&my->user, user);
	tl_mysql_name_set(&my->schema, c.failed ? tl_bytes(NULL, 0) : schema);
	tl_mysql_begin(call);
	tl_mysql_open(call, MYSQL_LOGIN, false);
	tl_mysql_show_session(call, MYSQL_LOGIN);
	if (!c.failed)
		show_plugin(call, plugin);
	if ((capabilities & MYSQL_CAP_CONNECT_ATTRS) != 0 && !c.failed)
		read_attributes(call, &c);
}

void tl_mysql_read_change_user(struct mysql_call *call)
{
	struct mysql *my = call->my;
	struct tl_cursor c = tl_cursor(tl_bytes_from(call->payload, 1));
	struct tl_bytes user = tl_mysql_nul_text(&c);

	if (!my->has_login || (my->capabilities & MYSQL_CAP_SECURE_CONNECTION) != 0)
		(void)tl_cursor_take(&c, tl_cursor_u8(&c));
	else
		(void)tl_mysql_nul_text(&c);
	struct tl_bytes schema = tl_mysql_nul_text(&c);
	if (c.failed)
		schema.len = 0;
	tl_mysql_begin(call);
	tl_mysql_open(call, MYSQL_CHANGE_USER, true);
	tl_mysql_show_command(call, MYSQL_CHANGE_USER);
	// Whether it succeeds or not, the old user's session is over.
	tl_mysql_name_set(&my->user, user);
	tl_mysql_name_set(&my->next_schema, schema);
	my->schema.len = 0;
	tl_mysql_forget_statements(call);
	tl_message_text(call->ctx, call->lane, MYSQL_FIELD_USER, tl_mysql_name_bytes(&my->user));
	if (schema.len != 0)
		tl_message_text(call->ctx, call->lane, MYSQL_FIELD_SCHEMA, schema);
	(void)tl_cursor_le16(&c); // charset
	if ((my->capabilities & MYSQL_CAP_PLUGIN_AUTH) != 0) {
		struct tl_bytes plugin = tl_mysql_nul_text(&c);
		if (!c.failed)
			show_plugin(call, plugin);
	}
	if ((my->capabilities & MYSQL_CAP_CONNECT_ATTRS) != 0 && tl_cursor_left(&c) != 0)
		read_attributes(call, &c);
}
