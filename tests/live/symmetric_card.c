// SPDX-License-Identifier: Apache-2.0
// Loaded before DPDK, it makes any device one that says of itself: RSS over addresses and ports, by the
// key that repeats every 16 bits, over a table that I fill evenly. For tests/live/queues.py, with
// devices that have several queues but no RSS.
#include <dlfcn.h>
#include <string.h>

#include <rte_ethdev.h>

#define KEY_BYTES 40u
#define TABLE 128u
#define TYPES (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP)

static uint16_t queues;

int rte_eth_dev_info_get(uint16_t port, struct rte_eth_dev_info *info)
{
	int (*next)(uint16_t, struct rte_eth_dev_info *) =
		(int (*)(uint16_t, struct rte_eth_dev_info *))dlsym(RTLD_NEXT, __func__);
	int rc = next(port, info);

	info->flow_type_rss_offloads = TYPES;
	info->hash_key_size = KEY_BYTES;
	info->reta_size = TABLE;
	return rc;
}

int rte_eth_dev_configure(uint16_t port, uint16_t rx, uint16_t tx, const struct rte_eth_conf *conf)
{
	int (*next)(uint16_t, uint16_t, uint16_t, const struct rte_eth_conf *) =
		(int (*)(uint16_t, uint16_t, uint16_t, const struct rte_eth_conf *))dlsym(RTLD_NEXT,
											  __func__);
	struct rte_eth_conf without = *conf;

	queues = rx;
	without.rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
	memset(&without.rx_adv_conf.rss_conf, 0, sizeof(without.rx_adv_conf.rss_conf));
	return next(port, rx, tx, &without);
}

int rte_eth_dev_rss_hash_conf_get(uint16_t port, struct rte_eth_rss_conf *conf)
{
	(void)port;
	for (uint32_t i = 0; i < KEY_BYTES; i++)
		conf->rss_key[i] = i % 2 == 0 ? 0x6d : 0x5a;
	conf->rss_key_len = KEY_BYTES;
	conf->rss_hf = TYPES;
	return 0;
}

int rte_eth_dev_rss_reta_update(uint16_t port, struct rte_eth_rss_reta_entry64 *entries,
				uint16_t size)
{
	(void)port;
	(void)entries;
	return size == TABLE ? 0 : -1;
}

int rte_eth_dev_rss_reta_query(uint16_t port, struct rte_eth_rss_reta_entry64 *entries, uint16_t size)
{
	(void)port;
	for (uint16_t i = 0; i < size; i++)
		entries[i / 64].reta[i % 64] = i % queues;
	return 0;
}
