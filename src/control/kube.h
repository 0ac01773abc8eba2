// SPDX-License-Identifier: Apache-2.0
// What Kubernetes runs at an address: pods and services of the API server, listed once and then
// watched by a thread of its own, which nobody ever waits for.
#pragma once

#include "config/config.h"
#include "exporters/exporter.h"

#define TL_KUBE_NAME_MAX 254u // bytes of one name; Kubernetes allows 253
#define TL_KUBE_TEXTS_MAX (5u * TL_KUBE_NAME_MAX)

struct tl_kube;

// Copies what it needs of `config`. 0, or -errno and a line in `error`: what is configured can't be
// used. A server that doesn't answer is no error: it is asked again and again.
int tl_kube_start(const struct tl_kubernetes_config *config, struct tl_kube **ret_kube, char *error,
		  uint32_t error_size);
void tl_kube_stop(struct tl_kube *kube); // accepts NULL

// A copy that belongs to the caller: the workload's texts lie in `texts`.
struct tl_kube_place {
	struct tl_workload workload;
	char texts[TL_KUBE_TEXTS_MAX];
};

// What is at this address: with port 0 only what has the whole address. False: nothing known. Any
// thread.
bool tl_kube_find(struct tl_kube *kube, const uint8_t address[16], uint16_t port,
		  struct tl_kube_place *ret_place);
// Whether other answers are given than at the last call.
bool tl_kube_has_changed(struct tl_kube *kube);

struct tl_kube_stats {
	struct {
		const char *resource;     // "pods", "services"
		uint64_t objects;         // known now
		uint64_t lists;           // complete ones
		uint64_t events;
		uint64_t errors;          // requests that failed, each is tried again
		uint64_t last_success_ns; // wall time of the last answer or event, 0: none yet
		char last_error[160];     // "" when the last request went well
	} of[2];
	uint64_t refused;                 // objects that there was no room for
};

void tl_kube_stats(struct tl_kube *kube, struct tl_kube_stats *ret_stats);
