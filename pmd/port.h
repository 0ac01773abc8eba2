// SPDX-License-Identifier: Apache-2.0
// A capture port: whatever gives packets. To a worker it is an ethdev queue and nothing else; to
// the pipeline it is this struct. Kinds: pcap/ (our own: files and live interfaces by libpcap,
// with a distributor lcore) and device/ (any other DPDK ethdev: vdevs by devargs, PCI devices).
#pragma once

#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include "packet/packet.h"

#define TL_PORTS_MAX 16u   // ports of one process
#define TL_WORKERS_MAX 64u // workers of one process

// What travels with an mbuf: 32 bytes in the dynamic field area, registered once after EAL start.
struct tl_mbuf_meta {
	uint64_t time_ns;
	uint32_t original_len;
	uint16_t link_type;
	uint8_t port;
	uint8_t is_reassembled;
	struct tl_outer outer;
};

extern int tl_mbuf_meta_offset; // of the dynamic field, -1 before registration
int tl_mbuf_meta_register(void); // 0 or -errno

static inline struct tl_mbuf_meta *tl_mbuf_meta(struct rte_mbuf *mbuf)
{
	return RTE_MBUF_DYNFIELD(mbuf, tl_mbuf_meta_offset, struct tl_mbuf_meta *);
}

struct tl_port_stats {
	uint64_t received;       // packets the source gave us
	uint64_t bytes;
	uint64_t kernel_dropped; // dropped before we saw them (socket, NIC: imissed)
	uint64_t ring_dropped;   // dropped because a worker's ring was full
	uint64_t pool_dropped;   // dropped because no mbuf was free
	uint64_t cut;            // packets longer than we can hold
	uint64_t queued;         // handed over, not taken by a worker yet
};

struct tl_port;

struct tl_port_ops {
	const char *kind;
	// One turn of the port's distributor on its rx lcore: reads and hands out up to a few
	// bursts. Packets handled, 0 if there is nothing now, -errno when the source failed for
	// good (its message is in `error`). NULL for ports that workers poll directly.
	int (*turn)(struct tl_port *port);
	// Configures and starts the ethdev(s) for `worker_count` workers.
	int (*start)(struct tl_port *port, uint32_t worker_count);
	// No packets after this; what is queued stays to be read.
	void (*stop)(struct tl_port *port);
	// Packet time the workers may advance to when an rx burst came back empty.
	uint64_t (*clock)(const struct tl_port *port);
	// Set (release) after the last packet was enqueued; a worker loads it (acquire) before the
	// burst that comes back empty.
	bool (*is_done)(const struct tl_port *port);
	void (*stats)(struct tl_port *port, struct tl_port_stats *ret_stats);
	void (*close)(struct tl_port *port); // accepts a half-open port
};

struct tl_port {
	const struct tl_port_ops *ops;
	char name[64];          // for people: "eth1", "trace.pcap"
	uint8_t index;
	bool is_lossless;       // a file: producers wait instead of dropping
	// ethdev port and queue each worker polls
	uint16_t ethdev[TL_WORKERS_MAX];
	uint16_t queue[TL_WORKERS_MAX];
	char error[256];        // why the source failed, "" if it did not
};
