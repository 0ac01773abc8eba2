// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <endian.h>

#define WORD_BYTES 8u
#define ESCAPE_CHARS_MAX 6u // \u00XX; an invalid byte becomes the three of U+FFFD
#define EVERY(byte) (UINT64_C(0x0101010101010101) * (uint8_t)(byte))

// The lowest bit that is set tells the first byte that doesn't stand in a JSON string as it is:
// a control character, a quote, a backslash, or part of a longer character. What lies above it may
// be wrong, by the borrow of a subtraction.
static uint64_t find_special(uint64_t word)
{
	uint64_t control = word - EVERY(0x20);
	uint64_t quote = (word ^ EVERY('"')) - EVERY(1);
	uint64_t backslash = (word ^ EVERY('\\')) - EVERY(1);

	return (control | quote | backslash | word) & EVERY(0x80);
}

// Up to a word of `len` bytes, the first of them lowest, zeros behind the last.
static uint64_t read_word(const uint8_t *p, size_t len)
{
	uint64_t word;
	uint32_t low, high;

	if (len >= WORD_BYTES) {
		memcpy(&word, p, sizeof(word));
		return le64toh(word);
	}
	if (len >= sizeof(low)) { // two reads that overlap, where both say the same
		memcpy(&low, p, sizeof(low));
		memcpy(&high, p + len - sizeof(high), sizeof(high));
		return le32toh(low) | (uint64_t)le32toh(high) << 8 * (len - sizeof(high));
	}
	word = p[0]; // of one to three
	word |= (uint64_t)p[len / 2] << 8 * (len / 2);
	return word | (uint64_t)p[len - 1] << 8 * (len - 1);
}

// Copies what needs no escape, a word at a time. `to` has room for a word more than that.
static size_t copy_plain(char *to, const uint8_t *from, size_t len)
{
	size_t done = 0;

	while (done < len) {
		uint64_t word = read_word(from + done, len - done);
		uint64_t special = find_special(word); // a short word's zeros are such
		uint64_t bytes = htole64(word);
		memcpy(to + done, &bytes, sizeof(bytes));
		if (special != 0)
			return done + (size_t)__builtin_ctzll(special) / 8;
		done += WORD_BYTES;
	}
	return done;
}

static char *put_escape(char *at, uint8_t c)
{
	static const char short_forms[] = {
		['"'] = '"',   ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
		['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't',
	};
	static const char digits[] = "0123456789ABCDEF";

	*at++ = '\\';
	if (short_forms[c] != '\0') {
		*at++ = short_forms[c];
		return at;
	}
	memcpy(at, "u00", 3);
	at[3] = digits[c >> 4];
	at[4] = digits[c & 15];
	return at + 5;
}

// What is no plain ASCII at the beginning of `bytes`; gives how many bytes that was.
static size_t put_special(char **at, struct tl_bytes bytes, bool is_cut)
{
	bool is_partial;

	if (bytes.ptr[0] < 0x80) {
		*at = put_escape(*at, bytes.ptr[0]);
		return 1;
	}
	uint32_t len = tl_utf8_length(bytes.ptr, bytes.len, &is_partial);
	if (len == 0 && is_partial && is_cut)
		return bytes.len;
	if (len == 0) {
		memcpy(*at, "\xef\xbf\xbd", 3);
		*at += 3;
		return 1;
	}
	memcpy(*at, bytes.ptr, len);
	*at += len;
	return len;
}

void tl_json_string(struct tl_text *text, struct tl_bytes bytes, bool is_cut)
{
	char *at = tl_text_room(text, 2 + ESCAPE_CHARS_MAX * (size_t)bytes.len + WORD_BYTES);
	uint32_t done = 0;

	*at++ = '"';
	while (done < bytes.len) {
		size_t plain = copy_plain(at, bytes.ptr + done, bytes.len - done);
		at += plain;
		done += (uint32_t)plain;
		if (done < bytes.len)
			done += (uint32_t)put_special(&at, tl_bytes_from(bytes, done), is_cut);
	}
	*at++ = '"';
	tl_text_took(text, at);
}

void tl_json_key(struct tl_text *text, const char *name)
{
	size_t len = strlen(name);
	char *at = tl_text_room(text, len + 3);

	*at++ = '"';
	memcpy(at, name, len);
	at += len;
	*at++ = '"';
	*at++ = ':';
	tl_text_took(text, at);
}
