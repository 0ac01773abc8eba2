// SPDX-License-Identifier: Apache-2.0
#include "l7/rules.h"

#include "base/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

// A registry of the test's own: ids 1 (http, TCP), 2 (dns, both), 4 (redis, TCP).
struct redis_options {
	uint64_t size;
	uint64_t wait;
	bool on;
	uint32_t mode;
	const char *text;
	struct tl_text_list names;
	struct tl_uint_list numbers;
};

static const char *const modes[] = {"plain", "digest", NULL};
#define AT(member) .offset = offsetof(struct redis_options, member)
static const struct tl_option redis_rows[] = {
	{.key = "size", .type = TL_OPTION_SIZE, AT(size), .value = "64KiB"},
	{.key = "wait", .type = TL_OPTION_DURATION, AT(wait), .value = "1500ms"},
	{.key = "on", .type = TL_OPTION_BOOL, AT(on), .value = "true"},
	{.key = "mode", .type = TL_OPTION_CHOICE, AT(mode), .value = "digest", .choices = modes},
	{.key = "text", .type = TL_OPTION_TEXT, AT(text), .value = "\"\""},
	{.key = "names", .type = TL_OPTION_TEXT_LIST, AT(names), .value = "[a, bc]"},
	{.key = "numbers", .type = TL_OPTION_UINT_LIST, AT(numbers), .value = "[80, 8080]"},
	TL_OPTION_END,
};
static const uint16_t http_ports[] = {80, 8080, 0};
static const uint16_t dns_ports[] = {53, 0};
static const struct tl_decoder http = {
	.name = "http", .over = TL_OVER_TCP, .ports = http_ports, .timeout_s = 60};
static const struct tl_decoder dns = {
	.name = "dns", .over = TL_OVER_TCP | TL_OVER_UDP, .ports = dns_ports, .timeout_s = 10};
static const struct tl_decoder redis = {.name = "redis",
					.over = TL_OVER_TCP,
					.options = redis_rows,
					.options_size = sizeof(struct redis_options)};
const struct tl_decoder *const tl_decoders[] = {NULL, &http, &dns, NULL, &redis};
const uint16_t tl_decoder_count = TL_COUNT_OF(tl_decoders);
enum { HTTP = 1 << 1, DNS = 1 << 2, REDIS = 1 << 4 };

const struct tl_decoder *tl_decoder_by_name(const char *name)
{
	for (uint16_t id = 0; id < tl_decoder_count; id++)
		if (tl_decoders[id] != NULL && strcmp(tl_decoders[id]->name, name) == 0)
			return tl_decoders[id];
	return NULL;
}

// Rules from the command line's form, as a user would write them.
static struct tl_rules *make(const char *const *texts, bool detect)
{
	struct tl_rule_spec specs[8];
	struct tl_rules *rules = NULL;
	char error[200];
	uint32_t count = 0;

	for (; texts[count] != NULL; count++)
		assert_int_equal(tl_rule_parse(texts[count], &specs[count], error, sizeof(error)), 0);
	struct tl_rules_spec spec = {.rules = specs, .rule_count = count, .detect = detect};
	assert_int_equal(tl_rules_create(&spec, &rules, error, sizeof(error)), 0);
	for (uint32_t i = 0; i < count; i++)
		tl_rule_spec_fini(&specs[i]);
	return rules;
}

#define RULES(...) ((const char *const[]) {__VA_ARGS__ __VA_OPT__(, ) NULL})

static void set_address(uint8_t address[16], const char *text)
{
	memset(address, 0, 16);
	memset(address + 10, 0xff, 2);
	if (inet_pton(AF_INET, text, address + 12) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, address), 1);
}

static struct tl_rules_answer ask(const struct tl_rules *rules, uint8_t l4, const char *client,
				  uint16_t client_port, const char *server, uint16_t server_port,
				  bool is_sure)
{
	struct tl_flow_identity flow = {.l4 = l4,
					.client_port = client_port,
					.server_port = server_port,
					.client_is_sure = is_sure};
	struct tl_rules_answer answer;

	set_address(flow.client_address, client);
	set_address(flow.server_address, server);
	tl_rules_look_up(rules, &flow, &answer);
	return answer;
}

static void without_rules_everything_by_content(void **state)
{
	(void)state;
	struct tl_rules *rules = make(RULES(), false);
	struct tl_rules_answer a = ask(rules, 6, "10.0.0.1", 40000, "10.0.0.2", 80, true);

	assert_int_equal(a.candidates, HTTP | DNS | REDIS);
	assert_int_equal(a.hinted, HTTP);
	assert_int_equal(a.forced, 0);
	a = ask(rules, 17, "10.0.0.1", 40000, "10.0.0.2", 53, true);
	assert_int_equal(a.candidates, DNS);
	assert_int_equal(a.hinted, DNS);
	// Where nobody knows who is the client, the port of either end hints.
	a = ask(rules, 6, "10.0.0.1", 80, "10.0.0.2", 40000, false);
	assert_int_equal(a.hinted, HTTP);
	a = ask(rules, 6, "10.0.0.1", 80, "10.0.0.2", 40000, true);
	assert_int_equal(a.hinted, 0);
	assert_int_equal(ask(rules, 1, "10.0.0.1", 0, "10.0.0.2", 0, true).candidates, 0);
	tl_rules_destroy(rules);
}

static void one_port_may_serve_two_protocols_on_two_hosts(void **state)
{
	(void)state;
	struct tl_rules *rules =
		make(RULES("http;9000;10.1.0.0/16", "redis;9000;10.2.0.0/16,2001:db8::/33"), false);

	assert_int_equal(ask(rules, 6, "1.1.1.1", 4000, "10.1.2.3", 9000, true).forced, 1);
	assert_int_equal(ask(rules, 6, "1.1.1.1", 4000, "10.2.2.3", 9000, true).forced, 4);
	assert_int_equal(ask(rules, 6, "10.2.0.1", 4000, "1.1.1.1", 9000, true).forced, 4);
	assert_int_equal(ask(rules, 6, "::1", 4000, "2001:db8:7fff::1", 9000, true).forced, 4);
	assert_int_equal(ask(rules, 6, "::1", 4000, "2001:db8:8000::1", 9000, true).candidates, 0);
	assert_int_equal(ask(rules, 6, "1.1.1.1", 4000, "10.3.2.3", 9000, true).candidates, 0);
	assert_int_equal(ask(rules, 6, "1.1.1.1", 4000, "10.1.2.3", 9001, true).candidates, 0);
	// Both hosts match: the content decides between the two.
	struct tl_rules_answer a = ask(rules, 6, "10.1.0.1", 4000, "10.2.0.1", 9000, true);
	assert_int_equal(a.candidates, HTTP | REDIS);
	assert_int_equal(a.hinted, HTTP | REDIS);
	assert_int_equal(a.forced, 0);
	tl_rules_destroy(rules);
}

static void rules_restrict_unless_detect(void **state)
{
	(void)state;
	struct tl_rules *rules = make(RULES("http;;10.0.0.9", "dns"), false);

	struct tl_rules_answer a = ask(rules, 6, "10.0.0.9", 4000, "10.0.0.2", 8080, true);
	assert_int_equal(a.candidates, HTTP | DNS);
	assert_int_equal(a.hinted, HTTP);
	assert_int_equal(a.forced, 0); // no rule names a port
	assert_int_equal(ask(rules, 6, "10.0.0.1", 4000, "10.0.0.2", 80, true).candidates, DNS);
	tl_rules_destroy(rules);

	rules = make(RULES("redis;7000"), true);
	a = ask(rules, 6, "10.0.0.1", 4000, "10.0.0.2", 80, true);
	assert_int_equal(a.candidates, HTTP | DNS | REDIS);
	assert_int_equal(a.hinted, HTTP);
	assert_int_equal(ask(rules, 6, "10.0.0.1", 4000, "10.0.0.2", 7000, true).forced, 4);
	// A TCP protocol is no candidate of a UDP flow, whatever a rule says.
	assert_int_equal(ask(rules, 17, "10.0.0.1", 4000, "10.0.0.2", 7000, true).forced, 0);
	tl_rules_destroy(rules);
}

static void options_and_timeouts(void **state)
{
	(void)state;
	uint64_t timeouts[TL_COUNT_OF(tl_decoders)] = {[1] = 5};
	struct tl_rules_spec spec = {.timeouts_ns = timeouts, .redact = true};
	struct tl_rules *rules;
	char error[100];

	assert_int_equal(tl_rules_create(&spec, &rules, error, sizeof(error)), 0);
	assert_int_equal(tl_rules_timeout_ns(rules, 1), 5);
	assert_int_equal(tl_rules_timeout_ns(rules, 2), UINT64_C(10000000000));
	assert_int_equal(tl_rules_timeout_ns(rules, 4), UINT64_C(60000000000));
	assert_null(tl_rules_options(rules, 1));
	const struct redis_options *o = tl_rules_options(rules, 4);
	assert_non_null(o);
	assert_int_equal(o->size, 65536);
	assert_int_equal(o->wait, 1500000000);
	assert_true(o->on);
	assert_int_equal(o->mode, 1);
	assert_string_equal(o->text, "");
	assert_int_equal(o->names.count, 2);
	assert_string_equal(o->names.items[1], "bc");
	assert_int_equal(o->numbers.items[1], 8080);
	assert_true(tl_rules_redact(rules));
	tl_rules_destroy(rules);
}

static void errors_name_the_rule(void **state)
{
	(void)state;
	static const struct {
		const char *name, *protocol, *host;
		uint64_t port;
		const char *want;
	} cases[] = {
		{"web", "http", "10.0.0.0/33", 80,
		 "rule 2 (web): host 10.0.0.0/33: prefix length must be 0..32"},
		{"web", "http", "2001:db8::/129", 80,
		 "rule 2 (web): host 2001:db8::/129: prefix length must be 0..128"},
		{"", "http", "10.0.0.0/", 80,
		 "rule 2: host 10.0.0.0/: prefix length must be 0..32"},
		{"", "http", "example.org", 80,
		 "rule 2: host example.org: neither an IPv4 nor an IPv6 address or CIDR"},
		{"", "http", "10.0.0.1", 70000, "rule 2: port 70000: must be 1..65535"},
		{"", "htpp", "10.0.0.1", 80,
		 "rule 2: unknown protocol 'htpp', did you mean 'http'? built in: dns, http, redis"},
		{"", "smtp-with-a-name-longer-than-any-we-have", "10.0.0.1", 80,
		 "rule 2: unknown protocol 'smtp-with-a-name-longer-than-any-we-have'. built in: dns, "
		 "http, redis"},
	};

	for (size_t i = 0; i < TL_COUNT_OF(cases); i++) {
		const char *host = cases[i].host;
		uint64_t port = cases[i].port;
		struct tl_rule_spec specs[] = {
			{.protocol = "dns"},
			{.name = cases[i].name,
			 .protocol = cases[i].protocol,
			 .ports = {&port, 1},
			 .hosts = {&host, 1}},
		};
		struct tl_rules_spec spec = {.rules = specs, .rule_count = 2};
		struct tl_rules *rules = NULL;
		char error[200];
		assert_int_equal(tl_rules_create(&spec, &rules, error, sizeof(error)), -EINVAL);
		assert_string_equal(error, cases[i].want);
		assert_null(rules);
	}
}

static void command_line_form(void **state)
{
	(void)state;
	static const char *const bad[] = {"", ";80", "http;x", "http;0", "http;65536", "http;-1",
					  "http;80;a;b"};
	struct tl_rule_spec spec;
	char error[200];

	assert_int_equal(tl_rule_parse("http;80,8080;10.0.0.1,::1/128", &spec, error, 200), 0);
	assert_string_equal(spec.protocol, "http");
	assert_int_equal(spec.ports.count, 2);
	assert_int_equal(spec.ports.items[1], 8080);
	assert_int_equal(spec.hosts.count, 2);
	assert_string_equal(spec.hosts.items[1], "::1/128");
	tl_rule_spec_fini(&spec);
	assert_int_equal(tl_rule_parse("http;;", &spec, error, 200), 0);
	assert_int_equal(spec.ports.count + spec.hosts.count, 0);
	tl_rule_spec_fini(&spec);
	for (size_t i = 0; i < TL_COUNT_OF(bad); i++) {
		assert_int_equal(tl_rule_parse(bad[i], &spec, error, 200), -EINVAL);
		assert_true(strlen(error) > 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_everything_by_content),
		cmocka_unit_test(one_port_may_serve_two_protocols_on_two_hosts),
		cmocka_unit_test(rules_restrict_unless_detect),
		cmocka_unit_test(options_and_timeouts),
		cmocka_unit_test(errors_name_the_rule),
		cmocka_unit_test(command_line_form),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
