// SPDX-License-Identifier: Apache-2.0
// A capture port: whatever gives packets. To a worker it is an ethdev queue and nothing else; to
// the pipeline it is this struct. Kinds: pcap/ (our own: files and live interfaces by libpcap,
// with a distributor lcore) and device/ (any other DPDK ethdev: vdevs by devargs, PCI devices).
#pragma once

#include <stdatomic.h>

#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include "packet/defrag.h"
#include "packet/packet.h"
#include "pmd/loss.h"

#define TL_PORTS_MAX 16u   // ports of one process
#define TL_WORKERS_MAX 64u // workers of one process
#define TL_PORT_FILES_MAX 16u // capture files of one port

// What travels with an mbuf, in its dynamic field area. 28 bytes at 4-byte alignment, because
// the area has 36 and drivers that stamp (net_pcap) need 8 aligned ones of them.
struct tl_mbuf_meta {
	uint64_t time_ns;
	uint32_t original_len;
	struct tl_outer outer; // of a packet put together from fragments
} __attribute__((packed, aligned(4)));

extern int tl_mbuf_meta_offset; // of the dynamic field, -1 before registration
// Once after EAL start and before any device is probed. 0 or -errno.
int tl_mbuf_meta_register(void);

static inline struct tl_mbuf_meta *tl_mbuf_meta(struct rte_mbuf *mbuf)
{
	return RTE_MBUF_DYNFIELD(mbuf, (size_t)tl_mbuf_meta_offset, struct tl_mbuf_meta *);
}

// The link type and whether the packet was put together from fragments stand where a driver
// would put the packet type: nobody here reads that.
#define TL_MBUF_REASSEMBLED 0x10000u

static inline void tl_mbuf_mark(struct rte_mbuf *mbuf, uint16_t link_type, bool is_reassembled)
{
	mbuf->packet_type = link_type | (is_reassembled ? TL_MBUF_REASSEMBLED : 0);
}

static inline uint16_t tl_mbuf_link_type(const struct rte_mbuf *mbuf)
{
	return (uint16_t)mbuf->packet_type;
}

static inline bool tl_mbuf_is_reassembled(const struct rte_mbuf *mbuf)
{
	return (mbuf->packet_type & TL_MBUF_REASSEMBLED) != 0;
}

// A packet that was put together has what surrounded it right before its data.
static inline struct tl_path *tl_mbuf_path(struct rte_mbuf *mbuf)
{
	return rte_pktmbuf_mtod_offset(mbuf, struct tl_path *, -(int)sizeof(struct tl_path));
}

// Small packets share an mbuf, which costs what one packet alone would: the caches of two CPUs
// exchange few and adjacent lines, and rings and pools are touched once for all of them. Such an mbuf
// has this mark, the number of its frames in hash.usr, and in its one segment frame after frame.
#define TL_MBUF_FRAMES 0x20000u

// A fragment on its way to the worker that puts the datagram together (src/worker/steer.h).
#define TL_MBUF_FRAGMENT 0x40000u

struct tl_frame {
	uint64_t time_ns;
	uint32_t original_len;
	uint16_t len;       // bytes of the packet, which follow; the next frame begins at ...
	uint16_t link_type;
};

// ... this distance.
static inline uint32_t tl_frame_bytes(uint32_t len)
{
	return (uint32_t)(sizeof(struct tl_frame) + len + 7) & ~7u;
}

static inline bool tl_mbuf_has_frames(const struct rte_mbuf *mbuf)
{
	return (mbuf->packet_type & TL_MBUF_FRAMES) != 0;
}

// Packets in an mbuf.
static inline uint32_t tl_mbuf_packets(const struct rte_mbuf *mbuf)
{
	return tl_mbuf_has_frames(mbuf) ? mbuf->hash.usr : 1;
}

// The books of a port close: received = filtered + ring_dropped + pool_dropped
//   + fragments.used + fragments.timeouts + evicted + malformed + duplicates + held
//   - fragments.reassembled + queued + what the workers were offered.
struct tl_port_stats {
	uint64_t received;       // packets the source gave us
	uint64_t bytes;
	uint64_t kernel_dropped; // dropped before we saw them (socket, NIC: imissed)
	uint64_t filtered;       // did not match the filter applied here (not the kernel's)
	uint64_t file_read, file_size; // bytes of a capture file, 0 for other sources
	uint64_t overlooked_tags; // most VLAN tags of one of these that would match without them
	uint64_t ring_dropped;   // dropped because a worker's ring was full
	uint64_t pool_dropped;   // dropped because no mbuf was free
	uint64_t cut;            // packets longer than we can hold
	uint64_t queued;         // handed over, not taken by a worker yet
	uint64_t filtered_bytes;
	uint64_t fragment_bytes;          // of the fragments taken
	uint64_t reassembled_bytes;       // of the datagrams made of them
	uint64_t fragments_not_followed;  // beyond the first, of datagrams without TCP or UDP
	struct tl_defrag_stats fragments; // of the port's own reassembly
};

struct tl_port;

// Whether both directions of a conversation come to one queue of a port that workers poll.
enum tl_spread {
	TL_SPREAD_NONE,       // there is one queue, or the rx lcore deals its packets out
	TL_SPREAD_SYMMETRIC,  // they do: computed from what the device says of its RSS
	TL_SPREAD_ASYMMETRIC, // they don't: computed likewise
	TL_SPREAD_UNKNOWN,    // it doesn't say, or breaks its word under load
};

struct tl_port_ops {
	const char *kind;
	// One turn of the port's distributor on its rx lcore: reads and hands out up to a few
	// bursts. Packets handled, 0 if there is nothing now, -errno when the source failed for
	// good (its message is in `error`). Only called when the port `has_distributor`.
	int (*turn)(struct tl_port *port);
	// Configures and starts the ethdev(s) for `worker_count` workers. Fills ethdev[], queue[]
	// and has_distributor. 0 or -errno with `error` set.
	int (*start)(struct tl_port *port, uint32_t worker_count);
	// No packets after this; what is queued stays to be read. Called by the rx lcore when the
	// port has a distributor, else on the main lcore.
	void (*stop)(struct tl_port *port);
	// Gives packets of a foreign driver what ours bring along: tl_mbuf_meta and the link type.
	// Called by the worker on each burst; NULL where the distributor has done it.
	void (*stamp)(struct tl_port *port, struct rte_mbuf **mbufs, uint16_t count);
	// Takes another filter, "" for none: packets that come later are judged by it, and none is
	// lost meanwhile. Called by the rx lcore between turns. 0, or -errno with a line in `error`;
	// then the present filter stays. NULL where a port can't.
	int (*set_filter)(struct tl_port *port, const char *filter, char *error,
			  uint32_t error_size);
	// Packet time the workers may advance to when an rx burst came back empty; 0: not known.
	uint64_t (*clock)(const struct tl_port *port);
	// Ports whose spread is symmetric: the queue that a whole packet of this conversation comes
	// on, which is the number of its worker; UINT32_MAX: not known. NULL: never known.
	uint32_t (*queue_of)(const struct tl_port *port, const struct tl_tuple *tuple);
	// Set (release) after the last packet was enqueued; a worker loads it (acquire) before the
	// burst that comes back empty.
	bool (*is_done)(const struct tl_port *port);
	// Lossless ports whose queues workers poll: asked by the queue's worker after each burst that
	// came back empty. True when nothing more will come from it, and all it gave has been stamped.
	bool (*is_at_end)(struct tl_port *port, uint16_t queue);
	void (*stats)(struct tl_port *port, struct tl_port_stats *ret_stats);
	// Whether so much waits for a worker that it must not be left waiting; with a distributor.
	// Called by the worker; NULL: never.
	bool (*is_pressed)(const struct tl_port *port, uint32_t worker);
	// Brings `link` up to date; NULL where it never changes. Main thread.
	void (*describe)(struct tl_port *port);
	// The driver's own counters that tell of lost packets and aren't 0: up to `max`, gives how
	// many. NULL: it has none. Main thread.
	uint32_t (*losses)(struct tl_port *port, struct tl_port_loss *ret_losses, uint32_t max);
	void (*close)(struct tl_port *port); // accepts a half-open port; frees it
};

// What a worker has taken of a port. No two workers' counts lie in one cache line.
struct tl_port_taken {
	_Atomic uint64_t packets;
	uint64_t distance[7];
};

struct tl_port {
	const struct tl_port_ops *ops;
	char name[64];          // for people: "eth1", "trace.pcap"
	uint8_t index;
	bool is_lossless;       // a file: producers wait instead of dropping
	bool has_distributor;   // an rx lcore must call turn(); set by start
	bool is_decoded;        // fragments were reassembled before the workers; set by start
	bool is_stamped;        // the source itself says when each packet came; set by start
	uint64_t delivery_ns;   // ... and delivers it within this time
	enum tl_spread spread;  // set by start, for ports without a distributor
	char spread_text[160];  // what was found out about it and how, "" if there is no question
	// ethdev port and queue each worker polls; UINT16_MAX: none for this worker
	uint16_t ethdev[TL_WORKERS_MAX];
	uint16_t queue[TL_WORKERS_MAX];
	int fd;                 // readable when turn() has something to do, -1: not known
	const char *link;       // link type or state in words
	bool is_down;           // no link, or no interface any more; brought up to date with `link`
	char error[256];        // why the source failed, "" if it did not
	struct tl_port_taken taken[TL_WORKERS_MAX]; // written by the workers
};

// What all kinds need to know to open a port.
struct tl_port_options {
	const char *name;      // for people, "" for the kind's own
	const char *filter;    // pcap-filter expression, "" for none
	uint32_t snaplen;
	uint64_t buffer_bytes; // kernel capture buffer
	bool promiscuous;
	uint32_t packets_max;  // mbufs per worker
	uint64_t duration_ns;  // a file ends this much packet time after its first packet, 0: never
	struct tl_defrag_options defrag;
	uint32_t left_alone;   // encapsulations that are not followed, TL_TUNNEL_BIT each
	uint64_t seed;         // of the hash that chooses the worker: the same for all ports
	int32_t *fanout;       // live ports that share an interface's packets: their group, -1 at first
	bool waits;            // all ports of the process are lossless: workers may wait for each other
	uint8_t index;
};

// Opens, before EAL starts, so that a missing file or permission is told at once. 0 or -errno
// with one line in `error` that says what is wrong and how to mend it.
// Several files are read as one port, their packets in the order of the stamps.
int tl_port_open_files(const struct tl_port_options *options, const char *const *paths,
		       uint32_t count, struct tl_port **ret_port, char *error, uint32_t error_size);
int tl_port_open_live(const struct tl_port_options *options, const char *interface,
		      struct tl_port **ret_port, char *error, uint32_t error_size);
// The name that DPDK has for a device given by devargs or PCI address, cut to `size`. 0, or -EINVAL
// with a line in `error` when it can't be one.
int tl_port_device_name(const char *devargs, char *ret_name, uint32_t size, char *error,
			uint32_t error_size);
// A DPDK device by devargs ("net_af_packet0,iface=eth1") or PCI address; it is probed by start.
int tl_port_open_device(const struct tl_port_options *options, const char *devargs,
			struct tl_port **ret_port, char *error, uint32_t error_size);
// Traffic made in memory, for benchmarks (pmd/synthetic/synthetic.h). One worker only.
struct tl_synthetic;
int tl_port_open_synthetic(const struct tl_port_options *options, const struct tl_synthetic *load,
			   struct tl_port **ret_port, char *error, uint32_t error_size);
// Whether devargs name a capture file of net_pcap: read it without loss, to its end.
bool tl_port_device_is_file(const char *devargs);

// Bytes of EAL memory that a port takes.
uint64_t tl_port_memory(uint32_t workers, uint32_t packets_max, bool is_device);
