// SPDX-License-Identifier: Apache-2.0
#include "protocols/dns/words.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct type_row {
	const char *name;
	const char *layout;
};

// Letters of a layout: a IPv4, A IPv6, n name, 1 2 4 integers, T time, t type, s string in quotes,
// S strings to the end, q the rest in quotes, g a bare string, x hex to the end, h hex behind its
// length, b base64 to the end, z base32hex behind its length, w bitmap of types, p service
// parameters, e hex with dashes.
static const struct type_row types[] = {
	[1] = {"A", "a"}, // RFC 1035
	[2] = {"NS", "n"},
	[3] = {"MD", "n"},
	[4] = {"MF", "n"},
	[5] = {"CNAME", "n"},
	[6] = {"SOA", "nn44444"},
	[7] = {"MB", "n"},
	[8] = {"MG", "n"},
	[9] = {"MR", "n"},
	[10] = {"NULL", NULL},
	[11] = {"WKS", NULL},
	[12] = {"PTR", "n"},
	[13] = {"HINFO", "ss"},
	[14] = {"MINFO", "nn"},
	[15] = {"MX", "2n"},
	[16] = {"TXT", "S"},
	[17] = {"RP", "nn"},
	[18] = {"AFSDB", "2n"},
	[19] = {"X25", "s"},
	[20] = {"ISDN", "S"},
	[21] = {"RT", "2n"},
	[22] = {"NSAP", NULL},
	[24] = {"SIG", "t114TT2nb"},
	[25] = {"KEY", "211b"},
	[26] = {"PX", "2nn"},
	[28] = {"AAAA", "A"}, // RFC 3596
	[29] = {"LOC", NULL},
	[30] = {"NXT", NULL},
	[33] = {"SRV", "222n"}, // RFC 2782
	[35] = {"NAPTR", "22sssn"}, // RFC 3403
	[36] = {"KX", "2n"},
	[37] = {"CERT", "221b"},
	[39] = {"DNAME", "n"},
	[41] = {"OPT", NULL},
	[42] = {"APL", NULL},
	[43] = {"DS", "211x"}, // RFC 4034
	[44] = {"SSHFP", "11x"},
	[45] = {"IPSECKEY", NULL},
	[46] = {"RRSIG", "t114TT2nb"},
	[47] = {"NSEC", "nw"},
	[48] = {"DNSKEY", "211b"},
	[49] = {"DHCID", "b"},
	[50] = {"NSEC3", "112hzw"}, // RFC 5155
	[51] = {"NSEC3PARAM", "112h"},
	[52] = {"TLSA", "111x"},
	[53] = {"SMIMEA", "111x"},
	[55] = {"HIP", NULL},
	[59] = {"CDS", "211x"},
	[60] = {"CDNSKEY", "211b"},
	[61] = {"OPENPGPKEY", "b"},
	[62] = {"CSYNC", "42w"},
	[63] = {"ZONEMD", "411x"},
	[64] = {"SVCB", "2np"}, // RFC 9460
	[65] = {"HTTPS", "2np"},
	[66] = {"DSYNC", NULL},
	[99] = {"SPF", "S"},
	[100] = {"UINFO", NULL},
	[101] = {"UID", NULL},
	[102] = {"GID", NULL},
	[103] = {"UNSPEC", NULL},
	[104] = {"NID", NULL},
	[105] = {"L32", "2a"},
	[106] = {"L64", NULL},
	[107] = {"LP", "2n"},
	[108] = {"EUI48", "e"},
	[109] = {"EUI64", "e"},
	[249] = {"TKEY", NULL},
	[250] = {"TSIG", NULL},
	[251] = {"IXFR", NULL},
	[252] = {"AXFR", NULL},
	[253] = {"MAILB", NULL},
	[254] = {"MAILA", NULL},
	[255] = {"ANY", NULL},
	[256] = {"URI", "22q"}, // RFC 7553
	[257] = {"CAA", "1gq"}, // RFC 8659
	[258] = {"AVC", "S"},
	[261] = {"RESINFO", "S"},
};

static const struct type_row dlv = {"DLV", "211x"};
static const struct type_row ta = {"TA", "211x"};

static const struct type_row *find_type(uint32_t type)
{
	if (type < COUNT_OF(types))
		return &types[type];
	return type == 32769 ? &dlv : type == 32768 ? &ta : NULL;
}

const char *dns_type_name(uint32_t type)
{
	const struct type_row *row = find_type(type);
	return row != NULL ? row->name : NULL;
}

const char *dns_type_layout(uint32_t type)
{
	const struct type_row *row = find_type(type);
	return row != NULL ? row->layout : NULL;
}

// The word, or the registry's prefix with the number.
static void put_word(struct dns_text *text, const char *word, const char *prefix, uint32_t number)
{
	dns_text_puts(text, word != NULL ? word : prefix);
	if (word == NULL)
		dns_text_uint(text, number);
}

void dns_type_put(struct dns_text *text, uint32_t type)
{
	put_word(text, dns_type_name(type), "TYPE", type);
}

const char *dns_class_name(uint32_t class)
{
	return class == 1     ? "IN"
	       : class == 3   ? "CH"
	       : class == 4   ? "HS"
	       : class == 254 ? "NONE"
	       : class == 255 ? "ANY"
			      : NULL;
}

void dns_class_put(struct dns_text *text, uint32_t class)
{
	put_word(text, dns_class_name(class), "CLASS", class);
}

void dns_rcode_put(struct dns_text *text, uint32_t rcode)
{
	static const char *const words[] = {
		"NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",   "REFUSED",
		"YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE",  "DSOTYPENI",
		[16] = "BADVERS", "BADKEY",  "BADTIME",	 "BADMODE",  "BADNAME", "BADALG",
		"BADTRUNC", "BADCOOKIE"};
	put_word(text, rcode < COUNT_OF(words) ? words[rcode] : NULL, "RCODE", rcode);
}

void dns_opcode_put(struct dns_text *text, uint32_t opcode)
{
	static const char *const words[] = {"QUERY", "IQUERY", "STATUS", NULL,
					    "NOTIFY", "UPDATE", "DSO"};
	put_word(text, opcode < COUNT_OF(words) ? words[opcode] : NULL, "OPCODE", opcode);
}

const char *dns_extended_error_name(uint32_t code)
{
	static const char *const words[] = {
		"Other Error",
		"Unsupported DNSKEY Algorithm",
		"Unsupported DS Digest Type",
		"Stale Answer",
		"Forged Answer",
		"DNSSEC Indeterminate",
		"DNSSEC Bogus",
		"Signature Expired",
		"Signature Not Yet Valid",
		"DNSKEY Missing",
		"RRSIGs Missing",
		"No Zone Key Bit Set",
		"NSEC Missing",
		"Cached Error",
		"Not Ready",
		"Blocked",
		"Censored",
		"Filtered",
		"Prohibited",
		"Stale NXDomain Answer",
		"Not Authoritative",
		"Not Supported",
		"No Reachable Authority",
		"Network Error",
		"Invalid Data",
		"Signature Expired before Valid",
		"Too Early",
		"Unsupported NSEC3 Iterations Value",
		"Unable to conform to policy",
		"Synthesized",
	};
	return code < COUNT_OF(words) ? words[code] : NULL;
}
