// SPDX-License-Identifier: Apache-2.0
// What the control lcore says of the probe itself on GET /metrics, besides the workers' counters:
// ports, lcores, sinks, readers, Kubernetes. Main thread.
#pragma once

#include "control/bus.h"
#include "control/kube.h"
#include "control/probe.h"
#include "control/sinks.h"

struct tl_self_sources {
	struct tl_probe *probe; // NULL: nothing is captured
	struct tl_sinks *sinks;
	struct tl_bus *bus;     // NULL: nobody can watch
	struct tl_kube *kube;   // NULL: nobody asks Kubernetes
};

void tl_self_metrics_set(struct tl_metrics *metrics, const struct tl_self_sources *sources);
