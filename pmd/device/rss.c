// SPDX-License-Identifier: Apache-2.0
#include "pmd/device/rss.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_thash.h>

#define TRIALS 1000u
#define TABLE_MAX 4096u
#define WORDS_V4 2u // addresses, without ports
#define WORDS_V6 8u

void tl_rss_symmetric_key(uint8_t *key, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		key[i] = i % 2 == 0 ? 0x6d : 0x5a;
}

static uint32_t queue_of(const struct tl_rss *rss, uint32_t *words, uint32_t count)
{
	uint32_t hash = rte_softrss(words, count, rss->key);

	return rss->table == NULL ? hash : rss->table[hash % rss->table_size];
}

// The words of one conversation, and those of its other direction.
static uint32_t make_up(const struct tl_rss *rss, uint32_t number, uint32_t *there, uint32_t *back)
{
	bool is_v6 = number % 2 != 0 && rss->key_len >= (WORDS_V6 + 2) * 4;
	uint32_t count = is_v6 ? WORDS_V6 : WORDS_V4;

	for (uint32_t i = 0; i < count; i++) {
		there[i] = (uint32_t)tl_hash_mix(number * 64 + i + 1, UINT64_C(0x9e3779b97f4a7c15));
		back[(i + count / 2) % count] = there[i];
	}
	if (!rss->has_ports)
		return count;
	there[count] = (uint32_t)tl_hash_mix(number * 64 + 63, UINT64_C(0xd1b54a32d192ed03));
	back[count] = there[count] << 16 | there[count] >> 16;
	return count + 1;
}

uint32_t tl_rss_split(const struct tl_rss *rss, uint32_t count)
{
	uint32_t there[WORDS_V6 + 1];
	uint32_t back[WORDS_V6 + 1];
	uint32_t split = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t words = make_up(rss, i, there, back);
		split += queue_of(rss, there, words) != queue_of(rss, back, words);
	}
	return split;
}

// The queues by hash. 0: the device has no table or doesn't tell.
static uint32_t read_table(uint16_t ethdev, const struct rte_eth_dev_info *info, uint16_t *ret_table)
{
	struct rte_eth_rss_reta_entry64 entries[TABLE_MAX / RTE_ETH_RETA_GROUP_SIZE];
	uint32_t size = info->reta_size;

	if (size == 0 || size > TABLE_MAX)
		return 0;
	memset(entries, 0, sizeof(entries));
	for (uint32_t i = 0; i < size; i++)
		entries[i / RTE_ETH_RETA_GROUP_SIZE].mask |=
			UINT64_C(1) << i % RTE_ETH_RETA_GROUP_SIZE;
	if (rte_eth_dev_rss_reta_query(ethdev, entries, (uint16_t)size) != 0)
		return 0;
	for (uint32_t i = 0; i < size; i++)
		ret_table[i] = entries[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
	return size;
}

static bool is_zero(const uint8_t *key, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (key[i] != 0)
			return false;
	return true;
}

enum tl_spread tl_rss_judge(uint16_t ethdev, const struct rte_eth_dev_info *info, char *text,
			    uint32_t size)
{
	uint8_t key[TL_RSS_KEY_BYTES_MAX] = {0};
	static uint16_t table[TABLE_MAX]; // main thread
	struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = info->hash_key_size};

	// A driver that doesn't say how long its keys are writes 40 bytes, if any.
	if (conf.rss_key_len == 0 || conf.rss_key_len > sizeof(key))
		conf.rss_key_len = 40;
	uint32_t key_len = conf.rss_key_len;
	if (rte_eth_dev_rss_hash_conf_get(ethdev, &conf) != 0 || is_zero(key, sizeof(key))) {
		(void)snprintf(text, size, "the device does not tell its RSS key");
		return TL_SPREAD_UNKNOWN;
	}
	struct tl_rss rss = {
		.key = key,
		.key_len = key_len,
		.has_ports = (conf.rss_hf & (RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP)) != 0,
	};
	rss.table_size = read_table(ethdev, info, table);
	rss.table = rss.table_size == 0 ? NULL : table;
	uint32_t split = tl_rss_split(&rss, TRIALS);
	(void)snprintf(text, size, "computed from the device's RSS key and %s: %u of %u conversations "
		       "would come on two queues", rss.table == NULL ? "hash" : "table", split, TRIALS);
	return split == 0 ? TL_SPREAD_SYMMETRIC : TL_SPREAD_ASYMMETRIC;
}
