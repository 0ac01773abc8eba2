// SPDX-License-Identifier: Apache-2.0
#include "flow/syn.h"

#include "base/check.h"
#include "flow/table.h"

#include <errno.h>

int tl_syn_table_init(struct tl_syn_table *table, const struct tl_flow_options *options,
		      uint64_t seed)
{
	*table = (struct tl_syn_table) {.key_parts = tl_key_parts(options), .seed = seed};
	if (options->syn_max == 0 || options->syn_max > INT32_MAX)
		return -EINVAL;
	int error = tl_pool_init(&table->pool, sizeof(struct tl_syn), (uint32_t)options->syn_max);
	if (error == 0)
		error = tl_index_init(&table->index, options->syn_max);
	if (error == 0)
		error = tl_wheel_init(&table->wheel, (uint32_t)options->syn_max);
	if (error != 0)
		tl_syn_table_fini(table);
	return error;
}

void tl_syn_table_fini(struct tl_syn_table *table)
{
	tl_wheel_fini(&table->wheel);
	if (table->index.buckets != NULL)
		tl_index_fini(&table->index);
	tl_pool_fini(&table->pool);
}

struct lookup {
	const struct tl_tuple *tuple;
	uint16_t outer;
	uint8_t side;
};

static inline bool is_syn(const void *pool, uint32_t id, const void *key)
{
	const struct lookup *k = key;
	const struct tl_syn *syn = tl_pool_at(pool, id);
	uint8_t s = k->side;

	return tl_address_equal(syn->address[s], k->tuple->source) &&
	       tl_address_equal(syn->address[s ^ 1], k->tuple->destination) &&
	       syn->tcp_port[s] == k->tuple->source_port &&
	       syn->tcp_port[s ^ 1] == k->tuple->destination_port && syn->outer == k->outer;
}

struct tl_syn *tl_syn_find(const struct tl_syn_table *table, uint32_t hash,
			   const struct tl_tuple *tuple, const struct tl_outer *outer)
{
	const struct lookup key = {tuple, tl_key_outer(table->key_parts, outer),
				   tl_tuple_side(tuple)};

	if (table->index.used == 0)
		return NULL;
	uint32_t id = tl_index_find(&table->index, hash, is_syn, &table->pool, &key);
	return id == TL_INDEX_NONE ? NULL : tl_pool_at(&table->pool, id);
}

struct tl_syn *tl_syn_add(struct tl_syn_table *table, uint32_t hash, const struct tl_tuple *tuple,
			  const struct tl_outer *outer)
{
	struct tl_syn *syn = tl_pool_take(&table->pool);
	if (syn == NULL)
		return NULL;
	if (!tl_index_insert(&table->index, hash, tl_pool_index(&table->pool, syn))) {
		tl_pool_put(&table->pool, syn);
		return NULL;
	}
	uint8_t s = tl_tuple_side(tuple);
	memcpy(syn->address[s], tuple->source, 16);
	memcpy(syn->address[s ^ 1], tuple->destination, 16);
	syn->tcp_port[s] = tuple->source_port;
	syn->tcp_port[s ^ 1] = tuple->destination_port;
	syn->outer = tl_key_outer(table->key_parts, outer);
	syn->bits = tuple->ip_version == 6 ? TL_SYN_IP6 : 0;
	return syn;
}

void tl_syn_remove(struct tl_syn_table *table, uint32_t hash, struct tl_syn *syn)
{
	uint32_t id = tl_pool_index(&table->pool, syn);
	tl_index_remove(&table->index, hash, id);
	tl_wheel_disarm(&table->wheel, id);
	tl_pool_put(&table->pool, syn);
}

struct tl_syn *tl_syn_oldest(const struct tl_syn_table *table)
{
	uint32_t id = tl_wheel_first(&table->wheel);
	return id == TL_WHEEL_NONE ? NULL : tl_pool_at(&table->pool, id);
}

void tl_syn_tuple(const struct tl_syn *syn, struct tl_tuple *ret_tuple)
{
	uint8_t client = (syn->bits & TL_SYN_CLIENT_1) != 0;

	*ret_tuple = (struct tl_tuple) {
		.source_port = syn->tcp_port[client],
		.destination_port = syn->tcp_port[client ^ 1],
		.protocol = 6,
		.ip_version = (syn->bits & TL_SYN_IP6) != 0 ? 6 : 4,
	};
	memcpy(ret_tuple->source, syn->address[client], 16);
	memcpy(ret_tuple->destination, syn->address[client ^ 1], 16);
}
