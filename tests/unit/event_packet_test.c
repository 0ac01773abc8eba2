// SPDX-License-Identifier: Apache-2.0
// The headers of a packet as a program in the kernel copied them: whole, cut off anywhere, wrong.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "base/check.h"
#include "collectors/event/event.h"

static const uint8_t ipv4_tcp[] = {
	0x46, 0x00, 0x00, 0x3c, 0x51, 0xb9, 0x40, 0x00, 0x40, 0x06, 0xeb, 0x00, 127, 0, 0, 1,
	10, 1, 2, 3, 1, 1, 1, 0, // one word of options
	0xdf, 0x10, 0x17, 0x6f, 0x85, 0xce, 0x79, 0x8d, 0x00, 0x00, 0x00, 0x07, 0xa0, 0x12, 0xff, 0xd7,
	0xfe, 0x30, 0x00, 0x00,
};
static const uint8_t ipv6_udp[] = {
	0x60, 0, 0, 0, 0, 16, 0, 63, 0xfd, 0, 0, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
	0xfd, 0, 0, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
	17, 0, 1, 4, 0, 0, 0, 0, // hop-by-hop options
	0x00, 0x35, 0x10, 0x01, 0x00, 0x08, 0xab, 0xcd,
};

// The object of a packet with the first `len` bytes of `header`.
static json_t *decode(uint16_t protocol, const uint8_t *header, uint32_t len)
{
	struct tl_event_packet packet = {
		.net_inum = 7, .net_cookie = 8, .ifindex = 2, .len = 99, .header_len = len,
		.protocol = (uint16_t)(protocol >> 8 | protocol << 8), .queue = 3, .device = "veth0"};
	json_t *data = json_object();

	memset(packet.header, 0xee, sizeof(packet.header));
	memcpy(packet.header, header, len);
	tl_event_add_packet(data, &packet);
	return data;
}

static const json_t *at(const json_t *data, const char *layer, const char *key)
{
	return json_object_get(json_object_get(json_object_get(data, "layers"), layer), key);
}

static void test_ipv4_tcp(void **state)
{
	json_t *data = decode(0x0800, ipv4_tcp, sizeof(ipv4_tcp));

	(void)state;
	assert_string_equal(json_string_value(at(data, "ip", "saddr")), "127.0.0.1");
	assert_string_equal(json_string_value(at(data, "ip", "daddr")), "10.1.2.3");
	assert_int_equal(json_integer_value(at(data, "ip", "ttl")), 64);
	assert_int_equal(json_integer_value(at(data, "tcp", "sport")), 0xdf10);
	assert_int_equal(json_integer_value(at(data, "tcp", "dport")), 5999);
	assert_int_equal(json_integer_value(at(data, "tcp", "seq")), 0x85ce798d);
	assert_int_equal(json_integer_value(at(data, "tcp", "ack_seq")), 7);
	assert_string_equal(json_string_value(at(data, "tcp", "flags")), "SA");
	assert_int_equal(json_integer_value(json_object_get(data, "netdev_queue_mapping")), 3);
	assert_string_equal(json_string_value(json_object_get(data, "netdev_name")), "veth0");
	assert_string_equal(json_string_value(json_object_get(data, "packet_eth_proto")), "0x0800");
	json_decref(data);
}

static void test_ipv6_udp(void **state)
{
	json_t *data = decode(0x86dd, ipv6_udp, sizeof(ipv6_udp));

	(void)state;
	assert_string_equal(json_string_value(at(data, "ip", "saddr")), "fd00:99::1");
	assert_int_equal(json_integer_value(at(data, "ip", "protocol")), 17);
	assert_int_equal(json_integer_value(at(data, "udp", "sport")), 53);
	assert_int_equal(json_integer_value(at(data, "udp", "dport")), 4097);
	json_decref(data);
}

// A later fragment begins with payload, not with ports.
static void test_fragment(void **state)
{
	uint8_t header[sizeof(ipv4_tcp)];

	(void)state;
	memcpy(header, ipv4_tcp, sizeof(header));
	header[7] = 9;
	json_t *data = decode(0x0800, header, sizeof(header));
	assert_non_null(at(data, "ip", "saddr"));
	assert_null(at(data, "tcp", "sport"));
	json_decref(data);
}

static void test_cut_off_anywhere(void **state)
{
	static const struct {
		uint16_t protocol;
		const uint8_t *header;
		uint32_t len, ip_len;
		const char *layer;
	} packets[] = {{0x0800, ipv4_tcp, sizeof(ipv4_tcp), 20, "tcp"},
		       {0x86dd, ipv6_udp, sizeof(ipv6_udp), 40, "udp"}};

	(void)state;
	for (uint32_t i = 0; i < TL_COUNT_OF(packets); i++)
		for (uint32_t len = 0; len < packets[i].len; len++) {
			json_t *data = decode(packets[i].protocol, packets[i].header, len);
			assert_int_equal(at(data, "ip", "saddr") != NULL, len >= packets[i].ip_len);
			assert_null(at(data, packets[i].layer, "sport"));
			json_decref(data);
		}
}

// A protocol that the header contradicts, a header length below the least, a length beyond all.
static void test_wrong(void **state)
{
	uint8_t header[TL_EVENT_HEADER_BYTES] = {0x41};
	struct tl_event_packet packet = {.header_len = UINT32_MAX, .protocol = 8};

	(void)state;
	json_t *data = decode(0x86dd, ipv4_tcp, sizeof(ipv4_tcp));
	assert_int_equal(json_object_size(json_object_get(data, "layers")), 0);
	json_decref(data);
	data = decode(0x0800, header, sizeof(header));
	assert_int_equal(json_object_size(json_object_get(data, "layers")), 0);
	json_decref(data);
	memcpy(packet.header, ipv4_tcp, sizeof(ipv4_tcp));
	memset(packet.device, 'x', sizeof(packet.device)); // not ended
	data = json_object();
	tl_event_add_packet(data, &packet);
	assert_non_null(at(data, "tcp", "sport"));
	assert_string_equal(json_string_value(json_object_get(data, "netdev_name")),
			    "xxxxxxxxxxxxxxxx");
	json_decref(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4_tcp), cmocka_unit_test(test_ipv6_udp),
		cmocka_unit_test(test_fragment), cmocka_unit_test(test_cut_off_anywhere),
		cmocka_unit_test(test_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
