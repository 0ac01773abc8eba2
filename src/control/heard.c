// SPDX-License-Identifier: Apache-2.0
// One open-addressed table holds all kinds of entry: by client and address, by address alone, and
// by address and port. A probe sequence is short and the oldest entry in it is the one that gives
// way, so that neither time nor memory depend on what is asked.
#include "control/heard.h"

#include "base/hash.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define PROBES 8u
#define SLOTS (2 * TL_HEARD_MAX)
#define REPEAT_NS UINT64_C(1000000000) // what is asked of a server again within it tells nothing new

struct key {
	uint8_t client[16]; // all zero: of any client
	uint8_t address[16];
	uint16_t port;      // 0: a DNS answer, which knows none
};

_Static_assert(sizeof(struct key) == 34, "a key is hashed and compared as bytes");

struct entry {
	struct key key;
	bool is_ambiguous;  // of any client: they asked for different names
	uint8_t asked;      // enum tl_heard_asked
	uint64_t until_ns;  // 0: free
	uint64_t heard_ns;
	char name[TL_HEARD_NAME_MAX];
};

// Ids of the fields of a DNS record, found once by their names.
struct fields {
	uint16_t protocol; // 0: not looked for yet
	uint8_t question, type, data, ttl;
};

struct tl_heard {
	uint64_t seed;
	struct fields fields;
	struct entry entries[SLOTS];
};

struct tl_heard *tl_heard_create(void)
{
	struct tl_heard *h = calloc(1, sizeof(*h));

	if (h != NULL && getrandom(&h->seed, sizeof(h->seed), 0) != (ssize_t)sizeof(h->seed))
		h->seed = (uint64_t)(uintptr_t)h;
	return h;
}

void tl_heard_destroy(struct tl_heard *heard)
{
	free(heard);
}

static uint8_t field_named(const struct tl_decoder *decoder, uint8_t parent, const char *name)
{
	for (uint8_t id = 0; id < decoder->field_count; id++)
		if (decoder->fields[id].parent == parent && strcmp(decoder->fields[id].name, name) == 0)
			return id;
	return TL_FIELD_TOP;
}

static bool is_dns(struct tl_heard *h, uint16_t protocol)
{
	const struct tl_decoder *decoder = tl_decoder_at(protocol);

	if (h->fields.protocol != 0)
		return protocol == h->fields.protocol;
	if (decoder == NULL || strcmp(decoder->name, "dns") != 0)
		return false;
	uint8_t answers = field_named(decoder, TL_FIELD_TOP, "answers");
	h->fields = (struct fields) {
		.protocol = protocol,
		.question = field_named(decoder, TL_FIELD_TOP, "question"),
		.type = field_named(decoder, answers, "type"),
		.data = field_named(decoder, answers, "data"),
		.ttl = field_named(decoder, answers, "ttl"),
	};
	return true;
}

// The key of a DNS answer for `client`, of any client where that is NULL.
static struct key key_of(const uint8_t *client, const uint8_t address[16], uint16_t port)
{
	struct key key = {.port = port};

	if (client != NULL)
		memcpy(key.client, client, sizeof(key.client));
	memcpy(key.address, address, sizeof(key.address));
	return key;
}

static uint32_t slot_of(const struct tl_heard *h, const struct key *key)
{
	return (uint32_t)(tl_hash64(key, sizeof(*key), h->seed) % SLOTS);
}

static bool is_entry_of(const struct entry *e, const struct key *key)
{
	return e->until_ns != 0 && memcmp(&e->key, key, sizeof(*key)) == 0;
}

static const struct entry *find(const struct tl_heard *h, const struct key *key)
{
	uint32_t slot = slot_of(h, key);

	for (uint32_t i = 0; i < PROBES; i++) {
		const struct entry *e = &h->entries[(slot + i) % SLOTS];
		if (is_entry_of(e, key))
			return e;
	}
	return NULL;
}

// The entry of this key, or the place for it.
static struct entry *place(struct tl_heard *h, const struct key *key)
{
	uint32_t slot = slot_of(h, key);
	struct entry *oldest = &h->entries[slot];

	for (uint32_t i = 0; i < PROBES; i++) {
		struct entry *e = &h->entries[(slot + i) % SLOTS];
		if (is_entry_of(e, key))
			return e;
		if (e->heard_ns < oldest->heard_ns)
			oldest = e;
	}
	oldest->until_ns = 0;
	return oldest;
}

static bool is_name(const struct entry *e, struct tl_bytes name)
{
	return strlen(e->name) == name.len && memcmp(e->name, name.ptr, name.len) == 0;
}

// Only what may stand in a host name is believed.
static bool is_plausible(struct tl_bytes name)
{
	if (name.len == 0 || name.len >= TL_HEARD_NAME_MAX)
		return false;
	for (uint32_t i = 0; i < name.len; i++)
		if (name.ptr[i] <= ' ' || name.ptr[i] >= 0x7f)
			return false;
	return true;
}

static void note(struct entry *e, const struct key *key, bool is_for_anyone, struct tl_bytes name,
		 uint64_t now_ns, uint64_t until_ns)
{
	bool is_new = e->until_ns == 0 || e->until_ns < now_ns;
	bool differs = !is_new && !is_name(e, name);

	e->is_ambiguous = !is_new && (e->is_ambiguous || (differs && is_for_anyone));
	e->key = *key;
	e->heard_ns = now_ns;
	e->until_ns = until_ns;
	memcpy(e->name, name.ptr, name.len);
	e->name[name.len] = '\0';
}

static bool parse_address(struct tl_bytes text, uint8_t ret_address[16])
{
	char copy[INET6_ADDRSTRLEN];

	if (text.len == 0 || text.len >= sizeof(copy))
		return false;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	memset(ret_address, 0, 16);
	if (inet_pton(AF_INET, copy, ret_address + 12) == 1) {
		ret_address[10] = 0xff;
		ret_address[11] = 0xff;
		return true;
	}
	return inet_pton(AF_INET6, copy, ret_address) == 1;
}

// The name asked for: of the request, or of an answer whose request was missed.
static bool question_of(const struct tl_heard *h, const struct tl_roundtrip *r,
			struct tl_bytes *ret_name)
{
	struct tl_bytes tails[2] = {tl_roundtrip_request_tail(r), tl_roundtrip_response_tail(r)};
	struct tl_value value;

	for (uint32_t i = 0; i < 2; i++)
		for (uint32_t at = 0; tl_value_next(tails[i], &at, &value);) {
			if (value.field != h->fields.question)
				continue;
			*ret_name = value.bytes;
			return value.full_len <= value.bytes.len && is_plausible(value.bytes);
		}
	return false;
}

void tl_heard_record(struct tl_heard *h, const struct tl_roundtrip *r)
{
	struct tl_bytes name, type = {0};
	struct tl_value value;
	uint64_t ttl_ns = 0;

	if (!is_dns(h, r->protocol) || r->status != TL_STATUS_OK || !question_of(h, r, &name))
		return;
	uint64_t now_ns = tl_roundtrip_time(r);
	for (uint32_t at = 0; tl_value_next(tl_roundtrip_response_tail(r), &at, &value);) {
		uint8_t address[16];
		if (value.field == h->fields.type)
			type = value.bytes;
		if (value.field == h->fields.ttl && value.bytes.len == sizeof(ttl_ns)) {
			memcpy(&ttl_ns, value.bytes.ptr, sizeof(ttl_ns));
			ttl_ns = (ttl_ns > UINT32_MAX ? UINT32_MAX : ttl_ns) * 1000000000;
		}
		if (value.field != h->fields.data || type.len == 0 || type.ptr[0] != 'A' ||
		    !parse_address(value.bytes, address))
			continue;
		uint64_t until_ns = now_ns + (ttl_ns > TL_HEARD_LEAST_NS ? ttl_ns : TL_HEARD_LEAST_NS);
		struct key client = key_of(r->client_address, address, 0);
		struct key anyone = key_of(NULL, address, 0);
		note(place(h, &client), &client, false, name, now_ns, until_ns);
		note(place(h, &anyone), &anyone, true, name, now_ns, until_ns);
	}
}

void tl_heard_ask(struct tl_heard *h, enum tl_heard_asked asked, const uint8_t address[16],
		  uint16_t port, const char *text, uint64_t now_ns)
{
	char lower[TL_HEARD_NAME_MAX];
	struct tl_bytes name = tl_bytes_of(text);

	if (port == 0 || !is_plausible(name))
		return;
	for (uint32_t i = 0; i < name.len; i++)
		lower[i] = (char)tl_ascii_lower(name.ptr[i]);
	name = tl_bytes(lower, name.len);
	struct key key = key_of(NULL, address, port);
	struct entry *e = place(h, &key);
	if (e->until_ns >= now_ns && now_ns - e->heard_ns < REPEAT_NS && is_name(e, name))
		return;
	note(e, &key, true, name, now_ns, now_ns + TL_HEARD_LEAST_NS);
	e->asked = (uint8_t)asked;
}

static bool is_known(const struct entry *e, uint64_t now_ns)
{
	return e != NULL && e->until_ns >= now_ns;
}

const char *tl_heard_name(const struct tl_heard *h, const uint8_t client[16],
			  const uint8_t address[16], uint64_t now_ns)
{
	struct key key = key_of(client, address, 0);
	const struct entry *e = find(h, &key);

	if (!is_known(e, now_ns)) {
		key = key_of(NULL, address, 0);
		e = find(h, &key);
	}
	return is_known(e, now_ns) && !e->is_ambiguous ? e->name : NULL;
}

const char *tl_heard_asked_name(const struct tl_heard *h, const uint8_t address[16], uint16_t port,
				uint64_t now_ns, enum tl_heard_asked *ret_asked)
{
	struct key key = key_of(NULL, address, port);
	const struct entry *e = port == 0 ? NULL : find(h, &key);

	if (!is_known(e, now_ns) || e->is_ambiguous)
		return NULL;
	*ret_asked = (enum tl_heard_asked)e->asked;
	return e->name;
}
