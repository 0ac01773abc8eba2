// SPDX-License-Identifier: Apache-2.0
// The containers of this host, found in the cgroup trees of Docker, containerd, CRI-O and podman
// (cgroup v1 and v2, cgroupfs and systemd drivers), kept up to date by the trees' own events. Names,
// pods and labels come from the kubelet's pod list where one is configured. Any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TL_CONTAINER_ID_BYTES 65u
#define TL_CONTAINERS_MAX 1024u      // more are left out, counted
#define TL_CONTAINER_LABELS_MAX 16u  // of one container
#define TL_CONTAINER_PATH_BYTES 512u

enum tl_cgroup_part {
	TL_CGROUP_CPU,
	TL_CGROUP_CPUACCT,
	TL_CGROUP_MEMORY,
	TL_CGROUP_BLKIO,
	TL_CGROUP_CPUSET,
	TL_CGROUP_PARTS
};

struct tl_container_label {
	char name[64];
	char value[128];
};

// A copy that belongs to the caller.
struct tl_container {
	char id[TL_CONTAINER_ID_BYTES];
	char name[128];      // "" when only the runtime knows it
	char hostname[128];
	char ns[128];        // Kubernetes namespace
	char pod[128];
	char type[16];       // normal, sidecar, daemonset, static, unknown
	char qos[16];        // guaranteed, burstable, besteffort, unknown
	char runtime[16];    // docker, containerd, crio, podman
	uint32_t init_pid;   // 0: it has no process now
	uint64_t cgroup_id;  // inode of its directory (v2, else the cpu controller's): what BPF sees
	bool is_v2;
	char cgroup[TL_CGROUP_PARTS][TL_CONTAINER_PATH_BYTES]; // directories below the root, "" if absent
	uint32_t label_count;
	struct tl_container_label labels[TL_CONTAINER_LABELS_MAX];
};

struct tl_containers_options {
	const char *kubelet;     // URL of the pod list, "" for none: http://127.0.0.1:10255/pods
	const char *certificate; // client certificate and key for https, "" for none
	const char *key;
	const char *authority;   // CA file; "" does not verify the kubelet's own certificate
	const char *token_file;
};

// Once, before the first look-up. Copies the options. 0 or -ENOMEM.
int tl_containers_open(const struct tl_containers_options *options);
void tl_containers_close(void);

// False: no such container.
bool tl_container_by_id(const char *id, struct tl_container *ret); // whole id, or its first 12 or more
bool tl_container_by_pid(uint32_t pid, struct tl_container *ret);
bool tl_container_by_cgroup(uint64_t cgroup_id, struct tl_container *ret);
// Calls `visit` with each; false: enough. Returns how many there are.
typedef bool tl_container_visit_fn(void *arg, const struct tl_container *container);
uint32_t tl_container_each(tl_container_visit_fn *visit, void *arg);
// Whether containers are known by the one tree of cgroup v2: then so is their cgroup_id.
bool tl_containers_are_v2(void);
// What the kubelet answered last, "" when it is not asked or all is well.
const char *tl_containers_error(char *buffer, uint32_t size);
