// SPDX-License-Identifier: Apache-2.0
#include "protocols/dns/rdata.h"

static const char hex_digits[] = "0123456789ABCDEF";

// What is being written: a cursor over the data, names may point back into the message.
struct rdata {
	struct tl_bytes message;
	struct tl_cursor c; // over the message up to the end of the data
	struct dns_text *text;
};

void dns_ipv4_put(struct dns_text *text, const uint8_t address[4])
{
	char digits[16];
	uint32_t len = 0;

	for (uint32_t i = 0; i < 4; i++) {
		uint32_t v = address[i];
		if (v >= 100)
			digits[len++] = (char)('0' + v / 100);
		if (v >= 10)
			digits[len++] = (char)('0' + v / 10 % 10);
		digits[len++] = (char)('0' + v % 10);
		digits[len++] = '.';
	}
	dns_text_add(text, digits, len - 1);
}

static void put_hex16(struct dns_text *text, uint32_t v)
{
	bool any = false;

	for (int shift = 12; shift >= 0; shift -= 4) {
		uint32_t digit = v >> shift & 15;
		any = any || digit != 0 || shift == 0;
		if (any)
			dns_text_char(text, "0123456789abcdef"[digit]);
	}
}

void dns_ipv6_put(struct dns_text *text, const uint8_t address[16])
{
	uint32_t best = 8;
	uint32_t best_len = 1; // a single zero group is not shortened
	uint32_t run = 0;

	for (uint32_t i = 0; i < 8; i++) {
		run = tl_load_be16(address + 2 * i) == 0 ? run + 1 : 0;
		if (run > best_len) {
			best_len = run;
			best = i + 1 - run;
		}
	}
	for (uint32_t i = 0; i < 8; i++) {
		if (i == best) {
			dns_text_puts(text, "::");
			i += best_len - 1;
			continue;
		}
		if (i != 0 && i != best + best_len)
			dns_text_char(text, ':');
		put_hex16(text, tl_load_be16(address + 2 * i));
	}
}

static void put_hex(struct dns_text *text, struct tl_bytes b)
{
	for (uint32_t i = 0; i < b.len && !text->is_cut; i++) {
		dns_text_char(text, hex_digits[b.ptr[i] >> 4]);
		dns_text_char(text, hex_digits[b.ptr[i] & 15]);
	}
}

static void put_base64(struct dns_text *text, struct tl_bytes b)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (uint32_t i = 0; i < b.len && !text->is_cut; i += 3) {
		uint32_t left = b.len - i;
		uint32_t v = (uint32_t)b.ptr[i] << 16 | (left > 1 ? (uint32_t)b.ptr[i + 1] << 8 : 0) |
			     (left > 2 ? b.ptr[i + 2] : 0u);
		dns_text_char(text, digits[v >> 18]);
		dns_text_char(text, digits[v >> 12 & 63]);
		dns_text_char(text, left > 1 ? digits[v >> 6 & 63] : '=');
		dns_text_char(text, left > 2 ? digits[v & 63] : '=');
	}
}

// Base32 with the extended hex alphabet, without padding (RFC 5155 section 3.3).
static void put_base32hex(struct dns_text *text, struct tl_bytes b)
{
	uint32_t bits = 0;
	uint32_t held = 0;

	for (uint32_t i = 0; i < b.len; i++) {
		held = (held << 8 | b.ptr[i]) & 0xffff;
		for (bits += 8; bits >= 5; bits -= 5)
			dns_text_char(text, "0123456789ABCDEFGHIJKLMNOPQRSTUV"[held >> (bits - 5) & 31]);
	}
	if (bits != 0)
		dns_text_char(text, "0123456789ABCDEFGHIJKLMNOPQRSTUV"[held << (5 - bits) & 31]);
}

static void put_quoted(struct dns_text *text, struct tl_bytes b)
{
	dns_text_char(text, '"');
	for (uint32_t i = 0; i < b.len && !text->is_cut; i++)
		dns_text_escaped(text, b.ptr[i], "\"");
	dns_text_char(text, '"');
}

static struct tl_bytes rest(struct rdata *r)
{
	return tl_cursor_take(&r->c, tl_cursor_left(&r->c));
}

// Seconds since 1970 as YYYYMMDDHHmmSS (RFC 4034 section 3.2), by the civil calendar.
static void put_time(struct dns_text *text, uint32_t seconds)
{
	uint32_t days = seconds / 86400 + 719468; // since 0000-03-01
	uint32_t era = days / 146097;
	uint32_t day_of_era = days % 146097;
	uint32_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint32_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint32_t month_shifted = (5 * day_of_year + 2) / 153; // 0 is March
	uint32_t month = month_shifted < 10 ? month_shifted + 3 : month_shifted - 9;

	dns_text_uint_padded(text, year_of_era + era * 400 + (month <= 2), 4);
	dns_text_uint_padded(text, month, 2);
	dns_text_uint_padded(text, day_of_year - (153 * month_shifted + 2) / 5 + 1, 2);
	dns_text_uint_padded(text, seconds / 3600 % 24, 2);
	dns_text_uint_padded(text, seconds / 60 % 60, 2);
	dns_text_uint_padded(text, seconds % 60, 2);
}

// Windows of type bits, RFC 4034 section 4.1.2.
static void put_bitmap(struct rdata *r)
{
	bool any = false;

	while (tl_cursor_left(&r->c) != 0 && !r->text->is_cut) {
		uint32_t window = tl_cursor_u8(&r->c);
		struct tl_bytes bits = tl_cursor_take(&r->c, tl_cursor_u8(&r->c));
		for (uint32_t i = 0; i < bits.len * 8 && !r->text->is_cut; i++) {
			if ((bits.ptr[i / 8] & 0x80 >> i % 8) == 0)
				continue;
			if (any)
				dns_text_char(r->text, ' ');
			dns_type_put(r->text, window << 8 | i);
			any = true;
		}
	}
}

static void put_name(struct rdata *r)
{
	// Names of the data may point back, but not run beyond the data.
	if (!r->c.failed && !dns_name_put(r->c.bytes, &r->c.at, r->text))
		r->c.failed = true;
}

static void put_strings(struct rdata *r)
{
	for (bool any = false; tl_cursor_left(&r->c) != 0 && !r->text->is_cut; any = true) {
		if (any)
			dns_text_char(r->text, ' ');
		put_quoted(r->text, tl_cursor_take(&r->c, tl_cursor_u8(&r->c)));
	}
}

// ---- Service parameters, RFC 9460 section 2.1 ---------------------------------------------------

enum { SVC_MANDATORY, SVC_ALPN, SVC_NO_ALPN, SVC_PORT, SVC_IPV4, SVC_ECH, SVC_IPV6, SVC_DOHPATH };

static void put_svc_key(struct dns_text *text, uint32_t key)
{
	static const char *const words[] = {"mandatory", "alpn", "no-default-alpn", "port",
					    "ipv4hint",	 "ech",	 "ipv6hint",	    "dohpath",
					    "ohttp"};
	if (key < sizeof(words) / sizeof(words[0])) {
		dns_text_puts(text, words[key]);
		return;
	}
	dns_text_puts(text, "key");
	dns_text_uint(text, key);
}

// A list of fixed-size items, or of strings with their length before them (size 0).
static void put_svc_list(struct dns_text *text, uint32_t key, struct tl_bytes value)
{
	struct tl_cursor c = tl_cursor(value);
	uint32_t size = key == SVC_MANDATORY ? 2 : key == SVC_IPV4 ? 4 : key == SVC_IPV6 ? 16 : 0;

	for (bool any = false; tl_cursor_left(&c) != 0 && !text->is_cut; any = true) {
		struct tl_bytes item = tl_cursor_take(&c, size != 0 ? size : tl_cursor_u8(&c));
		if (c.failed)
			return;
		if (any)
			dns_text_char(text, ',');
		if (key == SVC_MANDATORY)
			put_svc_key(text, tl_load_be16(item.ptr));
		else if (key == SVC_IPV4)
			dns_ipv4_put(text, item.ptr);
		else if (key == SVC_IPV6)
			dns_ipv6_put(text, item.ptr);
		else
			for (uint32_t i = 0; i < item.len; i++)
				dns_text_escaped(text, item.ptr[i], ",\"");
	}
}

static void put_svc_value(struct dns_text *text, uint32_t key, struct tl_bytes value)
{
	if (key == SVC_PORT && value.len == 2)
		dns_text_uint(text, tl_load_be16(value.ptr));
	else if (key == SVC_ECH)
		put_base64(text, value);
	else if (key <= SVC_IPV6 && key != SVC_PORT)
		put_svc_list(text, key, value);
	else
		put_quoted(text, value);
}

static void put_svc(struct rdata *r)
{
	for (bool any = false; tl_cursor_left(&r->c) != 0 && !r->text->is_cut; any = true) {
		uint32_t key = tl_cursor_be16(&r->c);
		struct tl_bytes value = tl_cursor_take(&r->c, tl_cursor_be16(&r->c));
		if (r->c.failed)
			return;
		if (any)
			dns_text_char(r->text, ' ');
		put_svc_key(r->text, key);
		if (value.len == 0)
			continue;
		dns_text_char(r->text, '=');
		put_svc_value(r->text, key, value);
	}
}

// ---- The layouts --------------------------------------------------------------------------------

static void put_dashed(struct rdata *r)
{
	struct tl_bytes b = rest(r);

	for (uint32_t i = 0; i < b.len && !r->text->is_cut; i++) {
		if (i != 0)
			dns_text_char(r->text, '-');
		dns_text_char(r->text, "0123456789abcdef"[b.ptr[i] >> 4]);
		dns_text_char(r->text, "0123456789abcdef"[b.ptr[i] & 15]);
	}
}

static void put_address(struct rdata *r, bool is_ipv6)
{
	struct tl_bytes b = tl_cursor_take(&r->c, is_ipv6 ? 16 : 4);

	if (b.len == 16)
		dns_ipv6_put(r->text, b.ptr);
	else if (b.len == 4)
		dns_ipv4_put(r->text, b.ptr);
}

static void put_bare(struct rdata *r)
{
	struct tl_bytes b = tl_cursor_take(&r->c, tl_cursor_u8(&r->c));

	for (uint32_t i = 0; i < b.len; i++)
		dns_text_escaped(r->text, b.ptr[i], "\"");
}

static void put_sized_hex(struct rdata *r)
{
	struct tl_bytes b = tl_cursor_take(&r->c, tl_cursor_u8(&r->c));

	if (b.len == 0)
		dns_text_char(r->text, '-');
	put_hex(r->text, b);
}

static void put_element(struct rdata *r, char letter)
{
	struct tl_cursor *c = &r->c;

	switch (letter) {
	case 'a':
	case 'A':
		put_address(r, letter == 'A');
		return;
	case 'n':
		put_name(r);
		return;
	case '1':
		dns_text_uint(r->text, tl_cursor_u8(c));
		return;
	case '2':
		dns_text_uint(r->text, tl_cursor_be16(c));
		return;
	case '4':
		dns_text_uint(r->text, tl_cursor_be32(c));
		return;
	case 'T':
		put_time(r->text, tl_cursor_be32(c));
		return;
	case 't':
		dns_type_put(r->text, tl_cursor_be16(c));
		return;
	case 's':
		put_quoted(r->text, tl_cursor_take(c, tl_cursor_u8(c)));
		return;
	case 'S':
		put_strings(r);
		return;
	case 'q':
		put_quoted(r->text, rest(r));
		return;
	case 'g':
		put_bare(r);
		return;
	case 'x':
		put_hex(r->text, rest(r));
		return;
	case 'h':
		put_sized_hex(r);
		return;
	case 'b':
		put_base64(r->text, rest(r));
		return;
	case 'z':
		put_base32hex(r->text, tl_cursor_take(c, tl_cursor_u8(c)));
		return;
	case 'w':
		put_bitmap(r);
		return;
	case 'p':
		put_svc(r);
		return;
	default:
		put_dashed(r);
		return;
	}
}

static void put_generic(struct dns_text *text, struct tl_bytes data)
{
	dns_text_puts(text, "\\# ");
	dns_text_uint(text, data.len);
	if (data.len == 0)
		return;
	dns_text_char(text, ' ');
	put_hex(text, data);
}

void dns_rdata_put(struct tl_bytes message, uint32_t at, uint32_t len, uint32_t type,
		   struct dns_text *text)
{
	const char *layout = dns_type_layout(type);
	uint32_t start = text->len;
	struct rdata r = {
		.message = message,
		.c = {.bytes = tl_bytes_first(message, at + len), .at = at},
		.text = text,
	};

	for (const char *letter = layout; letter != NULL && *letter != 0; letter++) {
		// The last element may be empty: SVCB without parameters.
		if (letter != layout && (letter[1] != 0 || tl_cursor_left(&r.c) != 0))
			dns_text_char(text, ' ');
		put_element(&r, *letter);
	}
	// An update's prerequisites and deletions have no data at all (RFC 2136 section 2.4).
	if (layout != NULL && len == 0) {
		text->len = start;
		return;
	}
	bool is_whole = !r.c.failed && (r.c.at == at + len || text->is_cut);
	if (layout != NULL && is_whole)
		return;
	text->len = start;
	text->is_cut = false;
	put_generic(text, tl_bytes(message.ptr + at, len));
}
