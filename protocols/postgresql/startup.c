// SPDX-License-Identifier: Apache-2.0
// The start-up phase's packets without a type: StartupMessage, SSLRequest, GSSENCRequest,
// CancelRequest, and the byte that answers a request for encryption.
// Sources: PostgreSQL 18 documentation, sections 54.2.1 (start-up), 54.2.8 (cancelling), 54.7.
#include "protocols/postgresql/state.h"

#define PARAMETERS_MAX 64u

static void remember(char kept[PG_NAME_BYTES_MAX + 1], uint8_t *len, struct tl_bytes value)
{
	struct tl_bytes name = tl_bytes_cut(value, PG_NAME_BYTES_MAX); // as the server does

	*len = (uint8_t)name.len;
	if (name.len != 0)
		memcpy(kept, name.ptr, name.len);
}

void tl_pg_set_application(struct pg *pg, struct tl_bytes name)
{
	remember(pg->application, &pg->application_len, name);
}

static void read_parameters(struct pg_call *call, struct tl_bytes packet)
{
	struct tl_cursor c = tl_cursor(tl_bytes_from(packet, PG_STARTUP_HEAD_BYTES));
	struct pg *pg = call->pg;

	for (uint32_t i = 0; i < PARAMETERS_MAX; i++) {
		struct tl_bytes name = pg_string(&c);
		struct tl_bytes value = pg_string(&c);
		if (c.failed || name.len == 0)
			break;
		if (tl_bytes_is(name, "user"))
			remember(pg->user, &pg->user_len, value);
		else if (tl_bytes_is(name, "database"))
			remember(pg->database, &pg->database_len, value);
		else if (tl_bytes_is(name, "application_name"))
			tl_pg_set_application(pg, value);
		else if (tl_bytes_is(name, "replication"))
			tl_message_text(call->ctx, TL_CLIENT, PG_FIELD_REPLICATION, value);
	}
	// The server takes the user's name for the database when none is given.
	if (pg->database_len == 0) {
		memcpy(pg->database, pg->user, pg->user_len);
		pg->database_len = pg->user_len;
	}
}

static void show_version(struct pg_call *call, struct tl_bytes packet)
{
	uint32_t minor = tl_load_be16(packet.ptr + 6);
	char text[8] = "3.";
	uint32_t len = 2;
	char digits[5];
	uint32_t count = 0;

	do {
		digits[count++] = (char)('0' + minor % 10);
		minor /= 10;
	} while (minor != 0);
	while (count != 0)
		text[len++] = digits[--count];
	tl_message_text(call->ctx, TL_CLIENT, PG_FIELD_VERSION, tl_bytes(text, len));
}

static void begin(struct pg_call *call, uint64_t offset, enum pg_command command)
{
	tl_message_begin(call->ctx, TL_CLIENT, offset);
	tl_message_text(call->ctx, TL_CLIENT, PG_FIELD_COMMAND, tl_pg_command((uint8_t)command));
	call->pg->is_settled = true;
}

// Refused encryption and the StartupMessage are one request.
static void begin_startup(struct pg_call *call, uint64_t offset)
{
	if (tl_message_is_open(call->ctx, TL_CLIENT))
		return;
	begin(call, offset, PG_COMMAND_STARTUP);
	tl_pg_client_queue(call, PG_KIND_STARTUP, true);
}

void tl_pg_startup(struct pg_call *call, struct tl_bytes packet, uint64_t offset)
{
	struct tl_ctx *ctx = call->ctx;
	uint64_t end = offset + packet.len;
	uint16_t minor = tl_load_be16(packet.ptr + 6);

	if (tl_load_be16(packet.ptr + 4) != PG_CODE_MAJOR) {
		begin_startup(call, offset);
		show_version(call, packet);
		read_parameters(call, packet);
		tl_pg_client_session(call);
		tl_message_end(ctx, TL_CLIENT, end);
		call->pg->client.started = true;
		call->pg->client.group++;
	} else if (minor == PG_CODE_CANCEL) {
		begin(call, offset, PG_COMMAND_CANCEL);
		// The secret behind it is not kept.
		tl_message_uint(ctx, TL_CLIENT, PG_FIELD_BACKEND_PID, tl_load_be32(packet.ptr + 8));
		tl_one_way(ctx, TL_CLIENT);
		tl_message_end(ctx, TL_CLIENT, end);
	} else {
		begin_startup(call, offset);
		call->pg->asks_encryption = minor == PG_CODE_GSS ? 'G' : 'S';
		call->pg->client.begin = end; // encrypted bytes would follow here
	}
}

bool tl_pg_encryption_answer(struct pg_call *call, uint8_t answer, uint64_t offset)
{
	struct tl_ctx *ctx = call->ctx;
	uint64_t key;

	call->pg->asks_encryption = 0;
	if (answer == 'E') // nothing else follows the request
		tl_message_end(ctx, TL_CLIENT, call->pg->client.begin);
	if (answer == 'N' || answer == 'E')
		return false;
	if (tl_pending_oldest(ctx, TL_CLIENT, &key) != NULL) {
		tl_message_end(ctx, TL_CLIENT, call->pg->client.begin);
		tl_message_begin(ctx, TL_SERVER, offset);
		tl_message_end(ctx, TL_SERVER, offset + 1);
		tl_close(ctx, TL_SERVER, key, TL_STATUS_OK, TL_REASON_TLS);
	}
	return true;
}
