// SPDX-License-Identifier: Apache-2.0
#include "traffic.h"

#include "double.h"

#include "base/check.h"
#include "support/packets.h"

#include <stdlib.h>
#include <string.h>

#define ETHERNET_BYTES 14u
#define IPV4_BYTES 20u
#define FRAGMENT_BYTES 1480u
#define START_NS (UINT64_C(1700000000) * 1000000000)

struct maker {
	traffic_fn *fn;
	void *arg;
	struct traffic_sums *sums;
	uint64_t time_ns;
	uint8_t frame[TRAFFIC_FRAME_MAX];
	uint8_t payload[TRAFFIC_FRAME_MAX];
};

static void emit(struct maker *m, const uint8_t *frame, uint32_t len)
{
	m->time_ns += 1000;
	m->sums->frames++;
	m->sums->bytes += len;
	m->fn(m->arg, frame, len, m->time_ns);
}

// Adds the whole datagram in m->frame to what must be seen, stamped with the last frame's time.
static void expect(struct maker *m, uint32_t len, uint64_t frames)
{
	const struct tl_chunk chunk = {.data = m->frame, .len = len};
	const struct tl_packet packet = {
		.chunks = &chunk,
		.chunk_count = 1,
		.link_type = TL_LINK_ETHERNET,
		.len = len,
		.original_len = len,
	};
	struct tl_headers headers;

	TL_ASSERT(tl_packet_decode(&packet, &headers) == TL_DECODED_OK);
	m->sums->datagrams++;
	m->sums->processed += frames;
	m->sums->digests += double_digest(&packet, &headers, m->time_ns);
	m->sums->digests_timeless += double_digest(&packet, &headers, 0);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void emit_fragments(struct maker *m, uint32_t len)
{
	uint8_t part[ETHERNET_BYTES + IPV4_BYTES + FRAGMENT_BYTES];
	const uint32_t heads = ETHERNET_BYTES + IPV4_BYTES;
	uint32_t total = len - heads;

	for (uint32_t at = 0; at < total; at += FRAGMENT_BYTES) {
		uint32_t size = total - at < FRAGMENT_BYTES ? total - at : FRAGMENT_BYTES;
		memcpy(part, m->frame, heads);
		memcpy(part + heads, m->frame + heads + at, size);
		put16(part + ETHERNET_BYTES + 2, IPV4_BYTES + size);
		put16(part + ETHERNET_BYTES + 6, at / 8 + (at + size < total ? 0x2000 : 0));
		emit(m, part, heads + size);
	}
}

static void emit_arp(struct maker *m)
{
	uint8_t frame[60] = {[12] = 0x08, [13] = 0x06, [15] = 1, [16] = 8, [18] = 6, [19] = 4};

	memset(frame, 0xff, 6);
	emit(m, frame, sizeof(frame));
}

static uint32_t payload_len(uint32_t i, uint32_t max)
{
	static const uint32_t sizes[] = {0, 6, 18, 100, 512, 1400, 1738, 1750, 1800, 9000};
	uint32_t len = i % 499 == 17 ? 60000 : sizes[i % TL_COUNT_OF(sizes)];

	return len < max ? len : max;
}

void traffic_make(uint32_t count, uint32_t payload_max, bool has_odd_ones, traffic_fn *fn,
		  void *arg, struct traffic_sums *ret_sums)
{
	struct maker *m = calloc(1, sizeof(*m));
	char source[24];

	TL_ASSERT(m != NULL);
	memset(ret_sums, 0, sizeof(*ret_sums));
	*m = (struct maker) {.fn = fn, .arg = arg, .sums = ret_sums, .time_ns = START_NS};
	for (uint32_t i = 0; i < count; i++) {
		uint32_t flow = (i * 2654435761u) >> 22;
		uint32_t len = payload_len(i, payload_max);
		(void)snprintf(source, sizeof(source), "10.1.%u.%u", flow >> 8, flow & 0xff);
		for (uint32_t k = 0; k < len; k++)
			m->payload[k] = (uint8_t)(i + k * 7);
		bool is_fragmented = has_odd_ones && i % 20 == 9 && len > FRAGMENT_BYTES;
		const struct packet_spec spec = {
			.source = i % 2 == 0 ? source : "10.2.0.1",
			.destination = i % 2 == 0 ? "10.2.0.1" : source,
			.source_port = (uint16_t)(i % 2 == 0 ? 1024 + flow : 80),
			.destination_port = (uint16_t)(i % 2 == 0 ? 80 : 1024 + flow),
			.seq = i,
			.flags = TL_TCP_ACK,
			.is_udp = is_fragmented || flow % 3 == 0,
			.ip_id = (uint16_t)i,
			.vlan = has_odd_ones && !is_fragmented && i % 7 == 3 ? 42 : 0,
			.payload = tl_bytes(m->payload, len),
		};
		uint32_t size = packet_write(&spec, m->frame);
		uint64_t frames_before = ret_sums->frames;
		if (is_fragmented)
			emit_fragments(m, size);
		else
			emit(m, m->frame, size);
		expect(m, size, ret_sums->frames - frames_before);
		if (has_odd_ones && i % 50 == 7)
			emit_arp(m);
	}
	free(m);
}

struct capture_head {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snaplen, link_type;
};

struct capture_record {
	uint32_t seconds, micros, len, original_len;
};

static void write_frame(void *arg, const uint8_t *frame, uint32_t len, uint64_t time_ns)
{
	FILE *file = arg;
	const struct capture_record head = {
		.seconds = (uint32_t)(time_ns / 1000000000),
		.micros = (uint32_t)(time_ns % 1000000000 / 1000),
		.len = len,
		.original_len = len,
	};

	TL_ASSERT(fwrite(&head, sizeof(head), 1, file) == 1);
	TL_ASSERT(fwrite(frame, len, 1, file) == 1);
}

void traffic_write(const char *path, uint32_t count, uint32_t payload_max,
		   struct traffic_sums *ret_sums)
{
	const struct capture_head head = {
		.magic = 0xa1b2c3d4, .major = 2, .minor = 4, .snaplen = 262144, .link_type = 1};
	FILE *file = fopen(path, "we");

	TL_ASSERT(file != NULL);
	TL_ASSERT(fwrite(&head, sizeof(head), 1, file) == 1);
	traffic_make(count, payload_max, true, write_frame, file, ret_sums);
	TL_ASSERT(fclose(file) == 0);
}
