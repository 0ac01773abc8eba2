// SPDX-License-Identifier: Apache-2.0
#include "control/naming.h"

#include "base/hash.h"

#include <stdlib.h>

#define WAYS 4u
#define SETS (TL_NAMING_IDS_MAX / WAYS)
#define IDS_NAMED_MAX 64u // of a request
#define NAMED_BYTES (sizeof(struct tl_value_head) + TL_NAMING_NAME_BYTES)
// Both messages' values, the names and the path, rounded up as records are.
#define COPY_BYTES \
	(sizeof(struct tl_roundtrip) + 2 * TL_MESSAGE_TAIL_BYTES_MAX + IDS_NAMED_MAX * NAMED_BYTES + \
	 sizeof(struct tl_path) + 8)

struct entry {
	uint64_t used; // when, in records; 0: free
	uint16_t protocol;
	uint16_t id_len;
	uint16_t name_len;
	uint8_t id[TL_NAMING_ID_BYTES];
	uint8_t name[TL_NAMING_NAME_BYTES];
};

struct tl_namer {
	struct entry *entries; // NULL: nothing was learned yet
	uint64_t now;          // records so far
	bool has_news;
	uint8_t *copy;
};

struct tl_namer *tl_namer_create(void)
{
	return calloc(1, sizeof(struct tl_namer));
}

void tl_namer_destroy(struct tl_namer *namer)
{
	if (namer == NULL)
		return;
	free(namer->entries);
	free(namer->copy);
	free(namer);
}

static struct entry *set_of(const struct tl_namer *namer, uint16_t protocol, struct tl_bytes id)
{
	return namer->entries + tl_hash64(id.ptr, id.len, protocol) % SETS * WAYS;
}

static struct entry *find(const struct tl_namer *namer, uint16_t protocol, struct tl_bytes id)
{
	struct entry *set;

	if (namer->entries == NULL || id.len == 0)
		return NULL;
	set = set_of(namer, protocol, id);
	for (uint32_t i = 0; i < WAYS; i++)
		if (set[i].used != 0 && set[i].protocol == protocol &&
		    tl_bytes_equal(tl_bytes(set[i].id, set[i].id_len), id))
			return &set[i];
	return NULL;
}

// ---- Learning -----------------------------------------------------------------------------------

static void keep(struct tl_namer *namer, uint16_t protocol, struct tl_bytes id, struct tl_bytes name)
{
	if (id.len == 0 || id.len > TL_NAMING_ID_BYTES || name.len == 0 ||
	    name.len > TL_NAMING_NAME_BYTES)
		return;
	if (namer->entries == NULL)
		namer->entries = calloc(TL_NAMING_IDS_MAX, sizeof(*namer->entries));
	if (namer->copy == NULL)
		namer->copy = malloc(COPY_BYTES);
	if (namer->entries == NULL || namer->copy == NULL)
		return;
	struct entry *entry = find(namer, protocol, id);
	if (entry == NULL) {
		struct entry *set = set_of(namer, protocol, id);
		entry = set;
		for (uint32_t i = 1; i < WAYS; i++)
			if (set[i].used < entry->used)
				entry = &set[i];
		entry->protocol = protocol;
		entry->id_len = (uint16_t)id.len;
		memcpy(entry->id, id.ptr, id.len);
	} else if (tl_bytes_equal(tl_bytes(entry->name, entry->name_len), name)) {
		entry->used = namer->now;
		return;
	}
	namer->has_news = true;
	entry->used = namer->now;
	entry->name_len = (uint16_t)name.len;
	memcpy(entry->name, name.ptr, name.len);
}

static void learn(struct tl_namer *namer, const struct tl_naming *naming,
		  const struct tl_roundtrip *record)
{
	struct tl_bytes id = tl_bytes(NULL, 0);
	struct tl_value value;

	for (uint32_t at = 0; tl_value_next(tl_roundtrip_response_tail(record), &at, &value);) {
		if (value.full_len != value.bytes.len)
			continue;
		if (value.field == naming->list)
			id = tl_bytes(NULL, 0);
		else if (value.field == naming->list_id)
			id = value.bytes;
		else if (value.field == naming->list_name)
			keep(namer, record->protocol, id, value.bytes);
	}
}

struct tl_bytes tl_namer_find(const struct tl_namer *namer, uint16_t protocol, struct tl_bytes id)
{
	const struct entry *entry = find(namer, protocol, id);

	return entry == NULL ? tl_bytes(NULL, 0) : tl_bytes(entry->name, entry->name_len);
}

bool tl_namer_has_news(struct tl_namer *namer)
{
	bool has_news = namer->has_news;

	namer->has_news = false;
	return has_news;
}

// ---- Naming -------------------------------------------------------------------------------------

// Adds the name of an id to the values at `at`; gives what follows.
static uint8_t *add_name(struct tl_namer *namer, const struct tl_roundtrip *record,
			 const struct tl_value *id, uint8_t *at, uint32_t *count)
{
	struct entry *entry = find(namer, record->protocol, id->bytes);

	if (entry == NULL || *count == IDS_NAMED_MAX)
		return at;
	++*count;
	entry->used = namer->now;
	return tl_value_put(at, tl_decoder_at(record->protocol)->naming->name,
			    tl_bytes(entry->name, entry->name_len));
}

// The copy, or the record itself when there is no name to add.
static const struct tl_roundtrip *copy(struct tl_namer *namer, const struct tl_roundtrip *record)
{
	const struct tl_naming *naming = tl_decoder_at(record->protocol)->naming;
	struct tl_bytes tail = tl_roundtrip_request_tail(record);
	struct tl_bytes rest = tl_roundtrip_response_tail(record);
	rest.len += record->path_len; // lies behind it
	uint8_t *at = namer->copy + sizeof(*record);
	uint32_t count = 0;
	struct tl_value value;

	for (uint32_t from = 0, to = 0; tl_value_next(tail, &to, &value); from = to) {
		memcpy(at, tail.ptr + from, to - from);
		at += to - from;
		if (value.field == naming->id)
			at = add_name(namer, record, &value, at, &count);
	}
	if (count == 0)
		return record;
	struct tl_roundtrip *named = (struct tl_roundtrip *)(void *)namer->copy;
	*named = *record;
	named->request.tail_len = (uint32_t)((size_t)(at - namer->copy) - sizeof(*record));
	if (rest.len != 0)
		memcpy(at, rest.ptr, rest.len);
	named->size = ((uint32_t)sizeof(*record) + named->request.tail_len + rest.len + 7u) & ~7u;
	return named;
}

const struct tl_roundtrip *tl_namer_name(struct tl_namer *namer, const struct tl_roundtrip *record)
{
	const struct tl_decoder *decoder = tl_decoder_at(record->protocol);

	if (decoder == NULL || decoder->naming == NULL)
		return record;
	namer->now++;
	learn(namer, decoder->naming, record);
	if (namer->copy == NULL || record->request.tail_len > TL_MESSAGE_TAIL_BYTES_MAX ||
	    record->response.tail_len > TL_MESSAGE_TAIL_BYTES_MAX)
		return record;
	return copy(namer, record);
}
