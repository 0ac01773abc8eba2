// SPDX-License-Identifier: Apache-2.0
#include "base/sysfs.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void tl_sysfs_line(char *ret, size_t size, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;

	ret[0] = '\0';
	va_start(args, format);
	int len = vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	FILE *file = len < (int)sizeof(path) ? fopen(path, "re") : NULL;
	if (file == NULL)
		return;
	if (fgets(ret, (int)size, file) == NULL)
		ret[0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	(void)fclose(file);
}
