// SPDX-License-Identifier: Apache-2.0
// What the BPF programs of the events hand to their user side. Only fixed-size types: two compilers
// read this.
#pragma once

#include <linux/types.h>

#define TL_EVENT_RING_BYTES (256u << 10)
#define TL_EVENT_FRAMES 48u
#define TL_EVENT_HEADER_BYTES 128u // the longest IPv4 and TCP headers are 120

// The user side writes it, at any time.
struct tl_event_setting {
	__u64 threshold_ns[3]; // the meaning is the collector's
	__u64 flags;           // the same
	__u64 rate;            // events a second
	__u64 tick_ns;         // how long a tick (jiffy) is
};

struct tl_event_counts {
	__u64 seen;       // events, of which
	__u64 suppressed; // by the rate
	__u64 lost;       // for want of room in the ring
	__u64 since_ns;   // the second of the rate
	__u64 told;       // events in it
};

struct tl_event_task {
	__u64 time_ns; // monotonic
	__u64 cgroup;  // inode of the directory
	__u32 pid, tid;
	__u32 cpu;
	char comm[16];
};

struct tl_event_stack {
	__u64 frames[TL_EVENT_FRAMES];
	__u32 count;
};

struct tl_event_packet {
	__u64 net_cookie;
	__u32 net_inum;
	__u32 ifindex;
	__u32 len;
	__u32 header_len;
	__u16 protocol; // in network byte order
	__u16 queue;
	char device[16];
	__u8 header[TL_EVENT_HEADER_BYTES]; // from the network header on
};

enum tl_softirq_kind { TL_SOFTIRQ_LATE, TL_SOFTIRQ_LONG, TL_SOFTIRQ_TIMER };

struct tl_softirq_record {
	struct tl_event_task task;
	struct tl_event_stack stack;
	__u64 duration_ns, threshold_ns;
	__u32 kind;
	__u32 vectors; // a bit for each that it may be: several where only the stack can tell
};

struct tl_memreclaim_record {
	struct tl_event_task task;
	struct tl_event_stack stack;
	__u64 duration_ns, threshold_ns;
	__u64 reclaimed; // pages
	__u32 is_memcg;
};

enum tl_dropwatch_flag { TL_DROPWATCH_TCP = 1, TL_DROPWATCH_IP = 2 }; // no other packets

struct tl_dropwatch_record {
	struct tl_event_task task;
	struct tl_event_stack stack;
	struct tl_event_packet packet;
	__u64 location;
	__u32 reason;
	__u32 tcp_state; // of the socket, 0 without one
};

enum tl_netrecvlat_stage { TL_RX_NETIF, TL_RX_TCP, TL_RX_USERCOPY };
enum tl_netrecvlat_flag { TL_NETRECVLAT_HOST = 1 }; // the host's own network namespace, too

struct tl_netrecvlat_record {
	struct tl_event_task task;
	struct tl_event_packet packet;
	__u64 latency_ns, threshold_ns;
	__s64 offset_ns;  // of the stamp's clock to the monotonic one, as the program was told
	__u32 stage;
	__u32 stamp_type; // 0 wall clock, 1 monotonic, 2 TAI
	__u32 tcp_state;
};

struct tl_hungtask_record {
	struct tl_event_task task; // the hung one
	struct tl_event_stack stack;
};
