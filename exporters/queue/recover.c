// SPDX-License-Identifier: Apache-2.0
// Opening the folder of a queue: what a crash left is read, never judged whole: only bytes that
// don't check are left out.
#include "exporters/queue/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENTS_MAX 65536u // files looked at

static int make_folder(const char *path)
{
	char part[PATH_MAX];

	if (strlen(path) >= sizeof(part))
		return -ENAMETOOLONG;
	strcpy(part, path);
	for (char *at = part + 1; *at != '\0'; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		if (mkdir(part, 0750) < 0 && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	return mkdir(part, 0750) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_folder(struct tl_disk *disk, const char *path)
{
	int rc = make_folder(path);
	if (rc < 0)
		return rc;
	disk->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (disk->folder < 0)
		return -errno;
	disk->lock = openat(disk->folder, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (disk->lock < 0)
		return -errno;
	if (flock(disk->lock, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	disk->cursor_fd = openat(disk->folder, "cursor", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return disk->cursor_fd < 0 ? -errno : 0;
}

// True if there was one. Both slots are there from now on: later writes need no space.
static bool read_cursor(struct tl_disk *disk)
{
	uint8_t file[TL_CURSOR_BYTES] = {0};
	ssize_t n = pread(disk->cursor_fd, file, sizeof(file), 0);

	if (n < (ssize_t)sizeof(file)) {
		uint8_t blank[TL_CURSOR_BYTES] = {0};
		memcpy(blank, file, n > 0 ? (size_t)n : 0);
		// On a full disk this is tried again with every save.
		if (pwrite(disk->cursor_fd, blank, sizeof(blank), 0) < 0)
			disk->is_dirty = true;
	}
	return n > 0 && tl_queue_cursor_read(tl_bytes(file, (uint32_t)n), &disk->cursor);
}

static int by_number(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
	return (a > b) - (a < b);
}

static int list_segments(const struct tl_disk *disk, uint64_t **ret_ids, uint32_t *ret_count)
{
	uint64_t *ids = malloc(SEGMENTS_MAX * sizeof(*ids));
	int fd = dup(disk->folder);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	uint32_t count = 0;

	if (ids == NULL || dir == NULL) {
		free(ids);
		if (dir != NULL)
			(void)closedir(dir);
		else if (fd >= 0)
			(void)close(fd);
		return -ENOMEM;
	}
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL && count < SEGMENTS_MAX;) {
		char *end;
		uint64_t id = strtoull(entry->d_name, &end, 16);
		if (end == entry->d_name + 16 && strcmp(end, ".seg") == 0)
			ids[count++] = id;
	}
	(void)closedir(dir);
	qsort(ids, count, sizeof(*ids), by_number);
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}

struct reading {
	struct tl_disk *disk;
	struct tl_disk_segment *segment;
	struct tl_queue_recovery *recovery;
	uint64_t expected_seq; // the frame that should come next, 0: any
};

static bool read_frame(void *arg, const struct tl_frame_head *head, uint64_t offset)
{
	struct reading *reading = arg;
	struct tl_queue_cursor *cursor = &reading->disk->cursor;
	struct tl_disk_segment *segment = reading->segment;

	if (head->time_ns > cursor->last_time_ns)
		cursor->last_time_ns = head->time_ns;
	if (head->seq < cursor->head_seq)
		return true;
	if (head->seq > reading->expected_seq && reading->expected_seq != 0)
		reading->recovery->frames_lost += head->seq - reading->expected_seq;
	reading->expected_seq = head->seq + 1;
	if (segment->frames++ == 0)
		segment->read_at = offset;
	segment->items += head->items;
	reading->recovery->frames++;
	reading->recovery->items += head->items;
	return true;
}

static void recover_segment(struct reading *reading, uint64_t id, bool is_last)
{
	struct tl_disk *disk = reading->disk;
	struct tl_disk_segment segment = {.id = id, .read_at = TL_SEGMENT_HEAD_BYTES};
	struct tl_segment_walk walk = {0};
	char name[32], aside[48];
	struct stat st = {0};

	(void)snprintf(name, sizeof(name), "%016" PRIx64 ".seg", id);
	int fd = openat(disk->folder, name, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	reading->segment = &segment;
	int rc = tl_segment_walk(fd, read_frame, reading, &walk);
	if (rc == -ENOTSUP) {
		(void)snprintf(aside, sizeof(aside), "%s.foreign", name);
		(void)renameat(disk->folder, name, disk->folder, aside);
		reading->recovery->foreign_files++;
		(void)close(fd);
		return;
	}
	(void)fstat(fd, &st);
	reading->recovery->damaged_bytes += walk.damaged_bytes;
	if (rc == -EINVAL)
		walk.tail_bytes = (uint64_t)st.st_size; // not even a header
	// Only the tail of the newest file can be the work of a crash in the middle of a write.
	if (is_last && walk.tail_bytes != 0 && ftruncate(fd, (off_t)walk.end) == 0) {
		reading->recovery->cut_bytes += walk.tail_bytes;
		st.st_size = (off_t)walk.end;
	} else {
		reading->recovery->damaged_bytes += walk.tail_bytes;
	}
	(void)close(fd);
	if (segment.frames == 0) {
		(void)unlinkat(disk->folder, name, 0);
		return;
	}
	if (disk->count == disk->capacity) {
		uint32_t capacity = disk->capacity == 0 ? 64 : disk->capacity * 2;
		struct tl_disk_segment *more =
			realloc(disk->segments, capacity * sizeof(*disk->segments));
		if (more == NULL)
			return; // stays on disk for the next start
		disk->segments = more;
		disk->capacity = capacity;
	}
	segment.size = (uint64_t)st.st_size;
	disk->file_bytes += segment.size;
	disk->segments[disk->count++] = segment;
}

static int recover(struct tl_disk *disk, struct tl_queue_recovery *recovery)
{
	struct reading reading = {.disk = disk, .recovery = recovery};
	bool has_cursor = read_cursor(disk);
	uint64_t *ids;
	uint32_t count;

	int rc = list_segments(disk, &ids, &count);
	if (rc < 0)
		return rc;
	recovery->is_unclean = has_cursor ? !disk->cursor.is_clean : count != 0;
	reading.expected_seq = disk->cursor.head_seq;
	for (uint32_t i = 0; i < count; i++)
		recover_segment(&reading, ids[i], i + 1 == count);
	free(ids);
	if (disk->cursor.next_seq > reading.expected_seq && has_cursor)
		recovery->frames_lost += disk->cursor.next_seq - reading.expected_seq;
	if (reading.expected_seq > disk->cursor.next_seq)
		disk->cursor.next_seq = reading.expected_seq;
	if (disk->cursor.next_seq == 0)
		disk->cursor.next_seq = 1;
	if (disk->cursor.head_seq == 0)
		disk->cursor.head_seq = 1;
	recovery->last_time_ns = disk->cursor.last_time_ns;
	disk->cursor.is_clean = false;
	tl_disk_save_cursor(disk);
	return 0;
}

int tl_disk_open(struct tl_disk *disk, const char *directory, const char *name,
		 uint64_t segment_bytes, struct tl_queue_recovery *recovery, char *error,
		 uint32_t error_size)
{
	char path[PATH_MAX];

	*disk = (struct tl_disk) {
		.folder = -1, .lock = -1, .cursor_fd = -1, .read_fd = -1, .write_fd = -1,
		.segment_bytes = segment_bytes,
	};
	int len = snprintf(path, sizeof(path), "%s/%s", directory, name);
	int rc = len < 0 || (size_t)len >= sizeof(path) ? -ENAMETOOLONG : open_folder(disk, path);
	if (rc == 0)
		rc = recover(disk, recovery);
	if (rc == 0)
		return 0;
	if (rc == -EBUSY)
		(void)snprintf(error, error_size, "the queue %s is in use: give each sink a name of "
			       "its own, and each tapline a queue.directory", path);
	else
		(void)snprintf(error, error_size, "the queue %s: %s (may this user write there? "
			       "queue: {storage: memory} does without)", path, strerror(-rc));
	if (disk->cursor_fd >= 0)
		(void)close(disk->cursor_fd);
	disk->cursor_fd = -1; // nothing was read: its mark stays
	tl_disk_close(disk);
	return rc;
}
