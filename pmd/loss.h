// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>

// A counter of a driver's that tells of lost packets.
struct tl_port_loss {
	char name[64]; // "rx_missed_errors"
	uint64_t count;
};
