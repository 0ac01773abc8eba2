// SPDX-License-Identifier: Apache-2.0
#include "collectors/event/event.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/check.h"
#include "base/jansson.h"
#include "collectors/bpf/symbols.h"
#include "collectors/host.h"

#define SECOND_NS UINT64_C(1000000000)
#define NET_KNOWN_NS (5 * SECOND_NS) // whose a namespace is
#define SYMBOLS_NS (60 * SECOND_NS)  // how old the kernel's symbols may be
#define SYMBOLS_BPF_NS SECOND_NS     // and where a BPF program is among them
#define HOOKS_MAX 4u
#define CONSTANTS_MAX 4u // of a hook's own

// The kernel's symbols take megabytes: all events share them, from the first stack on until the last
// run ends.
static struct {
	pthread_mutex_t lock;
	struct tl_symbols *symbols;
	uint64_t symbols_ns; // when they were read
	uint32_t runs;
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

const struct tl_collector_ops tl_event_ops = {
	.start = tl_event_run, .update = tl_event_update, .close = tl_event_destroy};

int tl_event_new(const struct tl_event_kind *kind, const struct tl_collector_ops *ops, size_t size,
		 uint32_t interval_s, struct tl_collector *ret_collector)
{
	struct tl_event *event = calloc(1, size == 0 ? sizeof(*event) : size);

	if (event == NULL)
		return -ENOMEM;
	event->kind = kind;
	*ret_collector = (struct tl_collector) {.ops = ops, .self = event, .interval_s = interval_s,
						.flags = TL_TRACING | TL_METRIC};
	return 0;
}

void tl_event_destroy(void *event)
{
	free(event);
}

// ---- A run ---------------------------------------------------------------------------------------

static void on_record(void *arg, const void *record, uint32_t size)
{
	struct tl_event *event = arg;

	event->kind->tell(event, record, size);
}

static void take_counts(struct tl_event *event, bool is_end)
{
	const uint32_t zero = 0;
	struct tl_event_counts now = {0};

	if (tl_bpf_read(event->bpf, "counts", &zero, &now) < 0)
		return;
	now.seen += event->past.seen;
	now.suppressed += event->past.suppressed;
	now.lost += event->past.lost;
	atomic_store(&event->seen, now.seen);
	atomic_store(&event->suppressed, now.suppressed);
	atomic_store(&event->lost, now.lost);
	if (is_end)
		event->past = now;
}

static int set(struct tl_event *event, struct tl_ctx *ctx)
{
	const uint32_t zero = 0;
	struct timespec tick;

	(void)clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	event->setting = (struct tl_event_setting) {.tick_ns = (uint64_t)tick.tv_nsec};
	event->kind->set(event, ctx, &event->setting);
	return tl_bpf_write(event->bpf, "settings", &zero, &event->setting);
}

static uint32_t inode_of(const char *path)
{
	char below[PATH_MAX];
	struct stat status;

	return stat(tl_host_path(path, below, sizeof(below)), &status) == 0 ? (uint32_t)status.st_ino
									    : 0;
}

static void begin_run(void)
{
	(void)pthread_mutex_lock(&shared.lock);
	shared.runs++;
	(void)pthread_mutex_unlock(&shared.lock);
}

static void end_run(void)
{
	(void)pthread_mutex_lock(&shared.lock);
	if (--shared.runs == 0) {
		tl_symbols_destroy(shared.symbols);
		shared.symbols = NULL;
		shared.symbols_ns = 0;
	}
	(void)pthread_mutex_unlock(&shared.lock);
}

// Loads the first hook that the kernel takes, with the constants that all programs have and its own.
static int load(struct tl_event *event, struct tl_ctx *ctx)
{
	bool is_v2 = tl_containers_are_v2();
	struct tl_bpf_constant constants[HOOKS_MAX][CONSTANTS_MAX + 3];
	struct tl_bpf_hook hooks[HOOKS_MAX + 1] = {0};

	event->host_net = inode_of("/proc/1/ns/net");
	if (event->host_net == 0) // not for us to see: then ours is taken for the host's
		event->host_net = inode_of("/proc/self/ns/net");
	for (uint32_t i = 0; event->kind->hooks[i].name != NULL; i++) {
		TL_ASSERT(i < HOOKS_MAX);
		hooks[i] = event->kind->hooks[i];
		struct tl_bpf_constant *next = constants[i];
		*next++ = (struct tl_bpf_constant) {"tl_is_v2", &is_v2, sizeof(is_v2)};
		if (event->kind->has_net)
			*next++ = (struct tl_bpf_constant) {"host_net", &event->host_net,
							    sizeof(event->host_net)};
		for (const struct tl_bpf_constant *own = hooks[i].constants;
		     own != NULL && own->name != NULL; own++) {
			TL_ASSERT(own - hooks[i].constants < (ptrdiff_t)CONSTANTS_MAX);
			*next++ = *own;
		}
		*next = (struct tl_bpf_constant) {0};
		hooks[i].constants = constants[i];
	}
	return tl_bpf_start(ctx, hooks, &event->bpf);
}

static int run_bpf(struct tl_event *event, struct tl_ctx *ctx)
{
	int rc = tl_bpf_listen(event->bpf, "events", on_record, event);

	while (rc == 0) {
		rc = set(event, ctx);
		take_counts(event, false);
		if (rc == 0 && !tl_bpf_wait(event->bpf, ctx, SECOND_NS))
			break;
	}
	take_counts(event, true);
	tl_bpf_unload(event->bpf);
	event->bpf = NULL;
	return rc;
}

int tl_event_run(void *arg, struct tl_ctx *ctx)
{
	struct tl_event *event = arg;
	int rc = load(event, ctx);

	if (rc < 0 && event->kind->perf == NULL)
		return rc;
	begin_run();
	event->error = 0;
	rc = rc < 0 ? tl_event_run_perf(event, ctx, rc) : run_bpf(event, ctx);
	end_run();
	return rc < 0 ? rc : event->error;
}

int tl_event_update(void *arg, struct tl_emit *emit)
{
	const struct tl_event *event = arg;

	tl_emit_counter(emit, "total", (double)atomic_load(&event->seen),
			"Events above the threshold.", TL_NO_LABELS);
	tl_emit_counter(emit, "saved_total", (double)atomic_load(&event->saved),
			"Events that were saved as records.", TL_NO_LABELS);
	tl_emit_counter(emit, "known_total", (double)atomic_load(&event->known),
			"Events that were not saved, because they are known.", TL_NO_LABELS);
	tl_emit_counter(emit, "suppressed_total", (double)atomic_load(&event->suppressed),
			"Events that were not saved, because the rate was reached.", TL_NO_LABELS);
	tl_emit_counter(emit, "lost_total", (double)atomic_load(&event->lost),
			"Events for which the kernel's buffer had no room.", TL_NO_LABELS);
	return 0;
}

// ---- Whose it is ---------------------------------------------------------------------------------

void tl_event_find_task(struct tl_event *event, const struct tl_event_task *task)
{
	if ((task->cgroup == 0 || !tl_container_by_cgroup(task->cgroup, &event->owner)) &&
	    !tl_container_by_pid(task->pid, &event->owner))
		event->owner = (struct tl_container) {0};
}

struct search {
	uint32_t inum;
	struct tl_container *owner;
	bool is_found;
};

static bool visit(void *arg, const struct tl_container *container)
{
	struct search *search = arg;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%u/ns/net", container->init_pid);
	if (container->init_pid == 0 || inode_of(path) != search->inum)
		return true;
	*search->owner = *container;
	search->is_found = true;
	return false;
}

void tl_event_find_net(struct tl_event *event, uint32_t inum)
{
	uint64_t now_ns = tl_host_clock_ns();
	struct tl_container *owner = &event->owner;
	struct search search = {.inum = inum, .owner = owner};

	*owner = (struct tl_container) {0};
	if (inum == 0 || inum == event->host_net)
		return;
	for (uint32_t i = 0; i < TL_EVENT_NETS_MAX; i++) {
		const struct tl_event_net *net = &event->nets[i];
		if (net->inum != inum || now_ns >= net->until_ns)
			continue;
		if (net->id[0] == '\0' || !tl_container_by_id(net->id, owner))
			*owner = (struct tl_container) {0};
		return;
	}
	(void)tl_container_each(visit, &search);
	struct tl_event_net *net = &event->nets[event->next_net++ % TL_EVENT_NETS_MAX];
	net->inum = inum;
	net->until_ns = now_ns + NET_KNOWN_NS;
	memcpy(net->id, owner->id, sizeof(net->id));
}

// ---- Saving --------------------------------------------------------------------------------------

void tl_event_save(struct tl_event *event, uint64_t time_ns, json_t *data)
{
	// The program saw the clock that never jumps; a record has the wall's.
	uint64_t wall_ns = tl_host_time_ns() - (tl_host_clock_ns() - time_ns);
	char *json = data == NULL ? NULL : json_dumps(data, JSON_COMPACT);
	int rc = json == NULL ? -ENOMEM :
		tl_store_save(event->kind->name, event->owner.id, wall_ns, json);

	if (rc == 0)
		atomic_fetch_add(&event->saved, 1);
	else
		event->error = rc;
	free(json);
	json_decref(data);
}

void tl_event_add_task(json_t *data, const struct tl_event_task *task)
{
	(void)json_object_set_new(data, "pid", json_integer(task->pid));
	(void)json_object_set_new(data, "tid", json_integer(task->tid));
	(void)json_object_set_new(data, "comm", tl_place_as_json(task->comm, sizeof(task->comm)));
}

// The innermost frames are those of the program that took the stack.
static const char *skip_own(const char *text)
{
	static const char *const own[] = {"bpf_prog_", "bpf_trace_run", "__bpf_trace_", "__traceiter_"};

	for (uint32_t i = 0; i < TL_COUNT_OF(own); i++) {
		const char *end = strchr(text, '\n');
		if (strncmp(text, own[i], strlen(own[i])) == 0 && end != NULL)
			text = end + 1;
	}
	return text;
}

// With the lock held: `ret_text` by symbols that are at most so old.
static void print_stack(const uint64_t *frames, uint32_t count, uint64_t age_ns,
			struct tl_text *ret_text)
{
	uint64_t now_ns = tl_host_clock_ns();

	if (shared.symbols == NULL || now_ns - shared.symbols_ns >= age_ns) {
		tl_symbols_destroy(shared.symbols);
		shared.symbols = tl_symbols_create();
		shared.symbols_ns = now_ns;
	}
	tl_text_clear(ret_text);
	tl_text_puts(ret_text, "");
	if (shared.symbols != NULL)
		tl_symbols_print(shared.symbols, 0, frames, count, ret_text);
}

void tl_event_stack(const struct tl_event_stack *stack, struct tl_text *ret_text)
{
	uint32_t count = stack->count < TL_EVENT_FRAMES ? stack->count : TL_EVENT_FRAMES;
	uint64_t frames[TL_EVENT_FRAMES];
	struct tl_text text = {0};

	for (uint32_t i = 0; i < count; i++)
		frames[i] = stack->frames[i];
	(void)pthread_mutex_lock(&shared.lock);
	print_stack(frames, count, SYMBOLS_NS, &text);
	// A program that was loaded since then would go by the name of another one.
	if (strstr(skip_own(text.data), " (bpf)") != NULL)
		print_stack(frames, count, SYMBOLS_BPF_NS, &text);
	(void)pthread_mutex_unlock(&shared.lock);
	tl_text_clear(ret_text);
	tl_text_puts(ret_text, skip_own(text.data));
	tl_text_free(&text);
}
