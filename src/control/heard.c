// SPDX-License-Identifier: Apache-2.0
// One open-addressed table holds both kinds of entry: by client and address, and by address alone.
// A probe sequence is short and the oldest entry in it is the one that gives way, so that neither
// time nor memory depend on what is asked.
#include "control/heard.h"

#include "base/hash.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define PROBES 8u
#define SLOTS (2 * TL_HEARD_MAX)

struct entry {
	uint8_t client[16]; // all zero: of any client
	uint8_t address[16];
	uint64_t until_ns;  // 0: free
	uint64_t heard_ns;
	bool is_ambiguous;  // of any client: they asked for different names
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

static uint32_t slot_of(const struct tl_heard *h, const uint8_t client[16], const uint8_t address[16])
{
	uint8_t key[32];

	memcpy(key, client, 16);
	memcpy(key + 16, address, 16);
	return (uint32_t)(tl_hash64(key, sizeof(key), h->seed) % SLOTS);
}

static const struct entry *find(const struct tl_heard *h, const uint8_t client[16],
				const uint8_t address[16])
{
	uint32_t slot = slot_of(h, client, address);

	for (uint32_t i = 0; i < PROBES; i++) {
		const struct entry *e = &h->entries[(slot + i) % SLOTS];
		if (e->until_ns != 0 && memcmp(e->client, client, 16) == 0 &&
		    memcmp(e->address, address, 16) == 0)
			return e;
	}
	return NULL;
}

// The entry of these addresses, or the place for it.
static struct entry *place(struct tl_heard *h, const uint8_t client[16], const uint8_t address[16])
{
	uint32_t slot = slot_of(h, client, address);
	struct entry *oldest = &h->entries[slot];

	for (uint32_t i = 0; i < PROBES; i++) {
		struct entry *e = &h->entries[(slot + i) % SLOTS];
		if (e->until_ns != 0 && memcmp(e->client, client, 16) == 0 &&
		    memcmp(e->address, address, 16) == 0)
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

static void note(struct tl_heard *h, const uint8_t client[16], const uint8_t address[16],
		 struct tl_bytes name, uint64_t now_ns, uint64_t until_ns)
{
	static const uint8_t anyone[16];
	struct entry *e = place(h, client, address);
	bool is_new = e->until_ns == 0 || e->until_ns < now_ns;
	bool differs = !is_new && !is_name(e, name);

	e->is_ambiguous = !is_new && (e->is_ambiguous ||
				      (differs && memcmp(client, anyone, sizeof(anyone)) == 0));
	memcpy(e->client, client, 16);
	memcpy(e->address, address, 16);
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

// The name asked for: of the request, or of an answer whose request was missed. Only what may stand
// in a host name is believed.
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
			if (value.bytes.len == 0 || value.bytes.len >= TL_HEARD_NAME_MAX ||
			    value.full_len > value.bytes.len)
				return false;
			for (uint32_t k = 0; k < value.bytes.len; k++)
				if (value.bytes.ptr[k] <= ' ' || value.bytes.ptr[k] >= 0x7f)
					return false;
			return true;
		}
	return false;
}

void tl_heard_record(struct tl_heard *h, const struct tl_roundtrip *r)
{
	static const uint8_t anyone[16];
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
		note(h, r->client_address, address, name, now_ns, until_ns);
		note(h, anyone, address, name, now_ns, until_ns);
	}
}

const char *tl_heard_name(const struct tl_heard *h, const uint8_t client[16],
			  const uint8_t address[16], uint64_t now_ns)
{
	static const uint8_t anyone[16];
	const struct entry *e = find(h, client, address);

	if (e == NULL || e->until_ns < now_ns)
		e = find(h, anyone, address);
	return e == NULL || e->until_ns < now_ns || e->is_ambiguous ? NULL : e->name;
}
