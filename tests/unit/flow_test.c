// SPDX-License-Identifier: Apache-2.0
#include "flow/copies.h"
#include "flow/syn.h"
#include "flow/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define FLOWS 20000u

static struct tl_tuple tuple_of(uint32_t n, bool is_reverse)
{
	struct tl_tuple tuple = {.protocol = 6, .ip_version = 4};
	uint8_t *client = is_reverse ? tuple.destination : tuple.source;
	uint8_t *server = is_reverse ? tuple.source : tuple.destination;

	client[10] = client[11] = server[10] = server[11] = 0xff;
	client[12] = 10;
	client[14] = (uint8_t)(n >> 16);
	client[15] = (uint8_t)(n >> 8);
	server[12] = 192;
	server[15] = (uint8_t)n;
	tuple.source_port = is_reverse ? 80 : 40000;
	tuple.destination_port = is_reverse ? 40000 : 80;
	return tuple;
}

static const struct tl_outer no_outer;

static struct tl_flow *find(const struct tl_flow_table *table, uint32_t n, bool is_reverse)
{
	struct tl_tuple tuple = tuple_of(n, is_reverse);
	return tl_flow_table_find(table, tl_flow_table_hash(table, &tuple, &no_outer), &tuple,
				  &no_outer);
}

static void both_directions_find_a_flow_at_full_capacity(void **state)
{
	(void)state;
	struct tl_flow_table table;
	struct tl_flow_options options = {.flows_max = FLOWS};
	static struct tl_flow *flows[FLOWS];

	assert_int_equal(tl_flow_table_init(&table, &options, 99), 0);
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct tl_tuple tuple = tuple_of(i, i % 2 != 0);
		uint32_t hash = tl_flow_table_hash(&table, &tuple, &no_outer);
		assert_null(tl_flow_table_find(&table, hash, &tuple, &no_outer));
		flows[i] = tl_flow_table_add(&table, hash, &tuple, &no_outer);
		assert_non_null(flows[i]);
		assert_int_equal(flows[i]->serial, i + 1);
	}
	// One more finds no room.
	struct tl_tuple extra = tuple_of(FLOWS, false);
	assert_null(tl_flow_table_add(&table, 1, &extra, &no_outer));
	for (uint32_t i = 0; i < FLOWS; i++) {
		assert_ptr_equal(find(&table, i, false), flows[i]);
		assert_ptr_equal(find(&table, i, true), flows[i]);
	}
	// Every other one goes and comes back, three times, then goes for good.
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < FLOWS; i += 2)
			tl_flow_table_remove(&table, flows[i]);
		for (uint32_t i = 0; i < FLOWS; i += 2) {
			struct tl_tuple tuple = tuple_of(i, false);
			flows[i] = tl_flow_table_add(&table,
						     tl_flow_table_hash(&table, &tuple, &no_outer),
						     &tuple, &no_outer);
			assert_non_null(flows[i]);
		}
	}
	for (uint32_t i = 0; i < FLOWS; i += 2)
		tl_flow_table_remove(&table, flows[i]);
	for (uint32_t i = 0; i < FLOWS; i++)
		assert_ptr_equal(find(&table, i, false), i % 2 != 0 ? flows[i] : NULL);
	tl_flow_table_fini(&table);
}

// A key whose first bucket is full lives in its second one, and leaves nothing behind there.
static void index_spills_into_the_second_bucket(void **state)
{
	(void)state;
	struct tl_index index;
	const uint32_t hash = 0x12345678;

	assert_int_equal(tl_index_init(&index, 1000), 0);
	uint32_t first = hash & index.mask;
	uint32_t second = tl_index_second(&index, first, tl_index_signature(hash));
	assert_int_not_equal(first, second);
	for (uint32_t i = 0; i < 2 * TL_BUCKET_SLOTS; i++)
		assert_true(tl_index_insert(&index, hash, i));
	assert_false(tl_index_insert(&index, hash, 99));
	assert_int_equal(index.buckets[first].spilled, TL_BUCKET_SLOTS);
	for (uint32_t i = 0; i < 2 * TL_BUCKET_SLOTS; i++)
		tl_index_remove(&index, hash, i);
	assert_int_equal(index.buckets[first].spilled, 0);
	assert_int_equal(index.used, 0);
	tl_index_fini(&index);
}

// Flows and attempts of the tuple in `red` are those in `blue`, too, unless they are told apart.
static void check_apart(const struct tl_flow_options *options, const struct tl_outer *red,
			const struct tl_outer *blue, bool is_apart)
{
	struct tl_flow_table table;
	struct tl_syn_table syns;
	struct tl_tuple tuple = tuple_of(1, false);

	assert_int_equal(tl_flow_table_init(&table, options, 1), 0);
	assert_int_equal(tl_syn_table_init(&syns, options, 1), 0);
	uint32_t hash = tl_flow_table_hash(&table, &tuple, red);
	struct tl_flow *flow = tl_flow_table_add(&table, hash, &tuple, red);
	struct tl_syn *syn = tl_syn_add(&syns, hash, &tuple, red);
	assert_ptr_equal(tl_flow_table_find(&table, hash, &tuple, red), flow);
	assert_ptr_equal(tl_syn_find(&syns, hash, &tuple, red), syn);
	uint32_t other = tl_flow_table_hash(&table, &tuple, blue);
	assert_ptr_equal(tl_flow_table_find(&table, other, &tuple, blue), is_apart ? NULL : flow);
	assert_ptr_equal(tl_syn_find(&syns, other, &tuple, blue), is_apart ? NULL : syn);
	// The key is looked at and not its hash alone.
	assert_ptr_equal(tl_flow_table_find(&table, hash, &tuple, blue), is_apart ? NULL : flow);
	assert_int_equal(tl_flow_table_hash_in(&table, &tuple, syn->outer), hash);
	tl_syn_remove(&syns, hash, syn);
	tl_flow_table_remove(&table, flow);
	assert_int_equal(table.index.used, 0);
	assert_int_equal(syns.index.used, 0);
	tl_syn_table_fini(&syns);
	tl_flow_table_fini(&table);
}

static void surroundings_tell_flows_apart_on_request(void **state)
{
	(void)state;
	const struct tl_outer vlans[] = {{.vlans = {10}, .vlan_count = 1},
					 {.vlans = {20}, .vlan_count = 1}};
	const struct tl_outer tunnels[] = {
		{.tunnel = TL_TUNNEL_VXLAN, .tunnel_id = 10, .tunnel_depth = 1},
		{.tunnel = TL_TUNNEL_VXLAN, .tunnel_id = 11, .tunnel_depth = 1},
		{.tunnel = TL_TUNNEL_GENEVE, .tunnel_id = 10, .tunnel_depth = 1}};

	for (uint32_t parts = 0; parts < 4; parts++) {
		struct tl_flow_options options = {.flows_max = 100, .syn_max = 100,
						  .vlan_in_key = (parts & TL_KEY_VLAN) != 0,
						  .tunnel_in_key = (parts & TL_KEY_TUNNEL) != 0};
		check_apart(&options, &vlans[0], &vlans[1], options.vlan_in_key);
		check_apart(&options, &vlans[0], &no_outer, options.vlan_in_key);
		check_apart(&options, &tunnels[0], &tunnels[1], options.tunnel_in_key);
		check_apart(&options, &tunnels[0], &tunnels[2], options.tunnel_in_key);
		check_apart(&options, &tunnels[0], &no_outer, options.tunnel_in_key);
		check_apart(&options, &tunnels[0], &tunnels[0], false);
	}
}

static void a_victim_is_closed_or_long_silent(void **state)
{
	(void)state;
	struct tl_flow_table table;
	struct tl_flow_options options = {.flows_max = 8};

	assert_int_equal(tl_flow_table_init(&table, &options, 5), 0);
	struct tl_flow *flows[8];
	for (uint32_t i = 0; i < 8; i++) {
		struct tl_tuple tuple = tuple_of(i, false);
		flows[i] = tl_flow_table_add(&table, tl_flow_table_hash(&table, &tuple, &no_outer),
					     &tuple, &no_outer);
		flows[i]->last_ns = 1000 + i;
	}
	assert_null(tl_flow_table_victim(&table, 1500, 1000));
	assert_ptr_equal(tl_flow_table_victim(&table, 2000, 1000), flows[0]);
	tl_flow_mark(flows[5], TL_FLOW_CLOSED);
	assert_ptr_equal(tl_flow_table_victim(&table, 1500, 1000), flows[5]);
	tl_flow_table_fini(&table);
}

static void attempts_have_a_table_of_their_own(void **state)
{
	(void)state;
	struct tl_syn_table table;
	struct tl_flow_options options = {.syn_max = 50};

	assert_int_equal(tl_syn_table_init(&table, &options, 7), 0);
	for (uint32_t i = 0; i < 50; i++) {
		struct tl_tuple tuple = tuple_of(i, i % 2 != 0);
		struct tl_syn *syn = tl_syn_add(&table, i, &tuple, &no_outer);
		assert_non_null(syn);
		syn->bits |= tl_tuple_side(&tuple) != 0 ? TL_SYN_CLIENT_1 : 0;
		tl_wheel_arm(&table.wheel, i, (uint64_t)i << 30);
		struct tl_tuple again;
		tl_syn_tuple(syn, &again);
		assert_memory_equal(&again, &tuple, sizeof(tuple));
	}
	struct tl_tuple tuple = tuple_of(50, false);
	assert_null(tl_syn_add(&table, 50, &tuple, &no_outer));
	assert_int_equal(tl_pool_index(&table.pool, tl_syn_oldest(&table)), 0);
	tl_syn_remove(&table, 0, tl_syn_oldest(&table));
	assert_int_equal(tl_pool_index(&table.pool, tl_syn_oldest(&table)), 1);
	assert_non_null(tl_syn_add(&table, 50, &tuple, &no_outer));
	tl_syn_table_fini(&table);
}

static void copies_are_known_for_a_while(void **state)
{
	(void)state;
	struct tl_copies copies;
	struct tl_flow_options options = {.flows_max = 4, .duplicate_ns = 3000000};
	struct tl_flow flow = {.serial = 1, .copies = TL_POOL_NONE};
	uint64_t now = UINT64_C(1700000000) * 1000000000;

	assert_int_equal(tl_copies_init(&copies, &options), 0);
	for (uint32_t i = 1; i <= TL_COPIES_KEPT; i++)
		assert_false(tl_copies_is_copy(&copies, &flow, i, now));
	for (uint32_t i = 1; i <= TL_COPIES_KEPT; i++)
		assert_true(tl_copies_is_copy(&copies, &flow, i, now + 2900000));
	assert_false(tl_copies_is_copy(&copies, &flow, 2, now + 6100000));
	// More busy flows than slots: who needs his least gives his up.
	struct tl_flow others[4];
	for (uint32_t i = 0; i < 4; i++) {
		others[i] = (struct tl_flow) {.serial = i + 2, .copies = TL_POOL_NONE};
		assert_false(tl_copies_is_copy(&copies, &others[i], 7, now + 10000000));
	}
	for (uint32_t i = 0; i < 4; i++)
		assert_true(tl_copies_is_copy(&copies, &others[i], 7, now + 11000000));
	assert_false(tl_copies_is_copy(&copies, &flow, 2, now + 20000000));
	tl_copies_fini(&copies);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_directions_find_a_flow_at_full_capacity),
		cmocka_unit_test(index_spills_into_the_second_bucket),
		cmocka_unit_test(surroundings_tell_flows_apart_on_request),
		cmocka_unit_test(a_victim_is_closed_or_long_silent),
		cmocka_unit_test(attempts_have_a_table_of_their_own),
		cmocka_unit_test(copies_are_known_for_a_while),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
