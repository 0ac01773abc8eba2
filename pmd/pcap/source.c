// SPDX-License-Identifier: Apache-2.0
#include "pmd/pcap/source.h"

#include "base/check.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PACKED_BYTES (64u << 10)

int tl_source_init(struct tl_source *source, int fd, bool is_pollable)
{
	*source = (struct tl_source) {.fd = fd, .is_pollable = is_pollable};
	source->window = malloc(TL_SOURCE_WINDOW_BYTES);
	return source->window != NULL ? 0 : -ENOMEM;
}

void tl_source_fini(struct tl_source *source)
{
	if (source->is_gzip)
		(void)inflateEnd(&source->zlib);
	free(source->packed);
	free(source->window);
	(void)close(source->fd);
}

void tl_source_wait(const struct tl_source *source, int timeout_ms)
{
	struct pollfd pollfd = {.fd = source->fd, .events = POLLIN};

	if (source->is_pollable && !source->is_end)
		(void)poll(&pollfd, 1, timeout_ms);
}

// One read(2): bytes, 0 at the end, -EAGAIN or -errno. Never blocks on a pipe.
static int read_some(struct tl_source *s, uint8_t *out, uint32_t size)
{
	struct pollfd pollfd = {.fd = s->fd, .events = POLLIN};

	if (s->is_pollable && poll(&pollfd, 1, 0) == 0)
		return -EAGAIN;
	ssize_t got;
	do {
		got = read(s->fd, out, size);
	} while (got < 0 && errno == EINTR);
	if (got >= 0)
		return (int)got;
	int rc = errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (rc != -EAGAIN)
		(void)snprintf(s->error, sizeof(s->error), "can't read it: %s", strerror(-rc));
	return rc;
}

static int fail_gzip(struct tl_source *s)
{
	(void)snprintf(s->error, sizeof(s->error), "damaged gzip data: %s",
		       s->zlib.msg != NULL ? s->zlib.msg : "no reason given");
	return -EBADMSG;
}

// Unpacks into the window: bytes, 0 at the end, -errno. Members may follow one another (RFC 1952,
// section 2.2); what follows the last one and isn't gzip is padding, as gzip(1) takes it.
static int unpack_some(struct tl_source *s, uint8_t *out, uint32_t size)
{
	s->zlib.next_out = out;
	s->zlib.avail_out = size;
	while (s->zlib.avail_out == size) {
		if (s->zlib.avail_in == 0) {
			int got = read_some(s, s->packed, PACKED_BYTES);
			if (got < 0)
				return got;
			if (got == 0) {
				s->is_cut = s->is_member;
				return 0;
			}
			s->zlib.next_in = s->packed;
			s->zlib.avail_in = (uint32_t)got;
		}
		bool was_member = s->is_member;
		s->is_member = true;
		int rc = inflate(&s->zlib, Z_NO_FLUSH);
		if (rc == Z_STREAM_END) {
			s->is_member = false;
			if (inflateReset(&s->zlib) != Z_OK)
				return fail_gzip(s);
		} else if (rc == Z_DATA_ERROR && !was_member && s->window_at + s->to != 0) {
			s->is_member = false;
			return 0;
		} else if (rc != Z_OK && rc != Z_BUF_ERROR) {
			// What came out before the damage is still good.
			if (s->zlib.avail_out != size)
				break;
			return fail_gzip(s);
		}
	}
	return (int)(size - s->zlib.avail_out);
}

// Looks for gzip in the first bytes, which then move to the unpacker's side.
static int sniff(struct tl_source *s)
{
	while (s->to < 2) {
		int got = read_some(s, s->window + s->to, PACKED_BYTES - s->to);
		if (got < 0)
			return got;
		if (got == 0)
			break;
		s->to += (uint32_t)got;
	}
	s->is_sniffed = true;
	if (s->to < 2 || s->window[0] != 0x1f || s->window[1] != 0x8b)
		return 1;
	s->packed = malloc(PACKED_BYTES);
	if (s->packed == NULL || inflateInit2(&s->zlib, 15 + 16) != Z_OK) {
		(void)snprintf(s->error, sizeof(s->error), "out of memory");
		return -ENOMEM;
	}
	s->is_gzip = true;
	memcpy(s->packed, s->window, s->to);
	s->zlib.next_in = s->packed;
	s->zlib.avail_in = s->to;
	s->to = 0;
	return 1;
}

int tl_source_fill(struct tl_source *source, uint32_t len)
{
	struct tl_source *s = source;

	TL_ASSERT(len <= TL_SOURCE_WINDOW_BYTES);
	if (!s->is_sniffed) {
		int rc = sniff(s);
		if (rc < 0)
			return rc;
	}
	if (s->from != 0 && !s->is_end) {
		memmove(s->window, s->window + s->from, s->to - s->from);
		s->window_at += s->from;
		s->to -= s->from;
		s->from = 0;
	}
	while (s->to - s->from < len && !s->is_end) {
		uint32_t room = TL_SOURCE_WINDOW_BYTES - s->to;
		int got = s->is_gzip ? unpack_some(s, s->window + s->to, room)
				     : read_some(s, s->window + s->to, room);
		if (got < 0)
			return got;
		s->is_end = got == 0;
		s->to += (uint32_t)got;
	}
	return s->to - s->from >= len;
}
