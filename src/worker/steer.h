// SPDX-License-Identifier: Apache-2.0
// Where workers poll the queues of a device themselves and the device does not keep conversations
// together: each worker looks up whose a packet is and hands it to that one. A conversation is with
// one worker then, the same that the distributor would choose, fragments put together first.
//
// Every reading of a port by a worker is a source; a ring leads from each source to each worker,
// written and read by one lcore. Live, a full ring loses packets, counted. A worker takes what its
// rings hold in the order of the time stamps, so that a request comes before its response, and so
// do the packets of several ports (the two of a TAP): each source says how far it has read, and a
// packet waits until no older one can come; live at most a moment. A datagram that came in
// fragments, which meet at a worker of their own, may be late.
//
// Where the device keeps conversations together by the addresses that it sees, a worker keeps what it
// reads but for that which the device can't see through: what came in tunnels is handed to the worker
// of the inner conversation, fragments meet, and the datagram goes to the worker of its queue. The
// traffic is looked at first: a device that does not do what it says is not believed any longer.
#pragma once

#include "packet/defrag.h"
#include "pmd/port.h"

struct tl_steer;

struct tl_steer_options {
	struct tl_port *const *ports;
	uint32_t port_count;
	uint32_t workers;
	uint32_t packets_max; // mbufs of a queue
	uint64_t seed;        // of the distributors, too
	uint32_t left_alone;
	bool is_lossless;
	bool is_crowded;      // workers share CPUs: each is away for longer
	bool leaves_whole;    // the devices say that they keep conversations together
	struct tl_defrag_options defrag;
};

// NULL on no memory.
struct tl_steer *tl_steer_create(const struct tl_steer_options *options);
// When no lcore uses it any more; frees the mbufs that are left.
void tl_steer_destroy(struct tl_steer *steer);

// ---- Worker `me` ---------------------------------------------------------------------------

// Whether a burst may be read: a lossless one must find room whosever its packets are.
bool tl_steer_has_room(struct tl_steer *steer, uint32_t me);
// A burst that `me` read from port number `port`, stamped: hands it on, also what is its own. Gives
// the number of those that need not wait for others, now the first of `mbufs`.
uint32_t tl_steer_sort(struct tl_steer *steer, uint32_t me, uint32_t port, struct rte_mbuf **mbufs,
		       uint32_t count);
// Nothing older than `clock_ns` will be read from port number `port`; UINT64_MAX: nothing at all.
void tl_steer_clock(struct tl_steer *steer, uint32_t me, uint32_t port, uint64_t clock_ns);
// What there is for `me` by now, up to `max`; the mbufs' `port` is the port's index.
uint32_t tl_steer_take(struct tl_steer *steer, uint32_t me, struct rte_mbuf **mbufs, uint32_t max);
// True when nothing will come any more, from whomever. Only when all of its ports have ended and
// take() gave nothing.
bool tl_steer_is_over(struct tl_steer *steer, uint32_t me);
// What `me` put together from fragments, in the members of a port that say so.
void tl_steer_stats(const struct tl_steer *steer, uint32_t me, struct tl_port_stats *ret_stats);

// ---- Any thread ----------------------------------------------------------------------------

struct tl_steered {
	uint64_t moved;      // read by one worker, handed to another
	uint64_t lost;       // because the other's ring was full
	uint64_t unbuffered; // datagrams put together and lost for want of a buffer
	uint64_t queued;     // on the way
	// Conversations of which both directions were seen, looked at once each, up to a limit.
	uint32_t together;
	uint32_t split; // came on two queues
	bool leaves_whole; // what the device keeps together is left where it is read
};

void tl_steer_port_stats(const struct tl_steer *steer, uint32_t port, struct tl_steered *ret_stats);
