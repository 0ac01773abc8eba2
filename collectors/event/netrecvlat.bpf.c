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

#define STAGES 3u
#define TYPES 4u
#define SLACK_NS 500000ll // of ticks, which are not quite in step with the clock

// The oldest stamps that can't be too old before this tick ends: to read a clock costs most of what
// is done here, and this spares it for all packets of a tick but the first.
struct young {
	__u64 tick;
	__s64 oldest_ns[STAGES][TYPES]; // by the clock of the stamp's type
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct young);
} youngs SEC(".maps");

static __always_inline __s64 offset_of(__u32 type)
{
	__s64 *offset_ns = bpf_map_lookup_elem(&offsets, &type);

	return offset_ns == NULL ? 0 : *offset_ns;
}

static __always_inline void renew(struct young *young, __u64 tick)
{
	const struct tl_event_setting *setting = bpf_map_lookup_elem(&settings, &zero);

	if (setting == NULL)
		return;
	__s64 latest_ns = (__s64)(bpf_ktime_get_ns() + setting->tick_ns) + SLACK_NS;
	for (__u32 type = 0; type < TYPES; type++)
		for (__u32 stage = 0; stage < STAGES; stage++)
			young->oldest_ns[stage][type] = latest_ns + offset_of(type) -
							(__s64)setting->threshold_ns[stage];
	young->tick = tick;
}

// False: the clock must say it.
static __always_inline bool is_young(__s64 stamp_ns, __u32 stage, __u32 type)
{
	struct young *young = bpf_map_lookup_elem(&youngs, &zero);
	__u64 tick = bpf_jiffies64();

	if (young == NULL)
		return true;
	if (young->tick != tick)
		renew(young, tick);
	return stamp_ns > young->oldest_ns[stage][type % TYPES];
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
	__u32 type;

	if (stamp_ns == 0)
		return 0;
	type = stamp_type(skb, may_look);
	if (is_young(stamp_ns, stage, type))
		return 0;
	const struct tl_event_setting *setting = bpf_map_lookup_elem(&settings, &zero);
	__u64 now_ns = bpf_ktime_get_ns();
	__s64 offset_ns = offset_of(type);
	__s64 latency_ns = (__s64)now_ns + offset_ns - stamp_ns;
	if (setting == NULL || latency_ns < (__s64)setting->threshold_ns[stage] ||
	    !is_tcp(skb, stage == TL_RX_NETIF))
		return 0;
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
	record->offset_ns = offset_ns;
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
