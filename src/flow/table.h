// SPDX-License-Identifier: Apache-2.0
// The flow table of one worker: every TCP connection that completed its handshake or carried
// data, and every UDP conversation. SYNs alone live in flow/syn.h. Flows are indexed by 32-bit
// ids, never move, and carry their creation serial, so that a flush has a defined order.
#pragma once

#include "base/hash.h"
#include "base/pool.h"
#include "base/wheel.h"
#include "flow/flow.h"
#include "flow/index.h"

struct tl_conn;

// One direction of a TCP connection. Sequence numbers are serial: compared by tl_seq_diff().
struct tl_flow_side {
	uint32_t next_seq; // first byte not handed on yet (fed or declared lost)
	uint32_t acked;    // highest ACK number this side sent
};

// Bits of tl_flow.bits; those in pairs stand for side 0, side 1 is one further left.
enum tl_flow_bit {
	TL_FLOW_KNOWN = 1u << 0,   // next_seq of the side is known
	TL_FLOW_SEEN = 1u << 2,    // the side sent a packet
	TL_FLOW_FIN = 1u << 4,     // the side's FIN was handed on
	TL_FLOW_ZERO = 1u << 6,    // the side's window is closed
	TL_FLOW_CLIENT_1 = 1u << 8, // side 1 is the client
	TL_FLOW_CLIENT_SURE = 1u << 9,
	TL_FLOW_LATE = 1u << 10,   // joined late
	TL_FLOW_CLOSED = 1u << 11, // ended; kept so that late packets begin nothing new
	TL_FLOW_DEAF = 1u << 12,   // nobody looks at payload any more
	TL_FLOW_REFUSED = 1u << 13, // decoding was refused: by the rules or for want of room
	TL_FLOW_SYN = 1u << 14,    // the SYN table holds an attempt to use the same addresses again
	TL_FLOW_UDP = 1u << 15,
};

struct tl_flow {
	// First cache line: the key and what records say of the connection.
	uint8_t address[2][16]; // normalised: side 0 has the lower (address, port)
	uint16_t tcp_port[2];   // or UDP port
	uint8_t ip_version;
	uint8_t port;           // capture port
	uint16_t booked;        // verdict under which bytes and flow are counted now
	uint64_t connection_id;
	struct tl_outer outer;
	// Second cache line: what every packet touches.
	uint64_t last_ns;       // time of the last packet
	struct tl_conn *conn;   // NULL without anything to decode
	uint64_t payload_bytes; // as captured, repeats included
	struct tl_flow_side side[2];
	uint32_t serial;        // order of creation, from 1; 0: not in use
	uint32_t isn;           // of the client, valid unless TL_FLOW_LATE
	uint32_t rtt_us;
	uint32_t copies;        // index of the recent packets' fingerprints (flow/copies.h)
	uint32_t reorder;       // index of reassembly state (stream/reorder.h), TL_POOL_NONE if none
	uint16_t verdict;
	uint16_t bits;          // enum tl_flow_bit
};
_Static_assert(sizeof(struct tl_flow) == 128, "an idle flow costs two cache lines");
_Static_assert(offsetof(struct tl_flow, last_ns) == 64, "hot members share a line");

struct tl_flow_key {
	struct tl_tuple tuple;  // as sent
	struct tl_outer outer;  // compared as far as it is part of the key
	uint8_t side;           // of the sender
};

struct tl_flow_table {
	struct tl_pool pool;
	struct tl_index index;
	struct tl_wheel wheel;
	uint64_t seed;
	uint32_t serial;
	uint32_t evict_at;      // where the search for a victim goes on
	struct tl_path *paths;  // by id, touched only for flows with tl_outer_has_path()
	uint8_t key_parts;      // enum tl_key_part
};

// What tells flows apart besides the tuple.
enum tl_key_part { TL_KEY_VLAN = 1u << 0, TL_KEY_TUNNEL = 1u << 1 };

static inline uint8_t tl_key_parts(const struct tl_flow_options *options)
{
	return (uint8_t)((options->vlan_in_key ? TL_KEY_VLAN : 0) |
			 (options->tunnel_in_key ? TL_KEY_TUNNEL : 0));
}

// The surroundings, as far as they are part of the key, in the 16 bits that a SYN entry has for
// them; without any 0. Of several VLAN ids the outermost.
static inline uint16_t tl_key_outer(uint8_t parts, const struct tl_outer *outer)
{
	uint32_t word = 0;

	if ((parts & TL_KEY_VLAN) != 0 && outer->vlan_count != 0)
		word = outer->vlans[0];
	if ((parts & TL_KEY_TUNNEL) != 0)
		word ^= (outer->tunnel_id ^ (uint32_t)outer->tunnel << 24) * 0x9e3779b1u >> 16;
	return (uint16_t)word;
}

static inline bool tl_key_outer_equal(uint8_t parts, const struct tl_outer *a,
				      const struct tl_outer *b)
{
	if ((parts & TL_KEY_VLAN) != 0 && memcmp(a->vlans, b->vlans, sizeof(a->vlans)) != 0)
		return false;
	return (parts & TL_KEY_TUNNEL) == 0 ||
	       (a->tunnel == b->tunnel && a->tunnel_id == b->tunnel_id);
}

static inline int32_t tl_seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static inline bool tl_flow_is(const struct tl_flow *flow, uint32_t bit)
{
	return (flow->bits & bit) != 0;
}

static inline void tl_flow_mark(struct tl_flow *flow, uint32_t bit)
{
	flow->bits = (uint16_t)(flow->bits | bit);
}

static inline void tl_flow_unmark(struct tl_flow *flow, uint32_t bit)
{
	flow->bits = (uint16_t)(flow->bits & ~bit);
}

static inline uint64_t tl_address_word(const uint8_t address[16], uint32_t word)
{
	uint64_t value;
	memcpy(&value, address + word * 8, sizeof(value));
	return value;
}

static inline bool tl_address_equal(const uint8_t a[16], const uint8_t b[16])
{
	return ((tl_address_word(a, 0) ^ tl_address_word(b, 0)) |
		(tl_address_word(a, 1) ^ tl_address_word(b, 1))) == 0;
}

// Which side sent a packet of this tuple: the order of memcmp() on (address, port).
static inline uint8_t tl_tuple_side(const struct tl_tuple *tuple)
{
	for (uint32_t i = 0; i < 2; i++) {
		uint64_t source = __builtin_bswap64(tl_address_word(tuple->source, i));
		uint64_t destination = __builtin_bswap64(tl_address_word(tuple->destination, i));
		if (source != destination)
			return source > destination;
	}
	return tuple->source_port > tuple->destination_port;
}

int tl_flow_table_init(struct tl_flow_table *table, const struct tl_flow_options *options,
		       uint64_t seed);
void tl_flow_table_fini(struct tl_flow_table *table);

// The hash of a tuple in surroundings that tl_key_outer() gave.
static inline uint32_t tl_flow_table_hash_in(const struct tl_flow_table *table,
					     const struct tl_tuple *tuple, uint16_t outer)
{
	return tl_tuple_hash(tuple, table->seed) ^ outer * 0x9e3779b1u;
}

// The hash of a key: of its tuple, and of its surroundings where they count.
static inline uint32_t tl_flow_table_hash(const struct tl_flow_table *table,
					  const struct tl_tuple *tuple,
					  const struct tl_outer *outer)
{
	if (TL_LIKELY(table->key_parts == 0))
		return tl_tuple_hash(tuple, table->seed);
	return tl_flow_table_hash_in(table, tuple, tl_key_outer(table->key_parts, outer));
}

// NULL if there is none.
struct tl_flow *tl_flow_table_find(const struct tl_flow_table *table, uint32_t hash,
				   const struct tl_tuple *tuple, const struct tl_outer *outer);
// Enters a new flow, NULL when there is no room. Everything not implied by the key is zero.
struct tl_flow *tl_flow_table_add(struct tl_flow_table *table, uint32_t hash,
				  const struct tl_tuple *tuple, const struct tl_outer *outer);
// Takes the flow out and gives its memory back.
void tl_flow_table_remove(struct tl_flow_table *table, struct tl_flow *flow);
// Begins a new connection in the place of an old one with the same key.
void tl_flow_table_renew(struct tl_flow_table *table, struct tl_flow *flow,
			 const struct tl_outer *outer);
// A flow worth giving up for a new one: of a bounded sample a closed one, else the one silent
// longest, if it was silent for `idle_ns`. NULL if there is none.
struct tl_flow *tl_flow_table_victim(struct tl_flow_table *table, uint64_t now_ns, uint64_t idle_ns);

// Whether the flow is that of the tuple, whose sender is side `s`.
static inline bool tl_flow_has(const struct tl_flow *flow, const struct tl_flow_table *table,
			       const struct tl_tuple *tuple, const struct tl_outer *outer, uint8_t s)
{
	if (!tl_address_equal(flow->address[s], tuple->source) ||
	    !tl_address_equal(flow->address[s ^ 1], tuple->destination))
		return false;
	if (flow->tcp_port[s] != tuple->source_port ||
	    flow->tcp_port[s ^ 1] != tuple->destination_port ||
	    tl_flow_is(flow, TL_FLOW_UDP) != (tuple->protocol == 17))
		return false;
	return TL_LIKELY(table->key_parts == 0) ||
	       tl_key_outer_equal(table->key_parts, &flow->outer, outer);
}

// Asks for the memory of the flow that this hash likely means; NULL if there is none.
static inline struct tl_flow *tl_flow_table_prefetch(const struct tl_flow_table *table, uint32_t hash)
{
	uint32_t id = tl_index_candidate(&table->index, hash);
	if (id == TL_INDEX_NONE)
		return NULL;
	struct tl_flow *flow =
		(struct tl_flow *)(void *)(table->pool.base + (size_t)id * sizeof(*flow));
	__builtin_prefetch(flow);
	__builtin_prefetch(&flow->last_ns, 1);
	return flow;
}

static inline uint32_t tl_flow_id(const struct tl_flow_table *table, const struct tl_flow *flow)
{
	return (uint32_t)((size_t)((const uint8_t *)flow - table->pool.base) / sizeof(*flow));
}

// Where the path of a flow with tl_outer_has_path() goes.
static inline struct tl_path *tl_flow_path_at(const struct tl_flow_table *table,
					      const struct tl_flow *flow)
{
	return &table->paths[tl_flow_id(table, flow)];
}

static inline struct tl_flow *tl_flow_at(const struct tl_flow_table *table, uint32_t id)
{
	return (struct tl_flow *)tl_pool_at(&table->pool, id);
}

// The id a record carries: of the normalised tuple and the first packet's time.
uint64_t tl_connection_id(const struct tl_tuple *tuple, uint64_t first_ns);
