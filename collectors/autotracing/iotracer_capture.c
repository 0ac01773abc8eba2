// SPDX-License-Identifier: Apache-2.0
#include "collectors/autotracing/iotracer_capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jansson.h"
#include "collectors/autotracing/iofiles.h"
#include "collectors/autotracing/iotracer.h"
#include "collectors/bpf/bpf.h"
#include "collectors/bpf/symbols.h"
#include "collectors/tasks.h"

TL_BPF_CODE(iotracer);

#define PROCESSES_MAX 16384u // looked at

// A file as a process used it.
struct used {
	struct tl_io_file file;
	struct iotracer_key key;
	struct iotracer_value value;
};

// Bytes that a process read and wrote, by whatever file system, and of them from and to disks.
struct usage {
	uint64_t read, written, disk_read, disk_written;
};

struct process {
	uint32_t pid;
	char comm[IOTRACER_COMM_BYTES];
	struct usage before, used;
	uint64_t disk_read, disk_written; // of the disk in question
	uint32_t file_count;
};

struct capture {
	struct tl_ctx *ctx;
	const struct tl_io_what *what;
	struct tl_text text;
	bool has_bpf, is_second;
	double seconds;
	uint32_t process_count, used_count, used_capacity, stall_count;
	struct process *processes; // PROCESSES_MAX
	struct used *used;
	struct iotracer_stall stalls[TL_IO_STALLS_MAX]; // the longest first
};

// ---- What /proc/PID/io says ----------------------------------------------------------------------

static struct process *process_of(struct capture *c, uint32_t pid)
{
	for (uint32_t i = 0; i < c->process_count; i++)
		if (c->processes[i].pid == pid)
			return &c->processes[i];
	if (c->process_count == PROCESSES_MAX)
		return NULL;
	struct process *process = &c->processes[c->process_count++];
	*process = (struct process) {.pid = pid};
	return process;
}

static bool read_usage(struct capture *c, uint32_t pid, struct usage *ret)
{
	*ret = (struct usage) {0};
	return tl_host_readf(&c->text, "/proc/%u/io", pid) == 0 &&
	       tl_host_value(c->text.data, "rchar", &ret->read) &&
	       tl_host_value(c->text.data, "wchar", &ret->written) &&
	       tl_host_value(c->text.data, "read_bytes", &ret->disk_read) &&
	       tl_host_value(c->text.data, "write_bytes", &ret->disk_written);
}

static uint64_t more(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static bool note_usage(void *arg, uint32_t pid)
{
	struct capture *c = arg;
	struct usage now;

	struct process *process = read_usage(c, pid, &now) ? process_of(c, pid) : NULL;
	if (process != NULL && !c->is_second) {
		process->before = now;
	} else if (process != NULL) {
		process->used.read = more(now.read, process->before.read);
		process->used.written = more(now.written, process->before.written);
		process->used.disk_read = more(now.disk_read, process->before.disk_read);
		process->used.disk_written = more(now.disk_written, process->before.disk_written);
	}
	return !tl_ctx_done(c->ctx);
}

// ---- What the kernel was made to count -----------------------------------------------------------

static void on_stall(void *arg, const void *data, uint32_t size)
{
	struct capture *c = arg;
	struct iotracer_stall stall;
	uint32_t at = c->stall_count;

	if (size < sizeof(stall))
		return;
	memcpy(&stall, data, sizeof(stall));
	while (at != 0 && c->stalls[at - 1].wait_ns < stall.wait_ns)
		at--;
	if (at == TL_IO_STALLS_MAX)
		return;
	if (c->stall_count < TL_IO_STALLS_MAX)
		c->stall_count++;
	memmove(&c->stalls[at + 1], &c->stalls[at],
		(c->stall_count - 1 - at) * sizeof(c->stalls[0]));
	c->stalls[at] = stall;
}

static bool on_file(void *arg, const void *key, const void *value)
{
	struct capture *c = arg;

	if (c->used_count == c->used_capacity) {
		uint32_t capacity = c->used_capacity == 0 ? 64 : 2 * c->used_capacity;
		struct used *used = reallocarray(c->used, capacity, sizeof(*used));
		if (used == NULL)
			return false;
		c->used = used;
		c->used_capacity = capacity;
	}
	struct used *used = &c->used[c->used_count++];
	*used = (struct used) {0};
	memcpy(&used->key, key, sizeof(used->key));
	memcpy(&used->value, value, sizeof(used->value));
	used->file = (struct tl_io_file) {
		.major = used->key.fs_device >> 20, .minor = used->key.fs_device & 0xfffff,
		.inode = used->key.inode, .pid = used->key.pid,
	};
	return true;
}

// NULL where this kernel takes no program.
static struct tl_bpf *load(struct capture *c)
{
	const struct tl_bpf_constant constants[] = {
		{"disk", &c->what->device, sizeof(c->what->device)},
		{"stall_ns", &c->what->stall_ns, sizeof(c->what->stall_ns)},
		{NULL},
	};
	const struct tl_bpf_hook hooks[] = {
		{.name = "tp_btf", .code = &tl_bpf_code_iotracer, .constants = constants},
		{.name = NULL},
	};
	struct tl_bpf *bpf = NULL;

	if (tl_bpf_start(c->ctx, hooks, &bpf) == 0 &&
	    tl_bpf_listen(bpf, "stalls", on_stall, c) == 0)
		return bpf;
	tl_bpf_unload(bpf);
	tl_ctx_hook(c->ctx, "/proc/PID/io");
	return NULL;
}

// False when the run is to end.
static bool wait_until(struct capture *c, struct tl_bpf *bpf, uint64_t end_ns)
{
	uint64_t now_ns = tl_host_clock_ns();
	bool goes_on = true;

	if (bpf == NULL)
		return tl_ctx_sleep(c->ctx, end_ns > now_ns ? end_ns - now_ns : 0);
	for (; goes_on && now_ns < end_ns; now_ns = tl_host_clock_ns())
		goes_on = tl_bpf_wait(bpf, c->ctx, end_ns - now_ns);
	return goes_on;
}

static void add_up(struct capture *c)
{
	for (uint32_t i = 0; i < c->used_count; i++) {
		const struct used *used = &c->used[i];
		struct process *process = process_of(c, used->key.pid);
		if (process == NULL)
			continue;
		memcpy(process->comm, used->value.comm, sizeof(process->comm));
		process->disk_read += used->value.read_bytes;
		process->disk_written += used->value.write_bytes;
		process->file_count++;
	}
	// Without the kernel's counts: of all disks together.
	for (uint32_t i = 0; i < c->process_count && !c->has_bpf; i++) {
		c->processes[i].disk_read = c->processes[i].used.disk_read;
		c->processes[i].disk_written = c->processes[i].used.disk_written;
	}
}

// ---- Telling -------------------------------------------------------------------------------------

static int by_bytes(const void *a, const void *b)
{
	const struct process *p = a, *q = b;
	uint64_t left = p->disk_read + p->disk_written, right = q->disk_read + q->disk_written;

	return left < right ? 1 : left > right ? -1 : 0;
}

static int files_by_bytes(const void *a, const void *b)
{
	const struct used *p = a, *q = b;
	uint64_t left = p->value.read_bytes + p->value.write_bytes;
	uint64_t right = q->value.read_bytes + q->value.write_bytes;

	return left < right ? 1 : left > right ? -1 : 0;
}

static void set_container(json_t *object, uint32_t pid)
{
	struct tl_container *container = calloc(1, sizeof(*container));

	if (container != NULL && object != NULL && tl_container_by_pid(pid, container)) {
		(void)json_object_set_new(object, "container_id", json_string(container->id));
		(void)json_object_set_new(object, "container_hostname",
					  tl_text_as_json(container->hostname));
	}
	free(container);
}

static json_t *file_json(const struct capture *c, const struct used *used)
{
	const struct iotracer_value *v = &used->value;
	double requests = v->requests == 0 ? 1 : (double)v->requests;

	return json_pack("{s:I, s:I, s:I, s:o, s:b, s:f, s:f, s:I, s:f, s:f, s:f, s:f}", "major",
			 (json_int_t)used->file.major, "minor", (json_int_t)used->file.minor,
			 "inode", (json_int_t)used->file.inode, "path", tl_text_as_json(used->file.path), "is_direct",
			 (int)used->key.is_direct, "disk_read_bps",
			 (double)v->read_bytes / c->seconds, "disk_write_bps",
			 (double)v->write_bytes / c->seconds, "requests", (json_int_t)v->requests,
			 "q2c_us", (double)v->q2c_ns / requests / 1e3, "d2c_us",
			 (double)v->d2c_ns / requests / 1e3, "max_q2c_us",
			 (double)v->max_q2c_ns / 1e3, "max_d2c_us", (double)v->max_d2c_ns / 1e3);
}

// The busiest files of a process, into `ret`; how many.
static uint32_t files_of(const struct capture *c, uint32_t pid, struct used **ret)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < c->used_count && count < TL_IO_FILES_MAX; i++)
		if (c->used[i].key.pid == pid)
			ret[count++] = &c->used[i];
	return count;
}

static json_t *process_json(struct capture *c, const struct process *process)
{
	struct used *used[TL_IO_FILES_MAX];
	struct tl_task task;
	const char *comm = process->comm;
	json_t *files = json_array();

	if (comm[0] == '\0' && tl_task_read(process->pid, &c->text, &task))
		comm = task.comm;
	uint32_t count = files_of(c, process->pid, used);
	for (uint32_t i = 0; i < count; i++)
		(void)json_array_append_new(files, file_json(c, used[i]));
	json_t *object = json_pack(
		"{s:I, s:o, s:f, s:f, s:f, s:f, s:I, s:o}", "pid", (json_int_t)process->pid, "comm",
		tl_place_as_json(comm, IOTRACER_COMM_BYTES), "total_fs_read_bps",
		(double)process->used.read / c->seconds,
		"total_fs_write_bps", (double)process->used.written / c->seconds,
		"total_disk_read_bps", (double)process->disk_read / c->seconds,
		"total_disk_write_bps", (double)process->disk_written / c->seconds,
		"total_file_count", (json_int_t)process->file_count, "total_files", files);
	set_container(object, process->pid);
	return object;
}

static json_t *processes_json(struct capture *c)
{
	struct tl_io_file *files[TL_IO_PROCESSES_MAX * TL_IO_FILES_MAX];
	struct used *used[TL_IO_FILES_MAX];
	uint32_t shown = 0, count = 0;
	json_t *list = json_array();

	qsort(c->processes, c->process_count, sizeof(c->processes[0]), by_bytes);
	qsort(c->used, c->used_count, sizeof(c->used[0]), files_by_bytes);
	while (shown < c->process_count && shown < TL_IO_PROCESSES_MAX &&
	       c->processes[shown].disk_read + c->processes[shown].disk_written != 0) {
		uint32_t more_files = files_of(c, c->processes[shown++].pid, used);
		for (uint32_t i = 0; i < more_files; i++)
			files[count++] = &used[i]->file;
	}
	tl_io_find_paths(files, count);
	for (uint32_t i = 0; i < shown; i++)
		(void)json_array_append_new(list, process_json(c, &c->processes[i]));
	return list;
}

static json_t *stalls_json(struct capture *c)
{
	struct tl_symbols *symbols = c->stall_count == 0 ? NULL : tl_symbols_create();
	json_t *list = json_array();

	for (uint32_t i = 0; i < c->stall_count && symbols != NULL; i++) {
		const struct iotracer_stall *stall = &c->stalls[i];
		uint64_t frames[IOTRACER_FRAMES_MAX];
		json_t *stack = json_array();
		memcpy(frames, stall->frames, sizeof(frames));
		tl_text_clear(&c->text);
		tl_symbols_print(symbols, 0, frames, stall->frame_count, &c->text);
		char *rest = c->text.data, *line;
		while (stall->frame_count != 0 && (line = tl_host_line(&rest)) != NULL)
			(void)json_array_append_new(stack, json_string(line));
		json_t *object = json_pack("{s:I, s:I, s:I, s:o, s:f, s:o}", "pid",
					   (json_int_t)stall->pid, "tid", (json_int_t)stall->tid,
					   "cpu", (json_int_t)stall->cpu, "comm",
					   tl_place_as_json(stall->comm, sizeof(stall->comm)),
					   "schedule_latency_us", (double)stall->wait_ns / 1e3,
					   "stack", stack);
		set_container(object, stall->pid);
		(void)json_array_append_new(list, object);
	}
	tl_symbols_destroy(symbols);
	return list;
}

// ---- All together --------------------------------------------------------------------------------

static int look(struct capture *c)
{
	struct tl_bpf *bpf = load(c); // takes its time, which is not part of the look
	uint64_t began_ns = tl_host_clock_ns();
	int rc = 0;

	tl_processes_each(note_usage, c);
	if (!wait_until(c, bpf, began_ns + c->what->span_ns))
		rc = -ECANCELED;
	if (bpf != NULL)
		tl_bpf_detach(bpf);
	c->seconds = (double)(tl_host_clock_ns() - began_ns) / 1e9;
	c->is_second = true;
	if (rc == 0)
		tl_processes_each(note_usage, c);
	if (rc == 0 && bpf != NULL)
		rc = tl_bpf_each(bpf, "files", on_file, c);
	c->has_bpf = bpf != NULL;
	tl_bpf_unload(bpf);
	return rc == 0 && tl_ctx_done(c->ctx) ? -ECANCELED : rc;
}

int tl_iotracer_capture(struct tl_ctx *ctx, const struct tl_io_what *what, json_t *data)
{
	struct capture *c = calloc(1, sizeof(*c));
	int rc = -ENOMEM;

	if (c == NULL)
		return rc;
	*c = (struct capture) {
		.ctx = ctx, .what = what, .processes = calloc(PROCESSES_MAX, sizeof(*c->processes))};
	if (c->processes != NULL)
		rc = look(c);
	if (rc == 0) {
		add_up(c);
		(void)json_object_set_new(data, "source", json_string(c->has_bpf ? "bpf" : "proc"));
		(void)json_object_set_new(data, "process_file_io_stats", processes_json(c));
		(void)json_object_set_new(data, "io_schedule_timeout_stacks", stalls_json(c));
	}
	free(c->processes);
	free(c->used);
	tl_text_free(&c->text);
	free(c);
	return rc;
}
