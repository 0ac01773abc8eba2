// SPDX-License-Identifier: Apache-2.0
#include "exporters/queue/disk.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BYTES 32u
#define BUFFER_STEP (64u << 10)

static void segment_name(uint64_t id, char ret[NAME_BYTES])
{
	(void)snprintf(ret, NAME_BYTES, "%016" PRIx64 ".seg", id);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static int write_at(int fd, const void *data, size_t len, uint64_t at)
{
	const uint8_t *p = data;

	while (len != 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static bool read_at(int fd, void *data, size_t len, uint64_t at)
{
	uint8_t *p = data;

	while (len != 0) {
		ssize_t n = pread(fd, p, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return true;
}

// ---- Cursor and sync ---------------------------------------------------------------------------

void tl_disk_save_cursor(struct tl_disk *disk)
{
	uint8_t slot[TL_CURSOR_SLOT_BYTES];

	disk->cursor.generation++;
	tl_queue_cursor_write(&disk->cursor, slot);
	// A cursor that could not be written costs repeated deliveries after a crash, nothing else.
	(void)write_at(disk->cursor_fd, slot, sizeof(slot),
		       disk->cursor.generation % 2 * TL_CURSOR_SLOT_BYTES);
}

int tl_disk_sync(struct tl_disk *disk)
{
	int rc = 0;

	tl_disk_save_cursor(disk);
	if (disk->write_fd >= 0 && fdatasync(disk->write_fd) < 0)
		rc = -errno;
	if (fdatasync(disk->cursor_fd) < 0 && rc == 0)
		rc = -errno;
	disk->is_dirty = rc < 0;
	return rc;
}

// ---- Segments ----------------------------------------------------------------------------------

static struct tl_disk_segment *add_segment(struct tl_disk *disk, uint64_t id, uint64_t size)
{
	if (disk->count == disk->capacity) {
		uint32_t capacity = disk->capacity == 0 ? 64 : disk->capacity * 2;
		struct tl_disk_segment *more =
			realloc(disk->segments, capacity * sizeof(*disk->segments));
		if (more == NULL)
			return NULL;
		disk->segments = more;
		disk->capacity = capacity;
	}
	disk->segments[disk->count] =
		(struct tl_disk_segment) {.id = id, .size = size, .read_at = TL_SEGMENT_HEAD_BYTES};
	disk->file_bytes += size;
	return &disk->segments[disk->count++];
}

uint64_t tl_disk_drop_segment(struct tl_disk *disk)
{
	char name[NAME_BYTES];

	if (disk->count == 0)
		return 0;
	struct tl_disk_segment oldest = disk->segments[0];
	if (disk->count == 1)
		close_fd(&disk->write_fd);
	if (disk->read_id == oldest.id)
		close_fd(&disk->read_fd);
	segment_name(oldest.id, name);
	(void)unlinkat(disk->folder, name, 0);
	disk->file_bytes -= oldest.size;
	disk->count--;
	memmove(disk->segments, disk->segments + 1, disk->count * sizeof(*disk->segments));
	return oldest.items;
}

// Segments without a waiting frame go, the one that is written to excepted.
static void drop_read_segments(struct tl_disk *disk)
{
	while (disk->count != 0 && disk->segments[0].frames == 0 &&
	       (disk->count > 1 || disk->write_fd < 0))
		(void)tl_disk_drop_segment(disk);
}

static int begin_segment(struct tl_disk *disk, uint64_t seq)
{
	uint8_t head[TL_SEGMENT_HEAD_BYTES];
	char name[NAME_BYTES];

	if (disk->write_fd >= 0 && disk->is_dirty && disk->syncs)
		(void)fdatasync(disk->write_fd);
	close_fd(&disk->write_fd);
	segment_name(seq, name);
	int fd = openat(disk->folder, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	tl_segment_head(seq, head);
	int rc = write_at(fd, head, sizeof(head), 0);
	if (rc == 0 && add_segment(disk, seq, sizeof(head)) == NULL)
		rc = -ENOMEM;
	if (rc < 0) {
		(void)close(fd);
		(void)unlinkat(disk->folder, name, 0);
		return rc;
	}
	if (disk->syncs)
		(void)fsync(disk->folder);
	disk->write_fd = fd;
	drop_read_segments(disk);
	return 0;
}

int tl_disk_append(struct tl_disk *disk, const struct tl_frame_head *head, struct tl_bytes payload)
{
	uint8_t raw[TL_FRAME_HEAD_BYTES];
	int rc = 0;

	if (disk->write_fd < 0 || disk->segments[disk->count - 1].size >= disk->segment_bytes)
		rc = begin_segment(disk, head->seq);
	if (rc < 0)
		return rc;
	struct tl_disk_segment *last = &disk->segments[disk->count - 1];
	tl_frame_head(head, payload, raw);
	rc = write_at(disk->write_fd, raw, sizeof(raw), last->size);
	if (rc == 0)
		rc = write_at(disk->write_fd, payload.ptr, payload.len, last->size + sizeof(raw));
	if (rc < 0) {
		// Takes no space. Where it fails, the next frame overwrites the rest of this one.
		if (ftruncate(disk->write_fd, (off_t)last->size) < 0)
			disk->is_dirty = true;
		return rc;
	}
	last->size += sizeof(raw) + payload.len;
	last->frames++;
	last->items += head->items;
	disk->file_bytes += sizeof(raw) + payload.len;
	disk->is_dirty = true;
	disk->cursor.next_seq = head->seq + 1;
	if (head->time_ns > disk->cursor.last_time_ns)
		disk->cursor.last_time_ns = head->time_ns;
	return 0;
}

// ---- Reading -----------------------------------------------------------------------------------

static bool open_oldest(struct tl_disk *disk)
{
	char name[NAME_BYTES];

	drop_read_segments(disk);
	if (disk->count == 0 || disk->segments[0].frames == 0)
		return false;
	if (disk->read_fd >= 0 && disk->read_id == disk->segments[0].id)
		return true;
	close_fd(&disk->read_fd);
	segment_name(disk->segments[0].id, name);
	disk->read_fd = openat(disk->folder, name, O_RDONLY | O_CLOEXEC);
	disk->read_id = disk->segments[0].id;
	return true;
}

static bool read_frame(struct tl_disk *disk, struct tl_frame_head *head, struct tl_bytes *payload)
{
	const struct tl_disk_segment *oldest = &disk->segments[0];
	uint8_t raw[TL_FRAME_HEAD_BYTES];

	if (disk->read_fd < 0 || !read_at(disk->read_fd, raw, sizeof(raw), oldest->read_at) ||
	    !tl_frame_head_read(raw, head) ||
	    oldest->read_at + sizeof(raw) + head->len > oldest->size)
		return false;
	if (payload == NULL)
		return true;
	if (disk->buffer_size < head->len || disk->buffer == NULL) {
		uint32_t size = (head->len + BUFFER_STEP) / BUFFER_STEP * BUFFER_STEP;
		uint8_t *more = realloc(disk->buffer, size);
		if (more == NULL)
			return false;
		disk->buffer = more;
		disk->buffer_size = size;
	}
	*payload = tl_bytes(disk->buffer, head->len);
	return read_at(disk->read_fd, disk->buffer, head->len, oldest->read_at + sizeof(raw)) &&
	       tl_frame_check(raw, *payload);
}

struct finding {
	uint64_t from, found; // offsets
	uint64_t frames, items;
};

static bool find_next(void *arg, const struct tl_frame_head *head, uint64_t offset)
{
	struct finding *finding = arg;

	if (offset <= finding->from)
		return true;
	if (finding->frames++ == 0)
		finding->found = offset;
	finding->items += head->items;
	return true;
}

// The frame that should be here can't be read: on to the next sound one of the segment. What
// recovery left out already was never counted.
static void skip_damage(struct tl_disk *disk)
{
	struct tl_disk_segment *oldest = &disk->segments[0];
	struct finding finding = {.from = oldest->read_at, .found = oldest->size};
	struct tl_segment_walk walk;

	if (disk->read_fd < 0 || tl_segment_walk(disk->read_fd, find_next, &finding, &walk) < 0)
		finding = (struct finding) {.found = oldest->size};
	if (oldest->items > finding.items) {
		disk->damaged_items += oldest->items - finding.items;
		disk->damaged_bytes += finding.found - oldest->read_at;
	}
	oldest->read_at = finding.found;
	oldest->frames = finding.frames;
	oldest->items = finding.items;
	if (oldest->frames == 0 && disk->count == 1)
		close_fd(&disk->write_fd); // nothing is written behind damage
}

bool tl_disk_first(struct tl_disk *disk, struct tl_frame_head *ret_head,
		   struct tl_bytes *ret_payload)
{
	while (open_oldest(disk)) {
		if (read_frame(disk, ret_head, ret_payload))
			return true;
		skip_damage(disk);
	}
	return false;
}

void tl_disk_pop(struct tl_disk *disk, const struct tl_frame_head *head)
{
	struct tl_disk_segment *oldest = &disk->segments[0];

	TL_ASSERT(disk->count != 0 && oldest->frames != 0);
	oldest->read_at += TL_FRAME_HEAD_BYTES + head->len;
	oldest->frames--;
	oldest->items -= head->items < oldest->items ? head->items : oldest->items;
	disk->cursor.head_seq = head->seq + 1;
	tl_disk_save_cursor(disk);
	drop_read_segments(disk);
}

void tl_disk_close(struct tl_disk *disk)
{
	if (disk->cursor_fd >= 0) {
		disk->cursor.is_clean = true;
		if (disk->syncs)
			(void)tl_disk_sync(disk);
		else
			tl_disk_save_cursor(disk);
	}
	close_fd(&disk->write_fd);
	close_fd(&disk->read_fd);
	close_fd(&disk->cursor_fd);
	close_fd(&disk->lock);
	close_fd(&disk->folder);
	free(disk->segments);
	free(disk->buffer);
	disk->segments = NULL;
	disk->buffer = NULL;
	disk->count = disk->capacity = 0;
}
