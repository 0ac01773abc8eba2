// SPDX-License-Identifier: Apache-2.0
#include "exporters/record/rotate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define BUFFER_BYTES (256u << 10) // lines gathered before a write
#define MEND_BYTES_MAX (1u << 20)  // looked through for the end of the last whole line
#define OLD_FILES_MAX 10000u      // numbers looked at when shifting names

struct tl_rotating_file {
	struct tl_rotating_options options;
	char path[PATH_MAX - 32];
	int fd;
	uint64_t size; // of the current file, buffered lines included
	char *buffer;
	size_t buffered;
	uint64_t lost; // lines
	pthread_t compressor; // of the newest old file
	bool is_compressing;
};

static int write_all(int fd, const char *data, size_t len)
{
	while (len != 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

// A crash may have left half a line: it goes, so that the file holds whole lines only. What has no
// line within reach is not ours to cut: it is ended instead.
static int mend_end(int in, int fd, off_t size)
{
	char block[4096];
	off_t at = size;

	while (at > 0 && size - at < (off_t)MEND_BYTES_MAX) {
		size_t len = at < (off_t)sizeof(block) ? (size_t)at : sizeof(block);
		if (pread(in, block, len, at - (off_t)len) != (ssize_t)len)
			return -EIO;
		const char *newline = memrchr(block, '\n', len);
		if (newline != NULL) {
			off_t end = at - (off_t)len + (newline - block) + 1;
			return end == size || ftruncate(fd, end) == 0 ? 0 : -errno;
		}
		at -= (off_t)len;
	}
	return size == 0 || write(fd, "\n", 1) == 1 ? 0 : -errno;
}

static int open_current(struct tl_rotating_file *file)
{
	struct stat st;

	file->fd = open(file->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (file->fd < 0)
		return -errno;
	// A pipe or a terminal has no end to look at.
	if (fstat(file->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	int in = open(file->path, O_RDONLY | O_CLOEXEC);
	int rc = in < 0 ? 0 : mend_end(in, file->fd, st.st_size); // write-only is fine too
	if (in >= 0)
		(void)close(in);
	file->size = fstat(file->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return rc;
}

int tl_rotating_open(const struct tl_rotating_options *options, struct tl_rotating_file **ret_file)
{
	struct tl_rotating_file *file = calloc(1, sizeof(*file));
	if (file == NULL)
		return -ENOMEM;
	file->options = *options;
	file->buffer = malloc(BUFFER_BYTES);
	int rc = -ENOMEM;
	if (file->buffer == NULL)
		goto out_free;
	rc = -ENAMETOOLONG;
	if (strlen(options->path) >= sizeof(file->path))
		goto out_free;
	strcpy(file->path, options->path);
	rc = open_current(file);
	if (rc < 0)
		goto out_close;
	*ret_file = file;
	return 0;
out_close:
	if (file->fd >= 0)
		(void)close(file->fd);
out_free:
	free(file->buffer);
	free(file);
	return rc;
}

// After a failure in the middle of it (a full disk) the file is cut back to where it was, so that
// no half line stays.
static int write_whole(struct tl_rotating_file *file, const char *lines, size_t len)
{
	off_t before = lseek(file->fd, 0, SEEK_END);
	int rc = write_all(file->fd, lines, len);

	if (rc < 0 && before >= 0 && ftruncate(file->fd, before) == 0)
		file->size = (uint64_t)before;
	return rc;
}

// Writes what is buffered. What can't be written is lost, and counted.
static int drain(struct tl_rotating_file *file)
{
	if (file->buffered == 0)
		return 0;
	int rc = write_whole(file, file->buffer, file->buffered);
	for (size_t i = 0; rc < 0 && i < file->buffered; i++)
		file->lost += file->buffer[i] == '\n';
	file->buffered = 0;
	return rc;
}

static void old_name(const struct tl_rotating_file *file, uint32_t number, bool compressed,
		     char ret_name[PATH_MAX])
{
	(void)snprintf(ret_name, PATH_MAX, "%s.%u%s", file->path, number, compressed ? ".gz" : "");
}

static bool find_old(const struct tl_rotating_file *file, uint32_t number, char ret_name[PATH_MAX],
		     bool *ret_compressed)
{
	for (int compressed = 0; compressed < 2; compressed++) {
		old_name(file, number, compressed != 0, ret_name);
		if (access(ret_name, F_OK) == 0) {
			*ret_compressed = compressed != 0;
			return true;
		}
	}
	return false;
}

// Renames path.N to path.N+1 from the oldest on, removing what is too many.
static void shift_old(const struct tl_rotating_file *file)
{
	char from[PATH_MAX], to[PATH_MAX];
	bool compressed;
	uint32_t last = 0;

	while (last < OLD_FILES_MAX && find_old(file, last + 1, from, &compressed))
		last++;
	for (uint32_t number = last; number != 0; number--) {
		if (!find_old(file, number, from, &compressed))
			continue;
		if (file->options.count_max != 0 && number >= file->options.count_max) {
			(void)unlink(from);
			continue;
		}
		old_name(file, number + 1, compressed, to);
		(void)rename(from, to);
	}
}

static void remove_aged(const struct tl_rotating_file *file)
{
	char name[PATH_MAX];
	bool compressed;
	struct stat st;
	time_t now = time(NULL);

	if (file->options.age_ns_max == 0)
		return;
	for (uint32_t number = 1; find_old(file, number, name, &compressed); number++)
		if (stat(name, &st) == 0 && now > st.st_mtime &&
		    (uint64_t)(now - st.st_mtime) > file->options.age_ns_max / 1000000000)
			(void)unlink(name);
}

static void *compress_newest(void *arg)
{
	struct tl_rotating_file *file = arg;
	char plain[PATH_MAX], packed[PATH_MAX];
	char block[65536];
	struct stat st;
	bool ok = true;

	old_name(file, 1, false, plain);
	old_name(file, 1, true, packed);
	int in = open(plain, O_RDONLY | O_CLOEXEC);
	// Who may not read the records may not read them packed: zlib's own open() asks the umask only.
	int fd = in < 0 || fstat(in, &st) < 0 ? -1 :
		 open(packed, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, st.st_mode & 0777);
	if (fd >= 0)
		(void)fchmod(fd, st.st_mode & 0777); // also one that was there
	gzFile out = fd < 0 ? NULL : gzdopen(fd, "wb6");
	if (out == NULL)
		goto out_close;
	for (ssize_t n; ok && (n = read(in, block, sizeof(block))) != 0;)
		ok = n > 0 && gzwrite(out, block, (unsigned)n) == (int)n;
	ok = gzclose(out) == Z_OK && ok;
	fd = -1; // closed with it
	(void)unlink(ok ? plain : packed); // a failed copy must not replace the original
out_close:
	if (fd >= 0)
		(void)close(fd);
	if (in >= 0)
		(void)close(in);
	return NULL;
}

static void join_compressor(struct tl_rotating_file *file)
{
	if (file->is_compressing)
		(void)pthread_join(file->compressor, NULL);
	file->is_compressing = false;
}

static int rotate(struct tl_rotating_file *file)
{
	char newest[PATH_MAX];

	int rc = drain(file);
	if (rc < 0)
		return rc;
	// The names must stand still while an old file is being compressed.
	join_compressor(file);
	if (file->options.fsync != TL_FSYNC_NEVER)
		(void)fsync(file->fd);
	shift_old(file);
	old_name(file, 1, false, newest);
	if (rename(file->path, newest) < 0)
		return -errno;
	(void)close(file->fd);
	remove_aged(file);
	rc = open_current(file);
	if (rc < 0)
		return rc;
	if (file->options.compress)
		file->is_compressing =
			pthread_create(&file->compressor, NULL, compress_newest, file) == 0;
	return 0;
}

int tl_rotating_write(struct tl_rotating_file *file, const void *lines, size_t len)
{
	int rc = 0;

	if (file->fd < 0) {
		rc = open_current(file); // the last rotation could not
		if (rc < 0)
			return rc;
	}
	if (file->options.bytes_max != 0 && file->size != 0 &&
	    file->size + len > file->options.bytes_max)
		rc = rotate(file);
	if (rc == 0 && file->buffered + len > BUFFER_BYTES)
		rc = drain(file);
	if (rc < 0)
		return rc;
	if (len > BUFFER_BYTES) {
		rc = write_whole(file, lines, len);
		if (rc < 0)
			return rc;
	} else {
		memcpy(file->buffer + file->buffered, lines, len);
		file->buffered += len;
	}
	file->size += len;
	return rc;
}

int tl_rotating_flush(struct tl_rotating_file *file)
{
	int rc = drain(file);
	if (rc == 0 && file->options.fsync == TL_FSYNC_FLUSH && fsync(file->fd) < 0)
		rc = -errno;
	return rc;
}

uint64_t tl_rotating_lost(const struct tl_rotating_file *file)
{
	return file->lost;
}

void tl_rotating_close(struct tl_rotating_file *file)
{
	if (file == NULL)
		return;
	(void)tl_rotating_flush(file);
	join_compressor(file);
	if (file->fd >= 0)
		(void)close(file->fd);
	free(file->buffer);
	free(file);
}
