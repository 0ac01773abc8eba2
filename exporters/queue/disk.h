// SPDX-License-Identifier: Apache-2.0
// The queue's part on disk: a folder of segments, oldest first. Same owner and rules as queue.h.
#pragma once

#include "exporters/queue/queue.h"
#include "exporters/queue/segment.h"

struct tl_disk_segment {
	uint64_t id;      // its file's name: the first seq it was made for
	uint64_t size;
	uint64_t read_at; // of its first frame that waits
	uint64_t frames;  // that wait
	uint64_t items;
};

struct tl_disk {
	int folder, lock, cursor_fd, read_fd, write_fd; // -1: none
	uint64_t read_id;       // segment of read_fd
	struct tl_disk_segment *segments;
	uint32_t count, capacity;
	uint64_t segment_bytes; // a new one is begun beyond
	uint64_t file_bytes;    // of all segments
	struct tl_queue_cursor cursor;
	bool is_dirty;          // written and not synced
	bool syncs;             // false: by nobody but the kernel
	uint64_t damaged_bytes;
	uint64_t damaged_items; // of frames that could not be read back
	uint8_t *buffer;        // payload of the last frame read
	uint32_t buffer_size;
};

int tl_disk_open(struct tl_disk *disk, const char *directory, const char *name,
		 uint64_t segment_bytes, struct tl_queue_recovery *recovery, char *error,
		 uint32_t error_size);
// 0 or -errno; after a failure the segment is as it was before.
int tl_disk_append(struct tl_disk *disk, const struct tl_frame_head *head, struct tl_bytes payload);
// The oldest frame; `ret_payload` may be NULL to read its head only. False: none waits.
bool tl_disk_first(struct tl_disk *disk, struct tl_frame_head *ret_head,
		   struct tl_bytes *ret_payload);
void tl_disk_pop(struct tl_disk *disk, const struct tl_frame_head *head);
// Deletes the oldest segment; returns the items that waited in it.
uint64_t tl_disk_drop_segment(struct tl_disk *disk);
int tl_disk_sync(struct tl_disk *disk); // data and cursor
void tl_disk_save_cursor(struct tl_disk *disk);
void tl_disk_close(struct tl_disk *disk);
