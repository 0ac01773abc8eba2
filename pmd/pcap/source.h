// SPDX-License-Identifier: Apache-2.0
// A window on a stream of bytes: a file, a pipe, and gzip in either, looked at in place.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <zlib.h>

// Small enough to stay in the second-level cache between the read and the look.
#define TL_SOURCE_WINDOW_BYTES (512u << 10)

struct tl_source {
	uint8_t *window;
	uint32_t from, to;   // what is in the window and not consumed
	uint64_t window_at;  // position of the window's first byte in the (unpacked) stream
	int fd;
	bool is_pollable;    // a pipe or the like: may have nothing now and more later
	bool is_sniffed;     // the first bytes were looked at
	bool is_end;         // nothing more will come
	bool is_gzip;
	bool is_member;      // inside a gzip member
	bool is_cut;         // the input ended inside a gzip member
	uint8_t *packed;     // gzip: input of the unpacker
	z_stream zlib;
	char error[128];     // why the last call failed
};

// Takes over `fd`, also when it fails with -ENOMEM.
int tl_source_init(struct tl_source *source, int fd, bool is_pollable);
void tl_source_fini(struct tl_source *source);

// Reads until the window holds `len` bytes (at most TL_SOURCE_WINDOW_BYTES): 1 when it does, 0
// when the input ends before, -EAGAIN when a pipe has no more now, other -errno with `error`.
// Earlier pointers into the window are void after it.
int tl_source_fill(struct tl_source *source, uint32_t len);

// Sleeps up to `timeout_ms` for a pipe to have something.
void tl_source_wait(const struct tl_source *source, int timeout_ms);

static inline uint32_t tl_source_left(const struct tl_source *s)
{
	return s->to - s->from;
}

static inline int tl_source_need(struct tl_source *s, uint32_t len)
{
	return __builtin_expect(len <= s->to - s->from, 1) ? 1 : tl_source_fill(s, len);
}

static inline const uint8_t *tl_source_at(const struct tl_source *s)
{
	return s->window + s->from;
}

static inline void tl_source_consume(struct tl_source *s, uint32_t len)
{
	s->from += len;
}

static inline uint64_t tl_source_offset(const struct tl_source *s)
{
	return s->window_at + s->from;
}
