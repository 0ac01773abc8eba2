// SPDX-License-Identifier: Apache-2.0
// Whether a device's receive side scaling keeps conversations together: by computing, from the key
// and the table that the device says it uses, the queue of both directions of many.
#pragma once

#include "pmd/port.h"

struct rte_eth_dev_info;

#define TL_RSS_KEY_BYTES_MAX 64u

struct tl_rss {
	const uint8_t *key;
	uint32_t key_len;      // bytes, at least 16
	bool has_ports;        // TCP and UDP ports are hashed, too
	const uint16_t *table; // queues by hash; NULL: the hash itself is compared
	uint32_t table_size;
};

// Of `count` conversations made up (every other one IPv6 where the key is long enough), how many
// come on two queues.
uint32_t tl_rss_split(const struct tl_rss *rss, uint32_t count);

// Asks a started device that has several queues. Words to `ret_text`.
enum tl_spread tl_rss_judge(uint16_t ethdev, const struct rte_eth_dev_info *info, char *ret_text,
			    uint32_t size);

// The key by which both directions get the same hash: it repeats every 16 bits.
void tl_rss_symmetric_key(uint8_t *ret_key, uint32_t len);
