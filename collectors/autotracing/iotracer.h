// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// What iotracer.bpf.c counts and iotracer_capture.c reads.
#pragma once

#include <linux/types.h>

#define IOTRACER_FILES_MAX 8192  // of one capture; what more there is is counted as lost
#define IOTRACER_BIOS_MAX 16384  // on their way; the oldest make room
#define IOTRACER_FRAMES_MAX 32
#define IOTRACER_COMM_BYTES 16

// One file as one process uses it.
struct iotracer_key {
	__u64 inode;     // 0: of no file, or direct
	__u32 fs_device; // of the file system, major << 20 | minor
	__u32 pid;       // process
	__u32 is_direct; // past the page cache
	__u32 unused;
};

struct iotracer_value {
	__u64 read_bytes, write_bytes;
	__u64 requests;       // completed, that the times below are of
	__u64 q2c_ns, d2c_ns; // sums
	__u64 max_q2c_ns, max_d2c_ns;
	char comm[IOTRACER_COMM_BYTES];
};

// A task that waited for I/O for long.
struct iotracer_stall {
	__u64 wait_ns;
	__u32 pid, tid, cpu;
	__u32 frame_count;
	char comm[IOTRACER_COMM_BYTES];
	__u64 frames[IOTRACER_FRAMES_MAX];
};
