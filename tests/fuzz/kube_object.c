// SPDX-License-Identifier: Apache-2.0
// Objects of the Kubernetes API, one a line: into a small table, out of it again. Whatever comes, the
// bound holds, and all that is found has its five names.
#include "tests/fuzz/fuzz.h"

#include "control/kube_internal.h"

#include <string.h>

#define OBJECTS_MAX 100u

static void check_places(struct tl_kube_table *table, const struct tl_kube_object *object)
{
	struct tl_kube_place place;

	for (uint32_t i = 0; i < object->address_count; i++) {
		const struct tl_kube_address *address = &object->addresses[i];
		if (!tl_kube_table_find(table, address->ip, address->port, &place))
			continue;
		const char *end = place.workload.node + strlen(place.workload.node) + 1;
		FUZZ_CHECK(place.workload.ns == place.texts);
		FUZZ_CHECK(end <= place.texts + sizeof(place.texts));
	}
}

static void take_line(struct tl_kube_table *table, const char *line, size_t len, uint64_t now_ns)
{
	json_t *json = json_loadb(line, len, 0, NULL);
	struct tl_kube_object object;
	uint64_t objects[TL_KUBE_KINDS], refused;

	for (uint32_t kind = 0; json != NULL && kind < TL_KUBE_KINDS; kind++) {
		if (!tl_kube_object_read((enum tl_kube_kind)kind, json, &object))
			continue;
		tl_kube_table_put(table, (enum tl_kube_kind)kind, &object, now_ns);
		check_places(table, &object);
		if (now_ns % 3 == 0)
			tl_kube_table_remove(table, (enum tl_kube_kind)kind, &object, now_ns);
	}
	tl_kube_table_count(table, objects, &refused);
	FUZZ_CHECK(objects[TL_KUBE_PODS] + objects[TL_KUBE_SERVICES] <= OBJECTS_MAX);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tl_kube_table *table = tl_kube_table_create(OBJECTS_MAX);
	const char *at = (const char *)data, *end = at + size;
	uint64_t now_ns = 1;

	FUZZ_CHECK(table != NULL);
	while (at < end) {
		const char *next = memchr(at, '\n', (size_t)(end - at));
		size_t len = next == NULL ? (size_t)(end - at) : (size_t)(next - at);
		take_line(table, at, len, now_ns++);
		at += len + 1;
	}
	tl_kube_table_begin_list(table, TL_KUBE_PODS);
	tl_kube_table_end_list(table, TL_KUBE_PODS, now_ns);
	tl_kube_table_sweep(table, now_ns + TL_KUBE_GONE_NS);
	tl_kube_table_destroy(table);
	return 0;
}
