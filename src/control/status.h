// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/status: ports, lcores, losses, sinks, Kubernetes, hints in words. Main thread.
#pragma once

#include "base/text.h"
#include "control/kube.h"
#include "control/probe.h"
#include "control/sinks.h"

struct tl_status_page {
	const char *version;
	const char *probe;
	const char *config_file;
	const char *last_reload; // outcome in words
	uint64_t started_ns;     // wall time
	const char *filter;      // in force, "" for none
	struct tl_kube *kube;    // NULL: nobody asks Kubernetes
};

void tl_status_render(const struct tl_status_page *page, struct tl_probe *probe,
		      struct tl_sinks *sinks, struct tl_text *ret_json);
