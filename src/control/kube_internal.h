// SPDX-License-Identifier: Apache-2.0
// Between kube.c, kube_object.c and kube_table.c: Kubernetes objects as they come from the API server,
// and the table of where they are.
#pragma once

#include "control/kube.h"

#include <jansson.h>

enum tl_kube_kind { TL_KUBE_PODS, TL_KUBE_SERVICES, TL_KUBE_KINDS };

#define TL_KUBE_ADDRESSES_MAX 32u // of one object; more are left out
#define TL_KUBE_GONE_NS UINT64_C(60000000000) // a removed object keeps its addresses for this long

// ---- kube_object.c -------------------------------------------------------------------------------

struct tl_kube_address {
	uint8_t ip[16];
	uint16_t port; // 0: any
};

// What of an object is of use. Texts point into the JSON value, but for `name`.
struct tl_kube_object {
	const char *id; // its own name, unique in its namespace
	struct tl_workload workload;
	char name[TL_KUBE_NAME_MAX];
	bool is_finished; // its addresses may be another's by now
	uint32_t address_count;
	struct tl_kube_address addresses[TL_KUBE_ADDRESSES_MAX];
};

// False: it isn't one, or its names are longer than Kubernetes allows.
bool tl_kube_object_read(enum tl_kube_kind kind, const json_t *json, struct tl_kube_object *ret_object);

// ---- kube_table.c: any thread --------------------------------------------------------------------

struct tl_kube_table;

struct tl_kube_table *tl_kube_table_create(uint64_t objects_max); // NULL on no memory
void tl_kube_table_destroy(struct tl_kube_table *table);          // accepts NULL

// Adds or replaces. `now_ns` is CLOCK_MONOTONIC, here and below.
void tl_kube_table_put(struct tl_kube_table *table, enum tl_kube_kind kind,
		       const struct tl_kube_object *object, uint64_t now_ns);
void tl_kube_table_remove(struct tl_kube_table *table, enum tl_kube_kind kind,
			  const struct tl_kube_object *object, uint64_t now_ns);
// A list begins; when it has ended, what was not put since then is gone.
void tl_kube_table_begin_list(struct tl_kube_table *table, enum tl_kube_kind kind);
void tl_kube_table_end_list(struct tl_kube_table *table, enum tl_kube_kind kind, uint64_t now_ns);
// Frees what has been gone for long enough.
void tl_kube_table_sweep(struct tl_kube_table *table, uint64_t now_ns);
bool tl_kube_table_find(struct tl_kube_table *table, const uint8_t ip[16], uint16_t port,
			struct tl_kube_place *ret_place);
// Whether anything that tl_kube_table_find gives has changed since the last call.
bool tl_kube_table_has_changed(struct tl_kube_table *table);
// Objects that are there, and those that there was no room for.
void tl_kube_table_count(struct tl_kube_table *table, uint64_t ret_objects[TL_KUBE_KINDS],
			 uint64_t *ret_refused);
