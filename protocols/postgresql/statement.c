// SPDX-License-Identifier: Apache-2.0
#include "protocols/postgresql/statement.h"

// In front of each statement in the store.
struct entry {
	uint64_t digest;
	uint32_t name;
	uint8_t text_len;
	uint8_t summary_len;
	uint8_t command;
	uint8_t is_cut;
};

_Static_assert(PG_STORED_TEXT_BYTES_MAX <= UINT8_MAX && PG_STORED_SUMMARY_BYTES_MAX <= UINT8_MAX,
	       "lengths have a byte");
_Static_assert(sizeof(struct entry) + PG_STORED_TEXT_BYTES_MAX + PG_STORED_SUMMARY_BYTES_MAX <=
		       PG_STORE_BYTES,
	       "any statement fits into an empty store");

uint32_t tl_pg_name_id(struct tl_bytes name)
{
	uint32_t hash = UINT32_C(0x811c9dc5);

	if (name.len == 0)
		return PG_UNNAMED;
	for (uint32_t i = 0; i < name.len; i++)
		hash = (hash ^ name.ptr[i]) * UINT32_C(0x01000193);
	return hash == PG_UNNAMED ? 1 : hash;
}

static struct entry load(const struct pg_statements *store, uint32_t at)
{
	struct entry e;

	memcpy(&e, store->bytes + at, sizeof(e));
	return e;
}

static uint32_t size_of(const struct entry *e)
{
	return (uint32_t)sizeof(*e) + e->text_len + e->summary_len;
}

static uint32_t find(const struct pg_statements *store, uint32_t name, struct entry *ret)
{
	for (uint32_t at = 0; at < store->used; at += size_of(ret)) {
		*ret = load(store, at);
		if (ret->name == name)
			return at;
	}
	return TL_BYTES_NONE;
}

static void remove_at(struct pg_statements *store, uint32_t at)
{
	struct entry e = load(store, at);
	uint32_t size = size_of(&e);

	memmove(store->bytes + at, store->bytes + at + size, store->used - at - size);
	store->used = (uint16_t)(store->used - size);
}

// At most `max` bytes, of UTF-8 whole characters only.
static struct tl_bytes cut(struct tl_bytes text, uint32_t max)
{
	if (text.len <= max)
		return text;
	while (max > 0 && (text.ptr[max] & 0xc0) == 0x80)
		max--;
	return tl_bytes_first(text, max);
}

uint32_t tl_pg_statement_put(struct pg_statements *store, uint32_t name,
			     const struct pg_statement *s)
{
	struct tl_bytes text = cut(s->text, PG_STORED_TEXT_BYTES_MAX);
	struct tl_bytes summary = cut(s->summary, PG_STORED_SUMMARY_BYTES_MAX);
	struct entry e = {
		.digest = s->digest,
		.name = name,
		.text_len = (uint8_t)text.len,
		.summary_len = (uint8_t)summary.len,
		.command = s->command,
		.is_cut = s->is_cut || text.len < s->text.len,
	};
	uint32_t gone = 0;

	tl_pg_statement_drop(store, name);
	for (; store->used + size_of(&e) > PG_STORE_BYTES; gone++)
		remove_at(store, 0);
	uint8_t *at = store->bytes + store->used;
	memcpy(at, &e, sizeof(e));
	if (text.len != 0)
		memcpy(at + sizeof(e), text.ptr, text.len);
	if (summary.len != 0)
		memcpy(at + sizeof(e) + text.len, summary.ptr, summary.len);
	store->used = (uint16_t)(store->used + size_of(&e));
	return gone;
}

bool tl_pg_statement_get(const struct pg_statements *store, uint32_t name,
			 struct pg_statement *ret)
{
	struct entry e;
	uint32_t at = find(store, name, &e);

	if (at == TL_BYTES_NONE)
		return false;
	const uint8_t *text = store->bytes + at + sizeof(e);
	*ret = (struct pg_statement) {
		.digest = e.digest,
		.text = tl_bytes(text, e.text_len),
		.summary = tl_bytes(text + e.text_len, e.summary_len),
		.command = e.command,
		.is_cut = e.is_cut != 0,
	};
	return true;
}

void tl_pg_statement_drop(struct pg_statements *store, uint32_t name)
{
	struct entry e;
	uint32_t at = find(store, name, &e);

	if (at != TL_BYTES_NONE)
		remove_at(store, at);
}

static struct pg_portal *find_portal(struct pg_statements *store, uint32_t name)
{
	for (uint32_t i = 0; i < store->portal_count; i++)
		if (store->portals[i].name == name)
			return &store->portals[i];
	return NULL;
}

void tl_pg_portal_put(struct pg_statements *store, uint32_t name, uint32_t statement)
{
	struct pg_portal *portal = find_portal(store, name);

	if (portal == NULL && store->portal_count < PG_PORTALS_MAX) {
		portal = &store->portals[store->portal_count++];
	} else if (portal == NULL) {
		portal = &store->portals[store->portal_next];
		store->portal_next = (uint8_t)((store->portal_next + 1) % PG_PORTALS_MAX);
	}
	*portal = (struct pg_portal) {.name = name, .statement = statement};
}

bool tl_pg_portal_get(const struct pg_statements *store, uint32_t name, uint32_t *ret_statement)
{
	for (uint32_t i = 0; i < store->portal_count; i++) {
		if (store->portals[i].name != name)
			continue;
		*ret_statement = store->portals[i].statement;
		return true;
	}
	return false;
}

void tl_pg_portal_drop(struct pg_statements *store, uint32_t name)
{
	struct pg_portal *portal = find_portal(store, name);

	if (portal != NULL) {
		*portal = store->portals[--store->portal_count];
		store->portal_next = 0;
	}
}
