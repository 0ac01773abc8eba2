// SPDX-License-Identifier: Apache-2.0
#include "collectors/bpf/perf.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "collectors/bpf/internal.h"
#include "collectors/bpf/tracefs.h"
#include "collectors/host.h"
#include "collectors/internal.h"

#define RING_BYTES (64u << 10) // per CPU, if nothing else is asked for
#define LOOK_NS UINT64_C(100000000) // at rings, without a wakeup: they hold a second of samples
#define RECORD_BYTES (64u << 10)    // the longest, by the type of its size
#define EVENTS_MAX (TL_PERF_TRACEPOINTS_MAX + 1)

struct ring {
	uint32_t count;
	int fds[EVENTS_MAX];               // all write into the ring of the first
	struct perf_event_mmap_page *page; // and behind it the ring
};

struct tl_perf {
	struct tl_owned owned; // by its run; first
	struct tl_ctx *ctx;
	bool has_stacks;
	uint32_t id_count;
	uint16_t ids[TL_PERF_TRACEPOINTS_MAX]; // of tracepoints, as their records begin with it
	size_t ring_bytes;
	tl_perf_fn *fn;        // of the present call of tl_perf_wait()
	void *arg;
	uint64_t lost;
	uint32_t count;
	struct ring *rings;
	_Alignas(8) char record[RECORD_BYTES]; // one that lies across the ring's end
};

// ---- Opening -------------------------------------------------------------------------------------

static int open_event(struct perf_event_attr *attr, uint32_t cpu)
{
	attr->size = sizeof(*attr);
	long fd = syscall(SYS_perf_event_open, attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : (int)fd;
}

static struct perf_event_attr tracepoint_of(int64_t id)
{
	return (struct perf_event_attr) {
		.type = PERF_TYPE_TRACEPOINT,
		.config = (uint64_t)id,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_RAW,
		.wakeup_events = 1,
	};
}

static struct perf_event_attr clock_of(uint32_t hz)
{
	return (struct perf_event_attr) {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.freq = 1,
		.sample_freq = hz,
		.exclude_idle = 1,
	};
}

int tl_perf_open_tracepoint(int64_t id, uint32_t cpu)
{
	struct perf_event_attr attr = tracepoint_of(id);

	return open_event(&attr, cpu);
}

int tl_perf_open_clock(uint32_t hz, uint32_t cpu)
{
	struct perf_event_attr attr = clock_of(hz);

	return open_event(&attr, cpu);
}

// "0-3,8".
uint32_t tl_perf_cpus(uint32_t *ret_cpus, uint32_t max)
{
	struct tl_text text = {0};
	uint32_t count = 0;

	if (tl_host_read("/sys/devices/system/cpu/online", &text) < 0)
		tl_text_puts(&text, "0");
	for (const char *at = text.data; *at >= '0' && *at <= '9';) {
		char *end;
		unsigned long first = strtoul(at, &end, 10), last = first;
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (; first <= last && count < max; first++)
			ret_cpus[count++] = (uint32_t)first;
		at = end + (*end == ',');
	}
	tl_text_free(&text);
	return count;
}

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

// One more event of the CPU, into its ring.
static int open_one(struct tl_perf *perf, struct ring *ring, struct perf_event_attr *attr,
		    const char *filter, uint32_t cpu)
{
	int fd = open_event(attr, cpu), rc = 0;

	if (fd < 0)
		return fd;
	ring->fds[ring->count++] = fd; // from here on tl_perf_close() knows it
	if (ring->count == 1) {
		void *page = mmap(NULL, page_bytes() + perf->ring_bytes, PROT_READ | PROT_WRITE,
				  MAP_SHARED, fd, 0);
		if (page == MAP_FAILED)
			return -errno;
		ring->page = page;
	} else if (ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, ring->fds[0]) < 0) {
		rc = -errno;
	}
	if (rc == 0 && filter != NULL && ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter) < 0)
		rc = -errno;
	return rc;
}

// What all events of a ring must have in common, for a record doesn't say of which it is.
static void set_common(struct perf_event_attr *attr, const struct tl_perf_options *options)
{
	attr->sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CPU | PERF_SAMPLE_RAW;
	if (options->has_stacks)
		attr->sample_type |= PERF_SAMPLE_CALLCHAIN;
	attr->exclude_callchain_user = options->is_kernel_only;
	attr->disabled = 1;
	attr->use_clockid = 1;
	attr->clockid = CLOCK_MONOTONIC;
	attr->watermark = 1;
	attr->wakeup_watermark = RING_BYTES / 4;
	attr->sample_max_stack = TL_PERF_FRAMES_MAX;
}

static int open_ring(struct tl_perf *perf, const struct tl_perf_options *options, uint32_t cpu)
{
	struct ring *ring = &perf->rings[perf->count++];
	struct perf_event_attr attr = clock_of(options->hz);
	int rc = 0;

	set_common(&attr, options);
	if (options->hz != 0)
		rc = open_one(perf, ring, &attr, NULL, cpu);
	for (uint32_t i = 0; i < perf->id_count && rc == 0; i++) {
		attr = tracepoint_of(perf->ids[i]);
		set_common(&attr, options);
		if ((options->stackless >> i & 1) != 0)
			attr.exclude_callchain_user = attr.exclude_callchain_kernel = 1;
		rc = open_one(perf, ring, &attr, options->filter, cpu);
	}
	if (rc == -ENODEV && ring->count == 0) { // the CPU has just gone offline
		perf->count--;
		rc = 0;
	}
	return rc;
}

static int find_ids(struct tl_perf *perf, const char *const *tracepoints)
{
	for (; tracepoints != NULL && *tracepoints != NULL; tracepoints++) {
		int64_t id = tl_tracepoint_id(*tracepoints);
		if (id < 0)
			return (int)id;
		TL_ASSERT(perf->id_count < TL_PERF_TRACEPOINTS_MAX);
		perf->ids[perf->id_count++] = (uint16_t)id; // so it is in every record
	}
	return 0;
}

static int open_rings(struct tl_perf *perf, const struct tl_perf_options *options)
{
	uint32_t cpus[TL_PERF_CPUS_MAX];
	uint32_t count = tl_perf_cpus(cpus, TL_PERF_CPUS_MAX);
	int rc = find_ids(perf, options->tracepoints);

	perf->has_stacks = options->has_stacks;
	perf->ring_bytes = options->ring_bytes == 0 ? RING_BYTES : options->ring_bytes;
	perf->rings = calloc(count, sizeof(*perf->rings));
	if (perf->rings == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < count && rc == 0; i++)
		rc = open_ring(perf, options, cpus[i]);
	for (uint32_t i = 0; i < perf->count; i++)
		for (uint32_t k = 0; k < perf->rings[i].count && rc == 0; k++)
			if (ioctl(perf->rings[i].fds[k], PERF_EVENT_IOC_ENABLE, 0) < 0)
				rc = -errno;
	return rc < 0 ? rc : perf->count == 0 ? -ENODEV : 0;
}

static void end_of_run(struct tl_owned *owned)
{
	struct tl_perf *perf = (struct tl_perf *)owned;

	perf->ctx = NULL;
	tl_perf_close(perf);
}

static void detach_of_run(struct tl_owned *owned)
{
	const struct tl_perf *perf = (const struct tl_perf *)owned;

	for (uint32_t i = 0; i < perf->count; i++)
		for (uint32_t k = 0; k < perf->rings[i].count; k++)
			(void)ioctl(perf->rings[i].fds[k], PERF_EVENT_IOC_DISABLE, 0);
}

int tl_perf_open(struct tl_ctx *ctx, const struct tl_perf_options *options,
		 struct tl_perf **ret_perf)
{
	struct tl_perf *perf = calloc(1, sizeof(*perf));

	if (perf == NULL)
		return -ENOMEM;
	perf->owned = (struct tl_owned) {.end = end_of_run, .detach = detach_of_run};
	int rc = open_rings(perf, options);
	if (rc < 0) {
		tl_perf_close(perf);
		return rc;
	}
	perf->ctx = ctx;
	tl_ctx_own(ctx, &perf->owned);
	*ret_perf = perf;
	return 0;
}

void tl_perf_close(struct tl_perf *perf)
{
	if (perf == NULL)
		return;
	if (perf->ctx != NULL)
		tl_ctx_disown(perf->ctx, &perf->owned);
	for (uint32_t i = 0; i < perf->count; i++) {
		const struct ring *ring = &perf->rings[i];
		if (ring->page != NULL)
			(void)munmap(ring->page, page_bytes() + perf->ring_bytes);
		for (uint32_t k = ring->count; k-- != 0;)
			(void)close(ring->fds[k]);
	}
	free(perf->rings);
	free(perf);
}

// ---- Reading -------------------------------------------------------------------------------------

// The stack is one list, its parts begun by markers.
static void split_stack(const uint64_t *frames, uint64_t count, struct tl_perf_sample *sample)
{
	const uint64_t **part = NULL;
	uint32_t *length = NULL;

	for (uint64_t i = 0; i < count; i++) {
		if (frames[i] >= (uint64_t)PERF_CONTEXT_MAX) {
			bool is_kernel = frames[i] == (uint64_t)PERF_CONTEXT_KERNEL;
			bool is_user = frames[i] == (uint64_t)PERF_CONTEXT_USER;
			part = is_kernel ? &sample->kernel : is_user ? &sample->user : NULL;
			length = is_kernel ? &sample->kernel_count : &sample->user_count;
			if (part != NULL && i + 1 < count)
				*part = &frames[i + 1];
			continue;
		}
		if (part != NULL)
			(*length)++;
	}
}

// A tracepoint's record begins with its number; that of the clock is empty.
static uint32_t place_of(const struct tl_perf *perf, const struct tl_perf_sample *sample)
{
	uint16_t id = 0;

	if (sample->raw_size >= sizeof(id))
		memcpy(&id, sample->raw, sizeof(id));
	for (uint32_t i = 0; i < perf->id_count; i++)
		if (perf->ids[i] == id)
			return i;
	return TL_PERF_CLOCK;
}

// In the order of perf_event_open(2): tid, time, cpu, callchain, raw.
static bool parse_sample(const struct tl_perf *perf, const uint64_t *words, size_t count,
			 struct tl_perf_sample *ret)
{
	size_t at = 3;

	*ret = (struct tl_perf_sample) {0};
	if (count < at)
		return false;
	ret->pid = (uint32_t)words[0];
	ret->tid = (uint32_t)(words[0] >> 32);
	ret->time_ns = words[1];
	ret->cpu = (uint32_t)words[2];
	if (perf->has_stacks) {
		if (at == count || words[at] > count - at - 1)
			return false;
		split_stack(&words[at + 1], words[at], ret);
		at += 1 + words[at];
	}
	if (at == count)
		return false;
	memcpy(&ret->raw_size, &words[at], sizeof(ret->raw_size));
	ret->raw = (const char *)&words[at] + sizeof(ret->raw_size);
	if (ret->raw_size + sizeof(ret->raw_size) > (count - at) * sizeof(*words))
		return false;
	ret->place = place_of(perf, ret);
	return true;
}

static void take_record(struct tl_perf *perf, const struct perf_event_header *head)
{
	const uint64_t *words = (const uint64_t *)(const void *)(head + 1);
	size_t count = (head->size - sizeof(*head)) / sizeof(*words);
	struct tl_perf_sample sample;

	if (head->type == PERF_RECORD_LOST && count >= 2)
		perf->lost += words[1];
	else if (head->type == PERF_RECORD_SAMPLE &&
		 parse_sample(perf, words, count, &sample))
		perf->fn(perf->arg, &sample);
}

static void drain(struct tl_perf *perf, const struct ring *ring)
{
	const char *data = (const char *)ring->page + page_bytes();
	uint64_t head = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = ring->page->data_tail;

	while (tail < head) {
		size_t place = tail & (perf->ring_bytes - 1);
		const void *record = data + place;
		const struct perf_event_header *header = record; // never lies across the end
		uint16_t size = header->size;
		if (size < sizeof(*header) || size > head - tail)
			break;
		if (place + size > perf->ring_bytes) {
			size_t first = perf->ring_bytes - place;
			memcpy(perf->record, record, first);
			memcpy(perf->record + first, data, size - first);
			header = (const void *)perf->record;
		}
		take_record(perf, header);
		tail += size;
	}
	__atomic_store_n(&ring->page->data_tail, tail < head ? head : tail, __ATOMIC_RELEASE);
}

bool tl_perf_wait(struct tl_perf *perf, struct tl_ctx *ctx, uint64_t ns, tl_perf_fn *fn, void *arg)
{
	uint64_t end_ns = tl_host_clock_ns() + ns, now_ns;

	perf->fn = fn;
	perf->arg = arg;
	do {
		for (uint32_t i = 0; i < perf->count; i++)
			drain(perf, &perf->rings[i]);
		now_ns = tl_host_clock_ns();
	} while (now_ns < end_ns &&
		 tl_ctx_sleep(ctx, end_ns - now_ns < LOOK_NS ? end_ns - now_ns : LOOK_NS));
	return !tl_ctx_done(ctx);
}

uint64_t tl_perf_lost(const struct tl_perf *perf)
{
	return perf->lost;
}
