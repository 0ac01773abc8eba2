// SPDX-License-Identifier: Apache-2.0
#include "l7/rules.h"

#include "base/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <pcap/pcap.h>

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
	assert_null(tl_rules_filter(rules));
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
	assert_null(tl_rules_filter(rules)); // `dns` alone may be anywhere
	tl_rules_destroy(rules);

	rules = make(RULES("redis;7000"), true);
	a = ask(rules, 6, "10.0.0.1", 4000, "10.0.0.2", 80, true);
	assert_int_equal(a.candidates, HTTP | DNS | REDIS);
	assert_int_equal(a.hinted, HTTP);
	assert_int_equal(ask(rules, 6, "10.0.0.1", 4000, "10.0.0.2", 7000, true).forced, 4);
	// A TCP protocol is no candidate of a UDP flow, whatever a rule says.
	assert_int_equal(ask(rules, 17, "10.0.0.1", 4000, "10.0.0.2", 7000, true).forced, 0);
	assert_null(tl_rules_filter(rules));
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

// ---- The filter, compiled by libpcap and run on frames ----------------------------------------

static const int link_types[] = {DLT_EN10MB, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_RAW, DLT_NULL};

static void filter_compiles_for_every_link_type(void **state)
{
	(void)state;
	struct tl_rules *rules = make(RULES("http;80,8080;10.1.2.3/16,2001:db8::1", "dns;53"), false);
	char *text = tl_rules_filter(rules);

	assert_non_null(text);
	for (size_t i = 0; i < TL_COUNT_OF(link_types); i++) {
		pcap_t *pcap = pcap_open_dead(link_types[i], 65535);
		struct bpf_program program;
		if (pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN) != 0)
			fail_msg("link type %d: %s: %s", link_types[i], pcap_geterr(pcap), text);
		pcap_freecode(&program);
		pcap_close(pcap);
	}
	free(text);
	tl_rules_destroy(rules);
}

static void too_many_terms_mean_no_filter(void **state)
{
	(void)state;
	uint64_t ports[200];
	for (uint32_t i = 0; i < 200; i++)
		ports[i] = 1000 + i;
	struct tl_rule_spec rule = {.protocol = "http", .ports = {ports, 128}};
	struct tl_rules_spec spec = {.rules = &rule, .rule_count = 1};
	struct tl_rules *rules;
	char error[100];
	struct bpf_program program;

	// The longest filter that is made stays within what Linux takes.
	assert_int_equal(tl_rules_create(&spec, &rules, error, sizeof(error)), 0);
	char *text = tl_rules_filter(rules);
	assert_non_null(text);
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65535);
	assert_int_equal(pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN), 0);
	assert_true(program.bf_len < 4096);
	pcap_freecode(&program);
	pcap_close(pcap);
	free(text);
	tl_rules_destroy(rules);

	rule.ports.count = 129;
	assert_int_equal(tl_rules_create(&spec, &rules, error, sizeof(error)), 0);
	assert_null(tl_rules_filter(rules));
	tl_rules_destroy(rules);
}

// Ethernet frame by hand: `tags` VLAN tags, IPv4 with `protocol` and fragment field, two ports.
static uint32_t build_ipv4(uint8_t *out, uint32_t tags, uint8_t protocol, uint16_t fragment,
			   const char *destination, uint16_t port)
{
	uint32_t at = 12;

	memset(out, 0, 128);
	for (uint32_t i = 0; i < tags; i++, at += 4)
		out[at] = 0x81;
	out[at] = 0x08;
	uint8_t *ip = out + at + 2;
	ip[0] = 0x45;
	ip[3] = 40;
	ip[6] = (uint8_t)(fragment >> 8);
	ip[7] = (uint8_t)fragment;
	ip[9] = protocol;
	ip[12] = 192;
	assert_int_equal(inet_pton(AF_INET, destination, ip + 16), 1);
	ip[20] = 0x9c;
	ip[22] = (uint8_t)(port >> 8);
	ip[23] = (uint8_t)port;
	return at + 2 + 40;
}

static uint32_t build_ipv6(uint8_t *out, uint8_t next, uint16_t port)
{
	memset(out, 0, 128);
	out[12] = 0x86;
	out[13] = 0xdd;
	uint8_t *ip = out + 14;
	ip[0] = 0x60;
	ip[5] = 20;
	ip[6] = next;
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", ip + 24), 1);
	ip[42] = (uint8_t)(port >> 8);
	ip[43] = (uint8_t)port;
	return 14 + 40 + 20;
}

static bool passes(const struct bpf_program *program, const uint8_t *frame, uint32_t len)
{
	struct pcap_pkthdr header = {.caplen = len, .len = len};
	return pcap_offline_filter(program, &header, frame) != 0;
}

static void filter_passes_what_decodes(void **state)
{
	(void)state;
	struct tl_rules *rules = make(RULES("http;80;10.1.0.0/16,2001:db8::1", "dns;53"), false);
	char *text = tl_rules_filter(rules);
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65535);
	struct bpf_program program;
	uint8_t f[128];

	assert_int_equal(pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN), 0);
	assert_true(passes(&program, f, build_ipv4(f, 0, 6, 0, "10.1.9.9", 80)));
	assert_false(passes(&program, f, build_ipv4(f, 0, 6, 0, "10.1.9.9", 81)));
	assert_false(passes(&program, f, build_ipv4(f, 0, 6, 0, "10.2.9.9", 80)));
	assert_false(passes(&program, f, build_ipv4(f, 0, 17, 0, "10.1.9.9", 80)));
	assert_true(passes(&program, f, build_ipv4(f, 0, 17, 0, "10.2.9.9", 53)));
	for (uint32_t tags = 1; tags <= 5; tags++)
		assert_true(passes(&program, f, build_ipv4(f, tags, 6, 0, "10.1.9.9", 80)));
	assert_true(passes(&program, f, build_ipv4(f, 0, 6, 0x2000, "10.1.9.9", 80)));
	assert_true(passes(&program, f, build_ipv4(f, 0, 17, 0x00b9, "10.2.9.9", 0)));
	assert_true(passes(&program, f, build_ipv4(f, 0, 47, 0, "10.2.9.9", 0)));
	assert_true(passes(&program, f, build_ipv4(f, 0, 4, 0, "10.2.9.9", 0)));
	assert_true(passes(&program, f, build_ipv4(f, 0, 41, 0, "10.2.9.9", 0)));
	assert_true(passes(&program, f, build_ipv4(f, 0, 17, 0, "10.2.9.9", 4789)));
	assert_true(passes(&program, f, build_ipv4(f, 0, 17, 0, "10.2.9.9", 8472)));
	assert_false(passes(&program, f, build_ipv4(f, 0, 1, 0, "10.1.9.9", 80)));
	assert_true(passes(&program, f, build_ipv6(f, 6, 80)));
	assert_false(passes(&program, f, build_ipv6(f, 6, 81)));
	assert_true(passes(&program, f, build_ipv6(f, 44, 0)));
	assert_true(passes(&program, f, build_ipv6(f, 0, 0)));
	assert_true(passes(&program, f, build_ipv6(f, 47, 0)));
	pcap_freecode(&program);
	pcap_close(pcap);
	free(text);
	tl_rules_destroy(rules);
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
		cmocka_unit_test(filter_compiles_for_every_link_type),
		cmocka_unit_test(too_many_terms_mean_no_filter),
		cmocka_unit_test(filter_passes_what_decodes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
