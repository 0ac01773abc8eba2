// SPDX-License-Identifier: Apache-2.0
// Header blocks of HTTP/2 as a capture of real peers has them: a pcap file of whole connections without
// losses, as those in tests/captures are.
#pragma once

#include <stdint.h>

#define RECORDED_LANES_MAX 64u

// One block, put together of its frames. `lane` counts directions of connections.
typedef void recorded_fn(void *arg, uint32_t lane, const uint8_t *block, uint32_t len);
// Calls `fn` for each block, in the order of each lane.
void recorded_blocks(const char *path, recorded_fn *fn, void *arg);
