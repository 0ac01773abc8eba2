// SPDX-License-Identifier: Apache-2.0
// Nanoseconds per packet of decoding and hashing.
#include "figure.h"
#include "packet/packet.h"
#include "unit/wire.h"

#include <time.h>

#define ROUNDS 1600u
#define BATCHES 1500u // the fastest counts: others share the machine
#define PACKETS 16u

struct subject {
	struct wire wires[PACKETS];
	struct tl_chunk chunks[PACKETS];
	struct tl_packet packets[PACKETS];
	struct tl_headers headers[PACKETS];
	double decode, hash; // the fastest batch
};

static double now_ns(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void prepare(struct subject *s, const char *recipe)
{
	for (uint32_t i = 0; i < PACKETS; i++) {
		const struct wire *w = &s->wires[i];
		wire_build(&s->wires[i], recipe);
		s->chunks[i] = (struct tl_chunk) {.data = w->room + w->at, .len = wire_len(w)};
		s->packets[i] = (struct tl_packet) {.chunks = &s->chunks[i], .chunk_count = 1,
						    .link_type = w->link_type,
						    .len = s->chunks[i].len,
						    .original_len = s->chunks[i].len};
	}
	s->decode = s->hash = 1e9;
}

// Gives something that depends on the results, so that they are computed.
static uint64_t run_batch(struct subject *s)
{
	uint64_t sum = 0;
	double from = now_ns();

	for (uint32_t i = 0; i < ROUNDS; i++)
		sum += tl_packet_decode(&s->packets[i % PACKETS], &s->headers[i % PACKETS]);
	double middle = now_ns();
	for (uint32_t i = 0; i < ROUNDS; i++)
		sum += tl_tuple_hash(&s->headers[i % PACKETS].tuple, 42);
	double to = now_ns();
	s->decode = middle - from < s->decode ? middle - from : s->decode;
	s->hash = to - middle < s->hash ? to - middle : s->hash;
	return sum;
}

int main(void)
{
	static const char *const recipes[] = {
		"eth ipv4 tcp pay:10",
		"eth ipv4 tcpts pay:10",
		"eth vlan:7 ipv4 tcpts pay:10",
		"eth ipv6 tcpts pay:10",
		"eth ipv4 udp pay:40",
		"eth ipv6 tcpts pay:9",
		"eth ipv4 udp:4789 vxlan:42 eth ipv4 tcpts pay:9",
		"eth ipv4 udp:4790 gpe:42 eth ipv4 tcpts pay:9",
		"eth ipv4 udp:6081 geneve:42 eth ipv4 tcpts pay:9",
		"eth ipv4 udp:2152 gtpu:42 ipv4 tcpts pay:9",
		"eth ipv4 udp:2152 gtpux:42 ipv4 tcpts pay:9",
		"eth ipv4 udp:3544 ipv6 tcpts pay:9",
		"eth ipv4 udp:1701 l2tp:42 ipv4 tcpts pay:9",
		"eth ipv4 udp:1701 l2tpall:42 ipv4 tcpts pay:9",
		"eth ipv4 gre ipv4 tcpts pay:9",
		"eth ipv4 erspan1 eth ipv4 tcpts pay:9",
		"eth ipv4 erspan2:42 eth ipv4 tcpts pay:9",
		"eth ipv4 erspan3:42 eth ipv4 tcpts pay:9",
		"eth ipv4 ipv4 tcpts pay:9",
		"eth ipv4 ipv6 tcpts pay:9",
		"eth ipv6 ipv4 tcpts pay:9",
		"eth mpls:42 ipv4 tcpts pay:9",
		"eth pppoe:42 ipv4 tcpts pay:9",
		"eth nsh:42 ipv4 tcpts pay:9",
		"eth pbb:42 eth ipv4 tcpts pay:9",
		"eth vntag:42 ipv4 tcpts pay:9",
		"eth etag:42 ipv4 tcpts pay:9",
	};

	enum { SUBJECTS = sizeof(recipes) / sizeof(recipes[0]) };
	static struct subject subjects[SUBJECTS];
	uint64_t sum = 0;

	for (uint32_t i = 0; i < SUBJECTS; i++)
		prepare(&subjects[i], recipes[i]);
	// In turn, so that a slow moment of the machine is one of all.
	for (uint32_t batch = 0; batch < BATCHES; batch++)
		for (uint32_t i = 0; i < SUBJECTS; i++)
			sum += run_batch(&subjects[i]);
	for (uint32_t i = 0; i < SUBJECTS; i++) {
		figure("decode", subjects[i].decode / ROUNDS, "ns", recipes[i]);
		figure("hash", subjects[i].hash / ROUNDS, "ns", sum != 0 ? recipes[i] : "nothing");
	}
	return 0;
}
