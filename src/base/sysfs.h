// SPDX-License-Identifier: Apache-2.0
// What the kernel tells in files of one line (/sys). Any thread but workers.
#pragma once

#include <stddef.h>

// The first line of the file with this path, cut at `size` - 1 bytes; "" when it can't be read.
__attribute__((format(printf, 3, 4))) void tl_sysfs_line(char *ret, size_t size, const char *format,
							 ...);
