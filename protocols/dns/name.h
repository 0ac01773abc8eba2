// SPDX-License-Identifier: Apache-2.0
// Domain names of a DNS message (RFC 1035 sections 3.1, 4.1.4) and the text buffer they are
// written to. All work is bounded: a name has at most 255 bytes, and every compression pointer
// must lead to before where its own run of labels began, so that it can't loop.
#pragma once

#include "base/bytes.h"

#define DNS_NAME_BYTES_MAX 255u
#define DNS_NAME_TEXT_MAX 1024u // each byte may become \DDD

// A bounded text: what does not fit is dropped and remembered.
struct dns_text {
	char *data;
	uint32_t len;
	uint32_t size;
	bool is_cut;
};

static inline struct dns_text dns_text(char *data, uint32_t size)
{
	return (struct dns_text) {.data = data, .size = size};
}

static inline void dns_text_char(struct dns_text *t, char c)
{
	if (t->len < t->size)
		t->data[t->len++] = c;
	else
		t->is_cut = true;
}

static inline struct tl_bytes dns_text_bytes(const struct dns_text *t)
{
	return tl_bytes(t->data, t->len);
}

void dns_text_add(struct dns_text *t, const char *bytes, uint32_t len);
void dns_text_puts(struct dns_text *t, const char *string);
void dns_text_uint(struct dns_text *t, uint64_t value);
void dns_text_uint_padded(struct dns_text *t, uint32_t value, uint32_t digits);
// One byte of a label or string: as it is when printable, else \DDD; `special` ones with a \.
void dns_text_escaped(struct dns_text *t, uint8_t byte, const char *special);

// Moves *at behind the name there. False when there is none: *at stays; or when it runs out of the
// message: *at is moved all the same.
bool dns_name_skip(struct tl_bytes message, uint32_t *at);
// The same, and writes the name without its last dot ("." for the root), as sent.
bool dns_name_put(struct tl_bytes message, uint32_t *at, struct dns_text *text);
// The same, and mixes the name, case-blind, into *hash.
bool dns_name_hash(struct tl_bytes message, uint32_t *at, uint64_t *hash);
