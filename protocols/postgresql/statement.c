// SPDX-License-Identifier: Apache-2.0
#include "protocols/postgresql/statement.h"

_Static_assert(PG_STORED_TEXT_BYTES_MAX + PG_STORED_SUMMARY_BYTES_MAX <= PG_STORE_BYTES,
	       "any statement fits into an empty store");
_Static_assert(PG_STORE_BYTES <= UINT16_MAX && PG_STORED_SUMMARY_BYTES_MAX <= UINT8_MAX &&
		       PG_STATEMENTS_MAX <= UINT8_MAX,
	       "they are kept in these");

uint32_t tl_pg_name_id(struct tl_bytes name)
{
	uint32_t hash = UINT32_C(0x811c9dc5);

	if (name.len == 0)
		return PG_UNNAMED;
	for (uint32_t i = 0; i < name.len; i++)
		hash = (hash ^ name.ptr[i]) * UINT32_C(0x01000193);
	hash &= PG_NAMELESS - 1;
	return hash == PG_UNNAMED ? 1 : hash;
}

static uint32_t find(const struct pg_statements *store, uint32_t name)
{
	uint32_t i = 0;

	while (i < store->count && store->names[i] != name)
		i++;
	return i;
}

static uint32_t size_of(const struct pg_entry *entry)
{
	return (uint32_t)entry->text_len + entry->summary_len;
}

static void remove_at(struct pg_statements *store, uint32_t index)
{
	uint32_t at = store->entries[index].at;
	uint32_t size = size_of(&store->entries[index]);

	memmove(store->bytes + at, store->bytes + at + size, store->used - at - size);
	store->used = (uint16_t)(store->used - size);
	store->count--;
	store->entries[index] = store->entries[store->count];
	store->names[index] = store->names[store->count];
	for (uint32_t i = 0; i < store->count; i++)
		if (store->entries[i].at > at)
			store->entries[i].at = (uint16_t)(store->entries[i].at - size);
}

static uint32_t least_used(const struct pg_statements *store)
{
	uint32_t found = 0;

	for (uint32_t i = 1; i < store->count; i++)
		if (store->clock - store->entries[i].used_at >
		    store->clock - store->entries[found].used_at)
			found = i;
	return found;
}

static void append(struct pg_statements *store, struct tl_bytes bytes)
{
	if (bytes.len != 0)
		memcpy(store->bytes + store->used, bytes.ptr, bytes.len);
	store->used = (uint16_t)(store->used + bytes.len);
}

// Where portals are bound to the statement it loses its name and stays for them. Not for the unnamed
// portal, which nobody executes again once something else was parsed.
static void unname(struct pg_statements *store, uint32_t name)
{
	uint32_t other = PG_NAMELESS | (store->clock & (PG_NAMELESS - 1));
	uint32_t index = find(store, name);

	for (uint32_t i = 0; i < store->portal_count; i++) {
		struct pg_portal *portal = &store->portals[i];
		if (portal->statement != name || portal->name == PG_UNNAMED)
			continue;
		portal->statement = other;
		if (index != store->count)
			store->names[index] = other;
	}
}

uint32_t tl_pg_statement_put(struct pg_statements *store, uint32_t name,
			     const struct pg_statement *s)
{
	struct tl_bytes text = tl_bytes_cut(s->text, PG_STORED_TEXT_BYTES_MAX);
	struct tl_bytes summary = tl_bytes_cut(s->summary, PG_STORED_SUMMARY_BYTES_MAX);
	struct pg_entry entry = {
		.digest = s->digest,
		.used_at = ++store->clock,
		.text_len = (uint16_t)text.len,
		.text_full = s->text_full,
		.summary_len = (uint8_t)summary.len,
		.command = s->command,
	};
	uint32_t gone = 0;

	unname(store, name);
	tl_pg_statement_drop(store, name);
	for (; store->count == PG_STATEMENTS_MAX ||
	       store->used + size_of(&entry) > PG_STORE_BYTES; gone++)
		remove_at(store, least_used(store));
	entry.at = store->used;
	append(store, text);
	append(store, summary);
	store->names[store->count] = name;
	store->entries[store->count++] = entry;
	return gone;
}

bool tl_pg_statement_get(struct pg_statements *store, uint32_t name, struct pg_statement *ret)
{
	uint32_t i = find(store, name);

	if (i == store->count)
		return false;
	struct pg_entry *entry = &store->entries[i];
	const uint8_t *text = store->bytes + entry->at;
	entry->used_at = ++store->clock;
	*ret = (struct pg_statement) {
		.digest = entry->digest,
		.text = tl_bytes(text, entry->text_len),
		.summary = tl_bytes(text + entry->text_len, entry->summary_len),
		.text_full = entry->text_full,
		.command = entry->command,
	};
	return true;
}

void tl_pg_statement_drop(struct pg_statements *store, uint32_t name)
{
	uint32_t i = find(store, name);

	if (i != store->count)
		remove_at(store, i);
}

static struct pg_portal *find_portal(struct pg_statements *store, uint32_t name)
{
	for (uint32_t i = 0; i < store->portal_count; i++)
		if (store->portals[i].name == name)
			return &store->portals[i];
	return NULL;
}

// Behind the last portal a statement without a name is of no use.
static void drop_nameless(struct pg_statements *store, uint32_t statement)
{
	if ((statement & PG_NAMELESS) == 0)
		return;
	for (uint32_t i = 0; i < store->portal_count; i++)
		if (store->portals[i].statement == statement)
			return;
	tl_pg_statement_drop(store, statement);
}

bool tl_pg_portal_put(struct pg_statements *store, uint32_t name, uint32_t statement)
{
	struct pg_portal *portal = find_portal(store, name);
	bool has_room = portal != NULL || store->portal_count < PG_PORTALS_MAX;
	uint32_t before = PG_UNNAMED;

	if (portal == NULL && has_room) {
		portal = &store->portals[store->portal_count++];
	} else if (portal == NULL) {
		portal = &store->portals[store->portal_next];
		store->portal_next = (store->portal_next + 1) % PG_PORTALS_MAX;
		before = portal->statement;
	} else {
		before = portal->statement;
	}
	*portal = (struct pg_portal) {.name = name, .statement = statement};
	drop_nameless(store, before);
	return has_room;
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

	if (portal == NULL)
		return;
	uint32_t statement = portal->statement;
	*portal = store->portals[--store->portal_count];
	store->portal_next = 0;
	drop_nameless(store, statement);
}
