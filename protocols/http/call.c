// SPDX-License-Identifier: Apache-2.0
// Calls of gRPC-Web: requests whose content type says so, and their responses. The record is gRPC's;
// the message, where it ends and what answers it are HTTP's as ever. Of a call's body the heads of its
// messages are read, and the trailers that it ends with.
// Source: github.com/grpc/grpc, doc/PROTOCOL-WEB.md.
#include "state.h"

static struct http_room *room_of(const struct http_call *call)
{
	return (struct http_room *)tl_room(call->ctx);
}

// Of the call that the lane is reading; NULL when it is over already.
static struct tl_grpc *grpc_of(const struct http_call *call)
{
	return (struct tl_grpc *)tl_inner_state(call->ctx, TL_CLIENT,
						room_of(call)->key[call->lane]);
}

// ---- Heads -----------------------------------------------------------------------------------

void tl_http_call_header(struct http_call *call, struct tl_bytes name, struct tl_bytes value)
{
	if (call->lane == TL_CLIENT) {
		struct http_room *room = room_of(call);
		if (room == NULL) // counted; the request stays one of HTTP
			return;
		call->http->has_room = true;
		if (tl_bytes_is_nocase(name, "content-type"))
			room->request.kind = (uint8_t)tl_grpc_kind_of(value);
		else if (tl_bytes_is_nocase(name, "grpc-timeout"))
			tl_grpc_request_timeout(&room->request, value);
		else
			tl_grpc_request_encoding(&room->request, value);
		return;
	}
	struct tl_grpc *grpc = grpc_of(call);
	if (grpc == NULL)
		return;
	tl_values_close(&call->values);
	tl_grpc_response_line(grpc, call->ctx, name, value);
}

void tl_http_call_begin(struct http_call *call, uint64_t end)
{
	struct http_room *room = room_of(call);
	uint64_t key = end - (uint32_t)((uint32_t)end - call->http->request_begin);

	if (room->request.kind == TL_GRPC_NONE)
		return;
	if (room->grpc_id == 0)
		room->grpc_id = tl_protocol_id("grpc");
	if (tl_grpc_begin(call->ctx, key, room->grpc_id, &room->request, true) == NULL)
		return;
	room->key[TL_CLIENT] = key;
	call->me->is_call = true;
}

bool tl_http_call_answer(struct http_call *call, uint64_t key)
{
	if (!call->http->has_room || tl_inner_state(call->ctx, TL_CLIENT, key) == NULL ||
	    !tl_answer(call->ctx, TL_SERVER, key))
		return false;
	tl_allow(call->ctx, TL_CLIENT, key, 0); // its next message may come at any time
	room_of(call)->key[TL_SERVER] = key;
	call->me->is_call = true;
	return true;
}

void tl_http_call_trailer(struct http_call *call, struct tl_bytes line)
{
	uint32_t colon = tl_bytes_find(line, ':', 0);

	if (colon != TL_BYTES_NONE && call->lane == TL_SERVER)
		tl_http_call_header(call, tl_bytes_trim(tl_bytes_first(line, colon)),
				    tl_bytes_trim(tl_bytes_from(line, colon + 1)));
}

// ---- Bodies ----------------------------------------------------------------------------------

static void count_down(struct http_lane *me, uint64_t bytes)
{
	if (me->left != TL_TO_THE_END)
		me->left -= bytes;
}

// What nobody looks at any more.
static struct tl_step pass(struct http_call *call)
{
	struct http_lane *me = call->me;
	uint64_t bytes = me->left;

	if (bytes == TL_TO_THE_END) {
		me->phase = HTTP_TO_END;
		me->left = call->view->offset;
		return tl_skip(TL_TO_THE_END);
	}
	me->left = 0;
	tl_message_body(call->ctx, call->lane, bytes);
	return tl_skip(bytes);
}

struct tl_step tl_http_call_body(struct http_call *call)
{
	struct http_lane *me = call->me;
	struct tl_bytes bytes = call->view->bytes;
	struct tl_grpc *grpc = grpc_of(call);
	uint64_t at = 0;
	uint32_t read = 0;

	while (me->left != 0) {
		uint64_t skip = grpc == NULL ? UINT64_MAX : tl_grpc_skip(grpc, call->lane);
		if (skip == UINT64_MAX && at == 0)
			return pass(call);
		if (skip == UINT64_MAX)
			break;
		if (skip != 0) {
			uint64_t len = skip < me->left ? skip : me->left;
			tl_grpc_skipped(grpc, call->lane, len);
			count_down(me, len);
			at += len;
			continue;
		}
		if (at >= bytes.len)
			break;
		struct tl_bytes part = tl_bytes_from(bytes, (uint32_t)at);
		if (part.len > me->left)
			part = tl_bytes_first(part, (uint32_t)me->left);
		uint32_t len = tl_grpc_read(grpc, call->ctx, call->lane, part,
					    call->view->offset + at);
		count_down(me, len);
		at += len;
		read = (uint32_t)at;
	}
	tl_message_body(call->ctx, call->lane, at);
	return at == read ? tl_ate(read) : tl_ate_and_skip(read, at);
}

// ---- Ends ------------------------------------------------------------------------------------

void tl_http_call_close(struct http_call *call)
{
	const struct tl_grpc *grpc = grpc_of(call);
	struct tl_grpc_outcome outcome = {.status = TL_STATUS_OK};

	if (grpc != NULL)
		outcome = tl_grpc_outcome(grpc, call->http->code, false);
	if (outcome.is_estimated)
		tl_message_flag(call->ctx, TL_SERVER, TL_FLAG_ESTIMATED);
	tl_close(call->ctx, TL_SERVER, room_of(call)->key[TL_SERVER], outcome.status, outcome.reason);
}

void tl_http_call_lost(struct http_call *call, uint64_t offset)
{
	struct tl_grpc *grpc = grpc_of(call);
	enum tl_lane lane = call->lane;

	if (grpc != NULL)
		grpc->lane[lane].is_lost = grpc->lane[lane].has_missed = true;
	if (lane == TL_SERVER &&
	    tl_message_resume(call->ctx, lane, TL_CLIENT, room_of(call)->key[lane]))
		tl_http_end_message(call, offset);
	call->me->is_call = false;
}
