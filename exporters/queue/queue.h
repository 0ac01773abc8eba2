// SPDX-License-Identifier: Apache-2.0
// The queue between an exporter and its receiver: frames in the order in which they came, on disk
// so that they outlive outages, kill -9 and power cuts, or in memory only.
//
// On disk it is one folder: segment files of frames (segment.h), a cursor file that says which
// frame is the next to deliver, and a lock. Every frame carries a sequence number and a CRC. What
// is delivered is deleted segment by segment; over the limits of size or age the oldest goes first
// and is counted. When the disk is full or fails, frames stay in memory, in order, until it works
// again.
//
// What a crash costs: a killed process loses nothing that push() has returned for (the kernel has
// it); a machine that loses power loses what was pushed since the last sync: everything the kernel
// had not written (TL_QUEUE_FSYNC_NEVER), the last interval (INTERVAL), nothing (ALWAYS). A frame
// that was delivered just before may be delivered once more.
//
// Not thread-safe: one owner. Calls may wait for the disk: never on the control lcore.
#pragma once

#include "exporters/exporter.h"

#define TL_QUEUE_FRAME_BYTES_MAX (64u << 20) // of one frame's payload
#define TL_QUEUE_DIRECTORY "/var/lib/tapline/queue"

enum tl_queue_fsync { TL_QUEUE_FSYNC_NEVER, TL_QUEUE_FSYNC_INTERVAL, TL_QUEUE_FSYNC_ALWAYS };
enum tl_queue_storage { TL_QUEUE_DISK, TL_QUEUE_MEMORY };

// The options `queue: {...}` of a sink.
struct tl_queue_options {
	uint32_t storage;           // enum tl_queue_storage
	const char *directory;      // the sinks' own folders are made in it
	uint64_t bytes_max;         // on disk, per folder
	uint64_t age_ns_max;        // 0: no limit
	uint64_t memory_bytes_max;  // without a disk, or while it fails
	uint32_t fsync;             // enum tl_queue_fsync
	uint64_t fsync_interval_ns;
};
extern const struct tl_option tl_queue_rows[]; // of struct tl_queue_options

struct tl_queue_frame {
	uint64_t seq;     // 1 and up, over restarts
	uint64_t time_ns; // as pushed
	uint32_t items;
	struct tl_bytes payload;
};

// What opening found.
struct tl_queue_recovery {
	bool is_unclean;        // the last owner did not close it
	uint64_t frames;        // waiting
	uint64_t items;
	uint64_t cut_bytes;     // of a damaged tail, now cut off
	uint64_t damaged_bytes; // elsewhere, left out
	uint64_t frames_lost;   // known from sequence numbers
	uint64_t foreign_files; // of another format version: renamed to *.foreign and left alone
	uint64_t last_time_ns;  // newest time_ns ever pushed, 0 for none
};

struct tl_queue_stats {
	uint64_t frames, items, bytes; // waiting
	uint64_t file_bytes;           // taken on disk
	uint64_t oldest_ns;            // time_ns of the oldest frame as of maintain(), 0: empty
	uint64_t dropped[TL_DROP_COUNT]; // items
	uint64_t damaged_bytes;
	uint64_t disk_errors;
	bool is_disk_failing;
};

struct tl_queue;

// `name` is the sink's folder below options->directory, "a/b" makes both. 0, or -errno with a line
// in `error`: -EBUSY when another process or sink has it open. Damage never keeps it from opening.
int tl_queue_open(const struct tl_queue_options *options, const char *name,
		  struct tl_queue **ret_queue, struct tl_queue_recovery *ret_recovery, char *error,
		  uint32_t error_size);
// Appends; drops the oldest when over a limit. `time_ns` is the wall time of what is in it: the
// age limit goes by it. 0, -EMSGSIZE (longer than
// TL_QUEUE_FRAME_BYTES_MAX or than the whole queue may be) or -ENOMEM, both counted.
int tl_queue_push(struct tl_queue *queue, struct tl_bytes payload, uint32_t items,
		  uint64_t time_ns);
// The oldest frame that waits; false when empty. Its payload is valid until the next call of any
// of these functions but stats.
bool tl_queue_peek(struct tl_queue *queue, struct tl_queue_frame *ret_frame);
// The frame `seq` is done with. False if it is not the oldest any more: it was dropped meanwhile.
bool tl_queue_pop(struct tl_queue *queue, uint64_t seq);
// Every second or so: age limit, sync by policy, back from memory to the disk.
void tl_queue_maintain(struct tl_queue *queue, uint64_t now_ns);
void tl_queue_stats(const struct tl_queue *queue, struct tl_queue_stats *ret_stats);
// Syncs (unless the policy is never) and marks an orderly end. Frames that are in memory only are
// lost; their items are returned. Accepts NULL.
uint64_t tl_queue_close(struct tl_queue *queue);
// Removes the folder of a closed queue that was empty; one with anything else in it stays.
void tl_queue_remove(const struct tl_queue_options *options, const char *name);
