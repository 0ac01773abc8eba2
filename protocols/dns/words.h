// SPDX-License-Identifier: Apache-2.0
// Names of the IANA registries "Domain Name System (DNS) Parameters", and per type how its data is
// laid out (dns_rdata_put reads the letters).
#pragma once

#include "protocols/dns/name.h"

enum dns_type {
	DNS_A = 1,
	DNS_SOA = 6,
	DNS_SRV = 33,
	DNS_NETBIOS = 32,
	DNS_OPT = 41,
	DNS_TSIG = 250,
	DNS_IXFR = 251,
	DNS_AXFR = 252,
	DNS_ANY = 255,
};

enum { DNS_QUERY = 0, DNS_NOTIFY = 4, DNS_UPDATE = 5, DNS_STATEFUL = 6 };

const char *dns_type_name(uint32_t type);   // NULL when it has none
const char *dns_type_layout(uint32_t type); // NULL: RFC 3597's generic form
void dns_type_put(struct dns_text *text, uint32_t type);   // "TYPE65280" when it has no name
const char *dns_class_name(uint32_t class);
void dns_class_put(struct dns_text *text, uint32_t class); // "IN", "CLASS32"
void dns_rcode_put(struct dns_text *text, uint32_t rcode); // "NXDOMAIN", "RCODE12"
void dns_opcode_put(struct dns_text *text, uint32_t opcode);
const char *dns_extended_error_name(uint32_t code); // RFC 8914, NULL when it has none
