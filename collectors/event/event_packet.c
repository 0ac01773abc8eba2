// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/jansson.h"
#include "collectors/event/event.h"

#define ETH_P_IPV4 0x0800
#define ETH_P_IPV6 0x86dd
#define EXTENSIONS_MAX 4u // of IPv6, stepped over

// What is left of the packet's first bytes.
struct bytes {
	const uint8_t *at;
	uint32_t len;
};

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static json_int_t be32(const uint8_t *at)
{
	return (json_int_t)((uint32_t)be16(at) << 16 | be16(at + 2));
}

const char *tl_event_tcp_state(uint32_t state)
{
	static const char *const names[] = {
		"", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT",
		"CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV",
		"BOUND_INACTIVE"};

	return state < TL_COUNT_OF(names) ? names[state] : "";
}

static json_t *tcp_of(const struct bytes *rest)
{
	static const char letters[] = "FSRPAUEC"; // as tcpdump has them, from the lowest bit
	char flags[sizeof(letters)];
	uint32_t count = 0;

	if (rest->len < 20)
		return NULL;
	for (uint32_t bit = 0; bit < 8; bit++)
		if ((rest->at[13] >> bit & 1) != 0)
			flags[count++] = letters[bit];
	flags[count] = '\0';
	return json_pack("{s:i, s:i, s:I, s:I, s:s, s:i}", "sport", be16(rest->at), "dport",
			 be16(rest->at + 2), "seq", be32(rest->at + 4), "ack_seq",
			 be32(rest->at + 8), "flags", flags, "window", be16(rest->at + 14));
}

static void add_transport(json_t *layers, uint8_t protocol, const struct bytes *rest)
{
	json_t *layer = NULL;
	const char *name = "tcp";

	if (protocol == IPPROTO_TCP) {
		layer = tcp_of(rest);
	} else if (protocol == IPPROTO_UDP && rest->len >= 8) {
		name = "udp";
		layer = json_pack("{s:i, s:i, s:i}", "sport", be16(rest->at), "dport",
				  be16(rest->at + 2), "length", be16(rest->at + 4));
	} else if ((protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) && rest->len >= 4) {
		name = "icmp";
		layer = json_pack("{s:i, s:i}", "type", rest->at[0], "code", rest->at[1]);
	}
	if (layer != NULL)
		(void)json_object_set_new(layers, name, layer);
}

static json_t *ip_of(int family, int version, const void *source, const void *target,
		     int protocol, int ttl)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];

	(void)inet_ntop(family, source, from, sizeof(from));
	(void)inet_ntop(family, target, to, sizeof(to));
	return json_pack("{s:i, s:s, s:s, s:i, s:i}", "version", version, "saddr", from, "daddr", to,
			 "protocol", protocol, "ttl", ttl);
}

static void add_ipv4(json_t *layers, struct bytes rest)
{
	uint32_t header_len = rest.len < 20 ? 0 : (rest.at[0] & 0x0fu) * 4;

	if (header_len < 20 || rest.at[0] >> 4 != 4)
		return;
	(void)json_object_set_new(layers, "ip", ip_of(AF_INET, 4, rest.at + 12, rest.at + 16,
						      rest.at[9], rest.at[8]));
	uint8_t protocol = rest.at[9];
	bool is_first = (be16(rest.at + 6) & 0x1fff) == 0; // a later fragment has no ports
	if (header_len > rest.len || !is_first)
		return;
	rest = (struct bytes) {rest.at + header_len, rest.len - header_len};
	add_transport(layers, protocol, &rest);
}

static void add_ipv6(json_t *layers, struct bytes rest)
{
	if (rest.len < 40 || rest.at[0] >> 4 != 6)
		return;
	const uint8_t *header = rest.at;
	uint8_t next = header[6];
	rest = (struct bytes) {rest.at + 40, rest.len - 40};
	for (uint32_t i = 0; i < EXTENSIONS_MAX && rest.len >= 8; i++) {
		uint32_t len = (rest.at[1] + 1u) * 8;
		if ((next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS) ||
		    len > rest.len)
			break;
		next = rest.at[0];
		rest = (struct bytes) {rest.at + len, rest.len - len};
	}
	(void)json_object_set_new(layers, "ip", ip_of(AF_INET6, 6, header + 8, header + 24, next,
						      header[7]));
	add_transport(layers, next, &rest);
}

void tl_event_add_type(json_t *data, const struct tl_event_packet *packet)
{
	char text[8];

	(void)snprintf(text, sizeof(text), "0x%04x", ntohs(packet->protocol));
	(void)json_object_set_new(data, "packet_eth_proto", json_string(text));
}

void tl_event_add_packet(json_t *data, const struct tl_event_packet *packet)
{
	uint32_t len = packet->header_len;
	const struct bytes rest = {packet->header, len < sizeof(packet->header) ? len :
							   (uint32_t)sizeof(packet->header)};
	json_t *layers = json_object();
	uint16_t protocol = ntohs(packet->protocol);

	if (protocol == ETH_P_IPV4)
		add_ipv4(layers, rest);
	else if (protocol == ETH_P_IPV6)
		add_ipv6(layers, rest);
	tl_event_add_type(data, packet);
	(void)json_object_set_new(data, "packet_len_bytes", json_integer(packet->len));
	(void)json_object_set_new(data, "layers", layers);
	(void)json_object_set_new(data, "net_namespace_inum", json_integer(packet->net_inum));
	(void)json_object_set_new(data, "net_namespace_cookie",
				  json_integer((json_int_t)packet->net_cookie));
	if (packet->ifindex != 0)
		(void)json_object_set_new(data, "netdev_ifindex", json_integer(packet->ifindex));
	if (packet->device[0] == '\0') // none, or no longer
		return;
	(void)json_object_set_new(data, "netdev_name",
				  tl_place_as_json(packet->device, sizeof(packet->device)));
	(void)json_object_set_new(data, "netdev_queue_mapping", json_integer(packet->queue));
}
