// SPDX-License-Identifier: Apache-2.0
// Walking a DNS message without a connection: head, questions, records, EDNS. Pure.
#pragma once

#include "protocols/dns/rdata.h"

#define DNS_HEAD_BYTES 12u
#define DNS_SECTION_COUNT 3u // answers, authority, additional

enum {
	DNS_QR = 0x8000,
	DNS_AA = 0x0400,
	DNS_TC = 0x0200,
	DNS_RD = 0x0100,
	DNS_RA = 0x0080,
	DNS_Z = 0x0040,
	DNS_AD = 0x0020,
	DNS_CD = 0x0010,
};

struct dns_head {
	uint16_t id;
	uint16_t flags;
	uint16_t questions;
	uint16_t records[DNS_SECTION_COUNT];
};

struct dns_question {
	uint32_t name_at;
	uint16_t type;
	uint16_t class;
};

struct dns_record {
	uint32_t name_at;
	uint32_t data_at;
	uint32_t ttl;
	uint16_t type;
	uint16_t class;
	uint16_t data_len;
};

static inline uint32_t dns_opcode(const struct dns_head *head)
{
	return head->flags >> 11 & 15;
}

// False when the message is shorter than a head.
bool dns_head_read(struct tl_bytes message, struct dns_head *ret_head);
// Reads at *at and moves it. False when that runs out of the message.
bool dns_question_read(struct tl_bytes message, uint32_t *at, struct dns_question *ret_question);
bool dns_record_read(struct tl_bytes message, uint32_t *at, struct dns_record *ret_record);

// How much a run of bytes looks like a DNS message.
enum dns_looks {
	DNS_LOOKS_NO,
	DNS_LOOKS_SHORT,  // good so far, but its first question is not over yet
	DNS_LOOKS_LIKELY, // good up to its first question; the rest is missing, broken or too much
	DNS_LOOKS_WHOLE,  // parses from the first to the last byte
};
enum dns_looks dns_look(struct tl_bytes message);
