// SPDX-License-Identifier: Apache-2.0
// The list of containers: scanned again when the cgroup trees say that something came or went.
#include "collectors/container/container.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "collectors/container/internal.h"
#include "collectors/host.h"

#define SECOND_NS UINT64_C(1000000000)
#define RESCAN_NS (30 * SECOND_NS)       // without a sign of change
#define KUBELET_FRESH_NS (5 * SECOND_NS) // it is asked at most this often
#define KUBELET_RETRY_NS (60 * SECOND_NS)
#define KUBELET_ABSENT_NS (1800 * SECOND_NS) // nobody listens there
#define WATCHES_MAX 8192u

#define SCAN_WAIT_NS (SECOND_NS / 5)     // of others, for the one who scans

// What one look at the trees found.
struct scan {
	struct tl_cgroup_trees trees;
	struct tl_container *items;
	uint32_t count;
	uint32_t left_out;
	int inotify;
	uint32_t watches;
};

static struct {
	pthread_mutex_t lock;   // of all below
	pthread_cond_t scanned; // a scan has ended
	bool is_open;
	bool is_scanning, is_slow; // one thread scans; it has kept others waiting too long
	struct tl_containers_options options;
	struct scan now;
	uint64_t scanned_ns;
	struct tl_kubelet_list pods;
	uint64_t ask_ns; // the kubelet is not asked before
	bool is_asking;
	char error[256];
} list = {.lock = PTHREAD_MUTEX_INITIALIZER, .scanned = PTHREAD_COND_INITIALIZER,
	  .now.inotify = -1};

int tl_containers_open(const struct tl_containers_options *options)
{
	(void)pthread_mutex_lock(&list.lock);
	list.options = *options;
	list.is_open = true;
	list.scanned_ns = 0;
	list.ask_ns = 0;
	(void)pthread_mutex_unlock(&list.lock);
	// Not left to the first who asks the kubelet: others may use the library by then.
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
}

static void free_scan(struct scan *scan)
{
	free(scan->items);
	if (scan->inotify >= 0)
		(void)close(scan->inotify);
	*scan = (struct scan) {.inotify = -1};
}

void tl_containers_close(void)
{
	(void)pthread_mutex_lock(&list.lock);
	list.is_open = false;
	free_scan(&list.now);
	free(list.pods.items);
	list.pods = (struct tl_kubelet_list) {0};
	(void)pthread_mutex_unlock(&list.lock);
}

// ---- What the host knows of a container ----------------------------------------------------------

static uint32_t first_pid(const struct tl_container *container)
{
	struct tl_text text = {0};
	uint32_t pid = 0;

	if (tl_host_readf(&text, "%s/cgroup.procs", container->cgroup[TL_CGROUP_CPU]) == 0)
		pid = (uint32_t)strtoul(text.data, NULL, 10);
	tl_text_free(&text);
	return pid;
}

// The first line of a file below /proc/PID.
static void read_line(char *ret, uint32_t size, uint32_t pid, const char *file)
{
	struct tl_text text = {0};

	if (tl_host_readf(&text, "/proc/%u/%s", pid, file) == 0)
		(void)snprintf(ret, size, "%.*s", (int)strcspn(text.data, "\n"), text.data);
	tl_text_free(&text);
}

// Docker keeps a container's name and host name in a file of its own.
static void ask_docker(struct tl_container *container)
{
	struct tl_text text = {0};

	if (tl_host_readf(&text, "/var/lib/docker/containers/%s/config.v2.json", container->id) == 0) {
		json_t *config = json_loads(text.data, 0, NULL);
		const char *name = json_string_value(json_object_get(config, "Name"));
		const char *hostname = json_string_value(
			json_object_get(json_object_get(config, "Config"), "Hostname"));
		if (name != NULL)
			(void)snprintf(container->name, sizeof(container->name), "%s",
				       name + (name[0] == '/'));
		if (hostname != NULL)
			(void)snprintf(container->hostname, sizeof(container->hostname), "%s",
				       hostname);
		json_decref(config);
	}
	tl_text_free(&text);
}

static void describe(struct tl_container *container)
{
	char comm[32] = "";

	container->init_pid = first_pid(container);
	if (strcmp(container->runtime, "docker") == 0)
		ask_docker(container);
	if (container->init_pid == 0)
		return;
	if (container->hostname[0] == '\0')
		read_line(container->hostname, sizeof(container->hostname), container->init_pid,
			  "root/etc/hostname");
	read_line(comm, sizeof(comm), container->init_pid, "comm");
	if (strcmp(comm, "pause") == 0) // holds a pod's namespaces
		(void)snprintf(container->type, sizeof(container->type), "sandbox");
}

// ---- Scanning ------------------------------------------------------------------------------------

static void on_found(void *arg, const struct tl_container *container)
{
	struct scan *scan = arg;

	struct tl_container *items = tl_containers_grow(scan->items, scan->count);
	if (items == NULL) {
		scan->left_out++;
		return;
	}
	scan->items = items;
	scan->items[scan->count] = *container;
	describe(&scan->items[scan->count++]);
}

static void on_watch(void *arg, const char *directory)
{
	struct scan *scan = arg;

	if (scan->inotify >= 0 && scan->watches < WATCHES_MAX &&
	    inotify_add_watch(scan->inotify, directory,
			      IN_CREATE | IN_DELETE | IN_MOVE | IN_ONLYDIR) >= 0)
		scan->watches++;
}

// A container's first process may come a moment after its cgroup.
static bool lacks_pid(void)
{
	for (uint32_t i = 0; i < list.now.count; i++)
		if (list.now.items[i].init_pid == 0)
			return true;
	return false;
}

static bool has_changed(void)
{
	char events[4096];
	bool is_changed = false;

	while (list.now.inotify >= 0 && read(list.now.inotify, events, sizeof(events)) > 0)
		is_changed = true;
	return is_changed;
}

static void add_pods(void)
{
	for (uint32_t i = 0; i < list.now.count; i++) {
		struct tl_container *to = &list.now.items[i];
		for (uint32_t k = 0; k < list.pods.count; k++) {
			const struct tl_container *from = &list.pods.items[k];
			if (strcmp(to->id, from->id) != 0)
				continue;
			memcpy(to->name, from->name, sizeof(to->name));
			memcpy(to->hostname, from->hostname, sizeof(to->hostname));
			memcpy(to->ns, from->ns, sizeof(to->ns));
			memcpy(to->pod, from->pod, sizeof(to->pod));
			memcpy(to->type, from->type, sizeof(to->type));
			memcpy(to->qos, from->qos, sizeof(to->qos));
			memcpy(to->labels, from->labels, sizeof(to->labels));
			to->label_count = from->label_count;
			break;
		}
	}
}

// Without the lock: a container's files may lie on a disk that does not answer.
static struct scan look(void)
{
	// Watched before it is scanned: what comes in between shows as a change.
	struct scan scan = {.inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};

	tl_cgroup_find(&scan.trees);
	tl_cgroup_scan(&scan.trees, on_found, on_watch, &scan);
	return scan;
}

// With the lock held: somebody else scans. Waits a moment for him, or goes on with what is known.
static void wait_for_scan(void)
{
	struct timespec end;
	int rc = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += (long)SCAN_WAIT_NS;
	end.tv_sec += end.tv_nsec / (long)SECOND_NS;
	end.tv_nsec %= (long)SECOND_NS;
	while (rc == 0 && list.is_scanning && !list.is_slow)
		rc = pthread_cond_clockwait(&list.scanned, &list.lock, CLOCK_MONOTONIC, &end);
	if (rc != 0)
		list.is_slow = true;
}

// With the lock held, but not during the scan. True when the list was made anew.
static bool scan(void)
{
	if (list.is_scanning)
		wait_for_scan();
	uint64_t now_ns = tl_host_clock_ns();
	uint64_t age_ns = now_ns - list.scanned_ns;
	if (!list.is_open || list.is_scanning)
		return false;
	if (list.scanned_ns != 0 && !has_changed() && age_ns < RESCAN_NS &&
	    !(age_ns >= SECOND_NS && lacks_pid()))
		return false;
	list.is_scanning = true;
	list.scanned_ns = now_ns;
	(void)pthread_mutex_unlock(&list.lock);
	struct scan found = look();
	(void)pthread_mutex_lock(&list.lock);
	list.is_scanning = list.is_slow = false;
	(void)pthread_cond_broadcast(&list.scanned);
	if (!list.is_open) { // closed meanwhile
		free_scan(&found);
		return false;
	}
	free_scan(&list.now);
	list.now = found;
	add_pods();
	return true;
}

// Without the lock while the kubelet takes its time; one thread asks, others go on with what is
// known.
static void ask_kubelet(void)
{
	struct tl_kubelet_list pods = {0};
	char error[sizeof(list.error)] = "";

	if (list.options.kubelet == NULL || list.options.kubelet[0] == '\0' || list.is_asking ||
	    tl_host_clock_ns() < list.ask_ns)
		return;
	list.is_asking = true;
	struct tl_containers_options options = list.options;
	(void)pthread_mutex_unlock(&list.lock);
	int rc = tl_kubelet_fetch(&options, &pods, error, sizeof(error));
	(void)pthread_mutex_lock(&list.lock);
	list.is_asking = false;
	list.ask_ns = tl_host_clock_ns() + (rc == 0 ? KUBELET_FRESH_NS :
					    rc == -ECONNREFUSED ? KUBELET_ABSENT_NS :
								  KUBELET_RETRY_NS);
	memcpy(list.error, error, sizeof(list.error));
	if (rc < 0) // what it said before stays
		return;
	free(list.pods.items);
	list.pods = pods;
	add_pods();
}

static void refresh(void)
{
	if (scan() || list.pods.items == NULL)
		ask_kubelet();
}

// ---- Looking up ----------------------------------------------------------------------------------

static bool copy_if(const struct tl_container *found, struct tl_container *ret)
{
	if (found != NULL)
		*ret = *found;
	return found != NULL;
}

static const struct tl_container *with_id(const char *id)
{
	size_t len = strlen(id);

	for (uint32_t i = 0; i < list.now.count && len >= 12; i++)
		if (strncmp(list.now.items[i].id, id, len) == 0)
			return &list.now.items[i];
	return NULL;
}

bool tl_container_by_id(const char *id, struct tl_container *ret)
{
	(void)pthread_mutex_lock(&list.lock);
	refresh();
	bool is_found = copy_if(with_id(id), ret);
	(void)pthread_mutex_unlock(&list.lock);
	return is_found;
}

// The container that a process is in, also in a cgroup below the container's own.
bool tl_container_by_pid(uint32_t pid, struct tl_container *ret)
{
	char path[TL_CONTAINER_PATH_BYTES];
	struct tl_container parsed;
	bool is_found = false;

	(void)pthread_mutex_lock(&list.lock);
	refresh();
	if (tl_cgroup_of_pid(&list.now.trees, pid, path, sizeof(path))) {
		char *end = path + strlen(path);
		while (!is_found && path[0] != '\0') {
			if (tl_cgroup_parse(path, &parsed))
				is_found = copy_if(with_id(parsed.id), ret);
			end = strrchr(path, '/');
			if (end == NULL)
				break;
			*end = '\0';
		}
	}
	(void)pthread_mutex_unlock(&list.lock);
	return is_found;
}

bool tl_container_by_cgroup(uint64_t cgroup_id, struct tl_container *ret)
{
	const struct tl_container *found = NULL;

	(void)pthread_mutex_lock(&list.lock);
	refresh();
	for (uint32_t i = 0; i < list.now.count && found == NULL; i++)
		if (list.now.items[i].cgroup_id == cgroup_id)
			found = &list.now.items[i];
	bool is_found = copy_if(found, ret);
	(void)pthread_mutex_unlock(&list.lock);
	return is_found;
}

uint32_t tl_container_each(tl_container_visit_fn *visit, void *arg)
{
	(void)pthread_mutex_lock(&list.lock);
	refresh();
	uint32_t count = list.now.count;
	struct tl_container *copy = malloc((count + 1) * sizeof(*copy));
	if (copy != NULL && count != 0)
		memcpy(copy, list.now.items, count * sizeof(*copy));
	(void)pthread_mutex_unlock(&list.lock);
	// Visited without the lock: what a visitor does with a container may take its time.
	for (uint32_t i = 0; copy != NULL && i < count; i++)
		if (!visit(arg, &copy[i]))
			break;
	free(copy);
	return count;
}

bool tl_containers_are_v2(void)
{
	struct tl_cgroup_trees trees;

	tl_cgroup_find(&trees);
	return trees.is_v2;
}

const char *tl_containers_error(char *buffer, uint32_t size)
{
	(void)pthread_mutex_lock(&list.lock);
	(void)snprintf(buffer, size, "%s", list.error);
	(void)pthread_mutex_unlock(&list.lock);
	return buffer;
}
