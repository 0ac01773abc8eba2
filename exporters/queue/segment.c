// SPDX-License-Identifier: Apache-2.0
#include "exporters/queue/segment.h"

#include "exporters/queue/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define FRAME_MAGIC UINT32_C(0x46514c54) // "TLQF"
#define CLEAN 1u

static const char segment_magic[8] = {'T', 'L', 'Q', 'U', 'E', 'U', 'E', '\n'};
static const char cursor_magic[8] = {'T', 'L', 'C', 'U', 'R', 'S', 'O', 'R'};

static void put32(uint8_t *at, uint32_t value)
{
	for (uint32_t i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static void put64(uint8_t *at, uint64_t value)
{
	put32(at, (uint32_t)value);
	put32(at + 4, (uint32_t)(value >> 32));
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t get64(const uint8_t *at)
{
	return get32(at) | (uint64_t)get32(at + 4) << 32;
}

static uint32_t crc_of(const uint8_t *data, uint32_t len)
{
	return (uint32_t)crc32(0, data, len);
}

// ---- Segments ----------------------------------------------------------------------------------

void tl_segment_head(uint64_t first_seq, uint8_t ret[TL_SEGMENT_HEAD_BYTES])
{
	memset(ret, 0, TL_SEGMENT_HEAD_BYTES);
	memcpy(ret, segment_magic, sizeof(segment_magic));
	put32(ret + 8, TL_SEGMENT_VERSION);
	put32(ret + 12, TL_SEGMENT_HEAD_BYTES);
	put64(ret + 16, first_seq);
	put32(ret + 28, crc_of(ret, 28));
}

int tl_segment_check(const uint8_t head[TL_SEGMENT_HEAD_BYTES], uint64_t *ret_first_seq)
{
	if (memcmp(head, segment_magic, sizeof(segment_magic)) != 0)
		return -EINVAL;
	// Of a later version only the first twelve bytes are known to mean the same.
	if (get32(head + 8) != TL_SEGMENT_VERSION)
		return -ENOTSUP;
	if (get32(head + 28) != crc_of(head, 28) || get32(head + 12) != TL_SEGMENT_HEAD_BYTES)
		return -EINVAL;
	*ret_first_seq = get64(head + 16);
	return 0;
}

// ---- Frames ------------------------------------------------------------------------------------

static uint32_t frame_crc(const uint8_t raw[TL_FRAME_HEAD_BYTES], struct tl_bytes payload)
{
	uLong crc = crc32(0, raw + 8, TL_FRAME_HEAD_BYTES - 8);
	return (uint32_t)crc32(crc, payload.ptr, payload.len);
}

void tl_frame_head(const struct tl_frame_head *head, struct tl_bytes payload,
		   uint8_t ret[TL_FRAME_HEAD_BYTES])
{
	put32(ret, FRAME_MAGIC);
	put32(ret + 8, payload.len);
	put32(ret + 12, head->items);
	put64(ret + 16, head->seq);
	put64(ret + 24, head->time_ns);
	put32(ret + 4, frame_crc(ret, payload));
}

bool tl_frame_head_read(const uint8_t raw[TL_FRAME_HEAD_BYTES], struct tl_frame_head *ret_head)
{
	*ret_head = (struct tl_frame_head) {
		.len = get32(raw + 8),
		.items = get32(raw + 12),
		.seq = get64(raw + 16),
		.time_ns = get64(raw + 24),
	};
	return get32(raw) == FRAME_MAGIC && ret_head->len <= TL_QUEUE_FRAME_BYTES_MAX &&
	       ret_head->seq != 0;
}

bool tl_frame_check(const uint8_t raw[TL_FRAME_HEAD_BYTES], struct tl_bytes payload)
{
	return get32(raw + 4) == frame_crc(raw, payload);
}

// The frame at `at` of a mapped segment, if it is sound.
static bool frame_at(const uint8_t *data, uint64_t size, uint64_t at, struct tl_frame_head *head)
{
	return size - at >= TL_FRAME_HEAD_BYTES && tl_frame_head_read(data + at, head) &&
	       size - at - TL_FRAME_HEAD_BYTES >= head->len &&
	       tl_frame_check(data + at, tl_bytes(data + at + TL_FRAME_HEAD_BYTES, head->len));
}

static void walk_frames(const uint8_t *data, uint64_t size, tl_segment_frame_fn *fn, void *arg,
			struct tl_segment_walk *walk)
{
	static const uint8_t magic[4] = {'T', 'L', 'Q', 'F'};
	uint64_t at = TL_SEGMENT_HEAD_BYTES;
	uint64_t last_seq = 0;

	walk->end = at;
	while (at < size) {
		struct tl_frame_head head;
		// Numbers ascend: what was left of an older file by a crash is no frame of this one.
		if (frame_at(data, size, at, &head) && head.seq > last_seq) {
			walk->damaged_bytes += at - walk->end;
			last_seq = head.seq;
			if (!fn(arg, &head, at))
				break;
			at += TL_FRAME_HEAD_BYTES + head.len;
			walk->end = at;
			continue;
		}
		const uint8_t *next = memmem(data + at + 1, size - at - 1, magic, sizeof(magic));
		at = next == NULL ? size : (uint64_t)(next - data);
	}
	walk->tail_bytes = size - walk->end;
}

int tl_segment_walk(int fd, tl_segment_frame_fn *fn, void *arg, struct tl_segment_walk *ret_walk)
{
	struct stat st;

	*ret_walk = (struct tl_segment_walk) {0};
	if (fstat(fd, &st) < 0)
		return -errno;
	uint64_t size = (uint64_t)st.st_size;
	if (size < TL_SEGMENT_HEAD_BYTES)
		return -EINVAL;
	uint8_t *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	(void)madvise(data, size, MADV_SEQUENTIAL);
	int rc = tl_segment_check(data, &ret_walk->first_seq);
	if (rc == -EINVAL) {
		ret_walk->damaged_bytes = TL_SEGMENT_HEAD_BYTES;
		rc = 0; // the frames behind a damaged header say for themselves whether they are sound
	}
	if (rc == 0)
		walk_frames(data, size, fn, arg, ret_walk);
	(void)munmap(data, size);
	return rc;
}

// ---- Cursors -----------------------------------------------------------------------------------

void tl_queue_cursor_write(const struct tl_queue_cursor *cursor, uint8_t ret[TL_CURSOR_SLOT_BYTES])
{
	memset(ret, 0, TL_CURSOR_SLOT_BYTES);
	memcpy(ret, cursor_magic, sizeof(cursor_magic));
	put32(ret + 8, TL_SEGMENT_VERSION);
	put32(ret + 12, cursor->is_clean ? CLEAN : 0);
	put64(ret + 16, cursor->generation);
	put64(ret + 24, cursor->head_seq);
	put64(ret + 32, cursor->next_seq);
	put64(ret + 40, cursor->last_time_ns);
	put32(ret + 60, crc_of(ret, 60));
}

bool tl_queue_cursor_read(struct tl_bytes file, struct tl_queue_cursor *ret_cursor)
{
	bool found = false;

	for (uint32_t at = 0; file.len - at >= TL_CURSOR_SLOT_BYTES && at < TL_CURSOR_BYTES;
	     at += TL_CURSOR_SLOT_BYTES) {
		const uint8_t *slot = file.ptr + at;
		if (memcmp(slot, cursor_magic, sizeof(cursor_magic)) != 0 ||
		    get32(slot + 8) != TL_SEGMENT_VERSION || get32(slot + 60) != crc_of(slot, 60))
			continue;
		if (found && get64(slot + 16) <= ret_cursor->generation)
			continue;
		found = true;
		*ret_cursor = (struct tl_queue_cursor) {
			.is_clean = (get32(slot + 12) & CLEAN) != 0,
			.generation = get64(slot + 16),
			.head_seq = get64(slot + 24),
			.next_seq = get64(slot + 32),
			.last_time_ns = get64(slot + 40),
		};
	}
	return found;
}
