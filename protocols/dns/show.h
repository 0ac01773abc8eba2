// SPDX-License-Identifier: Apache-2.0
// What of a DNS message becomes a field's value.
#pragma once

#include "l7/decoder.h"
#include "protocols/dns/message.h"

enum field {
	FIELD_QTYPE,
	FIELD_QUESTION,
	FIELD_RCODE,
	FIELD_ID,
	FIELD_OPCODE,
	FIELD_QCLASS,
	FIELD_FLAGS,
	FIELD_QUESTION_COUNT,
	FIELD_ANSWER_COUNT,
	FIELD_AUTHORITY_COUNT,
	FIELD_ADDITIONAL_COUNT,
	FIELD_EDNS_VERSION,
	FIELD_UDP_SIZE,
	FIELD_DNSSEC_OK,
	FIELD_CLIENT_SUBNET,
	FIELD_EXTENDED_ERROR,
	FIELD_QUESTIONS,
	FIELD_QUESTIONS_NAME,
	FIELD_QUESTIONS_TYPE,
	FIELD_QUESTIONS_CLASS,
	FIELD_ANSWERS, // each section: the list, then name, type, ttl, class, data
	FIELD_ANSWERS_DATA = FIELD_ANSWERS + 5,
	FIELD_AUTHORITY,
	FIELD_ADDITIONAL = FIELD_AUTHORITY + 6,
	FIELD_COUNT = FIELD_ADDITIONAL + 6,
};
enum { MEMBER_NAME = 1, MEMBER_TYPE, MEMBER_TTL, MEMBER_CLASS, MEMBER_DATA };

// One message being read.
struct reading {
	struct tl_ctx *ctx;
	struct dns_state *state; // of the decoder, see dns.c
	enum tl_lane lane;
	struct tl_bytes bytes;
	uint64_t begin; // offset of the message, length prefix included
	uint64_t end;
	struct dns_head head;
	struct dns_question question; // the first; of no meaning with head.questions == 0
	uint32_t records_at;          // behind the questions
	uint32_t rcode;               // with EDNS' part
	uint32_t answers_max;
	uint64_t key;
	bool is_cut;                  // readable up to a point only
	char *name_buffer;            // DNS_NAME_TEXT_MAX bytes
	struct dns_text name;         // text of the name at `name_start`
	uint32_t name_start;          // UINT32_MAX: none
};

void dns_show_head(const struct reading *r);
// All of them, the first one also by itself.
void dns_show_questions(struct reading *r);
// `list` is the id of the section's OBJECTS field.
void dns_show_record(struct reading *r, uint32_t list, const struct dns_record *record);
void dns_show_edns(struct reading *r, const struct dns_record *opt);
void dns_show_rcode(const struct reading *r);
