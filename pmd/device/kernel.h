// SPDX-License-Identifier: Apache-2.0
// What the kernel dropped where DPDK's driver doesn't tell. net_af_packet keeps its sockets to itself,
// but they are ours, among the open files of the process. net_af_xdp's packets are dropped by the
// driver of the interface before they come to a socket.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TL_KERNEL_SOCKETS_MAX 64u

struct tl_kernel_sockets {
	int fds[TL_KERNEL_SOCKETS_MAX]; // the driver's: not ours to close
	uint32_t count;
	_Atomic uint64_t next_read;     // cycles
	_Atomic uint64_t dropped;
};

// All packet sockets there are now; before the driver is probed.
void tl_kernel_sockets_list(struct tl_kernel_sockets *ret_sockets);
// Keeps those that came since `before` was listed, and counts from now on.
void tl_kernel_sockets_since(struct tl_kernel_sockets *sockets,
			     const struct tl_kernel_sockets *before);
// Packets dropped since then. Any thread; asks the kernel a hundred times a second at most. Only
// while the driver has its sockets.
uint64_t tl_kernel_sockets_dropped(struct tl_kernel_sockets *sockets);

struct tl_kernel_interface {
	char name[32];             // "": none
	uint64_t before;           // its drops at the begin
	_Atomic uint64_t next_read; // cycles
	_Atomic uint64_t dropped;
};

// False when it has no link, is down, or gone.
bool tl_kernel_interface_is_up(const char *name);

// Counts the receive drops of interface `name` from now on.
void tl_kernel_interface_watch(struct tl_kernel_interface *interface, const char *name);
// Any thread; reads them a hundred times a second at most.
uint64_t tl_kernel_interface_dropped(struct tl_kernel_interface *interface);
