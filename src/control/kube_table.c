// SPDX-License-Identifier: Apache-2.0
// Objects by kind, namespace and name, and the same by address: chained hash tables of one size. An
// object and what belongs to it is one piece of memory, replaced as a whole.
#include "control/kube_internal.h"

#include "base/check.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BUCKETS_MIN 1024u

struct object;

struct place {
	struct place *next; // in its chain by address, the newest first
	struct object *object;
	struct tl_kube_address address;
};

struct object {
	struct object *next; // in its chain by name
	uint64_t gone_ns;    // 0: it is there
	uint32_t generation; // of the list that had it last
	uint32_t place_count;
	uint32_t texts_len;
	uint8_t kind;
	bool is_pod_id; // what names it is the pod, else the workload's name
	const char *texts; // namespace, kind, name, pod, node, each with its NUL
	struct place places[];
};

struct tl_kube_table {
	pthread_mutex_t lock;
	uint64_t seed;
	uint32_t mask;
	struct object **objects;
	struct place **places;
	uint64_t objects_max;
	uint64_t held, gone; // of these so many are gone
	uint64_t refused;
	uint64_t counts[TL_KUBE_KINDS]; // that are there
	uint32_t generations[TL_KUBE_KINDS];
	bool has_changed;
};

struct tl_kube_table *tl_kube_table_create(uint64_t objects_max)
{
	struct tl_kube_table *t = calloc(1, sizeof(*t));
	uint32_t buckets = BUCKETS_MIN;

	if (t == NULL)
		return NULL;
	while (buckets < objects_max && buckets < 1u << 30)
		buckets *= 2;
	(void)pthread_mutex_init(&t->lock, NULL);
	t->mask = buckets - 1;
	t->objects_max = objects_max;
	t->objects = calloc(buckets, sizeof(struct object *));
	t->places = calloc(buckets, sizeof(struct place *));
	if (getrandom(&t->seed, sizeof(t->seed), 0) != (ssize_t)sizeof(t->seed))
		t->seed = (uint64_t)(uintptr_t)t;
	if (t->objects == NULL || t->places == NULL) {
		tl_kube_table_destroy(t);
		return NULL;
	}
	return t;
}

void tl_kube_table_destroy(struct tl_kube_table *table)
{
	if (table == NULL)
		return;
	for (uint32_t i = 0; table->objects != NULL && i <= table->mask; i++)
		for (struct object *one = table->objects[i], *next; one != NULL; one = next) {
			next = one->next;
			free(one);
		}
	free(table->objects);
	free(table->places);
	(void)pthread_mutex_destroy(&table->lock);
	free(table);
}

// ---- Objects -------------------------------------------------------------------------------------

static const char *next_text(const char *text)
{
	return text + strlen(text) + 1;
}

static struct tl_workload workload_at(const char *texts)
{
	struct tl_workload w = {.ns = texts};

	w.kind = next_text(w.ns);
	w.name = next_text(w.kind);
	w.pod = next_text(w.name);
	w.node = next_text(w.pod);
	return w;
}

static const char *id_of(const struct object *object)
{
	struct tl_workload w = workload_at(object->texts);
	return object->is_pod_id ? w.pod : w.name;
}

static struct object *new_object(enum tl_kube_kind kind, const struct tl_kube_object *from)
{
	const struct tl_workload *w = &from->workload;
	const char *const texts[] = {w->ns, w->kind, w->name, w->pod, w->node};
	size_t len = 0;

	for (uint32_t i = 0; i < TL_COUNT_OF(texts); i++)
		len += strlen(texts[i]) + 1;
	size_t places = from->address_count * sizeof(struct place);
	struct object *object = malloc(sizeof(*object) + places + len);
	if (object == NULL)
		return NULL;
	char *at = (char *)object + sizeof(*object) + places;
	*object = (struct object) {.kind = (uint8_t)kind,
				   .is_pod_id = kind == TL_KUBE_PODS,
				   .texts = at,
				   .texts_len = (uint32_t)len,
				   .place_count = from->address_count};
	for (uint32_t i = 0; i < TL_COUNT_OF(texts); i++)
		at = stpcpy(at, texts[i]) + 1;
	for (uint32_t i = 0; i < from->address_count; i++)
		object->places[i] = (struct place) {.object = object, .address = from->addresses[i]};
	return object;
}

static bool is_same(const struct object *a, const struct object *b)
{
	if (a->texts_len != b->texts_len || memcmp(a->texts, b->texts, a->texts_len) != 0 ||
	    a->place_count != b->place_count)
		return false;
	for (uint32_t i = 0; i < a->place_count; i++)
		if (memcmp(a->places[i].address.ip, b->places[i].address.ip, 16) != 0 ||
		    a->places[i].address.port != b->places[i].address.port)
			return false;
	return true;
}

// ---- The table: under its lock -------------------------------------------------------------------

static struct object **chain_of(struct tl_kube_table *t, uint8_t kind, const char *ns, const char *id)
{
	uint64_t hash = tl_hash64(ns, strlen(ns), t->seed + kind);
	return &t->objects[tl_hash64(id, strlen(id), hash) & t->mask];
}

static struct place **places_of(struct tl_kube_table *t, const uint8_t ip[16])
{
	return &t->places[tl_hash64(ip, 16, t->seed) & t->mask];
}

// The link that leads to it, or to NULL.
static struct object **find(struct tl_kube_table *t, uint8_t kind, const char *ns, const char *id)
{
	struct object **at = chain_of(t, kind, ns, id);

	while (*at != NULL && ((*at)->kind != kind || strcmp((*at)->texts, ns) != 0 ||
			       strcmp(id_of(*at), id) != 0))
		at = &(*at)->next;
	return at;
}

static void drop(struct tl_kube_table *t, struct object **link)
{
	struct object *object = *link;

	for (uint32_t i = 0; i < object->place_count; i++) {
		struct place **at = places_of(t, object->places[i].address.ip);
		while (*at != &object->places[i])
			at = &(*at)->next;
		*at = object->places[i].next;
	}
	*link = object->next;
	t->held--;
	if (object->gone_ns != 0)
		t->gone--;
	else
		t->counts[object->kind]--;
	t->has_changed |= object->place_count != 0;
	free(object);
}

static void mark_gone(struct tl_kube_table *t, struct object *object, uint64_t now_ns)
{
	if (object->gone_ns != 0)
		return;
	object->gone_ns = now_ns;
	t->gone++;
	t->counts[object->kind]--;
}

static void drop_gone(struct tl_kube_table *t, uint64_t before_ns)
{
	for (uint32_t i = 0; i <= t->mask && t->gone != 0; i++)
		for (struct object **at = &t->objects[i]; *at != NULL;) {
			if ((*at)->gone_ns != 0 && (*at)->gone_ns <= before_ns)
				drop(t, at);
			else
				at = &(*at)->next;
		}
}

// Takes over `fresh`.
static void add(struct tl_kube_table *t, struct object *fresh)
{
	if (t->held >= t->objects_max && t->gone != 0)
		drop_gone(t, UINT64_MAX);
	if (t->held >= t->objects_max) {
		t->refused++;
		free(fresh);
		return;
	}
	struct object **chain = chain_of(t, fresh->kind, fresh->texts, id_of(fresh));
	fresh->next = *chain;
	*chain = fresh;
	for (uint32_t i = 0; i < fresh->place_count; i++) {
		struct place **places = places_of(t, fresh->places[i].address.ip);
		fresh->places[i].next = *places;
		*places = &fresh->places[i];
	}
	t->held++;
	t->counts[fresh->kind]++;
	t->has_changed |= fresh->place_count != 0;
}

void tl_kube_table_put(struct tl_kube_table *t, enum tl_kube_kind kind,
		       const struct tl_kube_object *object, uint64_t now_ns)
{
	struct object *fresh = object->is_finished ? NULL : new_object(kind, object);

	(void)pthread_mutex_lock(&t->lock);
	struct object **present = find(t, (uint8_t)kind, object->workload.ns, object->id);
	if (fresh == NULL) { // finished, or there is no memory for what it is now
		if (*present != NULL)
			mark_gone(t, *present, now_ns);
	} else if (*present != NULL && (*present)->gone_ns == 0 && is_same(*present, fresh)) {
		(*present)->generation = t->generations[kind];
		free(fresh);
	} else {
		if (*present != NULL)
			drop(t, present);
		fresh->generation = t->generations[kind];
		add(t, fresh);
	}
	(void)pthread_mutex_unlock(&t->lock);
}

void tl_kube_table_remove(struct tl_kube_table *t, enum tl_kube_kind kind,
			  const struct tl_kube_object *object, uint64_t now_ns)
{
	(void)pthread_mutex_lock(&t->lock);
	struct object **present = find(t, (uint8_t)kind, object->workload.ns, object->id);
	if (*present != NULL)
		mark_gone(t, *present, now_ns);
	(void)pthread_mutex_unlock(&t->lock);
}

void tl_kube_table_begin_list(struct tl_kube_table *t, enum tl_kube_kind kind)
{
	(void)pthread_mutex_lock(&t->lock);
	t->generations[kind]++;
	(void)pthread_mutex_unlock(&t->lock);
}

void tl_kube_table_end_list(struct tl_kube_table *t, enum tl_kube_kind kind, uint64_t now_ns)
{
	(void)pthread_mutex_lock(&t->lock);
	for (uint32_t i = 0; i <= t->mask; i++)
		for (struct object *one = t->objects[i]; one != NULL; one = one->next)
			if (one->kind == kind && one->generation != t->generations[kind])
				mark_gone(t, one, now_ns);
	(void)pthread_mutex_unlock(&t->lock);
}

void tl_kube_table_sweep(struct tl_kube_table *t, uint64_t now_ns)
{
	(void)pthread_mutex_lock(&t->lock);
	if (now_ns > TL_KUBE_GONE_NS)
		drop_gone(t, now_ns - TL_KUBE_GONE_NS);
	(void)pthread_mutex_unlock(&t->lock);
}

// What has this very port is nearer than what has the whole address, what is there is nearer than what
// is gone; of several alike the newest has the address now.
bool tl_kube_table_find(struct tl_kube_table *t, const uint8_t ip[16], uint16_t port,
			struct tl_kube_place *ret_place)
{
	const struct object *best = NULL;
	uint32_t best_rank = 0;

	(void)pthread_mutex_lock(&t->lock);
	for (const struct place *one = *places_of(t, ip); one != NULL; one = one->next) {
		if (memcmp(one->address.ip, ip, 16) != 0 ||
		    (one->address.port != 0 && one->address.port != port))
			continue;
		uint32_t rank = 1u + (one->address.port != 0 ? 1 : 0) +
				(one->object->gone_ns == 0 ? 2 : 0);
		if (rank > best_rank) {
			best = one->object;
			best_rank = rank;
		}
	}
	if (best != NULL)
		memcpy(ret_place->texts, best->texts, best->texts_len);
	(void)pthread_mutex_unlock(&t->lock);
	if (best != NULL)
		ret_place->workload = workload_at(ret_place->texts);
	return best != NULL;
}

bool tl_kube_table_has_changed(struct tl_kube_table *t)
{
	(void)pthread_mutex_lock(&t->lock);
	bool has_changed = t->has_changed;
	t->has_changed = false;
	(void)pthread_mutex_unlock(&t->lock);
	return has_changed;
}

void tl_kube_table_count(struct tl_kube_table *t, uint64_t ret_objects[TL_KUBE_KINDS],
			 uint64_t *ret_refused)
{
	(void)pthread_mutex_lock(&t->lock);
	memcpy(ret_objects, t->counts, sizeof(t->counts));
	*ret_refused = t->refused;
	(void)pthread_mutex_unlock(&t->lock);
}
