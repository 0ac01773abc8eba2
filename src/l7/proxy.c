// SPDX-License-Identifier: Apache-2.0
#include "l7/proxy.h"

#include <arpa/inet.h>

static const uint8_t v2_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
					 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

#define V1_PREFIX_BYTES 6u // "PROXY "
#define V2_HEAD_BYTES 16u
#define V2_INET_BYTES 12u
#define V2_INET6_BYTES 36u

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21 };

static enum tl_proxy_result ask_for(struct tl_proxy *ret, uint32_t need)
{
	ret->need = need;
	return TL_PROXY_MORE;
}

static void put_ipv4(uint8_t address[16], const uint8_t ipv4[4])
{
	memset(address, 0, 10);
	memset(address + 10, 0xff, 2);
	memcpy(address + 12, ipv4, 4);
}

// The next word of a v1 line, ended by a blank or the end of the line. Words are separated by
// exactly one blank; an empty word tells that they were not.
static struct tl_bytes next_word(struct tl_bytes *line)
{
	uint32_t blank = tl_bytes_find(*line, ' ', 0);
	struct tl_bytes word = tl_bytes_first(*line, blank);

	*line = blank == TL_BYTES_NONE ? tl_bytes(NULL, 0) : tl_bytes_from(*line, blank + 1);
	return word;
}

static bool read_port(struct tl_bytes word, uint16_t *ret_port)
{
	uint32_t port = 0;

	if (word.len == 0 || word.len > 5 || (word.len > 1 && word.ptr[0] == '0'))
		return false;
	for (uint32_t i = 0; i < word.len; i++) {
		if (word.ptr[i] < '0' || word.ptr[i] > '9')
			return false;
		port = port * 10 + (word.ptr[i] - '0');
	}
	if (port > UINT16_MAX)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

static bool read_address(struct tl_bytes word, int family, uint8_t ret_address[16])
{
	char text[INET6_ADDRSTRLEN];
	uint8_t raw[16];

	if (word.len == 0 || word.len >= sizeof(text) || memchr(word.ptr, 0, word.len) != NULL)
		return false;
	memcpy(text, word.ptr, word.len);
	text[word.len] = 0;
	if (inet_pton(family, text, raw) != 1)
		return false;
	if (family == AF_INET)
		put_ipv4(ret_address, raw);
	else
		memcpy(ret_address, raw, 16);
	return true;
}

// `line` is without "PROXY " and CRLF.
static bool read_v1_line(struct tl_bytes line, struct tl_proxy *ret)
{
	struct tl_bytes kind = next_word(&line);

	if (tl_bytes_is(kind, "UNKNOWN"))
		return true; // whatever follows is to be ignored
	int family = tl_bytes_is(kind, "TCP4") ? AF_INET : AF_INET6;
	if (family == AF_INET6 && !tl_bytes_is(kind, "TCP6"))
		return false;
	ret->has_addresses = read_address(next_word(&line), family, ret->client_address) &&
			     read_address(next_word(&line), family, ret->server_address) &&
			     read_port(next_word(&line), &ret->client_port) &&
			     read_port(next_word(&line), &ret->server_port) && line.len == 0;
	return ret->has_addresses;
}

static enum tl_proxy_result read_v1(struct tl_bytes first, struct tl_proxy *ret)
{
	struct tl_bytes head = tl_bytes_first(first, TL_PROXY_V1_BYTES_MAX);
	uint32_t end = tl_bytes_find(head, '\n', V1_PREFIX_BYTES);

	if (end == TL_BYTES_NONE)
		return head.len == TL_PROXY_V1_BYTES_MAX ? TL_PROXY_NO : ask_for(ret, head.len + 1);
	if (head.ptr[end - 1] != '\r' || end - 1 < V1_PREFIX_BYTES)
		return TL_PROXY_NO;
	struct tl_bytes line = tl_bytes_from(tl_bytes_first(head, end - 1), V1_PREFIX_BYTES);
	if (!read_v1_line(line, ret))
		return TL_PROXY_NO;
	ret->version = 1;
	ret->length = end + 1;
	return TL_PROXY_YES;
}

static void read_v2_addresses(struct tl_bytes body, bool is_ipv6, struct tl_proxy *ret)
{
	uint32_t ports = is_ipv6 ? 32 : 8;

	if (is_ipv6) {
		memcpy(ret->client_address, body.ptr, 16);
		memcpy(ret->server_address, body.ptr + 16, 16);
	} else {
		put_ipv4(ret->client_address, body.ptr);
		put_ipv4(ret->server_address, body.ptr + 4);
	}
	ret->client_port = tl_load_be16(body.ptr + ports);
	ret->server_port = tl_load_be16(body.ptr + ports + 2);
	ret->has_addresses = true;
}

static enum tl_proxy_result read_v2(struct tl_bytes first, struct tl_proxy *ret)
{
	if (first.len < V2_HEAD_BYTES)
		return ask_for(ret, V2_HEAD_BYTES);
	uint8_t command = first.ptr[12];
	uint8_t family = first.ptr[13] >> 4;
	uint8_t transport = first.ptr[13] & 0x0f;
	uint32_t body_len = tl_load_be16(first.ptr + 14);
	uint32_t address_len = family == 1 ? V2_INET_BYTES : family == 2 ? V2_INET6_BYTES : 0;

	if ((command != V2_LOCAL && command != V2_PROXY) || family > 3 || transport > 2)
		return TL_PROXY_NO;
	if (command == V2_LOCAL || transport == 0)
		address_len = 0; // a health check by the balancer itself, or nothing to tell
	if (body_len < address_len)
		return TL_PROXY_NO;
	if (first.len < V2_HEAD_BYTES + address_len)
		return ask_for(ret, V2_HEAD_BYTES + address_len);
	if (address_len != 0)
		read_v2_addresses(tl_bytes_from(first, V2_HEAD_BYTES), family == 2, ret);
	ret->version = 2;
	ret->is_udp = transport == 2;
	ret->length = V2_HEAD_BYTES + body_len;
	return TL_PROXY_YES;
}

enum tl_proxy_result tl_proxy_read(struct tl_bytes first, struct tl_proxy *ret)
{
	uint32_t v1_len = first.len < V1_PREFIX_BYTES ? first.len : V1_PREFIX_BYTES;
	uint32_t v2_len = first.len < sizeof(v2_signature) ? first.len : sizeof(v2_signature);

	*ret = (struct tl_proxy) {0};
	if (first.len == 0)
		return ask_for(ret, V1_PREFIX_BYTES);
	if (memcmp(first.ptr, "PROXY ", v1_len) == 0)
		return v1_len < V1_PREFIX_BYTES ? ask_for(ret, V1_PREFIX_BYTES) : read_v1(first, ret);
	if (memcmp(first.ptr, v2_signature, v2_len) == 0)
		return read_v2(first, ret);
	return TL_PROXY_NO;
}
