// SPDX-License-Identifier: Apache-2.0
// Container runtimes name their cgroups after the container's 64 hex digits. The forms, by driver:
//   cgroupfs: /docker/ID, /kubepods[/burstable|/besteffort]/podUID/ID, /libpod_parent/libpod-ID
//   systemd:  /system.slice/docker-ID.scope, /kubepods.slice/.../cri-containerd-ID.scope,
//             .../crio-ID.scope, /machine.slice/libpod-ID.scope
#include <ctype.h>
#include <errno.h>
#include <fts.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "collectors/container/internal.h"
#include "collectors/host.h"

#define ID_CHARS 64u
#define SCAN_DEPTH_MAX 12      // of directories; runtimes use up to 6
#define SCAN_FOLDERS_MAX 20000 // looked at in one scan

static const struct {
	const char *prefix;
	const char *runtime;
} runtimes[] = {
	{"docker-", "docker"},   {"cri-containerd-", "containerd"}, {"crio-", "crio"},
	{"libpod-", "podman"},   {"nerdctl-", "containerd"},        {"containerd-", "containerd"},
};

static bool is_id(const char *text)
{
	uint32_t len = 0;

	while (isxdigit((unsigned char)text[len]))
		len++;
	return len == ID_CHARS && (text[len] == '\0' || strcmp(text + len, ".scope") == 0);
}

struct tl_container *tl_containers_grow(struct tl_container *items, uint32_t count)
{
	// Full at every power of two from 8 on, and at the beginning.
	bool is_full = count == 0 || (count >= 8 && (count & (count - 1)) == 0);

	if (count == TL_CONTAINERS_MAX)
		return NULL;
	if (!is_full)
		return items;
	return realloc(items, (count == 0 ? 8 : 2 * (size_t)count) * sizeof(*items));
}

static const char *qos_of(const char *path)
{
	if (strstr(path, "kubepods") == NULL)
		return "unknown";
	if (strstr(path, "besteffort") != NULL)
		return "besteffort";
	return strstr(path, "burstable") != NULL ? "burstable" : "guaranteed";
}

bool tl_cgroup_parse(const char *path, struct tl_container *ret)
{
	const char *slash = strrchr(path, '/');
	const char *last = slash == NULL ? path : slash + 1;
	const char *runtime = strstr(path, "/docker/") != NULL ? "docker" : "unknown";

	for (uint32_t i = 0; i < TL_COUNT_OF(runtimes); i++) {
		size_t len = strlen(runtimes[i].prefix);
		if (strncmp(last, runtimes[i].prefix, len) == 0) {
			last += len;
			runtime = runtimes[i].runtime;
			break;
		}
	}
	if (!is_id(last))
		return false;
	*ret = (struct tl_container) {0};
	memcpy(ret->id, last, ID_CHARS);
	(void)snprintf(ret->runtime, sizeof(ret->runtime), "%s", runtime);
	(void)snprintf(ret->qos, sizeof(ret->qos), "%s", qos_of(path));
	(void)snprintf(ret->type, sizeof(ret->type), "%s",
		       strstr(path, "kubepods") != NULL ? "unknown" : "normal");
	return true;
}

// ---- Where the trees are -------------------------------------------------------------------------

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)) != NULL; at += len)
		if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
			return true;
	return false;
}

static void note_mount(struct tl_cgroup_trees *trees, char *unified, const char *directory,
		       const char *type, const char *options)
{
	static const char *const words[TL_CGROUP_PARTS] = {"cpu", "cpuacct", "memory",
							  "blkio", "cpuset"};

	if (strcmp(type, "cgroup2") == 0 && unified[0] == '\0')
		(void)snprintf(unified, TL_CONTAINER_PATH_BYTES, "%s", directory);
	for (uint32_t i = 0; i < TL_CGROUP_PARTS && strcmp(type, "cgroup") == 0; i++)
		if (trees->part[i][0] == '\0' && has_word(options, words[i]))
			(void)snprintf(trees->part[i], sizeof(trees->part[i]), "%s", directory);
}

void tl_cgroup_find(struct tl_cgroup_trees *trees)
{
	char unified[TL_CONTAINER_PATH_BYTES] = "";
	struct tl_text mounts = {0};

	*trees = (struct tl_cgroup_trees) {0};
	if (tl_host_read("/proc/1/mounts", &mounts) < 0 &&
	    tl_host_read("/proc/self/mounts", &mounts) < 0)
		goto out_free;
	char *text = mounts.data, *line;
	while ((line = tl_host_line(&text)) != NULL) {
		(void)tl_host_word(&line);
		const char *directory = tl_host_word(&line);
		const char *type = tl_host_word(&line);
		const char *options = tl_host_word(&line);
		if (options != NULL)
			note_mount(trees, unified, directory, type, options);
	}
	// A unified tree beside v1 controllers (hybrid) has no controllers of its own.
	trees->is_v2 = trees->part[TL_CGROUP_CPU][0] == '\0' && unified[0] != '\0';
	for (uint32_t i = 0; i < TL_CGROUP_PARTS && trees->is_v2; i++)
		strcpy(trees->part[i], unified);
out_free:
	tl_text_free(&mounts);
}

// ---- What is in them -----------------------------------------------------------------------------

static void set_paths(const struct tl_cgroup_trees *trees, const char *relative,
		      struct tl_container *container)
{
	container->is_v2 = trees->is_v2;
	for (uint32_t i = 0; i < TL_CGROUP_PARTS; i++) {
		char path[2 * TL_CONTAINER_PATH_BYTES];
		if (trees->part[i][0] == '\0')
			continue;
		(void)snprintf(path, sizeof(path), "%s%s", trees->part[i], relative);
		if (strlen(path) < TL_CONTAINER_PATH_BYTES && tl_host_exists(path))
			strcpy(container->cgroup[i], path);
	}
}

void tl_cgroup_scan(const struct tl_cgroup_trees *trees, tl_cgroup_found_fn *found,
		    tl_cgroup_watch_fn *watch, void *arg)
{
	const char *tree = trees->part[TL_CGROUP_CPU];
	char root[PATH_MAX];
	char *roots[] = {root, NULL};
	uint32_t folders = 0;
	FTSENT *entry;

	if (tree[0] == '\0')
		return;
	(void)tl_host_path(tree, root, sizeof(root));
	size_t root_len = strlen(root);
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	while (walk != NULL && folders < SCAN_FOLDERS_MAX && (entry = fts_read(walk)) != NULL) {
		struct tl_container container;
		if (entry->fts_info != FTS_D)
			continue;
		folders++;
		if (entry->fts_level >= SCAN_DEPTH_MAX)
			(void)fts_set(walk, entry, FTS_SKIP);
		const char *relative = entry->fts_path + root_len;
		watch(arg, entry->fts_path);
		if (!tl_cgroup_parse(relative, &container))
			continue;
		container.cgroup_id = entry->fts_statp->st_ino;
		set_paths(trees, relative, &container);
		found(arg, &container);
	}
	if (walk != NULL)
		(void)fts_close(walk);
}

// "4:cpu,cpuacct:/docker/ID" or "0::/docker/ID".
bool tl_cgroup_of_pid(const struct tl_cgroup_trees *trees, uint32_t pid, char *ret, uint32_t size)
{
	struct tl_text text = {0};
	bool is_found = false;

	if (tl_host_readf(&text, "/proc/%u/cgroup", pid) < 0)
		goto out_free;
	char *rest = text.data, *line;
	while (!is_found && (line = tl_host_line(&rest)) != NULL) {
		char *controllers = strchr(line, ':');
		char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
		if (path == NULL)
			continue;
		*path++ = '\0';
		is_found = trees->is_v2 ? controllers[1] == '\0' : has_word(controllers + 1, "cpu");
		if (is_found)
			(void)snprintf(ret, size, "%s", path);
	}
out_free:
	tl_text_free(&text);
	return is_found;
}
