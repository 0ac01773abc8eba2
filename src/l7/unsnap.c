// SPDX-License-Identifier: Apache-2.0
#include "l7/unsnap.h"

#define LENGTH_BITS_MAX 35u   // five bytes of seven
#define RUN_SHORT_MAX 60u     // longer ones have their length behind the tag

enum { TAG_RUN, TAG_COPY_1, TAG_COPY_2, TAG_COPY_4 };

void tl_unsnap_begin(struct tl_unsnap *s, uint64_t plain_len)
{
	*s = (struct tl_unsnap) {.buffer = s->buffer, .left = plain_len};
}

// The length in front, a varint.
static enum tl_unsnapped read_length(struct tl_unsnap *s, struct tl_bytes *packed)
{
	while (packed->len != 0) {
		uint8_t byte = packed->ptr[0];
		*packed = tl_bytes_from(*packed, 1);
		s->length |= (uint64_t)(byte & 0x7f) << s->length_bits;
		s->length_bits = (uint8_t)(s->length_bits + 7);
		if ((byte & 0x80) == 0) {
			s->has_length = true;
			return s->length == s->left && s->length <= UINT32_MAX
				       ? TL_UNSNAPPED_SOME
				       : TL_UNSNAPPED_BROKEN;
		}
		if (s->length_bits >= LENGTH_BITS_MAX)
			return TL_UNSNAPPED_BROKEN;
	}
	return TL_UNSNAPPED_SOME;
}

// Bytes of an element's head, its tag included.
static uint32_t head_size(uint8_t tag)
{
	uint32_t size = tag >> 2;

	switch (tag & 3) {
	case TAG_RUN:
		return size < RUN_SHORT_MAX ? 1 : 2 + size - RUN_SHORT_MAX;
	case TAG_COPY_1:
		return 2;
	case TAG_COPY_2:
		return 3;
	default:
		return 5;
	}
}

// The head is whole: what the element is.
static enum tl_unsnapped begin_element(struct tl_unsnap *s)
{
	const uint8_t *p = s->head;
	uint32_t size = p[0] >> 2;
	uint32_t number = 0;
	uint32_t count = s->head_len;

	for (uint32_t i = 1; i < count; i++)
		number |= (uint32_t)p[i] << (8 * (i - 1));
	s->head_len = 0;
	if ((p[0] & 3) == TAG_RUN) {
		uint32_t less = count == 1 ? size : number;
		if (less >= s->left)
			return TL_UNSNAPPED_BROKEN;
		s->run = less + 1;
		return TL_UNSNAPPED_SOME;
	}
	bool is_near = (p[0] & 3) == TAG_COPY_1;
	s->distance = is_near ? (uint32_t)(p[0] >> 5) << 8 | number : number;
	s->copy = is_near ? (size & 7) + 4 : size + 1;
	uint64_t made = s->length - s->left;
	if (s->distance == 0 || s->distance > made || s->copy > s->left)
		return TL_UNSNAPPED_BROKEN;
	return s->distance > TL_UNSNAP_WINDOW ? TL_UNSNAPPED_FAR : TL_UNSNAPPED_SOME;
}

static enum tl_unsnapped read_head(struct tl_unsnap *s, struct tl_bytes *packed)
{
	if (s->head_len == 0) {
		s->head[s->head_len++] = packed->ptr[0];
		*packed = tl_bytes_from(*packed, 1);
	}
	uint32_t size = head_size(s->head[0]);
	while (s->head_len < size && packed->len != 0) {
		s->head[s->head_len++] = packed->ptr[0];
		*packed = tl_bytes_from(*packed, 1);
	}
	return s->head_len == size ? begin_element(s) : TL_UNSNAPPED_SOME;
}

static void add_run(struct tl_unsnap *s, struct tl_bytes *packed, uint32_t room)
{
	uint32_t len = s->run < room ? s->run : room;

	if (len > packed->len)
		len = packed->len;
	memcpy(s->buffer + s->at, packed->ptr, len);
	*packed = tl_bytes_from(*packed, len);
	s->at += len;
	s->run -= len;
	s->left -= len;
}

// A copy may reach into itself: then it repeats.
static void add_copy(struct tl_unsnap *s, uint32_t room)
{
	uint32_t len = s->copy < room ? s->copy : room;
	uint8_t *to = s->buffer + s->at;
	const uint8_t *from = to - s->distance;

	if (s->distance >= len) {
		memcpy(to, from, len);
	} else {
		for (uint32_t i = 0; i < len; i++)
			to[i] = from[i];
	}
	s->at += len;
	s->copy -= len;
	s->left -= len;
}

enum tl_unsnapped tl_unsnap(struct tl_unsnap *s, struct tl_bytes *packed, uint32_t room,
			    struct tl_bytes *ret_plain)
{
	enum tl_unsnapped result = TL_UNSNAPPED_SOME;

	*ret_plain = tl_bytes(NULL, 0);
	if (!s->has_length) {
		result = read_length(s, packed);
		if (result != TL_UNSNAPPED_SOME || !s->has_length)
			return result;
	}
	if (room > TL_UNSNAP_BUFFER_BYTES - s->at) {
		memmove(s->buffer, s->buffer + s->at - TL_UNSNAP_WINDOW, TL_UNSNAP_WINDOW);
		s->at = TL_UNSNAP_WINDOW;
	}
	uint32_t begin = s->at;
	uint32_t end = begin + room;
	while (s->at < end && s->left != 0) {
		if (s->copy != 0) {
			add_copy(s, end - s->at);
		} else if (packed->len == 0) {
			break;
		} else if (s->run != 0) {
			add_run(s, packed, end - s->at);
		} else {
			result = read_head(s, packed);
			if (result != TL_UNSNAPPED_SOME)
				return result;
		}
	}
	*ret_plain = tl_bytes(s->buffer + begin, s->at - begin);
	return result;
}
