// SPDX-License-Identifier: Apache-2.0
// What inflates the compressed payloads that decoders meet: a fixed number of zlib, zstd and snappy
// contexts per worker, made of memory reserved at start. A lane rents one for a frame; what comes
// out is handed on in bounded chunks. Private to the core: decoders see tl_inflate() of
// l7/decoder.h.
#pragma once

#include "base/counters.h"
#include "l7/decoder.h"

#define TL_INFLATE_ZLIB_CONTEXTS 64u
#define TL_INFLATE_ZLIB_ARENA_BYTES 65536u // zlib takes 40 KiB of it for its longest window
#define TL_INFLATE_ZSTD_CONTEXTS 8u
#define TL_INFLATE_ZSTD_WINDOW_LOG 21u      // the longest window, 2 MiB
#define TL_INFLATE_SNAPPY_CONTEXTS 32u
#define TL_INFLATE_CHUNK_BYTES 32768u      // handed on at once
#define TL_INFLATE_FREE_BYTES 262144u      // of a frame, whatever its ratio
#define TL_INFLATE_RATIO_MAX 1100u         // plain bytes per packed one; zlib reaches 1032

struct tl_inflaters; // of one worker, touched only as far as it is used

// NULL when the kernel has no memory. `counters` outlives it.
struct tl_inflaters *tl_inflaters_create(struct tl_counters *counters);
// Accepts NULL.
void tl_inflaters_destroy(struct tl_inflaters *all);

// A context for a frame of `packed_len` bytes that says it holds `plain_len`; 0 when none is free,
// when the codec isn't built in, or when the frame is beyond a limit (each counted).
uint16_t tl_inflater_rent(struct tl_inflaters *all, enum tl_codec codec, uint64_t packed_len,
			  uint64_t plain_len);
// Gives a context back; 0 is ignored.
void tl_inflater_return(struct tl_inflaters *all, uint16_t inflater);
// One step, see tl_inflate(). The context stays rented whatever the result.
enum tl_inflated tl_inflater_run(struct tl_inflaters *all, uint16_t inflater,
				 struct tl_bytes *packed, struct tl_bytes *ret_plain);
// Contexts rented now.
uint32_t tl_inflaters_used(const struct tl_inflaters *all);
