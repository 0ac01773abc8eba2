// SPDX-License-Identifier: Apache-2.0
// Protocols that are recognised and counted but not decoded: TLS, QUIC, SSH, AMQP 1.0. Pure
// functions over the first bytes of a lane or a datagram: no state, no allocation, bounded work.
// Nothing is decrypted: a QUIC Initial gives its version and the lengths of its connection ids, its
// ClientHello (and so the name and the ALPN list) stays closed.
// Sources: RFC 8446 (TLS 1.3), 5246 (TLS 1.2), 6066 (SNI), 7301 (ALPN), 8999, 9000, 9369 (QUIC),
// 4253 (SSH); OASIS AMQP 1.0 part 2, section 2.2.
#pragma once

#include "base/bytes.h"

// More than this is never asked for: a ClientHello beyond it is TLS without a name.
#define TL_RECOGNISE_BYTES_MAX 16384u
#define TL_RECOGNISE_NAME_MAX 256u // of the server's name with its NUL; DNS allows 253
#define TL_RECOGNISE_ALPN_MAX 32u  // of the ALPN list with its NUL; cut between two names

enum tl_recognise {
	TL_RECOGNISE_NO,      // none of them
	TL_RECOGNISE_MORE,    // may be one, but decides (or has its name) only with more bytes
	TL_RECOGNISE_LIKELY,  // fits in the middle of a connection: decide when nothing else claims it
	TL_RECOGNISE_CERTAIN, // nothing else looks like this
};

struct tl_recognised {
	uint16_t verdict;     // TL_VERDICT_TLS, _QUIC, _SSH, _AMQP_1_0, also with MORE, LIKELY; 0: NO
	uint16_t tls_version; // 0x0301..0x0304: highest offered, or chosen by a ServerHello; 0 unknown
	uint8_t is_hello;     // 1: ClientHello, 2: ServerHello; 0: neither was read
	uint8_t is_initial;   // QUIC: an Initial packet
	uint8_t dcid_len;     // QUIC long header
	uint8_t scid_len;
	uint32_t quic_version;
	char sni[TL_RECOGNISE_NAME_MAX]; // "" when absent, encrypted or not a plain host name
	char alpn[TL_RECOGNISE_ALPN_MAX]; // "h2,http/1.1"; "" when absent
};

// `first` are the first bytes of a TCP lane that were seen. With MORE `ret` holds what is known so
// far, and the caller asks again with at least one byte more, or takes what there is when the
// lane has ended, has lost bytes or shows TL_RECOGNISE_BYTES_MAX.
enum tl_recognise tl_recognise_stream(struct tl_bytes first, struct tl_recognised *ret);

// `datagram` is the payload of one UDP datagram.
enum tl_recognise tl_recognise_datagram(struct tl_bytes datagram, struct tl_recognised *ret);
