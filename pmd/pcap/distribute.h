// SPDX-License-Identifier: Apache-2.0
// Deals packets out to workers: one one-queue ethdev over a ring, and one mbuf pool, per worker.
// With several workers a packet is decoded down to its innermost addresses, fragments are put
// together first, and both directions of a conversation go to the same worker. Packets nobody
// can decode go to the first worker, which counts them like any other.
#pragma once

#include "pmd/port.h"

struct tl_distributor;

struct tl_distributor_options {
	const char *name;     // unique in the process, at most 16 characters
	uint32_t workers;
	uint32_t packets_max; // mbufs per worker
	bool is_lossless;     // wait for room instead of dropping
	uint32_t left_alone;  // encapsulations that are not followed
	uint64_t seed;        // peers must not know it, or could aim all flows at one worker
	struct tl_defrag_options defrag;
};

// Bytes of EAL memory that a port with these options takes.
uint64_t tl_distributor_memory(uint32_t workers, uint32_t packets_max);

// After EAL start, on the main lcore. 0 or -errno with a line in `error`.
int tl_distributor_create(const struct tl_distributor_options *options,
			  struct tl_distributor **ret_distributor, char *error,
			  uint32_t error_size);
// When nobody polls the ethdevs any more.
void tl_distributor_destroy(struct tl_distributor *distributor);

// Tells `port` which ethdevs its workers poll.
void tl_distributor_attach(struct tl_distributor *distributor, struct tl_port *port);

// Takes a packet (copies it). On the rx lcore, like all that follow.
void tl_distributor_packet(struct tl_distributor *distributor, const struct tl_packet *packet);

// Hands over what waits for a full burst, then publishes `clock_ns`: no packet older than that
// will come. 0 stands for the last packet's time.
void tl_distributor_flush(struct tl_distributor *distributor, uint64_t clock_ns);

// The tail: gives up incomplete datagrams and flushes. Afterwards is_done is true.
void tl_distributor_end(struct tl_distributor *distributor);

// Any thread.
uint64_t tl_distributor_clock(const struct tl_distributor *distributor);
bool tl_distributor_is_done(const struct tl_distributor *distributor);
// Half of what may wait for the worker does.
bool tl_distributor_is_pressed(const struct tl_distributor *distributor, uint32_t worker);
// Fills what the distributor knows: drops, queued, fragments. Values may be torn while it runs.
void tl_distributor_stats(const struct tl_distributor *distributor,
			  struct tl_port_stats *ret_stats);
