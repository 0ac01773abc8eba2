// SPDX-License-Identifier: Apache-2.0
// Whether a device's receive side scaling keeps conversations together: by computing, from the key
// and the table that the device says it uses, the queue of both directions of many.
#pragma once

#include "pmd/port.h"

struct rte_eth_dev_info;

#define TL_RSS_KEY_BYTES_MAX 64u

#define TL_RSS_TABLE_MAX 4096u

// What a device says of its receive side scaling.
struct tl_rss {
	_Alignas(4) uint8_t key[TL_RSS_KEY_BYTES_MAX];
	uint32_t key_len;  // bytes, at least 16
	uint64_t types;    // what is hashed, RTE_ETH_RSS_*
	uint16_t table[TL_RSS_TABLE_MAX]; // queues by hash
	uint32_t table_size; // 0: it doesn't say; the hash itself is compared
};

// Of `count` conversations made up (every other one IPv6 where the key is long enough), how many
// come on two queues.
uint32_t tl_rss_split(const struct tl_rss *rss, uint32_t count);

// Asks a started device that has several queues. What it says to `ret_rss`, words to `ret_text`.
enum tl_spread tl_rss_judge(uint16_t ethdev, const struct rte_eth_dev_info *info,
			    struct tl_rss *ret_rss, char *ret_text, uint32_t size);

// The queue of a whole packet of a conversation, UINT32_MAX where there is no table.
uint32_t tl_rss_queue(const struct tl_rss *rss, const struct tl_tuple *tuple);

// The key by which both directions get the same hash: it repeats every 16 bits.
void tl_rss_symmetric_key(uint8_t *ret_key, uint32_t len);
