// SPDX-License-Identifier: Apache-2.0
#include "exporters/record/copy.h"

#include <stdlib.h>
#include <string.h>

static const char *put(char **at, const char *text)
{
	char *copy = strcpy(*at, text);

	*at += strlen(text) + 1;
	return copy;
}

static size_t workload_bytes(const struct tl_workload *w)
{
	return w == NULL ? 0 : strlen(w->ns) + strlen(w->kind) + strlen(w->name) + strlen(w->pod) +
			       strlen(w->node) + 5;
}

static const struct tl_workload *put_workload(char **at, struct tl_workload *to,
					      const struct tl_workload *from)
{
	if (from == NULL)
		return NULL;
	to->ns = put(at, from->ns);
	to->kind = put(at, from->kind);
	to->name = put(at, from->name);
	to->pod = put(at, from->pod);
	to->node = put(at, from->node);
	return to;
}

struct tl_record_copy *tl_record_copy(const struct tl_roundtrip *record,
				      const struct tl_enrichment *names, const char *text)
{
	size_t texts = strlen(text) + strlen(names->probe) + strlen(names->port_name) +
		       strlen(names->server_name) + strlen(names->name_source) + 5 +
		       workload_bytes(names->client) + workload_bytes(names->server);
	size_t aligned = (record->size + 15u) & ~(size_t)15;
	size_t size = sizeof(struct tl_record_copy) + 16 + aligned + texts;
	struct tl_record_copy *copy = malloc(size);

	if (copy == NULL)
		return NULL;
	char *place = (char *)(((uintptr_t)copy->data + 15) & ~(uintptr_t)15);
	memcpy(place, record, record->size);
	*copy = (struct tl_record_copy) {.names = *names, .size = size};
	copy->signal.record = (const struct tl_roundtrip *)(const void *)place;
	copy->signal.names = &copy->names;
	char *at = place + aligned;
	copy->text = put(&at, text);
	copy->names.probe = put(&at, names->probe);
	copy->names.port_name = put(&at, names->port_name);
	copy->names.server_name = put(&at, names->server_name);
	copy->names.name_source = put(&at, names->name_source);
	copy->names.client = put_workload(&at, &copy->workloads[0], names->client);
	copy->names.server = put_workload(&at, &copy->workloads[1], names->server);
	return copy;
}
