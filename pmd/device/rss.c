// SPDX-License-Identifier: Apache-2.0
#include "pmd/device/rss.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_thash.h>

#define TRIALS 1000u
#define WORDS_V4 2u // addresses, without ports
#define WORDS_V6 8u
#define TCP 6u

void tl_rss_symmetric_key(uint8_t *key, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		key[i] = i % 2 == 0 ? 0x6d : 0x5a;
}

static bool hashes_ports(const struct tl_rss *rss)
{
	return (rss->types & (RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP)) != 0;
}

static uint32_t queue_of(const struct tl_rss *rss, uint32_t *words, uint32_t count)
{
	uint32_t hash = rte_softrss(words, count, rss->key);

	return rss->table_size == 0 ? hash : rss->table[hash % rss->table_size];
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
	if (!hashes_ports(rss))
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
	struct rte_eth_rss_reta_entry64 entries[TL_RSS_TABLE_MAX / RTE_ETH_RETA_GROUP_SIZE];
	uint32_t size = info->reta_size;

	if (size == 0 || size > TL_RSS_TABLE_MAX)
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

enum tl_spread tl_rss_judge(uint16_t ethdev, const struct rte_eth_dev_info *info,
			    struct tl_rss *rss, char *text, uint32_t size)
{
	struct rte_eth_rss_conf conf = {.rss_key = rss->key, .rss_key_len = info->hash_key_size};

	memset(rss, 0, sizeof(*rss));
	// A driver that doesn't say how long its keys are writes 40 bytes, if any.
	if (conf.rss_key_len == 0 || conf.rss_key_len > sizeof(rss->key))
		conf.rss_key_len = 40;
	rss->key_len = conf.rss_key_len;
	if (rte_eth_dev_rss_hash_conf_get(ethdev, &conf) != 0 || is_zero(rss->key, sizeof(rss->key))) {
		(void)snprintf(text, size, "the device does not tell its RSS key");
		return TL_SPREAD_UNKNOWN;
	}
	rss->types = conf.rss_hf;
	rss->table_size = read_table(ethdev, info, rss->table);
	uint32_t split = tl_rss_split(rss, TRIALS);
	(void)snprintf(text, size, "computed from the device's RSS key and %s: %u of %u conversations "
		       "would come on two queues", rss->table_size == 0 ? "hash" : "table", split,
		       TRIALS);
	return split == 0 ? TL_SPREAD_SYMMETRIC : TL_SPREAD_ASYMMETRIC;
}

// The types of an IP version: those without ports, those with.
static uint64_t types_of(const struct tl_tuple *tuple, bool with_ports)
{
	bool is_tcp = tuple->protocol == TCP;

	if (tuple->ip_version == 4) {
		uint64_t ports = is_tcp ? RTE_ETH_RSS_NONFRAG_IPV4_TCP : RTE_ETH_RSS_NONFRAG_IPV4_UDP;
		return with_ports ? ports : ports | RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_OTHER;
	}
	uint64_t ports = is_tcp ? RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_IPV6_TCP_EX
				: RTE_ETH_RSS_NONFRAG_IPV6_UDP | RTE_ETH_RSS_IPV6_UDP_EX;
	return with_ports ? ports : ports | RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_IPV6_EX |
				    RTE_ETH_RSS_NONFRAG_IPV6_OTHER;
}

uint32_t tl_rss_queue(const struct tl_rss *rss, const struct tl_tuple *tuple)
{
	uint32_t words[WORDS_V6 + 1];
	uint32_t count = 0;
	uint32_t first = tuple->ip_version == 4 ? 12 : 0; // IPv4 is the end of 16 bytes

	if (rss->table_size == 0)
		return UINT32_MAX;
	if ((rss->types & types_of(tuple, false)) == 0)
		return rss->table[0]; // a hash of 0
	for (uint32_t i = first; i < 16; i += 4)
		words[count++] = tl_load_be32(tuple->source + i);
	for (uint32_t i = first; i < 16; i += 4)
		words[count++] = tl_load_be32(tuple->destination + i);
	if ((rss->types & types_of(tuple, true)) != 0)
		words[count++] = (uint32_t)tuple->source_port << 16 | tuple->destination_port;
	return queue_of(rss, words, count);
}
