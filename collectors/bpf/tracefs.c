// SPDX-License-Identifier: Apache-2.0
#include "collectors/bpf/tracefs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/check.h"
#include "collectors/host.h"

// A mount without a place in any tree (Linux 5.2).
static int mount_own(void)
{
	int context = fsopen("tracefs", FSOPEN_CLOEXEC), fd = -1;

	if (context < 0)
		return -errno;
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
		fd = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC);
	int rc = fd < 0 ? -errno : fd;
	(void)close(context);
	return rc;
}

// To be closed.
static int open_root(void)
{
	static const char *const places[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
	char path[PATH_MAX];

	for (size_t i = 0; i < TL_COUNT_OF(places); i++) {
		int fd = open(tl_host_path(places[i], path, sizeof(path)),
			      O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && faccessat(fd, "events", R_OK, 0) == 0)
			return fd;
		if (fd >= 0)
			(void)close(fd);
	}
	return mount_own();
}

// A file of a tracepoint as a text; its length, or -errno.
static ssize_t read_file(const char *tracepoint, const char *file, char *buffer, size_t size)
{
	char path[256];
	size_t len = 0;
	ssize_t got;
	int root = open_root();

	if (root < 0)
		return root;
	(void)snprintf(path, sizeof(path), "events/%s/%s", tracepoint, file);
	int fd = openat(root, path, O_RDONLY | O_CLOEXEC), error = errno;
	(void)close(root);
	if (fd < 0)
		return -error;
	while (len < size - 1 && (got = read(fd, buffer + len, size - 1 - len)) > 0)
		len += (size_t)got;
	buffer[len] = '\0';
	(void)close(fd);
	return (ssize_t)len;
}

int64_t tl_tracepoint_id(const char *tracepoint)
{
	char text[32];
	ssize_t len = read_file(tracepoint, "id", text, sizeof(text));

	return len < 0 ? len : len == 0 ? -EINVAL : strtol(text, NULL, 10);
}

// "	field:__data_loc char[] comm;	offset:8;	size:4;	signed:0;"
static bool parse_field(const char *line, const char *field, struct tl_tracepoint_field *ret)
{
	size_t len = strcspn(line, ";\n"), field_len = strlen(field);
	const char *declared = line, *end = line + len;
	unsigned offset, size;

	if (line[len] != ';' || sscanf(end, "; offset:%u; size:%u;", &offset, &size) != 2)
		return false;
	const char *array = memchr(declared, '[', len);
	bool is_data_loc = strstr(declared, "__data_loc") != NULL &&
			   strstr(declared, "__data_loc") < end;
	if (!is_data_loc && array != NULL)
		end = array; // "char comm[16]"
	if (end - declared <= (ptrdiff_t)field_len ||
	    strncmp(end - field_len, field, field_len) != 0 || end[-(ptrdiff_t)field_len - 1] != ' ')
		return false;
	*ret = (struct tl_tracepoint_field) {offset, size, is_data_loc};
	return true;
}

int tl_tracepoint_field(const char *tracepoint, const char *field,
			struct tl_tracepoint_field *ret_field)
{
	char text[16384];
	ssize_t len = read_file(tracepoint, "format", text, sizeof(text));

	if (len < 0)
		return (int)len;
	for (const char *at = strstr(text, "\tfield:"); at != NULL; at = strstr(at + 1, "\tfield:"))
		if (parse_field(at + strlen("\tfield:"), field, ret_field))
			return 0;
	return -ENOENT;
}
