// SPDX-License-Identifier: Apache-2.0
// A Linux interface, or all of them (`any`), through libpcap: kernel filter, nanosecond stamps,
// drop counters. Packets are read on the rx lcore and dealt out by distribute.c.
//
// Copies: on the loopback interface, also inside `any`, libpcap leaves out the outgoing copy of
// a packet by itself. Other copies (a bridge and its members on `any`) are real captures of the
// same packet; telling these apart is the flow table's work, since only it knows the flow.
//
// VLAN tags: Linux takes the outer tag off before the filter runs, so `port 80` passes packets with
// one tag; it holds back those with two (measured on veth), and nobody can see that it does. Files
// and devices are filtered by us and get a hint (pmd/pcap/sieve.h).
#include "pmd/device/kernel.h"
#include "pmd/pcap/distribute.h"
#include "pmd/port.h"

#include "base/check.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <pcap/pcap.h>

#define TURN_PACKETS 256
// Not libpcap's immediate mode: that reserves a slot of snaplen bytes per packet in the kernel's
// buffer. Blocks of packets, handed over after at most this long, lose nothing at 1.5 Mpps.
#define BLOCK_MS 10
#define STATS_EVERY_TURNS 1024u
// libpcap opens files below /sys for its statistics: not at each idle turn.
#define STATS_EVERY_NS UINT64_C(100000000)
#define CLOCK_SLACK_NS UINT64_C(100000000) // a packet is never read later than this
#define DRAIN_NS UINT64_C(60000000)        // longest read-out at a stop
#define NAMES_SHOWN 8u
#define LIKENESS_LEAST 49u // percent
#define SLL_HEADER_BYTES 16u
#define SLL2_HEADER_BYTES 20u

struct live {
	struct tl_port port;
	pcap_t *pcap;
	struct tl_port_options options;
	char interface[IFNAMSIZ + 16];
	struct tl_distributor *distributor;
	uint16_t link_type;
	bool is_shared;    // with other readers of the interface
	uint32_t turns;
	uint64_t stats_ns; // wall time of the last statistics in an idle turn
	// Written by the rx lcore, read by control.
	_Atomic uint64_t received;
	_Atomic uint64_t bytes;
	_Atomic uint64_t kernel_dropped;
	uint64_t turn_received; // of this turn, not published yet
	uint64_t turn_bytes;
};

static struct live *live_of(struct tl_port *port)
{
	return (struct live *)port; // its first member
}

static uint64_t wall_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

// ---- Opening -------------------------------------------------------------------------------

// How much of the longer of two names they share at their begins and ends, in percent.
static size_t likeness(const char *a, const char *b)
{
	size_t len_a = strlen(a), len_b = strlen(b), head = 0, tail = 0;
	size_t shorter = len_a < len_b ? len_a : len_b;

	while (head < shorter && a[head] == b[head])
		head++;
	while (head + tail < shorter && a[len_a - 1 - tail] == b[len_b - 1 - tail])
		tail++;
	return (head + tail) * 100 / (len_a + len_b - shorter);
}

static const char *nearest_interface(const char *wanted, const struct if_nameindex *names)
{
	const char *nearest = NULL;
	size_t best = LIKENESS_LEAST;

	for (uint32_t i = 0; names != NULL && names[i].if_name != NULL; i++) {
		size_t now = likeness(wanted, names[i].if_name);
		if (now > best) {
			best = now;
			nearest = names[i].if_name;
		}
	}
	return nearest;
}

static void say_no_such_interface(const char *interface, char *error, uint32_t error_size)
{
	struct if_nameindex *names = if_nameindex();
	const char *nearest = nearest_interface(interface, names);
	size_t at = (size_t)snprintf(error, error_size, "no interface named '%s'%s%s%s; there are:",
				     interface, nearest != NULL ? ", did you mean " : "",
				     nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");

	for (uint32_t i = 0; names != NULL && names[i].if_name != NULL && at < error_size; i++) {
		if (i == NAMES_SHOWN) {
			at += (size_t)snprintf(error + at, error_size - at, " ...");
			break;
		}
		at += (size_t)snprintf(error + at, error_size - at, " %s,", names[i].if_name);
	}
	if (at < error_size)
		(void)snprintf(error + at, error_size - at, " and 'any' for all of them");
	if (names != NULL)
		if_freenameindex(names);
}

static void say_no_permission(const char *interface, char *error, uint32_t error_size)
{
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

	path[len > 0 ? len : 0] = '\0';
	(void)snprintf(error, error_size,
		       "no permission to capture on '%s': run as root, or once: "
		       "setcap cap_net_raw,cap_net_admin+ep %s",
		       interface, len > 0 ? path : "tapline");
}

// What pcap_activate's refusal means for us.
static int explain(const struct live *live, int status, char *error, uint32_t error_size)
{
	switch (status) {
	case PCAP_ERROR_NO_SUCH_DEVICE:
		say_no_such_interface(live->interface, error, error_size);
		return -ENODEV;
	case PCAP_ERROR_PERM_DENIED:
	case PCAP_ERROR_PROMISC_PERM_DENIED:
		say_no_permission(live->interface, error, error_size);
		return -EPERM;
	case PCAP_ERROR_IFACE_NOT_UP:
		(void)snprintf(error, error_size,
			       "interface '%s' is down: ip link set %s up brings it up",
			       live->interface, live->interface);
		return -ENODEV;
	default:
		(void)snprintf(error, error_size, "can't capture on '%s': %s", live->interface,
			       *pcap_geterr(live->pcap) != '\0' ? pcap_geterr(live->pcap)
								: pcap_statustostr(status));
		return -EBUSY;
	}
}

static int set_filter(struct live *live, char *error, uint32_t error_size)
{
	struct bpf_program program;

	if (live->options.filter == NULL || *live->options.filter == '\0')
		return 0;
	if (pcap_compile(live->pcap, &program, live->options.filter, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		(void)snprintf(error, error_size, "filter '%s': %s", live->options.filter,
			       pcap_geterr(live->pcap));
		return -EINVAL;
	}
	int rc = pcap_setfilter(live->pcap, &program);
	pcap_freecode(&program);
	if (rc < 0) {
		(void)snprintf(error, error_size, "the kernel refuses the filter on '%s': %s",
			       live->interface, pcap_geterr(live->pcap));
		return -EINVAL;
	}
	return 0;
}

// The kernel's filter of a cooked socket (`any`) sees a packet from its network header on; the
// header that libpcap's program reads is made up by libpcap. Loads from that header become the
// kernel's own words for the same facts. False where there is none.
static bool uncook(struct bpf_insn *insn, uint16_t link_type)
{
	bool is_v2 = link_type == TL_LINK_SLL2;
	uint32_t header = is_v2 ? SLL2_HEADER_BYTES : SLL_HEADER_BYTES;
	uint32_t protocol_at = is_v2 ? 0 : 14, packet_type_at = is_v2 ? 10 : 0;

	if (insn->k >= header)
		insn->k -= header;
	else if (insn->k == protocol_at && BPF_MODE(insn->code) == BPF_ABS)
		insn->k = (uint32_t)SKF_AD_OFF + SKF_AD_PROTOCOL;
	else if (insn->k == packet_type_at && BPF_MODE(insn->code) == BPF_ABS)
		insn->k = (uint32_t)SKF_AD_OFF + SKF_AD_PKTTYPE;
	else
		return insn->k >= (uint32_t)SKF_AD_OFF; // asks the kernel already
	return true;
}

static bool uncook_program(struct bpf_program *program, uint16_t link_type)
{
	for (uint32_t i = 0; i < program->bf_len; i++) {
		struct bpf_insn *insn = &program->bf_insns[i];
		uint32_t class = BPF_CLASS(insn->code), mode = BPF_MODE(insn->code);
		bool loads = (class == BPF_LD || class == BPF_LDX) &&
			     (mode == BPF_ABS || mode == BPF_IND || mode == BPF_MSH);
		if (loads && !uncook(insn, link_type))
			return false;
	}
	return true;
}

// Not pcap_setfilter: that shuts out everything for a moment, uncounted. The kernel itself swaps
// filters at once. Packets that wait in the buffer have been judged by the old one.
static int live_set_filter(struct tl_port *port, const char *text, char *error,
			   uint32_t error_size)
{
	struct live *live = live_of(port);
	struct bpf_program program;
	int none = 0;

	if (*text == '\0') {
		// ENOENT: there was none.
		if (setsockopt(port->fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)) < 0 &&
		    errno != ENOENT)
			goto out_refused;
		return 0;
	}
	if (pcap_compile(live->pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		(void)snprintf(error, error_size, "filter '%s': %s", text, pcap_geterr(live->pcap));
		return -EINVAL;
	}
	bool is_cooked = live->link_type == TL_LINK_SLL ||
			 live->link_type == TL_LINK_SLL2;
	bool fits = program.bf_len <= USHRT_MAX &&
		    (!is_cooked || uncook_program(&program, live->link_type));
	const struct sock_fprog kernel = {
		.len = (unsigned short)program.bf_len,
		// The same layout; libpcap has a name of its own for it.
		.filter = (struct sock_filter *)(void *)program.bf_insns,
	};
	int rc = !fits ? -1 : setsockopt(port->fd, SOL_SOCKET, SO_ATTACH_FILTER, &kernel,
					 sizeof(kernel));
	int why = fits ? errno : E2BIG;
	pcap_freecode(&program);
	if (rc == 0)
		return 0;
	errno = why;
out_refused:
	(void)snprintf(error, error_size, "the kernel refuses the filter on '%s': %s",
		       live->interface, strerror(errno));
	return -EINVAL;
}

// Joins the readers of the interface. Each conversation goes to one of them, by the kernel's hash,
// which is symmetric. Until all have joined a packet would come to each: nothing passes before the
// start.
static int share(struct live *live, char *error, uint32_t error_size)
{
	struct sock_filter nothing = {.code = BPF_RET | BPF_K, .k = 0};
	const struct sock_fprog program = {.len = 1, .filter = &nothing};
	int32_t *group = live->options.fanout;
	uint32_t kind = PACKET_FANOUT_HASH;
	socklen_t len = sizeof(kind);

	if (*group >= 0)
		kind = kind << 16 | ((uint32_t)*group & 0xffff);
	else // the kernel finds a number that nobody has
		kind = (kind | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
	int fd = live->port.fd;
	int rc = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	if (rc == 0)
		rc = setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &kind, sizeof(kind));
	if (rc == 0)
		rc = getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &kind, &len);
	if (rc < 0) {
		(void)snprintf(error, error_size, "'%s' can't have several readers: %s",
			       live->interface, strerror(errno));
		return -EBUSY;
	}
	*group = (int32_t)(kind & 0xffff);
	live->options.fanout = NULL; // the caller's
	live->is_shared = true;
	return 0;
}

static void discard(u_char *user, const struct pcap_pkthdr *head, const u_char *bytes)
{
	(void)user;
	(void)head;
	(void)bytes;
}

// What came before all readers had joined is gone; from now on packets pass.
static int let_pass(struct live *live)
{
	const char *filter = live->options.filter == NULL ? "" : live->options.filter;

	while (pcap_dispatch(live->pcap, -1, discard, NULL) > 0)
		;
	return live_set_filter(&live->port, filter, live->port.error, sizeof(live->port.error));
}

static int activate(struct live *live, char *error, uint32_t error_size)
{
	char text[PCAP_ERRBUF_SIZE] = "";

	live->pcap = pcap_create(live->interface, text);
	if (live->pcap == NULL) {
		(void)snprintf(error, error_size, "can't capture on '%s': %s", live->interface, text);
		return -ENODEV;
	}
	uint64_t buffer = live->options.buffer_bytes;
	uint32_t snaplen = live->options.snaplen;
	(void)pcap_set_snaplen(live->pcap, snaplen > 0 && snaplen < INT_MAX ? (int)snaplen : 262144);
	(void)pcap_set_promisc(live->pcap, live->options.promiscuous);
	(void)pcap_set_timeout(live->pcap, BLOCK_MS);
	(void)pcap_set_tstamp_precision(live->pcap, PCAP_TSTAMP_PRECISION_NANO);
	if (buffer > 0)
		(void)pcap_set_buffer_size(live->pcap, buffer < INT_MAX ? (int)buffer : INT_MAX);
	int status = pcap_activate(live->pcap);
	if (status < 0) // above 0: warnings, such as no promiscuous mode on `any`
		return explain(live, status, error, error_size);
	if (pcap_setnonblock(live->pcap, 1, text) < 0) {
		(void)snprintf(error, error_size, "can't capture on '%s': %s", live->interface, text);
		return -EBUSY;
	}
	int link_type = pcap_datalink(live->pcap);
	live->link_type = link_type >= 0 ? (uint16_t)link_type : UINT16_MAX;
	live->port.link = pcap_datalink_val_to_description(link_type);
	live->port.fd = pcap_get_selectable_fd(live->pcap);
	int rc = set_filter(live, error, error_size);
	if (rc == 0 && live->options.fanout != NULL)
		rc = share(live, error, error_size);
	return rc;
}

static const struct tl_port_ops live_ops;

int tl_port_open_live(const struct tl_port_options *options, const char *interface,
		      struct tl_port **ret_port, char *error, uint32_t error_size)
{
	struct live *live = calloc(1, sizeof(*live));

	if (live == NULL) {
		(void)snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	live->options = *options;
	live->port.ops = &live_ops;
	live->port.is_stamped = true; // by the kernel
	live->port.index = options->index;
	(void)snprintf(live->interface, sizeof(live->interface), "%s", interface);
	(void)snprintf(live->port.name, sizeof(live->port.name), "%s",
		       options->name != NULL && *options->name != '\0' ? options->name : interface);
	int rc = activate(live, error, error_size);
	if (rc < 0) {
		live_ops.close(&live->port);
		return rc;
	}
	*ret_port = &live->port;
	return 0;
}

static int live_start(struct tl_port *port, uint32_t worker_count)
{
	struct live *live = live_of(port);
	char name[16];

	(void)snprintf(name, sizeof(name), "tl%u", port->index);
	const struct tl_distributor_options options = {
		.name = name,
		.workers = worker_count,
		.packets_max = live->options.packets_max,
		.defrag = live->options.defrag,
		.left_alone = live->options.left_alone,
		.seed = live->options.seed,
	};
	int rc = tl_distributor_create(&options, &live->distributor, port->error,
				       sizeof(port->error));
	if (rc == 0 && live->is_shared)
		rc = let_pass(live);
	if (rc == 0)
		tl_distributor_attach(live->distributor, port);
	return rc;
}

// ---- Running: rx lcore ---------------------------------------------------------------------

static void live_packet(u_char *user, const struct pcap_pkthdr *head, const u_char *bytes)
{
	struct live *live = (struct live *)(void *)user;
	const struct tl_chunk chunk = {.data = bytes, .len = head->caplen};
	const struct tl_packet packet = {
		.chunks = &chunk,
		.chunk_count = 1,
		.link_type = live->link_type,
		.port = live->port.index,
		.len = head->caplen,
		.original_len = head->len < head->caplen ? head->caplen : head->len,
		// With nanosecond precision tv_usec counts nanoseconds.
		.time_ns = (uint64_t)head->ts.tv_sec * UINT64_C(1000000000) +
			   (uint64_t)head->ts.tv_usec,
	};

	live->turn_received++;
	live->turn_bytes += packet.original_len;
	tl_distributor_packet(live->distributor, &packet);
}

static void publish_drops(struct live *live)
{
	struct pcap_stat stat;

	if (pcap_stats(live->pcap, &stat) == 0)
		atomic_store_explicit(&live->kernel_dropped, stat.ps_drop, memory_order_relaxed);
}

static int dispatch(struct live *live)
{
	int count = pcap_dispatch(live->pcap, TURN_PACKETS, live_packet, (u_char *)live);

	if (live->turn_received > 0) {
		atomic_fetch_add_explicit(&live->received, live->turn_received,
					  memory_order_relaxed);
		atomic_fetch_add_explicit(&live->bytes, live->turn_bytes, memory_order_relaxed);
		live->turn_received = 0;
		live->turn_bytes = 0;
	}
	return count;
}

static int live_turn(struct tl_port *port)
{
	struct live *live = live_of(port);
	int count = dispatch(live);
	uint64_t now_ns = count == 0 ? wall_ns() : 0;

	if (count < TURN_PACKETS)
		tl_distributor_flush(live->distributor, count == 0 ? now_ns - CLOCK_SLACK_NS : 0);
	if (count < 0) {
		(void)snprintf(port->error, sizeof(port->error), "capture on '%s' ended: %s",
			       live->interface, pcap_geterr(live->pcap));
		publish_drops(live);
		tl_distributor_end(live->distributor);
		return -EIO;
	}
	if (now_ns > live->stats_ns + STATS_EVERY_NS || ++live->turns % STATS_EVERY_TURNS == 0) {
		live->stats_ns = now_ns;
		publish_drops(live);
	}
	return count;
}

// Reads out what the kernel had captured before the stop: it is neither lost nor new.
static void live_stop(struct tl_port *port)
{
	struct live *live = live_of(port);
	uint64_t end_ns = wall_ns() + DRAIN_NS;
	struct pollfd waiter = {.fd = port->fd, .events = POLLIN};

	if (tl_distributor_is_done(live->distributor))
		return;
	for (int count = 1; count >= 0 && wall_ns() < end_ns;) {
		count = dispatch(live);
		// The kernel's open block is handed over after BLOCK_MS.
		if (count == 0 && (port->fd < 0 || poll(&waiter, 1, BLOCK_MS + 5) <= 0))
			break;
	}
	publish_drops(live);
	tl_distributor_end(live->distributor);
}

// ---- Any thread ----------------------------------------------------------------------------

static uint64_t live_clock(const struct tl_port *port)
{
	return tl_distributor_clock(((const struct live *)port)->distributor);
}

static bool live_is_pressed(const struct tl_port *port, uint32_t worker)
{
	return tl_distributor_is_pressed(((const struct live *)port)->distributor, worker);
}

static bool live_is_done(const struct tl_port *port)
{
	return tl_distributor_is_done(((const struct live *)port)->distributor);
}

static void live_stats(struct tl_port *port, struct tl_port_stats *ret_stats)
{
	struct live *live = live_of(port);

	memset(ret_stats, 0, sizeof(*ret_stats));
	if (live->distributor != NULL)
		tl_distributor_stats(live->distributor, ret_stats);
	ret_stats->received = atomic_load_explicit(&live->received, memory_order_relaxed);
	ret_stats->bytes = atomic_load_explicit(&live->bytes, memory_order_relaxed);
	ret_stats->kernel_dropped =
		atomic_load_explicit(&live->kernel_dropped, memory_order_relaxed);
}

static void live_close(struct tl_port *port)
{
	struct live *live = live_of(port);

	if (live->pcap != NULL)
		pcap_close(live->pcap);
	tl_distributor_destroy(live->distributor);
	free(live);
}

// libpcap says nothing of a link that goes down; `any` has none.
static void live_describe(struct tl_port *port)
{
	const struct live *live = live_of(port);

	port->is_down = strcmp(live->interface, "any") != 0 &&
			!tl_kernel_interface_is_up(live->interface);
}

static const struct tl_port_ops live_ops = {
	.kind = "live",
	.turn = live_turn,
	.start = live_start,
	.stop = live_stop,
	.set_filter = live_set_filter,
	.clock = live_clock,
	.is_done = live_is_done,
	.is_pressed = live_is_pressed,
	.stats = live_stats,
	.describe = live_describe,
	.close = live_close,
};
