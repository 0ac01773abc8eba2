// SPDX-License-Identifier: Apache-2.0
// Nanoseconds per packet of decoding and hashing.
#include "figure.h"
#include "packet/packet.h"
#include "unit/wire.h"

#include <time.h>

#define ROUNDS 20000u
#define BATCHES 800u // the fastest counts: others share the machine
#define PACKETS 64u

static double now_ns(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void bench_decode(const char *recipe)
{
	static struct wire wires[PACKETS];
	static struct tl_chunk chunks[PACKETS];
	static struct tl_packet packets[PACKETS];
	static struct tl_headers headers[PACKETS];
	uint64_t sum = 0;

	for (uint32_t i = 0; i < PACKETS; i++) {
		wire_build(&wires[i], recipe);
		chunks[i] = (struct tl_chunk) {.data = wires[i].room + wires[i].at,
					       .len = wire_len(&wires[i])};
		packets[i] = (struct tl_packet) {.chunks = &chunks[i], .chunk_count = 1,
						 .link_type = wires[i].link_type,
						 .len = chunks[i].len, .original_len = chunks[i].len};
	}
	double decode = 1e9, hash = 1e9;
	for (uint32_t batch = 0; batch < BATCHES; batch++) {
		double from = now_ns();
		for (uint32_t i = 0; i < ROUNDS; i++)
			sum += tl_packet_decode(&packets[i % PACKETS], &headers[i % PACKETS]);
		double middle = now_ns();
		for (uint32_t i = 0; i < ROUNDS; i++)
			sum += tl_tuple_hash(&headers[i % PACKETS].tuple, 42);
		double to = now_ns();
		decode = middle - from < decode ? middle - from : decode;
		hash = to - middle < hash ? to - middle : hash;
	}
	figure("decode", decode / ROUNDS, "ns", recipe);
	figure("hash", hash / ROUNDS, "ns", sum != 0 ? recipe : "nothing");
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
		"eth ipv4 udp:3544 ipv6 tcpts pay:9",
		"eth ipv4 udp:1701 l2tp:42 ipv4 tcpts pay:9",
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

	for (uint32_t i = 0; i < sizeof(recipes) / sizeof(recipes[0]); i++)
		bench_decode(recipes[i]);
	return 0;
}
