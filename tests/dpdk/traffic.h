// SPDX-License-Identifier: Apache-2.0
// Frames for the pipeline's tests, and what they must come to.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define TRAFFIC_FRAME_MAX 65700u

struct traffic_sums {
	uint64_t frames;
	uint64_t bytes;
	uint64_t datagrams;     // TCP and UDP packets, put together
	uint64_t processed;     // frames that these came in
	uint64_t digests;       // sum over them, time included
	uint64_t digests_timeless;
};

typedef void traffic_fn(void *arg, const uint8_t *frame, uint32_t len, uint64_t time_ns);

// Makes `count` packets of many flows, small to `payload_max` bytes; with `has_odd_ones` also
// fragments, VLAN tags and ARP. Each frame goes to `fn`; adds up what must be seen.
void traffic_make(uint32_t count, uint32_t payload_max, bool has_odd_ones, traffic_fn *fn,
		  void *arg, struct traffic_sums *ret_sums);

// The same into a capture file of Ethernet frames with microsecond stamps.
void traffic_write(const char *path, uint32_t count, uint32_t payload_max,
		   struct traffic_sums *ret_sums);
