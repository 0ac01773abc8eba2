// SPDX-License-Identifier: Apache-2.0
// The names that TLS clients ask for in the clear (SNI), with how many connections asked for each: all
// that a probe without keys can say of whom such traffic is for. Bounded; each worker has its own.
#pragma once

#include "base/bytes.h"

#define TL_NAMES_MAX 256u      // names kept; what comes later is counted together
#define TL_NAME_TEXT_MAX 256u  // bytes with the NUL; DNS allows 253

struct tl_name {
	uint64_t count; // connections, 0: free
	char text[TL_NAME_TEXT_MAX];
};

struct tl_names {
	struct tl_name at[TL_NAMES_MAX * 2]; // by hash, half of them free
	uint32_t used;
	uint64_t others; // connections whose name found no place
	char noted[TL_NAME_TEXT_MAX]; // of the hello in hand, counted once its connection is decided
	uint8_t noted_lane;           // enum tl_lane: where that hello was
};

// One of them with the server that was asked, as it leaves a worker: in the ring of roundtrips, where
// `protocol` tells it from these.
struct tl_asked {
	uint32_t size;     // of it all, a multiple of 8
	uint16_t protocol; // 0, which no roundtrip has
	uint16_t server_port;
	uint64_t time_ns;
	uint8_t server_address[16];
	char name[TL_NAME_TEXT_MAX]; // with its NUL; the last member: a message ends behind it
};

struct tl_flow_identity;
typedef void tl_asked_fn(void *arg, const struct tl_flow_identity *flow, const char *name);

// `n` connections more that asked for `text`; capitals and small letters are the same.
void tl_names_add(struct tl_names *names, const char *text, uint64_t n);
// The sum of both in `to`.
void tl_names_merge(struct tl_names *to, const struct tl_names *from);
// The names asked for most, at most `max`, first ones first; gives their number.
uint32_t tl_names_top(const struct tl_names *names, const struct tl_name **ret_names, uint32_t max);
