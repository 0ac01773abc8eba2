// SPDX-License-Identifier: Apache-2.0
// Pods and services as JSON (API version v1): of what workload they are, and where.
#include "control/kube_internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define CRON_DIGITS_MIN 8u // a CronJob's jobs have the minute or second they were due in their name
#define CRON_DIGITS_MAX 10u

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text == NULL ? "" : text;
}

// What is no address, as the word None of a service without one, adds none.
static void add_address(struct tl_kube_object *object, const char *text, uint16_t port)
{
	struct tl_kube_address *address = &object->addresses[object->address_count];

	if (object->address_count == TL_KUBE_ADDRESSES_MAX)
		return;
	*address = (struct tl_kube_address) {.port = port};
	if (inet_pton(AF_INET, text, address->ip + 12) == 1)
		address->ip[10] = address->ip[11] = 0xff;
	else if (inet_pton(AF_INET6, text, address->ip) != 1)
		return;
	object->address_count++;
}

static uint16_t port_of(const json_t *port, const char *key)
{
	json_int_t number = json_integer_value(json_object_get(port, key));
	return number > 0 && number <= UINT16_MAX ? (uint16_t)number : 0;
}

// ---- Pods ----------------------------------------------------------------------------------------

// The owner that manages it, NULL for a pod on its own.
static const json_t *controller_of(const json_t *metadata)
{
	const json_t *owner;
	size_t i;

	json_array_foreach(json_object_get(metadata, "ownerReferences"), i, owner)
		if (json_is_true(json_object_get(owner, "controller")))
			return owner;
	return NULL;
}

// Bytes of `name` without "-" and `suffix`, 0 if it doesn't end so.
static size_t without(const char *name, const char *suffix)
{
	size_t len = strlen(name), tail = strlen(suffix);

	if (tail == 0 || len <= tail + 1 || name[len - tail - 1] != '-' ||
	    strcmp(name + len - tail, suffix) != 0)
		return 0;
	return len - tail - 1;
}

static size_t without_schedule(const char *name)
{
	const char *dash = strrchr(name, '-');
	size_t digits = dash == NULL ? 0 : strspn(dash + 1, "0123456789");

	if (digits < CRON_DIGITS_MIN || digits > CRON_DIGITS_MAX || dash[1 + digits] != '\0')
		return 0;
	return (size_t)(dash - name);
}

// The owner of the owner by rules of naming: it is not in the pod, and asking for each would cost a
// watch of every ReplicaSet and Job.
static void set_workload(struct tl_kube_object *object, const json_t *metadata)
{
	const json_t *owner = controller_of(metadata);
	const char *kind = owner == NULL ? "Pod" : text_of(owner, "kind");
	const char *name = owner == NULL ? object->id : text_of(owner, "name");
	size_t len = 0;

	if (strcmp(kind, "ReplicaSet") == 0) {
		len = without(name, text_of(json_object_get(metadata, "labels"), "pod-template-hash"));
		kind = len != 0 ? "Deployment" : kind;
	} else if (strcmp(kind, "Job") == 0) {
		len = without_schedule(name);
		kind = len != 0 ? "CronJob" : kind;
	} else if (strcmp(kind, "Node") == 0) { // a static pod is named after its file and its node
		kind = "Pod";
		name = object->id;
		len = without(name, object->workload.node);
	}
	(void)snprintf(object->name, sizeof(object->name), "%.*s",
		       (int)(len != 0 ? len : strnlen(name, sizeof(object->name))), name);
	object->workload.kind = kind;
	object->workload.name = object->name;
}

// A pod in the node's own network has the node's address: only its declared ports tell it from others.
static void add_host_ports(struct tl_kube_object *object, const json_t *spec, const char *address)
{
	const json_t *container, *port;
	size_t c, p;

	json_array_foreach(json_object_get(spec, "containers"), c, container)
		json_array_foreach(json_object_get(container, "ports"), p, port)
			if (port_of(port, "containerPort") != 0)
				add_address(object, address, port_of(port, "containerPort"));
}

static void read_pod(struct tl_kube_object *object, const json_t *json, const json_t *metadata)
{
	const json_t *spec = json_object_get(json, "spec");
	const json_t *status = json_object_get(json, "status");
	const json_t *addresses = json_object_get(status, "podIPs");
	const char *phase = text_of(status, "phase");
	bool is_host = json_is_true(json_object_get(spec, "hostNetwork"));
	const json_t *one;
	size_t i;

	object->workload.pod = object->id;
	object->workload.node = text_of(spec, "nodeName");
	object->is_finished = strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
	set_workload(object, metadata);
	json_array_foreach(addresses, i, one) {
		if (is_host)
			add_host_ports(object, spec, text_of(one, "ip"));
		else
			add_address(object, text_of(one, "ip"), 0);
	}
	if (json_array_size(addresses) == 0 && is_host)
		add_host_ports(object, spec, text_of(status, "podIP"));
	else if (json_array_size(addresses) == 0)
		add_address(object, text_of(status, "podIP"), 0);
}

// ---- Services ------------------------------------------------------------------------------------

// Addresses outside of the cluster may be shared by services with other ports.
static void add_ports(struct tl_kube_object *object, const json_t *spec, const char *address)
{
	const json_t *port;
	size_t i;

	json_array_foreach(json_object_get(spec, "ports"), i, port)
		if (port_of(port, "port") != 0)
			add_address(object, address, port_of(port, "port"));
}

static void read_service(struct tl_kube_object *object, const json_t *json)
{
	const json_t *spec = json_object_get(json, "spec");
	const json_t *addresses = json_object_get(spec, "clusterIPs");
	const json_t *balancer = json_object_get(json_object_get(json, "status"), "loadBalancer");
	const json_t *one;
	size_t i;

	object->workload.kind = "Service";
	object->workload.name = object->id;
	json_array_foreach(addresses, i, one)
		if (json_is_string(one))
			add_address(object, json_string_value(one), 0);
	if (json_array_size(addresses) == 0)
		add_address(object, text_of(spec, "clusterIP"), 0);
	json_array_foreach(json_object_get(spec, "externalIPs"), i, one)
		if (json_is_string(one))
			add_ports(object, spec, json_string_value(one));
	json_array_foreach(json_object_get(balancer, "ingress"), i, one)
		add_ports(object, spec, text_of(one, "ip"));
}

bool tl_kube_object_read(enum tl_kube_kind kind, const json_t *json, struct tl_kube_object *ret_object)
{
	const json_t *metadata = json_object_get(json, "metadata");
	struct tl_workload *workload = &ret_object->workload;

	*ret_object = (struct tl_kube_object) {
		.id = text_of(metadata, "name"),
		.workload = {.ns = text_of(metadata, "namespace"), .pod = "", .node = ""},
	};
	if (ret_object->id[0] == '\0' || strlen(ret_object->id) >= TL_KUBE_NAME_MAX)
		return false;
	if (kind == TL_KUBE_PODS)
		read_pod(ret_object, json, metadata);
	else
		read_service(ret_object, json);
	return strlen(workload->ns) < TL_KUBE_NAME_MAX && strlen(workload->kind) < TL_KUBE_NAME_MAX &&
	       strlen(workload->node) < TL_KUBE_NAME_MAX;
}
