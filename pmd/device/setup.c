// SPDX-License-Identifier: Apache-2.0
#include "pmd/device/setup.h"

#include "base/check.h"
#include "pmd/device/rss.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <rte_ethdev.h>

#define LINK_SECONDS 5u
#define LINK_POLL_NS 20000000l
#define TX_SLOTS 512u // nothing is sent, but some drivers want a queue
#define TABLE_MAX 4096u

// Drivers read the key when the device is started, from where it was when it was configured.
static uint8_t rss_key[TL_RSS_KEY_BYTES_MAX];

static const struct tl_quirk quirks[] = {
	// It tells secondary processes the descriptors of all its queues in an array of eight (DPDK
	// 22.11): with 16 queues it overwrites its stack.
	{.driver = "net_tap", .queues_max = 8},
	{.driver = "net_memif"},
	{.driver = "net_null"},
	{.driver = "net_virtio_user"},
	{.driver = "net_pcap", .has_own_queues = true,
	 .spread_text = "each queue is a file or an interface of its own"},
	{.driver = "net_ring", .has_own_queues = true},
	// The kernel's hash is symmetric, but what finds a full ring goes to the next one (its fanout
	// is set to roll over).
	{.driver = "net_af_packet", .has_own_queues = true,
	 .spread_text = "the kernel's hash is symmetric, but under load packets roll over to other queues"},
	{.driver = "net_af_xdp", .has_own_queues = true,
	 .spread_text = "the kernel's driver spreads the packets, by a key that is not asked for"},
	// Amazon's: key and function are the hypervisor's.
	{.driver = "net_ena", .keeps_key = true},
	{.driver = "net_bnxt", .stats_before_stop = true},
	// E810: some seconds pass between the start and the link.
	{.driver = "net_ice", .link_seconds = 15},
};

const struct tl_quirk *tl_device_quirk(const char *driver, bool is_pci)
{
	static const struct tl_quirk card = {.driver = ""};
	static const struct tl_quirk virtual = {.driver = "", .has_own_queues = true};

	for (size_t i = 0; i < TL_COUNT_OF(quirks); i++)
		if (strcmp(quirks[i].driver, driver) == 0)
			return &quirks[i];
	return is_pci ? &card : &virtual;
}

// ---- Before the start ----------------------------------------------------------------------

// Descriptors are the time that a worker may be away: some hundred microseconds of small packets.
static uint16_t rx_slots(const struct rte_eth_dev_info *info, uint32_t packets_max)
{
	uint32_t capa = info->speed_capa;
	uint32_t slots = 1024;

	if (capa >= RTE_ETH_LINK_SPEED_25G)
		slots = 8192;
	else if (capa >= RTE_ETH_LINK_SPEED_10G)
		slots = 4096;
	// The rest of the buffers are on their way through the worker.
	while (slots > 256 && slots > packets_max / 2)
		slots /= 2;
	return (uint16_t)slots;
}

static void ask_for_rss(const struct rte_eth_dev_info *info, const struct tl_device_setup *setup,
			struct rte_eth_conf *conf)
{
	struct rte_eth_rss_conf *rss = &conf->rx_adv_conf.rss_conf;
	uint64_t can = info->flow_type_rss_offloads;

	if (!setup->wants_rss || can == 0)
		return;
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	rss->rss_hf = can & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	// Of a tunnel's packets the inner addresses, where the device can.
	if ((can & RTE_ETH_RSS_LEVEL_MASK) >= RTE_ETH_RSS_LEVEL_INNERMOST)
		rss->rss_hf |= RTE_ETH_RSS_LEVEL_INNERMOST;
	if (!setup->quirk->keeps_key && info->hash_key_size > 0 &&
	    info->hash_key_size <= sizeof(rss_key)) {
		tl_rss_symmetric_key(rss_key, sizeof(rss_key));
		rss->rss_key = rss_key;
		rss->rss_key_len = info->hash_key_size;
	}
}

// The longest frames that a queue can take: without chains of buffers, those that one buffer holds.
static uint32_t longest_mtu(uint64_t offloads)
{
	if ((offloads & RTE_ETH_RX_OFFLOAD_SCATTER) != 0)
		return UINT16_MAX;
	return RTE_MBUF_DEFAULT_DATAROOM - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN - 8;
}

static bool tells_mtu(const struct rte_eth_dev_info *info)
{
	return info->max_mtu != 0 && info->max_mtu != UINT16_MAX;
}

static void ask_for_mtu(const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	uint32_t longest = longest_mtu(conf->rxmode.offloads);

	if (tells_mtu(info))
		conf->rxmode.mtu = info->max_mtu < longest ? info->max_mtu : longest;
}

// Of a driver that doesn't say what the card takes (mlx5): what it accepts.
static void try_mtu(uint16_t ethdev, const struct rte_eth_dev_info *info, uint64_t offloads)
{
	static const uint16_t usual[] = {9978, 9600, 9216, 9000, 4096, 2000};
	uint32_t longest = longest_mtu(offloads);

	if (tells_mtu(info))
		return;
	for (size_t i = 0; i < TL_COUNT_OF(usual); i++)
		if (usual[i] <= longest && rte_eth_dev_set_mtu(ethdev, usual[i]) == 0)
			return;
}

static int set_up_queues(uint16_t ethdev, const struct rte_eth_dev_info *info,
			 const struct tl_device_setup *setup, uint64_t offloads, uint16_t tx)
{
	struct rte_eth_rxconf rx = info->default_rxconf;
	uint16_t slots = rx_slots(info, setup->packets_max);
	uint16_t tx_slots = TX_SLOTS;
	unsigned int socket = (unsigned int)rte_eth_dev_socket_id(ethdev);
	int rc = 0;

	// One slow worker must not hold up the queues of the others.
	rx.rx_drop_en = 1;
	rx.offloads = offloads;
	(void)rte_eth_dev_adjust_nb_rx_tx_desc(ethdev, &slots, &tx_slots);
	for (uint16_t i = 0; rc == 0 && i < setup->queues; i++)
		rc = rte_eth_rx_queue_setup(ethdev, i, slots, socket, &rx,
					    setup->pools[i % setup->pool_count]);
	for (uint16_t i = 0; rc == 0 && i < tx; i++)
		rc = rte_eth_tx_queue_setup(ethdev, i, tx_slots, socket, NULL);
	return rc;
}

int tl_device_configure(uint16_t ethdev, const struct rte_eth_dev_info *info,
			struct tl_device_setup *setup, const char **ret_step)
{
	struct rte_eth_conf conf = {0};
	uint64_t can = info->rx_offload_capa;
	uint16_t tx = info->max_tx_queues < setup->queues ? info->max_tx_queues : setup->queues;

	setup->stamp_offset = -1;
	conf.rxmode.offloads = can & (RTE_ETH_RX_OFFLOAD_SCATTER | RTE_ETH_RX_OFFLOAD_TIMESTAMP);
	if ((can & RTE_ETH_RX_OFFLOAD_TIMESTAMP) != 0 &&
	    rte_mbuf_dyn_rx_timestamp_register(&setup->stamp_offset, &setup->stamp_flag) != 0) {
		conf.rxmode.offloads &= ~RTE_ETH_RX_OFFLOAD_TIMESTAMP;
		setup->stamp_offset = -1;
	}
	ask_for_rss(info, setup, &conf);
	if (setup->is_pci && !setup->has_usual_mtu)
		ask_for_mtu(info, &conf);
	*ret_step = "DPDK can't configure it";
	int rc = rte_eth_dev_configure(ethdev, setup->queues, tx, &conf);
	if (rc < 0)
		return rc;
	if (setup->is_pci && !setup->has_usual_mtu)
		try_mtu(ethdev, info, conf.rxmode.offloads);
	*ret_step = "DPDK can't set up its queues";
	return set_up_queues(ethdev, info, setup, conf.rxmode.offloads, tx);
}

// ---- After the start -----------------------------------------------------------------------

// Pause frames from a receiver of a mirror would slow down the switch.
static void stop_flow_control(uint16_t ethdev)
{
	struct rte_eth_fc_conf flow_control;

	memset(&flow_control, 0, sizeof(flow_control));
	if (rte_eth_dev_flow_ctrl_get(ethdev, &flow_control) != 0 ||
	    flow_control.mode == RTE_ETH_FC_NONE)
		return;
	flow_control.mode = RTE_ETH_FC_NONE;
	(void)rte_eth_dev_flow_ctrl_set(ethdev, &flow_control);
}

static void spread_evenly(uint16_t ethdev, uint32_t size, uint16_t queues)
{
	struct rte_eth_rss_reta_entry64 entries[TABLE_MAX / RTE_ETH_RETA_GROUP_SIZE];

	if (size == 0 || size > TABLE_MAX)
		return;
	memset(entries, 0, sizeof(entries));
	for (uint32_t i = 0; i < size; i++) {
		struct rte_eth_rss_reta_entry64 *entry = &entries[i / RTE_ETH_RETA_GROUP_SIZE];
		entry->mask |= UINT64_C(1) << i % RTE_ETH_RETA_GROUP_SIZE;
		entry->reta[i % RTE_ETH_RETA_GROUP_SIZE] = (uint16_t)(i % queues);
	}
	(void)rte_eth_dev_rss_reta_update(ethdev, entries, (uint16_t)size);
}

void tl_device_settle(uint16_t ethdev, const struct rte_eth_dev_info *info,
		      const struct tl_device_setup *setup)
{
	stop_flow_control(ethdev);
	if (setup->wants_rss)
		spread_evenly(ethdev, info->reta_size, setup->queues);
	if (!setup->promiscuous)
		return;
	(void)rte_eth_promiscuous_enable(ethdev);
	(void)rte_eth_allmulticast_enable(ethdev);
}

void tl_device_await_link(uint16_t ethdev, const struct tl_device_setup *setup)
{
	uint32_t seconds = setup->quirk->link_seconds > 0 ? setup->quirk->link_seconds : LINK_SECONDS;
	const struct timespec pause = {.tv_nsec = LINK_POLL_NS};
	struct rte_eth_link link;

	for (uint64_t waited = 0; waited < seconds * UINT64_C(1000000000); waited += LINK_POLL_NS) {
		if (rte_eth_link_get_nowait(ethdev, &link) != 0 ||
		    link.link_status == RTE_ETH_LINK_UP)
			return;
		(void)nanosleep(&pause, NULL);
	}
}

bool tl_device_link_text(uint16_t ethdev, char *ret, uint32_t size)
{
	struct rte_eth_link link;

	if (rte_eth_link_get_nowait(ethdev, &link) != 0) {
		(void)snprintf(ret, size, "link unknown");
		return true;
	}
	if (link.link_status != RTE_ETH_LINK_UP) {
		(void)snprintf(ret, size, "down");
		return false;
	}
	if (link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN || link.link_speed == 0)
		(void)snprintf(ret, size, "up");
	else if (link.link_speed < 1000)
		(void)snprintf(ret, size, "up, %u Mbit/s", link.link_speed);
	else
		(void)snprintf(ret, size, "up, %g Gbit/s", (double)link.link_speed / 1000);
	return true;
}

bool tl_device_is_deaf(uint16_t ethdev, bool is_pci, bool promiscuous)
{
	return is_pci && promiscuous && rte_eth_promiscuous_get(ethdev) != 1;
}

// ---- Counters ------------------------------------------------------------------------------

bool tl_device_tells_of_loss(const char *counter)
{
	// The last are of clouds' cards: what the hypervisor holds back (ena), rings without room.
	static const char *const words[] = {
		"err", "drop", "miss", "discard", "nombuf", "no_buf", "out_of_buf", "crc", "overflow",
		"overrun", "alloc_fail", "exceeded",
	};

	for (size_t i = 0; i < TL_COUNT_OF(words); i++)
		if (strstr(counter, words[i]) != NULL)
			return true;
	return false;
}
