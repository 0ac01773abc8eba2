// SPDX-License-Identifier: Apache-2.0
#include "pmd/pcap/filter.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#define SNAPLEN 262144
#define LINKTYPE_ETHERNET 1
#define ETHERNET_ADDRESSES 12u
#define TAG_BYTES 4u
#define SAMPLE_BYTES 512u // of an untagged packet: more than any filter asks for
#define LINKTYPE_RAW_IP 101 // the one type in use whose DLT_ number differs on Linux

struct compiled {
	uint16_t link_type;
	bool is_usable;
	struct bpf_program program;
};

struct tl_filter {
	struct compiled compiled[TL_FILTER_LINK_TYPES_MAX];
	uint32_t count;
	char error[512];
	char expression[]; // as given
};

// libpcap's text without the words that all of its messages begin with.
static const char *reason_of(const char *text)
{
	static const char usual[] = "can't parse filter expression: ";
	return strncmp(text, usual, sizeof(usual) - 1) == 0 ? text + sizeof(usual) - 1 : text;
}

static int compile(struct tl_filter *f, uint16_t link_type, struct compiled *ret)
{
	pcap_t *pcap = pcap_open_dead(link_type == LINKTYPE_RAW_IP ? DLT_RAW : link_type, SNAPLEN);
	const char *name = pcap_datalink_val_to_name(link_type == LINKTYPE_RAW_IP ? DLT_RAW
										  : link_type);
	int rc = 0;

	*ret = (struct compiled) {.link_type = link_type};
	if (pcap == NULL) {
		(void)snprintf(f->error, sizeof(f->error), "filter '%s': out of memory",
			       f->expression);
		return -ENOMEM;
	}
	if (pcap_compile(pcap, &ret->program, f->expression, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		(void)snprintf(f->error, sizeof(f->error), "filter '%s': %s (on link type %s)",
			       f->expression, reason_of(pcap_geterr(pcap)),
			       name != NULL ? name : "unknown");
		rc = -EINVAL;
	}
	ret->is_usable = rc == 0;
	pcap_close(pcap);
	return rc;
}

int tl_filter_create(const char *expression, uint16_t link_type, struct tl_filter **ret_filter,
		     char *error, size_t error_size)
{
	size_t size = strlen(expression) + 1;
	struct tl_filter *f = calloc(1, sizeof(*f) + size);

	if (f == NULL) {
		(void)snprintf(error, error_size, "filter '%s': out of memory", expression);
		return -ENOMEM;
	}
	memcpy(f->expression, expression, size);
	int rc = compile(f, link_type, &f->compiled[0]);
	if (rc < 0) {
		(void)snprintf(error, error_size, "%s", f->error);
		free(f);
		return rc;
	}
	f->count = 1;
	*ret_filter = f;
	return 0;
}

void tl_filter_destroy(struct tl_filter *filter)
{
	if (filter == NULL)
		return;
	for (uint32_t i = 0; i < filter->count; i++)
		if (filter->compiled[i].is_usable)
			pcap_freecode(&filter->compiled[i].program);
	free(filter);
}

static const struct compiled *compiled_for(struct tl_filter *f, uint16_t link_type)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (f->compiled[i].link_type == link_type)
			return &f->compiled[i];
	if (f->count == TL_FILTER_LINK_TYPES_MAX)
		return NULL;
	(void)compile(f, link_type, &f->compiled[f->count]);
	return &f->compiled[f->count++];
}

bool tl_filter_match(struct tl_filter *filter, uint16_t link_type, const uint8_t *data,
		     uint32_t len, uint32_t original_len)
{
	const struct compiled *c = &filter->compiled[0];

	if (TL_UNLIKELY(c->link_type != link_type)) {
		c = compiled_for(filter, link_type);
		if (c == NULL)
			return false;
	}
	return c->is_usable && bpf_filter(c->program.bf_insns, data, original_len, len) != 0;
}

// Bytes of the VLAN tags behind the two addresses of an Ethernet frame.
static uint32_t tag_bytes(const uint8_t *data, uint32_t len)
{
	uint32_t at = ETHERNET_ADDRESSES;

	while (at + TAG_BYTES + 2 <= len) {
		uint32_t type = (uint32_t)data[at] << 8 | data[at + 1];
		if (type != 0x8100 && type != 0x88a8 && type != 0x9100)
			break;
		at += TAG_BYTES;
	}
	return at - ETHERNET_ADDRESSES;
}

uint32_t tl_filter_overlooked_tags(struct tl_filter *filter, uint16_t link_type,
				   const uint8_t *data, uint32_t len, uint32_t original_len)
{
	uint8_t untagged[SAMPLE_BYTES];
	uint32_t tags = link_type == LINKTYPE_ETHERNET ? tag_bytes(data, len) : 0;

	if (tags == 0 || strstr(filter->expression, "vlan") != NULL)
		return 0;
	uint32_t rest = len - ETHERNET_ADDRESSES - tags;
	if (rest > sizeof(untagged) - ETHERNET_ADDRESSES)
		rest = sizeof(untagged) - ETHERNET_ADDRESSES;
	memcpy(untagged, data, ETHERNET_ADDRESSES);
	memcpy(untagged + ETHERNET_ADDRESSES, data + ETHERNET_ADDRESSES + tags, rest);
	bool matches = tl_filter_match(filter, link_type, untagged, ETHERNET_ADDRESSES + rest,
				       original_len - tags);
	return matches ? tags / TAG_BYTES : 0;
}

const char *tl_filter_error(const struct tl_filter *filter)
{
	return filter->error;
}
