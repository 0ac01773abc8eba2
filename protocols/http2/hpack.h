// SPDX-License-Identifier: Apache-2.0
// HPACK (RFC 7541) for somebody who only listens, and who may have come late.
//
// The dynamic table counts from its newest entry, so a listener who joined late knows every entry
// inserted since; an index beyond these names something unknown, which is said and never guessed.
// A listener from the beginning evicts exactly as the peers do. One who came late doesn't know
// the table's size until a block announces it: until then only our own room evicts, which is
// harmless, since no encoder refers to what it has evicted itself.
//
// Blocks are read in fragments of any size. Nothing is allocated: names and values longer than
// the limits below keep their beginning and their full length.
#pragma once

#include "names.h"

#define HPACK_NAME_MAX 128u       // bytes kept of a name
#define HPACK_VALUE_MAX 1792u     // bytes kept of a value
#define HPACK_STRING_MAX (1u << 20) // a longer one is no header field
#define HPACK_ENTRIES_MAX 128u    // all that fit into the default size of 4096
#define HPACK_ARENA_BYTES 4096u   // of names and values: whatever the default size can hold
#define HPACK_TABLE_DEFAULT 4096u // RFC 7541 section 4.2, RFC 9113 section 6.5.2
#define HPACK_ENTRY_OVERHEAD 32u  // RFC 7541 section 4.1
#define HPACK_STATIC_COUNT 61u

enum hpack_field_flag {
	HPACK_NAME_UNKNOWN = 1u << 0,  // inserted before the join
	HPACK_VALUE_UNKNOWN = 1u << 1,
	HPACK_NAME_CUT = 1u << 2,      // only the beginning is here
	HPACK_VALUE_CUT = 1u << 3,
};
#define HPACK_ANY_UNKNOWN (HPACK_NAME_UNKNOWN | HPACK_VALUE_UNKNOWN)

// A header field; borrows until the callback returns.
struct hpack_field {
	struct tl_bytes name;
	struct tl_bytes value;
	uint32_t name_len;  // in full
	uint32_t value_len;
	uint8_t flags;      // enum hpack_field_flag
	uint8_t tag;        // enum http2_name: what the name is
};

typedef void tl_hpack_fn(void *arg, const struct hpack_field *field);

struct hpack_entry {
	uint32_t name_len;  // in full; 0 when it is unknown
	uint32_t value_len;
	uint16_t at;        // in the arena, a ring: the name, unless it is static, then the value
	uint16_t value_kept;
	uint8_t name_kept;
	uint8_t static_name; // index in the static table, 0: in the arena
	uint8_t flags;
	uint8_t tag;
};
_Static_assert(HPACK_NAME_MAX <= UINT8_MAX, "name_kept has room");

// One direction. All zero is not valid: tl_hpack_init().
struct hpack {
	uint32_t max;        // size announced, in bytes; with max_known
	uint32_t size;       // of the entries known
	uint16_t first;      // oldest entry
	uint16_t count;
	uint16_t head;       // where the arena goes on
	uint16_t used;       // bytes of it
	bool max_known;
	bool incomplete;     // entries beyond the known ones may exist
	bool only_tagged;    // the reader sets it: shows what has a tag, the tag for the name
	// The representation being read.
	uint8_t phase;
	uint8_t kind;
	uint8_t shift;       // of the integer being read
	bool huffman;
	uint8_t static_name;
	uint8_t flags;
	uint8_t tag;
	uint8_t name_kept;
	uint16_t value_kept;
	uint8_t bit_count;   // of the Huffman string, not decoded yet
	bool begun;          // a field of this block was seen: no size update any more
	uint32_t number;
	uint32_t left;       // bytes of the string to come
	uint32_t name_len;
	uint32_t value_len;
	uint64_t bits;       // at its top
	struct hpack_entry entries[HPACK_ENTRIES_MAX];
	uint8_t name[HPACK_NAME_MAX];
	uint8_t value[HPACK_VALUE_MAX];
	uint8_t arena[HPACK_ARENA_BYTES];
};

_Static_assert(sizeof(struct hpack) <= 8192, "two directions fit a block of 16 KiB");

// `late`: the connection's beginning was not seen.
void tl_hpack_init(struct hpack *hpack, bool late);
// Bytes were lost: begins anew as if joined here.
void tl_hpack_rejoin(struct hpack *hpack);
// Reads a fragment of a block. False: this is no HPACK, or refers to an entry that can't exist;
// the caller begins anew with tl_hpack_rejoin().
bool tl_hpack_read(struct hpack *hpack, struct tl_bytes fragment, tl_hpack_fn *fn, void *arg);
// The block ends. False when it breaks off within a field.
bool tl_hpack_end(struct hpack *hpack);
// What a block joined at its first byte would begin with: a field that requests or responses
// begin with (a pseudo-header of the static table, maybe behind some of the dynamic one), or a size
// update. Pure; for detection.
bool tl_hpack_looks_like_begin(struct tl_bytes block, bool request);
