// SPDX-License-Identifier: Apache-2.0
// Addresses as the product keeps them: 16 bytes, IPv4 mapped.
#pragma once

#include "base/check.h"

#include <arpa/inet.h>
#include <string.h>

// Valid until the fourth call from now.
static inline const uint8_t *ip(const char *text)
{
	static uint8_t all[4][16];
	static uint32_t next;
	uint8_t *one = all[next++ % 4];

	memset(one, 0, 16);
	if (inet_pton(AF_INET, text, one + 12) == 1)
		one[10] = one[11] = 0xff;
	else
		TL_ASSERT(inet_pton(AF_INET6, text, one) == 1);
	return one;
}
