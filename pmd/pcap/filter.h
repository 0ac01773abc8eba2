// SPDX-License-Identifier: Apache-2.0
// A pcap-filter(7) expression run in software: where the kernel can't filter, and for files whose
// interfaces have several link types. Not thread-safe: one per reader.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TL_FILTER_LINK_TYPES_MAX 16u // of one input; packets of further ones don't match

struct tl_filter;

// Compiles `expression` for `link_type` (LINKTYPE_ number), so that a mistake shows at start.
// Returns 0, -EINVAL or -ENOMEM; `error` then holds one line with the expression and the reason.
int tl_filter_create(const char *expression, uint16_t link_type, struct tl_filter **ret_filter,
		     char *error, size_t error_size);
void tl_filter_destroy(struct tl_filter *filter);

// Whether a packet of `len` captured bytes, `original_len` on the wire, passes. The first packet
// of a link type compiles the expression for it; an expression that has no meaning there ("ether
// host" on raw IP) matches none of its packets, see tl_filter_error.
bool tl_filter_match(struct tl_filter *filter, uint16_t link_type, const uint8_t *data,
		     uint32_t len, uint32_t original_len);

// Of a packet that did not pass but would without its VLAN tags the number of these, else 0: the
// user meant something else (its first bytes are enough to say so). Always 0 when the expression
// speaks of tags itself.
uint32_t tl_filter_overlooked_tags(struct tl_filter *filter, uint16_t link_type,
				   const uint8_t *data, uint32_t len, uint32_t original_len);

// Why the expression can't be used on some link type of the input, "" if it can on all so far.
const char *tl_filter_error(const struct tl_filter *filter);
