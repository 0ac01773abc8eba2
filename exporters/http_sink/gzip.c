// SPDX-License-Identifier: Apache-2.0
#include "exporters/http_sink/gzip.h"

#include "base/check.h"

#include <zlib.h>

#define GZIP_WINDOW (15 + 16) // zlib's way of saying: with a gzip header
#define BLOCK_BYTES 16384u

void tl_gzip(struct tl_bytes plain, struct tl_text *ret_packed)
{
	z_stream stream = {0};
	uint8_t block[BLOCK_BYTES];
	int rc = deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY);

	TL_ASSERT(rc == Z_OK && "out of memory");
	tl_text_clear(ret_packed);
	stream.next_in = (uint8_t *)(uintptr_t)plain.ptr;
	stream.avail_in = plain.len;
	while (rc == Z_OK) {
		stream.next_out = block;
		stream.avail_out = sizeof(block);
		rc = deflate(&stream, Z_FINISH);
		tl_text_add(ret_packed, block, sizeof(block) - stream.avail_out);
	}
	(void)deflateEnd(&stream);
}

bool tl_gunzip(struct tl_bytes packed, struct tl_text *ret_plain)
{
	z_stream stream = {.next_in = (uint8_t *)(uintptr_t)packed.ptr, .avail_in = packed.len};
	uint8_t block[BLOCK_BYTES];
	int rc = inflateInit2(&stream, GZIP_WINDOW);

	tl_text_clear(ret_plain);
	while (rc == Z_OK && ret_plain->len < TL_GUNZIP_BYTES_MAX) {
		stream.next_out = block;
		stream.avail_out = sizeof(block);
		rc = inflate(&stream, Z_NO_FLUSH);
		if (rc == Z_OK || rc == Z_STREAM_END)
			tl_text_add(ret_plain, block, sizeof(block) - stream.avail_out);
	}
	(void)inflateEnd(&stream);
	return rc == Z_STREAM_END;
}

bool tl_is_gzip(struct tl_bytes body)
{
	return body.len >= 2 && body.ptr[0] == 0x1f && body.ptr[1] == 0x8b;
}

bool tl_gzip_plain(struct tl_bytes body, struct tl_text *buffer, struct tl_bytes *ret_plain)
{
	*ret_plain = body;
	if (!tl_is_gzip(body))
		return true;
	bool is_whole = tl_gunzip(body, buffer);
	*ret_plain = tl_bytes((const uint8_t *)buffer->data, (uint32_t)buffer->len);
	return is_whole;
}
