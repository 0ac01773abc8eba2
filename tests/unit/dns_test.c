// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "dns_core.h"
#include "protocols/dns/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

extern const struct tl_decoder tl_decoder_dns;

// ---- Building messages --------------------------------------------------------------------------

struct buffer {
	uint8_t bytes[70000];
	uint32_t len;
};

static void put8(struct buffer *b, uint32_t v)
{
	b->bytes[b->len++] = (uint8_t)v;
}

static void put16(struct buffer *b, uint32_t v)
{
	put8(b, v >> 8);
	put8(b, v & 0xff);
}

static void put32(struct buffer *b, uint32_t v)
{
	put16(b, v >> 16);
	put16(b, v & 0xffff);
}

// "www.example" without compression.
static void put_name(struct buffer *b, const char *name)
{
	while (*name != 0) {
		size_t len = strcspn(name, ".");
		put8(b, (uint32_t)len);
		memcpy(b->bytes + b->len, name, len);
		b->len += (uint32_t)len;
		name += len + (name[len] == '.');
	}
	put8(b, 0);
}

static void put_head(struct buffer *b, uint32_t id, uint32_t flags, uint32_t questions,
		     uint32_t answers, uint32_t additional)
{
	b->len = 0;
	put16(b, id);
	put16(b, flags);
	put16(b, questions);
	put16(b, answers);
	put16(b, 0);
	put16(b, additional);
}

static void put_question(struct buffer *b, const char *name, uint32_t type)
{
	put_name(b, name);
	put16(b, type);
	put16(b, 1);
}

// A record of the first question's name (a pointer to offset 12).
static void put_record(struct buffer *b, uint32_t type, const void *data, uint32_t len)
{
	put16(b, 0xc00c);
	put16(b, type);
	put16(b, 1);
	put32(b, 300);
	put16(b, len);
	memcpy(b->bytes + b->len, data, len);
	b->len += len;
}

static void put_soa(struct buffer *b, uint32_t serial)
{
	uint8_t data[22] = {0};
	for (uint32_t i = 0; i < 4; i++)
		data[2 + i] = (uint8_t)(serial >> (24 - 8 * i));
	put_record(b, DNS_SOA, data, sizeof(data));
}

static void query(struct buffer *b, uint32_t id, const char *name, uint32_t type)
{
	put_head(b, id, 0x0100, 1, 0, 0);
	put_question(b, name, type);
}

static void answer(struct buffer *b, uint32_t id, const char *name, uint32_t flags)
{
	put_head(b, id, 0x8180 | flags, 1, 1, 0);
	put_question(b, name, DNS_A);
	put_record(b, DNS_A, "\x0a\0\0\x01", 4);
}

static struct tl_ctx ctx;
static struct buffer b;

static void send_udp(enum tl_lane lane)
{
	core_feed(&ctx, lane, b.bytes, b.len);
}

// As one TCP message appended to `out`.
static void append_tcp(struct buffer *out)
{
	put16(out, b.len);
	memcpy(out->bytes + out->len, b.bytes, b.len);
	out->len += b.len;
}

static void send_tcp(enum tl_lane lane)
{
	static struct buffer out;
	out.len = 0;
	append_tcp(&out);
	core_feed(&ctx, lane, out.bytes, out.len);
}

static void expect_log(const char *want)
{
	assert_string_equal(ctx.log, want);
}

static uint32_t count_lines(const char *prefix)
{
	uint32_t count = 0;
	for (const char *line = ctx.log; *line != 0; line = strchr(line, '\n') + 1)
		count += strncmp(line, prefix, strlen(prefix)) == 0;
	return count;
}

// ---- Presentation -------------------------------------------------------------------------------

static uint32_t from_hex(const char *hex, uint8_t *out)
{
	uint32_t len = 0;

	for (; *hex != 0; hex += 2) {
		unsigned value;
		while (*hex == ' ')
			hex++;
		assert_int_equal(sscanf(hex, "%2x", &value), 1);
		out[len++] = (uint8_t)value;
	}
	return len;
}

static void data_in_presentation_format(void **state)
{
	(void)state;
	static const struct {
		uint32_t type;
		const char *hex, *want;
	} cases[] = {
		{1, "5db8d822", "93.184.216.34"},
		{1, "5db8d8", "\\# 3 5DB8D8"},
		{28, "20010db8000000000000000000000001", "2001:db8::1"},
		{28, "00000000000000000000000000000000", "::"},
		{28, "20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"},
		{28, "00010000000000000001000000000000", "1::1:0:0:0"},
		{5, "016103636f6d00", "a.com"},
		{15, "000a 046d61696c00", "10 mail"},
		{16, "03612062 0222 5c", "\"a b\" \"\\\"\\\\\""},
		{16, "0401ff7f41", "\"\\001\\255\\127A\""},
		{16, "05616263", "\\# 4 05616263"}, // its string ends beyond the data
		{33, "0001 0002 1f90 016100", "1 2 8080 a"},
		{6, "016e00 016d00 00000001 00000002 00000003 00000004 00000005", "n m 1 2 3 4 5"},
		{257, "00 05 6973737565 6c657473656e63727970742e6f7267", "0 issue \"letsencrypt.org\""},
		{43, "ec4505 02 aabbccdd", "60485 5 2 AABBCCDD"},
		{48, "0101 03 0d 000102", "257 3 13 AAEC"},
		{46, "0001 0802 00000e10 5fee6600 5fc6d900 1234 016100 00010203",
		 "A 8 2 3600 20210101000000 20201202000000 4660 a AAECAw=="},
		{47, "016200 0006 400000000003", "b A RRSIG NSEC"},
		{50, "01 00 000a 00 04 01020304 0001 40", "1 0 10 - 0410610 A"},
		{51, "01 00 000a 02 abcd", "1 0 10 ABCD"},
		{35, "000a 0014 0175 0453 4950 2b 00 00", "10 20 \"u\" \"SIP+\" \"\" ."},
		{35, "000a 0014 0175 03534950 00 016100", "10 20 \"u\" \"SIP\" \"\" a"},
		{65, "0001 00 0001 0006 026832 026833 0003 0002 01bb 0004 0004 01020304",
		 "1 . alpn=h2,h3 port=443 ipv4hint=1.2.3.4"},
		{64, "0000 016100", "0 a"},
		{64, "0001 00 0000 0002 0001 0002 0000 ffdc 0001 41",
		 "1 . mandatory=alpn no-default-alpn key65500=\"A\""},
		{52, "03 01 01 ab", "3 1 1 AB"},
		{44, "01 02 ab", "1 2 AB"},
		{256, "000a 0001 66747031", "10 1 \"ftp1\""},
		{108, "00005e005301", "00-00-5e-00-53-01"},
		{13, "0141 0142", "\"A\" \"B\""},
		{65280, "0a000001", "\\# 4 0A000001"},
		{65280, "", "\\# 0"},
		{10, "01", "\\# 1 01"},
	};

	for (size_t i = 0; i < TL_COUNT_OF(cases); i++) {
		uint8_t raw[256];
		char out[512];
		struct dns_text text = dns_text(out, sizeof(out));
		uint32_t len = from_hex(cases[i].hex, raw);
		uint8_t *exact = malloc(len + 1);
		assert_non_null(exact);
		memcpy(exact + 1, raw, len); // one byte before, so that an empty view has an address
		dns_rdata_put(tl_bytes(exact + 1, len), 0, len, cases[i].type, &text);
		free(exact);
		if (!tl_bytes_is(dns_text_bytes(&text), cases[i].want))
			fail_msg("type %u %s: '%.*s', want '%s'", cases[i].type, cases[i].hex,
				 (int)text.len, out, cases[i].want);
	}
}

static void data_text_is_bounded(void **state)
{
	(void)state;
	static uint8_t raw[65535];
	char out[100];

	for (uint32_t type = 0; type < 300; type++)
		for (uint32_t fill = 0; fill < 256; fill += 5) {
			struct dns_text text = dns_text(out, sizeof(out));
			memset(raw, (int)fill, sizeof(raw));
			dns_rdata_put(tl_bytes(raw, sizeof(raw)), 0, sizeof(raw), type, &text);
			assert_true(text.len <= sizeof(out));
		}
}

static void names(void **state)
{
	(void)state;
	static const struct {
		const char *hex;
		uint32_t at;
		const char *want; // NULL: malformed
		uint32_t end;
	} cases[] = {
		{"03777777 0161 00", 0, "www.a", 7},
		{"00", 0, ".", 1},
		{"0161 00 0162 c000", 3, "b.a", 7},
		{"0161 c000", 0, NULL, 0},	 // leads to itself
		{"c000", 0, NULL, 0},
		{"c002 c000", 0, NULL, 0},	 // forward
		{"0161 c005 00 0162 c000", 6, NULL, 0}, // forward inside
		{"0161", 0, NULL, 0},		 // no end
		{"0561", 0, NULL, 0},
		{"c0", 0, NULL, 0},
		{"4161 00", 0, NULL, 0},	 // label type of RFC 2673
		{"03412e42 00", 0, "A\\.B", 5},
		{"04 20 0a 5c ff 00", 0, "\\032\\010\\\\\\255", 6},
	};

	for (size_t i = 0; i < TL_COUNT_OF(cases); i++) {
		uint8_t raw[64];
		char out[DNS_NAME_TEXT_MAX];
		struct dns_text text = dns_text(out, sizeof(out));
		struct tl_bytes bytes = tl_bytes(raw, from_hex(cases[i].hex, raw));
		uint32_t at = cases[i].at;
		bool good = dns_name_put(bytes, &at, &text);
		if (good != (cases[i].want != NULL))
			fail_msg("%s", cases[i].hex);
		if (!good)
			continue;
		assert_true(tl_bytes_is(dns_text_bytes(&text), cases[i].want));
		assert_int_equal(at, cases[i].end);
		at = cases[i].at;
		assert_true(dns_name_skip(bytes, &at));
		assert_int_equal(at, cases[i].end);
	}
}

static void longest_name(void **state)
{
	(void)state;
	uint8_t raw[300];
	char out[DNS_NAME_TEXT_MAX];
	struct dns_text text = dns_text(out, sizeof(out));
	uint32_t at = 0;

	// 127 labels of one byte that needs escaping: 255 bytes, the longest there is.
	for (uint32_t i = 0; i < 127; i++) {
		raw[2 * i] = 1;
		raw[2 * i + 1] = 0xff;
	}
	raw[254] = 0;
	assert_true(dns_name_put(tl_bytes(raw, 255), &at, &text));
	assert_int_equal(text.len, 127 * 5 - 1);
	assert_false(text.is_cut);
	raw[254] = 1;
	raw[255] = 'x';
	raw[256] = 0;
	at = 0;
	assert_false(dns_name_put(tl_bytes(raw, 257), &at, &text));
	at = 0;
	assert_false(dns_name_skip(tl_bytes(raw, 257), &at));
}

// ---- Conversations --------------------------------------------------------------------------------

static void query_and_answer(void **state)
{
	(void)state;
	core_start(&ctx, true, 53);
	query(&b, 7, "Www.Example", DNS_A);
	send_udp(TL_CLIENT);
	answer(&b, 7, "wwW.exAmple", 0);
	send_udp(TL_SERVER);
	expect_log("status=0 retries=0 qtype=A question=Www.Example qclass=IN id=7 opcode=QUERY flags=rd"
		   " | id=7 opcode=QUERY flags=rd flags=ra answers= name=wwW.exAmple type=A ttl=300 "
		   "class=IN data=10.0.0.1 rcode=NOERROR answer_count=1\n");
}

static void statuses(void **state)
{
	(void)state;
	static const struct {
		uint32_t rcode;
		enum tl_status want;
	} cases[] = {{0, TL_STATUS_OK},		  {1, TL_STATUS_CLIENT_ERROR},
		     {2, TL_STATUS_SERVER_ERROR}, {3, TL_STATUS_CLIENT_ERROR},
		     {4, TL_STATUS_SERVER_ERROR}, {5, TL_STATUS_SERVER_ERROR},
		     {6, TL_STATUS_CLIENT_ERROR}, {7, TL_STATUS_CLIENT_ERROR},
		     {8, TL_STATUS_CLIENT_ERROR}, {9, TL_STATUS_SERVER_ERROR},
		     {15, TL_STATUS_SERVER_ERROR}};

	for (size_t i = 0; i < TL_COUNT_OF(cases); i++) {
		char want[32];
		core_start(&ctx, true, 53);
		query(&b, 7, "a", DNS_A);
		send_udp(TL_CLIENT);
		answer(&b, 7, "a", cases[i].rcode);
		send_udp(TL_SERVER);
		(void)snprintf(want, sizeof(want), "status=%d ", cases[i].want);
		assert_int_equal(count_lines(want), 1);
	}
}

static void several_queries_on_one_socket(void **state)
{
	(void)state;
	core_start(&ctx, true, 53);
	query(&b, 7, "a", DNS_A);
	send_udp(TL_CLIENT);
	query(&b, 7, "b", DNS_A); // the same id for another question
	send_udp(TL_CLIENT);
	query(&b, 7, "A", DNS_A); // a retry, with the case mixed
	send_udp(TL_CLIENT);
	query(&b, 8, "a", DNS_A); // a new id is a new record
	send_udp(TL_CLIENT);
	assert_int_equal(ctx.pending_count[TL_CLIENT], 3);
	answer(&b, 7, "b", 0);
	send_udp(TL_SERVER);
	answer(&b, 7, "c", 0); // nobody asked that
	send_udp(TL_SERVER);
	answer(&b, 7, "a", 0);
	send_udp(TL_SERVER);
	put_head(&b, 8, 0x8185, 0, 0, 0); // REFUSED without the question
	send_udp(TL_SERVER);
	assert_int_equal(count_lines("status=0 retries=0 qtype=A question=b "), 1);
	assert_int_equal(count_lines("orphan qtype=A question=c "), 1);
	assert_int_equal(count_lines("status=0 retries=1 qtype=A question=a "), 1);
	assert_int_equal(count_lines("status=2 retries=0 qtype=A question=a qclass=IN id=8 "), 1);
	assert_int_equal(ctx.pending_count[TL_CLIENT], 0);
}

static void multicast_is_one_way(void **state)
{
	(void)state;
	core_start(&ctx, true, 5353);
	ctx.is_multicast = true;
	query(&b, 0, "_http._tcp.local", 12);
	send_udp(TL_CLIENT);
	send_udp(TL_CLIENT);
	put_head(&b, 0, 0x8400, 0, 1, 0);
	put_name(&b, "printer.local");
	put16(&b, 1);
	put16(&b, 0x8001); // cache flush
	put32(&b, 120);
	put16(&b, 4);
	put32(&b, 0x0a000002);
	send_udp(TL_CLIENT);
	assert_int_equal(count_lines("one_way qtype=PTR question=_http._tcp.local "), 2);
	assert_int_equal(count_lines("one_way id=0 opcode=QUERY flags=aa question_count=0 answers= "
				     "name=printer.local type=A ttl=120 class=IN data=10.0.0.2 "),
			 1);
	// A group address on port 53 is an anonymised capture, LLMNR over TCP an ordinary query.
	core_start(&ctx, true, 53);
	ctx.is_multicast = true;
	query(&b, 1, "host", DNS_A);
	send_udp(TL_CLIENT);
	answer(&b, 1, "host", 0);
	send_udp(TL_SERVER);
	assert_int_equal(count_lines("status=0 "), 1);
	core_start(&ctx, false, 5355);
	query(&b, 1, "host", DNS_A);
	send_tcp(TL_CLIENT);
	answer(&b, 1, "host", 0);
	send_tcp(TL_SERVER);
	assert_int_equal(count_lines("status=0 "), 1);
}

static void edns(void **state)
{
	(void)state;
	static const uint8_t options[] = {0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2,
					  0, 15, 0, 4, 0, 22, 'n', 'o'};
	core_start(&ctx, true, 53);
	for (uint32_t is_response = 0; is_response < 2; is_response++) {
		put_head(&b, 7, is_response ? 0x8180 : 0x0100, 1, 0, 1);
		put_question(&b, "a", DNS_A);
		put8(&b, 0);
		put16(&b, DNS_OPT);
		put16(&b, 1232);
		put32(&b, is_response ? 0x01008000 : 0x00008000); // extended rcode 16
		put16(&b, sizeof(options));
		memcpy(b.bytes + b.len, options, sizeof(options));
		b.len += sizeof(options);
		send_udp(is_response ? TL_SERVER : TL_CLIENT);
	}
	expect_log("status=2 retries=0 qtype=A question=a qclass=IN id=7 opcode=QUERY flags=rd "
		   "additional_count=1 edns_version=0 udp_size=1232 dnssec_ok=1 "
		   "client_subnet=192.0.2.0/24/0 | id=7 opcode=QUERY flags=rd flags=ra "
		   "additional_count=1 edns_version=0 udp_size=1232 dnssec_ok=1 "
		   "client_subnet=192.0.2.0/24/0 extended_error=22 No Reachable Authority: no "
		   "rcode=BADVERS answer_count=0\n");
}

static void several_questions(void **state)
{
	(void)state;
	core_start(&ctx, true, 53);
	put_head(&b, 7, 0, 2, 0, 0);
	put_question(&b, "a", DNS_A);
	put_question(&b, "b", 28);
	send_udp(TL_CLIENT);
	put_head(&b, 7, 0x8001, 2, 0, 0);
	put_question(&b, "a", DNS_A);
	put_question(&b, "b", 28);
	send_udp(TL_SERVER);
	assert_int_equal(count_lines("status=1 retries=0 qtype=A question=a qclass=IN questions= name=a "
				     "type=A class=IN questions= name=b type=AAAA class=IN id=7 "),
			 1);
}

static void notify_and_update(void **state)
{
	(void)state;
	core_start(&ctx, true, 53);
	put_head(&b, 7, 0x2400, 1, 1, 0);
	put_question(&b, "zone", DNS_SOA);
	put_soa(&b, 99);
	send_udp(TL_CLIENT);
	put_head(&b, 7, 0xa400, 1, 0, 0);
	put_question(&b, "zone", DNS_SOA);
	send_udp(TL_SERVER);
	put_head(&b, 8, 0x2800, 1, 0, 0);
	put_question(&b, "zone", DNS_SOA);
	send_udp(TL_CLIENT);
	put_head(&b, 8, 0xa809, 0, 0, 0); // NOTAUTH
	send_udp(TL_SERVER);
	assert_int_equal(count_lines("status=0 retries=0 qtype=SOA question=zone qclass=IN id=7 "
				     "opcode=NOTIFY flags=aa answer_count=1 answers= "),
			 1);
	assert_int_equal(count_lines("status=2 retries=0 qtype=SOA question=zone qclass=IN id=8 "
				     "opcode=UPDATE "),
			 1);
}

static void answers_are_capped_but_counted(void **state)
{
	(void)state;
	core_start(&ctx, true, 53);
	query(&b, 7, "a", DNS_A);
	send_udp(TL_CLIENT);
	put_head(&b, 7, 0x8180, 1, 9, 0);
	put_question(&b, "a", DNS_A);
	for (uint32_t i = 0; i < 9; i++)
		put_record(&b, DNS_A, "\x0a\0\0\x01", 4);
	send_udp(TL_SERVER);
	uint32_t shown = 0;
	for (const char *p = ctx.log; (p = strstr(p, "answers=")) != NULL; p++)
		shown++;
	assert_int_equal(shown, 4);
	assert_non_null(strstr(ctx.log, "answer_count=9"));
	assert_int_equal(ctx.counters[1], 1);
}

static void malformed_messages(void **state)
{
	(void)state;
	core_start(&ctx, true, 53);
	core_feed(&ctx, TL_CLIENT, "x", 1);
	put_head(&b, 7, 0x0100, 1, 0, 0);
	put_name(&b, "cut");
	send_udp(TL_CLIENT); // no type and class
	assert_int_equal(ctx.counters[0], 2);
	assert_int_equal(ctx.pending_count[TL_CLIENT], 0);
	query(&b, 7, "a", DNS_A);
	send_udp(TL_CLIENT);
	answer(&b, 7, "a", 0);
	b.len -= 2; // its last record is cut
	send_udp(TL_SERVER);
	assert_int_equal(ctx.counters[0], 3);
	assert_int_equal(count_lines("status=0 "), 1);
	assert_true(ctx.messages[TL_SERVER].flags & TL_FLAG_TRUNCATED);
}

static void truncated_then_tcp(void **state)
{
	(void)state;
	core_start(&ctx, true, 53);
	query(&b, 7, "a", DNS_A);
	send_udp(TL_CLIENT);
	put_head(&b, 7, 0x8380, 1, 0, 0);
	put_question(&b, "a", DNS_A);
	send_udp(TL_SERVER);
	assert_int_equal(count_lines("status=0 "), 1);
	assert_non_null(strstr(ctx.log, "flags=tc"));
	core_start(&ctx, false, 53);
	query(&b, 7, "a", DNS_A);
	send_tcp(TL_CLIENT);
	answer(&b, 7, "a", 0);
	send_tcp(TL_SERVER);
	assert_int_equal(count_lines("status=0 "), 1);
}

// ---- TCP --------------------------------------------------------------------------------------

static void pipelined_and_cut_everywhere(void **state)
{
	(void)state;
	static struct buffer client, server;
	static char want[CORE_LOG_BYTES];
	static const char *const asked[] = {"a", "b", "c"};
	static const char *const answered[] = {"c", "a", "b"};

	client.len = server.len = 0;
	for (uint32_t i = 0; i < 3; i++) {
		query(&b, (uint32_t)asked[i][0], asked[i], DNS_A);
		append_tcp(&client);
		answer(&b, (uint32_t)answered[i][0], answered[i], 0);
		append_tcp(&server);
	}
	core_start(&ctx, false, 53);
	core_feed(&ctx, TL_CLIENT, client.bytes, client.len);
	core_feed(&ctx, TL_SERVER, server.bytes, server.len);
	assert_int_equal(count_lines("status=0 "), 3);
	memcpy(want, ctx.log, sizeof(want));
	for (uint32_t cut = 1; cut < server.len; cut++) {
		core_start(&ctx, false, 53);
		uint32_t half = cut < client.len ? cut : 1;
		core_feed(&ctx, TL_CLIENT, client.bytes, half);
		core_feed(&ctx, TL_CLIENT, client.bytes + half, client.len - half);
		core_feed(&ctx, TL_SERVER, server.bytes, cut);
		core_feed(&ctx, TL_SERVER, server.bytes + cut, server.len - cut);
		expect_log(want);
	}
	core_start(&ctx, false, 53);
	for (uint32_t i = 0; i < client.len; i++)
		core_feed(&ctx, TL_CLIENT, client.bytes + i, 1);
	for (uint32_t i = 0; i < server.len; i++)
		core_feed(&ctx, TL_SERVER, server.bytes + i, 1);
	expect_log(want);
}

static void longest_message(void **state)
{
	(void)state;
	static uint8_t data[65535];

	core_start(&ctx, false, 53);
	query(&b, 7, "a", 16);
	send_tcp(TL_CLIENT);
	put_head(&b, 7, 0x8180, 1, 1, 0);
	put_question(&b, "a", 16);
	put_record(&b, 65280, data, 65535 - b.len - 12);
	assert_int_equal(b.len, 65535);
	send_tcp(TL_SERVER);
	assert_int_equal(count_lines("status=0 "), 1);
}

static void garbage_ends_the_decoding(void **state)
{
	(void)state;
	uint8_t garbage[2000];

	core_start(&ctx, false, 53);
	memset(garbage, 0, sizeof(garbage));
	core_feed(&ctx, TL_CLIENT, garbage, sizeof(garbage));
	assert_true(ctx.has_stopped);
	assert_string_equal(ctx.log, "");
}

static void transfer(uint32_t type, uint32_t ours, const uint32_t *serials, uint32_t count,
		     uint32_t per_message)
{
	core_start(&ctx, false, 53);
	query(&b, 7, "zone", type);
	if (type == DNS_IXFR) {
		b.bytes[9] = 1;
		put_soa(&b, ours);
	}
	send_tcp(TL_CLIENT);
	for (uint32_t at = 0; at < count; at += per_message) {
		uint32_t here = count - at < per_message ? count - at : per_message;
		// Only the first message repeats the question.
		put_head(&b, 7, 0x8480, at == 0, here, 0);
		if (at == 0)
			put_question(&b, "zone", type);
		for (uint32_t i = at; i < at + here; i++) {
			uint32_t name_at = at == 0 ? 0xc00c : 0;
			uint32_t before = b.len;
			if (serials[i] != 0)
				put_soa(&b, serials[i]);
			else
				put_record(&b, DNS_A, "\x0a\0\0\x01", 4);
			if (name_at == 0) { // no question to point at: the root
				memmove(b.bytes + before, b.bytes + before + 1, b.len - before - 1);
				b.bytes[before] = 0;
				b.len--;
			}
		}
		assert_int_equal(count_lines("status="), 0);
		send_tcp(TL_SERVER);
	}
}

// In each row 0 is an A record, another number a SOA with that serial.
static void zone_transfers(void **state)
{
	(void)state;
	static const struct {
		uint32_t type, ours;
		uint32_t serials[12];
		uint32_t count;
		bool is_complete;
	} cases[] = {
		{DNS_AXFR, 0, {9, 0, 0, 0, 9}, 5, true},
		{DNS_AXFR, 0, {9, 9}, 2, true},
		{DNS_AXFR, 0, {9, 0, 0}, 3, false},
		{DNS_IXFR, 9, {9}, 1, true},			     // up to date
		{DNS_IXFR, 8, {9, 0, 0, 9}, 4, true},		     // the whole zone
		{DNS_IXFR, 8, {9, 8, 0, 9, 0, 9}, 6, true},	     // one difference
		{DNS_IXFR, 7, {9, 7, 0, 8, 0, 8, 0, 9, 0, 9}, 10, true}, // two
		{DNS_IXFR, 8, {9, 8, 0, 9, 0}, 5, false},
	};

	for (size_t i = 0; i < TL_COUNT_OF(cases); i++)
		for (uint32_t per = 1; per <= cases[i].count; per++) {
			char want[40];
			transfer(cases[i].type, cases[i].ours, cases[i].serials, cases[i].count, per);
			if (count_lines("status=0 ") != cases[i].is_complete)
				fail_msg("case %zu, %u a message: %s", i, per, ctx.log);
			(void)snprintf(want, sizeof(want), "answer_count=%u\n", cases[i].count);
			if (cases[i].is_complete)
				assert_non_null(strstr(ctx.log, want));
			assert_int_equal(count_lines("orphan"), 0);
		}
}

static void other_answers_between_a_transfer(void **state)
{
	(void)state;
	static const uint32_t serials[] = {9, 0};

	transfer(DNS_AXFR, 0, serials, 2, 2);
	query(&b, 8, "a", DNS_A);
	send_tcp(TL_CLIENT);
	answer(&b, 8, "a", 0);
	send_tcp(TL_SERVER);
	assert_int_equal(count_lines("status=0 retries=0 qtype=A question=a "), 1);
	assert_int_equal(ctx.parts, 1);
	put_head(&b, 7, 0x8480, 1, 1, 0);
	put_question(&b, "zone", DNS_AXFR);
	put_soa(&b, 9);
	send_tcp(TL_SERVER);
	assert_int_equal(count_lines("status=0 retries=0 qtype=AXFR "), 1);
	assert_non_null(strstr(ctx.log, "answer_count=3\n"));
}

static void transfer_without_its_request_is_one_orphan(void **state)
{
	(void)state;
	core_start(&ctx, false, 53);
	for (uint32_t i = 0; i < 5; i++) {
		put_head(&b, 7, 0x8480, 1, 1, 0);
		put_question(&b, "zone", DNS_AXFR);
		put_record(&b, DNS_A, "\x0a\0\0\x01", 4);
		send_tcp(TL_SERVER);
	}
	assert_int_equal(count_lines("orphan"), 1);
	assert_int_equal(ctx.counters[2], 4);
}

static void transfer_with_a_hole_is_flagged(void **state)
{
	(void)state;
	static const uint32_t serials[] = {9, 0};

	transfer(DNS_AXFR, 0, serials, 2, 2);
	core_lose(&ctx, TL_SERVER, 100);
	put_head(&b, 7, 0x8480, 1, 1, 0);
	put_question(&b, "zone", DNS_AXFR);
	put_soa(&b, 9);
	send_tcp(TL_SERVER);
	assert_int_equal(count_lines("status=0 retries=0 qtype=AXFR "), 1);
	assert_non_null(strstr(ctx.log, " GAP\n"));
}

static void resync_finds_the_next_message(void **state)
{
	(void)state;
	static struct buffer stream;

	stream.len = 0;
	for (uint32_t i = 0; i < 40; i++)
		put8(&stream, i * 7);
	answer(&b, 7, "example", 0);
	append_tcp(&stream);
	uint32_t at =
		tl_decoder_dns.resync(ctx.state, TL_SERVER, tl_bytes(stream.bytes, stream.len));
	assert_int_equal(at, 40);
	assert_int_equal(tl_decoder_dns.resync(ctx.state, TL_SERVER, tl_bytes(stream.bytes, 40)), 40);
}

// ---- Detection ----------------------------------------------------------------------------------

static enum tl_match match(enum tl_lane lane, const uint8_t *bytes, uint32_t len)
{
	uint8_t *copy = malloc(len + 1);
	assert_non_null(copy);
	memcpy(copy + 1, bytes, len);
	enum tl_match m = tl_decoder_dns.match(lane, tl_bytes(copy + 1, len));
	free(copy);
	return m;
}

static void matches(void **state)
{
	(void)state;
	static struct buffer stream;

	query(&b, 7, "www.example", DNS_A);
	assert_int_equal(match(TL_CLIENT, b.bytes, b.len), TL_MATCH_CERTAIN);
	assert_int_equal(match(TL_SERVER, b.bytes, b.len), TL_MATCH_LIKELY);
	stream.len = 0;
	append_tcp(&stream);
	append_tcp(&stream);
	assert_int_equal(match(TL_CLIENT, stream.bytes, stream.len), TL_MATCH_CERTAIN);
	for (uint32_t len = 1; len < b.len + 2; len++)
		assert_int_equal(match(TL_CLIENT, stream.bytes, len), TL_MATCH_UNSURE);
	answer(&b, 7, "www.example", 0);
	assert_int_equal(match(TL_SERVER, b.bytes, b.len), TL_MATCH_CERTAIN);
	b.bytes[b.len++] = 0; // one byte too many, one too few: only with a port
	assert_int_equal(match(TL_SERVER, b.bytes, b.len), TL_MATCH_LIKELY);
	assert_int_equal(match(TL_SERVER, b.bytes, b.len - 2), TL_MATCH_LIKELY);
	put_head(&b, 7, 0x8185, 0, 0, 0);
	assert_int_equal(match(TL_SERVER, b.bytes, b.len), TL_MATCH_LIKELY);
	put_head(&b, 7, 0x0140, 1, 0, 0); // the reserved bit
	put_question(&b, "a", 1);
	assert_int_equal(match(TL_CLIENT, b.bytes, b.len), TL_MATCH_NO);
}

static void others_are_not_claimed(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", "SSH-2.0-OpenSSH_9.2p1\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "*1\r\n$4\r\nPING\r\n",
	};
	uint32_t random = 1;
	uint32_t claimed = 0;

	for (size_t i = 0; i < TL_COUNT_OF(texts); i++)
		assert_int_not_equal(match(TL_CLIENT, (const uint8_t *)texts[i],
					   (uint32_t)strlen(texts[i])),
				     TL_MATCH_CERTAIN);
	put_head(&b, 7, 0x0110, 1, 0, 0); // a NetBIOS name query
	put_question(&b, "FHEPFCELEHFCEPFFFACACACACACACAAA", DNS_NETBIOS);
	assert_int_equal(match(TL_CLIENT, b.bytes, b.len), TL_MATCH_NO);
	memset(b.bytes, 0, 64);
	assert_int_not_equal(match(TL_CLIENT, b.bytes, 64), TL_MATCH_CERTAIN);
	// The first frames of Cassandra's protocol: as messages behind a length they ask nothing, but
	// have thousands of records.
	static const uint8_t startup[] = "\x04\0\0\x01\x01\0\0\0\x16\0\x01\0\x0b"
					 "CQL_VERSION\0\x05" "3.3.1";
	static const uint8_t supported[] = "\x84\0\0\0\x06\0\0\0\x34\0\x02\0\x0b" "COMPRESSION\0\x02";
	assert_int_equal(match(TL_CLIENT, startup, sizeof(startup) - 1), TL_MATCH_NO);
	assert_int_equal(match(TL_SERVER, supported, sizeof(supported) - 1), TL_MATCH_NO);
	for (uint32_t i = 0; i < 200000; i++) {
		uint8_t d[64];
		for (uint32_t j = 0; j < sizeof(d); j++) {
			random = random * 1664525 + 1013904223;
			d[j] = (uint8_t)(random >> 24);
		}
		claimed += match(i & 1, d, 12 + i % 53) == TL_MATCH_CERTAIN;
	}
	assert_int_equal(claimed, 0);
}

static void fields_are_whole(void **state)
{
	(void)state;
	for (uint8_t i = 0; i < tl_decoder_dns.field_count; i++) {
		const struct tl_field *f = &tl_decoder_dns.fields[i];
		assert_non_null(f->name);
		assert_non_null(f->help);
		assert_true(f->flags & (TL_FIELD_REQUEST | TL_FIELD_RESPONSE));
		if (f->parent != TL_FIELD_TOP)
			assert_int_equal(tl_decoder_dns.fields[f->parent].type, TL_FIELD_OBJECTS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_in_presentation_format),
		cmocka_unit_test(data_text_is_bounded),
		cmocka_unit_test(names),
		cmocka_unit_test(longest_name),
		cmocka_unit_test(query_and_answer),
		cmocka_unit_test(statuses),
		cmocka_unit_test(several_queries_on_one_socket),
		cmocka_unit_test(multicast_is_one_way),
		cmocka_unit_test(edns),
		cmocka_unit_test(several_questions),
		cmocka_unit_test(notify_and_update),
		cmocka_unit_test(answers_are_capped_but_counted),
		cmocka_unit_test(malformed_messages),
		cmocka_unit_test(truncated_then_tcp),
		cmocka_unit_test(pipelined_and_cut_everywhere),
		cmocka_unit_test(longest_message),
		cmocka_unit_test(garbage_ends_the_decoding),
		cmocka_unit_test(zone_transfers),
		cmocka_unit_test(other_answers_between_a_transfer),
		cmocka_unit_test(transfer_without_its_request_is_one_orphan),
		cmocka_unit_test(transfer_with_a_hole_is_flagged),
		cmocka_unit_test(resync_finds_the_next_message),
		cmocka_unit_test(matches),
		cmocka_unit_test(others_are_not_claimed),
		cmocka_unit_test(fields_are_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
