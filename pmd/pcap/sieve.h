// SPDX-License-Identifier: Apache-2.0
// A port's software filter with its books: what it held back, and whether it overlooks VLAN tags.
// One rx lcore uses it; the counts may be read by any thread.
#pragma once

#include "pmd/pcap/filter.h"
#include "pmd/port.h"

#include <stdatomic.h>

struct tl_sieve {
	struct tl_filter *filter; // NULL: everything passes
	uint32_t tags_sampled;
	bool has_passed;          // a packet has matched
	_Atomic uint64_t filtered, filtered_bytes, overlooked_tags;
};

// Another expression, NULL or "" for none; `link_type` is the one to try it for. 0, or -errno with a
// line in `error`, then the present one stays. A zeroed sieve has none.
int tl_sieve_set(struct tl_sieve *sieve, const char *expression, uint16_t link_type, char *error,
		 uint32_t error_size);
void tl_sieve_fini(struct tl_sieve *sieve);

bool tl_sieve_holds_back(struct tl_sieve *sieve, uint16_t link_type, const uint8_t *data,
			 uint32_t len, uint32_t original_len);

// False for a packet that was held back, and counted. `len` of its `original_len` bytes are there.
static inline bool tl_sieve_passes(struct tl_sieve *sieve, uint16_t link_type, const uint8_t *data,
				   uint32_t len, uint32_t original_len)
{
	return sieve->filter == NULL ||
	       !tl_sieve_holds_back(sieve, link_type, data, len, original_len);
}

// Why nothing passed, if the expression has no meaning for this input; else "".
const char *tl_sieve_error(const struct tl_sieve *sieve);
void tl_sieve_stats(const struct tl_sieve *sieve, struct tl_port_stats *ret_stats);
