// SPDX-License-Identifier: Apache-2.0
#include "collectors/event/watchdog.h"

#include <errno.h>
#include <stdlib.h>

#include "collectors/kmsg.h"

bool tl_watchdog_may_save(struct tl_watchdog *watchdog, const struct tl_watchdog_options *options,
			  uint64_t now_ns)
{
	uint64_t quiet_ns = now_ns - watchdog->saved_ns;
	bool is_first = watchdog->saved_ns == 0;

	if (!is_first && quiet_ns < watchdog->pause_ns)
		return false;
	if (is_first || quiet_ns >= watchdog->pause_ns + options->decay_ns)
		watchdog->pause_ns = options->pause_ns;
	else
		watchdog->pause_ns *= 2;
	if (watchdog->pause_ns > options->pause_max_ns)
		watchdog->pause_ns = options->pause_max_ns;
	watchdog->saved_ns = now_ns;
	return true;
}

// Saves `data` as a record of `name`, of the container of task `pid` (0: the host's).
static int save(struct tl_watchdog *watchdog, const char *name, uint32_t pid, const json_t *data)
{
	bool is_inside = pid != 0 && tl_container_by_pid(pid, &watchdog->owner);
	char *json = json_dumps(data, JSON_COMPACT);
	int rc = json == NULL ? -EINVAL :
		tl_store_save(name, is_inside ? watchdog->owner.id : "", tl_host_time_ns(), json);

	free(json);
	return rc;
}

int tl_watchdog_follow(struct tl_watchdog *watchdog, struct tl_ctx *ctx, const char *name,
		       tl_watchdog_parse_fn *parse, const char *stack_key)
{
	struct tl_watchdog_options options;
	struct tl_text stack = {0};
	struct tl_kmsg *kmsg;
	const char *message;
	int rc = tl_kmsg_open(&kmsg);

	if (rc < 0)
		return rc;
	while ((message = tl_kmsg_next(kmsg, ctx, 0)) != NULL) {
		uint32_t pid = 0;
		json_t *data = parse(message, &pid);
		if (data == NULL)
			continue;
		atomic_fetch_add(&watchdog->count, 1);
		tl_ctx_options(ctx, &options, sizeof(options));
		if (tl_watchdog_may_save(watchdog, &options, tl_host_clock_ns())) {
			tl_kmsg_gather(kmsg, ctx, "</TASK>", &stack);
			(void)json_object_set_new(data, stack_key, json_string(stack.data));
			rc = save(watchdog, name, pid, data);
		}
		json_decref(data);
	}
	tl_kmsg_close(kmsg);
	tl_text_free(&stack);
	return rc;
}

int tl_watchdog_update(void *arg, struct tl_emit *emit)
{
	const struct tl_watchdog *watchdog = arg;

	tl_emit_counter(emit, "total", (double)atomic_load(&watchdog->count),
			"Times that the kernel's watchdog spoke up.", TL_NO_LABELS);
	return 0;
}
