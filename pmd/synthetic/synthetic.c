// SPDX-License-Identifier: Apache-2.0
#include "pmd/synthetic/synthetic.h"

#include "base/check.h"
#include "pmd/pcap/distribute.h"
#include "pmd/port.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ethdev.h>

#define BURST 32u
#define ROOM_BYTES 1792u
#define POOL_CACHE 256u
#define HEADS_BYTES 54u // Ethernet, IPv4, TCP
#define SEGMENT_BYTES 1460u
#define START_NS (UINT64_C(1700000000) * 1000000000)
#define PACKET_NS 1000u

#define REQUEST \
	"GET /item?id=4711 HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench/1.0\r\n" \
	"Accept: */*\r\n\r\n"
#define RESPONSE \
	"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: application/json\r\n" \
	"Content-Length: 16\r\n\r\n{\"answer\": 4711}"
#define RESPONSE_ENDLESS \
	"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: application/octet-stream\r\n" \
	"Content-Length: 9000000000000000\r\n\r\n"

enum kind { SYN, SYN_ACK, ACK, ASK, ANSWER, SEGMENT, KIND_COUNT };

struct frame {
	uint8_t bytes[HEADS_BYTES + SEGMENT_BYTES];
	uint16_t len;
	uint16_t payload_len;
	uint8_t side;      // sender: 0 client, 1 server
	uint8_t takes_seq; // SYN: one number without a byte
};

struct conversation {
	uint32_t next_seq[2];
};

struct synthetic_port {
	struct tl_port port;
	struct tl_port_options options;
	struct tl_synthetic load;
	struct tl_distributor *distributor; // gives the ring port; its ring stays empty
	struct rte_mempool *pool;
	struct conversation *conversations;
	struct frame frames[KIND_COUNT];
	// where the endless story stands
	uint64_t made;
	uint64_t pass;
	uint32_t flow;
	uint32_t at; // in the pass's kinds
	atomic_bool is_done;
};

static void make_frame(struct frame *frame, uint8_t side, uint8_t flags, const char *text,
		       uint32_t text_len)
{
	uint8_t *ip = frame->bytes + 14;
	uint8_t *tcp = ip + 20;

	frame->side = side;
	frame->takes_seq = flags == 0x02 || flags == 0x12;
	frame->payload_len = (uint16_t)text_len;
	frame->len = (uint16_t)(HEADS_BYTES + text_len);
	memset(frame->bytes, 2, 12);
	frame->bytes[12] = 0x08;
	ip[0] = 0x45;
	ip[2] = (uint8_t)((40 + text_len) >> 8);
	ip[3] = (uint8_t)(40 + text_len);
	ip[8] = 64;
	ip[9] = 6;
	tcp[12] = 0x50;
	tcp[13] = flags;
	tcp[14] = 0xff;
	if (text != NULL)
		memcpy(tcp + 20, text, text_len);
}

static void make_frames(struct synthetic_port *s)
{
	bool is_endless = s->load.load == TL_SYNTHETIC_BODIES;
	const char *answer = is_endless ? RESPONSE_ENDLESS : RESPONSE;

	make_frame(&s->frames[SYN], 0, 0x02, NULL, 0);
	make_frame(&s->frames[SYN_ACK], 1, 0x12, NULL, 0);
	make_frame(&s->frames[ACK], 0, 0x10, NULL, 0);
	make_frame(&s->frames[ASK], 0, 0x18, REQUEST, sizeof(REQUEST) - 1);
	make_frame(&s->frames[ANSWER], 1, 0x18, answer, (uint32_t)strlen(answer));
	make_frame(&s->frames[SEGMENT], 1, 0x10, NULL, SEGMENT_BYTES);
}

// The kinds that each flow sends in a pass over the flows.
static const uint8_t *kinds_of(const struct synthetic_port *s, uint32_t *ret_count)
{
	static const uint8_t open[] = {SYN, SYN_ACK, ACK};
	static const uint8_t talk[] = {ASK, ANSWER};
	static const uint8_t body[] = {SEGMENT};

	if (s->pass == 0) {
		*ret_count = sizeof(open);
		return open;
	}
	if (s->load.load == TL_SYNTHETIC_KEEP_ALIVE || s->pass == 1) {
		*ret_count = sizeof(talk);
		return talk;
	}
	*ret_count = sizeof(body);
	return body;
}

static void put32(uint8_t *at, uint32_t value)
{
	value = rte_cpu_to_be_32(value);
	memcpy(at, &value, sizeof(value));
}

static void write_packet(struct synthetic_port *s, struct rte_mbuf *m)
{
	uint32_t kinds;
	const struct frame *frame = &s->frames[kinds_of(s, &kinds)[s->at]];
	struct conversation *c = &s->conversations[s->flow];
	uint8_t *bytes = m->buf_addr;
	uint8_t *client = bytes + (frame->side == 0 ? 26 : 30);
	uint8_t *server = bytes + (frame->side == 0 ? 30 : 26);
	const struct frame **held = rte_mbuf_to_priv(m); // a new pool's is zeroed

	// An mbuf keeps its bytes while it is free: those that differ are rewritten.
	if (*held != frame) {
		memcpy(bytes, frame->bytes, frame->len);
		*held = frame;
	}
	put32(client, 0x0a000000u + (s->flow >> 4));
	put32(server, 0x0aff0001u);
	uint32_t client_port = 20000 + (s->flow & 15);
	put32(bytes + 34, frame->side == 0 ? client_port << 16 | 80 : 80u << 16 | client_port);
	put32(bytes + 38, c->next_seq[frame->side]);
	put32(bytes + 42, c->next_seq[!frame->side]);
	c->next_seq[frame->side] += frame->payload_len + frame->takes_seq;
	m->data_off = 0;
	m->data_len = frame->len;
	m->pkt_len = frame->len;
	tl_mbuf_mark(m, TL_LINK_ETHERNET, false);
	struct tl_mbuf_meta *meta = tl_mbuf_meta(m);
	meta->time_ns = START_NS + s->made++ * PACKET_NS;
	meta->original_len = frame->len;
	if (++s->at == kinds) {
		s->at = 0;
		if (++s->flow == s->load.flows) {
			s->flow = 0;
			s->pass++;
		}
	}
}

static uint16_t replay(uint16_t ethdev, uint16_t queue, struct rte_mbuf *mbufs[], uint16_t count,
		       uint16_t max, void *arg)
{
	struct synthetic_port *s = arg;
	uint64_t left = s->load.packets - s->made;
	uint32_t want = max < BURST ? max : BURST;

	(void)ethdev;
	(void)queue;
	TL_ASSERT(count == 0);
	want = left < want ? (uint32_t)left : want;
	if (want == 0) {
		atomic_store_explicit(&s->is_done, true, memory_order_release);
		return 0;
	}
	if (rte_pktmbuf_alloc_bulk(s->pool, mbufs, want) != 0)
		return 0;
	for (uint32_t i = 0; i < want; i++)
		write_packet(s, mbufs[i]);
	return (uint16_t)want;
}

static struct synthetic_port *synthetic_of(struct tl_port *port)
{
	return (struct synthetic_port *)port; // its first member
}

static int synthetic_start(struct tl_port *port, uint32_t worker_count)
{
	struct synthetic_port *s = synthetic_of(port);
	const struct tl_distributor_options options = {
		.name = "tlsyn", .workers = 1, .is_lossless = true};

	TL_ASSERT(worker_count == 1);
	int rc = tl_distributor_create(&options, &s->distributor, port->error,
				       sizeof(port->error));
	if (rc < 0)
		return rc;
	tl_distributor_attach(s->distributor, port);
	port->has_distributor = false;
	s->pool = rte_pktmbuf_pool_create("tlsyn_pool", s->options.packets_max, POOL_CACHE,
					  sizeof(const struct frame *), ROOM_BYTES,
					  SOCKET_ID_ANY);
	s->conversations = calloc(s->load.flows, sizeof(*s->conversations));
	if (s->pool == NULL || s->conversations == NULL ||
	    rte_eth_add_rx_callback(port->ethdev[0], 0, replay, s) == NULL) {
		(void)snprintf(port->error, sizeof(port->error), "no memory for made-up packets");
		return -ENOMEM;
	}
	return 0;
}

static void synthetic_stop(struct tl_port *port)
{
	atomic_store_explicit(&synthetic_of(port)->is_done, true, memory_order_release);
}

static uint64_t synthetic_clock(const struct tl_port *port)
{
	(void)port;
	return 0; // the packets' own time is all there is
}

static bool synthetic_is_done(const struct tl_port *port)
{
	const struct synthetic_port *s = (const struct synthetic_port *)port;

	return atomic_load_explicit(&s->is_done, memory_order_acquire);
}

static void synthetic_stats(struct tl_port *port, struct tl_port_stats *ret_stats)
{
	memset(ret_stats, 0, sizeof(*ret_stats));
	ret_stats->received = synthetic_of(port)->made;
}

static void synthetic_close(struct tl_port *port)
{
	struct synthetic_port *s = synthetic_of(port);

	tl_distributor_destroy(s->distributor);
	rte_mempool_free(s->pool);
	free(s->conversations);
	free(s);
}

static const struct tl_port_ops synthetic_ops = {
	.kind = "synthetic",
	.start = synthetic_start,
	.stop = synthetic_stop,
	.clock = synthetic_clock,
	.is_done = synthetic_is_done,
	.stats = synthetic_stats,
	.close = synthetic_close,
};

int tl_port_open_synthetic(const struct tl_port_options *options, const struct tl_synthetic *load,
			   struct tl_port **ret_port, char *error, uint32_t error_size)
{
	if (load->flows == 0 || load->flows > TL_SYNTHETIC_FLOWS_MAX) {
		(void)snprintf(error, error_size, "from 1 to %u connections", TL_SYNTHETIC_FLOWS_MAX);
		return -EINVAL;
	}
	struct synthetic_port *s = calloc(1, sizeof(*s));
	if (s == NULL) {
		(void)snprintf(error, error_size, "out of memory");
		return -ENOMEM;
	}
	s->options = *options;
	s->load = *load;
	s->port.ops = &synthetic_ops;
	s->port.index = options->index;
	s->port.is_lossless = true;
	s->port.fd = -1;
	s->port.link = "Ethernet";
	(void)snprintf(s->port.name, sizeof(s->port.name), "synthetic");
	make_frames(s);
	*ret_port = &s->port;
	return 0;
}
