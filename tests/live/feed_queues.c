// SPDX-License-Identifier: Apache-2.0
// A network card with several queues, made of software: sends the packets of a capture file through a
// virtual device of DPDK's of which another process has the other end, each on the queue that an RSS
// key gives it: that of the RSS specification, or the one that gives both directions the same hash.
//   feed_queues DEVARGS FILE QUEUES [symmetric]
// The file is pcap, little-endian, of Ethernet frames with TCP or UDP over IPv4; other packets go on
// queue 0. Of tunnels the outer headers are hashed, of fragments the addresses.
// Packets keep their order and are a millisecond apart. Ends when all are sent and taken.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_thash.h>

#define FRAME_MAX 2000u
#define HEAD_BYTES 24u
#define RECORD_BYTES 16u
#define LINK_TRIES 6000u // of 10 ms
#define TABLE_SIZE 128u
#define PACKET_GAP_NS 1000000l // longer than a worker naps

static uint8_t key[40] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static void fail(const char *what)
{
	(void)fprintf(stderr, "feed_queues: %s\n", what);
	exit(1);
}

static void nap(long ns)
{
	const struct timespec pause = {.tv_nsec = ns};

	(void)nanosleep(&pause, NULL);
}

static uint32_t big_endian(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint16_t queue_of(const uint8_t *frame, uint32_t len, uint32_t queues)
{
	const uint8_t *ip = frame + 14;

	if (len < 42 || frame[12] != 8 || frame[13] != 0 || (ip[9] != 6 && ip[9] != 17))
		return 0;
	uint32_t words[3] = {big_endian(ip + 12), big_endian(ip + 16),
			     big_endian(ip + (ip[0] & 15) * 4)};
	bool is_fragment = ((ip[6] & 0x3f) | ip[7]) != 0;
	return (uint16_t)(rte_softrss(words, is_fragment ? 2 : 3, key) % TABLE_SIZE % queues);
}

static void take_symmetric_key(void)
{
	for (uint32_t i = 0; i < sizeof(key); i++)
		key[i] = i % 2 == 0 ? 0x6d : 0x5a;
}

static struct rte_mempool *start(char *devargs, uint16_t queues)
{
	char name[] = "feed_queues", pci[] = "--no-pci", huge[] = "--no-huge", conf[] = "--no-shconf",
	     log[] = "--log-level=*:4", memory[] = "-m", mib[] = "64", lcore[] = "--lcores", all[] = "0",
	     vdev[] = "--vdev", telemetry[] = "--no-telemetry";
	char *argv[] = {name, pci, huge, conf, telemetry, log, memory, mib, lcore, all, vdev, devargs,
			NULL};
	const struct rte_eth_conf eth = {0};

	if (rte_eal_init(12, argv) < 0)
		fail("EAL did not start");
	struct rte_mempool *pool = rte_pktmbuf_pool_create("feed", 2048, 0, 0, 2300, SOCKET_ID_ANY);
	if (pool == NULL || rte_eth_dev_configure(0, queues, queues, &eth) < 0)
		fail("no pool or device");
	for (uint16_t i = 0; i < queues; i++)
		if (rte_eth_rx_queue_setup(0, i, 256, 0, NULL, pool) < 0 ||
		    rte_eth_tx_queue_setup(0, i, 256, 0, NULL) < 0)
			fail("no queues");
	if (rte_eth_dev_start(0) < 0)
		fail("the device did not start");
	return pool;
}

static void await_link(void)
{
	struct rte_eth_link link = {0};

	for (uint32_t i = 0; i < LINK_TRIES; i++) {
		if (rte_eth_link_get_nowait(0, &link) == 0 && link.link_status == RTE_ETH_LINK_UP)
			return;
		nap(10000000);
	}
	fail("nobody at the other end");
}

int main(int argc, char **argv)
{
	uint8_t record[RECORD_BYTES], frame[FRAME_MAX];
	uint32_t sent[16] = {0};
	uint16_t queues = argc == 4 || argc == 5 ? (uint16_t)strtoul(argv[3], NULL, 10) : 0;
	FILE *file = queues > 0 && queues <= 16 ? fopen(argv[2], "rb") : NULL;

	if (file == NULL || fseek(file, HEAD_BYTES, SEEK_SET) < 0)
		fail("usage: feed_queues DEVARGS FILE QUEUES [symmetric]");
	if (argc == 5)
		take_symmetric_key();
	struct rte_mempool *pool = start(argv[1], queues);
	await_link();
	while (fread(record, RECORD_BYTES, 1, file) == 1) {
		uint32_t len;
		memcpy(&len, record + 8, sizeof(len));
		if (len > FRAME_MAX || fread(frame, len, 1, file) != 1)
			fail("a packet is too long or cut");
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		if (m == NULL)
			fail("no buffer");
		memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, len);
		uint16_t queue = queue_of(frame, len, queues);
		while (rte_eth_tx_burst(0, queue, &m, 1) == 0)
			nap(100000);
		sent[queue]++;
		nap(PACKET_GAP_NS);
	}
	(void)fclose(file);
	for (uint16_t i = 0; i < queues; i++)
		(void)printf("queue %u: %u packets\n", i, sent[i]);
	(void)fflush(stdout);
	// The other end reads from our memory: it goes when it is told to.
	(void)getchar();
	return 0;
}
