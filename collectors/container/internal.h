// SPDX-License-Identifier: Apache-2.0
// What the cgroup trees, the kubelet and the list of containers share.
#pragma once

#include <stddef.h>

#include "collectors/container/container.h"

// Is the last part of a cgroup path a container's? Fills id, runtime, qos and type.
bool tl_cgroup_parse(const char *path, struct tl_container *ret);

// The cgroup trees of this host.
struct tl_cgroup_trees {
	char part[TL_CGROUP_PARTS][TL_CONTAINER_PATH_BYTES]; // where each is mounted, "" if absent
	bool is_v2; // all parts are the one unified tree
};
void tl_cgroup_find(struct tl_cgroup_trees *ret_trees);
// Calls `found` with each container below the trees; directories in which containers may come and
// go are handed to `watch`.
typedef void tl_cgroup_found_fn(void *arg, const struct tl_container *container);
typedef void tl_cgroup_watch_fn(void *arg, const char *directory);
void tl_cgroup_scan(const struct tl_cgroup_trees *trees, tl_cgroup_found_fn *found,
		    tl_cgroup_watch_fn *watch, void *arg);
// Path of `pid` in the primary tree; false if there is no such process.
bool tl_cgroup_of_pid(const struct tl_cgroup_trees *trees, uint32_t pid, char *ret, uint32_t size);

// A list of containers with room for one more: `items` itself, or what it was moved to. Grows as it is
// filled, since a container takes kilobytes. NULL: TL_CONTAINERS_MAX are in it, or no memory.
struct tl_container *tl_containers_grow(struct tl_container *items, uint32_t count);

// What the kubelet says of the containers of its pods; list of `count`, to be freed.
struct tl_kubelet_list {
	uint32_t count;
	struct tl_container *items; // id, name, hostname, ns, pod, type, qos, labels
};
// 0 or -errno and a line in `error`; takes two seconds at most.
int tl_kubelet_fetch(const struct tl_containers_options *options, struct tl_kubelet_list *ret_list,
		     char *error, uint32_t error_size);
// The list in the text of a pod list. -EINVAL: it is none, -EMSGSIZE: it has too many values.
int tl_kubelet_parse(const char *json, size_t len, struct tl_kubelet_list *ret_list);
