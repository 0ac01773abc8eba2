// SPDX-License-Identifier: Apache-2.0
#include "protocols/dns/name.h"

enum { LABEL_MAX = 63, POINTER = 0xc0 };

void dns_text_add(struct dns_text *t, const char *bytes, uint32_t len)
{
	uint32_t room = t->size - t->len;

	if (len > room) {
		len = room;
		t->is_cut = true;
	}
	memcpy(t->data + t->len, bytes, len);
	t->len += len;
}

void dns_text_puts(struct dns_text *t, const char *string)
{
	dns_text_add(t, string, (uint32_t)strlen(string));
}

void dns_text_uint_padded(struct dns_text *t, uint32_t value, uint32_t digits)
{
	char text[10];

	for (uint32_t i = digits; i-- != 0; value /= 10)
		text[i] = (char)('0' + value % 10);
	for (uint32_t i = 0; i < digits; i++)
		dns_text_char(t, text[i]);
}

void dns_text_uint(struct dns_text *t, uint64_t value)
{
	char text[20];
	uint32_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	while (at < sizeof(text))
		dns_text_char(t, text[at++]);
}

void dns_text_escaped(struct dns_text *t, uint8_t byte, const char *special)
{
	if (byte <= 0x20 || byte >= 0x7f) {
		if (byte == ' ' && *special == '"') { // inside quotes a blank is itself
			dns_text_char(t, ' ');
			return;
		}
		dns_text_char(t, '\\');
		dns_text_uint_padded(t, byte, 3);
		return;
	}
	if (byte == '\\' || strchr(special, byte) != NULL)
		dns_text_char(t, '\\');
	dns_text_char(t, (char)byte);
}

// A walk over the labels of a name, following pointers.
struct walk {
	struct tl_bytes message;
	uint32_t at;    // next length byte
	uint32_t run;   // where this run of labels began
	uint32_t end;   // behind the name where it was met, 0 until the first pointer
	uint32_t bytes; // length of the name so far
};

enum walked { WALKED_LABEL, WALKED_END, WALKED_BAD };

// The next label of the name.
static enum walked next_label(struct walk *w, struct tl_bytes *ret_label)
{
	for (;;) {
		if (w->at >= w->message.len)
			return WALKED_BAD;
		uint32_t len = w->message.ptr[w->at];
		if (len == 0) {
			if (w->end == 0)
				w->end = w->at + 1;
			return WALKED_END;
		}
		if (len <= LABEL_MAX) {
			w->bytes += len + 1;
			if (w->at + 1 + len > w->message.len || w->bytes >= DNS_NAME_BYTES_MAX)
				return WALKED_BAD;
			*ret_label = tl_bytes(w->message.ptr + w->at + 1, len);
			w->at += 1 + len;
			return WALKED_LABEL;
		}
		if (len < POINTER || w->at + 1 >= w->message.len)
			return WALKED_BAD; // 01 and 10 are no label types any more (RFC 6891)
		uint32_t target = tl_load_be16(w->message.ptr + w->at) & 0x3fff;
		if (w->end == 0)
			w->end = w->at + 2;
		if (target >= w->run)
			return WALKED_BAD;
		w->at = target;
		w->run = target;
	}
}

bool dns_name_skip(struct tl_bytes message, uint32_t *at)
{
	uint32_t i = *at;

	while (i < message.len && message.ptr[i] != 0) {
		if (message.ptr[i] >= POINTER) {
			*at = i + 2;
			return i + 2 <= message.len;
		}
		if (message.ptr[i] > LABEL_MAX)
			return false;
		i += 1u + message.ptr[i];
		if (i - *at >= DNS_NAME_BYTES_MAX)
			return false;
	}
	*at = i + 1;
	return i < message.len;
}

static bool is_plain(uint8_t c)
{
	return ((c > 0x20) & (c < 0x7f) & (c != '.') & (c != '\\')) != 0;
}

static void put_label(struct dns_text *text, struct tl_bytes label)
{
	// Nearly every label is plain: copy it while looking, and take that back if it is not.
	if (text->size - text->len >= label.len) {
		char *to = text->data + text->len;
		bool plain = true;
		for (uint32_t i = 0; i < label.len; i++) {
			to[i] = (char)label.ptr[i];
			plain &= is_plain(label.ptr[i]);
		}
		if (plain) {
			text->len += label.len;
			return;
		}
	}
	for (uint32_t i = 0; i < label.len; i++)
		if (is_plain(label.ptr[i]))
			dns_text_char(text, (char)label.ptr[i]);
		else
			dns_text_escaped(text, label.ptr[i], ".");
}

bool dns_name_put(struct tl_bytes message, uint32_t *at, struct dns_text *text)
{
	struct walk w = {.message = message, .at = *at, .run = *at};
	struct tl_bytes label;
	enum walked walked;
	bool any = false;

	while ((walked = next_label(&w, &label)) == WALKED_LABEL) {
		if (any)
			dns_text_char(text, '.');
		put_label(text, label);
		any = true;
	}
	if (walked == WALKED_BAD)
		return false;
	if (!any)
		dns_text_char(text, '.');
	*at = w.end;
	return true;
}

// Eight bytes a round. Bit 5 is set everywhere, which makes letters equal that differ in case, and
// a few signs that no two names of one client will differ in.
static uint64_t mix_label(uint64_t h, struct tl_bytes label)
{
	const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);

	h = (h ^ label.len) * factor;
	for (uint32_t i = 0; i < label.len; i += 8) {
		uint64_t word = 0;
		if (label.len - i >= 8)
			memcpy(&word, label.ptr + i, 8);
		else
			for (uint32_t j = i; j < label.len; j++)
				word = word << 8 | label.ptr[j];
		h = (h ^ (word | UINT64_C(0x2020202020202020))) * factor;
		h ^= h >> 29;
	}
	return h;
}

bool dns_name_hash(struct tl_bytes message, uint32_t *at, uint64_t *hash)
{
	struct walk w = {.message = message, .at = *at, .run = *at};
	struct tl_bytes label;
	enum walked walked;
	uint64_t h = *hash;

	while ((walked = next_label(&w, &label)) == WALKED_LABEL)
		h = mix_label(h, label);
	if (walked == WALKED_BAD)
		return false;
	*hash = h;
	*at = w.end;
	return true;
}
