// SPDX-License-Identifier: Apache-2.0
// The PROXY protocol, versions 1 and 2: the head that a load balancer puts in front of a
// connection to tell the address of the real client. Pure and incremental.
// Source: HAProxy's doc/proxy-protocol.txt.
#pragma once

#include "base/bytes.h"

#define TL_PROXY_V1_BYTES_MAX 107u   // the longest v1 line with its CRLF
#define TL_PROXY_NEED_MAX 107u       // the most that must be in view to decide

enum tl_proxy_result {
	TL_PROXY_NO,   // not a PROXY head (or a broken one: then it is not for us to hide it)
	TL_PROXY_MORE, // could be: ask again with at least `need` bytes in view
	TL_PROXY_YES,  // the first `length` bytes are the head
};

struct tl_proxy {
	uint32_t length;    // YES: bytes of the whole head. May reach beyond the view for a v2 head
			    // with long TLVs: the addresses come first, the rest is to be skipped
	uint32_t need;      // MORE: bytes that the next call needs at least, <= TL_PROXY_NEED_MAX
	uint8_t version;    // 1 or 2
	bool has_addresses; // false: UNKNOWN, LOCAL, UNIX or a family that is not IP
	bool is_udp;        // v2 may carry datagrams
	uint8_t client_address[16]; // IPv4 as ::ffff:a.b.c.d
	uint8_t server_address[16];
	uint16_t client_port;
	uint16_t server_port;
};

// `first` are the first bytes of the client's lane. Sets all of `ret`.
enum tl_proxy_result tl_proxy_read(struct tl_bytes first, struct tl_proxy *ret);
