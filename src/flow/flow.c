// SPDX-License-Identifier: Apache-2.0
#include "flow/flow.h"

#include "base/check.h"
#include "flow/table.h"

const char *tl_verdict_name(uint16_t verdict)
{
	static const char *const names[] = {
		[TL_VERDICT_NO_PAYLOAD - TL_VERDICT_BASE] = "no_payload",
		[TL_VERDICT_UNDECIDED - TL_VERDICT_BASE] = "undecided",
		[TL_VERDICT_UNKNOWN - TL_VERDICT_BASE] = "unknown",
		[TL_VERDICT_IGNORED - TL_VERDICT_BASE] = "ignored",
		[TL_VERDICT_TLS - TL_VERDICT_BASE] = "tls",
		[TL_VERDICT_QUIC - TL_VERDICT_BASE] = "quic",
		[TL_VERDICT_SSH - TL_VERDICT_BASE] = "ssh",
		[TL_VERDICT_UPGRADED - TL_VERDICT_BASE] = "upgraded",
		[TL_VERDICT_AMQP_1_0 - TL_VERDICT_BASE] = "amqp_1_0",
	};
	_Static_assert(TL_COUNT_OF(names) == TL_VERDICT_COUNT, "every verdict has a name");
	if (verdict < TL_VERDICT_BASE || verdict >= TL_VERDICT_END)
		return NULL;
	return names[verdict - TL_VERDICT_BASE];
}

void tl_flow_identity(const struct tl_flow *flow, struct tl_flow_identity *ret_identity)
{
	uint8_t client = tl_flow_client_side(flow);
	uint8_t server = client ^ 1;
	const uint32_t both = TL_FLOW_SEEN | TL_FLOW_SEEN << 1;

	*ret_identity = (struct tl_flow_identity) {
		.client_port = flow->tcp_port[client],
		.server_port = flow->tcp_port[server],
		.ip_version = flow->ip_version,
		.l4 = tl_flow_is(flow, TL_FLOW_UDP) ? 17 : 6,
		.port = flow->port,
		.is_late_join = tl_flow_is(flow, TL_FLOW_LATE),
		.is_one_sided = (flow->bits & both) != both,
		.client_is_sure = tl_flow_is(flow, TL_FLOW_CLIENT_SURE),
		.connection_id = flow->connection_id,
		.last_ns = flow->last_ns,
		.rtt_us = flow->rtt_us,
		.outer = flow->outer,
	};
	memcpy(ret_identity->client_address, flow->address[client], 16);
	memcpy(ret_identity->server_address, flow->address[server], 16);
}

const struct tl_path *tl_flow_path(const struct tl_flow_table *table, const struct tl_flow *flow)
{
	if (TL_LIKELY(!tl_outer_has_path(&flow->outer)))
		return NULL;
	const struct tl_path *path = tl_flow_path_at(table, flow);
	// VLAN ids alone stand all in `outer` unless there are more, one label is what it names.
	uint32_t told = flow->outer.tunnel_depth == 0 ? TL_VLANS_KEPT_MAX : 1;
	return path->count > told ? path : NULL;
}

uint8_t tl_flow_client_side(const struct tl_flow *flow)
{
	return tl_flow_is(flow, TL_FLOW_CLIENT_1);
}

void tl_flow_set_client_side(struct tl_flow *flow, uint8_t side)
{
	if (tl_flow_is(flow, TL_FLOW_CLIENT_SURE))
		return;
	if (side != 0)
		tl_flow_mark(flow, TL_FLOW_CLIENT_1);
	else
		tl_flow_unmark(flow, TL_FLOW_CLIENT_1);
}

uint16_t tl_flow_verdict(const struct tl_flow *flow)
{
	return flow->verdict;
}

void tl_flow_set_verdict(struct tl_flow *flow, uint16_t verdict)
{
	flow->verdict = verdict;
}
