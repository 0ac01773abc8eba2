// SPDX-License-Identifier: Apache-2.0
#include "collectors/autotracing/iofiles.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "collectors/host.h"

#define DESCRIPTORS_MAX 50000u // looked at

struct search {
	struct tl_io_file *const *files;
	uint32_t count, missing;
	uint32_t seen;
	struct tl_text text;
};

static bool is_direct(struct search *search, uint32_t pid, const char *fd)
{
	char *flags;

	if (tl_host_readf(&search->text, "/proc/%u/fdinfo/%s", pid, fd) < 0)
		return false;
	flags = strstr(search->text.data, "flags:");
	return flags != NULL && (strtoul(flags + strlen("flags:"), NULL, 8) & O_DIRECT) != 0;
}

static bool is_it(struct search *search, const struct tl_io_file *file, uint32_t pid,
		  const char *fd, const struct stat *status)
{
	if (file->inode == 0)
		return file->pid == pid && is_direct(search, pid, fd);
	return status->st_ino == file->inode && major(status->st_dev) == file->major &&
	       minor(status->st_dev) == file->minor;
}

// `directory` is /proc/PID/fd, opened.
static void look_at(struct search *search, int directory, uint32_t pid, const char *fd)
{
	struct stat status;

	search->seen++;
	if (fstatat(directory, fd, &status, 0) < 0 ||
	    (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)))
		return;
	for (uint32_t i = 0; i < search->count; i++) {
		struct tl_io_file *file = search->files[i];
		if (file->path[0] != '\0' || !is_it(search, file, pid, fd, &status))
			continue;
		ssize_t len = readlinkat(directory, fd, file->path, sizeof(file->path) - 1);
		file->path[len < 0 ? 0 : len] = '\0';
		search->missing -= len > 0;
	}
}

static void look_at_process(struct search *search, uint32_t pid)
{
	char path[64], full[PATH_MAX];
	struct dirent *entry;

	(void)snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	DIR *directory = opendir(tl_host_path(path, full, sizeof(full)));
	if (directory == NULL)
		return;
	while (search->missing != 0 && search->seen < DESCRIPTORS_MAX &&
	       (entry = readdir(directory)) != NULL)
		if (entry->d_name[0] != '.')
			look_at(search, dirfd(directory), pid, entry->d_name);
	(void)closedir(directory);
}

void tl_io_find_paths(struct tl_io_file *const *files, uint32_t count)
{
	struct search search = {.files = files, .count = count};
	char full[PATH_MAX];
	struct dirent *entry;

	for (uint32_t i = 0; i < count; i++)
		search.missing += files[i]->path[0] == '\0';
	for (uint32_t i = 0; i < count && search.missing != 0; i++)
		if (files[i]->path[0] == '\0')
			look_at_process(&search, files[i]->pid);
	DIR *processes = search.missing == 0 ? NULL :
		opendir(tl_host_path("/proc", full, sizeof(full)));
	while (processes != NULL && search.missing != 0 && search.seen < DESCRIPTORS_MAX &&
	       (entry = readdir(processes)) != NULL)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			look_at_process(&search, (uint32_t)strtoul(entry->d_name, NULL, 10));
	if (processes != NULL)
		(void)closedir(processes);
	tl_text_free(&search.text);
}
