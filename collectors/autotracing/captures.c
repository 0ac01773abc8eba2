// SPDX-License-Identifier: Apache-2.0
#include "collectors/autotracing/captures.h"

#include <errno.h>
#include <stdlib.h>

#define HOUR_NS 3.6e12

bool tl_captures_may(struct tl_captures *captures, uint64_t per_hour)
{
	uint64_t now_ns = tl_host_clock_ns();
	double limit = (double)per_hour;

	if (per_hour == 0)
		return true;
	captures->left += captures->filled_ns == 0 ? limit :
		limit * (double)(now_ns - captures->filled_ns) / HOUR_NS;
	captures->filled_ns = now_ns;
	if (captures->left > limit)
		captures->left = limit;
	if (captures->left < 1) {
		atomic_fetch_add(&captures->limited, 1);
		return false;
	}
	captures->left -= 1;
	return true;
}

int tl_captures_save(struct tl_captures *captures, const char *container_id, json_t *data)
{
	char *json = data == NULL ? NULL : json_dumps(data, JSON_COMPACT);
	int rc = json == NULL ? -ENOMEM :
		tl_store_save(captures->tracer, container_id, tl_host_time_ns(), json);

	free(json);
	json_decref(data);
	atomic_fetch_add(rc < 0 ? &captures->failed : &captures->saved, 1);
	return rc;
}

void tl_captures_emit(const struct tl_captures *captures, struct tl_emit *emit)
{
	tl_emit_counter(emit, "captures_total", (double)atomic_load(&captures->saved),
			"Captures that were stored.", TL_NO_LABELS);
	tl_emit_counter(emit, "limited_total", (double)atomic_load(&captures->limited),
			"Captures that the limit of an hour did not allow.", TL_NO_LABELS);
	tl_emit_counter(emit, "failures_total", (double)atomic_load(&captures->failed),
			"Captures that failed or could not be stored.", TL_NO_LABELS);
}
