// SPDX-License-Identifier: Apache-2.0
// Any ethdev that DPDK has a driver for: virtual devices by devargs (net_af_packet, net_pcap,
// net_tap, net_memif, ...) and network cards by PCI address.
//
// Workers poll the queues themselves where each can have one of its own and the device keeps both
// directions of a conversation on one queue: a single worker, a card whose RSS takes a symmetric
// key, net_af_packet (the kernel's fanout hash is symmetric). Everything else is read by the rx
// lcore and dealt out like our own ports.
//
// A packet filter runs in software on the rx lcore, so a device with one has an rx lcore.
//
// Limits: no driver used here tells the original length of a cut packet or, but for net_pcap,
// the time of arrival: the packet is stamped when its burst is read. RSS sees outer headers only
// and sends fragments elsewhere than their conversation.
#include "base/check.h"
#include "pmd/device/kernel.h"
#include "pmd/eal.h"
#include "pmd/pcap/distribute.h"
#include "pmd/pcap/sieve.h"
#include "pmd/port.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pcap/pcap.h>
#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_ethdev.h>

#define BURST 64u
#define TURN_BURSTS 4u
#define QUEUES_MAX 16u
#define RX_SLOTS 1024u
#define POOL_CACHE 256u
#define ROOM_BYTES RTE_MBUF_DEFAULT_BUF_SIZE // net_af_packet refuses smaller ones
#define MBUF_BYTES 4200u // of EAL memory per mbuf of that room, measured without huge pages
// Before its socket is bound net_af_packet hears every interface; at most this is thrown away.
#define NOISE_PACKETS_MAX 65536u
// A file of net_pcap ends without a word: its bursts just come back empty.
#define END_EMPTY_TURNS 8u
#define RSS_KEY_BYTES_MAX 64u

struct device {
	struct tl_port port;
	struct tl_port_options options;
	char devargs[1024];
	char device[64]; // devargs up to the first comma: EAL's name of the device
	bool is_pci;
	bool is_pcap;    // driven by net_pcap
	bool has_ethdev;
	uint16_t ethdev;
	uint16_t queues;
	uint16_t link_type;
	uint32_t pool_count;
	uint32_t empty_turns;
	struct rte_mempool *pools[TL_WORKERS_MAX];
	struct tl_distributor *distributor; // NULL: workers poll the queues
	struct tl_sieve sieve;
	struct tl_kernel_sockets sockets; // of net_af_packet
	// net_pcap's stamps
	int stamp_offset;
	uint64_t stamp_flag;
	atomic_bool is_stopped;
	_Atomic uint64_t received; // by the distributor
	_Atomic uint64_t bytes;
};

static struct device *device_of(struct tl_port *port)
{
	return (struct device *)port; // its first member
}

static uint64_t wall_ns(void)
{
	struct timespec now;

	// The kernel's disciplined cycle counter, read without a system call.
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

// ---- Opening -------------------------------------------------------------------------------

bool tl_port_device_is_file(const char *devargs)
{
	return devargs != NULL && strncmp(devargs, "net_pcap", 8) == 0 &&
	       strstr(devargs, "rx_pcap=") != NULL;
}

static bool is_pci_address(const char *text)
{
	unsigned int domain, bus, slot, function;
	char rest;
	int got = sscanf(text, "%4x:%2x:%2x.%1x%c", &domain, &bus, &slot, &function, &rest);

	return got == 4;
}

// net_pcap hands packets of any link type over without saying which: ask the file itself.
static int read_link_type(struct device *dev, char *error, uint32_t error_size)
{
	char text[PCAP_ERRBUF_SIZE];
	char path[sizeof(dev->devargs)];

	for (const char *at = strstr(dev->devargs, "rx_pcap="); at != NULL;
	     at = strstr(at, "rx_pcap=")) {
		at += strlen("rx_pcap=");
		(void)snprintf(path, sizeof(path), "%.*s", (int)strcspn(at, ","), at);
		if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdin") == 0)
			continue; // reading it here would eat it; taken for Ethernet
		pcap_t *pcap = pcap_open_offline(path, text);
		if (pcap == NULL) {
			(void)snprintf(error, error_size, "%s", text);
			return -EBADMSG;
		}
		int link_type = pcap_datalink(pcap);
		pcap_close(pcap);
		if (dev->link_type != UINT16_MAX && dev->link_type != link_type) {
			(void)snprintf(error, error_size,
				       "files of one net_pcap device must have one link type: "
				       "name each file as a port of its own");
			return -EINVAL;
		}
		dev->link_type = (uint16_t)link_type;
	}
	return 0;
}

static const struct tl_port_ops device_ops;

int tl_port_open_device(const struct tl_port_options *options, const char *devargs,
			struct tl_port **ret_port, char *error, uint32_t error_size)
{
	size_t len = strcspn(devargs, ",");

	if (len == 0 || len >= sizeof(((struct device *)NULL)->device) ||
	    strlen(devargs) >= sizeof(((struct device *)NULL)->devargs) ||
	    (strncmp(devargs, "net_", 4) != 0 && !is_pci_address(devargs))) {
		(void)snprintf(error, error_size,
			       "'%.80s' names no DPDK device: give devargs such as "
			       "net_af_packet0,iface=eth0 or a PCI address such as 0000:03:00.0",
			       devargs);
		return -EINVAL;
	}
	struct device *dev = calloc(1, sizeof(*dev));
	if (dev == NULL) {
		(void)snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	dev->options = *options;
	dev->port.ops = &device_ops;
	dev->port.index = options->index;
	dev->port.fd = -1;
	dev->port.link = "Ethernet";
	dev->port.is_lossless = tl_port_device_is_file(devargs);
	dev->is_pci = is_pci_address(devargs);
	dev->stamp_offset = -1;
	dev->link_type = UINT16_MAX;
	(void)snprintf(dev->devargs, sizeof(dev->devargs), "%s", devargs);
	(void)snprintf(dev->device, sizeof(dev->device), "%.*s", (int)len, devargs);
	(void)snprintf(dev->port.name, sizeof(dev->port.name), "%s",
		       options->name != NULL && *options->name != '\0' ? options->name
								       : dev->device);
	int rc = read_link_type(dev, error, error_size);
	if (dev->link_type == UINT16_MAX)
		dev->link_type = TL_LINK_ETHERNET;
	if (rc == 0)
		rc = tl_sieve_set(&dev->sieve, options->filter, dev->link_type, error, error_size);
	if (rc < 0) {
		free(dev);
		return rc;
	}
	*ret_port = &dev->port;
	return 0;
}

// Whatever the kind: a device needs pools of its own beside the distributor's.
uint64_t tl_port_memory(uint32_t workers, uint32_t packets_max, bool is_device)
{
	uint64_t bytes = tl_distributor_memory(workers, packets_max);

	if (is_device)
		bytes += (uint64_t)workers * packets_max * MBUF_BYTES;
	return bytes;
}

// ---- Starting ------------------------------------------------------------------------------

static int refuse(struct device *dev, int rc, const char *what)
{
	const char *text = tl_eal_log_text();

	(void)snprintf(dev->port.error, sizeof(dev->port.error), "%s: %s: %s", dev->device, what,
		       *text != '\0' ? text : strerror(-rc));
	return rc;
}

static int probe(struct device *dev)
{
	struct tl_kernel_sockets before;

	tl_kernel_sockets_list(&before);
	if (!dev->is_pci) {
		const char *args = strchr(dev->devargs, ',');
		int rc = rte_eal_hotplug_add("vdev", dev->device, args != NULL ? args + 1 : "");
		if (rc < 0)
			return refuse(dev, rc == -EPERM ? rc : -ENODEV, "DPDK can't open it");
	}
	if (rte_eth_dev_get_port_by_name(dev->device, &dev->ethdev) != 0) {
		(void)snprintf(dev->port.error, sizeof(dev->port.error),
			       dev->is_pci ? "%s: no network card that DPDK can drive; bind it "
					     "with dpdk-devbind.py -b vfio-pci %s"
					   : "%s: %s is not a network device",
			       dev->device, dev->device);
		return -ENODEV;
	}
	dev->has_ethdev = true;
	if (strncmp(dev->device, "net_af_packet", strlen("net_af_packet")) == 0)
		tl_kernel_sockets_since(&dev->sockets, &before);
	return 0;
}

// What drivers promise and can't keep.
static const struct {
	const char *driver;
	uint16_t queues_max;
} quirks[] = {
	// It tells secondary processes the descriptors of all its queues in an array of eight (DPDK
	// 22.11): with 16 queues it overwrites its stack. An interface of ours needs only one.
	{"net_tap", 1},
};

static void apply_quirks(struct rte_eth_dev_info *info)
{
	for (size_t i = 0; i < TL_COUNT_OF(quirks); i++)
		if (strcmp(quirks[i].driver, info->driver_name) == 0 &&
		    info->max_rx_queues > quirks[i].queues_max) {
			info->max_rx_queues = quirks[i].queues_max;
			info->max_tx_queues = quirks[i].queues_max;
		}
}

static bool has_symmetric_queues(const struct device *dev, const struct rte_eth_dev_info *info,
				 uint32_t workers)
{
	if (info->max_rx_queues < workers)
		return false;
	if (strcmp(info->driver_name, "net_af_packet") == 0)
		return info->max_rx_queues == workers;
	return dev->is_pci && info->hash_key_size > 0 &&
	       info->hash_key_size <= RSS_KEY_BYTES_MAX &&
	       (info->flow_type_rss_offloads & RTE_ETH_RSS_IP) != 0;
}

static int make_pools(struct device *dev, uint32_t count)
{
	char name[RTE_MEMPOOL_NAMESIZE];

	for (dev->pool_count = 0; dev->pool_count < count; dev->pool_count++) {
		(void)snprintf(name, sizeof(name), "tld%u_%u", dev->port.index, dev->pool_count);
		dev->pools[dev->pool_count] = rte_pktmbuf_pool_create(
			name, dev->options.packets_max, POOL_CACHE, 0, ROOM_BYTES, SOCKET_ID_ANY);
		if (dev->pools[dev->pool_count] == NULL)
			return refuse(dev, -ENOMEM, "no memory for packets");
	}
	return 0;
}

static int configure(struct device *dev, const struct rte_eth_dev_info *info, bool has_rss)
{
	// A key that repeats every 16 bits gives both directions the same hash.
	uint8_t key[RSS_KEY_BYTES_MAX];
	struct rte_eth_conf conf = {0};
	uint16_t tx = info->max_tx_queues < dev->queues ? info->max_tx_queues : dev->queues;

	for (uint32_t i = 0; i < sizeof(key); i++)
		key[i] = i % 2 == 0 ? 0x6d : 0x5a;
	if (has_rss && info->hash_key_size > 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_key = key;
		conf.rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size;
		conf.rx_adv_conf.rss_conf.rss_hf =
			info->flow_type_rss_offloads &
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	}
	if ((info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) != 0)
		conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	int rc = rte_eth_dev_configure(dev->ethdev, dev->queues, tx, &conf);
	if (rc < 0)
		return refuse(dev, rc, "DPDK can't configure it");
	uint16_t slots = RX_SLOTS;
	uint16_t tx_slots = RX_SLOTS;
	(void)rte_eth_dev_adjust_nb_rx_tx_desc(dev->ethdev, &slots, &tx_slots);
	unsigned int socket = (unsigned int)rte_eth_dev_socket_id(dev->ethdev);
	for (uint16_t i = 0; rc == 0 && i < dev->queues; i++)
		rc = rte_eth_rx_queue_setup(dev->ethdev, i, slots, socket, NULL,
					    dev->pools[i % dev->pool_count]);
	for (uint16_t i = 0; rc == 0 && i < tx; i++)
		rc = rte_eth_tx_queue_setup(dev->ethdev, i, tx_slots, socket, NULL);
	return rc < 0 ? refuse(dev, rc, "DPDK can't set up its queues") : 0;
}

static void drop_noise(struct device *dev)
{
	struct rte_mbuf *mbufs[BURST];
	uint32_t dropped = 0;

	for (uint16_t queue = 0; queue < dev->queues; queue++) {
		uint16_t count;
		do {
			count = rte_eth_rx_burst(dev->ethdev, queue, mbufs, BURST);
			rte_pktmbuf_free_bulk(mbufs, count);
			dropped += count;
		} while (count > 0 && dropped < NOISE_PACKETS_MAX);
	}
}

static int run(struct device *dev)
{
	int rc = rte_eth_dev_start(dev->ethdev);

	if (rc < 0) {
		if (!dev->is_pci && !dev->is_pcap)
			(void)refuse(dev, rc, "DPDK can't start it (a Linux interface needs "
					      "CAP_NET_RAW and CAP_NET_ADMIN, or root)");
		else
			(void)refuse(dev, rc, "DPDK can't start it");
		return rc == -1 ? -EPERM : rc;
	}
	if (dev->options.promiscuous)
		(void)rte_eth_promiscuous_enable(dev->ethdev); // not every driver can
	if (dev->is_pcap) {
		dev->stamp_offset =
			rte_mbuf_dynfield_lookup(RTE_MBUF_DYNFIELD_TIMESTAMP_NAME, NULL);
		int bit = rte_mbuf_dynflag_lookup(RTE_MBUF_DYNFLAG_RX_TIMESTAMP_NAME, NULL);
		dev->stamp_flag = bit >= 0 ? RTE_BIT64(bit) : 0;
	} else if (!dev->is_pci) {
		drop_noise(dev);
	}
	return 0;
}

static int device_start(struct tl_port *port, uint32_t worker_count)
{
	struct device *dev = device_of(port);
	struct rte_eth_dev_info info;

	int rc = probe(dev);
	if (rc == 0)
		rc = rte_eth_dev_info_get(dev->ethdev, &info);
	if (rc < 0)
		return *port->error != '\0' ? rc : refuse(dev, rc, "DPDK can't describe it");
	apply_quirks(&info);
	dev->is_pcap = strcmp(info.driver_name, "net_pcap") == 0;
	bool has_rss = worker_count > 1 && has_symmetric_queues(dev, &info, worker_count);
	bool is_direct = !port->is_lossless && dev->sieve.filter == NULL &&
			 (has_rss || (worker_count == 1 && (dev->is_pci || info.max_rx_queues == 1)));
	if (is_direct)
		dev->queues = (uint16_t)worker_count;
	else if (dev->is_pci)
		dev->queues = 1;
	else
		dev->queues = info.max_rx_queues < QUEUES_MAX ? info.max_rx_queues : QUEUES_MAX;
	rc = make_pools(dev, is_direct ? worker_count : 1);
	if (rc == 0)
		rc = configure(dev, &info, has_rss);
	if (rc == 0 && !is_direct) {
		char name[16];
		(void)snprintf(name, sizeof(name), "tl%u", port->index);
		const struct tl_distributor_options options = {
			.name = name,
			.workers = worker_count,
			.packets_max = dev->options.packets_max,
			.is_lossless = port->is_lossless,
			.defrag = dev->options.defrag,
			.left_alone = dev->options.left_alone,
		};
		rc = tl_distributor_create(&options, &dev->distributor, port->error,
					   sizeof(port->error));
	}
	if (rc == 0)
		rc = run(dev);
	if (rc < 0)
		return rc;
	if (dev->distributor != NULL)
		tl_distributor_attach(dev->distributor, port);
	for (uint32_t i = 0; is_direct && i < worker_count; i++) {
		port->ethdev[i] = dev->ethdev;
		port->queue[i] = (uint16_t)i;
	}
	return 0;
}

// ---- Running -------------------------------------------------------------------------------

// When the packet arrived. In DPDK 22.11 net_pcap's stamps are microseconds; later releases give
// nanoseconds, and only if asked for by an offload: this is the place to tell them apart.
static uint64_t stamp_of(const struct device *dev, struct rte_mbuf *mbuf, uint64_t burst_ns)
{
	if (dev->stamp_offset < 0 || (mbuf->ol_flags & dev->stamp_flag) == 0)
		return burst_ns;
	return *RTE_MBUF_DYNFIELD(mbuf, (size_t)dev->stamp_offset, uint64_t *) * 1000;
}

static void device_stamp(struct tl_port *port, struct rte_mbuf **mbufs, uint16_t count)
{
	const struct device *dev = device_of(port);
	uint64_t now = wall_ns();

	for (uint16_t i = 0; i < count; i++) {
		struct tl_mbuf_meta *meta = tl_mbuf_meta(mbufs[i]);
		meta->time_ns = stamp_of(dev, mbufs[i], now);
		meta->original_len = mbufs[i]->pkt_len;
		tl_mbuf_mark(mbufs[i], dev->link_type, false);
	}
}

// Hands one mbuf to the distributor, which copies it.
static void pass_on(struct device *dev, struct rte_mbuf *mbuf, uint64_t burst_ns)
{
	struct tl_chunk chunks[TL_CHUNKS_MAX];
	struct tl_packet packet = {
		.chunks = chunks,
		.link_type = dev->link_type,
		.port = dev->port.index,
		.original_len = mbuf->pkt_len,
		.time_ns = stamp_of(dev, mbuf, burst_ns),
	};

	// The room of an mbuf is larger than the headers may be: the first chunk is linear.
	for (struct rte_mbuf *m = mbuf; m != NULL && packet.chunk_count < TL_CHUNKS_MAX;
	     m = m->next) {
		chunks[packet.chunk_count++] = (struct tl_chunk) {
			.data = rte_pktmbuf_mtod(m, const uint8_t *),
			.len = m->data_len,
		};
		packet.len += m->data_len;
	}
	atomic_fetch_add_explicit(&dev->bytes, packet.original_len, memory_order_relaxed);
	if (tl_sieve_passes(&dev->sieve, dev->link_type, chunks[0].data, chunks[0].len,
			    packet.original_len))
		tl_distributor_packet(dev->distributor, &packet);
}

static int device_set_filter(struct tl_port *port, const char *text, char *error,
			     uint32_t error_size)
{
	struct device *dev = device_of(port);

	return tl_sieve_set(&dev->sieve, text, dev->link_type, error, error_size);
}

static int end_of_file(struct device *dev, uint64_t errors)
{
	tl_distributor_end(dev->distributor);
	if (errors == 0)
		return 0;
	// After a damaged record net_pcap goes on with garbage.
	(void)snprintf(dev->port.error, sizeof(dev->port.error),
		       "%s: the file is damaged or has another link type from here on",
		       dev->port.name);
	return -EBADMSG;
}

static int device_turn(struct tl_port *port)
{
	struct device *dev = device_of(port);
	struct rte_mbuf *mbufs[BURST];
	uint32_t packets = 0;
	uint64_t now = wall_ns();

	for (uint32_t i = 0; i < dev->queues * TURN_BURSTS; i++) {
		uint16_t queue = (uint16_t)(i % dev->queues);
		uint16_t count = rte_eth_rx_burst(dev->ethdev, queue, mbufs, BURST);
		for (uint16_t k = 0; k < count; k++)
			pass_on(dev, mbufs[k], now);
		rte_pktmbuf_free_bulk(mbufs, count);
		packets += count;
	}
	if (packets > 0) {
		atomic_fetch_add_explicit(&dev->received, packets, memory_order_relaxed);
		dev->empty_turns = 0;
		return (int)packets;
	}
	if (!port->is_lossless) {
		tl_distributor_flush(dev->distributor, now);
		return 0;
	}
	struct rte_eth_stats stats;
	uint64_t errors = rte_eth_stats_get(dev->ethdev, &stats) == 0 ? stats.ierrors : 0;
	tl_distributor_flush(dev->distributor, 0);
	if (errors > 0 || ++dev->empty_turns == END_EMPTY_TURNS)
		return end_of_file(dev, errors);
	return 0;
}

static void device_stop(struct tl_port *port)
{
	struct device *dev = device_of(port);

	atomic_store_explicit(&dev->is_stopped, true, memory_order_release);
	if (dev->distributor != NULL && !tl_distributor_is_done(dev->distributor))
		tl_distributor_end(dev->distributor);
}

static uint64_t device_clock(const struct tl_port *port)
{
	const struct device *dev = (const struct device *)port;

	// What a worker reads itself is stamped when it is read.
	return dev->distributor != NULL ? tl_distributor_clock(dev->distributor) : wall_ns();
}

static bool device_is_done(const struct tl_port *port)
{
	const struct device *dev = (const struct device *)port;

	if (dev->distributor != NULL)
		return tl_distributor_is_done(dev->distributor);
	return atomic_load_explicit(&dev->is_stopped, memory_order_acquire);
}

static void device_stats(struct tl_port *port, struct tl_port_stats *ret_stats)
{
	struct device *dev = device_of(port);
	struct rte_eth_stats stats = {0};

	memset(ret_stats, 0, sizeof(*ret_stats));
	if (dev->has_ethdev)
		(void)rte_eth_stats_get(dev->ethdev, &stats);
	ret_stats->received = stats.ipackets;
	ret_stats->bytes = stats.ibytes;
	ret_stats->kernel_dropped = stats.imissed + stats.rx_nombuf +
				    tl_kernel_sockets_dropped(&dev->sockets);
	if (dev->distributor == NULL)
		return;
	tl_distributor_stats(dev->distributor, ret_stats);
	tl_sieve_stats(&dev->sieve, ret_stats);
	ret_stats->received = atomic_load_explicit(&dev->received, memory_order_relaxed);
	ret_stats->bytes = atomic_load_explicit(&dev->bytes, memory_order_relaxed);
}

static void device_close(struct tl_port *port)
{
	struct device *dev = device_of(port);

	tl_distributor_destroy(dev->distributor);
	tl_sieve_fini(&dev->sieve);
	dev->sockets.count = 0; // they are closed with the device
	if (dev->has_ethdev) {
		(void)rte_eth_dev_stop(dev->ethdev);
		if (dev->is_pci)
			(void)rte_eth_dev_close(dev->ethdev);
		else
			(void)rte_vdev_uninit(dev->device);
	}
	for (uint32_t i = 0; i < dev->pool_count; i++)
		rte_mempool_free(dev->pools[i]);
	free(dev);
}

static const struct tl_port_ops device_ops = {
	.kind = "dpdk",
	.turn = device_turn,
	.start = device_start,
	.stop = device_stop,
	.set_filter = device_set_filter,
	.stamp = device_stamp,
	.clock = device_clock,
	.is_done = device_is_done,
	.stats = device_stats,
	.close = device_close,
};
