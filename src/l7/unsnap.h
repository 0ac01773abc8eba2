// SPDX-License-Identifier: Apache-2.0
// Inflates a raw block of snappy piece by piece, which the library can't: it wants the whole block,
// and a message of MongoDB's is one block of up to 48 MB. A block is a chain of runs of bytes and
// copies of what came before; compressors work on 64 KiB at a time and copy from no farther.
// Source: github.com/google/snappy, format_description.txt.
#pragma once

#include "base/bytes.h"

#define TL_UNSNAP_WINDOW 65536u // how far back a copy may reach
#define TL_UNSNAP_BUFFER_BYTES (3u * TL_UNSNAP_WINDOW)

struct tl_unsnap {
	uint8_t *buffer;     // of TL_UNSNAP_BUFFER_BYTES, the caller's; its last bytes are the window
	uint32_t at;         // bytes in it
	uint32_t run;        // bytes left of the run of bytes being read
	uint32_t copy;       // bytes left of the copy being made
	uint32_t distance;   // how far back it reaches
	uint64_t left;       // plain bytes to come
	uint64_t length;     // that the block says it holds, as far as read
	uint8_t head[5];     // of an element, as far as it has come
	uint8_t head_len;
	uint8_t length_bits; // of the length that were read
	bool has_length;
};

enum tl_unsnapped {
	TL_UNSNAPPED_SOME,   // as much as wanted, or all that could be made of `packed`
	TL_UNSNAPPED_FAR,    // a copy reaches back farther than the window
	TL_UNSNAPPED_BROKEN,
};

// A block that must hold `plain_len` bytes begins.
void tl_unsnap_begin(struct tl_unsnap *s, uint64_t plain_len);
// Takes bytes off `packed` until `room` bytes (at most a window) came out, the block is over
// (`s->left` is 0) or no more are there. What came out is good until the next call.
enum tl_unsnapped tl_unsnap(struct tl_unsnap *s, struct tl_bytes *packed, uint32_t room,
			    struct tl_bytes *ret_plain);
