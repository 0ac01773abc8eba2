// SPDX-License-Identifier: Apache-2.0
// A finished exchange becomes a record: the time split, identity and flags are decided here and
// nowhere else.
#include "l7/roundtrip.h"

#include "l7/core.h"

#include <string.h>

static const char *const status_names[] = {
	[TL_STATUS_OK] = "ok",
	[TL_STATUS_CLIENT_ERROR] = "client_error",
	[TL_STATUS_SERVER_ERROR] = "server_error",
	[TL_STATUS_TIMEOUT] = "timeout",
	[TL_STATUS_RESET] = "reset",
	[TL_STATUS_CANCELLED] = "cancelled",
	[TL_STATUS_UNANSWERED] = "unanswered",
	[TL_STATUS_ORPHAN] = "orphan",
	[TL_STATUS_ONE_WAY] = "one_way",
};
_Static_assert(TL_COUNT_OF(status_names) == TL_STATUS_COUNT, "every status has a name");

#define REASON_WORD(id, word) [TL_REASON_##id] = word,
static const char *const reason_names[] = {TL_REASONS(REASON_WORD)};

const char *tl_status_name(enum tl_status status)
{
	return (unsigned)status < TL_STATUS_COUNT ? status_names[status] : "";
}

const char *tl_reason_name(enum tl_reason reason)
{
	return (unsigned)reason < TL_REASON_COUNT ? reason_names[reason] : "";
}

static void fill_identity(const struct tl_ctx *ctx, struct tl_roundtrip *record)
{
	struct tl_flow_identity flow;

	tl_flow_identity(ctx->conn->flow, &flow);
	// A hole before anything was recognised is as good as a late join.
	bool is_late = flow.is_late_join || ctx->conn->is_late_join;
	record->flags |= is_late ? TL_FLAG_LATE_JOIN : 0;
	record->flags |= flow.is_one_sided ? TL_FLAG_ONE_SIDED : 0;
	record->ip_version = flow.ip_version;
	record->l4 = flow.l4;
	record->port = flow.port;
	record->connection_id = flow.connection_id;
	memcpy(record->client_address, flow.client_address, sizeof(record->client_address));
	memcpy(record->server_address, flow.server_address, sizeof(record->server_address));
	record->client_port = flow.client_port;
	record->server_port = flow.server_port;
	record->rtt_us = flow.rtt_us;
	record->outer = flow.outer;
	const struct tl_extra *extra = tl_conn_extra(ctx->l7, ctx->conn);
	if (extra != NULL && extra->proxied_port != 0) {
		memcpy(record->proxied_address, extra->proxied_address,
		       sizeof(record->proxied_address));
		record->proxied_port = extra->proxied_port;
	}
}

static void fill_half(struct tl_half *half, const struct tl_message *message)
{
	half->first_ns = message->first_ns;
	half->end_ns = message->end_ns > message->first_ns ? message->end_ns : message->first_ns;
	half->bytes = message->end_offset - message->begin_offset;
	half->body_bytes = message->body_bytes;
	half->seen = 1;
}

// `later` - `earlier`, 0 and `estimated` where the capture's clock says otherwise.
static uint64_t span(struct tl_roundtrip *record, uint64_t earlier, uint64_t later)
{
	if (later >= earlier)
		return later - earlier;
	record->flags |= TL_FLAG_ESTIMATED;
	return 0;
}

static void split_times(struct tl_roundtrip *record, const struct tl_completion *done)
{
	const struct tl_half *request = &record->request;
	const struct tl_half *response = &record->response;

	if (request->seen == 0) {
		record->response_ns = response->end_ns - response->first_ns;
	} else if (response->seen == 0) {
		record->request_ns = request->end_ns - request->first_ns;
		if (record->status != TL_STATUS_ONE_WAY && done->end_ns > request->end_ns)
			record->server_ns = done->end_ns - request->end_ns;
	} else if (response->first_ns < request->end_ns ||
		   (record->flags & TL_FLAG_EARLY_RESPONSE) != 0) {
		record->flags |= TL_FLAG_EARLY_RESPONSE;
		record->request_ns = span(record, request->first_ns, response->first_ns);
		record->response_ns = response->end_ns - response->first_ns;
	} else {
		record->request_ns = request->end_ns - request->first_ns;
		record->server_ns = response->first_ns - request->end_ns;
		record->response_ns = response->end_ns - response->first_ns;
	}
	record->duration_ns = record->request_ns + record->server_ns + record->response_ns;
	record->wait_ns = done->wait_ns < record->server_ns ? done->wait_ns : record->server_ns;
}

static uint32_t put_tail(const struct tl_l7 *l7, uint8_t *at, const struct tl_message *message)
{
	if (message == NULL || message->tail_len == 0)
		return 0;
	memcpy(at, tl_slab_at(&l7->values, message->tail), message->tail_len);
	return message->tail_len;
}

static void fill_messages(const struct tl_l7 *l7, struct tl_roundtrip *record,
			  const struct tl_completion *done)
{
	const struct tl_message *halves[] = {done->request, done->response};
	uint64_t stall_us = 0;

	for (uint32_t i = 0; i < TL_COUNT_OF(halves); i++) {
		const struct tl_message *message = halves[i];
		if (message == NULL)
			continue;
		fill_half(i == 0 ? &record->request : &record->response, message);
		record->flags |= message->flags;
		stall_us += message->stall_us;
		if (TL_LIKELY(message->trace == TL_SLAB_NONE) || record->trace.flags != 0)
			continue;
		const struct tl_trace *trace = tl_slab_at(&l7->values, message->trace);
		if ((trace->flags & TL_TRACE_PRESENT) != 0)
			record->trace = *trace;
	}
	if (stall_us != 0 || done->retries != 0)
		record->flags |= TL_FLAG_RETRANSMITTED;
	split_times(record, done);
	uint64_t stall_ns = stall_us * 1000;
	record->stall_ns = stall_ns < record->duration_ns ? stall_ns : record->duration_ns;
}

static uint32_t put_path(const struct tl_l7 *l7, uint8_t *at, const struct tl_flow *flow)
{
	const struct tl_path *path = l7->flows != NULL ? tl_flow_path(l7->flows, flow) : NULL;

	if (TL_LIKELY(path == NULL))
		return 0;
	memcpy(at, path, sizeof(*path));
	return sizeof(*path);
}

void tl_roundtrip_emit(struct tl_ctx *ctx, const struct tl_completion *done)
{
	struct tl_l7 *l7 = ctx->l7;
	struct tl_roundtrip *record = (struct tl_roundtrip *)(void *)l7->scratch;
	uint8_t *tails = l7->scratch + sizeof(*record);

	// By the library, which is faster than the string instruction that a known size becomes.
	size_t size = sizeof(*record);
	__asm__("" : "+r"(size));
	memset(record, 0, size);
	record->protocol = done->protocol;
	record->status = done->status;
	record->reason = done->reason;
	record->retries = done->retries;
	record->worker = l7->worker;
	record->serial = ++l7->serial;
	record->flags = done->opener == TL_SERVER ? TL_FLAG_FROM_SERVER : 0;
	record->flags |= done->reason == TL_REASON_GAP ? TL_FLAG_GAP : 0;
	fill_identity(ctx, record);
	fill_messages(l7, record, done);
	record->request.tail_len = put_tail(l7, tails, done->request);
	if (done->bare_response)
		record->response.bytes = record->response.body_bytes = 0;
	else
		record->response.tail_len =
			put_tail(l7, tails + record->request.tail_len, done->response);
	uint32_t used = record->request.tail_len + record->response.tail_len;
	record->path_len = put_path(l7, tails + used, ctx->conn->flow);
	used += record->path_len;
	uint32_t padded = (used + 7u) & ~7u;
	memset(tails + used, 0, padded - used);
	record->size = (uint32_t)sizeof(*record) + padded;
	tl_l7_count(l7, TL_COUNT_RECORDS, 1);
	l7->complete(l7->arg, record);
}
