// SPDX-License-Identifier: Apache-2.0
#include "flow/table.h"

#include "base/check.h"

#include <errno.h>
#include <stddef.h>

#define EVICT_SAMPLE 16u // flows looked at for a victim: near enough to the oldest

int tl_flow_table_init(struct tl_flow_table *table, const struct tl_flow_options *options,
		       uint64_t seed)
{
	*table = (struct tl_flow_table) {.seed = seed, .key_parts = tl_key_parts(options)};
	if (options->flows_max == 0 || options->flows_max > INT32_MAX)
		return -EINVAL;
	int error = tl_pool_init(&table->pool, sizeof(struct tl_flow), (uint32_t)options->flows_max);
	if (error == 0)
		error = tl_index_init(&table->index, options->flows_max);
	if (error == 0)
		error = tl_wheel_init(&table->wheel, (uint32_t)options->flows_max);
	if (error == 0)
		table->paths = tl_map(options->flows_max * sizeof(*table->paths));
	if (error == 0 && table->paths == NULL)
		error = -ENOMEM;
	if (error != 0)
		tl_flow_table_fini(table);
	return error;
}

void tl_flow_table_fini(struct tl_flow_table *table)
{
	tl_unmap(table->paths, table->pool.count * sizeof(*table->paths));
	tl_wheel_fini(&table->wheel);
	if (table->index.buckets != NULL)
		tl_index_fini(&table->index);
	tl_pool_fini(&table->pool);
}

struct lookup {
	const struct tl_flow_table *table;
	const struct tl_tuple *tuple;
	const struct tl_outer *outer;
	uint8_t side;
};

static inline bool is_flow(const void *pool, uint32_t id, const void *key)
{
	const struct lookup *k = key;
	const struct tl_flow *flow =
		(const struct tl_flow *)(const void *)((const uint8_t *)pool +
						       (size_t)id * sizeof(*flow));

	return tl_flow_has(flow, k->table, k->tuple, k->outer, k->side);
}

struct tl_flow *tl_flow_table_find(const struct tl_flow_table *table, uint32_t hash,
				   const struct tl_tuple *tuple, const struct tl_outer *outer)
{
	const struct lookup key = {table, tuple, outer, tl_tuple_side(tuple)};
	uint32_t id = tl_index_find(&table->index, hash, is_flow, table->pool.base, &key);
	return id == TL_INDEX_NONE ? NULL : tl_flow_at(table, id);
}

static void begin(struct tl_flow_table *table, struct tl_flow *flow, const struct tl_outer *outer)
{
	if (++table->serial == 0)
		table->serial = 1;
	flow->serial = table->serial;
	flow->outer = *outer;
	flow->verdict = TL_VERDICT_NO_PAYLOAD;
	flow->booked = TL_VERDICT_NO_PAYLOAD;
	flow->copies = TL_POOL_NONE;
	flow->reorder = TL_POOL_NONE;
}

struct tl_flow *tl_flow_table_add(struct tl_flow_table *table, uint32_t hash,
				  const struct tl_tuple *tuple, const struct tl_outer *outer)
{
	struct tl_flow *flow = tl_pool_take(&table->pool);
	if (flow == NULL)
		return NULL;
	if (!tl_index_insert(&table->index, hash, tl_flow_id(table, flow))) {
		tl_pool_put(&table->pool, flow);
		return NULL;
	}
	uint8_t s = tl_tuple_side(tuple);
	memcpy(flow->address[s], tuple->source, 16);
	memcpy(flow->address[s ^ 1], tuple->destination, 16);
	flow->tcp_port[s] = tuple->source_port;
	flow->tcp_port[s ^ 1] = tuple->destination_port;
	flow->ip_version = tuple->ip_version;
	flow->bits = tuple->protocol == 17 ? TL_FLOW_UDP : 0;
	begin(table, flow, outer);
	return flow;
}

void tl_flow_table_renew(struct tl_flow_table *table, struct tl_flow *flow,
			 const struct tl_outer *outer)
{
	TL_CHECK(flow->conn == NULL && flow->reorder == TL_POOL_NONE);
	flow->bits &= TL_FLOW_UDP;
	flow->last_ns = 0;
	flow->payload_bytes = 0;
	memset(flow->side, 0, sizeof(flow->side));
	flow->isn = 0;
	flow->rtt_us = 0;
	begin(table, flow, outer);
}

void tl_flow_table_remove(struct tl_flow_table *table, struct tl_flow *flow)
{
	struct tl_tuple tuple = {
		.source_port = flow->tcp_port[0],
		.destination_port = flow->tcp_port[1],
		.protocol = tl_flow_is(flow, TL_FLOW_UDP) ? 17 : 6,
		.ip_version = flow->ip_version,
	};
	uint32_t id = tl_flow_id(table, flow);

	TL_CHECK(flow->serial != 0 && flow->conn == NULL && flow->reorder == TL_POOL_NONE);
	memcpy(tuple.source, flow->address[0], 16);
	memcpy(tuple.destination, flow->address[1], 16);
	tl_index_remove(&table->index, tl_flow_table_hash(table, &tuple, &flow->outer), id);
	tl_wheel_disarm(&table->wheel, id);
	flow->serial = 0;
	tl_pool_put(&table->pool, flow);
}

struct tl_flow *tl_flow_table_victim(struct tl_flow_table *table, uint64_t now_ns, uint64_t idle_ns)
{
	struct tl_flow *oldest = NULL;

	for (uint32_t i = 0; i < EVICT_SAMPLE && i < table->pool.touched; i++) {
		// A stride that is prime to every table size samples all ages alike.
		table->evict_at = (uint32_t)((table->evict_at + 2654435761u) % table->pool.touched);
		struct tl_flow *flow = tl_flow_at(table, table->evict_at);
		if (flow->serial == 0)
			continue;
		if (tl_flow_is(flow, TL_FLOW_CLOSED))
			return flow;
		if (oldest == NULL || flow->last_ns < oldest->last_ns)
			oldest = flow;
	}
	return oldest != NULL && oldest->last_ns + idle_ns <= now_ns ? oldest : NULL;
}

uint64_t tl_connection_id(const struct tl_tuple *tuple, uint64_t first_ns)
{
	struct {
		uint8_t address[2][16];
		uint16_t port[2];
		uint32_t protocol;
		uint64_t first_ns;
	} key = {.protocol = tuple->protocol, .first_ns = first_ns};
	uint8_t s = tl_tuple_side(tuple);

	_Static_assert(sizeof(key) == 48, "hashed whole: no padding");
	memcpy(key.address[s], tuple->source, 16);
	memcpy(key.address[s ^ 1], tuple->destination, 16);
	key.port[s] = tuple->source_port;
	key.port[s ^ 1] = tuple->destination_port;
	return tl_hash64(&key, sizeof(key), 0);
}
