// SPDX-License-Identifier: Apache-2.0
// Names of servers: configured ones, those of a file, and those heard in DNS answers.
#include "base/check.h"
#include "control/heard.h"
#include "control/services.h"
#include "tests/support/address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000000)
#define NOW (UINT64_C(1700000000) * SECOND)

// ---- configured ------------------------------------------------------------------------------

static const char *write_file(const char *text)
{
	static char path[] = "/tmp/tl-names-XXXXXX";
	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(close(fd), 0);
	return path;
}

static void the_nearest_name_counts(void **state)
{
	(void)state;
	struct tl_text_pair pairs[] = {{"10.0.0.2:80", "web"}, {"10.0.0.2", "box"}, {":5432", "db"},
				       {"2001:db8::1", "six"}, {"[2001:db8::2]:53", "dns"}};
	const struct tl_text_map names = {pairs, TL_COUNT_OF(pairs)};
	const char *path = write_file("# ours\n10.0.0.2:80 other\n\n  10.0.0.3 \t three # a comment\r\n"
				      ":53 resolver\n10.0.0.3:81 three-81");
	struct tl_services *s;
	char error[200];

	assert_int_equal(tl_services_create(&names, path, &s, error, sizeof(error)), 0);
	assert_string_equal(tl_services_name(s, ip("10.0.0.2"), 80), "web"); // not the file's
	assert_string_equal(tl_services_name(s, ip("10.0.0.2"), 81), "box");
	assert_string_equal(tl_services_name(s, ip("10.0.0.2"), 5432), "box");
	assert_string_equal(tl_services_name(s, ip("10.0.0.9"), 5432), "db");
	assert_string_equal(tl_services_name(s, ip("2001:db8::1"), 1), "six");
	assert_string_equal(tl_services_name(s, ip("2001:db8::2"), 53), "dns");
	assert_string_equal(tl_services_name(s, ip("10.0.0.3"), 80), "three");
	assert_string_equal(tl_services_name(s, ip("10.0.0.3"), 81), "three-81");
	assert_string_equal(tl_services_name(s, ip("10.0.0.8"), 53), "resolver");
	assert_null(tl_services_name(s, ip("10.0.0.8"), 54));
	tl_services_destroy(s);
	(void)unlink(path);
	assert_int_equal(tl_services_create(NULL, "", &s, error, sizeof(error)), 0);
	assert_null(tl_services_name(s, ip("10.0.0.2"), 80));
	tl_services_destroy(s);
}

static void bad_files_name_the_line(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{"10.0.0.2 a\n10.0.0.3\n", ":2: not two words"},
		{"10.0.0.2 a b\n", ":1: not two words"},
		{"\n\nhost a\n", ":3: not an address"},
		{"10.0.0.2:99999 a\n", ":1: not an address"},
		{"10.0.0.0/8 a\n", ":1: not an address"},
	};
	struct tl_services *s;
	char error[300];

	for (size_t i = 0; i < TL_COUNT_OF(rows); i++) {
		const char *path = write_file(rows[i][0]);
		assert_int_equal(tl_services_create(NULL, path, &s, error, sizeof(error)), -EINVAL);
		if (strstr(error, rows[i][1]) == NULL)
			fail_msg("'%s' instead of '%s'", error, rows[i][1]);
		(void)unlink(path);
	}
	assert_int_equal(tl_services_create(NULL, "/nonexistent/x", &s, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/x"));
}

// ---- heard -----------------------------------------------------------------------------------

struct answer {
	struct tl_roundtrip head;
	uint8_t tail[2048];
};

static uint8_t field(uint8_t parent, const char *name)
{
	const struct tl_decoder *dns = tl_decoder_by_name("dns");

	for (uint8_t id = 0; id < dns->field_count; id++)
		if (dns->fields[id].parent == parent && strcmp(dns->fields[id].name, name) == 0)
			return id;
	fail_msg("DNS records have no field %s", name);
	return 0;
}

static void add(struct answer *a, uint32_t side, uint8_t id, const void *value, size_t len)
{
	struct tl_value_head head = {.field = id, .len = (uint16_t)len, .full_len = (uint16_t)len};
	struct tl_half *half = side == 0 ? &a->head.request : &a->head.response;
	uint8_t *to = a->tail + a->head.request.tail_len + a->head.response.tail_len;

	memcpy(to, &head, sizeof(head));
	memcpy(to + sizeof(head), value, len);
	half->tail_len += (uint32_t)(sizeof(head) + ((len + 3) & ~(size_t)3));
}

static uint16_t dns_id(void)
{
	for (uint16_t id = 1; id < tl_decoder_count; id++)
		if (tl_decoders[id] != NULL && strcmp(tl_decoders[id]->name, "dns") == 0)
			return id;
	fail_msg("no DNS here");
	return 0;
}

static void ask(struct answer *a, const char *client, const char *name, uint64_t time_ns)
{
	memset(a, 0, sizeof(*a));
	a->head = (struct tl_roundtrip) {
		.size = sizeof(*a), .protocol = dns_id(), .status = TL_STATUS_OK, .ip_version = 4,
		.request = {.first_ns = time_ns, .seen = 1},
		.response = {.first_ns = time_ns, .seen = 1}};
	memcpy(a->head.client_address, ip(client), 16);
	add(a, 0, field(TL_FIELD_TOP, "question"), name, strlen(name));
}

static void tell(struct answer *a, const char *type, uint64_t ttl, const char *data)
{
	uint8_t answers = field(TL_FIELD_TOP, "answers");

	add(a, 1, answers, "", 0);
	add(a, 1, field(answers, "type"), type, strlen(type));
	add(a, 1, field(answers, "ttl"), &ttl, sizeof(ttl));
	add(a, 1, field(answers, "data"), data, strlen(data));
}

static const char *name_of(const struct tl_heard *h, const char *client, const char *server,
			   uint64_t time_ns)
{
	return tl_heard_name(h, ip(client), ip(server), time_ns);
}

static void who_asked_knows_the_name(void **state)
{
	(void)state;
	struct tl_heard *h = tl_heard_create();
	static struct answer a;

	ask(&a, "10.0.0.1", "www.example", NOW);
	tell(&a, "CNAME", 60, "edge.cdn.example");
	tell(&a, "A", 600, "192.0.2.1");
	tell(&a, "AAAA", 60, "2001:db8::1");
	tl_heard_record(h, &a.head);
	assert_string_equal(name_of(h, "10.0.0.1", "192.0.2.1", NOW), "www.example");
	assert_string_equal(name_of(h, "10.0.0.1", "2001:db8::1", NOW), "www.example");
	assert_string_equal(name_of(h, "10.0.0.7", "192.0.2.1", NOW), "www.example");
	assert_null(name_of(h, "10.0.0.1", "192.0.2.2", NOW));
	// Five minutes at least, longer if the answer says so.
	assert_non_null(name_of(h, "10.0.0.1", "2001:db8::1", NOW + 299 * SECOND));
	assert_null(name_of(h, "10.0.0.1", "2001:db8::1", NOW + 301 * SECOND));
	assert_non_null(name_of(h, "10.0.0.1", "192.0.2.1", NOW + 599 * SECOND));
	assert_null(name_of(h, "10.0.0.1", "192.0.2.1", NOW + 601 * SECOND));

	// Two names for one address: each client has its own, nobody else has either.
	ask(&a, "10.0.0.2", "api.example", NOW + SECOND);
	tell(&a, "A", 600, "192.0.2.1");
	tl_heard_record(h, &a.head);
	assert_string_equal(name_of(h, "10.0.0.1", "192.0.2.1", NOW + SECOND), "www.example");
	assert_string_equal(name_of(h, "10.0.0.2", "192.0.2.1", NOW + SECOND), "api.example");
	assert_null(name_of(h, "10.0.0.7", "192.0.2.1", NOW + SECOND));
	tl_heard_destroy(h);
}

static void what_is_no_answer_is_not_believed(void **state)
{
	(void)state;
	struct tl_heard *h = tl_heard_create();
	static struct answer a;

	ask(&a, "10.0.0.1", "nx.example", NOW);
	a.head.status = TL_STATUS_CLIENT_ERROR;
	tell(&a, "A", 600, "192.0.2.1");
	tl_heard_record(h, &a.head);
	ask(&a, "10.0.0.1", "txt.example", NOW);
	tell(&a, "TXT", 600, "192.0.2.1");
	tl_heard_record(h, &a.head);
	ask(&a, "10.0.0.1", "a\x1b[2J.example", NOW);
	tell(&a, "A", 600, "192.0.2.1");
	tl_heard_record(h, &a.head);
	ask(&a, "10.0.0.1", "odd.example", NOW);
	tell(&a, "A", 600, "not an address");
	tl_heard_record(h, &a.head);
	ask(&a, "10.0.0.1", "other.example", NOW);
	tell(&a, "A", 600, "192.0.2.1");
	a.head.protocol = (uint16_t)(dns_id() == 1 ? 2 : 1);
	tl_heard_record(h, &a.head);
	assert_null(name_of(h, "10.0.0.1", "192.0.2.1", NOW));
	tl_heard_destroy(h);
}

// The name that servers are asked for: "" for none, with a mark in front of those that TLS told.
static const char *asked_of(const struct tl_heard *h, const char *server, uint16_t port,
			    uint64_t time_ns)
{
	static char text[300];
	enum tl_heard_asked asked;
	const char *name = tl_heard_asked_name(h, ip(server), port, time_ns, &asked);

	(void)snprintf(text, sizeof(text), "%s%s", name == NULL || asked == TL_HEARD_HOST ? "" : "tls ",
		       name == NULL ? "" : name);
	return text;
}

static void what_is_asked_of_a_server_names_it(void **state)
{
	(void)state;
	struct tl_heard *h = tl_heard_create();
	char long_name[300];

	tl_heard_ask(h, TL_HEARD_SNI, ip("192.0.2.1"), 443, "Shop.Example", NOW);
	tl_heard_ask(h, TL_HEARD_HOST, ip("192.0.2.1"), 80, "www.example", NOW);
	assert_string_equal(asked_of(h, "192.0.2.1", 443, NOW), "tls shop.example");
	assert_string_equal(asked_of(h, "192.0.2.1", 80, NOW), "www.example");
	assert_string_equal(asked_of(h, "192.0.2.1", 5432, NOW), "");
	assert_string_equal(asked_of(h, "192.0.2.2", 443, NOW), "");
	// Neither says anything of the answers of DNS.
	assert_null(name_of(h, "10.0.0.1", "192.0.2.1", NOW));
	assert_string_equal(asked_of(h, "192.0.2.1", 443, NOW + 299 * SECOND), "tls shop.example");
	assert_string_equal(asked_of(h, "192.0.2.1", 443, NOW + 301 * SECOND), "");
	// Asking again keeps it.
	tl_heard_ask(h, TL_HEARD_SNI, ip("192.0.2.1"), 443, "shop.example", NOW + 200 * SECOND);
	assert_string_equal(asked_of(h, "192.0.2.1", 443, NOW + 301 * SECOND), "tls shop.example");

	// One of several names is none, until all but one have not been heard for long.
	tl_heard_ask(h, TL_HEARD_SNI, ip("192.0.2.1"), 443, "other.example", NOW + 301 * SECOND);
	assert_string_equal(asked_of(h, "192.0.2.1", 443, NOW + 301 * SECOND), "");
	tl_heard_ask(h, TL_HEARD_SNI, ip("192.0.2.1"), 443, "shop.example", NOW + 302 * SECOND);
	tl_heard_ask(h, TL_HEARD_SNI, ip("192.0.2.1"), 443, "shop.example", NOW + 400 * SECOND);
	assert_string_equal(asked_of(h, "192.0.2.1", 443, NOW + 400 * SECOND), "");
	tl_heard_ask(h, TL_HEARD_SNI, ip("192.0.2.1"), 443, "shop.example", NOW + 701 * SECOND);
	assert_string_equal(asked_of(h, "192.0.2.1", 443, NOW + 701 * SECOND), "tls shop.example");

	// What can't be a name is none.
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	tl_heard_ask(h, TL_HEARD_HOST, ip("192.0.2.3"), 80, "a\x1b[2J.example", NOW);
	tl_heard_ask(h, TL_HEARD_HOST, ip("192.0.2.3"), 80, "", NOW);
	tl_heard_ask(h, TL_HEARD_HOST, ip("192.0.2.3"), 80, long_name, NOW);
	tl_heard_ask(h, TL_HEARD_HOST, ip("192.0.2.3"), 0, "a.example", NOW);
	assert_string_equal(asked_of(h, "192.0.2.3", 80, NOW), "");
	assert_string_equal(asked_of(h, "192.0.2.3", 0, NOW), "");
	tl_heard_destroy(h);
}

static void memory_stays_what_it_was(void **state)
{
	(void)state;
	enum { NAMES = 100000 };
	struct tl_heard *h = tl_heard_create();
	static struct answer a;
	uint32_t known = 0;

	for (uint32_t i = 0; i < NAMES; i++) {
		char name[32], data[32];
		(void)snprintf(name, sizeof(name), "h%u.example", i);
		(void)snprintf(data, sizeof(data), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		ask(&a, "10.0.0.1", name, NOW + i);
		tell(&a, "A", 3600, data);
		tl_heard_record(h, &a.head);
		assert_string_equal(name_of(h, "10.0.0.1", data, NOW + i), name);
	}
	for (uint32_t i = 0; i < NAMES; i++) {
		char data[32];
		(void)snprintf(data, sizeof(data), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		known += name_of(h, "10.0.0.1", data, NOW + NAMES) != NULL;
	}
	assert_in_range(known, TL_HEARD_MAX / 2, 2 * TL_HEARD_MAX);
	tl_heard_destroy(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_name_counts),
		cmocka_unit_test(bad_files_name_the_line),
		cmocka_unit_test(who_asked_knows_the_name),
		cmocka_unit_test(what_is_no_answer_is_not_believed),
		cmocka_unit_test(what_is_asked_of_a_server_names_it),
		cmocka_unit_test(memory_stays_what_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
