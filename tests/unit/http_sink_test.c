// SPDX-License-Identifier: Apache-2.0
// The parts of the sinks that need no network: judging answers, options, the times of rounds. What
// needs one is in tests/peers.
#include "exporters/http_sink/http_sink.h"
#include "exporters/remote_write/series.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define NOW (UINT64_C(784111777) * SECOND) // Sun, 06 Nov 1994 08:49:37 GMT

static uint64_t after(const char *value)
{
	return tl_http_retry_after(tl_bytes_of(value), NOW);
}

static void test_retry_after(void **state)
{
	(void)state;
	assert_int_equal(after("120"), 120 * SECOND);
	assert_int_equal(after("  7 "), 7 * SECOND);
	assert_int_equal(after("0"), 0);
	assert_int_equal(after("901"), TL_HTTP_RETRY_AFTER_NS_MAX);
	assert_int_equal(after("99999999999999999999999999"), TL_HTTP_RETRY_AFTER_NS_MAX);
	assert_int_equal(after("Sun, 06 Nov 1994 08:49:57 GMT"), 20 * SECOND);
	assert_int_equal(after("Sun, 06 Nov 1994 08:49:37 GMT"), 0);
	assert_int_equal(after("Sun, 06 Nov 1994 08:40:00 GMT"), 0);
	assert_int_equal(after("Tue, 29 Feb 2000 00:00:00 GMT"), TL_HTTP_RETRY_AFTER_NS_MAX);
	static const char *const wrong[] = {
		"", "-1", "1.5", "soon", "1 2", "Sun, 06 Nov 1994", "Sun, 06 Foo 1994 08:49:57 GMT",
		"Sun, 06 Nov 1994 25:49:57 GMT", "Sun, 06 Nov 1994 08:49:57 CET",
		"Sunday, 06-Nov-94 08:49:37 GMT",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(after(wrong[i]), 0);
	// Leap years: a date just ahead of a time on the other side of 29 February.
	assert_int_equal(tl_http_retry_after(tl_bytes_of("Wed, 01 Mar 2000 00:00:05 GMT"),
					     UINT64_C(951868800) * SECOND), 5 * SECOND);
}

static void test_rules(void **state)
{
	static const struct tl_http_rule rules[] = {
		{400, 400, TL_HTTP_SPLIT_ONCE},
		{500, 500, TL_HTTP_DROP},
		{500, 599, TL_HTTP_RETRY},
		{0},
	};

	(void)state;
	assert_int_equal(tl_http_judge(rules, 400), TL_HTTP_SPLIT_ONCE);
	assert_int_equal(tl_http_judge(rules, 500), TL_HTTP_DROP); // the first row counts
	assert_int_equal(tl_http_judge(rules, 503), TL_HTTP_RETRY);
	assert_int_equal(tl_http_judge(rules, 418), TL_HTTP_DROP);
	assert_int_equal(tl_http_judge(rules, 302), TL_HTTP_RETRY);
	assert_int_equal(tl_http_judge(NULL, 404), TL_HTTP_DROP);
}

static struct tl_http_options good(void)
{
	return (struct tl_http_options) {
		.url = "https://host:8428/api?x=1", .name = "default",
		.basic_auth = {.username = "", .password = "", .password_file = ""},
		.bearer_token = "", .bearer_token_file = "",
		.tls = {.ca_file = "", .cert_file = "", .key_file = ""},
		.backoff = {.min_ns = 1, .max_ns = 2},
	};
}

static void refuse(const struct tl_http_options *options, const char *word)
{
	char error[200] = "";

	assert_int_equal(tl_http_check(options, true, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, word));
}

static void test_options(void **state)
{
	struct tl_http_options o = good();
	struct tl_text_pair header = {"X-Scope-OrgID", "a"};
	char error[200];

	(void)state;
	assert_int_equal(tl_http_check(&o, true, error, sizeof(error)), 0);
	static const char *const urls[] = {"", "host:80", "ftp://host/", "http://", "http:///path",
					   "http://user:password@host/", "http://host/a b"};
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		o.url = urls[i];
		refuse(&o, "url");
	}
	o = good();
	o.url = "";
	assert_int_equal(tl_http_check(&o, false, error, sizeof(error)), 0);
	o = good();
	o.name = "../etc";
	refuse(&o, "name");
	o = good();
	o.headers = (struct tl_text_map) {&header, 1};
	assert_int_equal(tl_http_check(&o, true, error, sizeof(error)), 0);
	header.value = "a\r\nX-Injected: b";
	refuse(&o, "one line");
	header = (struct tl_text_pair) {"content-encoding", "br"};
	refuse(&o, "set by the protocol");
	header = (struct tl_text_pair) {"no name", "a"};
	refuse(&o, "header name");
	o = good();
	o.bearer_token = "a";
	o.bearer_token_file = "b";
	refuse(&o, "only one");
	o = good();
	o.tls.cert_file = "a";
	refuse(&o, "go together");
	o = good();
	o.backoff.max_ns = 0;
	refuse(&o, "backoff");
	o = good();
	o.timeout_ns = 1000;
	refuse(&o, "timeout");
}

static void test_public_url(void **state)
{
	char text[80];

	(void)state;
	tl_http_public_url("https://host:1/a/b?token=secret#x", text, sizeof(text));
	assert_string_equal(text, "https://host:1/a/b");
	tl_http_public_url("http://user:secret@host/a@b", text, sizeof(text));
	assert_string_equal(text, "http://host/a@b");
	tl_http_public_url("http://host", text, sizeof(text));
	assert_string_equal(text, "http://host");
}

static void test_rounds(void **state)
{
	struct tl_series_times times = {0};

	(void)state;
	assert_true(tl_series_next_round(&times, 100000, 15000, 0));
	assert_int_equal(times.before_ms, 85000);
	assert_int_equal(times.now_ms, 100000);
	assert_true(tl_series_next_round(&times, 115000, 15000, 100000));
	assert_int_equal(times.before_ms, 100000);
	// An hour back: held, until the clock has caught up.
	for (int i = 1; i < 5; i++) {
		int64_t last = times.now_ms;
		assert_false(tl_series_next_round(&times, 110000 + i, 15000, last));
		assert_int_equal(times.before_ms, last);
		assert_int_equal(times.now_ms, last + 2);
	}
	assert_true(tl_series_next_round(&times, 130000, 15000, 0));
	assert_int_equal(times.now_ms, 130000);
	// A new run: everything lies behind what the one before has sent, wherever the clock stands.
	times = (struct tl_series_times) {0};
	assert_true(tl_series_next_round(&times, 131000, 15000, 130000));
	assert_int_equal(times.before_ms, 130001);
	times = (struct tl_series_times) {0};
	assert_false(tl_series_next_round(&times, 5000, 15000, 130000));
	assert_int_equal(times.before_ms, 130001);
	assert_int_equal(times.now_ms, 130003);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retry_after), cmocka_unit_test(test_rules),
		cmocka_unit_test(test_options),     cmocka_unit_test(test_public_url),
		cmocka_unit_test(test_rounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
