// SPDX-License-Identifier: Apache-2.0
// A file that is replaced by a new one when it grows too large or too old; the old ones are
// numbered `name.1` (newest) upwards, compressed in a helper thread when asked, and removed by
// count and age. What is written is whole lines: a rotation never cuts one.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tl_rotating_file;

enum tl_fsync_policy { TL_FSYNC_NEVER, TL_FSYNC_ROTATE, TL_FSYNC_FLUSH };

struct tl_rotating_options {
	const char *path;
	uint64_t bytes_max;    // of the current file, 0: no limit
	uint64_t age_ns_max;   // of an old file before it is removed, 0: no limit
	uint64_t count_max;    // of old files, 0: all are kept
	bool compress;         // old files by gzip
	uint32_t fsync;        // enum tl_fsync_policy
};

// Opens for appending. 0 or -errno.
int tl_rotating_open(const struct tl_rotating_options *options, struct tl_rotating_file **ret_file);
// Appends whole lines; rotates first when they would not fit. 0, or -errno: nothing of `lines`
// was kept (a partly written line is taken back).
int tl_rotating_write(struct tl_rotating_file *file, const void *lines, size_t len);
// Hands everything to the kernel, and to the disk by policy. 0 or -errno.
int tl_rotating_flush(struct tl_rotating_file *file);
// Lines taken by tl_rotating_write that could not be written later.
uint64_t tl_rotating_lost(const struct tl_rotating_file *file);
// Flushes, waits for the helper thread. Accepts NULL.
void tl_rotating_close(struct tl_rotating_file *file);
