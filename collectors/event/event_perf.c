// SPDX-License-Identifier: Apache-2.0
// An event without BPF: the kernel writes records of its tracepoints for us (perf_event_open), and what
// a program would do in place is done here, up to 100 ms later.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "collectors/event/event.h"
#include "collectors/host.h"

#define SECOND_NS UINT64_C(1000000000)

static void take(void *arg, const struct tl_perf_sample *sample)
{
	struct tl_event *event = arg;

	event->perf_lost = tl_perf_lost(event->perf);
	event->kind->perf->take(event, sample);
}

int tl_event_run_perf(struct tl_event *event, struct tl_ctx *ctx, int refusal)
{
	const struct tl_event_perf *kind = event->kind->perf;
	uint64_t lost_before = event->past.lost;
	int rc = kind->open == NULL ? 0 : kind->open(event);

	if (rc == 0)
		rc = tl_perf_open(ctx, &kind->options, &event->perf);
	if (rc < 0) {
		tl_ctx_hook(ctx, "none (no program: %s; perf_event: %s)", strerror(-refusal),
			    strerror(-rc));
		return rc;
	}
	tl_ctx_hook(ctx, "perf_event (no program: %s)", strerror(-refusal));
	event->gate = (struct tl_event_gate) {0};
	for (bool goes_on = true; goes_on;) {
		event->setting = (struct tl_event_setting) {0};
		event->kind->set(event, ctx, &event->setting);
		goes_on = tl_perf_wait(event->perf, ctx, SECOND_NS, take, event);
		event->past.lost = lost_before + tl_perf_lost(event->perf);
		atomic_store(&event->lost, event->past.lost);
	}
	tl_perf_close(event->perf);
	event->perf = NULL;
	return 0;
}

bool tl_event_may_tell(struct tl_event *event, uint64_t now_ns)
{
	bool may = tl_event_gate_pass(&event->gate, event->setting.rate, now_ns);

	atomic_store(&event->seen, ++event->past.seen);
	if (!may)
		atomic_store(&event->suppressed, ++event->past.suppressed);
	return may;
}

void tl_event_task_of(const struct tl_perf_sample *sample, struct tl_event_task *ret_task)
{
	struct tl_text comm = {0};

	*ret_task = (struct tl_event_task) {.time_ns = sample->time_ns, .pid = sample->pid,
					    .tid = sample->tid, .cpu = sample->cpu};
	// By now it may have ended. Its cgroup is asked for by the same number.
	if (sample->tid == 0)
		(void)snprintf(ret_task->comm, sizeof(ret_task->comm), "swapper/%u", sample->cpu);
	else if (tl_host_readf(&comm, "/proc/%u/task/%u/comm", sample->pid, sample->tid) == 0)
		(void)snprintf(ret_task->comm, sizeof(ret_task->comm), "%.*s",
			       (int)strcspn(comm.data, "\n"), comm.data);
	tl_text_free(&comm);
}

void tl_event_stack_of(const struct tl_perf_sample *sample, struct tl_event_stack *ret_stack)
{
	uint32_t count = sample->kernel_count < TL_EVENT_FRAMES ? sample->kernel_count :
								   TL_EVENT_FRAMES;

	ret_stack->count = count;
	for (uint32_t i = 0; i < count; i++)
		ret_stack->frames[i] = sample->kernel[i];
}

uint64_t tl_event_field(const struct tl_perf_sample *sample,
			const struct tl_tracepoint_field *field)
{
	const char *at = (const char *)sample->raw + field->offset;
	uint64_t number = 0;
	uint32_t half;
	uint16_t quarter;

	if (field->size == 0 || field->offset + field->size > sample->raw_size)
		return 0;
	switch (field->size) {
	case sizeof(uint8_t):
		return (uint8_t)*at;
	case sizeof(quarter):
		memcpy(&quarter, at, sizeof(quarter));
		return quarter;
	case sizeof(half):
		memcpy(&half, at, sizeof(half));
		return half;
	case sizeof(number):
		memcpy(&number, at, sizeof(number));
		return number;
	default:
		return 0;
	}
}
