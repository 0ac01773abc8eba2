// SPDX-License-Identifier: Apache-2.0
// Any ethdev that DPDK has a driver for: virtual devices by devargs (net_af_packet, net_pcap,
// net_tap, net_memif, ...) and network cards by PCI address.
//
// Workers poll the queues themselves where each can have one of its own. Whether the device keeps
// both directions of a conversation on one queue is found out at the start; where it doesn't, or
// might not, workers hand packets to each other (src/worker/steer.h). Everything else is read by
// the rx lcore and dealt out like our own ports.
//
// A packet filter runs in software on the rx lcore, so a device with one has an rx lcore.
//
// Limits: no driver used here tells the original length of a cut packet. Without a stamp of the
// driver a packet is stamped when its burst is read.
#define ALLOW_EXPERIMENTAL_API // rte_eth_read_clock
#include "base/check.h"
#include "pmd/device/clock.h"
#include "pmd/device/kernel.h"
#include "pmd/device/pci.h"
#include "pmd/device/rss.h"
#include "pmd/device/setup.h"
#include "pmd/eal.h"
#include "pmd/pcap/distribute.h"
#include "pmd/pcap/sieve.h"
#include "pmd/port.h"

#include <errno.h>
#include <net/if.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pcap/pcap.h>
#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_ethdev.h>

#define BURST 64u
#define TURN_BURSTS 4u
#define QUEUES_MAX 16u
#define POOL_CACHE 256u
#define ROOM_BYTES RTE_MBUF_DEFAULT_BUF_SIZE // net_af_packet refuses smaller ones
#define MBUF_BYTES 4200u // of EAL memory per mbuf of that room, measured without huge pages
// Before its socket is bound net_af_packet hears every interface; at most this is thrown away.
#define NOISE_PACKETS_MAX 65536u
// A file of net_pcap ends without a word: its bursts just come back empty.
#define END_EMPTY_TURNS 8u
#define XSTATS_MAX 1024u
#define CLOCK_TRIES 3u
#define CLOCK_READ_NS 20000u // a reading that took no longer is exact enough
// From a packet's stamp until the driver hands it out: libpcap's blocks, and a card's descriptors.
#define PCAP_DELIVERY_NS UINT64_C(50000000)
#define CARD_DELIVERY_NS UINT64_C(1000000)

#define NEEDED_RIGHTS "a Linux interface needs CAP_NET_RAW and CAP_NET_ADMIN, or root"

struct device {
	struct tl_port port;
	struct tl_port_options options;
	char devargs[1024];
	char device[64]; // devargs up to the first comma: EAL's name of the device
	bool is_pci;
	bool is_pcap;    // driven by net_pcap
	bool is_started;
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
	struct tl_kernel_interface interface; // of net_af_xdp
	const struct tl_quirk *quirk;
	struct tl_rss rss; // what it says of it, with a spread that was computed
	char link_text[64];
	// where drivers write their stamps
	int stamp_offset;
	uint64_t stamp_flag;
	bool has_clock;  // stamps are ticks of a clock that can be read
	atomic_flag is_reading_clock;
	struct tl_device_clock clock;
	// lossless, polled by workers
	uint32_t empty_bursts[QUEUES_MAX];
	_Atomic uint32_t queues_ended;
	atomic_flag is_damaged;
	_Atomic uint64_t last_ns;
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

int tl_port_device_name(const char *devargs, char *ret_name, uint32_t size, char *error,
			uint32_t error_size)
{
	size_t len = strcspn(devargs, ",");
	char address[TL_PCI_ADDRESS_BYTES];
	bool is_pci = tl_pci_address(devargs, address);

	if (len == 0 || len >= sizeof(((struct device *)NULL)->device) ||
	    strlen(devargs) >= sizeof(((struct device *)NULL)->devargs) ||
	    (strncmp(devargs, "net_", 4) != 0 && !is_pci)) {
		(void)snprintf(error, error_size,
			       "'%.80s' names no DPDK device: give devargs such as "
			       "net_af_packet0,iface=eth0 or a PCI address such as 0000:03:00.0",
			       devargs);
		return -EINVAL;
	}
	if (is_pci)
		(void)snprintf(ret_name, size, "%s", address);
	else
		(void)snprintf(ret_name, size, "%.*s", (int)len, devargs);
	return 0;
}

int tl_port_open_device(const struct tl_port_options *options, const char *devargs,
			struct tl_port **ret_port, char *error, uint32_t error_size)
{
	char name[sizeof(((struct device *)NULL)->device)];
	char address[TL_PCI_ADDRESS_BYTES];
	bool is_pci = tl_pci_address(devargs, address);
	int rc = tl_port_device_name(devargs, name, sizeof(name), error, error_size);

	if (rc == 0 && is_pci)
		rc = tl_pci_check(address, error, error_size);
	if (rc < 0)
		return rc;
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
	dev->is_pci = is_pci;
	dev->stamp_offset = -1;
	dev->link_type = UINT16_MAX;
	(void)snprintf(dev->devargs, sizeof(dev->devargs), "%s", devargs);
	memcpy(dev->device, name, sizeof(dev->device));
	(void)snprintf(dev->port.name, sizeof(dev->port.name), "%s",
		       options->name != NULL && *options->name != '\0' ? options->name
								       : dev->device);
	rc = read_link_type(dev, error, error_size);
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

// The Linux interface that a virtual device reads: its iface= or rx_iface=, "" without.
static void interface_of(const struct device *dev, char *ret, uint32_t size)
{
	const char *at = dev->is_pci ? NULL : strstr(dev->devargs, "iface=");

	*ret = '\0';
	if (at == NULL)
		return;
	at += strlen("iface=");
	(void)snprintf(ret, size, "%.*s", (int)strcspn(at, ","), at);
}

static void watch_interface(struct device *dev)
{
	char name[sizeof(dev->interface.name)];

	interface_of(dev, name, sizeof(name));
	if (*name != '\0')
		tl_kernel_interface_watch(&dev->interface, name);
}

// Cards were probed when EAL started: what it said then is still there.
static int refuse_unknown(struct device *dev)
{
	const char *text = tl_eal_log_text();

	if (!dev->is_pci)
		(void)snprintf(dev->port.error, sizeof(dev->port.error),
			       "%s is not a network device", dev->device);
	else
		(void)snprintf(dev->port.error, sizeof(dev->port.error),
			       "%s: no driver of DPDK here took this network card%s%s; capture on its "
			       "Linux interface", dev->device, *text != '\0' ? ": " : "", text);
	return -ENODEV;
}

static int probe(struct device *dev)
{
	struct tl_kernel_sockets before;

	tl_kernel_sockets_list(&before);
	if (!dev->is_pci) {
		const char *args = strchr(dev->devargs, ',');
		tl_eal_log_clear();
		int rc = rte_eal_hotplug_add("vdev", dev->device, args != NULL ? args + 1 : "");
		bool needs_rights = geteuid() != 0 && strstr(dev->devargs, "iface=") != NULL;
		if (rc < 0)
			return refuse(dev, rc == -EPERM ? rc : -ENODEV,
				      needs_rights ? "DPDK can't open it (" NEEDED_RIGHTS ")"
						   : "DPDK can't open it");
	}
	if (rte_eth_dev_get_port_by_name(dev->device, &dev->ethdev) != 0)
		return refuse_unknown(dev);
	tl_eal_log_clear();
	dev->has_ethdev = true;
	if (strncmp(dev->device, "net_af_packet", strlen("net_af_packet")) == 0)
		tl_kernel_sockets_since(&dev->sockets, &before);
	if (strncmp(dev->device, "net_af_xdp", strlen("net_af_xdp")) == 0)
		watch_interface(dev);
	return 0;
}

// On the card's own NUMA node; if that has no memory left, on any.
static struct rte_mempool *make_pool(const struct device *dev, const char *name)
{
	int node = dev->is_pci ? rte_eth_dev_socket_id(dev->ethdev) : SOCKET_ID_ANY;
	struct rte_mempool *pool = rte_pktmbuf_pool_create(name, dev->options.packets_max,
							   POOL_CACHE, 0, ROOM_BYTES, node);

	if (pool == NULL && node != SOCKET_ID_ANY)
		pool = rte_pktmbuf_pool_create(name, dev->options.packets_max, POOL_CACHE, 0,
					       ROOM_BYTES, SOCKET_ID_ANY);
	return pool;
}

static int make_pools(struct device *dev, uint32_t count)
{
	char name[RTE_MEMPOOL_NAMESIZE];

	for (dev->pool_count = 0; dev->pool_count < count; dev->pool_count++) {
		(void)snprintf(name, sizeof(name), "tld%u_%u", dev->port.index, dev->pool_count);
		dev->pools[dev->pool_count] = make_pool(dev, name);
		if (dev->pools[dev->pool_count] == NULL)
			return refuse(dev, -ENOMEM, "no memory for packets");
	}
	return 0;
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

// A card's clock: where the driver has no other word for it, the one that PTP asks.
static int read_ticks(const struct device *dev, uint64_t *ret_ticks)
{
	struct timespec now;

	if (rte_eth_read_clock(dev->ethdev, ret_ticks) == 0)
		return 0;
	int rc = dev->is_pci ? rte_eth_timesync_read_time(dev->ethdev, &now) : -ENOTSUP;
	if (rc == 0)
		*ret_ticks = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
	return rc;
}

static bool has_clock(const struct device *dev)
{
	uint64_t ticks;

	if (dev->is_pcap || dev->stamp_offset < 0)
		return false;
	if (read_ticks(dev, &ticks) == 0)
		return true;
	return dev->is_pci && rte_eth_timesync_enable(dev->ethdev) == 0 &&
	       read_ticks(dev, &ticks) == 0;
}

static int run(struct device *dev, const struct rte_eth_dev_info *info,
	       struct tl_device_setup *setup)
{
	int rc = rte_eth_dev_start(dev->ethdev);

	if (rc < 0) {
		if (!dev->is_pci && !dev->is_pcap)
			(void)refuse(dev, rc, "DPDK can't start it (" NEEDED_RIGHTS ")");
		else
			(void)refuse(dev, rc, "DPDK can't start it");
		return rc == -1 ? -EPERM : rc;
	}
	dev->is_started = true;
	tl_device_settle(dev->ethdev, info, setup);
	if (dev->is_pci)
		tl_device_await_link(dev->ethdev, setup);
	if (dev->is_pcap) { // it has the field without being asked
		setup->stamp_offset =
			rte_mbuf_dynfield_lookup(RTE_MBUF_DYNFIELD_TIMESTAMP_NAME, NULL);
		int bit = rte_mbuf_dynflag_lookup(RTE_MBUF_DYNFLAG_RX_TIMESTAMP_NAME, NULL);
		setup->stamp_flag = bit >= 0 ? RTE_BIT64(bit) : 0;
	}
	dev->stamp_offset = setup->stamp_offset;
	dev->stamp_flag = setup->stamp_flag;
	dev->has_clock = has_clock(dev);
	dev->port.is_stamped = dev->is_pcap || dev->has_clock;
	dev->port.delivery_ns = dev->is_pcap ? PCAP_DELIVERY_NS : CARD_DELIVERY_NS;
	if (!dev->is_pci && !dev->is_pcap)
		drop_noise(dev);
	return 0;
}

// Whether each worker can poll a queue of its own.
static bool is_direct(const struct device *dev, const struct rte_eth_dev_info *info,
		      uint32_t workers)
{
	if (dev->sieve.filter != NULL || workers > QUEUES_MAX)
		return false;
	// A file alone is read best by one; several must all be waited for.
	if (dev->port.is_lossless && (workers == 1 || !dev->options.waits))
		return false;
	return dev->quirk->has_own_queues ? info->max_rx_queues == workers
					  : info->max_rx_queues >= workers;
}

static int distribute(struct device *dev, uint32_t workers)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "tl%u", dev->port.index);
	const struct tl_distributor_options options = {
		.name = name,
		.workers = workers,
		.packets_max = dev->options.packets_max,
		.is_lossless = dev->port.is_lossless,
		.defrag = dev->options.defrag,
		.left_alone = dev->options.left_alone,
		.seed = dev->options.seed,
	};
	return tl_distributor_create(&options, &dev->distributor, dev->port.error,
				     sizeof(dev->port.error));
}

static void judge_spread(struct device *dev, const struct rte_eth_dev_info *info)
{
	struct tl_port *port = &dev->port;

	if (dev->quirk->spread_text == NULL) {
		port->spread = tl_rss_judge(dev->ethdev, info, &dev->rss, port->spread_text,
					    sizeof(port->spread_text));
		return;
	}
	port->spread = TL_SPREAD_UNKNOWN;
	(void)snprintf(port->spread_text, sizeof(port->spread_text), "%s", dev->quirk->spread_text);
}

static int configure_and_run(struct device *dev, const struct rte_eth_dev_info *info,
			     struct tl_device_setup *setup)
{
	const char *step;
	int rc = tl_device_configure(dev->ethdev, info, setup, &step);

	return rc < 0 ? refuse(dev, rc, step) : run(dev, info, setup);
}

static int set_up(struct device *dev, struct rte_eth_dev_info *info, uint32_t workers)
{
	struct tl_device_setup setup = {
		.is_pci = dev->is_pci,
		.promiscuous = dev->options.promiscuous,
		.quirk = dev->quirk,
		.pools = dev->pools,
		.packets_max = dev->options.packets_max,
	};

	if (dev->quirk->queues_max > 0 && info->max_rx_queues > dev->quirk->queues_max)
		info->max_rx_queues = info->max_tx_queues = dev->quirk->queues_max;
	bool direct = is_direct(dev, info, workers);
	if (direct)
		dev->queues = (uint16_t)workers;
	else if (dev->quirk->has_own_queues)
		dev->queues = info->max_rx_queues < QUEUES_MAX ? info->max_rx_queues : QUEUES_MAX;
	else
		dev->queues = 1;
	setup.queues = dev->queues;
	setup.wants_rss = dev->queues > 1;
	int rc = make_pools(dev, direct ? workers : 1);
	setup.pool_count = dev->pool_count;
	if (rc == 0 && !direct)
		rc = distribute(dev, workers);
	if (rc < 0)
		return rc;
	rc = configure_and_run(dev, info, &setup);
	// Whoever hands a virtual function out may have bounded its frames, which shows here only.
	if (rc < 0 && dev->is_pci) {
		setup.has_usual_mtu = true;
		rc = configure_and_run(dev, info, &setup);
	}
	if (rc < 0)
		return rc;
	*dev->port.error = '\0'; // of the first attempt
	if (dev->distributor != NULL)
		tl_distributor_attach(dev->distributor, &dev->port);
	for (uint32_t i = 0; direct && i < workers; i++) {
		dev->port.ethdev[i] = dev->ethdev;
		dev->port.queue[i] = (uint16_t)i;
	}
	if (direct && workers > 1)
		judge_spread(dev, info);
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
	dev->is_pcap = strcmp(info.driver_name, "net_pcap") == 0;
	dev->quirk = tl_device_quirk(info.driver_name, dev->is_pci);
	return set_up(dev, &info, worker_count);
}

// ---- Running -------------------------------------------------------------------------------

// When the packet arrived. In DPDK 22.11 net_pcap's stamps are microseconds; later releases give
// nanoseconds, and only if asked for by an offload: this is the place to tell them apart.
static uint64_t stamp_of(const struct device *dev, struct rte_mbuf *mbuf, uint64_t burst_ns)
{
	if (dev->stamp_offset < 0 || (mbuf->ol_flags & dev->stamp_flag) == 0)
		return burst_ns;
	uint64_t raw = *RTE_MBUF_DYNFIELD(mbuf, (size_t)dev->stamp_offset, uint64_t *);
	if (dev->is_pcap)
		return raw * 1000;
	return tl_device_clock_stamp(dev->has_clock ? &dev->clock : NULL, raw, burst_ns);
}

// Whoever is first when it is due.
static void read_clock(struct device *dev, uint64_t now_ns)
{
	uint64_t least_ns = UINT64_MAX, best_ticks = 0, best_ns = 0;

	if (!dev->has_clock || !tl_device_clock_is_due(&dev->clock, now_ns) ||
	    atomic_flag_test_and_set(&dev->is_reading_clock))
		return;
	// A thread that is put aside between the two clocks would move every stamp by that time.
	for (uint32_t i = 0; i < CLOCK_TRIES && least_ns > CLOCK_READ_NS; i++) {
		uint64_t ticks, before_ns = wall_ns();
		if (read_ticks(dev, &ticks) != 0)
			break;
		uint64_t took_ns = wall_ns() - before_ns;
		if (took_ns >= least_ns)
			continue;
		least_ns = took_ns;
		best_ticks = ticks;
		best_ns = before_ns + took_ns / 2;
	}
	if (least_ns != UINT64_MAX)
		tl_device_clock_read(&dev->clock, best_ticks, best_ns);
	atomic_flag_clear(&dev->is_reading_clock);
}

static void note_last(struct device *dev, uint64_t time_ns)
{
	uint64_t last_ns = atomic_load_explicit(&dev->last_ns, memory_order_relaxed);

	while (time_ns > last_ns && !atomic_compare_exchange_weak(&dev->last_ns, &last_ns, time_ns))
		;
}

static void device_stamp(struct tl_port *port, struct rte_mbuf **mbufs, uint16_t count)
{
	struct device *dev = device_of(port);
	uint64_t now = wall_ns();
	uint64_t last_ns = 0;

	read_clock(dev, now);
	for (uint16_t i = 0; i < count; i++) {
		struct tl_mbuf_meta *meta = tl_mbuf_meta(mbufs[i]);
		meta->time_ns = stamp_of(dev, mbufs[i], now);
		meta->original_len = mbufs[i]->pkt_len;
		last_ns = meta->time_ns > last_ns ? meta->time_ns : last_ns;
		tl_mbuf_mark(mbufs[i], dev->link_type, false);
	}
	if (port->is_lossless)
		note_last(dev, last_ns);
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

// After a damaged record net_pcap goes on with garbage.
static void say_damaged(struct device *dev)
{
	if (!atomic_flag_test_and_set(&dev->is_damaged))
		(void)snprintf(dev->port.error, sizeof(dev->port.error),
			       "%s: the file is damaged or has another link type from here on",
			       dev->port.name);
}

static int end_of_file(struct device *dev, uint64_t errors)
{
	tl_distributor_end(dev->distributor);
	if (errors == 0)
		return 0;
	say_damaged(dev);
	return -EBADMSG;
}

static bool device_is_at_end(struct tl_port *port, uint16_t queue)
{
	struct device *dev = device_of(port);
	struct rte_eth_stats stats;

	if (!port->is_lossless || dev->empty_bursts[queue] == END_EMPTY_TURNS)
		return port->is_lossless;
	uint64_t errors = rte_eth_stats_get(dev->ethdev, &stats) == 0 ? stats.ierrors : 0;
	if (errors > 0)
		say_damaged(dev);
	dev->empty_bursts[queue] = errors > 0 ? END_EMPTY_TURNS : dev->empty_bursts[queue] + 1;
	if (dev->empty_bursts[queue] < END_EMPTY_TURNS)
		return false;
	atomic_fetch_add_explicit(&dev->queues_ended, 1, memory_order_release);
	return true;
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

static bool device_is_done(const struct tl_port *port)
{
	const struct device *dev = (const struct device *)port;

	if (dev->distributor != NULL)
		return tl_distributor_is_done(dev->distributor);
	return atomic_load_explicit(&dev->is_stopped, memory_order_acquire) ||
	       (port->is_lossless &&
		atomic_load_explicit(&dev->queues_ended, memory_order_acquire) == dev->queues);
}

static uint32_t device_queue_of(const struct tl_port *port, const struct tl_tuple *tuple)
{
	return tl_rss_queue(&((const struct device *)port)->rss, tuple);
}

static uint64_t device_clock(const struct tl_port *port)
{
	const struct device *dev = (const struct device *)port;

	if (dev->distributor != NULL)
		return tl_distributor_clock(dev->distributor);
	// What a worker reads itself is stamped when it is read, but for a file's packets.
	if (!port->is_lossless)
		return wall_ns();
	return device_is_done(port) ? atomic_load_explicit(&dev->last_ns, memory_order_relaxed) : 0;
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
	// What both count is counted once.
	uint64_t by_interface = tl_kernel_interface_dropped(&dev->interface);
	ret_stats->kernel_dropped = (by_interface > stats.imissed ? by_interface : stats.imissed) +
				    stats.rx_nombuf + tl_kernel_sockets_dropped(&dev->sockets);
	if (dev->distributor == NULL)
		return;
	tl_distributor_stats(dev->distributor, ret_stats);
	tl_sieve_stats(&dev->sieve, ret_stats);
	ret_stats->received = atomic_load_explicit(&dev->received, memory_order_relaxed);
	ret_stats->bytes = atomic_load_explicit(&dev->bytes, memory_order_relaxed);
}

static void device_describe(struct tl_port *port)
{
	struct device *dev = device_of(port);
	char interface[IF_NAMESIZE];
	char state[32];

	if (!dev->is_started || dev->link_type != TL_LINK_ETHERNET)
		return;
	port->is_down = !tl_device_link_text(dev->ethdev, state, sizeof(state));
	interface_of(dev, interface, sizeof(interface));
	// Drivers that read an interface say that it is up whatever became of it.
	if (*interface != '\0' && !tl_kernel_interface_is_up(interface)) {
		port->is_down = true;
		(void)snprintf(state, sizeof(state), "%s is down or gone", interface);
	}
	bool is_deaf = tl_device_is_deaf(dev->ethdev, dev->is_pci, dev->options.promiscuous);
	(void)snprintf(dev->link_text, sizeof(dev->link_text), "Ethernet, %s%s", state,
		       is_deaf ? ", not promiscuous" : "");
	port->link = dev->link_text;
}

static uint32_t device_losses(struct tl_port *port, struct tl_port_loss *ret, uint32_t max)
{
	struct device *dev = device_of(port);
	static struct rte_eth_xstat_name names[XSTATS_MAX]; // main thread
	static struct rte_eth_xstat values[XSTATS_MAX];
	uint32_t count = 0;

	if (!dev->is_started)
		return 0;
	int named = rte_eth_xstats_get_names(dev->ethdev, names, XSTATS_MAX);
	int valued = rte_eth_xstats_get(dev->ethdev, values, XSTATS_MAX);
	if (named <= 0 || named > (int)XSTATS_MAX || valued > named)
		return 0;
	for (int i = 0; i < valued && count < max; i++) {
		if (values[i].value == 0 || !tl_device_tells_of_loss(names[i].name))
			continue;
		(void)snprintf(ret[count].name, sizeof(ret[count].name), "%s", names[i].name);
		ret[count++].count = values[i].value;
	}
	return count;
}

static void device_close(struct tl_port *port)
{
	struct device *dev = device_of(port);
	struct rte_eth_stats stats;

	tl_distributor_destroy(dev->distributor);
	tl_sieve_fini(&dev->sieve);
	dev->sockets.count = 0; // they are closed with the device
	if (dev->has_ethdev) {
		if (dev->is_started && dev->quirk->stats_before_stop)
			(void)rte_eth_stats_get(dev->ethdev, &stats);
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
	.queue_of = device_queue_of,
	.clock = device_clock,
	.is_done = device_is_done,
	.is_at_end = device_is_at_end,
	.stats = device_stats,
	.describe = device_describe,
	.losses = device_losses,
	.close = device_close,
};
