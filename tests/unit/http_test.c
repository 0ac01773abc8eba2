// SPDX-License-Identifier: Apache-2.0
// The pure half of the HTTP/1 decoder. Whole conversations: tests/sweep/conversations/http*.txt.
#include "base/check.h"
#include "protocols/http/line.h"
#include "protocols/http/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void expect_text(struct tl_bytes got, const char *want, const char *why)
{
	if (!tl_bytes_is(got, want))
		fail_msg("%s: got '%.*s', want '%s'", why, (int)got.len, (const char *)got.ptr, want);
}

// Every line feed and the first colon of every line, whatever the blocks' cuts are; and the two ways
// to compare 64 bytes agree.
static void scanned_lines(void **state)
{
	(void)state;
	static const uint8_t special[4] = {'\n', ':', '\n' | 0x80, ':' | 0x80};
	uint8_t bytes[300];
	uint32_t x = 1;

	for (uint32_t round = 0; round < 20000; round++) {
		for (uint32_t i = 0; i < sizeof(bytes); i++) {
			x = x * 1103515245u + 12345u;
			// Rare line feeds, too: lines that span blocks.
			uint32_t one_in = round % 2 == 0 ? 4 : 90;
			bool is_special = (x >> 16) % one_in == 0;
			bytes[i] = is_special ? special[x >> 28 & 3] : (uint8_t)(x >> 20);
		}
		assert_true(http_equal64(bytes, '\n') == http_equal64_portable(bytes, '\n'));
		assert_true(http_equal64(bytes, ':') == http_equal64_portable(bytes, ':'));
		struct tl_bytes view = tl_bytes(bytes + round % 7, round % 290 + 1);
		uint32_t at = round % view.len;
		struct http_scan scan;
		uint32_t end;
		uint32_t colon;
		http_scan_block(&scan, view, at);
		for (;;) {
			uint32_t want = tl_bytes_find(view, '\n', at);
			bool has_line = http_scan_line(&scan, view, &end, &colon);
			assert_int_equal(has_line, want != TL_BYTES_NONE);
			if (!has_line)
				break;
			assert_int_equal(end, want);
			assert_int_equal(colon, tl_bytes_find(tl_bytes_first(view, end), ':', at));
			at = end + 1;
		}
	}
}

static void request_lines(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		bool valid;
		const char *method, *target, *version;
	} vectors[] = {
		{"GET / HTTP/1.1", true, "GET", "/", "1.1"},
		{"GET / HTTP/1.0", true, "GET", "/", "1.0"},
		{"M-SEARCH * HTTP/1.1", true, "M-SEARCH", "*", "1.1"},
		{"x /a HTTP/1.1", true, "x", "/a", "1.1"},
		{"GET /a b HTTP/1.1", true, "GET", "/a b", "1.1"},
		{"GET /%%% HTTP/1.1  ", true, "GET", "/%%%", "1.1"},
		{"CONNECT a:443 HTTP/1.1", true, "CONNECT", "a:443", "1.1"},
		{"GET /", true, "GET", "/", ""},
		{"GET", false, "", "", ""},
		{"GET ", false, "", "", ""},
		{"", false, "", "", ""},
		{"POST /", false, "", "", ""},
		{"GET /a b", false, "", "", ""},
		{"GET  HTTP/1.1", false, "", "", ""},
		{"GET / HTTP/1.", false, "", "", ""},
		{"OPTIONS rtsp://x RTSP/1.0", false, "", "", ""},
		{"INVITE sip:a@b SIP/2.0", false, "", "", ""},
		{"PRI * HTTP/2.0", false, "", "", ""},
		{"G(T / HTTP/1.1", false, "", "", ""},
		{"GET /\x01 HTTP/1.1", false, "", "", ""},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1", false, "", "", ""},
	};
	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++) {
		struct http_request_line line;
		bool valid = tl_http_request_line(tl_bytes_of(vectors[i].line), false, &line);
		if (valid != vectors[i].valid)
			fail_msg("'%s'", vectors[i].line);
		if (!valid)
			continue;
		expect_text(line.method, vectors[i].method, vectors[i].line);
		expect_text(line.target, vectors[i].target, vectors[i].line);
		expect_text(line.version, vectors[i].version, vectors[i].line);
	}
}

static void status_lines(void **state)
{
	(void)state;
	struct http_status_line line;

	assert_true(tl_http_status_line(tl_bytes_of("HTTP/1.1 404 Not Found"), &line));
	assert_int_equal(line.code, 404);
	expect_text(line.reason, "Not Found", "reason");
	assert_true(tl_http_status_line(tl_bytes_of("HTTP/1.0 200"), &line));
	expect_text(line.reason, "", "no reason");
	expect_text(line.version, "1.0", "version");
	assert_true(tl_http_status_line(tl_bytes_of("HTTP/1.1   404  Gone"), &line));
	assert_int_equal(line.code, 404);
	expect_text(line.reason, "Gone", "reason behind blanks");
	assert_false(tl_http_status_line(tl_bytes_of("HTTP/1.1  20"), &line));
	assert_false(tl_http_status_line(tl_bytes_of("HTTP/1.1     "), &line));
	assert_false(tl_http_status_line(tl_bytes_of("HTTP/1.1 ABC"), &line));
	assert_false(tl_http_status_line(tl_bytes_of("HTTP/1.1 20"), &line));
	assert_false(tl_http_status_line(tl_bytes_of("HTTP/1.1 2000"), &line));
	assert_false(tl_http_status_line(tl_bytes_of("HTTP/1.1 099"), &line));
	assert_false(tl_http_status_line(tl_bytes_of("HTTP/2.0 200 OK"), &line));
	assert_false(tl_http_status_line(tl_bytes_of("RTSP/1.0 200 OK"), &line));
}

// The answer may only become surer as more bytes come: no prefix of what matches is refused.
static void prefixes_never_contradict(void **state)
{
	(void)state;
	static const char *const requests[] = {"GET / HTTP/1.1\r\n", "\r\nGET / HTTP/1.0\n",
					       "PROPFIND /a/b?c HTTP/1.1\r\nHost: x\r\n"};
	const char response[] = "HTTP/1.1 200 OK\r\n";

	for (uint32_t i = 0; i < TL_COUNT_OF(requests); i++) {
		struct tl_bytes all = tl_bytes_of(requests[i]);
		assert_int_equal(tl_http_match_request(all), TL_MATCH_CERTAIN);
		for (uint32_t len = 1; len < all.len; len++)
			assert_int_not_equal(tl_http_match_request(tl_bytes_first(all, len)),
					     TL_MATCH_NO);
		assert_int_equal(tl_http_match_response(all), TL_MATCH_NO);
	}
	for (uint32_t len = 1; len < sizeof(response); len++)
		assert_int_equal(tl_http_match_response(tl_bytes(response, len)),
				 len < 12 ? TL_MATCH_UNSURE : TL_MATCH_CERTAIN);
}

static void others_are_not_claimed(void **state)
{
	(void)state;
	static const char *const others[] = {
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "OPTIONS rtsp://a/ RTSP/1.0\r\n",
		"REGISTER sip:a SIP/2.0\r\n",	    "*1\r\n$4\r\nPING\r\n",
		"SSH-2.0-OpenSSH_9.2\r\n",	    "EHLO mail\r\n",
		"\x16\x03\x01",			    "USER anonymous\r\n",
		"get key\r\n",			    "RTSP/1.0 200 OK\r\n",
		"SIP/2.0 200 OK\r\n",		    "ICY 200 OK\r\n",
	};
	for (uint32_t i = 0; i < TL_COUNT_OF(others); i++) {
		if (tl_http_match_request(tl_bytes_of(others[i])) != TL_MATCH_NO)
			fail_msg("request: %s", others[i]);
		if (tl_http_match_response(tl_bytes_of(others[i])) != TL_MATCH_NO)
			fail_msg("response: %s", others[i]);
	}
	assert_int_equal(tl_http_match_request(tl_bytes_of("GET /\r\n")), TL_MATCH_LIKELY);
}

// A hole may end inside a word: what is left of it must not look like a start.
static void resync_wants_registered_methods(void **state)
{
	(void)state;
	struct tl_bytes line = tl_bytes_of("PROPPATCH /a HTTP/1.1\r\n");

	assert_int_equal(tl_http_match_resync(TL_CLIENT, tl_bytes_of("GET / HTTP/1.1\r\n")),
			 TL_MATCH_CERTAIN);
	assert_int_equal(tl_http_match_resync(TL_CLIENT, tl_bytes_of("GE")), TL_MATCH_UNSURE);
	assert_int_equal(tl_http_match_resync(TL_CLIENT, tl_bytes_of("ET / HTTP/1.1\r\n")),
			 TL_MATCH_NO);
	assert_int_equal(tl_http_match_resync(TL_CLIENT, tl_bytes_of("GET /\r\n")), TL_MATCH_NO);
	assert_int_equal(tl_http_match_resync(TL_CLIENT, line), TL_MATCH_CERTAIN);
	assert_int_equal(tl_http_match_resync(TL_SERVER, tl_bytes_of("HTTP/1.1 099 No\r\n")),
			 TL_MATCH_NO);
	assert_int_equal(tl_http_match_resync(TL_SERVER, tl_bytes_of("HTTP/1.1 200\rx\r\n")),
			 TL_MATCH_NO);
	assert_int_equal(tl_http_find_start(TL_CLIENT, tl_bytes_from(line, 1)), line.len - 1);
	assert_int_equal(tl_http_find_start(TL_CLIENT, tl_bytes_of("body}GET / HTTP/1.1\r\n")), 5);
	assert_int_equal(tl_http_find_start(TL_CLIENT, tl_bytes_of("I GET it\r\n")), 10);
	assert_int_equal(tl_http_find_start(TL_SERVER, tl_bytes_of("okHTTP/1.1 200 OK\r\n")), 2);
	assert_int_equal(tl_http_find_start(TL_SERVER, tl_bytes_of("HHTTP")), 1);
	assert_int_equal(tl_http_find_start(TL_SERVER, tl_bytes_of("HTTP/2 200")), 10);
	assert_true(tl_http_is_torn_method(tl_bytes_of("ET")));
	assert_true(tl_http_is_torn_method(tl_bytes_of("bodyGET")));
	assert_false(tl_http_is_torn_method(tl_bytes_of("GET")));
	assert_false(tl_http_is_torn_method(tl_bytes_of("M-SEARCH")));
	assert_false(tl_http_is_torn_method(tl_bytes_of("FROB")));
	assert_int_equal(tl_http_match_resync(TL_SERVER, tl_bytes_of("HTTP/1.1 200 OK\r\n")),
			 TL_MATCH_CERTAIN);
}

static void content_lengths(void **state)
{
	(void)state;
	uint64_t length;

	assert_true(tl_http_content_length(tl_bytes_of("0"), &length));
	assert_int_equal(length, 0);
	assert_true(tl_http_content_length(tl_bytes_of("5, 5 ,5"), &length));
	assert_int_equal(length, 5);
	assert_true(tl_http_content_length(tl_bytes_of("4611686018427387904"), &length));
	assert_false(tl_http_content_length(tl_bytes_of("4611686018427387905"), &length));
	assert_false(tl_http_content_length(tl_bytes_of("99999999999999999999999"), &length));
	assert_false(tl_http_content_length(tl_bytes_of("5, 6"), &length));
	assert_false(tl_http_content_length(tl_bytes_of("-10"), &length));
	assert_false(tl_http_content_length(tl_bytes_of("+10"), &length));
	assert_false(tl_http_content_length(tl_bytes_of("5,"), &length));
	assert_false(tl_http_content_length(tl_bytes_of(""), &length));
	assert_false(tl_http_content_length(tl_bytes_of("invalid"), &length));
}

static void chunk_sizes(void **state)
{
	(void)state;
	uint64_t size;

	assert_true(tl_http_chunk_size(tl_bytes_of("0"), &size));
	assert_int_equal(size, 0);
	assert_true(tl_http_chunk_size(tl_bytes_of("1aF;name=\"v\""), &size));
	assert_int_equal(size, 0x1af);
	assert_true(tl_http_chunk_size(tl_bytes_of("10 ; x"), &size));
	assert_int_equal(size, 16);
	assert_true(tl_http_chunk_size(tl_bytes_of("000000000000000000000000000a"), &size));
	assert_int_equal(size, 10);
	assert_false(tl_http_chunk_size(tl_bytes_of("ffffffffffffffff"), &size));
	assert_false(tl_http_chunk_size(tl_bytes_of(""), &size));
	assert_false(tl_http_chunk_size(tl_bytes_of(";x"), &size));
	assert_false(tl_http_chunk_size(tl_bytes_of("-1"), &size));
	assert_false(tl_http_chunk_size(tl_bytes_of("5x"), &size));
	assert_true(tl_http_ends_chunked(tl_bytes_of("gzip, Chunked ")));
	assert_false(tl_http_ends_chunked(tl_bytes_of("chunked, gzip")));
	assert_false(tl_http_ends_chunked(tl_bytes_of("xchunked")));
}

static void targets_are_split_and_masked(void **state)
{
	(void)state;
	static const struct {
		const char *target, *host, *rest, *masked;
	} vectors[] = {
		{"/a?b=c", "", "/a?b=c", ""},
		{"http://h:81/a?b", "h:81", "/a?b", ""},
		{"http://h", "h", "/", ""},
		{"http://u:p@h/a", "h", "/a", "http://***@h/a"},
		{"http://u:p@q@h?x", "h", "?x", "http://***@h?x"},
		{"/a?token=x&b=1&Password=", "", "/a?token=x&b=1&Password=", "/a?token=***&b=1&Password=***"},
		{"/a?mytoken=1;key=2", "", "/a?mytoken=1;key=2", "/a?mytoken=1;key=***"},
		{"/a?extra=1", "", "/a?extra=1", "/a?extra=***"},
		{"/?token", "", "/?token", ""},
		{"*", "", "*", ""},
		{"//a@b/?q=1", "", "//a@b/?q=1", ""},
	};
	const char *extra[] = {"extra"};
	const struct tl_text_list more = {.items = extra, .count = 1};

	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++) {
		struct tl_bytes target = tl_bytes_of(vectors[i].target);
		struct tl_bytes host;
		struct tl_bytes rest;
		uint8_t masked[64];
		tl_http_split_target(target, &host, &rest);
		expect_text(host, vectors[i].host, vectors[i].target);
		expect_text(rest, vectors[i].rest, vectors[i].target);
		uint32_t len = tl_http_mask(target, &more, masked, sizeof(masked));
		expect_text(tl_bytes(masked, len), vectors[i].masked, vectors[i].target);
	}
	uint8_t small[8];
	assert_int_equal(tl_http_mask(tl_bytes_of("/?token=secret"), NULL, small, sizeof(small)), 8);
	assert_memory_equal(small, "/?token=", 8);
}

static void routes_match_by_segment(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *path;
		bool want;
	} vectors[] = {
		{"/a", "/a", true},	       {"/a", "/ab", false},
		{"/a/", "/a", false},	       {"/u/:id", "/u/17", true},
		{"/u/:id", "/u/", false},      {"/u/:id", "/u/1/x", false},
		{"/u/:id/x", "/u/1/x", true},  {"/u/:id/x", "/u/1/y", false},
		{"/s/*", "/s/", true},	       {"/s/*", "/s/a/b", true},
		{"/s/*", "/s", false},	       {"*", "", true},
		{"/a:b", "/a:b", true},	       {":x", "x", false},
		{"/:a/:b", "/1/2", true},      {"/:a/:b", "/1", false},
	};
	for (uint32_t i = 0; i < TL_COUNT_OF(vectors); i++)
		if (tl_http_route_matches(vectors[i].pattern, tl_bytes_of(vectors[i].path)) !=
		    vectors[i].want)
			fail_msg("%s %s", vectors[i].pattern, vectors[i].path);
}

static void text_types(void **state)
{
	(void)state;
	assert_true(tl_http_is_text_type(tl_bytes_of("application/json")));
	assert_true(tl_http_is_text_type(tl_bytes_of("Application/JSON; charset=utf-8")));
	assert_true(tl_http_is_text_type(tl_bytes_of("application/problem+json ; x")));
	assert_true(tl_http_is_text_type(tl_bytes_of("text/html")));
	assert_false(tl_http_is_text_type(tl_bytes_of("image/png")));
	assert_false(tl_http_is_text_type(tl_bytes_of("text/")));
	assert_false(tl_http_is_text_type(tl_bytes_of("")));
	assert_true(tl_http_is_secret_header(tl_bytes_of("Set-Cookie")));
	assert_false(tl_http_is_secret_header(tl_bytes_of("Accept")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scanned_lines),
		cmocka_unit_test(request_lines),
		cmocka_unit_test(status_lines),
		cmocka_unit_test(prefixes_never_contradict),
		cmocka_unit_test(others_are_not_claimed),
		cmocka_unit_test(resync_wants_registered_methods),
		cmocka_unit_test(content_lengths),
		cmocka_unit_test(chunk_sizes),
		cmocka_unit_test(targets_are_split_and_masked),
		cmocka_unit_test(routes_match_by_segment),
		cmocka_unit_test(text_types),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
