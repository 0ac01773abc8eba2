// SPDX-License-Identifier: Apache-2.0
#include "collectors/host.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

static char host_root[PATH_MAX];

void tl_host_set_root(const char *root)
{
	size_t len = strlen(root);

	while (len != 0 && root[len - 1] == '/')
		len--;
	(void)snprintf(host_root, sizeof(host_root), "%.*s", (int)len, root);
}

const char *tl_host_path(const char *path, char *buffer, uint32_t size)
{
	(void)snprintf(buffer, size, "%s%s", host_root, path);
	return buffer;
}

int tl_host_read(const char *path, struct tl_text *ret_text)
{
	char full[PATH_MAX], block[16384];
	int fd = open(tl_host_path(path, full, sizeof(full)), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t got = 0;

	tl_text_clear(ret_text);
	if (fd < 0)
		return -errno;
	while (ret_text->len < TL_HOST_FILE_BYTES_MAX) {
		got = read(fd, block, sizeof(block));
		if (got <= 0)
			break;
		tl_text_add(ret_text, block, (size_t)got);
	}
	int rc = got < 0 ? -errno : 0;
	(void)close(fd);
	tl_text_puts(ret_text, ""); // a terminated text, even if the file is empty
	return rc;
}

int tl_host_readf(struct tl_text *ret_text, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	return tl_host_read(path, ret_text);
}

int tl_host_number(const char *path, uint64_t *ret_value)
{
	struct tl_text text = {0};
	char *end = NULL;
	int rc = tl_host_read(path, &text);

	if (rc == 0 && strncmp(text.data, "max", 3) == 0) {
		*ret_value = UINT64_MAX;
	} else if (rc == 0) {
		*ret_value = strtoull(text.data, &end, 10);
		rc = end == text.data ? -EINVAL : 0;
	}
	tl_text_free(&text);
	return rc;
}

bool tl_host_exists(const char *path)
{
	char full[PATH_MAX];

	return access(tl_host_path(path, full, sizeof(full)), F_OK) == 0;
}

char *tl_host_line(char **text)
{
	char *line = *text;

	if (line == NULL || *line == '\0')
		return NULL;
	char *end = strchr(line, '\n');
	*text = end == NULL ? line + strlen(line) : end + 1;
	if (end != NULL)
		*end = '\0';
	return line;
}

char *tl_host_word(char **line)
{
	char *word = *line + strspn(*line, " \t");
	size_t len = strcspn(word, " \t");

	if (len == 0)
		return NULL;
	*line = word + len + (word[len] != '\0');
	word[len] = '\0';
	return word;
}

bool tl_host_value(const char *text, const char *key, uint64_t *ret_value)
{
	size_t len = strlen(key);

	for (const char *line = text; line != NULL && *line != '\0';) {
		const char *next = strchr(line, '\n');
		if (strncmp(line, key, len) == 0 &&
		    (line[len] == ' ' || line[len] == '\t' || line[len] == ':')) {
			const char *digits = line + len + strspn(line + len, ": \t");
			char *end;
			*ret_value = strtoull(digits, &end, 10);
			return end != digits;
		}
		line = next == NULL ? NULL : next + 1;
	}
	return false;
}

uint64_t tl_host_time_ns(void)
{
	return tl_clock_ns(CLOCK_REALTIME);
}

uint64_t tl_host_clock_ns(void)
{
	return tl_clock_ns(CLOCK_MONOTONIC);
}
