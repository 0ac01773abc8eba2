// SPDX-License-Identifier: Apache-2.0
#include "l7/recognise.h"

#include "base/check.h"
#include "flow/flow.h"

#define TLS_RECORD_HEAD 5u
#define TLS_RECORD_BYTES_MAX (16384u + 2048u) // RFC 5246 section 6.2.3: with expansion
#define TLS_HANDSHAKE_HEAD 4u
#define TLS_HELLO_LEAST 38u // version, random, session id length: enough to be sure
#define TLS_EXTENSIONS_MAX 64u
#define QUIC_CID_BYTES_MAX 20u // RFC 9000 section 17.2

enum { TLS_ALERT = 21, TLS_HANDSHAKE = 22, TLS_APPLICATION_DATA = 23, TLS_CHANGE_CIPHER = 20 };
enum { TLS_CLIENT_HELLO = 1, TLS_SERVER_HELLO = 2 };
enum { TLS_EXT_NAME = 0, TLS_EXT_ALPN = 16, TLS_EXT_VERSIONS = 43 };

// ---- TLS ----------------------------------------------------------------------------------

static bool is_host_name(struct tl_bytes name)
{
	if (name.len == 0 || name.len > 253)
		return false;
	for (uint32_t i = 0; i < name.len; i++) {
		uint8_t c = tl_ascii_lower(name.ptr[i]);
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '-' &&
		    c != '_')
			return false;
	}
	return true;
}

static void read_name(struct tl_bytes extension, struct tl_recognised *ret)
{
	struct tl_cursor c = tl_cursor(extension);

	(void)tl_cursor_be16(&c); // length of the list; only one name of type 0 may be in it
	uint8_t type = tl_cursor_u8(&c);
	struct tl_bytes name = tl_cursor_take(&c, tl_cursor_be16(&c));
	if (c.failed || type != 0 || !is_host_name(name))
		return;
	memcpy(ret->sni, name.ptr, name.len);
	ret->sni[name.len] = 0;
}

static bool is_printable(struct tl_bytes b)
{
	for (uint32_t i = 0; i < b.len; i++)
		if (b.ptr[i] <= 0x20 || b.ptr[i] >= 0x7f || b.ptr[i] == ',')
			return false;
	return b.len != 0;
}

// GREASE names (RFC 8701) are not printable and fall out here.
static void read_alpn(struct tl_bytes extension, struct tl_recognised *ret)
{
	struct tl_cursor c = tl_cursor(extension);
	uint32_t used = 0;

	(void)tl_cursor_be16(&c);
	while (tl_cursor_left(&c) != 0) {
		struct tl_bytes name = tl_cursor_take(&c, tl_cursor_u8(&c));
		if (c.failed)
			return;
		if (!is_printable(name))
			continue;
		if (used + (used != 0) + name.len >= TL_RECOGNISE_ALPN_MAX)
			return;
		if (used != 0)
			ret->alpn[used++] = ',';
		memcpy(ret->alpn + used, name.ptr, name.len);
		used += name.len;
	}
}

static void note_version(uint16_t version, struct tl_recognised *ret)
{
	if (version >> 8 == 0x7f)
		version = 0x0304; // a draft of TLS 1.3
	if (version >= 0x0300 && version <= 0x0304 && version > ret->tls_version)
		ret->tls_version = version;
}

// A ClientHello lists versions behind a length byte, a ServerHello names the chosen one.
static void read_versions(struct tl_bytes extension, struct tl_recognised *ret)
{
	struct tl_cursor c = tl_cursor(extension);

	if (ret->is_hello == TLS_CLIENT_HELLO)
		(void)tl_cursor_u8(&c);
	while (tl_cursor_left(&c) >= 2)
		note_version(tl_cursor_be16(&c), ret);
}

static void read_extensions(struct tl_cursor *c, struct tl_recognised *ret)
{
	struct tl_cursor list = tl_cursor(tl_cursor_take(c, tl_cursor_be16(c)));

	for (uint32_t i = 0; i < TLS_EXTENSIONS_MAX && tl_cursor_left(&list) >= 4; i++) {
		uint16_t type = tl_cursor_be16(&list);
		struct tl_bytes extension = tl_cursor_take(&list, tl_cursor_be16(&list));
		if (list.failed)
			return;
		if (type == TLS_EXT_NAME && ret->is_hello == TLS_CLIENT_HELLO)
			read_name(extension, ret);
		else if (type == TLS_EXT_ALPN)
			read_alpn(extension, ret);
		else if (type == TLS_EXT_VERSIONS)
			read_versions(extension, ret);
	}
}

// `body` is the hello behind its handshake head, all of it. A hello that does not parse to its
// end keeps what was read: it is TLS none the less.
static void read_hello(struct tl_bytes body, struct tl_recognised *ret)
{
	struct tl_cursor c = tl_cursor(body);

	note_version(tl_cursor_be16(&c), ret);
	(void)tl_cursor_take(&c, 32);
	(void)tl_cursor_take(&c, tl_cursor_u8(&c)); // session id
	if (ret->is_hello == TLS_CLIENT_HELLO) {
		(void)tl_cursor_take(&c, tl_cursor_be16(&c)); // cipher suites
		(void)tl_cursor_take(&c, tl_cursor_u8(&c));   // compression methods
	} else {
		(void)tl_cursor_take(&c, 3); // the chosen suite and method
	}
	if (!c.failed)
		read_extensions(&c, ret);
}

// Handshake bytes of the first `size` of the stream, without the heads of the records they lie
// in. Gives the number collected; *ret_broken when something else than handshake came between.
static uint32_t collect_handshake(struct tl_bytes first, uint8_t *out, uint32_t size,
				  bool *ret_broken)
{
	struct tl_cursor c = tl_cursor(first);
	uint32_t used = 0;

	*ret_broken = false;
	while (used < size && tl_cursor_left(&c) >= TLS_RECORD_HEAD) {
		uint8_t type = tl_cursor_u8(&c);
		uint16_t version = tl_cursor_be16(&c);
		uint32_t len = tl_cursor_be16(&c);
		if (type != TLS_HANDSHAKE || version >> 8 != 3 || len == 0) {
			*ret_broken = true;
			break;
		}
		uint32_t here = len < tl_cursor_left(&c) ? len : tl_cursor_left(&c);
		here = here < size - used ? here : size - used;
		struct tl_bytes part = tl_cursor_take(&c, here);
		if (part.len != 0)
			memcpy(out + used, part.ptr, part.len);
		used += part.len;
		if (here < len)
			break;
	}
	return used;
}

static enum tl_recognise read_handshake(struct tl_bytes first, struct tl_recognised *ret)
{
	struct tl_bytes record = tl_bytes_from(first, TLS_RECORD_HEAD);
	uint32_t record_len = tl_load_be16(first.ptr + 3);

	ret->verdict = TL_VERDICT_TLS;
	if (record.len < TLS_HANDSHAKE_HEAD + 2)
		return TL_RECOGNISE_MORE;
	uint8_t type = record.ptr[0];
	uint32_t len = tl_load_be32(record.ptr) & 0xffffff;
	if (type != TLS_CLIENT_HELLO && type != TLS_SERVER_HELLO)
		return TL_RECOGNISE_LIKELY; // a certificate, a Finished: mid-connection
	if (record.ptr[4] != 3 || len < TLS_HELLO_LEAST)
		return TL_RECOGNISE_LIKELY;
	ret->is_hello = type;
	note_version(tl_load_be16(record.ptr + 4), ret);
	uint32_t whole = TLS_HANDSHAKE_HEAD + len;
	if (whole > TL_RECOGNISE_BYTES_MAX - TLS_RECORD_HEAD)
		return TL_RECOGNISE_CERTAIN; // longer than we look at
	if (whole <= record_len) {
		if (record.len < whole)
			return TL_RECOGNISE_MORE;
		read_hello(tl_bytes(record.ptr + TLS_HANDSHAKE_HEAD, len), ret);
		return TL_RECOGNISE_CERTAIN;
	}
	// The hello is spread over several records: rare, and the only copy made here.
	uint8_t joined[TL_RECOGNISE_BYTES_MAX];
	bool is_broken;
	uint32_t got = collect_handshake(first, joined, whole, &is_broken);
	if (got < whole && !is_broken && first.len < TL_RECOGNISE_BYTES_MAX)
		return TL_RECOGNISE_MORE;
	if (got == whole)
		read_hello(tl_bytes(joined + TLS_HANDSHAKE_HEAD, len), ret);
	return TL_RECOGNISE_CERTAIN;
}

static bool is_record_head(const uint8_t *p)
{
	uint32_t len = tl_load_be16(p + 3);

	return p[0] >= TLS_CHANGE_CIPHER && p[0] <= TLS_APPLICATION_DATA && p[1] == 3 && p[2] <= 4 &&
	       len != 0 && len <= TLS_RECORD_BYTES_MAX;
}

// Records in the middle of a connection: heads that follow one another to the end of the view.
static enum tl_recognise read_chain(struct tl_bytes first, struct tl_recognised *ret)
{
	uint32_t at = 0;

	while (first.len - at >= TLS_RECORD_HEAD) {
		if (!is_record_head(first.ptr + at))
			return TL_RECOGNISE_NO;
		uint32_t len = TLS_RECORD_HEAD + tl_load_be16(first.ptr + at + 3);
		if (first.ptr[at] == TLS_CHANGE_CIPHER && len != TLS_RECORD_HEAD + 1)
			return TL_RECOGNISE_NO;
		if (len > first.len - at)
			break;
		at += len;
	}
	ret->verdict = TL_VERDICT_TLS;
	return TL_RECOGNISE_LIKELY;
}

static enum tl_recognise recognise_tls(struct tl_bytes first, struct tl_recognised *ret)
{
	if (first.ptr[0] < TLS_CHANGE_CIPHER || first.ptr[0] > TLS_APPLICATION_DATA ||
	    (first.len > 1 && first.ptr[1] != 3) || (first.len > 2 && first.ptr[2] > 4))
		return TL_RECOGNISE_NO;
	if (first.len < TLS_RECORD_HEAD) {
		ret->verdict = TL_VERDICT_TLS;
		return TL_RECOGNISE_MORE;
	}
	if (!is_record_head(first.ptr))
		return TL_RECOGNISE_NO;
	if (first.ptr[0] == TLS_HANDSHAKE)
		return read_handshake(first, ret);
	return read_chain(first, ret);
}

// ---- SSH ----------------------------------------------------------------------------------

static enum tl_recognise recognise_ssh(struct tl_bytes first, struct tl_recognised *ret)
{
	static const char magic[] = "SSH-";
	uint32_t len = first.len < 4 ? first.len : 4;

	if (memcmp(first.ptr, magic, len) != 0)
		return TL_RECOGNISE_NO;
	if (first.len >= 5 && first.ptr[4] != '1' && first.ptr[4] != '2')
		return TL_RECOGNISE_NO;
	if (first.len >= 6 && first.ptr[5] != '.')
		return TL_RECOGNISE_NO;
	ret->verdict = TL_VERDICT_SSH;
	return first.len < 6 ? TL_RECOGNISE_MORE : TL_RECOGNISE_CERTAIN;
}

// ---- AMQP 1.0 -----------------------------------------------------------------------------

// Its protocol header: "AMQP", a protocol id (0 itself, 2 TLS, 3 SASL), version 1.0.0. What
// earlier versions send is no part of 1.0 from the fifth byte on.
static enum tl_recognise recognise_amqp(struct tl_bytes first, struct tl_recognised *ret)
{
	static const uint8_t magic[] = {'A', 'M', 'Q', 'P', 0, 1, 0, 0};
	uint32_t len = first.len < sizeof(magic) ? first.len : (uint32_t)sizeof(magic);

	for (uint32_t i = 0; i < len; i++)
		if (first.ptr[i] != magic[i] && !(i == 4 && (first.ptr[i] == 2 || first.ptr[i] == 3)))
			return TL_RECOGNISE_NO;
	ret->verdict = TL_VERDICT_AMQP_1_0;
	return len < sizeof(magic) ? TL_RECOGNISE_MORE : TL_RECOGNISE_CERTAIN;
}

enum tl_recognise tl_recognise_stream(struct tl_bytes first, struct tl_recognised *ret)
{
	*ret = (struct tl_recognised) {0};
	if (first.len == 0)
		return TL_RECOGNISE_MORE;
	first = tl_bytes_first(first, TL_RECOGNISE_BYTES_MAX);
	if (first.ptr[0] == 'S')
		return recognise_ssh(first, ret);
	if (first.ptr[0] == 'A')
		return recognise_amqp(first, ret);
	return recognise_tls(first, ret);
}

// ---- QUIC ---------------------------------------------------------------------------------

static bool is_digit(uint32_t c)
{
	return c - '0' < 10;
}

// "Q043", "Q050", "T051": Google's versions are ASCII.
static bool is_google_version(uint32_t v)
{
	return (v >> 24 == 'Q' || v >> 24 == 'T') && (v >> 16 & 0xff) == '0' &&
	       is_digit(v >> 8 & 0xff) && is_digit(v & 0xff);
}

static bool is_known_version(uint32_t v)
{
	return v == 1 || v == 0x6b3343cf || (v >= 0xff000001 && v <= 0xff000022) ||
	       (v >> 4 == 0x0faceb00) || is_google_version(v);
}

// Long header types differ between version 2 and the rest (RFC 9369 section 3.2).
static bool is_initial(uint8_t first, uint32_t version)
{
	uint8_t type = first >> 4 & 3;

	return version == 0x6b3343cf ? type == 1 : type == 0;
}

// Google's public header up to Q043: flags, connection id, version, without a long header.
static enum tl_recognise recognise_old_google(struct tl_bytes d, struct tl_recognised *ret)
{
	if (d.len < 14 || (d.ptr[0] & 0x89) != 0x09 || d.ptr[9] != 'Q')
		return TL_RECOGNISE_NO;
	uint32_t version = tl_load_be32(d.ptr + 9);
	if (!is_google_version(version))
		return TL_RECOGNISE_NO;
	ret->verdict = TL_VERDICT_QUIC;
	ret->quic_version = version;
	ret->dcid_len = 8;
	ret->is_initial = 1;
	return TL_RECOGNISE_CERTAIN;
}

enum tl_recognise tl_recognise_datagram(struct tl_bytes d, struct tl_recognised *ret)
{
	*ret = (struct tl_recognised) {0};
	if (d.len < 7)
		return TL_RECOGNISE_NO;
	if ((d.ptr[0] & 0x80) == 0)
		return recognise_old_google(d, ret);
	uint32_t version = tl_load_be32(d.ptr + 1);
	bool is_negotiation = version == 0;
	// Versions a client makes up to exercise negotiation, RFC 9000 section 15.
	bool is_reserved = (version & 0x0f0f0f0f) == 0x0a0a0a0a;
	if (!is_negotiation && !is_reserved && !is_known_version(version))
		return TL_RECOGNISE_NO;
	// The fixed bit may be greased (RFC 9287), but not in a first flight.
	if (!is_negotiation && (d.ptr[0] & 0x40) == 0)
		return TL_RECOGNISE_NO;
	uint32_t dcid_len = d.ptr[5];
	bool is_q046 = is_google_version(version) && version < 0x51303530 && version >> 24 == 'Q';
	if (!is_q046) { // Q046 packs both lengths into one byte
		if (dcid_len > QUIC_CID_BYTES_MAX || d.len < 7 + dcid_len ||
		    d.ptr[6 + dcid_len] > QUIC_CID_BYTES_MAX)
			return TL_RECOGNISE_NO;
		ret->dcid_len = (uint8_t)dcid_len;
		ret->scid_len = d.ptr[6 + dcid_len];
		if (d.len < 7u + ret->dcid_len + ret->scid_len)
			return TL_RECOGNISE_NO;
	}
	// Version negotiation is a list of 32-bit versions behind the ids.
	if (is_negotiation && (d.len - 7 - ret->dcid_len - ret->scid_len) % 4 != 0)
		return TL_RECOGNISE_NO;
	ret->verdict = TL_VERDICT_QUIC;
	ret->quic_version = version;
	ret->is_initial = !is_negotiation && is_initial(d.ptr[0], version);
	return is_negotiation || is_reserved ? TL_RECOGNISE_LIKELY : TL_RECOGNISE_CERTAIN;
}
