// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Packets that the kernel drops: the kernel frees them by kfree_skb, while those that arrived are
// consumed.
#include "collectors/event/event.bpf.h"

static __always_inline bool is_wanted(const struct tl_event_setting *setting, struct sk_buff *skb)
{
	if ((setting->flags & TL_DROPWATCH_TCP) != 0)
		return is_tcp(skb, false);
	return (setting->flags & TL_DROPWATCH_IP) == 0 || is_ip(BPF_CORE_READ(skb, protocol));
}

static __always_inline int on_free(void *ctx, struct sk_buff *skb, void *location, __u32 reason)
{
	const struct tl_event_setting *setting = bpf_map_lookup_elem(&settings, &zero);
	__u64 now_ns = bpf_ktime_get_ns();

	if (setting == NULL || !is_wanted(setting, skb) || !may_tell(setting, now_ns))
		return 0;
	struct tl_dropwatch_record *record = RESERVE(struct tl_dropwatch_record);
	if (record == NULL)
		return 0;
	struct sock *sk = BPF_CORE_READ(skb, sk);
	note_task(&record->task, now_ns);
	note_stack(ctx, &record->stack);
	note_packet(skb, sk, false, &record->packet);
	record->location = (__u64)location;
	record->reason = reason;
	// With a device's packet it would be the sender's.
	record->tcp_state = sk == NULL || device_of(skb) != NULL ? 0 :
			    BPF_CORE_READ(sk, __sk_common.skc_state);
	bpf_ringbuf_submit(record, 0);
	return 0;
}

// The reason came with its enumeration (5.17); where that isn't known the verifier never sees the
// third argument.
#define REASON(ctx) \
	(bpf_core_type_exists(enum skb_drop_reason) ? (__u32)((__u64 *)(ctx))[2] : 0)

SEC("tp_btf/kfree_skb") int BPF_PROG(free_btf, struct sk_buff *skb, void *location)
{
	return on_free(ctx, skb, location, REASON(ctx));
}

SEC("raw_tp/kfree_skb") int BPF_PROG(free_raw, struct sk_buff *skb, void *location)
{
	return on_free(ctx, skb, location, REASON(ctx));
}
