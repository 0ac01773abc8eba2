// SPDX-License-Identifier: Apache-2.0
// What is appended to a store from now on, seen from another process: the files are looked at again
// and again, by inode, so that a rotation loses nothing.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collectors/store/internal.h"
#include "collectors/store/store.h"

struct followed {
	char name[TL_TRACER_NAME_BYTES];
	ino_t inode;
	FILE *file; // kept open: a file that was rotated away is read to its end
	struct tl_text line;
};

struct tl_store_follower {
	char path[PATH_MAX - TL_TRACER_NAME_BYTES - 16];
	char tracer[TL_TRACER_NAME_BYTES];
	bool is_first; // look: what is there already has been read before
	uint32_t count;
	struct followed files[TL_TRACERS_MAX];
};

struct tl_store_follower *tl_store_follow(const char *path, const char *tracer)
{
	struct tl_store_follower *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	(void)snprintf(f->path, sizeof(f->path), "%s", path);
	(void)snprintf(f->tracer, sizeof(f->tracer), "%s", tracer);
	f->is_first = true;
	return f;
}

void tl_store_unfollow(struct tl_store_follower *f)
{
	for (uint32_t i = 0; f != NULL && i < f->count; i++) {
		if (f->files[i].file != NULL)
			(void)fclose(f->files[i].file);
		tl_text_free(&f->files[i].line);
	}
	free(f);
}

static struct followed *file_of(struct tl_store_follower *f, const char *name)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (strcmp(f->files[i].name, name) == 0)
			return &f->files[i];
	if (f->count == TL_TRACERS_MAX)
		return NULL;
	struct followed *file = &f->files[f->count++];
	*file = (struct followed) {0};
	(void)snprintf(file->name, sizeof(file->name), "%s", name);
	return file;
}

// The lines that are complete by now.
static bool read_lines(struct followed *file, tl_store_visit_fn *visit, void *arg)
{
	char block[4096];

	while (file->file != NULL && fgets(block, (int)sizeof(block), file->file) != NULL) {
		tl_text_puts(&file->line, block);
		if (file->line.data[file->line.len - 1] != '\n')
			continue;
		file->line.data[--file->line.len] = '\0';
		const struct tl_stored stored = {
			.tracer = file->name, .type = "", .json = file->line.data};
		bool is_wanted = visit(arg, &stored);
		tl_text_clear(&file->line);
		if (!is_wanted)
			return false;
	}
	if (file->file != NULL)
		clearerr(file->file); // its end may not be the end in a moment
	return true;
}

static bool look_at(struct tl_store_follower *f, const char *name, tl_store_visit_fn *visit,
		    void *arg)
{
	struct followed *file = file_of(f, name);
	char path[PATH_MAX];
	struct stat st;

	if (file == NULL || !read_lines(file, visit, arg))
		return file == NULL;
	(void)snprintf(path, sizeof(path), "%s/%s" TL_STORE_SUFFIX, f->path, name);
	if (stat(path, &st) < 0 || (file->file != NULL && st.st_ino == file->inode))
		return true;
	if (file->file != NULL)
		(void)fclose(file->file);
	file->file = fopen(path, "re");
	file->inode = st.st_ino;
	if (file->file != NULL && f->is_first)
		(void)fseek(file->file, 0, SEEK_END);
	return read_lines(file, visit, arg);
}

bool tl_store_look(struct tl_store_follower *f, tl_store_visit_fn *visit, void *arg)
{
	DIR *directory = opendir(f->path);
	const size_t suffix = strlen(TL_STORE_SUFFIX);
	struct dirent *entry;
	bool goes_on = true;

	while (directory != NULL && goes_on && (entry = readdir(directory)) != NULL) {
		size_t len = strlen(entry->d_name);
		if (len <= suffix || strcmp(entry->d_name + len - suffix, TL_STORE_SUFFIX) != 0)
			continue;
		entry->d_name[len - suffix] = '\0';
		if (tl_store_is_name(entry->d_name) &&
		    (f->tracer[0] == '\0' || strcmp(f->tracer, entry->d_name) == 0))
			goes_on = look_at(f, entry->d_name, visit, arg);
	}
	if (directory != NULL)
		(void)closedir(directory);
	f->is_first = false;
	return goes_on;
}
