// SPDX-License-Identifier: Apache-2.0
// Names heard in DNS answers: which name a client asked for when it got an address. Bounded; the oldest
// gives way. Time is packet time. Main thread.
#pragma once

#include "l7/decoder.h"
#include "l7/roundtrip.h"

#define TL_HEARD_MAX 16384u         // addresses kept
#define TL_HEARD_NAME_MAX 254u      // bytes of a name; DNS allows 253
#define TL_HEARD_LEAST_NS UINT64_C(300000000000) // connections outlive short times to live

struct tl_heard;

struct tl_heard *tl_heard_create(void); // NULL on no memory
void tl_heard_destroy(struct tl_heard *heard); // accepts NULL

// Takes what a record has to tell; others than DNS answers have nothing.
void tl_heard_record(struct tl_heard *heard, const struct tl_roundtrip *record);

// The name that `client` asked for to get `address`, else the one that others asked for, if all
// asked for the same; NULL if there is none. Valid until the next record.
const char *tl_heard_name(const struct tl_heard *heard, const uint8_t client[16],
			  const uint8_t address[16], uint64_t now_ns);
