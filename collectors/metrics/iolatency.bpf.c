// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// How long block requests take, as the requests themselves say when they are completed.
#include "collectors/metrics/iolatency_count.h"

#define OP_MASK 0xff

static __always_inline __u32 op_of(__u32 flags)
{
	switch (flags & OP_MASK) {
	case 0: // REQ_OP_READ and so on: <linux/blk_types.h>, unchanged since 4.10
		return 0;
	case 1:
		return 1;
	case 2:
		return 2;
	case 3:
		return 3;
	default:
		return IOLATENCY_OPS;
	}
}

static __always_inline struct gendisk *disk_of(struct request *rq)
{
	if (bpf_core_field_exists(struct request___old, rq_disk))
		return BPF_CORE_READ((struct request___old *)rq, rq_disk);
	return BPF_CORE_READ(rq, q, disk);
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(complete_btf, struct request *rq, int error, unsigned int bytes)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 op = op_of(BPF_CORE_READ(rq, cmd_flags));
	struct gendisk *disk = disk_of(rq);

	// A part of a request may be completed: what counts is the last.
	if (op >= IOLATENCY_OPS || disk == NULL || bytes < BPF_CORE_READ(rq, __data_len))
		return 0;
	__u32 device = (__u32)BPF_CORE_READ(disk, major) << 20 |
		       (__u32)BPF_CORE_READ(disk, first_minor);
	count(device, op, BPF_CORE_READ(rq, bio, bi_blkg, blkcg, css.cgroup, kn, id),
	      since(BPF_CORE_READ(rq, start_time_ns), now),
	      since(BPF_CORE_READ(rq, io_start_time_ns), now));
	return 0;
}

TL_LICENSE;
