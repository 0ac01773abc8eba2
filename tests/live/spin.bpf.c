// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// A packet filter for tc that keeps its CPU busy for 25 ms on each IPv4 packet of some length.
#include "collectors/bpf/kernel.h"

#define SPIN_NS 25000000ull
#define ETH_P_IP_BE 0x0008

TL_LICENSE;

static long turn(__u32 index, void *arg)
{
	const __u64 *end_ns = arg;

	(void)index;
	return bpf_ktime_get_ns() >= *end_ns;
}

SEC("tc") int spin(struct __sk_buff *skb)
{
	__u64 end_ns = bpf_ktime_get_ns() + SPIN_NS;

	if (skb->protocol == ETH_P_IP_BE && skb->len > 500)
		bpf_loop(1 << 23, turn, &end_ns, 0);
	return 0;
}
