// SPDX-License-Identifier: Apache-2.0
// Ethernet frames of TCP and UDP packets, built in memory: what unit tests, the sweep harness and
// the benchmarks feed to an engine. Checksums of IPv4 headers are right, those of L4 are zero.
#pragma once

#include "packet/packet.h"

#define PACKETS_HEADERS_MAX 128u // all headers of a built frame

// What a frame says. Zeroed members have the defaults named here.
struct packet_spec {
	uint64_t time_ns;
	const char *source;      // "10.0.0.1" or "fd00::1"; both ends of the same family
	const char *destination;
	uint16_t source_port;
	uint16_t destination_port;
	uint32_t seq;            // TCP
	uint32_t ack;            // TCP: written even without TL_TCP_ACK
	uint8_t flags;           // enum tl_tcp_flag
	bool is_udp;
	bool has_timestamps;     // TCP: adds the option with `timestamp`
	bool has_window;         // take `window` as it is, so that it may be 0
	uint16_t window;         // 0 without has_window: 65535
	uint8_t window_scale;    // TCP: of a SYN, 0 leaves the option out
	uint16_t mss;            // TCP: of a SYN, 0 leaves the option out
	uint16_t ip_id;          // IPv4
	uint16_t vlan;           // 0: untagged
	uint8_t ttl;             // 0: 64
	uint8_t mac;             // last byte of both MAC addresses
	uint32_t timestamp;
	struct tl_bytes payload; // borrowed during the build
	uint32_t snaplen;        // cut the frame to this many captured bytes, 0: keep all
	uint8_t port;            // capture port index
};

// A built frame. It points into itself: keep it where it was built, or call packet_again().
struct packet_frame {
	struct tl_packet packet;
	struct tl_chunk chunk;
	uint8_t *bytes; // malloced
};

// Builds one frame; packet_free() releases it. Aborts on specs that make no packet.
void packet_build(const struct packet_spec *spec, struct packet_frame *ret_frame);
void packet_free(struct packet_frame *frame);
// Mends the inner pointer after the frame was copied or moved.
void packet_again(struct packet_frame *frame);
// Writes the frame to `ret` (at least PACKETS_HEADERS_MAX + payload bytes); gives its length.
uint32_t packet_write(const struct packet_spec *spec, uint8_t *ret);
