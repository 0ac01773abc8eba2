// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Who uses one disk, through which file, and who waits for it. A bio is attributed where it is made:
// later it may be a worker of the kernel that sends it on. How long it took is known by the request
// that it became.
#include "collectors/bpf/kernel.h"

#include "collectors/autotracing/iotracer.h"

#define OP_MASK 0xff
#define OP_READ 0 // REQ_OP_READ and so on: <linux/blk_types.h>, unchanged since 4.10
#define OP_WRITE 1
#define MAPPING_FLAGS 3 // in the low bits of page->mapping: anonymous, not of a file
#define REQUIRES_DEVICE 1 // FS_REQUIRES_DEV: <linux/fs.h>
#define TYPE_MASK 0170000
#define BLOCK_DEVICE 0060000 // S_IFBLK
#define UNINTERRUPTIBLE 2

// Members that only this program reads. The suffix is not part of the kernel's name.
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct block_device___io {
	struct gendisk *bd_disk;
};

struct file_system_type___io {
	int fs_flags;
};

struct super_block___io {
	__u32 s_dev;
	struct file_system_type___io *s_type;
};

struct inode___io {
	unsigned short i_mode;
	unsigned long i_ino;
	struct super_block___io *i_sb;
};

struct address_space___io {
	struct inode___io *host;
};

struct page___io {
	struct address_space___io *mapping;
	unsigned long compound_head;
};

struct bio_vec___io {
	struct page___io *bv_page;
};

struct bvec_iter___io {
	unsigned int bi_size;
};

struct bio___io {
	struct block_device___io *bi_bdev;
	unsigned int bi_opf;
	struct bvec_iter___io bi_iter;
	struct bio_vec___io *bi_io_vec;
};

struct task_struct___io {
	unsigned in_iowait : 1;
};

#pragma clang attribute pop

const volatile __u32 disk = 0; // major << 20 | minor
const volatile __u64 stall_ns = 100000000;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IOTRACER_FILES_MAX);
	__type(key, struct iotracer_key);
	__type(value, struct iotracer_value);
} files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, IOTRACER_BIOS_MAX);
	__type(key, __u64);
	__type(value, struct iotracer_key);
} bios SEC(".maps");

// Since when a task waits.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, __u64);
} waits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 17);
} stalls SEC(".maps");

static const struct iotracer_value zero;

static __always_inline bool is_disk(const struct gendisk *gendisk)
{
	return ((__u32)BPF_CORE_READ(gendisk, major) << 20 |
		(__u32)BPF_CORE_READ(gendisk, first_minor)) == disk;
}

// Direct I/O may use any memory, also that of a file which is in memory only.
static __always_inline bool is_on_disk(const struct inode___io *inode)
{
	return (BPF_CORE_READ(inode, i_mode) & TYPE_MASK) == BLOCK_DEVICE ||
	       (BPF_CORE_READ(inode, i_sb, s_type, fs_flags) & REQUIRES_DEVICE) != 0;
}

// The file whose page a bio begins with.
static __always_inline void find_file(struct bio___io *bio, struct iotracer_key *key)
{
	struct page___io *page = BPF_CORE_READ(bio, bi_io_vec, bv_page);
	unsigned long head = BPF_CORE_READ(page, compound_head);

	if (head & 1) // not the first page of its folio
		page = (struct page___io *)(head - 1);
	struct address_space___io *mapping = BPF_CORE_READ(page, mapping);
	key->is_direct = 1;
	if (mapping == NULL || ((unsigned long)mapping & MAPPING_FLAGS) != 0)
		return;
	struct inode___io *inode = BPF_CORE_READ(mapping, host);
	if (!is_on_disk(inode))
		return;
	key->is_direct = 0;
	key->inode = BPF_CORE_READ(inode, i_ino);
	key->fs_device = BPF_CORE_READ(inode, i_sb, s_dev);
}

SEC("tp_btf/block_bio_queue")
int BPF_PROG(bio_queue, struct bio___io *bio)
{
	struct iotracer_key key = {};
	__u32 op = BPF_CORE_READ(bio, bi_opf) & OP_MASK;
	__u32 bytes = BPF_CORE_READ(bio, bi_iter.bi_size);
	__u64 address = (__u64)bio;

	if (op > OP_WRITE || bytes == 0 || !is_disk(BPF_CORE_READ(bio, bi_bdev, bd_disk)))
		return 0;
	key.pid = bpf_get_current_pid_tgid() >> 32;
	find_file(bio, &key);
	struct iotracer_value *value = bpf_map_lookup_elem(&files, &key);
	if (value == NULL) {
		bpf_map_update_elem(&files, &key, &zero, BPF_NOEXIST);
		value = bpf_map_lookup_elem(&files, &key);
		if (value == NULL)
			return 0;
		bpf_get_current_comm(value->comm, sizeof(value->comm));
	}
	__sync_fetch_and_add(op == OP_READ ? &value->read_bytes : &value->write_bytes, bytes);
	bpf_map_update_elem(&bios, &address, &key, BPF_ANY);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(rq_complete, struct request *rq, int error, unsigned int bytes)
{
	__u64 now = bpf_ktime_get_ns(), address = (__u64)BPF_CORE_READ(rq, bio);
	__u64 made = BPF_CORE_READ(rq, start_time_ns), sent = BPF_CORE_READ(rq, io_start_time_ns);
	struct iotracer_key *key = bpf_map_lookup_elem(&bios, &address);

	if (key == NULL || !is_disk(BPF_CORE_READ(rq, q, disk)))
		return 0;
	struct iotracer_value *value = bpf_map_lookup_elem(&files, key);
	bpf_map_delete_elem(&bios, &address);
	if (value == NULL || made == 0 || made > now)
		return 0;
	__u64 q2c = now - made, d2c = sent == 0 || sent > now ? 0 : now - sent;
	__sync_fetch_and_add(&value->requests, 1);
	__sync_fetch_and_add(&value->q2c_ns, q2c);
	__sync_fetch_and_add(&value->d2c_ns, d2c);
	if (q2c > value->max_q2c_ns)
		value->max_q2c_ns = q2c;
	if (d2c > value->max_d2c_ns)
		value->max_d2c_ns = d2c;
	return 0;
}

static __always_inline void tell_stall(struct task_struct *task, __u64 wait_ns)
{
	struct iotracer_stall *stall = bpf_ringbuf_reserve(&stalls, sizeof(*stall), 0);

	if (stall == NULL)
		return;
	stall->wait_ns = wait_ns;
	stall->pid = BPF_CORE_READ(task, tgid);
	stall->tid = BPF_CORE_READ(task, pid);
	stall->cpu = bpf_get_smp_processor_id();
	BPF_CORE_READ_STR_INTO(&stall->comm, task, comm);
	// It is not yet switched to: its stack is that of its wait.
	long len = bpf_get_task_stack(task, stall->frames, sizeof(stall->frames), 0);
	stall->frame_count = len < 0 ? 0 : (__u32)len / sizeof(stall->frames[0]);
	bpf_ringbuf_submit(stall, 0);
}

static __always_inline bool waits_for_io(struct task_struct *task)
{
	unsigned int state = bpf_core_field_exists(task->__state) ?
		BPF_CORE_READ(task, __state) :
		(unsigned int)BPF_CORE_READ((struct task_struct___old *)task, state);

	return (state & UNINTERRUPTIBLE) != 0 &&
	       BPF_CORE_READ_BITFIELD_PROBED((struct task_struct___io *)task, in_iowait);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 tid = BPF_CORE_READ(prev, pid);

	if (waits_for_io(prev))
		bpf_map_update_elem(&waits, &tid, &now, BPF_ANY);
	tid = BPF_CORE_READ(next, pid);
	__u64 *since = bpf_map_lookup_elem(&waits, &tid);
	if (since == NULL)
		return 0;
	__u64 wait_ns = now - *since;
	bpf_map_delete_elem(&waits, &tid);
	if (wait_ns > stall_ns)
		tell_stall(next, wait_ns);
	return 0;
}

TL_LICENSE;
