// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What the BPF programs of the events share: who is running, which packet it is, how much may be told.
#pragma once

#ifdef __bpf__

#include "collectors/bpf/kernel.h"
#include "collectors/event/event_record.h"
#include "collectors/event/kernel.bpf.h"

#define ETH_P_IP_BE 0x0008   // as the kernel's __be16 reads on a little-endian machine
#define ETH_P_IPV6_BE 0xdd86
#define IPPROTO_TCP 6
#define SECOND_NS 1000000000ull

TL_LICENSE;

// Written by the user side at any time.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tl_event_setting);
} settings SEC(".maps");

// Read by it.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tl_event_counts);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TL_EVENT_RING_BYTES);
} events SEC(".maps");

static const __u32 zero = 0;

// At most setting->rate events a second; two CPUs that begin a second at once may let some more
// pass. On false nothing is to be told.
static __always_inline bool may_tell(const struct tl_event_setting *setting, __u64 now_ns)
{
	struct tl_event_counts *count = bpf_map_lookup_elem(&counts, &zero);

	if (count == NULL || setting->rate == 0) // the user side has not set anything yet
		return false;
	__sync_fetch_and_add(&count->seen, 1);
	if (now_ns - count->since_ns >= SECOND_NS) {
		count->since_ns = now_ns;
		count->told = 0;
	}
	if (__sync_fetch_and_add(&count->told, 1) < setting->rate)
		return true;
	__sync_fetch_and_add(&count->suppressed, 1);
	return false;
}

// NULL when there is no room, which is counted.
static __always_inline void *note_lost(void *record)
{
	struct tl_event_counts *count = bpf_map_lookup_elem(&counts, &zero);

	if (record == NULL && count != NULL)
		__sync_fetch_and_add(&count->lost, 1);
	return record;
}
#define RESERVE(type) ((type *)note_lost(bpf_ringbuf_reserve(&events, sizeof(type), 0)))

// The task that runs on this CPU, which need not be the cause of what happens in an interrupt.
static __always_inline void note_task(struct tl_event_task *task, __u64 now_ns)
{
	__u64 ids = bpf_get_current_pid_tgid();

	task->time_ns = now_ns;
	task->pid = ids >> 32;
	task->tid = (__u32)ids;
	task->cpu = bpf_get_smp_processor_id();
	task->cgroup = tl_cgroup_of((struct task_struct *)bpf_get_current_task());
	bpf_get_current_comm(task->comm, sizeof(task->comm));
}

static __always_inline void note_stack(void *ctx, struct tl_event_stack *stack)
{
	long bytes = bpf_get_stack(ctx, stack->frames, sizeof(stack->frames), 0);

	stack->count = bytes < 0 ? 0 : (__u32)bytes / sizeof(stack->frames[0]);
}

// The kernel numbers namespaces from PROC_DYNAMIC_FIRST on, but for the first ones, which since 6.18
// have numbers just below.
#define FIRST_NAMESPACE 0xeffffff0u

// The device that has the packet. A packet in a socket's queue has something else in its place, so
// what is found there must look like a device.
static __always_inline struct net_device *device_of(struct sk_buff *skb)
{
	struct net_device *dev = BPF_CORE_READ(skb, dev);

	return BPF_CORE_READ(dev, nd_net.net, ns.inum) >= FIRST_NAMESPACE ? dev : NULL;
}

// A packet that a device has belongs to that one's namespace, though it may still refer to the socket
// of its sender.
static __always_inline struct net *net_of(struct sk_buff *skb, struct sock *sk)
{
	struct net_device *dev = device_of(skb);

	return dev != NULL ? BPF_CORE_READ(dev, nd_net.net) :
	       sk != NULL ? BPF_CORE_READ(sk, __sk_common.skc_net.net) : NULL;
}

// Where the packet's network header is, or what is there in its place; `is_at_door`: it comes from a
// device, which leaves it at the beginning of the data.
static __always_inline unsigned char *network_header(struct sk_buff *skb, bool is_at_door,
						     __u32 *ret_len)
{
	unsigned char *head = BPF_CORE_READ(skb, head);
	__u32 at = BPF_CORE_READ(skb, network_header), tail = BPF_CORE_READ(skb, tail);

	if (is_at_door || at == 0 || at >= tail)
		at = (__u32)(BPF_CORE_READ(skb, data) - head);
	*ret_len = at < tail ? tail - at : 0;
	return head + at;
}

static __always_inline bool is_ip(__u16 protocol)
{
	return protocol == ETH_P_IP_BE || protocol == ETH_P_IPV6_BE;
}

static __always_inline bool is_tcp(struct sk_buff *skb, bool is_at_door)
{
	__u16 protocol = BPF_CORE_READ(skb, protocol);
	__u8 next = 0;
	__u32 len;

	if (!is_ip(protocol))
		return false;
	unsigned char *header = network_header(skb, is_at_door, &len);
	bpf_probe_read_kernel(&next, 1, header + (protocol == ETH_P_IP_BE ? 9 : 6));
	return next == IPPROTO_TCP;
}

static __always_inline void note_packet(struct sk_buff *skb, struct sock *sk, bool is_at_door,
					struct tl_event_packet *packet)
{
	struct net_device *dev = device_of(skb);
	struct net *net = net_of(skb, sk);
	__u32 len;
	unsigned char *header = network_header(skb, is_at_door, &len);

	if (len > sizeof(packet->header))
		len = sizeof(packet->header);
	bpf_probe_read_kernel(packet->header, len, header);
	packet->header_len = len;
	packet->len = BPF_CORE_READ(skb, len);
	packet->protocol = BPF_CORE_READ(skb, protocol);
	packet->queue = BPF_CORE_READ(skb, queue_mapping);
	packet->ifindex = dev == NULL ? BPF_CORE_READ(skb, skb_iif) : BPF_CORE_READ(dev, ifindex);
	packet->net_inum = BPF_CORE_READ(net, ns.inum);
	packet->net_cookie = 0;
	if (bpf_core_field_exists(net->net_cookie))
		packet->net_cookie = BPF_CORE_READ(net, net_cookie);
	packet->device[0] = '\0';
	if (dev != NULL)
		BPF_CORE_READ_STR_INTO(&packet->device, dev, name);
}

#endif
