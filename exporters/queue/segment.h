// SPDX-License-Identifier: Apache-2.0
// The file format of the queue, version 1. All numbers are little-endian.
//
//   segment: header (32 bytes), frames one behind the other
//     0 magic "TLQUEUE\n"  8 version u32  12 header bytes u32  16 first seq u64
//     24 reserved u32      28 CRC-32 of bytes 0..27
//   frame: header (32 bytes), payload
//     0 magic u32  4 CRC-32 of bytes 8.. and the payload  8 payload bytes u32  12 items u32
//     16 seq u64   24 time u64 (newest in the payload, ns)
//   cursor: two slots of 64 bytes, written in turn and in place, so that neither a crash nor a
//     full disk loses both
//     0 magic "TLCURSOR"  8 version u32  12 flags u32 (1: closed in order)  16 generation u64
//     24 next seq to deliver u64  32 next seq to push u64  40 newest time pushed u64
//     48 reserved  60 CRC-32 of bytes 0..59
#pragma once

#include "base/bytes.h"

#include <stdbool.h>
#include <sys/types.h>

#define TL_SEGMENT_VERSION 1u
#define TL_SEGMENT_HEAD_BYTES 32u
#define TL_FRAME_HEAD_BYTES 32u
#define TL_CURSOR_SLOT_BYTES 64u
#define TL_CURSOR_BYTES (2 * TL_CURSOR_SLOT_BYTES)

struct tl_frame_head {
	uint32_t len; // of the payload
	uint32_t items;
	uint64_t seq;
	uint64_t time_ns;
};

struct tl_queue_cursor {
	bool is_clean;
	uint64_t generation;
	uint64_t head_seq; // the next to deliver
	uint64_t next_seq; // the next to push
	uint64_t last_time_ns;
};

void tl_segment_head(uint64_t first_seq, uint8_t ret[TL_SEGMENT_HEAD_BYTES]);
// 0, -EINVAL: damaged, -ENOTSUP: sound, but of another version.
int tl_segment_check(const uint8_t head[TL_SEGMENT_HEAD_BYTES], uint64_t *ret_first_seq);

void tl_frame_head(const struct tl_frame_head *head, struct tl_bytes payload,
		   uint8_t ret[TL_FRAME_HEAD_BYTES]);
// The head alone: magic and a possible length. The CRC is checked with the payload.
bool tl_frame_head_read(const uint8_t raw[TL_FRAME_HEAD_BYTES], struct tl_frame_head *ret_head);
bool tl_frame_check(const uint8_t raw[TL_FRAME_HEAD_BYTES], struct tl_bytes payload);

// Called for each sound frame of a segment, at its offset. False ends the walk.
typedef bool tl_segment_frame_fn(void *arg, const struct tl_frame_head *head, uint64_t offset);

struct tl_segment_walk {
	uint64_t first_seq;
	uint64_t end;           // offset behind the last sound frame
	uint64_t damaged_bytes; // between sound frames
	uint64_t tail_bytes;    // behind the last one
};

// Reads a whole segment. A frame that is not sound is left out: the search goes on at the next
// magic. 0, -ENOTSUP as tl_segment_check, -EINVAL: no room for a header, -errno of mmap(2).
int tl_segment_walk(int fd, tl_segment_frame_fn *fn, void *arg, struct tl_segment_walk *ret_walk);

void tl_queue_cursor_write(const struct tl_queue_cursor *cursor, uint8_t ret[TL_CURSOR_SLOT_BYTES]);
// The newer of the sound slots; false if there is none.
bool tl_queue_cursor_read(struct tl_bytes file, struct tl_queue_cursor *ret_cursor);
