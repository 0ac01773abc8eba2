// SPDX-License-Identifier: Apache-2.0
#include "tests/support/wire.h"

#include "base/check.h"
#include "tests/support/options.h"

struct tl_engine_options wire_options(void)
{
	struct tl_engine_options options = test_engine_options(4096);

	options.flow.syn_max = 1024;
	options.flow.tcp_closed_ns = 10 * SECOND;
	options.flow.reorder_bytes_max = 4 << 20;
	options.flow.reorder_flow_bytes_max = 1 << 20;
	options.flow.duplicate_ns = 3 * MS;
	return options;
}

void wire_open(struct wire *w, const struct tl_engine_options *options)
{
	struct tl_engine_options defaults = wire_options();

	recorder_reset();
	*w = (struct wire) {
		.now_ns = START,
		.isn = {5000000, 1000},
		.ip_id = 1,
		.client_port = CLIENT_PORT,
	};
	w->engine = tl_engine_create(options != NULL ? options : &defaults, NULL, NULL, NULL);
	TL_ASSERT(w->engine != NULL);
}

void wire_close(struct wire *w)
{
	tl_engine_finish(w->engine, TL_END_INPUT);
	tl_engine_destroy(w->engine);
	recorder_reset();
}

void wire_packet(struct wire *w, const struct packet_spec *spec)
{
	struct packet_frame frame;

	packet_build(spec, &frame);
	tl_engine_burst(w->engine, &frame.packet, 1);
	packet_free(&frame);
}

void wire_send(struct wire *w, uint8_t side, uint8_t flags, uint32_t seq, uint32_t ack,
	       const char *payload)
{
	struct packet_spec spec = w->spec;
	bool is_client = side == CLIENT_SIDE;

	spec.time_ns = w->now_ns;
	spec.source = is_client ? "10.0.0.2" : "10.0.0.1";
	spec.destination = is_client ? "10.0.0.1" : "10.0.0.2";
	spec.source_port = is_client ? w->client_port : SERVER_PORT;
	spec.destination_port = is_client ? SERVER_PORT : w->client_port;
	spec.seq = w->isn[side] + seq;
	spec.ack = (flags & TL_TCP_ACK) != 0 ? w->isn[side ^ 1] + ack : 0;
	spec.flags = flags;
	spec.ip_id = w->ip_id++;
	if (payload != NULL)
		spec.payload = tl_bytes_of(payload);
	wire_packet(w, &spec);
	w->now_ns += 10000;
}

void wire_handshake(struct wire *w)
{
	wire_send(w, CLIENT_SIDE, TL_TCP_SYN, 0, 0, NULL);
	wire_send(w, SERVER_SIDE, TL_TCP_SYN | TL_TCP_ACK, 0, 1, NULL);
	wire_send(w, CLIENT_SIDE, TL_TCP_ACK, 1, 1, NULL);
}

void wire_wait(struct wire *w, uint64_t ns)
{
	w->now_ns += ns;
	while (tl_engine_advance(w->engine, w->now_ns))
		;
}

uint64_t wire_count(struct wire *w, enum tl_counter id)
{
	return tl_engine_counters(w->engine)->at[id];
}
