// SPDX-License-Identifier: Apache-2.0
// The data of a resource record in presentation format, as `dig` shows it but without the last
// dot of names.
#pragma once

#include "protocols/dns/words.h"

// Writes the `len` bytes at `at`, which lie in the message. Data that does not fit the layout of
// its type is written in the generic form of RFC 3597: \# 4 0a000001.
void dns_rdata_put(struct tl_bytes message, uint32_t at, uint32_t len, uint32_t type,
		   struct dns_text *text);
void dns_ipv4_put(struct dns_text *text, const uint8_t address[4]);
void dns_ipv6_put(struct dns_text *text, const uint8_t address[16]); // RFC 5952
