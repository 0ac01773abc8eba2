// SPDX-License-Identifier: Apache-2.0
#include "tests/support/packets.h"

#include "base/check.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

struct writer {
	uint8_t *at;
};

static void put8(struct writer *w, uint32_t value)
{
	*w->at++ = (uint8_t)value;
}

static void put16(struct writer *w, uint32_t value)
{
	put8(w, value >> 8 & 0xff);
	put8(w, value & 0xff);
}

static void put32(struct writer *w, uint32_t value)
{
	put16(w, value >> 16);
	put16(w, value & 0xffff);
}

static void put(struct writer *w, const void *bytes, size_t len)
{
	if (len != 0)
		memcpy(w->at, bytes, len);
	w->at += len;
}

static void put_ethernet(struct writer *w, const struct packet_spec *spec, bool is_v6)
{
	const uint8_t to[6] = {2, 0, 0, 0, 1, spec->mac};
	const uint8_t from[6] = {2, 0, 0, 0, 2, spec->mac};

	put(w, to, sizeof(to));
	put(w, from, sizeof(from));
	if (spec->vlan != 0) {
		put16(w, 0x8100);
		put16(w, spec->vlan);
	}
	put16(w, is_v6 ? 0x86dd : 0x0800);
}

static void put_ipv4(struct writer *w, const struct packet_spec *spec, uint32_t l4_len)
{
	uint8_t *start = w->at;
	uint8_t address[4];
	uint32_t sum = 0;

	put16(w, 0x4500);
	put16(w, 20 + l4_len);
	put16(w, spec->ip_id);
	put16(w, 0x4000); // don't fragment
	put8(w, spec->ttl != 0 ? spec->ttl : 64);
	put8(w, spec->is_udp ? 17 : 6);
	put16(w, 0);
	TL_ASSERT(inet_pton(AF_INET, spec->source, address) == 1);
	put(w, address, 4);
	TL_ASSERT(inet_pton(AF_INET, spec->destination, address) == 1);
	put(w, address, 4);
	for (uint32_t i = 0; i < 20; i += 2)
		sum += tl_load_be16(start + i);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	start[10] = (uint8_t)(~sum >> 8);
	start[11] = (uint8_t)~sum;
}

static void put_ipv6(struct writer *w, const struct packet_spec *spec, uint32_t l4_len)
{
	uint8_t address[16];

	put32(w, 0x60000000);
	put16(w, l4_len);
	put8(w, spec->is_udp ? 17 : 6);
	put8(w, spec->ttl != 0 ? spec->ttl : 64);
	TL_ASSERT(inet_pton(AF_INET6, spec->source, address) == 1);
	put(w, address, 16);
	TL_ASSERT(inet_pton(AF_INET6, spec->destination, address) == 1);
	put(w, address, 16);
}

// Options are padded to words by NOPs in front, as the stacks do.
static uint32_t put_options(const struct packet_spec *spec, uint8_t *ret)
{
	struct writer w = {.at = ret};

	if (spec->mss != 0) {
		put16(&w, 0x0204);
		put16(&w, spec->mss);
	}
	if (spec->has_timestamps) {
		put32(&w, 0x0101080a);
		put32(&w, spec->timestamp);
		put32(&w, 0);
	}
	if (spec->window_scale != 0) {
		put16(&w, 0x0103);
		put8(&w, 3);
		put8(&w, spec->window_scale);
	}
	return (uint32_t)(w.at - ret);
}

static void put_tcp(struct writer *w, const struct packet_spec *spec, const uint8_t *options,
		    uint32_t options_len)
{
	put16(w, spec->source_port);
	put16(w, spec->destination_port);
	put32(w, spec->seq);
	put32(w, spec->ack);
	put8(w, (20 + options_len) / 4 << 4);
	put8(w, spec->flags);
	put16(w, spec->has_window || spec->window != 0 ? spec->window : 65535u);
	put32(w, 0);
	put(w, options, options_len);
}

uint32_t packet_write(const struct packet_spec *spec, uint8_t *ret)
{
	struct writer w = {.at = ret};
	bool is_v6 = strchr(spec->source, ':') != NULL;
	uint8_t options[40];
	uint32_t options_len = spec->is_udp ? 0 : put_options(spec, options);
	uint32_t l4_len = (spec->is_udp ? 8 : 20 + options_len) + spec->payload.len;

	TL_ASSERT(l4_len <= 65515);
	put_ethernet(&w, spec, is_v6);
	if (is_v6)
		put_ipv6(&w, spec, l4_len);
	else
		put_ipv4(&w, spec, l4_len);
	if (spec->is_udp) {
		put16(&w, spec->source_port);
		put16(&w, spec->destination_port);
		put16(&w, l4_len);
		put16(&w, 0);
	} else {
		put_tcp(&w, spec, options, options_len);
	}
	put(&w, spec->payload.ptr, spec->payload.len);
	return (uint32_t)(w.at - ret);
}

void packet_build(const struct packet_spec *spec, struct packet_frame *ret_frame)
{
	uint8_t *raw = malloc(PACKETS_HEADERS_MAX + spec->payload.len);
	TL_ASSERT(raw != NULL);
	uint32_t wire_len = packet_write(spec, raw);
	uint32_t len = spec->snaplen != 0 && spec->snaplen < wire_len ? spec->snaplen : wire_len;
	// An exact-size copy, so that the address sanitizer sees every read past the end.
	uint8_t *bytes = malloc(len);
	TL_ASSERT(bytes != NULL);

	memcpy(bytes, raw, len);
	free(raw);
	*ret_frame = (struct packet_frame) {
		.bytes = bytes,
		.chunk = {.data = bytes, .len = len},
		.packet = {
			.chunk_count = 1,
			.link_type = TL_LINK_ETHERNET,
			.port = spec->port,
			.len = len,
			.original_len = wire_len,
			.time_ns = spec->time_ns,
		},
	};
	packet_again(ret_frame);
}

void packet_again(struct packet_frame *frame)
{
	frame->packet.chunks = &frame->chunk;
}

void packet_free(struct packet_frame *frame)
{
	free(frame->bytes);
	*frame = (struct packet_frame) {0};
}
