// SPDX-License-Identifier: Apache-2.0
// Measures what a roundtrip of a protocol costs from packet to metrics, without DPDK: connections
// are opened, then each in turn says the same again and again. Packets are patched in place, outside
// of what is measured. By thread CPU time, the median of short batches; for instructions run the
// benchmark under `valgrind --tool=callgrind --toggle-collect=work` with --only ID.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TALK_PACKETS_MAX 768u // of the beginning, and of what is repeated
#define TALK_BYTES_MAX 1460u // of a packet

enum talk_side { TALK_CLIENT, TALK_SERVER };

struct talk_packet {
	const void *bytes; // borrowed
	uint32_t len;
	uint8_t side; // enum talk_side
};

struct talk {
	const char *id;  // of the figures: ID (ns of CPU time) and ID_rate (roundtrips per second)
	const char *of;  // what a roundtrip is
	uint16_t port;   // of the server
	uint32_t connections;
	uint32_t roundtrips; // records that one repetition gives
	struct talk_packet open[TALK_PACKETS_MAX]; // behind the handshake; ended by a length of 0
	struct talk_packet repeat[TALK_PACKETS_MAX];
};

// Bytes of a packet in the making, zeroed before.
struct talk_text {
	uint8_t bytes[TALK_BYTES_MAX];
	uint32_t len;
};

// Aborts when they don't fit.
void talk_add(struct talk_text *text, const void *bytes, size_t len);

static inline struct talk_packet talk_packet(const struct talk_text *text, enum talk_side side)
{
	return (struct talk_packet) {text->bytes, text->len, (uint8_t)side};
}

// Measures each talk, or those that the arguments name:
//	--only ID   this one
//	--quick     few repetitions, for tools that count instructions; no rate
// Gives the exit code. Aborts when there are more or fewer records than the talk says.
int talk_main(const struct talk *talks, uint32_t count, int argc, char **argv);
