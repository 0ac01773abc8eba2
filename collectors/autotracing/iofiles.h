// SPDX-License-Identifier: Apache-2.0
// Paths of files that only their numbers are known of: found among what processes have open. Any
// thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TL_IO_PATH_BYTES 256u

struct tl_io_file {
	uint32_t major, minor; // of its file system
	uint64_t inode;        // 0: the file that `pid` has open for direct I/O
	uint32_t pid;
	char path[TL_IO_PATH_BYTES]; // "" is what tl_io_find_paths() fills
};

// Looks at `pid`'s own files first, then, for what is still without a path, at those of all.
void tl_io_find_paths(struct tl_io_file *const *files, uint32_t count);
