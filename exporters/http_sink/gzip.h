// SPDX-License-Identifier: Apache-2.0
// Bodies of requests by gzip (RFC 1952). Helper thread.
#pragma once

#include "base/text.h"

#define TL_GUNZIP_BYTES_MAX (64u << 20)

// Replaces `ret_packed`.
void tl_gzip(struct tl_bytes plain, struct tl_text *ret_packed);
// Replaces `ret_plain`. False: it is no whole gzip stream, or longer than TL_GUNZIP_BYTES_MAX.
bool tl_gunzip(struct tl_bytes packed, struct tl_text *ret_plain);
// By its first two bytes. Neither protobuf with a first field below 3 nor JSON begins like it.
bool tl_is_gzip(struct tl_bytes body);
// The body as it was before a compression it may have, in `buffer` where it had to be unpacked.
// False: it can't be.
bool tl_gzip_plain(struct tl_bytes body, struct tl_text *buffer, struct tl_bytes *ret_plain);
