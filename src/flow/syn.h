// SPDX-License-Identifier: Apache-2.0
// Connection attempts: SYNs and SYN-ACKs whose connection has not carried anything yet. A table of
// its own with small entries, so that a flood of SYNs can't touch the flows that work. An
// attempt leaves it by becoming a flow (flow/table.h) or by failing, with its cause.
#pragma once

#include "base/pool.h"
#include "base/wheel.h"
#include "flow/index.h"
#include "flow/flow.h"

enum {
	TL_SYN_SEEN = 1u << 0,        // the SYN itself; otherwise only its SYN-ACK
	TL_SYN_ANSWERED = 1u << 1,    // a SYN-ACK came
	TL_SYN_CLIENT_1 = 1u << 2,    // side 1 of the normalised key is the client
	TL_SYN_RESENT = 1u << 3,      // one of the two was sent again: no round-trip time
	TL_SYN_IP6 = 1u << 4,
};

struct tl_syn {
	uint8_t address[2][16]; // normalised as in struct tl_flow
	uint16_t tcp_port[2];
	uint16_t outer;         // tl_key_outer()
	uint8_t bits;
	uint8_t port;
	uint64_t first_ns;
	uint32_t isn;           // client's
	uint32_t server_isn;    // with TL_SYN_ANSWERED
	uint32_t answered_ns;   // after first_ns, UINT32_MAX: longer than it can say
	uint32_t last_ms;       // after first_ns
};
_Static_assert(sizeof(struct tl_syn) == 64, "an attempt costs one cache line");

struct tl_syn_table {
	struct tl_pool pool;
	struct tl_index index;
	struct tl_wheel wheel;
	uint8_t key_parts;      // as in the flow table
	uint64_t seed;
};

int tl_syn_table_init(struct tl_syn_table *table, const struct tl_flow_options *options,
		      uint64_t seed);
void tl_syn_table_fini(struct tl_syn_table *table);

// `hash` is that of the flow table. NULL if there is none.
struct tl_syn *tl_syn_find(const struct tl_syn_table *table, uint32_t hash,
			   const struct tl_tuple *tuple, const struct tl_outer *outer);
// NULL when the table is full: remove one (tl_syn_oldest) and call again.
struct tl_syn *tl_syn_add(struct tl_syn_table *table, uint32_t hash, const struct tl_tuple *tuple,
			  const struct tl_outer *outer);
void tl_syn_remove(struct tl_syn_table *table, uint32_t hash, struct tl_syn *syn);
// The entry that is looked at next, NULL in an empty table.
struct tl_syn *tl_syn_oldest(const struct tl_syn_table *table);

// The tuple of the attempt, client first: its hash is the one it was added with.
void tl_syn_tuple(const struct tl_syn *syn, struct tl_tuple *ret_tuple);

static inline uint64_t tl_syn_last_ns(const struct tl_syn *syn)
{
	return syn->first_ns + (uint64_t)syn->last_ms * 1000000u;
}
