// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Members of the kernel's network and timer structures that the events read, in the manner of
// collectors/bpf/kernel.h.
#pragma once

#ifdef __bpf__

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
	__u64 net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct net_device {
	char name[16];
	int ifindex;
	possible_net_t nd_net;
};

struct sock_common {
	unsigned short skc_family;
	unsigned char skc_state;
	possible_net_t skc_net;
};

struct sock {
	struct sock_common __sk_common;
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned int len;
	unsigned char *head;
	unsigned char *data;
	unsigned int tail;
	__u16 network_header;
	__u16 protocol;
	__u16 queue_mapping;
	int skb_iif;
	__s64 tstamp;
};

// Since 6.10; before, a flag since 6.0.
struct sk_buff___typed {
	__u8 tstamp_type : 2;
};

struct sk_buff___flagged {
	__u8 mono_delivery_time : 1;
};

struct timerqueue_node {
	__s64 expires;
};

struct hrtimer_cpu_base;

struct hrtimer_clock_base {
	struct hrtimer_cpu_base *cpu_base;
	int clockid;
};

struct hrtimer {
	struct timerqueue_node node;
	struct hrtimer_clock_base *base;
	__u8 is_soft;
};

struct task_struct___rt {
	int softirq_disable_cnt;
};

struct thread_info___arm64 {
	__u64 preempt_count;
};

struct task_struct___arm64 {
	struct thread_info___arm64 thread_info;
};

#pragma clang attribute pop

enum skb_drop_reason { SKB_NOT_DROPPED_YET };

#endif
