// SPDX-License-Identifier: Apache-2.0
// The files of the disk queue. First byte: odd takes the rest as a segment as it is; even writes a
// sound segment from it (frames with valid CRCs) and then damages it, so that the search for the
// next sound frame is reached. Whatever is there: opening works, what comes out has ascending
// numbers, and the queue can be used.
#include "tests/fuzz/fuzz.h"

#include "exporters/queue/queue.h"
#include "exporters/queue/segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES 65536u
#define DAMAGES_MAX 8u

static char root[] = "/tmp/tl-fuzz-queue-XXXXXX";
static int folder = -1;

static void remove_files(void)
{
	DIR *dir = fdopendir(dup(folder));
	if (dir == NULL)
		return;
	rewinddir(dir);
	for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
		(void)unlinkat(folder, entry->d_name, 0);
	(void)closedir(dir);
}

static void clean_up(void)
{
	remove_files();
	(void)unlinkat(folder, "../q", AT_REMOVEDIR);
	(void)rmdir(root);
}

static void make_folder(void)
{
	char path[64];

	FUZZ_CHECK(mkdtemp(root) != NULL);
	(void)snprintf(path, sizeof(path), "%s/q", root);
	FUZZ_CHECK(mkdir(path, 0700) == 0);
	folder = open(path, O_RDONLY | O_DIRECTORY);
	FUZZ_CHECK(folder >= 0);
	(void)atexit(clean_up);
}

static void write_file(const char *name, const uint8_t *data, size_t size)
{
	int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	(void)close(fd);
}

// Frames of the lengths that the input gives, then its last bytes as damages.
static size_t make_segment(const uint8_t *data, size_t size, uint8_t *out)
{
	size_t len = TL_SEGMENT_HEAD_BYTES, damages = size < DAMAGES_MAX * 3 ? 0 : DAMAGES_MAX;
	uint64_t seq = 1;

	tl_segment_head(1, out);
	for (size_t at = 0; at + damages * 3 < size;) {
		uint32_t want = data[at++], have = (uint32_t)(size - damages * 3 - at);
		uint32_t bytes = want < have ? want : have;
		if (len + TL_FRAME_HEAD_BYTES + bytes > FILE_BYTES)
			break;
		struct tl_frame_head head = {.len = bytes, .items = bytes % 7, .seq = seq++,
					     .time_ns = seq};
		tl_frame_head(&head, tl_bytes(data + at, bytes), out + len);
		memcpy(out + len + TL_FRAME_HEAD_BYTES, data + at, bytes);
		len += TL_FRAME_HEAD_BYTES + bytes;
		at += bytes;
	}
	for (size_t i = 0; i < damages; i++) {
		const uint8_t *d = data + size - 3 * (i + 1);
		out[(size_t)(d[0] | d[1] << 8) % len] ^= d[2];
	}
	return len;
}

static void drain(struct tl_queue *queue)
{
	struct tl_queue_frame frame;
	uint64_t last = 0, count = 0;

	while (tl_queue_peek(queue, &frame)) {
		FUZZ_CHECK(frame.seq > last && ++count <= FILE_BYTES);
		last = frame.seq;
		FUZZ_CHECK(tl_queue_pop(queue, frame.seq));
	}
	FUZZ_CHECK(tl_queue_push(queue, tl_bytes("after", 5), 1, 1) == 0);
	FUZZ_CHECK(tl_queue_peek(queue, &frame) && frame.payload.len == 5);
	FUZZ_CHECK(frame.seq > last && tl_queue_pop(queue, frame.seq));
	FUZZ_CHECK(!tl_queue_peek(queue, &frame));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t file[FILE_BYTES];
	const struct tl_queue_options options = {
		.storage = TL_QUEUE_DISK, .directory = root, .bytes_max = 8 << 20,
		.memory_bytes_max = 1 << 20, .fsync = TL_QUEUE_FSYNC_NEVER,
	};
	struct tl_queue_recovery recovery;
	struct tl_queue *queue;
	char error[200];

	if (size < 2 || size > FILE_BYTES / 2)
		return 0;
	if (folder < 0)
		make_folder();
	remove_files();
	if (data[0] & 1) {
		size_t cursor = data[1] < size - 2 ? data[1] : size - 2;
		write_file("cursor", data + 2, cursor);
		write_file("0000000000000001.seg", data + 2 + cursor, size - 2 - cursor);
	} else {
		write_file("0000000000000001.seg", file, make_segment(data + 1, size - 1, file));
	}
	FUZZ_CHECK(tl_queue_open(&options, "q", &queue, &recovery, error, sizeof(error)) == 0);
	drain(queue);
	(void)tl_queue_close(queue);
	return 0;
}
