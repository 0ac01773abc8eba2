// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// How old a packet is, by the stamp that it got when it was received, on its way through the
// kernel: at the network layer's door, in TCP, and when it is copied to the application.
#include "collectors/event/event.bpf.h"

#define AF_INET 2
#define AF_INET6 10

// Nanoseconds to add to the monotonic clock for that of a stamp's type, and what the user side
// needs to know that it changed them.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __s64);
} offsets SEC(".maps");

const volatile __u32 host_net = 0; // inode of the host's network namespace

// When a clock was read, and in which tick: to read it costs most of what is done here, and most
// packets are so young that the ticks since then tell it.
struct reading {
	__u64 ns, ticks;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct reading);
} readings SEC(".maps");

#define READING_TICKS 64 // then its error is still below SLACK_NS
#define SLACK_NS 500000ull

// It is not later than this.
static __always_inline __u64 latest_ns(__u64 tick_ns)
{
	struct reading *reading = bpf_map_lookup_elem(&readings, &zero);
	__u64 ticks = bpf_jiffies64();

	if (reading == NULL)
		return ~0ull >> 1;
	if (ticks - reading->ticks > READING_TICKS) {
		reading->ns = bpf_ktime_get_ns();
		reading->ticks = ticks;
	}
	return reading->ns + (ticks - reading->ticks + 1) * tick_ns + SLACK_NS;
}

// A stamp is of the wall clock, unless it says otherwise: the time of departure on the monotonic
// clock, that a packet from this host keeps until it is delivered, or on that of TAI. `may_look`: as
// in HOOKS.
static __always_inline __u32 stamp_type(struct sk_buff *skb, bool may_look)
{
	struct sk_buff___typed *typed = (void *)skb;
	struct sk_buff___flagged *flagged = (void *)skb;

	if (bpf_core_field_exists(typed->tstamp_type))
		return may_look ? BPF_CORE_READ_BITFIELD(typed, tstamp_type) :
				  BPF_CORE_READ_BITFIELD_PROBED(typed, tstamp_type);
	if (bpf_core_field_exists(flagged->mono_delivery_time))
		return BPF_CORE_READ_BITFIELD_PROBED(flagged, mono_delivery_time);
	return 0;
}

static __always_inline int on_packet(void *ctx, struct sk_buff *skb, struct sock *sk,
				     __s64 stamp_ns, bool may_look, __u32 stage)
{
	const struct tl_event_setting *setting = bpf_map_lookup_elem(&settings, &zero);
	__u32 type;

	if (stamp_ns == 0 || setting == NULL)
		return 0;
	type = stamp_type(skb, may_look);
	__s64 *offset_ns = bpf_map_lookup_elem(&offsets, &type);
	if (offset_ns == NULL)
		return 0;
	__s64 least_ns = stamp_ns - *offset_ns + (__s64)setting->threshold_ns[stage];
	if ((__s64)latest_ns(setting->tick_ns) < least_ns)
		return 0;
	__u64 now_ns = bpf_ktime_get_ns();
	if ((__s64)now_ns < least_ns || !is_tcp(skb, stage == TL_RX_NETIF))
		return 0;
	__s64 latency_ns = (__s64)now_ns + *offset_ns - stamp_ns;
	if (stage == TL_RX_USERCOPY) {
		sk = BPF_CORE_READ(skb, sk);
		__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
		if (family != AF_INET && family != AF_INET6) // one that captures packets
			return 0;
	}
	if ((setting->flags & TL_NETRECVLAT_HOST) == 0 &&
	    BPF_CORE_READ(net_of(skb, sk), ns.inum) == host_net)
		return 0;
	if (!may_tell(setting, now_ns))
		return 0;
	struct tl_netrecvlat_record *record = RESERVE(struct tl_netrecvlat_record);
	if (record == NULL)
		return 0;
	note_task(&record->task, now_ns);
	note_packet(skb, sk, stage == TL_RX_NETIF, &record->packet);
	record->latency_ns = (__u64)latency_ns;
	record->threshold_ns = setting->threshold_ns[stage];
	record->offset_ns = *offset_ns;
	record->stage = stage;
	record->stamp_type = type;
	record->tcp_state = sk == NULL ? 0 : BPF_CORE_READ(sk, __sk_common.skc_state);
	bpf_ringbuf_submit(record, 0);
	return 0;
}

// The two kinds read members in different ways: one may look at them, the other must copy them. On
// every packet a copy would be the dearest part.
#define HOOKS(kind, suffix, stamp, may_look) \
	SEC(kind "/netif_receive_skb") int BPF_PROG(netif_##suffix, struct sk_buff *skb) \
	{ \
		return on_packet(ctx, skb, NULL, stamp, may_look, TL_RX_NETIF); \
	} \
	SEC(kind "/tcp_probe") \
	int BPF_PROG(tcp_##suffix, struct sock *sk, struct sk_buff *skb) \
	{ \
		return on_packet(ctx, skb, sk, stamp, may_look, TL_RX_TCP); \
	} \
	SEC(kind "/skb_copy_datagram_iovec") int BPF_PROG(copy_##suffix, struct sk_buff *skb) \
	{ \
		return on_packet(ctx, skb, NULL, stamp, may_look, TL_RX_USERCOPY); \
	}

HOOKS("tp_btf", btf, skb->tstamp, true)
HOOKS("raw_tp", raw, BPF_CORE_READ(skb, tstamp), false)
