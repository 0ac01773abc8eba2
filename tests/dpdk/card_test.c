// SPDX-License-Identifier: Apache-2.0
// What a network card is asked for, and when. No machine here has one: the functions of ethdev are the
// test's own, which stand before those of the library, write down what they are asked, and answer as
// a card's driver does.
#include "base/check.h"
#include "pmd/device/rss.h"
#include "pmd/device/setup.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <rte_ethdev.h>

#define CARD 7u
#define QUEUES 4u
#define TABLE 512u
#define KEY 52u

static struct {
	// How it answers.
	uint16_t mtu_max;         // set_mtu refuses longer ones
	uint16_t slots_max, slots_align;
	uint32_t link_looks;      // looks at the link until it is up
	int promiscuous_rc;
	// What it was asked.
	struct rte_eth_conf conf;
	uint8_t key[KEY];         // read at the start, where the configuration said that it is
	struct rte_eth_rxconf rx[QUEUES];
	uint16_t slots[QUEUES];
	uint16_t rx_queues, tx_queues, tx_set_up;
	uint16_t mtu;
	bool is_started;
	bool is_promiscuous, hears_multicast;
	enum rte_eth_fc_mode flow_control;
	uint16_t table[TABLE];
} card;

// ---- The driver's side ---------------------------------------------------------------------

int rte_eth_dev_configure(uint16_t port, uint16_t rx, uint16_t tx, const struct rte_eth_conf *conf)
{
	assert_int_equal(port, CARD);
	assert_false(card.is_started);
	card.conf = *conf; // with its pointers, as ethdev keeps it
	card.mtu = conf->rxmode.mtu != 0 ? (uint16_t)conf->rxmode.mtu : RTE_ETHER_MTU;
	card.rx_queues = rx;
	card.tx_queues = tx;
	card.tx_set_up = 0;
	return 0;
}

int rte_eth_dev_set_mtu(uint16_t port, uint16_t mtu)
{
	assert_int_equal(port, CARD);
	if (mtu > card.mtu_max)
		return -EINVAL;
	card.mtu = mtu;
	return 0;
}

int rte_eth_dev_adjust_nb_rx_tx_desc(uint16_t port, uint16_t *rx, uint16_t *tx)
{
	assert_int_equal(port, CARD);
	*rx = (uint16_t)((*rx + card.slots_align - 1) / card.slots_align * card.slots_align);
	*rx = *rx > card.slots_max ? card.slots_max : *rx;
	*tx = *tx > card.slots_max ? card.slots_max : *tx;
	return 0;
}

int rte_eth_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t slots, unsigned int socket,
			   const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	assert_int_equal(port, CARD);
	assert_int_equal(socket, 1);
	assert_non_null(pool);
	assert_in_range(queue, 0, QUEUES - 1);
	card.rx[queue] = *conf;
	card.slots[queue] = slots;
	return 0;
}

int rte_eth_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t slots, unsigned int socket,
			   const struct rte_eth_txconf *conf)
{
	(void)socket;
	(void)conf;
	assert_int_equal(port, CARD);
	assert_int_equal(queue, card.tx_set_up++);
	assert_in_range(slots, 1, card.slots_max);
	return 0;
}

int rte_eth_dev_socket_id(uint16_t port)
{
	assert_int_equal(port, CARD);
	return 1;
}

// As the drivers of Intel's cards: the key is read here, from where it was at configure.
static void start_card(void)
{
	const struct rte_eth_rss_conf *rss = &card.conf.rx_adv_conf.rss_conf;

	assert_non_null(rss->rss_key);
	assert_int_equal(rss->rss_key_len, KEY);
	memcpy(card.key, rss->rss_key, KEY);
	card.is_started = true;
}

int rte_eth_dev_flow_ctrl_get(uint16_t port, struct rte_eth_fc_conf *conf)
{
	assert_int_equal(port, CARD);
	conf->mode = card.flow_control;
	conf->pause_time = 0x680;
	return 0;
}

int rte_eth_dev_flow_ctrl_set(uint16_t port, struct rte_eth_fc_conf *conf)
{
	assert_int_equal(port, CARD);
	assert_int_equal(conf->pause_time, 0x680); // what it said, but for the mode
	card.flow_control = conf->mode;
	return 0;
}

int rte_eth_dev_rss_reta_update(uint16_t port, struct rte_eth_rss_reta_entry64 *entries,
				uint16_t size)
{
	assert_int_equal(port, CARD);
	assert_true(card.is_started);
	assert_int_equal(size, TABLE);
	for (uint32_t i = 0; i < size; i++) {
		assert_true((entries[i / 64].mask >> i % 64 & 1) == 1);
		card.table[i] = entries[i / 64].reta[i % 64];
	}
	return 0;
}

int rte_eth_promiscuous_enable(uint16_t port)
{
	assert_int_equal(port, CARD);
	assert_true(card.is_started);
	card.is_promiscuous = card.promiscuous_rc == 0;
	return card.promiscuous_rc;
}

int rte_eth_promiscuous_get(uint16_t port)
{
	assert_int_equal(port, CARD);
	return card.is_promiscuous;
}

int rte_eth_allmulticast_enable(uint16_t port)
{
	assert_int_equal(port, CARD);
	card.hears_multicast = true;
	return 0;
}

int rte_eth_link_get_nowait(uint16_t port, struct rte_eth_link *link)
{
	assert_int_equal(port, CARD);
	bool is_up = card.link_looks == 0;
	card.link_looks -= !is_up;
	*link = (struct rte_eth_link) {.link_speed = is_up ? RTE_ETH_SPEED_NUM_25G : 0,
				       .link_status = is_up};
	return 0;
}

// Without EAL there are no fields to register in.
int rte_mbuf_dyn_rx_timestamp_register(int *offset, uint64_t *flag)
{
	*offset = 40;
	*flag = 1;
	return 0;
}

// ---- What the probe asks for ---------------------------------------------------------------

static struct rte_eth_dev_info info_of(uint32_t speeds)
{
	return (struct rte_eth_dev_info) {
		.speed_capa = speeds,
		.max_rx_queues = 64,
		.max_tx_queues = 64,
		.max_mtu = 9702,
		.hash_key_size = KEY,
		.reta_size = TABLE,
		.flow_type_rss_offloads = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP |
					  RTE_ETH_RSS_SCTP | RTE_ETH_RSS_L2_PAYLOAD,
		.rx_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER | RTE_ETH_RX_OFFLOAD_TIMESTAMP |
				   RTE_ETH_RX_OFFLOAD_VLAN_STRIP | RTE_ETH_RX_OFFLOAD_TCP_LRO,
	};
}

static struct tl_device_setup setup_of(const char *driver)
{
	static struct rte_mempool *pool = (struct rte_mempool *)(uintptr_t)64; // only handed on
	memset(&card, 0, sizeof(card));
	card.slots_max = 4096;
	card.slots_align = 32;
	card.mtu_max = 9978;
	card.flow_control = RTE_ETH_FC_FULL;
	return (struct tl_device_setup) {
		.queues = QUEUES,
		.wants_rss = true,
		.is_pci = true,
		.promiscuous = true,
		.quirk = tl_device_quirk(driver, true),
		.pools = &pool,
		.pool_count = 1,
		.packets_max = 65536,
	};
}

static void configure(const struct rte_eth_dev_info *info, struct tl_device_setup *setup)
{
	const char *step;

	assert_int_equal(tl_device_configure(CARD, info, setup, &step), 0);
}

static void a_card_is_set_up_for_a_mirror(void **state)
{
	(void)state;
	struct tl_device_setup setup = setup_of("net_i40e");
	struct rte_eth_dev_info info = info_of(RTE_ETH_LINK_SPEED_40G);
	uint32_t count[QUEUES] = {0};

	configure(&info, &setup);
	assert_int_equal(card.rx_queues, QUEUES);
	assert_int_equal(card.conf.rxmode.mq_mode, RTE_ETH_MQ_RX_RSS);
	assert_true(card.conf.rx_adv_conf.rss_conf.rss_hf ==
		    (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP));
	// Nothing that changes packets: no merging, no tags taken away.
	assert_true(card.conf.rxmode.offloads ==
		    (RTE_ETH_RX_OFFLOAD_SCATTER | RTE_ETH_RX_OFFLOAD_TIMESTAMP));
	assert_int_equal(setup.stamp_offset, 40);
	assert_int_equal(card.mtu, 9702);
	for (uint32_t i = 0; i < QUEUES; i++) {
		assert_int_equal(card.rx[i].rx_drop_en, 1);
		assert_int_equal(card.slots[i], 4096); // 8192 for 40 Gbit/s, of which it has half
	}
	start_card();
	tl_device_settle(CARD, &info, &setup);
	assert_int_equal(card.flow_control, RTE_ETH_FC_NONE);
	assert_true(card.is_promiscuous && card.hears_multicast);
	assert_false(tl_device_is_deaf(CARD, true, true));
	for (uint32_t i = 0; i < TABLE; i++)
		count[card.table[i]]++;
	for (uint32_t i = 0; i < QUEUES; i++)
		assert_int_equal(count[i], TABLE / QUEUES);
}

// Something else that needs the stack, between configuration and start.
__attribute__((noinline)) static uint32_t use_the_stack(void)
{
	volatile uint8_t bytes[4096];
	uint32_t sum = 0;

	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + 1);
	for (uint32_t i = 0; i < sizeof(bytes); i++)
		sum += bytes[i];
	return sum;
}

static void the_key_is_there_when_the_card_starts(void **state)
{
	(void)state;
	struct tl_device_setup setup = setup_of("net_ixgbe");
	struct rte_eth_dev_info info = info_of(RTE_ETH_LINK_SPEED_10G);
	uint8_t wanted[KEY];

	configure(&info, &setup);
	assert_int_not_equal(use_the_stack(), 0);
	start_card();
	tl_rss_symmetric_key(wanted, KEY);
	assert_memory_equal(card.key, wanted, KEY);
}

static void inner_addresses_are_hashed_where_offered(void **state)
{
	(void)state;
	struct tl_device_setup setup = setup_of("net_cn10k");
	struct rte_eth_dev_info info = info_of(RTE_ETH_LINK_SPEED_100G);

	info.flow_type_rss_offloads |= RTE_ETH_RSS_LEVEL_MASK;
	configure(&info, &setup);
	assert_int_equal(RTE_ETH_RSS_LEVEL(card.conf.rx_adv_conf.rss_conf.rss_hf), 2);
	// Outermost alone isn't worth asking for.
	setup = setup_of("net_cn10k");
	info = info_of(RTE_ETH_LINK_SPEED_100G);
	info.flow_type_rss_offloads |= RTE_ETH_RSS_LEVEL_OUTERMOST;
	configure(&info, &setup);
	assert_int_equal(RTE_ETH_RSS_LEVEL(card.conf.rx_adv_conf.rss_conf.rss_hf), 0);
}

static void a_fixed_key_is_left(void **state)
{
	(void)state;
	struct tl_device_setup setup = setup_of("net_ena");
	struct rte_eth_dev_info info = info_of(RTE_ETH_LINK_SPEED_25G);

	configure(&info, &setup);
	assert_int_equal(card.conf.rxmode.mq_mode, RTE_ETH_MQ_RX_RSS);
	assert_null(card.conf.rx_adv_conf.rss_conf.rss_key);
}

static void descriptors_follow_the_speed(void **state)
{
	(void)state;
	static const struct {
		uint32_t speeds, packets_max;
		uint16_t slots;
	} rows[] = {
		{RTE_ETH_LINK_SPEED_1G, 65536, 1024},
		{RTE_ETH_LINK_SPEED_1G | RTE_ETH_LINK_SPEED_10G, 65536, 4096},
		{RTE_ETH_LINK_SPEED_25G, 65536, 8192},
		{RTE_ETH_LINK_SPEED_100G, 65536, 8192},
		{0, 65536, 1024}, // doesn't say
		{RTE_ETH_LINK_SPEED_100G, 4096, 2048}, // half of the buffers at most
	};

	for (size_t i = 0; i < TL_COUNT_OF(rows); i++) {
		struct tl_device_setup setup = setup_of("net_ice");
		struct rte_eth_dev_info info = info_of(rows[i].speeds);
		card.slots_max = 16384;
		setup.packets_max = rows[i].packets_max;
		configure(&info, &setup);
		assert_int_equal(card.slots[0], rows[i].slots);
	}
}

static void frames_are_as_long_as_the_card_takes(void **state)
{
	(void)state;
	struct tl_device_setup setup = setup_of("net_ice");
	struct rte_eth_dev_info info = info_of(RTE_ETH_LINK_SPEED_10G);

	// Without chains of buffers a frame must fit in one.
	info.rx_offload_capa = 0;
	configure(&info, &setup);
	assert_in_range(card.mtu, 2000, RTE_MBUF_DEFAULT_DATAROOM);
	assert_int_equal(setup.stamp_offset, -1);
	// mlx5 doesn't say what it takes.
	setup = setup_of("net_mlx5");
	info = info_of(RTE_ETH_LINK_SPEED_100G);
	info.max_mtu = UINT16_MAX;
	card.mtu_max = 9500;
	configure(&info, &setup);
	assert_int_equal(card.mtu, 9216);
	info.rx_offload_capa = 0;
	configure(&info, &setup);
	assert_int_equal(card.mtu, 2000);
	// The second attempt at a card that did not start.
	info = info_of(RTE_ETH_LINK_SPEED_100G);
	setup = setup_of("net_iavf");
	setup.has_usual_mtu = true;
	configure(&info, &setup);
	assert_int_equal(card.mtu, RTE_ETHER_MTU);
}

static void a_link_is_waited_for(void **state)
{
	(void)state;
	struct tl_device_setup setup = setup_of("net_ice");
	char text[64];

	assert_true(setup.quirk->link_seconds > 5);
	card.link_looks = 4;
	tl_device_await_link(CARD, &setup);
	assert_int_equal(card.link_looks, 0);
	tl_device_link_text(CARD, text, sizeof(text));
	assert_string_equal(text, "up, 25 Gbit/s");
	card.link_looks = 1;
	tl_device_link_text(CARD, text, sizeof(text));
	assert_string_equal(text, "down");
}

static void a_deaf_card_is_found(void **state)
{
	(void)state;
	struct tl_device_setup setup = setup_of("net_iavf");
	struct rte_eth_dev_info info = info_of(RTE_ETH_LINK_SPEED_10G);

	card.promiscuous_rc = -EPERM;
	configure(&info, &setup);
	start_card();
	tl_device_settle(CARD, &info, &setup);
	assert_true(tl_device_is_deaf(CARD, true, true));
	assert_false(tl_device_is_deaf(CARD, true, false)); // as it was told
	assert_false(tl_device_is_deaf(CARD, false, true)); // many virtual devices can't, and hear all
}

static void counters_of_loss_have_many_names(void **state)
{
	(void)state;
	static const char *const lost[] = {
		"rx_missed_errors", "rx_q0_errors", "rx_out_of_buffer", "rx_phy_discard_packets",
		"rx_discard_pkts", "rx_crc_errors", "rx_mbuf_allocation_errors", "rx_no_buffers",
		"bw_in_allowance_exceeded", "pps_allowance_exceeded", "rx_overruns", "rx_dropped",
	};
	static const char *const others[] = {"rx_good_packets", "rx_q0packets", "rx_size_64_packets",
					     "rx_unicast_bytes", "mac_local_faults"};

	for (size_t i = 0; i < TL_COUNT_OF(lost); i++)
		assert_true(tl_device_tells_of_loss(lost[i]));
	for (size_t i = 0; i < TL_COUNT_OF(others); i++)
		assert_false(tl_device_tells_of_loss(others[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_card_is_set_up_for_a_mirror),
		cmocka_unit_test(the_key_is_there_when_the_card_starts),
		cmocka_unit_test(inner_addresses_are_hashed_where_offered),
		cmocka_unit_test(a_fixed_key_is_left),
		cmocka_unit_test(descriptors_follow_the_speed),
		cmocka_unit_test(frames_are_as_long_as_the_card_takes),
		cmocka_unit_test(a_link_is_waited_for),
		cmocka_unit_test(a_deaf_card_is_found),
		cmocka_unit_test(counters_of_loss_have_many_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
