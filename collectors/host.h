// SPDX-License-Identifier: Apache-2.0
// Reading the host's own files: /proc, /sys, the kernel's log. Paths are those of the host; a root
// may be put before them where the probe runs in a container that sees the host elsewhere.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define TL_HOST_FILE_BYTES_MAX (4u << 20) // of a file read whole; more is cut off

// Once, before anything reads; "" is the root itself. The text is copied.
void tl_host_set_root(const char *root);
// `path` below the root, into `buffer`.
const char *tl_host_path(const char *path, char *buffer, uint32_t size);
// Replaces `ret_text` by the file's content. 0 or -errno.
int tl_host_read(const char *path, struct tl_text *ret_text);
// The same for a path with a number or name in it.
__attribute__((format(printf, 2, 3))) int tl_host_readf(struct tl_text *ret_text,
							 const char *format, ...);
// The whole file is one number. 0 or -errno (-EINVAL: it is none; "max" reads as UINT64_MAX).
int tl_host_number(const char *path, uint64_t *ret_value);
bool tl_host_exists(const char *path);

// ---- Lines of "key value" ------------------------------------------------------------------------

// The next line of `*text`, NUL-terminated in place; NULL at the end.
char *tl_host_line(char **text);
// The next word of `*line`, NUL-terminated in place; NULL at the end.
char *tl_host_word(char **line);
// The number behind `key` (followed by ':' or white space) at the start of a line. False: none.
bool tl_host_value(const char *text, const char *key, uint64_t *ret_value);

// Wall clock and a clock that never jumps, in nanoseconds.
uint64_t tl_host_time_ns(void);
uint64_t tl_host_clock_ns(void);
