// SPDX-License-Identifier: Apache-2.0
// How an ethdev is set up to receive a mirror, and what single drivers need beside that.
#pragma once

#include "pmd/port.h"

struct rte_eth_dev_info;

// What a driver promises and can't keep, or does in a way of its own.
struct tl_quirk {
	const char *driver;
	uint16_t queues_max;     // 0: as many as it says
	bool has_own_queues;     // as many as its arguments make: each must be read
	bool keeps_key;          // its RSS key can't be set
	bool stats_before_stop;  // counters are gone after a stop unless they were read before
	uint8_t link_seconds;    // its link needs longer than others' to come up
	const char *spread_text; // why its queues don't keep conversations together, or might not
};

// Never NULL. Of a driver without a row: none of these; virtual ones have queues of their own.
const struct tl_quirk *tl_device_quirk(const char *driver, bool is_pci);

struct tl_device_setup {
	uint16_t queues;
	bool wants_rss;
	bool is_pci;            // a card: nobody else uses it, and it may be changed
	bool has_usual_mtu;     // don't ask for the longest frames: the card would not start
	bool promiscuous;
	const struct tl_quirk *quirk;
	struct rte_mempool *const *pools;
	uint32_t pool_count;    // queues take them in turn
	uint32_t packets_max;   // mbufs of a pool
	// filled by configure: where drivers write stamps, -1 when none does
	int stamp_offset;
	uint64_t stamp_flag;
};

// Before the start: queues, RSS, MTU, descriptors, drop-enable, stamps. 0 or -errno; `ret_step` says
// what was refused.
int tl_device_configure(uint16_t ethdev, const struct rte_eth_dev_info *info,
			struct tl_device_setup *setup, const char **ret_step);
// After it: flow control off, the RSS table even, promiscuous. What a driver can't do is left.
void tl_device_settle(uint16_t ethdev, const struct rte_eth_dev_info *info,
		      const struct tl_device_setup *setup);
// Waits for a card's link, some seconds at most.
void tl_device_await_link(uint16_t ethdev, const struct tl_device_setup *setup);
// "up, 10 Gbit/s", "down". False when it is down.
bool tl_device_link_text(uint16_t ethdev, char *ret, uint32_t size);
// Whether a card that should hear everything doesn't: a virtual function may not be allowed to.
bool tl_device_is_deaf(uint16_t ethdev, bool is_pci, bool promiscuous);
// Whether a driver's own counter of that name counts packets that are lost.
bool tl_device_tells_of_loss(const char *counter);
