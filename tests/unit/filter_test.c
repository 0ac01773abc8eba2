// SPDX-License-Identifier: Apache-2.0
#include "pmd/pcap/filter.h"

#include "wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static bool match(struct tl_filter *filter, const char *recipe)
{
	struct wire w;
	wire_build(&w, recipe);
	uint32_t len = wire_len(&w);
	uint8_t *copy = malloc(len);
	assert_non_null(copy);
	memcpy(copy, w.room + w.at, len);
	bool is_match = tl_filter_match(filter, w.link_type, copy, len, len);
	free(copy);
	return is_match;
}

static void one_expression_serves_several_link_types(void **state)
{
	(void)state;
	struct tl_filter *filter;
	char error[256];

	assert_int_equal(tl_filter_create("tcp port 80", 1, &filter, error, sizeof(error)), 0);
	assert_true(match(filter, "eth ipv4 tcp:80 pay:1"));
	assert_false(match(filter, "eth ipv4 tcp:81 pay:1"));
	assert_true(match(filter, "eth ipv6 tcp:80"));
	assert_true(match(filter, "sll ipv4 tcp:80"));
	assert_true(match(filter, "sll2 ipv4 tcp:80"));
	assert_true(match(filter, "link:101 ipv4 tcp:80"));
	assert_false(match(filter, "link:101 ipv4 udp:80"));
	assert_true(match(filter, "null:2 ipv4 tcp:80"));
	assert_string_equal(tl_filter_error(filter), "");
	tl_filter_destroy(filter);
}

static void a_mistake_is_told_with_the_expression(void **state)
{
	(void)state;
	struct tl_filter *filter;
	char error[256] = "";

	assert_int_equal(tl_filter_create("tcp prot 80", 1, &filter, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "filter 'tcp prot 80': syntax error"));
	assert_non_null(strstr(error, "EN10MB"));
	// Right on Ethernet, without meaning on raw IP: told when such a packet comes.
	assert_int_equal(tl_filter_create("ether src 0:0:0:0:0:0", 1, &filter, error, sizeof(error)),
			 0);
	assert_true(match(filter, "eth ipv4 tcp"));
	assert_false(match(filter, "link:101 ipv4 tcp"));
	assert_false(match(filter, "link:101 ipv4 tcp"));
	assert_non_null(strstr(tl_filter_error(filter), "filter 'ether src 0:0:0:0:0:0': "));
	tl_filter_destroy(filter);
	tl_filter_destroy(NULL);
}

static void link_types_are_bounded(void **state)
{
	(void)state;
	struct tl_filter *filter;
	char error[256];
	uint8_t packet[64] = {0};

	assert_int_equal(tl_filter_create("len >= 0", 1, &filter, error, sizeof(error)), 0);
	for (uint16_t type = 0; type < 200; type++)
		(void)tl_filter_match(filter, type, packet, sizeof(packet), sizeof(packet));
	assert_true(tl_filter_match(filter, 1, packet, sizeof(packet), sizeof(packet)));
	tl_filter_destroy(filter);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_expression_serves_several_link_types),
		cmocka_unit_test(a_mistake_is_told_with_the_expression),
		cmocka_unit_test(link_types_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
