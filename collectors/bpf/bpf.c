// SPDX-License-Identifier: Apache-2.0
// Loading and attaching, on libbpf.
#include "collectors/bpf/bpf.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "collectors/bpf/internal.h"
#include "collectors/bpf/tracefs.h"
#include "collectors/internal.h"

#define LINKS_MAX 1024u     // of one object; a perf event takes one per CPU
#define LISTENERS_MAX 8u
#define PERF_PAGES 16u      // of a perf buffer, per CPU
#define RECORDS_MAX 100000u // handed over by one call of tl_bpf_wait()

struct listener {
	tl_bpf_event_fn *fn;
	void *arg;
	struct tl_bpf *bpf;
	struct ring_buffer *ring; // one of the two
	struct perf_buffer *perf;
};

struct tl_bpf {
	struct tl_owned owned; // by its run; first
	struct tl_ctx *ctx;
	_Atomic uint32_t references;
	struct bpf_object *object;
	char hook[32];
	struct tl_bpf_ref *ref;
	pthread_mutex_t lock;  // of the links
	bool is_detached;      // for good
	uint32_t link_count;
	struct bpf_link *links[LINKS_MAX];
	uint32_t listener_count;
	struct listener listeners[LISTENERS_MAX];
	_Atomic uint64_t lost;
	uint32_t handed;       // records, by the present call of tl_bpf_wait()
};

static _Atomic bool is_forbidden;
static _Thread_local char warning[96]; // what libbpf said last

void tl_bpf_allow(bool is_allowed)
{
	atomic_store(&is_forbidden, !is_allowed);
}

// libbpf writes to stderr if it is not told otherwise. The kernel's verifier may fill pages; what
// counts here is the first line.
static int on_libbpf_says(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[512];

	if (level == LIBBPF_DEBUG || level == LIBBPF_INFO)
		return 0;
	(void)vsnprintf(line, sizeof(line), format, args);
	if (getenv("TAPLINE_BPF_LOG") != NULL)
		(void)fputs(line, stderr);
	if (warning[0] == '\0')
		(void)snprintf(warning, sizeof(warning), "%.*s", (int)strcspn(line, "\n"), line);
	return 0;
}

// ---- Loading -------------------------------------------------------------------------------------

// The variable `name` of the programs' constants, as they will be loaded. NULL: there is none.
static void *constant_of(struct bpf_object *object, const char *name, uint32_t *ret_size)
{
	const struct btf *btf = bpf_object__btf(object);
	struct bpf_map *map = bpf_object__find_map_by_name(object, ".rodata");
	size_t size = 0;

	if (btf == NULL)
		return NULL;
	int32_t id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	char *values = map == NULL ? NULL :
		(char *)(uintptr_t)bpf_map__initial_value(map, &size);
	if (id < 0 || values == NULL)
		return NULL;
	const struct btf_type *section = btf__type_by_id(btf, (uint32_t)id);
	const struct btf_var_secinfo *variables = btf_var_secinfos(section);
	for (uint32_t i = 0; i < btf_vlen(section); i++) {
		const struct btf_type *type = btf__type_by_id(btf, variables[i].type);
		const char *found = btf__name_by_offset(btf, type->name_off);
		if (found == NULL || strcmp(found, name) != 0 ||
		    (size_t)variables[i].offset + variables[i].size > size)
			continue;
		*ret_size = variables[i].size;
		return values + variables[i].offset;
	}
	return NULL;
}

static int set_constant(struct bpf_object *object, const char *name, const void *value,
			uint32_t size)
{
	uint32_t room = 0;
	void *place = constant_of(object, name, &room);

	// Our own mistake, but one that depends on the object file.
	if (place == NULL || room != size)
		return -EINVAL;
	memcpy(place, value, size);
	return 0;
}

static int set_constants(struct bpf_object *object, const struct tl_bpf_hook *hook)
{
	const struct tl_bpf_constant *c = hook->constants;
	const struct tl_bpf_field *f = hook->fields;
	const bool is_v2 = tl_containers_are_v2();
	int rc = 0;

	(void)set_constant(object, "tl_is_v2", &is_v2, sizeof(is_v2)); // not every program has it
	for (; rc == 0 && c != NULL && c->name != NULL; c++)
		rc = set_constant(object, c->name, c->value, c->size);
	for (; rc == 0 && f != NULL && f->constant != NULL; f++) {
		struct tl_tracepoint_field field;
		rc = tl_tracepoint_field(f->tracepoint, f->field, &field);
		if (rc == 0)
			rc = set_constant(object, f->constant, &field.offset, sizeof(field.offset));
	}
	return rc;
}

static int set_sizes(struct bpf_object *object, const struct tl_bpf_hook *hook)
{
	int rc = 0;

	for (const struct tl_bpf_map_size *s = hook->sizes; rc == 0 && s != NULL && s->map != NULL;
	     s++) {
		struct bpf_map *map = bpf_object__find_map_by_name(object, s->map);
		rc = map == NULL ? -EINVAL : bpf_map__set_max_entries(map, s->entries);
	}
	return rc;
}

static bool is_in(const char *const *names, const char *name)
{
	for (; *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static void choose_programs(struct bpf_object *object, const struct tl_bpf_hook *hook)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object)
		(void)bpf_program__set_autoload(program, hook->programs == NULL ||
							 is_in(hook->programs,
							       bpf_program__name(program)));
}

static void end_of_run(struct tl_owned *owned)
{
	struct tl_bpf *bpf = (struct tl_bpf *)owned;

	bpf->ctx = NULL;
	tl_bpf_unload(bpf);
}

static void detach_of_run(struct tl_owned *owned)
{
	tl_bpf_detach((struct tl_bpf *)owned);
}

static int load_object(struct tl_bpf *bpf, const struct tl_bpf_hook *hook)
{
	const struct bpf_object_open_opts options = {
		.sz = sizeof(options), .object_name = hook->code->name};

	bpf->object = bpf_object__open_mem(hook->code->bytes, hook->code->size, &options);
	if (bpf->object == NULL)
		return -errno;
	choose_programs(bpf->object, hook);
	int rc = set_sizes(bpf->object, hook);
	if (rc == 0)
		rc = set_constants(bpf->object, hook);
	return rc < 0 ? rc : bpf_object__load(bpf->object);
}

int tl_bpf_load(struct tl_ctx *ctx, const struct tl_bpf_hook *hook, struct tl_bpf **ret_bpf)
{
	warning[0] = '\0';
	if (hook->code->size == 0 || atomic_load(&is_forbidden))
		return -EOPNOTSUPP;
	(void)libbpf_set_print(on_libbpf_says);
	struct tl_bpf *bpf = calloc(1, sizeof(*bpf));
	if (bpf == NULL)
		return -ENOMEM;
	(void)pthread_mutex_init(&bpf->lock, NULL);
	bpf->owned = (struct tl_owned) {.end = end_of_run, .detach = detach_of_run};
	atomic_store(&bpf->references, 1);
	(void)snprintf(bpf->hook, sizeof(bpf->hook), "%s", hook->name);
	int rc = load_object(bpf, hook);
	if (rc < 0) {
		tl_bpf_unload(bpf);
		return rc;
	}
	bpf->ctx = ctx;
	if (ctx != NULL)
		tl_ctx_own(ctx, &bpf->owned);
	*ret_bpf = bpf;
	return 0;
}

bool tl_bpf_hook_is(const struct tl_bpf *bpf, const char *name)
{
	return strcmp(bpf->hook, name) == 0;
}

void tl_bpf_detach(struct tl_bpf *bpf)
{
	(void)pthread_mutex_lock(&bpf->lock);
	bpf->is_detached = true;
	for (uint32_t i = 0; i < bpf->link_count; i++)
		(void)bpf_link__destroy(bpf->links[i]);
	bpf->link_count = 0;
	(void)pthread_mutex_unlock(&bpf->lock);
}

void tl_bpf_unload(struct tl_bpf *bpf)
{
	if (bpf == NULL)
		return;
	if (bpf->ctx != NULL)
		tl_ctx_disown(bpf->ctx, &bpf->owned);
	bpf->ctx = NULL;
	if (bpf->ref != NULL) {
		(void)pthread_mutex_lock(&bpf->ref->lock);
		bpf->ref->bpf = NULL;
		(void)pthread_mutex_unlock(&bpf->ref->lock);
	}
	tl_bpf_detach(bpf);
	for (uint32_t i = 0; i < bpf->listener_count; i++) {
		ring_buffer__free(bpf->listeners[i].ring);
		perf_buffer__free(bpf->listeners[i].perf);
	}
	bpf->listener_count = 0;
	tl_bpf_release(bpf);
}

// ---- Attaching -----------------------------------------------------------------------------------

static int keep_link(struct tl_bpf *bpf, struct bpf_link *link)
{
	if (link == NULL)
		return -errno;
	(void)pthread_mutex_lock(&bpf->lock);
	int rc = bpf->is_detached ? -ECANCELED : bpf->link_count == LINKS_MAX ? -ENOSPC : 0;
	if (rc == 0)
		bpf->links[bpf->link_count++] = link;
	(void)pthread_mutex_unlock(&bpf->lock);
	if (rc < 0)
		(void)bpf_link__destroy(link);
	return rc;
}

// Takes over `fd`.
static int attach_event(struct tl_bpf *bpf, struct bpf_program *program, int fd)
{
	if (fd < 0)
		return fd;
	struct bpf_link *link = bpf_program__attach_perf_event(program, fd);
	int rc = keep_link(bpf, link);
	if (link == NULL)
		(void)close(fd); // a link closes it by itself
	return rc;
}

// One event counts for all CPUs.
static int attach_tracepoint(struct tl_bpf *bpf, struct bpf_program *program,
			     const char *tracepoint)
{
	int64_t id = tl_tracepoint_id(tracepoint);

	return id < 0 ? (int)id : attach_event(bpf, program, tl_perf_open_tracepoint(id, 0));
}

static int attach_clock(struct tl_bpf *bpf, struct bpf_program *program, uint32_t hz)
{
	uint32_t *cpus = calloc(TL_PERF_CPUS_MAX, sizeof(*cpus));
	uint32_t count = cpus == NULL ? 0 : tl_perf_cpus(cpus, TL_PERF_CPUS_MAX);
	int rc = cpus == NULL ? -ENOMEM : 0;

	for (uint32_t i = 0; i < count && rc == 0; i++)
		rc = attach_event(bpf, program, tl_perf_open_clock(hz, cpus[i]));
	free(cpus);
	return rc;
}

// "tracepoint/block/block_rq_issue" or "tp/...": libbpf would look for a mounted tracefs.
static const char *tracepoint_of(const char *section)
{
	static const char *const prefixes[] = {"tracepoint/", "tp/"};

	for (size_t i = 0; i < TL_COUNT_OF(prefixes); i++)
		if (strncmp(section, prefixes[i], strlen(prefixes[i])) == 0)
			return section + strlen(prefixes[i]);
	return NULL;
}

static int attach_program(struct tl_bpf *bpf, struct bpf_program *program,
			  const struct tl_bpf_place *place)
{
	const char *tracepoint = tracepoint_of(bpf_program__section_name(program));

	if (place != NULL && place->tracepoint != NULL)
		return attach_tracepoint(bpf, program, place->tracepoint);
	if (place != NULL && place->hz != 0)
		return attach_clock(bpf, program, place->hz);
	if (tracepoint != NULL)
		return attach_tracepoint(bpf, program, tracepoint);
	return keep_link(bpf, bpf_program__attach(program));
}

int tl_bpf_attach_one(struct tl_bpf *bpf, const char *name, const struct tl_bpf_place *place)
{
	struct bpf_program *program = bpf_object__find_program_by_name(bpf->object, name);

	return program == NULL ? -ENOENT : attach_program(bpf, program, place);
}

int tl_bpf_attach(struct tl_bpf *bpf)
{
	struct bpf_program *program;
	int rc = 0;

	bpf_object__for_each_program(program, bpf->object)
		if (rc == 0 && bpf_program__autoload(program))
			rc = attach_program(bpf, program, NULL);
	if (rc < 0)
		tl_bpf_detach(bpf);
	return rc;
}

// For tests of what comes next: TAPLINE_BPF_REFUSE=tp_btf.
static bool is_refused(const char *hook)
{
	const char *refused = getenv("TAPLINE_BPF_REFUSE");

	return refused != NULL && strstr(refused, hook) != NULL;
}

static int try_hook(struct tl_ctx *ctx, const struct tl_bpf_hook *hook, struct tl_bpf **ret_bpf)
{
	int rc = is_refused(hook->name) ? -ECANCELED : tl_bpf_load(ctx, hook, ret_bpf);

	if (rc < 0)
		return rc;
	rc = tl_bpf_attach(*ret_bpf);
	if (rc < 0)
		tl_bpf_unload(*ret_bpf);
	return rc;
}

int tl_bpf_start(struct tl_ctx *ctx, const struct tl_bpf_hook *hooks, struct tl_bpf **ret_bpf)
{
	char refused[TL_COLLECTOR_HOOK_BYTES] = "";
	size_t len = 0;
	int rc = -EOPNOTSUPP;

	for (; hooks->name != NULL; hooks++) {
		rc = try_hook(ctx, hooks, ret_bpf);
		if (rc == 0) {
			tl_ctx_hook(ctx, "%s%s%s%s", hooks->name, len != 0 ? " (" : "", refused,
				    len != 0 ? ")" : "");
			return 0;
		}
		int added = snprintf(refused + len, sizeof(refused) - len, "%s%s: %s%s%s",
				     len != 0 ? "; " : "", hooks->name, strerror(-rc),
				     warning[0] != '\0' ? ", " : "", warning);
		len += (size_t)added < sizeof(refused) - len ? (size_t)added
							     : sizeof(refused) - len - 1;
	}
	tl_ctx_hook(ctx, "none (%s)", atomic_load(&is_forbidden) ? "collectors.bpf is off" : refused);
	return rc;
}

// ---- Maps ----------------------------------------------------------------------------------------

uint32_t tl_bpf_cpus(void)
{
	int count = libbpf_num_possible_cpus();

	return count < 1 ? 1 : (uint32_t)count;
}

static int map_of(struct tl_bpf *bpf, const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(bpf->object, name);

	return fd < 0 ? -ENOENT : fd;
}

int tl_bpf_read(struct tl_bpf *bpf, const char *map, const void *key, void *ret_value)
{
	int fd = map_of(bpf, map);

	return fd < 0 ? fd : bpf_map_lookup_elem(fd, key, ret_value) < 0 ? -errno : 0;
}

int tl_bpf_write(struct tl_bpf *bpf, const char *map, const void *key, const void *value)
{
	int fd = map_of(bpf, map);

	return fd < 0 ? fd : bpf_map_update_elem(fd, key, value, BPF_ANY) < 0 ? -errno : 0;
}

int tl_bpf_delete(struct tl_bpf *bpf, const char *map, const void *key)
{
	int fd = map_of(bpf, map);

	return fd < 0 ? fd : bpf_map_delete_elem(fd, key) < 0 ? -errno : 0;
}

static size_t value_bytes(const struct bpf_map *map)
{
	size_t size = bpf_map__value_size(map);

	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
		return (size + 7) / 8 * 8 * tl_bpf_cpus();
	default:
		return size;
	}
}

// Keys that others add or delete meanwhile may be seen twice or not at all; the walk ends after
// as many as the map can hold.
static int walk(struct tl_bpf *bpf, const char *name, tl_bpf_visit_fn *visit, void *arg,
		bool is_drain)
{
	struct bpf_map *map = bpf_object__find_map_by_name(bpf->object, name);

	if (map == NULL)
		return -ENOENT;
	int fd = bpf_map__fd(map), rc = 0;
	size_t key_size = bpf_map__key_size(map);
	char *keys = malloc(2 * key_size), *value = malloc(value_bytes(map));
	char *key = NULL, *next = keys;
	bool is_wanted = true;

	if (keys == NULL || value == NULL)
		rc = -ENOMEM;
	for (uint32_t i = 0; rc == 0 && is_wanted && i < bpf_map__max_entries(map); i++) {
		if (bpf_map_get_next_key(fd, key, next) < 0)
			break;
		if (bpf_map_lookup_elem(fd, next, value) == 0)
			is_wanted = visit(arg, next, value);
		if (is_drain)
			(void)bpf_map_delete_elem(fd, next); // and go on from the first that is left
		else
			key = next;
		next = key == keys ? keys + key_size : keys;
	}
	free(keys);
	free(value);
	return rc;
}

int tl_bpf_each(struct tl_bpf *bpf, const char *map, tl_bpf_visit_fn *visit, void *arg)
{
	return walk(bpf, map, visit, arg, false);
}

int tl_bpf_drain(struct tl_bpf *bpf, const char *map, tl_bpf_visit_fn *visit, void *arg)
{
	return walk(bpf, map, visit, arg, true);
}

void tl_bpf_sum(const void *values, uint32_t count, uint64_t *ret_sums)
{
	const uint64_t *value = values;

	memset(ret_sums, 0, count * sizeof(*ret_sums));
	for (uint32_t cpu = 0, cpus = tl_bpf_cpus(); cpu < cpus; cpu++)
		for (uint32_t i = 0; i < count; i++)
			ret_sums[i] += *value++;
}

// ---- What programs send --------------------------------------------------------------------------

static int on_ring(void *arg, void *data, size_t size)
{
	struct listener *listener = arg;

	listener->fn(listener->arg, data, (uint32_t)size);
	return ++listener->bpf->handed < RECORDS_MAX ? 0 : -EAGAIN; // ends the call, keeps the rest
}

static void on_perf(void *arg, int cpu, void *data, uint32_t size)
{
	struct listener *listener = arg;

	(void)cpu;
	listener->fn(listener->arg, data, size);
	listener->bpf->handed++;
}

static void on_lost(void *arg, int cpu, __u64 count)
{
	struct listener *listener = arg;

	(void)cpu;
	atomic_fetch_add(&listener->bpf->lost, count);
}

int tl_bpf_listen(struct tl_bpf *bpf, const char *name, tl_bpf_event_fn *fn, void *arg)
{
	struct bpf_map *map = bpf_object__find_map_by_name(bpf->object, name);

	if (map == NULL)
		return -ENOENT;
	if (bpf->listener_count == LISTENERS_MAX)
		return -ENOSPC;
	struct listener *listener = &bpf->listeners[bpf->listener_count];
	*listener = (struct listener) {fn, arg, bpf, NULL, NULL};
	if (bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF)
		listener->ring = ring_buffer__new(bpf_map__fd(map), on_ring, listener, NULL);
	else
		listener->perf = perf_buffer__new(bpf_map__fd(map), PERF_PAGES, on_perf, on_lost,
						  listener, NULL);
	if (listener->ring == NULL && listener->perf == NULL)
		return -errno;
	bpf->listener_count++;
	return 0;
}

bool tl_bpf_wait(struct tl_bpf *bpf, struct tl_ctx *ctx, uint64_t ns)
{
	const struct timespec limit = {.tv_sec = (time_t)(ns / 1000000000),
				       .tv_nsec = (long)(ns % 1000000000)};
	struct pollfd fds[LISTENERS_MAX + 1] = {{.fd = tl_ctx_fd(ctx), .events = POLLIN}};

	for (uint32_t i = 0; i < bpf->listener_count; i++) {
		const struct listener *listener = &bpf->listeners[i];
		fds[i + 1] = (struct pollfd) {
			.fd = listener->ring != NULL ? ring_buffer__epoll_fd(listener->ring)
						     : perf_buffer__epoll_fd(listener->perf),
			.events = POLLIN};
	}
	(void)ppoll(fds, bpf->listener_count + 1, ns == 0 ? NULL : &limit, NULL);
	bpf->handed = 0;
	for (uint32_t i = 0; i < bpf->listener_count && !tl_ctx_done(ctx); i++) {
		// Whatever the poll said: asking a perf event whether it is readable takes that away.
		if (bpf->listeners[i].ring != NULL)
			(void)ring_buffer__consume(bpf->listeners[i].ring);
		else
			(void)perf_buffer__consume(bpf->listeners[i].perf);
	}
	return !tl_ctx_done(ctx);
}

uint64_t tl_bpf_lost(const struct tl_bpf *bpf)
{
	return atomic_load(&bpf->lost);
}

int tl_bpf_iterate(struct tl_bpf *bpf, const char *name, struct tl_text *ret_text)
{
	struct bpf_program *program = bpf_object__find_program_by_name(bpf->object, name);
	char block[16384];
	ssize_t got = 0;

	tl_text_clear(ret_text);
	tl_text_puts(ret_text, "");
	struct bpf_link *link = program == NULL ? NULL : bpf_program__attach(program);
	if (link == NULL)
		return program == NULL ? -ENOENT : -errno;
	int fd = bpf_iter_create(bpf_link__fd(link)), rc = fd < 0 ? -errno : 0;
	while (rc == 0 && ret_text->len < TL_HOST_FILE_BYTES_MAX &&
	       (got = read(fd, block, sizeof(block))) > 0)
		tl_text_add(ret_text, block, (size_t)got);
	if (rc == 0 && got < 0)
		rc = -errno;
	if (fd >= 0)
		(void)close(fd);
	(void)bpf_link__destroy(link);
	return rc;
}

// ---- For update() --------------------------------------------------------------------------------

void tl_bpf_publish(struct tl_bpf *bpf, struct tl_bpf_ref *ref)
{
	(void)pthread_mutex_lock(&ref->lock);
	ref->bpf = bpf;
	(void)pthread_mutex_unlock(&ref->lock);
	bpf->ref = ref;
}

struct tl_bpf *tl_bpf_acquire(struct tl_bpf_ref *ref)
{
	(void)pthread_mutex_lock(&ref->lock);
	struct tl_bpf *bpf = ref->bpf;
	if (bpf != NULL)
		(void)atomic_fetch_add(&bpf->references, 1);
	(void)pthread_mutex_unlock(&ref->lock);
	return bpf;
}

void tl_bpf_release(struct tl_bpf *bpf)
{
	if (bpf == NULL || atomic_fetch_sub(&bpf->references, 1) != 1)
		return;
	bpf_object__close(bpf->object);
	(void)pthread_mutex_destroy(&bpf->lock);
	free(bpf);
}

int tl_bpf_serve(struct tl_ctx *ctx, const struct tl_bpf_hook *hooks, struct tl_bpf_ref *ref)
{
	struct tl_bpf *bpf;
	int rc = tl_bpf_start(ctx, hooks, &bpf);

	if (rc < 0)
		return rc;
	tl_bpf_publish(bpf, ref);
	while (tl_ctx_sleep(ctx, UINT64_C(3600000000000)))
		;
	return 0; // the object goes with the run
}
