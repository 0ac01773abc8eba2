// SPDX-License-Identifier: Apache-2.0
#include "protocols/dns/message.h"

#define LOOK_QUESTIONS_MAX 64u
// So many are no accident, and more are taken for granted: dns_resync() looks at each byte of a
// stream, which may be made to have such a row behind every eleventh.
#define LOOK_RECORDS_MAX 16u

bool dns_head_read(struct tl_bytes message, struct dns_head *ret_head)
{
	if (message.len < DNS_HEAD_BYTES)
		return false;
	ret_head->id = tl_load_be16(message.ptr);
	ret_head->flags = tl_load_be16(message.ptr + 2);
	ret_head->questions = tl_load_be16(message.ptr + 4);
	for (uint32_t i = 0; i < DNS_SECTION_COUNT; i++)
		ret_head->records[i] = tl_load_be16(message.ptr + 6 + 2 * i);
	return true;
}

bool dns_question_read(struct tl_bytes message, uint32_t *at, struct dns_question *ret_question)
{
	ret_question->name_at = *at;
	if (!dns_name_skip(message, at) || message.len - *at < 4)
		return false;
	ret_question->type = tl_load_be16(message.ptr + *at);
	ret_question->class = tl_load_be16(message.ptr + *at + 2);
	*at += 4;
	return true;
}

bool dns_record_read(struct tl_bytes message, uint32_t *at, struct dns_record *ret_record)
{
	ret_record->name_at = *at;
	if (!dns_name_skip(message, at) || message.len - *at < 10)
		return false;
	const uint8_t *p = message.ptr + *at;
	ret_record->type = tl_load_be16(p);
	ret_record->class = tl_load_be16(p + 2);
	ret_record->ttl = tl_load_be32(p + 4);
	ret_record->data_len = tl_load_be16(p + 8);
	ret_record->data_at = *at + 10;
	if (message.len - ret_record->data_at < ret_record->data_len)
		return false;
	*at = ret_record->data_at + ret_record->data_len;
	return true;
}

// mDNS uses the highest bit of a class for its own purposes (RFC 6762 sections 5.4, 10.2).
static bool is_class(uint32_t class)
{
	class &= 0x7fff;
	return class == 1 || class == 3 || class == 4 || class == 254 || class == 255;
}

// NetBIOS names fill one label with the letters A to P (RFC 1001 section 14.1).
static bool is_netbios(struct tl_bytes message, const struct dns_question *q)
{
	if ((q->type != DNS_NETBIOS && q->type != DNS_SRV) || message.ptr[q->name_at] != 32)
		return false;
	for (uint32_t i = 1; i <= 32; i++)
		if (message.ptr[q->name_at + i] < 'A' || message.ptr[q->name_at + i] > 'P')
			return false;
	return true;
}

static bool is_head(const struct dns_head *h)
{
	uint32_t opcode = dns_opcode(h);
	bool is_query = (h->flags & DNS_QR) == 0;

	if ((h->flags & DNS_Z) != 0 || opcode > DNS_UPDATE || opcode == 3)
		return false;
	if (h->questions > LOOK_QUESTIONS_MAX)
		return false;
	// A query has no rcode, and asks something; only cookies (RFC 7873) ask nothing, and they have
	// just additional records.
	bool is_cookie = h->records[0] == 0 && h->records[1] == 0 && h->records[2] != 0;
	return !is_query || ((h->flags & 15) == 0 && (h->questions != 0 || is_cookie));
}

static enum dns_looks look_at_records(struct tl_bytes message, uint32_t at, const struct dns_head *h)
{
	uint32_t count = (uint32_t)h->records[0] + h->records[1] + h->records[2];
	uint32_t named = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct dns_record r;
		if (i == LOOK_RECORDS_MAX)
			return DNS_LOOKS_WHOLE;
		if (!dns_record_read(message, &at, &r))
			return DNS_LOOKS_LIKELY;
		bool is_meta = r.type == DNS_OPT || r.type == DNS_TSIG;
		if (!is_meta && !is_class(r.class))
			return h->questions != 0 ? DNS_LOOKS_LIKELY : DNS_LOOKS_NO;
		named += !is_meta && message.ptr[r.name_at] != 0;
	}
	// Twelve bytes alone, or with EDNS, say little.
	if (at != message.len || (h->questions == 0 && named == 0))
		return DNS_LOOKS_LIKELY;
	return DNS_LOOKS_WHOLE;
}

enum dns_looks dns_look(struct tl_bytes message)
{
	struct dns_head h;
	uint32_t at = DNS_HEAD_BYTES;

	if (!dns_head_read(message, &h))
		return DNS_LOOKS_SHORT;
	if (!is_head(&h))
		return DNS_LOOKS_NO;
	for (uint32_t i = 0; i < h.questions; i++) {
		struct dns_question q;
		uint32_t before = at;
		if (!dns_question_read(message, &at, &q)) {
			// What is no name leaves `at` alone, what runs off the end moves it.
			bool is_cut = at != before;
			return i != 0 ? DNS_LOOKS_LIKELY : is_cut ? DNS_LOOKS_SHORT : DNS_LOOKS_NO;
		}
		if (is_netbios(message, &q))
			return DNS_LOOKS_NO;
		uint64_t hash = 0;
		uint32_t name_at = q.name_at;
		if (!is_class(q.class) || !dns_name_hash(message, &name_at, &hash))
			return i != 0 ? DNS_LOOKS_LIKELY : DNS_LOOKS_NO;
	}
	return look_at_records(message, at, &h);
}
