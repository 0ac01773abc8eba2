// SPDX-License-Identifier: Apache-2.0
#include "exporters/queue/disk.h"

#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEGMENTS_WANTED 64u            // the limit of size is kept in steps of one segment
#define SEGMENT_BYTES_MIN (64u << 10)
#define SEGMENT_BYTES_MAX (64u << 20)
#define DISK_RETRY_NS UINT64_C(1000000000)

static const char *const storage_words[] = {"disk", "memory", NULL};
static const char *const fsync_words[] = {"never", "interval", "always", NULL};

#define ROW(key_text, member, row_type, default_value, ...) \
	{.key = key_text, .type = row_type, .offset = offsetof(struct tl_queue_options, member), \
	 .value = default_value, __VA_ARGS__}

const struct tl_option tl_queue_rows[] = {
	ROW("storage", storage, TL_OPTION_CHOICE, "disk", .choices = storage_words,
	    .help = "Where it waits: disk outlives restarts and crashes, memory doesn't."),
	ROW("directory", directory, TL_OPTION_TEXT, TL_QUEUE_DIRECTORY,
	    .help = "Folder for the queues of all sinks; each makes its own in it."),
	ROW("max_size", bytes_max, TL_OPTION_SIZE, "1GiB", .min = 1 << 20, .max = UINT64_C(1) << 44,
	    .help = "Room on disk; beyond it the oldest is dropped and counted. Sinks with several "
		    "lanes share it evenly."),
	ROW("max_age", age_ns_max, TL_OPTION_DURATION, "2d",
	    .help = "What waits longer is dropped and counted, 0 for never."),
	ROW("memory", memory_bytes_max, TL_OPTION_SIZE, "32MiB", .min = 1 << 20,
	    .max = UINT64_C(1) << 36,
	    .help = "Room in memory, used with storage: memory and while the disk is full."),
	ROW("fsync", fsync, TL_OPTION_CHOICE, "interval", .choices = fsync_words,
	    .help = "When data is forced to the disk. Only a crash of the machine can cost what was "
		    "not: kill -9 costs nothing that was queued."),
	ROW("fsync_interval", fsync_interval_ns, TL_OPTION_DURATION, "1s",
	    .min = UINT64_C(10000000), .max = UINT64_C(3600000000000),
	    .help = "For fsync: interval."),
	TL_OPTION_END,
};

struct memory_frame {
	struct memory_frame *next;
	struct tl_frame_head head;
	uint8_t payload[];
};

struct tl_queue {
	struct tl_queue_options options;
	bool has_disk;
	struct tl_disk disk;
	uint64_t next_seq;
	struct memory_frame *first, **last; // newer than all on disk
	uint64_t memory_bytes, memory_frames, memory_items;
	uint64_t disk_retry_ns;  // CLOCK_MONOTONIC, while it fails
	uint64_t synced_ns;      // CLOCK_MONOTONIC
	bool is_cached;          // `cached` is the oldest frame, its payload in disk.buffer
	struct tl_frame_head cached;
	struct tl_queue_stats stats;
};

int tl_queue_open(const struct tl_queue_options *options, const char *name,
		  struct tl_queue **ret_queue, struct tl_queue_recovery *ret_recovery, char *error,
		  uint32_t error_size)
{
	struct tl_queue *queue = calloc(1, sizeof(*queue));
	uint64_t segment_bytes = options->bytes_max / SEGMENTS_WANTED;

	*ret_recovery = (struct tl_queue_recovery) {0};
	if (queue == NULL)
		return -ENOMEM;
	queue->options = *options;
	queue->last = &queue->first;
	queue->next_seq = 1;
	queue->has_disk = options->storage == TL_QUEUE_DISK;
	if (queue->has_disk) {
		segment_bytes = segment_bytes < SEGMENT_BYTES_MIN ? SEGMENT_BYTES_MIN :
				segment_bytes > SEGMENT_BYTES_MAX ? SEGMENT_BYTES_MAX : segment_bytes;
		int rc = tl_disk_open(&queue->disk, options->directory, name, segment_bytes,
				      ret_recovery, error, error_size);
		if (rc < 0) {
			free(queue);
			return rc;
		}
		queue->disk.syncs = options->fsync != TL_QUEUE_FSYNC_NEVER;
		queue->next_seq = queue->disk.cursor.next_seq;
	}
	*ret_queue = queue;
	return 0;
}

// ---- Memory ------------------------------------------------------------------------------------

static void free_first(struct tl_queue *queue)
{
	struct memory_frame *frame = queue->first;

	queue->first = frame->next;
	if (queue->first == NULL)
		queue->last = &queue->first;
	queue->memory_bytes -= sizeof(*frame) + frame->head.len;
	queue->memory_frames--;
	queue->memory_items -= frame->head.items;
	free(frame);
}

static int keep_in_memory(struct tl_queue *queue, const struct tl_frame_head *head,
			  struct tl_bytes payload)
{
	uint64_t size = sizeof(struct memory_frame) + payload.len;

	if (size > queue->options.memory_bytes_max) {
		queue->stats.dropped[TL_DROP_TOO_LARGE] += head->items;
		return -EMSGSIZE;
	}
	while (queue->memory_bytes + size > queue->options.memory_bytes_max) {
		queue->stats.dropped[TL_DROP_QUEUE_FULL] += queue->first->head.items;
		free_first(queue);
	}
	struct memory_frame *frame = malloc(size);
	if (frame == NULL) {
		queue->stats.dropped[TL_DROP_OTHER] += head->items;
		return -ENOMEM;
	}
	frame->next = NULL;
	frame->head = *head;
	memcpy(frame->payload, payload.ptr, payload.len);
	*queue->last = frame;
	queue->last = &frame->next;
	queue->memory_bytes += size;
	queue->memory_frames++;
	queue->memory_items += head->items;
	return 0;
}

// ---- Disk --------------------------------------------------------------------------------------

static int keep_on_disk(struct tl_queue *queue, const struct tl_frame_head *head,
			struct tl_bytes payload)
{
	struct tl_disk *disk = &queue->disk;
	uint64_t size = TL_FRAME_HEAD_BYTES + payload.len;

	while (disk->count != 0 && disk->file_bytes + size > queue->options.bytes_max) {
		queue->stats.dropped[TL_DROP_QUEUE_FULL] += tl_disk_drop_segment(disk);
		queue->is_cached = false;
	}
	int rc = tl_disk_append(disk, head, payload);
	if (rc < 0) {
		queue->stats.disk_errors++;
		queue->stats.is_disk_failing = true;
		queue->disk_retry_ns = tl_clock_ns(CLOCK_MONOTONIC) + DISK_RETRY_NS;
		return rc;
	}
	queue->stats.is_disk_failing = false;
	if (queue->options.fsync == TL_QUEUE_FSYNC_ALWAYS && tl_disk_sync(disk) < 0)
		queue->stats.disk_errors++;
	return 0;
}

// What had to stay in memory goes to the disk before anything newer does.
static bool spill(struct tl_queue *queue)
{
	if (queue->stats.is_disk_failing && tl_clock_ns(CLOCK_MONOTONIC) < queue->disk_retry_ns)
		return false;
	while (queue->first != NULL) {
		struct memory_frame *frame = queue->first;
		if (keep_on_disk(queue, &frame->head,
				 tl_bytes(frame->payload, frame->head.len)) < 0)
			return false;
		free_first(queue);
	}
	return true;
}

int tl_queue_push(struct tl_queue *queue, struct tl_bytes payload, uint32_t items, uint64_t time_ns)
{
	struct tl_frame_head head = {
		.len = payload.len, .items = items, .seq = queue->next_seq, .time_ns = time_ns};
	int rc = -EIO;

	if (payload.len > TL_QUEUE_FRAME_BYTES_MAX ||
	    (queue->has_disk && payload.len + SEGMENT_BYTES_MIN > queue->options.bytes_max)) {
		queue->stats.dropped[TL_DROP_TOO_LARGE] += items;
		return -EMSGSIZE;
	}
	if (queue->has_disk && spill(queue))
		rc = keep_on_disk(queue, &head, payload);
	if (rc < 0)
		rc = keep_in_memory(queue, &head, payload);
	if (rc < 0)
		return rc;
	queue->next_seq++;
	return 0;
}

// ---- The oldest --------------------------------------------------------------------------------

// Frames that turned out to be unreadable.
static void note_damage(struct tl_queue *queue)
{
	struct tl_disk *disk = &queue->disk;

	queue->stats.damaged_bytes += disk->damaged_bytes;
	queue->stats.dropped[TL_DROP_DAMAGED] += disk->damaged_items;
	disk->damaged_bytes = disk->damaged_items = 0;
}

// The oldest on disk. What `cached` holds is only good while it is that one: a frame that turns out to
// be unreadable later is not delivered for ever.
static bool first_on_disk(struct tl_queue *queue, struct tl_frame_head *ret_head)
{
	bool found = queue->has_disk && tl_disk_first(&queue->disk, ret_head, NULL);

	note_damage(queue);
	if (!found || ret_head->seq != queue->cached.seq)
		queue->is_cached = false;
	return found;
}

bool tl_queue_peek(struct tl_queue *queue, struct tl_queue_frame *ret_frame)
{
	struct tl_frame_head *head = &queue->cached;
	struct tl_bytes payload = tl_bytes(queue->disk.buffer, head->len);

	if (!queue->is_cached) {
		bool found = queue->has_disk && tl_disk_first(&queue->disk, head, &payload);
		note_damage(queue);
		if (!found && queue->first == NULL)
			return false;
		if (!found)
			*head = queue->first->head;
		queue->is_cached = found;
	}
	if (!queue->is_cached)
		payload = tl_bytes(queue->first->payload, head->len);
	*ret_frame = (struct tl_queue_frame) {
		.seq = head->seq, .time_ns = head->time_ns, .items = head->items, .payload = payload};
	return true;
}

// Takes the oldest frame away, whatever it is.
static bool take_oldest(struct tl_queue *queue, uint64_t seq, bool any, uint64_t before_ns)
{
	struct tl_frame_head head;
	bool on_disk = first_on_disk(queue, &head);

	if (!on_disk && queue->first == NULL)
		return false;
	if (!on_disk)
		head = queue->first->head;
	if (any ? head.time_ns >= before_ns : head.seq != seq)
		return false;
	if (on_disk)
		tl_disk_pop(&queue->disk, &head);
	else
		free_first(queue);
	if (!on_disk && queue->has_disk)
		queue->disk.cursor.head_seq = head.seq + 1; // it never was on the disk
	if (any)
		queue->stats.dropped[TL_DROP_TOO_OLD] += head.items;
	queue->is_cached = false;
	return true;
}

bool tl_queue_pop(struct tl_queue *queue, uint64_t seq)
{
	return take_oldest(queue, seq, false, 0);
}

void tl_queue_maintain(struct tl_queue *queue, uint64_t now_ns)
{
	uint64_t age = queue->options.age_ns_max;
	uint64_t now = tl_clock_ns(CLOCK_MONOTONIC);
	struct tl_frame_head head;

	if (age != 0 && now_ns > age)
		while (take_oldest(queue, 0, true, now_ns - age))
			;
	queue->stats.oldest_ns = queue->first != NULL ? queue->first->head.time_ns : 0;
	if (!queue->has_disk)
		return;
	(void)spill(queue);
	if (first_on_disk(queue, &head))
		queue->stats.oldest_ns = head.time_ns;
	if (!queue->disk.is_dirty || queue->options.fsync != TL_QUEUE_FSYNC_INTERVAL ||
	    now - queue->synced_ns < queue->options.fsync_interval_ns)
		return;
	if (tl_disk_sync(&queue->disk) < 0)
		queue->stats.disk_errors++;
	queue->synced_ns = now;
}

void tl_queue_stats(const struct tl_queue *queue, struct tl_queue_stats *ret_stats)
{
	*ret_stats = queue->stats;
	ret_stats->file_bytes = queue->has_disk ? queue->disk.file_bytes : 0;
	ret_stats->bytes = queue->memory_bytes;
	ret_stats->frames = queue->memory_frames;
	ret_stats->items = queue->memory_items;
	for (uint32_t i = 0; queue->has_disk && i < queue->disk.count; i++) {
		const struct tl_disk_segment *segment = &queue->disk.segments[i];
		if (segment->frames != 0)
			ret_stats->bytes += segment->size - segment->read_at;
		ret_stats->frames += segment->frames;
		ret_stats->items += segment->items;
	}
}

uint64_t tl_queue_close(struct tl_queue *queue)
{
	uint64_t lost = 0;

	if (queue == NULL)
		return 0;
	queue->disk_retry_ns = 0;
	if (queue->has_disk)
		(void)spill(queue);
	while (queue->first != NULL) {
		lost += queue->first->head.items;
		free_first(queue);
	}
	if (queue->has_disk)
		tl_disk_close(&queue->disk);
	free(queue);
	return lost;
}

void tl_queue_remove(const struct tl_queue_options *options, const char *name)
{
	static const char *const files[] = {"cursor", "lock", ""};
	char path[PATH_MAX];

	// Segments are gone when a queue was empty; if one is not, the folder can't be removed.
	for (uint32_t i = 0; options->storage == TL_QUEUE_DISK && i < TL_COUNT_OF(files); i++) {
		int len = snprintf(path, sizeof(path), "%s/%s/%s", options->directory, name, files[i]);
		if (len > 0 && (size_t)len < sizeof(path))
			(void)(*files[i] != '\0' ? unlink(path) : rmdir(path));
	}
}
