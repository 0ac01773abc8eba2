// SPDX-License-Identifier: Apache-2.0
#include "protocols/dns/show.h"

#define DATA_TEXT_MAX 2048u    // of one record's data, before the table's limit
#define QUESTIONS_SHOWN_MAX 16u
#define EDNS_OPTIONS_MAX 32u   // looked at per message

static void show_word(const struct reading *r, uint32_t field, const char *word)
{
	tl_message_text(r->ctx, r->lane, (uint8_t)field, tl_bytes_of(word));
}

static void show_type(const struct reading *r, uint32_t field, uint32_t type)
{
	char buffer[16];
	struct dns_text text = dns_text(buffer, sizeof(buffer));
	const char *name = dns_type_name(type);

	if (name != NULL) {
		show_word(r, field, name);
		return;
	}
	dns_type_put(&text, type);
	tl_message_text(r->ctx, r->lane, (uint8_t)field, dns_text_bytes(&text));
}

static void show_class(const struct reading *r, uint32_t field, uint32_t class)
{
	char buffer[16];
	struct dns_text text = dns_text(buffer, sizeof(buffer));
	const char *name = dns_class_name(class);

	if (name != NULL) {
		show_word(r, field, name);
		return;
	}
	dns_class_put(&text, class);
	tl_message_text(r->ctx, r->lane, (uint8_t)field, dns_text_bytes(&text));
}

// The records of a set name their owner by the same pointer: its text is written once.
static bool show_name(struct reading *r, uint32_t field, uint32_t at)
{
	uint32_t start = at;
	bool is_good = true;

	if (r->bytes.len - at >= 2 && r->bytes.ptr[at] >= 0xc0)
		start = tl_load_be16(r->bytes.ptr + at) & 0x3fff;
	if (start != r->name_start) {
		r->name = dns_text(r->name_buffer, DNS_NAME_TEXT_MAX);
		is_good = dns_name_put(r->bytes, &at, &r->name);
		r->name_start = is_good ? start : UINT32_MAX;
	}
	tl_message_text(r->ctx, r->lane, (uint8_t)field, dns_text_bytes(&r->name));
	return is_good;
}

static void show_flags(const struct reading *r)
{
	static const struct {
		uint16_t bit;
		char word[3];
	} words[] = {{DNS_AA, "aa"}, {DNS_TC, "tc"}, {DNS_RD, "rd"},
		     {DNS_RA, "ra"}, {DNS_AD, "ad"}, {DNS_CD, "cd"}};

	for (uint32_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (r->head.flags & words[i].bit)
			tl_message_text(r->ctx, r->lane, FIELD_FLAGS, tl_bytes(words[i].word, 2));
}

void dns_show_head(const struct reading *r)
{
	char buffer[16];
	struct dns_text text = dns_text(buffer, sizeof(buffer));

	tl_message_uint(r->ctx, r->lane, FIELD_ID, r->head.id);
	dns_opcode_put(&text, dns_opcode(&r->head));
	tl_message_text(r->ctx, r->lane, FIELD_OPCODE, dns_text_bytes(&text));
	show_flags(r);
	if (r->head.questions != 1)
		tl_message_uint(r->ctx, r->lane, FIELD_QUESTION_COUNT, r->head.questions);
	for (uint32_t i = 1; i < DNS_SECTION_COUNT; i++)
		if (r->head.records[i] != 0)
			tl_message_uint(r->ctx, r->lane, (uint8_t)(FIELD_ANSWER_COUNT + i),
					r->head.records[i]);
}

void dns_show_questions(struct reading *r)
{
	uint32_t at = DNS_HEAD_BYTES;
	struct dns_question q;

	if (r->head.questions == 0)
		return;
	show_type(r, FIELD_QTYPE, r->question.type);
	(void)show_name(r, FIELD_QUESTION, r->question.name_at);
	show_class(r, FIELD_QCLASS, r->question.class);
	if (r->head.questions == 1)
		return;
	for (uint32_t i = 0; i < r->head.questions && i < QUESTIONS_SHOWN_MAX; i++) {
		if (!dns_question_read(r->bytes, &at, &q))
			return;
		tl_message_object(r->ctx, r->lane, FIELD_QUESTIONS);
		r->is_cut |= !show_name(r, FIELD_QUESTIONS_NAME, q.name_at);
		show_type(r, FIELD_QUESTIONS_TYPE, q.type);
		show_class(r, FIELD_QUESTIONS_CLASS, q.class);
	}
}

// `list` is the id of the section's OBJECTS field.
void dns_show_record(struct reading *r, uint32_t list, const struct dns_record *record)
{
	char buffer[DATA_TEXT_MAX];
	struct dns_text text = dns_text(buffer, sizeof(buffer));

	tl_message_object(r->ctx, r->lane, (uint8_t)list);
	r->is_cut |= !show_name(r, list + MEMBER_NAME, record->name_at);
	show_type(r, list + MEMBER_TYPE, record->type);
	tl_message_uint(r->ctx, r->lane, (uint8_t)(list + MEMBER_TTL), record->ttl);
	// The highest bit is mDNS' cache flush, no class.
	show_class(r, list + MEMBER_CLASS, record->class & 0x7fff);
	dns_rdata_put(r->bytes, record->data_at, record->data_len, record->type, &text);
	tl_message_text(r->ctx, r->lane, (uint8_t)(list + MEMBER_DATA), dns_text_bytes(&text));
	if (text.is_cut)
		tl_message_flag(r->ctx, r->lane, TL_FLAG_TRUNCATED);
}

// ---- EDNS -----------------------------------------------------------------------------------

enum { EDNS_CLIENT_SUBNET = 8, EDNS_EXTENDED_ERROR = 15 };

// RFC 7871 section 6: family, source and scope prefix, as many address bytes as needed.
static void show_client_subnet(const struct reading *r, struct tl_bytes data)
{
	char buffer[64];
	struct dns_text text = dns_text(buffer, sizeof(buffer));
	uint8_t address[16] = {0};

	if (data.len < 4 || data.len > 4 + sizeof(address))
		return;
	memcpy(address, data.ptr + 4, data.len - 4);
	uint16_t family = tl_load_be16(data.ptr);
	if (family == 1)
		dns_ipv4_put(&text, address);
	else if (family == 2)
		dns_ipv6_put(&text, address);
	else
		return;
	for (uint32_t i = 2; i < 4; i++) {
		dns_text_char(&text, '/');
		dns_text_uint(&text, data.ptr[i]);
	}
	tl_message_text(r->ctx, r->lane, FIELD_CLIENT_SUBNET, dns_text_bytes(&text));
}

static void show_extended_error(const struct reading *r, struct tl_bytes data)
{
	char buffer[512];
	struct dns_text text = dns_text(buffer, sizeof(buffer));

	if (data.len < 2)
		return;
	const char *name = dns_extended_error_name(tl_load_be16(data.ptr));
	dns_text_uint(&text, tl_load_be16(data.ptr));
	if (name != NULL) {
		dns_text_char(&text, ' ');
		dns_text_puts(&text, name);
	}
	if (data.len > 2)
		dns_text_puts(&text, ": ");
	for (uint32_t i = 2; i < data.len && data.ptr[i] != 0 && !text.is_cut; i++)
		dns_text_char(&text, (char)data.ptr[i]); // UTF-8; mended where it is shown
	tl_message_text(r->ctx, r->lane, FIELD_EXTENDED_ERROR, dns_text_bytes(&text));
}

void dns_show_edns(struct reading *r, const struct dns_record *opt)
{
	struct tl_cursor c = tl_cursor(tl_bytes(r->bytes.ptr + opt->data_at, opt->data_len));

	r->rcode = (r->head.flags & 15u) | (opt->ttl >> 24) << 4;
	tl_message_uint(r->ctx, r->lane, FIELD_EDNS_VERSION, opt->ttl >> 16 & 0xff);
	tl_message_uint(r->ctx, r->lane, FIELD_UDP_SIZE, opt->class);
	if (opt->ttl & 0x8000)
		tl_message_uint(r->ctx, r->lane, FIELD_DNSSEC_OK, 1);
	for (uint32_t i = 0; i < EDNS_OPTIONS_MAX && tl_cursor_left(&c) >= 4; i++) {
		uint16_t code = tl_cursor_be16(&c);
		struct tl_bytes data = tl_cursor_take(&c, tl_cursor_be16(&c));
		if (c.failed)
			r->is_cut = true;
		else if (code == EDNS_CLIENT_SUBNET)
			show_client_subnet(r, data);
		else if (code == EDNS_EXTENDED_ERROR && (r->head.flags & DNS_QR) != 0)
			show_extended_error(r, data);
	}
}

void dns_show_rcode(const struct reading *r)
{
	char buffer[16];
	struct dns_text text = dns_text(buffer, sizeof(buffer));

	dns_rcode_put(&text, r->rcode);
	tl_message_text(r->ctx, r->lane, FIELD_RCODE, dns_text_bytes(&text));
}
