// SPDX-License-Identifier: Apache-2.0
// Names for ids, learned from answers on any connection (struct tl_naming of a decoder): Kafka's
// requests name a topic by its id alone. Ids are thought to be unique: they are UUIDs. Main thread.
#pragma once

#include "l7/decoder.h"

#define TL_NAMING_IDS_MAX 4096u   // kept, of all protocols; the one not used for longest gives way
#define TL_NAMING_ID_BYTES 48u    // of an id; longer ones aren't kept
#define TL_NAMING_NAME_BYTES 256u // of a name; longer ones aren't kept

struct tl_namer;

// NULL on no memory. What the names take is touched when the first is learned.
struct tl_namer *tl_namer_create(void);
void tl_namer_destroy(struct tl_namer *namer); // accepts NULL

// The name of an id, empty if it isn't known. Good until the next record.
struct tl_bytes tl_namer_find(const struct tl_namer *namer, uint16_t protocol, struct tl_bytes id);
// Whether names were learned, or are others, since the last call.
bool tl_namer_has_news(struct tl_namer *namer);
// Learns what the record's answer tells. Gives the record, or a copy with the names of the ids in
// its request that are known; good until the next call.
const struct tl_roundtrip *tl_namer_name(struct tl_namer *namer, const struct tl_roundtrip *record);
