// SPDX-License-Identifier: Apache-2.0
// A small language for tests of the engine: one engine over the recorder, segments of one
// connection by relative numbers.
#pragma once

#include "engine/engine.h"
#include "flow/table.h"
#include "tests/support/packets.h"
#include "tests/support/recorder.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define START (UINT64_C(1700000000) * SECOND)
#define CLIENT_PORT 40000
#define SERVER_PORT 80

// "C" is the client 10.0.0.2:40000, the server 10.0.0.1:80: side 0 is the server, side 1 the client.
#define CLIENT_SIDE 1
#define SERVER_SIDE 0

struct wire {
	struct tl_engine *engine;
	uint64_t now_ns;
	uint32_t isn[2];    // by side: numbers below are relative to these
	uint16_t ip_id;     // of the next packet
	uint16_t client_port;
	struct packet_spec spec; // defaults of every packet
};

struct tl_engine_options wire_options(void);
void wire_open(struct wire *w, const struct tl_engine_options *options);
void wire_close(struct wire *w); // destroys the engine and the recordings
// One packet of `side`: relative numbers, 0 being the ISN; the payload may be NULL.
void wire_send(struct wire *w, uint8_t side, uint8_t flags, uint32_t seq, uint32_t ack,
	       const char *payload);
void wire_packet(struct wire *w, const struct packet_spec *spec);
void wire_handshake(struct wire *w);
void wire_wait(struct wire *w, uint64_t ns);
uint64_t wire_count(struct wire *w, enum tl_counter id);
