// SPDX-License-Identifier: Apache-2.0
#include "l7/recognise.h"

#include "base/check.h"
#include "flow/flow.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

struct buffer {
	uint8_t bytes[70000];
	uint32_t len;
};

static void put(struct buffer *b, const void *bytes, size_t len)
{
	memcpy(b->bytes + b->len, bytes, len);
	b->len += (uint32_t)len;
}

static void put8(struct buffer *b, uint32_t v)
{
	b->bytes[b->len++] = (uint8_t)v;
}

static void put16(struct buffer *b, uint32_t v)
{
	put8(b, v >> 8);
	put8(b, v & 0xff);
}

static void set16(struct buffer *b, uint32_t at, uint32_t v)
{
	b->bytes[at] = (uint8_t)(v >> 8);
	b->bytes[at + 1] = (uint8_t)v;
}

// A hello as RFC 8446 section 4.1 lays it out; `padding` bytes of an extension come first.
static void build_hello(struct buffer *b, uint8_t type, const char *sni, uint32_t padding)
{
	static const uint8_t alpn[] = {0, 14, 2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1',
				       0x0a, 0x0a};
	uint8_t zero[64] = {0};

	b->len = 0;
	put(b, "\x16\x03\x01\0\0", 5);
	put8(b, type);
	put(b, "\0\0\0\x03\x03", 5);
	put(b, zero, 32);
	put8(b, 0);
	if (type == 1)
		put(b, "\0\x04\x13\x01\x0a\x0a\x01\0", 8);
	else
		put(b, "\x13\x01\0", 3);
	uint32_t extensions = b->len;
	put16(b, 0);
	if (padding != 0) {
		put16(b, 21);
		put16(b, padding);
		b->len += padding;
	}
	if (sni != NULL) {
		put16(b, 0);
		put16(b, (uint32_t)strlen(sni) + 5);
		put16(b, (uint32_t)strlen(sni) + 3);
		put8(b, 0);
		put16(b, (uint32_t)strlen(sni));
		put(b, sni, strlen(sni));
	}
	put16(b, 16);
	put16(b, 14);
	put(b, alpn, 14);
	put16(b, 43);
	if (type == 1) {
		put16(b, 7);
		put(b, "\x06\x0a\x0a\x03\x04\x03\x03", 7);
	} else {
		put16(b, 2);
		put16(b, 0x0304);
	}
	set16(b, extensions, b->len - extensions - 2);
	set16(b, 7, b->len - 9);
	b->bytes[6] = (uint8_t)((b->len - 9) >> 16);
	set16(b, 3, b->len - 5);
}

static enum tl_recognise stream(const void *bytes, uint32_t len, struct tl_recognised *ret)
{
	uint8_t *copy = malloc(len + 1);
	assert_non_null(copy);
	if (len != 0)
		memcpy(copy + 1, bytes, len);
	enum tl_recognise result = tl_recognise_stream(tl_bytes(copy + 1, len), ret);
	free(copy);
	return result;
}

static void client_hello(void **state)
{
	(void)state;
	static struct buffer b;
	struct tl_recognised r;

	build_hello(&b, 1, "www.example.com", 0);
	for (uint32_t len = 0; len < b.len; len++)
		assert_int_equal(stream(b.bytes, len, &r), TL_RECOGNISE_MORE);
	assert_int_equal(r.verdict, TL_VERDICT_TLS);
	assert_int_equal(stream(b.bytes, b.len, &r), TL_RECOGNISE_CERTAIN);
	assert_int_equal(r.verdict, TL_VERDICT_TLS);
	assert_int_equal(r.is_hello, 1);
	assert_int_equal(r.tls_version, 0x0304);
	assert_string_equal(r.sni, "www.example.com");
	assert_string_equal(r.alpn, "h2,http/1.1");
	b.bytes[2] = 0x07; // TLS 3.7 is nothing
	assert_int_equal(stream(b.bytes, b.len, &r), TL_RECOGNISE_NO);
}

static void server_hello_chooses(void **state)
{
	(void)state;
	static struct buffer b;
	struct tl_recognised r;

	build_hello(&b, 2, NULL, 0);
	assert_int_equal(stream(b.bytes, b.len, &r), TL_RECOGNISE_CERTAIN);
	assert_int_equal(r.is_hello, 2);
	assert_int_equal(r.tls_version, 0x0304);
	assert_string_equal(r.sni, "");
}

static void hello_over_several_records(void **state)
{
	(void)state;
	static struct buffer b, cut;
	struct tl_recognised r;

	build_hello(&b, 1, "split.example", 5000);
	cut.len = 0;
	for (uint32_t at = 5; at < b.len; at += 1000) {
		uint32_t len = b.len - at < 1000 ? b.len - at : 1000;
		put(&cut, "\x16\x03\x01", 3);
		put16(&cut, len);
		put(&cut, b.bytes + at, len);
	}
	for (uint32_t len = 12; len < cut.len; len += 97)
		assert_int_equal(stream(cut.bytes, len, &r), TL_RECOGNISE_MORE);
	assert_int_equal(stream(cut.bytes, cut.len, &r), TL_RECOGNISE_CERTAIN);
	assert_string_equal(r.sni, "split.example");
	// Something else between the records: TLS all the same, without a name.
	cut.bytes[1005] = 23;
	assert_int_equal(stream(cut.bytes, cut.len, &r), TL_RECOGNISE_CERTAIN);
	assert_string_equal(r.sni, "");
}

static void longest_hello_is_bounded(void **state)
{
	(void)state;
	static struct buffer b;
	struct tl_recognised r;

	build_hello(&b, 1, "far.example", 16200);
	assert_true(b.len <= TL_RECOGNISE_BYTES_MAX);
	assert_int_equal(stream(b.bytes, b.len, &r), TL_RECOGNISE_CERTAIN);
	assert_string_equal(r.sni, "far.example");
	build_hello(&b, 1, "far.example", 16384);
	assert_int_equal(stream(b.bytes, 60, &r), TL_RECOGNISE_CERTAIN);
	assert_string_equal(r.sni, "");
}

static void hostile_hello_fields(void **state)
{
	(void)state;
	static struct buffer b;
	struct tl_recognised r;

	build_hello(&b, 1, "evil\n.example", 0);
	assert_int_equal(stream(b.bytes, b.len, &r), TL_RECOGNISE_CERTAIN);
	assert_string_equal(r.sni, "");
	// Every byte of the hello set to extremes: never anything but an answer within bounds.
	build_hello(&b, 1, "www.example.com", 0);
	for (uint32_t i = 0; i < b.len; i++) {
		uint8_t saved = b.bytes[i];
		for (int v = 0; v < 256; v += 51) {
			b.bytes[i] = (uint8_t)v;
			(void)stream(b.bytes, b.len, &r);
			assert_true(strlen(r.sni) < sizeof(r.sni) && strlen(r.alpn) < sizeof(r.alpn));
		}
		b.bytes[i] = saved;
	}
}

static void middle_of_a_tls_connection(void **state)
{
	(void)state;
	uint8_t data[100] = {23, 3, 3, 0, 40, [45] = 23, 3, 3, 0, 200};
	static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, 40};
	static const uint8_t change[] = {20, 3, 3, 0, 1, 1};
	struct tl_recognised r;

	assert_int_equal(stream(data, sizeof(data), &r), TL_RECOGNISE_LIKELY);
	assert_int_equal(r.verdict, TL_VERDICT_TLS);
	data[45] = 99; // what follows the first record is no record
	assert_int_equal(stream(data, sizeof(data), &r), TL_RECOGNISE_NO);
	data[45] = 23;
	data[48] = 0xff; // longer than a record may be
	assert_int_equal(stream(data, sizeof(data), &r), TL_RECOGNISE_NO);
	assert_int_equal(stream(alert, sizeof(alert), &r), TL_RECOGNISE_LIKELY);
	assert_int_equal(stream(change, sizeof(change), &r), TL_RECOGNISE_LIKELY);
}

static void ssh(void **state)
{
	(void)state;
	static const char banner[] = "SSH-2.0-OpenSSH_9.2p1\r\n";
	struct tl_recognised r;

	for (uint32_t len = 0; len < 6; len++)
		assert_int_equal(stream(banner, len, &r), TL_RECOGNISE_MORE);
	assert_int_equal(stream(banner, 6, &r), TL_RECOGNISE_CERTAIN);
	assert_int_equal(r.verdict, TL_VERDICT_SSH);
	assert_int_equal(stream("SSH-3.0-x", 9, &r), TL_RECOGNISE_NO);
	assert_int_equal(stream("SELECT 1", 8, &r), TL_RECOGNISE_NO);
	assert_int_equal(stream("GET / HTTP/1.1\r\n", 16, &r), TL_RECOGNISE_NO);
}

static void quic_versions(void **state)
{
	(void)state;
	static const struct {
		uint8_t first;
		uint32_t version;
		enum tl_recognise want;
		bool is_initial;
	} cases[] = {
		{0xc3, 0x00000001, TL_RECOGNISE_CERTAIN, true},
		{0xe3, 0x00000001, TL_RECOGNISE_CERTAIN, false}, // Handshake
		{0xd3, 0x6b3343cf, TL_RECOGNISE_CERTAIN, true},	 // version 2 has other types
		{0xc3, 0xff00001d, TL_RECOGNISE_CERTAIN, true},
		{0xc3, 0x51303530, TL_RECOGNISE_CERTAIN, true},	 // Q050
		{0xc3, 0x54303531, TL_RECOGNISE_CERTAIN, true},	 // T051
		{0xc3, 0x51303436, TL_RECOGNISE_CERTAIN, true},	 // Q046
		{0xc3, 0xfaceb002, TL_RECOGNISE_CERTAIN, true},
		{0x83, 0x00000001, TL_RECOGNISE_NO, false},	 // no fixed bit
		{0xc3, 0x0000abcd, TL_RECOGNISE_NO, false},
		{0xc3, 0x1a2a3a4a, TL_RECOGNISE_LIKELY, true},
		{0x43, 0x00000001, TL_RECOGNISE_NO, false},	 // a short header
	};

	for (size_t i = 0; i < TL_COUNT_OF(cases); i++) {
		struct tl_recognised r;
		uint8_t d[1200] = {cases[i].first};
		for (int j = 0; j < 4; j++)
			d[1 + j] = (uint8_t)(cases[i].version >> (24 - 8 * j));
		d[5] = 8;
		d[14] = 5;
		assert_int_equal(tl_recognise_datagram(tl_bytes(d, sizeof(d)), &r), cases[i].want);
		if (cases[i].want == TL_RECOGNISE_NO)
			continue;
		assert_int_equal(r.verdict, TL_VERDICT_QUIC);
		assert_int_equal(r.quic_version, cases[i].version);
		assert_int_equal(r.is_initial, cases[i].is_initial);
	}
}

static void quic_lengths(void **state)
{
	(void)state;
	uint8_t d[64] = {0xc3, 0, 0, 0, 1, 8, [14] = 5};
	struct tl_recognised r;

	assert_int_equal(tl_recognise_datagram(tl_bytes(d, 64), &r), TL_RECOGNISE_CERTAIN);
	assert_int_equal(r.dcid_len, 8);
	assert_int_equal(r.scid_len, 5);
	assert_int_equal(tl_recognise_datagram(tl_bytes(d, 19), &r), TL_RECOGNISE_NO);
	assert_int_equal(tl_recognise_datagram(tl_bytes(d, 20), &r), TL_RECOGNISE_CERTAIN);
	assert_int_equal(tl_recognise_datagram(tl_bytes(d, 6), &r), TL_RECOGNISE_NO);
	d[5] = 21;
	assert_int_equal(tl_recognise_datagram(tl_bytes(d, 64), &r), TL_RECOGNISE_NO);
}

static void old_google_quic(void **state)
{
	(void)state;
	uint8_t d[32] = {0x0d, 1, 2, 3, 4, 5, 6, 7, 8, 'Q', '0', '4', '3', 1};
	struct tl_recognised r;

	assert_int_equal(tl_recognise_datagram(tl_bytes(d, 32), &r), TL_RECOGNISE_CERTAIN);
	assert_int_equal(r.quic_version, 0x51303433);
	d[10] = '9';
	assert_int_equal(tl_recognise_datagram(tl_bytes(d, 32), &r), TL_RECOGNISE_NO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_hello),
		cmocka_unit_test(server_hello_chooses),
		cmocka_unit_test(hello_over_several_records),
		cmocka_unit_test(longest_hello_is_bounded),
		cmocka_unit_test(hostile_hello_fields),
		cmocka_unit_test(middle_of_a_tls_connection),
		cmocka_unit_test(ssh),
		cmocka_unit_test(quic_versions),
		cmocka_unit_test(quic_lengths),
		cmocka_unit_test(old_google_quic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
