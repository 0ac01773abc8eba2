// SPDX-License-Identifier: Apache-2.0
// The disk queue: order, limits, and everything that a crash or a bad disk may leave behind.
#include "base/check.h"
#include "exporters/queue/queue.h"
#include "exporters/queue/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW UINT64_C(1800000000000000000)
#define KILLS 20

static char root[64];

// What the disk is known to hold: the length of each file when it was last forced out.
static struct {
	ino_t inode;
	off_t size;
} synced[16];
static uint32_t synced_count;

// In the place of libc's, for the queue too.
int fdatasync(int fd)
{
	struct stat st;
	uint32_t i = 0;

	if (fstat(fd, &st) < 0)
		return -1;
	while (i < synced_count && synced[i].inode != st.st_ino)
		i++;
	assert_true(i < TL_COUNT_OF(synced));
	synced_count += i == synced_count;
	synced[i].inode = st.st_ino;
	synced[i].size = st.st_size;
	return 0;
}

static int make_root(void **state)
{
	(void)state;
	strcpy(root, "/tmp/tl-queue-XXXXXX");
	return mkdtemp(root) == NULL;
}

static int remove_root(void **state)
{
	char command[128];
	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

static struct tl_queue_options options_of(uint32_t storage)
{
	return (struct tl_queue_options) {
		.storage = storage,
		.directory = root,
		.bytes_max = 8 << 20,
		.memory_bytes_max = 1 << 20,
		.fsync = TL_QUEUE_FSYNC_NEVER,
		.fsync_interval_ns = 1000000000,
	};
}

static struct tl_queue *open_queue(const struct tl_queue_options *options,
				   struct tl_queue_recovery *recovery)
{
	struct tl_queue_recovery mine;
	struct tl_queue *queue = NULL;
	char error[200] = "";

	if (tl_queue_open(options, "q", &queue, recovery != NULL ? recovery : &mine, error,
			  sizeof(error)) < 0)
		fail_msg("%s", error);
	return queue;
}

// Frame n holds n, then n % 251 bytes of it.
static struct tl_bytes frame_of(uint64_t n, uint8_t room[512])
{
	memcpy(room, &n, sizeof(n));
	memset(room + sizeof(n), (int)(n & 0xff), n % 251);
	return tl_bytes(room, (uint32_t)(sizeof(n) + n % 251));
}

static void push(struct tl_queue *queue, uint64_t n)
{
	uint8_t room[512];
	assert_int_equal(tl_queue_push(queue, frame_of(n, room), 1, NOW + n), 0);
}

// The number in the oldest frame, taken; 0 when empty.
static uint64_t take(struct tl_queue *queue)
{
	struct tl_queue_frame frame, again;
	uint8_t room[512];
	uint64_t n;

	if (!tl_queue_peek(queue, &frame))
		return 0;
	memcpy(&n, frame.payload.ptr, sizeof(n));
	struct tl_bytes expected = frame_of(n, room);
	assert_int_equal(frame.payload.len, expected.len);
	assert_memory_equal(frame.payload.ptr, expected.ptr, expected.len);
	assert_int_equal(frame.time_ns, NOW + n);
	assert_true(tl_queue_peek(queue, &again));
	assert_int_equal(again.seq, frame.seq);
	assert_true(tl_queue_pop(queue, frame.seq));
	assert_false(tl_queue_pop(queue, frame.seq));
	return n;
}

static void test_keeps_order_in_both_storages(void **state)
{
	(void)state;
	for (uint32_t storage = TL_QUEUE_DISK; storage <= TL_QUEUE_MEMORY; storage++) {
		struct tl_queue_options options = options_of(storage);
		struct tl_queue *queue = open_queue(&options, NULL);
		uint64_t expected = 1;
		for (uint64_t n = 1; n <= 3000; n++) {
			push(queue, n);
			if (n % 3 == 0)
				assert_int_equal(take(queue), expected++);
		}
		struct tl_queue_stats stats;
		tl_queue_stats(queue, &stats);
		assert_int_equal(stats.frames, 2000);
		assert_int_equal(stats.items, 2000);
		while (expected <= 3000)
			assert_int_equal(take(queue), expected++);
		assert_int_equal(take(queue), 0);
		assert_int_equal(tl_queue_close(queue), 0);
	}
}

static void test_survives_an_orderly_stop(void **state)
{
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);
	struct tl_queue_recovery recovery;

	(void)state;
	struct tl_queue *queue = open_queue(&options, &recovery);
	assert_false(recovery.is_unclean);
	for (uint64_t n = 1; n <= 5000; n++)
		push(queue, n);
	for (uint64_t n = 1; n <= 1234; n++)
		assert_int_equal(take(queue), n);
	assert_int_equal(tl_queue_close(queue), 0);
	queue = open_queue(&options, &recovery);
	assert_false(recovery.is_unclean);
	assert_int_equal(recovery.frames, 5000 - 1234);
	assert_int_equal(recovery.items, 5000 - 1234);
	assert_int_equal(recovery.frames_lost, 0);
	assert_int_equal(recovery.last_time_ns, NOW + 5000);
	push(queue, 5001);
	for (uint64_t n = 1235; n <= 5001; n++)
		assert_int_equal(take(queue), n);
	assert_int_equal(take(queue), 0);
	(void)tl_queue_close(queue);
	// Empty and closed in order: nothing is missed, the numbers go on.
	queue = open_queue(&options, &recovery);
	assert_false(recovery.is_unclean);
	assert_int_equal(recovery.frames_lost, 0);
	push(queue, 7);
	struct tl_queue_frame frame;
	assert_true(tl_queue_peek(queue, &frame));
	assert_int_equal(frame.seq, 5002);
	(void)tl_queue_close(queue);
}

static void test_lost_memory_is_told(void **state)
{
	struct tl_queue_options options = options_of(TL_QUEUE_MEMORY);
	struct tl_queue *queue = open_queue(&options, NULL);

	(void)state;
	push(queue, 1);
	push(queue, 2);
	assert_int_equal(tl_queue_close(queue), 2);
}

static void test_one_owner(void **state)
{
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);
	struct tl_queue *queue = open_queue(&options, NULL), *other;
	struct tl_queue_recovery recovery;
	char error[200] = "";

	(void)state;
	assert_int_equal(tl_queue_open(&options, "q", &other, &recovery, error, sizeof(error)),
			 -EBUSY);
	assert_non_null(strstr(error, "name"));
	(void)tl_queue_close(queue);
}

static void test_limits(void **state)
{
	static uint8_t big[100000];
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);
	struct tl_queue_stats stats;

	(void)state;
	struct tl_queue *queue = open_queue(&options, NULL);
	for (uint64_t n = 1; n <= 200; n++) {
		memcpy(big, &n, sizeof(n));
		assert_int_equal(tl_queue_push(queue, tl_bytes(big, sizeof(big)), 3, NOW + n), 0);
		tl_queue_stats(queue, &stats);
		assert_true(stats.file_bytes <= options.bytes_max);
		// Nothing is lost silently.
		assert_int_equal(stats.items + stats.dropped[TL_DROP_QUEUE_FULL], 3 * n);
	}
	assert_true(stats.dropped[TL_DROP_QUEUE_FULL] > 0);
	struct tl_queue_frame frame;
	assert_true(tl_queue_peek(queue, &frame));
	assert_int_equal(frame.seq, stats.dropped[TL_DROP_QUEUE_FULL] / 3 + 1); // the oldest went
	assert_int_equal(tl_queue_push(queue, tl_bytes(big, TL_QUEUE_FRAME_BYTES_MAX), 5, NOW),
			 -EMSGSIZE);
	(void)tl_queue_close(queue);

	options = options_of(TL_QUEUE_MEMORY);
	queue = open_queue(&options, NULL);
	for (uint64_t n = 1; n <= 20; n++)
		assert_int_equal(tl_queue_push(queue, tl_bytes(big, sizeof(big)), 3, NOW + n), 0);
	tl_queue_stats(queue, &stats);
	assert_true(stats.bytes <= options.memory_bytes_max);
	assert_int_equal(stats.items + stats.dropped[TL_DROP_QUEUE_FULL], 60);
	(void)tl_queue_close(queue);
}

static void test_age(void **state)
{
	(void)state;
	for (uint32_t storage = TL_QUEUE_DISK; storage <= TL_QUEUE_MEMORY; storage++) {
		struct tl_queue_options options = options_of(storage);
		struct tl_queue_stats stats;
		options.age_ns_max = 1000;
		struct tl_queue *queue = open_queue(&options, NULL);
		for (uint64_t n = 1; n <= 100; n++)
			push(queue, n);
		tl_queue_maintain(queue, NOW + 1041); // 1..40 are older than 1000 ns
		tl_queue_stats(queue, &stats);
		assert_int_equal(stats.dropped[TL_DROP_TOO_OLD], 40);
		assert_int_equal(take(queue), 41);
		(void)tl_queue_close(queue);
	}
}

// ---- Damage ------------------------------------------------------------------------------------

static void segment_path(char ret[512], uint32_t index)
{
	char folder[128], names[8][32];
	uint32_t count = 0;

	(void)snprintf(folder, sizeof(folder), "%s/q", root);
	DIR *dir = opendir(folder);
	assert_non_null(dir);
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
		if (strstr(entry->d_name, ".seg") != NULL && count < 8)
			(void)snprintf(names[count++], sizeof(names[0]), "%.31s", entry->d_name);
	(void)closedir(dir);
	qsort(names, count, sizeof(names[0]), (int (*)(const void *, const void *))strcmp);
	assert_true(index < count);
	(void)snprintf(ret, 512, "%s/%s", folder, names[index]);
}

static uint64_t size_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

#define FEW 6u

static void fill(uint64_t frames)
{
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);
	struct tl_queue *queue = open_queue(&options, NULL);
	for (uint64_t n = 1; n <= frames; n++)
		push(queue, n);
	(void)tl_queue_close(queue);
}

static void copy_file(const char *from, const char *to)
{
	uint8_t data[8192];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n = read(in, data, sizeof(data));
	assert_true(n >= 0 && n < (ssize_t)sizeof(data));
	assert_int_equal(write(out, data, (size_t)n), n);
	(void)close(in);
	(void)close(out);
}

static void clear_folder(void)
{
	char folder[128];

	(void)snprintf(folder, sizeof(folder), "%s/q", root);
	DIR *dir = opendir(folder);
	assert_non_null(dir);
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	(void)closedir(dir);
}

// Cut anywhere: every frame before the cut is there, what is behind is gone and told.
static void test_cut_at_every_byte(void **state)
{
	char path[512], whole[600];
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);

	(void)state;
	fill(FEW);
	segment_path(path, 0);
	(void)snprintf(whole, sizeof(whole), "%s/whole", root);
	copy_file(path, whole);
	uint64_t size = size_of(path), offset = TL_SEGMENT_HEAD_BYTES, frames = 0;
	for (uint64_t cut = 0; cut < size; cut++) {
		struct tl_queue_recovery recovery;
		clear_folder();
		copy_file(whole, path);
		assert_int_equal(truncate(path, (off_t)cut), 0);
		while (offset + TL_FRAME_HEAD_BYTES + 8 + frames + 1 <= cut) {
			frames++;
			offset += TL_FRAME_HEAD_BYTES + 8 + frames;
		}
		struct tl_queue *queue = open_queue(&options, &recovery);
		assert_int_equal(recovery.frames, frames);
		assert_true(recovery.is_unclean);
		assert_int_equal(recovery.cut_bytes, cut < TL_SEGMENT_HEAD_BYTES ? cut : cut - offset);
		for (uint64_t n = 1; n <= frames; n++)
			assert_int_equal(take(queue), n);
		push(queue, 77);
		assert_int_equal(take(queue), 77);
		(void)tl_queue_close(queue);
	}
}

// One bit flipped anywhere in a queue of several files costs the frame it is in, at most.
static void test_flipped_bits(void **state)
{
	char path[512], whole[600], cursor[600], saved[600];
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);

	(void)state;
	fill(FEW);
	segment_path(path, 0);
	(void)snprintf(whole, sizeof(whole), "%s/whole", root);
	(void)snprintf(cursor, sizeof(cursor), "%s/q/cursor", root);
	(void)snprintf(saved, sizeof(saved), "%s/cursor", root);
	copy_file(path, whole);
	copy_file(cursor, saved);
	uint64_t size = size_of(path);
	for (uint64_t at = 0; at < size; at++) {
		struct tl_queue_recovery recovery;
		uint8_t byte;
		if (at >= 8 && at < 12)
			continue; // the version: see below
		clear_folder();
		copy_file(whole, path);
		copy_file(saved, cursor);
		int fd = open(path, O_RDWR);
		assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
		byte ^= (uint8_t)(1u << at % 8);
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
		(void)close(fd);
		struct tl_queue *queue = open_queue(&options, &recovery);
		uint64_t seen = 0, last = 0;
		for (uint64_t n; (n = take(queue)) != 0; seen++) {
			assert_true(n > last);
			last = n;
		}
		assert_true(seen + 1 >= FEW);
		assert_int_equal(seen + recovery.frames_lost, FEW);
		if (seen < FEW)
			assert_true(recovery.damaged_bytes + recovery.cut_bytes > 0);
		(void)tl_queue_close(queue);
	}
}

// Bytes that go bad after the queue was opened.
static void test_damage_while_open(void **state)
{
	char path[512];
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);
	struct tl_queue *queue = open_queue(&options, NULL);
	struct tl_queue_stats stats;

	(void)state;
	for (uint64_t n = 1; n <= 5; n++)
		push(queue, n);
	segment_path(path, 0);
	int fd = open(path, O_RDWR);
	// The second frame's payload, then the last one's.
	assert_int_equal(pwrite(fd, "?", 1, TL_SEGMENT_HEAD_BYTES + 2 * TL_FRAME_HEAD_BYTES + 9 + 3), 1);
	assert_int_equal(pwrite(fd, "?", 1, (off_t)size_of(path) - 2), 1);
	(void)close(fd);
	assert_int_equal(take(queue), 1);
	assert_int_equal(take(queue), 3);
	assert_int_equal(take(queue), 4);
	assert_int_equal(take(queue), 0);
	tl_queue_stats(queue, &stats);
	assert_int_equal(stats.dropped[TL_DROP_DAMAGED], 2);
	assert_true(stats.damaged_bytes > 0);
	assert_int_equal(stats.items, 0);
	push(queue, 6);
	assert_int_equal(take(queue), 6);
	(void)tl_queue_close(queue);
}

// A frame that can't be read any more while it is being sent: the next one is, not that one for ever.
static void test_damage_under_way(void **state)
{
	char path[512];
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);
	struct tl_queue *queue = open_queue(&options, NULL);
	struct tl_queue_frame frame;

	(void)state;
	push(queue, 1);
	push(queue, 2);
	assert_true(tl_queue_peek(queue, &frame));
	assert_int_equal(frame.seq, 1);
	segment_path(path, 0);
	int fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "????", 4, TL_SEGMENT_HEAD_BYTES), 4); // its mark
	assert_false(tl_queue_pop(queue, 1));
	assert_true(tl_queue_peek(queue, &frame));
	assert_int_equal(frame.seq, 2);
	assert_int_equal(ftruncate(fd, TL_SEGMENT_HEAD_BYTES), 0); // and nothing is left
	(void)close(fd);
	assert_false(tl_queue_pop(queue, 2));
	assert_false(tl_queue_peek(queue, &frame));
	push(queue, 3);
	assert_int_equal(take(queue), 3);
	(void)tl_queue_close(queue);
}

static void test_other_version_is_left_alone(void **state)
{
	char path[512], aside[600];
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);
	struct tl_queue_recovery recovery;

	(void)state;
	fill(FEW);
	segment_path(path, 0);
	int fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "\x02", 1, 8), 1);
	(void)close(fd);
	uint64_t size = size_of(path);
	struct tl_queue *queue = open_queue(&options, &recovery);
	assert_int_equal(recovery.foreign_files, 1);
	assert_int_equal(recovery.frames, 0);
	(void)snprintf(aside, sizeof(aside), "%s.foreign", path);
	assert_int_equal(size_of(aside), size);
	push(queue, 9);
	assert_int_equal(take(queue), 9);
	(void)tl_queue_close(queue);
}

// Files as version 1 has them: two frames, of which the first is delivered. They stay when another
// version comes: what an older program left must be read. Written by hand from segment.h.
static const uint8_t segment_of_version_1[] = {
	0x54, 0x4c, 0x51, 0x55, 0x45, 0x55, 0x45, 0x0a, 0x01, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00,
	0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xd7, 0xfa, 0x1a, 0x3d,
	0x54, 0x4c, 0x51, 0x46, 0x16, 0x58, 0x4d, 0x11, 0x05, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
	0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0xb4, 0x93, 0x76, 0xe2, 0xfa, 0x18,
	0x66, 0x69, 0x72, 0x73, 0x74, 0x54, 0x4c, 0x51, 0x46, 0xcd, 0x57, 0xe2, 0x51, 0x06, 0x00, 0x00,
	0x00, 0x03, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0xb4,
	0x93, 0x76, 0xe2, 0xfa, 0x18, 0x73, 0x65, 0x63, 0x6f, 0x6e, 0x64,
};
static const uint8_t cursor_of_version_1[] = {
	0x54, 0x4c, 0x43, 0x55, 0x52, 0x53, 0x4f, 0x52, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0xb4, 0x93, 0x76, 0xe2, 0xfa, 0x18,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x4e, 0x44, 0xa8, 0xc4,
	0x54, 0x4c, 0x43, 0x55, 0x52, 0x53, 0x4f, 0x52, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
	0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0xb4, 0x93, 0x76, 0xe2, 0xfa, 0x18,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0e, 0xeb, 0xd1, 0xb7,
};

static void write_file(const char *name, const uint8_t *data, size_t len)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/q/%s", root, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	(void)close(fd);
}

static void test_version_1_is_read(void **state)
{
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);
	struct tl_queue_recovery recovery;
	struct tl_queue_frame frame;

	(void)state;
	(void)tl_queue_close(open_queue(&options, NULL)); // makes the folder
	clear_folder();
	write_file("0000000000000001.seg", segment_of_version_1, sizeof(segment_of_version_1));
	write_file("cursor", cursor_of_version_1, sizeof(cursor_of_version_1));
	struct tl_queue *queue = open_queue(&options, &recovery);
	assert_false(recovery.is_unclean);
	assert_int_equal(recovery.foreign_files, 0);
	assert_int_equal(recovery.damaged_bytes, 0);
	assert_int_equal(recovery.frames_lost, 0);
	assert_int_equal(recovery.frames, 1);
	assert_int_equal(recovery.items, 3);
	assert_true(tl_queue_peek(queue, &frame));
	assert_int_equal(frame.seq, 2);
	assert_int_equal(frame.items, 3);
	assert_int_equal(frame.time_ns, NOW + 2);
	assert_int_equal(frame.payload.len, strlen("second"));
	assert_memory_equal(frame.payload.ptr, "second", frame.payload.len);
	assert_true(tl_queue_pop(queue, 2));
	push(queue, 9);
	assert_true(tl_queue_peek(queue, &frame));
	assert_int_equal(frame.seq, 3); // the numbers go on
	(void)tl_queue_close(queue);
}

// A change of what is written needs another version, and this test's files kept beside its own.
static void test_version_1_is_written(void **state)
{
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);
	uint8_t file[sizeof(segment_of_version_1) + 1];
	char path[512];

	(void)state;
	struct tl_queue *queue = open_queue(&options, NULL);
	assert_int_equal(tl_queue_push(queue, tl_bytes((const uint8_t *)"first", 5), 2, NOW + 1), 0);
	assert_int_equal(tl_queue_push(queue, tl_bytes((const uint8_t *)"second", 6), 3, NOW + 2), 0);
	(void)tl_queue_close(queue);
	segment_path(path, 0);
	int fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, file, sizeof(file)), (ssize_t)sizeof(segment_of_version_1));
	(void)close(fd);
	assert_memory_equal(file, segment_of_version_1, sizeof(segment_of_version_1));
}

// A disk that takes no more: what comes meanwhile waits in memory, and nothing changes places.
static void test_full_disk(void **state)
{
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);
	struct tl_queue_stats stats;
	struct rlimit before, small;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	struct tl_queue *queue = open_queue(&options, NULL);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 20000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (uint64_t n = 1; n <= 1000; n++)
		push(queue, n);
	tl_queue_stats(queue, &stats);
	assert_true(stats.is_disk_failing);
	assert_int_equal(stats.items, 1000);
	for (uint64_t n = 1; n <= 300; n++)
		assert_int_equal(take(queue), n);
	small.rlim_cur = 5000; // not even a new file
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (uint64_t n = 1001; n <= 1100; n++)
		push(queue, n);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	(void)usleep(1050000); // it is tried again after a second
	tl_queue_maintain(queue, NOW);
	tl_queue_stats(queue, &stats);
	assert_false(stats.is_disk_failing);
	assert_int_equal(stats.items, 800);
	assert_int_equal(tl_queue_close(queue), 0);
	struct tl_queue_recovery recovery;
	queue = open_queue(&options, &recovery);
	assert_int_equal(recovery.frames, 800);
	assert_int_equal(recovery.frames_lost, 0);
	for (uint64_t n = 301; n <= 1100; n++)
		assert_int_equal(take(queue), n);
	(void)tl_queue_close(queue);
}

// ---- Power cut ---------------------------------------------------------------------------------

// Files become as long as they were when they were last forced out: what a machine that lost its
// power at this moment may find.
static void cut_power(void)
{
	char path[400];

	(void)snprintf(path, sizeof(path), "%s/q", root);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		struct stat st;
		uint32_t i = 0;
		if (strstr(entry->d_name, ".seg") == NULL)
			continue;
		assert_int_equal(fstatat(dirfd(dir), entry->d_name, &st, 0), 0);
		while (i < synced_count && synced[i].inode != st.st_ino)
			i++;
		(void)snprintf(path, sizeof(path), "%s/q/%s", root, entry->d_name);
		assert_int_equal(truncate(path, i < synced_count ? synced[i].size : 0), 0);
	}
	(void)closedir(dir);
}

// Pushes 500 frames (one file), maintaining after each 100, and loses the power: how many are back.
static uint64_t back_after_power_cut(uint32_t fsync, uint64_t interval_ns)
{
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);
	struct tl_queue_recovery recovery;

	synced_count = 0;
	options.fsync = fsync;
	options.fsync_interval_ns = interval_ns;
	pid_t child = fork();
	if (child == 0) { // holds the lock until it is killed
		struct tl_queue *queue = open_queue(&options, NULL);
		for (uint64_t n = 1; n <= 500; n++) {
			push(queue, n);
			if (n % 100 == 50)
				tl_queue_maintain(queue, NOW + n);
		}
		cut_power();
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	struct tl_queue *queue = open_queue(&options, &recovery);
	assert_true(recovery.is_unclean);
	uint64_t count = 0;
	while (take(queue) == count + 1)
		count++;
	assert_int_equal(recovery.frames, count);
	(void)tl_queue_close(queue);
	return count;
}

// The policies keep what they promise.
static void test_power_cut(void **state)
{
	(void)state;
	assert_int_equal(back_after_power_cut(TL_QUEUE_FSYNC_ALWAYS, 0), 500);
	assert_int_equal(remove_root(NULL), 0);
	assert_int_equal(make_root(NULL), 0);
	// An interval of nothing: with each maintain(), the last of which came at 450.
	assert_int_equal(back_after_power_cut(TL_QUEUE_FSYNC_INTERVAL, 0), 450);
	assert_int_equal(remove_root(NULL), 0);
	assert_int_equal(make_root(NULL), 0);
	// None has passed since the start but the first.
	assert_int_equal(back_after_power_cut(TL_QUEUE_FSYNC_INTERVAL, UINT64_C(3600000000000)), 50);
	assert_int_equal(remove_root(NULL), 0);
	assert_int_equal(make_root(NULL), 0);
	assert_int_equal(back_after_power_cut(TL_QUEUE_FSYNC_NEVER, 0), 0);
}

// ---- Kill -9 -----------------------------------------------------------------------------------

// Pushes without end; `pushed` is shared with the parent.
static void write_until_killed(volatile uint64_t *pushed)
{
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);
	struct tl_queue_recovery recovery;
	struct tl_queue *queue;
	uint8_t room[512];
	char error[200];

	options.bytes_max = 1 << 30;
	options.fsync = TL_QUEUE_FSYNC_INTERVAL;
	options.fsync_interval_ns = 5000000;
	if (tl_queue_open(&options, "q", &queue, &recovery, error, sizeof(error)) < 0)
		_exit(1);
	for (uint64_t n = *pushed + 1;; n++) {
		if (tl_queue_push(queue, frame_of(n, room), 1, NOW + n) < 0)
			_exit(1);
		*pushed = n;
		if (n % 64 == 0)
			tl_queue_maintain(queue, NOW);
	}
}

// What push() returned for is there after a kill, in order; the gap is told.
static void test_killed_at_random_times(void **state)
{
	volatile uint64_t *pushed = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct tl_queue_options options = options_of(TL_QUEUE_DISK);
	uint64_t next = 1, end = 0;

	(void)state;
	options.bytes_max = 1 << 30;
	srandom((unsigned)getpid());
	for (uint32_t round = 0; round < KILLS; round++) {
		struct tl_queue_recovery recovery;
		*pushed = end;
		pid_t child = fork();
		if (child == 0)
			write_until_killed(pushed);
		while (*pushed == end)
			(void)usleep(100);
		(void)usleep((unsigned)(random() % 20000));
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		struct tl_queue *queue = open_queue(&options, &recovery);
		assert_true(recovery.is_unclean);
		assert_int_equal(recovery.frames_lost, 0);
		assert_true(recovery.frames >= *pushed + 1 - next);
		// Half of it, so that the next round begins with a backlog.
		uint64_t n = 0, count = recovery.frames / 2 + 1;
		for (uint64_t i = 0; i < count && (n = take(queue)) != 0; i++)
			assert_int_equal(n, next++);
		end = recovery.last_time_ns - NOW;
		assert_true(end >= *pushed && end <= *pushed + 1); // one may have been under way
		(void)tl_queue_close(queue);
	}
	struct tl_queue *queue = open_queue(&options, NULL);
	for (uint64_t n; (n = take(queue)) != 0;)
		assert_int_equal(n, next++);
	assert_int_equal(next, end + 1);
	(void)tl_queue_close(queue);
	(void)munmap((void *)(uintptr_t)pushed, 4096);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_keeps_order_in_both_storages),
		TEST(test_survives_an_orderly_stop),
		TEST(test_lost_memory_is_told),
		TEST(test_one_owner),
		TEST(test_limits),
		TEST(test_age),
		TEST(test_cut_at_every_byte),
		TEST(test_flipped_bits),
		TEST(test_damage_while_open),
		TEST(test_damage_under_way),
		TEST(test_other_version_is_left_alone),
		TEST(test_version_1_is_read),
		TEST(test_version_1_is_written),
		TEST(test_full_disk),
		TEST(test_power_cut),
		TEST(test_killed_at_random_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
