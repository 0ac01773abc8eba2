// SPDX-License-Identifier: Apache-2.0
// The loader against the registries of tests/support/modules.c.
#include "config/config.h"
#include "config/value.h"
#include "tests/support/modules.h"

#include "base/check.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct tl_config *load(const char *text)
{
	struct tl_config_errors errors;
	struct tl_config *config = NULL;
	int ret = tl_config_parse("f", text, strlen(text), &config, &errors);

	if (ret < 0)
		fail_msg("%s: %s", text, errors.lines[0]);
	return config;
}

static const struct {
	const char *text;
	const char *want; // of the first error
} wrong_files[] = {
	{"captur: {}", "f:1: captur: unknown key, did you mean capture?"},
	{"capture:\n  snapln: 1",
	 "f:2: capture.snapln: unknown key, did you mean snaplen?"},
	{"zebra: 1",
	 "f:1: zebra: unknown key; `tapline config` prints those there are"},
	{"capture.filter: x",
	 "f:1: capture.filter: unknown key; sections are nested, not dotted"},
	{"capture: 5", "f:1: capture: must be a section, not \"5\""},
	{"capture: []", "f:1: capture: must be a section, not a list"},
	{"- 1", "f:1: must be a section, not a list"},
	{"capture:\n  snaplen: many",
	 "f:2: capture.snaplen: must be a whole number, not \"many\""},
	{"capture:\n  snaplen: 10",
	 "f:2: capture.snaplen: 10 is out of range, must be 64 to 262144"},
	{"capture: {snaplen: {}}",
	 "f:1: capture.snaplen: must be a whole number, not a section"},
	{"capture: {buffer: 5 apples}",
	 "f:1: capture.buffer: must be a size such as 4096, 64MiB or 10kB, not \"5 "
	 "apples\""},
	{"capture: {buffer: 1k}",
	 "f:1: capture.buffer: 1k is out of range, must be 64KiB to 4GiB"},
	{"metrics: {idle: 30}", "f:1: metrics.idle: must be a time with its unit, such as "
				"30s, 100ms or 5m, not \"30\""},
	{"metrics: {idle: soon}", "f:1: metrics.idle: must be a time such as 30s, 100ms, "
				  "5m or 1h, not \"soon\""},
	{"metrics: {idle: 1s}",
	 "f:1: metrics.idle: 1s is too small, must be at least 10s"},
	{"capture: {promiscuous: maybe}",
	 "f:1: capture.promiscuous: must be true or false, not \"maybe\""},
	{"capture: {idle: busy}",
	 "f:1: capture.idle: must be adaptive, poll or sleep, not \"busy\""},
	{"log:\n  level: info\n  level: debug",
	 "f:3: log.level: given twice, first in line 2"},
	{"names: {10.0.0.1: a, 10.0.0.1: b}",
	 "f:1: names.10.0.0.1: given twice, first in line 1"},
	{"names: {web: a}", "f:1: names.web: must be an address, address:port or :port, as "
			    "in \"10.0.0.2:80\""},
	{"names: [a]", "f:1: names: must be a section of names and texts, not a list"},
	{"metrics: {le_seconds: [1, 1]}",
	 "f:1: metrics.le_seconds[1]: 1 is not above the number before it, must be "
	 "ascending"},
	{"metrics: {le_seconds: [nan]}",
	 "f:1: metrics.le_seconds[0]: must be a number, not \"nan\""},
	{"capture:\n  ports:\n  - {name: x}",
	 "f:3: capture.ports[0]: needs exactly one of interface, file, device and pci, has "
	 "0"},
	{"capture: {ports: [{file: a, pci: b}]}",
	 "f:1: capture.ports[0]: needs exactly one of interface, file, device and pci, has "
	 "2"},
	{"capture: {ports: eth0}", "f:1: capture.ports: must be a list of entries, each \"- "
				   "key: value\", not \"eth0\""},
	{"capture: {ports: [eth0]}",
	 "f:1: capture.ports[0]: must be a section, not \"eth0\""},
	{"protocols: {rules: [{ports: [80]}]}",
	 "f:1: protocols.rules[0]: protocol is missing"},
	{"protocols: {rules: [{protocol: sampel}]}",
	 "f:1: protocols.rules[0].protocol: unknown protocol \"sampel\", did you mean "
	 "sample?"},
	{"protocols: {rules: [{protocol: kafka}]}",
	 "f:1: protocols.rules[0].protocol: protocol kafka is not built in"},
	{"protocols: {rules: [{protocol: sample, ports: [0]}]}",
	 "f:1: protocols.rules[0].ports[0]: 0 is out of range, must be 1 to 65535"},
	{"protocols: {rules: [{protocol: sample, ports: 80}]}",
	 "f:1: protocols.rules[0].ports: must be a list of numbers such as [80, 8080], not "
	 "\"80\""},
	{"protocols: {rules: [{protocol: sample, hosts: [10.0.0.0/33]}]}",
	 "f:1: protocols.rules[0].hosts[0]: must be an address or a network such as "
	 "10.0.0.0/8, not \"10.0.0.0/33\""},
	{"protocols: {sample: {enabled: false}, rules: [{protocol: sample}]}",
	 "f:1: protocols.rules[0].protocol: protocol sample has a rule, but "
	 "protocols.sample.enabled is false"},
	{"protocols: {sample: {body: 1MiB}}",
	 "f:1: protocols.sample.body: 1MiB is out of range, must be 0 to 64KiB"},
	{"protocols: {redis: {}}",
	 "f:1: protocols.redis: not built in: this tapline was compiled without it"},
	{"collectors: {disabled: [nobody]}",
	 "f:1: collectors.disabled: there is no collector \"nobody\""},
	{"metrics: {labels: [{protocol: sample, labels: [request.verbs]}]}",
	 "f:1: metrics.labels[0].labels[0]: \"request.verbs\" can't be a label of sample, "
	 "did you mean request.verb?"},
	{"metrics: {labels: [{protocol: sample, labels: [server.adress]}]}",
	 "f:1: metrics.labels[0].labels[0]: \"server.adress\" can't be a label of sample, did you "
	 "mean server.address?"},
	{"metrics: {labels: [{protocol: sample, labels: [status, status]}]}",
	 "f:1: metrics.labels[0].labels[1]: status is named twice"},
	{"metrics: {labels: [{protocol: sample, labels: [request.text]}]}",
	 "f:1: metrics.labels[0].labels[0]: \"request.text\" can't be a label of sample, did you "
	 "mean request.verb?"},
	{"metrics: {labels: [{protocol: sample, labels: [zebra]}]}",
	 "f:1: metrics.labels[0].labels[0]: \"zebra\" can't be a label of sample; "
	 "`tapline protocols` shows its fields"},
	{"metrics: {l4_labels: [source.mac]}",
	 "f:1: metrics.l4_labels[0]: must be source.host, source.port, destination.host or "
	 "destination.port, not \"source.mac\""},
	{"server: {address: 9091}", "f:1: server.address: must be address:port such as "
				    "127.0.0.1:9091, [::1]:9091 or :9091, not \"9091\""},
	{"exporters: {many: [{style: long}]}", "f:1: exporters.many[0]: url is missing"},
	{"probe: ${TL_UNSET_X}", "f:1: probe: the environment variable TL_UNSET_X is not "
				 "set; set it or write ${TL_UNSET_X:-default}"},
	{"probe: ${no", "f:1: probe: bad reference, write ${NAME} or ${NAME:-default}, or "
			"$${ for a plain ${"},
	{"probe: &a x",
	 "f:1: anchors (&name) are not supported, write the value out"},
	{"log: *a", "f:1: aliases (*name) are not supported, write the value out"},
	{"probe: !!str x", "f:1: tags (!...) are not supported"},
	{"? [a]\n: b", "f:1: a key must be plain text"},
	{"probe: a\n---\nprobe: b",
	 "f:2: a second document begins; one file is one document"},
	{"probe: \"a\\0b\"", "f:1: a NUL character is not allowed"},
	{"a: [[[[[[[[[[[[[[[[[[[[1", "f:1: nested too deeply"},
	{"log:\n\tlevel: info", "f:2: not valid YAML: found character that cannot start "
				"any token while scanning for the next token"},
	{"log: {level: info", "f:2: not valid YAML: did not find expected ',' or '}' while "
			      "parsing a flow mapping"},
	{"probe: x\nlog: \xff\xfe", "f:2: not valid YAML: invalid leading UTF-8 octet"},
	// packetd's file
	{"sniffer:\n  ifaces: any",
	 "f:2: sniffer.ifaces: packetd's key; here: capture.ports, one entry {interface: "
	 "NAME} each, or any"},
	{"sniffer.noPromisc: true", "f:1: sniffer.noPromisc: packetd's key; here: "
				    "capture.promiscuous, the other way round"},
	{"sniffer:\n  protocols:\n    rules:\n    - name: x\n      host: y",
	 "f:4: sniffer.protocols.rules.name: packetd's key; here: protocols.rules, name"},
};

static void errors_name_line_key_and_remedy(void **state)
{
	(void)state;
	for (size_t i = 0; i < TL_COUNT_OF(wrong_files); i++) {
		struct tl_config_errors errors;
		struct tl_config *config = NULL;
		int ret = tl_config_parse("f", wrong_files[i].text, strlen(wrong_files[i].text), &config,
					  &errors);

		if (ret != -EINVAL)
			fail_msg("accepted: %s", wrong_files[i].text);
		assert_null(config);
		assert_string_equal(errors.lines[0], wrong_files[i].want);
	}
}

static void all_errors_come_at_once(void **state)
{
	(void)state;
	const char *text = "log: {level: x}\ncapture: {snaplen: -1, idle: y}\nbad: 1\n";
	struct tl_config_errors errors;
	struct tl_config *config = NULL;
	char many_errors[1024] = "";

	assert_int_equal(tl_config_parse("f", text, strlen(text), &config, &errors), -EINVAL);
	assert_int_equal(errors.count, 4);
	for (unsigned i = 0; i < TL_CONFIG_ERRORS_MAX + 5; i++) {
		size_t len = strlen(many_errors);
		(void)snprintf(many_errors + len, sizeof(many_errors) - len, "k%u: 1\n", i);
	}
	assert_int_equal(tl_config_parse("f", many_errors, strlen(many_errors), &config, &errors),
			 -EINVAL);
	assert_int_equal(errors.count, TL_CONFIG_ERRORS_MAX);
	assert_int_equal(errors.more, 5);
}

static void values_arrive_in_their_structs(void **state)
{
	(void)state;
	assert_int_equal(setenv("TL_TEST_NAME", "from env", 1), 0);
	struct tl_config *config = load(
		"probe: \"<${TL_TEST_NAME}> ${TL_TEST_UNSET:-none} $${x} $5\"\n"
		"capture:\n"
		"  snaplen: 65535\n"
		"  buffer: 1.5MiB\n"
		"  idle: sleep\n"
		"  ports:\n"
		"  - {interface: eth1, name: uplink}\n"
		"  - file: \"-\"\n"
		"protocols:\n"
		"  rules:\n"
		"  - {name: web, protocol: sample, ports: [80, 8080], hosts: [10.0.0.0/8, '::1']}\n"
		"  sample: {timeout: 1m30s, body: 10kB, headers: []}\n"
		"exporters:\n"
		"  many:\n"
		"  - {url: a, headers: {x: y}}\n"
		"  - {url: b, enabled: false, style: long}\n"
		"names: {\"10.0.0.1:80\": web, \"[::1]:53\": dns, \":5432\": db}\n"
		"log:\n");
	const struct tl_capture_port *ports =
		(const struct tl_capture_port *)config->capture.ports.items;
	const struct tl_rule_spec *rules =
		(const struct tl_rule_spec *)config->protocols.rules.items;
	const struct sample_options *options =
		(const struct sample_options *)config->protocol[2].options;

	assert_string_equal(config->probe, "<from env> none ${x} $5");
	assert_int_equal(config->capture.snaplen, 65535);
	assert_int_equal(config->capture.buffer_bytes, 3 << 19);
	assert_int_equal(config->capture.idle, TL_CAPTURE_SLEEP);
	assert_int_equal(config->capture.ports.count, 2);
	assert_string_equal(ports[0].name, "uplink");
	assert_string_equal(ports[0].file, "");
	assert_string_equal(ports[1].file, "-");
	assert_int_equal(rules[0].ports.count, 2);
	assert_int_equal(rules[0].ports.items[1], 8080);
	assert_string_equal(rules[0].hosts.items[1], "::1");
	assert_int_equal(config->protocol[2].timeout_ns, 90000000000);
	assert_int_equal(options->body_bytes_max, 10000);
	assert_int_equal(options->headers.count, 0);
	assert_true(options->is_strict);
	assert_null(config->protocol[1].decoder);
	assert_int_equal(config->exporter_count, 3);
	assert_false(config->exporters[0].is_enabled);
	assert_true(config->exporters[1].is_enabled);
	assert_false(config->exporters[2].is_enabled);
	const struct sink_options *sink =
		(const struct sink_options *)config->exporters[1].options;
	assert_string_equal(sink->url, "a");
	assert_string_equal(sink->headers.items[0].value, "y");
	assert_int_equal(config->names.count, 3);
	assert_int_equal(tl_config_line(config, "capture.buffer"), 4);
	assert_int_equal(tl_config_line(config, "capture.workers"), 0);
	tl_config_free(config);
}

static void count_change(void *arg, const char *key, const char *before, const char *after,
			 bool is_hot)
{
	(void)is_hot;
	print_message("%s: %s -> %s\n", key, before, after);
	++*(int *)arg;
}

static void the_reference_is_the_default(void **state)
{
	(void)state;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct tl_config *defaults = tl_config_default();
	int changes = 0;

	assert_int_equal(tl_config_print_reference(out), 0);
	(void)fclose(out);
	struct tl_config *config = load(text);
	assert_int_equal(tl_config_diff(defaults, config, count_change, &changes), 0);
	assert_int_equal(changes, 0);
	assert_non_null(strstr(text, "  snaplen: 262144\n"));
	assert_non_null(strstr(text, "log:\n"));
	assert_int_equal(defaults->limits.flow.gap_seen_ns, 20000000);
	assert_int_equal(defaults->limits.l7.exchanges_per_connection_max, TL_PENDING_MAX);
	assert_true(defaults->metrics.l4_enabled);
	assert_int_equal(defaults->metrics.le_bytes.count, 15);
	assert_int_equal(defaults->protocol[2].timeout_ns, 30000000000);
	assert_string_equal(defaults->kubernetes.token_file,
			    "/var/run/secrets/kubernetes.io/serviceaccount/token");
	assert_string_equal(defaults->kubernetes.authority,
			    "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
	tl_config_free(defaults);
	tl_config_free(config);
	free(text);
}

static void the_effective_form_loads_back_and_hides_secrets(void **state)
{
	(void)state;
	struct tl_config *config = load("probe: \"a\\\"b\\\\c $${d}\"\n"
					"exporters:\n"
					"  single:\n"
					"    url: https://me:hidden1@host/x\n"
					"    password: hidden2\n"
					"    headers: {Authorization: Bearer hidden3, X-Plain: seen}\n"
					"  many:\n"
					"  - {url: a}\n"
					"  - {url: b, style: long}\n"
					"capture: {ports: [{interface: eth0}]}\n"
					"names: {\":80\": \"yes\"}\n");
	char *text = NULL;
	size_t len = 0;
	int changes = 0;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(tl_config_print_effective(config, out), 0);
	(void)fclose(out);
	assert_null(strstr(text, "hidden"));
	assert_non_null(strstr(text, "seen"));
	assert_non_null(strstr(text, "https://me:******@host/x"));
	struct tl_config *again = load(text);
	assert_string_equal(again->probe, "a\"b\\c ${d}");
	// Only what was masked differs: url, password, headers.
	assert_int_equal(tl_config_diff(config, again, count_change, &changes), 3);
	tl_config_free(again);
	tl_config_free(config);
	free(text);
}

struct change {
	char text[512];
};

static void note_change(void *arg, const char *key, const char *before, const char *after,
			bool is_hot)
{
	struct change *c = (struct change *)arg;
	size_t len = strlen(c->text);

	(void)snprintf(c->text + len, sizeof(c->text) - len, "%s %s -> %s%s;", key, before, after,
		       is_hot ? "" : " restart");
}

static void differences_say_what_a_reload_reaches(void **state)
{
	(void)state;
	struct tl_config *before = load("exporters: {single: {url: a, password: x}}");
	struct tl_config *after = load("log: {level: debug}\ncapture: {workers: 2}\n"
				       "protocols: {rules: [{protocol: sample, ports: [1]}]}\n"
				       "exporters: {single: {url: a, password: y}}\n");
	struct change c = {""};

	assert_int_equal(tl_config_diff(before, after, note_change, &c), 4);
	assert_string_equal(
		c.text, "capture.workers 0 -> 2 restart;"
			"protocols.rules [] -> [{name: \"\", protocol: sample, ports: [1], hosts: "
			"[]}];"
			"exporters.single.password \"******\" -> \"******\" restart;"
			"log.level info -> debug;");
	tl_config_free(before);
	tl_config_free(after);
}

static void disabled_protocols_become_rules_for_the_rest(void **state)
{
	(void)state;
	struct tl_config_rules rules;
	struct tl_config *config = tl_config_default();

	assert_int_equal(tl_config_rules_init(config, &rules), 0);
	assert_int_equal(rules.spec.rule_count, 0);
	assert_true(rules.spec.redact);
	assert_int_equal(rules.spec.timeouts_ns[2], 30000000000);
	assert_ptr_equal(rules.spec.options[2], config->protocol[2].options);
	tl_config_rules_fini(&rules);
	tl_config_free(config);
}

static void sizes_and_times(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t bytes; // UINT64_MAX: refused
	} sizes[] = {
		{"0", 0},
		{"4096", 4096},
		{"10kB", 10000},
		{"10KB", 10000},
		{"64MiB", 64u << 20},
		{"64 MiB", 64u << 20},
		{"1.5GB", 1500000000},
		{"0.5Ki", 512},
		{"2T", 2000000000000},
		{"", UINT64_MAX},
		{"-1", UINT64_MAX},
		{"1.", UINT64_MAX},
		{".5", UINT64_MAX},
		{"MiB", UINT64_MAX},
		{"1XB", UINT64_MAX},
		{"1 MiB ", UINT64_MAX},
		{"99999999999999999999", UINT64_MAX},
		{"18446744073709551615KiB", UINT64_MAX},
	};
	static const struct {
		const char *text;
		uint64_t ns;
	} times[] = {
		{"0", 0},
		{"30s", 30000000000},
		{"100ms", 100000000},
		{"1.5s", 1500000000},
		{"1h30m", 5400000000000},
		{"7d", 604800000000000},
		{"5us", 5000},
		{"10ns", 10},
		{"", UINT64_MAX},
		{"30", UINT64_MAX},
		{"s", UINT64_MAX},
		{"-1s", UINT64_MAX},
		{"1x", UINT64_MAX},
		{"300000000000d", UINT64_MAX},
	};

	for (size_t i = 0; i < TL_COUNT_OF(sizes); i++) {
		uint64_t got = UINT64_MAX;
		assert_int_equal(tl_parse_size(sizes[i].text, &got), sizes[i].bytes != UINT64_MAX);
		assert_int_equal(got, sizes[i].bytes);
	}
	for (size_t i = 0; i < TL_COUNT_OF(times); i++) {
		uint64_t got = UINT64_MAX;
		assert_int_equal(tl_parse_duration(times[i].text, &got),
				 times[i].ns != UINT64_MAX);
		assert_int_equal(got, times[i].ns);
	}
}

static void printed_quantities_read_back(void **state)
{
	(void)state;
	static const uint64_t numbers[] = {0,	    1,	     1023,	1024,	    1500,
					   1 << 20, 3 << 19, 1000000000, 90000000000, UINT64_MAX};
	char text[TL_VALUE_TEXT_BYTES];
	uint64_t got;

	for (size_t i = 0; i < TL_COUNT_OF(numbers); i++) {
		assert_true(tl_parse_size(tl_format_size(numbers[i], text), &got));
		assert_int_equal(got, numbers[i]);
		assert_true(tl_parse_duration(tl_format_duration(numbers[i], text), &got));
		assert_int_equal(got, numbers[i]);
	}
	assert_string_equal(tl_format_duration(5400000000000, text), "90m");
}

static void unreadable_files_say_why(void **state)
{
	(void)state;
	struct tl_config_errors errors;
	struct tl_config *config = NULL;

	assert_int_equal(tl_config_load("/nonexistent/x.yaml", &config, &errors), -ENOENT);
	assert_string_equal(errors.lines[0],
			    "/nonexistent/x.yaml: can't read it: No such file or directory");
	assert_int_equal(tl_config_load("/", &config, &errors), -EISDIR);
	assert_null(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_name_line_key_and_remedy),
		cmocka_unit_test(all_errors_come_at_once),
		cmocka_unit_test(values_arrive_in_their_structs),
		cmocka_unit_test(the_reference_is_the_default),
		cmocka_unit_test(the_effective_form_loads_back_and_hides_secrets),
		cmocka_unit_test(differences_say_what_a_reload_reaches),
		cmocka_unit_test(disabled_protocols_become_rules_for_the_rest),
		cmocka_unit_test(sizes_and_times),
		cmocka_unit_test(printed_quantities_read_back),
		cmocka_unit_test(unreadable_files_say_why),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
