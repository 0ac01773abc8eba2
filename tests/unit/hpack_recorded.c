// SPDX-License-Identifier: Apache-2.0
#include "hpack_recorded.h"

#include "packet/packet.h"
#include "protocols/http2/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FILE_HEAD_BYTES 24u
#define PACKET_HEAD_BYTES 16u
#define PACKET_BYTES_MAX 262144u
#define STREAM_BYTES_MAX (1u << 20)
#define BLOCK_BYTES_MAX 65536u

struct lane {
	struct tl_tuple tuple;
	uint32_t next; // sequence number
	uint32_t len;
	uint8_t *bytes;
};

struct lanes {
	struct lane list[RECORDED_LANES_MAX];
	uint32_t count;
};

static struct lane *lane_of(struct lanes *lanes, const struct tl_tuple *tuple)
{
	for (uint32_t i = 0; i < lanes->count; i++)
		if (memcmp(&lanes->list[i].tuple, tuple, sizeof(*tuple)) == 0)
			return &lanes->list[i];
	assert_true(lanes->count < RECORDED_LANES_MAX);
	struct lane *lane = &lanes->list[lanes->count++];
	*lane = (struct lane) {.tuple = *tuple, .bytes = malloc(STREAM_BYTES_MAX)};
	assert_non_null(lane->bytes);
	return lane;
}

static void take_packet(struct lanes *lanes, const struct tl_packet *packet)
{
	struct tl_headers headers;

	if (tl_packet_decode(packet, &headers) != TL_DECODED_OK || headers.tuple.protocol != 6)
		return;
	struct lane *lane = lane_of(lanes, &headers.tuple);
	if ((headers.tcp_flags & TL_TCP_SYN) != 0)
		lane->next = headers.tcp_seq + 1;
	if (headers.payload_len == 0 || (int32_t)(headers.tcp_seq - lane->next) < 0) // sent again
		return;
	assert_int_equal(headers.tcp_seq, lane->next);
	assert_true(headers.payload_len <= STREAM_BYTES_MAX - lane->len);
	lane->len += tl_packet_copy(packet, headers.payload_offset, headers.payload_len,
				    lane->bytes + lane->len);
	lane->next += headers.payload_len;
}

static void read_file(const char *path, struct lanes *lanes)
{
	static uint8_t bytes[PACKET_BYTES_MAX];
	uint8_t head[FILE_HEAD_BYTES];
	FILE *file = fopen(path, "rb");

	assert_non_null(file);
	assert_int_equal(fread(head, 1, FILE_HEAD_BYTES, file), FILE_HEAD_BYTES);
	uint32_t magic = tl_load_le32(head);
	assert_true(magic == 0xa1b2c3d4 || magic == 0xa1b23c4d);
	uint16_t link_type = (uint16_t)tl_load_le32(head + 20);
	while (fread(head, 1, PACKET_HEAD_BYTES, file) == PACKET_HEAD_BYTES) {
		uint32_t len = tl_load_le32(head + 8);
		struct tl_chunk chunk = {bytes, len};
		const struct tl_packet packet = {.chunks = &chunk, .chunk_count = 1, .len = len,
						 .link_type = link_type,
						 .original_len = tl_load_le32(head + 12)};
		assert_true(len <= sizeof(bytes) && fread(bytes, 1, len, file) == len);
		take_packet(lanes, &packet);
	}
	(void)fclose(file);
}

// The part of a block that the frame holds.
static struct tl_bytes fragment_of(const struct frame *frame, struct tl_bytes payload)
{
	uint32_t begin = 0;
	uint32_t padding = 0;

	if (frame->type == FRAME_CONTINUATION)
		return payload;
	if ((frame->flags & FRAME_PADDED) != 0)
		padding = payload.ptr[begin++];
	if (frame->type == FRAME_PUSH_PROMISE)
		begin += 4;
	else if ((frame->flags & FRAME_HAS_PRIORITY) != 0)
		begin += 5;
	assert_true(begin + padding <= payload.len);
	return tl_bytes(payload.ptr + begin, payload.len - begin - padding);
}

static void read_frames(struct tl_bytes bytes, uint32_t lane, recorded_fn *fn, void *arg)
{
	static uint8_t block[BLOCK_BYTES_MAX];
	uint32_t len = 0;

	while (bytes.len >= FRAME_HEAD_BYTES) {
		struct frame frame = tl_http2_frame(bytes.ptr);
		struct tl_bytes payload = tl_bytes_from(bytes, FRAME_HEAD_BYTES);
		if (payload.len < frame.length)
			break;
		bytes = tl_bytes_from(payload, frame.length);
		if (frame.type != FRAME_HEADERS && frame.type != FRAME_PUSH_PROMISE &&
		    frame.type != FRAME_CONTINUATION)
			continue;
		struct tl_bytes part = fragment_of(&frame, tl_bytes_first(payload, frame.length));
		assert_true(part.len <= sizeof(block) - len);
		if (part.len != 0)
			memcpy(block + len, part.ptr, part.len);
		len += part.len;
		if ((frame.flags & FRAME_END_HEADERS) == 0)
			continue;
		fn(arg, lane, block, len);
		len = 0;
	}
}

static bool answers(const struct tl_tuple *a, const struct tl_tuple *b)
{
	return a->source_port == b->destination_port && a->destination_port == b->source_port &&
	       memcmp(a->source, b->destination, sizeof(a->source)) == 0 &&
	       memcmp(a->destination, b->source, sizeof(a->source)) == 0;
}

void recorded_blocks(const char *path, recorded_fn *fn, void *arg)
{
	struct lanes *lanes = calloc(1, sizeof(*lanes));

	assert_non_null(lanes);
	read_file(path, lanes);
	for (uint32_t i = 0; i < lanes->count; i++) {
		const struct lane *client = &lanes->list[i];
		struct tl_bytes bytes = tl_bytes(client->bytes, client->len);
		if (tl_http2_preface(bytes) != TL_MATCH_CERTAIN)
			continue;
		read_frames(tl_bytes_from(bytes, PREFACE_BYTES), i, fn, arg);
		for (uint32_t k = 0; k < lanes->count; k++)
			if (answers(&client->tuple, &lanes->list[k].tuple))
				read_frames(tl_bytes(lanes->list[k].bytes, lanes->list[k].len), k, fn,
					    arg);
	}
	for (uint32_t i = 0; i < lanes->count; i++)
		free(lanes->list[i].bytes);
	free(lanes);
}
