// SPDX-License-Identifier: Apache-2.0
// Names heard in the traffic: in DNS answers, which name a client asked for when it got an address;
// in TLS hellos and HTTP requests, which name was asked of a server. Bounded; the oldest gives way.
// Time is packet time. Main thread.
#pragma once

#include "l7/decoder.h"
#include "l7/roundtrip.h"

#define TL_HEARD_MAX 16384u         // addresses kept
#define TL_HEARD_NAME_MAX 254u      // bytes of a name; DNS allows 253
#define TL_HEARD_LEAST_NS UINT64_C(300000000000) // connections outlive short times to live

struct tl_heard;

struct tl_heard *tl_heard_create(void); // NULL on no memory
void tl_heard_destroy(struct tl_heard *heard); // accepts NULL

// Takes what a record of DNS has to tell; others than DNS answers have nothing.
void tl_heard_record(struct tl_heard *heard, const struct tl_roundtrip *record);

// The name that `client` asked for to get `address`, else the one that others asked for, if all
// asked for the same; NULL if there is none. Valid until the next record.
const char *tl_heard_name(const struct tl_heard *heard, const uint8_t client[16],
			  const uint8_t address[16], uint64_t now_ns);

// Where the name asked of a server stood.
enum tl_heard_asked { TL_HEARD_HOST, TL_HEARD_SNI };

// The server at `address` and `port` was asked for `name`. Capitals and small letters are the same.
void tl_heard_ask(struct tl_heard *heard, enum tl_heard_asked asked, const uint8_t address[16],
		  uint16_t port, const char *name, uint64_t now_ns);
// The one name that all who named the server lately asked it for; NULL if there is none, or if
// there are several: it then is one of many behind an address. Valid until the next name.
const char *tl_heard_asked_name(const struct tl_heard *heard, const uint8_t address[16],
				uint16_t port, uint64_t now_ns, enum tl_heard_asked *ret_asked);
